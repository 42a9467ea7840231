import h5py
import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.models.resnext import GroupedConv2D, _resnext, resnext50, resnext101


def _from_conv2d(kernel, groups):
    """From `Conv2D(groups)`'s kernel, (size, size, inputs of a group, filters), to this layer's."""
    size, _, inputs, filters = kernel.shape
    kernel = kernel.reshape(size, size, inputs, groups, filters // groups)
    return kernel.transpose(0, 1, 3, 2, 4).reshape(size, size, groups * inputs, filters // groups)


@pytest.mark.parametrize(
    ("channels", "filters", "groups", "strides", "padding"),
    [(6, 12, 3, 1, "same"), (8, 4, 4, 2, "valid"), (128, 128, 32, 2, "same"), (96, 48, 3, 1, "valid")],
)
def test_grouped_convolution_is_keras_in_value_and_gradient(channels, filters, groups, strides, padding):
    images = tf.random.stateless_normal((2, 7, 6, channels), (0, 1))
    reference = tf.keras.layers.Conv2D(filters, 3, strides, padding, groups=groups, use_bias=False)
    layer = GroupedConv2D(filters, 3, groups=groups, strides=strides, padding=padding)
    reference(images), layer(images)
    layer.set_weights([_from_conv2d(reference.get_weights()[0], groups)])
    results = []
    for convolution in (reference, layer):
        with tf.GradientTape() as tape:
            tape.watch(images)
            output = convolution(images)
            value = tf.reduce_sum(tf.sin(output))
        results.append((output, *tape.gradient(value, [images, *convolution.trainable_variables])))
    (output, to_images, to_kernel), (our_output, our_to_images, our_to_kernel) = results
    np.testing.assert_allclose(our_output, output, atol=1e-4)
    np.testing.assert_allclose(our_to_images, to_images, atol=1e-4)
    np.testing.assert_allclose(our_to_kernel, _from_conv2d(to_kernel.numpy(), groups), atol=1e-3)


def test_grouped_convolution_starts_as_he_normal_of_a_group():
    layer = GroupedConv2D(256, 3, groups=8)
    layer.build((None, 9, 9, 256))
    assert layer.kernel.numpy().std() == pytest.approx(np.sqrt(2 / (9 * 32)), rel=0.02)
    again = GroupedConv2D.from_config(layer.get_config())
    assert (again.filters, again.kernel_size, again.groups, again.strides, again.padding) == (
        256,
        3,
        8,
        1,
        "valid",
    )


def test_grouped_convolution_refuses():
    with pytest.raises(ValueError, match="multiple of `groups`. Received: filters=10"):
        GroupedConv2D(10, 3, groups=4)
    with pytest.raises(ValueError, match="`padding` must be one of .* Received: padding='full'"):
        GroupedConv2D(8, 3, groups=4, padding="full")
    with pytest.raises(ValueError, match=r"multiple of 4 groups. Received: an input of shape \(1, 5, 5, 6\)"):
        GroupedConv2D(8, 3, groups=4)(tf.zeros((1, 5, 5, 6)))


@pytest.mark.parametrize(
    ("build", "blocks", "published"),
    [
        (resnext50, (3, 4, 6, 3), 25_028_904),
        pytest.param(resnext101, (3, 4, 23, 3), 44_177_704, marks=pytest.mark.slow),
    ],
)
def test_weights_are_as_many_as_published(build, blocks, published):
    model = build((32, 32, 3))
    assert model.output_shape == (None, 2048)
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    # torchvision and timm count the 1,000-way head too, and no moving averages.
    assert trained + 2048 * 1000 + 1000 == published
    expected, inputs = 49 * 3 * 64 + 2 * 64, 64
    for stage, n_blocks in enumerate(blocks):
        width = 128 * 2**stage
        expected += inputs * 2 * width + 2 * 2 * width  # the projection
        for _ in range(n_blocks):
            expected += (
                inputs * width + 9 * width * width // 32 + width * 2 * width + 2 * (width + width + 2 * width)
            )
            inputs = 2 * width
    assert trained == expected
    grouped = [layer for layer in model.layers if isinstance(layer, GroupedConv2D)]
    assert len(grouped) == sum(blocks) and {layer.groups for layer in grouped} == {32}


def _published_block(x, width, strides, project, name):
    """A block as keras-applications 1.0.8 builds it, by a depthwise convolution and a sum."""
    layers = tf.keras.layers

    def normalized(x, name):
        return layers.BatchNormalization(epsilon=1.001e-5, name=name)(x)

    shortcut = x
    if project:
        shortcut = layers.Conv2D(2 * width, 1, strides, use_bias=False, name=name + "_0_conv")(x)
        shortcut = normalized(shortcut, name + "_0_bn")
    x = layers.Conv2D(width, 1, use_bias=False, name=name + "_1_conv")(x)
    x = layers.ReLU()(normalized(x, name + "_1_bn"))
    x = layers.ZeroPadding2D(1)(x)
    c = width // 32
    x = layers.DepthwiseConv2D(3, strides, depth_multiplier=c, use_bias=False, name=name + "_2_conv")(x)
    side = x.shape[1]
    x = layers.Reshape((side * side * 32, c, c))(x)  # (..., a group's input, its filter)
    x = layers.AveragePooling2D((1, c))(
        x
    )  # the mean over a group's inputs, in place of a Lambda with their sum
    x = layers.Rescaling(float(c))(layers.Reshape((side, side, width))(x))
    x = layers.ReLU()(normalized(x, name + "_2_bn"))
    x = normalized(layers.Conv2D(2 * width, 1, use_bias=False, name=name + "_3_conv")(x), name + "_3_bn")
    return layers.ReLU()(layers.Add()([shortcut, x]))


def test_published_weight_files_fit(tmp_path):
    layers = tf.keras.layers
    image = tf.keras.Input((32, 32, 3))
    x = layers.Conv2D(64, 7, 2, use_bias=False, name="conv1_conv")(layers.ZeroPadding2D(3)(image))
    x = layers.ReLU()(layers.BatchNormalization(epsilon=1.001e-5, name="conv1_bn")(x))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for stage, n_blocks in enumerate((2, 1, 1, 1)):
        for i in range(n_blocks):
            strides = 2 if stage and not i else 1
            x = _published_block(x, 128 * 2**stage, strides, i == 0, f"conv{stage + 2}_block{i + 1}")
    reference = tf.keras.Model(image, layers.GlobalAveragePooling2D()(x))
    random = np.random.default_rng(0)
    for layer in reference.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])

    with h5py.File(tmp_path / "notop.h5", "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in reference.layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.2.4"
        for layer in reference.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{i}:0".encode() for i in range(len(layer.weights))]
            group.attrs["weight_names"] = names
            for name, value in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name.decode(), data=value)

    model = _resnext((2, 1, 1, 1), (32, 32, 3), None, "avg", "resnext")
    model.load_weights(tmp_path / "notop.h5")
    images = random.normal(size=(2, 32, 32, 3)).astype("float32")
    expected = reference.predict(images, verbose=0)
    assert expected.std() > 0.1
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("policy", "jit_compile"), [("mixed_bfloat16", False), ("float32", True)])
def test_a_small_one_learns(policy, jit_compile):
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        tf.keras.utils.set_random_seed(0)
        image = tf.keras.Input((8, 8, 64))
        x = GroupedConv2D(64, 3, groups=32, padding="same")(image)
        x = GroupedConv2D(32, 3, groups=16, strides=2)(tf.keras.layers.ReLU()(x))
        x = tf.keras.layers.Dense(1, dtype="float32")(tf.keras.layers.GlobalAveragePooling2D()(x))
        model = tf.keras.Model(image, x)
        model.compile(tf.keras.optimizers.SGD(0.02), "mse", jit_compile=jit_compile)
        images = np.random.default_rng(0).normal(size=(4, 8, 8, 64)).astype("float32")
        targets = np.array([[0.0], [1.0], [2.0], [3.0]])
        losses = [float(model.train_on_batch(images, targets)) for _ in range(10)]
        assert np.isfinite(losses).all() and losses[-1] < losses[0] / 2
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def test_resnext_refuses():
    with pytest.raises(ValueError, match=r"at least 32 pixels. Received: input_shape=\(31, 64, 3\)"):
        resnext50((31, 64, 3))
    with pytest.raises(ValueError, match="`weights` must be one of .* Received: weights='here'"):
        resnext50((32, 32, 3), weights="here")
    with pytest.raises(ValueError, match="`pooling` must be one of .* Received: pooling='mean'"):
        resnext101((32, 32, 3), pooling="mean")
