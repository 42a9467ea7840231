"""tf.data over pairs. Each distinct photo is decoded once; seed and epoch decide each epoch's order."""

import logging
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from .decoded import MEMORY_LIMIT, DecodedPhotos
from .pairs import Pairs, require_pairs
from .photo_format import PhotoFormat

logger = logging.getLogger(__name__)

# The functions below have no Python control flow to translate, and translating it takes longer than an epoch.
as_written = tf.autograph.experimental.do_not_convert

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def pair_dataset(
    pairs: Pairs,
    *,
    image_size: tuple[int, int] = (125, 125),
    batch_size: int = 128,
    shuffle: bool = True,
    seed: int = 0,
    crop: tuple[int, int] | None = None,
    channels: int = 1,
    augment: Augment | None = None,
    initial_epoch: int | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> tf.data.Dataset:
    """Batches of pairs for `model.fit`.

    This function decodes each distinct photo once, into uint8, and gathers every batch from memory. One epoch
    of the 2,200 pairs of LFW's View 1 then copies 275 MB instead of decoding 4,400 photos.

    Args:
        pairs: the `n` pairs.
        image_size: height and width of the images, in pixels.
        batch_size: pairs per batch; the last batch of an epoch holds the rest.
        shuffle: whether each epoch has its own order. It depends only on `(seed, epoch)`, not on TensorFlow's
            global seed or on what ran before. The first pass over the dataset is epoch 0, the next is epoch
            1, and so on.
        seed: the seed of the orders and of `augment`, a whole number, at least 0.
        crop: height and width of the middle part of the photos to use, in pixels; `None` uses all of it.
        channels: 1 for grey, 3 for RGB.
        augment: called as `augment(images, seed)` on the left and on the right images of a batch, float32
            `(batch, height, width, channels)` in [0, 1], with an int32 seed `(2,)` for TensorFlow's stateless
            random operations. The seed differs between epochs, batches and sides. It returns the changed
            images. Use it for training only. See `Augmentation`. If it has an attribute `margin`, it gets
            images with this many more pixels on each side.
        initial_epoch: `None` for a dataset of one epoch that can be repeated. A number for an endless dataset
            that begins with that epoch: give it to `fit` with `initial_epoch` and
            `steps_per_epoch=math.ceil(len(pairs) / batch_size)`. A resumed training then gets the same
            batches as an uninterrupted one.
        memory_limit: bytes that the decoded images may take. Above it, every batch decodes its photos.

    Returns:
        A dataset of `((left, right), same)`: float32 images `(batch, height, width, channels)` in [0, 1], and
        `same`, float32 `(batch, 1)`, 1 for the same person.

    Raises:
        ImageError: if a photo is missing or broken. The message names it.
        ValueError: if there are no pairs or an argument is out of range.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTest.txt", "faces/lfw2")
        >>> (left, right), same = next(iter(pair_dataset(pairs, image_size=(64, 64), batch_size=8)))
        >>> left.shape, same.shape
        (TensorShape([8, 64, 64, 1]), TensorShape([8, 1]))
    """
    photo_format = PhotoFormat(image_size, crop, channels)
    require_pairs(pairs=pairs)
    photos = DecodedPhotos(pairs.distinct_images()[0], photo_format, memory_limit=memory_limit)
    return pair_batches(
        pairs,
        photos,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        augment=augment,
        initial_epoch=initial_epoch,
    )


def pair_batches(
    pairs: Pairs,
    photos: DecodedPhotos,
    *,
    batch_size: int,
    seed: int,
    shuffle: bool = True,
    augment: Augment | None = None,
    initial_epoch: int | tf.Variable | None = None,
    whole_batches: bool = False,
) -> tf.data.Dataset:
    """Batches of pairs of photos that may be decoded already; see `pair_dataset`.

    If `initial_epoch` is a variable, the dataset has one epoch, with the variable's number. With
    `whole_batches` the pairs of an epoch that do not fill a batch are left out.
    """
    if not len(pairs):
        raise ValueError("`pairs` must hold at least one pair. Received none")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
    current = isinstance(initial_epoch, tf.Variable)
    check_seed(seed, None if current else initial_epoch)
    paths, where = pairs.distinct_images()
    fetch = image_source(photos.of(paths), augment)
    with tf.device("CPU"):
        where, same = tf.constant(where), tf.constant(pairs.same[:, None], tf.float32)

    @as_written
    def batch(epoch: tf.Tensor, order: tf.Tensor, number: tf.Tensor):
        def side(column: int) -> tf.Tensor:
            images = fetch(tf.gather(where[:, column], order))
            return finish_images(images, augment, seed, [epoch, 2 * number + column], photos.photo_format)

        return (side(0), side(1)), tf.gather(same, order)

    @as_written
    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.range(len(pairs), dtype=tf.int64)
        if shuffle:
            order = order_of_epoch(len(pairs), seed, epoch)
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size, drop_remainder=whole_batches)
        batches = batches.enumerate()
        return batches.map(as_written(lambda number, order: (epoch, order, number)))

    dataset = (
        epochs_from(initial_epoch).flat_map(epoch_batches).map(batch, num_parallel_calls=tf.data.AUTOTUNE)
    )
    if initial_epoch is None or current:
        steps = steps_an_epoch(len(pairs), batch_size, whole_batches)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.prefetch(tf.data.AUTOTUNE)


