"""tf.data over photos of known people: for losses that need no pairs, or find them in the batch."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from .images import check_image_options
from .pipelines import Augment, as_written, check_seed, epochs_from, finish_images, image_source


def identity_dataset(
    paths: Sequence[str],
    identities: Sequence[str],
    *,
    identities_per_batch: int,
    images_per_identity: int,
    image_size: tuple[int, int] = (125, 125),
    seed: int = 0,
    crop: tuple[int, int] | None = None,
    channels: int = 1,
    augment: Augment | None = None,
    initial_epoch: int | None = None,
    memory_limit: int = 4 * 2**30,
) -> tf.data.Dataset:
    """Batches in which people occur several times, for the losses that find their triplets in the batch.

    In every epoch each person's photos are shuffled and cut into groups of `images_per_identity`; a batch holds
    `identities_per_batch` such groups, of different people as far as there are enough. The photos that are left alone, those of people
    with one photo above all, are spread evenly over the batches, as negatives. So every photo is seen once an epoch, and batches
    differ a little in size. FaceNet's batches are `images_per_identity=40`: who has fewer comes with all of them.

    Args:
        paths: the `n` photos.
        identities: who is on them, `n` names.
        identities_per_batch: groups a batch, at least 1.
        images_per_identity: photos a group, at least 2.
        image_size, crop, channels, augment, memory_limit: as in `pair_dataset`.
        seed: of groups, batches and `augment`; each epoch is drawn anew, by `(seed, epoch)` alone.
        initial_epoch: as in `pair_dataset`; `steps_per_epoch` is the cardinality of the dataset made with `None`.

    Returns:
        A dataset of `(images, labels)`: images float32 `(batch, height, width, channels)` in [0, 1], and the people as int32
        `(batch,)`, numbered in the alphabetical order of their names.

    Raises:
        ImageError: if a photo is missing or broken; it is named.
        ValueError: if an argument is out of range, or nobody has two photos.

    Reference:
        Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015, section 3.2.
    """
    labels = number_people(paths, identities)
    if identities_per_batch < 1 or images_per_identity < 2:
        raise ValueError(
            "`identities_per_batch` must be at least 1 and `images_per_identity` at least 2. "
            f"Received: {identities_per_batch=}, {images_per_identity=}"
        )
    if not len(labels) or np.bincount(labels).max() < 2:
        raise ValueError(f"Somebody must have two photos. Received: {len(labels)} photos of as many people")
    check_seed(seed, initial_epoch)

    def plan(epoch: int) -> list[np.ndarray]:
        return plan_identity_batches(labels, identities_per_batch, images_per_identity, [seed, epoch])

    return _labelled(
        paths, labels, plan, image_size, seed, crop, channels, augment, initial_epoch, memory_limit
    )


def photo_dataset(
    paths: Sequence[str],
    identities: Sequence[str],
    *,
    batch_size: int = 64,
    most_per_identity: int | None = None,
    image_size: tuple[int, int] = (125, 125),
    seed: int = 0,
    crop: tuple[int, int] | None = None,
    channels: int = 1,
    augment: Augment | None = None,
    initial_epoch: int | None = None,
    memory_limit: int = 4 * 2**30,
) -> tf.data.Dataset:
    """Shuffled batches of photos and who is on them, for training as a classifier.

    Args:
        paths: the `n` photos.
        identities: who is on them, `n` names.
        batch_size: photos a batch; the last batch of an epoch holds what is left.
        most_per_identity: the most photos of one person in an epoch, drawn anew for every epoch, so that few people with
            hundreds of photos don't outweigh the others; `None` takes all.
        image_size, crop, channels, augment, memory_limit: as in `pair_dataset`.
        seed: of the draws, the order and `augment`; each epoch is drawn anew, by `(seed, epoch)` alone.
        initial_epoch: as in `pair_dataset`; `steps_per_epoch` is the cardinality of the dataset made with `None`.

    Returns:
        A dataset of `(images, labels)`: images float32 `(batch, height, width, channels)` in [0, 1], and the people as int32
        `(batch,)`, numbered in the alphabetical order of their names.

    Raises:
        ImageError: if a photo is missing or broken; it is named.
        ValueError: if an argument is out of range.
    """
    labels = number_people(paths, identities)
    if not len(labels):
        raise ValueError("`paths` must hold at least one photo. Received none")
    if batch_size < 1 or (most_per_identity is not None and most_per_identity < 1):
        raise ValueError(
            "`batch_size` and `most_per_identity` must be at least 1. "
            f"Received: {batch_size=}, {most_per_identity=}"
        )
    check_seed(seed, initial_epoch)

    def plan(epoch: int) -> list[np.ndarray]:
        order = np.random.default_rng([seed, epoch]).permutation(len(labels))
        if most_per_identity is not None:
            order = order[_rank_within(labels[order]) < most_per_identity]
        return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]

    return _labelled(
        paths, labels, plan, image_size, seed, crop, channels, augment, initial_epoch, memory_limit
    )


def plan_identity_batches(
    labels: np.ndarray, identities_per_batch: int, images_per_identity: int, seed: list[int]
) -> list[np.ndarray]:
    """Deals the photos of one epoch out; see `identity_dataset`.

    Args:
        labels: who is on each photo, `(n,)` whole numbers.
        identities_per_batch: groups a batch.
        images_per_identity: photos a group.
        seed: of the epoch.

    Returns:
        The photos' indices, int64, batch by batch; their number is the same for every seed.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    by_person = np.split(
        shuffled[np.argsort(labels[shuffled], kind="stable")], np.cumsum(np.bincount(labels))[:-1]
    )
    groups, alone = [], []
    for i in rng.permutation(len(by_person)):
        photos = by_person[i]
        whole = [photos[j : j + images_per_identity] for j in range(0, len(photos), images_per_identity)]
        groups.append([group for group in whole if len(group) > 1])
        alone += [group for group in whole if len(group) == 1]
    groups.sort(key=len, reverse=True)  # dealt in a circle, the groups of one person meet as seldom as can be
    dealt = [group for person in groups for group in person]
    n_batches = max(1, -(-len(dealt) // identities_per_batch))
    alone = [alone[i] for i in rng.permutation(len(alone))]
    batches = [np.concatenate([*dealt[i::n_batches], *alone[i::n_batches]]) for i in range(n_batches)]
    return [batches[i].astype(np.int64) for i in rng.permutation(n_batches)]


def number_people(photos: Sequence | np.ndarray, identities: Sequence[str] | np.ndarray) -> np.ndarray:
    """Numbers the people in the order of their names."""
    if len(photos) != len(identities):
        raise ValueError(
            "There must be one identity for each photo. "
            f"Received: {len(photos)} photos, {len(identities)} identities"
        )
    return np.unique(np.asarray(identities), return_inverse=True)[1].astype(np.int32)


def _rank_within(labels: np.ndarray) -> np.ndarray:
    """Counts, for each place, how often its label came before."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[order]]
    return ranks


def _labelled(
    paths: Sequence[str],
    labels: np.ndarray,
    plan: Callable[[int], list[np.ndarray]],
    image_size: tuple[int, int],
    seed: int,
    crop: tuple[int, int] | None,
    channels: int,
    augment: Augment | None,
    initial_epoch: int | None,
    memory_limit: int,
) -> tf.data.Dataset:
    """Batches of `(images, labels)`, as `plan` deals them out."""
    check_image_options(image_size, crop, channels)
    fetch = image_source(np.asarray(paths, np.str_), image_size, crop, channels, augment, memory_limit)
    with tf.device("CPU"):
        known = tf.constant(labels)

    @as_written
    def batch(epoch: tf.Tensor, order: tf.Tensor, number: tf.Tensor):
        images = finish_images(fetch(order), augment, seed, [epoch, number], (*image_size, channels))
        return images, tf.gather(known, order)

    batches = planned_batches(plan, initial_epoch, len(plan(initial_epoch or 0)))
    return batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def planned_batches(
    plan: Callable[[int], list[np.ndarray]], initial_epoch: int | None, n_batches: int
) -> tf.data.Dataset:
    """For each batch its epoch, the photos' indices as `plan(epoch)` deals them out, and its number."""

    def lengths_and_indices(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        batches = plan(int(epoch))
        return np.concatenate(batches).astype(np.int64), np.array([len(batch) for batch in batches])

    @as_written
    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order, sizes = tf.numpy_function(lengths_and_indices, [epoch], (tf.int64, tf.int64), stateful=False)
        rows = tf.RaggedTensor.from_row_lengths(
            tf.ensure_shape(order, [None]), tf.ensure_shape(sizes, [None])
        )
        batches = tf.data.Dataset.from_tensor_slices(rows).enumerate()
        return batches.map(as_written(lambda number, order: (epoch, order, number)))

    dataset = epochs_from(initial_epoch).flat_map(epoch_batches)
    if initial_epoch is None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(n_batches))
    return dataset
