"""Lengths and angles of vectors."""

import numpy as np


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the cosines of `(n, d)` embeddings, row by row, `(n,)`; 0 if one of them is all zeros."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    found = np.einsum("ij,ij->i", left, right) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return np.clip(found, -1, 1)  # rounding may exceed the range a little


def unit_length(embeddings: np.ndarray) -> np.ndarray:
    """Scales embeddings `(n, d)` to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
