import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.losses import arcface_loss, pairwise_distances
from siamese_nn.losses.distances import root
from siamese_nn.models.layers import EuclideanDistance

NEARLY_TWINS = [[0.0, 0.0], [1e-7, 0.0]]


@pytest.mark.parametrize(
    "distance",
    [
        pairwise_distances,
        lambda pair: EuclideanDistance()([pair[:1], pair[1:]]),
        lambda pair: arcface_loss(np.array([0]), 1 - pair[1:]),  # the sine of a small angle
    ],
    ids=["of a batch", "of a pair", "arcface"],
)
def test_a_gradient_is_finite_where_the_number_under_a_root_is_rounded_to_0(distance, monkeypatch):
    # As XLA can do on a GPU, where it computes a number once to compare it with 0, and once for its root.
    exact = tf.sqrt
    monkeypatch.setattr(
        tf, "sqrt", lambda values: exact(values - tf.stop_gradient(tf.where(values < 1e-6, values, 0.0)))
    )
    pair = tf.constant(NEARLY_TWINS)
    with tf.GradientTape() as tape:
        tape.watch(pair)
        value = distance(pair)
    assert np.isfinite(tape.gradient(value, pair)).all()


@pytest.mark.parametrize("jit", [False, True])
def test_a_root_is_0_below_0(jit):
    numbers = tf.constant([-1e-9, 0.0, 4.0, np.nan])

    @tf.function(jit_compile=jit)
    def value_and_gradient(numbers):
        with tf.GradientTape() as tape:
            tape.watch(numbers)
            roots = root(numbers)
        return roots, tape.gradient(roots, numbers)

    value, gradient = value_and_gradient(numbers)
    np.testing.assert_array_equal(value, [0, 0, 2, np.nan])
    np.testing.assert_array_equal(gradient, [0, 0, 0.25, np.nan])
