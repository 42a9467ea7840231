"""Known people as embeddings, kept in a file."""

import os
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.search import top_scores
from ..files import replacing

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Gallery:
    """Known people: a name and an embedding for each of their photos; `Verifier.gallery` makes it.

    Args:
        names: who is on each photo, `(n,)` strings.
        embeddings: of the photos, `(n, d)` float32, finite; at least one number each.
        model: SHA-256 of the model file that they were made with.

    Raises:
        ValueError: if it is empty, the shapes don't fit, or a number is not finite.

    Example:
        >>> gallery = Gallery(np.array(["Ada", "Ada", "Bo"]), np.eye(3), model="0" * 64)
        >>> len(gallery), gallery.counts()
        (3, {'Ada': 2, 'Bo': 1})
    """

    names: np.ndarray
    embeddings: np.ndarray = field(repr=False)
    model: str

    def __post_init__(self):
        names, embeddings = np.asarray(self.names), np.asarray(self.embeddings)
        if (
            names.dtype.kind != "U"
            or embeddings.dtype.kind != "f"
            or embeddings.ndim != 2
            or names.shape != embeddings.shape[:1]
            or not embeddings.size
            or not np.isfinite(embeddings).all()
        ):
            raise ValueError(
                "A gallery must hold n >= 1 `names`, strings, and `embeddings`, (n, d >= "
                f"1) finite floats. Received: names {names.dtype} {names.shape}, embeddings "
                f"{embeddings.dtype} {embeddings.shape}"
            )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "embeddings", embeddings.astype(np.float32, copy=False))

    def __len__(self) -> int:
        return len(self.names)

    def counts(self) -> dict[str, int]:
        """Returns how many photos each person has, by name."""
        return dict(zip(*map(np.ndarray.tolist, self._counted), strict=True))

    @property
    def n_people(self) -> int:
        """How many people it holds."""
        return len(self._counted[0])

    @cached_property
    def _counted(self) -> tuple[np.ndarray, np.ndarray]:
        names, counts = np.unique(self.names, return_counts=True)
        return names, counts

    def nearest(self, comparison: Any, embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds who is most alike.

        Args:
            comparison: the verifier's.
            embeddings: prepared for it, `(q, d)`.
            k: people to find, at least 1, and at most as many as there are.

        Returns:
            For each of the `q` the names on the most alike photos, and their scores, `(q, m)`, highest first:
            as many as it takes to be of `k` people. A name may come several times.
        """
        blocks = comparison.blocks(embeddings, self.embeddings)
        count = k_photos(k, np.sort(self._counted[1])[::-1])
        scores, where = top_scores(blocks, len(embeddings), count)
        return self.names[where], scores

    def save(self, path: str | os.PathLike) -> None:
        """Writes the gallery to `path`, which must end in `.npz`.

        Embeddings are biometric data: keep the file as you would keep the photos. Only its owner
        may read it, where the system knows owners. Of several writers at a time the last one
        wins; readers see a whole gallery.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(f"`path` must end in .npz. Received: path={os.fspath(path)!r}")
        with replacing(path, mode=0o600) as partial:
            np.savez(
                partial,
                format=np.array(_FORMAT),
                names=self.names,
                embeddings=self.embeddings,
                model=np.array(self.model),
            )

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Gallery":
        """Reads what `save` wrote; a missing file is a `FileNotFoundError`, any other a `ValueError`."""
        if not os.path.isfile(path) and os.path.exists(path):  # to open a pipe would wait for its writer
            raise ValueError(
                f"{path} is no gallery, but a folder, a pipe or the like. Give a file that `save` wrote"
            )
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if any(member.file_size != member.compress_size for member in arrays.zip.infolist()):
                    raise ValueError("it is compressed, and may be of any size")
                if int(arrays["format"]) != _FORMAT:
                    raise ValueError(f"it has format {arrays['format']}, and this version reads {_FORMAT}")
                return cls(arrays["names"], arrays["embeddings"], str(arrays["model"]))
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{path} does not exist. Make a gallery with `Verifier.gallery`, and keep it with its `save`"
            ) from error
        # NumPy's words for what is no archive, is cut off, lacks a part, holds
        # pickles, or claims a size beyond all memory.
        except (
            *(ValueError, KeyError, TypeError, AttributeError, EOFError, OSError),
            *(MemoryError, OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error),
        ) as error:
            raise ValueError(
                f"{path} is no gallery ({error}). Make it anew, with `Verifier.gallery`"
            ) from error


def k_photos(k: int, counts: np.ndarray) -> int:
    """Returns how many photos are of at least `k` people, who have `counts` photos each, the most first."""
    # Even if all photos of those with the most come first, one more is of another person.
    return int(counts[: k - 1].sum()) + 1
