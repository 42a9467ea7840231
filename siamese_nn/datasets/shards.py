"""Shards: many photos in one file, each found by its name and read on its own. `write_shards` makes them."""

import os
from bisect import bisect_right
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..files import digest, read_json
from .photo_format import ImageError

NOTE = "shards.json"  # what makes a folder one of shards; the last file to be finished
FRAME = "frame.json"  # where the faces lie
VERSION = 1


class StoredPhoto(NamedTuple):
    """Where the file of a photo lies in a shard, and what it must be."""

    shard: Path
    offset: int
    size: int  # bytes
    height: int  # pixels, as it is seen
    width: int
    sha256: str

    def read(self) -> bytes:
        """Reads the photo's file.

        Raises:
            ImageError: if it has changed since it was written.
            OSError: if the shard cannot be read.
        """
        with open(self.shard, "rb", buffering=0) as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if sha256(content).hexdigest() != self.sha256:
            raise ImageError(f"{self.shard} is damaged at byte {self.offset}. {_remedy(self.shard.parent)}")
        return content


class _Shard:
    """A shard's index: its photos in the order of their names, which are UTF-8 bytes."""

    def __init__(self, folder: Path, note: dict[str, Any]):
        self.file, index = (folder / note[kind] for kind in ("file", "index"))
        try:
            content, size = index.read_bytes(), self.file.stat().st_size
        except OSError as error:
            raise ImageError(
                f"{error.filename} cannot be read ({error.strerror}). {_remedy(folder)}"
            ) from error
        for file, same in (
            (index, sha256(content).hexdigest() == note["index_sha256"]),
            (self.file, size == note["bytes"]),
        ):
            if not same:
                raise ImageError(f"{file} is damaged: it is not what was written. {_remedy(folder)}")
        rows = np.load(BytesIO(content), allow_pickle=False)
        self.columns = {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names}
        self.names = self.columns["name"]

    def find(self, name: bytes) -> StoredPhoto | None:
        row = int(self.names.searchsorted(name)) if len(name) <= self.names.itemsize else len(self.names)
        if row == len(self.names) or self.names[row] != name:
            return None
        offset, size, height, width = (
            int(self.columns[column][row]) for column in ("offset", "size", "height", "width")
        )
        return StoredPhoto(
            self.file, offset, size, height, width, self.columns["sha256"][row].tobytes().hex()
        )


def _remedy(folder: Path) -> str:
    return (
        f"Copy {folder} anew; or `siamese-nn shards SOURCE {folder}`, as before, writes anew what is damaged"
    )


def is_shards(folder: str | os.PathLike) -> bool:
    """Whether a folder is one of shards, whole or not."""
    return os.path.isfile(os.path.join(folder, NOTE))


def read_shards(folder: str | os.PathLike) -> dict[str, list[str]]:
    """Lists the photos in a folder of shards, person by person, as `photos_by_identity` lists a folder's.

    A photo is called as if the folder held a folder for each person. All that takes a photo's path takes
    this name: `load_image`, the datasets, a training, a verifier. The photo is read from its shard then, and
    found to be the one that was written. The indexes of all shards lie in memory, some 100 bytes a photo.

    Args:
        folder: what `write_shards` has made.

    Returns:
        For each person, in alphabetical order, the names of their photos in alphabetical order.

    Raises:
        FileNotFoundError: if `folder` is none of shards.
        ImageError: if it was not finished, or a file of it is missing, cut off or changed; it is named.

    Example:
        >>> from siamese_nn import datasets
        >>> datasets.write_shards("faces/lfw2", "shards")
        {'people': 64, 'photos': 256, 'shards': 1}
        >>> people = read_shards("shards")
        >>> datasets.load_image(min(people.values())[0], image_size=(64, 64)).shape
        (64, 64, 1)
    """
    if not is_shards(folder):
        raise FileNotFoundError(
            f"{folder} must be a folder of shards, which `siamese-nn shards SOURCE {folder}` makes. Received "
            f"one without {NOTE}"
        )
    prefix = os.path.join(os.fspath(folder), "")
    people: dict[str, list[str]] = {}
    for shard in open_shards(folder):
        for name in shard.names.tolist():
            person, _, photo = name.decode().partition("/")
            people.setdefault(person, []).append(f"{prefix}{person}{os.sep}{photo}")
    return dict(sorted(people.items()))


def find_in_shards(path: str | os.PathLike) -> StoredPhoto | None:
    """Finds the photo in a shard that a path names; `None` of a file, and of what is nowhere.

    Raises:
        ImageError: if the folder of shards that it should be in is not finished or damaged.
    """
    if os.path.isfile(path):
        return None
    person_folder, photo = os.path.split(os.fspath(path))
    folder, person = os.path.split(person_folder)
    if not is_shards(folder):
        return None
    shards = open_shards(folder)
    name = f"{person}/{photo}".encode(errors="replace")
    number = bisect_right(shards, name, key=lambda shard: shard.names[0]) - 1
    return shards[number].find(name) if number >= 0 else None


def open_shards(folder: str | os.PathLike) -> list[_Shard]:
    """Reads the indexes of a folder of shards, once; raises `ImageError` if it is damaged or not finished."""
    path = os.path.abspath(folder)
    facts = os.stat(os.path.join(path, NOTE))
    version = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
    known = _opened.get(path)
    if known is None or known[0] != version:
        known = _opened[path] = (version, _read(Path(path)))
    return known[1]


# Of each folder the latest; a limit to their number would read an index anew for each photo beyond it.
_opened: dict[str, tuple[tuple[int, int, int], list[_Shard]]] = {}


def _read(folder: Path) -> list[_Shard]:
    try:
        note = read_json(folder / NOTE)
        if note["version"] != VERSION:
            raise ValueError(f"of version {note['version']}, not {VERSION}")
        if not note["finished"]:
            raise ImageError(
                f"{folder} is not finished: the command that wrote it was cut off, or has named damaged "
                f"photos. The same command goes on: `siamese-nn shards SOURCE {folder}`"
            )
        frame = folder / FRAME
        if "frame" in note and note["frame"] != (digest(frame) if frame.is_file() else None):
            raise ImageError(f"{frame} is damaged: it is not what was written. {_remedy(folder)}")
        return [_Shard(folder, own) for own in note["shards"]]
    except ImageError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise ImageError(
            f"{folder / NOTE} is damaged ({error.__cause__ or error}). {_remedy(folder)}"
        ) from error
