"""What the folder of a measured run holds, read without TensorFlow and checked."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .evaluation import Calibration
from .files import read_json

VERIFIER_FORMAT = 2  # of verifier.json
_FILES = ("recipe.json", "history.csv", "scores.json", "results.json")
_RESULTS = ("status", "split", "seed", "device", "epochs", "best_epoch", "seconds", "figures", "raw_pixels")
_SCORES = ("left", "right", "left_identities", "right_identities", "same", "best")
_FIGURES = (
    "n_same",
    "n_different",
    "threshold",
    "accuracy",
    "accuracy_interval",
    "auc",
    "auc_interval",
    "eer",
)
_FIGURES += ("eer_interval", "tar_at_far", "confusion", "best_accuracy", "interval_over")


class RunFolder:
    """A run that was measured, finished or interrupted.

    Args:
        run_dir: its folder, as `training.train` leaves it.

    Attributes: `name`, `recipe`, `data`, `photos` (counts; `None` where it learns from pairs), `version` (of siamese_nn), `history`, `results` and `scores` as the files have
        them; `best` (the best epoch's figures by set); `shown` (the set to judge by: `"test"`, or else `"validation"`);
        `calibration` (a `Calibration`, or `None`).

    Raises:
        ValueError: if a file is missing or damaged, or of another version.
    """

    def __init__(self, run_dir: str | os.PathLike):
        self.dir = Path(run_dir)
        self.name = self.dir.resolve().name
        missing = [name for name in _FILES if not (self.dir / name).is_file()]
        if missing:
            raise ValueError(
                f"`run_dir` must be the folder of a run that was measured. Received: {self.dir}, without "
                f"{', '.join(missing)}. Where a training was cut off, the same call goes on with it and measures it"
            )
        claim = self._read("recipe.json", ("siamese_nn", "recipe", "data"))
        self.version, self.recipe, self.data = claim["siamese_nn"], claim["recipe"], claim["data"]
        self.photos = claim.get("photos")
        self.results = self._read("results.json", _RESULTS)
        self.scores = self._read("scores.json", ("validation",))
        for name, columns in self.scores.items():
            self._require(f"scores.json: {name}", columns, _SCORES)
            if len({len(column) for column in columns.values()}) > 1:
                raise ValueError(f"{self.dir / 'scores.json'}: the columns of {name} must be of one length")
        self._require("recipe.json: data", self.data, self.scores)
        models = {**self.results["figures"], "raw_pixels": self.results["raw_pixels"]}
        self._require("results.json: figures", models, ("best",))
        self._require("results.json: figures: best", models["best"], self.scores)
        for model, sets in models.items():
            for name, figures in sets.items():
                self._require(f"results.json: {model}: {name}", figures, _FIGURES)
        self.best = models["best"]
        self.shown = "test" if "test" in self.scores else "validation"
        self.history = self._read_history()
        self.calibration = None
        if (self.dir / "verifier.json").exists():
            fitted = self._read("verifier.json", ("calibration",))["calibration"]
            self._require("verifier.json: calibration", fitted, ("slope", "intercept"))
            self.calibration = Calibration(fitted["slope"], fitted["intercept"])

    def warnings(self) -> list[str]:
        """Returns what a reader must know before any figure."""
        found = []
        if self.results["status"] != "finished":
            found.append(
                "This training was interrupted: its figures are those of the best epoch so far, "
                f"of {self.results['epochs']}."
            )
        if self.results["split"] == "report":
            found.append(
                "The report's letter split leaks: training and validation share people. The validation figures "
                "flatter, and the best epoch and the threshold were chosen on them."
            )
        if self.shown == "validation":
            found.append(
                "There are no test pairs. The figures are those of the validation pairs, on which the best epoch "
                "and the threshold were chosen: they flatter."
            )
        return found

    def probabilities(self, name: str) -> np.ndarray:
        """Returns of each pair of a set the probability that it is of one person; needs `calibration`."""
        return self.calibration.probability(self.scores[name]["best"])

    def _read(self, name: str, keys: Iterable[str]) -> dict[str, Any]:
        document = read_json(self.dir / name)
        self._require(name, document, keys)
        return document

    def _require(self, where: str, document: Any, keys: Iterable[str]) -> None:
        missing = [key for key in keys if not isinstance(document, dict) or key not in document]
        if missing:
            raise ValueError(
                f"{self.dir}: {where} lacks {', '.join(missing)}. It isn't of a run that this version has measured: "
                "train it anew, in another folder"
            )

    def _read_history(self) -> dict[str, list[float]]:
        path = self.dir / "history.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if not 0 < self.results["best_epoch"] <= len(rows) == self.results["epochs"]:
            raise ValueError(
                f"{path} must hold the {self.results['epochs']} epochs of results.json. Received: {len(rows)}. "
                "A training that has gone on since then is measured at its end"
            )
        try:
            return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path} must be a table of numbers, a row an epoch. It is damaged: {error}"
            ) from error
