"""`train --data people/` and `--align`, up to the training itself."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from siamese_nn import cli, datasets, faces, training
from siamese_nn.recipes.named import RECIPES

pytestmark = pytest.mark.once


@pytest.fixture
def asked(monkeypatch):
    """What a training was asked for, in its place."""
    calls = []

    def train(recipe, train, val, run_dir, *, test, photos, **_):
        calls.append((recipe, train, val, test, photos, run_dir))
        raise ValueError("no training in this test")

    monkeypatch.setattr(training, "train", train)
    return calls


def test_a_folder_of_people_is_split_so_that_nobody_is_on_two_sides(toy_dir, asked, capsys):
    assert cli.main(["train", "--data", str(toy_dir / "lfw2"), "--seed", "1"]) == 1
    assert "no training in this test" in capsys.readouterr().err
    ((recipe, train, val, test, photos, run_dir),) = asked
    assert (
        recipe.mirror == RECIPES["face"].mirror and recipe.seed == 1 and run_dir.name.startswith("lfw2-face-")
    )
    assert not train.identities() & val.identities() and not test.identities() & val.identities()
    assert not set(photos) & (val.identities() | test.identities()) and set(photos) >= train.identities()


def test_photos_that_may_not_be_aligned_are_told(toy_dir, tmp_path, asked, caplog):
    people = shutil.copytree(toy_dir / "lfw2", tmp_path / "people")
    told = "people: it is not known where the faces are"
    assert cli.main(["train", "--data", str(people)]) == 1 and told in caplog.text
    caplog.clear()
    frame = {"face": "middle", "points": faces.LFW_A.points, "size": faces.LFW_A.size}
    (people / "frame.json").write_text(json.dumps(frame))
    assert cli.main(["train", "--data", str(people)]) == 1 and told not in caplog.text
    assert len(asked) == 2


def test_shards_are_trained_on_as_their_folder_is(toy_dir, tmp_path, asked, caplog, capsys):
    shards = tmp_path / "lfw2"
    assert cli.main(["shards", str(toy_dir / "lfw2"), str(shards)]) == 0
    assert "64 people, 256 photos, 1 shards" in capsys.readouterr().out
    for data in (toy_dir / "lfw2", shards):
        assert cli.main(["train", "--data", str(data)]) == 1
    (recipe, *sets, photos, run_dir), others = asked
    assert run_dir == others[-1] and recipe == others[0]
    assert [own.keys() for own in sets] == [own.keys() for own in others[1:4]]
    assert {name: len(own) for name, own in photos.items()} == {n: len(own) for n, own in others[4].items()}
    assert all(str(shards) in own[0] for own in others[4].values())
    shutil.rmtree(shards)
    shards.mkdir()
    (shards / "shards.json").write_text('{"version": 1, "finished": false}')
    assert cli.main(["train", "--data", str(shards)]) == 1
    assert "lfw2 is not finished" in capsys.readouterr().err and len(asked) == 2


def test_photos_are_aligned_before_they_become_shards(tmp_path, monkeypatch):
    asked = []
    row = {"photo": "Ada/1.jpg", "result": "aligned", "reason": ""}
    monkeypatch.setattr(
        datasets, "align_folder", lambda *folders, face: asked.append((*folders, face)) or [row]
    )
    monkeypatch.setattr(datasets, "write_shards", lambda *folders: asked.append(folders) or {"photos": 1})
    people, aligned, shards = (tmp_path / name for name in ("people", "people-aligned", "shards"))
    assert cli.main(["shards", str(people), str(shards), "--align"]) == 0
    assert asked == [(people, aligned, "middle"), (aligned, shards)]
    people.mkdir()
    assert cli.main(["shards", str(people), str(people / "shards"), "--align"]) == 1
    assert len(asked) == 2 and not any(people.iterdir())


def test_a_split_by_letters_keeps_names_that_begin_alike_on_one_side(toy_dir, asked):
    data = str(toy_dir / "lfw2")
    assert cli.main(["train", "--data", data, "--split", "letters"]) == 1
    ((recipe, train, val, test, _, run_dir),) = asked
    letters = [{name[0] for name in pairs.identities()} for pairs in (val, test, train)]
    assert max(letters[0]) < min(letters[1]) and max(letters[1]) < min(letters[2])
    assert recipe.split == "identities" and run_dir.name == "lfw2-face-letters-0"


def test_a_second_data_set_adds_people_to_learn_from(toy_dir, tmp_path, asked, caplog, capsys):
    """Somebody of both is one person; who validates or tests is not learnt from."""
    first = toy_dir / "lfw2"
    own = datasets.load_people(first)
    known, held_out = min(own.photos), min(own.test.identities())
    other = tmp_path / "other"
    for name in (known.upper(), held_out.upper(), "Zoe Zobel"):
        shutil.copytree(first / known, other / name)
    command = ["train", "--data", str(first), "--data", str(other)]
    assert cli.main(command) == 1 and "it is not known where the faces are in " in caplog.text
    ((_, train, val, test, photos, run_dir),) = asked
    assert run_dir.name.startswith("lfw2-other-face-")
    assert [pairs.keys() for pairs in (train, val, test)] == [
        pairs.keys() for pairs in (own.train, own.validation, own.test)
    ]
    assert photos == own.photos | {
        known: [*own.photos[known], *(str(path) for path in sorted((other / known.upper()).iterdir()))],
        "Zoe Zobel": [str(path) for path in sorted((other / "Zoe Zobel").iterdir())],
    }
    assert cli.main([*command, "--recipe", "5.1"]) == 1
    assert "so the recipe must learn from people" in capsys.readouterr().err and len(asked) == 1
    for second, words in (
        ("none", "A second `--data` must be a folder with a folder of photos"),
        ("other/Zoe Zobel", "A second `--data` must be a folder with a folder of photos"),
        (first, "must be another folder. Received twice"),
    ):
        assert cli.main(["train", "--data", str(first), "--data", str(tmp_path / second)]) == 1
        assert words in capsys.readouterr().err and len(asked) == 1


def test_excluded_people_are_left_out_of_both_data_sets(toy_dir, tmp_path, asked):
    pair_files = {f"{side}_pairs": toy_dir / f"pairsDev{side.title()}.txt" for side in ("train", "test")}
    datasets.organize_lfw_a(toy_dir / "lfw2", tmp_path / "faces", **pair_files)
    for name in ("Zoe Zobel", "Yan Yu"):
        shutil.copytree(toy_dir / "lfw2" / "Ada_Adler", tmp_path / "other" / name)
    (tmp_path / "names.txt").write_text("ZOE ZOBEL\nFelix Farkas\n")
    command = ["train", "--data", str(tmp_path / "faces"), "--data", str(tmp_path / "other")]
    assert cli.main([*command, "--recipe", "face", "--exclude", str(tmp_path / "names.txt")]) == 1
    ((_, train, val, test, photos, run_dir),) = asked
    assert "Yan Yu" in photos and "Zoe Zobel" not in photos and "Yan Yu" not in train.identities()
    assert run_dir.name == "faces-other-face-identities-0-without-names"
    assert not set(photos) & (val.identities() | test.identities())


def test_a_training_of_all_people_is_given_the_photos_of_the_validation_people(toy_dir, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(training, "train", lambda *given, **options: asked.append((given, options)) or {})
    monkeypatch.setattr(cli.train, "show_run", lambda *arguments: None)
    monkeypatch.setattr(datasets.OwnPeople, "write_pairs", None)  # its validation people are not held out
    own, people = datasets.load_people(toy_dir / "lfw2"), datasets.photos_by_identity(toy_dir / "lfw2")
    command = ["train", "--data", str(toy_dir / "lfw2"), "--all-people", "runs/first"]
    assert cli.main(command) == 0
    (((_, train, val, run_dir), options),) = asked
    assert (train.keys(), val.keys()) == (own.train.keys(), own.validation.keys())
    assert options["photos"] == own.photos | {name: people[name] for name in val.identities()}
    assert str(options["chosen_by"]) == "runs/first" and run_dir.name == "lfw2-face-identities-0-all-people"
    assert cli.main([*command, "--folds", "3"]) == 1
    assert "`--all-people` and `--folds` exclude each other" in capsys.readouterr().err


def test_a_run_of_own_people_holds_its_pair_files(toy_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *arguments, **options: {})
    monkeypatch.setattr(cli.train, "show_run", lambda *arguments: None)
    people = toy_dir / "lfw2"
    assert cli.main(["train", "--data", str(people), "--run-dir", str(tmp_path / "run")]) == 0
    own = datasets.load_people(people)
    for name, pairs in (("train", own.train), ("validation", own.validation), ("test", own.test)):
        assert datasets.read_pairs(tmp_path / f"run/pairs/{name}.txt", people).keys() == pairs.keys()


def test_pair_files_alone(toy_dir, tmp_path, capsys):
    people = toy_dir / "lfw2"
    command = ["pairs", "make", str(people), "--seed", "3", "--out"]
    assert cli.main([*command, str(tmp_path / "one")]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "one" / f"{side}.txt") for side in ("train", "validation", "test")
    ]
    own = datasets.load_people(people, seed=3)
    assert datasets.read_pairs(tmp_path / "one/test.txt", people).keys() == own.test.keys()
    assert cli.main([*command, str(tmp_path / "folds"), "--folds", "3"]) == 0
    third = datasets.people_folds(people, 3, seed=3)[2]
    assert datasets.read_pairs(tmp_path / "folds/fold-3/train.txt", people).keys() == third.train.keys()
    assert len(capsys.readouterr().out.split()) == 9


def test_pair_files_are_not_written_among_the_people(toy_dir, capsys):
    people = toy_dir / "lfw2"
    assert cli.main(["pairs", "make", str(people), "--out", str(people / "pairs")]) == 1
    assert "`--out` must lie outside of" in capsys.readouterr().err and not (people / "pairs").exists()


def test_pair_files_are_not_written_over(toy_dir, tmp_path, capsys):
    command = ["pairs", "make", str(toy_dir / "lfw2"), "--out", str(tmp_path)]
    assert cli.main(command) == 0 and cli.main(command) == 0  # the same again is nothing to do
    (tmp_path / "train.txt").unlink()
    before = (tmp_path / "validation.txt").read_bytes()
    assert cli.main([*command, "--seed", "1"]) == 1
    assert "validation.txt, which holds something else" in capsys.readouterr().err
    assert (tmp_path / "validation.txt").read_bytes() == before and not (tmp_path / "train.txt").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["pairs", "make", "people"], "`pairs make` wants one folder, and where to write"),
        (["pairs", "make", "--out", "pairs"], "`pairs make` wants one folder"),
        (["pairs", "data", "more"], "`pairs` wants one organised folder"),
        (["pairs", "data", "--out", "pairs"], "`--out` and `--folds` belong to `pairs make`"),
        (["pairs", "data", "--folds", "3"], "`--out` and `--folds` belong to `pairs make`"),
        (["train", "--folds", "4"], "`--split letters` and `--folds` are for a folder"),
        (["train", "--split", "letters"], "`--split letters` and `--folds` are for a folder"),
    ],
)
def test_what_does_not_fit_together(command, message, asked, capsys):
    assert cli.main(command) == 1
    assert message in capsys.readouterr().err and not asked


def test_folds_and_letters_exclude_each_other(toy_dir, asked, capsys):
    command = ["train", "--data", str(toy_dir / "lfw2"), "--folds", "3", "--split", "letters"]
    assert cli.main(command) == 1 and not asked
    assert "`--split letters` and `--folds` exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--split", "report"], ["--exclude", "names.txt"]])
def test_options_of_lfw_a_are_refused(toy_dir, asked, options, capsys):
    assert cli.main(["train", "--data", str(toy_dir / "lfw2"), *options]) == 1
    assert "are for LFW-a" in capsys.readouterr().err and not asked


def test_align_is_for_photos(asked, capsys):
    assert cli.main(["train", "--align"]) == 1
    assert "`--align` is for photos; the drawn faces are in place" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--align"]])
def test_what_is_no_folder_of_people_is_told_before_any_photo_is_looked_at(tmp_path, asked, options, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    for file in ("file", "flat/a.jpg", "people/Ada/1.jpg", "people/loose.jpg"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for name, message in (
        ("absent", "folder of photos for each person, or an organised LFW-a.*absent, which is no folder"),
        ("file", "folder of photos for each person.*file, which is no folder"),
        ("empty", "folder of photos for each person.*empty, which holds no folder"),
        ("flat", "folder of photos for each person.*flat, which holds no folder"),
        ("people", "Photos must lie in the folders of their people.*people/loose.jpg"),
    ):
        assert cli.main(["train", "--data", str(tmp_path / name), *options]) == 1
        assert re.search(message, capsys.readouterr().err)
    assert not asked and not list(tmp_path.glob("*-aligned"))


def test_raw_photos_are_aligned_before_they_are_trained_on(tmp_path, asked, monkeypatch, capsys):
    for i in range(50):
        (tmp_path / "people" / f"Zoë {i}").mkdir(parents=True)
        for number, ending in enumerate(("png", "webp")):
            pixels = np.random.default_rng(2 * i + number).integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "people" / f"Zoë {i}" / f"{number}.{ending}")
    face = faces.Face((5, 5, 30, 30), 1.0, np.array(faces.LFW_A.points) / 10 + 5)
    monkeypatch.setattr(faces, "find", lambda photo, finder=None: [face])
    assert cli.main(["train", "--data", str(tmp_path / "people"), "--align", "--recipe", "face-fast"]) == 1
    assert "people-aligned: 100 of 100 photos are aligned" in capsys.readouterr().out
    ((_, train, _, _, photos, _),) = asked
    assert all("people-aligned" in path for path in train.left.tolist())
    assert sum(map(len, photos.values())) == 60


def test_too_few_folds_are_told_by_the_option(toy_dir, asked, capsys):
    assert cli.main(["train", "--data", str(toy_dir / "lfw2"), "--folds", "1"]) == 1
    assert "error: `--folds` must be a whole number of at least 3" in capsys.readouterr().err and not asked


@pytest.mark.parametrize(
    ("options", "least"),
    [([], 50), (["--split", "letters"], 50), (["--folds", "3"], 10), (["--folds", "9"], 18)],
)
def test_too_few_people_are_told_before_their_photos_are_looked_at(tmp_path, asked, options, least, capsys):
    for name in "ABCDEFGHI":
        (tmp_path / "people" / name).mkdir(parents=True)
        for file in ("1.webp", "2.heic"):
            (tmp_path / "people" / name / file).touch()
    assert cli.main(["train", "--data", str(tmp_path / "people"), "--align", *options]) == 1
    error = capsys.readouterr().err
    assert f"at least {least} people with two photos or more" in error and "Received: 9, and 0 with" in error
    assert [path.name for path in tmp_path.iterdir()] == ["people"]


def test_train_takes_the_face_that_align_takes(toy_dir, tmp_path, asked, monkeypatch, capsys):
    faces_asked = []
    monkeypatch.setattr(
        cli.data, "align_folder", lambda *arguments: faces_asked.append(arguments[2]) or 1 / 0
    )
    command = ["train", "--data", str(toy_dir / "lfw2")]
    for options in ([], ["--face", "largest"]):
        with pytest.raises(ZeroDivisionError):
            cli.main([*command, "--align", *options])
    assert faces_asked == ["middle", "largest"]
    assert cli.main([*command, "--face", "largest"]) == 1
    assert "Received: --face largest without --align" in capsys.readouterr().err
    assert cli.main([*command, "--devices", "0,64"]) == 1
    assert "different numbers of this machine" in capsys.readouterr().err
    assert cli.main([*command, "--devices", "0", "--folds", "2"]) == 1
    assert "leave out `--devices`. Received: --devices 0" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "align"), [([], None), (["--align"], True), (["--no-align"], False)])
def test_the_commands_hand_on_whether_faces_are_to_be_found(tmp_path, monkeypatch, words, align, capsys):
    from siamese_nn.verification import verifier

    asked = []

    class FakeVerifier:
        def photo_endings(self, align):
            return (".png",)

        def __getattr__(self, name):
            return lambda *_, align, **__: asked.append((name, align)) or 1 / 0

    monkeypatch.setattr(verifier.Verifier, "load", lambda folder: FakeVerifier())
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    photo = str(tmp_path / "a.png")
    for command in (["verify", "run", photo, photo], ["cluster", "run", str(tmp_path)]):
        with pytest.raises(ZeroDivisionError):
            cli.main([*command, *words])
    with pytest.raises(ZeroDivisionError):
        cli.main(["identify", "run", photo, "--gallery", str(tmp_path), *words])
    assert asked == [("verify", align), ("cluster", align), ("gallery", align)]


@pytest.fixture
def plain_verifier(monkeypatch):
    """One that takes photos as they are."""
    from siamese_nn import evaluation
    from siamese_nn.evaluation.calibration import Calibration
    from siamese_nn.verification import Embedding, verifier

    def flat(images):
        return images.reshape(len(images), -1) - 99.5

    made = verifier.Verifier(
        Embedding(flat, (8, 8), "pixels", 1),
        comparison=evaluation.Cosine(),
        threshold=0.5,
        calibration=Calibration(1.0, 0.0),
        held_out=None,
        digest="0",
        provenance={"people": {}},
    )
    monkeypatch.setattr(verifier.Verifier, "load", lambda folder: made)
    return made


def test_photos_of_a_folder_that_cannot_be_used_are_left_out_and_named(
    tmp_path, plain_verifier, monkeypatch, capsys, caplog
):
    rng = np.random.default_rng(0)
    for name in ("Ada", "Bob"):
        (tmp_path / "people" / name).mkdir(parents=True)
        pixels = rng.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "people" / name / "1.png")
    for damaged in ("Ada/2.png", "Cy/1.png"):
        (tmp_path / "people" / damaged).parent.mkdir(exist_ok=True)
        (tmp_path / "people" / damaged).write_bytes(b"no photo")
    people = str(tmp_path / "people")
    assert cli.main(["cluster", "run", people]) == 0
    answer = capsys.readouterr()
    assert answer.out.count(".png") == 2 and "damaged" not in answer.out
    assert [line.split(": ")[1] for line in caplog.messages] == [
        f"{people}/Ada/2.png",
        f"{people}/Cy/1.png",
    ]
    galleries = []
    monkeypatch.setattr(
        plain_verifier, "identify", lambda _, gallery, **__: galleries.append(gallery) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        cli.main(["identify", "run", "a.png", "--gallery", people])
    assert galleries[0].names.tolist() == ["Ada", "Bob"]
    assert [line.startswith("left out: ") for line in caplog.messages] == [True] * 4
    assert "no photo is left of Cy" in capsys.readouterr().err
    with pytest.raises(datasets.ImageError, match=r"Ada/2\.png.*Cy/1\.png"):  # in Python all are named
        plain_verifier.gallery(people)
    for person in ("Ada", "Bob"):
        (tmp_path / "people" / person / "1.png").unlink()
    assert cli.main(["cluster", "run", people]) == 1  # nothing is left
    assert "Cy/1.png" in capsys.readouterr().err


def test_align_without_the_extra_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    faces.mtcnn._network.cache_clear()
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    assert cli.main(["align", str(tmp_path), str(tmp_path.parent / "aligned")]) == 1
    assert "pip install 'siamese_nn[faces]'" in capsys.readouterr().err
