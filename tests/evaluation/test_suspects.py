"""Photos in wrong folders, and folders of one person, by drawn vectors and slow loops."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from siamese_nn.evaluation import suspects
from siamese_nn.evaluation.suspects import rank_same_people, rank_suspects

pytestmark = pytest.mark.once


def planted(seed, n=60, each=5):
    """Embeddings of people with some photos each, 2% of which stand in a wrong folder."""
    random = np.random.default_rng(seed)
    true = np.repeat(np.arange(n), each)
    embeddings = random.normal(size=(n, 16))[true] + 0.7 * random.normal(size=(n * each, 16))
    wrong = random.choice(n * each, n * each // 50, replace=False)
    labels = true.copy()
    labels[wrong] = (true[wrong] + random.integers(1, n, len(wrong))) % n
    return embeddings, true.astype(str), labels.astype(str), wrong


@pytest.mark.parametrize("seed", range(3))
def test_planted_errors_lead_the_list_and_their_own_folder_is_named(seed):
    embeddings, true, labels, wrong = planted(seed)
    ranked = rank_suspects(embeddings, labels)
    found = [suspect for suspect in ranked[: len(labels) // 20] if suspect.photo in wrong]
    assert len(found) >= 0.8 * len(wrong) and all(suspect.score > 0 for suspect in found)
    assert np.mean([suspect.other_person == true[suspect.photo] for suspect in found]) > 0.8
    scores = [suspect.score for suspect in ranked]
    assert scores == sorted(scores, reverse=True)
    assert len({suspect.photo for suspect in ranked}) == len(ranked)


def density(photos, b):
    """Log p of photos of one person, along one direction: variance b of the person, 1 of a photo."""
    covariance = b * np.ones((len(photos), len(photos))) + np.eye(len(photos))
    return multivariate_normal.logpdf(photos, np.zeros(len(photos)), covariance)


def test_the_ratios_are_those_of_the_joint_gaussians(monkeypatch):
    monkeypatch.setattr(suspects, "_BLOCK", 7)
    embeddings, _, labels, _ = planted(1, n=45, each=3)
    labels[0] = "alone"
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    names, folder, counts = np.unique(labels, return_inverse=True, return_counts=True)
    ranked = {suspect.photo: suspect for suspect in rank_suspects(embeddings, labels)}
    assert set(ranked) == set(np.flatnonzero(counts[folder] > 1))
    pairs = {(pair.one, pair.other): pair.score for pair in rank_same_people(embeddings, labels, most=9999)}
    for mine, plda in suspects._halves(unit, folder, counts, 0):
        along = (unit - plda.mean) @ plda.directions

        def joint(rows, along=along, between=plda.between):
            return sum(density(along[rows, i], b) for i, b in enumerate(between) if b > 0)

        for row in np.flatnonzero(mine[folder])[:6]:
            if row not in ranked:
                continue
            ratios = []
            for number in range(len(names)):
                rest = [i for i in np.flatnonzero(folder == number) if i != row]
                ratios.append(joint([row, *rest]) - joint(rest) - joint([row]))
            own = ratios.pop(folder[row])
            assert ranked[row].own == pytest.approx(own) and ranked[row].other == pytest.approx(max(ratios))
            assert ranked[row].score == pytest.approx(max(ratios) - own)
        for one in np.flatnonzero(mine)[:3]:
            for other in range(len(names)):
                if other != one:
                    a, b = np.flatnonzero(folder == one), np.flatnonzero(folder == other)
                    ratio = joint([*a, *b]) - joint(a) - joint(b)
                    found = pairs.get((names[min(one, other)], names[max(one, other)]))
                    assert found is None or found <= ratio + 1e-6


def test_one_person_under_two_names_leads_the_list_of_pairs():
    embeddings, true, _, _ = planted(2)
    labels = true.astype("<U9")
    for name in ("3", "17"):
        labels[np.flatnonzero(true == name)[:2]] = f"{name} again"
    found = {frozenset((pair.one, pair.other)) for pair in rank_same_people(embeddings, labels)[:2]}
    assert found == {frozenset(("3", "3 again")), frozenset(("17", "17 again"))}
    assert len(rank_same_people(embeddings, labels, most=1)) == 1


@pytest.mark.parametrize(
    ("embeddings", "people", "message"),
    [
        ([[1, 0]], list("ab"), "one of `people` for each photo"),
        ([[1, 0], [0, 0]], list("ab"), "row 1"),
        ([[1, 0], [np.nan, 0]], list("ab"), "row 1"),
        (np.eye(4), list("aabb"), "At least 20 people must have two photos or more.* a half with 1"),
    ],
)
def test_what_cannot_be_ranked_is_refused(embeddings, people, message):
    for rank in (rank_suspects, rank_same_people):
        with pytest.raises(ValueError, match=message):
            rank(embeddings, people)
