"""The multi-similarity loss, on embeddings of a batch."""

import tensorflow as tf

from .base import Loss, number
from .distances import batch_labels, masked_logsumexp, nan_where_unknown, precise
from .replicas import in_whole_batch


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class MultiSimilarityLoss(Loss):
    """The multi-similarity loss, averaged over all photos as in the paper; see `multi_similarity_loss`.

    Under `tf.distribute` the photos of the whole batch are compared, whatever replica they are on.

    Args:
        alpha: how much more the less similar positives count, above 0.
        beta: how much more the more similar negatives count, above 0.
        base: the cosine that positives should exceed and negatives stay below, from -1 to 1. The paper has 1,
            its published code 0.5.
        margin: by how much a pair may be easier than the hardest of the other kind, and still counts; at
            least 0.
        name: the name of the loss.
        reduction: how the values, one per photo, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if an argument is not a finite number or is out of range.

    Example:
        >>> loss = MultiSimilarityLoss(alpha=1.0, beta=1.0, base=0.0)
        >>> embeddings = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> round(float(loss(tf.constant([0, 0, 1]), embeddings)), 4)
        1.1309
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        margin: float = 0.1,
        name: str = "multi_similarity_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        self.alpha = number("alpha", alpha, "be positive", lambda alpha: alpha > 0)
        self.beta = number("beta", beta, "be positive", lambda beta: beta > 0)
        self.base = number("base", base, "lie in [-1, 1]", lambda base: -1 <= base <= 1)
        self.margin = number("margin", margin, "be at least 0", lambda margin: margin >= 0)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return in_whole_batch(
            multi_similarity_loss, y_true, y_pred, self.alpha, self.beta, self.base, self.margin
        )

    def get_config(self) -> dict:
        own = {"alpha": self.alpha, "beta": self.beta, "base": self.base, "margin": self.margin}
        return {**super().get_config(), **own}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def multi_similarity_loss(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
    margin: float = 0.1,
) -> tf.Tensor:
    """Mines each photo's informative pairs, and weights each by its similarity and those of the others.

    With cosines `s`, the loss is `log(1 + sum_p exp(-alpha * (s_p - base))) / alpha + log(1 + sum_n exp(beta
    * (s_n - base))) / beta`, over the positives `p` less similar than the photo's most similar negative plus
    the margin, and the negatives `n` more similar than its least similar positive minus the margin. A photo
    that lacks positives or negatives, or all of whose pairs are good enough, has 0.

    Args:
        y_true: the person on each photo, as a number, `(batch,)` or `(batch, 1)`. Keras hands them to
            `MultiSimilarityLoss` in float32, which cannot tell numbers from 2**24 on apart: number the people
            from 0, as `identity_dataset` does.
        y_pred: embeddings of unit length, float `(batch, embedding_size)`.
        alpha: how much more the less similar positives count.
        beta: how much more the more similar negatives count.
        base: the cosine that positives should exceed and negatives stay below, the paper's `lambda`.
        margin: by how much a pair may be easier than the hardest of the other kind, the paper's `epsilon`.

    Returns:
        The loss of each photo, `(batch,)`: float32 for half-precision embeddings, else the embeddings' type.

    Raises:
        ValueError: if the labels have another shape.

    Reference:
        Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning", CVPR 2019:
        both steps of its loss, mining and weighting.

    Example:
        >>> embeddings = tf.constant([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
        >>> multi_similarity_loss(tf.constant([0, 0, 1]), embeddings).numpy().round(3)
        array([0.599, 0.759, 0.   ], dtype=float32)
    """
    embeddings = precise(y_pred)
    cosines = tf.matmul(embeddings, embeddings, transpose_b=True)
    labels = batch_labels(y_true, embeddings)
    same = labels[:, None] == labels[None, :]
    positive = same & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    # Beyond all cosines, so that a photo that lacks one kind has no pairs of the other kind mined.
    far = tf.constant(cosines.dtype.max, cosines.dtype)
    least_positive = tf.reduce_min(tf.where(positive, cosines, far), axis=1, keepdims=True)
    most_negative = tf.reduce_max(tf.where(same, -far, cosines), axis=1, keepdims=True)
    # Comparisons with NaN are false, but these pairs must not vanish.
    unknown = tf.math.is_nan(cosines) | tf.math.is_nan(tf.cast(labels, cosines.dtype))[:, None]
    mined_positive = positive & (unknown | (cosines - margin < most_negative))
    mined_negative = ~same & (unknown | (cosines + margin > least_positive))
    to_positives = masked_logsumexp(-alpha * (cosines - base), mined_positive)
    to_negatives = masked_logsumexp(beta * (cosines - base), mined_negative)
    losses = tf.math.softplus(to_positives) / alpha + tf.math.softplus(to_negatives) / beta
    return nan_where_unknown(losses, labels)
