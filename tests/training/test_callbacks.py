import io
import json
import math
import random
import shutil
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import training
from siamese_nn.training import callbacks
from stacks import KERAS_3


def some_model(optimizer="adam", drop_rate: float = 0.0) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(3)
    image = tf.keras.Input((4,))
    features = tf.keras.layers.Dropout(drop_rate)(tf.keras.layers.Dense(5, activation="tanh")(image))
    model = tf.keras.Model(image, tf.keras.layers.Dense(1)(features))
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def fit(model, run_dir, epochs, **options):
    rng = np.random.default_rng(0)
    x, noise = rng.random((2, 40, 4), np.float32)
    return model.fit(
        x,
        x.sum(1) + noise[:, 0],
        batch_size=10,
        shuffle=False,
        validation_data=(noise, noise.sum(1)),
        epochs=epochs,
        initial_epoch=training.completed_epochs(run_dir),
        callbacks=training.standard_callbacks(run_dir, **options),
        verbose=0,
    )


def test_the_folder_holds_best_model_history_and_logs(tmp_path):
    model = some_model()
    history = fit(model, tmp_path, 5, patience=9).history
    rows = training.read_history(tmp_path)
    assert rows["epoch"] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(rows["val_loss"], history["val_loss"])
    best = tf.keras.models.load_model(tmp_path / "model.keras")
    noise = np.random.default_rng(0).random((2, 40, 4), np.float32)[1]
    assert best.evaluate(noise, noise.sum(1), verbose=0)[0] == pytest.approx(
        min(history["val_loss"]), rel=1e-5
    )
    assert list((tmp_path / "logs").rglob("events.*"))
    assert not list(tmp_path.glob(".partial*"))


def test_without_a_monitor_the_last_model_is_kept_and_nothing_stops_early(tmp_path):
    model = some_model("sgd")
    fit(model, tmp_path, 1, monitor=None, patience=1)
    model.optimizer.learning_rate.assign(3.0)  # the loss gets worse from here on
    fit(model, tmp_path, 3, monitor=None, patience=1)
    assert training.completed_epochs(tmp_path) == 3
    kept = tf.keras.models.load_model(tmp_path / "model.keras", compile=False).get_weights()
    assert all(np.array_equal(*both) for both in zip(kept, model.get_weights(), strict=True))


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("rmsprop", "sgd")]


