"""tf.data over photos of known people, for losses that need no pairs or find them in the batch."""

from collections.abc import Callable, Sequence, Sized

import numpy as np
import tensorflow as tf

from .decoded import MEMORY_LIMIT, DecodedPhotos
from .photo_format import PhotoFormat
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
    memory_limit: int = MEMORY_LIMIT,
) -> tf.data.Dataset:
    """Batches in which people occur several times, for the losses that find their triplets in the batch.

    In every epoch each person's photos are shuffled and cut into groups of `images_per_identity`. A batch
    holds `identities_per_batch` such groups, of different people if there are enough. Single photos, mostly
    those of people with one photo, are spread evenly over the batches as negatives. So every photo occurs
    once per epoch, and batches differ a little in size. FaceNet uses `images_per_identity=40`; a person with
    fewer photos comes with all of them.

    Args:
        paths: the `n` photos.
        identities: the person on each photo, `n` names.
        identities_per_batch: groups per batch, at least 1.
        images_per_identity: photos per group, at least 2.
        image_size: as in `pair_dataset`.
        crop: as in `pair_dataset`.
        channels: as in `pair_dataset`.
        augment: as in `pair_dataset`.
        memory_limit: as in `pair_dataset`.
        seed: the seed of groups, batches and `augment`. Each epoch has its own, from `(seed, epoch)`.
        initial_epoch: as in `pair_dataset`. `steps_per_epoch` is the cardinality of the dataset that is made
            with `None`.

    Returns:
        A dataset of `(images, labels)`: float32 images `(batch, height, width, channels)` in [0, 1], and the
        people as int32 `(batch,)`, numbered in the alphabetical order of their names.

    Raises:
        ImageError: if a photo is missing or broken. The message names it.
        ValueError: if an argument is out of range, or no person has two photos.

    Reference:
        Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015, section 3.2.

    Example:
        >>> from siamese_nn import datasets
        >>> people = list(datasets.photos_by_identity("faces/lfw2").items())[:8]
        >>> paths, names = zip(*[(path, name) for name, photos in people for path in photos])
        >>> batches = identity_dataset(
        ...     paths, names, identities_per_batch=4, images_per_identity=4, image_size=(64, 64))
        >>> images, labels = next(iter(batches))
        >>> images.shape, len(set(labels.numpy()))
        (TensorShape([16, 64, 64, 1]), 4)
    """
    return identity_batches(
        DecodedPhotos(paths, PhotoFormat(image_size, crop, channels), memory_limit=memory_limit),
        identities,
        identities_per_batch=identities_per_batch,
        images_per_identity=images_per_identity,
        seed=seed,
        augment=augment,
        initial_epoch=initial_epoch,
    )


def identity_batches(
    photos: DecodedPhotos,
    identities: Sequence[str],
    *,
    identities_per_batch: int,
    images_per_identity: int,
    seed: int,
    augment: Augment | None = None,
    initial_epoch: int | None = None,
) -> tf.data.Dataset:
    """Batches of photos that may be decoded already; see `identity_dataset`."""
    labels = number_people(photos, identities)
    if identities_per_batch < 1 or images_per_identity < 2:
        raise ValueError(
            "`identities_per_batch` must be at least 1 and `images_per_identity` at least 2. "
            f"Received: {identities_per_batch=}, {images_per_identity=}"
        )
    if not len(labels) or np.bincount(labels).max() < 2:
        raise ValueError(f"A person must have two photos. Received: {len(labels)} photos of as many people")
    check_seed(seed, initial_epoch)

    def plan(epoch: int) -> list[np.ndarray]:
        return plan_identity_batches(labels, identities_per_batch, images_per_identity, [seed, epoch])

    return _labelled(photos, labels, plan, seed, augment, initial_epoch)


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
    memory_limit: int = MEMORY_LIMIT,
) -> tf.data.Dataset:
    """Shuffled batches of photos and their people, for training a classifier.

    Args:
        paths: the `n` photos.
        identities: the person on each photo, `n` names.
        batch_size: photos per batch; the last batch of an epoch holds the rest.
        most_per_identity: the most photos of one person in an epoch, drawn for each epoch, so that a few
            people with hundreds of photos do not outweigh the others; `None` uses all.
        image_size: as in `pair_dataset`.
        crop: as in `pair_dataset`.
        channels: as in `pair_dataset`.
        augment: as in `pair_dataset`.
        memory_limit: as in `pair_dataset`.
        seed: the seed of draws, order and `augment`. Each epoch has its own, from `(seed, epoch)`.
        initial_epoch: as in `pair_dataset`. `steps_per_epoch` is the cardinality of the dataset that is made
            with `None`.

    Returns:
        A dataset of `(images, labels)`: float32 images `(batch, height, width, channels)` in [0, 1], and the
        people as int32 `(batch,)`, numbered in the alphabetical order of their names.

    Raises:
        ImageError: if a photo is missing or broken. The message names it.
        ValueError: if an argument is out of range.

    Example:
        >>> from siamese_nn import datasets
        >>> people = list(datasets.photos_by_identity("faces/lfw2").items())[:8]
        >>> paths, names = zip(*[(path, name) for name, photos in people for path in photos])
        >>> images, labels = next(iter(photo_dataset(paths, names, batch_size=16, image_size=(64, 64))))
        >>> images.shape, labels.shape
        (TensorShape([16, 64, 64, 1]), TensorShape([16]))
    """
    return photo_batches(
        DecodedPhotos(paths, PhotoFormat(image_size, crop, channels), memory_limit=memory_limit),
        identities,
        batch_size=batch_size,
        most_per_identity=most_per_identity,
        seed=seed,
        augment=augment,
        initial_epoch=initial_epoch,
    )


