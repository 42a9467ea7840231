"""An operation in a forked process, limited in time and memory, and killed at a step if a trial wants it.

The process that forks has imported TensorFlow and never run an operation of it: TensorFlow starts its threads
with the first, and threads do not survive a fork.
"""

import contextlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import siamese_nn

from .outcome import Ending

_PACKAGE = os.path.dirname(os.path.abspath(siamese_nn.__file__))
_MEMORY = 3 * 2**30  # bytes of data; a training of the trials takes 0.7 GB
_FILE = 2**30  # bytes of a file
_POLL = 0.004
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_STEPS = {
    *("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    *("shutil.rmtree", "shutil.copyfile", "shutil.move"),
}


@dataclass(frozen=True)
class Blow:
    """A signal to the process itself: at its `step`-th change of a file, `delay` seconds later."""

    step: int
    delay: float = 0.0
    signal: int = signal.SIGKILL


class Refused(Exception):
    """A command ended with an error; the argument is what it wrote to stderr."""


class Running:
    """An operation under way. `wait` returns how it ended.

    Args:
        operation: returns what JSON can hold.
        scratch: a folder for its answer and what it prints; not that of the files that it changes.
        seconds: after which it hangs.
        watched: the folder whose changes are the steps of `blow`, or are listed in `steps` of the answer.
        blow: when to kill it.
    """

    def __init__(
        self,
        operation: Callable[[], Any],
        scratch: Path,
        seconds: float,
        *,
        watched: Path | None = None,
        blow: Blow | None = None,
    ):
        scratch.mkdir(parents=True, exist_ok=True)
        self.answer, self.printed = scratch / "answer.json", scratch / "printed.txt"
        self.answer.unlink(missing_ok=True)
        self.deadline, self.seconds = time.monotonic() + seconds, seconds
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                _become_operation(self.printed, watched, blow)
                ending = _ending(operation)
                partial = self.answer.with_suffix(".partial")
                partial.write_text(json.dumps(ending), encoding="utf-8")
                os.rename(partial, self.answer)
                code = 0
            finally:
                os._exit(code)

    def has_ended(self) -> bool:
        """Looks whether the process has ended, and kills one that is past its limit."""
        if self.pid is None:
            return True
        found, self.status = os.waitpid(self.pid, os.WNOHANG)
        self.hung = not found and time.monotonic() > self.deadline
        if self.hung:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if found or self.hung:
            self.pid = None
        return self.pid is None

    def wait(self) -> Ending:
        while not self.has_ended():
            time.sleep(_POLL)
        if self.hung:
            return Ending("hang", message=f"past {self.seconds:.0f} s")
        if self.answer.exists():
            return Ending(**json.loads(self.answer.read_text(encoding="utf-8")))
        code = os.waitstatus_to_exitcode(self.status)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Ending("died", message=f"the process died: {how}")


def run(operation: Callable[[], Any], scratch: Path, seconds: float, **options: Any) -> Ending:
    """Runs an operation and waits for it; see `Running`."""
    return Running(operation, scratch, seconds, **options).wait()


def command(*words: str | os.PathLike) -> Any:
    """Runs a command of `siamese-nn` in this process, which must be an operation's.

    Returns:
        `code`, and `out` and `err`: what it printed to stdout and stderr.

    Raises:
        Refused: if its exit code says that it was an error.
    """
    from siamese_nn import cli

    with _captured() as printed:
        try:
            code = cli.main([os.fspath(word) for word in words])
        except SystemExit as error:  # of the parser
            code = error.code
    out, errors = printed
    if code in (1, 2):
        raise Refused(errors)
    return {"code": code, "out": out, "err": errors}


@contextlib.contextmanager
def _captured() -> Iterator[list[str]]:
    """Catches what goes to the process's stdout and stderr; fills the list with both at the end."""
    printed: list[str] = []
    streams = []
    for number in (1, 2):
        file = os.memfd_create(f"printed {number}")
        streams.append((number, os.dup(number), file))
        os.dup2(file, number)
    try:
        yield printed
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, before, file in streams:
            os.lseek(file, 0, os.SEEK_SET)
            with open(file, "rb") as stream:
                printed.append(stream.read().decode(errors="backslashreplace"))
            os.dup2(before, number)


def _become_operation(printed: Path, watched: Path | None, blow: Blow | None) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, _FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    file = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(file, number)
    if watched is not None:
        _watch(os.path.abspath(watched), blow)


_seen: list[str] = []  # steps of this process


def _watch(folder: str, blow: Blow | None) -> None:
    """Counts this process's changes of files below `folder`, and kills it at the one that `blow` names."""

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            mode, flags = arguments[1:3]
            if not (flags & _WRITES or (mode and set(str(mode)) & set("wxa+"))):
                return
        elif event not in _STEPS:
            return
        paths = [os.fsdecode(part) for part in arguments[:2] if isinstance(part, (str, bytes, os.PathLike))]
        of_rmtree = event in ("os.remove", "os.rmdir") and arguments[-1] != -1  # relative to an open folder
        if not of_rmtree and not any(os.path.abspath(path).startswith(folder) for path in paths):
            return
        _seen.append(f"{event} {os.path.basename(paths[0])}")
        if blow is not None and len(_seen) == blow.step + 1:
            if blow.delay == 0:
                os.kill(os.getpid(), blow.signal)
            else:
                timer = threading.Timer(blow.delay, os.kill, (os.getpid(), blow.signal))
                timer.daemon = True
                timer.start()

    sys.addaudithook(hook)


def steps_so_far() -> list[str]:
    """The changes of files that this process, being watched, has made."""
    return list(_seen)


def _ending(operation: Callable[[], Any]) -> dict[str, Any]:
    try:
        ending = Ending("answer", json.loads(json.dumps(operation(), default=_plain)))
    except Refused as refused:
        message = str(refused)
        one = message.count("siamese-nn: error:") == 1 or message.startswith("usage:")
        ending = Ending("error", None, "exit code", message[-1500:], expected=True, ours=one)
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        ending = Ending(
            "error",
            None,
            type(error).__name__,
            str(error).encode("utf-8", "backslashreplace").decode()[:20000],
            expected=isinstance(error, (ValueError, OSError)),
            ours=bool(frames) and os.path.abspath(frames[-1].filename).startswith(_PACKAGE),
        )
        traceback.print_exc()
    return asdict(ending)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
