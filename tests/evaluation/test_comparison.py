"""The ways of comparing embeddings, held against what they mean, pair by pair."""

import numpy as np
import pytest

from siamese_nn.evaluation import fit_plda
from siamese_nn.evaluation.comparison import Cosine, Euclidean, LikelihoodRatio, NormalizedScores

pytestmark = pytest.mark.once

RNG = np.random.default_rng(0)
PEOPLE = np.repeat(np.arange(60), 3)
EMBEDDINGS = (RNG.normal(size=(60, 8))[PEOPLE] + 0.7 * RNG.normal(size=(180, 8))).astype(np.float32)
UNIT = EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
PLDA = fit_plda(UNIT, PEOPLE)


def normalised(a, b, cohort, top):
    """Adaptive s-norm of two photos, by a loop."""
    score = float(a @ b)
    parts = []
    for photo in (a, b):
        highest = sorted((float(photo @ other) for other in cohort), reverse=True)[:top]
        parts.append((score - np.mean(highest)) / np.std(highest))
    return sum(parts) / 2


COHORT = UNIT[::9].astype(np.float32)
WAYS = {
    "cosine": (Cosine(), lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)),
    "euclidean": (Euclidean(), lambda a, b: -np.sqrt(((a - b) ** 2).sum())),
    "PLDA": (
        LikelihoodRatio(PLDA),
        lambda a, b: PLDA.score([a / np.linalg.norm(a)], [b / np.linalg.norm(b)])[0],
    ),
    "s-norm": (
        NormalizedScores(Cosine(), COHORT, 7),
        lambda a, b: normalised(a / np.linalg.norm(a), b / np.linalg.norm(b), COHORT, 7),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_pairs_and_blocks_are_the_scores_pair_by_pair(way):
    comparison, score = WAYS[way]
    left, right = EMBEDDINGS[:40].astype(np.float64), EMBEDDINGS[30:95].astype(np.float64)
    wanted = np.array([[score(a, b) for b in right] for a in left])
    found = np.full(wanted.shape, np.nan)
    one, other = comparison.prepare(EMBEDDINGS[:40]), comparison.prepare(EMBEDDINGS[30:95])
    assert one.dtype == other.dtype == np.float32
    for row, column, block in comparison.blocks(one, other):
        found[row : row + len(block), column : column + block.shape[1]] = block
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(comparison.pairs(one, other[:40]), np.diag(wanted), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("way", WAYS)
def test_scores_are_the_same_in_both_directions_and_the_order_of_photos_plays_no_part(way):
    comparison, _ = WAYS[way]
    prepared = comparison.prepare(EMBEDDINGS)
    there = comparison.pairs(prepared[:90], prepared[90:])
    np.testing.assert_allclose(there, comparison.pairs(prepared[90:], prepared[:90]), rtol=1e-5, atol=1e-5)
    again = comparison.prepare(EMBEDDINGS[::-1])[::-1]
    np.testing.assert_allclose(again, prepared, rtol=1e-5, atol=1e-6)


def test_a_photo_without_any_feature_and_one_that_is_the_cohort():
    assert Cosine().pairs(*[Cosine().prepare(np.zeros((1, 8)))] * 2) == 0
    copies = NormalizedScores(Cosine(), np.repeat(COHORT[:1], 5, axis=0), 3)
    prepared = copies.prepare(EMBEDDINGS)
    assert np.isfinite(copies.pairs(prepared[:90], prepared[90:])).all()


@pytest.mark.parametrize("top", [1, 21])
def test_top_is_within_the_cohort(top):
    with pytest.raises(ValueError, match=f"`top` must be from 2 to the 20 people .* Received: {top}"):
        NormalizedScores(Cosine(), COHORT, top)
