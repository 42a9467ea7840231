import json
import math

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.losses.margin_softmax import (
    ArcFaceLoss,
    CosFaceLoss,
    SphereFaceLoss,
    arcface_loss,
    cosface_loss,
    sphereface_loss,
)
from siamese_nn.models import CosineClassifier

LOSSES = [CosFaceLoss, ArcFaceLoss, SphereFaceLoss]


def with_margin(kind: str, cosine: float, margin: float) -> float:
    """The papers' formulas, by way of the angle."""
    theta = math.acos(cosine)
    if kind == "cosface":
        return cosine - margin
    if kind == "arcface":
        return math.cos(theta + margin) if theta + margin < math.pi else cosine - margin * math.sin(margin)
    k = min(math.floor(margin * theta / math.pi), margin - 1)
    return (-1) ** k * math.cos(margin * theta) - 2 * k


def slow_loss(kind, labels, cosines, scale, margin):
    losses = []
    for label, row in zip(labels, cosines.astype(np.float64), strict=True):
        logits = [scale * (with_margin(kind, c, margin) if j == label else c) for j, c in enumerate(row)]
        losses.append(np.logaddexp.reduce(logits) - logits[label])
    return losses


FUNCTIONS = {"cosface": cosface_loss, "arcface": arcface_loss, "sphereface": sphereface_loss}
SETTINGS = [
    ("cosface", 64.0, 0.35),
    ("cosface", 10.0, 0.0),
    ("arcface", 64.0, 0.5),
    ("arcface", 10.0, 1.2),
    ("sphereface", 30.0, 4),
    ("sphereface", 10.0, 3),
    ("sphereface", 10.0, 2),
]


def some_batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 6, 40), rng.uniform(-0.999, 0.999, (40, 6))


def value_and_gradient(loss, labels, cosines):
    with tf.GradientTape() as tape:
        tape.watch(cosines)
        value = loss(labels, cosines)
    return value, tape.gradient(value, cosines)


@pytest.mark.parametrize(("kind", "scale", "margin"), SETTINGS)
def test_values_are_those_of_a_slow_loop(kind, scale, margin):
    for seed in range(3):
        labels, cosines = some_batch(seed)
        expected = slow_loss(kind, labels, cosines, scale, margin)
        np.testing.assert_allclose(FUNCTIONS[kind](labels, cosines, scale, margin), expected, atol=1e-8)
        single = cosines.astype(np.float32)
        column = FUNCTIONS[kind](labels[:, None].astype(np.float32), single, scale, margin)
        np.testing.assert_allclose(column, expected, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize(("kind", "scale", "margin"), SETTINGS)
def test_gradients_are_those_of_finite_differences(kind, scale, margin):
    labels, cosines = some_batch(7)
    labels, cosines = labels[:12], cosines[:12]
    _, gradient = value_and_gradient(
        lambda y, c: FUNCTIONS[kind](y, c, scale, margin), labels, tf.constant(cosines)
    )
    step = 1e-6
    for j in range(cosines.shape[1]):
        moved = [cosines.copy(), cosines.copy()]
        moved[0][:, j] += step
        moved[1][:, j] -= step
        high, low = (np.array(slow_loss(kind, labels, c, scale, margin)) for c in moved)
        np.testing.assert_allclose(gradient[:, j], (high - low) / (2 * step), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [CosFaceLoss(20.0, 0.0), ArcFaceLoss(20.0, 0.0), SphereFaceLoss(20.0, 1)],
    ids=lambda loss: loss.name,
)
def test_without_margin_it_is_a_scaled_softmax(loss):
    labels, cosines = some_batch(1)
    cosines = np.append(cosines, [[1.0, -1, 1, -1, 0, 0], [-1.0, 1, 1, -1, 0, 0]], axis=0)
    labels = np.append(labels, [0, 0])
    expected = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, 20 * cosines)
    np.testing.assert_allclose(loss(labels, cosines), expected, rtol=1e-5)


@pytest.mark.parametrize(("kind", "scale", "margin"), SETTINGS)
def test_the_loss_falls_as_the_true_cosine_rises(kind, scale, margin):
    rising = np.linspace(-1, 1, 2001)[:, None]
    cosines = np.append(rising, np.zeros((2001, 1)), axis=1)
    losses = FUNCTIONS[kind](np.zeros(2001, int), cosines, scale, margin).numpy()
    assert (np.diff(losses) <= 1e-12).all() and losses[0] - losses[-1] > 0.99 * scale


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("loss", [loss() for loss in LOSSES], ids=lambda loss: loss.name)
def test_degenerate_batches_are_finite(loss, jit):
    compiled = tf.function(lambda y, c: value_and_gradient(loss, y, c), jit_compile=jit)
    almost = np.nextafter(np.float32(1), np.float32(0))
    for cosine in (1.0, -1.0, 0.0, 1.000001, -1.000001, almost, -almost, -math.cos(0.5)):
        value, gradient = compiled(tf.constant([1]), tf.constant([[cosine] * 3], tf.float32))
        assert np.isfinite(value) and np.isfinite(gradient).all()
    alone, gradient = compiled(tf.constant([0]), tf.constant([[0.3]]))  # one class
    assert abs(alone) < 1e-6 and np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_half_precision_is_computed_in_single(kind, dtype):
    labels, cosines = some_batch(0)
    half = tf.cast(cosines, dtype)
    value = FUNCTIONS[kind](labels, half)
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, FUNCTIONS[kind](labels, tf.cast(half, tf.float32)), rtol=1e-6)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_groups_learn_each_on_their_own(kind):
    labels, cosines = some_batch(0)
    _, others = some_batch(1)
    both = tf.stack([cosines, others], axis=1)
    expected = (FUNCTIONS[kind](labels, cosines) + FUNCTIONS[kind](labels, others)) / 2
    np.testing.assert_allclose(FUNCTIONS[kind](labels, both), expected, rtol=1e-5)
    compiled = tf.function(FUNCTIONS[kind], jit_compile=True)
    np.testing.assert_allclose(compiled(labels, both), expected, rtol=1e-4)


