"""The Person Verification study on CFP again, with our figures beside the published ones."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from prettytable import PrettyTable

from ..datasets import Pairs, read_cfp_folds, split_cfp_folds
from ..datasets.cfp import TASKS
from ..recipes.named import cfp_recipe
from ..recipes.published import CFP_EXPERIMENTS as PUBLISHED
from ..recipes.recipe import Recipe
from ..runs.folder import read_results
from ..runs.results import Results, Status
from .many_runs import run_all, status

__all__ = ["CfpRun", "collect", "describe", "plan", "run", "table"]


@dataclass(frozen=True)
class CfpRun:
    """One training of one of the study's experiments.

    Args:
        name: of `training.CFP_EXPERIMENTS`.
        task: `"FF"` or `"FP"`.
        recipe: what is trained.
        run_dir: the folder of the run.

    Example:
        >>> run = plan("runs/cfp", only=["02"], image_size=32)[0]
        >>> run.name, run.task, run.recipe.image_size, run.run_dir.name
        ('02', 'FF', (32, 32), '02-FF-32-0')
    """

    name: str
    task: str
    recipe: Recipe
    run_dir: Path


def plan(
    runs_dir: str | os.PathLike,
    *,
    only: Iterable[str] = (),
    task: str = "FF",
    image_size: int = 224,
    epochs: int | None = None,
    seed: int = 0,
) -> list[CfpRun]:
    """Lists the runs that are to be made, or were made, of some experiments; computes nothing.

    Args:
        runs_dir: the folder that holds, or will hold, the runs' folders.
        only: names of `training.CFP_EXPERIMENTS`; none takes all.
        task: `"FF"`, which the study has, or `"FP"`.
        image_size: height and width, in pixels, from 32 on.
        epochs: the most epochs; `None` takes the study's.
        seed: of weights and order.

    Raises:
        ValueError: on an unknown name or task, or a value that the recipe refuses.

    Example:
        >>> [run.run_dir.name for run in plan("runs/cfp", only=["02", "04"], image_size=32, epochs=3)]
        ['02-FF-32-0-3-epochs', '04-FF-32-0-3-epochs']
    """
    only = list(dict.fromkeys(only))
    if image_size < 32:
        raise ValueError(f"`image_size` must be at least 32. Received: image_size={image_size}")
    unknown = [name for name in only if name not in PUBLISHED]
    if unknown:
        raise ValueError(
            f"`only` must be of {', '.join(PUBLISHED)}. Received: {', '.join(map(str, unknown))}"
        )
    if task not in TASKS:
        raise ValueError(f'`task` must be "FF" or "FP". Received: task={task!r}')
    length = "" if epochs is None else f"-{epochs}-epochs"
    runs = []
    for name in only or PUBLISHED:
        recipe = replace(cfp_recipe(PUBLISHED[name], image_size), seed=seed)
        if epochs is not None:
            recipe = replace(recipe, epochs=epochs, patience=epochs)
        runs.append(CfpRun(name, task, recipe, Path(runs_dir) / f"{name}-{task}-{image_size}-{seed}{length}"))
    return runs


def run(
    runs: Sequence[CfpRun],
    cfp_dir: str | os.PathLike,
    *,
    verbose: int | str = 0,
    cache_dir: str | os.PathLike | None = None,
) -> None:
    """Makes the runs of a plan, one after another, with a progress bar; see `many_runs.run_all`.

    Args:
        runs: what `plan` returns.
        cfp_dir: the folder of CFP, as `datasets.organize_cfp` leaves it.
        verbose: as in Keras's `fit`.
        cache_dir: where the decoded photos are kept, for all runs; see `datasets.load_images`.

    Example:
        >>> runs = plan("runs/cfp", only=["02"], image_size=32, epochs=1)
        >>> run(runs, "cfp")  # doctest: +SKIP
        >>> print(status(runs[0].run_dir))  # before it was called
        not begun
    """
    for task in sorted({run.task for run in runs}):
        sets = split_cfp_folds(read_cfp_folds(cfp_dir, task))
        own = {run.run_dir: run.recipe for run in runs if run.task == task}
        run_all(own, partial(_same_for_all, sets), verbose=verbose, cache_dir=cache_dir)


def _same_for_all(sets: tuple[Pairs, Pairs, Pairs], _: Recipe) -> tuple[Pairs, Pairs, Pairs]:
    return sets


def collect(runs: Iterable[CfpRun]) -> list[dict[str, Any]]:
    """Reads what has come of runs, finished or not.

    Returns:
        For each run its name, task, recipe and `status`; of a finished one `results`, as `training.train`
        returns them.

    Example:
        >>> rows = collect(plan("runs/cfp", only=["02", "04"]))
        >>> [(row["name"], str(row["status"])) for row in rows]
        [('02', 'not begun'), ('04', 'not begun')]
    """
    rows = []
    for run in runs:
        row = {"name": run.name, "task": run.task, "recipe": run.recipe, "status": status(run.run_dir)}
        if row["status"] == Status.FINISHED:
            row["results"] = read_results(run.run_dir)
        rows.append(row)
    return rows


def table(rows: Iterable[dict[str, Any]]) -> PrettyTable:
    """Shows the study's table, with our figures beside the published ones; see `describe` for what they are.

    Args:
        rows: what `collect` returns.

    Example:
        >>> shown = table(collect(plan("runs/cfp", only=["13_lr1e-3_sgd"])))
        >>> for row in shown.rows:
        ...     print(*row[3:6], sep="; ")  # whose they are, accuracy on validation and on test pairs
        study, FF; 82.6; 83.4
        ours, FF; not begun; -
    """
    shown = PrettyTable(
        [
            *("Experiment", "Model", "Training", "Figures"),
            *("Val. accuracy", "Test accuracy", "AUC", "EER", "Best epoch", "Minutes"),
        ],
        align="r",
    )
    for name in ("Experiment", "Model", "Training", "Figures"):
        shown.align[name] = "l"
    for row in rows:
        published, recipe = PUBLISHED[row["name"]], row["recipe"]
        model = f"{published.loss} over {published.features_from} {published.backbone}"
        words = [f"{recipe.learning_rate:g} {recipe.optimizer}"]
        if published.pretrained:
            words.append("pretrained")
        if published.augmentation:
            words.append("augmented")
        if published.fine_tuning == "upper_half":
            words.append("upper half")
        best = f"{published.published_best_epoch or '-'} of {published.epochs}"
        accuracies = (published.published_val_accuracy, published.published_test_accuracy)
        theirs = [*map(_percent, accuracies), "-", "-", best, "-"]
        shown.add_row([row["name"], model, ", ".join(words), "study, FF", *theirs])
        shown.add_row(["", "", "", f"ours, {row['task']}", *_ours(row)])
    return shown


def describe(rows: Sequence[dict[str, Any]]) -> str:
    """Says in words what the figures are, and what to bear in mind.

    Example:
        >>> rows = collect(plan("runs/cfp", only=["02"], image_size=32))
        >>> describe(rows).splitlines()[-1]
        'Ours on: nothing yet.'
    """
    sizes = sorted({row["recipe"].image_size[0] for row in rows})
    done = {row["name"]: row["recipe"] for row in rows if "results" in row}
    shorter = [name for name, recipe in done.items() if recipe.epochs != PUBLISHED[name].epochs]
    without = any(PUBLISHED[row["name"]].pretrained and row["status"] == Status.NOT_BEGUN for row in rows)
    devices = sorted({Results.from_json(row["results"]).device for row in rows if "results" in row})
    return (
        "Accuracies are in percent. Ours: folds 1 to 8 trained, 9 validated, 10 tested, and nobody is in two "
        "of them. The best epoch has the best AUC on the validation pairs. The threshold was chosen on them, "
        "so that their own accuracy flatters. 95% intervals by bootstrap over people. The study doesn't say "
        "which folds, batches and images it took: ours are of 32 pairs, "
        f"{' and '.join(f'{size} x {size}' for size in sizes)} pixels."
        + (f"\nShorter than the study's: {', '.join(shorter)}." if shorter else "")
        + (
            "\nExperiments that begin with ImageNet weights are not begun if these could not be downloaded: "
            "the warning says where to put the file."
            if without
            else ""
        )
        + f"\nOurs on: {'; '.join(devices) or 'nothing yet'}."
    )


def _ours(row: dict[str, Any]) -> list[str]:
    if "results" not in row:
        return [row["status"], *["-"] * 5]
    results = Results.from_json(row["results"])
    test = results.best["test"]
    return [
        _percent(results.best["validation"].accuracy),
        f"{_percent(test.accuracy)} ({'-'.join(map(_percent, test.accuracy_interval))})",
        f"{test.auc:.3f}",
        _percent(test.eer),
        f"{results.best_epoch} of {results.epochs}",
        f"{results.seconds / 60:.1f}",
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
