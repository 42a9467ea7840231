"""Files that are whole or absent: a killed process leaves the old one or the new one, never half of one."""

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, which lets nobody rename an open file
    fcntl = None


@contextmanager
def replacing(path: str | os.PathLike, *, mode: int = 0o666) -> Iterator[Path]:
    """Gives a new, empty file beside `path`, which takes its place once the block has ended without an error.

    Each writer has a file of its own, so that of several the last one wins, and readers see one whole content or
    the other. The file is written through to the disk before it takes its place. What a killed process left half
    written never takes it; the next writer of `path` removes that, where the system has `flock`.

    Args:
        path: the file to make or replace. Its folder is created where it is missing.
        mode: the permissions that the file has from its first byte on, less the process's umask.

    Yields:
        The path to write to. It ends like `path`, so that writers who look at the ending are content.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with replacing(target) as partial:
        ...     _ = partial.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    partial, lock = _new_partial(path, mode)
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _new_partial(path: Path, mode: int) -> tuple[Path, int | None]:
    """Makes a file that nobody else has, and locks it for as long as this process lives."""
    while True:
        partial = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
        if fcntl is None:
            os.close(descriptor)
            return partial, None
        with suppress(OSError):  # a file system without locks: nobody can lock it, then, and remove it
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if partial.exists():
            return partial, descriptor
        os.close(descriptor)  # another process has locked and removed it in the moment before


def _remove_abandoned(path: Path) -> None:
    """Removes the partial files of `path` whose writers are dead: the lock on each went with its process."""
    if fcntl is None:
        return
    for entry in path.parent.iterdir():
        if re.fullmatch(rf"\.partial-[0-9a-f]{{8}}-{re.escape(path.name)}", entry.name):
            with suppress(OSError):  # somebody else's, just replaced, or locked: its writer is alive
                descriptor = os.open(entry, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    entry.unlink()
                finally:
                    os.close(descriptor)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` to `path` in one step, as UTF-8 with `\\n` line ends."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def read_json(path: str | os.PathLike) -> Any:
    """Reads what `write_text` wrote as JSON; a damaged file is a `ValueError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}). Remove it, or the folder that it is in") from error
