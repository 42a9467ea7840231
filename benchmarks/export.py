"""How fast and how large the exports of a run are, each in a process of its own, on one core.

    python benchmarks/export.py RUN --work FOLDER

exports the run to the formats that `Verifier.load` reads, each into FOLDER, unless it is there. Seconds: of
the processor, from the start of Python to the first vector. Milliseconds: of the processor, for one photo
that is decoded already, the median and the least of 200.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import common
from prettytable import PrettyTable

from siamese_nn.runs.folder import read_verifier_settings

FORMATS = ("onnx", "litert", "litert-8bit")
ONE = """
import os, sys, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
from siamese_nn import Verifier
embedding = Verifier.load(sys.argv[1]).embedding
image = np.random.default_rng(0).integers(0, 256, (1, *embedding.photo_format.shape), np.uint8)
embedding(image)
cold, took = time.process_time(), []
for _ in range(200):
    started = time.process_time()
    embedding(image)
    took.append(1000 * (time.process_time() - started))
print([cold, float(np.median(took)), min(took)])
"""


def main() -> None:
    """Prints the table."""
    parser = common.parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    own_model = read_verifier_settings(options.run)["model"]
    table = PrettyTable(["of", "MB", "s to the first vector", "ms a photo: median", "least"], align="l")
    for name in ("the run", *FORMATS):
        folder, size = options.run, (options.run / own_model).stat().st_size
        if name != "the run":
            folder = options.work / name
            if not folder.exists():
                from siamese_nn.verification.export import export

                export(options.run, folder, format=name)
            size = next(folder.glob("embedding.*")).stat().st_size
        done = subprocess.run(
            [sys.executable, "-c", ONE, str(folder)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
            text=True,
        )
        cold, median, least = json.loads(done.stdout.splitlines()[-1])
        table.add_row([name, f"{size / 1e6:.1f}", f"{cold:.2f}", f"{median:.2f}", f"{least:.2f}"])
    print(table)
    print(common.machine())


if __name__ == "__main__":
    main()