@pytest.mark.parametrize("optimizer", ["adam", *SLOW])
def test_a_new_process_goes_on_bit_by_bit(tmp_path, optimizer):
    drop_rate = 0.3 if KERAS_3 else 0.0  # Keras 2 keeps no drop-out state
    unbroken = some_model(optimizer, drop_rate)
    fit(unbroken, tmp_path / "unbroken", 6, patience=9)
    fit(some_model(optimizer, drop_rate), tmp_path / "broken", 2, patience=9)
    assert training.completed_epochs(tmp_path / "broken") == 2
    resumed = some_model(optimizer, drop_rate)
    fit(resumed, tmp_path / "broken", 6, patience=9)
    for a, b in zip(unbroken.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(a, b)
    a, b = (training.read_history(tmp_path / name) for name in ("unbroken", "broken"))
    assert a["val_loss"] == b["val_loss"] and a["epoch"] == b["epoch"]


class WorseAndWorse(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = 1.0 + epoch


def test_patience_and_best_model_survive(tmp_path):
    """Epoch 1 is the best; three worse ones end the training, one before and two after the break."""

    def fit_worse(model, epochs):
        ours = [WorseAndWorse(), *training.standard_callbacks(tmp_path, patience=3)]
        done = training.completed_epochs(tmp_path)
        model.fit(np.ones((4, 4)), np.ones(4), epochs=epochs, initial_epoch=done, callbacks=ours, verbose=0)

    fit_worse(some_model(), 2)
    best = (tmp_path / "model.keras").read_bytes()
    fit_worse(some_model(), 50)
    assert training.completed_epochs(tmp_path) == 4
    assert (tmp_path / "model.keras").read_bytes() == best


def test_the_wrong_epoch_or_model_is_refused(tmp_path):
    fit(some_model(), tmp_path, 2)
    with pytest.raises(ValueError, match="must be 2"):
        some_model().fit(
            np.ones((4, 4)), np.ones(4), callbacks=training.standard_callbacks(tmp_path), verbose=0
        )
    with pytest.raises(ValueError, match="another model or optimizer"):
        fit(some_model("sgd"), tmp_path, 4)


def test_braces_in_the_path_are_meant_as_they_stand(tmp_path):
    fit(some_model(), tmp_path / "{epoch}", 1)
    assert (tmp_path / "{epoch}" / "model.keras").exists()


@pytest.fixture(scope="module")
def half_done(tmp_path_factory):
    """The folder of a training after two of its epochs."""
    folder = tmp_path_factory.mktemp("half") / "run"
    fit(some_model(), folder, 2, patience=9)
    return folder


def state_of(folder):
    with np.load(folder / "state.npz") as state:
        return {name: state[name] for name in state.files}


def with_progress(arrays, **changes):
    progress = json.loads(str(arrays["progress"])) | changes
    return {**arrays, "progress": np.array(json.dumps(progress))}


def saved(arrays, path, compression=0):
    with ZipFile(path, "w", compression) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f"{name}.npy", content.getvalue())


@pytest.mark.parametrize("content", [b"", b"PK", b"nonsense"])
def test_a_damaged_state_is_named(tmp_path, content):
    (tmp_path / "state.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"state\.npz is damaged"):
        training.completed_epochs(tmp_path)


def test_a_state_with_any_bit_flipped_is_refused_or_the_same(half_done, tmp_path):
    whole, draw = (half_done / "state.npz").read_bytes(), random.Random(0)
    expected = state_of(half_done)
    refused = 0
    for trial in range(400):
        content = bytearray(whole)
        if trial % 8 == 0:
            content = content[: draw.randrange(len(content))]
        else:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        (tmp_path / "state.npz").write_bytes(content)
        try:
            found = callbacks.read_arrays(tmp_path / "state.npz")
            callbacks.read_progress(tmp_path)
        except ValueError as error:
            refused += 1
            assert "state.npz is damaged" in str(error) and "Remove it" in str(error)
        else:  # a date, or the like
            assert {name: array.tobytes() for name, array in found.items() if name in expected} == {
                name: array.tobytes() for name, array in expected.items() if name in found
            }
    assert refused > 300


def first_variable(change):
    return lambda arrays: {**arrays, "variable_0": change(arrays["variable_0"])}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays: {**arrays, "progress": np.array("[]")},
        lambda arrays: {**arrays, "progress": np.array("[" * 100_000)},
        lambda arrays: {**arrays, "progress": np.zeros(3)},
        lambda arrays: {name: array for name, array in arrays.items() if name != "progress"},
        lambda arrays: with_progress(arrays, history={}),
        lambda arrays: with_progress(arrays, history=[]),
        lambda arrays: with_progress(arrays, history=[{"epoch": 1}]),
        lambda arrays: with_progress(arrays, history=[{"epoch": 2, "loss": 0.5, "seconds": 1.0}]),
        lambda arrays: with_progress(arrays, history=[{"epoch": 1, "loss": "low", "seconds": 1.0}]),
        lambda arrays: with_progress(arrays, early_stopping={"best": 0.5, "wait": "0", "best_epoch": 0}),
        lambda arrays: with_progress(arrays, early_stopping={"best": [], "wait": 0, "best_epoch": 0}),
        lambda arrays: with_progress(arrays, checkpoint={"best": 0.5}),
        lambda arrays: with_progress(arrays, checkpoint={"best": 0.5, "sha256": "../outside"}),
        lambda arrays: with_progress(arrays, stopped="no"),
        lambda arrays: {name: array for name, array in arrays.items() if name != "variable_1"},
        first_variable(lambda array: array.astype(np.float64)),
        first_variable(lambda array: array[None]),
        first_variable(lambda array: np.full_like(array, np.nan)),
        first_variable(lambda array: array.astype(str)),
    ],
)
def test_a_state_of_other_kinds_is_refused(half_done, tmp_path, spoil):
    run = shutil.copytree(half_done, tmp_path / "run")
    saved(spoil(state_of(run)), run / "state.npz")
    with pytest.raises(
        ValueError, match=r"state\.npz (is damaged|holds the state of another model).*[Rr]emove"
    ):
        fit(some_model(), run, 3, patience=9)


def test_what_claims_to_be_huge_is_not_made(half_done, tmp_path):
    arrays = state_of(half_done)
    saved({**arrays, "variable_0": np.zeros(30_000_000, np.float32)}, tmp_path / "state.npz", ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"state\.npz is damaged .it claims to hold more than it can"):
        training.completed_epochs(tmp_path)
    content = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**44,)}
    np.lib.format.write_array_header_1_0(content, header)
    with ZipFile(tmp_path / "state.npz", "w") as archive:
        archive.writestr("progress.npy", content.getvalue())
    with pytest.raises(ValueError, match=r"state\.npz is damaged"):
        training.completed_epochs(tmp_path)


