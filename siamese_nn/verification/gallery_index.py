"""An approximate index beside a stored gallery: it proposes photos, which are then scored exactly."""

import json
import logging
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.search import score_blocks, top_scores

INDEXES = ("faiss",)
_FILE, _FACTS = "index.faiss", "index.json"
_AT_LEAST, _ASKED, _RECALL = 32, 1000, 0.97
_ROWS = 2**16

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GalleryIndex:
    """Lists of vectors near one another, over the first rows of a gallery; `read_index` reads it.

    Args:
        lists: faiss's, mapped.
        vectors: the name of the file whose rows it has.
        rows: how many of them it knows; those that came later are searched exactly.
        recall: the share of photos whose nearest other photo it found.
    """

    lists: Any
    vectors: str
    rows: int
    recall: float

    def proposed(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Returns rows for each query, `(q, m)`, twice `count` or more; -1 where it found no further one."""
        return self.lists.search(queries, min(max(2 * count, _AT_LEAST), self.lists.ntotal))[1]


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "An index needs faiss: pip install 'faiss-cpu>=1.15'. Without `index` the search is exact"
        ) from error
    return faiss


def make_index(folder: Path, vectors: str, embeddings: np.ndarray, owners: np.ndarray) -> float:
    """Writes an index of all photos in the gallery, and returns its recall."""
    from ..files import replacing, write_text

    faiss = _faiss()
    rows = np.flatnonzero(owners >= 0)
    if not len(rows):
        raise ValueError(f"{folder} holds nobody: all were removed. Add people")
    for start in range(0, len(rows), _ROWS):
        lengths = np.linalg.norm(embeddings[rows[start : start + _ROWS]], axis=1)
        if not np.allclose(lengths, 1, atol=1e-3):
            raise ValueError(
                f"An index is for vectors of length 1, which cosines compare. {folder} holds others: search "
                "it without `index`"
            )
    generator = np.random.default_rng(0)
    n_lists = min(int(2 * len(rows) ** 0.5), len(rows))
    lists = faiss.index_factory(embeddings.shape[1], f"IVF{n_lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    lists.cp.min_points_per_centroid = 1  # faiss would print a warning
    lists.train(embeddings[np.sort(generator.choice(rows, min(len(rows), 50 * n_lists), replace=False))])
    for start in range(0, len(rows), _ROWS):
        lists.add_with_ids(embeddings[rows[start : start + _ROWS]], rows[start : start + _ROWS])
    asked = generator.choice(rows, min(2 * _ASKED, len(rows)), replace=False)
    best = _nearest(embeddings, owners, asked)
    while lists.nprobe < n_lists and _found(lists, embeddings, asked[1::2], best[1::2]) < _RECALL:
        lists.nprobe = min(2 * lists.nprobe, n_lists)
    recall = _found(lists, embeddings, asked[::2], best[::2])  # not those that chose how many lists
    with replacing(folder / _FILE, mode=0o600) as partial:
        with partial.open("wb") as file:  # faiss itself doesn't tell of a disk that fills up at the end
            faiss.write_index(lists, faiss.PyCallbackIOWriter(file.write))
        checksum = zlib.crc32(np.memmap(partial, np.uint8, "r").data)
    facts = {"vectors": vectors, "rows": len(owners), "recall": recall, "crc32": checksum}
    write_text(folder / _FACTS, json.dumps(facts))
    remove_index(folder, but=(_FILE, _FACTS))
    _logger.info("%s: an index of %d photos, recall at 1 %.4f", folder, len(rows), recall)
    return recall


def remove_index(folder: Path, but: tuple[str, ...] = ()) -> None:
    """Removes the files of an index, those of an earlier version, too: they hold vectors."""
    for left in folder.glob("index.*"):
        if left.name not in but:
            with suppress(OSError):  # Windows keeps a file that is open
                left.unlink()


def _nearest(embeddings: np.ndarray, owners: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The score of each asked photo's nearest other one; -2 where there is none."""

    def others():
        for row, column, scores in score_blocks(embeddings[asked], embeddings):
            scores[:, owners[column : column + scores.shape[1]] < 0] = -2
            own = asked[row : row + len(scores)] - column
            inside = np.flatnonzero((own >= 0) & (own < scores.shape[1]))
            scores[inside, own[inside]] = -2
            yield row, column, scores

    return top_scores(others(), len(asked), 1)[0][:, 0]


def _found(lists: Any, embeddings: np.ndarray, asked: np.ndarray, best: np.ndarray) -> float:
    """The share of photos, themselves left out, for which the index proposes one as near as the nearest."""
    if not len(asked):
        return 1.0
    proposed = lists.search(embeddings[asked], min(_AT_LEAST, lists.ntotal))[1]
    scores = np.einsum("qd,qkd->qk", embeddings[asked], embeddings[proposed])
    scores[(proposed < 0) | (proposed == asked[:, None])] = -2
    return float(np.mean(scores.max(axis=1) >= best - 1e-6))


def read_index(folder: Path, vectors: str, n_rows: int) -> GalleryIndex:
    """Reads what `make_index` wrote; one of other vectors, or of more than these, is refused."""
    from ..files import read_json

    anew = "Make it anew: `make_index`, or `siamese-nn gallery index`"
    if not (folder / _FACTS).is_file() or not (folder / _FILE).is_file():
        raise FileNotFoundError(f"{folder} has no index. {anew}")
    facts = read_json(folder / _FACTS)
    try:
        held, rows, recall = facts["vectors"], int(facts["rows"]), float(facts["recall"])
        whole = zlib.crc32(np.memmap(folder / _FILE, np.uint8, "r").data) == facts["crc32"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / _FILE} is damaged, or {_FACTS} is ({error}). {anew}") from error
    if not whole:
        raise ValueError(f"{folder / _FILE} is damaged. {anew}")
    if held != vectors:
        raise ValueError(f"{folder / _FILE} is older than the gallery, which was compacted. {anew}")
    if rows > n_rows:
        raise ValueError(f"{folder / _FILE} is newer than the gallery, which a copy has replaced. {anew}")
    faiss = _faiss()
    try:
        lists = faiss.read_index(str(folder / _FILE), faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_READ_ONLY)
    except RuntimeError as error:
        raise ValueError(f"{folder / _FILE} is of another version of faiss ({error}). {anew}") from error
    return GalleryIndex(lists, held, rows, recall)
