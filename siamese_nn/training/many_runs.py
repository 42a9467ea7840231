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
    once at the end. One that diverges, or whose weights can't be downloaded, is passed over with a warning.

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
                training_pairs, val, test = sets_of(recipe)
                try:
                    train(recipe, training_pairs, val, run_dir, test=test, verbose=verbose)
                except RunFolderInUse as error:
                    logger.info("%s", error)
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
    """Returns how a run stands: `"not begun"`, `"unfinished"`, `"diverged"` or `"finished"`."""
    history, results = Path(run_dir) / "history.csv", Path(run_dir) / "results.json"
    if not history.exists():
        return "not begun"
    with history.open(encoding="utf-8", newline="") as file:
        *_, last = csv.DictReader(file)
    if not math.isfinite(float(last["loss"])):
        return "diverged"
    finished = results.exists() and read_json(results)["status"] == "finished"
    return "finished" if finished else "unfinished"
