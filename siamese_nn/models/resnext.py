"""ResNeXt (32x4d), whose grouped convolutions train on a CPU as well."""

import numpy as np
import tensorflow as tf

from .normalization import FusedBatchNormalization

_GROUPS = 32
_BLOCK_CHANNELS = 64  # the fastest of 32, 64, 128 and 256 on two cores, at 64 and at 224 pixels
_WEIGHTS_URL = "https://github.com/keras-team/keras-applications/releases/download/resnet/"
_WEIGHTS_MD5 = {
    "resnext50": "62527c363bdd9ec598bed41947b379fc",
    "resnext101": "0f678c91647380debd923963594981b3",
}


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class GroupedConv2D(tf.keras.layers.Layer):
    """A convolution in groups of channels, without bias: `Conv2D(groups=groups, use_bias=False)`.

    On a CPU, TensorFlow has no gradient for such a convolution, and Keras's replacement takes seconds where
    this layer takes milliseconds. For some groups at a time, it computes an ordinary convolution with zeros
    between the groups.

    The kernel is `(size, size, input channels, filters / groups)`: the weights of each input channel for the
    filters of its group, as in the published ResNeXt files. It is initialised with He's normal distribution
    for the inputs of a group.

    Args:
        filters: number of output channels, a multiple of `groups`.
        kernel_size: height and width of the kernel.
        groups: number of groups. It must divide the input channels.
        strides: stride of the convolution in both directions.
        padding: `"valid"` or `"same"`.
        **kwargs: `name` and `dtype` of a Keras layer.

    Call arguments:
        inputs: float `(batch, height, width, channels)`.

    Returns:
        A float tensor `(batch, new height, new width, filters)`.

    Raises:
        ValueError: if an argument is out of range, or `groups` does not divide `filters` or the channels.

    Reference:
        Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017, figure 3c.

    Example:
        >>> GroupedConv2D(64, 3, groups=32)(tf.zeros((1, 8, 8, 128))).shape.as_list()
        [1, 6, 6, 64]
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        *,
        groups: int,
        strides: int = 1,
        padding: str = "valid",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if min(filters, kernel_size, groups, strides) < 1 or filters % groups:
            raise ValueError(
                "`filters`, `kernel_size`, `groups` and `strides` must be at "
                f"least 1, and `filters` a multiple of `groups`. Received: filters={filters}, "
                f"kernel_size={kernel_size}, groups={groups}, strides={strides}"
            )
        if padding not in ("valid", "same"):
            raise ValueError(f"`padding` must be one of ('valid', 'same'). Received: padding={padding!r}")
        self.filters, self.kernel_size, self.groups = filters, kernel_size, groups
        self.strides, self.padding = strides, padding

    def build(self, input_shape):
        channels = input_shape[-1]
        if len(input_shape) != 4 or channels is None or channels % self.groups:
            raise ValueError(
                "The input must be (batch, height, width, channels), the channels a "
                f"multiple of {self.groups} groups. Received: an input of shape {tuple(input_shape)}"
            )
        group_inputs, group_filters = channels // self.groups, self.filters // self.groups
        # Keras counts all channels as a filter's inputs, but it has only those of its group.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, channels, group_filters),
            initializer=tf.keras.initializers.VarianceScaling(
                2.0 * self.groups, "fan_in", "truncated_normal"
            ),
            trainable=True,
        )
        wanted = max(1, _BLOCK_CHANNELS // group_inputs)
        self._groups_in_block = max(n for n in range(1, wanted + 1) if self.groups % n == 0)
        self._same_group = np.kron(np.eye(self._groups_in_block), np.ones((group_inputs, group_filters)))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        kernel = tf.cast(self.kernel, inputs.dtype)
        same_group = tf.constant(self._same_group, inputs.dtype)
        n_blocks = self.groups // self._groups_in_block
        outputs = [
            tf.nn.conv2d(
                block,
                tf.tile(block_kernel, [1, 1, 1, self._groups_in_block]) * same_group,
                self.strides,
                self.padding.upper(),
            )
            for block, block_kernel in zip(
                tf.split(inputs, n_blocks, axis=-1), tf.split(kernel, n_blocks, axis=2), strict=True
            )
        ]
        return tf.concat(outputs, axis=-1)

    def get_config(self) -> dict:
        names = ("filters", "kernel_size", "groups", "strides", "padding")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def resnext50(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    weights: str | None = None,
    pooling: str | None = "avg",
) -> tf.keras.Model:
    """ResNeXt-50 (32x4d) without its classification head: 22,979,904 weights to train.

    Args:
        input_shape: height, width (each at least 32) and channels of the images.
        weights: `None`, at random, or `"imagenet"`, downloaded from keras-applications' release.
        pooling: `"avg"` or `"max"` over the last feature map, or `None` for the map itself.

    Returns:
        An uncompiled model from `(batch, height, width, channels)`, preprocessed as
        `ImageNetPreprocessing("torch")` does, to `(batch, 2048)`.
        `pretrained("ResNeXt50")` has the preprocessing inside.

    Raises:
        ValueError: if an argument is out of range.

    Reference:
        Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017, table 1.
    """
    return _resnext((3, 4, 6, 3), input_shape, weights, pooling, "resnext50")


def resnext101(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    weights: str | None = None,
    pooling: str | None = "avg",
) -> tf.keras.Model:
    """ResNeXt-101 (32x4d) without its classification head: 42,128,704 weights to train.

    Arguments as in `resnext50`.
    """
    return _resnext((3, 4, 23, 3), input_shape, weights, pooling, "resnext101")


def _resnext(
    blocks: tuple[int, int, int, int],
    input_shape: tuple[int, int, int],
    weights: str | None,
    pooling: str | None,
    name: str,
) -> tf.keras.Model:
    if len(input_shape) != 3 or min(input_shape[:2]) < 32:
        raise ValueError(
            "`input_shape` must be (height, width, channels) with sides of at least 32 pixels. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    if weights not in (None, "imagenet"):
        raise ValueError(f"`weights` must be one of (None, 'imagenet'). Received: weights={weights!r}")
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"`pooling` must be one of (None, 'avg', 'max'). Received: pooling={pooling!r}")

    image = tf.keras.Input(input_shape)
    features = tf.keras.layers.ZeroPadding2D(3, name="conv1_pad")(image)
    features = _normalized(_conv(64, 7, "conv1_conv", strides=2)(features), "conv1_bn")
    features = tf.keras.layers.ReLU(name="conv1_relu")(features)
    features = tf.keras.layers.ZeroPadding2D(1, name="pool1_pad")(features)
    features = tf.keras.layers.MaxPooling2D(3, 2, name="pool1_pool")(features)
    for stage, n_blocks in enumerate(blocks):
        for i in range(n_blocks):
            strides = 2 if stage > 0 and i == 0 else 1
            features = _block(features, 128 * 2**stage, strides, i == 0, f"conv{stage + 2}_block{i + 1}")
    if pooling == "avg":
        features = tf.keras.layers.GlobalAveragePooling2D(name="avg_pool")(features)
    elif pooling == "max":
        features = tf.keras.layers.GlobalMaxPooling2D(name="max_pool")(features)
    model = tf.keras.Model(image, features, name=name)

    if weights == "imagenet":
        file_name = f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
        model.load_weights(
            tf.keras.utils.get_file(
                file_name, _WEIGHTS_URL + file_name, cache_subdir="models", file_hash=_WEIGHTS_MD5[name]
            )
        )
    return model


def _block(features: tf.Tensor, width: int, strides: int, project: bool, name: str) -> tf.Tensor:
    # Layers in keras-applications' order, on which its weight files depend.
    shortcut = features
    if project:
        shortcut = _normalized(
            _conv(2 * width, 1, f"{name}_0_conv", strides=strides)(features), f"{name}_0_bn"
        )
    features = _normalized(_conv(width, 1, f"{name}_1_conv")(features), f"{name}_1_bn")
    features = tf.keras.layers.ReLU(name=f"{name}_1_relu")(features)
    features = tf.keras.layers.ZeroPadding2D(1, name=f"{name}_2_pad")(features)
    features = GroupedConv2D(width, 3, groups=_GROUPS, strides=strides, name=f"{name}_2_conv")(features)
    features = tf.keras.layers.ReLU(name=f"{name}_2_relu")(_normalized(features, f"{name}_2_bn"))
    features = _normalized(_conv(2 * width, 1, f"{name}_3_conv")(features), f"{name}_3_bn")
    features = tf.keras.layers.Add(name=f"{name}_add")([shortcut, features])
    return tf.keras.layers.ReLU(name=f"{name}_out")(features)


def _conv(filters: int, size: int, name: str, *, strides: int = 1) -> tf.keras.layers.Layer:
    return tf.keras.layers.Conv2D(
        filters, size, strides, use_bias=False, kernel_initializer="he_normal", name=name
    )


def _normalized(features: tf.Tensor, name: str) -> tf.Tensor:
    return FusedBatchNormalization(epsilon=1.001e-5, name=name)(features)
