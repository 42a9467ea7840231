import json
import os

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import faces
from siamese_nn.evaluation import Calibration, choose_threshold, cllr
from siamese_nn.runs import folder
from siamese_nn.runs.results import Results, Status
from siamese_nn.training import Recipe
from siamese_nn.training import measure as measure_module
from siamese_nn.training.claim import claim_of
from siamese_nn.training.data import run_photos
from siamese_nn.training.measure import measure

RECIPE = Recipe(image_size=(80, 80), filters=2, units=8, batch_size=16, epochs=2, drop_rate=None)


@pytest.fixture(scope="module")
def sets(toy_pairs, toy_test):
    train, val = RECIPE.split_pairs(toy_pairs, exclude=toy_test)
    return {"train": train, "validation": val, "test": toy_test}


@pytest.fixture
def make(sets, tmp_path):
    """Makes a run's folder of untrained networks; its history says which of two epochs is the best."""

    def make(best_epoch):
        for seed, file in enumerate((folder.MODEL, folder.LAST)):
            tf.keras.utils.set_random_seed(seed)
            RECIPE.build_model().save(tmp_path / file)
        losses = [0.25 if epoch == best_epoch else 0.5 for epoch in (1, 2)]
        folder.write_history(
            tmp_path,
            [
                {"epoch": epoch, "loss": 1.0, "val_loss": loss, "seconds": 1.5}
                for epoch, loss in enumerate(losses, 1)
            ],
        )
        folder.write_claim(tmp_path, claim_of(RECIPE, sets, {}))
        return tmp_path

    return make


def test_it_scores_and_writes_and_leaves_the_drawing_and_the_seal_to_its_caller(make, sets):
    run_dir = make(best_epoch=1)
    before = set(os.listdir(run_dir))
    results = measure(run_dir, RECIPE, sets, {}, run_photos(RECIPE, sets, []), "a device", Status.FINISHED)
    assert set(os.listdir(run_dir)) - before == {folder.SCORES, folder.VERIFIER, folder.HELD_OUT}
    assert isinstance(results, Results) and Results.from_json(results.as_json()) == results
    assert (results.epochs, results.best_epoch, results.seconds) == (2, 1, 3.0)
    assert results.people == {name: len(pairs.identities()) for name, pairs in sets.items()}
    assert results.device == "a device" and results.leak is None and results.photos is None
    scores = folder.read_scores(run_dir)
    assert list(results.figures) == ["best", "last"] and list(results.raw_pixels) == ["validation", "test"]
    for model, figures in results.figures.items():
        own, same = np.array(scores["validation"][model]), sets["validation"].same
        threshold = float(choose_threshold(own, same))
        for name, pairs in sets.items():
            accepted = np.array(scores[name][model]) >= threshold
            assert figures[name].threshold == threshold
            assert figures[name].accuracy == (accepted == (pairs.same == 1)).mean()
            assert figures[name].loss > 0 and 0 <= figures[name].accuracy_at_half <= 1
    assert results.figures["best"] != results.figures["last"]
    # The verifier's threshold is the best epoch's, and its held-out people are not those of the training.
    settings = folder.read_verifier_settings(run_dir)
    assert settings["threshold"] == results.best["validation"].threshold
    held_out = np.load(run_dir / folder.HELD_OUT)
    n_photos = len(sets["validation"].distinct_images()[0])
    assert held_out.shape == (n_photos, n_photos) and sum(settings["held_out"]["photos_each"]) == n_photos
    assert set(settings["people"]["trained_on"]) == sets["train"].identities()


@pytest.mark.parametrize("frame", [faces.LFW_A, faces.Frame(faces.LFW_A.points, (125, 125)), None])
def test_the_verifier_is_told_where_the_faces_lie_if_that_is_known(make, sets, monkeypatch, frame):
    asked = []
    monkeypatch.setattr(measure_module, "known_frame", lambda paths: asked.extend(paths) or frame)
    run_dir = make(best_epoch=2)
    photos = {"Ada": ["Ada_0001.jpg"]}
    decoded = run_photos(RECIPE, sets, [])
    measure(run_dir, RECIPE, sets, photos, decoded, "CPU", Status.INTERRUPTED)
    # Frames of another size than the photos are none of theirs.
    held = folder.read_verifier_settings(run_dir)["frame"]
    assert (held and faces.Frame(**held)) == (frame if frame == faces.LFW_A else None)
    learnt = [path for name in ("train", "validation") for path in sets[name].distinct_images()[0]]
    assert set(asked) == {*learnt, "Ada_0001.jpg"}


def test_the_best_epochs_cllr_is_by_the_calibration_that_its_verifier_gets(make, sets, monkeypatch):
    monkeypatch.setattr("siamese_nn.evaluation.metrics._LEAST_FOR_CLLR", 1)
    run_dir, decoded = make(best_epoch=1), run_photos(RECIPE, sets, [])
    results = measure(run_dir, RECIPE, sets, {}, decoded, "a device", Status.FINISHED)
    calibration = Calibration(**folder.read_verifier_settings(run_dir)["calibration"])
    scores = np.array(folder.read_scores(run_dir)["test"]["best"])
    share = sets["validation"].same.mean()
    ratios = calibration.log_likelihood_ratio(scores, share_of_same=share)
    assert results.best["test"].cllr == cllr(ratios, sets["test"].same).estimate
    assert results.figures["last"]["test"].cllr is results.raw_pixels["test"].cllr is None


def test_the_last_epoch_that_is_the_best_is_scored_once(make, sets, monkeypatch):
    run_dir = make(best_epoch=2)
    (run_dir / folder.LAST).write_text("not to be opened")
    results = measure(run_dir, RECIPE, sets, {}, run_photos(RECIPE, sets, []), "CPU", Status.FINISHED)
    assert results.figures["last"] == results.figures["best"]
    columns = folder.read_scores(run_dir)["test"]
    assert columns["last"] == columns["best"]


def test_of_an_interrupted_run_there_is_no_last_epoch(make, sets):
    run_dir = make(best_epoch=1)
    (run_dir / folder.LAST).unlink()
    sets = {name: sets[name] for name in ("train", "validation")}
    photos = run_photos(RECIPE, sets, [])
    results = measure(run_dir, RECIPE, sets, {}, photos, "CPU", Status.INTERRUPTED)
    assert list(results.figures) == ["best"] and results.status is Status.INTERRUPTED
    assert json.loads(json.dumps(results.as_json()))["status"] == "interrupted"
    assert "last" not in folder.read_scores(run_dir)["validation"]
