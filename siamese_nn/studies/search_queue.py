"""A study's trials as a queue that many workers take from, and that outlives each of them.

Every trial waits in the study before it is taken, in a numbered slot. A worker takes a trial in one step, and
gives a sign of life from time to time while it runs. A trial whose worker died fails, and a copy of it, of
the same slot and with the same parameters, joins the queue. Of workers on the same machine the process tells
whether they live, of others their signs.
"""

import logging
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
from filelock import FileLock
from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

logger = logging.getLogger(__name__)

BEATS = 4  # without a sign of life for so many of its beats, a worker counts as dead
_ATTEMPTS = 5


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Optuna from telling each trial, and from warning of retries, experimental in its eyes."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(level)


def open_storage(place: str) -> BaseStorage:
    """Opens a file of studies, or a server's database, made where it is missing.

    Args:
        place: a file's path, or a database's URL as Optuna takes it.

    Raises:
        ValueError: if it can't be opened.
    """
    if place.startswith("sqlite"):
        raise ValueError(
            "`storage` must be the database of a server, or None for a file in the folder: of SQLite two "
            f"workers may get one trial. Received: storage={place!r}"
        )
    return _open_database(place) if "://" in place else _open_journal(place)


def _open_database(url: str) -> RDBStorage:
    for attempt in range(_ATTEMPTS):
        try:
            return RDBStorage(url)
        except (SQLAlchemyError, ImportError, StorageInternalError) as error:
            # Of two that make the tables at the same moment, one is refused.
            if attempt == _ATTEMPTS - 1 or isinstance(error, ImportError):
                message = f"`storage` can't be opened: {error}. Received: storage={url!r}"
                raise ValueError(re.sub(r"(://[^:/\s]*):.*@", r"\1:***@", message)) from error
            time.sleep(0.5)
    raise AssertionError  # the last attempt returns or raises


def _open_journal(path: str) -> JournalStorage:
    lock = _JournalLock(path)
    try:
        backend = JournalFileBackend(path, lock_obj=lock)
        lock.acquire()
        lock.release()
        return JournalStorage(backend)
    except (AssertionError, LookupError, OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} can't be opened: {error}. If the file is damaged, remove it: the search begins anew, "
            "and takes over the runs that are finished"
        ) from error


class _JournalLock(JournalFileOpenLock):
    """Lets one process at a time write, onto whole lines.

    The lock goes with its process, however that ends; Optuna's own stays for half a minute. A full disk or a
    kill may leave half a line, onto which the next one would be written: it is cut off.
    """

    def __init__(self, path: str):
        super().__init__(path)
        self._path, self._file_lock = path, FileLock(f"{path}.lock")

    def acquire(self) -> bool:
        self._file_lock.acquire()
        try:
            with open(self._path, "rb+") as file:
                if not file.seek(0, os.SEEK_END) or (file.seek(-1, os.SEEK_END), file.read())[1] == b"\n":
                    return True
                file.seek(0)
                text = file.read()
                whole = text.rfind(b"\n") + 1
                if text[whole : whole + 1] != b"{":
                    raise ValueError("its last line is no record of a study")
                file.truncate(whole)
            logger.warning(
                "%s ended in half a line, which is cut off: what it said is done again", self._path
            )
            return True
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        self._file_lock.release()


def fill(study: Study, points: Sequence[Mapping[str, Any]]) -> None:
    """Puts a trial in the queue for each point that has no slot yet.

    What a point leaves open is drawn when the trial runs.
    """
    held = _slots(study)
    for slot, point in enumerate(points):
        if slot not in held:
            study.enqueue_trial(dict(point), user_attrs={"slot": slot})


class Silences:
    """For how many seconds each trial that runs has given no sign of life.

    By this process's own clock, for those of machines differ: a sign counts from the moment in which it is
    seen first.
    """

    def __init__(self, study: Study):
        self._study = study
        self._seen: dict[int, tuple[float | None, float]] = {}

    def look(self) -> dict[int, float]:
        """Returns the seconds, by the number of the trial."""
        now = time.monotonic()
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            sign = trial.user_attrs.get("sign_of_life")
            if trial.number not in self._seen or self._seen[trial.number][0] != sign:
                self._seen[trial.number] = (sign, now)
        return {trial.number: now - self._seen[trial.number][1] for trial in running}


