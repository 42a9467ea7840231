import json

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.losses.distances import pairwise_distances
from siamese_nn.losses.triplet import (
    TripletHardLoss,
    TripletSemiHardLoss,
    _masked_max,
    triplet_hard_loss,
    triplet_semihard_loss,
)

METRICS = ("L2", "squared-L2", "angular")


@tf.keras.utils.register_keras_serializable(package="tests")
def manhattan(embeddings):
    return tf.reduce_sum(tf.abs(embeddings[:, None] - embeddings[None, :]), axis=-1)


def value_and_gradient(loss, labels, embeddings, *options):
    embeddings = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = tf.reduce_mean(loss(labels, embeddings, *options))
    return value.numpy(), tape.gradient(value, embeddings).numpy()


def some_batch(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random embeddings, or such as have many equal distances."""
    rng = np.random.default_rng(seed)
    n = (5, 12, 23)[seed % 3]  # few shapes, for each is traced anew
    labels = rng.integers(0, rng.integers(1, n + 1), n)
    embeddings = rng.normal(size=(n, 3)).astype(np.float32)
    if kind == "grid":
        embeddings = rng.integers(1, 3, (n, 2)).astype(np.float32)
    elif kind == "identical":
        embeddings = np.repeat(embeddings[:1], n, 0)
    elif kind == "twins":
        # In eighths, so that equal distances are equal to the last bit, whoever computes them.
        embeddings = np.round(embeddings * 8)[rng.integers(0, n // 2 + 1, n)] / 8
    elif kind == "unit":
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return labels, embeddings


KINDS = ("random", "grid", "identical", "twins", "unit")


def slow_distances(embeddings, metric):
    e = embeddings.astype(np.float64)
    if metric == "angular":
        unit = e / np.linalg.norm(e, axis=1, keepdims=True)
        return 1 - unit @ unit.T
    if metric is manhattan:
        return np.abs(e[:, None] - e[None]).sum(-1)
    squared = ((e[:, None] - e[None]) ** 2).sum(-1)
    return squared if metric == "squared-L2" else np.sqrt(squared)


def slow_semi_hard(labels, embeddings, margin, metric):
    """One triplet after another, by FaceNet's words."""
    d, losses = slow_distances(embeddings, metric), []
    for a in range(len(labels)):
        for p in range(len(labels)):
            if a != p and labels[a] == labels[p]:
                negatives = d[a, labels != labels[a]]
                beyond = negatives[negatives > d[a, p]]
                chosen = beyond.min() if len(beyond) else negatives.max() if len(negatives) else d[a].min()
                losses.append(max(0, margin + d[a, p] - chosen))
    return np.mean(losses) if losses else 0.0


def slow_hard(labels, embeddings, margin, metric, soft):
    d, losses = slow_distances(embeddings, metric), []
    for a in range(len(labels)):
        same = labels == labels[a]
        positives, negatives = d[a, same & (np.arange(len(labels)) != a)], d[a, ~same]
        x = (positives.max() if len(positives) else d[a].min()) - (
            negatives.min() if len(negatives) else d[a].max()
        )
        losses.append(np.log1p(np.exp(x)) if soft else max(0, x + margin))
    return np.mean(losses)


@pytest.mark.once  # on the second stack values and gradients are those of Addons
@pytest.mark.parametrize("metric", [*METRICS, manhattan])
@pytest.mark.parametrize("seed", range(6))
def test_values_are_those_of_a_slow_loop(seed, metric):
    labels, embeddings = some_batch("random", seed)
    for margin in (0.0, 0.2, 1.0):
        semi = np.mean(triplet_semihard_loss(labels, embeddings, margin, metric))
        np.testing.assert_allclose(
            semi, slow_semi_hard(labels, embeddings, margin, metric), rtol=1e-4, atol=1e-5
        )
        for soft in (False, True):
            hard = np.mean(triplet_hard_loss(labels, embeddings, margin, soft, metric))
            np.testing.assert_allclose(
                hard, slow_hard(labels, embeddings, margin, metric, soft), rtol=1e-4, atol=1e-5
            )


@pytest.mark.once
@pytest.mark.parametrize("metric", [*METRICS, manhattan])
def test_gradients_are_those_of_finite_differences(metric):
    labels = np.repeat(np.arange(4), 3)
    embeddings = np.random.default_rng(5).normal(size=(12, 4))
    for loss in (
        lambda y, e: triplet_semihard_loss(y, e, 0.7, metric),
        lambda y, e: triplet_hard_loss(y, e, 0.7, False, metric),
        lambda y, e: triplet_hard_loss(y, e, 0.7, True, metric),
    ):
        loss = tf.function(loss)  # of a hundred calls
        _, gradient = value_and_gradient(loss, labels, embeddings)
        step, numeric = 1e-6, np.zeros_like(embeddings)
        for index in np.ndindex(*embeddings.shape):
            moved = [embeddings.copy(), embeddings.copy()]
            moved[0][index] += step
            moved[1][index] -= step
            values = [np.mean(loss(labels, tf.constant(side))) for side in moved]
            numeric[index] = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(gradient, numeric, atol=1e-5)
        # Along the embeddings' own direction, too: norms learn, but for the metric that does not see them.
        assert metric == "angular" or np.abs((gradient * embeddings).sum(1)).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
def test_values_and_gradients_are_those_of_addons(kind, metric):
    addons = pytest.importorskip("tensorflow_addons", reason="needs the addons stack").losses
    for seed in range(8):
        labels, embeddings = some_batch(kind, seed)
        if (kind, metric) == ("identical", "L2"):
            # In eighths: else these distances are rounding alone, which differs by
            # processor, and the root's slope magnifies it.
            embeddings = np.round(embeddings * 8) / 8
        margin = 0.3 * (seed % 2)
        for theirs, ours, options in (
            (addons.triplet_semihard_loss, triplet_semihard_loss, (margin, metric)),
            (addons.triplet_hard_loss, triplet_hard_loss, (margin, False, metric)),
            (addons.triplet_hard_loss, triplet_hard_loss, (margin, True, metric)),
        ):
            expected, expected_gradient = value_and_gradient(theirs, labels, embeddings, *options)
            value, gradient = value_and_gradient(ours, labels, embeddings, *options)
            if np.isnan(expected):  # no pair of one person
                assert value == 0 and not gradient.any()
                continue
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
            scale = max(1.0, np.abs(expected_gradient).max())
            np.testing.assert_allclose(gradient, expected_gradient, atol=2e-5 * scale)


@pytest.mark.parametrize(
    ("metric", "jit"), [("L2", False), ("L2", True), ("squared-L2", False), ("angular", False)]
)
def test_degenerate_batches_are_finite(metric, jit):
    for loss in (
        TripletSemiHardLoss(1.0, metric),
        TripletHardLoss(1.0, False, metric),
        TripletHardLoss(1.0, True, metric),
    ):

        @tf.function(
            jit_compile=jit, input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 2])]
        )
        def compiled(labels, embeddings, loss=loss):
            with tf.GradientTape() as tape:
                tape.watch(embeddings)
                value = loss(labels, embeddings)
            return value, tape.gradient(value, embeddings)

        for labels, embeddings in [
            ([0], [[0.3, 0.4]]),
            ([0, 1, 2], [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]),  # no positives
            ([0, 0, 0], [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]),  # no negatives
            ([0, 0, 1, 1], [[0.1, 0.2]] * 4),  # identical
            ([0, 0, 1, 1], [[0.0, 0.0]] * 4),
            ([0, 0, 1], [[1e4, 0.0], [0.0, 1e4], [-1e4, 1e4]]),
        ]:
            value, gradient = compiled(tf.constant(labels), tf.constant(embeddings))
            assert np.isfinite(value) and np.isfinite(gradient).all(), (loss.name, labels, embeddings)


