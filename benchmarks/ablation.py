"""What each part of the recipe `face` is worth, measured on validation people; the test pairs stay closed.

    python benchmarks/ablation.py --data data/lfw-a

Each row is a training of its own (2 to 15 minutes on two cores), in runs/ablation; the same
command goes on after it was cut off. With `--only` the named rows alone; with `--final` they
are scored on the test pairs, too.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import common
import tensorflow as tf
from prettytable import PrettyTable, TableStyle

from siamese_nn import datasets, evaluation, training
from siamese_nn.training import RECIPES

FACE = RECIPES["face"]
PAIRS = RECIPES["face-pairs"]
# The report's networks and losses, given the crop of `face`, its schedule, and its changes with cut-outs.
REPORT = replace(
    RECIPES["l1_sigmoid"],
    crop=(128, 112),
    image_size=(80, 70),
    augmentation=datasets.Augmentation(),
    batch_size=32,
    schedule="cosine",
    epochs=120,
    patience=120,
    monitor="val_auc",
)
ROWS = {
    "face": FACE,
    "without augmentation": replace(FACE, augmentation=None),
    "flip and shift alone": replace(
        FACE,
        augmentation=datasets.Augmentation(shift=2.5, rotation=0, zoom=0, aspect=0, gamma=0, cutout=0),
    ),
    "cut-outs, shifts of 4 pixels": replace(FACE, augmentation=datasets.Augmentation()),
    "whole photo": replace(FACE, crop=None, image_size=(64, 64)),
    "wider crop": replace(FACE, crop=(160, 140)),
    "12 epochs": replace(FACE, epochs=12),
    "60 epochs": replace(FACE, epochs=60, patience=60),
    "100 epochs": replace(FACE, epochs=100, patience=100),
    "larger image": replace(FACE, image_size=(96, 84), augmentation=replace(FACE.augmentation, shift=3.75)),
    "closer crop": replace(FACE, crop=(96, 84)),
    "ArcFace": replace(FACE, model="arcface", margin=0.3),
    "softmax": replace(FACE, model="softmax"),
    "semi-hard triplets": replace(FACE, model="triplet_semi_hard", margin=0.2),
    "patches": RECIPES["face-patches"],
    "patches, 10 epochs": replace(RECIPES["face-patches"], epochs=10, patience=10),
    "fusion": RECIPES["face-fusion"],
    "distilled": RECIPES["face-distilled"],
    "constant learning rate": replace(FACE, schedule="constant", learning_rate=1e-3),
    "then semi-hard triplets": replace(
        FACE,
        model="triplet_semi_hard",
        margin=0.3,
        learning_rate=2e-4,
        epochs=4,
        patience=4,
        pretraining=FACE,
    ),
    "pairs alone": PAIRS,
    "pairs alone, L1 and sigmoid": replace(PAIRS, model="l1_sigmoid", mirror=False),
    "pairs alone, contrastive": replace(PAIRS, model="euclidean_contrastive", mirror=False),
    "report's CNN, L1 and sigmoid": REPORT,
    "report's CNN, L1 and sigmoid, photos unchanged": replace(REPORT, augmentation=None),
    "report's CNN, L1 and sigmoid, whole photo": replace(REPORT, crop=None, image_size=(80, 80)),
    "report's CNN, contrastive": replace(REPORT, model="euclidean_contrastive"),
    "report's CNN, contrastive, photos unchanged": replace(
        REPORT, model="euclidean_contrastive", augmentation=None
    ),
}


def tested(
    model: tf.keras.Model, recipe: training.Recipe, test: datasets.Pairs, threshold: float
) -> list[str]:
    """The row's figures on the test pairs, at the threshold from the validation pairs."""
    figures = evaluation.verification_report(
        evaluation.score_pairs(model, test, crop=recipe.crop),
        test.same,
        threshold=threshold,
        identities=(test.left_identities, test.right_identities),
    )
    low, high = figures.accuracy_interval
    return [f"{figures.auc:.4f}", f"{figures.eer:.1%}", f"{figures.accuracy:.1%} ({low:.1%} to {high:.1%})"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data/lfw-a"), help="organised folder")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--final", action="store_true", help="open the test pairs; once, at the very end")
    parser.add_argument("--only", help=f"rows, parted by semicolons: {'; '.join(ROWS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--precision", default="float32", help="of all rows; see `training.fastest_precision`"
    )
    options = parser.parse_args()
    names = [name.strip() for name in options.only.split(";")] if options.only else list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"unknown rows: {'; '.join(unknown)}")

    pairs, test = datasets.load_lfw_a(options.data)
    titles = ["", "AUC of the network", "AUC (95%)", "EER", "best accuracy", "EER of all"]
    titles += ["best epoch", "minutes"]
    titles += ["test AUC", "test EER", "test accuracy (95%)"] if options.final else []
    table = PrettyTable(titles, align="r")
    table.align[""] = "l"
    for name in names:
        recipe = replace(ROWS[name], seed=options.seed, precision=options.precision)
        train, val = recipe.split_pairs(pairs, exclude=test)
        photos = datasets.training_photos(options.data / "train", pairs, val)
        run_dir = options.runs / f"{name.replace(' ', '-')}-{options.seed}-{options.precision}"
        results = training.train(recipe, train, val, run_dir, photos=photos)
        figures = results["figures"]["best"]["validation"]
        low, high = figures["auc_interval"]
        alone = training.read_history(run_dir)["val_auc"][results["best_epoch"] - 1]
        model = tf.keras.models.load_model(run_dir / ("finished.keras" if recipe.finishes else "model.keras"))
        all_eer, all_pairs = common.all_eer(model, val, options.data / "train", recipe.crop)
        final = tested(model, recipe, test, figures["threshold"]) if options.final else []
        table.add_row(
            [
                name,
                f"{alone:.4f}",
                f"{figures['auc']:.4f} ({low:.3f}-{high:.3f})",
                f"{figures['eer']:.1%}",
                f"{figures['best_accuracy']:.1%}",
                f"{all_eer:.1%}",
                f"{results['best_epoch']} of {results['epochs']}",
                f"{results['seconds'] / 60:.1f}",
                *final,
            ]
        )
    people = results["people"]["validation"]
    print(
        f"Validation: {len(val)} pairs of {people} people of {options.data}, none of them "
        f"in training. Seed {options.seed}, {options.precision}."
    )
    print(
        "The first AUC is before the mirrored photo and PLDA, the other "
        "after them, where the recipe has them."
    )
    print(f"The EER of all: over {all_pairs:,} pairs of at most 6 photos of each validation person.")
    print(
        "The best accuracy is over all thresholds on these very pairs, and the best epoch is "
        "chosen on them: both flatter alike."
    )
    table.set_style(TableStyle.MARKDOWN)
    print(table)


if __name__ == "__main__":
    main()
