import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

from siamese_nn import evaluation


def covariances(seed: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a within-person and a between-person covariance, neither diagonal."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(2, d, d)) / np.sqrt(d)
    return roots[0] @ roots[0].T + 0.2 * np.eye(d), 2 * roots[1] @ roots[1].T


def draw(seed: int, mean, within, between, photos) -> tuple[np.ndarray, np.ndarray]:
    """Draws `photos[i]` embeddings of the `i`-th person."""
    rng = np.random.default_rng(seed)
    identities = np.repeat(np.arange(len(photos)), photos)
    people = rng.multivariate_normal(mean, between, size=len(photos))
    return people[identities] + rng.multivariate_normal(
        np.zeros(len(mean)), within, size=len(identities)
    ), identities


def fitted_covariances(plda: evaluation.Plda) -> tuple[np.ndarray, np.ndarray]:
    inverse = np.linalg.inv(plda.directions)
    return inverse.T @ inverse, inverse.T @ np.diag(plda.between) @ inverse


def projected_cosine(plda: evaluation.Plda, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    bias, matrix = plda.projection()
    return evaluation.compare(_Embedding, left @ matrix + bias, right @ matrix + bias)


class _Embedding:
    """Stands for a saved embedding model: whatever has one input is compared by cosine."""

    inputs = (None,)


def draw_pairs(seed: int, mean, within, between, n: int = 20000):
    embeddings, _ = draw(seed, mean, within, between, np.full(2 * n, 2))
    left, right = embeddings[::2], embeddings[1::2].copy()
    right[n:] = np.roll(right[n:], 1, axis=0)
    return left, right, np.arange(2 * n) < n


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 1.0])
def test_the_score_is_the_ratio_of_the_stacked_pairs_densities(shrinkage):
    mean, d = np.array([1.0, -2.0, 0.5]), 3
    embeddings, identities = draw(0, mean, *covariances(1, d), np.tile([1, 2, 5, 30], 20))
    plda = evaluation.fit_plda(embeddings, identities, shrinkage=shrinkage)
    within, between = fitted_covariances(plda)
    total, nothing, means = within + between, np.zeros((d, d)), np.tile(plda.mean, 2)
    one_person = multivariate_normal(means, np.block([[total, between], [between, total]]))
    two_people = multivariate_normal(means, np.block([[total, nothing], [nothing, total]]))
    left, right = embeddings[:100], embeddings[100:200]
    stacked = np.hstack([left, right])
    scores = plda.score(left, right)
    assert scores.shape == (100,) and scores.min() < 0 < scores.max()
    np.testing.assert_allclose(scores, one_person.logpdf(stacked) - two_people.logpdf(stacked), atol=1e-9)
    np.testing.assert_allclose(plda.score(right, left), scores, rtol=1e-12)


def test_the_estimates_are_those_of_a_slow_loop():
    embeddings, identities = draw(
        2, np.zeros(3), covariances(3, 3)[0], np.diag([1.0, 2.0, 3.0]), np.tile([1, 2, 3, 25], 15)
    )
    people = [embeddings[identities == person] for person in range(60)]
    means = np.array([photos.mean(axis=0) for photos in people])
    within, freedom, between = np.zeros((3, 3)), 0.0, np.cov(means.T)
    for photos in people:
        weight = min(1, 20 / len(photos))
        freedom += weight * (len(photos) - 1)
        for photo in photos:
            within += weight * np.outer(photo - photos.mean(axis=0), photo - photos.mean(axis=0))
    within /= freedom
    between -= within * np.mean([1 / len(photos) for photos in people])
    within = 0.7 * within + 0.3 * np.eye(3) * np.trace(within) / 3

    names = np.array([f"person {identity}" for identity in identities])
    order = np.random.default_rng(0).permutation(len(names))
    plda = evaluation.fit_plda(embeddings[order], list(names[order]), shrinkage=0.3)
    np.testing.assert_allclose(plda.mean, means.mean(axis=0))
    found_within, found_between = fitted_covariances(plda)
    np.testing.assert_allclose(found_within, within)
    np.testing.assert_allclose(found_between, between)  # positive definite here: nothing was set to 0
    assert (np.diff(plda.between) < 0).all() and plda.between[-1] > 0