def take(study: Study, silences: Silences, heartbeat: int) -> Trial | None:
    """Takes the next waiting trial; `None` if none is waiting.

    Trials whose workers have died are put back before.
    """
    fail_gone(study)
    for number, seconds in silences.look().items():
        if seconds > BEATS * heartbeat:
            give_back(study, number)
    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        trial = study.ask()
        slot = trial.user_attrs.get("slot")
        trial.set_user_attr("worker", [socket.gethostname(), os.getpid()])
        # Optuna makes a trial, of no slot, where another worker took the last one that waited. Two who fill
        # the queue, or put back a trial, at the same moment leave two of one slot.
        twin = None if slot is None else _twin(study, slot, trial.number)
        if slot is not None and twin is None:
            return trial
        trial.set_user_attr("twin_of", twin)
        study.tell(trial, state=TrialState.FAIL)
    return None


@contextmanager
def beating(trial: Trial, seconds: int) -> Iterator[None]:
    """Gives signs of life for a trial during the block."""
    stop = Event()

    def beat() -> None:
        with suppress(UpdateFinishedTrialError):  # others took this worker for dead
            while not stop.wait(seconds):
                trial.set_user_attr("sign_of_life", time.time())

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def give_back(study: Study, number: int) -> None:
    """Ends a trial that was interrupted, and puts a copy in the queue."""
    with suppress(UpdateFinishedTrialError):  # by another at the same moment
        study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
    put_back_lost(study, only=number)


def put_back_lost(study: Study, only: int | None = None) -> bool:
    """Puts back the trials, or only that with a number, that ended without a result and have no copy.

    Returns:
        Whether there were any.
    """
    trials = study.get_trials()
    copied = {number for trial in trials for number in RetryHeartbeatStaleTrialCallback.retry_history(trial)}
    found = [
        trial
        for trial in trials
        if _is_void(trial)
        and "twin_of" not in trial.user_attrs
        and trial.number not in copied
        and only in (None, trial.number)
    ]
    for trial in found:
        for name in ("worker", "sign_of_life"):
            trial.user_attrs.pop(name, None)
        RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)(study, trial)
    return bool(found)


def settled(study: Study) -> list[FrozenTrial]:
    """Returns the trials that need not run again, one a slot: complete, pruned, or failed by own fault."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state.is_finished() and not _is_void(trial)]


def count_slots(study: Study) -> int:
    """Returns how many trials the study will have once all are settled."""
    return len(_slots(study))


def silence(study: Study, silences: Silences) -> float | None:
    """Returns for how many seconds no worker with a trial has given a sign of life.

    `None` if none has one, or a trial waits.
    """
    if study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        return None
    return min(silences.look().values(), default=None)


def is_barren(study: Study) -> bool:
    """Whether no trial is complete or pruned, and none runs."""
    fail_gone(study)
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return not study.get_trials(deepcopy=False, states=states)


def is_idle(study: Study) -> bool:
    """Whether no trial waits or runs."""
    return not study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING))


def fail_gone(study: Study) -> None:
    """Puts back the trials of workers of this machine whose processes are no more."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _is_gone(*trial.user_attrs.get("worker", (None, None))):
            give_back(study, trial.number)


def _is_gone(host: str | None, pid: int | None) -> bool:
    if pid is None or host != socket.gethostname() or os.name != "posix":
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


def _slots(study: Study) -> set[int]:
    trials = study.get_trials(deepcopy=False)
    return {trial.user_attrs["slot"] for trial in trials if "slot" in trial.user_attrs}


def _twin(study: Study, slot: int, before: int) -> int | None:
    """The number of an earlier trial of the same slot that runs, waits or is settled."""
    for trial in study.get_trials(deepcopy=False):
        if trial.user_attrs.get("slot") == slot and trial.number < before and not _is_void(trial):
            return trial.number
    return None


def _is_void(trial: FrozenTrial) -> bool:
    """Ended without a result, and not by its recipe's fault."""
    return trial.state == TrialState.FAIL and "error" not in trial.user_attrs
