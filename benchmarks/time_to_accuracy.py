"""Validation accuracy against seconds of training: the report's recipe, and ours.

Trains 5.1, `face-fast` and `face`, each in a process of its own, on the same people, and draws what their
histories hold into one picture. The accuracy is that of the best threshold on the validation pairs, the
network's own cosine or probability, after each epoch; the seconds are those of the epochs (first traces and
each recipe's own look at the validation pairs included, decoding before the first epoch not). A star is the
best epoch's finished embedding, with mirrored photo and PLDA; a figure is that of the best epoch, as each
recipe chooses it. The test pairs are scored once, at the end of each run, by that epoch's model at the
threshold from the validation pairs.

    python benchmarks/time_to_accuracy.py --data data/lfw-a --output accuracy.png  # the same command goes on
"""

import argparse
import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import common
import numpy as np
from prettytable import PrettyTable

RUNS = ("5.1", "face-fast", "face")
COLOURS = ("#D55E00", "#009E73", "#0072B2")  # Okabe and Ito's
MARKS = (0.65, 0.70, 0.75, 0.80, 0.85)
ACCURACY = "val_verification_accuracy"
MEASURED = "validation.csv"


def recipe_of(name: str, epochs: int | None, seed: int):
    from siamese_nn.training import RECIPES, REPORT_EXPERIMENTS

    # Nobody is on both sides, in the report's, too.
    recipe = replace((RECIPES | REPORT_EXPERIMENTS)[name], split="identities")
    return replace(recipe, seed=seed, **({} if epochs is None else {"epochs": epochs}))


def folder_of(name: str, options: argparse.Namespace) -> Path:
    return options.runs / f"{options.data.name}-{name}-{options.seed}"


def train(name: str, options: argparse.Namespace) -> None:
    from siamese_nn import datasets, training

    class Measured(training.VerificationCallback):
        """Keeps, beside the history, what a recipe that goes by its validation loss doesn't measure."""

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            figures = {}
            super().on_epoch_end(epoch, figures)
            new = not path.exists()
            with path.open("a", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, ["epoch", *figures])
                if new:
                    writer.writeheader()
                writer.writerow({"epoch": epoch + 1, **figures})

    recipe = recipe_of(name, options.epochs, options.seed)
    run_dir = folder_of(name, options)
    path = run_dir / MEASURED
    pairs, test = datasets.load_lfw_a(options.data)
    train_pairs, val = recipe.split_pairs(pairs, exclude=test)
    training.train(
        recipe,
        train_pairs,
        val,
        run_dir,
        test=test,
        photos=datasets.training_photos(options.data / "train", pairs, val),
        callbacks=[Measured(val, crop=recipe.crop)] if recipe.monitor == "val_loss" else [],
        verbose=2,
    )


def curve(run_dir: Path) -> dict[str, np.ndarray]:
    """Seconds, accuracy and AUC after each epoch of a run."""
    from siamese_nn.training import read_history

    history = read_history(run_dir)
    seconds = dict(zip(history["epoch"], np.cumsum(history["seconds"]), strict=True))
    measured = history
    if ACCURACY not in history:
        with (run_dir / MEASURED).open(encoding="utf-8", newline="") as file:
            rows = {float(row["epoch"]): row for row in csv.DictReader(file)}
        measured = {key: [float(row[key]) for row in rows.values()] for key in ("epoch", "val_auc", ACCURACY)}
    return {
        "seconds": np.array([seconds[epoch] for epoch in measured["epoch"]]),
        "accuracy": np.array(measured[ACCURACY]),
        "auc": np.array(measured["val_auc"]),
    }


