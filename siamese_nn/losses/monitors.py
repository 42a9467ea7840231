"""Metrics that show in the progress bar whether embeddings learn or collapse."""

import tensorflow as tf

from .distances import (
    DistanceMetric,
    batch_labels,
    metric_of,
    options_of,
    pairwise_distances,
    precise,
    serialize_metric,
)
from .replicas import whole_batch
from .triplet import _masked_max


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class ActiveTriplets(tf.keras.metrics.Mean):
    """The share of semi-hard triplets that have a loss above 0.

    There is one triplet for each anchor and positive, as in `triplet_semihard_loss`. Near 0 there is nothing
    left to learn. At 1, with both mean distances near 0, the embeddings have collapsed. Pairs without a
    negative in their batch are left out. The memory is of the order of batch^2. Sample weights are not used.

    Args:
        margin: the loss's margin, at least 0.
        distance_metric: the loss's metric; see `TripletSemiHardLoss`.
        name: the metric's name in the progress bar.
        dtype: the type of the result.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> active = ActiveTriplets(margin=0.5)
        >>> _ = active.update_state([0, 0, 1], tf.constant([[0.0], [1.0], [1.2]]))
        >>> float(active.result())  # 0.2 beyond the positive, and nearer than it
        1.0
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance_metric: DistanceMetric = "L2",
        name: str = "active_triplets",
        dtype: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.margin, self.distance_metric = options_of(margin, distance_metric)

    def update_state(self, y_true, y_pred, sample_weight=None):
        distances, same, positive = _pairs(y_true, y_pred, self.distance_metric)
        negative = _semi_hard_negatives(distances, ~same)
        active = tf.cast(self.margin + (distances - negative) > 0, distances.dtype)
        # A comparison with NaN is false, so diverged embeddings would seem to have nothing left to learn.
        is_nan = tf.reduce_any(tf.math.is_nan(distances))
        active = tf.where(is_nan, tf.constant(float("nan"), distances.dtype), active)
        counted = positive & tf.reduce_any(~same, axis=1, keepdims=True)
        return super().update_state(*_flat(active, counted))

    def get_config(self) -> dict:
        metric = serialize_metric(self.distance_metric)
        return {**super().get_config(), "margin": self.margin, "distance_metric": metric}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class PositiveDistance(tf.keras.metrics.Mean):
    """The mean distance of two photos of one person in a batch; 0 where there are none.

    Sample weights are not used.

    Args:
        distance_metric: the loss's metric; see `TripletSemiHardLoss`.
        name: the metric's name in the progress bar.
        dtype: the type of the result.

    Raises:
        ValueError: if the metric is unknown.

    Example:
        >>> distance = PositiveDistance()
        >>> _ = distance.update_state([0, 0, 1], tf.constant([[0.0], [1.0], [3.0]]))
        >>> float(distance.result())
        1.0
    """

    def __init__(
        self,
        distance_metric: DistanceMetric = "L2",
        name: str = "positive_distance",
        dtype: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.distance_metric = metric_of(distance_metric)

    def update_state(self, y_true, y_pred, sample_weight=None):
        distances, _, positive = _pairs(y_true, y_pred, self.distance_metric)
        return super().update_state(*_flat(distances, positive))

    def get_config(self) -> dict:
        return {**super().get_config(), "distance_metric": serialize_metric(self.distance_metric)}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class NegativeDistance(tf.keras.metrics.Mean):
    """The mean distance of the photos of two people in a batch; 0 where there are none.

    Sample weights are not used.

    Args:
        distance_metric: the loss's metric; see `TripletSemiHardLoss`.
        name: the metric's name in the progress bar.
        dtype: the type of the result.

    Raises:
        ValueError: if the metric is unknown.

    Example:
        >>> distance = NegativeDistance()
        >>> _ = distance.update_state([0, 0, 1], tf.constant([[0.0], [1.0], [3.0]]))
        >>> float(distance.result())
        2.5
    """

    def __init__(
        self,
        distance_metric: DistanceMetric = "L2",
        name: str = "negative_distance",
        dtype: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.distance_metric = metric_of(distance_metric)

    def update_state(self, y_true, y_pred, sample_weight=None):
        distances, same, _ = _pairs(y_true, y_pred, self.distance_metric)
        return super().update_state(*_flat(distances, ~same))

    def get_config(self) -> dict:
        return {**super().get_config(), "distance_metric": serialize_metric(self.distance_metric)}


def _pairs(y_true, y_pred, distance_metric: DistanceMetric) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the distances, and which are of one person, itself and not itself, each `(batch, batch)`.

    Under `tf.distribute` they are of the whole batch on every replica, so that the mean is as without.
    """
    y_true, y_pred = whole_batch(y_true, y_pred)
    embeddings = precise(y_pred)
    labels = batch_labels(y_true, embeddings)
    distances = pairwise_distances(embeddings, distance_metric)
    same = labels[:, None] == labels[None, :]
    positive = same & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    # A graph cannot refuse a label that is NaN: all distances of its photo become NaN, and count.
    unknown = tf.math.is_nan(tf.cast(labels, distances.dtype))[:, None]
    distances = tf.where(unknown, tf.constant(float("nan"), distances.dtype), distances)
    return distances, same, positive | unknown


def _flat(values: tf.Tensor, counted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns vectors of values and weights. For a matrix, Keras 3 would take the mean of each row first."""
    return tf.reshape(tf.cast(values, tf.float32), [-1]), tf.reshape(tf.cast(counted, tf.float32), [-1])


def _semi_hard_negatives(distances: tf.Tensor, is_negative: tf.Tensor) -> tf.Tensor:
    """Returns the distance of the nearest negative beyond each photo of an anchor, or of the farthest."""
    infinity = tf.constant(float("inf"), distances.dtype)
    ascending = tf.sort(tf.where(is_negative, distances, infinity), axis=1)
    # Each row has at least one infinity, that of its own photo. The minimum is for distances that are NaN.
    index = tf.minimum(tf.searchsorted(ascending, distances, side="right"), tf.shape(distances)[1] - 1)
    beyond = tf.gather(ascending, index, batch_dims=1)
    farthest = _masked_max(distances, is_negative)
    return tf.where(tf.math.is_inf(beyond), farthest[:, None], beyond)
