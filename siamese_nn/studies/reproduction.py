"""The report's experiments again: runs them, and sets our figures beside the published ones."""

import logging
import math
import os
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import plots
from ..datasets import Pairs, letter_counts, load_lfw_a
from ..files import replacing
from ..recipes.named import REPORT_EXPERIMENTS
from ..recipes.published import EXPERIMENTS, LETTERS, SETTINGS, PublishedExperiment, curves
from ..recipes.recipe import Recipe
from ..runs.folder import HISTORY, RESULTS, damaged, read_history, read_results
from ..runs.results import Results, Status
from .many_runs import run_all, standing, status
from .report_agreement import agreement_table, noise
from .report_tables import (
    BEST,
    COLUMNS,
    describe,
    markdown_around,
    table,
    tables,
    write_csv,
    write_markdown,
    write_part,
)

__all__ = [
    "ReportRun",
    "agreement_table",
    "collect",
    "describe",
    "draw",
    "effects",
    "markdown_around",
    "noise",
    "plan",
    "run",
    "select",
    "status",
    "table",
    "tables",
    "write_csv",
    "write_markdown",
    "write_part",
]

logger = logging.getLogger(__name__)

# The endings of the names in `REPORT_EXPERIMENTS`.
VARIANTS = {"as-printed": "", "as-run": "-as-run", "256": "-256"}
_CURVES = ("accuracy", "loss", "val_accuracy", "val_loss")


@dataclass(frozen=True)
class ReportRun:
    """One training of one of the report's experiments.

    Args:
        name: of `training.REPORT_EXPERIMENTS`.
        recipe: what is trained: that experiment, with a split and a seed.
        run_dir: the folder of the run.

    Example:
        >>> run = plan(["5.1-as-run"], "runs/report")[0]
        >>> run.name, run.recipe.batch_size, run.run_dir.name, run.published.published_test_accuracy
        ('5.1-as-run', 128, '5.1-as-run-report-0', 68.4)
    """

    name: str
    recipe: Recipe
    run_dir: Path

    @property
    def published(self) -> PublishedExperiment:
        """The report's row."""
        return EXPERIMENTS[_number(self.name)]


def _number(name: str) -> str:
    return name.partition("-")[0]


def select(*, tables: Iterable[int] = (), only: Iterable[str] = (), variant: str = "as-printed") -> list[str]:
    """Names experiments of the report, in its order.

    Args:
        tables: the numbers of the tables whose rows to take, 3 to 7.
        only: the numbers of further rows, such as `"5.1"`. With neither, all rows are taken.
        variant: `"as-printed"`, `"as-run"`: as the authors' code really ran them, or `"256"`: as printed, but
            for the 256 units; see `training.REPORT_EXPERIMENTS`.

    Raises:
        ValueError: if there is no such table, row or variant.

    Example:
        >>> select(tables=[5], only=["8.1"], variant="as-run")
        ['7.1-as-run', '8.1-as-run']
    """
    tables, only = list(tables), list(only)
    known: dict[str, tuple[list, list]] = {
        "tables": (tables, sorted({row.table for row in EXPERIMENTS.values()})),
        "only": (only, list(EXPERIMENTS)),
        "variant": ([variant], list(VARIANTS)),
    }
    for name, (values, choices) in known.items():
        unknown = [value for value in values if value not in choices]
        if unknown:
            hint = ""
            if name == "only" and any(_number(str(value)) in EXPERIMENTS for value in unknown):
                hint = "; what stands behind a row's number is said by the variant"
            raise ValueError(
                f"`{name}` must be among {', '.join(map(str, choices))}{hint}. "
                f"Received: {', '.join(map(str, unknown))}"
            )
    return [
        number + VARIANTS[variant]
        for number, row in EXPERIMENTS.items()
        if row.table in tables or number in only or not (tables or only)
    ]