def test_known_covariances_are_found_again():
    mean, (within, between) = np.array([0.3, -0.1, 0.0, 1.0]), covariances(4, 4)
    photos = np.random.default_rng(0).choice([1, 2, 3, 40], p=[0.5, 0.3, 0.15, 0.05], size=8000)
    plda = evaluation.fit_plda(*draw(5, mean, within, between, photos), shrinkage=0)
    found_within, found_between = fitted_covariances(plda)
    np.testing.assert_allclose(plda.mean, mean, atol=0.06)
    np.testing.assert_allclose(found_within, within, atol=0.04)
    np.testing.assert_allclose(found_between, between, atol=0.12)  # with the photos' share it is 0.5 more


def test_it_ranks_better_than_the_cosine_where_directions_differ():
    d = 16
    within, between = np.diag(np.geomspace(0.05, 5, d)), np.diag(np.geomspace(1, 0.05, d))
    plda = evaluation.fit_plda(*draw(6, np.full(d, 0.5), within, between, np.full(400, 4)), shrinkage=0.1)
    left, right, same = draw_pairs(7, np.full(d, 0.5), within, between, 2000)
    cosine = roc_auc_score(same, evaluation.compare(_Embedding, left, right))
    projected = roc_auc_score(same, projected_cosine(plda, left, right))
    exact = roc_auc_score(same, plda.score(left, right))
    assert cosine < 0.75 and projected > 0.97 and exact > projected


def test_the_projected_cosine_orders_pairs_nearly_as_the_score():
    mean, (within, between) = np.zeros(32), covariances(8, 32)
    plda = evaluation.fit_plda(*draw(9, mean, within, between, np.full(1000, 4)))
    left, right, _ = draw_pairs(10, mean, within, between, 2000)
    ranks = (
        scores.argsort().argsort()
        for scores in (plda.score(left, right), projected_cosine(plda, left, right))
    )
    assert np.corrcoef(*ranks)[0, 1] > 0.97  # without the constant coordinate 0.955


def test_half_the_squared_length_of_a_projection_is_the_penalty_of_the_score():
    mean, (within, between) = np.zeros(6), covariances(15, 6)
    plda = evaluation.fit_plda(*draw(16, mean, within, between, np.full(3000, 2)), shrinkage=0)
    embeddings, _ = draw(17, mean, within, between, np.full(20000, 1))
    bias, matrix = plda.projection()
    projections = embeddings @ matrix + bias
    lengths = (projections[:, :-1] ** 2).sum(axis=1)
    middle = np.tile(plda.mean, (len(embeddings), 1))  # its products with all others are 0
    np.testing.assert_allclose(
        plda.score(embeddings, middle), plda.score(middle, middle) - lengths / 2, atol=1e-9
    )
    assert (projections[:, -1] == bias[-1]).all()
    np.testing.assert_allclose(bias[-1] ** 2, lengths.mean(), rtol=0.03)


def test_without_shrinkage_an_invertible_linear_map_changes_no_score():
    embeddings, identities = draw(11, np.ones(5), *covariances(12, 5), np.full(60, 3))
    left, right = embeddings[:90], embeddings[90:]
    rng = np.random.default_rng(0)
    matrix, shift = rng.normal(size=(5, 5)), rng.normal(size=5)
    scores = evaluation.fit_plda(embeddings, identities, shrinkage=0).score(left, right)
    mapped = evaluation.fit_plda(embeddings @ matrix + shift, identities, shrinkage=0)
    np.testing.assert_allclose(mapped.score(left @ matrix + shift, right @ matrix + shift), scores, atol=1e-8)
    np.testing.assert_allclose(
        projected_cosine(mapped, left @ matrix + shift, right @ matrix + shift),
        projected_cosine(evaluation.fit_plda(embeddings, identities, shrinkage=0), left, right),
        atol=1e-8,
    )


