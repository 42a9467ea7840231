"""Many trainings, one after another, that several processes may share."""

import csv
import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf
from tqdm.auto import tqdm

from ..datasets import Pairs
from ..files import read_json
from .callbacks import read_progress
from .recipes import Recipe
from .run_claim import RunFolderInUse
from .train import train

logger = logging.getLogger(__name__)


def run_all(
    runs: Mapping[Path, Recipe],
    sets_of: Callable[[Recipe], tuple[Pairs, Pairs, Pairs]],
    *,
    verbose: int | str = 0,
) -> None:
    """Trains each recipe in its folder, with a progress bar. The same call goes on where it was cut off.

    Finished runs are left as they are. A run whose folder another process is training in is left to it, and looked at again
    once at the end. One that diverges, whose folder is damaged, or whose weights can't be downloaded, is passed over with a warning.

    Args:
        runs: by their folders.
        sets_of: gives a recipe's training, validation and test pairs.
        verbose: as in Keras's `fit`.

    Raises:
        ValueError: as `training.train`, but if a training diverged.
        KeyboardInterrupt: on Ctrl-C, as `training.train`.
    """
    waiting = dict(runs)
    # None: hidden where there is no terminal and no notebook.
    with tqdm(total=len(waiting), desc="runs", unit="run", disable=None) as bar:
        for _ in range(2):
            todo, waiting = waiting, {}
            for run_dir, recipe in todo.items():
                bar.set_postfix_str(run_dir.name)
                word, fault = standing(run_dir)
                if word == "damaged":
                    logger.warning("%s is passed over: %s", run_dir.name, fault)
                    bar.update()
                    continue
                training_pairs, val, test = sets_of(recipe)
                try:
                    train(recipe, training_pairs, val, run_dir, test=test, verbose=verbose)
                except RunFolderInUse:
                    logger.info("%s is left to the process that is training in it", run_dir.name)
                    waiting[run_dir] = recipe
                    continue
                except ConnectionError as error:
                    logger.warning("%s is passed over: %s", run_dir.name, error)
                except ValueError as error:
                    if status(run_dir) != "diverged":
                        raise
                    logger.warning("%s", error)
                tf.keras.backend.clear_session()  # dozens of models would add up
                bar.update()


def status(run_dir: str | os.PathLike) -> str:
    """Returns how a run stands: `"not begun"`, `"unfinished"`, `"diverged"`, `"finished"` or `"damaged"`."""
    return standing(run_dir)[0]


def standing(run_dir: str | os.PathLike) -> tuple[str, str]:
    """Returns `status`, and of a damaged run which file is at fault and what to do."""
    try:
        return _status(Path(run_dir)), ""
    except ValueError as error:
        return "damaged", str(error)


def damage(path: Path, fault: object) -> ValueError:
    """Returns an error that names a damaged file of a run and says what to do."""
    return ValueError(
        f"{path} is damaged ({fault}). Remove the folder that it is in, and the same call trains it anew"
    )


def _status(run_dir: Path) -> str:
    history, results = run_dir / "history.csv", run_dir / "results.json"
    claim = _read(run_dir / "recipe.json", recipe=dict, data=dict)
    if not history.exists() and not results.exists():
        return "not begun"
    if claim is None:
        raise damage(run_dir / "recipe.json", "it is gone")
    try:
        with history.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a row is not whole")
        losses = [float(row["loss"]) for row in rows]
        last = losses[-1]
    except (OSError, ValueError, LookupError, csv.Error) as error:
        raise damage(history, repr(error)) from error
    if not math.isfinite(last):
        return "diverged"
    figures = _read(results, status=str, epochs=int)
    if figures is None or figures["status"] != "finished":
        read_progress(run_dir)
        return "unfinished"
    if figures["epochs"] != len(losses):
        raise damage(history, f"{len(losses)} epochs, of {figures['epochs']}")
    return "finished"


def _read(path: Path, **kinds: type) -> dict | None:
    """Returns the table in a JSON file, whose entries must be of these kinds; `None` without a file."""
    if not path.exists():
        return None
    found = read_json(path)
    if not isinstance(found, dict) or not all(
        isinstance(found.get(name), kind) for name, kind in kinds.items()
    ):
        raise damage(path, f"it lacks {', '.join(kinds)}")
    return found
