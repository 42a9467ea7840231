import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from siamese_nn import Verifier, datasets, evaluation, training
from siamese_nn.training import Recipe

DROP_RATE = 0.2 if hasattr(tf.keras, "ops") else None  # Keras 2 keeps no drop-out state
SMALL = Recipe(
    image_size=(80, 80), filters=2, units=8, batch_size=16, epochs=3, patience=3, drop_rate=DROP_RATE
)

# Kills itself as kill -9 would, right before the n-th time that a file is put in place, or in the midst of an epoch
# (or waits there).
DRIVER = """
import os, signal, sys
toy, run_dir, kill_before, kill_in_epoch, recipe = sys.argv[1:]
def die():
    if kill_before == "wait":
        print("in the midst of it", flush=True)
        sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
replace, count = os.replace, 0
def counting(source, target):
    global count
    if str(target).startswith(run_dir):
        count += 1
        if str(count) == kill_before:
            die()
    replace(source, target)
os.replace = counting
import json, tensorflow as tf
from siamese_nn import datasets, training
from siamese_nn.training import Recipe
class Die(tf.keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == int(kill_in_epoch) and batch == 1:
            die()
module = sys.modules["siamese_nn.training.train"]
standard = module.standard_callbacks
module.standard_callbacks = lambda *a, **k: [Die(), *standard(*a, **k)]
recipe = Recipe(**json.loads(recipe))
pairs = datasets.read_pairs(toy + "/pairsDevTrain.txt", toy + "/lfw2")
test = datasets.read_pairs(toy + "/pairsDevTest.txt", toy + "/lfw2")
training.train(recipe, *recipe.split_pairs(pairs, exclude=test), run_dir, test=test, verbose=0)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_pairs, toy_test):
    """An unbroken run: its folder and results."""
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    train, val = SMALL.split_pairs(toy_pairs, exclude=toy_test)
    return folder, training.train(SMALL, train, val, folder, test=toy_test, verbose=0), (train, val, toy_test)


def test_killed_at_several_moments_it_ends_bit_by_bit_like_an_unbroken_run(run, toy_dir, tmp_path):
    unbroken, results, _ = run
    broken = tmp_path / "broken"

    def go(kill_before=0, kill_in_epoch=-1) -> int:
        words = [str(toy_dir), str(broken), str(kill_before), str(kill_in_epoch), json.dumps(SMALL.as_dict())]
        return subprocess.run([sys.executable, "-c", DRIVER, *words]).returncode

    killed = -signal.SIGKILL
    # Files are put in place in this order: recipe.json; model.keras (when better), state.npz, history.csv an epoch; ...
    assert go(kill_before=3) == killed  # model.keras of the first epoch is there, its state is not
    assert (broken / "model.keras").exists() and training.completed_epochs(broken) == 0
    assert go(kill_in_epoch=1) == killed
    assert training.completed_epochs(broken) == 1
    assert go(kill_before=9) == killed  # epochs 2 and 3 are done, last.keras is not yet in place or just is
    assert training.completed_epochs(broken) == 3 and not (broken / "results.json").exists()
    assert go() == 0

    again = json.loads((broken / "results.json").read_text())
    assert again["figures"] == results["figures"] and again["best_epoch"] == results["best_epoch"]
    for file in ("model.keras", "last.keras"):
        a, b = (tf.keras.models.load_model(folder / file) for folder in (unbroken, broken))
        for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
            assert np.array_equal(one, other)
    assert not list(broken.glob(".partial*")) and not (broken / "state.npz").exists()


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


@pytest.mark.skipif(
    not hasattr(tf.keras, "ops"), reason="takes a minute, and no other code than on the first stack"
)
def test_a_training_in_two_stages_goes_on_in_either(toy_dir, toy_pairs, toy_test, tmp_path):
    train, val = PEOPLE.split_pairs(toy_pairs, exclude=toy_test)
    results = training.train(PEOPLE, train, val, tmp_path / "unbroken", test=toy_test, verbose=0)
    broken = tmp_path / "broken"

    def go(kill_in_epoch=-1, kill_before=0) -> int:
        words = [
            str(toy_dir),
            str(broken),
            str(kill_before),
            str(kill_in_epoch),
            json.dumps(PEOPLE.as_dict()),
        ]
        return subprocess.run([sys.executable, "-c", DRIVER, *words]).returncode

    assert go(kill_in_epoch=1) == -signal.SIGKILL  # of the pretraining
    assert training.completed_epochs(broken / "pretraining") == 1
    assert not (broken / "pretraining/results.json").exists()
    assert (
        go(kill_in_epoch=1) == -signal.SIGKILL
    )  # of the pretraining again, which has no epoch before to kill it in
    assert go(kill_in_epoch=-1, kill_before=0) == 0
    again = json.loads((broken / "results.json").read_text())
    assert again["figures"] == results["figures"]
    assert results["pretraining"]["epochs"] == 2 and results["pretraining"]["seconds"] > 0
    words = training.describe(results)
    assert "after 2 of pretraining" in words
    assert (
        f"Learnt from {results['photos']['photos']} photos of {results['photos']['people']} people" in words
    )
    assert "After a pretraining of 2 epochs" in (broken / "report.html").read_text(encoding="utf-8")


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
    assert "best epoch" in table and "raw pixels" in table and "%" in table
    words = training.describe(results)
    assert "nobody is in two" in words and "Seed 0" in words and "CPU" in words
    scores = json.loads((folder / "scores.json").read_text())
    assert len(training.examples_table(scores, results).rows) == 12


def test_a_finished_run_is_not_trained_again(run, monkeypatch):
    folder, results, (train, val, test) = run
    monkeypatch.setattr(Recipe, "build_model", lambda self: pytest.fail("trained again"))
    assert training.train(SMALL, train, val, folder, test=test, verbose=0) == results


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
    with pytest.raises(ValueError, match="another data; they differ in train"):
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
    with pytest.raises(ValueError, match="another photos; they differ in photos, people, sha256"):
        training.train(recipe, train, val, tmp_path / "run", test=toy_test, verbose=0)


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


def test_a_run_of_before_a_field_was_added_is_the_same_run(run, monkeypatch):
    folder, results, (train, val, test) = run
    claim = json.loads((folder / "recipe.json").read_text())
    older = {**claim, "recipe": {**claim["recipe"]}}
    assert older["recipe"].pop("augmentation", "missing") is None
    older["recipe"].pop("schedule")
    (folder / "recipe.json").write_text(json.dumps(older))
    assert training.train(SMALL, train, val, folder, test=test, verbose=0) == results
    (folder / "recipe.json").write_text(json.dumps(claim))


def test_what_cannot_be_trained_leaves_the_folder_free(run, tmp_path):
    _, _, (train, val, test) = run
    for recipe, sets, message in (
        (SMALL, (train, val[val.same == 1]), "validation pairs must hold"),
        (SMALL, (train[:0], val), "train pairs must hold"),
        (replace(SMALL, image_size=(20, 20)), (train, val), "too small"),
    ):
        with pytest.raises(ValueError, match=message):
            training.train(recipe, *sets, tmp_path / "run", test=test, verbose=0)
        assert not (tmp_path / "run").exists()


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


@pytest.mark.parametrize("file", ["recipe.json", "results.json"])
def test_a_damaged_file_is_named(run, tmp_path, file):
    folder, _, (train, val, test) = run
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / file).write_text("{")
    with pytest.raises(ValueError, match=f"{file} is damaged"):
        training.train(SMALL, train, val, tmp_path / "run", test=test, verbose=0)


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
