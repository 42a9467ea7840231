"""The cosine embedding loss, on cosine similarities of pairs."""

import tensorflow as tf

from .base import Loss, number
from .distances import batch_labels, precise


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class CosineEmbeddingLoss(Loss):
    """The cosine embedding loss, for labels 1 = same, 0 = different (not -1); see `cosine_embedding_loss`.

    Args:
        margin: the cosine below which different people cost nothing, from -1 to 1; PyTorch suggests 0 to 0.5.
        name: the name of the loss.
        reduction: how the values, one per pair, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if `margin` is not a finite number, or is out of range.

    Example:
        >>> loss = CosineEmbeddingLoss(margin=0.25)
        >>> float(loss(tf.constant([1.0, 0.0]), tf.constant([[0.5], [0.5]])))
        0.375
    """

    def __init__(
        self,
        margin: float = 0.0,
        name: str = "cosine_embedding_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        self.margin = number("margin", margin, "lie in [-1, 1]", lambda margin: -1 <= margin <= 1)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return cosine_embedding_loss(y_true, y_pred, self.margin)

    def get_config(self) -> dict:
        return {**super().get_config(), "margin": self.margin}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def cosine_embedding_loss(y_true: tf.Tensor, y_pred: tf.Tensor, margin: float = 0.0) -> tf.Tensor:
    """Turns embeddings of one person into one direction, and those of two people apart, up to a margin.

    Labels are 1 = same, 0 = different. A label of -1, as in PyTorch's loss of this name, is wrong, but is not
    checked. The loss of a pair with cosine `c` is `same * (1 - c) + (1 - same) * max(0, c - margin)`.

    Args:
        y_true: 1 for a pair of one person, else 0, `(batch,)` or `(batch, 1)`.
        y_pred: cosines of the pairs, float in [-1, 1], `(batch,)` or `(batch, 1)`.
        margin: the cosine below which different people cost nothing.

    Returns:
        The loss of each pair, `(batch,)`: float32 for half-precision cosines, else the cosines' type.

    Reference:
        PyTorch, `torch.nn.CosineEmbeddingLoss`.

    Example:
        >>> cosine_embedding_loss(tf.constant([1.0, 0.0]), tf.constant([0.5, 0.5]), margin=0.25).numpy()
        array([0.5 , 0.25], dtype=float32)
    """
    cosine = tf.reshape(precise(y_pred), [-1])
    same = tf.cast(batch_labels(y_true, cosine), cosine.dtype)
    return same * (1 - cosine) + (1 - same) * tf.maximum(cosine - margin, 0)
