"""FaceNet's harmonic triplet loss: a new model learns embeddings that stay comparable with an old model's."""

import tensorflow as tf

from .base import Loss
from .distances import (
    DistanceMetric,
    batch_labels,
    options_of,
    precise,
    serialize_metric,
)
from .replicas import in_whole_batch
from .triplet import triplet_semihard_loss


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class HarmonicTripletLoss(Loss):
    """The semi-hard triplet loss over an old model's embeddings and a new one's; see `harmonic_triplet_loss`.

    Under `tf.distribute` the triplets are found in the whole batch, whatever replica its photos are on.

    Args:
        margin: by how much a negative must be farther than a positive, at least 0.
        distance_metric: `"L2"`, `"squared-L2"`, `"angular"`, or a function from embeddings `(2 *
            batch, embedding_size)` to the distances `(2 * batch, 2 * batch)`; see
            `TripletSemiHardLoss` on saving it.
        name: the name of the loss.
        reduction: how the values, one per photo, are combined, as in Keras: `"sum_over_batch_size"` (their
            mean), `"sum"` or `"none"`.
        dtype: the type of the computation and of the loss, as in Keras; `None` is Keras's default.

    Raises:
        ValueError: if an argument is not a finite number or is out of range, or the metric is unknown.

    Example:
        >>> loss = HarmonicTripletLoss(margin=4.0)
        >>> both = tf.constant([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])  # old and new embedding of each photo
        >>> round(float(loss(tf.constant([0, 0, 1]), both)), 4)
        2.2857
    """

    def __init__(
        self,
        margin: float = 0.2,
        distance_metric: DistanceMetric = "squared-L2",
        name: str = "harmonic_triplet_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name, reduction, dtype)
        self.margin, self.distance_metric = options_of(margin, distance_metric)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return in_whole_batch(harmonic_triplet_loss, y_true, y_pred, self.margin, self.distance_metric)

    def get_config(self) -> dict:
        metric = serialize_metric(self.distance_metric)
        return {**super().get_config(), "margin": self.margin, "distance_metric": metric}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
def harmonic_triplet_loss(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    margin: float = 0.2,
    distance_metric: DistanceMetric = "squared-L2",
) -> tf.Tensor:
    """The semi-hard triplet loss over old and new embeddings together; only the new ones learn.

    Triplets mix both kinds. So the new embeddings can be compared with each other and with the old ones, and
    a gallery need not compute the old ones again. A triplet of only old embeddings counts in the mean, but
    has no gradient.

    Args:
        y_true: the person on each photo, as a number, `(batch,)` or `(batch, 1)`. Keras hands them to
            `HarmonicTripletLoss` in float32, which cannot tell numbers from 2**24 on apart: number the people
            from 0, as `identity_dataset` does.
        y_pred: the old and the new embedding of each photo side by side, float `(batch, 2 * embedding_size)`;
            each of unit length in FaceNet's setting.
        margin: by how much a negative must be farther than a positive.
        distance_metric: see `pairwise_distances`.

    Returns:
        The loss of each photo, `(batch,)`: the mean of its old and its new embedding as anchors, so that the
        mean over the photos is the mean over the triplets. float32 for half-precision embeddings, else the
        embeddings' type.

    Raises:
        ValueError: if the last dimension is odd, on an unknown metric, or labels of another shape.

    Reference:
        Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015, appendix,
        "Harmonic Embedding".

    Example:
        >>> both = tf.constant([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])  # old and new embedding of each photo
        >>> harmonic_triplet_loss(tf.constant([0, 0, 1]), both, margin=4.0).numpy().round(4)
        array([0.8571, 4.7143, 1.2857], dtype=float32)
    """
    embeddings = precise(y_pred)
    if embeddings.shape[-1] is not None and embeddings.shape[-1] % 2:
        raise ValueError(
            "`y_pred` must hold old and new embeddings of one size side by side, "
            f"(batch, 2 * embedding_size). Received: shape {tuple(embeddings.shape)}"
        )
    old, new = tf.split(embeddings, 2, axis=-1)
    labels = batch_labels(y_true, embeddings)
    of_both = triplet_semihard_loss(
        tf.concat([labels, labels], axis=0),
        tf.concat([tf.stop_gradient(old), new], axis=0),
        margin,
        distance_metric,
    )
    return tf.reduce_mean(tf.reshape(of_both, [2, -1]), axis=0)
