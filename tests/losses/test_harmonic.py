import json

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.losses.harmonic import HarmonicTripletLoss, harmonic_triplet_loss
from siamese_nn.losses.triplet import triplet_semihard_loss


@tf.keras.utils.register_keras_serializable(package="tests")
def city_block(embeddings):
    return tf.reduce_sum(tf.abs(embeddings[:, None] - embeddings[None, :]), axis=-1)


def some_batch(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    old, new = rng.normal(size=(2, 12, 3)).astype(np.float32)
    return rng.integers(0, 4, 12), old, new


def value_and_gradient(loss, labels, embeddings):
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = tf.reduce_mean(loss(labels, embeddings))
    return value, tape.gradient(value, embeddings)


@pytest.mark.parametrize("metric", ["L2", "squared-L2", "angular", city_block])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_semi_hard_loss_of_both_and_the_old_ones_learn_nothing(seed, metric):
    labels, old, new = some_batch(seed)
    both = tf.constant(np.concatenate([old, new], axis=1))
    value, gradient = value_and_gradient(lambda y, e: harmonic_triplet_loss(y, e, 0.3, metric), labels, both)
    twice, stacked = np.tile(labels, 2), tf.constant(np.concatenate([old, new], axis=0))
    expected, expected_gradient = value_and_gradient(
        lambda y, e: triplet_semihard_loss(y, e, 0.3, metric), twice, stacked
    )
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[:, 3:], expected_gradient[12:], atol=1e-6)
    assert np.abs(gradient[:, 3:]).max() > 1e-3 and not np.any(gradient[:, :3])


def test_labels_may_come_as_a_column_of_floats():
    labels, old, new = some_batch(0)
    both = np.concatenate([old, new], axis=1)
    column = HarmonicTripletLoss()(labels[:, None].astype(np.float32), both)
    assert column == HarmonicTripletLoss()(labels, both)


@pytest.mark.parametrize(
    ("labels", "embeddings"),
    [
        ([0], [[0.3, 0.4, 0.3, 0.4]]),
        ([0], [[0.3, 0.4, 0.5, 0.6]]),
        ([0, 1], [[0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.1, 0.0]]),
        ([0, 0], [[0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.1, 0.0]]),
        ([0, 0, 1, 1], [[0.6, 0.8] * 2] * 4),
        ([0, 0, 1, 1], [[0.0] * 4] * 4),
    ],
)
def test_degenerate_batches_are_finite(labels, embeddings):
    for metric in ("squared-L2", "L2", "angular"):
        value, gradient = value_and_gradient(
            HarmonicTripletLoss(0.2, metric), tf.constant(labels), tf.constant(embeddings)
        )
        assert np.isfinite(value) and np.isfinite(gradient).all()


def test_degenerate_batches_are_finite_compiled():
    compiled = tf.function(lambda y, e: value_and_gradient(HarmonicTripletLoss(), y, e), jit_compile=True)
    for labels, embeddings in [
        ([0, 0], [[0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.1, 0.0]]),
        ([0, 1], [[0.6, 0.8] * 2] * 2),
        ([0, 1], [[0.0] * 4] * 2),
    ]:
        value, gradient = compiled(tf.constant(labels), tf.constant(embeddings))
        assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    labels, old, new = some_batch(1)
    half = tf.cast(np.concatenate([old, new], axis=1), dtype)
    value = harmonic_triplet_loss(labels, half)
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, harmonic_triplet_loss(labels, tf.cast(half, tf.float32)), rtol=1e-6)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, 2 \* embedding_size\). Received: shape \(2, 3\)"):
        harmonic_triplet_loss([0, 1], tf.zeros((2, 3)))


@pytest.mark.parametrize("metric", ["squared-L2", city_block])
def test_config_comes_back(metric):
    loss = HarmonicTripletLoss(0.3, metric)
    again = tf.keras.losses.deserialize(json.loads(json.dumps(tf.keras.losses.serialize(loss))))
    assert type(again) is HarmonicTripletLoss and again.get_config() == loss.get_config()
    assert again.distance_metric == metric and again.margin == 0.3


def test_options_are_checked():
    with pytest.raises(ValueError, match="`margin` must be at least 0. Received: margin=-1"):
        HarmonicTripletLoss(margin=-1)
    with pytest.raises(ValueError, match="`distance_metric` must be one of"):
        HarmonicTripletLoss(distance_metric="L3")


def accuracy_across(old: np.ndarray, new: np.ndarray, labels: np.ndarray) -> float:
    """The best accuracy of any threshold on old-to-new distances, with people and strangers weighed alike."""
    distances = ((old[:, None] - new[None]) ** 2).sum(-1)
    same = labels[:, None] == labels[None]
    accept = [distances <= t for t in np.quantile(distances, np.linspace(0, 1, 101))]
    return max((a[same].mean() + 1 - a[~same].mean()) / 2 for a in accept)


@pytest.mark.parametrize(("policy", "jit"), [("float32", False), ("mixed_float16", True)])
def test_new_embeddings_become_comparable_with_old_ones(policy, jit):
    tf.keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(6), 16)
    photos = (np.eye(12)[labels] + 0.15 * rng.normal(size=(96, 12))).astype(np.float32)
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        photo = tf.keras.Input((12,))
        old, new = tf.keras.layers.Dense(6, trainable=False), tf.keras.layers.Dense(6)
        unit = tf.keras.layers.UnitNormalization(dtype="float32")
        embeddings = tf.keras.layers.Concatenate(dtype="float32")([unit(old(photo)), unit(new(photo))])
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    model = tf.keras.Model(photo, embeddings)

    def across():
        both = model.predict(photos[48:], verbose=0)
        return accuracy_across(both[:, :6], both[:, 6:], labels[48:])

    before, old_weights = across(), old.get_weights()
    model.compile(tf.keras.optimizers.Adam(0.02), HarmonicTripletLoss(0.2), jit_compile=jit)
    # Sixty steps on the same photos, in one epoch: each epoch of its own would cost more than its step.
    model.fit(
        np.tile(photos[:48], (60, 1)), np.tile(labels[:48], 60), batch_size=48, shuffle=False, verbose=0
    )
    assert before < 0.8 and across() > 0.9
    assert all(np.array_equal(a, b) for a, b in zip(old_weights, old.get_weights(), strict=True))
