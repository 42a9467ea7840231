"""One recipe in folds: a training for each, measured once on people whom it has never seen."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import combinations
from operator import add
from pathlib import Path

import numpy as np
import tensorflow as tf

from ..datasets import IdentityLeakError, OwnPeople, require_disjoint
from ..datasets.photo_folders import some
from ..evaluation import FoldsReport, folds_report, verification_report
from ..files import write_text
from ..recipes.recipe import Recipe
from ..runs.folder import FOLD, FOLDS_MODEL, PAGE, read_results, read_scores
from ..runs.html_page import percent, write_page
from ..runs.results import Results
from ..training.train import train

__all__ = ["FoldsResult", "train_folds", "train_model"]

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

    def in_one_line(self) -> str:
        """Says what the folds have come to, in one line."""
        low, high = map(percent, self.accuracy_interval)
        return (
            f"Result: accuracy {percent(self.accuracy)} (95% interval {low} to {high}) in "
            f"{self.folds.n_pairs:,} decisions of {len(self.folds.folds)} folds, on people whom the training "
            "has never seen."
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

    The same call goes on after it was cut off.

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
    runs_dir = Path(runs_dir)
    run_dirs = [runs_dir / FOLD.format(number) for number in range(1, len(folds) + 1)]
    _require_own_folder(runs_dir, run_dirs)
    if len(folds) < 2:
        raise ValueError(f"`folds` must be at least 2. Received: {len(folds)}")
    for run_dir, fold in zip(run_dirs, folds, strict=True):
        _require_apart(run_dir.name, fold)
    for (number, fold), (other, another) in combinations(enumerate(folds, 1), 2):
        require_disjoint(fold.test, another.test, names=(f"fold-{number}'s test", f"fold-{other}'s test"))
    for run_dir, fold in zip(run_dirs, folds, strict=True):
        train(
            *(recipe, fold.train, fold.validation, run_dir),
            test=fold.test,
            photos=fold.photos or None,
            verbose=verbose,
            cache_dir=cache_dir,
        )
        tf.keras.backend.clear_session()  # the models of all folds would add up
    result = _measured(folds, run_dirs)
    write_text(runs_dir / FIGURES, json.dumps(asdict(result), indent=2) + "\n")
    _write_page(result, runs_dir, run_dirs)
    return result


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
    tests = [fold.test for fold in folds]
    scores = [np.array(read_scores(run_dir)["test"]["best"]) for run_dir in run_dirs]
    figures = [Results.from_json(read_results(run_dir)).best["test"] for run_dir in run_dirs]
    thresholds = [each.threshold for each in figures]
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


def _write_page(result: FoldsResult, runs_dir: Path, run_dirs: Sequence[Path]) -> None:
    table = result.folds.table()
    write_page(
        runs_dir / PAGE,
        "folds.html",
        title=runs_dir.resolve().name,
        description=result.describe(),
        header=table.field_names,
        rows=[[str(value) for value in row] for row in table.rows],
        runs=[(run_dir.name, f"{run_dir.name}/{PAGE}") for run_dir in run_dirs],
    )
