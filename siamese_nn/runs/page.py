"""Pages in one file that open anywhere: what a run has come to, and several runs side by side."""

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .. import plots
from ..datasets.images import ImageError, load_image
from ..evaluation import Calibration, VerificationReport
from ..evaluation.metrics import COSTS
from ..recipes.in_words import in_words, kind_of
from . import html_page
from .folder import PAGE
from .html_page import Picture, percent
from .measured import LEAKS, RunFolder, finishing
from .summary import person_and_file, without_empty

_SETS = {"train": "training", "validation": "validation", "test": "test"}
_ROW = [
    *("Accuracy", "AUC", "EER", "TAR at FAR 10%", "TAR at FAR 1%", "TAR at FAR 0.1%"),
    *(words.replace("Minimal", "Min.") for words in COSTS.values()),
]
_DECISIONS = [
    *("True accepts", "False rejects", "False accepts", "True rejects"),
    *("Accuracy", "Fixed threshold", "Hindsight"),
]
_SHOWN = 6  # pairs of each kind
_PHOTO = 144  # pixels of a photo's longer side


@dataclass(frozen=True)
class Shown:
    """What the curves and the pairs of a page are made of, where it is no `RunFolder`: one set of pairs."""

    scores: dict[str, dict[str, list]]
    best: dict[str, VerificationReport]
    calibration: Calibration
    recipe: dict[str, Any]
    shown: str = "test"

    def probabilities(self, name: str) -> np.ndarray:
        """Of each pair, that it is of one person."""
        return self.calibration.probability(np.array(self.scores[name]["best"]))


def write_run_report(run_dir: str | os.PathLike, output: str | os.PathLike | None = None) -> Path:
    """Writes the page of a run: what was done, curves, figures with intervals, worst and surest pairs.

    The page loads nothing from elsewhere. It holds small copies of the photos that it shows: whoever gets the
    page gets them.

    Args:
        run_dir: folder of a run that was measured, finished or interrupted, as `training.train` leaves it.
        output: file to write; `None` makes it `report.html` in `run_dir`.

    Returns:
        The path of the page.

    Raises:
        ValueError: if `run_dir` isn't such a folder; the message says what is missing.

    Example:
        ```python
        training.train(recipe, train, val, "runs/mine", test=test)
        page.write_run_report("runs/mine")
        ```
    """
    run = RunFolder(run_dir)
    return write_page(run, output or run.dir / PAGE)


def write_page(run: RunFolder, output: str | os.PathLike) -> Path:
    """Writes a run's page to `output`, and returns that; see `write_run_report`."""
    headline, intervals = figures_of(run.best[run.shown])
    settings = _settings(run)
    with html_page.style():
        return html_page.write_page(
            output,
            "run.html",
            title=run.name,
            run=run,
            leaks=LEAKS,
            finished=finishing(run.recipe),
            as_seen=_as_seen(run.recipe),
            settings=settings,
            learning_note=_learning_note(run),
            pairs=[
                [_SETS.get(name, name), data["same"], data["different"], data["people"], data["sha256"][:12]]
                for name, data in run.data.items()
            ],
            headline=headline,
            headline_intervals=intervals,
            learning=_learning(run),
            curves=shown_curves(run),
            calibration=shown_calibration(run),
            **_figures(run),
            **shown_pairs(run),
        )


