"""Photos that probably show somebody else than their folder says."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Suspect:
    """A photo's score: how much more it is like another folder than like the rest of its own."""

    photo: int
    score: float
    own: float
    other: float
    other_person: str


def rank_suspects(embeddings, people, *, block=1024):
    """Ranks photos, the least like the rest of their folder first.

    A photo never judges itself: it is left out of its own folder's mean. The embedding must not have been
    trained on these people, or labels that it learnt by heart vouch for themselves.

    Args:
        embeddings: float `(photos, embedding_size)`, finite, no row of zeros.
        people: `(photos,)` strings, the folder of each photo. At least two folders.
        block: int > 0, photos that are compared with all folders at once. It bounds the memory.

    Returns:
        A list of `Suspect`, the highest score first. The score is the mean cosine to the best other folder
        less the mean cosine to the rest of the own one. A person's only photo is not in it.

    Raises:
        ValueError: for embeddings and people that do not fit each other.

    Example:
        >>> [s.photo for s in rank_suspects([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], list("aaabb"))][:1]
        [2]
    """
    embeddings = np.asarray(embeddings, "float64")
    names, folder, photos = np.unique(np.asarray(people, str), return_inverse=True, return_counts=True)
    if embeddings.ndim != 2 or len(embeddings) != len(folder):
        raise ValueError(
            "`embeddings` must be (photos, embedding_size) with one of `people` for each photo. "
            f"Received: embeddings of shape {embeddings.shape}, {len(folder)} people"
        )
    if len(names) < 2:
        raise ValueError(f"`people` must name at least two folders to compare. Received: {names.tolist()}")
    if block < 1:
        raise ValueError(f"`block` must be positive. Received: block={block}")
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not np.all(np.isfinite(length) & (length > 0)):
        bad = int(np.flatnonzero(~(np.isfinite(length) & (length > 0))[:, 0])[0])
        raise ValueError(
            f"`embeddings` must be finite and not zero. Received: row {bad} is not; remove that photo"
        )
    embeddings = embeddings / length
    sums = np.zeros((len(names), embeddings.shape[1]))
    np.add.at(sums, folder, embeddings)
    suspects = []
    for start in range(0, len(folder), block):
        rows = np.flatnonzero(photos[folder[start : start + block]] > 1) + start
        likeness = embeddings[rows] @ sums.T
        here = (np.arange(len(rows)), folder[rows])
        own = (likeness[here] - 1) / (photos[folder[rows]] - 1)  # the photo's cosine to itself is 1
        likeness /= photos
        likeness[here] = -np.inf
        best = likeness.argmax(axis=1)
        other = likeness.max(axis=1)
        suspects += [
            Suspect(int(r), float(o - w), float(w), float(o), str(names[b]))
            for r, w, o, b in zip(rows, own, other, best, strict=True)
        ]
    return sorted(suspects, key=lambda suspect: (-suspect.score, suspect.photo))
