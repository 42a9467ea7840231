"""Triplet losses that find their triplets in the batch: semi-hard and hard."""

import tensorflow as tf

from .base import Loss
from .distances import (
    DistanceMetric,
    batch_labels,
    nan_where_unknown,
    options_of,
    pairwise_distances,
    precise,
    serialize_metric,
)
from .replicas import in_whole_batch


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class TripletSemiHardLoss(Loss):
    """The triplet loss of FaceNet; see `triplet_semihard_loss`.

    Under `tf.distribute` the triplets are found in the whole batch, whatever replica its photos are on.

    Args:
        margin: by how much a negative must be farther than a positive, at least 0.
        distance_metric: `"L2"`, `"squared-L2"`, `"angular"`, or a function from embeddings `(batch,
            embedding_size)` to the distances `(batch, batch)`. Register the function with Keras if the model
            is to be saved. To load a model with a function that is not registered, give `load_model` the
            function in `custom_objects`, or `compile=False`.
        name: the name of the loss.
        reduction: how the values, one per photo, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if an argument is not a finite number or is out of range, or the metric is unknown.

    Example:
        >>> loss = TripletSemiHardLoss(margin=0.2, distance_metric="squared-L2")
        >>> float(loss(tf.constant([0, 0, 1]), tf.constant([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])))
        0.0
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance_metric: DistanceMetric = "L2",
        name: str = "triplet_semihard_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        self.margin, self.distance_metric = options_of(margin, distance_metric)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return in_whole_batch(triplet_semihard_loss, y_true, y_pred, self.margin, self.distance_metric)

    def get_config(self) -> dict:
        metric = serialize_metric(self.distance_metric)
        return {**super().get_config(), "margin": self.margin, "distance_metric": metric}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class TripletHardLoss(Loss):
    """The triplet loss of each anchor's farthest positive and nearest negative; see `triplet_hard_loss`.

    Under `tf.distribute` the triplets are found in the whole batch, whatever replica its photos are on.

    Args:
        margin: by how much a negative must be farther than a positive, at least 0; not used if `soft`.
        soft: `log(1 + exp(x))` instead of `max(0, x + margin)`.
        distance_metric: as in `TripletSemiHardLoss`.
        name: the name of the loss.
        reduction: how the values, one per photo, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if an argument is not a finite number or is out of range, or the metric is unknown.

    Example:
        >>> loss = TripletHardLoss(margin=0.5)
        >>> float(loss(tf.constant([0, 0, 1]), tf.constant([[0.0], [1.0], [1.0]])))
        0.8333333134651184
    """

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: DistanceMetric = "L2",
        name: str = "triplet_hard_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        if soft not in (True, False):
            raise ValueError(f"`soft` must be True or False. Received: soft={soft!r}")
        self.margin, self.distance_metric = options_of(margin, distance_metric)
        self.soft = bool(soft)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return in_whole_batch(triplet_hard_loss, y_true, y_pred, self.margin, self.soft, self.distance_metric)

    def get_config(self) -> dict:
        metric = serialize_metric(self.distance_metric)
        options = {"margin": self.margin, "soft": self.soft, "distance_metric": metric}
        return {**super().get_config(), **options}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def triplet_semihard_loss(
    y_true: tf.Tensor, y_pred: tf.Tensor, margin: float = 1.0, distance_metric: DistanceMetric = "L2"
) -> tf.Tensor:
    """FaceNet's triplet loss over all pairs of one person in the batch, each with a semi-hard negative.

    For every anchor `a` and positive `p`, the negative `n` is the nearest one that is farther from `a` than
    `p`, or else the farthest of all. A triplet's loss is `max(0, d(a, p) - d(a, n) + margin)`. The mean has
    the values and gradients of TensorFlow Addons' function of this name, which returns it as a scalar. This
    function takes time of the order of batch^2 times photos per person and memory of batch^2; Addons' takes
    batch^3 of both. Without a pair of one person the loss is 0, and Addons' is NaN.

    Args:
        y_true: the person on each photo, as a number, `(batch,)` or `(batch, 1)`. Keras hands them to
            `TripletSemiHardLoss` in float32, which cannot tell numbers from 2**24 on apart: number the people
            from 0, as `identity_dataset` does.
        y_pred: embeddings, float `(batch, embedding_size)`, of unit length in FaceNet's setting
            (`"squared-L2"`, margin 0.2).
        margin: by how much a negative must be farther than a positive.
        distance_metric: see `pairwise_distances`.

    Returns:
        The loss of each photo as an anchor, `(batch,)`: the sum over its triplets, divided by the mean number
        of triplets per photo, so that the mean over the photos is the mean over the triplets. float32 for
        half-precision embeddings too, else their type.

    Raises:
        ValueError: if the metric is unknown or the labels have another shape.

    Reference:
        Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and
        Clustering", 2015, sections 3.1 and 3.2.

    Example:
        >>> embeddings = tf.constant([[0.0], [1.0], [1.25]])
        >>> triplet_semihard_loss(tf.constant([0, 0, 1]), embeddings, margin=0.5).numpy()
        array([0.375, 1.875, 0.   ], dtype=float32)
    """
    embeddings = precise(y_pred)
    distances = pairwise_distances(embeddings, distance_metric)
    labels = batch_labels(y_true, embeddings)
    losses = _mine_semi_hard(distances, labels, tf.cast(margin, distances.dtype))
    return nan_where_unknown(losses, labels)


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def triplet_hard_loss(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    margin: float = 1.0,
    soft: bool = False,
    distance_metric: DistanceMetric = "L2",
) -> tf.Tensor:
    """The triplet loss of each anchor with its farthest positive and its nearest negative ("batch hard").

    The mean has the values and gradients of TensorFlow Addons' function of this name, which returns it as a
    scalar. A soft loss that overflows there is finite here.

    Args:
        y_true: the person on each photo, as a number, `(batch,)` or `(batch, 1)`. Keras hands them
            to `TripletHardLoss` in float32, which cannot tell numbers from 2**24 on apart: number the people
            from 0, as `identity_dataset` does.
        y_pred: embeddings, float `(batch, embedding_size)`.
        margin: by how much a negative must be farther than a positive; not used if `soft`.
        soft: `log(1 + exp(x))` instead of `max(0, x + margin)`.
        distance_metric: see `pairwise_distances`.

    Returns:
        The loss of each anchor, `(batch,)`: float32 for half-precision embeddings, else the embeddings' type.

    Raises:
        ValueError: if the metric is unknown or the labels have another shape.

    Reference:
        Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", 2017, equation 5.

    Example:
        >>> embeddings = tf.constant([[0.0], [1.0], [1.0]])
        >>> triplet_hard_loss(tf.constant([0, 0, 1]), embeddings, margin=0.5).numpy()
        array([0.5, 1.5, 0.5], dtype=float32)
    """
    embeddings = precise(y_pred)
    distances = pairwise_distances(embeddings, distance_metric)
    labels = batch_labels(y_true, embeddings)
    same = labels[:, None] == labels[None, :]
    positive = same & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    violation = _masked_max(distances, positive) + _masked_max(-distances, ~same)
    losses = tf.math.softplus(violation) if soft else tf.maximum(violation + margin, 0)
    return nan_where_unknown(losses, labels)


@tf.custom_gradient
def _masked_max(values: tf.Tensor, mask: tf.Tensor):
    """Returns the row maxima where `mask` is true; a row's minimum if it never is.

    On a GPU, XLA may compute `gaps` once for the maximum, and again with another rounding to compare them
    with it. Then none equals it, and none would have a gradient. So the index of the maximum is used, too.
    """
    least = tf.reduce_min(values, axis=1)
    gaps = (values - least[:, None]) * tf.cast(mask, values.dtype)
    widest = tf.reduce_max(gaps, axis=1)

    def gradient(upstream: tf.Tensor):
        padded = tf.pad(gaps, [[0, 0], [0, 1]], constant_values=-1)  # a batch may be empty
        place = tf.one_hot(tf.argmax(padded, axis=1), tf.shape(values)[1], True, False, dtype=tf.bool)
        to_gaps = _shared(upstream, (gaps == widest[:, None]) | place, mask)
        to_least = _shared(upstream - tf.reduce_sum(to_gaps, axis=1), values == least[:, None])
        return to_gaps + to_least, None

    return widest + least, gradient


def _shared(upstream: tf.Tensor, equal: tf.Tensor, mask: tf.Tensor | bool = True) -> tf.Tensor:
    """Shares each row's gradient among its `equal` numbers. The part of those that `mask` hides is lost."""
    count = tf.reduce_sum(tf.cast(equal, upstream.dtype), axis=1)
    return tf.where(equal & mask, tf.math.divide_no_nan(upstream, count)[:, None], 0)


