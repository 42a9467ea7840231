import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from siamese_nn import Verifier, cli, datasets, evaluation, training
from siamese_nn.datasets import IdentityLeakError
from siamese_nn.runs import folder
from siamese_nn.studies import folds as study
from siamese_nn.training import Recipe

SMALL = Recipe(image_size=(80, 80), filters=2, units=8, batch_size=16, epochs=1)


@pytest.fixture(scope="module")
def people(toy_dir, tmp_path_factory):
    """Twelve drawn people, with names and files of any kind."""
    folder = tmp_path_factory.mktemp("own") / "people"
    for name, photos in list(datasets.photos_by_identity(toy_dir / "lfw2").items())[:12]:
        own = folder / f"{name.replace('_', ' ')} Ü. 李"
        own.mkdir(parents=True)
        for number, photo in enumerate(photos[:3]):
            shutil.copy(photo, own / f"me & you {number}.jpg")
    return folder


def test_a_fold_that_leaks_is_refused_before_anything_is_trained(people, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "train", None)
    folds = datasets.people_folds(people, 3)
    first, second, third = folds
    known = next(iter(third.test.identities()))
    for wrong, message in (
        (
            [first, second, replace(third, train=third.train + third.test)],
            "fold-3's training and fold-3's test",
        ),
        (
            [replace(first, validation=first.train), second, third],
            "fold-1's training and fold-1's validation",
        ),
        (
            [first, second, replace(third, photos={known: ["a.jpg", "b.jpg"]})],
            "fold-3's photos to learn from",
        ),
        ([first, second, second], "fold-2's test and fold-3's test"),
    ):
        with pytest.raises(IdentityLeakError, match=message):
            study.train_folds(SMALL, wrong, tmp_path / "runs")
    with pytest.raises(ValueError, match="`folds` must be at least 2"):
        study.train_folds(SMALL, folds[:1], tmp_path / "runs")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "recipe.json").touch()
    with pytest.raises(ValueError, match="`runs_dir` must be a new folder, .*with recipe.json"):
        study.train_folds(SMALL, folds, tmp_path / "other")
    assert not (tmp_path / "runs").exists()


@pytest.mark.once
def test_tasks_share_a_training_and_have_their_own_thresholds(tmp_path, monkeypatch):
    """Scores of one task are twice as high as those of the other: one threshold would not do for both."""
    rng = np.random.default_rng(0)
    names, tasks = [f"{letter}{i}" for i in range(3) for letter in "abcd"], {}
    photos = {name: [f"/photos/{name}{number}" for number in range(3)] for name in names}
    for task in ("FF", "FP"):
        parts = [{name: photos[name] for name in names[i : i + 4]} for i in (0, 4, 8)]
        pairs = [datasets.make_pairs(part, seed=len(tasks)) for part in parts]
        tasks[task] = datasets.folds_in_turn(pairs, photos)
    height = {pair[:2]: 1 for fold in tasks["FF"] for pair in fold.test}
    height |= {pair[:2]: 2 for fold in tasks["FP"] for pair in fold.test}
    trained = []

    def train(recipe, train, validation, run_dir, *, test, photos, verbose, cache_dir):
        trained.append((len(train), len(validation), photos))
        sets = {}
        for name, pairs in (("validation", validation), ("test", test)):
            scores = [(1 + same + rng.normal(0, 0.6)) * height[left, right] for left, right, same in pairs]
            sets[name] = vars(pairs) | {"best": np.array(scores)}
        sets = {name: {key: own.tolist() for key, own in columns.items()} for name, columns in sets.items()}
        folder.write_scores(run_dir, sets)

    tries = []

    def train_beside_others(*arguments, **options):
        tries.append(arguments[-1].name)
        if tries.count("fold-2") <= 2 and tries[-1] == "fold-2":  # two more calls of this find it in use
            raise training.RunFolderInUse("Another process is training there")
        train(*arguments, **options)

    monkeypatch.setattr(study, "train", train_beside_others)
    with pytest.raises(training.RunFolderInUse, match="but those that other processes still train: fold-2. "):
        study.train_tasks(SMALL, tasks, tmp_path / "runs")
    assert tries == ["fold-1", "fold-2", "fold-3", "fold-2"]
    tries.remove("fold-2")
    study.train_tasks(SMALL, tasks, tmp_path / "runs")  # it is free again when the others are done
    assert tries[3:] == ["fold-1", "fold-2", "fold-3", "fold-2"]
    shutil.rmtree(tmp_path / "runs")
    trained.clear()
    monkeypatch.setattr(study, "train", train)
    results = study.train_tasks(SMALL, tasks, tmp_path / "runs")
    assert trained == [
        (len(one.train) + len(other.train), len(one.validation) + len(other.validation), one.photos)
        for one, other in zip(*tasks.values(), strict=True)
    ]
    for task, folds in tasks.items():
        right = 0
        for number, (fold, told) in enumerate(zip(folds, results[task].folds.folds, strict=True), 1):
            held = folder.read_scores(tmp_path / f"runs/fold-{number}")
            table = {
                pair[:2]: pair[2]
                for side in ("validation", "test")
                for pair in zip(*(held[side][name] for name in ("left", "right", "best")), strict=True)
            }
            scores, own = (
                np.array([table[pair[:2]] for pair in pairs]) for pairs in (fold.test, fold.validation)
            )
            threshold = evaluation.choose_threshold(own, fold.validation.same)
            assert told["threshold"] == threshold
            right += int(((scores >= threshold) == fold.test.same).sum())
        assert results[task].accuracy == right / sum(len(fold.test) for fold in folds)
    figures = json.loads((tmp_path / "runs/folds.json").read_text())
    assert [figures[task]["accuracy"] for task in tasks] == [result.accuracy for result in results.values()]
    page = (tmp_path / "runs/report.html").read_text()
    assert all(
        f"<h2>{task}</h2>" in page and f"{result.accuracy:.1%}" in page for task, result in results.items()
    )
    assert results["FP"].in_one_line("FP").startswith("Result, FP: accuracy ")
    other = [replace(fold, photos={}) for fold in tasks["FP"]]
    with pytest.raises(ValueError, match="must have the same people, .* with the same `photos`"):
        study.train_tasks(SMALL, {"FF": tasks["FF"], "FP": other}, tmp_path / "runs")
    with pytest.raises(ValueError, match="as many for each task. Received: .2, 3."):
        study.train_tasks(SMALL, {"FF": tasks["FF"], "FP": tasks["FP"][:2]}, tmp_path / "runs")


