"""What is chosen on validation people: threshold and calibration; by a run itself, or by one before it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import Pairs
from ..evaluation import Calibration, choose_threshold, fit_platt
from ..recipes.recipe import Recipe
from ..runs.folder import (
    RESULTS,
    TRAINED,
    VERIFIER,
    changed_files,
    read_claim,
    read_results,
    read_verifier_settings,
)
from ..runs.results import ChosenBy, Figures, Results, Status
from .claim import differences


@dataclass(frozen=True)
class Choice:
    """What a model is measured with.

    Args:
        threshold: of its scores.
        calibration: from its scores to probabilities.
        chosen_on: the pairs that both were chosen on, as `verifier.json` describes them.
        people: who is on these.
        by: the first run that has chosen, and its best epoch; `None` if the model's own run has.
        raw_pixels: that run's figures of the baseline, which no training changes.
    """

    threshold: float
    calibration: Calibration
    chosen_on: dict[str, Any]
    people: list[str]
    by: ChosenBy | None = None
    raw_pixels: dict[str, Figures] | None = None


def choose(val: Pairs, scores: np.ndarray) -> Choice:
    """Chooses on a run's own validation pairs, by their scores, `(n,)`."""
    same, people = int(val.same.sum()), sorted(val.identities())
    return Choice(
        # As a plain number: on the validation pairs themselves it is optimistic, and so described.
        float(choose_threshold(scores, val.same)),
        fit_platt(scores, val.same),
        {"pairs": "validation", "same": same, "different": len(val) - same, "people": len(people)},
        people,
    )


def read_choice(first: str | os.PathLike, recipe: Recipe, claim: Mapping[str, Any]) -> Choice:
    """Reads what a first run has chosen for one that learns from its validation people, too.

    Args:
        first: the folder of the run.
        recipe: the recipe of the training that asks.
        claim: what `claim_of` says of this training, if it left the validation people out.

    Raises:
        FileNotFoundError: if there is no such run.
        ValueError: if the run isn't finished, is of another recipe, seed or data, was validated by nobody
            itself, or has lost or changed a file; or the recipe can't be trained so.
    """
    first = Path(first)
    if recipe.split == "report" or recipe.before is not None:
        raise ValueError(
            "`chosen_by` is for recipes in the split by identities, of one training. Received: "
            + ("split='report'" if recipe.split == "report" else "one with `pretraining` or a `teacher`")
            + ". Take `face` or `face-fusion`, for one"
        )
    if not (first / RESULTS).is_file():
        raise FileNotFoundError(
            f"`chosen_by` must be the folder of a finished run. Received: {first}, which has no {RESULTS}. "
            "Train it first, without the validation people"
        )
    document = read_results(first)
    results = Results.from_json(document)
    if results.status != Status.FINISHED or results.chosen_by is not None:
        state = results.status if results.chosen_by is None else "validated by nobody itself"
        raise ValueError(
            f"`chosen_by` must be a finished run that has chosen on validation people. Received: {first}, "
            f"which is {state}"
        )
    if found := differences(claim, read_claim(first)):
        raise ValueError(
            f"`chosen_by` must be a run of the same recipe, seed and data. Received: {first}, which is the "
            f"run of {found}. Train such a run first, or give the other's recipe and data"
        )
    for name, fault in changed_files(first, document).items():
        if name in (*TRAINED, VERIFIER):
            raise ValueError(
                f"`chosen_by` must be a run as it was measured. Received: {first}, whose {name} {fault}. "
                "Call again what trained it, and then this"
            )
    settings = read_verifier_settings(first)
    run = first.resolve().name
    return Choice(
        settings["threshold"],
        Calibration(**settings["calibration"]),
        settings["chosen_on"] | {"run": run},
        settings["people"]["chosen_on"],
        ChosenBy(run, results.best_epoch, settings["threshold"], document.get("sha256")),
        {name: figures for name, figures in results.raw_pixels.items() if name != "validation"},
    )
