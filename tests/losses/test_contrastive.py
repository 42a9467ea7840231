import json

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.losses.contrastive import ContrastiveLoss, contrastive_loss


def some_pairs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, 20), rng.gamma(1.0, 1.0, 20).astype(np.float32)


def slow_loss(same, distances, margin, scale):
    return [scale * (d**2 if s else max(0, margin - d) ** 2) for s, d in zip(same, distances, strict=True)]


def value_and_gradient(loss, same, distances):
    with tf.GradientTape() as tape:
        tape.watch(distances)
        value = loss(same, distances)
    return value, tape.gradient(value, distances)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("margin", "scale"), [(1.0, 1.0), (0.3, 1.0), (2.0, 0.5)])
def test_values_are_those_of_a_slow_loop(seed, margin, scale):
    same, distances = some_pairs(seed)
    expected = slow_loss(same, distances, margin, scale)
    np.testing.assert_allclose(contrastive_loss(same, distances, margin, scale), expected, rtol=1e-5)
    # As `fit` hands them over: floats, in a column.
    column = contrastive_loss(same[:, None].astype(np.float32), distances[:, None], margin, scale)
    np.testing.assert_allclose(column, expected, rtol=1e-5)
    mixed = contrastive_loss(same, distances[:, None], margin, scale)
    np.testing.assert_allclose(mixed, expected, rtol=1e-5)
    np.testing.assert_allclose(
        ContrastiveLoss(margin, scale)(same, distances[:, None]), np.mean(expected), rtol=1e-5
    )


def test_the_reports_equation_has_halves():
    # A pair of one person at distance 2, and one of two people at distance 0.5, under margin 1.
    np.testing.assert_allclose(contrastive_loss([1, 0], [2.0, 0.5], scale=0.5), [0.5 * 4, 0.5 * 0.25])


def test_values_and_gradients_are_those_of_addons():
    addons = pytest.importorskip("tensorflow_addons", reason="needs the addons stack").losses
    for seed in range(5):
        same, distances = some_pairs(seed)
        for margin in (0.5, 1.0):
            theirs = value_and_gradient(
                lambda y, d: addons.contrastive_loss(y, d, margin),  # noqa: B023
                same,
                tf.constant(distances),
            )
            ours = value_and_gradient(
                lambda y, d: contrastive_loss(y, d, margin),  # noqa: B023
                same,
                tf.constant(distances),
            )
            for a, b in zip(theirs, ours, strict=True):
                np.testing.assert_allclose(b, a, rtol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("same", "distances"),
    [([1], [0.0]), ([0], [0.0]), ([1, 1], [0.0, 3.0]), ([0, 0], [1.0, 5.0]), ([1, 0], [1e4, 1e4])],
)
def test_degenerate_batches_are_finite(same, distances, jit):
    compiled = tf.function(lambda y, d: value_and_gradient(ContrastiveLoss(), y, d), jit_compile=jit)
    value, gradient = compiled(tf.constant(same), tf.constant(distances)[:, None])
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_distances_may_be_whole_numbers():
    value = contrastive_loss([1, 0, 0], [1, 2, 0])
    assert value.dtype == tf.float32
    np.testing.assert_array_equal(value, [1, 0, 1])


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    same, distances = some_pairs(0)
    half = tf.cast(distances * 200, dtype)  # the squares of some overflow in float16
    value = contrastive_loss(same, half)
    assert value.dtype == tf.float32
    np.testing.assert_array_equal(value, contrastive_loss(same, tf.cast(half, tf.float32)))


def test_weights_of_pairs_count():
    same, distances = some_pairs(1)
    weights = np.arange(20, dtype=np.float32)
    expected = np.mean(weights * slow_loss(same, distances, 1.0, 1.0))
    np.testing.assert_allclose(
        ContrastiveLoss()(same, distances[:, None], sample_weight=weights), expected, rtol=1e-5
    )


def test_config_comes_back():
    loss = ContrastiveLoss(0.7, 0.5)
    again = tf.keras.losses.deserialize(json.loads(json.dumps(tf.keras.losses.serialize(loss))))
    assert type(again) is ContrastiveLoss
    assert {"margin": 0.7, "scale": 0.5, "name": "contrastive_loss"}.items() <= again.get_config().items()


def test_options_are_checked():
    with pytest.raises(ValueError, match="`margin` must be positive. Received: margin=-1"):
        ContrastiveLoss(margin=-1)
    with pytest.raises(ValueError, match="`scale` must be positive. Received: scale=0"):
        ContrastiveLoss(scale=0)
