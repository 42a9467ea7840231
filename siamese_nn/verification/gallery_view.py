"""What a gallery in a folder held at one moment, and the search in it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..evaluation.search import top_scores
from .gallery import k_photos
from .gallery_index import GalleryIndex


@dataclass(frozen=True, eq=False)
class GalleryView:
    """What a `StoredGallery` held at one moment; `len` is the number of photos.

    Args:
        model: SHA-256 of the model that the vectors were made with.
        embeddings: `(rows, d)` float32, mapped; those of people who were removed are among them.
        people: names by number.
        owners: the number of each row's person, `(rows,)` int32; -1 where the person was removed.
        index: proposes the photos that are scored; `None` scores all.

    Example:
        >>> owners = np.array([0, 1, -1], np.int32)  # the third photo's person was removed
        >>> view = GalleryView("0" * 64, np.eye(3, dtype=np.float32), ["Ada", "Bo"], owners)
        >>> len(view), view.counts()
        (2, {'Ada': 1, 'Bo': 1})
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

    @cached_property
    def _most_first(self) -> np.ndarray:
        """How many photos each person has, the most first: to sort millions takes longer than to search."""
        return np.sort(self._counts)[::-1]

    def counts(self) -> dict[str, int]:
        """Returns how many photos each person has, by name, in the order in which they first came."""
        pairs = zip(self.people, self._counts.tolist(), strict=True)
        return {name: count for name, count in pairs if count}

    def nearest(self, comparison: Any, embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Gallery.nearest`."""
        count = k_photos(k, self._most_first)
        if self.index is not None:
            if not getattr(comparison, "by_cosines", False):
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
        gone = (proposed < 0) | self._gone[proposed]
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