def plan(
    names: Iterable[str],
    runs_dir: str | os.PathLike,
    *,
    split: str = "report",
    seeds: Iterable[int] = (0,),
    changes: Mapping[str, Any] | None = None,
) -> list[ReportRun]:
    """Lists the runs that are to be made, or were made, of some experiments; computes nothing.

    Args:
        names: of `training.REPORT_EXPERIMENTS`; see `select`.
        runs_dir: the folder that holds, or will hold, the runs' folders. Two names of the same recipe share
            their runs.
        split: `"report"` or `"identities"`, as in `Recipe`.
        seeds: each makes one run of every experiment.
        changes: other fields of `Recipe` with their values, such as `{"epochs": 10}`, for trials that are
            smaller than the report's. They become a part of the folders' names.

    Raises:
        ValueError: on an unknown name or field, or a value that the recipe refuses.

    Example:
        >>> runs = plan(["5.1", "7.1"], "runs/report", seeds=[0, 1])
        >>> [run.run_dir.name for run in runs]
        ['5.1-report-0', '7.1-report-0', '5.1-report-1', '7.1-report-1']
    """
    names, changes = list(names), changes or {}
    unknown = [name for name in names if name not in REPORT_EXPERIMENTS]
    if unknown:
        raise ValueError(f"`names` must be of REPORT_EXPERIMENTS. Received: {', '.join(map(str, unknown))}")
    unknown = [name for name in changes if name not in REPORT_EXPERIMENTS["5.1"].as_dict()]
    if unknown:
        raise ValueError(f"`changes` must be of fields of `Recipe`. Received: {', '.join(map(str, unknown))}")
    # As run, rows that differ in optimizer, initial weights or units alone are the same trainings.
    first: dict[Recipe, str] = {}
    for name, recipe in REPORT_EXPERIMENTS.items():
        first.setdefault(recipe, name)
    changed = "".join(f"-{field}-{value}" for field, value in changes.items())
    runs = []
    for seed in seeds:
        for name in names:
            printed = REPORT_EXPERIMENTS[name]
            folder = re.sub(r"[^\w.-]+", "_", f"{first[printed]}-{split}-{seed}{changed}")
            recipe = replace(printed, split=split, seed=seed, **changes)
            runs.append(ReportRun(name, recipe, Path(runs_dir) / folder))
    return runs


def run(
    runs: Sequence[ReportRun],
    pairs: Pairs,
    test: Pairs,
    *,
    verbose: int | str = 0,
    cache_dir: str | os.PathLike | None = None,
) -> None:
    """Makes the runs of a plan, one after another, with a progress bar. After an interruption it goes on.

    Finished runs stay as they are. If another process is training in the folder of a run, this call leaves it
    to that process and looks again once at the end: so several processes share a plan. A warning tells of a
    run that diverges or whose folder is damaged, and the next one begins.

    Args:
        runs: what `plan` returns.
        pairs: the pairs to split into training and validation.
        test: the test pairs.
        verbose: as in Keras's `fit`.
        cache_dir: where the decoded photos are kept, for all runs; see `datasets.load_images`.

    Raises:
        ValueError: as `training.train`, but if a training diverged.
        KeyboardInterrupt: on Ctrl-C, as `training.train`.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTrain.txt", "faces/lfw2")
        >>> test = datasets.read_pairs("faces/pairsDevTest.txt", "faces/lfw2")
        >>> runs = plan(["5.1"], "runs/report", split="identities", changes={"epochs": 1})
        >>> run(runs, pairs, test)  # doctest: +SKIP
        >>> print(runs[0].run_dir.name, status(runs[0].run_dir), sep=": ")  # before it was called
        5.1-identities-0-epochs-1: not begun
    """
    splits: dict[tuple, tuple[Pairs, Pairs]] = {}

    def sets_of(recipe: Recipe) -> tuple[Pairs, Pairs, Pairs]:
        key = (recipe.split, recipe.letters, recipe.seed)
        if key not in splits:
            splits[key] = recipe.split_pairs(pairs, exclude=test)
        return *splits[key], test

    run_all({run.run_dir: run.recipe for run in runs}, sets_of, verbose=verbose, cache_dir=cache_dir)


