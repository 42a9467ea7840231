"""The small face network: trained from a few thousand photos, in minutes, on a laptop.

Example:
    >>> top, bottom, left, right, pool = FACE_PATCHES["eyes"]
    >>> bottom - top, right - left
    (48, 96)
"""

import tensorflow as tf

from .layers import UnitLength
from .normalization import FusedBatchNormalization
from .patches import PhotoPatches, over_photos
from .preprocessing import PhotoStandardization

_SMALLEST = (8, 8)  # the strided convolution and two poolings leave one pixel of eight
SMALLEST_OF_PATCHES = (48, 42)
FACE_PATCHES = {
    "face": (32, 160, 28, 140, 2),
    "eyes": (59, 107, 36, 132, 1),
    "mouth": (103, 159, 48, 120, 1),
}
"""Each patch's first and last row and column of 192 x 168, and how many pixels are pooled into one."""


def face_cnn(
    input_shape: tuple[int, int, int] = (64, 56, 1),
    *,
    embedding_size: int = 128,
    drop_rate: float = 0.4,
) -> tf.keras.Model:
    """Five convolutions with batch normalisation, then a linear embedding: 1.79 million weights.

    Each photo is standardised inside the model. Then 32 filters 5 x 5 with stride 2, 64 filters 3 x 3,
    pooling, 96 and 128 filters, pooling, 192 filters; drop-out; a dense layer and its batch normalisation.
    Moving averages use momentum 0.9, since 0.99 is too slow for about 40 steps per epoch.

    Args:
        input_shape: height, width and channels of the images, each side at least 8 pixels.
            The recipe's is a close face crop, grey, 64 x 56.
        embedding_size: size of the feature vector, at least 1.
        drop_rate: share of the convolutions' features that training drops, in [0, 1).

    Returns:
        An uncompiled model from `(batch, height, width, channels)`, in [0, 1], to `(batch,
        embedding_size)`, of ANY length: `cosine_embedding`, `triplet_embedding` and the margin-softmax heads
        scale it to unit length.

    Raises:
        ValueError: if an argument is out of range.

    Reference:
        The library's own; normalisation after Ioffe & Szegedy, "Batch Normalization", 2015.

    Example:
        >>> model = face_cnn()
        >>> model.output_shape, model.count_params()
        ((None, 128), 1785120)
    """
    require_size(input_shape)
    _check(embedding_size, drop_rate)
    image = tf.keras.Input(input_shape, name="image")
    return tf.keras.Model(image, _features(image, embedding_size, drop_rate), name="face_cnn")


def face_patches(
    input_shape: tuple[int, int, int] = (192, 168, 1),
    *,
    embedding_size: int = 128,
    drop_rate: float = 0.4,
) -> tf.keras.Model:
    """A `face_cnn` for each of three patches of the photo, the face, the eyes and the mouth, side by side.

    The face has half of the resolution, eyes and mouth have all of it. For training, give `classifier` as
    many `groups` as there are patches, so that each network has its own head. With a common head, each
    network would leave to the others what it can learn. A recipe's training changes each patch on its own: it
    begins at the patches, see `PhotoPatches`.

    Args:
        input_shape: height, width and channels of the images, at least 48 x 42 pixels. The recipe's is the
            middle of LFW-a's photos, grey, 192 x 168; in other sizes the patches cover the same parts.
        embedding_size: size of each patch's feature vector, at least 1.
        drop_rate: share of the convolutions' features that training drops, in [0, 1).

    Returns:
        An uncompiled model from `(batch, height, width, channels)`, in [0, 1], to float32 `(batch,
        len(FACE_PATCHES) * embedding_size)`, the patches' vectors side by side, each of unit length.

    Raises:
        ValueError: if an argument is out of range.

    Reference:
        Sun, Wang and Tang, "Deep Learning Face Representation from Predicting 10,000 Classes", 2014 (networks
        over patches, and one model of all their features).

    Example:
        >>> model = face_patches((48, 42, 1), embedding_size=32)
        >>> model.output_shape  # three patches
        (None, 96)
    """
    require_size(input_shape, SMALLEST_OF_PATCHES)
    _check(embedding_size, drop_rate)
    down, across = input_shape[0] / 192, input_shape[1] / 168
    places = [
        (round(top * down), round(bottom * down), round(left * across), round(right * across), pool)
        for top, bottom, left, right, pool in FACE_PATCHES.values()
    ]
    patches = PhotoPatches(input_shape, places, dtype="float32")
    vectors = tf.keras.Input((sum(patches.sizes),), name="patches")
    parts = [
        UnitLength(dtype="float32")(_features(patch, embedding_size, drop_rate)) for patch in patches(vectors)
    ]
    embedding = tf.keras.layers.Concatenate(dtype="float32", name="embedding")(parts)
    return over_photos(tf.keras.Model(vectors, embedding, name="face_patches"), patches)


def require_size(input_shape: tuple[int, int, int], smallest: tuple[int, int] = _SMALLEST) -> None:
    """Raises `ValueError` unless this is the shape of a large enough image."""
    sides, channels = input_shape[:2], input_shape[2:]
    if (
        None in input_shape
        or len(channels) != 1
        or channels[0] < 1
        or any(side < least for side, least in zip(sides, smallest, strict=True))
    ):
        raise ValueError(
            "`input_shape` must be (height, width, channels), of at least "
            f"{smallest[0]} x {smallest[1]} pixels. Received: input_shape={tuple(input_shape)}"
        )


def _check(embedding_size: int, drop_rate: float) -> None:
    if embedding_size < 1:
        raise ValueError(f"`embedding_size` must be at least 1. Received: embedding_size={embedding_size}")
    if not 0 <= drop_rate < 1:
        raise ValueError(f"`drop_rate` must lie in [0, 1). Received: drop_rate={drop_rate}")


def _features(image: tf.Tensor, embedding_size: int, drop_rate: float) -> tf.Tensor:
    features = PhotoStandardization(dtype="float32")(image)
    features = _convolution(features, 32, size=5, strides=2)
    features = _convolution(features, 64)
    features = tf.keras.layers.MaxPooling2D()(features)
    features = _convolution(features, 96)
    features = _convolution(features, 128)
    features = tf.keras.layers.MaxPooling2D()(features)
    features = _convolution(features, 192)
    features = tf.keras.layers.Dropout(drop_rate)(tf.keras.layers.Flatten()(features))
    features = tf.keras.layers.Dense(embedding_size, use_bias=False)(features)
    return FusedBatchNormalization(momentum=0.9)(features)


def _convolution(features: tf.Tensor, filters: int, *, size: int = 3, strides: int = 1) -> tf.Tensor:
    features = tf.keras.layers.Conv2D(
        filters, size, strides, "same", use_bias=False, kernel_initializer="he_normal"
    )(features)
    features = FusedBatchNormalization(momentum=0.9)(features)
    return tf.keras.layers.ReLU()(features)
