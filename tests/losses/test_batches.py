"""What every loss and monitor makes of an empty batch, and of labels that are not one for each photo."""

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import losses
from siamese_nn.losses.distances import pairwise_distances

MINING = [
    losses.TripletSemiHardLoss(),
    losses.TripletSemiHardLoss(distance_metric="angular"),
    losses.TripletHardLoss(),
    losses.TripletHardLoss(soft=True),
    losses.HarmonicTripletLoss(),
    losses.CircleLoss(),
]
CLASSIFYING = [losses.CosFaceLoss(), losses.ArcFaceLoss(), losses.SphereFaceLoss()]
MONITORS = [losses.ActiveTriplets, losses.PositiveDistance, losses.NegativeDistance]


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("loss", "units"),
    [(loss, 6) for loss in [*MINING, *CLASSIFYING, losses.TripletLoss()]]
    + [(losses.ContrastiveLoss(), 1), (losses.CosineEmbeddingLoss(), 1)],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_empty_batch_costs_and_teaches_nothing(loss, units, jit):
    weights = tf.ones((4, units))

    @tf.function(jit_compile=jit, input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 4])])
    def value_and_gradient(labels, photos):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss(labels, tf.matmul(photos, weights))
        return value, tape.gradient(value, weights)

    value, gradient = value_and_gradient(tf.zeros(0, tf.int32), tf.zeros((0, 4)))
    assert value == 0 and gradient.shape == weights.shape and not np.any(gradient)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("monitor", MONITORS)
def test_an_empty_batch_changes_no_monitor(monitor, jit):
    monitor = monitor()

    @tf.function(jit_compile=jit, reduce_retracing=True)
    def update(labels, embeddings):
        monitor.update_state(labels, embeddings)

    update(tf.constant([0, 0, 1]), tf.constant([[0.0], [1.0], [3.0]]))
    before = float(monitor.result())
    update(tf.zeros(0, tf.int32), tf.zeros((0, 1)))
    assert monitor.result() == before


@pytest.mark.parametrize("shape", [(3,), (5,), (1,), (4, 3), (4, 2), ()])
@pytest.mark.parametrize(
    "take",
    [*MINING, *CLASSIFYING, *(monitor().update_state for monitor in MONITORS)],
    ids=lambda take: getattr(take, "name", None),
)
def test_labels_that_are_not_one_for_each_photo_are_refused(take, shape):
    embeddings = tf.eye(4, 6)
    with pytest.raises(ValueError, match=r"`y_true` must hold one number.*tf.argmax.*`y_true` of shape \("):
        take(tf.zeros(shape, tf.int32), embeddings)
    for right in ((4,), (4, 1)):
        take(tf.zeros(right, tf.int32), embeddings)


@pytest.mark.parametrize("jit", [False, True])
def test_one_hot_labels_are_refused_in_fit(jit):
    model = tf.keras.Sequential([tf.keras.Input((8,)), tf.keras.layers.Dense(6)])
    model.compile("sgd", losses.TripletSemiHardLoss(), jit_compile=jit)
    with pytest.raises(ValueError, match=r"`y_true` of shape \(None, 3\)"):
        model.fit(np.zeros((6, 8)), np.eye(3)[[0, 0, 1, 1, 2, 2]], batch_size=4, verbose=0)


def test_the_functions_tell_large_numbers_apart():
    embeddings = tf.constant([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.8, 0.6]])
    for loss in (losses.triplet_semihard_loss, losses.triplet_hard_loss, losses.circle_loss):
        np.testing.assert_array_equal(
            loss(2**24 + np.array([0, 0, 1, 1]), embeddings), loss([0, 0, 1, 1], embeddings)
        )


def test_a_metric_that_gives_no_matrix_is_refused():
    message = (
        r"`distance_metric` must return a matrix.* Received: shape \(4,\) from embeddings of shape \(4, 2\)"
    )
    with pytest.raises(ValueError, match=message):
        pairwise_distances(tf.zeros((4, 2)), lambda embeddings: tf.norm(embeddings, axis=1))
    with pytest.raises(ValueError, match=r"shape \(4, 3\)"):
        losses.triplet_hard_loss([0, 0, 1, 1], tf.zeros((4, 2)), distance_metric=lambda e: tf.zeros((4, 3)))
