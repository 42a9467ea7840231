"""Draws README.md's picture: runs the page's Python, and shows eight of the test pairs with their verdicts.

The pairs are drawn by seed 0, four of one person and four of two, and not chosen by their scores.

    python benchmarks/verdicts.py
"""

import os
import re
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from siamese_nn import plots

HOME = Path(__file__).resolve().parents[1]
PICTURE = HOME / "docs" / "verdicts.png"


def main() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (HOME / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        exec(block, names)
        test, verifier, rng = names["own"].test, names["verifier"], np.random.default_rng(0)
        drawn = [rng.permutation(np.flatnonzero(test.same == same))[:4] for same in (1, 0)]
        shown = test[np.concatenate(drawn)]
        plots.save(plots.pairs_grid(shown, verifier.score_pairs(shown), float(verifier.threshold)), PICTURE)
        os.chdir(HOME)
    # Few colours make a small file. Most are greys, so that the frames would lose theirs to fewer.
    Image.open(PICTURE).convert("RGB").quantize(160).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
