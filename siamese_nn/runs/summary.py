"""A run's figures as tables and words."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from prettytable import PrettyTable

from ..evaluation import VerificationReport
from .measured import LEAKS
from .results import Results, Status


def results_table(results: Mapping[str, Any]) -> PrettyTable:
    """Shows a run's figures, a row for each model and set of pairs.

    Args:
        results: as `train` returns it, or as `results.json` holds it.

    Returns:
        The table.

    Example:
        >>> from siamese_nn.runs.folder import read_results
        >>> table = results_table(read_results("runs/faces"))
        >>> table.rows[-1][0]  # the baseline comes last
        'raw pixels'
    """
    found, all_rows, ends = Results.from_json(results), [], []
    for model, sets in found.models.items():
        for name, figures in sets.items():
            low, high = figures.accuracy_interval
            at_half = figures.accuracy_at_half
            all_rows.append(
                [
                    model,
                    name,
                    figures.n_pairs,
                    found.people.get(name, "-"),
                    "-" if figures.loss is None else f"{figures.loss:.4f}",
                    "-" if at_half is None else f"{at_half:.1%}",
                    f"{figures.accuracy:.1%}",
                    f"{low:.1%} to {high:.1%}",
                    f"{figures.auc:.3f}",
                    f"{figures.eer:.1%}",
                ]
            )
            ends.append(name == list(sets)[-1])
    header = [
        *("Model", "Set", "Pairs", "People", "Loss", "Accuracy at 0.5"),
        *("At threshold", "95% interval", "AUC", "EER"),
    ]
    header, rows = without_empty(header, all_rows)
    table = PrettyTable(header, align="r")
    table.align["Model"] = table.align["Set"] = "l"
    for row, divider in zip(rows, ends, strict=True):
        table.add_row(row, divider=divider)
    return table


def examples_table(scores: Mapping[str, Any], results: Mapping[str, Any]) -> PrettyTable:
    """Shows some pairs of a run, drawn at random, with the verdict of the best model.

    They are test pairs, or validation pairs where there are no others.

    Args:
        scores: what the run's `scores.json` holds.
        results: what the run's `results.json` holds.

    Returns:
        The table.

    Example:
        >>> from siamese_nn.runs.folder import read_results, read_scores
        >>> table = examples_table(read_scores("runs/faces"), read_results("runs/faces"))
        >>> len(table.rows), table.field_names[:3]
        (12, ['Left', 'Right', 'Truth'])
    """
    name = "test" if "test" in scores else "validation"
    rows = scores[name]
    threshold = Results.from_json(results).best[name].threshold
    table = PrettyTable(["Left", "Right", "Truth", "Score", "Verdict", ""], align="l")
    for i in drawn(len(rows["same"])):
        verdict = rows["best"][i] >= threshold
        words = ["same" if same else "different" for same in (rows["same"][i], verdict)]
        table.add_row(
            [
                *(
                    person_and_file(rows[side][i], rows[f"{side}_identities"][i])
                    for side in ("left", "right")
                ),
                words[0],
                f"{rows['best'][i]:.3f}",
                words[1],
                "" if words[0] == words[1] else "wrong",
            ]
        )
    return table


def person_and_file(path: str, person: str) -> str:
    """Names a photo for a reader: `Ada Lovelace/1.jpg`; a file that is named like the person stands alone."""
    file = os.path.basename(path)
    return file if file.startswith(person) else f"{person}/{file}"


def describe(results: Mapping[str, Any]) -> str:
    """Says in words how the figures of a run came about: held-out people, threshold, seed and device.

    Args:
        results: as `train` returns it, or as `results.json` holds it.

    Returns:
        A few sentences.

    Example:
        >>> from siamese_nn.runs.folder import read_results
        >>> print(describe(read_results("runs/faces")))
        People: 36 in train, 16 in validation, 12 in test...
    """
    found = Results.from_json(results)
    best, leak = found.best["test" if found.chosen_by else "validation"], found.leak
    apart = "; nobody is in two of the three sets" if found.split == "identities" else f". {LEAKS}"
    if leak is not None and None not in (leak.val_auc_touched, leak.val_auc_others):
        apart += (
            f" (AUC of the last epoch: {leak.val_auc_touched:.3f} on the {leak.touched_pairs} validation "
            f"pairs with somebody from training, {leak.val_auc_others:.3f} on the others)"
        )
    learnt, losses, first = "", "", ""
    if found.photos is not None:
        learnt = f" It learnt from {found.photos.photos} photos of {found.photos.people} people."
    if best.loss is not None:
        losses = " Losses include the penalties on weights."
    if before := found.pretraining:
        first = f", after {before.epochs} epochs of pretraining in {before.seconds / 60:.1f} minutes"
    if teacher := found.teacher:
        first = f", after {teacher.epochs} epochs of its teacher in {teacher.seconds / 60:.1f} minutes"
    interrupted = "" if found.status == Status.FINISHED else "; INTERRUPTED, not finished"
    people = ", ".join(f"{count} in {name}" for name, count in found.people.items())
    chosen = (
        f"The threshold of the best epoch, {best.threshold:.4f}, was chosen on the {best.n_pairs} validation "
        "pairs, so that their own accuracy flatters. The 95% intervals are over people (bootstrap).\n"
        f"Epoch {found.best_epoch} of {found.epochs} is the best, by {found.monitor}.{losses}"
    )
    if found.chosen_by is not None:
        chosen = f"{found.chosen_by.in_words()}. The 95% intervals are over people (bootstrap).{losses}"
        apart = "; nobody is in both"
    return (
        f"People: {people}{apart}.{learnt}\n{chosen}\n"
        f"Seed {found.seed}; {found.seconds / 60:.1f} minutes of training on {found.device}{first}"
        f"{interrupted}."
    )


def without_empty(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[list, list[list]]:
    """Returns a table without the columns in which no row says anything."""
    kept = [i for i in range(len(header)) if any(row[i] not in ("-", ("-", "")) for row in rows)]
    return [header[i] for i in kept], [[row[i] for i in kept] for row in rows]


def result_line(results: Mapping[str, Any]) -> str:
    """Says what a run has come to, in one line.

    Args:
        results: as `train` returns it, or as `results.json` holds it.
    """
    found = Results.from_json(results)
    name = "test" if "test" in found.best else "validation"
    who = {
        "test": "of people whom the training has never seen",
        "validation": "on which the best epoch and the threshold were chosen: it flatters",
    }
    begin = "Result" if found.status == Status.FINISHED else "Result so far"
    return f"{begin}: {accuracy_in_words(found.best[name])} on the {name} pairs, {who[name]}."


def accuracy_in_words(report: VerificationReport) -> str:
    """Says an accuracy with its interval, and of how many pairs it is."""
    low, high = report.accuracy_interval
    return (
        f"accuracy {report.accuracy:.1%} (95% interval {low:.1%} to {high:.1%}) in "
        f"{report.n_same + report.n_different:,} decisions"
    )


def finished_line(statuses: Sequence[str]) -> str:
    """Says how many of many runs are finished, in one line."""
    return f"Result: {statuses.count(Status.FINISHED)} of {len(statuses)} runs are finished."


def drawn(n_pairs: int, n_drawn: int = 12) -> np.ndarray:
    """A fixed draw of pairs to show, neither the best nor the worst."""
    return np.sort(np.random.default_rng(0).permutation(n_pairs)[:n_drawn])
