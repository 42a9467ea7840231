"""A training that learns from the validation people, too: what a first run has chosen, and nothing else."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import Verifier, datasets, training
from siamese_nn.datasets import IdentityLeakError
from siamese_nn.runs.page import compare_runs
from siamese_nn.runs.summary import result_line
from siamese_nn.training import Recipe
from siamese_nn.training.validation import VerificationCallback

OF_THE_TOY_RUN = Recipe(
    "cosine_embedding",
    margin=0.3,
    initializer="he_normal",
    epochs=1,
    image_size=(80, 80),
    filters=2,
    units=8,
)


@pytest.fixture(scope="module")
def sets(toy_pairs, toy_test):
    return (*OF_THE_TOY_RUN.split_pairs(toy_pairs, exclude=toy_test), toy_test)


@pytest.mark.once
def test_another_training_than_the_first_runs_is_refused(sets, toy_run, tmp_path):
    train, val, test = sets

    def refused(message, recipe=OF_THE_TOY_RUN, train=train, val=val, test=test, first=toy_run, **options):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            training.train(
                *(recipe, train, val, tmp_path / "run"), test=test, chosen_by=first, verbose=0, **options
            )
        assert not (tmp_path / "run").exists()

    refused(
        "same recipe, seed and data. .* another recipe; they differ in seed", replace(OF_THE_TOY_RUN, seed=1)
    )
    refused("they differ in epochs", replace(OF_THE_TOY_RUN, epochs=2))
    refused("other data; they differ in test", test=test[:6] + test[-6:])
    refused("other data; they differ in train, validation", train=val, val=train)
    refused("`test` must be given", test=None)
    refused("in the split by identities", replace(OF_THE_TOY_RUN, split="report"))
    taught = Recipe("distilled", image_size=(80, 80), monitor="val_auc", teacher=OF_THE_TOY_RUN)
    refused("of one training.*one with `pretraining` or a `teacher`. Take", taught)
    refused("which has no results.json. Train it first", first=tmp_path / "nowhere")
    refused("`run_dir` must be another folder than that of `chosen_by`", first=tmp_path / "run")
    someone = {name: [f"{name}.jpg"] for name in sorted(val.identities())[1:]}
    refused("must hold the people of `val`, too, .* without 1: ", photos=someone)
    with pytest.raises(IdentityLeakError, match="validation and test"):
        training.train(
            *(OF_THE_TOY_RUN, train, val, tmp_path / "run"), test=test + val, chosen_by=toy_run, verbose=0
        )
    first = shutil.copytree(toy_run, tmp_path / "first")
    (first / "model.keras").write_bytes(b"")
    refused("first, whose model.keras has changed. Call again what trained it", first=first)
    results = json.loads((toy_run / "results.json").read_text())
    for change, words in (
        ({"status": "interrupted"}, "which is interrupted"),
        ({"chosen_by": {"run": "x", "epochs": 1, "threshold": 0.5}}, "which is validated by nobody itself"),
    ):
        own = {name: value for name, value in results.items() if name not in ("files", "sha256")} | change
        (first / "results.json").write_text(json.dumps(own))
        (first / "scores.json").unlink(missing_ok=True)
        refused(words, first=first)


class Cut(tf.keras.callbacks.Callback):
    """Ends a training after its first epoch, as Ctrl-C would."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.once
def test_the_first_run_chooses_and_the_second_learns_from_all(
    toy_dir, toy_pairs, toy_test, tmp_path, monkeypatch
):
    recipe = Recipe(
        model="cosface",
        margin=0.2,
        backbone="face_cnn",
        image_size=(32, 32),
        schedule="cosine",
        batch_size=16,
        monitor="val_auc",
        epochs=3,
        mirror=True,
        back_end="plda",
    )
    train, val = recipe.split_pairs(toy_pairs, exclude=toy_test)
    everybody = datasets.photos_by_identity(toy_dir / "lfw2")
    photos = {name: everybody[name] for name in train.identities()}
    measure = VerificationCallback.on_epoch_end

    def second_best(self, epoch, logs):
        measure(self, epoch, logs)
        logs["val_auc"] = 0.9 if epoch == 1 else 0.6

    monkeypatch.setattr(VerificationCallback, "on_epoch_end", second_best)
    first = training.train(recipe, train, val, tmp_path / "first", test=toy_test, photos=photos, verbose=0)
    assert first["best_epoch"] == 2
    monkeypatch.setattr(VerificationCallback, "on_epoch_end", None)  # nobody validates
    more = photos | {name: everybody[name] for name in val.identities()}
    arguments = {"test": toy_test, "photos": more, "chosen_by": tmp_path / "first", "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        training.train(recipe, train, val, tmp_path / "all", callbacks=[Cut()], **arguments)
    assert not (tmp_path / "all" / "results.json").exists()  # the first epoch's is no model to use
    results = training.train(recipe, train, val, tmp_path / "all", **arguments)

    settings = [json.loads((tmp_path / name / "verifier.json").read_text()) for name in ("first", "all")]
    for part in ("threshold", "calibration"):
        assert settings[0][part] == settings[1][part]
    own = results["figures"]["best"]
    assert set(own) == {"train", "test"} and own["test"]["threshold"] == settings[0]["threshold"]
    held = json.loads((tmp_path / "all" / "scores.json").read_text())["test"]
    decided = np.array(held["best"]) >= settings[0]["threshold"]
    assert own["test"]["accuracy"] == (decided == toy_test.same).mean()
    assert results["photos"]["people"] == len(more) > len(photos) == first["photos"]["people"]
    assert results["raw_pixels"] == {"test": first["raw_pixels"]["test"]}
    assert results["chosen_by"] == {
        "run": "first",
        "epochs": 2,
        "threshold": settings[0]["threshold"],
        "sha256": first["sha256"],
    }
    history = training.read_history(tmp_path / "all")
    assert history["epoch"] == [1, 2] and not any(name.startswith("val_") for name in history)
    rates = next(history[name] for name in history if name in ("lr", "learning_rate"))
    assert rates == pytest.approx([recipe.learning_rate_at(epoch) for epoch in range(2)])  # of three epochs
    weights = [
        tf.keras.models.load_model(tmp_path / "all" / f"{name}.keras", compile=False).get_weights()
        for name in ("model", "last")
    ]
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))

    verifier = Verifier.load(tmp_path / "all")
    assert set(more) | val.identities() == verifier.seen_people and verifier.held_out.n_people == 0
    words = "Nobody validated this training: it has learnt from the validation people, too"
    page = (tmp_path / "all" / "report.html").read_text()
    assert words in page and "is that of the run first" in page and "validation pairs; no other" not in page
    assert words in training.describe(results) and "by the run first" in training.describe(results)
    assert "whom the training has never seen" in result_line(results)
    assert compare_runs([tmp_path / "first", tmp_path / "all"], tmp_path / "both.html").exists()

    (tmp_path / "first").rename(tmp_path / "moved")
    (tmp_path / "moved" / "scores.json").unlink()  # measured anew, it has other bytes
    training.train(recipe, train, val, tmp_path / "moved", test=toy_test, photos=photos, verbose=0)
    arguments["chosen_by"] = tmp_path / "moved"
    assert training.train(recipe, train, val, tmp_path / "all", **arguments) == results
    with pytest.raises(ValueError, match="is the run of another choice|is the run of other data"):
        training.train(
            recipe, train, val, tmp_path / "all", **{**arguments, "chosen_by": None, "photos": photos}
        )
