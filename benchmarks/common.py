"""What the benchmarks share: the photos, a process for each contestant, the machine in words."""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from siamese_nn import datasets, evaluation


def machine() -> str:
    """Says on what the figures were taken."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    import tensorflow as tf

    return (
        f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}, TensorFlow {tf.__version__}"
    )


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument(
        "--data", type=Path, help="an organised folder of LFW-a (default: faces drawn into data/toy)"
    )
    arguments.add_argument("--contestant", help=argparse.SUPPRESS)
    return arguments


def photos(data: Path | None) -> tuple[datasets.Pairs, datasets.Pairs]:
    """Training and test pairs of an organised folder, or of drawn faces."""
    if data is not None:
        return datasets.load_lfw_a(data)
    faces = datasets.make_toy_faces("data/toy/drawn")
    return tuple(
        datasets.read_pairs(faces / file, faces / "lfw2")
        for file in ("pairsDevTrain.txt", "pairsDevTest.txt")
    )


def at_most_six(val: datasets.Pairs, folder: Path):
    """At most 6 photos in `folder` of each validation person: paths, and the person of each by number."""
    import numpy as np

    own = datasets.photos_by_identity(folder)
    names = sorted(val.identities())
    paths = [path for name in names for path in own[name][:6]]
    return paths, np.repeat(np.arange(len(names)), [len(own[name][:6]) for name in names])


def all_eer(model, val: datasets.Pairs, folder: Path, crop: tuple[int, int] | None) -> tuple[float, int]:
    """The equal error rate over all pairs of at most 6 photos of each validation person, and their number.

    `folder` holds the photos of these people. On View 1 these are a thousand times as many pairs as the file
    has, so that choices rest on differences that the file's pairs don't show.
    """
    import numpy as np

    from siamese_nn import models

    paths, people = at_most_six(val, folder)
    height, width, channels = models.embedding_model(model).input_shape[1:]
    photos = datasets.load_images(paths, image_size=(height, width), crop=crop, channels=channels)
    left, right = np.triu_indices(len(paths), 1)
    scores = evaluation.score_matrix(model, evaluation.embed(model, photos))[left, right]
    return evaluation.equal_error_rate(scores, people[left] == people[right]), len(scores)


def run_in_turn(script: str, contestants: list[str], rounds: int, *words: str) -> dict[str, list[dict]]:
    """Runs each contestant in a process of its own, in turn, `rounds` times; each prints one line of JSON."""
    results = {name: [] for name in contestants}
    for _ in range(rounds):
        for name in contestants:
            command = [sys.executable, script, *words, "--contestant", name]
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
    return results
