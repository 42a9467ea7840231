import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from siamese_nn import Verifier, datasets, evaluation, training
from siamese_nn.runs.folder import read_results
from siamese_nn.runs.measured import RunFolder
from siamese_nn.studies.many_runs import standing
from siamese_nn.training import Recipe
from stacks import KERAS_3

DROP_RATE = 0.2 if KERAS_3 else None  # Keras 2 keeps no drop-out state
SMALL = Recipe(
    image_size=(80, 80), filters=2, units=8, batch_size=16, epochs=3, patience=3, drop_rate=DROP_RATE
)

# Kills itself as kill -9 would in the midst of an epoch, or waits there.
DRIVER = """
import json, os, signal, sys
toy, run_dir, what, kill_in_epoch, recipe = sys.argv[1:]
import tensorflow as tf
from siamese_nn import datasets, training
from siamese_nn.training import Recipe
class Die(tf.keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == int(kill_in_epoch) and batch == 1:
            if what == "wait":
                print("in the midst of it", flush=True)
                sys.stdin.readline()
            os.kill(os.getpid(), signal.SIGKILL)
recipe = Recipe(**json.loads(recipe))
pairs = datasets.read_pairs(toy + "/pairsDevTrain.txt", toy + "/lfw2")
test = datasets.read_pairs(toy + "/pairsDevTest.txt", toy + "/lfw2")
train, val = recipe.split_pairs(pairs, exclude=test)
training.train(recipe, train, val, run_dir, test=test, callbacks=[Die()], verbose=0)
"""


class Killed(BaseException):
    """As a kill: nothing in the library may catch it."""


class KillBefore:
    """Kills once, before a file of a run takes its place or goes, for the n-th time."""

    def __init__(self, monkeypatch):
        self.file, self.count = None, 0
        replace, unlink = os.replace, Path.unlink

        def before(path, act):
            if self.file is not None and Path(path) == self.file:
                self.count -= 1
                if self.count == 0:
                    raise Killed(path)
            return act()

        monkeypatch.setattr(os, "replace", lambda a, b, **k: before(b, lambda: replace(a, b, **k)))
        monkeypatch.setattr(Path, "unlink", lambda path, **k: before(path, lambda: unlink(path, **k)))

    def at(self, file, count=1):
        self.file, self.count = file, count


@pytest.fixture
def kill_before(monkeypatch):
    return KillBefore(monkeypatch).at


def same_weights(one, other):
    pairs = zip(*(tf.keras.models.load_model(path).get_weights() for path in (one, other)), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_pairs, toy_test, real_pictures):
    """An unbroken run: its folder and results."""
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    train, val = SMALL.split_pairs(toy_pairs, exclude=toy_test)
    with real_pictures():
        results = training.train(SMALL, train, val, folder, test=toy_test, verbose=0)
    return folder, results, (train, val, toy_test)


def unlike(one, other):
    """Where two runs' figures, scores or histories differ, but in the seconds."""
    ours, theirs = read_results(one), read_results(other)
    names = ("figures", "raw_pixels", "epochs", "best_epoch")
    found = [name for name in names if ours[name] != theirs[name]]
    if json.loads((one / "scores.json").read_text()) != json.loads((other / "scores.json").read_text()):
        found.append("scores")
    a, b = ({**training.read_history(run), "seconds": None} for run in (one, other))
    return found + ["history"] * (a != b)


@pytest.mark.slow
def test_killed_by_the_system_it_ends_bit_by_bit_like_an_unbroken_run(run, toy_dir, tmp_path):
    unbroken, _, (train, val, test) = run
    broken = tmp_path / "broken"
    words = [str(toy_dir), str(broken), "die", "1", json.dumps(SMALL.as_dict())]
    assert subprocess.run([sys.executable, "-c", DRIVER, *words]).returncode == -signal.SIGKILL
    assert training.completed_epochs(broken) == 1 and not (broken / "results.json").exists()
    training.train(SMALL, train, val, broken, test=test, verbose=0)
    assert not unlike(unbroken, broken)
    assert all(same_weights(unbroken / file, broken / file) for file in ("model.keras", "last.keras"))


