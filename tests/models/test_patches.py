import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import models
from siamese_nn.models.patches import from_patches, over_photos
from siamese_nn.models.siamese import begins_at

PLACES = [(1, 7, 2, 5, 3), (0, 4, 3, 8, 1)]


def test_patches_are_cut_and_taken_apart_again():
    photos = np.random.default_rng(0).random((2, 9, 8, 3), dtype=np.float32)
    layer = models.PhotoPatches((9, 8, 3), PLACES)
    large = photos[:, 1:7, 2:5].reshape(2, 2, 3, 1, 3, 3).mean(axis=(2, 4))
    again = models.PhotoPatches.from_config(layer.get_config())
    for found, expected in zip(again(layer(photos)), [large, photos[:, 0:4, 3:8]], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_patches_outside_and_other_photos_are_refused():
    for place in [(0, 10, 0, 8, 1), (3, 3, 0, 8, 1), (-1, 4, 0, 8, 1), (0, 4, 0, 8, 5)]:
        with pytest.raises(ValueError, match=r"`places` must be .* Received: \(.* in photos of 9 x 8"):
            models.PhotoPatches((9, 8, 1), [place])
    layer = models.PhotoPatches((9, 8, 1), PLACES)
    for shape in [(2, 8, 8, 1), (2, 21)]:
        with pytest.raises(
            ValueError, match=r"`inputs` must be photos, \(batch, \*\(9, 8, 1\)\), or patches"
        ):
            layer(tf.ones(shape))


def test_a_network_that_learns_from_patches_is_saved_and_takes_photos(tmp_path):
    patches = models.PhotoPatches((9, 8, 1), PLACES)
    vectors = tf.keras.Input((sum(patches.sizes),))
    parts = [tf.keras.layers.Flatten()(patch) for patch in patches(vectors)]
    parts = [models.UnitLength()(tf.keras.layers.Dense(3)(part)) for part in parts]
    network = over_photos(tf.keras.Model(vectors, tf.keras.layers.Concatenate()(parts)), patches)
    photos = np.random.default_rng(0).random((2, 9, 8, 1), dtype=np.float32)
    expected = network(photos).numpy()
    for make in (
        lambda part: models.classifier(part, 3, groups=len(PLACES)),
        models.cosine_embedding,
        lambda part: models.explicit_triplets(models.triplet_embedding(part, None)),
    ):
        make(from_patches(network)).save(tmp_path / "model.keras")
        model = tf.keras.models.load_model(tmp_path / "model.keras")
        assert begins_at(model).image_shape == (9, 8, 1)
        assert all(tuple(image.shape) == (None, 2 + 20) for image in model.inputs)
        embedding = models.embedding_model(model)
        found = embedding(photos).numpy()
        found *= np.linalg.norm(expected[0]) / np.linalg.norm(found[0])  # triplets scale all to unit length
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert models.embedding_model(embedding) is embedding and begins_at(embedding) is None