def compare_runs(run_dirs: Sequence[str | os.PathLike], output: str | os.PathLike) -> Path:
    """Writes a page that compares runs: their figures in one table, their ROC curves, and how they differ.

    Args:
        run_dirs: folders of at least two runs, as for `write_run_report`. The page compares the test pairs;
            if a run has none, it compares the validation pairs of all.
        output: file to write.

    Returns:
        The path of the page.

    Raises:
        ValueError: if there are fewer than two runs, or a folder isn't a run's.
    """
    if len(run_dirs) < 2:
        raise ValueError(f"`run_dirs` must name at least two runs. Received: {len(run_dirs)}")
    runs = [RunFolder(run_dir) for run_dir in run_dirs]
    if len({run.name for run in runs}) < len(runs):
        for run in runs:
            run.name = str(run.dir)
    shown = "test" if all(run.shown == "test" for run in runs) else "validation"
    if without := [str(run.dir) for run in runs if shown not in run.scores]:
        raise ValueError(
            f"`run_dirs` must all have test pairs, or all validation pairs. Received: {without[0]}, which "
            "nobody has validated, beside a run without test pairs. Leave one out"
        )
    warnings = [f"{run.name}: {warning}" for run in runs for warning in run.warnings()]
    if len({run.data[shown]["sha256"] for run in runs}) > 1:
        warnings.insert(
            0, f"The runs have different {shown} pairs, so their figures say little about each other."
        )
    values = {run: _settings(run) for run in runs}
    names = dict.fromkeys(name for run in runs for name in values[run])
    varied = [name for name in names if len({values[run].get(name) for run in runs}) > 1]
    header, rows = without_empty(
        ["Run", "Pairs", *_ROW],
        [
            [f"{number}. {run.name}", run.best[shown].n_pairs, *_row(run.best[shown])]
            for number, run in enumerate(runs, 1)
        ],
    )
    with html_page.style():
        return html_page.write_page(
            output,
            "comparison.html",
            title="Runs side by side",
            n_runs=len(runs),
            shown=shown,
            warnings=warnings,
            figures_header=header,
            figures_rows=rows,
            figures_intervals=_intervals(run.best[shown] for run in runs),
            curves=_roc_of_all(runs, shown),
            varied=varied,
            settings=[[run.name, *(values[run].get(name, "-") for name in varied)] for run in runs],
        )


def _roc_of_all(runs: Sequence[RunFolder], shown: str) -> Picture:
    ax = html_page.axes()
    for number, run in enumerate(runs, 1):
        plots.roc(run.scores[shown]["best"], run.scores[shown]["same"], label=f"run {number}", ax=ax)
    aucs = ", ".join(f"{run.name}: AUC {run.best[shown].auc:.3f}" for run in runs)
    caption = "True accepts by false accepts; the runs as the table numbers them. Dotted: chance."
    return html_page.figure(ax, f"ROC curves. {aucs}.", caption)


def _settings(run: RunFolder) -> dict[str, str]:
    """The settings that play a part in a run, in words."""
    settings, names = in_words(run.recipe), run.scores[run.judged]["left_identities"]
    letters = str(run.recipe.get("letters", "")).upper()
    if "letters" in settings and not all(name[:1].upper() in letters for name in names):
        del settings["letters"]  # the people were split otherwise
    return settings


def _learning(run: RunFolder) -> list[Picture]:
    best, pictures = run.results.best_epoch, []
    finished, notes = finishing(run.recipe), _quantity_notes(run.recipe)
    for name in dict.fromkeys(name.removeprefix("val_") for name in run.history):
        if name in ("epoch", "seconds"):
            continue
        ax = plots.learning_curves(run.history, name, ax=html_page.axes())
        ax.axvline(best, color="#888888", linewidth=1, linestyle=":")
        sides = {"training": name, "validation": f"val_{name}"}
        values = [
            f"{side} {run.history[column][best - 1]:.3g}"
            for side, column in sides.items()
            if column in run.history
        ]
        words = f"{ax.get_title()}{notes.get(name, '')}. At epoch {best}, the one kept: {', '.join(values)}"
        of_pairs = name in ("auc", "eer", "verification_accuracy")
        words += f", without {finished}." if finished and of_pairs else "."
        pictures.append(html_page.figure(ax, words, words))
    return pictures


def _quantity_notes(recipe: Mapping[str, Any]) -> dict[str, str]:
    """What a logged quantity is, where its name alone would mislead."""
    notes = {"verification_accuracy": ", at each epoch's best threshold for these very pairs"}
    kind = kind_of(recipe) if "model" in recipe else None
    if kind == "classes":
        notes["accuracy"] = ": the share of training photos whose person is named rightly"
    elif kind == "pairs":
        notes["accuracy"] = ", at the threshold that the model is made for"
    elif kind == "teacher":
        notes["loss"] = ": the cosine to what the teacher says of a photo, negative, so that -1 is the best"
    return notes


