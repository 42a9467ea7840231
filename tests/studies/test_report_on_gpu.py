"""What goes to a card without TensorFlow is what the library trains by."""

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from siamese_nn import training
from siamese_nn.datasets.pipelines import order_of_epoch
from siamese_nn.training.data import run_photos, training_data
from stacks import KERAS_3

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
report_on_gpu = import_module("report_on_gpu")

RECIPE = training.Recipe(filters=3, units=5, image_size=(80, 80), batch_size=16, whole_batches=True, seed=4)


@pytest.mark.once
@pytest.mark.skipif(not KERAS_3, reason="the programs are written by Keras 3")
@pytest.mark.parametrize("initializer", ["normal", "he_normal"])
def test_first_weights_are_drawn_as_tensorflow_draws_them(initializer):
    recipe = replace(RECIPE, initializer=initializer, drop_rate=0.2)
    _, variables, described = report_on_gpu.model_of(recipe)
    for variable, words in zip(variables, described, strict=True):
        expected, drawn = variable.numpy(), report_on_gpu.first(*words)
        assert drawn.shape == expected.shape and drawn.dtype == expected.dtype, variable.path
        np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-6, err_msg=variable.path)


def test_each_epoch_takes_the_pairs_in_the_order_that_is_written(toy_pairs, toy_test):
    decoded = run_photos(RECIPE, {"train": toy_pairs, "validation": toy_test}, ())
    data, _ = training_data(RECIPE, toy_pairs, toy_test, {}, decoded, 0)
    steps = data["steps_per_epoch"]
    given = np.concatenate([same.numpy() for _, same in data["x"].take(2 * steps)]).ravel()
    orders = [order_of_epoch(len(toy_pairs), RECIPE.seed, epoch).numpy()[: 16 * steps] for epoch in (0, 1)]
    assert given.tolist() == toy_pairs.same[np.concatenate(orders)].tolist()
    assert orders[0].tolist() != orders[1].tolist()