def test_where_people_do_not_differ_nothing_is_scored_or_projected():
    within, between = np.eye(4), np.diag([4.0, 4.0, 0.0, 0.0])
    embeddings, identities = draw(13, np.zeros(4), within, between, np.full(50, 4))
    plda = evaluation.fit_plda(embeddings, identities)
    known = int((plda.between > 0).sum())
    bias, matrix = plda.projection()
    assert 2 <= known < 4 and bias.shape == (known + 1,) and matrix.shape == (4, known + 1)
    moved = embeddings + 10 * np.linalg.inv(plda.directions)[-1]  # along the last direction alone
    np.testing.assert_allclose(plda.score(embeddings, moved), plda.score(embeddings, embeddings))
    np.testing.assert_allclose(moved @ matrix, embeddings @ matrix, atol=1e-9)


def test_more_dimensions_than_photos_and_dead_ones_need_shrinkage():
    embeddings, identities = draw(14, np.zeros(8), np.eye(8), np.eye(8), np.full(5, 2))
    dead = np.hstack([embeddings, np.zeros((10, 1))])
    for singular in (embeddings, dead, np.repeat(embeddings[::2], 2, axis=0)):
        with pytest.raises(
            ValueError, match="must differ in every direction.* 5 photos beyond each person's first"
        ):
            evaluation.fit_plda(singular, identities, shrinkage=0)
    copies = np.repeat(np.random.default_rng(0).normal(size=(20, 6)), 3, axis=0)
    with pytest.raises(ValueError, match="copies of a photo don't. Received: 40 photos"):
        evaluation.fit_plda(copies, np.repeat(np.arange(20), 3))
    for shrunk in (embeddings, dead):
        assert np.isfinite(evaluation.fit_plda(shrunk, identities).score(shrunk, shrunk)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identities": ["ann"] * 4}, "two people or more.* Received: 1 people, with at most 4"),
        ({"identities": ["ann", "bob", "cid", "dan"]}, "two photos or more.* 4 people, with at most 1 "),
        ({"identities": ["ann", "ann", "bob"]}, r"each of the 4 embeddings. Received: shape \(3,\)"),
        ({"embeddings": [[0.0, 1.0], [np.nan, 0.0], [1.0, 1.0], [0.0, np.inf]]}, "finite.* 2 numbers not"),
        ({"embeddings": [0.0, 1.0, 2.0, 3.0]}, r"must be \(n, d\).* shape \(4,\)"),
        ({"embeddings": np.zeros((0, 2)), "identities": []}, r"not empty.* shape \(0, 2\)"),
        ({"embeddings": np.ones((4, 2))}, "must differ in every direction"),
        ({"embeddings": [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]}, "more than photos of one person"),
        ({"shrinkage": 1.5}, "from 0 to 1. Received: shrinkage=1.5"),
        ({"shrinkage": np.nan}, "from 0 to 1. Received: shrinkage=nan"),
    ],
)
def test_bad_arguments_are_explained(change, message):
    arguments = {
        "embeddings": [[0.0, 0.0], [0.1, 0.2], [1.0, 1.0], [1.2, 1.1]],
        "identities": ["ann", "ann", "bob", "bob"],
        "shrinkage": 0.1,
    }
    evaluation.fit_plda(**arguments)
    with pytest.raises(ValueError, match=message):
        evaluation.fit_plda(**arguments | change)


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (np.zeros((3, 2)), np.zeros((2, 2)), r"one shape \(n, 2\). Received: shapes \(3, 2\) and \(2, 2\)"),
        (np.zeros((3, 4)), np.zeros((3, 4)), r"one shape \(n, 2\)"),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), "`right` must be .* 6 numbers not finite"),
        (np.zeros(2), np.zeros(2), r"`left` must be \(n, d\)"),
    ],
)
def test_pairs_that_cannot_be_scored_are_explained(left, right, message):
    plda = evaluation.Plda(np.zeros(2), np.eye(2), np.ones(2))
    with pytest.raises(ValueError, match=message):
        plda.score(left, right)
