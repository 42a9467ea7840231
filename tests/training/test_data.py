from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from siamese_nn import datasets, models, training
from siamese_nn.training import Recipe
from siamese_nn.training.data import _ChangedPatches, common_photo_size, run_photos, training_data


@pytest.fixture
def photos(tmp_path):
    """Makes photos of given sizes, (height, width)."""

    def make(*sizes):
        paths = [str(tmp_path / f"Ada_{i:04}.png") for i in range(len(sizes))]
        for path, (height, width) in zip(paths, sizes, strict=True):
            Image.new("L", (width, height)).save(path)
        return paths

    return make


def test_a_crop_belongs_to_photos_of_one_size(photos):
    cropped = Recipe(backbone="face_cnn", crop=(60, 50), image_size=(60, 50))
    assert common_photo_size(cropped, photos((100, 80), (100, 80))) == (100, 80)
    with pytest.raises(
        ValueError,
        match=r"of one size.*crop=\(60, 50\), .*Ada_0000.png of 100 x 80 .*Ada_0002.png of 200 x 160",
    ):
        common_photo_size(cropped, photos((100, 80), (100, 80), (200, 160)))
    with pytest.raises(
        ValueError, match=r"`crop` must fit.*crop=\(60, 50\), .*photos of 59 x 80, such as .*Ada_0000.png"
    ):
        common_photo_size(cropped, photos((59, 80)))
    assert common_photo_size(cropped, photos((60, 50))) == (60, 50)
    augmented = Recipe(
        backbone="face_cnn", crop=(60, 50), image_size=(60, 50), augmentation=datasets.Augmentation(margin=4)
    )
    with pytest.raises(
        ValueError, match="with 4 pixels of the image as the margin of `augmentation`, which is 68 x 58"
    ):
        common_photo_size(augmented, photos((67, 58)))
    assert common_photo_size(augmented, photos((68, 58))) == (68, 58)


def test_without_a_crop_photos_of_one_shape_suffice(photos):
    whole = Recipe()
    assert common_photo_size(whole, photos((100, 80), (200, 160), (201, 160), (200, 160))) == (200, 160)
    assert common_photo_size(whole, photos((100, 80), (80, 100))) is None


def test_photos_of_other_sizes_are_refused_before_a_training_starts(toy_pairs, tmp_path):
    recipe = Recipe(backbone="face_cnn", crop=(140, 140), image_size=(32, 32), epochs=1)
    train, val = recipe.split_pairs(toy_pairs)
    larger = str(tmp_path / "larger.png")
    with Image.open(val.left[0]) as photo:
        photo.resize((500, 500)).save(larger)
    left = np.where(val.left == val.left[0], larger, val.left)
    other = datasets.Pairs(left, val.right, val.same, val.left_identities, val.right_identities)
    with pytest.raises(ValueError, match=r"must be of one size.*larger.png of 500 x 500.*`train --align`"):
        training.train(recipe, train, other, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=r"`crop` must fit into its photos. Received: crop=\(300, 140\)"):
        training.train(replace(recipe, crop=(300, 140)), train, val, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def test_whole_batches_are_other_pairs_in_each_epoch(toy_pairs):
    recipe = Recipe(batch_size=7, whole_batches=True, image_size=(80, 80), filters=1, units=4)
    train, val = recipe.split_pairs(toy_pairs)
    assert len(train) % 7 and len(val) % 7, "else nothing sits out"
    decoded = run_photos(recipe, {"train": train, "validation": val}, ())
    data, (current,) = training_data(recipe, train, val, {}, decoded, initial_epoch=2)
    assert data["steps_per_epoch"] == len(train) // 7
    assert len(data["validation_data"]) == len(val) // 7

    def drawn(epoch):
        current.on_epoch_begin(epoch)
        return np.concatenate([np.asarray(images[0]).sum((1, 2, 3)) for images, _ in data["validation_data"]])

    first, again, other = drawn(2), drawn(2), drawn(3)
    assert len(first) == len(val) // 7 * 7
    assert np.array_equal(first, again), "however often somebody looks"
    assert not np.array_equal(first, other)
    with pytest.raises(ValueError, match="training pairs must fill a batch.*Lower `batch_size`"):
        training_data(replace(recipe, batch_size=1000), train, val, {}, decoded, 0)
    with pytest.raises(ValueError, match="`whole_batches` must be False where the model is 'cosface'"):
        Recipe(model="cosface", margin=0.2, monitor="val_auc", whole_batches=True)


@pytest.mark.slow
@pytest.mark.once
def test_cut_off_with_whole_batches_it_ends_like_an_unbroken_run(toy_pairs, tmp_path):
    recipe = Recipe(
        **{"batch_size": 7, "whole_batches": True, "epochs": 3, "patience": 9},
        **{"image_size": (80, 80), "filters": 1, "units": 4, "initializer": "he_normal"},
    )

    class Cut(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise InterruptedError

    train, val = recipe.split_pairs(toy_pairs)
    training.train(recipe, train, val, tmp_path / "unbroken", verbose=0)
    with pytest.raises(InterruptedError):
        training.train(recipe, train, val, tmp_path / "broken", verbose=0, callbacks=[Cut()])
    training.train(recipe, train, val, tmp_path / "broken", verbose=0)
    whole, parts = (training.read_history(tmp_path / name) for name in ("unbroken", "broken"))
    assert [whole[name] == parts[name] for name in ("loss", "val_loss", "val_accuracy")] == [True] * 3


def test_each_patch_changes_on_its_own_and_brings_in_real_pixels():
    places = [(0, 24, 0, 24, 2), (4, 12, 6, 14, 1), (12, 20, 2, 22, 1)]
    patches = models.PhotoPatches((24, 24, 1), places)
    # Brighter column by column, so that a patch says how far it was shifted.
    photos = tf.constant(np.tile(np.linspace(0, 1, 32, dtype=np.float32)[:, None], (2, 32, 1, 1)))
    none = dict.fromkeys(("rotation", "zoom", "aspect", "gamma", "cutout"), 0)
    shifted = _ChangedPatches(patches, datasets.Augmentation(flip=False, shift=4, margin=4, **none))
    before = _ChangedPatches(patches, None)(photos[:, 4:-4, 4:-4], tf.constant([0, 1]))
    found = shifted(photos, tf.constant([0, 1]))
    assert found.shape[1:] == shifted.shape
    for photo, old in zip(found, before, strict=True):
        moved = [
            np.asarray(a - b) * 31 for a, b in zip(patches(photo[None]), patches(old[None]), strict=True)
        ]
        assert all(np.ptp(pixels) < 1e-3 and abs(pixels.mean()) <= 4 for pixels in moved)
        assert len({round(float(pixels.mean()), 2) for pixels in moved}) == len(places)
    assert np.array_equal(found, shifted(photos, tf.constant([0, 1])))
    assert not np.array_equal(found, shifted(photos, tf.constant([0, 2])))
