"""One recipe in folds: a training for each, measured once on people whom it has never seen."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import combinations
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..datasets import IdentityLeakError, OwnPeople, Pairs, require_disjoint
from ..datasets.photo_folders import some
from ..evaluation import FoldsReport, choose_threshold, folds_report, verification_report
from ..files import write_text
from ..recipes.recipe import Recipe
from ..runs.folder import FOLD, FOLDS_MODEL, PAGE, read_scores
from ..runs.html_page import percent, write_page
from ..training.claim import RunFolderInUse
from ..training.train import train

__all__ = ["FoldsResult", "train_folds", "train_model", "train_tasks"]

FIGURES = "folds.json"


@dataclass(frozen=True)
class FoldsResult:
    """What a recipe has come to in folds.

    The folds have models of their own, whose scores cannot be compared. So accuracy is pooled over decisions,
    each by its own model's threshold; AUC and EER are those of each fold, with mean and standard error.

    Args:
        accuracy: the share of all folds' pairs that are decided rightly.
        accuracy_interval: of 95%, over the people of all folds. It knows how people differ, and not how much
            a training on other people would differ.
        folds: the figures of each fold, and over the folds.

    Example:
        >>> from siamese_nn.datasets import Pairs
        >>> fold = lambda a, b: Pairs([a + "1", a + "1"], [a + "2", b + "1"], [1, 0], [a, a], [a, b])
        >>> figures = folds_report(
        ...     [[0.9, 0.2], [0.3, 0.1]], [fold("ada", "bea"), fold("cyd", "dot")], thresholds=[0.5, 0.4]
        ... )
        >>> result = FoldsResult(accuracy=0.75, accuracy_interval=(0.5, 1.0), folds=figures)
        >>> print(result.in_one_line())
        Result: accuracy 75.0% (95% interval 50.0% to 100.0%) in 4 decisions of 2 folds, on people whom the
        training has never seen.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    folds: FoldsReport

    def describe(self) -> str:
        """Says the accuracy in words, and what it is."""
        low, high = map(percent, self.accuracy_interval)
        return (
            f"Accuracy on people whom the training has not seen: {percent(self.accuracy)} (95% interval over "
            f"{self.folds.n_people} people: {low} to {high}). Each of {len(self.folds.folds)} folds was "
            "trained and had its threshold chosen without the people it was measured on. The interval holds "
            "for other people, and not for a training on others. Scores of two folds cannot be compared, so "
            "AUC and EER are means over the folds."
        )

    def in_one_line(self, task: str = "") -> str:
        """Says what the folds have come to, in one line, with the name of the task if it has one."""
        low, high = map(percent, self.accuracy_interval)
        return (
            f"Result{task and f', {task}'}: accuracy {percent(self.accuracy)} (95% interval {low} to {high}) "
            f"in {self.folds.n_pairs:,} decisions of {len(self.folds.folds)} folds, on people whom the "
            "training has never seen."
        )


def train_folds(
    recipe: Recipe,
    folds: Sequence[OwnPeople],
    runs_dir: str | os.PathLike,
    *,
    verbose: int | str = 0,
    cache_dir: str | os.PathLike | None = None,
) -> FoldsResult:
    """Trains a recipe once for each fold, and measures it on this fold.

    The same call goes on after it was cut off. Several processes may share the folds, see `train_tasks`.

    Args:
        recipe: what to train.
        folds: such as `datasets.people_folds` or `datasets.folds_in_turn` makes; two or more.
        runs_dir: the folder to make. It receives the runs `fold-1`, `fold-2`, ..., the figures in
            `folds.json`, and a page, `report.html`.
        verbose: as in Keras's `fit`.
        cache_dir: where the decoded photos are kept, for all runs; see `datasets.load_images`.

    Raises:
        IdentityLeakError: if somebody is on two sides of a fold, or in the tests of two.
        ValueError: as `training.train`.
        KeyboardInterrupt: on Ctrl-C, as `training.train`.
        RunFolderInUse: as `train_tasks`.

    Example:
        >>> from siamese_nn import datasets
        >>> folds = datasets.people_folds("faces/lfw2", 4)
        >>> recipe = Recipe(image_size=(80, 80), filters=2, units=8, epochs=1)
        >>> print(train_folds(recipe, folds, "runs/folds").describe())  # doctest: +SKIP
        >>> train_folds(recipe, [folds[0], folds[1], folds[0]], "runs/folds")
        Traceback (most recent call last):
        ...
        siamese_nn.datasets.splits.IdentityLeakError: 16 people occur in both fold-1's test and ... pairs ...
    """
    return train_tasks(recipe, {"": folds}, runs_dir, verbose=verbose, cache_dir=cache_dir)[""]


