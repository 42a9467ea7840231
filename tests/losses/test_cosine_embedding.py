import json

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.losses.cosine_embedding import CosineEmbeddingLoss, cosine_embedding_loss


def slow_loss(left, right, same, margin):
    """From the embeddings on, by PyTorch's documentation, whose target is 1 or -1."""
    losses = []
    for a, b, target in zip(left, right, np.where(same, 1, -1), strict=True):
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        losses.append(1 - cosine if target == 1 else max(0, cosine - margin))
    return losses


def some_pairs(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(2, 20, 3))
    cosines = (left * right).sum(1) / np.sqrt((left**2).sum(1) * (right**2).sum(1))
    return left, right, rng.integers(0, 2, 20), cosines


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("margin", [0.0, 0.5, -0.3])
def test_values_are_those_of_a_slow_loop(seed, margin):
    left, right, same, cosines = some_pairs(seed)
    expected = slow_loss(left, right, same, margin)
    np.testing.assert_allclose(cosine_embedding_loss(same, cosines, margin), expected, atol=1e-12)
    column = cosine_embedding_loss(same[:, None].astype(np.float32), cosines[:, None], margin)
    np.testing.assert_allclose(column, expected, atol=1e-12)
    loss = CosineEmbeddingLoss(margin)(same, cosines[:, None])
    np.testing.assert_allclose(loss, np.mean(expected), rtol=1e-5)


def test_figures_of_pytorch():
    """What `torch.nn.functional.cosine_embedding_loss` of PyTorch 2.13 gives for these pairs."""
    left = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [1.0, 0.0]])
    right = np.array([[2.0, 1.0], [1.0, 1.0], [1.0, 1.0], [-1.0, 1.0]])
    cosines = (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
    value = cosine_embedding_loss([1, 0, 0, 1], cosines, 0.25)
    np.testing.assert_allclose(value, [0.2, 0.1972135954998238, 0.75, 1.7071067811860172], atol=1e-6)


def value_and_gradient(loss, same, cosines):
    with tf.GradientTape() as tape:
        tape.watch(cosines)
        value = loss(same, cosines)
    return value, tape.gradient(value, cosines)


def test_gradient_draws_and_pushes_by_one():
    _, gradient = value_and_gradient(
        lambda y, c: cosine_embedding_loss(y, c, 0.2), [1, 1, 0, 0], tf.constant([-0.9, 0.9, 0.3, 0.1])
    )
    np.testing.assert_array_equal(gradient, [-1, -1, 1, 0])


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("same", "cosines"), [([1], [1.0]), ([0], [1.0]), ([1, 1], [0.0, -1.0]), ([0], [-1.0])]
)
def test_degenerate_batches_are_finite(same, cosines, jit):
    compiled = tf.function(lambda y, c: value_and_gradient(CosineEmbeddingLoss(), y, c), jit_compile=jit)
    value, gradient = compiled(tf.constant(same), tf.constant(cosines)[:, None])
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    _, _, same, cosines = some_pairs(0)
    half = tf.cast(cosines, dtype)
    value = cosine_embedding_loss(same, half, 0.1)
    assert value.dtype == tf.float32
    np.testing.assert_array_equal(value, cosine_embedding_loss(same, tf.cast(half, tf.float32), 0.1))


def test_config_comes_back():
    loss = CosineEmbeddingLoss(0.3)
    again = tf.keras.losses.deserialize(json.loads(json.dumps(tf.keras.losses.serialize(loss))))
    assert type(again) is CosineEmbeddingLoss
    assert {"margin": 0.3, "name": "cosine_embedding_loss"}.items() <= again.get_config().items()


def test_options_are_checked():
    with pytest.raises(ValueError, match=r"`margin` must lie in \[-1, 1\]. Received: margin=1.5"):
        CosineEmbeddingLoss(margin=1.5)
