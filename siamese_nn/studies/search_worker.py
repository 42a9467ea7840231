"""What each process of a search does: take a trial, train it, tell its figure, until none is left."""

import json
import logging
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.connection import wait
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import optuna
import tensorflow as tf

from ..datasets import Pairs
from ..datasets.digests import pairs_digest, people_digest
from ..recipes.recipe import Recipe
from ..runs.folder import PRETRAINING, read_history
from ..training.callbacks import mode
from ..training.claim import RunFolderInUse
from ..training.train import train
from . import search_queue
from .search_space import recipe_at, suggest

logger = logging.getLogger(__name__)

_POLL = 1  # seconds between two looks at what others are doing
_told_to_stop = Event()


class _RecipeFault(Exception):
    """What `Recipe` refuses, or what diverged."""


@dataclass(frozen=True)
class Worker:
    """All that a process needs to take part in a search."""

    base: Recipe
    space: dict[str, Any]
    sets: tuple[Pairs, Pairs]
    photos: Mapping[str, Sequence[str]] | None
    folder: Path
    cache_dir: str
    storage: str
    study_name: str
    sampler: str
    seed: int
    prune: bool
    heartbeat: int

    def open(self) -> optuna.Study:
        """Returns the study, made where it is missing."""
        storage = search_queue.open_storage(self.storage)
        study = optuna.create_study(
            study_name=self.study_name,
            storage=storage,
            direction="maximize" if mode(self.base.monitor) == "max" else "minimize",
            pruner=optuna.pruners.MedianPruner() if self.prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        ours = {
            "recipe": self.base.as_dict(),
            "space": self.space,
            "sampler": self.sampler,
            "monitor": self.base.monitor,
            "seed": self.seed,
            "data": data_digests(self.sets, self.photos),
        }
        held = study.user_attrs.get("search")
        if held is None:
            study.set_user_attr("search", ours)
            held = study.user_attrs["search"]
        other = [name for name, value in ours.items() if held.get(name) != _plain(value)]
        if other == ["space"] and search_queue.is_barren(study):  # the former had a mistake in it
            optuna.delete_study(study_name=self.study_name, storage=storage)
            return self.open()
        if other:
            fields = [
                field for field, value in _plain(ours["recipe"]).items() if held["recipe"].get(field) != value
            ]
            words = [f"recipe ({', '.join(fields)})" if name == "recipe" else name for name in other]
            raise ValueError(
                f"The study {self.study_name} is another search's; they differ in {', '.join(words)}. Choose "
                "another folder, or another `study_name` where `storage` is shared"
            )
        return study

    def work(self, tell_progress: Callable[[], None]) -> None:
        """Runs trials until all are settled, by whomever."""
        study = self.open()
        silences = search_queue.Silences(study)
        while True:
            tell_progress()
            _stop_if_told()
            trial = search_queue.take(study, silences, self.heartbeat)
            if trial is not None:
                # The error: others took this worker for dead, and its trial over.
                with (
                    suppress(optuna.exceptions.UpdateFinishedTrialError),
                    search_queue.beating(trial, self.heartbeat),
                ):
                    self._run(study, trial)
            elif not search_queue.is_idle(study):
                time.sleep(_POLL)
            elif not search_queue.put_back_lost(study):
                return

    def _run(self, study: optuna.Study, trial: optuna.Trial) -> None:
        try:
            outcome: dict[str, Any] = {"values": self._objective(study, trial)}
        except optuna.TrialPruned:
            outcome = {"state": optuna.trial.TrialState.PRUNED}
        except (_RecipeFault, tf.errors.ResourceExhaustedError) as error:  # the latter: the GPU is too small
            trial.set_user_attr("error", str(error))
            outcome = {"state": optuna.trial.TrialState.FAIL}
        except BaseException:
            # Opened again: an interruption may have struck in the middle of a look at the study.
            search_queue.give_back(self.open(), trial.number)
            raise
        study.tell(trial, **outcome, skip_if_finished=True)

    def _objective(self, study: optuna.Study, trial: optuna.Trial) -> float:
        # A sampler for each trial: one that went on from the start of its draws in each process would repeat
        # them.
        seed = int(np.random.SeedSequence([self.seed, trial.user_attrs["slot"]]).generate_state(1)[0])
        samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
        if self.sampler in samplers:  # a grid's trials have all their values
            study.sampler = samplers[self.sampler](seed=seed)
        try:
            recipe = recipe_at(self.base, self.space, suggest(trial, self.space))
        except ValueError as error:
            raise _RecipeFault(error) from error
        run = sha256(json.dumps(recipe.as_dict(), sort_keys=True).encode()).hexdigest()[:16]
        trial.set_user_attr("recipe", recipe.as_dict())
        trial.set_user_attr("run", run)
        run_dir = self.folder / "runs" / run
        tf.keras.backend.clear_session()  # or the models of all trials would stay in memory
        while True:
            try:
                report = _Report(trial, recipe.monitor)
                results = train(
                    recipe,
                    *self.sets,
                    run_dir,
                    photos=self.photos,
                    callbacks=[report],
                    verbose=0,
                    cache_dir=self.cache_dir,
                )
                break
            except RunFolderInUse:
                # Another trial has drawn the same recipe, or its worker was only thought dead: its result
                # will do.
                time.sleep(_POLL)
                _stop_if_told()
            except ValueError as error:
                if _has_diverged(run_dir, recipe.monitor):
                    raise _RecipeFault(error) from error
                raise
        trial.set_user_attr("epochs", results["epochs"])
        return read_history(run_dir)[recipe.monitor][results["best_epoch"] - 1]


class _Report(tf.keras.callbacks.Callback):
    """Tells the study each epoch's figure, and stops a trial that isn't worth going on with."""

    def __init__(self, trial: optuna.Trial, monitor: str):
        super().__init__()
        self.trial, self.monitor = trial, monitor
        self.reported = set(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        _stop_if_told()  # an epoch may take long

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        _stop_if_told()
        value = (logs or {})[self.monitor]
        if not math.isfinite(value):
            return  # `train` ends it, and says why
        if epoch not in self.reported:  # after a kill, an epoch may come again
            self.trial.report(value, epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def _has_diverged(run_dir: Path, monitor: str) -> bool:
    for part, quantity in ((run_dir, monitor), (run_dir / PRETRAINING, "loss")):
        with suppress(OSError, ValueError, LookupError):  # not begun, or damaged
            history = read_history(part)
            if not all(math.isfinite(history[name][-1]) for name in ("loss", quantity)):
                return True
    return False


def work_together(worker: Worker, jobs: int, tell_progress: Callable[[], None]) -> None:
    """Works in processes of their own. They end with this one, and at its Ctrl-C put their trials back.

    Raises:
        ChildProcessError: if some died, and trials are left.
    """
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    processes = [context.Process(target=_worker_process, args=(worker,)) for _ in range(jobs)]
    study = worker.open()
    try:
        with _ignoring_ctrl_c():
            for process in processes:
                process.start()
        while alive := [process.sentinel for process in processes if process.is_alive()]:
            tell_progress()
            wait(alive, timeout=_POLL)
    except KeyboardInterrupt:
        logger.warning("stopping: no other trial begins; waiting for those that run to be put in order")
        raise
    finally:
        started = [process for process in processes if process.pid is not None]
        for process in started:  # all before the first is waited for, or it would go on meanwhile
            process.terminate()
        for process in started:
            process.join()
        search_queue.fail_gone(worker.open())  # of one that was killed, or stopped before it could
        tell_progress()
    codes = [process.exitcode for process in processes]
    if any(codes):
        message = f"worker processes ended with the exit codes {', '.join(map(str, codes))}"
        if len(search_queue.settled(study)) < search_queue.count_slots(study):
            raise ChildProcessError(f"{message}, and trials are left. The same call goes on")
        logger.warning("%s; the others have done all trials", message)


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Ignores Ctrl-C, as do from their first moment on the processes that start meanwhile.

    The one that started them ends them.
    """
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _worker_process(worker: Worker) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    Thread(target=_end_with_parent, daemon=True).start()
    # Or the first worker would take all of a GPU's memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    tf.get_logger().setLevel("ERROR")  # it takes a model for every trial for a mistake
    try:
        with search_queue.quiet():
            worker.work(lambda: None)
    except BaseException as error:
        if _told_to_stop.is_set():  # TensorFlow's C code makes a SystemError of an interruption
            return
        if isinstance(error, (ValueError, OSError)):
            sys.exit(f"worker: {error}")
        raise


def _stop(*_: Any) -> None:
    _told_to_stop.set()  # some libraries swallow the error
    raise KeyboardInterrupt


def _stop_if_told() -> None:
    """Stops a worker process when it was told to."""
    if _told_to_stop.is_set():
        raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Ends this process in the moment in which the one that started it is no more, whatever it is doing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)  # as if it were killed: whoever goes on with the search takes the trial over


def data_digests(sets: tuple[Pairs, Pairs], photos: Mapping[str, Sequence[str]] | None) -> dict[str, str]:
    """What stands for the data of a search."""
    data = {"train": pairs_digest(sets[0]), "validation": pairs_digest(sets[1])}
    return data if photos is None else data | {"photos": people_digest(photos)}


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))
