"""What the folder of a run holds: the names of its files, who may have changed them, and one reader for each.

`results.json` vouches for the other files by their SHA-256, and for itself by that of what it holds. It is written
last: where it says "finished", all the others are there. Nothing here needs TensorFlow.
"""

import csv
import hashlib
import io
import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation import Calibration, choose_threshold, verification_report
from ..files import read_json, write_text

logger = logging.getLogger(__name__)

VERIFIER_FORMAT = 2  # of verifier.json

RECIPE, STATE, HISTORY, LOGS = "recipe.json", "state.npz", "history.csv", "logs"
MODEL, LAST, FINISHED = "model.keras", "last.keras", "finished.keras"
SCORES, VERIFIER, RESULTS, PAGE = "scores.json", "verifier.json", "results.json", "report.html"
HELD_OUT = "held_out_scores.npy"  # of a verifier
CURVES = {quantity: f"{quantity}.png" for quantity in ("accuracy", "loss", "auc")}
PAIRS = "pairs.png"
PICTURES = (*CURVES.values(), PAIRS)

TRAINED = (RECIPE, HISTORY, MODEL, LAST)  # only a training makes these again
MEASURED = (FINISHED, SCORES, VERIFIER, HELD_OUT, *PICTURES, PAGE)  # made again from those and the photos

COLLAPSED = (
    "All validation pairs have the same score: the model has collapsed, and tells nobody apart. Its accuracy is that "
    "of one constant answer. Lower the recipe's `learning_rate`, or change what it learns from."
)

_FILES = (RECIPE, HISTORY, SCORES, RESULTS)  # what a measured run cannot be shown without


def _is_number(value: Any) -> bool:
    return (
        type(value) in (int, float) and -1e300 < value < 1e300
    )  # a whole number may have any size, but for floats


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_table(value: Any) -> bool:
    return type(value) is dict


def _is_interval(value: Any) -> bool:
    return value is None or (type(value) is list and len(value) == 2 and all(map(_is_number, value)))


def _is_rates(value: Any) -> bool:
    return _is_table(value) and all(rate is None or _is_number(rate) for rate in value.values())


def _is_confusion(value: Any) -> bool:
    names = {"true_accepts", "false_rejects", "false_accepts", "true_rejects"}
    return _is_table(value) and value.keys() == names and all(map(_is_count, value.values()))


def _column_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and all(map(fits, value))


_RECIPE = {"siamese_nn": _is_text, "recipe": _is_table, "data": _is_table}
_RESULTS = {
    **dict.fromkeys(("status", "split", "device"), _is_text),
    **dict.fromkeys(("seed", "epochs", "best_epoch"), _is_count),
    "seconds": _is_number,
    **dict.fromkeys(("figures", "raw_pixels"), _is_table),
}
_FIGURES = {
    **dict.fromkeys(("n_same", "n_different"), _is_count),
    **dict.fromkeys(("threshold", "accuracy", "auc", "eer", "best_accuracy"), _is_number),
    **dict.fromkeys(("accuracy_interval", "auc_interval", "eer_interval"), _is_interval),
    "tar_at_far": _is_rates,
    "confusion": _is_confusion,
    "interval_over": _is_text,
}
_SCORES = {
    **dict.fromkeys(("left", "right", "left_identities", "right_identities"), _column_of(_is_text)),
    "same": _column_of(lambda value: type(value) is int and value in (0, 1)),
    "best": _column_of(_is_number),
}


def damaged(path: str | os.PathLike, fault: object) -> ValueError:
    """Returns an error that names a damaged file of a run and says what to do."""
    remedy = "Remove the folder that it is in, and the same call trains it anew"
    if RESULTS in str(path):
        remedy = "Remove it, and the same call goes on with the run, or trains it anew"
    return ValueError(f"{path} is damaged ({fault}). {remedy}")


def require_no_links(run_dir: str | os.PathLike) -> None:
    """Makes sure that what is written to a run's files stays in its folder; that itself may be reached by a link.

    Raises:
        ValueError: if a file or folder in it is a symbolic link.
    """
    for folder, folders, files in os.walk(run_dir):
        for name in (*folders, *files):
            if (path := Path(folder) / name).is_symlink():
                raise ValueError(
                    f"{path} must be a file or folder of the run's own. Received: a link to {os.readlink(path)}. Remove "
                    "the link, or put the file itself in its place"
                )
            if not (path.is_file() or path.is_dir()):
                raise ValueError(f"{path} must be a file. Received: a pipe, a device or the like. Remove it")


def read_claim(run_dir: str | os.PathLike) -> dict[str, Any]:
    """Reads a run's `recipe.json`: what it trains, and on which data.

    Raises:
        ValueError: if it is damaged.
    """
    claim = read_json(Path(run_dir) / RECIPE)
    _require(Path(run_dir) / RECIPE, claim, _RECIPE)
    return claim