def test_a_grouped_classifier_is_one_for_each_group():
    embeddings = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    layer = CosineClassifier(4, groups=2, name="who")
    cosines = layer(embeddings)
    assert cosines.shape == (5, 2, 4) == (5, *layer.compute_output_shape((None, 6))[1:])
    for i, directions in enumerate(layer.get_weights()):
        alone = CosineClassifier(4)
        part = embeddings[:, 3 * i : 3 * i + 3]
        alone(part)
        alone.set_weights([directions])
        np.testing.assert_allclose(cosines[:, i], alone(part), rtol=1e-5)
    assert CosineClassifier.from_config(layer.get_config()).groups == 2
    with pytest.raises(ValueError, match="must divide the size .* Received: groups=2, size 5"):
        CosineClassifier(4, groups=2)(embeddings[:, :5])
    with pytest.raises(ValueError, match="must be at least 1. Received: n_classes=4, groups=0"):
        CosineClassifier(4, groups=0)


def test_classifier_gives_cosines():
    rng = np.random.default_rng(0)
    embeddings = (100 * rng.normal(size=(5, 4))).astype(np.float32)
    layer = CosineClassifier(3)
    cosines = layer(embeddings).numpy()
    directions = layer.get_weights()[0]
    for i in range(5):
        for j in range(3):
            a, b = embeddings[i], directions[:, j]
            assert abs(cosines[i, j] - a @ b / np.linalg.norm(a) / np.linalg.norm(b)) < 1e-5
    assert layer.compute_output_shape((None, 4)) == (None, 3)
    with tf.GradientTape() as tape:
        zeros = tf.zeros((2, 4))
        tape.watch(zeros)
        loss = ArcFaceLoss()(tf.constant([0, 1]), layer(zeros))
    assert np.isfinite(loss) and np.isfinite(tape.gradient(loss, zeros)).all()


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_classifier_computes_in_single_precision_and_keeps_its_config(dtype):
    tf.keras.mixed_precision.set_global_policy(dtype)
    try:
        layer = CosineClassifier(7, name="who")
        assert layer(tf.ones((2, 3), tf.float16)).dtype == tf.float32
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    again = CosineClassifier.from_config(json.loads(json.dumps(layer.get_config())))
    assert (again.n_classes, again.name, again.compute_dtype) == (7, "who", "float32")


@pytest.mark.parametrize("loss", [CosFaceLoss(32.0, 0.2), ArcFaceLoss(32.0, 0.2), SphereFaceLoss(32.0, 2)])
def test_config_comes_back(loss):
    again = tf.keras.losses.deserialize(json.loads(json.dumps(tf.keras.losses.serialize(loss))))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    assert (again.scale, again.margin) == (32.0, loss.margin)


def test_options_are_checked():
    for loss in LOSSES:
        with pytest.raises(ValueError, match="`scale` must be positive. Received: scale=0"):
            loss(scale=0)
    with pytest.raises(ValueError, match="`margin` must be at least 0. Received: margin=-1"):
        CosFaceLoss(margin=-1)
    with pytest.raises(ValueError, match=r"`margin` must lie in \[0, pi / 2\). Received: margin=1.6"):
        ArcFaceLoss(margin=1.6)
    for margin in (0, 1.5):
        with pytest.raises(ValueError, match=f"`margin` must be a whole number.* Received: margin={margin}"):
            SphereFaceLoss(margin=margin)
    with pytest.raises(
        ValueError, match="`n_classes` and `groups` must be at least 1. Received: n_classes=0"
    ):
        CosineClassifier(0)


@pytest.mark.parametrize(
    ("loss", "policy", "jit"),
    [
        (CosFaceLoss(16.0), "mixed_bfloat16", False),
        (ArcFaceLoss(16.0), "mixed_float16", True),
        (SphereFaceLoss(16.0, 2), "float32", True),
    ],
)
def test_fit_learns(loss, policy, jit):
    tf.keras.utils.set_random_seed(0)
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = tf.keras.Sequential([tf.keras.Input((8,)), tf.keras.layers.Dense(8), CosineClassifier(4)])
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    model.compile(
        tf.keras.optimizers.Adam(0.02), loss, metrics=["sparse_categorical_accuracy"], jit_compile=jit
    )
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(4), 32)
    x = (np.eye(8)[labels] + 0.2 * rng.normal(size=(128, 8))).astype(np.float32)
    history = model.fit(x, labels, batch_size=32, epochs=12, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["sparse_categorical_accuracy"][-1] > 0.95
