"""One page that says what a run has come to, in one file that opens anywhere; and one that sets runs side by side."""

import io
import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .. import plots
from ..datasets.images import ImageError, load_image
from . import html_page
from .folder import PAGE, RunFolder, finishing
from .html_page import section, table, text

_SETS = {"train": "training", "validation": "validation", "test": "test"}
_ROW = ["Accuracy", "AUC", "EER", "TAR at FAR 10%", "TAR at FAR 1%", "TAR at FAR 0.1%"]
_SHOWN = 6  # pairs of each kind
_PHOTO = 144  # pixels of a photo's longer side


def write_run_report(run_dir: str | os.PathLike, output: str | os.PathLike | None = None) -> Path:
    """Writes a run's page: what was done, curves, figures with intervals, and where it was most wrong and most right.

    Nothing on the page is loaded from elsewhere: the photos of the pairs it shows are in it, small. Who gets it, gets them.

    Args:
        run_dir: the folder of a run that was measured, as `training.train` leaves it, finished or interrupted.
        output: the file to write; `None` makes it `report.html` in `run_dir`.

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
    sections = (_head, _what_was_done, _learning, _figures, _curves, _calibration, _examples)
    with html_page.style():
        parts = [make(run) for make in sections]
    return html_page.write_page(output, run.name, parts)


def compare_runs(run_dirs: Sequence[str | os.PathLike], output: str | os.PathLike) -> Path:
    """Writes a page with the figures of several runs in one table, their ROC curves in one picture, and how they differ.

    Args:
        run_dirs: the folders of at least two runs, as for `write_run_report`. The test pairs are compared, or, where a run
            has none, the validation pairs of all.
        output: the file to write.

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
    warnings = [f"{run.name}: {warning}" for run in runs for warning in run.warnings()]
    if len({run.data[shown]["sha256"] for run in runs}) > 1:
        warnings.insert(
            0, f"The runs have different {shown} pairs, so their figures say little about each other."
        )
    with html_page.style():
        ax = html_page.axes()
        for number, run in enumerate(runs, 1):
            plots.roc(run.scores[shown]["best"], run.scores[shown]["same"], label=f"run {number}", ax=ax)
        alt = ", ".join(f"{run.name}: AUC {run.best[shown]['auc']:.3f}" for run in runs)
        curves = html_page.figure(
            ax,
            f"ROC curves. {alt}.",
            "True accepts by false accepts; the runs as the table numbers them. Dotted: chance.",
        )
    values = {run: {name: _plain(value) for name, value in run.recipe.items()} for run in runs}
    names = dict.fromkeys(name for run in runs for name in run.recipe)
    varied = [name for name in names if len({values[run].get(name) for run in runs}) > 1]
    settings = [[run.name, *(values[run].get(name, "-") for name in varied)] for run in runs]
    parts = [
        "<header><h1>Runs side by side</h1>",
        text(f"The best epoch of {len(runs)} runs, on their {shown} pairs."),
        html_page.notices(warnings),
        "</header>",
        section(
            "Figures",
            table(
                f"Figures on the {shown} pairs; below each its 95% interval.",
                ["Run", "Pairs", *_ROW],
                [
                    [f"{number}. {run.name}", _pairs(run.best[shown]), *_row(run.best[shown])]
                    for number, run in enumerate(runs, 1)
                ],
            ),
            text(_intervals(run.best[shown] for run in runs)),
        ),
        section("ROC", curves),
        section(
            "Recipes",
            table("The settings that differ.", ["Run", *varied], settings)
            if varied
            else text("All runs have the same settings."),
        ),
    ]
    return html_page.write_page(output, "Runs side by side", parts)


def _head(run: RunFolder) -> str:
    figures, people = run.best[run.shown], run.data[run.shown]["people"]
    row = dict(zip(_ROW, _row(figures), strict=True))
    terms = (
        f"<div><dt>{term}</dt><dd>{html_page.cell(row[term])}</dd></div>"
        for term in ("Accuracy", "AUC", "EER", "TAR at FAR 1%")
    )
    unseen = " whom it has never seen" if run.shown == "test" else ""
    finished = f", with {words}," if (words := finishing(run.recipe)) else ""
    return (
        f"<header>{text('Face verification run', 'kind')}<h1>{escape(run.name)}</h1>"
        + html_page.notices(run.warnings())
        + text(
            f"The best epoch's model{finished} on {_pairs(figures):,} {run.shown} pairs of {people:,} people{unseen}:"
        )
        + f"<dl>{''.join(terms)}</dl>{text(_intervals([figures]), 'note')}</header>"
    )


