import numpy as np
import pytest
import tensorflow as tf

from siamese_nn.models.preprocessing import ImageNetPreprocessing, MeanFace, PhotoStandardization

_APPLICATIONS = {
    "vgg16": "caffe",
    "vgg19": "caffe",
    "resnet": "caffe",
    "densenet": "torch",
    "inception_v3": "tf",
    "inception_resnet_v2": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "nasnet": "tf",
    "resnet_v2": "tf",
    "xception": "tf",
    "convnext": "none",
    "efficientnet": "none",
    "efficientnet_v2": "none",
    "mobilenet_v3": "none",
}


@pytest.fixture
def images():
    return np.random.default_rng(0).random((2, 5, 4, 3), dtype="float32")


@pytest.mark.parametrize(("module", "mode"), _APPLICATIONS.items())
def test_imagenet_preprocessing_is_the_applications(module, mode, images):
    expected = getattr(tf.keras.applications, module).preprocess_input(images * 255)
    np.testing.assert_allclose(ImageNetPreprocessing(mode)(images), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("mode", ["none", "caffe", "tf", "torch"])
def test_grey_is_colour_of_equal_channels(mode, images):
    grey = images[..., :1]
    layer = ImageNetPreprocessing(mode)
    prepared = layer(grey)
    assert prepared.shape == layer.compute_output_shape(grey.shape) == (2, 5, 4, 3)
    np.testing.assert_allclose(prepared, ImageNetPreprocessing(mode)(np.repeat(grey, 3, -1)), atol=1e-6)
    compiled = tf.function(layer, jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(grey)), prepared, rtol=1e-5, atol=1e-4)
    again = ImageNetPreprocessing.from_config(layer.get_config())
    np.testing.assert_array_equal(again(grey), prepared)


def test_imagenet_preprocessing_refuses():
    with pytest.raises(ValueError, match=r"`mode` must be one of .*Received: mode='keras'"):
        ImageNetPreprocessing("keras")
    with pytest.raises(ValueError, match=r"Received: images of shape \(2, 5, 4, 2\)"):
        ImageNetPreprocessing("tf")(np.zeros((2, 5, 4, 2), "float32"))


def test_photo_standardization_is_each_photos_own(images):
    images[1] = images[1] * 0.6 + 0.3
    mean = images.mean((1, 2, 3), keepdims=True, dtype="float64")
    deviation = images.std((1, 2, 3), keepdims=True, dtype="float64")
    layer = PhotoStandardization()
    np.testing.assert_allclose(layer(images), (images - mean) / deviation, atol=1e-4)
    np.testing.assert_array_equal(layer(np.full((1, 5, 4, 3), 0.25, "float32")), np.zeros((1, 5, 4, 3)))


def test_mean_face_of_an_array_and_of_a_dataset(images):
    expected = images - images.mean(0, dtype="float64")
    layer = MeanFace()
    layer.adapt(images)
    np.testing.assert_allclose(layer(images), expected, atol=1e-6)
    assert not layer.trainable_weights and len(layer.weights) == 1

    others = np.random.default_rng(1).random((7, 5, 4, 3), dtype="float32")
    layer.adapt(tf.data.Dataset.from_tensor_slices(others).batch(3))  # the last batch is smaller
    np.testing.assert_allclose(layer.mean, others.mean(0), atol=1e-6)
    np.testing.assert_allclose(
        tf.function(layer, jit_compile=True)(images), images - others.mean(0), atol=1e-6
    )
    layer.adapt((images * 255).astype("uint8"))
    np.testing.assert_allclose(layer.mean, (images * 255).astype("uint8").mean(0), atol=1e-4)


def test_mean_face_in_single_precision_under_a_mixed_policy(images):
    images = images * 255
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = MeanFace(dtype="float32")
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    layer.adapt(images)
    np.testing.assert_allclose(layer(images), images - images.mean(0, dtype="float64"), atol=1e-4)


def test_mean_face_wants_to_be_adapted(images):
    layer = MeanFace()
    with pytest.raises(ValueError, match=r"call `adapt\(images\)` first"):
        layer(images)
    with pytest.raises(ValueError, match=r"call `adapt\(images\)` first"):
        layer(tf.keras.Input((5, 4, 3)))
    layer.adapt(images)  # the failed calls have not spoiled it
    assert np.isfinite(layer(images)).all()
    # A configuration without weights must not pass for a mean face of zeros.
    assert np.isnan(MeanFace.from_config(layer.get_config())(images)).all()


def test_mean_face_refuses(images):
    layer = MeanFace()
    with pytest.raises(ValueError, match=r"batches of \(n, height, width, channels\).* shape \(5, 4, 3\)"):
        layer.adapt(images[0])
    with pytest.raises(ValueError, match="Received: 0 images"):
        layer.adapt(images[:0])
    with pytest.raises(ValueError, match="Received: 0 images"):
        layer.adapt(tf.data.Dataset.from_tensor_slices(images).batch(2).take(0))
    with pytest.raises(ValueError, match="not finite"):
        layer.adapt(np.where(images > 0.9, np.nan, images))
    with pytest.raises(ValueError, match=r"shape \(2, 4, 4, 3\) after images of shape \(5, 4, 3\)"):
        layer.adapt([images, images[:, :4]])
    with pytest.raises(ValueError, match="only images"):
        layer.adapt(tf.data.Dataset.from_tensor_slices((images, [0, 1])).batch(2))
    layer.adapt(images)
    with pytest.raises(ValueError, match=r"mean face, \(5, 4, 3\)"):
        layer(images[:, :4])
    with pytest.raises(ValueError, match="make a new layer"):
        layer.adapt(images[:, :4])
