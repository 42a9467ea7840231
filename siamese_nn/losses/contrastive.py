"""The contrastive loss, on distances of pairs."""

import tensorflow as tf

from .base import Loss, number
from .distances import batch_labels, precise


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class ContrastiveLoss(Loss):
    """The contrastive loss, for labels 1 = same, 0 = different (not -1); see `contrastive_loss`.

    Args:
        margin: the distance from which on different people cost nothing, above 0.
        scale: factor of the loss, above 0. 1 gives Hadsell's equation 4 without its factors 1/2, as in
            Addons; 0.5 gives the report's equation 1, which has these factors.
        name: the name of the loss.
        reduction: how the values, one per pair, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if an argument is not a finite number or is out of range.

    Example:
        >>> loss = ContrastiveLoss(margin=1.0)
        >>> same, distances = tf.constant([1.0, 0.0]), tf.constant([[0.5], [0.5]])
        >>> float(loss(same, distances))
        0.25
        >>> float(ContrastiveLoss(margin=1.0, scale=0.5)(same, distances))
        0.125
    """

    def __init__(
        self,
        margin: float = 1.0,
        scale: float = 1.0,
        name: str = "contrastive_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        self.margin = number("margin", margin, "be positive", lambda margin: margin > 0)
        self.scale = number("scale", scale, "be positive", lambda scale: scale > 0)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return contrastive_loss(y_true, y_pred, self.margin, self.scale)

    def get_config(self) -> dict:
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def contrastive_loss(
    y_true: tf.Tensor, y_pred: tf.Tensor, margin: float = 1.0, scale: float = 1.0
) -> tf.Tensor:
    """Pulls pairs of one person together and pushes pairs of two people apart, up to a margin.

    Labels are 1 = same, 0 = different; a label of -1 is wrong, but is not checked. The loss of a pair at
    distance `d` is `scale * (same * d^2 + (1 - same) * max(0, margin - d)^2)`.

    Args:
        y_true: 1 for a pair of one person, else 0, `(batch,)` or `(batch, 1)`. (The papers write 0 for one
            person.)
        y_pred: distances, at least 0, `(batch,)` or `(batch, 1)`.
        margin: the distance from which on different people cost nothing.
        scale: factor of the loss; 0.5 gives the factors 1/2 of the paper and of the report's equation 1.

    Returns:
        The loss of each pair, `(batch,)`: float64 for float64 distances, else float32.

    Reference:
        Hadsell et al., "Dimensionality Reduction by Learning an Invariant Mapping", 2006, equation 4.

    Example:
        >>> contrastive_loss(tf.constant([1.0, 0.0]), tf.constant([0.5, 0.25])).numpy()
        array([0.25  , 0.5625], dtype=float32)
    """
    distance = tf.reshape(precise(y_pred), [-1])
    same = tf.cast(batch_labels(y_true, distance), distance.dtype)
    short_of_margin = tf.maximum(margin - distance, 0)
    return scale * (same * tf.square(distance) + (1 - same) * tf.square(short_of_margin))
