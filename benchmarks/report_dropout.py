"""Where the report's drop-out runs dropped: the first epochs of every place, beside what the authors logged.

    python benchmarks/report_dropout.py --data data/lfw-a [--seeds 0 1]

The authors' logs don't say it, but the losses of the first epochs show how much noise the drop-out makes: the
network of 8.1 is trained for three epochs with features dropped after each of its convolutions alone, after
all of them, and after none. It prints training and validation loss of each epoch. Another seed moves them all
by some hundredths.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import common
from prettytable import PrettyTable

from siamese_nn import training
from siamese_nn.recipes import published
from siamese_nn.training import REPORT_EXPERIMENTS

EPOCHS = 3
RAN = REPORT_EXPERIMENTS["8.1-as-run"]
PLACES = {"nowhere": replace(RAN, drop_rate=None, drop_after=None)}
PLACES |= {f"after convolution {place}": replace(RAN, drop_after=place) for place in range(1, 5)}
PLACES |= {"after all, at falling rates": replace(RAN, drop_after=None)}


def row(history: dict[str, list[float]]) -> list[str]:
    """Training and validation loss of each epoch."""
    pairs = zip(history["loss"][:EPOCHS], history["val_loss"][:EPOCHS], strict=True)
    return [f"{train:.3f}, {val:.3f}" for train, val in pairs]


def main() -> None:
    """Trains each in turn, and prints a table."""
    arguments = common.parser(__doc__)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = arguments.parse_args()
    pairs, _ = common.photos(options.data)
    table = PrettyTable(["drop-out", "seed", *(f"epoch {epoch + 1}" for epoch in range(EPOCHS))])
    curves = published.curves()
    for number in ("8.1", "8.2"):
        table.add_row([f"the authors' {number}", "-", *row(curves[number])])
    for place, recipe in PLACES.items():
        for seed in options.seeds:
            own = replace(recipe, epochs=EPOCHS, seed=seed)
            with TemporaryDirectory() as folder:
                training.train(own, *own.split_pairs(pairs), Path(folder) / "run", verbose=0)
                table.add_row([place, seed, *row(training.read_history(Path(folder) / "run"))])
            print(table, flush=True)


if __name__ == "__main__":
    main()