def _learning_note(run: RunFolder) -> str:
    """Says which figure of a quantity is which, where the curves and the tables both have it."""
    finished, best, compared = finishing(run.recipe), run.results.best_epoch, []
    words = (
        "A training value is the mean over an epoch, in which the network changes; the tables below measure "
    )
    words += "it as the epoch leaves it."
    if not finished:
        return words
    for column, name, form in (("val_auc", "AUC", "{:.3f}"), ("val_eer", "EER", "{:.1%}")):
        if column in run.history:
            before, after = run.history[column][best - 1], getattr(run.best["validation"], name.lower())
            compared.append(f"{name} {form.format(before)} without, and {form.format(after)} with {finished}")
    words += f" The curves show it without {finished}; the tables, and all curves below, with {finished}."
    if compared:
        words += f" On the validation pairs, epoch {best} has {'; '.join(compared)}."
    return words


def _figures(run: RunFolder) -> dict[str, Any]:
    """What the section on the figures shows: two tables, each with a row for a model on a set of pairs."""
    named = {
        f"{model}, {_SETS.get(of, of)}": each
        for model, sets in run.results.models.items()
        for of, each in sets.items()
    }
    counts = ("true_accepts", "false_rejects", "false_accepts", "true_rejects")
    figures = without_empty(
        ["Model and pairs", "Pairs", "Loss", *_ROW],
        [
            [name, each.n_pairs, "-" if each.loss is None else f"{each.loss:.4f}", *_row(each)]
            for name, each in named.items()
        ],
    )
    decisions = without_empty(
        ["Model and pairs", "Threshold", *_DECISIONS],
        [
            [
                name,
                f"{each.threshold:.4f}",
                *(each.confusion[count] for count in counts),
                *map(percent, (each.accuracy, each.accuracy_at_half, each.best_accuracy)),
            ]
            for name, each in named.items()
        ],
    )
    return {
        **dict(zip(("figures_header", "figures_rows"), figures, strict=True)),
        "figures_intervals": _intervals(named.values()),
        "has_dashes": any(value in ("-", ("-", "")) for row in figures[1] for value in row),
        **dict(zip(("decisions_header", "decisions_rows"), decisions, strict=True)),
    }


def shown_curves(run: RunFolder | Shown) -> list[Picture]:
    """ROC and DET of all sets of pairs, and the scores of those that are held out."""
    roc, det = html_page.axes(), html_page.axes()
    names = [name for name in ("test", "validation", "train") if name in run.scores]
    for name in names:
        for draw, ax in ((plots.roc, roc), (plots.det, det)):
            draw(run.scores[name]["best"], run.scores[name]["same"], label=_SETS[name], ax=ax)
    auc = ", ".join(f"{_SETS[name]} {run.best[name].auc:.3f}" for name in names)
    eer = ", ".join(f"{_SETS[name]} {run.best[name].eer:.1%}" for name in names)
    stretched = (
        "DET: false rejects by false accepts, both stretched where they are rare. "
        "Dotted: where they are equal."
    )
    pictures = [
        html_page.figure(
            roc, f"ROC curves. AUC: {auc}.", "ROC: true accepts by false accepts. Dotted: chance."
        ),
        html_page.figure(det, f"DET curves. Equal error rates: {eer}.", stretched),
    ]
    for name in names:
        if name == "train":
            continue
        own, threshold, wrong = run.scores[name], run.best[name].threshold, run.best[name].confusion
        ax = plots.score_histogram(own["best"], own["same"], threshold, ax=html_page.axes())
        ax.set_title(f"Scores of the {name} pairs")
        words = (
            f"Scores of the {name} pairs: {wrong['false_accepts']:,} different ones reach the threshold, "
            f"{wrong['false_rejects']:,} same ones don't."
        )
        pictures.append(html_page.figure(ax, f"Histograms. {words}", words))
    return pictures


def shown_calibration(run: RunFolder | Shown) -> Picture | None:
    """How often the probabilities are right; `None` where there are none."""
    if run.calibration is None:
        return None
    probabilities, same = run.probabilities(run.shown), run.scores[run.shown]["same"]
    return html_page.figure(
        plots.calibration(probabilities.tolist(), same, ax=html_page.axes()),
        f"Reliability diagram. Mean probability {probabilities.mean():.1%}, share of same pairs "
        f"{np.mean(same):.1%}.",
        f"Calibration on the {run.shown} pairs, in ten groups of equally many.",
    )


