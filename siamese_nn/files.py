"""Writes files whole or not at all: a killed process leaves the old file or the new one."""

import csv
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, which lets nobody rename an open file
    fcntl = None  # type: ignore[assignment]  # mypy takes the name for the module

# A text that a spreadsheet takes for a formula, perhaps with apostrophes before it.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


@contextmanager
def replacing(path: str | os.PathLike, *, mode: int = 0o666) -> Iterator[Path]:
    """Gives a new, empty file, which replaces `path` when the block ends without an error.

    Each writer has its own file, so that the last of several writers wins, and readers see one whole file or
    the other. The file is flushed to the disk before it replaces `path`. A half-written file of a killed
    process never does; the next writer of `path` removes it, if the system has `flock`.

    Args:
        path: the file to make or replace. Its folder is made if it is missing.
        mode: the permissions of the file from its first byte on, minus the process's umask.

    Yields:
        The path to write to: a file of the same name, in a hidden folder beside `path`.

    Example:
        >>> with replacing("notes.txt") as partial:
        ...     _ = partial.write_text("whole")
        >>> Path("notes.txt").read_text()
        'whole'
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} must be a file. Received: a folder. Give the name of a file in it")
    _make_folder(path.parent)
    _remove_abandoned(path)
    folder, lock = _own_folder(path)
    partial = folder / path.name
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(
            f"{folder} must be a folder. Received: a file, or a place in one. Choose another name"
        ) from error


def _own_folder(path: Path) -> tuple[Path, int | None]:
    """Makes a folder of its own, and locks it while this process lives.

    The lock is on the folder, since HDF5 puts its own lock on the file that it writes.
    """
    while True:
        folder = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
        folder.mkdir(mode=0o700)
        if fcntl is None:
            return folder, None
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks, where nobody else can lock and remove it
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)  # another process has just locked and removed it


def _remove_abandoned(path: Path) -> None:
    """Removes the partial files of `path` whose writers are dead: a lock ends with its process."""
    if fcntl is None:
        return
    for entry in path.parent.iterdir():
        if re.fullmatch(rf"\.partial-[0-9a-f]{{8}}-{re.escape(path.name)}", entry.name):
            with suppress(OSError):  # not a folder, just removed, or locked by a living writer
                lock = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(entry)
                finally:
                    os.close(lock)


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Gives a new folder, which replaces `folder` when the block ends without an error.

    `folder` must be missing or empty. Each writer has its own folder; the first of several writers wins, and
    the others get an error. After an error nothing is left. The next call removes what a killed process left,
    if the system has `flock`.
    """
    folder = Path(os.path.abspath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    own, lock = _own_folder(folder)
    partial = own / folder.name
    try:
        partial.mkdir()
        yield partial
        put_in_place(partial, folder)
    finally:
        shutil.rmtree(own, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def put_in_place(partial: Path, folder: Path) -> None:
    """Renames a folder to the name of a missing or empty one."""
    try:
        if folder.exists():
            folder.rmdir()  # some systems do not rename onto an empty folder
        partial.rename(folder)
    except OSError as error:
        raise OSError(
            f"{folder} can't be replaced ({error.strerror}): it is in use, or another process has filled it "
            "meanwhile. Name a new folder"
        ) from error


@contextmanager
def locked(lock_file: Path, busy: Exception) -> Iterator[None]:
    """Keeps other processes out while the block runs; raises `busy` if another process has the lock.

    The lock ends with the process in any case. The file stays, since removing it could let two processes in.
    """
    from filelock import FileLock, Timeout

    _make_folder(lock_file.parent)
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError) as error:
        raise busy from error
    try:
        if not lock_file.exists():  # the process that has just had the lock removed it with its folder
            raise busy
        yield
    finally:
        lock.release()


def write_text(path: str | os.PathLike, text: str) -> None:
    r"""Writes `text` to `path` in one step, as UTF-8 with `\n` line ends."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    r"""Writes a table as CSV in which no spreadsheet takes a cell for a formula; `read_csv` reads it.

    A text that begins with `=`, `+`, `-`, `@`, a tab or a carriage return gets an apostrophe before it.

    Example:
        >>> csv_text([["photo", "score"], ["=1+1/a.jpg", -0.5]])
        "photo,score\n'=1+1/a.jpg,-0.5\n"
        >>> read_csv(csv_text([["=1+1/a.jpg", "O'Hara", "'quoted'"]]))
        [['=1+1/a.jpg', "O'Hara", "'quoted'"]]
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for row in rows:
        table.writerow(
            [f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell for cell in row]
        )
    return text.getvalue()


def read_csv(text: str) -> list[list[str]]:
    """Reads the rows that `csv_text` wrote; all cells are texts."""
    rows = csv.reader(io.StringIO(text, newline=""))
    return [[cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell for cell in row] for row in rows]


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file; raises a `ValueError` that names the file if it is damaged."""
    if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a pipe would wait for its writer
        raise ValueError(f"{path} must be a file. Received: a folder, a pipe or the like. Remove it")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}). Remove it and give the command that wrote it again, or take it "
            "from a copy"
        ) from error


def digest(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits; raises a `ValueError` if it is not a file."""
    if not os.path.isfile(path):  # opening a pipe would wait for its writer
        raise ValueError(f"{path} must be a file. Received: a folder, a pipe or the like. Remove it")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
