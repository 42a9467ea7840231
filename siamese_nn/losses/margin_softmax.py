"""Classification with a margin between identities: three losses on `models.CosineClassifier`'s cosines."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from .base import Loss, number
from .distances import batch_labels, precise, root


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class CosFaceLoss(Loss):
    """Softmax cross-entropy with a margin subtracted from the true class's cosine; see `cosface_loss`.

    Args:
        scale: factor of the cosines, above 0.
        margin: what is subtracted from the true class's cosine, at least 0.
        name: the name of the loss.
        reduction: how the values, one per photo, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if an argument is not a finite number or is out of range.

    Example:
        >>> loss = CosFaceLoss(scale=1.0, margin=0.5)
        >>> round(float(loss(tf.constant([0]), tf.constant([[0.5, 0.0]]))), 4)
        0.6931
    """

    def __init__(
        self,
        scale: float = 64.0,
        margin: float = 0.35,
        name: str = "cosface_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        self.scale = _positive(scale)
        self.margin = number("margin", margin, "be at least 0", lambda margin: margin >= 0)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return cosface_loss(y_true, y_pred, self.scale, self.margin)

    def get_config(self) -> dict:
        return {**super().get_config(), "scale": self.scale, "margin": self.margin}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class ArcFaceLoss(Loss):
    """Softmax cross-entropy with a margin added to the true class's angle; see `arcface_loss`.

    Args:
        scale: factor of the cosines, above 0.
        margin: what is added to the true class's angle, in radians, at least 0 and below pi / 2.
        name: the name of the loss.
        reduction: how the values, one per photo, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if an argument is not a finite number or is out of range.

    Example:
        >>> loss = ArcFaceLoss(scale=1.0, margin=1.0)
        >>> round(float(loss(tf.constant([0]), tf.constant([[1.0, 0.5403]]))), 4)  # cos(1.0) is 0.5403
        0.6931
    """

    def __init__(
        self,
        scale: float = 64.0,
        margin: float = 0.5,
        name: str = "arcface_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        self.scale = _positive(scale)
        self.margin = number("margin", margin, "lie in [0, pi / 2)", lambda margin: 0 <= margin < math.pi / 2)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return arcface_loss(y_true, y_pred, self.scale, self.margin)

    def get_config(self) -> dict:
        return {**super().get_config(), "scale": self.scale, "margin": self.margin}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class SphereFaceLoss(Loss):
    """Softmax cross-entropy with the true class's angle multiplied; see `sphereface_loss`.

    Args:
        scale: factor of the cosines, above 0.
        margin: the factor of the true class's angle, a whole number, at least 1.
        name: the name of the loss.
        reduction: how the values, one per photo, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if an argument is not a finite number or is out of range.

    Example:
        >>> loss = SphereFaceLoss(scale=1.0, margin=2)
        >>> round(float(loss(tf.constant([0]), tf.constant([[0.5, -0.5]]))), 4)  # cos(2 * 60 degrees) is -0.5
        0.6931
    """

    def __init__(
        self,
        scale: float = 30.0,
        margin: float = 4,
        name: str = "sphereface_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        self.scale, self.margin = _positive(scale), _whole(margin)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return sphereface_loss(y_true, y_pred, self.scale, self.margin)

    def get_config(self) -> dict:
        return {**super().get_config(), "scale": self.scale, "margin": self.margin}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def cosface_loss(
    y_true: tf.Tensor, y_pred: tf.Tensor, scale: float = 64.0, margin: float = 0.35
) -> tf.Tensor:
    """Softmax cross-entropy of `scale * cosines`, where that of the true class is `cos(theta) - margin`.

    Args:
        y_true: the true class of each photo, a whole number in [0, n_classes), of any type, `(batch,)` or
            `(batch, 1)`.
        y_pred: cosines with each class, float `(batch, n_classes)`, as `models.CosineClassifier`
            returns them; or `(batch, groups, n_classes)`, the cosines of each group of features. Then the
            loss is the mean over the groups.
        scale: factor of the cosines.
        margin: what is subtracted from the true class's cosine.

    Returns:
        The loss of each photo, `(batch,)`: float32 for half-precision cosines, else the cosines' type.

    Reference:
        Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", 2018, equation 4.

    Example:
        >>> cosface_loss(tf.constant([0]), tf.constant([[0.5, 0.0]]), scale=1.0, margin=0.5).numpy().round(4)
        array([0.6931], dtype=float32)
    """
    return _margin_softmax(y_true, y_pred, scale, lambda cosine: cosine - margin)


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def arcface_loss(y_true: tf.Tensor, y_pred: tf.Tensor, scale: float = 64.0, margin: float = 0.5) -> tf.Tensor:
    """Softmax cross-entropy of `scale * cosines`, where that of the true class is `cos(theta + margin)`.

    Beyond `theta = pi - margin`, where this would rise again, it is `cos(theta) - margin * sin(margin)`,
    which is lower and keeps falling, as in the authors' code. Where `theta` is exactly 0 or pi, the
    derivative of the sine by the cosine is infinite, and is replaced by 0.

    Args:
        y_true: the true class of each photo, a whole number in [0, n_classes), of any type, `(batch,)` or
            `(batch, 1)`.
        y_pred: cosines with each class, float `(batch, n_classes)` or `(batch,
            groups, n_classes)`; see `cosface_loss`.
        scale: factor of the cosines.
        margin: what is added to the true class's angle, in radians, at least 0 and below pi / 2.

    Returns:
        The loss of each photo, `(batch,)`: float32 for half-precision cosines, else the cosines' type.

    Reference:
        Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019, equation 3; the
        continuation from its code, https://github.com/deepinsight/insightface (`easy_margin = False`).

    Example:
        >>> cosines = tf.constant([[1.0, 0.5403]])  # cos(1.0) is 0.5403
        >>> arcface_loss(tf.constant([0]), cosines, scale=1.0, margin=1.0).numpy().round(4)
        array([0.6931], dtype=float32)
    """

    def add_to_angle(cosine: tf.Tensor) -> tf.Tensor:
        sine = root(1 - tf.square(cosine))
        added = cosine * math.cos(margin) - sine * math.sin(margin)
        return tf.where(cosine > -math.cos(margin), added, cosine - margin * math.sin(margin))

    return _margin_softmax(y_true, y_pred, scale, add_to_angle)


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def sphereface_loss(
    y_true: tf.Tensor, y_pred: tf.Tensor, scale: float = 30.0, margin: float = 4
) -> tf.Tensor:
    """Softmax cross-entropy of `scale * cosines`, where that of the true class is `psi(theta)`.

    `psi(theta) = (-1)^k * cos(margin * theta) - 2 * k` for `theta` between `k * pi / margin` and `(k + 1) *
    pi / margin`: a cosine that is `margin` times as steep and keeps falling. The paper multiplies it by the
    embedding's length, and starts with the plain softmax. Here every embedding has the length `scale`, as in
    the authors' later work.

    Args:
        y_true: the true class of each photo, a whole number in [0, n_classes), of any type, `(batch,)` or
            `(batch, 1)`.
        y_pred: cosines with each class, float `(batch, n_classes)` or `(batch,
            groups, n_classes)`; see `cosface_loss`.
        scale: factor of the cosines.
        margin: the factor of the true class's angle, a whole number, at least 1.

    Returns:
        The loss of each photo, `(batch,)`: float32 for half-precision cosines, else the cosines' type.

    Raises:
        ValueError: if `margin` is not a whole number of at least 1.

    Reference:
        Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition", 2017, equations 6 and 7;
        the scale from Liu et al., "SphereFace Revived: Unifying Hyperspherical Face Recognition", 2022.

    Example:
        >>> cosines = tf.constant([[0.5, -0.5]])  # cos(2 * 60 degrees) is -0.5
        >>> sphereface_loss(tf.constant([0]), cosines, scale=1.0, margin=2).numpy().round(4)
        array([0.6931], dtype=float32)
    """
    margin = _whole(margin)

    def multiply_angle(cosine: tf.Tensor) -> tf.Tensor:
        # cos(n * theta) is Chebyshev's polynomial in cos(theta). Its derivatives are finite, unlike those of
        # arccos.
        previous, multiplied = tf.ones_like(cosine), cosine
        for _ in range(margin - 1):
            previous, multiplied = multiplied, 2 * cosine * multiplied - previous
        k = tf.zeros_like(cosine)
        for i in range(1, margin):
            k += tf.cast(cosine <= math.cos(i * math.pi / margin), cosine.dtype)
        return (1 - 2 * (k % 2)) * multiplied - 2 * k

    return _margin_softmax(y_true, y_pred, scale, multiply_angle)


def _margin_softmax(
    y_true: tf.Tensor, y_pred: tf.Tensor, scale: float, with_margin: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    cosines = precise(y_pred)
    labels = _classes(batch_labels(y_true, cosines), cosines.shape[-1])
    if cosines.shape.rank == 3:
        groups, n_classes = cosines.shape[1:]
        cosines = tf.reshape(cosines, [-1, n_classes])
        each = _margin_softmax(tf.repeat(labels, groups), cosines, scale, with_margin)
        return tf.reduce_mean(tf.reshape(each, [-1, groups]), axis=1)
    # Not `tf.gather`: TensorFlow 2.15 cannot compute its gradient for an empty batch.
    true_cosine = tf.gather_nd(cosines, tf.stack([tf.range(tf.size(labels)), labels], axis=1))
    is_true = tf.one_hot(labels, tf.shape(cosines)[1], on_value=True, off_value=False)
    logits = scale * tf.where(is_true, with_margin(true_cosine)[:, None], cosines)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _classes(labels: tf.Tensor, n_classes: int | None) -> tf.Tensor:
    """Returns labels as whole numbers.

    Raises:
        ValueError: outside a graph, if a label is not a class. (In a graph TensorFlow raises its own error,
            or the loss is NaN.)
    """
    classes = tf.cast(labels, tf.int32)
    if labels.dtype.is_floating:
        # A label that is not whole becomes -1, which is no class.
        classes = tf.where(tf.cast(classes, labels.dtype) == labels, classes, -tf.ones_like(classes))
    if n_classes is not None and tf.executing_eagerly():
        wrong = np.flatnonzero((classes < 0) | (classes >= n_classes))
        if wrong.size:
            raise ValueError(
                f"`y_true` must hold whole numbers from 0 to {n_classes - 1}, the classes of `y_pred`. "
                f"Received: {labels[wrong[0]].numpy()} in row {wrong[0]}"
            )
    return classes


def _positive(scale: float) -> float:
    return number("scale", scale, "be positive", lambda scale: scale > 0)


def _whole(margin: float) -> int:
    rule = "be a whole number of at least 1"
    return int(number("margin", margin, rule, lambda margin: margin >= 1 and margin == int(margin)))
