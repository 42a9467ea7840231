"""Batch normalisation as one operation."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class FusedBatchNormalization(tf.keras.layers.BatchNormalization):
    """Keras's `BatchNormalization`, with TensorFlow's fused operation for maps of features.

    It has the same arguments, weights, values and gradients. Keras 3 uses a dozen operations, each of which
    reads and writes all features; on a CPU that can take longer than the convolutions between. The
    fused operation is used for float `(batch, height, width, channels)` with `axis=-1`, both `center` and
    `scale`, and without a mask or `synchronized`; Keras's own code for everything else. A replica's empty
    batch leaves the moving averages alone.

    Reference:
        Ioffe & Szegedy, "Batch Normalization", 2015, algorithms 1 and 2.

    Example:
        >>> layer = FusedBatchNormalization(momentum=0.9)
        >>> layer(tf.ones((2, 8, 8, 3)), training=True).shape
        TensorShape([2, 8, 8, 3])
    """

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        axis = self.axis if isinstance(self.axis, int) else self.axis[0]  # Keras 2 makes it a list
        plain = self.center and self.scale and mask is None and not getattr(self, "synchronized", False)
        if not plain or len(inputs.shape) != 4 or axis not in (-1, 3):
            return super().call(inputs, training=training, mask=mask)
        weights = (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        gamma, beta, moving_mean, moving_variance = (tf.cast(weight, tf.float32) for weight in weights)
        if not training or not self.trainable:
            return self._fused(inputs, gamma, beta, moving_mean, moving_variance, is_training=False)[0]
        outputs, mean, variance = self._fused(inputs, gamma, beta, is_training=True)
        n = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
        # The operation divides the variance by n - 1; Keras divides it by n.
        variance *= tf.maximum(n - 1, 1) / tf.maximum(n, 1)
        for average, old, new in (
            (self.moving_mean, moving_mean, mean),
            (self.moving_variance, moving_variance, variance),
        ):
            average.assign(tf.where(n > 0, self.momentum * old + (1 - self.momentum) * new, old))
        return outputs

    def _fused(self, inputs: tf.Tensor, *weights: tf.Tensor, is_training: bool) -> tuple[tf.Tensor, ...]:
        return tf.compat.v1.nn.fused_batch_norm(
            inputs, *weights, epsilon=self.epsilon, is_training=is_training
        )
