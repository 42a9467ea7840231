"""A run's figures as tables and words."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from prettytable import PrettyTable

from .measured import LEAKS
from .results import Results, Status


def results_table(results: Mapping[str, Any]) -> PrettyTable:
    """Shows a run's figures, a row for each model and set of pairs.

    Args:
        results: as `train` returns it, or as `results.json` holds it.
    """
    table = PrettyTable(
        [
            "Model",
            "Pairs",
            "n",
            "People",
            "Loss",
            "Accuracy at 0.5",
            "At threshold",
            "95% interval",
            "AUC",
            "EER",
        ],
        align="r",
    )
    table.align["Model"] = table.align["Pairs"] = "l"
    found = Results.from_json(results)
    for model, sets in found.models.items():
        for name, figures in sets.items():
            low, high = figures.accuracy_interval
            at_half = figures.accuracy_at_half
            table.add_row(
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
                ],
                divider=name == list(sets)[-1],
            )
    return table


def examples_table(scores: Mapping[str, Any], results: Mapping[str, Any]) -> PrettyTable:
    """Shows some test (or else validation) pairs of a run, drawn at random, with the best model's verdict.

    Args:
        scores: what the run's `scores.json` holds.
        results: what the run's `results.json` holds.
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
    """Says in words how a run's figures came about: held-out people, threshold, seed and device.

    Args:
        results: as `train` returns it, or as `results.json` holds it.
    """
    found = Results.from_json(results)
    best, leak = found.best["validation"], found.leak
    apart = "; nobody is in two of the three sets" if found.split == "identities" else f". {LEAKS}"
    if leak is not None and None not in (leak.val_auc_touched, leak.val_auc_others):
        apart += (
            f" (AUC of the last epoch's on the {leak.touched_pairs} validation pairs with somebody from "
            "training "
            f"{leak.val_auc_touched:.3f}, on the others {leak.val_auc_others:.3f})"
        )
    learnt, losses, first = "", "", ""
    if found.photos is not None:
        learnt = f" Learnt from {found.photos.photos} photos of {found.photos.people} people."
    if best.loss is not None:
        losses = " Losses include the penalties on weights."
    if before := found.pretraining:
        first = f", after {before.epochs} of pretraining in {before.seconds / 60:.1f} minutes"
    interrupted = "" if found.status == Status.FINISHED else "; INTERRUPTED, not finished"
    people = ", ".join(f"{count} in {name}" for name, count in found.people.items())
    return (
        f"People: {people}{apart}.{learnt}\n"
        f"Threshold {best.threshold:.4f} (best epoch's) chosen on the {best.n_pairs} validation pairs, "
        "whose own accuracy it flatters. 95% intervals by bootstrap over people.\n"
        f"The best epoch is that of the best {found.monitor}.{losses}\n"
        f"Seed {found.seed}; {found.epochs} epochs, the best was {found.best_epoch}; "
        f"{found.seconds / 60:.1f} minutes of training on {found.device}{first}{interrupted}."
    )


def drawn(n_pairs: int, n_drawn: int = 12) -> np.ndarray:
    """A fixed draw of pairs to show, neither the best nor the worst."""
    return np.sort(np.random.default_rng(0).permutation(n_pairs)[:n_drawn])
