"""What the folder of a run holds: the names of its files, who may have changed them, and one reader for each.

`results.json` vouches for the other files by their SHA-256, and for itself by that of what it holds. It is
written last: where it says "finished", all the others are there. Nothing here needs TensorFlow.
"""

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import faces
from ..evaluation import choose_threshold, verification_report
from ..files import digest, read_json, write_text
from .checks import Fits, column_of, fault, is_number, is_table, is_text
from .results import FIGURES, Results, results_fault

VERIFIER_FORMAT = 2  # of verifier.json

RECIPE, STATE, HISTORY, LOGS = "recipe.json", "state.npz", "history.csv", "logs"
MODEL, LAST, FINISHED = "model.keras", "last.keras", "finished.keras"
SCORES, VERIFIER, RESULTS, PAGE = "scores.json", "verifier.json", "results.json", "report.html"
HELD_OUT = "held_out_scores.npy"  # of a verifier
FOLD, FOLDS_MODEL = "fold-{}", "model"  # in a folder of folds: the runs by number, and the model to use
CURVES = {quantity: f"{quantity}.png" for quantity in ("accuracy", "loss", "auc")}
PAIRS = "pairs.png"
PRETRAINING, TEACHER = "pretraining", "teacher"  # the folder of the run of what came before this one
TARGETS = "targets.npz"  # what its teacher says of its photos, while it is trained
LOCK = ".lock"

MISSING, CHANGED = "is missing", "has changed"  # what can be wrong with a file that the results came with

PICTURES = (*CURVES.values(), PAIRS)
DRAWN = (*PICTURES, PAGE)  # made again from the measured ones and the photos
TRAINED = (RECIPE, HISTORY, MODEL, LAST)  # only a training makes these again
MEASURED = (FINISHED, SCORES, VERIFIER, HELD_OUT)  # made again from those and the photos

_MOST_PIXELS = 100_000  # across a photo, of which the middle is taken
_ANEW = "Give the same `siamese-nn train` command again: it makes it anew"
_CLAIM: dict[str, Fits] = {"siamese_nn": is_text, "recipe": is_table, "data": is_table}
_SCORES: dict[str, Fits] = {
    **dict.fromkeys(("left", "right", "left_identities", "right_identities"), column_of(is_text)),
    "same": column_of(lambda value: type(value) is int and value in (0, 1)),
    "best": column_of(is_number),
}
_LAST = {"last": column_of(is_number)}


def damaged(path: str | os.PathLike, fault: object) -> ValueError:
    """Returns an error that names a damaged file of a run and says what to do."""
    remedy = "Remove the folder that it is in, and the same call trains it anew"
    if RESULTS in str(path):
        remedy = "Remove it, and the same call goes on with the run, or trains it anew"
    return ValueError(f"{path} is damaged ({fault}). {remedy}")


def require_no_links(run_dir: str | os.PathLike) -> None:
    """Makes sure that what is written to a run's files stays in its folder; a link to that is allowed.

    Raises:
        ValueError: if a file or folder in it is a symbolic link.
    """
    for folder, folders, files in os.walk(os.fspath(run_dir)):
        for name in (*folders, *files):
            if (path := Path(folder) / name).is_symlink():
                raise ValueError(
                    f"{path} must be a file or folder of the run's own. Received: a link to "
                    f"{os.readlink(path)}. Remove "
                    "the link, or put the file itself in its place"
                )
            if not (path.is_file() or path.is_dir()):
                raise ValueError(f"{path} must be a file. Received: a pipe, a device or the like. Remove it")


def write_claim(run_dir: str | os.PathLike, claim: Mapping[str, Any]) -> None:
    """Writes `recipe.json`: what the run trains, and on which data."""
    write_text(Path(run_dir) / RECIPE, json.dumps(claim, indent=2) + "\n")


def read_claim(run_dir: str | os.PathLike) -> dict[str, Any]:
    """Reads a run's `recipe.json`: what it trains, and on which data.

    Raises:
        ValueError: if it is damaged.
    """
    claim = read_json(Path(run_dir) / RECIPE)
    require(Path(run_dir) / RECIPE, claim, _CLAIM)
    return claim


