import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import models


def test_report_cnn_is_the_reports():
    model = models.report_cnn((125, 125, 1), filters=8, units=256)
    convolutions = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.Conv2D)]
    assert [(c.filters, c.kernel_size[0], c.padding) for c in convolutions] == [
        (8, 10, "valid"),
        (16, 7, "valid"),
        (32, 4, "valid"),
        (64, 4, "valid"),
    ]
    assert model.output_shape == (None, 256)
    # 125 -10+1 -> 116 /2 -> 58 -7+1 -> 52 /2 -> 26 -4+1 -> 23 /2 -> 11 -4+1 -> 8
    assert model.layers[-1].kernel.shape == (8 * 8 * 64, 256)
    pooled = models.report_cnn((125, 125, 1), units=256, last_pooling=True)
    assert pooled.layers[-1].kernel.shape == (4 * 4 * 64, 256)
    assert sum(isinstance(layer, tf.keras.layers.MaxPooling2D) for layer in pooled.layers) == 4


def test_initial_weights_and_penalties():
    tf.keras.utils.set_random_seed(0)
    model = models.report_cnn((125, 125, 1), units=256)
    kernels = {tuple(w.shape): w.numpy() for w in model.weights}
    assert abs(kernels[7, 7, 8, 16].std() - 0.01) < 0.001
    assert abs(kernels[4096, 256].std() - 0.2) < 0.001
    assert (kernels[8,] == 0).all()
    assert abs(kernels[64,].mean() - 0.5) < 0.01 and 0.005 < kernels[64,].std() < 0.015
    convolutions = [w.numpy() for w in model.weights if len(w.shape) == 4]
    expected = 2e-4 * sum((w**2).sum() for w in convolutions) + 1e-3 * (kernels[4096, 256] ** 2).sum()
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)
    glorot = models.report_cnn((125, 125, 1), units=256, initializer="glorot_normal")
    assert glorot.layers[-1].kernel.numpy().std() == pytest.approx(np.sqrt(2 / (4096 + 256)), rel=0.05)
    he = models.report_cnn((125, 125, 1), units=256, initializer="he_normal")
    weights = {tuple(w.shape): w.numpy() for w in he.weights}
    assert weights[7, 7, 8, 16].std() == pytest.approx(np.sqrt(2 / (7 * 7 * 8)), rel=0.05)
    assert weights[4096, 256].std() == pytest.approx(np.sqrt(2 / (4096 + 256)), rel=0.05)
    assert (weights[64,] == 0).all() and (weights[256,] == 0).all()


def test_drop_rates_fall():
    model = models.report_cnn((125, 125, 1), units=8, drop_rate=0.25)
    rates = [layer.rate for layer in model.layers if isinstance(layer, tf.keras.layers.Dropout)]
    assert rates == pytest.approx([0.25, 0.2, 0.15, 0.1])
    rates = [
        layer.rate
        for layer in models.report_cnn((125, 125, 1), drop_rate=0.1).layers
        if hasattr(layer, "rate")
    ]
    assert rates == pytest.approx([0.1] * 4)


def test_features_are_dropped_after_one_convolution_alone():
    model = models.report_cnn((125, 125, 1), units=8, drop_rate=0.2, drop_after=2)
    names = [type(layer).__name__ for layer in model.layers]
    assert names.count("Dropout") == 1
    place = names.index("Dropout")
    assert names[:place].count("Conv2D") == 2 and names[place - 1] == "MaxPooling2D"
    assert model.layers[place].rate == 0.2
    for wrong in ({"drop_after": 2}, {"drop_after": 5, "drop_rate": 0.2}):
        with pytest.raises(ValueError, match="`drop_after` must be 1 to 4, with a `drop_rate`, or None"):
            models.report_cnn((125, 125, 1), **wrong)


def test_koch_cnn_is_the_papers():
    model = models.koch_cnn()
    # The paper's figure 4: 6 x 6 x 256 features before 4096 units.
    assert model.layers[-1].kernel.shape == (6 * 6 * 256, 4096)


@pytest.mark.parametrize("side", [64, 30])
def test_images_that_are_too_small_are_refused(side):
    with pytest.raises(ValueError, match=f"{side} x 125 pixels is too small"):
        models.report_cnn((side, 125, 1))


def test_the_smallest_image_is_let_through():
    assert models.report_cnn((65, 65, 1), units=4).output_shape == (None, 4)


@pytest.mark.parametrize(
    "option",
    [{"initializer": "x"}, {"drop_rate": 1.5}, {"filters": 0}, {"units": 0}, {"kernel_sizes": (3, 3)}],
)
def test_options_are_checked(option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}`"):
        models.report_cnn((125, 125, 1), **option)
