import json

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.losses.circle import CircleLoss, circle_loss


def some_batch(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(5), 4)
    embeddings = rng.normal(size=(20, 3))
    if kind == "clustered":
        embeddings = np.eye(5)[labels] + 0.02 * rng.normal(size=(20, 5))
    elif kind == "twins":
        embeddings = embeddings[rng.integers(0, 8, 20)]
    return labels, (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)


def slow_loss(labels, embeddings, gamma, margin):
    """The paper's equation 8 with its similarities, photo by photo."""
    losses, e = [], embeddings.astype(np.float64)
    for i in range(len(labels)):
        towards, away = [], []
        for j in range(len(labels)):
            s = e[i] @ e[j]
            if labels[i] != labels[j]:
                away.append(gamma * max(0, s + margin) * (s - margin))
            elif i != j:
                towards.append(-gamma * max(0, 1 + margin - s) * (s - (1 - margin)))
        if towards and away:
            exponent = np.logaddexp.reduce(towards) + np.logaddexp.reduce(away)
            losses.append(np.logaddexp(0, exponent))
        else:
            losses.append(0.0)
    return np.array(losses)


def value_and_gradient(loss, labels, embeddings):
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = loss(labels, embeddings)
    return value, tape.gradient(value, embeddings)


@pytest.mark.parametrize("kind", ["random", "clustered", "twins"])
@pytest.mark.parametrize(("gamma", "margin"), [(80.0, 0.4), (1.0, 0.0), (256.0, 0.25)])
def test_values_are_those_of_a_slow_loop(kind, gamma, margin):
    for seed in range(3):
        labels, embeddings = some_batch(kind, seed)
        expected = slow_loss(labels, embeddings, gamma, margin)
        value = circle_loss(labels[:, None].astype(np.float32), embeddings, gamma, margin)
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            CircleLoss(gamma, margin)(labels, embeddings), expected[expected > 1e-40].mean(), rtol=1e-4
        )


@pytest.mark.parametrize("kind", ["random", "clustered", "twins"])
@pytest.mark.parametrize(("gamma", "margin"), [(80.0, 0.4), (1.0, 0.0), (256.0, 0.25)])
def test_values_are_those_of_keras(kind, gamma, margin):
    if not hasattr(tf.keras.losses, "Circle"):
        pytest.skip("needs Keras 3, which has Circle")
    theirs = tf.keras.losses.Circle(gamma=gamma, margin=margin)
    for seed in range(3):
        labels, embeddings = some_batch(kind, seed)
        value = CircleLoss(gamma, margin)(labels, embeddings)
        np.testing.assert_allclose(value, theirs(labels, embeddings), rtol=1e-6)


def test_photos_without_a_loss_are_left_out_of_the_mean_as_keras_does():
    labels, embeddings = some_batch("random", 0)
    labels = np.append(labels[:7], [11, 12, 13])  # the last three have no positives
    losses = slow_loss(labels, embeddings[:10], 80.0, 0.4)
    assert (losses[7:] == 0).all() and (losses[:7] > 0).all()
    value = CircleLoss()(labels, embeddings[:10])
    np.testing.assert_allclose(value, losses[:7].mean(), rtol=1e-4)
    if hasattr(tf.keras.losses, "Circle"):
        np.testing.assert_allclose(value, tf.keras.losses.Circle()(labels, embeddings[:10]), rtol=1e-6)


def slow_gradient(labels, embeddings, photo, gamma, margin):
    """The gradient of a photo's loss by the paper, to which the weights of similarities are constants."""
    e, by_similarity = embeddings, {}
    logits = {True: {}, False: {}}
    for j in range(len(labels)):
        s = e[photo] @ e[j]
        if labels[j] != labels[photo]:
            weight = gamma * max(0, s + margin)
            logits[False][j] = weight * (s - margin), weight
        elif j != photo:
            weight = gamma * max(0, 1 + margin - s)
            logits[True][j] = -weight * (s - (1 - margin)), -weight
    totals = {same: np.logaddexp.reduce([logit for logit, _ in logits[same].values()]) for same in logits}
    to_both = 1 / (1 + np.exp(-sum(totals.values())))  # the slope of softplus
    gradient = np.zeros_like(e)
    for same, of_kind in logits.items():
        for j, (logit, slope) in of_kind.items():
            by_similarity[j] = to_both * np.exp(logit - totals[same]) * slope
    for j, slope in by_similarity.items():
        gradient[photo] += slope * e[j]
        gradient[j] += slope * e[photo]
    return gradient


