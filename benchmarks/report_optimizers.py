"""The experiment that the report meant to make: optimizers, initial weights and units, three seeds each.

    python benchmarks/report_optimizers.py --data data/lfw-a [--epochs 12] [--folder runs/report-optimizers]

Each optimizer has a grid of `sweep search` of its own, with a learning rate that suits it, in the disjoint
split; trials are compared by the AUC of the validation pairs at their best epoch, and the test pairs stay
closed. The same command goes on after it was cut off. It prints one table: mean AUC over the seeds, with
its 95% interval by Student's t.
"""

import math
import statistics
from dataclasses import replace
from pathlib import Path

import common
from prettytable import PrettyTable
from scipy.stats import t

from siamese_nn.studies import search
from siamese_nn.training import REPORT_EXPERIMENTS

LEARNING_RATES = {"adam": 1e-3, "rmsprop": 1e-3, "sgd": 0.1}
SPACE = {
    "initializer": ["normal", "glorot_normal", "lecun_normal", "he_normal"],
    "units": [256, 512, 1024, 2048],
    "seed": [0, 1, 2],
}


def interval(values: list[float]) -> str:
    """Mean and 95% interval of a few values; of one the mean alone."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.3f} ({mean - half:.3f} to {mean + half:.3f})"


def table(studies: dict) -> PrettyTable:
    """The mean AUC of every point of the grids, and how many of its seeds were completed."""
    shown = PrettyTable(["Optimizer", "Learning rate", "Initial weights", "Units", "Seeds", "Validation AUC"])
    for optimizer, study in studies.items():
        points: dict[tuple, list[float]] = {}
        for trial in study.trials:
            point = points.setdefault((trial.params.get("initializer"), trial.params.get("units")), [])
            if trial.state.name == "COMPLETE":
                point.append(trial.value)
        for (initializer, units), values in sorted(points.items(), key=str):
            auc = interval(values) if values else "-"
            shown.add_row([optimizer, LEARNING_RATES[optimizer], initializer, units, len(values), auc])
    return shown


def main() -> None:
    """Runs what is left of the three grids, and prints the table."""
    arguments = common.parser(__doc__)
    arguments.add_argument("--epochs", type=int, default=12)
    arguments.add_argument("--folder", type=Path, default=Path("runs/report-optimizers"))
    options = arguments.parse_args()
    pairs, test = common.photos(options.data)
    base = replace(REPORT_EXPERIMENTS["5.1"], split="identities", epochs=options.epochs)
    train, val = base.split_pairs(pairs, exclude=test)
    studies = {}
    for optimizer, rate in LEARNING_RATES.items():
        recipe = replace(base, optimizer=optimizer, learning_rate=rate)
        folder = options.folder / optimizer
        studies[optimizer] = search.search(recipe, SPACE, train, val, folder, sampler="grid", prune=False)
    print(table(studies))


if __name__ == "__main__":
    main()