def order_of_epoch(examples: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Returns the order in which an epoch takes its examples, int32 `(examples,)`."""
    return tf.argsort(tf.random.stateless_uniform([examples], [seed, epoch]), stable=True)


def steps_an_epoch(examples: int, batch_size: int, whole_batches: bool = False) -> int:
    """Returns the number of batches of an epoch, with or without a smaller last one."""
    return examples // batch_size if whole_batches else -(-examples // batch_size)


def check_seed(seed: int, initial_epoch: int | None) -> None:
    """Raises `ValueError` unless both are whole numbers of at least 0."""
    given = (seed, initial_epoch or 0)
    if not all(isinstance(number, (int, np.integer)) and number >= 0 for number in given):
        raise ValueError(
            f"`seed` and `initial_epoch` must be whole numbers of at least 0. Received: {seed=}, "
            f"{initial_epoch=}"
        )


def finish_images(
    images: tf.Tensor,
    augment: Augment | None,
    seed: int,
    stream: list[tf.Tensor],
    photo_format: PhotoFormat,
) -> tf.Tensor:
    """Converts uint8 images to float32 in [0, 1], and augments them by a seed for this batch and side."""
    images = tf.image.convert_image_dtype(images, tf.float32)
    margin, shape = getattr(augment, "margin", 0), photo_format.shape
    # Photos that each batch decodes have no static shape.
    images = tf.ensure_shape(images, (None, shape[0] + 2 * margin, shape[1] + 2 * margin, shape[2]))
    if augment is not None:
        own = tf.random.experimental.stateless_fold_in(tf.cast(tf.stack(stream), tf.int32), seed)
        images = augment(images, own)
    return tf.ensure_shape(images, (None, *getattr(augment, "shape", shape)))


def epochs_from(initial_epoch: int | tf.Variable | None) -> tf.data.Dataset:
    """A dataset of epoch numbers: the next at each pass, all from a number on, or a variable's number."""
    if isinstance(initial_epoch, tf.Variable):
        return tf.data.Dataset.range(1).map(as_written(lambda _: initial_epoch.read_value()))
    if initial_epoch is not None:
        return tf.data.Dataset.range(initial_epoch, tf.int64.max)
    with tf.init_scope(), tf.device("CPU"):
        passes = tf.Variable(-1, dtype=tf.int64, trainable=False)
    return tf.data.Dataset.range(1).map(as_written(lambda _: passes.assign_add(1)))


def image_source(photos: DecodedPhotos, augment: Augment | None) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from indices of `photos` to uint8 images, with the margin that `augment` needs."""
    margin = int(getattr(augment, "margin", 0))
    if margin and photos.photo_format.crop is None:  # there is nothing around a whole photo
        whole = image_source(photos, None)
        around = [[0, 0], [margin, margin], [margin, margin], [0, 0]]
        return lambda indices: tf.pad(whole(indices), around, "REFLECT")
    photos = photos.with_margin(margin)
    if photos.kept:
        images, rows, cut = photos.tensor()
        with tf.device("CPU"):
            rows = tf.constant(rows)
        middle = slice(cut, -cut or None)

        def fetch(indices: tf.Tensor) -> tf.Tensor:
            found = tf.gather(images, tf.gather(rows, indices))
            return found[:, middle, middle] if cut else found

        return fetch
    logger.warning(
        "%d images would take %.1f GiB, more than the %.1f GiB of `memory_limit`: decoding them again in "
        "every epoch",
        len(photos),
        photos.size / 2**30,
        photos.memory_limit / 2**30,
    )
    return lambda indices: tf.numpy_function(photos.__getitem__, [indices], tf.uint8, stateful=False)
