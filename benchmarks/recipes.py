"""What each recipe reaches on LFW-a's View 1, and what it costs: the table of `siamese-nn recipes`.

Each is trained once by `siamese-nn train`, seed 0, in the identity-disjoint split. Threshold and epoch are
chosen on the validation people, and the test pairs are scored once, at the end. The minutes are of one core,
for the whole command: start, decoding, training, measuring and drawing.

    python benchmarks/recipes.py --data data/lfw-a           # the same command does what is missing

It writes `siamese_nn/recipes/measured.csv`, row by row. A row that is there is not measured again. At the end
it draws all rows into `docs/recipes.png`.
"""

import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import astuple, fields
from pathlib import Path

import common
import numpy as np

from siamese_nn.files import write_text
from siamese_nn.recipes.measured import MEASURED, Measured, read_measured
from siamese_nn.training import RECIPES

PICTURE = Path(__file__).parents[1] / "docs" / "recipes.png"
KINDS = {  # what a recipe learns from, and its colour: those of Okabe and Ito
    "photos and names": (("classes", "teacher"), "#0072B2"),
    "batches of people, triplets": (("groups", "triplets"), "#009E73"),
    "pairs": (("pairs",), "#D55E00"),
}
# Where neighbours share a label: its text by one of them, and the place in points.
LABELS = {
    "circle": ("circle,\nmulti_similarity", (8, 6)),
    "triplet_hard": ("triplet_hard,\ntriplet_semi_hard", (8, -24)),
    "triplet": ("triplet, harmonic", (2, 20)),
    "softmax": ("softmax, arcface,\ncosface, sphereface", (-36, -48)),
    "cosine_embedding": ("cosine_embedding,\neuclidean_contrastive", (-6, 25)),
    "l1_sigmoid": ("l1_sigmoid", (7, -10)),
    "face-pairs": ("face-pairs", (6, -4)),
    "decision_network_linear": ("the three decision networks", (7, -3)),
    "face-patches": ("face-patches", (6, -4)),
} | {name: (name, (6, 4)) for name in ("face", "face-fast", "face-fusion", "face-distilled", "parkhi")}
TRAIN = "from siamese_nn.cli import main; raise SystemExit(main())"


def measure(name: str, data: Path) -> Measured:
    """Trains a recipe in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        words = ["--data", str(data), "--recipe", name, "--run-dir", f"{folder}/run"]
        words += ["--precision", "mixed_bfloat16"]
        subprocess.run([sys.executable, "-c", TRAIN, "train", *words], check=True)
        results = json.loads(Path(folder, "run", "results.json").read_text())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    test = results["figures"]["best"]["test"]
    figures = (test["accuracy"], *test["accuracy_interval"], seconds / 60)
    return Measured(name, *(round(figure, 3) for figure in figures))


def draw(known: dict[str, Measured]) -> None:
    """Draws accuracy by minutes, each recipe a point with its interval."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
    for title, (kinds, colour) in KINDS.items():
        rows = [known[name] for name, recipe in RECIPES.items() if name in known and recipe.kind in kinds]
        figures = np.array([(row.minutes, row.accuracy, row.low, row.high) for row in rows]).T
        minutes, accuracy, low, high = figures
        ax.errorbar(minutes, accuracy, [accuracy - low, high - accuracy], fmt="o", color=colour, label=title)
        for row in rows:
            if row.recipe in LABELS:
                text, place = LABELS[row.recipe]
                at = (row.minutes, row.accuracy)
                ax.annotate(text, at, place, textcoords="offset points", color=colour, fontsize=9)
    ax.set_xscale("log")
    ax.set_xlim(0.7, 60)
    ax.set_xticks([1, 2, 5, 10, 20, 30])
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda minutes, _: f"{minutes:g}"))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("minutes of one core, for the whole command")
    ax.set_ylabel("test pairs of unseen people decided rightly")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower right", frameon=False)
    figure.savefig(PICTURE, dpi=120)


def main() -> None:
    """Measures what is missing."""
    parser = common.parser(__doc__)
    parser.set_defaults(data=Path("data/lfw-a"))
    options = parser.parse_args()
    known = read_measured()
    for name in RECIPES:
        if name not in known:
            known[name] = measure(name, options.data)
            rows = [",".join(map(str, astuple(known[name]))) for name in RECIPES if name in known]
            write_text(MEASURED, "\n".join([",".join(own.name for own in fields(Measured)), *rows, ""]))
    draw(known)


if __name__ == "__main__":
    main()
