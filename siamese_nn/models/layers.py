"""Keras layers that compare features."""

import tensorflow as tf

from ..losses.distances import root


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class L1Distance(tf.keras.layers.Layer):
    """The component-wise L1 distance `|left - right|` of two feature vectors.

    Call arguments:
        inputs: two float tensors of one shape, for instance `(batch, features)`.

    Returns:
        A tensor of the same shape; each component is at least 0.

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015, section 3.1.

    Example:
        >>> L1Distance()([tf.constant([[0.0, 1.0]]), tf.constant([[3.0, 0.5]])]).numpy()
        array([[3. , 0.5]], dtype=float32)
    """

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        left, right = inputs
        return tf.abs(left - right)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class EuclideanDistance(tf.keras.layers.Layer):
    """The euclidean distance of two feature vectors, with a zero gradient where they are equal.

    Call arguments:
        inputs: two float tensors `(batch, features)`.

    Returns:
        A float tensor `(batch, 1)`, at least 0.

    Reference:
        Hadsell et al., "Dimensionality Reduction by Learning an Invariant Mapping", 2006, equation 1.

    Example:
        >>> EuclideanDistance()([tf.constant([[0.0, 0.0]]), tf.constant([[3.0, 4.0]])]).numpy()
        array([[5.]], dtype=float32)
    """

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        left, right = inputs
        return root(tf.reduce_sum(tf.square(left - right), axis=-1, keepdims=True))

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], 1)


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class UnitLength(tf.keras.layers.UnitNormalization):
    """Keras's `UnitNormalization`, with a finite gradient for zeros even when XLA compiles it.

    Keras 3's gradient is NaN then, and on a GPU Keras 3 compiles each training step with XLA. Zeros occur,
    for instance, when batch normalisation gets a batch of one photo before it has learnt anything.

    Call arguments:
        inputs: a float tensor, for instance `(batch, features)`.

    Returns:
        A tensor of the same shape. Vectors shorter than 1e-6 stay shorter than 1.

    Example:
        >>> UnitLength()(tf.constant([[0.0, 4.0], [0.0, 0.0]])).numpy().round(6).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.math.l2_normalize(inputs, axis=self.axis)


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class Cosine(tf.keras.layers.Dot):
    """Keras's `Dot(axes=1, normalize=True)`, with a finite gradient for zeros; see `UnitLength`.

    Call arguments:
        inputs: two float tensors `(batch, features)`.

    Returns:
        A float tensor `(batch, 1)` in [-1, 1]; 0 if one side is zeros.

    Example:
        >>> left, right = tf.constant([[0.0, 4.0], [0.0, 0.0]]), tf.constant([[0.0, 2.0], [0.0, 2.0]])
        >>> Cosine(axes=1)([left, right]).numpy().round(6).tolist()
        [[1.0], [0.0]]
    """

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        return super().call([tf.math.l2_normalize(side, axis=1) for side in inputs])


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class DistanceAccuracy(tf.keras.metrics.Mean):
    """The share of pairs that a distance decides correctly: same below the threshold, else different.

    Args:
        threshold: the distance that decides; use half the margin of the contrastive loss.
        name: the name of the metric.
        dtype: the type of its state.

    Example:
        >>> metric = DistanceAccuracy(threshold=0.5)
        >>> _ = metric.update_state([[1.0], [0.0], [0.0]], [[0.1], [0.7], [0.2]])
        >>> round(float(metric.result()), 3)
        0.667
    """

    def __init__(self, threshold: float = 0.5, name: str = "accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.threshold = threshold

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None):
        y_pred = tf.convert_to_tensor(y_pred)
        called_same = tf.cast(y_pred < self.threshold, tf.float32)
        right = tf.equal(tf.reshape(tf.cast(y_true, tf.float32), tf.shape(called_same)), called_same)
        return super().update_state(tf.cast(right, tf.float32), sample_weight)

    def get_config(self) -> dict:
        return {**super().get_config(), "threshold": self.threshold}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class CosineClassifier(tf.keras.layers.Layer):
    """The cosines of embeddings with one learnt direction per class; a head for `losses.CosFaceLoss`.

    Args:
        n_classes: number of classes, at least 1.
        groups: the number of equal groups of an embedding's components, at least 1. Each group has its own
            directions, and learns as if it had its own head and its own loss.
        dtype: the type of the computation, `"float32"` under any policy, since the losses magnify the
            rounding of half precision.
        **kwargs: `name` and `trainable` of a Keras layer.

    Call arguments:
        inputs: embeddings of any length, float `(batch, embedding_size)`.

    Returns:
        Cosines in [-1, 1], `(batch, n_classes)`, or with groups `(batch, groups, n_classes)`; 0 for an
        embedding of zeros.

    Raises:
        ValueError: if `n_classes` or `groups` is below 1, or the groups do not divide the embeddings.

    Reference:
        Wang et al., "NormFace: L2 Hypersphere Embedding for Face Verification", 2017, section 3.2.

    Example:
        >>> classifier = CosineClassifier(3)
        >>> classifier(tf.ones((2, 8))).shape
        TensorShape([2, 3])
    """

    def __init__(self, n_classes: int, *, groups: int = 1, dtype: str = "float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        if n_classes < 1 or groups < 1:
            raise ValueError(
                "`n_classes` and `groups` must be at least 1. Received: "
                f"n_classes={n_classes}, groups={groups}"
            )
        self.n_classes, self.groups = n_classes, groups

    def build(self, input_shape):
        size, rest = divmod(input_shape[-1], self.groups)
        if rest:
            raise ValueError(
                "`groups` must divide the size of the embeddings. Received: "
                f"groups={self.groups}, size {input_shape[-1]}"
            )
        self.directions = [
            self.add_weight(name="directions", shape=(size, self.n_classes), initializer="glorot_normal")
            for _ in range(self.groups)
        ]
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        cosines = [
            tf.matmul(
                tf.math.l2_normalize(part, axis=1), tf.math.l2_normalize(tf.convert_to_tensor(own), axis=0)
            )
            for part, own in zip(tf.split(inputs, self.groups, axis=1), self.directions, strict=True)
        ]
        return cosines[0] if self.groups == 1 else tf.stack(cosines, axis=1)

    def compute_output_shape(self, input_shape):
        groups = () if self.groups == 1 else (self.groups,)
        return (*input_shape[:-1], *groups, self.n_classes)

    def get_config(self) -> dict:
        return {**super().get_config(), "n_classes": self.n_classes, "groups": self.groups}
