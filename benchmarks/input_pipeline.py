"""Pairs a second: `pair_dataset` against the report's way, which decodes each pair's photos in every epoch.

The rival is written as well as tf.data allows: parallel, prefetched, decoding to grey. Same photos, same
batches of 128 pairs at 125 x 125, float32; both run on without a stop from epoch to epoch, as
`training.train` feeds `fit`. Our first epoch includes decoding and all that is made ready once; every one of
the rival's includes its decoding.

    python benchmarks/input_pipeline.py [--data data/lfw-a]
"""

import json
import math
import statistics
import time

import common
from prettytable import PrettyTable

SIZE, BATCH, EPOCHS, ROUNDS = (125, 125), 128, 8, 3


def ours(pairs):
    from siamese_nn.datasets import pair_dataset

    return pair_dataset(pairs, image_size=SIZE, batch_size=BATCH, initial_epoch=0)


def report(pairs):
    import tensorflow as tf

    def image(path):
        grey = tf.io.decode_jpeg(tf.io.read_file(path), channels=1)
        return tf.image.resize(tf.image.convert_image_dtype(grey, tf.float32), SIZE)

    dataset = tf.data.Dataset.from_tensor_slices((pairs.left, pairs.right, pairs.same)).shuffle(len(pairs))
    dataset = dataset.map(lambda left, right, same: ((image(left), image(right)), same), tf.data.AUTOTUNE)
    return dataset.batch(BATCH).repeat().prefetch(tf.data.AUTOTUNE)


def measure(contestant: str, data) -> None:
    import tensorflow as tf  # noqa: F401, so that its import is not timed

    pairs, _ = common.photos(data)
    steps, rates = math.ceil(len(pairs) / BATCH), []
    for epoch in range(EPOCHS):
        start = time.perf_counter()
        if not epoch:
            batches = iter({"ours": ours, "report": report}[contestant](pairs))
        n = sum(int(next(batches)[1].shape[0]) for _ in range(steps))
        rates.append(n / (time.perf_counter() - start))
    print(json.dumps({"first": rates[0], "later": statistics.median(rates[1:])}))


def main() -> None:
    arguments = common.parser(__doc__.splitlines()[0]).parse_args()
    if arguments.contestant:
        measure(arguments.contestant, arguments.data)
        return
    words = ["--data", str(arguments.data)] if arguments.data else []
    common.photos(arguments.data)
    results = common.run_in_turn(__file__, ["report", "ours"], ROUNDS, *words)
    table = PrettyTable(["Pairs a second", "the report's way", "siamese_nn", "ratio"], align="r")
    for epoch, title in (("first", "first epoch"), ("later", "later epochs")):
        rival, own = (statistics.median(row[epoch] for row in results[name]) for name in ("report", "ours"))
        table.add_row([title, f"{rival:,.0f}", f"{own:,.0f}", f"{own / rival:.1f}"])
    print(common.machine())
    print(table)


if __name__ == "__main__":
    main()
