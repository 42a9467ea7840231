"""A run that was measured, opened to be shown: its files read and checked against each other."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation import Calibration
from ..files import read_json
from .checks import is_number, is_table
from .folder import (
    CHANGED,
    DRAWN,
    HISTORY,
    MISSING,
    RECIPE,
    RESULTS,
    SCORES,
    VERIFIER,
    changed_files,
    read_claim,
    read_history,
    read_results,
    read_scores,
    require,
    require_no_links,
)
from .results import Results, Status

logger = logging.getLogger(__name__)

LEAKS = "The report's letter split: training and validation SHARE people, so its validation figures flatter"
COLLAPSED = (
    "All {} pairs have the same score: the model has collapsed, and tells nobody apart. Its accuracy "
    "is that of one constant answer. Lower the recipe's `learning_rate`, or change what it learns from."
)

_FILES = (RECIPE, HISTORY, SCORES, RESULTS)  # what a measured run cannot be shown without


class RunFolder:
    """A run that was measured, finished or interrupted.

    Args:
        run_dir: its folder, as `training.train` leaves it.
        results: what is going to be its `results.json`, where that is not written yet.

    Attributes: `name`, `recipe`, `data`, `version` (of siamese_nn), `history` and `scores` as the files have
        them; `results` (`Results`); `best` (the best epoch's `Figures` by set); `shown` (the set to report:
        `"test"`, or else `"validation"`); `judged` (the set that chose: `"validation"`, or else `"test"`);
        `calibration` (a `Calibration`, or `None`).

    Raises:
        ValueError: if a file is missing, damaged, of another version, or was changed since the run was
            measured.
    """

    def __init__(self, run_dir: str | os.PathLike, results: Mapping[str, Any] | None = None):
        self.dir = Path(run_dir)
        self.name = self.dir.resolve().name
        require_no_links(self.dir)
        needed = _FILES if results is None else _FILES[:-1]
        missing = [name for name in needed if not (self.dir / name).is_file()]
        if missing:
            raise ValueError(
                f"`run_dir` must be the folder of a run that was measured. Received: {self.dir}, without "
                f"{', '.join(missing)}. If a training was interrupted, the same call goes on with it and "
                "measures it"
            )
        document = read_results(self.dir) if results is None else results
        self.results = Results.from_json(document)
        changed = changed_files(self.dir, document)
        if lost := [name for name, fault in changed.items() if fault == MISSING and name != VERIFIER]:
            logger.warning(
                "%s has lost %s. The same `siamese-nn train` command makes them again, or says what to do",
                self.dir,
                ", ".join(lost),
            )
        for name, fault in changed.items():
            if name == VERIFIER or (fault == CHANGED and name not in DRAWN):
                raise ValueError(
                    f"{self.dir / name} {fault} since the run was measured. If the training has gone on "
                    "since then, it is measured at its end. Else give the same `train` call again: it makes "
                    "the file anew, or says what to do"
                )
        claim = read_claim(self.dir)
        self.version, self.recipe, self.data = claim["siamese_nn"], claim["recipe"], claim["data"]
        self.scores = read_scores(self.dir)
        of_each = dict.fromkeys(self.scores, is_table)
        require(f"{self.dir / RECIPE}: data", self.data, of_each)
        require(f"{self.dir / RESULTS}: figures", document["figures"], {"best": is_table})
        require(f"{self.dir / RESULTS}: figures: best", document["figures"]["best"], of_each)
        self.best = self.results.best
        self.shown = "test" if "test" in self.scores else "validation"
        self.judged = "validation" if self.results.chosen_by is None else "test"
        require(self.dir / SCORES, self.scores, {self.judged: is_table})
        self.history = read_history(self.dir)
        epochs = len(self.history["epoch"])
        if not 0 < self.results.best_epoch <= epochs == self.results.epochs:
            raise ValueError(
                f"{self.dir / HISTORY} must hold the {self.results.epochs} epochs of results.json. "
                f"Received: {epochs}. "
                "A training that has gone on since then is measured at its end"
            )
        self.calibration = None
        if (self.dir / VERIFIER).exists():
            path, fitted = self.dir / VERIFIER, read_json(self.dir / VERIFIER)
            require(path, fitted, {"calibration": is_table})
            fitted = fitted["calibration"]
            require(f"{path}: calibration", fitted, dict.fromkeys(("slope", "intercept"), is_number))
            self.calibration = Calibration(fitted["slope"], fitted["intercept"])

    def warnings(self) -> list[str]:
        """Returns what a reader must know before any figure."""
        found = []
        if self.results.status != Status.FINISHED:
            found.append(
                "This training was interrupted: its figures are those of the best epoch so far, "
                f"of {self.results.epochs}."
            )
        if self.results.chosen_by is not None:
            found.append(f"{self.results.chosen_by.in_words()}.")
        if has_collapsed(self.scores[self.judged]["best"]):
            found.append(COLLAPSED.format(self.judged))
        if self.results.split == "report":
            found.append(f"{LEAKS}. The best epoch and the threshold were chosen on them.")
        if self.shown == "validation":
            found.append(
                "There are no test pairs. The figures are of the validation pairs, on which the best epoch "
                "and the threshold were chosen: they flatter."
            )
        return found

    def probabilities(self, name: str) -> np.ndarray:
        """Returns of each pair of a set the probability that it is of one person.

        Raises:
            ValueError: if the run has no `calibration`.
        """
        if self.calibration is None:
            raise ValueError(f"{self.dir} has no {VERIFIER}, and so no probabilities")
        return self.calibration.probability(np.array(self.scores[name]["best"]))


def finishing(recipe: Mapping[str, Any]) -> str:
    """Says in words what becomes of the trained embedding before it is measured; empty where nothing does."""
    mirror = ["mirror"] if recipe.get("mirror") else []
    return " and ".join(mirror + (["PLDA"] if recipe.get("back_end") == "plda" else []))


def has_collapsed(scores: Iterable[float]) -> bool:
    """Whether all scores are one and the same, but for the last two digits of a float32."""
    scores = np.asarray(scores, float)
    return bool(np.ptp(scores) <= 1e-5 * np.abs(scores).max())
