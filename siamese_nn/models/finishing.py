"""What a trained embedding becomes before its use: the mirrored photo averaged in, a linear back-end."""

import numpy as np
import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class MirrorImage(tf.keras.layers.Layer):
    """Mirrors each photo, left to right.

    Call arguments:
        images: a tensor `(batch, height, width, channels)`.

    Returns:
        A tensor of that shape and type.

    Example:
        >>> MirrorImage()(tf.constant([[[[1.0], [2.0]]]])).numpy().ravel().tolist()
        [2.0, 1.0]
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reverse(images, axis=[2])

    def compute_output_shape(self, input_shape):
        return input_shape


def mirror_averaged(embedding: tf.keras.Model) -> tf.keras.Model:
    """Averages the unit embeddings of a photo and of its mirror image; the weights are shared.

    Args:
        embedding: from one image to one vector; see `embedding_model`.

    Returns:
        An uncompiled model of the same input, whose embeddings `(batch,
        embedding_size)` are float32 and of unit length.

    Example:
        >>> from siamese_nn.models import face_cnn
        >>> mirror_averaged(face_cnn()).output_shape
        (None, 128)

    Reference:
        Parkhi et al., "Deep Face Recognition", 2015, section 5 (averaging over flips).
    """
    image = tf.keras.Input(embedding.input_shape[1:], name="image")
    both = [_unit(embedding(image)), _unit(embedding(MirrorImage(name="mirror")(image)))]
    total = tf.keras.layers.Add(dtype="float32", name="sum")(both)
    return tf.keras.Model(image, _unit(total), name="mirror_averaged")


def projected(embedding: tf.keras.Model, bias: np.ndarray, matrix: np.ndarray) -> tf.keras.Model:
    """Projects embeddings and brings them to unit length, so that their cosine is another score.

    Args:
        embedding: from one image to one vector `(d,)`; it is brought to unit length first.
        bias: `(k,)`.
        matrix: `(d, k)`; both as `evaluation.Plda.projection` returns them.

    Returns:
        An uncompiled model of the same input, whose embeddings `(batch, k)` are float32 and of unit length.

    Raises:
        ValueError: if the shapes don't fit.
    """
    size = embedding.output_shape[-1]
    if np.ndim(matrix) != 2 or len(matrix) != size or np.shape(bias) != np.shape(matrix)[1:]:
        raise ValueError(
            f"`matrix` must be ({size}, k) and `bias` (k,), for embeddings of {size} numbers. "
            f"Received: shapes {np.shape(matrix)} and {np.shape(bias)}"
        )
    image = tf.keras.Input(embedding.input_shape[1:], name="image")
    dense = tf.keras.layers.Dense(len(bias), dtype="float32", name="projection")
    outputs = _unit(dense(_unit(embedding(image))))
    dense.set_weights([matrix, bias])
    return tf.keras.Model(image, outputs, name="projected")


def _unit(features: tf.Tensor) -> tf.Tensor:
    return tf.keras.layers.UnitNormalization(dtype="float32")(features)
