"""Exact search by inner product in large galleries, in blocks of limited memory, with NumPy only."""

import operator
from collections.abc import Iterable, Iterator

import numpy as np

_BYTES_A_SCORE = 80  # in the worst block, where every score is a candidate: a first block full of ties
_SCORES_A_BLOCK = 2**21  # 8 MB: the products are still in the cache when they are compared
_MOST_ROWS, _MOST_COLUMNS = 1024, 2**20


def score_blocks(
    queries: np.ndarray, gallery: np.ndarray, *, memory_limit: int = 2**28, upper: bool = False
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Gives all inner products of queries and gallery, block by block.

    Args:
        queries: `(q, d)` finite numbers.
        gallery: `(n, d)` finite numbers.
        memory_limit: bytes of working memory, at least 1 MiB; it includes that of `top_scores`.
        upper: whether to leave out blocks in which all indices of queries are larger than all of the gallery.

    Yields:
        The block's first query, its first index in the gallery, and its scores, `(rows, columns)` float32.
        Use or copy the scores before the next block, which reuses their memory.

    Raises:
        ValueError: if `memory_limit` is too small, or a number is not finite.
    """
    if memory_limit < 2**20:
        raise ValueError(f"`memory_limit` must be at least 1 MiB. Received: memory_limit={memory_limit}")
    # Half is for the scores and their candidates, a quarter each for converted queries and gallery.
    scores = min(_SCORES_A_BLOCK, memory_limit // 2 // _BYTES_A_SCORE)
    vectors = max(1, memory_limit // 4 // (4 * max(1, queries.shape[1])))
    rows = max(1, min(len(queries), vectors, _MOST_ROWS, scores))
    if gallery.dtype == np.float32 and gallery.flags.c_contiguous:
        vectors = len(gallery)  # no copy is needed
    columns = max(1, min(len(gallery), vectors, _MOST_COLUMNS, scores // rows))
    buffer = np.empty(rows * columns, np.float32)
    for row in range(0, len(queries), rows):
        left = np.ascontiguousarray(queries[row : row + rows], np.float32)
        for column in range(row // columns * columns if upper else 0, len(gallery), columns):
            right = np.ascontiguousarray(gallery[column : column + columns], np.float32)
            block = buffer[: len(left) * len(right)].reshape(len(left), len(right))
            with np.errstate(invalid="ignore", over="ignore"):
                if len(left) == 1:  # a matrix and a vector: BLAS has a faster way for those
                    np.matmul(right, left[0], out=block[0])
                else:
                    np.matmul(left, right.T, out=block)
            # A vector that isn't finite has no finite product with any other, so one row and one column
            # suffice.
            if not (np.isfinite(block[0]).all() and np.isfinite(block[:, 0]).all()):
                raise ValueError(
                    "Embeddings must hold finite numbers, whose products are finite. "
                    f"Received: some that are not, among {row} to {row + len(left) - 1} and "
                    f"{column} to {column + len(right) - 1}"
                )
            yield row, column, block


def top_scores(
    blocks: Iterable[tuple[int, int, np.ndarray]], n_queries: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Finds each query's `k` largest scores in blocks of scores.

    Args:
        blocks: blocks as `score_blocks` gives them: all columns of a row, in order; at least `k`.
        n_queries: the number of rows.
        k: the number of scores to find.

    Returns:
        The scores, `(n_queries, k)` float32, largest first, and their columns, `(n_queries, k)` int64. Of
        equal scores, those with lower columns come first.

    Raises:
        ValueError: if the largest score of a row, or one of the `k`, is not finite.

    Example:
        >>> gallery = np.array([[1.0, 0.0], [0.5, 0.75], [0.0, 1.0]])
        >>> scores, indices = top_scores(score_blocks(np.array([[0.0, 1.0]]), gallery), 1, k=2)
        >>> scores.tolist(), indices.tolist()
        ([[1.0, 0.75]], [[2, 1]])
    """
    # A score and its index in one number: it is larger for a larger score, and for a lower index if the
    # scores are equal.
    best = np.zeros((n_queries, k), np.uint64)
    worst = np.full(n_queries, -np.inf, np.float32)
    for row, column, scores in blocks:
        # Only scores above a query's k-th best are processed, soon very few.
        largest = _require_finite(scores.max(axis=1))  # NaN, if there is any in the row
        least, beats = worst[row : row + len(scores)], operator.gt
        if column == 0 and scores.shape[1] > k:
            least, beats = np.partition(scores, -k, axis=1)[:, -k], operator.ge
        rows = np.flatnonzero(beats(largest, least))
        if not len(rows):
            continue
        candidates = scores if len(rows) == len(scores) else scores[rows]
        which, where = np.nonzero(beats(candidates, least[rows, None]))
        counts = np.bincount(which, minlength=len(rows))
        place = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        pool = np.zeros((len(rows), k + counts.max()), np.uint64)
        pool[:, :k] = best[row + rows]
        pool[which, k + place] = _pack(candidates[which, where], where + column)
        pool.partition(pool.shape[1] - k, axis=1)
        best[row + rows] = pool[:, -k:]
        worst[row + rows] = _unpack(pool[:, -k])[0]
    best.sort(axis=1)
    scores, indices = _unpack(best[:, ::-1])
    return _require_finite(scores), indices


def _require_finite(scores: np.ndarray) -> np.ndarray:
    if not np.isfinite(scores).all():
        raise ValueError(
            "Embeddings must hold finite numbers, whose products are finite. "
            "Received: some whose products are not"
        )
    return scores


def _pack(scores: np.ndarray, indices: np.ndarray) -> np.ndarray:
    bits = (scores + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return ordered.astype(np.uint64) << np.uint64(32) | (2**32 - 1 - indices).astype(np.uint64)


def _unpack(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ordered = (packed >> np.uint64(32)).astype(np.uint32)
    bits = np.where(ordered >> 31, ordered & np.uint32(2**31 - 1), ~ordered)
    scores = np.where(packed == 0, np.float32(-np.inf), bits.view(np.float32))
    return scores, 2**32 - 1 - (packed & np.uint64(2**32 - 1)).astype(np.int64)