@pytest.mark.parametrize("metric", METRICS)
def test_nan_is_not_hidden(metric):
    labels = tf.constant([0, 0, 1])
    for loss in (triplet_semihard_loss, triplet_hard_loss):
        # TensorFlow's graph optimizer rewrites comparisons as if there were no NaN.
        in_graph = tf.function(lambda y, e: loss(y, e, 0.5, distance_metric=metric))  # noqa: B023
        for values in ([np.nan, 0.0, 1.0], [0.0, 1.0, np.nan], [np.nan] * 3):
            embeddings = tf.constant(values, tf.float32)[:, None]
            assert np.isnan(np.mean(loss(labels, embeddings, 0.5, distance_metric=metric)))
            assert np.isnan(np.mean(in_graph(labels, embeddings)))


@pytest.mark.once
def test_a_positive_of_every_anchor_takes_few_passes_over_the_distances():
    @tf.function(input_signature=[tf.TensorSpec([24], tf.int32), tf.TensorSpec([24, 2])])
    def step(labels, embeddings):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            loss = TripletSemiHardLoss()(labels, embeddings)
        return tape.gradient(loss, embeddings)

    functions = step.get_concrete_function().graph.as_graph_def(add_shapes=True).library.function
    (body,) = (function for function in functions if "while_body" in function.signature.name)
    results = [shape for node in body.node_def for shape in node.attr["_output_shapes"].list.shape]
    assert sum([side.size for side in shape.dim] == [24, 24] for shape in results) <= 10


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    labels, embeddings = some_batch("unit", 3)
    half = tf.cast(embeddings, dtype)
    for loss in (TripletSemiHardLoss(0.2), TripletHardLoss(0.2)):
        single = loss(labels, tf.cast(half, tf.float32))
        assert loss(labels, half).dtype == tf.float32
        np.testing.assert_allclose(loss(labels, half), single, rtol=1e-6)


