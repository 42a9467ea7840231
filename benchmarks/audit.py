"""How many photos in wrong folders `siamese-nn audit` puts first: errors are planted into LFW-a.

Of the photos of `test/` and `unused/`, whose people a run has not seen, 2% are put into another person's
folder, by five draws. Counted is which share of them is among the first 5% of `rank_suspects`, and
how often the likeliest other folder is the right one. LFW-a's own errors count as false finds. Only people
with as many photos as the table says take part.

    siamese-nn train --data data/lfw-a --recipe face --precision mixed_bfloat16 --run-dir runs/face
    python benchmarks/audit.py runs/face --data data/lfw-a
"""

from pathlib import Path

import common
import numpy as np
from prettytable import PrettyTable

from siamese_nn import Verifier, datasets, evaluation

SEEDS = range(5)


def main() -> None:
    """Measures both parts, for people with two photos and more, and with three and more."""
    parser = common.parser(__doc__)
    parser.set_defaults(data=Path("data/lfw-a"))
    parser.add_argument("run", type=Path, help="trained on LFW-a's training people")
    options = parser.parse_args()
    verifier = Verifier.load(options.run)
    table = PrettyTable(["photos of", "each", "n", "found, by draw", "mean", "right folder"], align="l")
    for part in ("test", "unused"):
        photos = datasets.photos_by_identity(options.data / part)
        people = np.array([name for name, own in photos.items() for _ in own])
        if seen := set(people) & verifier.seen_people:
            raise SystemExit(f"The run has seen {len(seen)} people of {part}/")
        vectors = verifier.embed([path for own in photos.values() for path in own], align=False)
        for least in (2, 3):
            _, number, counts = np.unique(people, return_inverse=True, return_counts=True)
            kept = counts[number] >= least
            shares, right = zip(*(planted(vectors[kept], people[kept], seed) for seed in SEEDS), strict=True)
            found = " ".join(f"{share:.2f}" for share in shares)
            row = [f"{part}/", f">= {least}", int(kept.sum()), found]
            table.add_row([*row, f"{np.mean(shares):.3f}", f"{np.mean(right):.2f}"])
    print(table)
    print(common.machine())


def planted(vectors: np.ndarray, people: np.ndarray, seed: int) -> tuple[float, float]:
    """Plants errors; returns the share found, and of those found the share whose own folder is named."""
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(people), round(0.02 * len(people)), replace=False)
    labels, names = people.copy(), np.unique(people)
    for i in wrong:
        labels[i] = rng.choice(names[names != people[i]])
    first = evaluation.rank_suspects(vectors, labels)[: round(0.05 * len(people))]
    found = [suspect for suspect in first if suspect.photo in wrong]
    named = [suspect.other_person == people[suspect.photo] for suspect in found]
    return len(found) / len(wrong), float(np.mean(named))


if __name__ == "__main__":
    main()
