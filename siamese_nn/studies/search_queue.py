"""A study's trials as a queue that many workers take from, and that outlives each of them.

Every trial waits in the study before it is taken, in a numbered slot. A worker takes a trial by one transaction, and beats for it
while it lives. A trial whose worker died fails, and a copy of it, of the same slot and with the same parameters,
joins the queue. Of workers on the same machine the process tells whether they live, of others their beats.
"""

import os
import re
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

import optuna
import sqlalchemy
from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages._rdb.models import TrialHeartbeatModel, TrialModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

BEATS = 4  # without a sign of life for so many of its beats, a worker counts as dead
_LOCK_TIMEOUT = 120  # seconds for which a worker waits for SQLite while others write
_ATTEMPTS = 5


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Optuna from telling each trial, and from warning of the heartbeat, which is experimental in its eyes."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(level)


def open_storage(url: str, heartbeat: int) -> RDBStorage:
    """Opens a database of studies, made where it is missing.

    Raises:
        ValueError: if it can't be opened.
    """
    options: dict[str, Any] = {}
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": _LOCK_TIMEOUT}
    for attempt in range(_ATTEMPTS):
        try:
            storage = RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=heartbeat,
                grace_period=BEATS * heartbeat,
                heartbeat_stale_trial_callback=_put_back,
            )
            if url.startswith("sqlite"):
                with storage.engine.connect() as connection:
                    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
                if found != "ok":
                    raise SQLAlchemyError(found)
            break
        except (SQLAlchemyError, ImportError, optuna.exceptions.StorageInternalError) as error:
            # Of two that make the tables at the same moment, one is refused.
            if attempt == _ATTEMPTS - 1 or isinstance(error, ImportError):
                message = f"`storage` can't be opened: {error}. Received: storage={url!r}"
                if url.startswith("sqlite"):
                    message += (
                        ". If the file is damaged, remove it: the search begins anew, and takes over the runs that "
                        "are finished"
                    )
                raise ValueError(re.sub(r"(://[^:/\s]*):.*@", r"\1:***@", message)) from error
            time.sleep(0.5)
    if url.startswith("sqlite"):
        # SQLite knows no SELECT ... FOR UPDATE, by which Optuna keeps two workers from taking one trial. So each
        # transaction takes the lock at its start.
        sqlalchemy.event.listen(
            storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE")
        )
    return storage


def fill(study: Study, points: Sequence[Mapping[str, Any]]) -> None:
    """Puts a trial in the queue for each point that has no slot yet. What a point leaves open is drawn when the trial runs."""
    held = {trial.user_attrs["slot"] for trial in study.get_trials(deepcopy=False)}
    for slot, point in enumerate(points):
        if slot not in held:
            study.enqueue_trial(dict(point), user_attrs={"slot": slot})


def take(study: Study, storage: RDBStorage) -> Trial | None:
    """Takes the next waiting trial; `None` if none is waiting. Trials whose workers have died are put back before."""
    fail_gone(study, storage)
    optuna.storages.fail_stale_trials(study)
    for waiting in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        # The first beat comes before the trial runs, so that no running trial is without one.
        storage.record_heartbeat(waiting._trial_id)
        try:
            taken = storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            taken = False
        if not taken:
            continue
        trial = Trial(study, waiting._trial_id)
        trial.set_user_attr("worker", [socket.gethostname(), os.getpid()])
        twin = _twin(study, waiting)
        if twin is None:
            return trial
        # Two who fill the queue, or put back a trial, at the same moment leave two of one slot.
        trial.set_user_attr("twin_of", twin.number)
        study.tell(trial, state=TrialState.FAIL)
    return None


@contextmanager
def beating(storage: RDBStorage, trial: Trial, seconds: int) -> Iterator[None]:
    """Gives signs of life for a trial during the block."""
    stop = Event()

    def beat() -> None:
        while not stop.wait(seconds):
            storage.record_heartbeat(trial._trial_id)
        storage.remove_session()

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def give_back(study: Study, trial: Trial) -> None:
    """Ends a trial that was interrupted, and puts a copy in the queue."""
    study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
    put_back_lost(study, only=trial.number)


def put_back_lost(study: Study, only: int | None = None) -> bool:
    """Puts back the trials, or only that with a number, that ended without a result and of which there is no copy.

    Returns:
        Whether there were any.
    """
    trials = study.get_trials()
    copied = {number for trial in trials for number in RetryHeartbeatStaleTrialCallback.retry_history(trial)}
    found = [
        trial
        for trial in trials
        if _is_lost(trial) and trial.number not in copied and only in (None, trial.number)
    ]
    for trial in found:
        _put_back(study, trial)
    return bool(found)


def settled(study: Study) -> list[FrozenTrial]:
    """Returns the trials that need not run again: complete, pruned, or failed by their own fault; one a slot."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state.is_finished() and not _is_void(trial)]


def count_slots(study: Study) -> int:
    """Returns how many trials the study will have once all are settled."""
    return len({trial.user_attrs["slot"] for trial in study.get_trials(deepcopy=False)})


def silence(study: Study, storage: RDBStorage) -> float | None:
    """Returns for how many seconds no worker with a trial has given a sign of life; `None` if none has one, or a trial waits."""
    if study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        return None
    session = storage.scoped_session()
    try:
        beats = session.query(TrialHeartbeatModel.heartbeat).join(TrialModel)
        running = beats.filter(TrialModel.study_id == study._study_id, TrialModel.state == TrialState.RUNNING)
        last = max((beat for (beat,) in running), default=None)
        now = session.execute(sqlalchemy.func.now()).scalar()
        return None if last is None else (now.replace(tzinfo=None) - last).total_seconds()
    finally:
        storage.remove_session()


def is_barren(study: Study, storage: RDBStorage) -> bool:
    """Whether no trial is complete or pruned, and none runs."""
    fail_gone(study, storage)
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return not study.get_trials(deepcopy=False, states=states)


def is_idle(study: Study) -> bool:
    """Whether no trial waits or runs."""
    return not study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING))


def fail_gone(study: Study, storage: RDBStorage) -> None:
    """Puts back the trials of workers of this machine whose processes are no more."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if _is_gone(*trial.user_attrs.get("worker", (None, None))):
            with suppress(UpdateFinishedTrialError):
                storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                _put_back(study, trial)


def _is_gone(host: str | None, pid: int | None) -> bool:
    if host != socket.gethostname() or os.name != "posix":
        return False
    if pid == os.getpid():  # another's before: this process looks only while it has no trial
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        pass
    return False


def _twin(study: Study, waiting: FrozenTrial) -> FrozenTrial | None:
    """The earlier trial of the same slot that runs, waits or is settled."""
    for trial in study.get_trials(deepcopy=False):
        same_slot = trial.user_attrs["slot"] == waiting.user_attrs["slot"]
        if same_slot and trial.number < waiting.number and not _is_void(trial):
            return trial
    return None


def _is_void(trial: FrozenTrial) -> bool:
    """Ended without a result, and not by its recipe's fault."""
    return trial.state == TrialState.FAIL and "error" not in trial.user_attrs


def _is_lost(trial: FrozenTrial) -> bool:
    return _is_void(trial) and "twin_of" not in trial.user_attrs


def _put_back(study: Study, trial: FrozenTrial) -> None:
    trial.user_attrs.pop("worker", None)
    RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)(study, trial)