def read_history(run_dir: str | os.PathLike) -> dict[str, list[float]]:
    """Reads a run's `history.csv`.

    Args:
        run_dir: the folder of the run.

    Returns:
        The values of each logged quantity by epoch; NaN in an epoch that lacks it. There are always `"epoch"`
        (from 1 on), `"loss"` and `"seconds"`. There may be `"val_loss"`; `"accuracy"` and `"val_accuracy"`,
        if the model has this metric; `"val_eer"`, `"val_auc"` and `"val_verification_accuracy"` of
        `VerificationCallback`; `"learning_rate"` of a schedule; and what your own callbacks have logged.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged: not a table of numbers with one row per epoch.

    Example:
        >>> history = read_history("runs/faces")
        >>> history["epoch"], [len(history[name]) for name in ("loss", "val_loss")]
        ([1.0], [1, 1])
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
    """Returns the results with the SHA-256 of each file that belongs to them, and with their own."""
    own = {name: value for name, value in results.items() if name not in ("files", "sha256")}
    run_dir = Path(run_dir)
    own["files"] = {
        name: digest(run_dir / name) for name in TRAINED + MEASURED + DRAWN if (run_dir / name).is_file()
    }
    own = json.loads(json.dumps(own))
    return own | {"sha256": _own_digest(own)}


def write_results(run_dir: str | os.PathLike, results: Mapping[str, Any]) -> dict[str, Any]:
    """Writes `results.json`, sealed, and returns what it then holds."""
    held = sealed(run_dir, results)
    write_text(Path(run_dir) / RESULTS, json.dumps(held, indent=2) + "\n")
    return held


def read_results(run_dir: str | os.PathLike) -> dict[str, Any]:
    """Reads a run's `results.json`. Whether the other files are still those of then, `changed_files` says.

    The results of an older siamese_nn vouch for nothing. Where the scores are there, the figures are made
    again from them and compared; but not intervals and losses.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or a figure in it was changed.
    """
    run_dir = Path(run_dir)
    results = read_json(run_dir / RESULTS)
    if found := results_fault(results):
        raise damaged(run_dir / RESULTS, found)
    own = {name: value for name, value in results.items() if name != "sha256"}
    if "files" in results:
        if results.get("sha256") != _own_digest(own):
            raise damaged(run_dir / RESULTS, "a part of it was changed since it was written")
    elif (run_dir / SCORES).is_file():
        _require_made_from_scores(run_dir, Results.from_json(results))
    return results


def changed_files(run_dir: str | os.PathLike, results: Mapping[str, Any]) -> dict[str, str]:
    """Returns which of a run's files are no longer those that its results came with, and why.

    Args:
        run_dir: the folder of the run.
        results: what `read_results` returns.

    Returns:
        By the name of each such file `MISSING` or `CHANGED`.
    """
    found = {}
    for name, sha256 in results.get("files", {}).items():
        path = Path(run_dir) / Path(name).name
        if not path.is_file():
            found[name] = MISSING
        elif digest(path) != sha256:
            found[name] = CHANGED
    return found


def _own_digest(results: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()


def require(path: Path | str, document: Any, kinds: Mapping[str, Fits]) -> None:
    """Raises the error of a damaged file if a part of it lacks one of `kinds`, or has one of another kind."""
    if found := fault(document, kinds):
        raise damaged(path, found)


def _require_made_from_scores(run_dir: Path, results: Results) -> None:
    scores = read_scores(run_dir)
    for model, sets in results.figures.items():
        for name, figures in sets.items():
            columns = scores.get(name, {})
            if model not in columns:
                continue
            own, same = np.array(columns[model]), np.array(columns["same"])
            report = verification_report(own, same, threshold=figures.threshold).as_dict()
            if name == "validation":
                report["threshold"] = float(choose_threshold(own, same))
            # Older versions did not write these.
            later = [name for name in ("min_cllr", "min_dcf") if getattr(figures, name) is not None]
            for figure in [*FIGURES, *later]:
                if "interval" not in figure and not _agree(report[figure], getattr(figures, figure)):
                    raise damaged(
                        run_dir / RESULTS,
                        f"figures of {model} on {name}: {figure} is not what scores.json gives",
                    )


def _agree(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_agree(value, other[name]) for name, value in one.items())
    return one == other or (None not in (one, other) and math.isclose(one, other, rel_tol=1e-9))


def write_scores(run_dir: str | os.PathLike, scores: Mapping[str, Mapping[str, list]]) -> None:
    """Writes `scores.json`: by set the pairs, their labels, and the score of each by each model."""
    write_text(Path(run_dir) / SCORES, json.dumps(scores) + "\n")


def read_scores(run_dir: str | os.PathLike) -> dict[str, dict[str, list]]:
    """Reads a run's `scores.json`.

    Returns:
        By set the columns `"left"`, `"right"` (paths), `"left_identities"`, `"right_identities"`, `"same"`
        and `"best"`, the scores of the best epoch's model; where the run is finished, those of the last,
        `"last"`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged.
    """
    path = Path(run_dir) / SCORES
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing. Give the same `siamese-nn train` command again: it makes it anew"
        )
    scores = read_json(path)
    unvalidated = is_table(scores) and "validation" not in scores and "test" in scores
    require(path, scores, {"test" if unvalidated else "validation": is_table})
    for name, columns in scores.items():
        kinds = _SCORES | (_LAST if is_table(columns) and "last" in columns else {})
        require(f"{path}: {name}", columns, kinds)
        if len({len(columns[kind]) for kind in kinds}) > 1:
            raise damaged(path, f"the columns of {name} must be of one length")
    return scores


def write_verifier_settings(run_dir: str | os.PathLike, settings: Mapping[str, Any]) -> None:
    """Writes `verifier.json`: what a verifier needs beside its model, and where that came from."""
    write_text(Path(run_dir) / VERIFIER, json.dumps({"format": VERIFIER_FORMAT, **settings}, indent=2) + "\n")


def read_verifier_settings(run_dir: str | os.PathLike) -> dict[str, Any]:
    """Reads a run's `verifier.json`.

    Returns:
        What it holds, with `"model"` a file name, `"crop"` and `"photo_size"` a tuple or `None`, finite
        `"threshold"` and `"calibration"`, `"people"` lists of names, and `"held_out"` a file's name and
        digest, and how many photos of each person. `"frame"` holds the arguments of a `faces.Frame`, or
        `None` where it is not known; an older file has none.

    Raises:
        ValueError: if it is damaged or of another format.
    """
    path = Path(run_dir) / VERIFIER
    settings = read_json(path)
    version = settings.get("format") if isinstance(settings, dict) else None
    if version != VERIFIER_FORMAT:
        raise ValueError(
            f"{path} must have format {VERIFIER_FORMAT}, which this siamese_nn reads. Received: format "
            f"{version}. "
            f"{_ANEW}"
        )
    try:
        name, calibration, held_out = settings["model"], settings["calibration"], settings["held_out"]
        sizes = [settings[size] for size in ("crop", "photo_size") if settings[size] is not None]
        people = [settings["people"][part] for part in ("trained_on", "chosen_on")]
        numbers = [settings["threshold"], calibration["slope"], calibration["intercept"]]
        frame = settings.get("frame")
        whole = (
            all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
            and calibration["slope"] >= 0
            and all(
                len(size) == 2 and all(type(n) is int and 0 < n <= _MOST_PIXELS for n in size)
                for size in sizes
            )
            and (frame is None or list(faces.Frame(**frame).size) == settings["photo_size"])
            and type(settings["model_sha256"]) is str
            and all(type(names) is list and all(type(person) is str for person in names) for names in people)
            and type(held_out["sha256"]) is str
            and all(type(n) is int and n > 0 for n in held_out["photos_each"])
            and all(Path(file).name == file for file in (name, held_out["file"]))  # no way out of the folder
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise ValueError(f"{path} is damaged: a part is missing or out of range. {_ANEW}")
    return {
        **settings,
        **{name: settings[name] and tuple(settings[name]) for name in ("crop", "photo_size")},
    }
