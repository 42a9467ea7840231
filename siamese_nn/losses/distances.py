"""Distances between all embeddings of a batch, with gradients that are finite everywhere."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from .base import number

METRICS = ("L2", "squared-L2", "angular")
# Used for log(0). Two of these can be added in single precision, and they have finite gradients, unlike
# infinity.
_LOG_OF_NOTHING = -1e30
DistanceMetric = str | Callable[[tf.Tensor], tf.Tensor]


def pairwise_distances(embeddings: tf.Tensor, distance_metric: DistanceMetric = "L2") -> tf.Tensor:
    """Returns the distances between all embeddings of a batch.

    Args:
        embeddings: float `(batch, embedding_size)`.
        distance_metric: `"L2"`, `"squared-L2"`, `"angular"` (1 - cosine), or a
            function from embeddings to the matrix.

    Returns:
        float `(batch, batch)`. The named metrics are at least 0, and their gradient is zero where `"L2"` or
        `"squared-L2"` is exactly zero.

    Raises:
        ValueError: if the metric is unknown, or a function's result has another shape.

    Example:
        >>> pairwise_distances(tf.constant([[0.0, 0.0], [3.0, 4.0]])).numpy()
        array([[0., 5.],
               [5., 0.]], dtype=float32)
    """
    distance_metric = metric_of(distance_metric)
    if callable(distance_metric):
        distances = tf.convert_to_tensor(distance_metric(embeddings))
        if not distances.shape.is_compatible_with([embeddings.shape[0]] * 2):
            raise ValueError(
                "`distance_metric` must return a matrix (batch, batch), the distance "
                f"of every embedding to every other. Received: shape {tuple(distances.shape)} from "
                f"embeddings of shape {tuple(embeddings.shape)}"
            )
        return distances
    if distance_metric == "angular":
        unit = tf.math.l2_normalize(embeddings, axis=1)
        return tf.maximum(1 - tf.matmul(unit, unit, transpose_b=True), 0)
    norms = tf.reduce_sum(tf.square(embeddings), axis=1)
    squared = norms[:, None] + norms[None, :] - tf.matmul(2 * embeddings, embeddings, transpose_b=True)
    # After rounding, the distance of an embedding to itself or to an equal one may be slightly above or below
    # zero. NaN stays NaN. With `~(squared <= 0)` it would not: TensorFlow's graph optimizer replaces that by
    # `squared > 0`.
    at_zero = (squared <= 0) | tf.eye(tf.shape(squared)[0], dtype=tf.bool)
    squared = tf.where(at_zero, tf.zeros_like(squared), squared)
    return squared if distance_metric == "squared-L2" else root(squared)


@tf.custom_gradient
def root(squared: tf.Tensor):
    """Returns the square root, or 0 with a zero gradient if the number is 0 or less.

    The root's slope is infinite at 0. On a GPU, XLA may compute a number once to compare it with 0, and again
    with another rounding to take its root. So the decision uses the root itself, which divides the gradient.
    """
    result = tf.sqrt(tf.maximum(squared, 0))
    return result, lambda upstream: tf.math.divide_no_nan(upstream, 2 * result)


def metric_of(distance_metric: DistanceMetric | dict) -> DistanceMetric:
    """Returns a metric that is given itself or in the form of `serialize_metric`.

    Raises:
        ValueError: if `pairwise_distances` does not take it.
    """
    if isinstance(distance_metric, dict):
        distance_metric = tf.keras.utils.deserialize_keras_object(distance_metric)
    if not callable(distance_metric) and distance_metric not in METRICS:
        raise ValueError(
            f"`distance_metric` must be one of {METRICS}, or a function. Received: "
            f"distance_metric={distance_metric!r}"
        )
    return distance_metric


def options_of(margin: float, distance_metric: DistanceMetric | dict) -> tuple[float, DistanceMetric]:
    """Returns margin and metric; raises `ValueError` if a triplet loss does not allow them."""
    metric = metric_of(distance_metric)
    return number("margin", margin, "be at least 0", lambda margin: margin >= 0), metric


def serialize_metric(distance_metric: DistanceMetric) -> str | dict:
    """Returns a metric in the form that `get_config` needs."""
    return (
        tf.keras.utils.serialize_keras_object(distance_metric)
        if callable(distance_metric)
        else distance_metric
    )


def batch_labels(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Returns the labels of a batch as a vector.

    Raises:
        ValueError: if there is not one label for each row of `y_pred`, as far as the static shapes show it;
            or if a label is NaN, outside a graph. (For a graph see `nan_where_unknown`.)
    """
    labels, batch = tf.convert_to_tensor(y_true), y_pred.shape[0]
    if not (labels.shape.is_compatible_with([batch]) or labels.shape.is_compatible_with([batch, 1])):
        raise ValueError(
            "`y_true` must hold one number for each row of `y_pred`, (batch,) or "
            "(batch, 1); for one-hot labels use `tf.argmax(y_true, axis=-1)`. Received: `y_true` of shape "
            f"{tuple(labels.shape)}, `y_pred` of shape {tuple(y_pred.shape)}"
        )
    labels = tf.reshape(labels, [-1])
    if tf.executing_eagerly() and labels.dtype.is_floating:
        unknown = np.flatnonzero(tf.math.is_nan(labels))
        if unknown.size:
            raise ValueError(
                "`y_true` must hold a number for each row of `y_pred`. Received: NaN in "
                f"{unknown.size} of {labels.shape[0]}, first in row {unknown[0]}"
            )
    return labels


def nan_where_unknown(values: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns `(batch,)` values that are NaN, with NaN gradients, where the photo's label is NaN.

    A graph cannot refuse such a label, and would treat the photo as one of another person.
    """
    labels = tf.cast(labels, values.dtype)
    return values * tf.where(tf.math.is_nan(labels), labels, tf.ones_like(labels))


def masked_logsumexp(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the log-sum-exp of each row where `mask` is true; nearly minus infinity if it never is."""
    nothing = tf.constant(_LOG_OF_NOTHING, values.dtype)
    return tf.reduce_logsumexp(tf.where(mask, values, nothing), axis=1)


def precise(values: tf.Tensor) -> tf.Tensor:
    """Returns float32 and float64 unchanged, and half precision and whole numbers as float32."""
    values = tf.convert_to_tensor(values)
    return values if values.dtype in (tf.float32, tf.float64) else tf.cast(values, tf.float32)