def _what_was_done(run: RunFolder) -> str:
    recipe, results = run.recipe, run.results
    words = {name: _plain(value) for name, value in recipe.items()}
    clauses = []
    for clause in (
        "The model {model}",
        "over the backbone {backbone}",
        f"sees photos of {{image_size}} pixels ({_as_seen(recipe)}).",
        "It learns with {optimizer} at a rate of {learning_rate}.",
        "It stops after {patience} epochs without a better one, or after {epochs}.",
    ):
        try:
            clauses.append(clause.format_map(words))
        except KeyError:  # not every recipe has every setting
            continue
    if run.photos is not None:
        clauses.append(f"It learns from {run.photos['photos']:,} photos of {run.photos['people']:,} people.")
    apart = {
        "identities": "The pairs are split by identity: nobody is in two of the sets.",
        "report": "The pairs are split by the report's letters: training and validation share people.",
    }.get(results["split"], f"The split of the pairs is {results['split']}.")
    rows = [
        [_SETS.get(name, name), data["same"], data["different"], data["people"], data["sha256"][:12]]
        for name, data in run.data.items()
    ]
    settings = table("The recipe.", ["Setting", "Value"], words.items())
    return section(
        "What was done",
        text(" ".join(clauses)),
        text(
            f"{_pretraining(results)} {results['epochs']} epochs in {results['seconds'] / 60:.1f} minutes on {results['device']}, "
            f"with seed {results['seed']} and siamese_nn {run.version}; the best epoch was {results['best_epoch']}, "
            f"by {results.get('monitor', 'val_loss')}. {apart}"
        ),
        table("The pairs.", ["Set", "Same", "Different", "People", "SHA-256 begins"], rows),
        f"<details><summary>All settings</summary>{settings}</details>",
    )


def _pretraining(results: dict) -> str:
    before = results.get("pretraining")
    if before is None:
        return "It has trained for"
    return f"After a pretraining of {before['epochs']} epochs in {before['seconds'] / 60:.1f} minutes it has trained for"


def _learning(run: RunFolder) -> str:
    best, figures = run.results["best_epoch"], []
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
        words = f"At the best epoch, {best}: {', '.join(values)}."
        if finished := finishing(run.recipe):
            words += f" Of the embedding as trained, before {finished}; the figures below are of it with {finished}."
        figures.append(html_page.figure(ax, f"{ax.get_title()}. {words}", f"{ax.get_title()}. {words}"))
    return section("Learning", f"<div class='plates'>{''.join(figures)}</div>")


def _figures(run: RunFolder) -> str:
    models = {"best epoch": run.best, "last epoch": run.results["figures"].get("last", {})}
    models["raw pixels"] = run.results["raw_pixels"]
    named = [
        (f"{model}, {_SETS.get(of, of)}", each) for model, sets in models.items() for of, each in sets.items()
    ]
    figures = [
        [name, _pairs(each), f"{each['loss']:.4f}" if "loss" in each else "-", *_row(each)]
        for name, each in named
    ]
    decisions = [
        [
            name,
            f"{each['threshold']:.4f}",
            *(
                each["confusion"][k]
                for k in ("true_accepts", "false_rejects", "false_accepts", "true_rejects")
            ),
            *(_share(each.get(k)) for k in ("accuracy", "accuracy_at_half", "best_accuracy")),
        ]
        for name, each in named
    ]
    words = [
        "True accepts",
        "False rejects",
        "False accepts",
        "True rejects",
        "Accuracy",
        "Fixed threshold",
        "Hindsight",
    ]
    chosen, finished = run.best["validation"], finishing(run.recipe)
    made = f" Those of the best and the last epoch are with {finished}." if finished else ""
    return section(
        "Figures",
        table(
            f"The figures; below each its 95% interval.{made}",
            ["Model and pairs", "Pairs", "Loss", *_ROW],
            figures,
        ),
        text(
            f"The best epoch's threshold, {chosen['threshold']:.4f}, is the one of highest accuracy on the {_pairs(chosen):,} "
            "validation pairs; no other pairs had a say in it. Each other model's is chosen in the same way. "
            + _intervals(each for _, each in named)
        ),
        text(
            "AUC is the area under the ROC curve, 0.5 by chance. EER is the equal error rate, where false accepts are as "
            "frequent as false rejects. TAR at FAR is the share of same pairs accepted where at most that share of "
            "different ones is; a dash says that there are too few different pairs to tell."
        ),
        table("Decisions at the threshold.", ["Model and pairs", "Threshold", *words], decisions),
        text(
            "Fixed threshold: the accuracy at the one that the model was made for, where it has one. Hindsight: the accuracy at "
            "the best threshold for these very pairs, which nobody could have known: it flatters."
        ),
    )


