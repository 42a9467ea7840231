"""The triplet loss of given triplets."""

import tensorflow as tf

from .base import Loss, number
from .distances import precise


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class TripletLoss(Loss):
    """The triplet loss of anchor, positive and negative embeddings side by side; see `triplet_loss`.

    Args:
        margin: by how much the negative's squared distance must be longer than the positive's, at least 0.
        name: the name of the loss.
        reduction: how the values, one per triplet, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if `margin` is not a finite number, or is negative.

    Example:
        >>> loss = TripletLoss(margin=0.5)
        >>> anchor, positive, negative = [0.0, 0.0], [1.0, 0.0], [0.5, 1.0]
        >>> float(loss(tf.zeros(1), tf.constant([[*anchor, *positive, *negative]])))
        0.25
    """

    def __init__(
        self,
        margin: float = 0.5,
        name: str = "triplet_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        self.margin = number("margin", margin, "be at least 0", lambda margin: margin >= 0)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return triplet_loss(y_true, y_pred, self.margin)

    def get_config(self) -> dict:
        return {**super().get_config(), "margin": self.margin}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def triplet_loss(y_true: tf.Tensor, y_pred: tf.Tensor, margin: float = 0.5) -> tf.Tensor:
    """Pulls each anchor nearer to its positive than to its negative, by a margin in squared distance.

    The loss is `max(0, |a - p|^2 - |a - n|^2 + margin)`.

    Args:
        y_true: unused, of any shape; Keras needs one value per triplet, for instance 0.
        y_pred: the embeddings of anchor, positive and negative side by side, float `(batch, 3 *
            embedding_size)`.
        margin: by how much the negative's squared distance must be longer than the positive's.

    Returns:
        The loss of each triplet, `(batch,)`: float32 for half-precision embeddings, else the embeddings'
        type.

    Raises:
        ValueError: if the last dimension is not a multiple of 3.

    Reference:
        Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015, equation 3.

    Example:
        >>> anchor, positive, negative = [0.0, 0.0], [1.0, 0.0], [0.5, 1.0]
        >>> triplet_loss(tf.zeros(1), tf.constant([[*anchor, *positive, *negative]]), margin=0.5).numpy()
        array([0.25], dtype=float32)
    """
    embeddings = precise(y_pred)
    if embeddings.shape[-1] is not None and embeddings.shape[-1] % 3:
        raise ValueError(
            "`y_pred` must hold anchor, positive and negative embeddings of one size side by side, "
            f"(batch, 3 * embedding_size). Received: shape {tuple(embeddings.shape)}"
        )
    anchor, positive, negative = tf.split(embeddings, 3, axis=-1)
    to_positive = tf.reduce_sum(tf.square(anchor - positive), axis=-1)
    to_negative = tf.reduce_sum(tf.square(anchor - negative), axis=-1)
    return tf.maximum(to_positive - to_negative + margin, 0)
