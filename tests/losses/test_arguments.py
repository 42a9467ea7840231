"""What all losses share: `reduction`, `dtype`, the check of numbers and labels, and functions that load."""

import json

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import losses

# All of them: a class, its function, and what it takes for each label.
OF_PAIRS = {"ContrastiveLoss": "distances", "CosineEmbeddingLoss": "cosines"}
FUNCTIONS = {
    name.replace("_", ""): getattr(losses, name) for name in losses.__all__ if name.endswith("_loss")
}
ALL = [
    (getattr(losses, name), FUNCTIONS.pop(name.lower()), OF_PAIRS.get(name, "embeddings"))
    for name in losses.__all__
    if name.endswith("Loss")
]
CLASSES = [row[0] for row in ALL]
NUMBERS = [
    (loss, argument)
    for loss in CLASSES
    for argument, value in loss().get_config().items()
    if isinstance(value, int | float) and not isinstance(value, bool)
]
every = pytest.mark.parametrize(("loss", "function", "takes"), ALL)


def test_every_loss_has_its_function_and_every_function_its_loss():
    assert len(ALL) >= 10 and not FUNCTIONS


def some_batch(takes: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(8, 6)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    if takes == "embeddings":
        return np.array([0, 0, 0, 1, 1, 2, 2, 3]), embeddings
    return np.array([0, 1, 0, 1, 1, 0, 0, 1]), np.abs(embeddings[:, :1])


@every
def test_there_is_a_value_for_each_photo_pair_or_triplet(loss, function, takes):
    labels, outputs = some_batch(takes)
    each, mean = loss(reduction="none")(labels, outputs), loss()(labels, outputs)
    assert each.shape == function(labels, outputs).shape == (8,) and mean.shape == ()
    np.testing.assert_allclose(np.mean(each), mean, rtol=1e-6)
    np.testing.assert_allclose(loss(reduction="sum")(labels, outputs), 8 * mean, rtol=1e-6)


@every
def test_weights_of_photos_are_those_of_their_values(loss, function, takes):
    labels, outputs = some_batch(takes)
    weights = np.arange(8, dtype=np.float32)
    each = loss(reduction="none")(labels, outputs)
    weighted = loss()(labels, outputs, sample_weight=weights)
    np.testing.assert_allclose(weighted, np.mean(weights * each), rtol=1e-5)


@every
def test_each_value_has_its_own_gradient(loss, function, takes):
    """Weighs the values, by which each photo's gradient is told from the rest."""
    labels, outputs = some_batch(takes)
    outputs, weights = outputs.astype(np.float64), np.linspace(0.5, 2, 8)

    def weighted(outputs):
        return tf.reduce_sum(weights * function(labels, outputs))

    with tf.GradientTape() as tape:
        tape.watch(variable := tf.constant(outputs))
        value = weighted(variable)
    gradient = tape.gradient(value, variable)
    direction = np.random.default_rng(1).normal(size=outputs.shape)
    if loss is losses.HarmonicTripletLoss:
        direction[:, :3] = 0  # the old embeddings, which learn nothing
    numeric = (weighted(outputs + 1e-6 * direction) - weighted(outputs - 1e-6 * direction)) / 2e-6
    if loss is not losses.CircleLoss:  # whose weights are constants; see test_circle.py
        np.testing.assert_allclose(np.sum(gradient * direction), numeric, rtol=1e-5)


@every
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", tf.float64])
def test_the_loss_has_the_type_that_was_asked_for(loss, function, takes, dtype):
    labels, outputs = some_batch(takes)
    value = loss(dtype=dtype)(labels, outputs)
    assert value.dtype == tf.as_dtype(dtype)
    rtol = {"bfloat16": 5e-2, "float16": 1e-2}.get(dtype, 1e-5)
    rtol = 0.01 if value.dtype in (tf.float16, tf.bfloat16) else 1e-5  # rounded once, at the end
    np.testing.assert_allclose(tf.cast(value, tf.float64), loss()(labels, outputs), rtol=rtol)


def test_double_precision_is_kept():
    labels, outputs = some_batch("distances")
    exact = np.mean(losses.contrastive_loss(labels, outputs.astype(np.float64) + 1e-9))
    assert losses.ContrastiveLoss(dtype="float64")(labels, outputs.astype(np.float64) + 1e-9) == exact


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_tells_people_apart(dtype):
    labels, embeddings = some_batch("embeddings")
    for loss in (losses.TripletSemiHardLoss, losses.TripletHardLoss, losses.CircleLoss):
        value = loss(dtype=dtype)(labels + 4096, embeddings)
        assert value == loss(dtype=dtype)(labels, embeddings)


def test_a_policy_is_a_dtype():
    policy = tf.keras.mixed_precision.Policy("mixed_bfloat16")
    assert losses.CircleLoss(dtype=policy).get_config()["dtype"] == "bfloat16"


@pytest.mark.parametrize("loss", CLASSES)
@pytest.mark.parametrize("dtype", ["int32", "banana", 7.5])
def test_other_types_are_refused(loss, dtype):
    with pytest.raises(ValueError, match="`dtype` must be a floating type"):
        loss(dtype=dtype)


@pytest.mark.parametrize("loss", CLASSES)
def test_an_unknown_reduction_is_refused(loss):
    with pytest.raises(ValueError, match="(?i)reduction"):
        loss(reduction="median")


@every
@pytest.mark.parametrize("options", [{}, {"reduction": "sum", "dtype": "float64", "name": "mine"}])
def test_config_comes_back_whole(loss, function, takes, options):
    first = loss(**options)
    config = json.loads(json.dumps(tf.keras.losses.serialize(first)))
    again = tf.keras.losses.deserialize(config)
    assert type(again) is loss and again.get_config() == first.get_config()
    assert options.items() <= again.get_config().items()
    labels, outputs = some_batch(takes)
    assert again(labels, outputs) == first(labels, outputs)
    # As it was before there were the two.
    old = {key: value for key, value in first.get_config().items() if key not in ("reduction", "dtype")}
    assert loss.from_config(old).get_config()["reduction"] == "sum_over_batch_size"


@pytest.mark.parametrize(("loss", "argument"), NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None, True, [0.5]])
def test_what_is_no_finite_number_is_refused(loss, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be a finite number. Received: {argument}="):
        loss(**{argument: value})


@pytest.mark.parametrize(("loss", "argument"), NUMBERS)
def test_a_number_of_numpy_is_one_of_python_in_the_config(loss, argument):
    config = loss(**{argument: np.float32(loss().get_config()[argument])}).get_config()
    assert json.loads(json.dumps(config)) == config
    assert config[argument] == pytest.approx(loss().get_config()[argument])


def test_a_metric_in_the_place_of_soft_is_refused():
    with pytest.raises(ValueError, match="`soft` must be True or False. Received: soft='angular'"):
        losses.TripletHardLoss(1.0, "angular")


LABELLED = [row for row in ALL if row[0] is not losses.TripletLoss]  # which has none


@pytest.mark.parametrize(("loss", "function", "takes"), LABELLED)
def test_a_label_that_is_nan_is_refused_or_makes_the_loss_nan(loss, function, takes):
    labels, outputs = some_batch(takes)
    labels, outputs = labels.astype(np.float32), tf.constant(outputs)
    labels[3] = np.nan
    for compute in (loss(), function):
        with pytest.raises(ValueError, match="`y_true` must hold .* row 3"):
            compute(labels, outputs)

    def value_and_gradient(labels, outputs):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = loss()(labels, outputs)
        return value, tape.gradient(value, outputs)

    for jit in (False, True):
        compiled = tf.function(value_and_gradient, jit_compile=jit)
        for unlabelled in (
            labels,
            np.full(8, np.nan, np.float32),
            np.array([np.nan, *range(1, 6), 0, 9], np.float32),
        ):
            try:
                value, gradient = compiled(unlabelled, outputs)
            except tf.errors.InvalidArgumentError:
                assert "Face" in loss.__name__ and not jit  # TensorFlow looks for the class on the processor
            else:
                # TensorFlow made deterministic, as by any `train` before, gives these a finite gradient.
                assert np.isnan(value) and ("Face" in loss.__name__ or np.isnan(gradient).any())


@pytest.mark.parametrize("monitor", [losses.ActiveTriplets, losses.PositiveDistance, losses.NegativeDistance])
def test_a_label_that_is_nan_is_refused_by_a_monitor_or_makes_it_nan(monitor):
    labels, embeddings = some_batch("embeddings")
    labels = labels.astype(np.float32)
    labels[3] = np.nan
    with pytest.raises(ValueError, match="`y_true` must hold .* row 3"):
        monitor().update_state(labels, embeddings)
    for jit in (False, True):
        filled = monitor()

        @tf.function(jit_compile=jit)
        def update(labels, embeddings):
            filled.update_state(labels, embeddings)  # noqa: B023

        update(labels, embeddings)
        assert np.isnan(filled.result())


@pytest.mark.parametrize("loss", [losses.CosFaceLoss, losses.ArcFaceLoss, losses.SphereFaceLoss])
@pytest.mark.parametrize("label", [-1, 6, 1.5, 1e9])
def test_a_label_that_is_no_class_is_refused_or_makes_the_loss_nan(loss, label):
    labels, cosines = some_batch("embeddings")
    labels = labels.astype(np.float32)
    labels[3] = label
    with pytest.raises(
        ValueError, match=rf"`y_true` must hold whole numbers from 0 to 5.*: {label:.1f}.* in row 3"
    ):
        loss()(labels, cosines)
    assert np.isnan(tf.function(loss(), jit_compile=True)(labels, cosines))
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.function(loss())(labels, cosines)


@pytest.mark.parametrize("function", [losses.contrastive_loss, losses.cosine_embedding_loss])
def test_labels_that_are_not_one_for_each_pair_are_refused(function):
    with pytest.raises(ValueError, match=r"`y_true` must hold one number for each row.*shape \(4, 2\)"):
        function(np.eye(2)[[0, 0, 1, 1]], np.zeros((4, 1), np.float32))