def photo_batches(
    photos: DecodedPhotos,
    identities: Sequence[str],
    *,
    batch_size: int,
    most_per_identity: int | None = None,
    seed: int,
    augment: Augment | None = None,
    initial_epoch: int | None = None,
    targets: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Batches of photos that may be decoded already; see `photo_dataset`.

    With `targets`, a row for each photo, these come in place of the people.
    """
    labels = number_people(photos, identities)
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

    return _labelled(photos, labels if targets is None else targets, plan, seed, augment, initial_epoch)


def plan_identity_batches(
    labels: np.ndarray, identities_per_batch: int, images_per_identity: int, seed: list[int]
) -> list[np.ndarray]:
    """Distributes the photos of one epoch over batches; see `identity_dataset`.

    Args:
        labels: the person on each photo, `(n,)` whole numbers.
        identities_per_batch: groups per batch.
        images_per_identity: photos per group.
        seed: the seed of the epoch.

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
    groups.sort(key=len, reverse=True)  # dealt in turn, so that one person's groups rarely meet
    dealt = [group for person in groups for group in person]
    n_batches = max(1, -(-len(dealt) // identities_per_batch))
    alone = [alone[i] for i in rng.permutation(len(alone))]
    batches = [np.concatenate([*dealt[i::n_batches], *alone[i::n_batches]]) for i in range(n_batches)]
    return [batches[i].astype(np.int64) for i in rng.permutation(n_batches)]


def number_people(photos: Sized, identities: Sequence | np.ndarray) -> np.ndarray:
    """Numbers the people in the order of their names."""
    if len(photos) != len(identities):
        raise ValueError(
            "There must be one identity for each photo. "
            f"Received: {len(photos)} photos, {len(identities)} identities"
        )
    return np.unique(np.asarray(identities), return_inverse=True)[1].astype(np.int32)


def _rank_within(labels: np.ndarray) -> np.ndarray:
    """Returns for each element how often its label occurs before it."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[order]]
    return ranks


def _labelled(
    photos: DecodedPhotos,
    labels: np.ndarray,
    plan: Callable[[int], list[np.ndarray]],
    seed: int,
    augment: Augment | None,
    initial_epoch: int | None,
) -> tf.data.Dataset:
    """Batches of `(images, labels)`, in the batches that `plan` returns."""
    fetch = image_source(photos, augment)
    with tf.device("CPU"):
        known = tf.constant(labels)

    @as_written
    def batch(epoch: tf.Tensor, order: tf.Tensor, number: tf.Tensor):
        images = finish_images(fetch(order), augment, seed, [epoch, number], photos.photo_format)
        return images, tf.gather(known, order)

    batches = planned_batches(plan, initial_epoch, len(plan(initial_epoch or 0)))
    return batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def planned_batches(
    plan: Callable[[int], list[np.ndarray]], initial_epoch: int | None, n_batches: int
) -> tf.data.Dataset:
    """A dataset with epoch, photos' indices and number of each batch that `plan(epoch)` returns."""

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