def read_history(run_dir: str | os.PathLike) -> dict[str, list[float]]:
    """Reads a run's `history.csv`.

    Returns:
        For each logged quantity its values, epoch by epoch; NaN in an epoch that lacks it.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged: no table of numbers, a row an epoch.
    """
    path = Path(run_dir) / HISTORY
    try:
        text = path.read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(text)))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a row is not whole")
        history = {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else ())}
    except (ValueError, csv.Error) as error:
        raise damaged(path, error) from error
    for name in ("epoch", "loss", "seconds"):
        if name not in history:
            raise damaged(path, f"it lacks {name}")
    if history["epoch"] != list(range(1, len(rows) + 1)):
        raise damaged(path, "it must have a row for each epoch, from 1 on")
    return history


def write_history(run_dir: str | os.PathLike, rows: list[dict[str, float]]) -> None:
    """Writes `history.csv`, a row an epoch; a quantity that an epoch lacks is left empty."""
    table = io.StringIO()
    writer = csv.DictWriter(
        table, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    write_text(Path(run_dir) / HISTORY, table.getvalue())


def sealed(run_dir: str | os.PathLike, results: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the results with the SHA-256 of each file that they were made from or came with, and with their own."""
    own = {name: value for name, value in results.items() if name not in ("files", "sha256")}
    run_dir = Path(run_dir)
    own["files"] = {name: digest(run_dir / name) for name in TRAINED + MEASURED if (run_dir / name).is_file()}
    own = json.loads(json.dumps(own))
    return own | {"sha256": _own_digest(own)}


def write_results(run_dir: str | os.PathLike, results: Mapping[str, Any]) -> dict[str, Any]:
    """Writes `results.json`, sealed, and returns what it then holds."""
    held = sealed(run_dir, results)
    write_text(Path(run_dir) / RESULTS, json.dumps(held, indent=2) + "\n")
    return held


def read_results(run_dir: str | os.PathLike) -> dict[str, Any]:
    """Reads a run's `results.json`. Whether the other files are still those it was made from, `changed_files` says.

    The results of an older siamese_nn vouch for nothing. Where the scores are there, the figures are made again from
    them and compared; but not intervals and losses.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or a figure in it was changed.
    """
    run_dir = Path(run_dir)
    results = read_json(run_dir / RESULTS)
    _require(run_dir / RESULTS, results, _RESULTS)
    own = {name: value for name, value in results.items() if name != "sha256"}
    if "files" in results:
        if not _is_table(results["files"]) or results.get("sha256") != _own_digest(own):
            raise damaged(run_dir / RESULTS, "a part of it was changed since it was written")
    elif (run_dir / SCORES).is_file():
        _require_made_from_scores(run_dir, results)
    return results


def changed_files(run_dir: str | os.PathLike, results: Mapping[str, Any]) -> dict[str, str]:
    """Returns which of a run's files are no longer those that its results came with, and why.

    Args:
        run_dir: the folder of the run.
        results: what `read_results` returns.
    """
    found, files = {}, results.get("files")
    for name, sha256 in files.items() if isinstance(files, dict) else ():
        path = Path(run_dir) / Path(name).name
        if not path.is_file():
            found[name] = "is missing"
        elif digest(path) != sha256:
            found[name] = "has changed"
    return found


def digest(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits; what is no file is a `ValueError`."""
    if not os.path.isfile(path):  # to open a pipe would wait for its writer
        raise ValueError(f"{path} must be a file. Received: a folder, a pipe or the like. Remove it")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own_digest(results: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()


def _require(path: Path | str, document: Any, kinds: Mapping[str, Callable[[Any], bool]]) -> None:
    missing = [name for name in kinds if not isinstance(document, dict) or name not in document]
    if missing:
        raise damaged(path, f"it lacks {', '.join(missing)}")
    for name, fits in kinds.items():
        if not fits(document[name]):
            raise damaged(path, f"{name} can't be {str(document[name])[:40]!r}")


def _require_made_from_scores(run_dir: Path, results: Mapping[str, Any]) -> None:
    scores, models = _read_scores(run_dir), results["figures"]
    _require(f"{run_dir / RESULTS}: figures", models, dict.fromkeys(models, _is_table))
    for model, sets in models.items():
        for name, figures in sets.items():
            columns = scores.get(name, {})
            if model not in columns:
                continue
            where = f"figures of {model} on {name}"
            _require(f"{run_dir / RESULTS}: {where}", figures, _FIGURES)
            report = verification_report(
                columns[model], columns["same"], threshold=figures["threshold"]
            ).as_dict()
            if name == "validation":
                report["threshold"] = float(choose_threshold(columns[model], columns["same"]))
            for figure in _FIGURES:
                if "interval" not in figure and not _agree(report[figure], figures[figure]):
                    raise damaged(run_dir / RESULTS, f"{where}: {figure} is not what scores.json gives")


def _agree(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_agree(value, other[name]) for name, value in one.items())
    return one == other or (None not in (one, other) and math.isclose(one, other, rel_tol=1e-9))


def _read_scores(run_dir: Path) -> dict[str, dict[str, list]]:
    path = run_dir / SCORES
    scores = read_json(path)
    _require(path, scores, {"validation": _is_table})
    for name, columns in scores.items():
        last = {"last": _SCORES["best"]} if isinstance(columns, dict) and "last" in columns else {}
        kinds = _SCORES | last
        _require(f"{path}: {name}", columns, kinds)
        if len({len(columns[kind]) for kind in kinds}) > 1:
            raise damaged(path, f"the columns of {name} must be of one length")
    return scores


class RunFolder:
    """A run that was measured, finished or interrupted.

    Args:
        run_dir: its folder, as `training.train` leaves it.
        results: what is going to be its `results.json`, where that is not written yet.

    Attributes: `name`, `recipe`, `data`, `photos` (counts; `None` where it learns from pairs), `version` (of
        siamese_nn), `history`, `results` and `scores` as the files have them; `best` (the best epoch's figures by
        set); `shown` (the set to judge by: `"test"`, or else `"validation"`); `calibration` (a `Calibration`, or
        `None`).

    Raises:
        ValueError: if a file is missing, damaged, of another version, or was changed since the run was measured.
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
                f"{', '.join(missing)}. Where a training was cut off, the same call goes on with it and measures it"
            )
        self.results = read_results(self.dir) if results is None else results
        changed = changed_files(self.dir, self.results)
        if lost := [name for name, fault in changed.items() if fault == "is missing" and name != VERIFIER]:
            logger.warning(
                "%s has lost %s. The same `siamese-nn train` command makes them again, or says what to do",
                self.dir,
                ", ".join(lost),
            )
        for name, fault in changed.items():
            if name == VERIFIER or (fault == "has changed" and name not in (*PICTURES, PAGE)):
                raise ValueError(
                    f"{self.dir / name} {fault} since the run was measured. Where the training has gone on since "
                    "then, it is measured at its end. Otherwise give the same `train` call again: it makes the file "
                    "anew, or says what to do"
                )
        claim = read_claim(self.dir)
        self.version, self.recipe, self.data = claim["siamese_nn"], claim["recipe"], claim["data"]
        self.photos = claim.get("photos")
        self.scores = _read_scores(self.dir)
        of_each = dict.fromkeys(self.scores, _is_table)
        _require(f"{self.dir / RECIPE}: data", self.data, of_each)
        models = {**self.results["figures"], "raw_pixels": self.results["raw_pixels"]}
        _require(f"{self.dir / RESULTS}: figures", models, dict.fromkeys(("best", *models), _is_table))
        _require(f"{self.dir / RESULTS}: figures: best", models["best"], of_each)
        for model, sets in models.items():
            for name, figures in sets.items():
                _require(f"{self.dir / RESULTS}: {model}: {name}", figures, _FIGURES)
        self.best = models["best"]
        self.shown = "test" if "test" in self.scores else "validation"
        self.history = read_history(self.dir)
        epochs = len(self.history["epoch"])
        if not 0 < self.results["best_epoch"] <= epochs == self.results["epochs"]:
            raise ValueError(
                f"{self.dir / HISTORY} must hold the {self.results['epochs']} epochs of results.json. Received: {epochs}. "
                "A training that has gone on since then is measured at its end"
            )
        self.calibration = None
        if (self.dir / VERIFIER).exists():
            path, fitted = self.dir / VERIFIER, read_json(self.dir / VERIFIER)
            _require(path, fitted, {"calibration": _is_table})
            fitted = fitted["calibration"]
            _require(f"{path}: calibration", fitted, dict.fromkeys(("slope", "intercept"), _is_number))
            self.calibration = Calibration(fitted["slope"], fitted["intercept"])

    def warnings(self) -> list[str]:
        """Returns what a reader must know before any figure."""
        found = []
        if self.results["status"] != "finished":
            found.append(
                "This training was interrupted: its figures are those of the best epoch so far, "
                f"of {self.results['epochs']}."
            )
        if has_collapsed(self.scores["validation"]["best"]):
            found.append(COLLAPSED)
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


def finishing(recipe: Mapping[str, Any]) -> str:
    """Returns in words what becomes of the trained embedding before it is measured; empty where nothing does."""
    mirror = ["mirror"] if recipe.get("mirror") else []
    return " and ".join(mirror + (["PLDA"] if recipe.get("back_end") == "plda" else []))


def has_collapsed(scores: Iterable[float]) -> bool:
    """Whether all scores are one and the same, but for the last two digits of a float32."""
    scores = np.asarray(scores, float)
    return bool(np.ptp(scores) <= 1e-5 * np.abs(scores).max())
