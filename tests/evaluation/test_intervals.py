from functools import reduce
from operator import add

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import accuracy_score, roc_auc_score, roc_curve

from siamese_nn.datasets import make_pairs
from siamese_nn.evaluation import intervals, verification_report

pytestmark = pytest.mark.once

FIGURES = ("accuracy", "auc", "eer", "0.1")


def weighted_by_scikit_learn(scores, same, weights, threshold):
    false_positives, true_positives, _ = roc_curve(
        same, scores, sample_weight=weights, drop_intermediate=False
    )
    return (
        accuracy_score(same, scores >= threshold, sample_weight=weights),
        roc_auc_score(same, scores, sample_weight=weights),
        np.interp(0, false_positives + true_positives - 1, false_positives),
        *(true_positives[false_positives <= rate + 1e-12].max() for rate in (0.1, 0.01, 0.001)),
    )


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_weighted_figures_equal_scikit_learns(decimals):
    rng = np.random.default_rng(decimals)
    same = rng.integers(0, 2, 80)
    scores = rng.normal(same, 1).round(decimals)
    weights = rng.poisson(1.0, (50, 80)) * rng.poisson(1.0, (50, 80))
    expected = [weighted_by_scikit_learn(scores, same, row, 0.5) for row in weights]
    np.testing.assert_allclose(
        intervals.weighted_figures(scores, same, weights, threshold=0.5), expected, atol=1e-12
    )


def test_weighted_figures_at_the_edges():
    def figures(scores, same, weights):
        return intervals.weighted_figures(scores, same, np.atleast_2d(weights), threshold=0.5)[0]

    assert figures([1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]).tolist() == [1, 1, 0, 1, 1, 1]
    assert figures([0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]).tolist() == [0, 0, 1, 0, 0, 0]
    assert figures([1, 1, 1, 1], [1, 1, 0, 0], [2, 1, 1, 5]).tolist() == [3 / 9, 0.5, 0.5, 0, 0, 0]
    for one_class in ([1, 2, 0, 0], [0, 0, 3, 1], [0, 0, 0, 0]):
        assert np.isnan(figures([4, 3, 2, 1], [1, 1, 0, 0], one_class)).all()


def made_up_pairs(rng, n_people, pairs_each, person_effect):
    """Pairs in which a person's same scores, and different scores, go up or down together."""
    if pairs_each:
        left = np.tile(np.repeat(np.arange(n_people), pairs_each), 2)
        half = len(left) // 2
        right = np.r_[left[:half], (left[half:] + rng.integers(1, n_people, half)) % n_people]
    else:  # nobody is on two pairs
        third = n_people // 3
        left, right = np.arange(2 * third), np.r_[np.arange(third), 2 * third + np.arange(third)]
    same = left == right
    easy, alike = rng.normal(0, person_effect, (2, n_people))
    chance = rng.normal(0, np.sqrt(1 - person_effect**2), len(left))
    return np.where(same, 1.8 + easy[left], 0.7 * (alike[left] + alike[right])) + chance, same, left, right


def coverage_and_width(monkeypatch, n_rounds, n_people, pairs_each, person_effect):
    """Returns how often people's and pairs' intervals hold the truth, and how wide they are, by figure."""
    monkeypatch.setattr(intervals, "RESAMPLES", 200)
    deviation = np.sqrt(1 - person_effect**2 + 2 * (0.7 * person_effect) ** 2)  # of the different scores
    truth = [
        (norm.cdf(0.9) + norm.cdf(0.9 / deviation)) / 2,
        norm.cdf(1.8 / np.hypot(1, deviation)),
        norm.cdf(-1.8 / (1 + deviation)),
        norm.cdf(1.8 - norm.ppf(0.9) * deviation),
    ]
    rng = np.random.default_rng(3)
    bounds = np.zeros((n_rounds, 2, 2, len(FIGURES)))  # round, people or pairs, low or high, figure
    for i in range(n_rounds):
        scores, same, left, right = made_up_pairs(rng, n_people, pairs_each, person_effect)
        people = intervals.bootstrap_intervals(
            scores, same, (left.astype(str), right.astype(str)), threshold=0.9, seed=i
        )
        bounds[i, 0] = np.transpose([people[name] for name in FIGURES])
        drawn = rng.multinomial(len(same), np.full(len(same), 1 / len(same)), size=200)
        by_pairs = intervals.weighted_figures(scores, same, drawn, threshold=0.9)[:, : len(FIGURES)]
        bounds[i, 1] = np.percentile(by_pairs, [2.5, 97.5], axis=0)
    covered = (bounds[:, :, 0] <= truth) & (truth <= bounds[:, :, 1])
    return covered.mean(axis=0), (bounds[:, :, 1] - bounds[:, :, 0]).mean(axis=0)


