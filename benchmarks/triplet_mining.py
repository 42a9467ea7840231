"""Time and peak memory of the triplet losses, against TensorFlow Addons and pytorch-metric-learning.

128-d unit embeddings, 4 images a person (40 at 1,800: FaceNet's batch), float32, one thread, compiled as each
library's users would. Each figure is the median of several calls in a process of its own; memory is the peak
of that process less that before the first call.

    .venv-addons/bin/python benchmarks/triplet_mining.py  # with Addons
    python benchmarks/triplet_mining.py                     # ours, and the others where they can be imported
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["OMP_NUM_THREADS"] = "1"

import common
import numpy as np
from prettytable import PrettyTable

SIZES = [(64, 4), (256, 4), (1024, 4), (1800, 40)]
CONTESTANTS = [
    "siamese_nn semi-hard",
    "Addons semi-hard",
    "PML semi-hard",
    "siamese_nn hard",
    "Addons hard",
    "PML hard",
]
ADDONS_LIMIT = 1100  # at 1,800 its loss would want over 100 GB


def tensorflow_step(contestant, labels, embeddings):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if contestant.startswith("Addons"):
        from tensorflow_addons import losses
    else:
        from siamese_nn import losses
    loss = losses.TripletSemiHardLoss() if contestant.endswith("semi-hard") else losses.TripletHardLoss()
    labels, embeddings = tf.constant(labels), tf.constant(embeddings)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return value, tape.gradient(value, embeddings)

    return lambda: [result.numpy() for result in step()]


def torch_step(contestant, labels, embeddings):
    import torch
    from pytorch_metric_learning import losses, miners

    torch.set_num_threads(1)
    semi = contestant.endswith("semi-hard")
    miner = (
        miners.TripletMarginMiner(margin=1.0, type_of_triplets="semihard")
        if semi
        else miners.BatchHardMiner()
    )
    loss = losses.TripletMarginLoss(margin=1.0)
    labels, embeddings = torch.tensor(labels), torch.tensor(embeddings, requires_grad=True)

    def step():
        embeddings.grad = None
        value = loss(embeddings, labels, miner(embeddings, labels))
        value.backward()
        return value.item()

    return step


def measure(contestant: str, size: int, images: int) -> None:
    embeddings = np.random.default_rng(0).normal(size=(size, 128)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = np.arange(size) // images
    make = torch_step if contestant.startswith("PML") else tensorflow_step
    step = make(contestant, labels, embeddings)
    make(contestant, labels[:8], embeddings[:8])()  # libraries loaded, before memory is read
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    times = []
    while len(times) < 3 or (sum(times) < 3 and len(times) < 50):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"seconds": statistics.median(times), "megabytes": peak * 1024 / 1e6}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contestant", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        name, size, images = arguments.contestant
        measure(name, int(size), int(images))
        return
    table = PrettyTable(["", *(f"{size} ({images} a person)" for size, images in SIZES)], align="r")
    for name in CONTESTANTS:
        row = [name]
        for size, images in SIZES:
            if name == "Addons semi-hard" and size > ADDONS_LIMIT:
                row.append("-")
                continue
            command = [sys.executable, __file__, "--contestant", name, str(size), str(images)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                row.append("-")
                continue
            figures = json.loads(done.stdout.splitlines()[-1])
            row.append(f"{figures['seconds'] * 1e3:,.2f} ms, {figures['megabytes']:,.0f} MB")
        table.add_row(row)
    print(common.machine())
    print(table)


if __name__ == "__main__":
    main()