def test_each_fold_is_measured_at_its_own_threshold():
    folds = [
        datasets.Pairs(
            [f"{a}1", f"{a}1", f"{b}1"], [f"{a}2", f"{b}1", f"{b}2"], [1, 0, 1], [a, a, b], [a, b, b]
        )
        for a, b in ("ab", "cd")
    ]
    report = evaluation.folds_report([[0.9, 0.2, 0.4], [9, 2, 4]], folds, [0.5, 3])
    assert [fold["accuracy"] for fold in report.folds] == [2 / 3, 1.0]
    assert [fold["threshold"] for fold in report.folds] == [0.5, 3.0] and report.n_people == 4
    assert report.accuracy["mean"] == pytest.approx(5 / 6)
    with pytest.raises(IdentityLeakError):
        evaluation.folds_report([[0.9, 0.2, 0.4]] * 2, [folds[0]] * 2, [0.5, 0.5])


@pytest.mark.slow
@pytest.mark.once
def test_few_people_in_folds_from_the_command_to_a_model(people, tmp_path, monkeypatch, capsys):
    """Cut off after the first fold, the same command goes on; finished, it trains nothing any more."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(training.RECIPES, "face", SMALL)
    command = ["train", "--data", str(people), "--folds", "3", "--run-dir", "runs"]
    train, trained = study.train, []

    def cut_off(*args, **options):
        trained.append(args[3].name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*args, **options)

    monkeypatch.setattr(study, "train", cut_off)
    assert cli.main(command) == 130
    before = (tmp_path / "runs/fold-1/model.keras").stat().st_mtime_ns
    assert cli.main(command) == 0
    assert trained == ["fold-1", "fold-2", "fold-1", "fold-2", "fold-3", "model"]
    assert (tmp_path / "runs/fold-1/model.keras").stat().st_mtime_ns == before
    printed = capsys.readouterr().out
    last = printed.splitlines()[-1]
    assert last.startswith("Result: accuracy ") and last.endswith(f"Page: {Path('runs') / 'report.html'}")

    folds = datasets.people_folds(people, 3)
    right, counts, seen = 0, 0, set()
    for number, fold in enumerate(folds, 1):
        run_dir = tmp_path / f"runs/fold-{number}"
        scores = json.loads((run_dir / "scores.json").read_text())
        validation, test = scores["validation"], scores["test"]
        threshold = evaluation.choose_threshold(validation["best"], validation["same"])
        right += int(((np.array(test["best"]) >= threshold) == fold.test.same).sum())
        counts += len(fold.test)
        assert not fold.test.identities() & Verifier.load(run_dir).seen_people
        seen |= fold.test.identities()
        again = datasets.read_pairs(run_dir / "pairs/test.txt", people)
        assert again.keys() == fold.test.keys() and again.same.tolist() == fold.test.same.tolist()
    held = json.loads((tmp_path / "runs/folds.json").read_text())
    assert held["accuracy"] == right / counts and held["folds"]["n_people"] == len(seen) == 12
    low, high = held["accuracy_interval"]
    assert low < held["accuracy"] < high
    assert f"{right / counts:.1%} (95% interval over 12 people: {low:.1%} to {high:.1%})" in printed
    page = (tmp_path / "runs/report.html").read_text()
    assert f"{right / counts:.1%}" in page and 'href="fold-3/report.html"' in page

    model = Verifier.load(tmp_path / "runs/model")
    everybody = set(datasets.photos_by_identity(people))
    assert model.seen_people == everybody  # those of the first fold chose epoch and threshold
    assert len(json.loads((tmp_path / "runs/model/recipe.json").read_text())["data"]) == 2  # no test
    assert model.verify(*folds[0].test[0][:2]).score is not None
