"""Known people in a folder that grows: vectors in a mapped file, names in a log; one writer, many readers."""

import difflib
import json
import logging
import os
import secrets
import threading
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.comparison import Cosine
from ..evaluation.search import top_scores
from .gallery import Gallery, k_photos
from .gallery_index import INDEXES, GalleryIndex, make_index, read_index

LOG = "people.log"
_FORMAT = 1
_ROWS_A_COPY = 2**16

_logger = logging.getLogger(__name__)


class GalleryInUse(ValueError):
    """Another process is writing to the same gallery."""


@dataclass(frozen=True, eq=False)
class GalleryView:
    """What a `StoredGallery` held at one moment; `len` is the number of photos.

    Args:
        model: SHA-256 of the model that the vectors were made with.
        embeddings: `(rows, d)` float32, mapped; those of people who were removed are among them.
        people: names by number.
        owners: the number of each row's person, `(rows,)` int32; -1 where the person was removed.
        index: proposes the photos that are scored; `None` scores all.
    """

    model: str
    embeddings: np.ndarray = field(repr=False)
    people: list[str] = field(repr=False)
    owners: np.ndarray = field(repr=False)
    index: GalleryIndex | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return int(self._counts.sum())

    @property
    def n_people(self) -> int:
        """How many people it holds."""
        return int(np.count_nonzero(self._counts))

    @cached_property
    def _gone(self) -> np.ndarray:
        return self.owners < 0

    @cached_property
    def _counts(self) -> np.ndarray:
        """How many photos each person has, by number."""
        return np.bincount(self.owners[~self._gone], minlength=len(self.people))

    def counts(self) -> dict[str, int]:
        """Returns how many photos each person has, by name, in the order in which they first came."""
        pairs = zip(self.people, self._counts.tolist(), strict=True)
        return {name: count for name, count in pairs if count}

    def nearest(self, comparison: Any, embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Gallery.nearest`."""
        count = k_photos(k, self._counts)
        if self.index is not None:
            if not isinstance(comparison, Cosine):
                raise ValueError(
                    "`index` must be None for a verifier that does not compare by cosines. Received one "
                    f"that compares by {type(comparison).__name__}"
                )
            found = self._proposed(self.index, comparison, embeddings, count)
            if found is not None:
                return found
        scores, where = self._exact(comparison, embeddings, count, 0)
        return self._names(where), scores

    def _names(self, where: np.ndarray) -> np.ndarray:
        return np.array([[self.people[owner] for owner in row] for row in self.owners[where].tolist()])

    def _exact(self, comparison: Any, embeddings: np.ndarray, count: int, start: int) -> tuple:
        """The top scores among the rows from `start` on, and the rows."""
        gone, some_gone = self._gone[start:], len(self) < len(self.owners)

        def blocks():
            for row, column, scores in comparison.blocks(embeddings, self.embeddings[start:]):
                if some_gone:
                    scores[:, gone[column : column + scores.shape[1]]] = np.finfo(np.float32).min
                yield row, column, scores

        scores, where = top_scores(blocks(), len(embeddings), count)
        return scores, where + start

    def _proposed(self, index: GalleryIndex, comparison: Any, embeddings: np.ndarray, count: int) -> Any:
        """The top scores among what the index proposes and what came later; `None` where it has too few."""
        proposed = index.proposed(embeddings, count)
        gone = self._gone[proposed]
        if (~gone).sum(axis=1).min() < count:
            return None
        queries = np.repeat(embeddings, proposed.shape[1], axis=0)
        scores = comparison.pairs(queries, self.embeddings[proposed.ravel()]).reshape(proposed.shape)
        scores[gone] = np.finfo(np.float32).min
        later = int(np.count_nonzero(~self._gone[index.rows :]))
        if later:
            new_scores, new = self._exact(comparison, embeddings, min(count, later), index.rows)
            scores, proposed = np.hstack([scores, new_scores]), np.hstack([proposed, new])
        first = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        where = np.take_along_axis(proposed, first, axis=1)
        return self._names(where), np.take_along_axis(scores, first, axis=1)


@dataclass(frozen=True, eq=False)
class _State:
    """A view, and how far the log has been read for it."""

    view: GalleryView
    header: bytes
    vectors: Path
    end: int  # bytes of the log
    checksum: int  # of all lines so far
    numbers: dict[str, int]


class StoredGallery:
    """A gallery in a folder, to which people are added and from which they are removed; `create` makes it.

    `add`, `remove` and `compact` return once their change is on the disk: whatever happens to the process
    afterwards, it stays. A change is there whole or not at all. One process at a time writes; any number may
    read meanwhile, and each call of `Verifier.identify` sees what was stored before it.

    The vectors are mapped into memory and not copied; they are checked against checksums when they are first
    read. Let nothing but these methods change the folder: a process that searches a file which somebody cuts
    short meanwhile is ended by the system. Embeddings are biometric data: only their owner may read the
    files, where the system knows owners. `remove` hides a person at once; `compact` also erases their
    vectors.

    Names are kept in Unicode's composed form (NFC): the two ways to write `é` are one name.

    Args:
        folder: what `create` made.
        index: `None` searches exactly; `"usearch"` (extra `index`) by what `make_index` made, for millions of
            photos. It proposes photos, whose scores are exact; it may miss the nearest. Photos that were
            added after it are searched exactly.

    Raises:
        FileNotFoundError: if it holds no gallery, or not the index.
        ValueError: if gallery or index is damaged, of another version, or `index` is unknown.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp() + "/door"
        >>> stored = StoredGallery.create(folder, Gallery(np.array(["Ada"]), np.ones((1, 4)), "0" * 64))
        >>> stored.add(Gallery(np.array(["Bo", "Ada"]), np.zeros((2, 4)), "0" * 64))
        >>> StoredGallery(folder).view().counts()
        {'Ada': 2, 'Bo': 1}
        >>> stored.remove("Ada")
        >>> len(StoredGallery(folder).view())
        1
    """

    def __init__(self, folder: str | os.PathLike, *, index: str | None = None):
        if index is not None and index not in INDEXES:
            raise ValueError(f"`index` must be None or one of {INDEXES}. Received: index={index!r}")
        self.folder = Path(folder)
        self._index: GalleryIndex | None = None
        self._shown: tuple[_State, GalleryView] | None = None  # the last view, which knows its counts
        self._turn = threading.Lock()
        self._seen: tuple | None = None
        self._state: _State | None = None
        state = self._refresh()
        if index is not None:
            self._index = read_index(self.folder, state.vectors.name)

    @classmethod
    def create(cls, folder: str | os.PathLike, gallery: Gallery) -> "StoredGallery":
        """Makes a gallery that grows of one in memory.

        Args:
            folder: a new one, or an empty one.
            gallery: the first people; see `Verifier.gallery`.

        Raises:
            ValueError: if the folder holds anything, or a name is empty.
        """
        folder = Path(folder)
        if folder.exists() and not (folder.is_dir() and all(map(_of_a_killed_call, folder.iterdir()))):
            raise ValueError(f"`folder` must be a new folder, or an empty one. Received: {folder}")
        people, rows = _by_person(gallery)
        with _alone_in(folder):
            if (folder / LOG).exists():
                raise ValueError(f"{folder} is a gallery already. Open it: `StoredGallery(folder)`")
            _write_whole(folder, gallery.model, gallery.embeddings, people, rows)
        return cls(folder)

    def view(self) -> GalleryView:
        """Returns what is stored now.

        Raises:
            ValueError: if that is nobody, or the gallery is damaged.
        """
        state = self._refresh()
        if not len(state.view):
            raise ValueError(f"{self.folder} holds nobody: all were removed. Add people")
        if self._index is not None and self._index.vectors != state.vectors.name:
            _logger.warning("%s was compacted: its index is out of use, the search is exact", self.folder)
            self._index = None
            self._shown = None
        if self._shown is None or self._shown[0] is not state:
            self._shown = state, replace(state.view, index=self._index)
        return self._shown[1]

    def add(self, gallery: Gallery) -> None:
        """Adds photos. A name that is there already gets further photos.

        Args:
            gallery: whom to add, made with the same model; see `Verifier.gallery`.

        Raises:
            GalleryInUse: if another process is writing.
            ValueError: if `gallery` is of another model, or a name is empty.
        """
        people, rows = _by_person(gallery)
        with self._writing() as state:
            size = state.view.embeddings.shape[1]
            if (gallery.model, gallery.embeddings.shape[1]) != (state.view.model, size):
                raise ValueError(
                    f"`gallery` must be of the model that {self.folder} was made with, SHA-256 "
                    f"{state.view.model[:12]}, {size} numbers a photo. Received: one of "
                    f"{gallery.model[:12]}, {gallery.embeddings.shape[1]} numbers. Make it with "
                    "that verifier, or make a new folder"
                )
            with state.vectors.open("r+b") as file:
                file.seek(len(state.view.owners) * size * 4)  # what a killed process left is written over
                checksum = _write_rows(file, gallery.embeddings, rows)
            self._append(state, {"add": people, "crc32": checksum})

    def remove(self, names: str | Sequence[str]) -> None:
        """Removes people, with all their photos; either all of them or, with an error, none.

        Raises:
            GalleryInUse: if another process is writing.
            ValueError: if a name is not in the gallery.
        """
        names = [_normal(name) for name in ([names] if isinstance(names, str) else names)]
        with self._writing() as state:
            known = state.view.counts()
            for name in names:
                if name not in known:
                    near = difflib.get_close_matches(name, known, n=3)
                    raise ValueError(
                        f"`names` must be of people in {self.folder}. Received: {name!r}"
                        + (
                            f". Did you mean {' or '.join(map(repr, near))}?"
                            if near
                            else ", and none is near"
                        )
                    )
            if names:
                self._append(state, {"remove": sorted(set(names))})

    def compact(self) -> None:
        """Writes the folder anew, without the vectors of people who were removed.

        Whoever reads meanwhile goes on with the file that they have, until their next call.

        Raises:
            GalleryInUse: if another process is writing.
        """
        with self._writing() as state:
            view = state.view
            rows = np.argsort(view.owners, kind="stable")[np.count_nonzero(view.owners < 0) :]
            people = [[view.people[i], n] for i, n in zip(*_counted(view.owners[rows]), strict=True)]
            _write_whole(self.folder, view.model, view.embeddings, people, rows)
        self._refresh()

    def make_index(self) -> float:
        """Makes the index that `index="usearch"` searches by.

        Returns:
            Its recall at 1: of 1,000 photos, themselves left out, the share whose nearest it finds.

        Raises:
            GalleryInUse: if another process is writing.
            ImportError: if usearch is not installed.
            ValueError: if the vectors are not of length 1.
        """
        with self._writing() as state:
            return make_index(self.folder, state.vectors.name, state.view.embeddings, state.view.owners)

    @contextmanager
    def _writing(self) -> Iterator[_State]:
        with _alone_in(self.folder):
            state = self._refresh()
            for left in self.folder.glob("vectors-*.f32"):  # by a `create` or `compact` that was killed
                if left != state.vectors:
                    with suppress(OSError):  # Windows keeps a file that is open
                        left.unlink()
            yield state

    def _append(self, state: _State, record: dict) -> None:
        with (self.folder / LOG).open("r+b") as file:
            torn = file.seek(0, os.SEEK_END) - state.end
            if torn:
                _logger.warning("%s: cut off %d bytes that a killed process left", self.folder / LOG, torn)
                file.truncate(state.end)
            file.seek(state.end)
            file.write(_line(record, state.checksum)[0])
            file.flush()
            os.fsync(file.fileno())
        self._refresh()

    def _refresh(self) -> _State:
        """Reads what has come since the last time."""
        with self._turn:
            for _ in range(2):
                # A writer may have cut off a torn end, or put another file in place, in between.
                with suppress(ValueError, OSError):
                    return self._latest()
                self._state = None
            return self._latest()

    def _latest(self) -> _State:
        log = self.folder / LOG
        if not log.is_file():
            raise FileNotFoundError(
                f"{self.folder} is no gallery (it has no {LOG}). Make one with `StoredGallery.create`, or "
                "with `siamese-nn gallery add`"
            )
        stat = log.stat()
        seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if self._state is None or seen != self._seen:
            self._state, self._seen = self._read(log), seen
        return self._state

    def _read(self, log: Path) -> _State:
        with log.open("rb") as file:
            header = file.readline()
            state = self._state
            if state is None or header != state.header or log.stat().st_size < state.end:
                state = self._begin(header)
            file.seek(state.end)
            lines = file.read().split(b"\n")[:-1]  # after the last line end: nothing, or what is half written
        people, numbers, checks = list(state.view.people), dict(state.numbers), []
        owners = [state.view.owners]
        rows, end, checksum = len(state.view.owners), state.end, state.checksum
        for line in lines:
            record, checksum = self._record(line, checksum)
            end += len(line) + 1
            try:
                if "remove" in record:
                    gone = [numbers[name] for name in record["remove"]]
                    together = np.concatenate(owners)
                    owners = [np.where(np.isin(together, gone), np.int32(-1), together)]
                    continue
                counts = [int(count) for _, count in record["add"]]
                for name, _ in record["add"]:
                    if name not in numbers:
                        numbers[name] = len(people)
                        people.append(name)
                who = np.array([numbers[name] for name, _ in record["add"]], np.int32)
                owners.append(np.repeat(who, counts))
                checks.append((rows, rows + sum(counts), record["crc32"]))
                rows += sum(counts)
            except (KeyError, TypeError, ValueError, MemoryError) as error:
                raise self._damaged(LOG, f"line {line[:40]!r} says what it may not") from error
        size = state.view.embeddings.shape[1]
        if state.vectors.stat().st_size < rows * size * 4:
            raise self._damaged(state.vectors.name, f"it is cut short, and should hold {rows} rows")
        vectors = (
            np.memmap(state.vectors, "<f4", "r", shape=(rows, size)) if rows else np.empty((0, size), "<f4")
        )
        for start, stop, expected in checks:
            if zlib.crc32(vectors[start:stop].data) != expected:
                raise self._damaged(state.vectors.name, f"rows {start} to {stop - 1} have changed")
        view = GalleryView(state.view.model, vectors.view(np.ndarray), people, np.concatenate(owners))
        return replace(state, view=view, end=end, checksum=checksum, numbers=numbers)

    def _begin(self, line: bytes) -> _State:
        record, checksum = self._record(line.removesuffix(b"\n"), 0)
        try:
            if record["format"] != _FORMAT:
                raise ValueError(
                    f"{self.folder} has format {record['format']}, and this version reads {_FORMAT}. Make it "
                    "anew"
                )
            view = GalleryView(
                record["model"], np.empty((0, record["size"]), "<f4"), [], np.empty(0, np.int32)
            )
            vectors = self.folder / f"vectors-{record['id']}.f32"
        except (KeyError, TypeError) as error:
            raise self._damaged(LOG, "its first line says what it may not") from error
        return _State(view, line, vectors, len(line), checksum, {})

    def _record(self, line: bytes, checksum: int) -> tuple[Any, int]:
        checksum = zlib.crc32(line[9:], checksum)
        if line[:9] != b"%08x " % checksum:
            raise self._damaged(LOG, f"the line that begins with {line[:40]!r} has changed")
        return json.loads(line[9:]), checksum

    def _damaged(self, file: str, what: str) -> ValueError:
        return ValueError(
            f"{self.folder / file} is damaged ({what}). Take the folder from a copy, or make it anew"
        )


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    from ..files import locked  # readers need no lock, nor the package for it

    busy = f"Another process is writing to {folder}. Try again when it is done"
    with locked(folder / ".lock", GalleryInUse(busy)):
        yield


def _of_a_killed_call(path: Path) -> bool:
    return path.name == ".lock" or path.name.startswith((".partial-", "vectors-"))


def _normal(name: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"A name must be a text of letters. Received: {name!r}")
    return unicodedata.normalize("NFC", name)


def _by_person(gallery: Gallery) -> tuple[list[list], np.ndarray]:
    """Returns people with the number of their photos, and the rows in their order."""
    if not isinstance(gallery, Gallery):
        raise ValueError(
            "`gallery` must be a gallery: make it with `verifier.gallery(people)`. "
            f"Received: {type(gallery).__name__}"
        )
    own: dict[str, list[int]] = {}
    for row, name in enumerate(gallery.names.tolist()):
        own.setdefault(_normal(name), []).append(row)
    return [[name, len(rows)] for name, rows in own.items()], np.concatenate(list(own.values()))


def _counted(owners: np.ndarray) -> tuple[list[int], list[int]]:
    numbers, counts = np.unique(owners, return_counts=True)
    return numbers.tolist(), counts.tolist()


def _line(record: dict, checksum: int) -> tuple[bytes, int]:
    """Returns the line of a record, which begins with the checksum of all lines up to it."""
    text = json.dumps(record).encode("ascii")
    checksum = zlib.crc32(text, checksum)
    return b"%08x %s\n" % (checksum, text), checksum


def _write_rows(file: Any, vectors: np.ndarray, rows: np.ndarray) -> int:
    checksum = 0
    for start in range(0, len(rows), _ROWS_A_COPY):
        part = np.ascontiguousarray(vectors[rows[start : start + _ROWS_A_COPY]], "<f4")
        checksum = zlib.crc32(part.data, checksum)
        file.write(part)
    file.flush()
    os.fsync(file.fileno())
    return checksum


def _write_whole(folder: Path, model: str, vectors: np.ndarray, people: Iterable, rows: np.ndarray) -> None:
    """Writes vectors into a new file, and then the log that names it, in place of an older one."""
    from ..files import replacing

    name = secrets.token_hex(8)
    path = folder / f"vectors-{name}.f32"
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        checksum = _write_rows(file, vectors, rows)
    header = {"format": _FORMAT, "id": name, "model": model, "size": vectors.shape[1]}
    first, chained = _line(header, 0)
    with replacing(folder / LOG, mode=0o600) as partial:
        partial.write_bytes(first + _line({"add": list(people), "crc32": checksum}, chained)[0])
    if os.name == "posix":  # the names of the two files, too, must outlive a power cut
        entry = os.open(folder, os.O_RDONLY)
        os.fsync(entry)
        os.close(entry)
    for left in folder.glob("vectors-*.f32"):
        if left != path:
            with suppress(OSError):  # Windows keeps a file that is open
                left.unlink()
