"""Many trainings, one after another, that several processes may share."""

import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf
from tqdm.auto import tqdm

from ..datasets import Pairs
from ..recipes.recipe import Recipe
from ..runs.folder import (
    CHANGED,
    HISTORY,
    RECIPE,
    RESULTS,
    STATE,
    TRAINED,
    changed_files,
    damaged,
    read_claim,
    read_history,
    read_results,
)
from ..runs.results import Results, Status
from ..training.callbacks import read_progress
from ..training.claim import RunFolderInUse
from ..training.train import train

logger = logging.getLogger(__name__)


def run_all(
    runs: Mapping[Path, Recipe],
    sets_of: Callable[[Recipe], tuple[Pairs, Pairs, Pairs]],
    *,
    verbose: int | str = 0,
    cache_dir: str | os.PathLike | None = None,
) -> None:
    """Trains each recipe in its folder, with a progress bar. The same call goes on where it was cut off.

    Finished runs are left as they are. A run whose folder another process is training in is left to it, and
    looked at again once at the end. One that diverges, whose folder is damaged, or whose weights can't be
    downloaded, is passed over with a warning.

    Args:
        runs: by their folders.
        sets_of: gives a recipe's training, validation and test pairs.
        verbose: as in Keras's `fit`.
        cache_dir: where the decoded photos are kept, for all runs; see `datasets.load_images`.

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
                if word == Status.DAMAGED:
                    logger.warning("%s is passed over: %s", run_dir.name, fault)
                    bar.update()
                    continue
                training_pairs, val, test = sets_of(recipe)
                try:
                    train(
                        recipe,
                        training_pairs,
                        val,
                        run_dir,
                        test=test,
                        verbose=verbose,
                        cache_dir=cache_dir,
                    )
                except RunFolderInUse:
                    logger.info("%s is left to the process that is training in it", run_dir.name)
                    waiting[run_dir] = recipe
                    continue
                except ConnectionError as error:
                    logger.warning("%s is passed over: %s", run_dir.name, error)
                except ValueError as error:
                    if status(run_dir) != Status.DIVERGED:
                        raise
                    logger.warning("%s", error)
                tf.keras.backend.clear_session()  # dozens of models would add up
                bar.update()


def status(run_dir: str | os.PathLike) -> Status:
    """Returns how a run stands.

    Example:
        >>> print(status("runs/faces"), status("runs/others"), sep=", ")
        finished, not begun
    """
    return standing(run_dir)[0]


def standing(run_dir: str | os.PathLike) -> tuple[Status, str]:
    """Returns `status`, and of a damaged run which file is at fault and what to do."""
    try:
        return _status(Path(run_dir)), ""
    except ValueError as error:
        return Status.DAMAGED, str(error)


def _status(run_dir: Path) -> Status:
    begun = [name for name in (STATE, HISTORY, RESULTS) if (run_dir / name).exists()]
    if (run_dir / RECIPE).exists():
        read_claim(run_dir)
    elif begun:
        raise damaged(run_dir / RECIPE, "it is missing")
    if not begun:
        return Status.NOT_BEGUN
    if begun == [STATE]:  # killed before its first epoch was in the history
        read_progress(run_dir)
        return Status.UNFINISHED
    if HISTORY not in begun:
        raise damaged(run_dir / HISTORY, "it is missing")
    history = read_history(run_dir)
    if not math.isfinite(history["loss"][-1]):
        return Status.DIVERGED
    held = read_results(run_dir) if RESULTS in begun else {}
    if not held or Results.from_json(held).status != Status.FINISHED:
        read_progress(run_dir)
        return Status.UNFINISHED
    results = Results.from_json(held)
    faults = changed_files(run_dir, held)
    for name in TRAINED:
        if faults.get(name) == CHANGED:
            raise damaged(run_dir / name, "it has changed since the run was measured")
    if results.epochs != len(history["epoch"]):
        raise damaged(run_dir / HISTORY, f"{len(history['epoch'])} epochs, of {results.epochs}")
    return Status.FINISHED
