"""Files that are whole or absent: a killed process leaves the old one or the new one, never half of one."""

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
    fcntl = None  # type: ignore[assignment]  # mypy knows a module by its name alone

# What a spreadsheet takes for a formula, and what has got an apostrophe (or more) that such a text has not.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


@contextmanager
def replacing(path: str | os.PathLike, *, mode: int = 0o666) -> Iterator[Path]:
    """Gives a new, empty file, which takes the place of `path` once the block has ended without an error.

    Each writer has a file of its own, so that of several the last one wins, and readers see one whole content
    or the other. The file is written through to the disk before it takes its place. What a killed process
    left half written never takes it; the next writer of `path` removes that, where the system has `flock`.

    Args:
        path: the file to make or replace. Its folder is created where it is missing.
        mode: the permissions that the file has from its first byte on, less the process's umask.

    Yields:
        The path to write to: a file of the same name, in a hidden folder beside `path`.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with replacing(target) as partial:
        ...     _ = partial.write_text("whole")
        >>> target.read_text()
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
    """Makes a folder that nobody else has, and locks it for as long as this process lives.

    The lock is on the folder, for HDF5 puts one of its own on the file that it writes.
    """
    while True:
        folder = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
        folder.mkdir(mode=0o700)
        if fcntl is None:
            return folder, None
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks: nobody can lock it, then, and remove it
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)  # another process has locked and removed it in the moment before


def _remove_abandoned(path: Path) -> None:
    """Removes the partial files of `path` whose writers are dead: the lock on each went with its process."""
    if fcntl is None:
        return
    for entry in path.parent.iterdir():
        if re.fullmatch(rf"\.partial-[0-9a-f]{{8}}-{re.escape(path.name)}", entry.name):
            with suppress(OSError):  # no folder, just removed, or locked: its writer is alive
                lock = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(entry)
                finally:
                    os.close(lock)


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Gives a new folder, which takes the place of `folder` once the block has ended without an error.

    `folder` is missing or empty. Each writer has a folder of its own; of several the first one wins, and the
    others are refused. After an error nothing is left. What a killed process left is removed by the next
    call, where the system has `flock`.
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
    """Renames a folder to one that is missing or empty."""
    try:
        if folder.exists():
            folder.rmdir()  # not every system renames onto an empty folder
        partial.rename(folder)
    except OSError as error:
        raise OSError(
            f"{folder} can't be replaced ({error.strerror}): it is in use, or another process has filled it "
            "meanwhile. Name a new folder"
        ) from error


@contextmanager
def locked(lock_file: Path, busy: Exception) -> Iterator[None]:
    """Keeps other processes out while the block runs; `busy` is raised where one is in already.

    The lock goes with the process, however it ends. The file stays, for to remove it would let two in.
    """
    from filelock import FileLock, Timeout

    _make_folder(lock_file.parent)
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError) as error:
        raise busy from error
    try:
        if not lock_file.exists():  # removed with its folder, by the process that had the lock a moment ago
            raise busy
        yield
    finally:
        lock.release()


def write_text(path: str | os.PathLike, text: str) -> None:
    r"""Writes `text` to `path` in one step, as UTF-8 with `\n` line ends."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    r"""Writes a table as CSV in which no spreadsheet takes a cell for a formula; `read_csv` gives it back.

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
    """Reads what `csv_text` wrote: the rows, all cells as texts."""
    rows = csv.reader(io.StringIO(text, newline=""))
    return [[cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell for cell in row] for row in rows]


def read_json(path: str | os.PathLike) -> Any:
    """Reads what `write_text` wrote as JSON; a damaged file is a `ValueError` that names it."""
    if not stat.S_ISREG(Path(path).stat().st_mode):  # to open a pipe would wait for its writer
        raise ValueError(f"{path} must be a file. Received: a folder, a pipe or the like. Remove it")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}). Remove it, or the folder that it is in") from error


def digest(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits; what is no file is a `ValueError`."""
    if not os.path.isfile(path):  # to open a pipe would wait for its writer
        raise ValueError(f"{path} must be a file. Received: a folder, a pipe or the like. Remove it")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
