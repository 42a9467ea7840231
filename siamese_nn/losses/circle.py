"""The circle loss, on embeddings of a batch."""

import tensorflow as tf

from .base import Loss, number
from .distances import batch_labels, masked_logsumexp, nan_where_unknown, precise
from .replicas import in_whole_batch


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class CircleLoss(Loss):
    """The circle loss, averaged over the photos that have a loss; see `circle_loss`.

    A photo has no loss if it lacks positives or negatives, or if their distances are good enough. Such photos
    are left out of the mean. `keras.losses.Circle` of Keras 3 does the same and has the same values, but
    other gradients: they also pass through the weights, and can be NaN if a photo has no loss.

    Under `tf.distribute` the photos of the whole batch are compared, whatever replica they are on.

    Args:
        gamma: factor of the similarities in the exponent, above 0.
        margin: the relaxation `m`, at least 0 and below 1: positives are pulled to a distance below `m`, and
            negatives are pushed beyond `1 - m`.
        name: the name of the loss.
        reduction: how the values, one per photo, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if an argument is not a finite number or is out of range.

    Example:
        >>> loss = CircleLoss(gamma=1.0, margin=0.0)
        >>> embeddings = tf.constant([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(float(loss(tf.constant([0, 0, 1]), embeddings)), 4)
        0.6931
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        name: str = "circle_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        self.gamma = number("gamma", gamma, "be positive", lambda gamma: gamma > 0)
        self.margin = number("margin", margin, "lie in [0, 1)", lambda margin: 0 <= margin < 1)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return in_whole_batch(self._of_those_that_count, y_true, y_pred)

    def _of_those_that_count(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        losses = circle_loss(y_true, y_pred, self.gamma, self.margin)
        counts = tf.cast(losses > 0, losses.dtype)
        # So the mean over all photos, which Keras takes next, is the mean over the photos with a loss.
        return losses * tf.math.divide_no_nan(tf.cast(tf.size(losses), losses.dtype), tf.reduce_sum(counts))

    def get_config(self) -> dict:
        return {**super().get_config(), "gamma": self.gamma, "margin": self.margin}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def circle_loss(y_true: tf.Tensor, y_pred: tf.Tensor, gamma: float = 80.0, margin: float = 0.4) -> tf.Tensor:
    """Pulls photos of one person together and pushes those of two apart, more so the more wrong they are.

    With `d` = 1 - cosine, the loss is `softplus(logsumexp_p(gamma * (m + d_p) * (d_p - m)) +
    logsumexp_n(gamma * max(0, 1 + m - d_n) * (1 - m - d_n)))` for a photo with positives `p` and negatives
    `n`, and 0 for a photo that lacks either. The weights, `m + d_p` and `max(0, 1 + m - d_n)`, have no
    gradient, as in the paper: they only decide how fast a similarity learns. (In `keras.losses.Circle` they
    have one. It returns the same values, but other gradients.)

    Args:
        y_true: the person on each photo, as a number, `(batch,)` or `(batch, 1)`. Keras hands
            them to `CircleLoss` in float32, which cannot tell numbers from 2**24 on apart: number the people
            from 0, as `identity_dataset` does.
        y_pred: embeddings of unit length, float `(batch, embedding_size)`.
        gamma: factor of the similarities in the exponent.
        margin: the relaxation `m`.

    Returns:
        The loss of each photo, `(batch,)`: float32 for half-precision embeddings, else the embeddings' type.

    Raises:
        ValueError: if the labels have another shape.

    Reference:
        Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", 2020, equations 4 to
        6 and 8.

    Example:
        >>> embeddings = tf.constant([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> circle_loss(tf.constant([0, 0, 1]), embeddings, gamma=1.0, margin=0.0).numpy().round(4)
        array([0.6931, 0.6931, 0.    ], dtype=float32)
    """
    embeddings = precise(y_pred)
    distances = tf.maximum(1 - tf.matmul(embeddings, embeddings, transpose_b=True), 0)
    labels = batch_labels(y_true, embeddings)
    same = labels[:, None] == labels[None, :]
    positive = same & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    # The distance from the optimum weights a similarity, but has no gradient itself.
    positive_weights = tf.stop_gradient(margin + distances)
    negative_weights = tf.stop_gradient(tf.maximum(1 + margin - distances, 0))
    to_positives = gamma * positive_weights * (distances - margin)
    to_negatives = gamma * negative_weights * (1 - margin - distances)
    losses = tf.math.softplus(
        masked_logsumexp(to_positives, positive) + masked_logsumexp(to_negatives, ~same)
    )
    return nan_where_unknown(losses, labels)
