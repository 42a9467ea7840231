from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from siamese_nn import datasets, evaluation
from siamese_nn.datasets import DecodedPhotos
from siamese_nn.training import RECIPES, Recipe
from siamese_nn.training.data import training_data
from siamese_nn.training.teacher import targets, targets_of

pytestmark = pytest.mark.once


@pytest.mark.parametrize("size", [3, 12])
def test_a_target_weighs_each_direction_by_what_it_tells_of_people(size):
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(40), 3)
    embeddings = rng.normal(size=(40, 9))[people] * [3, 2, 2, 1, 1, 1, 1, 0, 0] + rng.normal(size=(120, 9))
    found = targets_of(embeddings, people, size)
    units = np.array([embedding / np.sqrt((embedding**2).sum()) for embedding in embeddings])
    plda = evaluation.fit_plda(units, people)
    assert (plda.between == 0).any() and plda.between[2] > 0
    for i, unit in enumerate(units):
        expected = np.zeros(size)
        for k in range(min(size, 9)):
            z = sum((unit[j] - plda.mean[j]) * plda.directions[j, k] for j in range(9))
            expected[k] = z * (plda.between[k] / (1 + plda.between[k])) ** 0.5
        np.testing.assert_allclose(found[i], expected / np.sqrt((expected**2).sum()), atol=1e-6)
    assert found.dtype == np.float32 and found.shape == (120, size)
    np.testing.assert_array_equal(found, targets_of(7 * embeddings, people, size))


def test_a_training_that_goes_on_learns_what_it_has_begun_with(tmp_path, monkeypatch):
    recipe, photos = replace(RECIPES["face-distilled"], embedding_size=3), {"Ada": ["1.jpg", "2.jpg"]}
    held = np.eye(2, 3, dtype=np.float32)
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "model.keras").write_bytes(b"a teacher")
    own = {"teacher": sha256(b"a teacher").hexdigest()}
    np.savez(tmp_path / "targets.npz", targets=held, **own)
    np.testing.assert_array_equal(targets(tmp_path, recipe, photos, decoded=None), held)
    anew = r"\. Remove .*targets.npz and .*state.npz, and the same call begins anew"
    for wrong, fault in (
        ({"targets": held[:1], **own}, "must hold a vector for each photo"),
        ({"targets": held, "teacher": "0" * 64}, "is of another teacher than .*model.keras"),
    ):
        np.savez(tmp_path / "targets.npz", **wrong)
        with pytest.raises(ValueError, match=rf"targets.npz {fault}{anew}"):
            targets(tmp_path, recipe, photos, decoded=None)
    (tmp_path / "targets.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=rf"targets.npz is damaged{anew}"):
        targets(tmp_path, recipe, photos, decoded=None)
    (tmp_path / "targets.npz").unlink()
    monkeypatch.setattr("siamese_nn.training.teacher.completed_epochs", lambda run_dir: 1)
    with pytest.raises(ValueError, match=r"targets.npz is missing.* Remove .*state.npz, and the same call"):
        targets(tmp_path, recipe, photos, decoded=None)


def test_each_photo_comes_with_its_own_target(toy_dir, toy_pairs):
    photos = dict(list(datasets.photos_by_identity(toy_dir / "lfw2").items())[:6])
    photos["Alone"] = [photos.pop(next(iter(photos)))[0]]  # somebody with one photo teaches, too
    paths = [path for own in photos.values() for path in own]
    vectors_of = np.random.default_rng(0).normal(size=(len(paths), 3)).astype(np.float32)

    def batches(epoch=0, **options):
        recipe = Recipe(
            *("distilled",), backbone="face_cnn", image_size=(20, 20), crop=(100, 100), batch_size=4,
            monitor="val_auc", teacher=RECIPES["face"], **options,
        )  # fmt: skip
        decoded = DecodedPhotos(paths, recipe.photo_format)
        data, _ = training_data(recipe, toy_pairs, toy_pairs, photos, decoded, epoch, targets=vectors_of)
        images, vectors = zip(*data["x"].take(data["steps_per_epoch"]), strict=True)
        return decoded[:] / np.float32(255), np.concatenate(images), np.concatenate(vectors)

    known, images, vectors = batches()
    which = [int(np.abs(known - image).sum((1, 2, 3)).argmin()) for image in images]
    assert sorted(which) == list(range(len(paths))) and which != sorted(which)
    np.testing.assert_array_equal(vectors, vectors_of[which])
    changed = datasets.Augmentation(margin=0)
    for most in (None, 1):
        _, plain, vectors = batches(epoch=1, most_per_identity=most)
        _, images, again = batches(epoch=1, most_per_identity=most, augmentation=changed)
        assert len(vectors) == (len(photos) if most else len(paths))
        assert not np.allclose(plain, images)
        np.testing.assert_array_equal(vectors, again)
        which = [int(np.abs(known - image).sum((1, 2, 3)).argmin()) for image in plain]
        np.testing.assert_array_equal(vectors, vectors_of[which])
