"""Compares embeddings: by cosine, distance, PLDA's likelihood ratio, or scores normalised by a cohort."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from .search import score_blocks
from .vectors import cosines, unit_length

if TYPE_CHECKING:
    from .plda import Plda

_BLOCK = 2**20  # scores at a time, if each is computed separately

Blocks = Iterator[tuple[int, int, np.ndarray]]


class Comparison(Protocol):
    """A way to compare embeddings. Galleries store what `prepare` returns; the other methods take it.

    Example:
        >>> class Manhattan:  # a comparison of your own needs these three methods
        ...     def prepare(self, embeddings):
        ...         return np.asarray(embeddings, np.float32)
        ...     def pairs(self, left, right):
        ...         return -np.abs(left - right).sum(axis=1)
        ...     def blocks(self, left, right):
        ...         yield 0, 0, -np.abs(left[:, None] - right).sum(axis=2)
        >>> Manhattan().pairs(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
        array([-7.])
    """

    def prepare(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns the prepared form, `(n, k)` float32, of a network's embeddings, `(n, d)`."""
        ...

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Returns the `(n,)` float32 scores of prepared embeddings, row by row; higher is more alike."""
        ...

    def blocks(self, left: np.ndarray, right: np.ndarray) -> Blocks:
        """Gives all scores of `left` with `right` in blocks, as `evaluation.compare_all` does."""
        ...


@dataclass(frozen=True)
class Cosine:
    """The cosine of two embeddings, from -1 to 1.

    Example:
        >>> prepared = Cosine().prepare(np.array([[3.0, 4.0], [4.0, 3.0]]))
        >>> Cosine().pairs(prepared[:1], prepared[1:]).round(2)
        array([0.96], dtype=float32)
    """

    by_cosines: ClassVar = True  # the highest cosine has the highest score

    def prepare(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns the embeddings with length 1."""
        return unit_length(np.asarray(embeddings, np.float32))

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Comparison`."""
        return cosines(left, right)

    def blocks(self, left: np.ndarray, right: np.ndarray) -> Blocks:
        """See `Comparison`."""
        for row, column, block in score_blocks(left, right):
            yield row, column, np.clip(block, -1, 1, out=block)


@dataclass(frozen=True)
class Euclidean:
    """The negative euclidean distance of two embeddings.

    Example:
        >>> Euclidean().pairs(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
        array([-5.], dtype=float32)
    """

    def prepare(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns the embeddings unchanged."""
        return np.asarray(embeddings, np.float32)

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Comparison`."""
        return -np.linalg.norm(left.astype(np.float64) - right, axis=1).astype(np.float32)

    def blocks(self, left: np.ndarray, right: np.ndarray) -> Blocks:
        """See `Comparison`."""
        columns = max(1, min(len(right), _BLOCK))
        rows = max(1, _BLOCK // columns)
        for row in range(0, len(left), rows):
            for column in range(0, len(right), columns):
                some, others = left[row : row + rows], right[column : column + columns]
                yield row, column, -_distances(some, others)


@dataclass(frozen=True, eq=False)
class LikelihoodRatio:
    """PLDA's log-likelihood ratio of unit embeddings; see `evaluation.Plda.score`.

    It is an inner product: with `z` an embedding in PLDA's directions and `b` the variances between people,
    score = `A . A' - q - q'`, where `A = z sqrt(b / (1 + 2 b))`.

    Args:
        plda: the fitted model, from `evaluation.fit_plda`.

    Example:
        >>> from siamese_nn.evaluation import Plda
        >>> comparison = LikelihoodRatio(Plda(np.zeros(2), np.eye(2), between=np.array([4.0, 1.0])))
        >>> prepared = comparison.prepare(np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]))
        >>> alike, apart = comparison.pairs(prepared[[0, 0]], prepared[[1, 2]])
        >>> bool(alike > 0 > apart)
        True
    """

    plda: "Plda"

    def prepare(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns `A`, with `q` as the last column."""
        between = self.plda.between
        centred = unit_length(np.asarray(embeddings, np.float64)) - self.plda.mean
        along = centred @ self.plda.directions
        constant = (np.log1p(between) - np.log1p(2 * between) / 2).sum() / 2
        own = along**2 @ (between**2 / ((1 + between) * (1 + 2 * between))) / 2 - constant
        return np.column_stack([along * np.sqrt(between / (1 + 2 * between)), own]).astype(np.float32)

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Comparison`."""
        return np.einsum("ij,ij->i", left[:, :-1], right[:, :-1]) - left[:, -1] - right[:, -1]

    def blocks(self, left: np.ndarray, right: np.ndarray) -> Blocks:
        """See `Comparison`."""
        ones = np.ones((max(len(left), len(right)), 1), np.float32)
        # A . A' - q * 1 - 1 * q'
        left = np.hstack([left[:, :-1], -left[:, -1:], -ones[: len(left)]])
        right = np.hstack([right[:, :-1], ones[: len(right)], right[:, -1:]])
        yield from score_blocks(left, right)


@dataclass(frozen=True, eq=False)
class NormalizedScores:
    """Adaptive s-norm: scores in standard deviations above those of both photos with a cohort.

    The cohort consists of other people, who are in none of the measured pairs.

    Args:
        inner: the comparison whose scores are normalised.
        cohort: prepared embeddings of the cohort, one per person, `(m, k)`.
        top: how many of the cohort's highest scores with a photo give its mean and standard deviation, from 2
            to m.

    Raises:
        ValueError: if `top` is out of range.

    Reference:
        Matejka, Novotny, Plchot, Burget, Diez and Cernocky, "Analysis of score normalization in multilingual
        speaker recognition", Interspeech 2017, section 2.3.

    Example:
        >>> cohort = Cosine().prepare(np.random.default_rng(0).normal(size=(50, 8)))
        >>> comparison = NormalizedScores(Cosine(), cohort, top=20)
        >>> prepared = comparison.prepare(np.eye(8)[[0, 0, 1]])
        >>> alike, apart = comparison.pairs(prepared[[0, 0]], prepared[[1, 2]])
        >>> bool(alike > 3 > apart)  # standard deviations above the scores with the cohort
        True
    """

    inner: Comparison
    cohort: np.ndarray = field(repr=False)
    top: int

    def __post_init__(self):
        if not 2 <= self.top <= len(self.cohort):
            raise ValueError(
                f"`top` must be from 2 to the {len(self.cohort)} people of the cohort. Received: {self.top}"
            )

    def prepare(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns what `inner` prepares, with mean and standard deviation as the last columns."""
        prepared = self.inner.prepare(embeddings)
        return np.column_stack([prepared, self._spread(prepared)]).astype(np.float32)

    def _spread(self, prepared: np.ndarray) -> np.ndarray:
        scores = np.empty((len(prepared), len(self.cohort)), np.float32)
        for row, column, block in self.inner.blocks(prepared, self.cohort):
            scores[row : row + len(block), column : column + block.shape[1]] = block
        highest = -np.partition(-scores, self.top - 1, axis=1)[:, : self.top]
        # Without this, a cohort of copies of one photo would have no spread.
        least = np.finfo(np.float32).eps * np.maximum(np.abs(highest).max(axis=1), 1)
        return np.column_stack([highest.mean(axis=1), np.maximum(highest.std(axis=1), least)])

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Comparison`."""
        scores = self.inner.pairs(left[:, :-2], right[:, :-2])
        return ((scores - left[:, -2]) / left[:, -1] + (scores - right[:, -2]) / right[:, -1]) / 2

    def blocks(self, left: np.ndarray, right: np.ndarray) -> Blocks:
        """See `Comparison`."""
        inner = self.inner.blocks(np.ascontiguousarray(left[:, :-2]), np.ascontiguousarray(right[:, :-2]))
        for row, column, block in inner:
            mean, spread = left[row : row + len(block), -2:, None].transpose(1, 0, 2)
            others = right[column : column + block.shape[1]]
            yield row, column, ((block - mean) / spread + (block - others[:, -2]) / others[:, -1]) / 2


def all_scores(comparison: Comparison, prepared: np.ndarray) -> np.ndarray:
    """Returns the scores of all pairs of `n` prepared embeddings, `(n, n)` float32, left in rows."""
    scores = np.empty((len(prepared), len(prepared)), np.float32)
    for row, column, block in comparison.blocks(prepared, prepared):
        scores[row : row + len(block), column : column + block.shape[1]] = block
    return scores


def _distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the euclidean distances of all of `left` to all of `right`, float32."""
    left, right = left.astype(np.float64), right.astype(np.float64)
    squares = (left**2).sum(axis=1)[:, None] - 2 * left @ right.T + (right**2).sum(axis=1)
    return np.sqrt(np.maximum(squares, 0)).astype(np.float32)
