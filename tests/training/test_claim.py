import json
import os
import shutil
from dataclasses import replace

import pytest

from siamese_nn import datasets
from siamese_nn.runs import folder
from siamese_nn.training import Recipe, RunFolderInUse
from siamese_nn.training.claim import alone_in, claim_of, require_own_folder

pytestmark = pytest.mark.once

RECIPE = Recipe(image_size=(80, 80), filters=2, units=8)


@pytest.fixture(scope="module")
def sets(toy_pairs, toy_test):
    train, val = RECIPE.split_pairs(toy_pairs, exclude=toy_test)
    return {"train": train, "validation": val, "test": toy_test}


def test_one_is_in_a_folder_at_a_time_and_then_another(tmp_path):
    run_dir = tmp_path / "run"
    with alone_in(run_dir):
        for _ in range(2):
            with pytest.raises(RunFolderInUse, match="Another process is training.*Wait"), alone_in(run_dir):
                pytest.fail("two are in one folder")
        (run_dir / folder.RECIPE).write_text("{}")
    with alone_in(run_dir):
        assert set(os.listdir(run_dir)) == {folder.LOCK, folder.RECIPE}


def test_who_leaves_nothing_leaves_no_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path / "run"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_folder_is_free_or_that_of_the_very_run(sets, tmp_path):
    run_dir = tmp_path / "run"
    claim = claim_of(RECIPE, sets, {})
    require_own_folder(run_dir, claim)
    run_dir.mkdir()
    for own in (folder.LOCK, ".partial-0a1b2c3d-recipe.json"):  # of a kill in the first moment
        (run_dir / own).touch()
    require_own_folder(run_dir, claim)
    (run_dir / "notes.txt").touch()
    with pytest.raises(ValueError, match="must be a new folder or a run's. Received one with other files"):
        require_own_folder(run_dir, claim)
    folder.write_claim(run_dir, claim)
    require_own_folder(run_dir, claim)
    photos = {"Ada": [sets["train"].left[0]]}
    for other, differ in (
        (claim_of(replace(RECIPE, units=9, seed=1), sets, {}), "another recipe; they differ in units, seed"),
        (claim_of(RECIPE, {**sets, "train": sets["train"][:-1]}, {}), "other data; they differ in train"),
        (claim_of(RECIPE, {"train": sets["train"]}, {}), "other data; they differ in validation, test"),
        (claim_of(RECIPE, sets, photos), "other photos; they differ in photos, people, sha256"),
    ):
        with pytest.raises(ValueError, match=f"is the run of {differ}. Choose another folder"):
            require_own_folder(run_dir, other)


def test_a_field_that_was_added_since_has_its_default(sets, tmp_path):
    claim = claim_of(RECIPE, sets, {})
    older = json.loads(json.dumps(claim))
    assert older["recipe"].pop("augmentation", "missing") is None
    folder.write_claim(tmp_path, older)
    require_own_folder(tmp_path, claim)
    with pytest.raises(ValueError, match="another recipe; they differ in augmentation"):
        require_own_folder(
            tmp_path, claim_of(replace(RECIPE, augmentation=datasets.Augmentation()), sets, {})
        )


def test_moved_photos_are_the_same_data_and_other_people_under_their_names_are_not(toy_dir, tmp_path):
    """Before, photos counted by their base names."""
    shutil.copytree(toy_dir / "lfw2", tmp_path / "moved")

    def claim(pairs):
        return claim_of(RECIPE, {"train": pairs}, {"Ada": [pairs.left[0]], "Bob": [pairs.left[-1]]})

    here, moved = (
        datasets.read_pairs(toy_dir / "pairsDevTrain.txt", photos)
        for photos in (toy_dir / "lfw2", tmp_path / "moved")
    )
    before = claim(here)
    assert claim(moved) == before
    first, last = moved.left[0], moved.left[-1]
    shutil.move(first, tmp_path / "kept")
    shutil.copy(last, first)
    shutil.move(tmp_path / "kept", last)  # the two people have changed places
    after = claim(moved)
    assert before["data"]["train"].pop("sha256") != after["data"]["train"].pop("sha256")
    assert before["photos"].pop("sha256") != after["photos"].pop("sha256")
    assert after == before
    os.remove(first)
    with pytest.raises(datasets.ImageError, match=f"{os.path.basename(first)}: no such image"):
        claim(moved)
