"""The experiment that the report meant to make: optimizers, initial weights and units, three seeds each.

    python benchmarks/report_optimizers.py --data data/lfw-a [--folder runs/report-optimizers]

Each training is that of row 5.1 as it ran, in the disjoint split, with at most 40 epochs, and a learning rate
that suits its optimizer. With 256 and 512 units each optimizer meets each kind of initial weights; networks
of 2048 begin with He's alone. Trainings are compared by the AUC of the validation pairs at their best epoch,
and no test pair decides. On a processor the 81 trainings take some ten hours of a core; `report_on_gpu.py`
makes the same ones on a card. The same command goes on after it was cut off. It prints a table: mean AUC over
the seeds, with its 95% interval by Student's t.
"""

import csv
import math
import statistics
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import common
from prettytable import PrettyTable
from scipy.stats import t

from siamese_nn.runs.folder import RESULTS, read_results
from siamese_nn.runs.results import Results
from siamese_nn.studies.many_runs import run_all
from siamese_nn.training import REPORT_EXPERIMENTS, Recipe

BASE = replace(REPORT_EXPERIMENTS["5.1-as-run"], split="identities", epochs=40)
RATES = {"adam": 1e-3, "rmsprop": 1e-3, "sgd": 0.1}
INITIALIZERS = ("normal", "glorot_normal", "lecun_normal", "he_normal")
UNITS = (256, 512, 2048)
CROSSED = 512  # up to so many units each optimizer meets each kind of initial weights
SEEDS = (0, 1, 2)
FIELDS = ("optimizer", "learning_rate", "initializer", "units", "seed")
NOT_NORMAL = INITIALIZERS[1:]
COMPARED = (  # in words, the field, its two values, and the other fields' values
    ("He's weights, less normal ones, 256 units", "initializer", "he_normal", "normal", {"units": ["256"]}),
    ("the same, 512 units", "initializer", "he_normal", "normal", {"units": ["512"]}),
    ("He's, less Glorot's, 256 units", "initializer", "he_normal", "glorot_normal", {"units": ["256"]}),
    ("the same, 512 units", "initializer", "he_normal", "glorot_normal", {"units": ["512"]}),
    ("He's, less LeCun's, 256 units", "initializer", "he_normal", "lecun_normal", {"units": ["256"]}),
    ("the same, 512 units", "initializer", "he_normal", "lecun_normal", {"units": ["512"]}),
    ("RMSprop, less Adam", "optimizer", "rmsprop", "adam", {}),
    ("SGD, less Adam, without normal weights", "optimizer", "sgd", "adam", {"initializer": NOT_NORMAL}),
    ("512 units, less 256, without normal weights", "units", "512", "256", {"initializer": NOT_NORMAL}),
    ("2048 units, less 256, He's weights", "units", "2048", "256", {}),
)


def trials() -> dict[str, Recipe]:
    """The recipes by their names."""
    recipes = {}
    for seed, units, optimizer, initializer in product(SEEDS, UNITS, RATES, INITIALIZERS):
        if units > CROSSED and initializer != "he_normal":
            continue
        values = (optimizer, RATES[optimizer], initializer, units, seed)
        name = "-".join(["optimizers", *map(str, values)])
        recipes[name] = replace(BASE, **dict(zip(FIELDS, values, strict=True)))
    return recipes


def row(recipe: Recipe, results: Results | None) -> dict:
    """What is kept of a training; of one that diverged, nothing but what it was."""
    kept = {field: getattr(recipe, field) for field in FIELDS}
    if results is None:
        return kept | dict.fromkeys(("epochs", "best_epoch", "val_auc", "low", "high"), "")
    best = results.best["validation"]
    low, high = best.auc_interval or ("", "")
    return kept | {
        "epochs": results.epochs,
        "best_epoch": results.best_epoch,
        "val_auc": best.auc,
        "low": low,
        "high": high,
    }


def write_rows(rows: Iterable[dict], path: Path) -> None:
    """Keeps the trainings in a file, a line each."""
    rows = list(rows)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def interval(values: list[float]) -> str:
    """Mean and 95% interval of a few values; of less than three the mean alone."""
    mean = statistics.fmean(values)
    if len(values) < 3:
        return f"{mean:.3f}"
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.3f} ({mean - half:.3f} to {mean + half:.3f})"


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads what `write_rows` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def over_people(path: Path) -> str:
    """Says in words how sure the AUC of one network is."""
    halves = [(float(row["high"]) - float(row["low"])) / 2 for row in read_rows(path) if row["high"]]
    return (
        "Each is a mean over three seeds with its 95% interval, or one of one seed without. Over "
        f"people, the interval of one training is ± {statistics.median(halves):.3f} (the median)."
    )


def table(path: Path) -> PrettyTable:
    """The mean AUC of every point of the grid: a line for optimizer, rate and units, a column for weights."""
    shown = PrettyTable(["Optimizer", "Learning rate", "Units", *INITIALIZERS], align="r")
    shown.align["Optimizer"] = "l"
    points: dict[tuple, dict[str, list[float]]] = {}
    for one in read_rows(path):
        key = (one["optimizer"], int(one["units"]), float(one["learning_rate"]))
        values = points.setdefault(key, {}).setdefault(one["initializer"], [])
        values += [float(one["val_auc"])] if one["val_auc"] else []
    for (optimizer, units, rate), found in sorted(points.items()):
        cells = [interval(found[name]) if found.get(name) else "-" for name in INITIALIZERS]
        shown.add_row([optimizer, f"{rate:g}", units, *cells])
    return shown


def comparisons(path: Path) -> PrettyTable:
    """How much the AUC changes with one field, all others and the seed equal."""
    fields = [name for name in FIELDS if name != "learning_rate"]  # which is the optimizer's
    found = {tuple(one[name] for name in fields): one for one in read_rows(path) if one["val_auc"]}
    shown = PrettyTable(["", "change of the AUC (95%)", "pairs of trainings"], align="r")
    shown.align[""] = "l"
    for words, field, value, other, where in COMPARED:
        changes = []
        for one in found.values():
            beside = found.get(tuple((one | {field: other})[name] for name in fields))
            if one[field] == value and beside and all(one[name] in own for name, own in where.items()):
                changes.append(float(one["val_auc"]) - float(beside["val_auc"]))
        shown.add_row([words, interval(changes) if changes else "-", len(changes)])
    return shown


def main() -> None:
    """Makes the trainings that are left, and prints the table."""
    arguments = common.parser(__doc__)
    arguments.add_argument("--folder", type=Path, default=Path("runs/report-optimizers"))
    options = arguments.parse_args()
    pairs, test = common.photos(options.data)
    recipes = {options.folder / name: recipe for name, recipe in trials().items()}
    run_all(recipes, lambda recipe: (*recipe.split_pairs(pairs, exclude=test), test), verbose=0)
    done = {folder: recipe for folder, recipe in recipes.items() if (folder / RESULTS).exists()}
    found = [row(recipe, Results.from_json(read_results(folder))) for folder, recipe in done.items()]
    write_rows(found, options.folder / "optimizers.csv")
    print(table(options.folder / "optimizers.csv"))
    print(comparisons(options.folder / "optimizers.csv"))


if __name__ == "__main__":
    main()
