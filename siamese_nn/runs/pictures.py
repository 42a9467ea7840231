"""The pictures of a run: its curves, and some of its pairs."""

import numpy as np

from .. import plots
from ..datasets import Pairs
from ..files import replacing
from .folder import CURVES, PAIRS
from .measured import RunFolder, finishing
from .summary import drawn


def draw(run: RunFolder) -> None:
    """Draws a run's learning curves and a fixed dozen of its pairs, as PNG files in its folder.

    Args:
        run: the run, whose photos must still be where it found them.

    Raises:
        ImageError: if a photo can't be read.
    """
    for quantity, file in CURVES.items():
        if {quantity, f"val_{quantity}"} & run.history.keys():
            with replacing(run.dir / file) as partial:
                axes = plots.learning_curves(run.history, quantity)
                if finished := finishing(run.recipe):  # the figures are of another embedding
                    axes.set_title(f"{axes.get_title()}, as trained: before {finished}")
                plots.save(axes, partial)
    own = run.scores[run.shown]
    chosen = drawn(len(own["same"]))
    columns = (own[name] for name in ("left", "right", "same", "left_identities", "right_identities"))
    pairs = Pairs(*(np.array(column)[chosen] for column in columns))
    with replacing(run.dir / PAIRS) as partial:
        threshold = run.best[run.shown].threshold
        plots.save(plots.pairs_grid(pairs, np.array(own["best"])[chosen], threshold), partial)
