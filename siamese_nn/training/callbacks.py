"""Keras callbacks: a training stops in time, keeps its best model, and goes on after it was killed."""

import io
import json
import math
import os
import re
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import tensorflow as tf

from ..files import replacing
from ..runs.folder import LOGS, MODEL, STATE, digest, write_history

_STOPPING = ("best", "wait", "best_epoch")  # where Keras's `EarlyStopping` stands


class StopWhenDiverged(tf.keras.callbacks.TerminateOnNaN):
    """Keras's `TerminateOnNaN`, which looks at weights, moving averages and the monitored quantity, too.

    A loss can stay finite although a weight is NaN: a ReLU makes it 0, and batch normalization uses its
    moving averages only after training. If an epoch ends so, the logged loss becomes NaN, so that the history
    tells it. Put this callback before those that keep or compare models.

    Args:
        monitor: the logged quantity that decides which epoch is the best.

    Example:
        >>> stop = StopWhenDiverged()
        >>> stop.set_model(tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)]))
        >>> logs = {"loss": 0.7, "val_loss": float("nan")}
        >>> stop.on_epoch_end(0, logs)
        >>> logs["loss"], stop.model.stop_training
        (nan, True)
    """

    def __init__(self, monitor: str = "val_loss"):
        super().__init__()
        self.monitor = monitor

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = {} if logs is None else logs
        if not_finite(self.model) or not math.isfinite(logs.get(self.monitor, 0.0)):
            logs["loss"] = float("nan")
            self.model.stop_training = True


def not_finite(model: tf.keras.Model) -> list[str]:
    """Returns the names of a model's weights and moving averages that hold a NaN or an infinity."""
    floats = [variable for variable in model.weights if tf.as_dtype(variable.dtype).is_floating]
    return [
        getattr(variable, "path", variable.name)
        for variable in floats
        if not np.isfinite(variable.numpy()).all()
    ]


class AtomicModelCheckpoint(tf.keras.callbacks.ModelCheckpoint):
    """Keras's `ModelCheckpoint` of the best model. Its file is whole at every moment.

    An epoch is never the best if its monitored quantity, weights or moving averages are not finite.

    Args:
        filepath: the `.keras` file.
        monitor: the logged quantity that decides which epoch is the best, as in `standard_callbacks`; `None`
            keeps the last epoch's model.

    Attributes: `sha256`, of the best model's file; `None` before there is one.

    Example:
        >>> checkpoint = AtomicModelCheckpoint("best.keras", monitor="val_auc")
        >>> checkpoint.set_model(tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)]))
        >>> checkpoint.on_epoch_end(0, {"val_auc": 0.9})
        >>> checkpoint.on_epoch_end(1, {"val_auc": 0.8})  # is not kept
        >>> float(checkpoint.best), len(checkpoint.sha256)
        (0.9, 64)
    """

    def __init__(self, filepath: str | os.PathLike, monitor: str | None = "val_loss"):
        self.target = Path(filepath)
        self.partial = self.target.with_name(f".partial-{self.target.name}")
        self.sha256: str | None = None
        self.waits = False  # for a `RunState`, which calls `put_in_place`
        # Keras fills in braces in the path, and this one is meant as it stands.
        escaped = str(self.partial).replace("{", "{{").replace("}", "}}")
        by = monitor or "loss"
        super().__init__(escaped, monitor=by, mode=mode(by), save_best_only=monitor is not None)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.partial.unlink(
            missing_ok=True
        )  # a killed process's; only what is saved below takes the file's place
        if not_finite(self.model) or not math.isfinite((logs or {}).get(self.monitor, 0.0)):
            return
        super().on_epoch_end(epoch, logs)
        if self.partial.exists():
            self.sha256 = digest(self.partial)
            if not self.waits:
                self.put_in_place()

    def put_in_place(self) -> None:
        """Puts the best model in its place if a killed training did not: its `RunState` says which it is.

        Raises:
            ValueError: if the best model is neither there nor about to be.
        """
        if self.sha256 is None or _holds(self.target, self.sha256):
            self.partial.unlink(missing_ok=True)
        elif _holds(self.partial, self.sha256):
            os.replace(self.partial, self.target)
        else:
            raise ValueError(
                f"{self.target} is missing or damaged: it is not the model that the best epoch left. Remove "
                f"{self.target.with_name(STATE)}, and the same call begins anew"
            )


def _holds(path: Path, sha256: str) -> bool:
    return path.is_file() and digest(path) == sha256


