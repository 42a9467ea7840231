"""An approximate index beside a stored gallery: it proposes photos, which are then scored exactly."""

import json
import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.search import score_blocks, top_scores

INDEXES = ("usearch",)
_FILE, _FACTS = "index.usearch", "index.json"
_AT_LEAST, _QUERIES = 32, 1000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GalleryIndex:
    """A graph over the first rows of a gallery's vectors; `read_index` reads it.

    Args:
        graph: usearch's.
        vectors: the name of the file whose rows it has.
        rows: how many of them it knows; those that came later are searched exactly.
        recall: the share of photos whose nearest other photo it found.
    """

    graph: Any
    vectors: str
    rows: int
    recall: float

    def proposed(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Returns rows for each query, `(q, m)`, at least twice `count` where it knows so many."""
        wanted = min(max(2 * count, _AT_LEAST), len(self.graph))
        return self.graph.search(queries, wanted).keys.reshape(len(queries), wanted).astype(np.int64)


def _usearch() -> Any:
    try:
        import usearch.index
    except ImportError as error:
        raise ImportError(
            "An index needs usearch: pip install 'siamese_nn[index]'. Without `index` the search is exact"
        ) from error
    return usearch.index


def make_index(folder: Path, vectors: str, embeddings: np.ndarray, owners: np.ndarray) -> float:
    """Writes an index of all photos in the gallery, and returns its recall."""
    from ..files import replacing, write_text

    rows = np.flatnonzero(owners >= 0)
    for start in range(0, len(rows), 2**16):
        lengths = np.linalg.norm(embeddings[rows[start : start + 2**16]], axis=1)
        if not np.allclose(lengths, 1, atol=1e-3):
            raise ValueError(
                f"An index is for vectors of length 1, which cosines compare. {folder} holds others: search "
                "it without `index`"
            )
    size = embeddings.shape[1]
    graph = _usearch().Index(
        ndim=size, metric="cos", dtype="i8", connectivity=16, expansion_add=64, expansion_search=256
    )
    for start in range(0, len(rows), 2**16):
        graph.add(rows[start : start + 2**16], embeddings[rows[start : start + 2**16]])
    recall = _recall(graph, embeddings, owners, rows)
    with replacing(folder / _FILE, mode=0o600) as partial:
        try:
            graph.save(str(partial))
        except RuntimeError as error:  # usearch's word for a full disk
            raise OSError(
                f"{folder / _FILE} cannot be written ({error}). Make room, and try again"
            ) from error
        checksum = zlib.crc32(np.memmap(partial, np.uint8, "r").data)
    facts = {"vectors": vectors, "rows": len(owners), "recall": recall, "crc32": checksum}
    write_text(folder / _FACTS, json.dumps(facts))
    _logger.info("%s: an index of %d photos, recall at 1 %.4f", folder, len(rows), recall)
    return recall


def _recall(graph: Any, embeddings: np.ndarray, owners: np.ndarray, rows: np.ndarray) -> float:
    """The share of photos, themselves left out, whose nearest the graph finds as the exact search does."""
    if len(rows) < 2:
        return 1.0
    asked = np.random.default_rng(0).choice(rows, min(_QUERIES, len(rows)), replace=False)
    queries = embeddings[asked]

    def others():
        for row, column, scores in score_blocks(queries, embeddings):
            scores[:, owners[column : column + scores.shape[1]] < 0] = -2
            own = asked[row : row + len(scores)] - column
            inside = np.flatnonzero((own >= 0) & (own < scores.shape[1]))
            scores[inside, own[inside]] = -2
            yield row, column, scores

    best = top_scores(others(), len(asked), 1)[0][:, 0]
    found = graph.search(queries, min(_AT_LEAST, len(rows))).keys.reshape(len(asked), -1).astype(np.int64)
    scores = np.einsum("qd,qkd->qk", queries, embeddings[found])
    scores[found == asked[:, None]] = -2
    return float(np.mean(scores.max(axis=1) >= best - 1e-6))  # another photo as near is as good


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
        raise ValueError(f"{folder / _FACTS} is damaged ({error}). {anew}") from error
    if not whole:
        raise ValueError(f"{folder / _FILE} is damaged. {anew}")
    if held != vectors:
        raise ValueError(f"{folder / _FILE} is older than the gallery, which was compacted. {anew}")
    if rows > n_rows:
        raise ValueError(f"{folder / _FILE} is newer than the gallery, which a copy has replaced. {anew}")
    graph = _usearch().Index.restore(str(folder / _FILE), view=True)
    graph.expansion_search = 256
    return GalleryIndex(graph, held, rows, recall)