def _curves(run: RunFolder) -> str:
    roc, det = html_page.axes(), html_page.axes()
    names = [name for name in ("test", "validation", "train") if name in run.scores]
    for name in names:
        for draw, ax in ((plots.roc, roc), (plots.det, det)):
            draw(run.scores[name]["best"], run.scores[name]["same"], label=_SETS[name], ax=ax)
    auc = ", ".join(f"{_SETS[name]} {run.best[name]['auc']:.3f}" for name in names)
    eer = ", ".join(f"{_SETS[name]} {run.best[name]['eer']:.1%}" for name in names)
    stretched = "DET: false rejects by false accepts, both stretched where they are rare. Dotted: where they are equal."
    figures = [
        html_page.figure(
            roc, f"ROC curves. AUC: {auc}.", "ROC: true accepts by false accepts. Dotted: chance."
        ),
        html_page.figure(det, f"DET curves. Equal error rates: {eer}.", stretched),
    ]
    for name in names:
        if name == "train":
            continue
        own, threshold, wrong = run.scores[name], run.best[name]["threshold"], run.best[name]["confusion"]
        ax = plots.score_histogram(own["best"], own["same"], threshold, ax=html_page.axes())
        ax.set_title(f"Scores of the {name} pairs")
        words = (
            f"Scores of the {name} pairs: {wrong['false_accepts']:,} different ones reach the threshold, "
            f"{wrong['false_rejects']:,} same ones don't."
        )
        figures.append(html_page.figure(ax, f"Histograms. {words}", words))
    return section("Scores of the best epoch", f"<div class='plates'>{''.join(figures)}</div>")


def _calibration(run: RunFolder) -> str:
    if run.calibration is None:
        return section(
            "Calibration", text("The run has no verifier.json, so its scores have no probabilities.")
        )
    probabilities, same = run.probabilities(run.shown), np.array(run.scores[run.shown]["same"])
    ax = plots.calibration(probabilities, same, ax=html_page.axes())
    figure = html_page.figure(
        ax,
        f"Reliability diagram. Mean probability {probabilities.mean():.1%}, share of same pairs {same.mean():.1%}.",
        f"Calibration on the {run.shown} pairs, in ten groups of equally many.",
    )
    slope, intercept = run.calibration.slope, run.calibration.intercept
    words = text(
        f"The probability that a pair is of one person is 1 / (1 + exp(-(a score + b))), with a = {slope:.4g} and "
        f"b = {intercept:.4g} fitted on the validation pairs. On the dotted line it means what it says: of the pairs that were "
        "given 70%, seven in ten are of one person. Where same pairs are rarer than among the validation pairs, as in "
        "most uses, it is too high."
    )
    return section("Calibration", f"<div class='plates'>{figure}<div>{words}</div></div>")