class RunState(tf.keras.callbacks.Callback):
    """Keeps all that a training needs to go on after it was killed, and restores it.

    At the end of each epoch it replaces `state.npz` in one step. The file holds weights, optimizer, random
    generators of the layers (Keras 3), the history, the state of early stopping and checkpoint, and which
    file holds the best model. Only then a new best model takes its place, and `history.csv` is written. If
    the process is killed in between, the next training does both. When a training begins, this callback
    restores all: pass `initial_epoch=training.completed_epochs(run_dir)` to `fit`. Put it last in the list.

    Args:
        run_dir: the folder of the run.
        early_stopping: the run's `EarlyStopping`; its patience goes on where it stood.
        checkpoint: the run's `AtomicModelCheckpoint`; it goes on comparing with the best so far.

    Raises:
        ValueError: in `fit`, if the state is damaged or belongs to another model,
            or `initial_epoch` is not where it stands.

    Example:
        >>> stopping, checkpoint = tf.keras.callbacks.EarlyStopping(), AtomicModelCheckpoint("run/best.keras")
        >>> state = RunState("run", stopping, checkpoint)
        >>> model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> for callback in (stopping, state):  # `fit` does this
        ...     callback.set_model(model)
        ...     callback.on_train_begin()
        >>> state.on_epoch_begin(0)
        >>> state.on_epoch_end(0, {"loss": 0.7, "val_loss": 0.8})
        >>> completed_epochs("run")
        1
    """

    def __init__(
        self,
        run_dir: str | os.PathLike,
        early_stopping: tf.keras.callbacks.EarlyStopping,
        checkpoint: AtomicModelCheckpoint,
    ):
        super().__init__()
        self.run_dir = Path(run_dir)
        self.early_stopping = early_stopping
        self.checkpoint = checkpoint
        checkpoint.waits = True
        self.history: list[dict[str, float]] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        progress = settle(self.run_dir)
        self.history = progress["history"]
        if not self.history:
            return
        for name in _STOPPING:
            setattr(self.early_stopping, name, progress["early_stopping"][name])
        self.checkpoint.best = progress["checkpoint"]["best"]
        self.checkpoint.sha256 = progress["checkpoint"]["sha256"]
        path = self.run_dir / STATE
        arrays = read_arrays(path)
        names = [f"variable_{i}" for i in range(len(arrays) - 1)]
        held = [arrays[name] for name in names if name in arrays]
        variables = self._variables()
        kinds = [(tuple(variable.shape), tf.as_dtype(variable.dtype).name) for variable in variables]
        if len(held) < len(names) or kinds != [(array.shape, array.dtype.name) for array in held]:
            raise ValueError(
                f"{path} holds the state of another model or optimizer. Train this one "
                "in a folder of its own, or remove that file to begin anew"
            )
        for variable, array in zip(variables, held, strict=True):
            variable.assign(array)
        if spoilt := not_finite(self.model):
            raise _damaged(path, f"{spoilt[0]} is not finite")

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if epoch != len(self.history):
            raise ValueError(
                f"{self.run_dir} holds {len(self.history)} epochs, so "
                f"`initial_epoch` must be {len(self.history)}. Received: initial_epoch={epoch}. Pass "
                "`initial_epoch=training.completed_epochs(run_dir)` to `fit`"
            )
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self.history.append({"epoch": epoch + 1, **figures, "seconds": time.monotonic() - self.began})
        progress = {
            "history": self.history,
            "early_stopping": {name: getattr(self.early_stopping, name) for name in _STOPPING},
            "checkpoint": {"best": self.checkpoint.best, "sha256": self.checkpoint.sha256},
            "stopped": bool(self.model.stop_training),
        }
        # As text in the array file, so that one replacement carries everything over.
        arrays = {f"variable_{i}": variable.numpy() for i, variable in enumerate(self._variables())}
        with replacing(self.run_dir / STATE) as partial:
            np.savez(partial, progress=np.array(json.dumps(progress, default=float)), **arrays)
        self.checkpoint.put_in_place()
        write_history(self.run_dir, self.history)

    def _variables(self) -> list[tf.Variable]:
        """All that a training step changes, but the metrics, which every epoch begins anew."""
        optimizer = self.model.optimizer
        optimizer.build(self.model.trainable_variables)  # does nothing when that is done
        metrics = {id(variable) for metric in self.model.metrics for variable in metric.variables}
        own = [variable for variable in self.model.variables if id(variable) not in metrics]
        return own + list(optimizer.variables)


def read_progress(run_dir: str | os.PathLike) -> dict[str, Any]:
    """Reads a run's history and callbacks' progress from its `state.npz`; all empty where there is none.

    Raises:
        ValueError: if any part of the file is damaged.
    """
    path = Path(run_dir) / STATE
    if not path.exists():
        return {"history": [], "early_stopping": {}, "checkpoint": {}, "stopped": False}
    text = read_arrays(path).get("progress")
    try:
        progress = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    if not _is_progress(progress):
        raise _damaged(path, "its progress lacks a part, or has one of another kind")
    return progress


def settle(run_dir: str | os.PathLike) -> dict[str, Any]:
    """Brings a run's best model and `history.csv` to where its `state.npz` stands; returns its progress."""
    progress = read_progress(run_dir)
    if progress["history"]:
        checkpoint = AtomicModelCheckpoint(Path(run_dir) / MODEL)
        checkpoint.sha256 = progress["checkpoint"]["sha256"]
        checkpoint.put_in_place()
        write_history(run_dir, progress["history"])
    return progress


