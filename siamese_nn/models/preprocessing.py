"""Keras layers that prepare images for a network, inside the model, so that no caller can forget them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

_PIXEL_MEAN_BGR = (103.939, 116.779, 123.68)
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET_MODES = ("none", "caffe", "tf", "torch")


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class PhotoStandardization(tf.keras.layers.Layer):
    """Scales each photo to mean 0 and variance 1 over its pixels and channels.

    The deviation is at least 1 / sqrt(values in a photo), so that a blank photo becomes zeros.

    Call arguments:
        images: float `(batch, height, width, channels)`, in any range.

    Returns:
        A tensor of the same shape and type. Under a mixed policy build the layer with `dtype="float32"`,
        since bfloat16 has only three digits.

    Reference:
        `tf.image.per_image_standardization`, which returns the same values.

    Example:
        >>> PhotoStandardization()(tf.constant([[[[1.0], [3.0]]]])).numpy().ravel().tolist()
        [-1.0, 1.0]
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return tf.image.per_image_standardization(images)

    def compute_output_shape(self, input_shape):
        return input_shape


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class ImageNetPreprocessing(tf.keras.layers.Layer):
    """Converts grey or colour images in [0, 1] to the three channels that an ImageNet network expects.

    Args:
        mode: `"none"`, RGB in [0, 255]; `"caffe"`, BGR in [0, 255] minus the mean pixel; `"tf"`, RGB in [-1,
            1]; or `"torch"`, RGB in [0, 1] minus the mean, divided by the deviation of each channel.
        **kwargs: `name` and `dtype` of a Keras layer. Under a mixed policy give `dtype="float32"`.

    Call arguments:
        images: float `(batch, height, width, 1 or 3)`, in [0, 1].

    Returns:
        A float tensor `(batch, height, width, 3)`.

    Raises:
        ValueError: if `mode` is none of these, or the images have neither one nor three channels.

    Reference:
        `tf.keras.applications.imagenet_utils.preprocess_input`, on images in [0, 255].

    Example:
        >>> ImageNetPreprocessing("tf")(tf.ones((1, 1, 1, 1))).numpy().ravel().tolist()
        [1.0, 1.0, 1.0]
    """

    def __init__(self, mode: str, **kwargs):
        super().__init__(**kwargs)
        if mode not in IMAGENET_MODES:
            raise ValueError(f"`mode` must be one of {IMAGENET_MODES}. Received: mode={mode!r}")
        self.mode = mode

    def build(self, input_shape):
        if len(input_shape) != 4 or input_shape[-1] not in (1, 3):
            raise ValueError(
                "`images` must be (batch, height, width, 1 or 3). Received: images of shape "
                f"{tuple(input_shape)}"
            )
        super().build(input_shape)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        if images.shape[-1] == 1:
            images = tf.repeat(images, 3, axis=-1)
        if self.mode == "tf":
            return images * 2.0 - 1.0
        if self.mode == "torch":
            return (images - tf.constant(_MEAN, images.dtype)) / tf.constant(_DEVIATION, images.dtype)
        if self.mode == "caffe":
            return images[..., ::-1] * 255.0 - tf.constant(_PIXEL_MEAN_BGR, images.dtype)
        return images * 255.0

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)

    def get_config(self) -> dict:
        return {**super().get_config(), "mode": self.mode}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class MeanFace(tf.keras.layers.Layer):
    """Subtracts the training set's mean face from each image.

    Call `adapt` with the training images, then use the layer in a model. The mean face is a weight that is
    not trained, but saved and loaded with the model. A copy of only the configuration (`clone_model`) returns
    NaN until it has the weights.

    Args:
        image_shape: height, width and channels of the mean face. Leave it `None`: loading a model sets it,
            and the mean face comes with the weights.
        **kwargs: `name` and `dtype` of a Keras layer. Under a mixed policy give `dtype="float32"`, since half
            precision is too coarse for values in [0, 255].

    Call arguments:
        images: float `(batch, height, width, channels)`, in the same range as the images of `adapt`.

    Returns:
        A float tensor of the same shape.

    Raises:
        ValueError: if the layer is used before `adapt`, or on images of another shape.

    Reference:
        Parkhi et al., "Deep Face Recognition", BMVC 2015, section 4.

    Example:
        >>> mean_face = MeanFace()
        >>> mean_face.adapt(np.array([[[[0.0]]], [[[1.0]]]]))
        >>> mean_face(tf.ones((1, 1, 1, 1))).numpy().ravel().tolist()
        [0.5]
    """

    def __init__(self, image_shape: tuple[int, int, int] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.image_shape: tuple[int, ...] | None = None
        self.mean: Any = None
        if image_shape is not None:
            self._create_mean(image_shape)

    def adapt(self, images: np.ndarray | tf.Tensor | Iterable) -> None:
        """Sets the mean face to the mean of the images, and replaces an earlier one.

        Args:
            images: an array `(n, height, width, channels)`, or a `tf.data.Dataset` (any iterable
                that ends) of such batches, without labels.

        Raises:
            ValueError: if there are no images, their shapes differ, or a value is not finite.
        """
        batches = [images] if hasattr(images, "shape") else images
        total: np.ndarray | None = None
        count = 0
        for batch in batches:
            if isinstance(batch, tuple):
                raise ValueError(
                    "`images` must hold only images: use `dataset.map(lambda images, labels: images)`. "
                    f"Received: batches of {len(batch)} parts"
                )
            batch = np.asarray(batch)
            expected = batch.shape[1:] if total is None else total.shape
            if batch.ndim != 4 or batch.shape[1:] != expected:
                raise ValueError(
                    "`images` must be batches of (n, height, width, channels), all "
                    f"of one shape. Received: a batch of shape {batch.shape}"
                    + ("" if total is None else f" after images of shape {total.shape}")
                )
            batch_total = batch.sum(axis=0, dtype=np.float64)
            total = batch_total if total is None else total + batch_total
            count += len(batch)
        if total is None or not count or not np.isfinite(total).all():
            raise ValueError(
                "`images` must hold at least one image, and finite values. Received: "
                f"{count} images" + (", some values not finite" if count else "")
            )
        if self.mean is None:
            self._create_mean(total.shape)
        if tuple(total.shape) != self.image_shape:
            raise ValueError(
                "`images` must have the shape of this layer's mean face, "
                f"{self.image_shape}; make a new layer for others. Received: images of shape {total.shape}"
            )
        self.mean.assign((total / count).astype("float32"))

    def build(self, input_shape):
        if self.mean is None:
            raise ValueError(
                "`MeanFace` must see the training images before it is used: call `adapt(images)` first. "
                f"Received: images of shape {tuple(input_shape)} and no mean face"
            )
        if len(input_shape) != 4 or tuple(input_shape[1:]) != self.image_shape:
            raise ValueError(
                f"Images must have the shape of the mean face, {self.image_shape}. "
                f"Received: images of shape {tuple(input_shape)}"
            )
        super().build(input_shape)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return images - tf.cast(self.mean, images.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "image_shape": self.image_shape}

    def _create_mean(self, image_shape: tuple[int, int, int]) -> None:
        self.image_shape = tuple(int(size) for size in image_shape)
        self.mean = self.add_weight(
            name="mean",
            shape=self.image_shape,
            dtype="float32",
            initializer=tf.keras.initializers.Constant(float("nan")),
            trainable=False,
        )