@tf.custom_gradient
def _mine_semi_hard(distances: tf.Tensor, labels: tf.Tensor, margin: tf.Tensor):
    """Returns the loss of each anchor's semi-hard triplets, whose mean is the mean over all triplets.

    In the order by person, arithmetic finds the s-th next photo of the same person, in a circle. Step s of a
    loop then handles one positive of every anchor with batch x batch numbers. The loss is piecewise linear in
    the distances. So the loop also sums up its gradient, and no step is kept for a backward pass. An anchor's
    loss depends only on its own row of the distances, so that one matrix holds all gradients.
    """
    order = tf.argsort(labels, stable=True)
    same = labels[:, None] == labels[None, :]
    size = tf.maximum(tf.reduce_sum(tf.cast(same, tf.int32), axis=1), 1)  # NaN does not equal itself
    start = tf.reduce_sum(tf.cast(labels[:, None] > labels[None, :], tf.int32), axis=1)
    rows = tf.range(tf.shape(distances)[0])
    rank = tf.argsort(order) - start
    with tf.GradientTape() as tape:
        tape.watch(distances)
        farthest = _masked_max(distances, ~same)
    # An anchor's own person is not beyond any positive.
    others = tf.where(~same, distances, distances.dtype.min)
    most = tf.reduce_max(distances, axis=1)
    gaps = most[:, None] - distances  # in memory before the loop: there XLA rounds none of them again
    zeros = tf.zeros_like(most)

    def add_positive(step, totals, to_distances, to_most, to_farthest):
        index = tf.stack([rows, tf.gather(order, start + (rank + step) % size)], axis=1)
        positive = tf.gather_nd(distances, index)
        beyond = others > positive[:, None]
        found = tf.reduce_any(beyond, axis=1)
        seen = gaps * tf.cast(beyond, gaps.dtype)
        widest = tf.reduce_max(seen, axis=1)
        hinge = margin + (positive - tf.where(found, most - widest, farthest))
        slope = tf.cast((hinge >= 0) & (step < size), hinge.dtype)
        to_nearest = tf.where(found, slope, 0)
        to_gaps = _shared(to_nearest, seen == widest[:, None], beyond)
        return (
            step + 1,
            totals + tf.where(step < size, tf.maximum(hinge, 0), zeros),
            tf.tensor_scatter_nd_add(to_distances - to_gaps, index, slope),
            to_most + tf.reduce_sum(to_gaps, axis=1) - to_nearest,
            to_farthest + to_nearest - slope,
        )

    _, totals, to_distances, to_most, to_farthest = tf.while_loop(
        lambda step, *_: step < tf.reduce_max(size),
        add_positive,
        (1, zeros, tf.zeros_like(distances), zeros, zeros),
    )
    to_distances += _shared(to_most, distances == most[:, None])
    to_distances += tape.gradient(farthest, distances, to_farthest)
    n_triplets = tf.cast(tf.reduce_sum(size - 1), distances.dtype)
    to_mean = tf.math.divide_no_nan(tf.cast(tf.size(rows), distances.dtype), n_triplets)

    def gradient(upstream: tf.Tensor):
        return (to_mean * upstream)[:, None] * to_distances, None, None

    return to_mean * totals, gradient
