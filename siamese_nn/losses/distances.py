"""Distances between all embeddings of a batch, with gradients that are finite everywhere."""

from collections.abc import Callable

import tensorflow as tf

METRICS = ("L2", "squared-L2", "angular")
DistanceMetric = str | Callable[[tf.Tensor], tf.Tensor]


def pairwise_distances(embeddings: tf.Tensor, distance_metric: DistanceMetric = "L2") -> tf.Tensor:
    """The distance of every embedding of a batch to every other.

    Args:
        embeddings: float `(batch, embedding_size)`.
        distance_metric: `"L2"`, `"squared-L2"`, `"angular"` (1 - cosine), or a function from embeddings to the
            matrix.

    Returns:
        float `(batch, batch)`. Of the named metrics at least 0, and with a zero gradient where `"L2"` or
        `"squared-L2"` is exactly zero.

    Raises:
        ValueError: on an unknown metric.
    """
    check_metric(distance_metric)
    if callable(distance_metric):
        return distance_metric(embeddings)
    if distance_metric == "angular":
        unit = tf.math.l2_normalize(embeddings, axis=1)
        return tf.maximum(1 - tf.matmul(unit, unit, transpose_b=True), 0)
    norms = tf.reduce_sum(tf.square(embeddings), axis=1)
    squared = norms[:, None] + norms[None, :] - 2 * tf.matmul(embeddings, embeddings, transpose_b=True)
    # Rounding leaves the distance to itself, and that of twins, a little off zero, on either side. NaN stays NaN.
    apart = ~(squared <= 0) & ~tf.eye(tf.shape(squared)[0], dtype=tf.bool)
    squared = tf.where(apart, squared, tf.zeros_like(squared))
    if distance_metric == "squared-L2":
        return squared
    return tf.where(apart, tf.sqrt(tf.where(apart, squared, tf.ones_like(squared))), squared)


def check_metric(distance_metric: DistanceMetric) -> None:
    """Raises `ValueError` unless `distance_metric` is a name or function that `pairwise_distances` takes."""
    if not callable(distance_metric) and distance_metric not in METRICS:
        raise ValueError(
            f"`distance_metric` must be one of {METRICS}, or a function. Received: distance_metric={distance_metric!r}"
        )


def check_options(margin: float, distance_metric: DistanceMetric) -> None:
    """Raises `ValueError` unless a triplet loss can be had with the two."""
    if not margin >= 0:
        raise ValueError(f"`margin` must be at least 0. Received: margin={margin}")
    check_metric(distance_metric)


def serialize_metric(distance_metric: DistanceMetric) -> str | dict:
    """Returns a metric as `get_config` holds it."""
    return (
        tf.keras.utils.serialize_keras_object(distance_metric)
        if callable(distance_metric)
        else distance_metric
    )


def deserialize_metric(config: dict) -> dict:
    """Returns the arguments of a loss from its config."""
    metric = config["distance_metric"]
    if metric not in METRICS:
        metric = tf.keras.utils.deserialize_keras_object(metric)
    return {**config, "distance_metric": metric}


def precise(embeddings: tf.Tensor) -> tf.Tensor:
    """Returns half-precision values in float32, others as they are."""
    embeddings = tf.convert_to_tensor(embeddings)
    return tf.cast(embeddings, tf.float32) if embeddings.dtype in (tf.float16, tf.bfloat16) else embeddings