def _examples(run: RunFolder) -> str:
    own, threshold = run.scores[run.shown], run.best[run.shown]["threshold"]
    scores, same = np.array(own["best"]), np.array(own["same"]) == 1
    accepted, order, missing, parts = scores >= threshold, np.argsort(scores, kind="stable"), set(), []
    for verdict, title, error in (
        (True, "Taken for the same person", "false accepts"),
        (False, "Taken for different people", "false rejects"),
    ):
        surest_first = order[::-1] if verdict else order
        kinds = []
        for truth, kind, words in (
            (not verdict, "wrong", f"Wrongly: the worst {error}"),
            (verdict, "right", "Rightly: the surest"),
        ):
            chosen = surest_first[((accepted == verdict) & (same == truth))[surest_first]]
            pairs = "".join(_pair(run, int(i), missing) for i in chosen[:_SHOWN])
            shown = f"{min(_SHOWN, len(chosen))} of {len(chosen):,}"
            kinds.append(
                f"<div class='{kind}'><h4>{words} <small>{shown}</small></h4><ul class='pairs'>{pairs}</ul></div>"
            )
        parts.append(f"<h3>{title}</h3><div class='sides'>{''.join(kinds)}</div>")
    lost = (
        f"{len(missing)} of the photos cannot be read where the run found them; their names stand for them."
    )
    return section(
        "Most wrong, most right",
        text(
            f"{run.shown.capitalize()} pairs by the best epoch's score, same from {threshold:.4f} on. Photos as the network "
            f"gets them: {_as_seen(run.recipe)}."
        ),
        html_page.notices([lost] if missing else []),
        *parts,
    )


def _pair(run: RunFolder, i: int, missing: set[str]) -> str:
    own, photos = {name: column[i] for name, column in run.scores[run.shown].items()}, []
    names = [own[f"{side}_identities"].replace("_", " ") for side in ("left", "right")]
    for path, name in zip((own["left"], own["right"]), names, strict=True):
        file = os.path.basename(path)
        try:
            photos.append(html_page.image(_thumbnail(path, run.recipe), "image/jpeg", f"{name} ({file})"))
        except ImageError:
            missing.add(path)
            photos.append(f"<span class='missing'>{escape(file)}</span>")
    score = f"score {own['best']:.3f}"
    if run.calibration:
        score += f"<br>probability {_share(run.probabilities(run.shown)[i])}"
    who = names[0] if own["same"] else " / ".join(names)
    return f"<li><div>{''.join(photos)}</div><b>{escape(who)}</b><br>{score}</li>"


def _thumbnail(path: str, recipe: dict[str, Any]) -> bytes:
    height, width = recipe.get("image_size", (1, 1))
    size = tuple(max(1, round(side * _PHOTO / max(height, width))) for side in (height, width))
    pixels = load_image(path, image_size=size, crop=recipe.get("crop"), channels=recipe.get("channels", 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _as_seen(recipe: dict[str, Any]) -> str:
    part = f"the middle {_plain(recipe['crop'])} pixels" if recipe.get("crop") else "whole"
    return f"{part}, in {'grey' if recipe.get('channels') == 1 else 'colour'}"


def _row(figures: dict[str, Any]) -> list:
    """The figures of `_ROW`; those that have an interval with it."""
    row: list = []
    for name, form in (("accuracy", "{:.1%}"), ("auc", "{:.3f}"), ("eer", "{:.1%}")):
        interval = figures[f"{name}_interval"] or ()
        row.append((form.format(figures[name]), " to ".join(form.format(end) for end in interval)))
    for far in ("0.1", "0.01", "0.001"):
        interval = figures.get("tar_intervals", {}).get(far) or ()
        row.append((_share(figures["tar_at_far"].get(far)), " to ".join(map(_share, interval))))
    return row


def _intervals(figures: Iterable[dict[str, Any]]) -> str:
    words = {
        "people": "The 95% intervals are over people, since pairs that share somebody are not independent.",
        "pairs": "The 95% intervals are over pairs, as if these were independent; people recur in them, so that the true ones "
        "are wider.",
    }
    return " ".join(words[over] for over in sorted({each["interval_over"] for each in figures}))


def _pairs(figures: dict[str, Any]) -> int:
    return figures["n_same"] + figures["n_different"]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return (
        {None: "none", True: "yes", False: "no"}[value]
        if value is None or isinstance(value, bool)
        else str(value)
    )