def shown_pairs(run: RunFolder | Shown) -> dict[str, Any]:
    """What the section on single pairs shows: by verdict the worst and the surest."""
    own, threshold = run.scores[run.shown], run.best[run.shown].threshold
    scores, same = np.array(own["best"]), np.array(own["same"]) == 1
    probabilities = None if run.calibration is None else run.probabilities(run.shown)
    accepted, order, examples = scores >= threshold, np.argsort(scores, kind="stable"), []
    missing: set[str] = set()
    for verdict, title, error in (
        (True, "Taken for the same person", "false accepts"),
        (False, "Taken for different people", "false rejects"),
    ):
        surest_first = order[::-1] if verdict else order
        groups = []
        for truth, kind, words in (
            (not verdict, "wrong", f"Wrongly: the worst {error}"),
            (verdict, "right", "Rightly: the surest"),
        ):
            chosen = surest_first[((accepted == verdict) & (same == truth))[surest_first]]
            pairs = []
            for i in chosen[:_SHOWN].tolist():
                people = [own[f"{side}_identities"][i] for side in ("left", "right")]
                photos = [
                    _photo(path, person, run.recipe)
                    for path, person in zip((own["left"][i], own["right"][i]), people, strict=True)
                ]
                names = [person.replace("_", " ") for person in people]
                missing.update(photo.alt for photo in photos if not photo.source)
                pairs.append(
                    {
                        "photos": photos,
                        "who": names[0] if own["same"][i] else " / ".join(names),
                        "score": own["best"][i],
                        "probability": None if probabilities is None else float(probabilities[i]),
                    }
                )
            groups.append({"kind": kind, "title": words, "pairs": pairs, "n": len(chosen)})
        examples.append({"title": title, "groups": groups})
    return {"examples": examples, "n_missing": len(missing)}


def _photo(path: str, person: str, recipe: Mapping[str, Any]) -> Picture:
    """A photo, small, as the network gets it; where it can't be read, its name."""
    height, width = recipe.get("image_size", (1, 1))
    size = tuple(max(1, round(side * _PHOTO / max(height, width))) for side in (height, width))
    try:
        pixels = load_image(
            path, image_size=size, crop=recipe.get("crop"), channels=recipe.get("channels", 3)
        )
    except ImageError:
        return Picture("", person_and_file(path, person))
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "JPEG", quality=85)
    source = html_page.data_address(buffer.getvalue(), "image/jpeg")
    return Picture(source, person_and_file(path, person))


def _as_seen(recipe: dict[str, Any]) -> str:
    part = "the middle {} x {} pixels".format(*recipe["crop"]) if recipe.get("crop") else "whole"
    return f"{part}, in {'grey' if recipe.get('channels') == 1 else 'colour'}"


def figures_of(report: VerificationReport) -> tuple[dict[str, Any], str]:
    """Returns the figures by their names, each with its interval, and what these are over."""
    return dict(zip(_ROW, _row(report), strict=True)), _intervals([report])


def _row(figures: VerificationReport) -> list[Any]:
    """The figures of `_ROW`, each with its interval; empty where it has none."""
    row: list[Any] = []
    for form, value, interval in (
        ("{:.1%}", figures.accuracy, figures.accuracy_interval),
        ("{:.3f}", figures.auc, figures.auc_interval),
        ("{:.1%}", figures.eer, figures.eer_interval),
    ):
        row.append((form.format(value), " to ".join(map(form.format, interval or ()))))
    for far in ("0.1", "0.01", "0.001"):
        interval = figures.tar_intervals.get(far)
        row.append((percent(figures.tar_at_far.get(far)), " to ".join(map(percent, interval or ()))))
    for name in COSTS:
        cost, interval = getattr(figures, name), getattr(figures, f"{name}_interval")
        row.append(
            ("-" if cost is None else f"{cost:.3f}", " to ".join(map("{:.3f}".format, interval or ())))
        )
    return row


def _intervals(figures: Iterable[VerificationReport]) -> str:
    words = {
        "people": "The 95% intervals are over people, since pairs that share somebody are not independent.",
        "pairs": "The 95% intervals are over pairs, as if these were independent; "
        "people recur in them, so that the true ones are wider.",
    }
    return " ".join(words[over] for over in sorted({each.interval_over for each in figures}))
