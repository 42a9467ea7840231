"""The files of a gallery that grows: a log of names with a head, and the vectors that it tells of.

The log's first line is its head: how many bytes of the log count, and their checksum. A change writes its
vectors first, then its line, and last the head, each through to the disk. So a log that ends before its head
says is damaged, and what lies behind that is of a process that was killed: it counts for nothing.
"""

import json
import logging
import os
import secrets
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .gallery_view import GalleryView

LOG = "people.log"
_HEAD = len(b"01234567 012345678901 01234567\n")
_ROWS_A_COPY = 2**16

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class State:
    """What the files hold, and how far the log has been read for it."""

    view: GalleryView
    head: bytes
    header: bytes  # the line below it
    vectors: Path
    end: int  # bytes of the log
    checksum: int  # of them, behind the head
    numbers: dict[str, int]  # of those who are in the gallery


def read(folder: Path, known: State | None) -> State:
    """Reads what has come since `known`, or all; only the head where nothing has."""
    if not (folder / LOG).is_file():
        raise FileNotFoundError(
            f"{folder} is no gallery (it has no {LOG}). Make one with `StoredGallery.create`, or with "
            "`siamese-nn gallery add`"
        )
    with (folder / LOG).open("rb") as file:
        head = file.read(_HEAD)
        if known is not None and head == known.head:
            return known
        if head[9:10] == b"{":
            raise ValueError(
                f"{folder} has format 1, and this version reads 2. Make it anew, in a new folder, with "
                "`siamese-nn gallery add`"
            )
        fields = head[9:-1].split(b" ")
        if len(fields) != 2 or head != _head(*fields):
            raise damaged(folder / LOG, "its first line has changed")
        end, checksum = int(fields[0]), int(fields[1], 16)
        if known is not None and (file.readline() != known.header + b"\n" or end < known.end):
            known = None
        start, chained = (known.end, known.checksum) if known else (_HEAD, 0)
        file.seek(start)
        text = file.read(end - start)
    if len(text) != end - start:
        raise damaged(folder / LOG, f"it is cut short, and should have {end} bytes")
    if zlib.crc32(text, chained) != checksum:
        raise damaged(folder / LOG, "it has changed")
    lines = text.splitlines()
    try:
        if known is None:
            header = json.loads(lines[0])
            view = GalleryView(
                header["model"], np.empty((0, header["size"]), "<f4"), [], np.empty(0, np.int32)
            )
            known = State(view, b"", lines.pop(0), folder / f"vectors-{header['id']}.f32", 0, 0, {})
        people, numbers, owners, checks = _changed(known, lines)
    except (IndexError, KeyError, TypeError, ValueError, MemoryError) as error:
        raise damaged(folder / LOG, "it says what it may not") from error
    vectors = _mapped(known.vectors, len(owners), known.view.embeddings.shape[1], checks)
    view = GalleryView(known.view.model, vectors, people, owners)
    return State(view, head, known.header, known.vectors, end, checksum, numbers)


def _changed(state: State, lines: list[bytes]) -> tuple[list[str], dict[str, int], np.ndarray, list[tuple]]:
    """What these lines make of the people: names, numbers, owners; and checksums of the rows that came."""
    people, numbers, gone = list(state.view.people), dict(state.numbers), []
    owners, rows, checks = [state.view.owners], len(state.view.owners), []
    for line in lines:
        record = json.loads(line)
        gone += [numbers.pop(name) for name in record.get("remove", ())]
        if "add" in record:
            for name, _ in record["add"]:
                if name not in numbers:  # who comes back has a new number
                    numbers[name] = len(people)
                    people.append(name)
            who = np.array([numbers[name] for name, _ in record["add"]], np.int32)
            owners.append(np.repeat(who, [count for _, count in record["add"]]))
            checks.append((rows, rows + len(owners[-1]), record["crc32"]))
            rows += len(owners[-1])
    together = np.concatenate(owners)
    if gone:
        together[np.isin(together, gone)] = -1
    return people, numbers, together, checks


def _mapped(file: Path, rows: int, size: int, checks: list[tuple]) -> np.ndarray:
    if not file.is_file():
        raise damaged(file, "it is missing")
    if file.stat().st_size < rows * size * 4:
        raise damaged(file, f"it is cut short, and should hold {rows} rows")
    vectors = np.memmap(file, "<f4", "r", shape=(rows, size)) if rows else np.empty((0, size), "<f4")
    for start, stop, expected in checks:
        if zlib.crc32(vectors[start:stop].data) != expected:
            raise damaged(file, f"rows {start} to {stop - 1} have changed")
    return vectors.view(np.ndarray)


def damaged(file: Path, what: str) -> ValueError:
    """The refusal of a file that is not as it was written."""
    return ValueError(f"{file} is damaged ({what}). Take the folder from a copy, or make it anew")


def add_rows(state: State, vectors: np.ndarray, rows: np.ndarray) -> int:
    """Writes rows of vectors behind those that count, and returns their checksum."""
    with state.vectors.open("r+b") as file:
        file.seek(state.view.embeddings.nbytes)  # what a killed process left is written over
        return _write_rows(file, vectors, rows)


def append(folder: Path, state: State, record: dict[str, Any]) -> None:
    """Writes one change to the log, and then its head."""
    line = _line(record)
    with (folder / LOG).open("r+b") as file:
        if left := file.seek(0, os.SEEK_END) - state.end:
            _logger.warning("%s: cut off %d bytes that a killed process left", folder / LOG, left)
            file.truncate(state.end)
        file.seek(state.end)
        file.write(line)
        _sync(file)
        file.seek(0)
        file.write(_head(b"%012d" % (state.end + len(line)), b"%08x" % zlib.crc32(line, state.checksum)))
        _sync(file)


def write(
    folder: Path, model: str, vectors: np.ndarray, people: Sequence[Sequence], rows: np.ndarray
) -> None:
    """Writes vectors into a new file, and then the log that names it, in place of an older one."""
    from ..files import replacing

    name = secrets.token_hex(8)
    path = folder / f"vectors-{name}.f32"
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        try:
            checksum = _write_rows(file, vectors, rows)
        except OSError:  # a full disk should not be fuller for it
            path.unlink()
            raise
    text = _line({"format": 2, "id": name, "model": model, "size": vectors.shape[1]})
    text += _line({"add": people, "crc32": checksum})
    head = _head(b"%012d" % (_HEAD + len(text)), b"%08x" % zlib.crc32(text))
    with replacing(folder / LOG, mode=0o600) as partial:
        partial.write_bytes(head + text)
    if os.name == "posix":  # the names of the two files, too, must outlive a power cut
        entry = os.open(folder, os.O_RDONLY)
        os.fsync(entry)
        os.close(entry)
    remove_left(folder, path)


def remove_left(folder: Path, vectors: Path) -> None:
    """Removes all files of vectors but one."""
    for left in folder.glob("vectors-*.f32"):
        if left != vectors:
            with suppress(OSError):  # Windows keeps a file that is open
                left.unlink()


def _head(end: bytes, checksum: bytes) -> bytes:
    """The first line of a log; it begins with its own checksum, and is always of one length."""
    text = end + b" " + checksum
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode("ascii") + b"\n"


def _write_rows(file: BinaryIO, vectors: np.ndarray, rows: np.ndarray) -> int:
    checksum = 0
    for start in range(0, len(rows), _ROWS_A_COPY):
        part = np.ascontiguousarray(vectors[rows[start : start + _ROWS_A_COPY]], "<f4")
        checksum = zlib.crc32(part.data, checksum)
        file.write(part.data)
    _sync(file)
    return checksum


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
