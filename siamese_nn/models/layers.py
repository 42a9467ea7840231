"""Keras layers that compare features."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class L1Distance(tf.keras.layers.Layer):
    """The component-wise L1 distance `|left - right|` of two feature vectors.

    Call arguments:
        inputs: two float tensors of one shape, for instance `(batch, features)`.

    Returns:
        A tensor of that shape, each component at least 0.

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015, section 3.1.
    """

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        left, right = inputs
        return tf.abs(left - right)

    def compute_output_shape(self, input_shape):
        return input_shape[0]
