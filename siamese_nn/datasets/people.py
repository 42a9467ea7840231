"""tf.data over photos of known people: for losses that need no pairs, or find them in the batch."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from .images import check_image_options
from .pipelines import Augment, as_written, check_seed, epochs_from, finish_images, image_source

_BLOCK = 1024  # rows of a distance matrix at a time


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
    labels = _labels(paths, identities)
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
    labels = _labels(paths, identities)
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


def triplet_dataset(
    paths: Sequence[str],
    triplets: Callable[[int], np.ndarray],
    *,
    batch_size: int = 64,
    image_size: tuple[int, int] = (125, 125),
    seed: int = 0,
    crop: tuple[int, int] | None = None,
    channels: int = 1,
    augment: Augment | None = None,
    memory_limit: int = 4 * 2**30,
) -> tf.data.Dataset:
    """Batches of triplets that somebody else chooses, epoch by epoch, for `models.explicit_triplets`.

    Args:
        paths: the `n` photos.
        triplets: called at the beginning of every pass with its number, from 0 on; it returns the pass's triplets
            in the order in which they are to come, `(m, 3)` whole numbers: anchor, positive and negative among
            `paths`. `m` must not change. See `sample_violating_triplets`.
        batch_size: triplets a batch; the last batch of an epoch holds what is left.
        image_size, crop, channels, augment, memory_limit: as in `pair_dataset`.
        seed: of `augment`.

    Returns:
        A dataset, of one epoch, of `((anchor, positive, negative), zeros)`: images float32 `(batch, height, width, channels)` in
        [0, 1], and zeros `(batch, 1)`, since Keras wants a target.

    Raises:
        ImageError: if a photo is missing or broken; it is named.
        ValueError: if an argument is out of range, or the first pass's triplets are not `(m, 3)` indices of `paths`; if
            a later pass's are not, the iteration stops with that message.
    """
    check_image_options(image_size, crop, channels)
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
    check_seed(seed, None)
    fetch = image_source(np.asarray(paths, np.str_), image_size, crop, channels, augment, memory_limit)

    def plan(number: int) -> list[np.ndarray]:
        chosen = np.asarray(triplets(number))
        if chosen.ndim != 2 or chosen.shape[1] != 3 or not len(chosen) or chosen.dtype.kind not in "iu":
            raise ValueError(
                "`triplets` must return whole numbers of shape (m, 3), at least one row. "
                f"Received for pass {number}: {chosen.dtype} of shape {chosen.shape}"
            )
        if chosen.min() < 0 or chosen.max() >= len(paths):
            raise ValueError(
                f"`triplets` must return indices of `paths`, from 0 to {len(paths) - 1}. "
                f"Received for pass {number}: numbers from {chosen.min()} to {chosen.max()}"
            )
        return [chosen[i : i + batch_size].ravel() for i in range(0, len(chosen), batch_size)]

    @as_written
    def batch(epoch: tf.Tensor, order: tf.Tensor, number: tf.Tensor):
        def column(i: int) -> tf.Tensor:
            images = fetch(order[i::3])
            return finish_images(images, augment, seed, [epoch, 3 * number + i], (*image_size, channels))

        return (column(0), column(1), column(2)), tf.zeros((tf.size(order) // 3, 1))

    return _batches(plan, None, len(plan(0))).map(batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def sample_violating_triplets(
    embeddings: np.ndarray, identities: Sequence[str], *, margin: float, seed: int | Sequence[int] = 0
) -> np.ndarray:
    """Draws triplets for an epoch as Parkhi did: the negative at random among those that violate the margin.

    Every photo of a person with two or more is once an anchor. Its positive is another photo of that person, at
    random; its negative a photo of somebody else, at random among those for which `|a - n|^2 < |a - p|^2 + margin`, or
    the nearest one if none does, which then costs nothing.

    Args:
        embeddings: of all photos, by the model as it is now, float `(n, embedding_size)`.
        identities: who is on them, `n` names or numbers.
        margin: the loss's, at least 0.
        seed: of the draws.

    Returns:
        The triplets in random order, int64 `(m, 3)`: anchor, positive and negative among the photos. `m`
        depends on `identities` alone.

    Raises:
        ValueError: if `margin` is negative, the shapes don't fit, an embedding is not finite, nobody has two photos, or
            there is one person only.

    Example:
        >>> triplets = sample_violating_triplets([[0.0], [1.0], [0.5]], ["Ada", "Ada", "Bob"], margin=0.5)
        >>> sorted(triplets.tolist())
        [[0, 1, 2], [1, 0, 2]]

    Reference:
        Parkhi et al., "Deep Face Recognition", BMVC 2015, section 4.4.
    """
    if not margin >= 0:
        raise ValueError(f"`margin` must be at least 0. Received: margin={margin}")
    embeddings = np.asarray(embeddings, np.float32)
    if embeddings.ndim != 2:
        raise ValueError(
            f"`embeddings` must be (n, embedding_size), a row for each photo. Received: shape {embeddings.shape}"
        )
    labels = _labels(embeddings, identities)
    if not np.isfinite(embeddings).all():
        raise ValueError("`embeddings` must be finite. Received some that are not: the training diverged")
    counts = np.bincount(labels)
    anchors = np.flatnonzero(counts[labels] > 1)
    if not len(anchors) or len(counts) < 2:
        raise ValueError(
            "Triplets need a person with two photos, and another person. "
            f"Received: {len(labels)} photos of {len(counts)} people"
        )
    rng = np.random.default_rng(seed)
    anchors = rng.permutation(anchors)
    # The next photo of one's own in a random circle of the person's photos is never oneself.
    shuffled = rng.permutation(len(labels))
    grouped = shuffled[np.argsort(labels[shuffled], kind="stable")]
    first = np.cumsum(counts) - counts
    place = np.empty(len(labels), np.int64)
    place[grouped] = np.arange(len(labels)) - first[labels[grouped]]
    own = labels[anchors]
    positives = grouped[first[own] + (place[anchors] + 1) % counts[own]]
    lengths = np.square(embeddings).sum(axis=1)
    negatives = np.empty_like(anchors)
    for start in range(0, len(anchors), _BLOCK):
        rows = slice(start, start + _BLOCK)
        a = embeddings[anchors[rows]]
        to_positive = np.square(a - embeddings[positives[rows]]).sum(axis=1)
        to_all = lengths[anchors[rows], None] + lengths - 2 * a @ embeddings.T
        to_all[own[rows, None] == labels] = np.inf
        violates = to_all < to_positive[:, None] + margin
        drawn = np.where(violates, rng.random(to_all.shape, np.float32), -1).argmax(axis=1)
        negatives[rows] = np.where(violates.any(axis=1), drawn, to_all.argmin(axis=1))
    return np.stack([anchors, positives, negatives], axis=1)


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


def _labels(photos: Sequence, identities: Sequence[str]) -> np.ndarray:
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

    batches = _batches(plan, initial_epoch, len(plan(initial_epoch or 0)))
    return batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _batches(
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
