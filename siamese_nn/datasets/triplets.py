"""tf.data over given triplets of photos, and Parkhi's way to choose them."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from .decoded import MEMORY_LIMIT, DecodedPhotos
from .people import number_people, planned_batches
from .photo_format import PhotoFormat
from .pipelines import Augment, as_written, check_seed, finish_images, image_source

_BLOCK = 1024  # rows of a distance matrix at a time


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
    memory_limit: int = MEMORY_LIMIT,
) -> tf.data.Dataset:
    """Batches of triplets that a function chooses for each epoch, for `models.explicit_triplets`.

    Args:
        paths: the `n` photos.
        triplets: a function that is called at the beginning of each pass with its number, from 0 on. It
            returns the triplets of the pass in their order, `(m, 3)` whole numbers: the indices of anchor,
            positive and negative in `paths`. `m` must not change. See `sample_violating_triplets`.
        batch_size: triplets per batch; the last batch of an epoch holds the rest.
        image_size: as in `pair_dataset`.
        crop: as in `pair_dataset`.
        channels: as in `pair_dataset`.
        augment: as in `pair_dataset`.
        memory_limit: as in `pair_dataset`.
        seed: the seed of `augment`.

    Returns:
        A dataset of one epoch of `((anchor, positive, negative), zeros)`: float32 images `(batch, height,
        width, channels)` in [0, 1], and zeros `(batch, 1)`, since Keras needs a target.

    Raises:
        ImageError: if a photo is missing or broken. The message names it.
        ValueError: if an argument is out of range, or the triplets of the first pass are not `(m, 3)` indices
            of `paths`. If those of a later pass are not, the iteration stops with the same message.

    Example:
        >>> paths = [f"faces/lfw2/{name}_0001.jpg" for name in ("Ada_Adler/Ada_Adler", "Ada_Conti/Ada_Conti")]
        >>> paths.append("faces/lfw2/Ada_Adler/Ada_Adler_0002.jpg")
        >>> chosen = np.array([[0, 2, 1]])  # Ada Adler, Ada Adler again, Ada Conti
        >>> (anchor, positive, negative), _ = next(iter(triplet_dataset(paths, lambda number: chosen)))
        >>> anchor.shape
        TensorShape([1, 125, 125, 1])
    """
    photos = DecodedPhotos(paths, PhotoFormat(image_size, crop, channels), memory_limit=memory_limit)
    return triplet_batches(photos, triplets, batch_size=batch_size, seed=seed, augment=augment)


def triplet_batches(
    photos: DecodedPhotos,
    triplets: Callable[[int], np.ndarray],
    *,
    batch_size: int,
    seed: int,
    augment: Augment | None = None,
) -> tf.data.Dataset:
    """Batches of triplets of photos that may be decoded already; see `triplet_dataset`."""
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
    check_seed(seed, None)
    fetch = image_source(photos, augment)

    def plan(number: int) -> list[np.ndarray]:
        chosen = np.asarray(triplets(number))
        if chosen.ndim != 2 or chosen.shape[1] != 3 or not len(chosen) or chosen.dtype.kind not in "iu":
            raise ValueError(
                "`triplets` must return whole numbers of shape (m, 3), at least one row. "
                f"Received for pass {number}: {chosen.dtype} of shape {chosen.shape}"
            )
        if chosen.min() < 0 or chosen.max() >= len(photos):
            raise ValueError(
                f"`triplets` must return indices of `paths`, from 0 to {len(photos) - 1}. "
                f"Received for pass {number}: numbers from {chosen.min()} to {chosen.max()}"
            )
        return [chosen[i : i + batch_size].ravel() for i in range(0, len(chosen), batch_size)]

    @as_written
    def batch(epoch: tf.Tensor, order: tf.Tensor, number: tf.Tensor):
        def column(i: int) -> tf.Tensor:
            images = fetch(order[i::3])
            return finish_images(images, augment, seed, [epoch, 3 * number + i], photos.photo_format)

        return (column(0), column(1), column(2)), tf.zeros((tf.size(order) // 3, 1))

    return planned_batches(plan, None, len(plan(0))).map(batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def sample_violating_triplets(
    embeddings: np.ndarray,
    identities: Sequence[str] | np.ndarray,
    *,
    margin: float,
    seed: int | Sequence[int] = 0,
) -> np.ndarray:
    """Draws an epoch's triplets as Parkhi did: with random negatives that violate the margin.

    Every photo of a person with two or more photos is an anchor once. The positive is another photo of the
    same person, at random. The negative is a photo of another person, at random among those with `|a - n|^2 <
    |a - p|^2 + margin`. If there is none, it is the nearest one, which then costs nothing.

    Args:
        embeddings: the current model's embeddings of all photos, float `(n, embedding_size)`.
        identities: the person on each photo, `n` names or numbers.
        margin: the margin of the loss, at least 0.
        seed: the seed of the draws.

    Returns:
        The triplets in random order, int64 `(m, 3)`: the indices of anchor, positive and negative. `m`
        depends only on `identities`.

    Raises:
        ValueError: if `margin` is negative, the shapes do not fit, an embedding is not finite, no person has
            two photos, or there is only one person.

    Reference:
        Parkhi et al., "Deep Face Recognition", BMVC 2015, section 4.4.

    Example:
        >>> triplets = sample_violating_triplets([[0.0], [1.0], [0.5]], ["Ada", "Ada", "Bob"], margin=0.5)
        >>> sorted(triplets.tolist())
        [[0, 1, 2], [1, 0, 2]]
    """
    if not margin >= 0:
        raise ValueError(f"`margin` must be at least 0. Received: margin={margin}")
    embeddings = np.asarray(embeddings, np.float32)
    if embeddings.ndim != 2:
        raise ValueError(
            "`embeddings` must be (n, embedding_size), a row for each photo. Received: shape "
            f"{embeddings.shape}"
        )
    labels = number_people(embeddings, identities)
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
    # The positive is the next photo in a random circle of the person's photos, and so never the anchor.
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
