import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import training


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


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_a_new_process_goes_on_bit_by_bit(tmp_path, optimizer):
    drop_rate = 0.3 if hasattr(tf.keras, "ops") else 0.0  # Keras 2 keeps no drop-out state
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
        callbacks = [WorseAndWorse(), *training.standard_callbacks(tmp_path, patience=3)]
        done = training.completed_epochs(tmp_path)
        model.fit(
            np.ones((4, 4)), np.ones(4), epochs=epochs, initial_epoch=done, callbacks=callbacks, verbose=0
        )

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


@pytest.mark.parametrize("content", [b"", b"PK", b"nonsense"])
def test_a_damaged_state_is_named(tmp_path, content):
    (tmp_path / "state.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"state\.npz is damaged"):
        training.completed_epochs(tmp_path)


def test_patience_is_checked(tmp_path):
    with pytest.raises(ValueError, match="`patience`"):
        training.standard_callbacks(tmp_path, patience=0)


def test_the_list_is_keras_own_and_ours_last(tmp_path):
    kinds = [type(callback) for callback in training.standard_callbacks(tmp_path)]
    keras = tf.keras.callbacks
    assert issubclass(kinds[1], keras.EarlyStopping) and issubclass(kinds[2], keras.ModelCheckpoint)
    assert kinds[-1] is training.RunState
