import json

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.losses.monitors import ActiveTriplets, NegativeDistance, PositiveDistance
from siamese_nn.losses.triplet import TripletSemiHardLoss

METRICS = ("L2", "squared-L2", "angular")


@tf.keras.utils.register_keras_serializable(package="tests")
def chessboard(embeddings):
    return tf.reduce_max(tf.abs(embeddings[:, None] - embeddings[None, :]), axis=-1)


def some_batch(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 20))
    embeddings = rng.normal(size=(n, 3)).astype(np.float32)
    if kind == "grid":
        embeddings = rng.integers(1, 4, (n, 2)).astype(np.float32)
    return rng.integers(0, rng.integers(1, n), n), embeddings


def slow_distances(embeddings, metric):
    e = embeddings.astype(np.float64)
    if metric == "angular":
        return 1 - e @ e.T / np.linalg.norm(e, axis=1) / np.linalg.norm(e, axis=1)[:, None]
    squared = ((e[:, None] - e[None]) ** 2).sum(-1)
    return squared if metric == "squared-L2" else np.sqrt(squared)


def slow_monitors(batches, margin, metric):
    active, positive, negative = [], [], []
    for labels, embeddings in batches:
        d = slow_distances(embeddings, metric)
        for a in range(len(labels)):
            away = d[a, labels != labels[a]]
            negative.extend(away)
            for p in range(len(labels)):
                if a == p or labels[a] != labels[p]:
                    continue
                positive.append(d[a, p])
                if len(away):
                    beyond = away[away > d[a, p]]
                    chosen = beyond.min() if len(beyond) else away.max()
                    active.append(margin + d[a, p] - chosen > 0)
    return [np.mean(values) if values else 0.0 for values in (active, positive, negative)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(6))
def test_values_are_those_of_a_slow_loop_over_several_batches(seed, metric):
    batches = [some_batch("random", 3 * seed + i) for i in range(3)]
    for margin in (0.0, 0.1, 1.0):
        monitors = [ActiveTriplets(margin, metric), PositiveDistance(metric), NegativeDistance(metric)]
        for labels, embeddings in batches:
            for monitor in monitors:
                monitor.update_state(labels[:, None], embeddings)
        values = [float(monitor.result()) for monitor in monitors]
        np.testing.assert_allclose(values, slow_monitors(batches, margin, metric), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_equal_distances_are_not_beyond(seed):
    """On a grid, whose squared distances are whole numbers, without rounding."""
    batch = some_batch("grid", seed)
    for margin in (0.0, 0.5, 1.0, 2.0):
        active = ActiveTriplets(margin, "squared-L2")
        active.update_state(*batch)
        np.testing.assert_allclose(
            active.result(), slow_monitors([batch], margin, "squared-L2")[0], rtol=1e-6
        )


def test_none_active_just_where_the_loss_is_zero():
    labels, embeddings = [0, 0, 1, 1], tf.constant([[0.0], [0.1], [5.0], [5.1]])
    for margin, share in ((1.0, 0.0), (4.85, 0.5), (5.5, 1.0)):
        active = ActiveTriplets(margin)
        active.update_state(labels, embeddings)
        assert active.result() == share
        assert (TripletSemiHardLoss(margin)(labels, embeddings) > 0) == (share > 0)


@pytest.mark.parametrize("jit", [False, True])
def test_degenerate_batches(jit):
    for i, monitor in enumerate((ActiveTriplets(), PositiveDistance(), NegativeDistance())):

        @tf.function(
            jit_compile=jit, input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 2])]
        )
        def update(y, e, monitor=monitor):
            monitor.update_state(y, e)  # returns an operation in Keras 2, which a function must not

        for labels, embeddings, expected in (
            ([0], [[0.3, 0.4]], (0, 0, 0)),
            ([0, 1, 2], [[0.0, 3.0], [0.0, 0.0], [4.0, 0.0]], (0, 0, 4)),  # no positives
            ([0, 0], [[0.0, 3.0], [4.0, 0.0]], (0, 5, 0)),  # no negatives
            ([0, 0, 1, 1], [[0.1, 0.2]] * 4, (1, 0, 0)),  # identical
            ([0, 0, 1, 1], [[0.0, 0.0]] * 4, (1, 0, 0)),
        ):
            monitor.reset_state()
            update(tf.constant(labels), tf.constant(embeddings))
            assert monitor.result() == expected[i], (labels, embeddings)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("mode", ["eager", "graph", "compiled"])
def test_nan_is_shown_and_does_not_stop_training(mode, metric):
    for monitor in (ActiveTriplets(0.5, metric), PositiveDistance(metric), NegativeDistance(metric)):

        def update(y, e, monitor=monitor):
            monitor.update_state(y, e)

        if mode != "eager":
            update = tf.function(update, jit_compile=mode == "compiled")
        for values in ([np.nan, 0.0, 1.0], [np.nan] * 3):
            monitor.reset_state()
            update(tf.constant([0, 0, 1]), tf.constant(values, tf.float32)[:, None])
            assert np.isnan(monitor.result())


def test_half_precision_is_computed_in_single():
    labels, embeddings = some_batch("random", 1)
    half = tf.cast(1000 * embeddings, tf.float16)  # squares overflow in float16
    distance = NegativeDistance()
    distance.update_state(labels, half)
    expected = slow_monitors([(labels, half.numpy())], 1.0, "L2")[2]
    np.testing.assert_allclose(distance.result(), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "monitor",
    [ActiveTriplets(0.3, chessboard), PositiveDistance("angular", name="near"), NegativeDistance(chessboard)],
)
def test_config_comes_back(monitor):
    again = tf.keras.metrics.deserialize(json.loads(json.dumps(tf.keras.metrics.serialize(monitor))))
    assert type(again) is type(monitor) and again.get_config() == monitor.get_config()
    assert again.distance_metric == monitor.distance_metric and again.name == monitor.name
    for m in (monitor, again):
        m.update_state(*some_batch("random", 2))
    assert again.result() == monitor.result()


def test_options_are_checked():
    with pytest.raises(ValueError, match="`margin` must be at least 0. Received: margin=-1"):
        ActiveTriplets(margin=-1)
    for monitor in (ActiveTriplets, PositiveDistance, NegativeDistance):
        with pytest.raises(ValueError, match="`distance_metric` must be one of"):
            monitor(distance_metric="L3")


@pytest.mark.parametrize(
    ("policy", "jit"), [("float32", False), ("mixed_float16", True), ("mixed_bfloat16", False)]
)
def test_in_the_progress_bar(policy, jit):
    tf.keras.utils.set_random_seed(0)
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = tf.keras.Sequential([tf.keras.Input((8,)), tf.keras.layers.Dense(4)])
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    labels = np.tile(np.arange(4), 8)
    photos = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)
    monitors = [ActiveTriplets(0.5), PositiveDistance(), NegativeDistance()]
    model.compile(tf.keras.optimizers.SGD(0.0), TripletSemiHardLoss(0.5), metrics=monitors, jit_compile=jit)
    history = model.fit(photos, labels, batch_size=16, epochs=1, shuffle=False, verbose=0).history
    embeddings = model.predict(photos, verbose=0).astype(np.float32)
    batches = [(labels[i : i + 16], embeddings[i : i + 16]) for i in (0, 16)]
    expected = slow_monitors(batches, 0.5, "L2")
    for name, value in zip(
        ("active_triplets", "positive_distance", "negative_distance"), expected, strict=True
    ):
        np.testing.assert_allclose(history[name][-1], value, rtol=0.03 if policy != "float32" else 1e-4)
