"""Draws results, computes none. Every function returns matplotlib axes and leaves showing them to the caller."""

import os
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .datasets.images import load_image
from .datasets.pairs import Pairs

_RIGHT, _WRONG = "#1b7f4b", "#c0392b"


def learning_curves(
    history: Mapping[str, Sequence[float]], quantity: str = "loss", *, ax: Axes | None = None
) -> Axes:
    """Draws a quantity by epoch, for training and validation (the report's figures 5 and 6).

    Args:
        history: values by name, epoch by epoch: `training.read_history(run_dir)`, or `model.fit(...).history`.
        quantity: the name, such as `"loss"` or `"accuracy"`; its `val_` twin is drawn where it is there.
        ax: where to draw; `None` makes a figure.

    Raises:
        ValueError: if `history` doesn't hold `quantity`.
    """
    if quantity not in history:
        raise ValueError(f"`quantity` must be one of {sorted(history)}. Received: quantity={quantity!r}")
    ax = ax or plt.subplots(figsize=(6, 4), layout="constrained")[1]
    epochs = np.arange(1, len(history[quantity]) + 1)
    ax.plot(epochs, history[quantity], marker=".", label="training")
    if f"val_{quantity}" in history:
        ax.plot(epochs, history[f"val_{quantity}"], marker=".", label="validation")
    ax.set(xlabel="epoch", ylabel=quantity, title=f"{quantity.capitalize()} by epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def pairs_grid(
    pairs: Pairs, scores: Sequence[float] | None = None, threshold: float | None = None, *, columns: int = 4
) -> np.ndarray:
    """Shows pairs of photos side by side, with names, and with scores and verdicts where they are given.

    Args:
        pairs: the pairs, some dozens at most.
        scores: their scores, `(n,)`.
        threshold: from which score on a pair counts as same; green frames are right, red ones wrong.
        columns: pairs a row.

    Returns:
        The axes, one a pair, `(n,)`.

    Raises:
        ValueError: if there are no pairs, or another number of scores.
    """
    if not len(pairs) or (scores is not None and len(scores) != len(pairs)):
        raise ValueError(
            "`pairs` must hold at least one pair, and `scores` one number for each. "
            f"Received: {len(pairs)} pairs, {'no' if scores is None else len(scores)} scores"
        )
    columns = min(columns, len(pairs))
    rows = -(-len(pairs) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.2 * columns, 2.0 * rows), layout="constrained", squeeze=False
    )
    axes = axes.ravel()
    for ax in axes[len(pairs) :]:
        ax.remove()
    for i, ax in enumerate(axes[: len(pairs)]):
        left, right, same = pairs[i]
        photos = [load_image(path, image_size=(250, 250), channels=3) for path in (left, right)]
        ax.imshow(np.concatenate(photos, axis=1))
        ax.set(xticks=[], yticks=[])
        names = [pairs.left_identities[i], *([] if same else [pairs.right_identities[i]])]
        title = " / ".join(name.replace("_", " ") for name in names)
        colour = "black"
        if scores is not None:
            title += f"\n{'same' if same else 'different'}, score {scores[i]:.3f}"
            if threshold is not None:
                right = (scores[i] >= threshold) == bool(same)
                title += f" {'≥' if scores[i] >= threshold else '<'} {threshold:.3f}: {'right' if right else 'wrong'}"
                colour = _RIGHT if right else _WRONG
        ax.set_title(title, fontsize=8, color=colour)
        for spine in ax.spines.values():
            spine.set(color=colour, linewidth=1 if colour == "black" else 3)
    return axes[: len(pairs)]


def save(axes: Axes | np.ndarray, path: str | os.PathLike) -> None:
    """Saves the figure of `axes` as a picture, and closes it."""
    figure = np.ravel(axes)[0].figure
    figure.savefig(path, dpi=110)
    plt.close(figure)
