import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import models


@pytest.fixture(scope="module")
def network() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(0)
    return models.face_cnn((16, 16, 1), embedding_size=6)


def photos():
    return np.random.default_rng(0).random((5, 16, 16, 1), np.float32)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_mirrored_photo_is_averaged_in_at_equal_weight(network):
    one, other = (unit(network.predict(images, verbose=0)) for images in (photos(), photos()[:, :, ::-1]))
    averaged = models.mirror_averaged(network)
    expected = unit(one + other)
    assert np.abs(expected - one).max() > 0.01  # it does something
    np.testing.assert_allclose(averaged.predict(photos(), verbose=0), expected, atol=1e-6)
    np.testing.assert_allclose(averaged.predict(photos()[:, :, ::-1], verbose=0), expected, atol=1e-6)


def test_groups_are_averaged_each_on_its_own(network):
    sides = [
        network.predict(images, verbose=0).reshape(5, 3, 2) for images in (photos(), photos()[:, :, ::-1])
    ]
    whole = [unit(side.reshape(5, 6)).reshape(5, 3, 2) for side in sides]
    expected = (whole[0] + whole[1]) / np.linalg.norm(whole[0] + whole[1], axis=2, keepdims=True)
    found = models.mirror_averaged(network, groups=3).predict(photos(), verbose=0)
    np.testing.assert_allclose(found, expected.reshape(5, 6) / np.sqrt(3), atol=1e-5)


def test_several_models_of_an_image_stand_side_by_side(network):
    both = models.side_by_side([network, models.mirror_averaged(network), models.mirror_averaged(network)])
    one, mean, again = np.split(both.predict(photos(), verbose=0), 3, axis=1)
    np.testing.assert_allclose(one, network.predict(photos(), verbose=0), atol=1e-6)
    np.testing.assert_array_equal(mean, again)
    assert not np.allclose(mean, one)


def test_a_projection_is_of_unit_embeddings_and_gives_them(network):
    rng = np.random.default_rng(1)
    bias, matrix = rng.normal(size=3), rng.normal(size=(6, 3))
    expected = unit(unit(network.predict(photos(), verbose=0)) @ matrix + bias)
    found = models.projected(network, bias, matrix).predict(photos(), verbose=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("bias", "matrix"), [((3,), (5, 3)), ((2,), (6, 3)), ((6,), (6,))])
def test_a_projection_of_other_shapes_is_refused(network, bias, matrix):
    with pytest.raises(ValueError, match="`matrix`"):
        models.projected(network, np.zeros(bias), np.zeros(matrix))


def test_both_are_their_own_tower_and_saved_without_code(network, tmp_path):
    model = models.projected(models.mirror_averaged(network), np.ones(3), np.ones((6, 3)))
    assert models.embedding_model(model) is model
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded.predict(photos(), verbose=0), model.predict(photos(), verbose=0))
    compiled = tf.function(model, jit_compile=True)
    np.testing.assert_allclose(compiled(photos()), model.predict(photos(), verbose=0), atol=1e-5)
