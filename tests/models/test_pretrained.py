import os
import socket

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.models.pretrained import _network, _preprocessing_mode, networks, pretrained


@pytest.fixture
def images():
    return np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("VGG16", "vgg16"),
        pytest.param("ResNet50", "resnet", marks=pytest.mark.slow),
        ("MobileNetV3Small", "mobilenet_v3"),
    ],
)
def test_it_is_the_application_after_its_own_preprocessing(name, module, images):
    model = pretrained(name, (32, 32, 3), weights=None)
    reference = getattr(tf.keras.applications, name)(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
    )
    model.set_weights(reference.get_weights())
    expected = reference(getattr(tf.keras.applications, module).preprocess_input(images * 255)).numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(model(images), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_each_network_has_its_mode():
    modes = {
        "caffe": ("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"),
        "torch": ("ResNeXt50", "ResNeXt101", "DenseNet121"),
        "tf": (
            "InceptionV3",
            "InceptionResNetV2",
            "Xception",
            "MobileNet",
            "MobileNetV2",
            "NASNetLarge",
            "ResNet50V2",
        ),
        "none": ("EfficientNetB0", "EfficientNetV2S", "ConvNeXtTiny", "MobileNetV3Large"),
    }
    for mode, names in modes.items():
        assert [_preprocessing_mode(name) for name in names] == [mode] * len(names)
    assert len(networks()) >= 39 and all(_preprocessing_mode(name) in modes for name in networks())


def test_resnext_is_torch_normalized(images):
    model = pretrained("ResNeXt50", (32, 32, 3), weights=None)
    normalized = (images - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = model.get_layer("network")(normalized.astype("float32"))
    np.testing.assert_allclose(model(images), expected, rtol=1e-3, atol=1e-3)
    assert model.output_shape == (None, 2048)


@pytest.mark.slow
def test_resnet101_is_resnet101():
    # The published 44,707,176 weights, moving averages included, less the 1,000-way head.
    assert (
        pretrained("ResNet101", (32, 32, 1), weights=None).count_params() == 44_707_176 - 2048 * 1000 - 1000
    )


def test_grey_images_and_poolings(images):
    grey = pretrained("VGG16", (48, 32, 1), weights=None, pooling="flatten")
    assert grey.input_shape == (None, 48, 32, 1)
    assert grey.output_shape == (None, 1 * 1 * 512)
    strongest = pretrained("VGG16", (64, 64, 3), weights=None, pooling="max")
    colour = pretrained("VGG16", (64, 64, 3), weights=None, pooling="flatten")
    colour.set_weights(strongest.get_weights())
    large = np.random.default_rng(1).random((2, 64, 64, 3), dtype="float32")
    map_features = colour(large).numpy().reshape(2, 4, 512)
    np.testing.assert_allclose(strongest(large), map_features.max(1), atol=1e-5)
    colour = pretrained("VGG16", (48, 32, 3), weights=None, pooling="flatten")
    colour.set_weights(grey.get_weights())
    image = np.random.default_rng(2).random((1, 48, 32, 1), dtype="float32")
    np.testing.assert_allclose(grey(image), colour(np.repeat(image, 3, -1)), atol=1e-5)


def test_what_is_trained():
    names = [
        f"block{block}_conv{i}"
        for block, n in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3))
        for i in range(1, n + 1)
    ]

    def trained(trainable):
        model = pretrained("VGG16", (32, 32, 3), weights=None, trainable=trainable)
        return [layer.name for layer in model.get_layer("network").layers if layer.trainable_weights]

    assert trained("all") == names
    assert trained("upper_half") == names[6:]  # 13 layers: 6 frozen, 7 trained
    assert trained("none") == []


