"""Finishes a trained embedding: averages over the mirrored photo, and adds a linear back-end."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class MirrorImage(tf.keras.layers.Layer):
    """Mirrors each photo horizontally.

    Call arguments:
        images: a tensor `(batch, height, width, channels)`.

    Returns:
        A tensor of the same shape and type.

    Example:
        >>> MirrorImage()(tf.constant([[[[1.0], [2.0]]]])).numpy().ravel().tolist()
        [2.0, 1.0]
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reverse(images, axis=[2])

    def compute_output_shape(self, input_shape):
        return input_shape


def mirror_averaged(embedding: tf.keras.Model, groups: int = 1) -> tf.keras.Model:
    """Averages the unit embeddings of a photo and of its mirror image; the weights are shared.

    Args:
        embedding: a model from one image to one vector; see `embedding_model`.
        groups: the number of equal groups of an embedding's components, such as one for each patch of
            `face_patches`. Each group is averaged on its own, and all have one length.

    Returns:
        An uncompiled model with the same input. Its embeddings are float32 `(batch, embedding_size)` of unit
        length.

    Reference:
        Parkhi et al., "Deep Face Recognition", 2015, section 5 (averaging over flips).

    Example:
        >>> from siamese_nn.models import face_cnn
        >>> mirror_averaged(face_cnn()).output_shape
        (None, 128)
    """
    image = tf.keras.Input(embedding.input_shape[1:], name="image")
    both = [_unit(embedding(image)), _unit(embedding(MirrorImage(name="mirror")(image)))]
    total = tf.keras.layers.Add(dtype="float32", name="sum")(both)
    if groups > 1:
        parts = tf.keras.layers.Reshape((groups, -1), dtype="float32", name="groups")(total)
        total = tf.keras.layers.Flatten(dtype="float32")(_unit(parts))
    return tf.keras.Model(image, _unit(total), name="mirror_averaged")


def projected(embedding: tf.keras.Model, bias: np.ndarray, matrix: np.ndarray) -> tf.keras.Model:
    """Projects embeddings and scales them to unit length, so that their cosine becomes another score.

    Args:
        embedding: a model from one image to one vector `(d,)`, which is first scaled to unit length.
        bias: the bias, `(k,)`, as `evaluation.Plda.projection` returns it.
        matrix: the matrix, `(d, k)`, as `evaluation.Plda.projection` returns it.

    Returns:
        An uncompiled model with the same input. Its embeddings are float32 `(batch, k)` of unit length.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> from siamese_nn import evaluation, models
        >>> plda = evaluation.Plda(np.zeros(128), np.eye(128), between=np.r_[np.ones(100), np.zeros(28)])
        >>> projected(models.face_cnn(), *plda.projection()).output_shape
        (None, 101)
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


def side_by_side(embeddings: Sequence[tf.keras.Model]) -> tf.keras.Model:
    """Puts the embeddings of several models of the same image side by side.

    Args:
        embeddings: models from one image to one vector, float32, all of one input shape.

    Returns:
        An uncompiled model with the same input, to float32 `(batch, sum of their sizes)`.

    Example:
        >>> from siamese_nn.models import face_cnn
        >>> side_by_side([face_cnn(), face_cnn(embedding_size=22)]).output_shape
        (None, 150)
    """
    image = tf.keras.Input(embeddings[0].input_shape[1:], name="image")
    named = [  # a model may not hold two of one name
        tf.keras.Model(embedding.inputs, embedding.outputs[0], name=f"source_{number}")
        for number, embedding in enumerate(embeddings)
    ]
    vectors = [embedding(image) for embedding in named]
    return tf.keras.Model(image, tf.keras.layers.Concatenate(dtype="float32")(vectors), name="side_by_side")


def _unit(features: tf.Tensor) -> tf.Tensor:
    return tf.keras.layers.UnitNormalization(dtype="float32")(features)
