"""Pairs a second: `score_pairs` against `predict`, pair by pair as the report did, and in batches of 128.

All three give the same scores of the same test pairs by the report's
network (8 filters, 2048 units, 125 x 125).

    python benchmarks/evaluation.py [--data data/lfw-a]
"""

import json
import statistics
import time

import common
import numpy as np
from prettytable import PrettyTable

ROUNDS = 3
CONTESTANTS = {"batches of 1": 1, "batches of 128": 128, "score_pairs": None}


def measure(contestant: str, data) -> None:
    import tensorflow as tf

    from siamese_nn import datasets, evaluation, models

    tf.keras.utils.set_random_seed(0)
    model = models.l1_sigmoid(models.report_cnn((125, 125, 1)))
    _, pairs = common.photos(data)
    batch = CONTESTANTS[contestant]

    def score(pairs):
        if batch is None:
            return evaluation.score_pairs(model, pairs)
        sides = (
            datasets.load_images(side, progress=False) / np.float32(255) for side in (pairs.left, pairs.right)
        )
        return model.predict(tuple(sides), batch_size=batch, verbose=0)[:, 0]

    score(pairs[:200])  # traced and warm
    start = time.perf_counter()
    scores = score(pairs)
    print(json.dumps({"rate": len(pairs) / (time.perf_counter() - start), "sum": float(scores.sum())}))


def main() -> None:
    arguments = common.parser(__doc__.splitlines()[0]).parse_args()
    if arguments.contestant:
        measure(arguments.contestant, arguments.data)
        return
    words = ["--data", str(arguments.data)] if arguments.data else []
    common.photos(arguments.data)
    results = common.run_in_turn(__file__, list(CONTESTANTS), ROUNDS, *words)
    sums = {name: rows[0]["sum"] for name, rows in results.items()}
    if np.ptp(list(sums.values())) > 0.01:
        raise SystemExit(f"the contestants' scores differ: {sums}")
    rates = {name: statistics.median(row["rate"] for row in rows) for name, rows in results.items()}
    table = PrettyTable(["", "Pairs a second", "score_pairs is faster by"], align="r")
    for name, rate in rates.items():
        table.add_row([name, f"{rate:,.0f}", f"{rates['score_pairs'] / rate:.2f}"])
    print(common.machine())
    print(table)


if __name__ == "__main__":
    main()
