import json
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t as student_t

from siamese_nn.evaluation import all_pairs, cross_pairs
from siamese_nn.evaluation.search import score_blocks

pytestmark = pytest.mark.once


def drawn_photos(rng, n_people, photos_each=2, size=12, noise=0.8):
    """Embeddings of made-up people, some of whom look more like everybody than others."""
    people = np.repeat(np.arange(n_people), photos_each)
    alike = 0.3 * rng.exponential(1.0, (n_people, 1))
    photos = (rng.normal(size=(n_people, size)) + alike)[people]
    return photos + noise * rng.normal(size=photos.shape), people


def cosines(photos):
    photos = (photos / np.linalg.norm(photos, axis=1, keepdims=True)).astype(np.float32)
    return photos @ photos.T


def slow_rates(scores, people, threshold):
    """FMR and FNMR at a threshold, pair by pair, a list for each pair of people."""
    matches = {}
    for i, j in combinations(range(len(people)), 2):
        pair = tuple(sorted((people[i], people[j])))
        matches.setdefault(pair, []).append(scores[i, j] >= threshold)
    false_matches = [np.mean(own) for (a, b), own in matches.items() if a != b]
    missed = [1 - np.mean(own) for (a, b), own in matches.items() if a == b]
    return np.mean(false_matches), np.mean(missed)


def as_blocks(scores, size=7):
    """A comparison that ignores the embeddings, which are numbers of photos, and looks the scores up."""

    def compare(left, right):
        for row in range(0, len(left), size):
            for column in range(0, len(right), size):
                which = np.ix_(
                    left[row : row + size, 0].astype(int), right[column : column + size, 0].astype(int)
                )
                yield row, column, scores[which]

    return compare


@pytest.mark.parametrize("photos_each", [2, [1, 2, 3, 5, 1, 2] * 5])
def test_the_rates_are_those_of_a_slow_loop(photos_each, monkeypatch):
    monkeypatch.setattr(cross_pairs, "_ROWS", 16)
    photos, people = drawn_photos(np.random.default_rng(1), 30, photos_each)
    scores = cosines(photos)
    numbers = np.arange(len(people))[:, None]
    report = all_pairs(numbers, people, compare=as_blocks(scores))
    assert report.n_same + report.n_different == len(people) * (len(people) - 1) // 2
    threshold, found = report.thresholds["0.1"], report.fnmr_at_fmr["0.1"].estimate
    fmr, fnmr = slow_rates(scores, people, threshold)
    assert fmr <= 0.1 and found == pytest.approx(fnmr, abs=1e-12)
    step = np.ptp(scores) / cross_pairs._BINS  # the grid's, or more
    assert slow_rates(scores, people, threshold - step)[0] > 0.1
    assert report.fnmr_at_fmr["0.01"] is None and report.thresholds["0.01"] is None


def test_the_interval_is_a_jackknife_over_groups_with_a_threshold_each():
    photos, people = drawn_photos(np.random.default_rng(2), 24)
    scores = cosines(photos)
    rate = all_pairs(np.arange(48)[:, None], people, compare=as_blocks(scores)).fnmr_at_fmr["0.1"]
    left_out = []
    for person in range(24):  # fewer than 32: each is a group
        rest = np.flatnonzero(people != person)
        own = scores[np.ix_(rest, rest)][np.triu_indices(46, 1)]
        same = np.equal.outer(people[rest], people[rest])[np.triu_indices(46, 1)]
        different = np.sort(own[~same])[::-1]  # as everybody has two photos, the shares are plain ones
        first_refused = different[int(0.1 * len(different) + 1e-9)]
        left_out.append((own[same] <= first_refused).mean())
    error = np.sqrt(23 / 24 * ((left_out - np.mean(left_out)) ** 2).sum())
    reach = student_t.ppf(0.975, 23) * error / (rate.estimate * (1 - rate.estimate))
    np.testing.assert_allclose(rate.interval, expit(logit(rate.estimate) + reach * np.array([-1, 1])))


@pytest.mark.slow
def test_the_intervals_hold_the_truth():
    photos, people = drawn_photos(np.random.default_rng(3), 1000)
    truth = all_pairs(photos, people).fnmr_at_fmr
    inside = []
    for seed in range(40):
        found = all_pairs(*drawn_photos(np.random.default_rng([3, seed]), 150)).fnmr_at_fmr
        for fmr in ("0.1", "0.01", "0.001"):
            low, high = found[fmr].interval
            inside.append(low <= truth[fmr].estimate <= high)
    covered = np.reshape(inside, (40, 3)).mean(axis=0)
    assert (covered >= 0.85).all(), covered  # of 95%, but for chance: 0.85 is 3 deviations off


def test_cosines_in_blocks_are_those_in_one():
    photos, people = drawn_photos(np.random.default_rng(4), 300)  # 600 photos: three lots of rows
    unit = photos / np.linalg.norm(photos, axis=1, keepdims=True)
    whole = all_pairs(unit.astype(np.float32), people, compare=partial(score_blocks, memory_limit=2**20))
    report = all_pairs(5 * photos, people)
    assert report.fnmr_at_fmr["0.01"].estimate == pytest.approx(whole.fnmr_at_fmr["0.01"].estimate, abs=0.005)
    assert all_pairs(photos, people, seed=1).fnmr_at_fmr["0.1"].estimate == pytest.approx(
        report.fnmr_at_fmr["0.1"].estimate
    )
    assert report == all_pairs(5 * photos, people)
    assert json.loads(json.dumps(report.as_dict()))["n_people"] == 300
    table = report.table().get_string()
    assert "too few pairs of people (needs 100,000)" in table and "300 of them with two photos" in table


def test_perfect_and_collapsed_scores():
    people = np.repeat(np.arange(20), 2)
    perfect = all_pairs(np.eye(20)[people], people).fnmr_at_fmr["0.1"]
    assert perfect.estimate == 0 and perfect.interval is None
    collapsed = all_pairs(np.ones((40, 3)), people).fnmr_at_fmr["0.1"]
    assert collapsed.estimate == 1 and collapsed.interval is None


@pytest.mark.parametrize(
    ("embeddings", "people", "message"),
    [
        (
            np.ones((4, 2)),
            [0, 0, 1],
            r"Received: embeddings float64 \(4, 2\), people \(3,\)",
        ),
        (np.ones(4), [0, 0, 1, 1], r"numbers of shape \(n, d\)"),
        (np.full((4, 2), "a"), [0, 0, 1, 1], r"numbers of shape \(n, d\)"),
        (np.array([[1.0], [np.nan], [1], [1]]), [0, 0, 1, 1], "finite. Received: row 1"),
        (np.ones((4, 2)), [0, 0, 1, 2], "two people with two photos or more.* Received: 1 among 3"),
        (np.ones((0, 2)), [], "Received: 0 among 0"),
    ],
)
def test_what_does_not_fit_is_refused(embeddings, people, message):
    with pytest.raises(ValueError, match=message):
        all_pairs(embeddings, people)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="The scores must be finite"):
        all_pairs(np.ones((4, 1)), [0, 0, 1, 1], compare=lambda a, b: [(0, 0, np.full((4, 4), np.nan))])
