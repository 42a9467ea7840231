"""What each recipe reaches on LFW-a's View 1, and what it costs: the table of `siamese-nn recipes`.

Each is trained once by `siamese-nn train`, seed 0, in the identity-disjoint split. Threshold and epoch are
chosen on the validation people, and the test pairs are scored once, at the end. The minutes are of one core,
for the whole command: start, decoding, training, measuring and drawing.

    python benchmarks/recipes.py --data data/lfw-a           # the same command does what is missing

It writes `siamese_nn/recipes/measured.csv`, row by row. A row that is there is not measured again.
"""

import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import astuple, fields
from pathlib import Path

import common

from siamese_nn.files import write_text
from siamese_nn.recipes.measured import MEASURED, Measured, read_measured
from siamese_nn.training import RECIPES

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


if __name__ == "__main__":
    main()
