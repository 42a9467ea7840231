"""Keras callbacks that make a training stop in time, keep its best model, and survive being killed."""

import csv
import io
import json
import os
import time
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import tensorflow as tf

from ..files import replacing, write_text


class AtomicModelCheckpoint(tf.keras.callbacks.ModelCheckpoint):
    """Keras's `ModelCheckpoint` of the best model, whose file is at every moment a whole one.

    Args:
        filepath: the `.keras` file.
        monitor: the logged quantity that decides which epoch is the best, as in `standard_callbacks`.
    """

    def __init__(self, filepath: str | os.PathLike, monitor: str = "val_loss"):
        self.target = Path(filepath)
        self.partial = self.target.with_name(f".partial-{self.target.name}")
        # Keras fills in braces in the path, and this one is meant as it stands.
        escaped = str(self.partial).replace("{", "{{").replace("}", "}}")
        super().__init__(escaped, monitor=monitor, mode=mode(monitor), save_best_only=True)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        if self.partial.exists():
            os.replace(self.partial, self.target)


class RunState(tf.keras.callbacks.Callback):
    """Keeps all that a training needs to go on after it was killed, and takes it up again.

    At the end of every epoch it replaces `state.npz` in one step: weights, optimizer, random generators of the layers
    (Keras 3), the history, and where early stopping and checkpoint stood. When a training begins, it restores them; pass
    `initial_epoch=training.completed_epochs(run_dir)` to `fit`. It also writes `history.csv`. Put it last in the list.

    Args:
        run_dir: the folder of the run.
        early_stopping: the run's `EarlyStopping`, whose patience goes on where it stood.
        checkpoint: the run's `ModelCheckpoint`, which goes on comparing with the best so far.

    Raises:
        ValueError: in `fit`, if the state belongs to another model, or `initial_epoch` is not where it stands.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike,
        early_stopping: tf.keras.callbacks.EarlyStopping,
        checkpoint: tf.keras.callbacks.ModelCheckpoint,
    ):
        super().__init__()
        self.run_dir = Path(run_dir)
        self.early_stopping = early_stopping
        self.checkpoint = checkpoint
        self.history: list[dict[str, float]] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        progress = read_progress(self.run_dir)
        self.history = progress["history"]
        if not self.history:
            return
        vars(self.early_stopping).update(progress["early_stopping"])
        vars(self.checkpoint).update(progress["checkpoint"])
        variables = self._variables()
        with np.load(self.run_dir / "state.npz", allow_pickle=False) as state:
            shapes = [state[f"variable_{i}"].shape for i in range(len(state.files) - 1)]
            if shapes != [tuple(variable.shape) for variable in variables]:
                raise ValueError(
                    f"{self.run_dir / 'state.npz'} holds the state of another model or optimizer. Train this one in a "
                    "folder of its own, or remove that file to begin anew"
                )
            for i, variable in enumerate(variables):
                variable.assign(state[f"variable_{i}"])

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if epoch != len(self.history):
            raise ValueError(
                f"{self.run_dir} holds {len(self.history)} epochs, so `initial_epoch` must be {len(self.history)}. "
                f"Received: initial_epoch={epoch}. Pass `initial_epoch=training.completed_epochs(run_dir)` to `fit`"
            )
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self.history.append({"epoch": epoch + 1, **figures, "seconds": time.monotonic() - self.began})
        progress = {
            "history": self.history,
            "early_stopping": {
                name: getattr(self.early_stopping, name) for name in ("best", "wait", "best_epoch")
            },
            "checkpoint": {"best": self.checkpoint.best},
            "stopped": bool(self.model.stop_training),
        }
        # As text in the array file, so that one replacement carries everything over.
        arrays = {f"variable_{i}": variable.numpy() for i, variable in enumerate(self._variables())}
        with replacing(self.run_dir / "state.npz") as partial:
            np.savez(partial, progress=np.array(json.dumps(progress, default=float)), **arrays)
        table = io.StringIO()
        writer = csv.DictWriter(
            table, list(self.history[0]), restval="", extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(self.history)
        write_text(self.run_dir / "history.csv", table.getvalue())

    def _variables(self) -> list[tf.Variable]:
        """All that a training step changes, but the metrics, which every epoch begins anew."""
        optimizer = self.model.optimizer
        optimizer.build(self.model.trainable_variables)  # does nothing when that is done
        metrics = {id(variable) for metric in self.model.metrics for variable in metric.variables}
        own = [variable for variable in self.model.variables if id(variable) not in metrics]
        return own + list(optimizer.variables)


def read_progress(run_dir: str | os.PathLike) -> dict:
    """Reads from a run's `state.npz` its history and where its callbacks stood; all empty where there is none."""
    path = Path(run_dir) / "state.npz"
    if not path.exists():
        return {"history": [], "early_stopping": {}, "checkpoint": {}, "stopped": False}
    try:
        with np.load(path, allow_pickle=False) as state:
            return json.loads(str(state["progress"]))
    except (ValueError, KeyError, EOFError, BadZipFile, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}). Remove it to begin anew") from error


def completed_epochs(run_dir: str | os.PathLike) -> int:
    """Returns how many epochs a run has behind it: the `initial_epoch` with which `fit` takes it up again."""
    return len(read_progress(run_dir)["history"])


def mode(monitor: str) -> str:
    """Says whether a logged quantity is the better the higher it is, `"max"`, or the lower, `"min"`.

    Accuracies and areas under curves, by the ends of their names, are `"max"`; losses and error rates are `"min"`.
    """
    return "max" if monitor.endswith(("accuracy", "acc", "auc")) else "min"


def standard_callbacks(
    run_dir: str | os.PathLike, *, monitor: str = "val_loss", patience: int = 3
) -> list[tf.keras.callbacks.Callback]:
    """The callbacks of a training that stops in time, keeps its best model and survives being killed.

    Args:
        run_dir: the folder of the run, made where it is missing. It receives `model.keras` (the best epoch's), `history.csv`,
            `state.npz` (to go on from) and `logs/` (TensorBoard).
        monitor: the logged quantity that early stopping and checkpoint go by: the higher the better if its name ends in
            `accuracy`, `acc` or `auc`, else the lower. `val_eer` and `val_auc` need a `VerificationCallback`
            before these.
        patience: epochs without improvement after which the training stops, at least 1.

    Returns:
        `TerminateOnNaN`, `EarlyStopping`, `ModelCheckpoint`, `TensorBoard` and `RunState`.

    Raises:
        ValueError: if `patience` is less than 1.

    Example:
        A script that is started again after it was killed goes on where it stood:

        ```python
        train = datasets.pair_dataset(train_pairs, batch_size=128, initial_epoch=training.completed_epochs("run"))
        model.fit(train, validation_data=val, epochs=100, initial_epoch=training.completed_epochs("run"),
                  steps_per_epoch=math.ceil(len(train_pairs) / 128), callbacks=training.standard_callbacks("run"))
        ```
    """
    if patience < 1:
        raise ValueError(f"`patience` must be at least 1. Received: patience={patience}")
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    early_stopping = tf.keras.callbacks.EarlyStopping(monitor=monitor, mode=mode(monitor), patience=patience)
    checkpoint = AtomicModelCheckpoint(run_dir / "model.keras", monitor=monitor)
    board = tf.keras.callbacks.TensorBoard(str(run_dir / "logs"), write_graph=False)
    state = RunState(run_dir, early_stopping, checkpoint)
    return [tf.keras.callbacks.TerminateOnNaN(), early_stopping, checkpoint, board, state]