def draw(curves: dict[str, dict], finished: dict[str, dict], path: Path, title: str) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
    ends = []
    for name, colour in zip(RUNS, COLOURS, strict=True):
        own, figures = curves[name], finished[name]
        ax.plot(own["seconds"], own["accuracy"], color=colour, linewidth=2, marker=".", markersize=5)
        best = figures["best_epoch"] - 1
        last, height = own["seconds"][best], own["accuracy"][best]
        if figures["finishes"]:
            last = own["seconds"][-1]
            better = figures["validation"]["best_accuracy"]
            ax.plot([last, last], [own["accuracy"][-1], better], color=colour, linestyle=":")
            ax.plot(last, better, "*", color=colour, markersize=14, markeredgecolor="white")
            height = better
        ends.append((height, last, name, colour))
    # Direct labels above the ends, apart by a line at least.
    low, high = ax.get_ylim()
    step, place = (high - low) * 0.07, -np.inf
    for height, last, name, colour in sorted(ends):
        place = max(height + step / 2, place + step)
        ax.annotate(
            f"{name}: {height:.1%}",
            (last, place),
            color=colour,
            fontsize=12,
            fontweight="bold",
            ha="center",
        )
    ax.set_ylim(low, max(high, place + step))
    ax.plot([], [], "*", color="#555555", markersize=12, label="finished: mirrored photo, PLDA")
    ax.legend(loc="upper left", frameon=False, fontsize=11)
    right = max(own["seconds"][-1] for own in curves.values())
    left = min(own["seconds"][0] for own in curves.values())
    ax.set_xscale("log")
    ax.set_xlim(left * 0.8, right * (right / left) ** 0.15)
    ticks = [
        second
        for second in (1, 2, 5, 10, 30, 60, 120, 240, 600, 1200, 3600, 7200)
        if left * 0.8 <= second <= right
    ]
    ax.set_xticks(ticks)
    ax.minorticks_off()
    words = FuncFormatter(
        lambda second, _: (
            f"{second:g} s"
            if second < 60
            else f"{second / 60:g} min"
            if second < 3600
            else f"{second / 3600:g} h"
        )
    )
    ax.xaxis.set_major_formatter(words)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(labelsize=11)
    ax.set_xlabel("training time", fontsize=12)
    ax.set_ylabel("pairs of unseen people decided rightly", fontsize=12)
    ax.set_title(title, fontsize=12, loc="left")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/lfw-a"), help="organised folder")
    parser.add_argument("--runs", type=Path, default=Path("runs/time-to-accuracy"))
    parser.add_argument("--output", type=Path, default=Path("runs/time-to-accuracy/accuracy.png"), help="PNG")
    parser.add_argument("--epochs", type=int, help="the most epochs of each (default: its recipe's)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        train(options.contestant, options)
        return
    for name in RUNS:
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--contestant", name], check=True)

    from siamese_nn.runs.folder import read_results

    curves = {name: curve(folder_of(name, options)) for name in RUNS}
    results = {name: read_results(folder_of(name, options)) for name in RUNS}
    finished = {
        name: {
            **results[name]["figures"]["best"],
            "best_epoch": results[name]["best_epoch"],
            "finishes": recipe_of(name, None, 0).finishes,
        }
        for name in RUNS
    }
    table = PrettyTable(
        [
            "",
            "epochs (best)",
            "seconds",
            *(f"s to {mark:.0%}" for mark in MARKS),
            "validation AUC",
            "best accuracy",
            "test AUC",
            "test accuracy (95%)",
        ],
        align="r",
    )
    table.align[""] = "l"
    for name in RUNS:
        own, validation, test = curves[name], finished[name]["validation"], finished[name]["test"]
        reached = [own["seconds"][own["accuracy"] >= mark] for mark in MARKS]
        low, high = test["accuracy_interval"]
        table.add_row(
            [
                name,
                f"{results[name]['epochs']} ({results[name]['best_epoch']})",
                f"{results[name]['seconds']:,.0f}",
                *(f"{seconds[0]:,.0f}" if len(seconds) else "-" for seconds in reached),
                f"{validation['auc']:.4f}",
                f"{validation['best_accuracy']:.1%}",
                f"{test['auc']:.4f}",
                f"{test['accuracy']:.1%} ({low:.1%} to {high:.1%})",
            ]
        )
    pairs = finished["face"]["validation"]["n_same"] + finished["face"]["validation"]["n_different"]
    draw(curves, finished, options.output, f"Validation accuracy on {pairs:,} pairs, by training time")
    print(common.machine())
    print(table)
    print(
        f"{options.data}, seed {options.seed}; nobody is in two of the three sets. Validation accuracies "
        "are of the best threshold on those very pairs; the test's is of the threshold from them, with an "
        f"interval over people. Picture: {options.output}"
    )


if __name__ == "__main__":
    main()