@pytest.mark.slow
def test_intervals_over_people_cover_and_those_over_pairs_do_not(monkeypatch):
    (people, pairs), _ = coverage_and_width(monkeypatch, 200, n_people=60, pairs_each=4, person_effect=0.7)
    assert (people >= 0.90).all() and (people <= 0.985).all(), people
    assert (pairs <= 0.83).all(), pairs


@pytest.mark.slow
def test_intervals_of_ten_people_in_folds_cover_and_are_30_points_wide(monkeypatch):
    """Pairs are within a fold, as `datasets.people_folds` has them; the accuracy to be covered is 78%."""
    monkeypatch.setattr(intervals, "RESAMPLES", 200)
    n_people, n_folds = 10, 5
    deviation = np.sqrt(1 - 0.7**2 + 2 * 0.49**2)  # of the different scores
    truth = (norm.cdf(0.9) + norm.cdf(0.9 / deviation)) / 2
    rng, found = np.random.default_rng(0), []
    for i in range(150):
        parts = [
            make_pairs(
                {f"{k}": [f"{k}/{j}" for j in range(4)] for k in range(fold, n_people, n_folds)}, seed=i
            )
            for fold in range(n_folds)
        ]
        pairs = reduce(add, parts)
        left, right = pairs.left_identities.astype(int), pairs.right_identities.astype(int)
        easy, alike = rng.normal(0, 0.7, (2, n_people))
        scores = np.where(pairs.same == 1, 1.8 + easy[left], 0.7 * (alike[left] + alike[right]))
        scores += rng.normal(0, np.sqrt(1 - 0.7**2), len(pairs))
        names = (pairs.left_identities, pairs.right_identities)
        report = verification_report(scores, pairs.same, threshold=0.9, identities=names, seed=i)
        found.append(report.accuracy_interval)
    low, high = np.transpose(found)
    assert 0.90 <= ((low <= truth) & (truth <= high)).mean() <= 0.985
    assert (high - low).mean() == pytest.approx(0.30, abs=0.03)


@pytest.mark.slow
def test_intervals_are_no_wider_than_needed_where_nobody_is_shared(monkeypatch):
    # The product of two numbers alone, without taking its excess off, would make them 1.4 times as wide.
    (people, _), (width, width_by_pairs) = coverage_and_width(
        monkeypatch, 200, n_people=450, pairs_each=0, person_effect=0.0
    )
    assert (people >= 0.91).all() and (people <= 0.99).all(), people
    assert (np.abs(width / width_by_pairs - 1.04) < 0.08).all(), width / width_by_pairs


def test_the_seed_decides_and_nothing_else(monkeypatch):
    scores, same, left, right = made_up_pairs(np.random.default_rng(0), 30, 3, 0.5)
    names = left.astype(str), right.astype(str)

    def found(seed, order=slice(None)):
        sides = tuple(side[order] for side in names)
        return intervals.bootstrap_intervals(scores[order], same[order], sides, threshold=0.9, seed=seed)

    assert found(1) == found(1) != found(2)
    monkeypatch.setattr(intervals, "_CELLS", 1000)  # many small lots draw the same people as one large
    assert found(1) == found(1)
    small = found(1)
    monkeypatch.undo()
    for name in FIGURES:
        assert small[name] == pytest.approx(found(1)[name], abs=1e-12)


def test_no_spread_is_said():
    names = np.array(list("aabbcc")), np.array(list("abbcca"))
    found = intervals.bootstrap_intervals([1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 1, 0], names, threshold=0.5)
    assert found == dict.fromkeys(intervals.FIGURES)


def test_a_figure_without_an_error_has_no_interval_and_the_others_do():
    names = np.array(list("aabbccdd")), np.array(list("abbccdda"))
    scores, same = [3, 1, 3, 1, 3, 1, 3, 2], [1, 0, 1, 0, 1, 0, 1, 0]
    found = intervals.bootstrap_intervals(scores, same, names, threshold=1.5)
    assert found["auc"] is None and found["eer"] is None
    low, high = found["accuracy"]
    assert 0 < low < 7 / 8 < high < 1


def test_two_people_are_too_few_to_say_much():
    names = np.array(["a", "a", "b", "b", "a"]), np.array(["a", "a", "b", "b", "b"])
    found = intervals.bootstrap_intervals([2, 0, 2, 2, 1], [1, 1, 1, 1, 0], names, threshold=0.5)
    low, high = found["accuracy"]
    assert low < 0.05 and high > 0.95
