"""A run's figures as tables and words."""

import os
from typing import Any

import numpy as np
from prettytable import PrettyTable


def results_table(results: dict[str, Any]) -> PrettyTable:
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
    rows = {
        "best epoch": results["figures"]["best"],
        "last epoch": results["figures"].get("last", {}),
        "raw pixels": results["raw_pixels"],
    }
    for model, sets in rows.items():
        for name, figures in sets.items():
            low, high = figures["accuracy_interval"]
            table.add_row(
                [
                    model,
                    name,
                    figures["n_same"] + figures["n_different"],
                    results["people"][name],
                    f"{figures['loss']:.4f}" if "loss" in figures else "-",
                    f"{figures['accuracy_at_half']:.1%}" if "accuracy_at_half" in figures else "-",
                    f"{figures['accuracy']:.1%}",
                    f"{low:.1%} to {high:.1%}",
                    f"{figures['auc']:.3f}",
                    f"{figures['eer']:.1%}",
                ],
                divider=name == list(sets)[-1],
            )
    return table


def examples_table(scores: dict[str, Any], results: dict[str, Any]) -> PrettyTable:
    """Shows some test (or else validation) pairs of a run, drawn at random, with the best model's verdict on them.

    Args:
        scores: what the run's `scores.json` holds.
        results: what the run's `results.json` holds.
    """
    name = "test" if "test" in scores else "validation"
    rows = scores[name]
    threshold = results["figures"]["best"][name]["threshold"]
    table = PrettyTable(["Left", "Right", "Truth", "Score", "Verdict", ""], align="l")
    for i in drawn(len(rows["same"])):
        verdict = rows["best"][i] >= threshold
        words = ["same" if same else "different" for same in (rows["same"][i], verdict)]
        table.add_row(
            [
                os.path.basename(rows["left"][i]),
                os.path.basename(rows["right"][i]),
                words[0],
                f"{rows['best'][i]:.3f}",
                words[1],
                "" if words[0] == words[1] else "wrong",
            ]
        )
    return table


def describe(results: dict[str, Any]) -> str:
    """Says in words how a run's figures came about: what was held out, how the threshold was chosen, seed and device."""
    people = results["people"]
    apart = (
        "nobody is in two of the three sets"
        if results["split"] == "identities"
        else "the report's letter split: training and validation SHARE people, so its validation figures flatter"
    )
    best = results["figures"]["best"]["validation"]
    minutes = results["seconds"] / 60
    losses = " Losses include the penalties on weights." if "loss" in best else ""
    photos, before, learnt, first = results["photos"], results["pretraining"], "", ""
    leak = results.get("leak") or {}
    if {"val_auc_touched", "val_auc_others"} <= leak.keys():
        apart += (
            f" (AUC of the last epoch's on the {leak['touched_pairs']} validation pairs with somebody from training "
            f"{leak['val_auc_touched']:.3f}, on the others {leak['val_auc_others']:.3f})"
        )
    if photos is not None:
        learnt = f" Learnt from {photos['photos']} photos of {photos['people']} people."
    if before is not None:
        first = f", after {before['epochs']} of pretraining in {before['seconds'] / 60:.1f} minutes"
    return (
        f"People: {', '.join(f'{count} in {name}' for name, count in people.items())}; {apart}.{learnt}\n"
        f"Threshold {best['threshold']:.4f} (best epoch's) chosen on the {best['n_same'] + best['n_different']} validation pairs, "
        "whose own accuracy it flatters. 95% intervals by bootstrap over people.\n"
        f"The best epoch is that of the best {results['monitor']}.{losses}\n"
        f"Seed {results['seed']}; {results['epochs']} epochs, the best was {results['best_epoch']}; {minutes:.1f} minutes of "
        f"training on {results['device']}{first}"
        + ("." if results["status"] == "finished" else "; INTERRUPTED, not finished.")
    )


def drawn(n_pairs: int, n_drawn: int = 12) -> np.ndarray:
    """A fixed draw of pairs to show, neither the best nor the worst."""
    return np.sort(np.random.default_rng(0).permutation(n_pairs)[:n_drawn])
