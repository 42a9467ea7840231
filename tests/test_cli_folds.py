"""`siamese-nn folds`, up to the trainings themselves."""

import json
import shutil

import pytest

from siamese_nn import cli, datasets, faces
from siamese_nn.recipes.named import RECIPES
from siamese_nn.studies import folds as study

pytestmark = pytest.mark.once


@pytest.fixture
def asked(monkeypatch):
    """What was to be trained."""
    calls = []

    def train_tasks(recipe, tasks, runs_dir, *, verbose):
        calls.append((recipe, tasks, runs_dir.name))
        raise ValueError("no training in this test")

    monkeypatch.setattr(study, "train_tasks", train_tasks)
    return calls


@pytest.fixture(scope="module")
def view_2(toy_dir, tmp_path_factory):
    """Drawn faces organised as LFW-a, and ten folds over all parts of it, beside it."""
    folder = tmp_path_factory.mktemp("view-2")
    pair_files = {f"{side}_pairs": toy_dir / f"pairsDev{side.title()}.txt" for side in ("train", "test")}
    datasets.organize_lfw_a(toy_dir / "lfw2", folder / "faces", **pair_files)
    names = sorted(path.name for path in (toy_dir / "lfw2").iterdir())
    lines = ["10\t2"]
    for one, other in (names[i : i + 2] for i in range(0, 20, 2)):
        lines += [f"{one}\t1\t2", f"{other}\t1\t2", f"{one}\t1\t{other}\t1", f"{one}\t2\t{other}\t2"]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder, names[:20]


def test_view_2_in_turn_over_all_parts_of_an_organised_folder(view_2, asked, capsys):
    folder, names = view_2
    words = ["--recipe", "face-fast", "--seed", "3", "--set", "epochs=2"]
    assert cli.main(["folds", "--data", str(folder / "faces"), *words]) == 1
    assert "no training in this test" in capsys.readouterr().err
    ((recipe, tasks, title),) = asked
    folds = tasks["view-2"]
    assert (recipe.epochs, recipe.seed) == (2, 3) and title == "faces-face-fast-view-2-3-epochs=2"
    assert len(folds) == 10 and recipe.crop == RECIPES["face-fast"].crop
    for fold in folds:
        sides = [fold.train.identities(), fold.validation.identities(), fold.test.identities()]
        assert [len(side) for side in sides] == [16, 2, 2] and set().union(*sides) == set(names)
        assert set(fold.photos) == sides[0] and all(len(own) == 4 for own in fold.photos.values())


def test_what_belongs_to_other_data_is_refused(view_2, cfp, asked, capsys):
    lfw_a = str(view_2[0] / "faces")
    for words, message in (
        (["folds", "--data", lfw_a, "--task", "FF"], "`--task` is for CFP"),
        (["folds", "--data", str(cfp), "--pairs", "pairs.txt"], "`--pairs` is for LFW-a"),
        (["train", "--data", str(cfp)], f"in its own folds: `siamese-nn folds --data {cfp}`"),
    ):
        assert cli.main(words) == 1 and message in capsys.readouterr().err and not asked


def test_the_pair_file_that_is_not_there_is_named(view_2, tmp_path, asked, capsys):
    missing = str(tmp_path / "pairs.txt")
    assert cli.main(["folds", "--data", str(view_2[0] / "faces"), "--pairs", missing]) == 1
    assert missing in capsys.readouterr().err and not asked


@pytest.fixture(scope="module")
def cfp(toy_cfp, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aligned") / "cfp"
    datasets.organize_cfp(toy_cfp, folder, align=True)
    return folder


def test_both_tasks_of_cfp_by_one_training_a_fold(cfp, asked):
    assert cli.main(["folds", "--data", str(cfp)]) == 1
    assert cli.main(["folds", "--data", str(cfp), "--task", "FP"]) == 1
    (_, both, title), (_, one, name) = asked
    assert (title, name) == ("cfp-face-FF-FP-0", "cfp-face-FP-0") and (list(both), list(one)) == (
        ["FF", "FP"],
        ["FP"],
    )
    for task, folds in both.items():
        assert [fold.test.keys() for fold in folds] == [
            fold.keys() for fold in datasets.read_cfp_folds(cfp, task)
        ]
        assert all(not set(fold.photos) & fold.test.identities() and fold.photos for fold in folds)
    assert [fold.photos for fold in both["FF"]] == [fold.photos for fold in both["FP"]]


def people_like(cfp, folder, names):
    """People of a second data set, on photos with the frame of CFP's: those of CFP's first person."""
    photos = datasets.cfp_photos(cfp)["Ada_Adler"]
    for name in names:
        (folder / name).mkdir(parents=True)
        for number, photo in enumerate(photos):
            shutil.copy(photo, folder / name / f"{number}.jpg")
    frame = {"face": "middle", "points": faces.LFW_A.points, "size": faces.LFW_A.size}
    (folder / "frame.json").write_text(json.dumps(frame))
    return folder


def test_a_second_data_set_adds_people_but_those_who_validate_or_test(cfp, tmp_path, asked, caplog, capsys):
    others = people_like(cfp, tmp_path / "others", ["Zoe Zobel", "ADA ADLER"])
    command = ["folds", "--data", str(cfp), "--data", str(others)]
    caplog.set_level("INFO")
    assert cli.main(command) == 1 and "no training in this test" in capsys.readouterr().err
    ((_, tasks, title),) = asked
    assert title == "cfp-others-face-FF-FP-0"
    own = datasets.cfp_photos(cfp)
    second = {path.parent.name: path.parent for path in others.glob("*/0.jpg")}
    for fold in tasks["FF"]:
        held_out = fold.validation.identities() | fold.test.identities()
        assert len([name for name in fold.photos if "zoe" in name.lower()]) == 1
        assert len(fold.photos["Zoe Zobel"]) == 3 and not held_out & set(fold.photos)
        if "Ada_Adler" in held_out:
            assert not any("ADA" in path for photos in fold.photos.values() for path in photos)
        else:  # one person, under the first name, with the photos of both
            added = sorted(str(path) for path in second["ADA ADLER"].glob("*.jpg"))
            assert sorted(fold.photos["Ada_Adler"]) == sorted([*own["Ada_Adler"], *added])
    assert sum("Ada_Adler" in fold.photos for fold in tasks["FF"]) == 8
    told = "people of the second data set: {} added, {} of them to somebody who is there; {} left out"
    assert caplog.text.count(told.format(2, 1, 0)) == 8 and caplog.text.count(told.format(1, 0, 1)) == 2
    assert cli.main([*command, "--recipe", "5.1"]) == 1
    assert "so the recipe must learn from people" in capsys.readouterr().err and len(asked) == 1


def test_photos_of_two_frames_or_sizes_are_refused(cfp, toy_dir, tmp_path, asked, capsys):
    unknown = people_like(cfp, tmp_path / "unknown", ["Zoe"])
    (unknown / "frame.json").unlink()
    for others in (toy_dir / "lfw2", unknown):
        assert cli.main(["folds", "--data", str(cfp), "--data", str(others)]) == 1
        told = capsys.readouterr().err
        assert "Photos of two data sets must have one size, and the faces in one place" in told
        assert str(cfp) in told and str(others) in told
    assert not asked
