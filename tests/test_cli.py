import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from siamese_nn import cli, datasets


@pytest.fixture(scope="module")
def organized(toy_dir, tmp_path_factory):
    return tmp_path_factory.mktemp("cli") / "faces"


def test_help_comes_at_once_and_without_tensorflow():
    script = (
        "import sys\nfrom siamese_nn.cli import main\ntry: main(['--help'])\nfinally: "
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    commands = re.findall(r"^  ([a-z]+) +[a-z]", done.stdout, re.MULTILINE)
    assert sorted(commands) == sorted(cli._parser()._subparsers._group_actions[0].choices)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    examples = re.findall(r"^  siamese-nn (.*?)   ", done.stdout, re.MULTILINE)
    assert len(examples) == 3 and all(cli._parser().parse_args(line.split()) for line in examples)
    assert "Say whether two photos show the same person." in cli._parser()._subparsers._group_actions[
        0
    ].choices["verify"].format_help().replace("\n", " ")


@pytest.fixture
def small_recipe(monkeypatch):
    """What is tested is the command, not the recipe."""
    from siamese_nn.training import RECIPES

    monkeypatch.setitem(RECIPES, "l1_sigmoid", replace(RECIPES["l1_sigmoid"], units=8, filters=2))


@pytest.mark.usefixtures("small_recipe")
def test_from_photos_to_figures(toy_dir, organized, tmp_path, capsys, monkeypatch):
    assert cli.main(["organize", str(toy_dir / "lfw2"), str(organized)]) == 0
    assert "photos in train/" in capsys.readouterr().out
    assert cli.main(["pairs", str(organized)]) == 0
    assert "by identity: validation" in capsys.readouterr().out
    assert cli.main(["check", str(organized)]) == 1
    assert "error" in capsys.readouterr().err
    run_dir = tmp_path / "run"
    words = [
        "train",
        "--data",
        str(organized),
        "--recipe",
        "l1_sigmoid",
        "--epochs",
        "1",
        "--run-dir",
        str(run_dir),
    ]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "never seen" in out and "raw pixels" in out and str(run_dir / "pairs.png") in out
    last = out.splitlines()[-1]
    assert last.startswith("Result: accuracy ") and last.endswith(
        f"Its worst mistakes: {run_dir / 'report.html'}"
    )
    assert json.loads((run_dir / "results.json").read_text())["epochs"] == 1
    with pytest.warns(datasets.IdentityLeakWarning):
        words[-1] = str(tmp_path / "leaky")
        assert cli.main([*words, "--split", "report", "--precision", "mixed_bfloat16"]) == 0
    assert "SHARE people" in capsys.readouterr().out
    claim = json.loads((tmp_path / "leaky" / "recipe.json").read_text())
    assert claim["recipe"]["precision"] == "mixed_bfloat16"
    facts = json.loads((tmp_path / "leaky" / "verifier.json").read_text())
    unseen = set(facts["people"]["chosen_on"]) - set(facts["people"]["trained_on"])
    assert len(facts["held_out"]["photos_each"]) == len(unseen) < len(facts["people"]["chosen_on"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["train", "--data", "nowhere"],
            "`--data` must be a folder with a folder of photos for each person, or an organised LFW-a",
        ),
        (["train", "--data", "nowhere", "--recipe", "no"], "`--recipe` must be one of face, face-fast"),
        (["train", "--data", "nowhere", "--recipe", "fcae"], "`--recipe` must be one of face, "),
        (["organize", "nowhere.zip", "out"], "Received: nowhere.zip, which does not exist"),
        (["organize", ".", "/dev/null/out"], "/dev/null is a file"),
        (
            ["organize", ".", "out", "--train-pairs", "pairsDevTrain.txt"],
            "`--train-pairs` must be an LFW pair file. Received: pairsDevTrain.txt, which does not exist",
        ),
        (
            ["organize", ".", "out"],
            "`--train-pairs` must be an LFW pair file. Received: pairsDevTrain.txt, which does not exist",
        ),
        (["check", "nowhere"], "Received: nowhere, which does not exist"),
        (["pairs", "nowhere"], "nowhere must be a folder that `organize_lfw_a` made, and does not exist"),
        (["pairs", "."], ". is not organised: it has no lfw_a.json"),
        (["cfp", "organize", "nowhere.zip", "out"], "Received: nowhere.zip, which does not exist"),
        (
            ["folds", "--data", "nowhere"],
            "LFW-a or CFP first. Received: nowhere, which is neither",
        ),
        (
            ["sweep", "cfp", "--data", "nowhere"],
            "nowhere must be the unpacked cfp-dataset, with Data/ and Protocol/, and does not",
        ),
    ],
)
def test_errors_are_one_message_and_exit_code_1(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 1
    err = capsys.readouterr().err
    assert err.startswith("siamese-nn: error: ") and message in err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_wrong_usage_is_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train", "--split", "none"])
    assert stopped.value.code == 2


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of an untrained model, for which nobody but the same photo is the same person."""
    import tensorflow as tf

    from siamese_nn import models

    tf.keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("run")
    backbone = models.report_cnn((80, 80, 1), filters=2, units=16, initializer="he_normal")
    models.cosine_embedding(backbone).save(folder / "model.keras")
    calibration = {"slope": 1.0, "intercept": 0.0}
    # Strangers are alike by up to 0.9999; a hundred pairs of them are.
    scores = np.triu(np.linspace(0, 0.9999, 900, dtype=np.float32).reshape(30, 30), 1)
    np.save(folder / "scores.npy", scores + scores.T + np.eye(30, dtype=np.float32))
    settings = {
        "format": 2,
        "model": "model.keras",
        "crop": None,
        "photo_size": None,
        "threshold": 0.99999,
        "calibration": calibration,
        "model_sha256": sha256((folder / "model.keras").read_bytes()).hexdigest(),
        "people": {"trained_on": [], "chosen_on": []},
        "held_out": {
            "file": "scores.npy",
            "sha256": sha256((folder / "scores.npy").read_bytes()).hexdigest(),
            "photos_each": [1] * 30,
        },
    }
    (folder / "verifier.json").write_text(json.dumps(settings))
    (folder / "recipe.json").write_text("{}")
    results = {"status": "finished", "split": "identities", "device": "CPU", "seed": 0, "seconds": 1.0}
    results |= {"epochs": 1, "best_epoch": 1, "figures": {}, "raw_pixels": {}}
    (folder / "results.json").write_text(json.dumps(results))
    return str(folder)


def test_verify_says_same_or_different_by_its_exit_code(run, toy_test, capsys):
    photo, other = toy_test.left[0], toy_test.right[-1]
    assert cli.main(["verify", run, photo, photo]) == 0
    assert capsys.readouterr().out.startswith("same (score 1.0000, threshold 1.0000, probability")
    assert cli.main(["verify", run, photo, other]) == 3
    assert capsys.readouterr().out.startswith("different (")
    assert cli.main(["verify", run, photo, other, "--json"]) == 3
    answer = json.loads(capsys.readouterr().out)
    assert answer["same"] is False and set(answer) == {"same", "score", "threshold", "probability"}
    assert cli.main(["verify", run, photo, "absent.jpg"]) == 1
    assert "absent.jpg: no such image" in capsys.readouterr().err
    assert cli.main(["verify", "nowhere", photo, photo]) == 1
    assert "nowhere is no run folder" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        cli.main(["verify", run, photo])
    assert stopped.value.code == 2


def test_identify_says_known_or_unknown_by_its_exit_code(run, toy_dir, toy_test, tmp_path, capsys):
    from siamese_nn import Verifier

    names = sorted(toy_test.identities())[:3]
    for name in names:
        (tmp_path / "people" / name).mkdir(parents=True)
        photo = toy_dir / "lfw2" / name / f"{name}_0001.jpg"
        (tmp_path / "people" / name / photo.name).write_bytes(photo.read_bytes())
    Verifier.load(run).gallery(tmp_path / "people").save(tmp_path / "people.npz")
    known, stranger = photo, toy_dir / "lfw2" / names[0] / f"{names[0]}_0002.jpg"
    own = ["--threshold", "0.99999"]
    for gallery in ("people", "people.npz"):
        words = ["--gallery", str(tmp_path / gallery), *own]
        assert cli.main(["identify", run, str(known), *words]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == names[2] and len(lines) == 9 and lines[6].split()[-1] == names[2]
        assert lines[1] == "Threshold 1.0000, for a gallery of 3 photos:"
        assert lines[2] == "  strangers that get a name (FPIR): not known, too few people were held out"
        assert cli.main(["identify", run, str(stranger), *words]) == 3
        assert capsys.readouterr().out.startswith("unknown\n")
    words = ["identify", run, str(stranger), "--gallery", str(tmp_path / "people.npz"), "--json"]
    assert cli.main([*words, *own]) == 3
    answer = json.loads(capsys.readouterr().out)
    assert answer["name"] is None and {candidate["name"] for candidate in answer["candidates"]} == set(names)
    assert answer["fpir"] is None and set(answer["candidates"][0]) == {"name", "score"}
    assert cli.main([*words, "--fpir", "0.3"]) in (0, 3)
    answer = json.loads(capsys.readouterr().out)
    low, high = answer["fpir"]["interval"]
    assert low < answer["fpir"]["estimate"] <= 0.3 < high
    assert cli.main(words) == 1
    assert (
        "For a gallery of 3 photos, the run's 30 held-out people can promise rates from"
        in capsys.readouterr().err
    )
    with pytest.raises(SystemExit):
        cli.main([*words, *own, "--fpir", "0.3"])
    (tmp_path / "empty").mkdir()
    assert cli.main(["identify", run, str(known), "--gallery", str(tmp_path / "empty")]) == 1
    assert "must be a folder with photos" in capsys.readouterr().err
    assert cli.main(["identify", run, str(known), "--gallery", str(tmp_path / "nope")]) == 1
    assert f"{tmp_path / 'nope'} does not exist. Give a folder" in capsys.readouterr().err


def test_a_gallery_grows_and_shrinks(run, toy_dir, toy_test, tmp_path, capsys, caplog):
    from siamese_nn import Verifier
    from siamese_nn.verification import Gallery, StoredGallery

    names, door = sorted(toy_test.identities())[:3], str(tmp_path / "door")
    photos = [toy_dir / "lfw2" / name / f"{name}_0001.jpg" for name in names]
    for part, those in (("a", (0, 1)), ("b", (1, 2))):
        for i in those:
            (tmp_path / part / names[i]).mkdir(parents=True)
            (tmp_path / part / names[i] / photos[i].name).write_bytes(photos[i].read_bytes())
    (tmp_path / "a" / names[0] / "half.jpg").write_bytes(photos[0].read_bytes()[:500])
    assert cli.main(["gallery", "add", run, door, str(tmp_path / "a")]) == 0
    assert "added 2 photos of 2 people" in capsys.readouterr().out and "half.jpg" in caplog.text
    words = ["identify", run, str(photos[2]), "--gallery", door, "--threshold", "0.99999"]
    assert cli.main(words) == 3
    assert "for a gallery of 2 photos:" in capsys.readouterr().out
    verifier, stored = Verifier.load(run), StoredGallery(door)
    assert verifier.identify(photos[2], stored, threshold=0.99999).name is None
    assert cli.main(["gallery", "add", run, door, str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "added": {names[2]: 1},  # the other is there already
        "photos": 3,
        "people": 3,
    }
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == names[2] and "for a gallery of 3 photos:" in lines[1]
    # The next call sees what another process has stored, and counts its photos for the threshold.
    assert verifier.identify(photos[2], stored, threshold=0.99999).name == names[2]
    assert verifier.gallery_threshold(stored, fpir=0.5) == verifier.held_out.gallery_threshold(3, fpir=0.5)
    assert cli.main(["gallery", "remove", door, names[2]]) == 0
    assert cli.main(words) == 3
    assert verifier.identify(photos[2], stored, threshold=0.99999).name is None
    assert cli.main(["gallery", "compact", door]) == 0
    capsys.readouterr()
    assert cli.main(["gallery", "list", door]) == 0
    assert capsys.readouterr().out == f"1\t{names[0]}\n1\t{names[1]}\n"
    assert cli.main(["gallery", "remove", door, names[0] + "x"]) == 1
    assert f"Did you mean {names[0]!r}" in capsys.readouterr().err
    other = StoredGallery.create(tmp_path / "other", Gallery(np.array(["Ada"]), np.ones((1, 2)), "0" * 64))
    with pytest.raises(ValueError, match="must have been made with this verifier's model"):
        verifier.identify(photos[2], other, threshold=0.5)
    assert cli.main(["gallery", "list", str(tmp_path)]) == 1
    assert "is no gallery" in capsys.readouterr().err
    assert cli.main([*words, "--index", "faiss"]) == 1
    assert "door has no index. Make it anew" in capsys.readouterr().err
    assert cli.main([*words[:4], str(tmp_path / "a"), *words[5:], "--index", "faiss"]) == 1
    assert "--index is for what `siamese-nn gallery add` made" in capsys.readouterr().err
    if importlib.util.find_spec("faiss"):
        assert cli.main(["gallery", "index", door]) == 1  # this run compares by distances
        assert "An index is for vectors of length 1" in capsys.readouterr().err


def test_cluster_lists_the_people(run, toy_test, tmp_path, capsys):
    for name, photo in {
        "a.jpg": toy_test.left[0],
        "b.JPG": toy_test.right[-1],
        "c.jpg": toy_test.left[0],
    }.items():
        with open(photo, "rb") as file:
            (tmp_path / name).write_bytes(file.read())
    (tmp_path / "notes.txt").write_text("not a photo")
    assert cli.main(["cluster", run, str(tmp_path), "--json"]) == 0
    a, b, c = (str(tmp_path / name) for name in ("a.jpg", "b.JPG", "c.jpg"))
    assert json.loads(capsys.readouterr().out) == [[a, c], [b]]
    assert cli.main(["cluster", run, str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"person 0:\n  {a}\n  {c}\nperson 1:\n  {b}\n"


@pytest.mark.slow
@pytest.mark.once
def test_cfp_is_organised_and_a_run_measured_in_its_folds(run, tmp_path, capsys, caplog):
    from siamese_nn import Verifier, evaluation

    drawn = datasets.make_toy_cfp(tmp_path / "drawn", frontal_photos=2, profile_photos=1)
    cfp = tmp_path / "cfp"
    assert cli.main(["cfp", "organize", str(drawn), str(cfp), "--align"]) == 0
    assert capsys.readouterr().out == f"{cfp}: 20 people, 40 frontal, 20 profile\n"
    own = tmp_path / "run"
    shutil.copytree(run, own)
    settings = json.loads((own / "verifier.json").read_text())
    settings["people"] = {"trained_on": ["Some_Body"], "chosen_on": ["Any_One"]}
    (own / "verifier.json").write_text(json.dumps(settings))
    assert cli.main(["cfp", "measure", str(own), "--data", str(cfp), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    model = Verifier.load(own).comparison.model
    for task, report in figures.items():
        folds = datasets.read_cfp_folds(cfp, task)
        expected = evaluation.cross_validate([evaluation.score_pairs(model, fold) for fold in folds], folds)
        assert report["accuracy"] == pytest.approx(expected.accuracy) and report["n_people"] == 20
    assert cli.main(["cfp", "measure", str(own), "--data", str(cfp)]) == 0
    drop = 100 * (figures["FF"]["accuracy"]["mean"] - figures["FP"]["accuracy"]["mean"])
    assert f"From FF to FP accuracy drops by {drop:.1f} points" in capsys.readouterr().out
    assert cli.main(["cfp", "measure", str(own), "--data", str(cfp), "--refit", "--json"]) == 0
    refitted = json.loads(capsys.readouterr().out)["FF"]
    photos, vectors = datasets.cfp_photos(cfp), {}
    for paths in photos.values():
        for path, vector in zip(paths, Verifier.load(own).embed(paths), strict=True):
            vectors[path] = vector / np.linalg.norm(vector)
    folds = datasets.read_cfp_folds(cfp, "FF")
    expected = evaluation.cross_validate_plda(vectors, photos, folds)
    assert refitted["auc"] == pytest.approx(expected.auc, abs=1e-6) and refitted["folds"][0]["n_same"] == 2
    assert cli.main(["cfp", "measure", str(own), "--data", str(drawn)]) == 0
    assert "isn't aligned as LFW-a" in caplog.text
    seen = datasets.read_names(cfp / "Data" / "list_name.txt")[3]
    settings["people"]["chosen_on"] = [seen.upper()]
    (own / "verifier.json").write_text(json.dumps(settings))
    assert cli.main(["cfp", "measure", str(own), "--data", str(cfp)]) == 1
    assert seen in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.usefixtures("small_recipe")
def test_excluded_people_are_neither_trained_nor_validated_on(toy_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pair_files = {f"{side}_pairs": toy_dir / f"pairsDev{side.title()}.txt" for side in ("train", "test")}
    datasets.organize_lfw_a(toy_dir / "lfw2", "faces", **pair_files)
    people = sorted(datasets.load_lfw_a("faces")[0].identities())
    unwanted = people[::9]
    (tmp_path / "names.txt").write_text("\n".join(name.replace("_", " ").upper() for name in unwanted) + "\n")
    words = ["--data", "faces", "--recipe", "l1_sigmoid", "--epochs", "1", "--exclude", "names.txt"]
    assert cli.main(["train", *words]) == 0
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert run_dir.name == "faces-l1_sigmoid-identities-0-1-epochs-without-names"
    seen = json.loads((run_dir / "verifier.json").read_text())["people"]
    assert not {*seen["trained_on"], *seen["chosen_on"]} & set(unwanted)
    assert len({*seen["trained_on"], *seen["chosen_on"]}) > len(people) / 2