def collect(runs: Iterable[ReportRun], data_dir: str | os.PathLike | None = None) -> list[dict[str, Any]]:
    """Reads what has come of runs, finished or not; of a damaged one a warning says what to do.

    Args:
        runs: what `plan` returns.
        data_dir: the organised folder that they were trained on, for the tables to say what the photos are.

    Returns:
        For each run its name, split, seed, `changes`, `status` and `data` (in words); of a finished one the
        figures, accuracies in percent as the report's, else
        `None`: loss and accuracy at 0.5 on test and validation pairs at the last epoch, the best epoch's test
        accuracy at the validation pairs' threshold with its 95% interval, epochs, seconds and device; and the
        report's row.

    Example:
        >>> row = collect(plan(["5.1"], "runs/report"))[0]
        >>> str(row["status"]), row["test_accuracy"], row["published_test_accuracy"]
        ('not begun', None, 68.4)
    """
    words = None if data_dir is None else _data_in_words(Path(data_dir))
    rows = []
    for run in runs:
        row, fault = _figures(run)
        if fault:
            logger.warning("%s is passed over: %s", run.run_dir.name, fault)
        rows.append(row | {"data": words})
    return rows


def _data_in_words(data_dir: Path) -> str:
    pairs, test = load_lfw_a(data_dir)
    words = f"{data_dir.name}, {len(pairs):,} training and {len(test):,} test pairs"
    if any((data_dir / place / "toy_faces.json").is_file() for place in (".", "drawn")):
        return f"{words} of DRAWN faces: ours can't be compared with the report's"
    if letter_counts(pairs) != LETTERS:
        return f"{words}, NOT the report's: ours can't be compared with its figures"
    return words


def _figures(run: ReportRun) -> tuple[dict[str, Any], str]:
    """The row of a run, and of a damaged one what is wrong."""
    row = dict.fromkeys(COLUMNS) | asdict(run.published)
    printed, own = REPORT_EXPERIMENTS[run.name].as_dict(), run.recipe.as_dict()
    changed = [name for name in own if own[name] != printed[name] and name not in ("split", "seed")]
    row |= {"name": run.name, "split": run.recipe.split, "seed": run.recipe.seed}
    row["own_units"] = run.recipe.units
    row["changes"] = ", ".join(f"{name} {own[name]}" for name in changed)
    row["status"], fault = standing(run.run_dir)
    if row["status"] == Status.FINISHED:
        file = RESULTS
        try:
            figures = _read_results(run.run_dir)
            file = HISTORY
            _read_curves(run.run_dir)
        except (ValueError, TypeError, LookupError) as error:
            return row | {"status": Status.DAMAGED}, str(damaged(run.run_dir / file, repr(error)))
        row |= figures
    return row, fault


def _read_results(run_dir: Path) -> dict[str, Any]:
    results = Results.from_json(read_results(run_dir))
    row: dict[str, Any] = {
        "epochs": results.epochs,
        "best_epoch": results.best_epoch,
        "seconds": results.seconds,
        "device": results.device,
    }
    for ours, theirs in (("test", "test"), ("val", "validation")):
        last = results.figures["last"][theirs]
        if last.loss is None or last.accuracy_at_half is None:
            raise ValueError(f"figures: last: {theirs}: it lacks loss or accuracy_at_half")
        row |= {f"{ours}_loss": last.loss, f"{ours}_accuracy": 100 * last.accuracy_at_half}
    if results.leak is not None:
        row |= asdict(results.leak)
    best = results.best["test"]
    shares = (best.accuracy, *best.accuracy_interval)
    return row | {name: 100 * share for name, share in zip(BEST, shares, strict=True)}


def _read_curves(run_dir: Path) -> dict[str, list[float]]:
    history = read_history(run_dir)
    return {name: history[name] for name in _CURVES}