def _is_progress(progress: Any) -> bool:
    try:
        history, checkpoint = progress["history"], progress["checkpoint"]
        stopping = [progress["early_stopping"][name] for name in _STOPPING]
        values = [value for row in history for value in (row["loss"], row["seconds"], *row.values())]
        return (
            [row["epoch"] for row in history] == list(range(1, len(history) + 1))
            and len(history) > 0
            and all(type(value) in (int, float) for value in values)
            and all(best is None or type(best) in (int, float) for best in (stopping[0], checkpoint["best"]))
            and all(type(count) is int and count >= 0 for count in stopping[1:])
            and (
                checkpoint["sha256"] is None or re.fullmatch("[0-9a-f]{64}", checkpoint["sha256"]) is not None
            )
            and type(progress["stopped"]) is bool
        )
    except (TypeError, LookupError, AttributeError):  # a list for a table, a table for a number
        return False


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads an `.npz` file in which nothing may be packed, cut off, longer than it says, or an object."""
    try:
        with ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > os.path.getsize(path):
                raise ValueError("it claims to hold more than it can")
            arrays = {}
            for part in archive.infolist():
                content = io.BytesIO(archive.read(part))  # checks the sum of what it reads
                arrays[part.filename.removesuffix(".npy")] = np.lib.format.read_array(
                    content, allow_pickle=False
                )
                if content.read(1):
                    raise ValueError(f"{part.filename} is longer than it says")
            return arrays
    # Words of Python and NumPy for what is no archive, is cut off, packed in
    # an unknown way, or claims an endless size.
    except (ValueError, TypeError, KeyError, EOFError, OSError, BadZipFile) as error:
        raise _damaged(path, error) from error
    except (MemoryError, OverflowError, RuntimeError, SyntaxError, struct.error, zlib.error) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, fault: object) -> ValueError:
    return ValueError(f"{path} is damaged ({fault}). Remove it, and the same call begins anew")


def completed_epochs(run_dir: str | os.PathLike) -> int:
    """Returns how many epochs a run has completed: the `initial_epoch` for `fit` to go on.

    Args:
        run_dir: the folder of the run.

    Example:
        >>> completed_epochs("run")  # nothing has been trained there
        0
    """
    return len(read_progress(run_dir)["history"])


def mode(monitor: str) -> str:
    """Says whether a logged quantity is the better the higher it is, `"max"`, or the lower, `"min"`.

    Accuracies and areas under curves, by the ends of their names, are
    `"max"`; losses and error rates are `"min"`.
    """
    return "max" if monitor.endswith(("accuracy", "acc", "auc")) else "min"


def standard_callbacks(
    run_dir: str | os.PathLike, *, monitor: str | None = "val_loss", patience: int = 3
) -> list[tf.keras.callbacks.Callback]:
    """Returns the callbacks of a training that stops in time, keeps its best model and can be killed.

    Args:
        run_dir: folder of the run; it is made if it is missing. It receives `model.keras` (best epoch),
            `history.csv`, `state.npz` (to go on from) and `logs/` (for TensorBoard).
        monitor: the logged quantity that early stopping and checkpoint go by. Higher is better if its name
            ends in `accuracy`, `acc` or `auc`; else lower is. `val_eer` and `val_auc` need a
            `VerificationCallback` before these callbacks. With `None` nothing is validated: no training
            stops early, and `model.keras` is the last epoch's.
        patience: the training stops after so many epochs without improvement, at least 1.

    Returns:
        `StopWhenDiverged` (a `TerminateOnNaN`), `EarlyStopping`,
        `AtomicModelCheckpoint`, `TensorBoard` and `RunState`.

    Raises:
        ValueError: if `patience` is less than 1.

    Example:
        A script that is started again after it was killed goes on where it stood. In a training of pairs,
        `datasets.pair_dataset` takes `initial_epoch`, too.

        >>> model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, done = np.zeros((2, 1)), completed_epochs("run")
        >>> _ = model.fit(x, x, validation_data=(x, x), epochs=2, initial_epoch=done, verbose=0,
        ...     callbacks=standard_callbacks("run"))
        >>> completed_epochs("run")
        2
    """
    if patience < 1:
        raise ValueError(f"`patience` must be at least 1. Received: patience={patience}")
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    by, patience = (monitor, patience) if monitor else ("loss", sys.maxsize)
    early_stopping = tf.keras.callbacks.EarlyStopping(monitor=by, mode=mode(by), patience=patience)
    checkpoint = AtomicModelCheckpoint(run_dir / MODEL, monitor=monitor)
    board = tf.keras.callbacks.TensorBoard(str(run_dir / LOGS), write_graph=False)
    state = RunState(run_dir, early_stopping, checkpoint)
    return [StopWhenDiverged(by), early_stopping, checkpoint, board, state]