def test_frozen_batch_normalisation_stays_in_inference_mode(images):
    model = pretrained("MobileNetV2", (32, 32, 3), weights=None, trainable="upper_half")
    network = model.get_layer("network")
    with_weights = [layer for layer in network.layers if layer.weights]
    frozen, trained = with_weights[: len(with_weights) // 2], with_weights[len(with_weights) // 2 :]
    assert not any(layer.trainable for layer in frozen) and all(layer.trainable for layer in trained)
    before = [layer.get_weights() for layer in with_weights]
    model.compile(tf.keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.train_on_batch(images, np.ones((2, 1280)))
    changed = [
        any(not np.array_equal(a, b) for a, b in zip(old, layer.get_weights(), strict=True))
        for old, layer in zip(before, with_weights, strict=True)
    ]
    assert changed[: len(frozen)] == [False] * len(frozen)
    assert changed[-1]
    network.trainable = False
    np.testing.assert_allclose(model(images, training=True), model(images), atol=1e-5)


def test_weights_from_a_file(tmp_path, images):
    source = pretrained("MobileNetV2", (32, 32, 3), weights=None)
    path = tmp_path / "mobilenet.weights.h5"
    source.get_layer("network").save_weights(path)
    np.testing.assert_allclose(
        pretrained("MobileNetV2", (32, 32, 3), weights=path)(images), source(images), atol=1e-6
    )
    with pytest.raises(ValueError, match="`weights` must hold the weights of VGG16 .*mobilenet.weights.h5"):
        pretrained("VGG16", (32, 32, 3), weights=str(path))
    (tmp_path / "broken.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="`weights` must hold the weights of VGG16 .*broken.h5"):
        pretrained("VGG16", (32, 32, 3), weights=tmp_path / "broken.h5")
    with pytest.raises(FileNotFoundError, match="Received: weights='imagnet', which is no file"):
        pretrained("VGG16", (32, 32, 3), weights="imagnet")
    (tmp_path / "weights.txt").write_text("")
    with pytest.raises(ValueError, match=r"must be an \.h5 file"):
        pretrained("VGG16", (32, 32, 3), weights=tmp_path / "weights.txt")


@pytest.mark.parametrize(
    ("name", "file", "failure"),
    [
        ("VGG16", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", socket.gaierror("no network")),
        ("ResNeXt50", "resnext50_weights_tf_dim_ordering_tf_kernels_notop.h5", TimeoutError("timed out")),
    ],
)
def test_no_network_gives_one_clear_error(name, file, failure, monkeypatch):
    timeouts = []

    def create_connection(*args, **kwargs):
        timeouts.append(socket.getdefaulttimeout())
        raise failure

    exists = os.path.exists
    monkeypatch.setattr(socket, "create_connection", create_connection)
    monkeypatch.setattr(os.path, "exists", lambda path: not str(path).endswith(file) and exists(path))
    with pytest.raises(
        ConnectionError, match=rf"URL fetch failure on \S*{file}.*give its path as `weights`"
    ) as caught:
        pretrained(name, (32, 32, 3))
    assert caught.value.__cause__ is not None
    assert len(timeouts) == 1 and timeouts[0] > 0  # nobody waits for ever
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    "error", [ConnectionResetError("cut off"), ValueError("Incomplete or corrupted file detected")]
)
def test_a_download_that_breaks_off_is_no_fault_of_the_shape(error):
    def make(**_):
        raise error

    with pytest.raises(ConnectionError, match="weights of VGG16 could not be downloaded"):
        _network(make, "VGG16", (32, 32, 3), "imagenet", "avg")


def test_it_refuses():
    with pytest.raises(
        ValueError, match=r"`name` must be one of .*'ResNeXt50'.*'VGG16'.*Received: name='resnet50'"
    ):
        pretrained("resnet50")
    with pytest.raises(ValueError, match=r"`trainable` must be one of \('all', .*Received: trainable='half'"):
        pretrained("VGG16", trainable="half")
    with pytest.raises(ValueError, match=r"`pooling` must be one of \('avg', .*Received: pooling=None"):
        pretrained("VGG16", pooling=None)
    with pytest.raises(ValueError, match=r"1 or 3 channels. Received: input_shape=\(32, 32, 2\)"):
        pretrained("VGG16", (32, 32, 2))
    for name in ("VGG16", "ResNeXt50"):
        with pytest.raises(ValueError, match=f"{name} allows. Received: height 20, width 32"):
            pretrained(name, (20, 32, 1), weights=None)
