"""Known people in a folder that grows: vectors in a mapped file, names in a log; one writer, many readers.

Example:
    >>> LOG  # the file that makes a folder a gallery
    'people.log'
"""

import difflib
import logging
import os
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import gallery_files
from .gallery import Gallery
from .gallery_files import LOG
from .gallery_index import INDEXES, GalleryIndex, make_index, read_index, remove_index
from .gallery_view import GalleryView

__all__ = ["LOG", "GalleryInUse", "GalleryView", "StoredGallery"]

_logger = logging.getLogger(__name__)


class GalleryInUse(ValueError):
    """Another process is writing to the same gallery.

    Example:
        >>> stored = StoredGallery.create("door", Gallery(np.array(["Ada"]), np.ones((1, 4)), "0" * 64))
        >>> with _alone_in(stored.folder):  # as another process that writes
        ...     stored.remove("Ada")
        Traceback (most recent call last):
        siamese_nn.verification.stored_gallery.GalleryInUse: ...
    """


class StoredGallery:
    """A gallery in a folder: people can be added and removed. `create` makes one.

    `add`, `remove` and `compact` return when their change is on the disk, and it stays whatever happens to
    the process then. A change is there whole or not at all. One process at a time writes, and any number may
    read meanwhile. Each call of `Verifier.identify` sees what was stored before it.

    The vectors are mapped into memory, not copied, and checked against checksums when they are first read.
    Let nothing but these methods change the folder: if somebody cuts a file short, the system ends a process
    that searches in it. Embeddings are biometric data: only their owner may read the files, if the system
    knows owners. `remove` hides a person at once; `compact` also erases their vectors.

    Names are kept in Unicode's composed form (NFC): the two ways to write `é` are one name.

    Args:
        folder: what `create` made.
        index: `None` searches exactly; `"faiss"` (extra `index`) by what `make_index` made, for millions of
            photos. It proposes photos, whose scores are exact; it may miss the nearest. Photos that were
            added after it are searched exactly.

    Raises:
        FileNotFoundError: if it holds no gallery, or not the index.
        ValueError: if gallery or index is damaged, of another version, or `index` is unknown.

    Example:
        >>> stored = StoredGallery.create("door", Gallery(np.array(["Ada"]), np.ones((1, 4)), "0" * 64))
        >>> stored.add(Gallery(np.array(["Bo", "Ada"]), np.zeros((2, 4)), "0" * 64))
        {'Bo': 1, 'Ada': 1}
        >>> StoredGallery("door").view().counts()
        {'Ada': 2, 'Bo': 1}
        >>> stored.remove("Ada")
        >>> len(StoredGallery("door").view())
        1
    """

    def __init__(self, folder: str | os.PathLike, *, index: str | None = None):
        if index is not None and index not in INDEXES:
            raise ValueError(f"`index` must be None or one of {INDEXES}. Received: index={index!r}")
        self.folder = Path(folder)
        self._index: GalleryIndex | None = None
        self._shown: tuple[gallery_files.State, GalleryView] | None = None  # which knows its counts
        self._turn = threading.Lock()
        self._state: gallery_files.State | None = None
        state = self._refresh()
        if index is not None:
            self._index = read_index(self.folder, state.vectors.name, len(state.view.owners))

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
            gallery_files.write(folder, gallery.model, gallery.embeddings, people, rows)
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

    def add(self, gallery: Gallery) -> dict[str, int]:
        """Adds photos. A name that is there already gets further photos.

        A photo that its person has already is left out: it has the same vector, up to rounding. So a call
        that was cut off may be made again.

        Args:
            gallery: whom to add, made with the same model; see `Verifier.gallery`.

        Returns:
            How many photos each person has got.

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
            fresh = _are_new(state, gallery)
            if not fresh.all():
                count, left_out = len(fresh), len(fresh) - np.count_nonzero(fresh)
                _logger.warning("%s has %d of these %d photos already", self.folder, left_out, count)
                if left_out == count:
                    return {}
                gallery = replace(gallery, names=gallery.names[fresh], embeddings=gallery.embeddings[fresh])
                people, rows = _by_person(gallery)
            checksum = gallery_files.add_rows(state, gallery.embeddings, rows)
            gallery_files.append(self.folder, state, {"add": people, "crc32": checksum})
        return dict(people)

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
                    hint = f". Did you mean {' or '.join(map(repr, near))}?" if near else ", and none is near"
                    raise ValueError(f"`names` must be of people in {self.folder}. Received: {name!r}{hint}")
            if names:
                gallery_files.append(self.folder, state, {"remove": sorted(set(names))})

    def compact(self) -> None:
        """Writes the folder anew, without the vectors of people who were removed, and without an index.

        Whoever reads meanwhile goes on with the file that they have, until their next call.

        Raises:
            GalleryInUse: if another process is writing.
        """
        with self._writing() as state:
            view = state.view
            rows = np.argsort(view.owners, kind="stable")[np.count_nonzero(view.owners < 0) :]
            numbers, counts = np.unique(view.owners[rows], return_counts=True)
            people = [[view.people[i], n] for i, n in zip(numbers.tolist(), counts.tolist(), strict=True)]
            gallery_files.write(self.folder, view.model, view.embeddings, people, rows)
            remove_index(self.folder)
        self._refresh()

    def make_index(self) -> float:
        """Makes the index that `index="faiss"` searches by.

        Returns:
            Its recall at 1: of 1,000 photos, themselves left out, the share whose nearest it finds.

        Raises:
            GalleryInUse: if another process is writing.
            ImportError: if faiss is not installed.
            ValueError: if nobody is stored, or the vectors are not of length 1.
        """
        with self._writing() as state:
            return make_index(self.folder, state.vectors.name, state.view.embeddings, state.view.owners)

    @contextmanager
    def _writing(self) -> Iterator[gallery_files.State]:
        with _alone_in(self.folder):
            state = self._refresh()
            gallery_files.remove_left(self.folder, state.vectors)  # by a `compact` that was killed
            yield state

    def _refresh(self) -> gallery_files.State:
        """Reads what has come since the last time."""
        with self._turn:
            for _ in range(2):
                with suppress(ValueError, OSError):  # a writer may put other files in place in between
                    self._state = gallery_files.read(self.folder, self._state)
                    return self._state
                self._state = None
            self._state = gallery_files.read(self.folder, None)
            return self._state


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    from ..files import locked  # readers need no lock, nor the package for it

    busy = f"Another process is writing to {folder}. Try again when it is done"
    try:
        with locked(folder / ".lock", GalleryInUse(busy)):
            yield
    except OSError as error:
        if error.errno is None:  # not the system's
            raise
        raise OSError(
            f"{folder} cannot be written ({error.strerror}). What it held is still there. Mend that, and "
            "make the same call again"
        ) from error


def _of_a_killed_call(path: Path) -> bool:
    return path.name == ".lock" or path.name.startswith((".partial-", "vectors-"))


def _normal(name: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"A name must be a text of letters. Received: {name!r}")
    return unicodedata.normalize("NFC", name)


def _are_new(state: gallery_files.State, gallery: Gallery) -> np.ndarray:
    """Returns for each photo whether its person lacks it."""
    view = state.view
    numbers = np.array([state.numbers.get(_normal(name), -1) for name in gallery.names.tolist()])
    old = np.flatnonzero(np.isin(view.owners, numbers[numbers >= 0]))
    old = old[np.argsort(view.owners[old], kind="stable")]
    owners, fresh = view.owners[old], np.ones(len(numbers), bool)
    for row in np.flatnonzero(numbers >= 0):
        own = old[slice(*np.searchsorted(owners, [numbers[row], numbers[row] + 1]))]
        vector = gallery.embeddings[row]
        apart = np.abs(view.embeddings[own] - vector).max(axis=1)
        fresh[row] = (apart > 1e-4 * np.abs(vector).max()).all()
    return fresh


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
