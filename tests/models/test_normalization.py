"""Batch normalisation as one operation, against Keras's own."""

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.models import FusedBatchNormalization


def maps(seed=0, shape=(6, 5, 4, 3)):
    rng = np.random.default_rng(seed)
    return tf.constant((rng.normal(size=shape) * [1, 3, 0.2] + [0, 5, -2]).astype(np.float32))


def both(**options):
    """Keras's layer and ours with the same weights, none of them trivial."""
    layers = tf.keras.layers.BatchNormalization(**options), FusedBatchNormalization(**options)
    rng = np.random.default_rng(1)
    for layer in layers:
        layer.build((None, 5, 4, 3))
    weights = [rng.uniform(0.5, 2, weight.shape) for weight in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    return layers


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.9, "epsilon": 1e-2}, {"scale": False}, {"axis": 1}, {"trainable": False}]
)
def test_values_gradients_and_moving_averages_are_keras_own(training, options):
    found = []
    for layer in both(**options):
        x = maps()
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(tf.sin(y) * tf.range(4.0)[:, None])
        found.append([y, *tape.gradient(loss, [x, *layer.trainable_variables]), *layer.get_weights()])
    assert len(found[0]) == 2 + 4 + (0 if "trainable" in options else 2) - ("scale" in options) * 2
    for theirs, ours in zip(*(values[:-1] for values in found), strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-4, atol=2e-4)
    if training and not {"trainable", "axis", "scale"} & set(options):
        # Keras 2 is fused itself, and keeps the variance over n - 1.
        momentum = options.get("momentum", 0.99)
        old, new = both(**options)[1].get_weights()[-1], maps().numpy().var((0, 1, 2))
        np.testing.assert_allclose(found[1][-1], momentum * old + (1 - momentum) * new, rtol=1e-5)
    else:
        np.testing.assert_allclose(found[1][-1], found[0][-1])


def test_a_trained_network_is_the_one_with_keras_own(tmp_path):
    models = []
    for layer in (tf.keras.layers.BatchNormalization, FusedBatchNormalization):
        tf.keras.utils.set_random_seed(0)
        image = tf.keras.Input((5, 4, 3))
        features = layer(momentum=0.5)(tf.keras.layers.Conv2D(4, 3, use_bias=False)(image))
        models.append(tf.keras.Model(image, tf.keras.layers.GlobalAveragePooling2D()(features)))
        models[-1].compile("sgd", "mse")
        models[-1].fit(maps(), np.ones((6, 4)), batch_size=3, epochs=3, shuffle=False, verbose=0)
    for theirs, ours in zip(*(model.get_weights()[:-1] for model in models), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    models[1].save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(maps(), verbose=0), models[1].predict(maps(), verbose=0))


def test_it_takes_vectors_as_keras_own_does():
    x = tf.reshape(maps(), (-1, 3))
    theirs, ours = (
        layer(momentum=0.9)(x, training=True)
        for layer in (tf.keras.layers.BatchNormalization, FusedBatchNormalization)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_an_empty_batch_leaves_the_moving_averages_alone():
    _, layer = both()
    before = layer.get_weights()
    assert layer(tf.zeros((0, 5, 4, 3)), training=True).shape == (0, 5, 4, 3)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_allclose(new, old)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_its_averages_in_float32(policy):
    layer = FusedBatchNormalization(dtype=tf.keras.mixed_precision.Policy(policy), momentum=0.0)
    y = layer(maps(), training=True)
    assert y.dtype == policy.removeprefix("mixed_")
    assert [weight.dtype for weight in layer.get_weights()] == [np.float32] * 4
    exact = maps().numpy()
    np.testing.assert_allclose(layer.moving_mean, exact.mean((0, 1, 2)), rtol=1e-2)
    np.testing.assert_allclose(layer.moving_variance, exact.var((0, 1, 2)), rtol=2e-2)


def test_it_compiles_under_xla():
    _, layer = both()
    _, same = both()
    compiled = tf.function(lambda x: same(x, training=True), jit_compile=True)
    np.testing.assert_allclose(compiled(maps()), layer(maps(), training=True), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(same.moving_variance, layer.moving_variance, rtol=1e-5)
