import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.losses import MultiSimilarityLoss, multi_similarity_loss

SETTINGS = [(2.0, 50.0, 0.5, 0.1), (2.0, 50.0, 1.0, 0.01), (1.0, 3.0, -0.2, 0.5)]


def some_batch(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.append(np.repeat(np.arange(4), 4), [7, 8])  # the last two have no positives
    embeddings = rng.normal(size=(18, 3))
    if kind == "clustered":
        embeddings = np.eye(9)[labels] + 0.3 * rng.normal(size=(18, 9))
    elif kind == "twins":
        embeddings = embeddings[rng.integers(0, 8, 18)]
    return labels, embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def slow_loss(labels, embeddings, alpha, beta, base, margin):
    """The paper's two steps, photo by photo."""
    losses = []
    for i in range(len(labels)):
        cosines = {j: embeddings[i] @ embeddings[j] for j in range(len(labels)) if j != i}
        positives = [s for j, s in cosines.items() if labels[j] == labels[i]]
        negatives = [s for j, s in cosines.items() if labels[j] != labels[i]]
        if not positives or not negatives:
            losses.append(0.0)
            continue
        p = [s for s in positives if s < max(negatives) + margin]
        n = [s for s in negatives if s > min(positives) - margin]
        towards = np.log(1 + sum(np.exp(-alpha * (s - base)) for s in p)) / alpha
        losses.append(towards + np.log(1 + sum(np.exp(beta * (s - base)) for s in n)) / beta)
    return np.array(losses)


@pytest.mark.parametrize("kind", ["random", "clustered", "twins"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_values_are_those_of_a_slow_loop(kind, settings):
    for seed in range(3):
        labels, embeddings = some_batch(kind, seed)
        expected = slow_loss(labels, embeddings, *settings)
        np.testing.assert_allclose(
            multi_similarity_loss(labels, embeddings, *settings), expected, rtol=1e-9, atol=1e-12
        )
        single = MultiSimilarityLoss(*settings)(labels[:, None], embeddings.astype(np.float32))
        # A pair at the edge may be mined in the one precision and not in the other; twins are at it.
        if kind != "twins":
            np.testing.assert_allclose(single, expected.mean(), rtol=1e-4)


def test_mining_leaves_out_pairs_that_lie_well():
    labels, embeddings = some_batch("clustered", 0)
    all_pairs = slow_loss(labels, embeddings, 2.0, 50.0, 0.5, 10.0)
    mined = slow_loss(labels, embeddings, 2.0, 50.0, 0.5, 0.1)
    assert (mined[:16] <= all_pairs[:16]).all() and (mined[:16] < all_pairs[:16]).sum() > 5
    np.testing.assert_allclose(multi_similarity_loss(labels, embeddings), mined, rtol=1e-9, atol=1e-12)


def value_and_gradient(loss, labels, embeddings):
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = loss(labels, embeddings)
    return value, tape.gradient(value, embeddings)


@pytest.mark.parametrize("kind", ["random", "clustered"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_gradients_are_those_of_finite_differences(kind, settings):
    labels, embeddings = some_batch(kind, 4)
    weights = np.linspace(0.5, 2, 18)  # tell the photos' gradients apart
    _, gradient = value_and_gradient(
        lambda y, e: tf.reduce_sum(weights * multi_similarity_loss(y, e, *settings)),
        labels,
        tf.constant(embeddings),
    )
    step, numeric = 1e-6, np.zeros_like(embeddings)
    for index in np.ndindex(*embeddings.shape):
        moved = np.stack([embeddings, embeddings])
        moved[0][index] += step
        moved[1][index] -= step
        above, below = (weights @ slow_loss(labels, e, *settings) for e in moved)
        numeric[index] = (above - below) / (2 * step)
    np.testing.assert_allclose(gradient, numeric, atol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_degenerate_batches_are_finite(jit):
    compiled = tf.function(lambda y, e: value_and_gradient(MultiSimilarityLoss(), y, e), jit_compile=jit)
    for labels, embeddings, is_zero in [
        (np.zeros(0, int), np.zeros((0, 2)), True),
        ([0], [[1.0, 0.0]], True),
        ([0, 1, 2], [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], True),  # no positives
        ([0, 0, 0], [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], True),  # no negatives
        ([0, 0, 1, 1], [[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]], True),  # all lie well
        ([0, 0, 1, 1], [[0.6, 0.8]] * 4, False),  # identical
        ([0, 0, 1, 1], [[0.0, 0.0]] * 4, False),
        ([0, 0, 1], [[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], False),  # as wrong as can be
    ]:
        value, gradient = compiled(tf.constant(labels), tf.constant(embeddings, tf.float32))
        assert np.isfinite(value).all() and np.isfinite(gradient).all()
        assert np.all(value == 0) == is_zero and (not is_zero or not np.any(gradient))


@pytest.mark.parametrize("jit", [False, True])
def test_nan_is_not_hidden(jit):
    labels, embeddings = some_batch("random", 0)
    embeddings[0, 0] = np.nan
    loss = tf.function(multi_similarity_loss, jit_compile=jit)
    assert np.isnan(loss(tf.constant(labels), tf.constant(embeddings))).all()


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    labels, embeddings = some_batch("random", 3)
    half = tf.cast(embeddings, dtype)
    value = multi_similarity_loss(labels, half)
    assert value.dtype == tf.float32
    np.testing.assert_array_equal(value, multi_similarity_loss(labels, tf.cast(half, tf.float32)))


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True])
def test_it_separates_people(jit):
    labels, photos = some_batch("random", 1)
    labels, photos = labels[:16], photos[:16].astype(np.float32)
    tf.keras.utils.set_random_seed(0)
    hidden = tf.keras.layers.Dense(64, activation="relu")
    model = tf.keras.Sequential(
        [tf.keras.Input((3,)), hidden, tf.keras.layers.Dense(8), tf.keras.layers.UnitNormalization()]
    )
    model.compile(tf.keras.optimizers.Adam(0.02), MultiSimilarityLoss(), jit_compile=jit)
    before = model.evaluate(photos, labels, verbose=0)
    model.fit(tf.data.Dataset.from_tensors((photos, labels)).repeat(150), verbose=0)
    assert model.evaluate(photos, labels, verbose=0) < before / 3


def test_options_are_checked():
    for option, rule in (
        ({"alpha": 0}, "be positive. Received: alpha=0"),
        ({"beta": -1}, "be positive. Received: beta=-1"),
        ({"base": 1.5}, r"lie in \[-1, 1\]. Received: base=1.5"),
        ({"margin": -0.1}, "be at least 0. Received: margin=-0.1"),
    ):
        with pytest.raises(ValueError, match=f"`{next(iter(option))}` must {rule}"):
            MultiSimilarityLoss(**option)