def effects(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[list[dict[str, Any]]]]:
    """Finds, for each hyper-parameter, the experiments that differ in nothing else.

    Args:
        rows: what `collect` returns.

    Returns:
        By hyper-parameter (as the report prints them) the groups of such experiments, for
        `plots.hyperparameter_effects`. Runs with another value than the printed one say nothing of its
        effect, and are left out there.

    Example:
        >>> rows = collect(plan(select(tables=[3]), "runs/report"))
        >>> group = effects(rows)["batch_size"][0]
        >>> [(point["value"], point["published"], point["ours"]) for point in group]
        [(32, 64.8, nan), (128, 66.1, nan), (256, 67.5, nan)]
    """
    points: dict[str, dict[str, Any]] = {}
    for row in rows:
        point = points.setdefault(row["name"], {"row": row, "accuracies": []})
        if row["status"] == Status.FINISHED:
            point["accuracies"].append(row["test_accuracy"])
    found = {}
    for name in ("batch_size", "learning_rate", "optimizer", "initializer", "drop_rate", "filters", "units"):
        groups: dict[tuple, list[dict[str, Any]]] = {}
        for point in points.values():
            row, ours = point["row"], point["accuracies"]
            own = getattr(REPORT_EXPERIMENTS[row["name"]], name)
            if (row["own_units"] if name == "units" else own) != row[name]:
                ours = []
            others = tuple(row[other] for other in SETTINGS if other != name)
            groups.setdefault(others, []).append(
                {
                    "value": row[name],
                    "published": row["published_test_accuracy"],
                    "ours": statistics.fmean(ours) if ours else math.nan,
                    "deviation": statistics.stdev(ours) if len(ours) > 1 else math.nan,
                }
            )
        found[name] = [group for group in groups.values() if len(group) > 1]
    return found


def draw(runs: Sequence[ReportRun], folder: str | os.PathLike) -> list[Path]:
    """Draws the report's figures 5 to 9 from the finished runs, as PNG, with the authors' curves behind them.

    Figures 5 and 6 are one run's curves, experiment 5.1's where it is there; 7 the effect of each
    hyper-parameter; 8 and 9 the validation accuracy and loss of all runs, by epoch. One more shows the
    validation loss setting by setting.

    Returns:
        The files, none where nothing is finished.

    Example:
        >>> draw(plan(["5.1"], "runs/report"), "figures")  # nothing is finished there yet
        []
    """
    rows = [_figures(run)[0] for run in runs]
    done = [run for run, row in zip(runs, rows, strict=True) if row["status"] == Status.FINISHED]
    if not done:
        return []
    done.sort(key=lambda run: list(EXPERIMENTS).index(run.published.experiment))
    names: dict[Path, list[str]] = {}  # as run, two experiments may share one
    for run in done:
        names.setdefault(run.run_dir, []).append(run.name)
    histories: dict[str, list[dict[str, list[float]]]] = {}
    for run_dir, sharing in names.items():
        histories.setdefault(" = ".join(sharing), []).append(_read_curves(run_dir))
    shown = next((run for run in done if run.published.experiment == "5.1"), done[0])
    one = _read_curves(shown.run_dir)
    logged = {
        number: log for number, log in curves().items() if number in {_number(run.name) for run in done}
    }
    own = logged.get(_number(shown.name))
    behind = list(logged.values())
    figures: dict[int | str, Callable[[], Any]] = {
        5: partial(plots.learning_curves, one, "accuracy", behind=own),
        6: partial(plots.learning_curves, one, "loss", behind=own),
        7: partial(plots.hyperparameter_effects, effects(rows)),
        8: partial(plots.all_curves, histories, "val_accuracy", behind=behind),
        9: partial(plots.all_curves, histories, "val_loss", behind=behind),
        "by_setting": partial(plots.curves_by_setting, _by_setting(names, logged), "validation loss"),
    }
    of_one_run = (5, 6)
    paths = []
    for number, drawn in figures.items():
        paths.append(Path(folder) / f"figure_{number}.png")
        with replacing(paths[-1]) as partial_file:
            axes = drawn()
            if number in of_one_run:
                axes.set_title(f"{axes.get_title()}: experiment {shown.name}")
            plots.save(axes, partial_file)
    return paths


def _by_setting(
    names: Mapping[Path, Sequence[str]], logged: Mapping[str, Mapping[str, list[float]]]
) -> dict[str, tuple[list[list[float]], list[list[float]]]]:
    """The validation losses of the authors' runs and of ours, by the names that share a setting."""
    settings: dict[str, tuple[list[list[float]], list[list[float]]]] = {}
    for run_dir, sharing in names.items():
        numbers = list(dict.fromkeys(map(_number, sharing)))
        theirs, ours = settings.setdefault(", ".join(numbers), ([], []))
        if not theirs:
            theirs += [logged[number]["val_loss"] for number in numbers if number in logged]
        ours.append(_read_curves(run_dir)["val_loss"])
    return settings