def test_distances_by_name_and_zero_gradient_between_twins():
    embeddings = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]], np.float32)
    np.testing.assert_allclose(pairwise_distances(embeddings), [[0, 5, 5], [5, 0, 0], [5, 0, 0]])
    np.testing.assert_allclose(pairwise_distances(embeddings, "squared-L2")[0], [0, 25, 25])
    _, gradient = value_and_gradient(
        lambda _, e: tf.reduce_sum(pairwise_distances(e)[1:, 1:]), None, embeddings
    )
    assert not gradient.any()


@pytest.mark.parametrize("loss", [TripletSemiHardLoss(0.2, manhattan), TripletHardLoss(0.3, True, "angular")])
def test_config_comes_back(loss):
    config = json.loads(json.dumps(tf.keras.losses.serialize(loss)))
    again = tf.keras.losses.deserialize(config)
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    labels, embeddings = some_batch("random", 1)
    assert again(labels, embeddings) == loss(labels, embeddings)


def test_a_model_with_a_metric_that_is_not_registered_can_be_loaded(tmp_path):
    def taxicab(embeddings):
        return manhattan(embeddings)

    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(3)])
    model.compile("sgd", TripletSemiHardLoss(0.5, taxicab))
    path = str(tmp_path / "model.keras")
    model.save(path)
    tf.keras.models.load_model(path, compile=False)
    again = tf.keras.models.load_model(path, custom_objects={"taxicab": taxicab})
    assert again.loss.distance_metric is taxicab


@pytest.mark.parametrize("loss", [TripletSemiHardLoss, TripletHardLoss])
def test_options_are_checked(loss):
    with pytest.raises(ValueError, match="`margin` must be at least 0. Received: margin=-1"):
        loss(margin=-1)
    with pytest.raises(ValueError, match="`distance_metric` must be one of"):
        loss(distance_metric="L3")


# The other two of policy and compilation are those of the monitors' test in the progress bar.
@pytest.mark.parametrize(("policy", "jit"), [("float32", True), ("mixed_bfloat16", False)])
def test_fit_learns(policy, jit):
    tf.keras.utils.set_random_seed(0)
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = tf.keras.Sequential([tf.keras.Input((8,)), tf.keras.layers.Dense(4)])
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    model.compile(tf.keras.optimizers.Adam(0.05), TripletSemiHardLoss(0.5), jit_compile=jit)
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(4), 8)
    x = (np.eye(8)[labels] + 0.8 * rng.normal(size=(32, 8))).astype(np.float32)
    losses = model.fit(x, labels, batch_size=16, epochs=15, verbose=0, shuffle=False).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < 0.7 * losses[0]


def test_a_maximum_keeps_its_gradient_where_it_is_rounded_otherwise_than_its_row(monkeypatch):
    # As XLA does on a GPU, where it computes the row once for the maximum, and once to compare.
    exact = tf.reduce_max
    monkeypatch.setattr(tf, "reduce_max", lambda values, axis: exact(values, axis) * (1 + 1e-6))
    values = tf.constant([[1.0, 3.0, 2.0]])
    with tf.GradientTape() as tape:
        tape.watch(values)
        largest = _masked_max(values, tf.ones([1, 3], tf.bool))
    np.testing.assert_array_equal(tape.gradient(largest, values), [[0, 1, 0]])
