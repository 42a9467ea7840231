"""Batch normalisation as one operation."""

import tensorflow as tf

from ..losses.replicas import replica_context


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class FusedBatchNormalization(tf.keras.layers.BatchNormalization):
    """Keras's `BatchNormalization`, with TensorFlow's fused operation for maps of features.

    It has the same arguments, weights, values and gradients. Keras 3 uses a dozen operations, each of which
    reads and writes all features; on a CPU that can take longer than the convolutions between. The
    fused operation is used for float `(batch, height, width, channels)` with `axis=-1`, both `center` and
    `scale`, and without a mask or `synchronized`; Keras's own code for everything else. An empty batch
    leaves the moving averages alone. Under `tf.distribute` mean and variance of features in the last axis
    are those of the whole batch, whatever replica its photos are on.

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
        plain = plain and axis in (-1, len(inputs.shape) - 1)
        context = replica_context()
        if plain and training and self.trainable and context is not None:
            return self._over_all_replicas(inputs, context)
        if not plain or len(inputs.shape) != 4:
            return super().call(inputs, training=training, mask=mask)
        weights = (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        gamma, beta, moving_mean, moving_variance = (tf.cast(weight, tf.float32) for weight in weights)
        if not training or not self.trainable:
            return self._fused(inputs, gamma, beta, moving_mean, moving_variance, is_training=False)[0]
        outputs, mean, variance = self._fused(inputs, gamma, beta, is_training=True)
        n = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
        # The operation divides the variance by n - 1; Keras divides it by n.
        self._keep(mean, variance * tf.maximum(n - 1, 1) / tf.maximum(n, 1), n)
        return outputs

    def _over_all_replicas(self, inputs: tf.Tensor, context: tf.distribute.ReplicaContext) -> tf.Tensor:
        features = tf.cast(inputs, tf.float32)
        axes = list(range(len(inputs.shape) - 1))
        n = tf.cast(tf.reduce_prod(tf.shape(features)[:-1]), tf.float32)
        own = [tf.reduce_sum(features, axes), tf.reduce_sum(tf.square(features), axes), n]
        total, squares, n = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
        mean = total / tf.maximum(n, 1)
        variance = tf.maximum(squares / tf.maximum(n, 1) - tf.square(mean), 0)
        self._keep(mean, variance, n)
        gamma, beta = (tf.cast(weight, tf.float32) for weight in (self.gamma, self.beta))
        outputs = tf.nn.batch_normalization(features, mean, variance, beta, gamma, self.epsilon)
        return tf.cast(outputs, inputs.dtype)

    def _keep(self, mean: tf.Tensor, variance: tf.Tensor, n: tf.Tensor) -> None:
        """Brings the moving averages nearer to those of a batch, unless it is empty."""
        for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.cast(average, tf.float32)
            average.assign(tf.where(n > 0, self.momentum * old + (1 - self.momentum) * new, old))

    def _fused(self, inputs: tf.Tensor, *weights: tf.Tensor, is_training: bool) -> tuple[tf.Tensor, ...]:
        return tf.compat.v1.nn.fused_batch_norm(
            inputs, *weights, epsilon=self.epsilon, is_training=is_training
        )
