"""What a gallery's threshold promises, against what comes of it with people whom nobody has seen.

Galleries of one photo each of people in LFW-a's `unused/` and `test/`, who are in no training and no
validation. For each size, galleries are drawn again and again. Strangers are people who are not in them, by
one photo each. Known people come back with a second photo; their galleries are drawn from those who have two.

    siamese-nn train --data data/lfw-a --recipe face-fast --run-dir runs/face-fast
    python benchmarks/identification.py runs/face-fast --data data/lfw-a
"""

import argparse
from pathlib import Path

import numpy as np
from prettytable import PrettyTable

from siamese_nn import Verifier, datasets, evaluation
from siamese_nn.verification.gallery import Gallery

SIZES = (1, 10, 100, 400)
RATES = (0.01, 0.1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("run", type=Path, help="folder of a trained run")
    arguments.add_argument("--data", type=Path, required=True, help="organised folder of LFW-a")
    arguments.add_argument("--rounds", type=int, default=20, help="galleries of each size (default: 20)")
    arguments.add_argument("--strangers", type=int, default=200, help="to each gallery (default: 200)")
    options = arguments.parse_args()
    verifier = Verifier.load(options.run)
    photos = {
        name: paths
        for part in ("unused", "test")
        for name, paths in datasets.photos_by_identity(options.data / part).items()
    }
    seen = sorted(verifier.seen_people & set(photos))
    if seen:
        raise SystemExit(f"The run has seen people of unused/ or test/: {', '.join(seen[:10])}")
    names = np.array(list(photos))
    chosen = [[own[i % len(own)] for own in photos.values()] for i in (0, 1)]
    first, second = (verifier.embed(paths, align=False) for paths in chosen)
    returning = np.array([len(own) > 1 for own in photos.values()])
    print(
        f"{len(names)} people, {returning.sum()} with a second photo. "
        f"Thresholds by {verifier.held_out.n_people} others; each line {options.rounds} galleries, and "
        f"{options.strangers} strangers to each"
    )
    table = PrettyTable(
        [
            "Photos",
            "FPIR wanted",
            "Threshold",
            "FPIR estimated",
            "FPIR found",
            "FNIR estimated",
            "FNIR found",
        ],
        align="l",
    )
    for size in SIZES:
        for rate in (*RATES, None):
            gallery = Gallery(names[:size], first[:size], verifier.digest)
            try:
                if rate is None:
                    found = verifier.gallery_threshold(gallery, threshold=verifier.threshold)
                else:
                    found = verifier.gallery_threshold(gallery, fpir=rate)
            except ValueError:
                table.add_row([size, f"{rate:.0%}", "can't be promised", "", "", "", ""])
                continue
            strangers, known = shares(
                verifier, names, first, second, returning, size, found.threshold, options
            )
            wanted = "the pairs' threshold" if rate is None else f"{rate:.0%}"
            estimated = [percent(found.fpir), strangers, percent(found.fnir), known]
            table.add_row([size, wanted, f"{found.threshold:.3f}", *estimated])
    print(table)


def shares(verifier, names, first, second, returning, size, threshold, options) -> tuple[str, str]:
    """Of strangers those who get a name, and of people in the gallery those who don't get theirs."""
    named, strangers, missed, known = 0, 0, 0, 0
    rng = np.random.default_rng(0)
    for _ in range(options.rounds):
        order = rng.permutation(len(names))
        inside, outside = order[:size], order[size : size + options.strangers]
        scores = all_scores(verifier, first[outside], first[inside])
        named += (scores.max(axis=1) >= threshold).sum()
        strangers += len(outside)
        inside = rng.permutation(np.flatnonzero(returning))[:size]
        scores = all_scores(verifier, second[inside], first[inside])
        missed += ((scores.argmax(axis=1) != np.arange(size)) | (scores.max(axis=1) < threshold)).sum()
        known += size
    return (
        f"{named} of {strangers}, {named / strangers:.1%}",
        f"{missed} of {known}, {missed / known:.0%}",
    )


def all_scores(verifier: Verifier, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    scores = np.empty((len(left), len(right)), np.float32)
    for row, column, block in verifier.comparison.blocks(left, right):
        scores[row : row + len(block), column : column + block.shape[1]] = block
    return scores


def percent(rate: evaluation.Rate | None) -> str:
    if rate is None:
        return "not known"
    return f"{rate.estimate:.1%}" + (" ({:.1%} to {:.1%})".format(*rate.interval) if rate.interval else "")


if __name__ == "__main__":
    main()
