import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import datasets, evaluation, models, training
from siamese_nn.datasets import DecodedPhotos
from siamese_nn.training import finish
from siamese_nn.training.finish import finishing

pytestmark = pytest.mark.once


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def parts_of(pool: tuple[int, int], unseen: int = 0) -> tf.keras.Model:
    """A model of 192 x 168 images without weights, which stands for a network or a texture."""
    image = tf.keras.Input((192, 168, 1))
    seen = tf.keras.layers.Cropping2D((0, (0, unseen)))(image)
    mean = tf.keras.layers.AveragePooling2D(pool)(seen)
    return tf.keras.Model(image, tf.keras.layers.Flatten()(mean))


def test_the_back_end_of_what_has_a_teacher_is_of_people_with_two_photos(toy_dir):
    recipe = training.RECIPES["face-distilled"]
    photos = dict(list(datasets.photos_by_identity(toy_dir / "lfw2").items())[:20])
    alone = {"Alone": [photos.pop(next(iter(photos)))[0]]}
    image = tf.keras.Input((64, 56, 1))
    network = tf.keras.Model(image, tf.keras.layers.Flatten()(tf.keras.layers.AveragePooling2D(16)(image)))
    paths = [path for own in (photos | alone).values() for path in own]
    decoded = DecodedPhotos(paths, recipe.photo_format)
    found = [finishing(recipe, own, decoded)(network).get_weights() for own in (photos | alone, photos)]
    assert found[0] and all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_a_texture_fitted_to_some_photos_is_computed_for_all_in_their_order(toy_pairs, monkeypatch):
    monkeypatch.setattr(models, "texture_histograms", lambda kind: parts_of((48, 42)))
    monkeypatch.setattr(finish, "_MOST_PHOTOS", 20)
    paths = toy_pairs.distinct_images()[0].tolist()[:30]
    decoded = DecodedPhotos(paths, training.RECIPES["face-fusion"].photo_format)
    model, found = finish._components("lbp", paths, decoded)
    np.testing.assert_allclose(found, evaluation.embed(model, decoded), atol=1e-5)


def test_each_source_of_the_fusion_has_a_back_end_of_its_own(toy_pairs, monkeypatch):
    # Six numbers, in three groups, of one half: of both, a photo and its mirror image would be one. And 16.
    networks, texture = parts_of((64, 42), unseen=84), parts_of((48, 42))
    monkeypatch.setattr(models, "texture_histograms", lambda kind: texture)
    recipe = training.RECIPES["face-fusion"]
    photos = {}
    for path, name in zip(toy_pairs.left, toy_pairs.left_identities, strict=True):
        photos.setdefault(name, set()).add(path)
    photos = {name: sorted(own) for name, own in photos.items() if len(own) > 1}
    paths = [path for own in photos.values() for path in own]
    finished = finishing(recipe, photos, DecodedPhotos(paths, recipe.photo_format))(networks)

    # The reference: each source alone, the components by another decomposition.
    images = datasets.load_images(paths, image_size=(192, 168), crop=(192, 168), channels=1)
    people = [name for name, own in photos.items() for _ in own]
    averaged = evaluation.embed(models.mirror_averaged(networks, 3), images)
    raw = unit(evaluation.embed(texture, images).astype(float))
    left, sizes, _ = np.linalg.svd(raw - raw.mean(axis=0), full_matrices=False)
    components = unit(left * sizes / (left * sizes).std(axis=0, ddof=1) ** 0.25)
    sources = []
    for vectors in (*np.split(averaged, 3, axis=1), components, components):  # as if of two textures
        bias, matrix = evaluation.fit_plda(vectors, people).projection()
        sources.append(vectors @ matrix + bias)
    expected = unit(np.hstack(sources))
    found = evaluation.embed(finished, images)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=5e-3)