def train_tasks(
    recipe: Recipe,
    tasks: Mapping[str, Sequence[OwnPeople]],
    runs_dir: str | os.PathLike,
    *,
    verbose: int | str = 0,
    cache_dir: str | os.PathLike | None = None,
) -> dict[str, FoldsResult]:
    """Trains a recipe once for each fold, and measures it on several tasks that have the same people there.

    The validation pairs of all tasks together choose a fold's epoch. Each task's own validation pairs choose
    its threshold. The same call goes on after it was cut off. Several processes may make it at once: each
    leaves the folds that another is training to that one, and the last to end makes the figures.

    Args:
        recipe: what to train.
        tasks: the folds of each task by its name, such as CFP's `"FF"` and `"FP"`; as of `train_folds`. The
            k-th folds of all tasks have the same people on the same sides, and the same `photos`.
        runs_dir, verbose, cache_dir: as of `train_folds`. `folds.json` holds the figures by task.

    Returns:
        What the recipe has come to in each task.

    Raises:
        IdentityLeakError, KeyboardInterrupt: as `train_folds`.
        RunFolderInUse: at the end, if other processes still train some of the folds.
        ValueError: as `train_folds`, or if the tasks differ in their people or `photos`.

    Example:
        >>> from siamese_nn import datasets
        >>> photos = datasets.cfp_photos("cfp")
        >>> tasks = {
        ...     task: datasets.folds_in_turn(datasets.read_cfp_folds("cfp", task), photos)
        ...     for task in ("FF", "FP")
        ... }
        >>> len(tasks["FF"]), tasks["FF"][0].test.identities() == tasks["FP"][0].test.identities()
        (10, True)
        >>> results = train_tasks(Recipe(), tasks, "runs/cfp")  # doctest: +SKIP
    """
    counts = sorted({len(folds) for folds in tasks.values()})
    if len(counts) != 1 or counts[0] < 2:
        raise ValueError(f"`folds` must be at least 2, and as many for each task. Received: {counts}")
    folds = [_together(each) for each in zip(*tasks.values(), strict=True)]
    runs_dir = Path(runs_dir)
    run_dirs = [runs_dir / FOLD.format(number) for number in range(1, len(folds) + 1)]
    _require_own_folder(runs_dir, run_dirs)
    for run_dir, fold in zip(run_dirs, folds, strict=True):
        _require_apart(run_dir.name, fold)
    for (number, fold), (other, another) in combinations(enumerate(folds, 1), 2):
        require_disjoint(fold.test, another.test, names=(f"fold-{number}'s test", f"fold-{other}'s test"))
    elsewhere = dict(zip(run_dirs, folds, strict=True))
    for _ in range(2):  # what another process was training at first may be finished now
        todo, elsewhere = elsewhere, {}
        for run_dir, fold in todo.items():
            try:
                train(
                    *(recipe, fold.train, fold.validation, run_dir),
                    test=fold.test,
                    photos=fold.photos or None,
                    verbose=verbose,
                    cache_dir=cache_dir,
                )
            except RunFolderInUse:
                elsewhere[run_dir] = fold
            tf.keras.backend.clear_session()  # the models of all folds would add up
    if elsewhere:
        names = ", ".join(run_dir.name for run_dir in elsewhere)
        raise RunFolderInUse(
            f"All folds in {runs_dir} are finished but those that other processes still train: {names}. The "
            "process that ends last makes the figures; or the same call does, later"
        )
    results = {task: _measured(own, run_dirs) for task, own in tasks.items()}
    figures = {task: asdict(result) for task, result in results.items()}
    # Of folds with one task, which has no name, the figures stand alone.
    write_text(runs_dir / FIGURES, json.dumps(figures.get("", figures), indent=2) + "\n")
    _write_page(results, runs_dir, run_dirs)
    return results


def _together(tasks: Sequence[OwnPeople]) -> OwnPeople:
    """One fold with the pairs of all tasks."""
    first, *others = tasks
    for other in others:
        sides = [
            [pairs.identities() for pairs in (fold.train, fold.validation, fold.test)]
            for fold in (first, other)
        ]
        if sides[0] != sides[1] or first.photos != other.photos:
            raise ValueError(
                "The folds of all `tasks` must have the same people, on the same sides and with the same "
                f"`photos`. Received: {first.test} and {other.test} as the test of one fold"
            )
    train, validation, test = (
        reduce(add, [getattr(fold, side) for fold in tasks]) for side in ("train", "validation", "test")
    )
    return OwnPeople(train, validation, test, first.photos)