@pytest.mark.parametrize("kind", ["random", "clustered"])
@pytest.mark.parametrize(("gamma", "margin"), [(80.0, 0.4), (1.0, 0.0), (10.0, 0.3)])
def test_gradients_are_those_of_the_paper_in_which_weights_are_constants(kind, gamma, margin):
    labels, embeddings = some_batch(kind, 4)
    embeddings = embeddings.astype(np.float64)
    for photo in range(3):
        _, gradient = value_and_gradient(
            lambda y, e: circle_loss(y, e, gamma, margin)[photo],  # noqa: B023
            labels,
            tf.constant(embeddings),
        )
        expected = slow_gradient(labels, embeddings, photo, gamma, margin)
        np.testing.assert_allclose(gradient, expected, atol=1e-9 * gamma)


def test_gradients_are_those_of_finite_differences_with_weights_held():
    labels, embeddings = some_batch("random", 4)
    embeddings = embeddings.astype(np.float64)
    same = labels[:, None] == labels
    others = ~np.eye(20, dtype=bool)

    def held(moved):
        """The losses at `moved`, with the weights of `embeddings`."""
        s, t = embeddings @ embeddings.T, moved @ moved.T
        towards = np.where(same & others, -10 * np.maximum(0, 1.3 - s) * (t - 0.7), -np.inf)
        away = np.where(~same, 10 * np.maximum(0, s + 0.3) * (t - 0.3), -np.inf)
        return np.logaddexp(0, np.logaddexp.reduce(towards, axis=1) + np.logaddexp.reduce(away, axis=1))

    np.testing.assert_allclose(held(embeddings), circle_loss(labels, embeddings, 10.0, 0.3), rtol=1e-9)
    _, gradient = value_and_gradient(
        lambda y, e: tf.reduce_sum(circle_loss(y, e, 10.0, 0.3)), labels, tf.constant(embeddings)
    )
    step, numeric = 1e-6, np.zeros_like(embeddings)
    for index in np.ndindex(*embeddings.shape):
        moved = [embeddings.copy(), embeddings.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        numeric[index] = (held(moved[0]) - held(moved[1])).sum() / (2 * step)
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_degenerate_batches_are_finite(jit):
    compiled = tf.function(lambda y, e: value_and_gradient(CircleLoss(), y, e), jit_compile=jit)
    for labels, embeddings, is_zero in [
        ([0], [[1.0, 0.0]], True),
        ([0, 1, 2], [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], True),  # no positives
        ([0, 0, 0], [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], True),  # no negatives
        ([0, 0, 1, 1], [[0.6, 0.8]] * 4, False),  # identical
        ([0, 0, 1, 1], [[0.0, 0.0]] * 4, False),
        ([0, 0, 1], [[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], False),  # as wrong as can be
    ]:
        value, gradient = compiled(tf.constant(labels), tf.constant(embeddings))
        assert np.isfinite(value) and np.isfinite(gradient).all()
        assert (value == 0) == is_zero and (not is_zero or not np.any(gradient))


def test_nan_is_not_hidden():
    labels, embeddings = some_batch("random", 0)
    embeddings[0, 0] = np.nan
    assert np.isnan(CircleLoss()(labels, embeddings))


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    labels, embeddings = some_batch("random", 3)
    half = tf.cast(embeddings, dtype)
    value = circle_loss(labels, half)
    assert value.dtype == tf.float32
    np.testing.assert_array_equal(value, circle_loss(labels, tf.cast(half, tf.float32)))


def test_config_comes_back():
    loss = CircleLoss(64.0, 0.25)
    again = tf.keras.losses.deserialize(json.loads(json.dumps(tf.keras.losses.serialize(loss))))
    assert type(again) is CircleLoss
    assert {"gamma": 64.0, "margin": 0.25, "name": "circle_loss"}.items() <= again.get_config().items()


def test_options_are_checked():
    with pytest.raises(ValueError, match="`gamma` must be positive. Received: gamma=0"):
        CircleLoss(gamma=0)
    with pytest.raises(ValueError, match=r"`margin` must lie in \[0, 1\). Received: margin=-0.1"):
        CircleLoss(margin=-0.1)
