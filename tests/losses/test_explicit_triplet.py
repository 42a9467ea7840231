import json

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.losses.explicit_triplet import TripletLoss, triplet_loss


def some_triplets(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(16, 3, 4)).astype(np.float32)


def slow_loss(triplets, margin):
    losses = []
    for anchor, positive, negative in triplets:
        violation = np.linalg.norm(anchor - positive) ** 2 - np.linalg.norm(anchor - negative) ** 2
        losses.append(max(0, violation + margin))
    return losses


def value_and_gradient(loss, embeddings):
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = loss(tf.zeros(len(embeddings)), embeddings)
    return value, tape.gradient(value, embeddings)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("margin", [0.0, 0.5, 3.0])
def test_values_are_those_of_a_slow_loop(seed, margin):
    triplets = some_triplets(seed)
    expected = slow_loss(triplets, margin)
    assert 0 < np.count_nonzero(expected) < 16
    embeddings = triplets.reshape(16, 12)
    np.testing.assert_allclose(triplet_loss(None, embeddings, margin), expected, rtol=1e-4, atol=1e-5)
    for y_true in (np.zeros(16), np.ones((16, 1)), np.zeros((16, 12))):
        value = TripletLoss(margin)(y_true, embeddings)
        np.testing.assert_allclose(value, np.mean(expected), rtol=1e-5)


def test_gradient_is_the_slides():
    """2 (n - p) for the anchor, 2 (p - a) for the positive, 2 (a - n) for the negative."""
    triplets = some_triplets(1)
    _, gradient = value_and_gradient(triplet_loss, tf.constant(triplets.reshape(16, 12)))
    a, p, n = triplets.swapaxes(0, 1)
    expected = (
        2 * np.stack([n - p, p - a, a - n], axis=1) * (np.array(slow_loss(triplets, 0.5)) > 0)[:, None, None]
    )
    np.testing.assert_allclose(gradient, expected.reshape(16, 12), atol=1e-5)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("row", [[0.0] * 6, [0.6, 0.8] * 3, [1e4, 0, -1e4, 0, 1e4, 0], [0.0, 0, 0, 0, 1, 1]])
@pytest.mark.parametrize("n", [1, 3])
def test_degenerate_batches_are_finite(row, n, jit):
    compiled = tf.function(lambda e: value_and_gradient(TripletLoss(), e), jit_compile=jit)
    value, gradient = compiled(tf.constant([row] * n))
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    half = tf.cast(200 * some_triplets(0).reshape(16, 12), dtype)  # squares overflow in float16
    value = triplet_loss(None, half)
    assert value.dtype == tf.float32
    np.testing.assert_array_equal(value, triplet_loss(None, tf.cast(half, tf.float32)))


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, 3 \* embedding_size\). Received: shape \(2, 4\)"):
        triplet_loss(None, tf.zeros((2, 4)))


def test_config_comes_back():
    loss = TripletLoss(0.3)
    again = tf.keras.losses.deserialize(json.loads(json.dumps(tf.keras.losses.serialize(loss))))
    assert (
        type(again) is TripletLoss
        and {"margin": 0.3, "name": "triplet_loss"}.items() <= again.get_config().items()
    )


def test_options_are_checked():
    with pytest.raises(ValueError, match="`margin` must be at least 0. Received: margin=-1"):
        TripletLoss(margin=-1)


def test_fit_learns():
    tf.keras.utils.set_random_seed(0)
    inputs = [tf.keras.Input((8,)) for _ in range(3)]
    tower = tf.keras.layers.Dense(4)
    side_by_side = tf.keras.layers.Concatenate()([tower(x) for x in inputs])
    model = tf.keras.Model(inputs, side_by_side)
    model.compile(tf.keras.optimizers.Adam(0.02), TripletLoss())
    rng = np.random.default_rng(0)
    person = rng.integers(0, 4, 64)
    photos = [np.eye(8, dtype=np.float32)[p] for p in (person, person, (person + rng.integers(1, 4, 64)) % 4)]
    photos = [p + 0.5 * rng.normal(size=p.shape).astype(np.float32) for p in photos]
    losses = model.fit(photos, np.zeros(64), epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]