def train_model(
    recipe: Recipe,
    folds: Sequence[OwnPeople],
    runs_dir: str | os.PathLike,
    *,
    verbose: int | str = 0,
    cache_dir: str | os.PathLike | None = None,
) -> Path:
    """Trains a model to use, on all people but those of the first fold, who choose its epoch and threshold.

    It is measured on nobody: the figures of `train_folds` are those of its recipe.

    Args:
        recipe, folds, runs_dir, verbose, cache_dir: as of `train_folds`.

    Returns:
        The folder of the run, `model` in `runs_dir`.

    Raises:
        ValueError, KeyboardInterrupt: as `training.train`.

    Example:
        >>> from siamese_nn import datasets
        >>> folds = datasets.people_folds("faces/lfw2", 4)
        >>> first = folds[0]
        >>> len((first.train + first.validation).identities()), len(first.test.identities())  # learn, choose
        (48, 16)
        >>> run_dir = train_model(Recipe(), folds, "runs/folds")  # doctest: +SKIP
    """
    first, run_dir = folds[0], Path(runs_dir) / FOLDS_MODEL
    held_out = first.test.identities()
    photos = {name: own for fold in folds for name, own in fold.photos.items() if name not in held_out}
    train(
        *(recipe, first.train + first.validation, first.test, run_dir),
        photos=photos or None,
        verbose=verbose,
        cache_dir=cache_dir,
    )
    return run_dir


def _require_own_folder(runs_dir: Path, run_dirs: Sequence[Path]) -> None:
    own = {FIGURES, PAGE, FOLDS_MODEL, *(run_dir.name for run_dir in run_dirs)}
    others = [entry.name for entry in runs_dir.iterdir()] if runs_dir.exists() else []
    others = sorted(name for name in others if name not in own and not name.startswith("."))
    if others:
        raise ValueError(
            f"`runs_dir` must be a new folder, or that of these very folds. Received {runs_dir} with "
            f"{others[0]}. Choose another folder"
        )


def _require_apart(name: str, fold: OwnPeople) -> None:
    """Refuses a fold of whom somebody is on two sides, before anything is trained."""
    sides = {"training": fold.train, "validation": fold.validation, "test": fold.test}
    for one, other in combinations(sides, 2):
        require_disjoint(sides[one], sides[other], names=(f"{name}'s {one}", f"{name}'s {other}"))
    if shared := sorted(set(fold.photos) & (fold.validation.identities() | fold.test.identities())):
        raise IdentityLeakError(
            f"{name}'s photos to learn from show people of its validation or test: {some(shared)}. Leave "
            "them out"
        )


def _measured(folds: Sequence[OwnPeople], run_dirs: Sequence[Path]) -> FoldsResult:
    tests, scores, thresholds = [fold.test for fold in folds], [], []
    for fold, run_dir in zip(folds, run_dirs, strict=True):
        held = read_scores(run_dir)
        scores.append(_scores_of(fold.test, held["test"]))
        chosen = choose_threshold(_scores_of(fold.validation, held["validation"]), fold.validation.same)
        thresholds.append(float(chosen))
    pooled = reduce(add, tests)
    decisions = verification_report(
        # Above zero is what the fold's own model takes for one person. Only the decisions are looked at.
        np.concatenate([own - threshold for own, threshold in zip(scores, thresholds, strict=True)]),
        pooled.same,
        threshold=0.0,
        identities=(pooled.left_identities, pooled.right_identities),
    )
    return FoldsResult(
        decisions.accuracy, decisions.accuracy_interval, folds_report(scores, tests, thresholds)
    )


def _scores_of(pairs: Pairs, columns: dict[str, Any]) -> np.ndarray:
    """The scores of a task's pairs, among those of all tasks."""
    held = dict(zip(zip(columns["left"], columns["right"], strict=True), columns["best"], strict=True))
    sides = (map(os.path.abspath, side.tolist()) for side in (pairs.left, pairs.right))
    return np.array([held[pair] for pair in zip(*sides, strict=True)])


def _write_page(results: Mapping[str, FoldsResult], runs_dir: Path, run_dirs: Sequence[Path]) -> None:
    tables = {task: result.folds.table() for task, result in results.items()}
    write_page(
        runs_dir / PAGE,
        "folds.html",
        title=runs_dir.resolve().name,
        tasks=[
            {
                "name": task,
                "description": results[task].describe(),
                "header": table.field_names,
                "rows": [[str(value) for value in row] for row in table.rows],
            }
            for task, table in tables.items()
        ],
        runs=[(run_dir.name, f"{run_dir.name}/{PAGE}") for run_dir in run_dirs],
    )
