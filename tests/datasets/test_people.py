import math

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.datasets import identity_dataset, load_images, photo_dataset
from siamese_nn.datasets.people import plan_identity_batches

PEOPLE = np.repeat(
    np.arange(30), np.random.default_rng(1).permutation([1] * 12 + [2] * 8 + [5] * 6 + [9, 17, 23, 41])
)


@pytest.mark.parametrize(("n_people", "n_images"), [(4, 4), (3, 2), (2, 40), (100, 3)])
def test_every_photo_once_and_people_in_groups(n_people, n_images):
    batches = plan_identity_batches(PEOPLE, n_people, n_images, [0, 0])
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(len(PEOPLE)))
    alone = np.bincount(PEOPLE)[PEOPLE] == 1
    singles = [int(alone[batch].sum()) for batch in batches]
    assert max(singles) - min(singles) <= 1 or n_images == 2
    for batch in batches:
        counts = np.bincount(PEOPLE[batch])
        assert (counts > 1).sum() <= n_people
        assert (counts > 1).any()


def test_one_persons_groups_lie_apart_where_there_is_room():
    batches = plan_identity_batches(PEOPLE, 4, 4, [0, 0])
    groups = sum(-(-n // 4) - (n % 4 == 1) for n in np.bincount(PEOPLE) if n > 1)
    assert len(batches) == -(-groups // 4)
    most = np.bincount(PEOPLE).max()
    together = max(np.bincount(PEOPLE[batch]).max() for batch in batches)
    assert together == 4 * math.ceil(most // 4 / len(batches))


def test_facenets_batches_hold_all_photos_of_a_person():
    for batch in plan_identity_batches(PEOPLE, 5, 40, [3, 1]):
        for person in np.unique(PEOPLE[batch]):
            n = (person == PEOPLE).sum()
            assert (PEOPLE[batch] == person).sum() == min(n, 40) or n == 41


def test_epochs_differ_and_come_again():
    plans = [plan_identity_batches(PEOPLE, 4, 4, seed) for seed in ([0, 0], [0, 1], [1, 0], [0, 0])]
    flat = [np.concatenate(plan).tolist() for plan in plans]
    assert flat[0] == flat[3] and flat[0] != flat[1] != flat[2] != flat[0]
    assert len({len(plan) for plan in plans}) == 1


@pytest.fixture
def photos(toy_pairs):
    paths = toy_pairs.distinct_images()[0]
    names = [path.rsplit("/", 2)[1] for path in paths]
    return paths, names


def epoch(dataset, count=-1):
    return [(images, labels) for images, labels in dataset.take(count).as_numpy_iterator()]


def test_images_and_labels_belong_together(photos):
    paths, names = photos
    options = {"identities_per_batch": 8, "images_per_identity": 4, "image_size": (20, 20)}
    dataset = identity_dataset(paths, names, **options)
    known = load_images(paths, image_size=(20, 20)) / np.float32(255)
    people = sorted(set(names))
    batches = epoch(dataset)
    assert len(batches) == dataset.cardinality()
    assert sum(len(labels) for _, labels in batches) == len(paths)
    for images, labels in batches:
        assert images.dtype == np.float32 and labels.dtype == np.int32
        for image, label in zip(images, labels, strict=True):
            [match] = np.flatnonzero((np.abs(known - image) < 1e-6).all(axis=(1, 2, 3)))
            assert names[match] == people[label]


def test_a_resumed_epoch_is_the_unbroken_ones(photos):
    options = {"identities_per_batch": 8, "images_per_identity": 4, "image_size": (20, 20), "seed": 5}
    dataset = identity_dataset(*photos, **options)
    first, second = epoch(dataset), epoch(dataset)
    tf.random.set_seed(1)
    resumed = epoch(identity_dataset(*photos, **options, initial_epoch=1), len(second))
    assert not np.array_equal(first[0][1], second[0][1])
    for (a, labels), (b, again) in zip(second, resumed, strict=True):
        assert np.array_equal(a, b) and np.array_equal(labels, again)


def test_augmentation_is_seeded(photos):
    def noise(images, seed):
        return images + tf.random.stateless_uniform(tf.shape(images), seed)

    options = {"identities_per_batch": 8, "images_per_identity": 4, "image_size": (20, 20), "augment": noise}
    first, again = (epoch(identity_dataset(*photos, **options)) for _ in range(2))
    plain = epoch(identity_dataset(*photos, **{**options, "augment": None}))
    assert np.array_equal(first[0][0], again[0][0]) and (first[0][0] != plain[0][0]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identities_per_batch": 0}, "`identities_per_batch`"),
        ({"images_per_identity": 1}, "`images_per_identity`"),
        ({"seed": -1}, "`seed`"),
        ({"identities": ["a"]}, "one identity for each photo"),
        ({"identities": list(map(str, range(10)))}, "two photos"),
    ],
)
def test_options_are_checked(photos, change, message):
    paths, names = photos
    given = {
        "paths": paths[:10],
        "identities": names[:10],
        "identities_per_batch": 2,
        "images_per_identity": 2,
    }
    with pytest.raises(ValueError, match=message):
        identity_dataset(**{**given, **change})


def test_a_classifiers_epoch_holds_at_most_so_many_photos_of_a_person(photos):
    paths, names = (np.asarray(column) for column in photos)
    people, counts = np.unique(names, return_counts=True)
    dataset = photo_dataset(paths, names, batch_size=16, most_per_identity=2, image_size=(20, 20))
    first, second = epoch(dataset), epoch(dataset)
    assert [len(labels) for _, labels in first[:-1]] == [16] * (len(first) - 1)
    assert len(first) == dataset.cardinality()
    seen = np.concatenate([labels for _, labels in first])
    assert np.array_equal(np.bincount(seen, minlength=len(people)), np.minimum(counts, 2))
    assert not np.array_equal(seen, np.concatenate([labels for _, labels in second]))
    known = load_images(paths, image_size=(20, 20)) / np.float32(255)
    drawn = [set(), set()]
    for i, batches in enumerate((first, second)):
        for image, label in zip(
            *(np.concatenate(column) for column in zip(*batches, strict=True)), strict=True
        ):
            [match] = np.flatnonzero((np.abs(known - image) < 1e-6).all(axis=(1, 2, 3)))
            assert names[match] == people[label]
            drawn[i].add(match)
    assert drawn[0] != drawn[1]  # other photos of the same people
    resumed = epoch(
        photo_dataset(paths, names, batch_size=16, most_per_identity=2, image_size=(20, 20), initial_epoch=1),
        len(second),
    )
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(second, resumed, strict=True))


def test_all_photos_of_all_people_without_a_limit(photos):
    paths, names = photos
    batches = epoch(photo_dataset(paths, names, batch_size=50, image_size=(20, 20)))
    assert sum(len(labels) for _, labels in batches) == len(paths)


@pytest.mark.parametrize("change", [{"batch_size": 0}, {"most_per_identity": 0}, {"seed": -1}])
def test_a_classifiers_options_are_checked(photos, change):
    with pytest.raises(ValueError, match=f"`{next(iter(change))}`"):
        photo_dataset(*photos, **change)
