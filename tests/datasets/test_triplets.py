import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.datasets import load_images, sample_violating_triplets, triplet_dataset

PEOPLE = np.repeat(np.arange(20), [1] * 8 + [2] * 6 + [5, 9, 17, 23, 4, 4])


@pytest.fixture
def photos(toy_pairs):
    paths = toy_pairs.distinct_images()[0]
    return paths, [path.rsplit("/", 2)[1] for path in paths]


def test_triplets_come_as_they_are_chosen(photos):
    paths, _ = photos
    known = load_images(paths, image_size=(20, 20)) / np.float32(255)
    chosen = np.random.default_rng(0).integers(len(paths), size=(2, 7, 3))
    dataset = triplet_dataset(paths, lambda number: chosen[number % 2], batch_size=4, image_size=(20, 20))
    for number in (0, 1):
        batches = list(dataset.as_numpy_iterator())
        assert [len(zeros) for _, zeros in batches] == [4, 3] and dataset.cardinality() == 2
        for i in range(3):
            images = np.concatenate([triplet[i] for triplet, _ in batches])
            np.testing.assert_allclose(images, known[chosen[number, :, i]], atol=1e-6)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([[0, 1], [2, 3], [4, 5]], r"shape \(m, 3\).* Received for pass 0: int64 of shape \(3, 2\)"),
        ([0, 1, 2, 3], r"Received for pass 0: int64 of shape \(4,\)"),
        (np.zeros((0, 3), int), r"at least one row. Received for pass 0: int64 of shape \(0, 3\)"),
        ([[0.0, 1.0, 2.0]], r"whole numbers.* Received for pass 0: float64"),
        ([[0, 1, 2], [3, 4, 9]], "from 0 to 8. Received for pass 0: numbers from 0 to 9"),
        ([[0, 1, -1]], "from 0 to 8. Received for pass 0: numbers from -1 to 1"),
    ],
)
def test_triplets_that_are_none_are_refused(photos, plan, message):
    paths = photos[0][:9]
    with pytest.raises(ValueError, match=message):
        triplet_dataset(paths, lambda number: plan, image_size=(20, 20))
    good = [[0, 1, 2], [6, 7, 8]]
    dataset = triplet_dataset(paths, lambda number: plan if number == 1 else good, image_size=(20, 20))
    assert len(list(dataset.as_numpy_iterator())) == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match=message.replace("pass 0", "pass 1")):
        list(dataset.as_numpy_iterator())


@pytest.mark.parametrize("margin", [0.0, 0.3, 100.0])
def test_negatives_violate_the_margin_or_are_the_nearest(margin):
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(len(PEOPLE), 3))
    triplets = sample_violating_triplets(embeddings, PEOPLE, margin=margin, seed=1)
    anchors, positives, negatives = triplets.T
    assert np.array_equal(np.sort(anchors), np.flatnonzero(np.bincount(PEOPLE)[PEOPLE] > 1))
    assert (PEOPLE[anchors] == PEOPLE[positives]).all() and (anchors != positives).all()
    assert (PEOPLE[anchors] != PEOPLE[negatives]).all()
    fallen_back = 0
    for a, p, n in triplets:
        distances = np.square(embeddings - embeddings[a]).sum(axis=1)
        others = PEOPLE[a] != PEOPLE
        if distances[n] >= distances[p] + margin:
            assert distances[others].min() >= distances[p] + margin - 1e-5
            assert distances[n] == distances[others].min()
            fallen_back += 1
    assert fallen_back < len(triplets)


def test_all_violating_negatives_are_equally_likely():
    embeddings = np.array([[0.0], [1.0], [0.5], [1.2], [9.0]])
    who = ["a", "a", "b", "c", "d"]
    drawn = [
        tuple(triplet)
        for seed in range(600)
        for triplet in sample_violating_triplets(embeddings, who, margin=0.5, seed=seed).tolist()
        if triplet[0] == 0
    ]
    counts = np.bincount([negative for _, _, negative in drawn], minlength=5)
    assert counts[4] == counts[0] == counts[1] == 0  # too far, or the person's own
    assert 0.4 < counts[2] / 600 < 0.6 and counts[3] == 600 - counts[2]


@pytest.mark.parametrize(
    ("embeddings", "identities", "message"),
    [
        (np.zeros((3, 2)), ["a", "b"], "one identity for each photo"),
        (np.zeros(3), ["a", "a", "b"], r"`embeddings` must be \(n, embedding_size\).* shape \(3,\)"),
        (np.zeros((3, 2, 1)), ["a", "a", "b"], r"shape \(3, 2, 1\)"),
        (np.full((3, 2), np.nan), ["a", "a", "b"], "finite"),
        (np.zeros((3, 2)), ["a", "b", "c"], "two photos"),
        (np.zeros((3, 2)), ["a", "a", "a"], "another person"),
    ],
)
def test_what_gives_no_triplets_is_refused(embeddings, identities, message):
    with pytest.raises(ValueError, match=message):
        sample_violating_triplets(embeddings, identities, margin=0.5)


@pytest.mark.parametrize("margin", [-0.1, float("nan")])
def test_a_negative_margin_is_refused(margin):
    with pytest.raises(ValueError, match=f"`margin` must be at least 0. Received: margin={margin}"):
        sample_violating_triplets(np.eye(3), ["a", "a", "b"], margin=margin)