def test_a_state_holds_no_paths(half_done, tmp_path):
    """A prepared one cannot have a training write elsewhere."""
    run, mine = shutil.copytree(half_done, tmp_path / "run"), tmp_path / "mine.keras"
    mine.write_text("mine")
    held = json.loads(str(state_of(run)["progress"]))
    paths = dict.fromkeys(("target", "partial", "filepath", "run_dir"), str(mine))
    for part in ("checkpoint", "early_stopping"):
        held[part] |= paths
    held["checkpoint"]["best"] = 1e9  # the next epoch is better
    saved(with_progress(state_of(run), **held), run / "state.npz")
    fit(some_model(), run, 3, patience=9)
    assert mine.read_text() == "mine" and training.completed_epochs(run) == 3


def test_what_a_killed_process_left_half_written_is_never_taken(half_done, tmp_path):
    run = shutil.copytree(half_done, tmp_path / "run")
    best = (run / "model.keras").read_bytes()
    (run / ".partial-model.keras").write_bytes(best[:100])

    class Worse(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = 1e9

    some_model().fit(
        np.ones((4, 4)),
        np.ones(4),
        epochs=3,
        initial_epoch=2,
        callbacks=[Worse(), *training.standard_callbacks(run, patience=9)],
        verbose=0,
    )
    assert (run / "model.keras").read_bytes() == best and not list(run.glob(".partial*"))
    alone = training.AtomicModelCheckpoint(run / "model.keras")
    alone.partial.write_bytes(best[:100])
    alone.set_model(some_model())
    alone.on_epoch_end(0, {"val_loss": math.nan})
    assert (run / "model.keras").read_bytes() == best and not alone.partial.exists()


def test_a_best_model_that_is_another_is_refused(half_done, tmp_path):
    run = shutil.copytree(half_done, tmp_path / "run")
    some_model().save(run / "model.keras")
    with pytest.raises(ValueError, match=r"model\.keras is missing or damaged.*Remove .*state\.npz"):
        fit(some_model(), run, 3, patience=9)


def test_a_new_best_model_takes_its_place_after_the_state_that_knows_it(half_done, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    class Better(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = -1.0

    def killed(checkpoint):
        if checkpoint.partial.exists():
            raise Killed

    run = shutil.copytree(half_done, tmp_path / "run")
    before = (run / "model.keras").read_bytes()
    ours = [Better(), *training.standard_callbacks(run, patience=9)]
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(training.AtomicModelCheckpoint, "put_in_place", killed)
        some_model().fit(np.ones((4, 4)), np.ones(4), epochs=3, initial_epoch=2, callbacks=ours, verbose=0)
    assert training.completed_epochs(run) == 3 and len(training.read_history(run)["epoch"]) == 2
    assert (run / "model.keras").read_bytes() == before
    callbacks.settle(run)
    assert (run / "model.keras").read_bytes() != before and not list(run.glob(".partial*"))
    assert training.read_history(run)["val_loss"][2] == -1.0


@pytest.mark.parametrize("fault", ["weight", "moving average", "monitored"])
def test_an_epoch_whose_model_is_not_finite_diverged_and_is_never_the_best(tmp_path, fault):
    """A ReLU makes 0 of NaN, so that loss and figures stay finite."""

    class Spoil(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1 and fault == "monitored":
                logs["val_loss"] = math.inf
            elif epoch == 1:
                layer = self.model.layers[1 if fault == "weight" else 2]
                variable = layer.weights[-1]
                variable.assign(np.full(variable.shape, math.nan if fault == "weight" else math.inf))

    tf.keras.utils.set_random_seed(0)
    image = tf.keras.Input((4,))
    hidden = tf.keras.layers.BatchNormalization()(tf.keras.layers.Dense(5)(image))
    model = tf.keras.Model(image, tf.keras.layers.Dense(1)(hidden))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((40, 4), np.float32)
    model.fit(
        x,
        x.sum(1),
        validation_data=(x, x.sum(1)),
        epochs=5,
        callbacks=[Spoil(), *training.standard_callbacks(tmp_path, patience=9)],
        verbose=0,
    )
    history = training.read_history(tmp_path)
    assert len(history["loss"]) == 2 and math.isfinite(history["loss"][0]) and math.isnan(history["loss"][1])
    best = tf.keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert all(np.isfinite(weight).all() for weight in best.get_weights())


def test_patience_is_checked(tmp_path):
    with pytest.raises(ValueError, match="`patience`"):
        training.standard_callbacks(tmp_path, patience=0)


def test_the_list_is_keras_own_and_ours_last(tmp_path):
    kinds = [type(callback) for callback in training.standard_callbacks(tmp_path)]
    keras = tf.keras.callbacks
    assert issubclass(kinds[1], keras.EarlyStopping) and issubclass(kinds[2], keras.ModelCheckpoint)
    assert kinds[-1] is training.RunState