@pytest.mark.slow
@pytest.mark.once
def test_killed_before_every_step_it_ends_bit_by_bit_like_an_unbroken_run(run, tmp_path, kill_before):
    unbroken, _, (train, val, test) = run
    broken = tmp_path / "broken"
    steps = [("recipe.json", 1), ("state.npz", 1), ("model.keras", 1), ("history.csv", 2), ("state.npz", 1)]
    steps += [("last.keras", 1), ("scores.json", 1), ("verifier.json", 1), ("pairs.png", 1)]
    steps += [("report.html", 1), ("results.json", 1), ("state.npz", 1)]
    for file, count in steps:
        kill_before(broken / file, count)
        with pytest.raises(Killed, match=file):
            training.train(SMALL, train, val, broken, test=test, verbose=0)
        if (broken / "history.csv").exists():
            assert standing(broken)[0] in ("unfinished", "finished")
    kill_before(None)
    assert (broken / "state.npz").exists()  # the last kill was before it went
    training.train(SMALL, train, val, broken, test=test, verbose=0)
    assert not unlike(unbroken, broken)
    assert all(same_weights(unbroken / file, broken / file) for file in ("model.keras", "last.keras"))
    assert not [*broken.glob(".partial*"), *broken.glob("state.npz")]


@pytest.mark.slow
@pytest.mark.once
def test_killed_at_the_end_after_a_ctrl_c_no_page_of_before_stays(run, tmp_path, kill_before):
    _, _, (train, val, test) = run
    folder = tmp_path / "run"

    class CtrlC(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(SMALL, train, val, folder, test=test, callbacks=[CtrlC()], verbose=0)
    assert "interrupted" in (folder / "report.html").read_text(encoding="utf-8")
    kill_before(folder / "report.html")
    with pytest.raises(Killed):
        training.train(SMALL, train, val, folder, test=test, verbose=0)
    # Nothing says yet that it is finished, and what there is of before is not shown.
    assert read_results(folder)["status"] == "interrupted"
    with pytest.raises(
        ValueError, match="has changed since the run was measured. If the training has gone on"
    ):
        RunFolder(folder)
    kill_before(None)
    training.train(SMALL, train, val, folder, test=test, verbose=0)
    assert "interrupted" not in (folder / "report.html").read_text(encoding="utf-8")
    assert not (folder / "state.npz").exists()


PEOPLE = Recipe(
    model="triplet",
    margin=0.5,
    backbone="face_cnn" if DROP_RATE else "report_cnn",
    filters=2,
    units=8,
    embedding_size=8,
    mean_face=True,
    image_size=(80, 80),
    batch_size=32,
    epochs=2,
    monitor="val_auc",
    pretraining=Recipe(model="softmax", monitor="val_eer", batch_size=32, epochs=2),
)


@pytest.mark.slow
@pytest.mark.once
def test_a_training_in_two_stages_goes_on_in_either(toy_pairs, toy_test, tmp_path, kill_before):
    train, val = PEOPLE.split_pairs(toy_pairs, exclude=toy_test)
    results = training.train(PEOPLE, train, val, tmp_path / "unbroken", test=toy_test, verbose=0)
    broken = tmp_path / "broken"
    # In the pretraining; in the second stage.
    for file, count in (("pretraining/state.npz", 2), ("state.npz", 2)):
        kill_before(broken / file, count)
        with pytest.raises(Killed):
            training.train(PEOPLE, train, val, broken, test=toy_test, verbose=0)
    assert (broken / "pretraining/results.json").exists() and training.completed_epochs(broken) == 1
    kill_before(None)
    training.train(PEOPLE, train, val, broken, test=toy_test, verbose=0)
    assert not unlike(tmp_path / "unbroken", broken)
    for file in ("pretraining/last.keras", "model.keras", "last.keras"):
        assert same_weights(tmp_path / "unbroken" / file, broken / file)
    assert results["pretraining"]["epochs"] == 2 and results["pretraining"]["seconds"] > 0
    words = training.describe(results)
    assert "after 2 epochs of pretraining" in words
    assert (
        f"It learnt from {results['photos']['photos']} photos of {results['photos']['people']} people"
        in words
    )
    assert "After a pretraining of 2 epochs" in (broken / "report.html").read_text(encoding="utf-8")


_TAUGHT = {"backbone": "face_cnn", "batch_size": 8, "learning_rate": 3e-3, "monitor": "val_auc"}
PUPIL = Recipe(
    model="distilled",
    image_size=(16, 14),
    epochs=3,
    back_end="plda",
    teacher=Recipe(
        model="cosface",
        margin=0.2,
        crop=(128, 112),
        image_size=(32, 28),
        epochs=2,
        mirror=True,
        **_TAUGHT,
    ),
    **_TAUGHT,
)


@pytest.mark.slow
def test_a_teacher_is_trained_first_and_its_pupil_learns_what_it_says(
    toy_dir, toy_pairs, toy_test, tmp_path, kill_before
):
    train, val = PUPIL.split_pairs(toy_pairs, exclude=toy_test)
    photos = datasets.training_photos(toy_dir / "lfw2", toy_pairs, val)
    alone = next(iter(photos))
    photos[alone] = photos[alone][:1]  # teaches the pupil alone

    def trained(folder):
        return training.train(PUPIL, train, val, folder, test=toy_test, photos=photos, verbose=0)

    results = trained(tmp_path / "unbroken")
    broken, spoilt = tmp_path / "broken", tmp_path / "spoilt"
    shutil.copytree(tmp_path / "unbroken/teacher", broken / "teacher")
    shutil.copy(tmp_path / "unbroken/recipe.json", broken)
    for file, count in (("targets.npz", 1), ("state.npz", 3)):
        kill_before(broken / file, count)
        with pytest.raises(Killed):
            trained(broken)
    kill_before(None)
    assert training.completed_epochs(broken) == 2
    with np.load(broken / "targets.npz") as held:
        targets = held["targets"]
    for file, message in (
        ("teacher/model.keras", "teacher/model.keras is damaged .it has changed since"),
        ("targets.npz", "targets.npz is damaged"),
    ):
        shutil.copytree(broken, spoilt)
        with open(spoilt / file, "r+b") as content:
            content.seek(2000)
            content.write(b"spoilt")
        with pytest.raises(ValueError, match=message):
            trained(spoilt)
        shutil.rmtree(spoilt)
    claim = json.loads((broken / "teacher/recipe.json").read_text())
    foreign = claim | {"recipe": claim["recipe"] | {"epochs": 9}}
    shutil.copytree(broken, spoilt)
    (spoilt / "teacher/recipe.json").write_text(json.dumps(foreign))
    with pytest.raises(ValueError, match="teacher is the run of another recipe; they differ in epochs"):
        trained(spoilt)

    trained(broken)
    assert not (broken / "targets.npz").exists()
    if KERAS_3:  # Keras 2 keeps no drop-out state
        assert not unlike(tmp_path / "unbroken", broken)
        for file in ("model.keras", "last.keras"):
            assert same_weights(tmp_path / "unbroken" / file, broken / file)

    paths = [path for name in sorted(photos) for path in sorted(photos[name])]
    images = datasets.load_images(paths, image_size=PUPIL.image_size, crop=PUPIL.crop)
    tf.keras.utils.set_random_seed(0)
    new, learnt = PUPIL.build_model(), tf.keras.models.load_model(broken / "last.keras")
    alike = [(evaluation.embed(model, images) * targets).sum(axis=1).mean() for model in (new, learnt)]
    assert alike[0] < 0.1 and alike[1] > 0.4  # over five seeds and both stacks at most 0.01, at least 0.67

    assert results["teacher"]["epochs"] == 2 and results["photos"]["people"] == len(photos)
    assert claim["photos"]["people"] == len(photos) - 1
    seen = json.loads((broken / "teacher/verifier.json").read_text())["people"]["trained_on"]
    assert set(seen) == set(photos) and not set(seen) & (val.identities() | toy_test.identities())
    assert "after 2 epochs of its teacher" in training.describe(results)
    assert "Its teacher trained for 2 epochs" in (broken / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_step_is_traced_once(toy_pairs, tmp_path, monkeypatch):
    traced, step = [], tf.keras.Model.train_step
    monkeypatch.setattr(
        tf.keras.Model, "train_step", lambda self, data: traced.append(self) or step(self, data)
    )
    training.train(replace(SMALL, epochs=1), *SMALL.split_pairs(toy_pairs), tmp_path / "run", verbose=0)
    assert len(traced) == 1


def test_one_person_is_too_few(toy_pairs, toy_test, tmp_path):
    train, val = PEOPLE.split_pairs(toy_pairs, exclude=toy_test)
    photos = {"Nobody": [train.left[0], train.right[0]]}
    with pytest.raises(ValueError, match="at least two people. Received: 1"):
        training.train(replace(PEOPLE, pretraining=None), train, val, tmp_path / "run", photos=photos)
    assert not (tmp_path / "run").exists()


def test_the_figures_are_those_of_the_saved_model(run):
    folder, results, (_, val, test) = run
    model = tf.keras.models.load_model(folder / "model.keras")
    threshold = evaluation.choose_threshold(evaluation.score_pairs(model, val), val.same)
    scores = evaluation.score_pairs(model, test)
    figures = results["figures"]["best"]["test"]
    assert figures["threshold"] == threshold
    assert figures["accuracy"] == ((scores >= threshold) == test.same).mean()
    assert figures["accuracy_at_half"] == ((scores >= 0.5) == test.same).mean()
    data = datasets.pair_dataset(test, image_size=(80, 80), shuffle=False)
    assert figures["loss"] == pytest.approx(model.evaluate(data, verbose=0)[0], rel=1e-4)
    held = json.loads((folder / "scores.json").read_text())["test"]
    np.testing.assert_allclose(held["best"], scores, rtol=1e-5)
    assert held["same"] == test.same.tolist()


def test_the_best_epoch_is_that_of_the_lowest_validation_loss(run):
    folder, results, _ = run
    history = training.read_history(folder)
    assert results["epochs"] == len(history["epoch"]) <= SMALL.epochs
    assert results["best_epoch"] == 1 + int(np.argmin(history["val_loss"]))
    assert results["figures"]["best"]["validation"]["loss"] == pytest.approx(
        min(history["val_loss"]), rel=1e-4
    )


def test_the_folder_has_pictures_and_words(run):
    folder, results, _ = run
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    for name in ("accuracy", "loss", "pairs"):
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.width > 400
    table = training.results_table(results).get_string()
    assert "epoch" in table and "raw pixels" in table and "%" in table
    words = training.describe(results)
    assert "nobody is in two" in words and "Seed 0" in words and "CPU" in words
    scores = json.loads((folder / "scores.json").read_text())
    assert len(training.examples_table(scores, results).rows) == 12


def test_a_finished_run_is_not_trained_again(run, monkeypatch):
    folder, results, (train, val, test) = run
    monkeypatch.setattr(Recipe, "build_model", lambda self: pytest.fail("trained again"))
    assert training.train(SMALL, train, val, folder, test=test, verbose=0) == results


@pytest.mark.slow
@pytest.mark.once
def test_two_processes_do_not_train_in_one_folder(run, toy_dir, tmp_path):
    _, _, (train, val, test) = run
    words = [str(toy_dir), str(tmp_path / "run"), "wait", "0", json.dumps(SMALL.as_dict())]
    other = subprocess.Popen(
        [sys.executable, "-c", DRIVER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert "in the midst of it" in other.stdout.readline()
        with pytest.raises(training.RunFolderInUse, match="Another process is training"):
            training.train(SMALL, train, val, tmp_path / "run", test=test, verbose=0)
    finally:
        other.kill()
        other.wait()
    # A lock goes with its process.
    assert training.train(SMALL, train, val, tmp_path / "run", test=test, verbose=0)["status"] == "finished"


@pytest.mark.slow
def test_further_callbacks_find_the_figures_and_may_raise(toy_pairs, toy_test, tmp_path):
    class Enough(Exception):
        pass

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise Enough(logs["val_auc"])

    recipe = replace(SMALL, monitor="val_auc", drop_rate=None)
    train, val = recipe.split_pairs(toy_pairs, exclude=toy_test)
    with pytest.raises(Enough):
        training.train(recipe, train, val, tmp_path / "run", callbacks=[Look()], verbose=0)
    assert training.completed_epochs(tmp_path / "run") == 2
    assert training.train(recipe, train, val, tmp_path / "run", verbose=0)["epochs"] == 3


def test_a_folder_of_another_run_is_refused(run, tmp_path):
    folder, _, (train, val, test) = run
    with pytest.raises(ValueError, match="another recipe; they differ in units, seed"):
        training.train(replace(SMALL, units=9, seed=1), train, val, folder, test=test)
    with pytest.raises(ValueError, match="other data; they differ in train"):
        training.train(SMALL, train[:-1], val, folder, test=test)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="other files"):
        training.train(SMALL, train, val, tmp_path, test=test)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_people_on_two_sides_are_refused_before_anything_is_written(toy_pairs, toy_test, tmp_path):
    with pytest.raises(datasets.IdentityLeakError, match="training and validation"):
        training.train(SMALL, toy_pairs[::2], toy_pairs[1::2], tmp_path / "run")
    train, val = SMALL.split_pairs(toy_pairs)
    for split in ("identities", "report"):
        with pytest.raises(datasets.IdentityLeakError, match="training and test"):
            training.train(
                replace(SMALL, split=split), train, val, tmp_path / "run", test=toy_test + train[:1]
            )
    assert not (tmp_path / "run").exists()


def test_photos_of_people_on_the_other_side_are_refused(toy_pairs, toy_test, tmp_path):
    recipe = Recipe(model="cosface", monitor="val_eer", image_size=(80, 80), filters=2, units=8, epochs=1)
    train, val = recipe.split_pairs(toy_pairs, exclude=toy_test)
    own = {"Nobody": [train.left[0], train.right[0]], "Noone": [train.left[1], train.right[1]]}
    for other, name in ((val, "validation"), (toy_test, "test")):
        person = other.left_identities[0]
        photos = {**own, str(person): [other.left[0]]}
        with pytest.raises(datasets.IdentityLeakError, match=f"{name} pairs, too .{person}"):
            training.train(recipe, train, val, tmp_path / "run", test=toy_test, photos=photos)
    assert not (tmp_path / "run").exists()
    training.train(recipe, train, val, tmp_path / "run", test=toy_test, photos=own, verbose=0)
    held = json.loads((tmp_path / "run/recipe.json").read_text())["photos"]
    assert (held["photos"], held["people"]) == (4, 2)
    model = tf.keras.models.load_model(tmp_path / "run/model.keras")
    assert model.output_shape == (None, 2)
    people = json.loads((tmp_path / "run/verifier.json").read_text())["people"]
    assert people["trained_on"] == sorted(train.identities() | set(own))
    with pytest.raises(ValueError, match="other photos; they differ in photos, people, sha256"):
        training.train(recipe, train, val, tmp_path / "run", test=toy_test, verbose=0)


@pytest.mark.slow
@pytest.mark.once
def test_the_people_of_a_pretraining_count_as_seen(run, tmp_path):
    _, _, (train, val, test) = run
    first = Recipe(model="softmax", monitor="val_eer", epochs=1)
    recipe = replace(SMALL, epochs=1, pretraining=first)
    photos = {"Nobody": [train.left[0], train.right[0]], "Noone": [train.left[1], train.right[1]]}
    training.train(recipe, train, val, tmp_path / "run", test=test, photos=photos, verbose=0)
    verifier = Verifier.load(tmp_path / "run")
    assert verifier.seen_people == train.identities() | val.identities() | set(photos)
    assert verifier.provenance["people"]["chosen_on"] == sorted(val.identities())
    evaluation.require_unseen([test], verifier.seen_people)
    for seen in (train, val):
        with pytest.raises(datasets.IdentityLeakError):
            evaluation.require_unseen([test, seen], verifier.seen_people)


def test_the_verifiers_settings_are_of_the_best_model_and_the_validation_pairs(run):
    folder, results, (train, val, _) = run
    facts = json.loads((folder / "verifier.json").read_text())
    assert facts["threshold"] == results["figures"]["best"]["validation"]["threshold"]
    scores = json.loads((folder / "scores.json").read_text())["validation"]
    calibration = evaluation.fit_platt(scores["best"], scores["same"])
    assert facts["calibration"]["slope"] == pytest.approx(calibration.slope, rel=1e-3)
    assert facts["chosen_on"]["people"] == len(val.identities())
    assert facts["trained_on"]["people"] == len(train.identities())
    assert facts["model_sha256"] == sha256((folder / "model.keras").read_bytes()).hexdigest()
    assert facts["people"] == {
        "trained_on": sorted(train.identities()),
        "chosen_on": sorted(val.identities()),
    }
    assert facts["photo_size"] == [250, 250]


def test_the_scores_of_held_out_people_are_those_of_the_validation_pairs(run):
    folder, _, (_, val, _) = run
    held_out = Verifier.load(folder).held_out
    names = {
        *zip(val.left_identities, val.left, strict=True),
        *zip(val.right_identities, val.right, strict=True),
    }
    number = {path: i for i, (_, path) in enumerate(sorted(names))}
    assert held_out.n_people == len(val.identities()) and len(held_out.people) == len(number)
    scores = held_out.scores[[number[path] for path in val.left], [number[path] for path in val.right]]
    expected = json.loads((folder / "scores.json").read_text())["validation"]["best"]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_finished_embedding_is_what_is_measured_and_used(toy_pairs, toy_test, tmp_path):
    recipe = Recipe(
        model="cosface",
        margin=0.2,
        backbone="face_cnn",
        image_size=(32, 32),
        augmentation=datasets.Augmentation(),
        schedule="cosine",
        weight_decay=5e-3,
        batch_size=16,
        monitor="val_auc",
        epochs=2,
        mirror=True,
        back_end="plda",
    )
    train, val = recipe.split_pairs(toy_pairs, exclude=toy_test)
    results = training.train(recipe, train, val, tmp_path / "run", test=toy_test, verbose=0)
    facts = json.loads((tmp_path / "run" / "verifier.json").read_text())
    assert facts["model"] == "finished.keras"
    assert facts["model_sha256"] == sha256((tmp_path / "run" / "finished.keras").read_bytes()).hexdigest()
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())["test"]["best"]
    # The reference: mirror and PLDA outside of the model.
    model = tf.keras.models.load_model(tmp_path / "run" / "model.keras")
    photos = {}
    for path, name in zip(
        (*train.left, *train.right), (*train.left_identities, *train.right_identities), strict=True
    ):
        photos.setdefault(name, set()).add(path)
    photos = {name: sorted(photos[name]) for name in sorted(photos) if len(photos[name]) >= 2}

    def unit(vectors):
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embedded(paths):
        images = datasets.load_images(paths, image_size=(32, 32))
        one, other = (unit(evaluation.embed(model, side)) for side in (images, images[:, :, ::-1]))
        return unit(one + other)

    people = [name for name, own in photos.items() for _ in own]
    bias, matrix = evaluation.fit_plda(
        embedded([path for own in photos.values() for path in own]), people
    ).projection()
    left, right = (unit(embedded(side) @ matrix + bias) for side in (toy_test.left, toy_test.right))
    np.testing.assert_allclose(scores, (left * right).sum(1), atol=1e-4)
    verified = Verifier.load(tmp_path / "run").verify(str(toy_test.left[0]), str(toy_test.right[0]))
    assert verified.score == pytest.approx(scores[0], abs=1e-5)
    assert results["figures"]["best"]["test"]["n_same"] == int(toy_test.same.sum())
    rates = training.read_history(tmp_path / "run")
    assert next(rates[name] for name in rates if name in ("lr", "learning_rate")) == pytest.approx(
        [recipe.learning_rate_at(epoch) for epoch in range(2)]
    )


def test_a_run_of_before_a_field_was_added_is_the_same_run(run, tmp_path):
    folder, results, (train, val, test) = run
    claim = json.loads((folder / "recipe.json").read_text())
    older = {**claim, "recipe": {**claim["recipe"]}}
    assert older["recipe"].pop("augmentation", "missing") is None
    older["recipe"].pop("schedule")
    folder = shutil.copytree(folder, tmp_path / "run")
    (folder / "recipe.json").write_text(json.dumps(older))
    held = {name: value for name, value in results.items() if name not in ("files", "sha256")}
    (folder / "results.json").write_text(json.dumps(held))  # which vouched for nothing then
    assert training.train(SMALL, train, val, folder, test=test, verbose=0) == held


def test_what_cannot_be_trained_leaves_the_folder_free(run, tmp_path):
    _, _, (train, val, test) = run
    for recipe, sets, message in (
        (SMALL, (train, val[val.same == 1]), "validation pairs must hold"),
        (SMALL, (train[:0], val), "train pairs must hold"),
    ):
        with pytest.raises(ValueError, match=message):
            training.train(recipe, *sets, tmp_path / "run", test=test, verbose=0)
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.once
def test_a_kill_in_the_first_moment_does_not_block_the_folder(run, tmp_path):
    _, _, (train, val, _) = run
    (tmp_path / ".partial-recipe.json").write_text("{")
    assert training.train(replace(SMALL, epochs=1), train, val, tmp_path, verbose=0)["status"] == "finished"


def test_divergence_stops_at_once_and_says_so(run, tmp_path):
    _, _, (train, val, _) = run
    recipe = replace(SMALL, optimizer="sgd", learning_rate=1e30, epochs=50)
    for _ in range(2):
        with pytest.raises(ValueError, match="diverged: in epoch .* Lower the recipe's `learning_rate`"):
            training.train(recipe, train, val, tmp_path / "run", verbose=0)
    assert training.completed_epochs(tmp_path / "run") < 5


def test_moving_averages_that_overflow_are_no_model(toy_pairs, toy_test, tmp_path):
    """The loss of such a training stays finite, and its AUC was .5."""
    recipe = Recipe(
        model="cosface",
        backbone="face_cnn",
        margin=0.2,
        image_size=(32, 32),
        batch_size=16,
        monitor="val_auc",
    )
    recipe = replace(recipe, learning_rate=1e10, epochs=2)
    train, val = recipe.split_pairs(toy_pairs, exclude=toy_test)
    for _ in range(2):
        with pytest.raises(ValueError, match="diverged: in epoch 1 .*a moving average.*Lower the recipe's"):
            training.train(recipe, train, val, tmp_path / "run", verbose=0)
        assert standing(tmp_path / "run")[0] == "diverged"
    assert not (tmp_path / "run/results.json").exists() and not (tmp_path / "run/model.keras").exists()


@pytest.mark.parametrize("file", ["recipe.json", "results.json"])
def test_a_damaged_file_is_named(run, tmp_path, file):
    folder, _, (train, val, test) = run
    shutil.copytree(folder, tmp_path / "run")
    for text in ("{", "[]", "3", '{"recipe": 3}', "[" * 200_000):
        (tmp_path / "run" / file).write_text(text)
        with pytest.raises(ValueError, match=f"{file} is damaged .*Remove"):
            training.train(SMALL, train, val, tmp_path / "run", test=test, verbose=0)


def test_a_finished_run_with_a_changed_file_is_refused(run, tmp_path):
    folder, results, (train, val, test) = run
    copy = shutil.copytree(folder, tmp_path / "run")

    def again():
        return training.train(SMALL, train, val, copy, test=test, verbose=0)

    for file in ("history.csv", "model.keras", "last.keras", "results.json"):
        whole = (copy / file).read_bytes()
        place = whole.index(b"0.") + 2 if file.endswith(("csv", "json")) else len(whole) // 2
        (copy / file).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=f"{file} is damaged .*Remove"):
            again()
        (copy / file).write_bytes(whole)
    (copy / "last.keras").rename(tmp_path / "last.keras")
    with pytest.raises(ValueError, match="last.keras is damaged .it is missing"):
        again()
    (copy / "model.keras").unlink()
    assert again() == results  # the figures are whole, and there is nothing to measure anew


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.usefixtures("pictures")
def test_what_is_lost_of_a_finished_run_is_made_again(run, tmp_path, monkeypatch, caplog):
    folder, results, (train, val, test) = run
    copy = shutil.copytree(folder, tmp_path / "run")
    (copy / "verifier.json").write_text("{")
    (copy / "scores.json").unlink()
    (copy / "report.html").write_text("<html")
    (copy / "pairs.png").unlink()
    (copy / "state.npz").touch()  # killed between the last two steps
    monkeypatch.setattr(Recipe, "build_model", lambda self: pytest.fail("trained again"))
    again = training.train(SMALL, train, val, copy, test=test, verbose=0)
    assert not unlike(folder, copy) and again == read_results(copy) and not (copy / "state.npz").exists()
    assert "scores.json is missing, verifier.json has changed, pairs.png is missing" in caplog.text
    for file in ("verifier.json", "scores.json", "pairs.png"):
        assert (copy / file).read_bytes() == (folder / file).read_bytes()
    assert "<html" in (copy / "report.html").read_text(encoding="utf-8") and RunFolder(copy).calibration
    held = {name: value for name, value in again.items() if name not in ("files", "sha256")}
    facts = json.loads((copy / "verifier.json").read_text())
    (copy / "verifier.json").write_text(json.dumps(facts | {"format": 0}))
    (copy / "results.json").write_text(json.dumps(held))  # both as an older version left them
    assert training.train(SMALL, train, val, copy, test=test, verbose=0) == again
    before = (copy / "results.json").stat().st_mtime_ns
    assert training.train(SMALL, train, val, copy, test=test, verbose=0) == again
    assert (copy / "results.json").stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.usefixtures("pictures")
def test_pictures_and_page_are_drawn_anew_without_measuring(run, tmp_path, monkeypatch, caplog):
    folder, results, (train, val, test) = run
    copy = shutil.copytree(folder, tmp_path / folder.name)
    (copy / "loss.png").unlink()
    (copy / "report.html").write_text("<html")
    monkeypatch.setattr(
        sys.modules["siamese_nn.training.train"], "measure", lambda *_, **__: pytest.fail("measured again")
    )
    again = training.train(SMALL, train, val, copy, test=test, verbose=0)
    assert "loss.png is missing, report.html has changed: it is drawn anew" in caplog.text
    assert again == results and again == read_results(copy)
    for file in ("loss.png", "pairs.png", "report.html"):
        assert (copy / file).read_bytes() == (folder / file).read_bytes()


def test_a_model_that_gives_all_pairs_one_score_is_named(run, tmp_path, monkeypatch, caplog):
    folder, _, (train, val, test) = run
    copy = shutil.copytree(folder, tmp_path / "run")
    (copy / "verifier.json").unlink()
    module = sys.modules["siamese_nn.training.measure"]
    monkeypatch.setattr(module, "compare", lambda model, left, right: np.full(len(left), 0.5, np.float32))
    training.train(SMALL, train, val, copy, test=test, verbose=0)
    assert "the model has collapsed, and tells nobody apart" in caplog.text
    assert "the model has collapsed" in (copy / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    ["model.keras", "state.npz", "results.json", ".partial-model.keras", ".lock", "logs", "pretraining"],
)
def test_a_run_writes_to_nothing_that_is_linked_in_its_folder(run, tmp_path, name):
    _, _, (train, val, test) = run
    mine, folder = tmp_path / "mine", tmp_path / "run"
    folder.mkdir()
    if name in ("logs", "pretraining"):
        mine.mkdir()
    else:
        mine.write_text("mine")
    (folder / name).symlink_to(mine)
    with pytest.raises(
        ValueError, match=f"{name} must be a file or folder of the run's own.*a link to .*mine"
    ):
        training.train(SMALL, train, val, folder, test=test, verbose=0)
    assert os.listdir(folder) == [name] and (
        os.listdir(mine) == [] if mine.is_dir() else mine.read_text() == "mine"
    )


def test_arguments_of_other_kinds_are_refused(run, tmp_path):
    _, _, (train, val, test) = run
    (tmp_path / "README.md").write_text("")
    for arguments, message in (
        (("face", train, val, tmp_path / "run"), r"`recipe` must be a `Recipe`.*training.RECIPES\['face'\]"),
        ((None, train, val, tmp_path / "run"), "`recipe` must be a `Recipe`.*Received: recipe=None"),
        ((SMALL, "pairs.txt", val, tmp_path / "run"), "`train` must be a `datasets.Pairs`.*'pairs.txt'"),
        ((SMALL, train, None, tmp_path / "run"), "`val` must be a `datasets.Pairs`"),
        ((SMALL, train, val, None), "`run_dir` must be the path of a folder. Received: run_dir=None"),
        ((SMALL, train, val, tmp_path / "README.md/x"), r"`run_dir` must be a folder.*README\.md is a file"),
        ((SMALL, train, val, tmp_path / "README.md"), r"`run_dir` must be a folder.*README\.md is a file"),
    ):
        with pytest.raises(ValueError, match=message):
            training.train(*arguments, test=test, verbose=0)
    for photos in (["a.jpg"], {"Ada": "a.jpg"}, {"Ada": 3}):
        with pytest.raises(ValueError, match="`photos` must give for each person a list"):
            training.train(SMALL, train, val, tmp_path / "run", test=test, photos=photos, verbose=0)
    with pytest.raises(ValueError, match="`test` must be a `datasets.Pairs`"):
        training.train(SMALL, train, val, tmp_path / "run", test="test.txt", verbose=0)
    assert os.listdir(tmp_path) == ["README.md"]


def test_a_photo_that_goes_while_training_is_named(toy_dir, run, tmp_path, monkeypatch):
    shutil.copytree(toy_dir, tmp_path / "faces")
    pairs = datasets.read_pairs(tmp_path / "faces/pairsDevTrain.txt", tmp_path / "faces/lfw2")
    train, val = SMALL.split_pairs(pairs)
    module = sys.modules["siamese_nn.training.data"]
    # As where the photos are too many to be kept in memory.
    monkeypatch.setattr(module, "DecodedPhotos", partial(datasets.DecodedPhotos, memory_limit=0))

    class Lose(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            shutil.rmtree(tmp_path / "faces/lfw2")

    with pytest.raises(datasets.ImageError, match=r"^[^\n]*\.jpg: no such image"):
        training.train(SMALL, train, val, tmp_path / "run", callbacks=[Lose()], verbose=0)


@pytest.mark.slow
@pytest.mark.once
def test_a_full_disk_is_named_and_the_run_goes_on(run, tmp_path, monkeypatch):
    unbroken, _, (train, val, test) = run
    folder = tmp_path / "run"
    for error in (
        tf.errors.ResourceExhaustedError(
            None, None, f"{folder}/logs/train/events.out; No space left on device"
        ),
        tf.errors.UnknownError(None, None, f"{folder}/logs/train/events.out; File too large"),
        OSError(errno.ENOSPC, "No space left on device"),
    ):

        def full(*_, error=error):
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(tf.keras.callbacks.TensorBoard, "on_epoch_end", full)
            with pytest.raises(OSError, match="run cannot be written .*goes on after the last whole epoch"):
                training.train(SMALL, train, val, folder, test=test, verbose=0)
    training.train(SMALL, train, val, folder, test=test, verbose=0)
    assert not unlike(unbroken, folder)


@pytest.mark.slow
def test_ctrl_c_leaves_a_usable_run_that_goes_on(run, tmp_path, monkeypatch):
    _, results, (train, val, test) = run
    module = sys.modules["siamese_nn.training.train"]
    standard = module.standard_callbacks

    class CtrlC(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if training.completed_epochs(tmp_path / "run") == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(module, "standard_callbacks", lambda *a, **k: [CtrlC(), *standard(*a, **k)])
    with pytest.raises(KeyboardInterrupt):
        training.train(SMALL, train, val, tmp_path / "run", test=test, verbose=0)
    held = json.loads((tmp_path / "run/results.json").read_text())
    assert held["status"] == "interrupted" and held["epochs"] == 1
    assert "INTERRUPTED" in training.describe(held)
    training.results_table(held)
    monkeypatch.setattr(module, "standard_callbacks", standard)
    again = training.train(SMALL, train, val, tmp_path / "run", test=test, verbose=0)
    assert again["status"] == "finished" and again["figures"] == results["figures"]
