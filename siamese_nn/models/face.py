"""The small face network: trained from a few thousand photos, in minutes, on a laptop."""

import tensorflow as tf

from .normalization import FusedBatchNormalization
from .preprocessing import PhotoStandardization

_SMALLEST = 8  # the strided convolution and two poolings leave one pixel of eight


def face_cnn(
    input_shape: tuple[int, int, int] = (64, 56, 1),
    *,
    embedding_size: int = 128,
    drop_rate: float = 0.4,
) -> tf.keras.Model:
    """Five convolutions with batch normalisation, then a linear embedding: 1.79 million weights.

    Each photo is standardised inside the model. Then 32 filters 5 x 5 with stride 2, 64 filters 3 x 3, pooling, 96 and
    128 filters, pooling, 192 filters; drop-out; a dense layer and its batch normalisation. Moving averages follow with
    momentum 0.9, since 0.99 is too slow for some 40 steps an epoch.

    Args:
        input_shape: height, width and channels of the images, each side at least 8 pixels. The recipe's is a close face
            crop, grey, 64 x 56.
        embedding_size: size of the feature vector, at least 1.
        drop_rate: share of the convolutions' features that is dropped in training, in [0, 1).

    Returns:
        An uncompiled model from `(batch, height, width, channels)`, in [0, 1], to `(batch, embedding_size)`, of ANY
        length: `cosine_embedding`, `triplet_embedding` and the margin-softmax heads bring it to unit length.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> model = face_cnn()
        >>> model.output_shape, model.count_params()
        ((None, 128), 1785120)

    Reference:
        The library's own; normalisation after Ioffe & Szegedy, "Batch Normalization", 2015.
    """
    sides, channels = input_shape[:2], input_shape[2:]
    if None in input_shape or len(channels) != 1 or min(sides) < _SMALLEST or channels[0] < 1:
        raise ValueError(
            f"`input_shape` must be (height, width, channels) with sides of at least {_SMALLEST} pixels. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    if embedding_size < 1:
        raise ValueError(f"`embedding_size` must be at least 1. Received: embedding_size={embedding_size}")
    if not 0 <= drop_rate < 1:
        raise ValueError(f"`drop_rate` must lie in [0, 1). Received: drop_rate={drop_rate}")

    image = tf.keras.Input(input_shape, name="image")
    features = PhotoStandardization(dtype="float32", name="standardization")(image)
    features = _convolution(features, 32, size=5, strides=2)
    features = _convolution(features, 64)
    features = tf.keras.layers.MaxPooling2D()(features)
    features = _convolution(features, 96)
    features = _convolution(features, 128)
    features = tf.keras.layers.MaxPooling2D()(features)
    features = _convolution(features, 192)
    features = tf.keras.layers.Dropout(drop_rate)(tf.keras.layers.Flatten()(features))
    features = tf.keras.layers.Dense(embedding_size, use_bias=False)(features)
    features = tf.keras.layers.BatchNormalization(momentum=0.9, name="embedding")(features)
    return tf.keras.Model(image, features, name="face_cnn")


def _convolution(features: tf.Tensor, filters: int, *, size: int = 3, strides: int = 1) -> tf.Tensor:
    features = tf.keras.layers.Conv2D(
        filters, size, strides, "same", use_bias=False, kernel_initializer="he_normal"
    )(features)
    features = FusedBatchNormalization(momentum=0.9)(features)
    return tf.keras.layers.ReLU()(features)
