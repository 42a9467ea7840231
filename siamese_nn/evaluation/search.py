"""Exact search by inner product in large galleries: in blocks, within a stated memory, by NumPy alone."""

import operator
from collections.abc import Iterable, Iterator

import numpy as np

_BYTES_A_SCORE = 80  # in the worst block, where every score is a candidate: a first one full of ties
_SCORES_A_BLOCK = 2**21  # 8 MB: what has been multiplied is still in the cache when it is compared
_MOST_ROWS, _MOST_COLUMNS = 1024, 2**20


def nearest(
    queries: np.ndarray,
    gallery: np.ndarray,
    k: int = 1,
    *,
    memory_limit: int = 2**28,
    engine: str = "numpy",
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the `k` embeddings of the gallery with the largest inner products, for each query; exactly.

    Of embeddings of unit length the inner product is the cosine. Others
    need to be brought to unit length first.

    Args:
        queries: `(q, d)` finite numbers, computed with as float32.
        gallery: `(n, d)` finite numbers, also a `numpy.memmap`. What is not
            float32 yet becomes so block by block.
        k: how many to find, from 1 to `n`.
        memory_limit: bytes of working memory, beside the arguments and the
            results; at least 1 MiB. Defaults to 256 MiB.
        engine: `"numpy"`, or `"faiss"`, which needs the extra of that name, takes its own blocks of some 20
            MB whatever the limit is, and float32 copies of arguments that are not.

    Returns:
        The scores, `(q, k)` float32, largest first, and the indices into the gallery, `(q, k)`
        int64. Equal scores are in the order of their indices, and the lowest indices are taken
        (with faiss only the first holds).

    Raises:
        ValueError: if an argument is out of range, the shapes don't fit, numbers are
            complex, or a number or a product is not finite.
        ImportError: if faiss is asked for and not installed.

    Example:
        >>> gallery = np.array([[1.0, 0.0], [0.5, 0.75], [0.0, 1.0]])
        >>> scores, indices = nearest([[0.0, 1.0]], gallery, k=2)
        >>> scores.tolist(), indices.tolist()
        ([[1.0, 0.75]], [[2, 1]])
    """
    queries, gallery = np.asarray(queries), np.asanyarray(gallery)
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            "`queries` and `gallery` must be (q, d) and (n, d), of one d. Received: shapes "
            f"{queries.shape} and {gallery.shape}"
        )
    _require_real(queries, "queries")
    _require_real(gallery, "gallery")
    if not isinstance(k, (int, np.integer)) or not 1 <= k <= len(gallery):
        raise ValueError(f"`k` must be whole, from 1 to the gallery's {len(gallery)}. Received: k={k!r}")
    if not np.isfinite(queries).all():
        raise ValueError("`queries` must hold finite numbers. Received: some NaN or infinite")
    if engine == "numpy":
        blocks = score_blocks(queries, gallery, memory_limit=memory_limit)
        scores, indices = top_scores(blocks, len(queries), k)
    elif engine == "faiss":
        scores, indices = _nearest_by_faiss(queries, gallery, k)
    else:
        raise ValueError(f'`engine` must be "numpy" or "faiss". Received: engine={engine!r}')
    return _require_finite(scores), indices


def pairs_above(
    embeddings: np.ndarray, threshold: float, *, memory_limit: int = 2**28
) -> tuple[np.ndarray, np.ndarray]:
    """Scores all pairs of `n` embeddings by their inner products and keeps those of at least `threshold`.

    Args:
        embeddings: `(n, d)` finite numbers, computed with as float32.
        threshold: the least score to keep.
        memory_limit: bytes of working memory, beside the argument and the
            result; at least 1 MiB. Defaults to 256 MiB.

    Returns:
        The pairs, `(m, 2)` int64, each once, with the lower index first and in
        order; and their scores, `(m,)` float32.

    Raises:
        ValueError: if an argument is out of range, numbers are complex, or
            a number or a product is not finite.

    Example:
        >>> pairs, scores = pairs_above([[1.0, 0.0], [0.5, 0.75], [0.0, 1.0]], 0.7)
        >>> pairs.tolist(), scores.tolist()
        ([[1, 2]], [0.75])
    """
    embeddings = np.asanyarray(embeddings)
    if embeddings.ndim != 2:
        raise ValueError(f"`embeddings` must be (n, d). Received: shape {embeddings.shape}")
    _require_real(embeddings, "embeddings")
    if np.isnan(threshold):
        raise ValueError(f"`threshold` must be a number. Received: threshold={threshold}")
    found = [(np.empty((0, 2), np.int64), np.empty(0, np.float32))]
    for row, column, scores in score_blocks(embeddings, embeddings, memory_limit=memory_limit, upper=True):
        # Rows without any are the most: a look at the largest of each is less than one at all.
        rows = np.flatnonzero(_require_finite(scores.max(axis=1)) >= threshold)
        left, right = np.nonzero(scores[rows] >= threshold)
        left = rows[left]
        apart = left + row < right + column
        left, right = left[apart], right[apart]
        found.append((np.stack([left + row, right + column], axis=1), scores[left, right]))
    pairs, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], _require_finite(scores[order])


def score_blocks(
    queries: np.ndarray, gallery: np.ndarray, *, memory_limit: int = 2**28, upper: bool = False
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Gives all inner products of queries and gallery, block by block.

    Args:
        queries: `(q, d)` finite numbers.
        gallery: `(n, d)` finite numbers.
        memory_limit: bytes of working memory, at least 1 MiB; it leaves room for `top_scores`.
        upper: whether to leave out blocks in which each index of a query is larger than each of the gallery.

    Yields:
        The first query of the block, the first of the gallery, and the scores, `(rows, columns)` float32.
        Take what you need of them before the next block: it comes in the same memory.

    Raises:
        ValueError: if `memory_limit` is too small, or a number is not finite.
    """
    if memory_limit < 2**20:
        raise ValueError(f"`memory_limit` must be at least 1 MiB. Received: memory_limit={memory_limit}")
    # Half for the scores and what is made of them, a quarter each for converted queries and gallery.
    scores = min(_SCORES_A_BLOCK, memory_limit // 2 // _BYTES_A_SCORE)
    vectors = max(1, memory_limit // 4 // (4 * max(1, queries.shape[1])))
    rows = max(1, min(len(queries), vectors, _MOST_ROWS, scores))
    if gallery.dtype == np.float32 and gallery.flags.c_contiguous:
        vectors = len(gallery)  # used where they are
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
            # A vector that isn't finite has no finite product with any other: one row and one column tell.
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
        blocks: as `score_blocks` gives them: all columns of a row, in order; at least `k`.
        n_queries: rows in all.
        k: how many to find.

    Returns:
        Scores and indices, as of `nearest`.

    Raises:
        ValueError: if the largest score of a row is not finite.
    """
    # A score and its index in one number: the larger score is the larger
    # number, and of equal ones the lower index.
    best = np.zeros((n_queries, k), np.uint64)
    worst = np.full(n_queries, -np.inf, np.float32)
    for row, column, scores in blocks:
        # Only what beats a query's k-th best is touched: soon that is next to nothing.
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
    return _unpack(best[:, ::-1])


def _require_real(array: np.ndarray, name: str) -> None:
    if array.dtype.kind == "c":
        raise ValueError(f"`{name}` must hold real numbers. Received: {array.dtype}")


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


def _nearest_by_faiss(queries: np.ndarray, gallery: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            '`engine="faiss"` needs faiss: pip install \'siamese_nn[faiss]\', or take engine="numpy"'
        ) from error
    arrays = [np.ascontiguousarray(array, np.float32) for array in (queries, gallery)]
    scores, indices = faiss.knn(*arrays, k, metric=faiss.METRIC_INNER_PRODUCT)
    order = np.lexsort((indices, -scores))
    return np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1)
