"""Checks scores, labels and people's names; a `ValueError` says what is wrong with them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

Identities = tuple[Sequence[str] | np.ndarray, Sequence[str] | np.ndarray]


def checked_scores(scores: ArrayLike, same: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns scores as float64 and labels as booleans; a `ValueError` says what is wrong with them."""
    try:
        scores, same = np.asarray(scores), np.asarray(same)
    except ValueError as error:
        raise ValueError(
            f"`scores` and `same` must be of one shape, (n,). Received: lists within a list ({error})"
        ) from error
    if scores.dtype.kind not in "fiub":
        raise ValueError(
            f"`scores` must be numbers. Received: {scores.dtype}, such as {scores.ravel()[:1].tolist()}"
        )
    scores = scores.astype(np.float64)
    if scores.ndim != 1 or scores.shape != same.shape:
        raise ValueError(
            "`scores` and `same` must be of one shape, (n,). Received: "
            f"shapes {scores.shape} and {same.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise ValueError(
            f"`scores` must be finite. Received: {len(bad)} that are not, the first is "
            f"{scores[bad[0]]} at index {bad[0]}. A model whose training "
            "diverged scores NaN: look at its loss"
        )
    if not np.isin(same, (0, 1)).all() or len(np.unique(same)) != 2:
        raise ValueError(
            "`same` must hold both classes, 1 (same person) and 0 (different people). "
            f"Received: {len(same)} pairs with labels {np.unique(same)[:5]}"
        )
    return scores, same == 1


def checked_identities(identities: Identities, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the names on the left and on the right, checked against the labels."""
    lengths = [len(side) for side in identities]
    if lengths != [len(same)] * 2:
        raise ValueError(
            f"`identities` must be two sequences, left and right, of {len(same)} "
            f"names each. Received: lengths {lengths}"
        )
    left, right = (np.asarray(side, np.str_) for side in identities)
    wrong = np.flatnonzero((left == right) != same)
    if len(wrong):
        raise ValueError(
            "`identities` must name one person where `same` is 1, and two where it "
            f"is 0. Received: another label for {len(wrong)} pairs, the first at index {wrong[0]}: "
            f"{left[wrong[0]]} and {right[wrong[0]]}"
        )
    return left, right
