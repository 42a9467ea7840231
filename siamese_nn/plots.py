"""Draws results, and computes none. Every function returns matplotlib axes; the caller shows them."""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import det_curve, roc_auc_score, roc_curve

from .datasets.images import load_image
from .datasets.pairs import Pairs
from .datasets.photo_folders import some
from .evaluation import equal_error_rate

logger = logging.getLogger(__name__)

_RIGHT, _WRONG = "#1b7f4b", "#c0392b"
# Okabe and Ito's colours, which colour-blind people can distinguish; the line styles help in a grey print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LINES = ("-", "--", "-.", ":")
_QUIET: dict[str, Any] = {"color": "#888888", "linewidth": 1, "linestyle": ":", "zorder": 1}


def learning_curves(
    history: Mapping[str, Sequence[float]],
    quantity: str = "loss",
    *,
    behind: Mapping[str, Sequence[float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws a quantity by epoch, for training and validation (the report's figures 5 and 6).

    Args:
        history: the values of each quantity by epoch: `training.read_history(run_dir)`, or
            `model.fit(...).history`.
        quantity: the name, such as `"loss"` or `"eer"`; this quantity and the one with the prefix `val_` are
            drawn if `history` holds them.
        behind: a published history, which is drawn in grey behind it.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: if `history` holds neither.

    Example:
        >>> learning_curves({"loss": [3, 2], "val_loss": [3, 2.5]}).get_title()
        'Loss by epoch'
    """
    sides = {"training": quantity, "validation": f"val_{quantity}"}
    if not set(sides.values()) & set(history):
        known = sorted({name.removeprefix("val_") for name in history})
        raise ValueError(f"`quantity` must be one of {known}. Received: quantity={quantity!r}")
    ax = ax or _axes()
    for i, (side, name) in enumerate(sides.items()):
        if behind and name in behind:
            _draw_behind(ax, behind[name], f"published, {side}", _LINES[i])
        if name in history:
            epochs = np.arange(1, len(history[name]) + 1)
            ax.plot(epochs, history[name], marker=".", label=side, **_line(i))
    words = quantity.replace("_", " ")
    words = words.upper() if words in ("auc", "eer") else words
    _by_epoch(ax, words)
    ax.legend()
    return ax


def roc(scores: ArrayLike, same: ArrayLike, *, label: str | None = None, ax: Axes | None = None) -> Axes:
    """Draws the ROC curve: the share of same pairs accepted, by the share of different pairs accepted.

    Args:
        scores: `(n,)` floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.
        label: the curve's name in the legend, to which its AUC is added; `None` shows only the AUC.
        ax: the axes to draw on, which may already hold such curves; `None` makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the lengths differ, a score is not finite, or only one class is present.

    Example:
        >>> ax = roc([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0], label="test")
        >>> ax.get_legend_handles_labels()[1]
        ['test (AUC 0.750)']
    """
    equal_error_rate(scores, same)  # raises on what cannot be drawn
    far, tar, _ = roc_curve(same, scores)
    ax = ax or _axes()
    if not ax.lines:
        ax.plot([0, 1], [0, 1], **_QUIET)
    name = f"AUC {roc_auc_score(same, scores):.3f}"
    ax.plot(far, tar, label=f"{label} ({name})" if label else name, **_line(len(ax.lines) - 1))
    ax.set(xlabel="false accepts", ylabel="true accepts", title="ROC", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right")
    return ax


def det(scores: ArrayLike, same: ArrayLike, *, label: str | None = None, ax: Axes | None = None) -> Axes:
    """Draws the detection error trade-off: same pairs rejected, by different pairs accepted.

    Both axes are normal deviates, which stretch the rare errors. They have no place for a share of 0: the
    curve leaves the picture.

    Args:
        scores: `(n,)` floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.
        label: the curve's name in the legend, to which its equal error rate is added; `None` shows only the
            rate.
        ax: the axes to draw on, which may already hold such curves; `None` makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the lengths differ, a score is not finite, or only one class is present.

    Reference:
        Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.

    Example:
        >>> ax = det([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0])
        >>> ax.get_legend_handles_labels()[1]
        ['EER 50.0%']
    """
    name = f"EER {equal_error_rate(scores, same):.1%}"
    rates = np.array(det_curve(same, scores)[:2])
    # Clipped just outside the picture, as in scikit-learn's DetCurveDisplay: the deviate of 0 is infinite.
    smallest = np.finfo(rates.dtype).eps
    far, frr = norm.ppf(rates.clip(smallest, 1 - smallest))
    ax = ax or _axes()
    if not ax.lines:
        ax.plot([-4, 4], [-4, 4], **_QUIET)  # where both errors are equal
    ax.plot(far, frr, label=f"{label} ({name})" if label else name, **_line(len(ax.lines) - 1))
    shares = np.array([0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99])
    names = [f"{100 * share:g}%" for share in shares]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(norm.ppf(shares), names)
    limits = tuple(norm.ppf([0.0009, 0.992]))
    ax.set(xlabel="false accepts", ylabel="false rejects", title="DET", xlim=limits, ylim=limits)
    ax.grid(alpha=0.3)
    ax.legend(loc="upper right")
    return ax


def score_histogram(scores: ArrayLike, same: ArrayLike, threshold: float, ax: Axes | None = None) -> Axes:
    """Draws histograms of the scores of same and of different pairs, with the threshold.

    Args:
        scores: `(n,)` floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.
        threshold: the score from which a pair counts as same.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the lengths differ, a score or the threshold is not finite, or only one class is
            present.

    Example:
        >>> ax = score_histogram([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0], threshold=0.5)
        >>> ax.get_legend_handles_labels()[1]
        ['same', 'different', 'threshold 0.500']
    """
    equal_error_rate(scores, same)  # raises on what cannot be drawn
    if not np.isfinite(threshold):
        raise ValueError(f"`threshold` must be a finite number. Received: threshold={threshold}")
    scores, same = np.asarray(scores, np.float64), np.asarray(same)
    ax = ax or _axes()
    bins = np.histogram_bin_edges(scores, 40)
    for i, (side, label) in enumerate((("same", 1), ("different", 0))):
        own = scores[same == label]
        ax.hist(
            own,
            bins.tolist(),
            weights=np.full(len(own), 1 / len(own)),  # shares, so that both classes have the same area
            label=side,
            linestyle=_LINES[i],
            histtype="stepfilled",
            facecolor=(_COLOURS[i], 0.35),
            edgecolor=_COLOURS[i],
        )
    ax.axvline(threshold, ymax=0.85, color="#888888", label=f"threshold {threshold:.3f}")
    ax.set(xlabel="score (higher is more alike)", ylabel="share of its pairs", title="Scores")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.margins(y=0.2)  # room for the legend
    ax.legend(loc="upper center", ncols=3, columnspacing=1.2, handlelength=1.2)
    return ax


def calibration(probabilities: ArrayLike, same: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draws how often pairs are of one person, by their probability (a reliability diagram).

    Args:
        probabilities: `(n,)` probabilities of the same person, in [0, 1].
        same: `(n,)`, 1 for the same person and 0 for different people.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the lengths differ, a probability is outside [0, 1], or only one class is present.

    Example:
        >>> ax = calibration([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0])
        >>> ax.get_title(), ax.get_xlabel()
        ('Calibration', 'probability given')
    """
    equal_error_rate(probabilities, same)  # raises on what cannot be drawn
    low, high = np.min(probabilities), np.max(probabilities)
    if low < 0 or high > 1:
        raise ValueError(f"`probabilities` must be in [0, 1]. Received: values from {low:g} to {high:g}")
    ax = ax or _axes()
    ax.plot([0, 1], [0, 1], label="perfect", **_QUIET)
    # Bins with equally many pairs: bins of equal width would hold few pairs at either end.
    observed, given = calibration_curve(same, probabilities, n_bins=10, strategy="quantile")
    ax.plot(given, observed, marker="o", label="tenths of the pairs", **_line(0))
    ax.set(
        xlabel="probability given",
        ylabel="share of the same person",
        title="Calibration",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    ax.grid(alpha=0.3)
    ax.legend(loc="upper left")
    return ax


def _panels(count: int, columns: int, width: float, height: float) -> np.ndarray:
    """Makes `count` axes in rows of `columns`, each of `width` x `height` inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    size = (width * columns, height * rows)
    axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)[1].ravel()
    for ax in axes[count:]:
        ax.remove()
    return axes[:count]


def pairs_grid(
    pairs: Pairs,
    scores: Sequence[float] | np.ndarray | None = None,
    threshold: float | None = None,
    *,
    columns: int = 4,
) -> np.ndarray:
    """Shows pairs of photos side by side, with names, and with scores and decisions if they are given.

    Args:
        pairs: the pairs, a few dozen at most.
        scores: their scores, `(n,)`.
        threshold: the score from which a pair counts as same; green frames are correct, red ones wrong.
        columns: pairs per row.

    Returns:
        The axes, one per pair, `(n,)`.

    Raises:
        ValueError: if there are no pairs, or another number of scores.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTest.txt", "faces/lfw2")
        >>> axes = pairs_grid(pairs[:2], scores=[0.8, 0.4], threshold=0.5)
        >>> print(axes[0].get_title())
        Aiko Okafor
        same, score 0.800 ≥ 0.500: right
    """
    if not len(pairs) or (scores is not None and len(scores) != len(pairs)):
        raise ValueError(
            "`pairs` must hold at least one pair, and `scores` one number for each. "
            f"Received: {len(pairs)} pairs, {'no' if scores is None else len(scores)} scores"
        )
    axes = _panels(len(pairs), columns, 3.2, 2.0)
    families, codes = _fonts_for({*pairs.left_identities.tolist(), *pairs.right_identities.tolist()})
    for i, ax in enumerate(axes):
        left, right, same = pairs[i]
        photos = [load_image(path, image_size=(250, 250), channels=3) for path in (left, right)]
        ax.imshow(np.concatenate(photos, axis=1))
        ax.set(xticks=[], yticks=[])
        names = [pairs.left_identities[i], *([] if same else [pairs.right_identities[i]])]
        title = " / ".join(name.replace("_", " ").translate(codes) for name in names)
        colour = "black"
        if scores is not None:
            title += f"\n{'same' if same else 'different'}, score {scores[i]:.3f}"
            if threshold is not None:
                decided = (scores[i] >= threshold) == bool(same)
                title += (
                    f" {'≥' if scores[i] >= threshold else '<'} "
                    f"{threshold:.3f}: {'right' if decided else 'wrong'}"
                )
                colour = _RIGHT if decided else _WRONG
        ax.set_title(title, fontsize=8, color=colour, fontfamily=families)
        for spine in ax.spines.values():
            spine.set(color=colour, linewidth=1 if colour == "black" else 3)
    return axes


def _fonts_for(texts: Iterable[str]) -> tuple[list[str], dict[int, str]]:
    """Returns font families that can draw some texts, and codes such as `U+674E` for missing characters."""
    families = list(plt.rcParams["font.family"])
    lacking = set(map(ord, "".join(texts))) - _characters(
        font_manager.findfont(font_manager.FontProperties(family=families))
    )
    for font in font_manager.fontManager.ttflist:
        if not lacking:
            break
        # The first draws a box for everything, the second has pictures that Matplotlib cannot draw.
        if re.search("last ?resort|emoji", font.name, re.IGNORECASE):
            continue
        if lacking & (own := _characters(font.fname)):
            families.append(font.name)
            lacking -= own
    if lacking:
        logger.warning(
            "no installed font has %s: codes replace them. Install one, such as Noto Sans CJK",
            some([f"{chr(code)} (U+{code:04X})" for code in sorted(lacking)]),
        )
    return families, {code: f"U+{code:04X} " for code in lacking}


@cache
def _characters(font_file: str) -> frozenset[int]:
    try:
        return frozenset(font_manager.get_font(font_file).get_charmap())
    except (OSError, RuntimeError):  # a font format that Matplotlib cannot read
        return frozenset()


def all_curves(
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float]]]],
    quantity: str = "val_accuracy",
    *,
    behind: Sequence[Mapping[str, Sequence[float]]] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draws a quantity by epoch of many experiments in one picture (the report's figures 8 and 9).

    Args:
        histories: the histories of each experiment's runs, as `training.read_history` returns them. All runs
            of an experiment look alike.
        quantity: the name. Losses get a logarithmic axis, since the penalties on weights spread them over
            decades.
        behind: published histories, which are drawn in grey behind them.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: if there are no histories, or one lacks `quantity`.

    Example:
        >>> ax = all_curves({"5.1": [{"val_loss": [3, 2]}], "5.2": [{"val_loss": [4, 3]}]}, "val_loss")
        >>> ax.get_legend_handles_labels()[1]
        ['5.1', '5.2']
    """
    lacking = [name for name, runs in histories.items() if not all(quantity in history for history in runs)]
    if lacking or not histories:
        raise ValueError(
            f"`histories` must hold {quantity!r} of every run. Received: "
            f"{f'none of {lacking}' if lacking else 'no runs'}"
        )
    ax = ax or _axes((10, 6))
    for i, history in enumerate(behind):
        _draw_behind(ax, history[quantity], None if i else "published")
    # Ten colours and four line styles; both change from one curve to the next.
    colours = [plt.get_cmap("tab10")(i) for i in range(10)]
    for i, (name, runs) in enumerate(histories.items()):
        style: dict[str, Any] = {
            "color": colours[i % 10],
            "linestyle": _LINES[(i + i // 20) % 4],
            "linewidth": 1.2,
        }
        style |= {"marker": ".", "markevery": [-1]}  # marks the end, also after a single epoch
        for j, history in enumerate(runs):
            epochs = np.arange(1, len(history[quantity]) + 1)
            ax.plot(epochs, history[quantity], label=None if j else name, **style)
    words = quantity.replace("val_", "validation ").replace("_", " ")
    _by_epoch(ax, words)
    if quantity.endswith("loss"):
        ax.set_yscale("log")
    columns = -(-len(histories) // 16)
    ax.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1), ncols=columns, fontsize=8, handlelength=3, borderaxespad=0
    )
    return ax


def curves_by_setting(
    settings: Mapping[str, tuple[Sequence[Sequence[float]], Sequence[Sequence[float]]]], words: str
) -> np.ndarray:
    """Draws a quantity by epoch, published and ours, with one panel per setting.

    Args:
        settings: the published curves and ours by title; either may be empty.
        words: the quantity's name. Losses get a logarithmic axis.

    Returns:
        The axes, one per setting.

    Raises:
        ValueError: if there are no settings.

    Example:
        >>> axes = curves_by_setting({"5.1": ([[3, 2]], [[3, 2.5], [3, 2.4]])}, "validation loss")
        >>> axes[0].get_title()
        '5.1'
    """
    if not settings:
        raise ValueError("`settings` must hold at least one setting. Received none")
    axes = _panels(len(settings), 4, 3.4, 2.6)
    for ax, (title, (published, ours)) in zip(axes, settings.items(), strict=True):
        for i, curve in enumerate(published):
            _draw_behind(ax, curve, None if i else "published")
        for i, curve in enumerate(ours):
            style = {"color": _COLOURS[0], "linewidth": 1.2}
            ax.plot(np.arange(1, len(curve) + 1), curve, label=None if i else "ours", **style)
        ax.set_title(title, fontsize=9)
        ax.grid(alpha=0.3)
        if words.endswith("loss"):
            ax.set_yscale("log")
    for ax in axes[::4]:
        ax.set_ylabel(words)
    handles = {
        label: handle
        for ax in axes[: len(settings)]
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure: Any = axes[0].figure
    figure.supxlabel("epoch")
    figure.legend(handles.values(), handles, loc="outside lower right", ncols=2)
    return axes


def hyperparameter_effects(effects: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> np.ndarray:
    """Draws each hyper-parameter's effect on the test accuracy, published and ours (the report's figure 7).

    Args:
        effects: for each hyper-parameter, groups of experiments that differ in nothing else, as
            `studies.reproduction.effects` returns them: each experiment with its `value`, and in
            percent the `published` accuracy, `ours`, and the `deviation` of ours over seeds (NaN where
            there is none). A line joins a group.

    Returns:
        The axes, one per hyper-parameter that has groups; if none has, one that says so.

    Example:
        >>> from siamese_nn import plots
        >>> points = [dict(value=size, published=70.0, ours=71.0, deviation=1.0) for size in (32, 64)]
        >>> axes = plots.hyperparameter_effects({"batch_size": [points]})
        >>> axes[0].get_title()
        'batch size'
    """
    effects = {name: groups for name, groups in effects.items() if groups}
    if not effects:
        ax = _axes((5, 1.5))
        ax.set_axis_off()
        ax.text(0.5, 0.5, "No two of the experiments differ in one setting alone.", ha="center", va="center")
        return np.array([ax])
    columns = min(4, len(effects))
    rows = -(-len(effects) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.4 * columns, 3 * rows), layout="constrained", squeeze=False, sharey=True
    )
    axes = axes.ravel()
    for ax in axes[len(effects) :]:
        ax.remove()
    for ax, (name, groups) in zip(axes, effects.items(), strict=False):
        distinct = {point["value"] for group in groups for point in group}
        values = sorted(distinct, key=lambda value: value if isinstance(value, (int, float)) else str(value))
        for i, side in enumerate(("published", "ours")):
            style = {**_line(i), "marker": "os"[i], "markersize": 4, "capsize": 2}
            for j, group in enumerate(groups):
                group = sorted(group, key=lambda point: values.index(point["value"]))
                # Side by side, since many accuracies are nearly the same.
                where = [values.index(point["value"]) + (i - 0.5) * 0.04 * len(values) for point in group]
                deviations = [point["deviation"] for point in group] if side == "ours" else None
                ax.errorbar(
                    where,
                    [point[side] for point in group],
                    deviations,
                    label=None if j else side,
                    **style,
                )
        ax.set_xticks(
            range(len(values)), [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        )
        ax.set(title=name.replace("_", " "), xlim=(-0.4, len(values) - 0.6))
        ax.grid(alpha=0.3)
    for ax in axes[: len(effects) : columns]:
        ax.set_ylabel("test accuracy, %")
    handles = {
        label: handle
        for ax in axes[: len(effects)]
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside lower right", ncols=2)
    return axes[: len(effects)]


def search_trials(
    values: Sequence[float],
    settings: Mapping[str, Sequence[Any]],
    *,
    words: str = "value",
    larger_is_better: bool = True,
) -> np.ndarray:
    """Draws what the trials of a search came to: in their order, and by each setting.

    Args:
        values: what was searched for, one a trial.
        settings: by name what each trial had: numbers, texts, or lists.
        words: what the values are.
        larger_is_better: whether the best so far is the largest; else the smallest.

    Returns:
        The axes: that of the order, with a line for the best so far, then one a setting.

    Raises:
        ValueError: if there are no trials, or a setting has another number of them.

    Example:
        >>> axes = search_trials([0.7, 0.8], {"learning_rate": [1e-4, 1e-2]}, words="AUC")
        >>> [ax.get_xlabel() for ax in axes]
        ['trial', 'learning rate']
    """
    counts = {name: len(own) for name, own in settings.items()}
    if not len(values) or set(counts.values()) - {len(values)}:
        raise ValueError(
            "`settings` must hold one entry for each of `values`, and at least one. Received: "
            f"{len(values)} values, settings={counts}"
        )
    axes = _panels(1 + len(settings), 4, 2.8, 2.6)
    best = (np.maximum if larger_is_better else np.minimum).accumulate(values)
    axes[0].step(np.arange(1, len(values) + 1), best, where="post", label="best so far", **_line(1))
    columns: list[tuple[str, Sequence[Any]]] = [("trial", range(1, len(values) + 1)), *settings.items()]
    for ax, (name, own) in zip(axes, columns, strict=True):
        numbers = all(isinstance(value, int | float) for value in own)
        ax.plot(own if numbers else list(map(str, own)), values, "o", color=_COLOURS[0], markersize=4)
        ax.set_xlabel(name.replace("_", " "))
        ax.grid(alpha=0.3)
        if name == "trial":
            ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        elif numbers and 0 < 10 * min(own) < max(own):
            ax.set_xscale("log")
            ax.xaxis.set_minor_formatter(NullFormatter())  # its numbers would overlap
    for ax in axes[::4]:
        ax.set_ylabel(words)
    axes[0].legend()
    return axes


def save(axes: Axes | np.ndarray, path: str | os.PathLike) -> None:
    """Saves the figure of `axes` as a picture, and closes it.

    Args:
        axes: the axes, or an array of axes of one figure.
        path: the file to make or replace; its ending decides the format.

    Example:
        >>> save(roc([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0]), "roc.png")
        >>> os.path.getsize("roc.png") > 0
        True
    """
    figure: Any = (axes if isinstance(axes, Axes) else axes.ravel()[0]).figure
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_behind(ax: Axes, values: Sequence[float], label: str | None, linestyle: str = "-") -> None:
    style: dict[str, Any] = {"color": "#aaaaaa", "linewidth": 2, "linestyle": linestyle, "zorder": 1}
    ax.plot(np.arange(1, len(values) + 1), values, label=label, **style)


def _axes(size: tuple[float, float] = (6, 4)) -> Axes:
    return plt.subplots(figsize=size, layout="constrained")[1]


def _by_epoch(ax: Axes, words: str) -> None:
    ax.set(xlabel="epoch", ylabel=words, title=f"{words[:1].upper()}{words[1:]} by epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if words.endswith("accuracy"):
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(alpha=0.3)


def _line(i: int) -> dict:
    """How the `i`-th line of a picture looks."""
    return {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _LINES[i % len(_LINES)]}
