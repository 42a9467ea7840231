"""Exact search and all-pairs scoring by `evaluation.search`, against scikit-learn and faiss's IndexFlatIP.

128-d unit embeddings, float32: of 13,233 photos of 5,749 people (as many as LFW has) all pairs with a cosine
of at least 0.5; and among 1,000,000 photos the 10 nearest of 1 query and of 1,000. scikit-learn takes
euclidean distances, for which it has its fastest code; of unit embeddings they order as cosines do. Each
figure is the median of several calls in a process of its own, and of several such processes in turn; the
answers are compared. Memory is the peak of that process less that before the first call: for faiss's index
that includes its copy of the gallery, made once, whose time is not counted.

    python benchmarks/verification.py        # pip install faiss-cpu; without it faiss is left out
"""

import argparse
import functools
import importlib.util
import json
import resource
import statistics
import time

import common
import numpy as np
from prettytable import PrettyTable

ROUNDS = 3
TASKS = {
    "all pairs of 13,233": (13_233, 0),
    "1 in 1,000,000": (1_000_000, 1),
    "1,000 in 1,000,000": (1_000_000, 1000),
}
CONTESTANTS = ["siamese_nn", "scikit-learn", "faiss"]
K, THRESHOLD = 10, 0.5


def photos(n: int) -> np.ndarray:
    """Unit embeddings of people who are each seen about as often as in LFW."""
    generator = np.random.default_rng(0)
    people = generator.standard_normal((5749, 128), np.float32)
    embeddings = np.empty((n, 128), np.float32)
    for start in range(0, n, 10_000):  # in parts, for the peak of memory is to be the contestant's
        part = embeddings[start : start + 10_000]
        part[:] = people[generator.integers(0, 5749, len(part))]
        part += 0.7 * generator.standard_normal(part.shape, np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return embeddings


def prepare(contestant: str, task: str, gallery: np.ndarray, queries: np.ndarray):
    """Returns a function that gives `(count of pairs or indices, sum of scores)`."""
    all_pairs = task.startswith("all")
    if contestant == "siamese_nn":
        from siamese_nn.evaluation.search import score_blocks, top_scores

        if all_pairs:
            return lambda: [count_above(score_blocks(gallery, gallery, upper=True))]
        blocks = functools.partial(score_blocks, queries, gallery)
        return lambda: top_scores(blocks(), len(queries), K)[1].ravel().tolist()
    if contestant == "faiss":
        import faiss

        index = faiss.IndexFlatIP(gallery.shape[1])
        index.add(gallery)
        if all_pairs:
            # Each pair twice, and each photo with itself.
            return lambda: [(int(index.range_search(gallery, THRESHOLD)[0][-1]) - len(gallery)) // 2]
        return lambda: index.search(queries, K)[1].ravel().tolist()
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(gallery)
    if all_pairs:
        radius = float(np.sqrt(2 - 2 * THRESHOLD))
        return lambda: [
            (
                sum(map(len, neighbours.radius_neighbors(gallery, radius, return_distance=True)[1]))
                - len(gallery)
            )
            // 2
        ]
    return lambda: neighbours.kneighbors(queries)[1].ravel().tolist()


def count_above(blocks) -> int:
    """Counts the pairs with a score of at least THRESHOLD, each once."""
    found = 0
    for row, column, scores in blocks:
        # Rows without any are the most: a look at the largest of each is less than one at all.
        rows = np.flatnonzero(scores.max(axis=1) >= THRESHOLD)
        left, right = np.nonzero(scores[rows] >= THRESHOLD)
        found += np.count_nonzero(rows[left] + row < right + column)
    return found


def measure(contestant: str, task: str) -> None:
    n, n_queries = TASKS[task]
    everyone = photos(n + n_queries)
    gallery, queries = everyone[:n], everyone[n:]
    # Libraries loaded, and their threads started, before memory is read.
    prepare(contestant, task, gallery[:500], queries[:1])()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call = prepare(contestant, task, gallery, queries)
    answer = call()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    times = []
    while len(times) < 3 or (sum(times) < 2 and len(times) < 50):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    print(
        json.dumps(
            {"seconds": statistics.median(times), "megabytes": peak * 1024 / 1e6, "answer": answer[:10_000]}
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        measure(arguments.contestant, arguments.task)
        return
    contestants = [name for name in CONTESTANTS if name != "faiss" or importlib.util.find_spec("faiss")]
    table = PrettyTable(["", *TASKS], align="r")
    rows = {name: [] for name in contestants}
    for task in TASKS:
        results = common.run_in_turn(__file__, contestants, ROUNDS, "--task", task)
        ours = results["siamese_nn"][0]["answer"]
        for name, rounds in results.items():
            agree = np.mean(np.array(rounds[0]["answer"]) == ours)
            if agree < 0.999 and not task.startswith("all"):
                raise SystemExit(f"{task}: {name} agrees with siamese_nn on {agree:.2%} of the indices only")
            if task.startswith("all") and abs(rounds[0]["answer"][0] - ours[0]) > 3:
                raise SystemExit(f"{task}: {name} finds {rounds[0]['answer']} pairs, siamese_nn {ours}")
            seconds = statistics.median(row["seconds"] for row in rounds)
            megabytes = max(row["megabytes"] for row in rounds)
            rows[name].append((seconds, megabytes))
    for name, figures in rows.items():
        cells = [
            f"{seconds * 1e3:,.0f} ms ({seconds / rows['siamese_nn'][i][0]:.2f}), {megabytes:,.0f} MB"
            for i, (seconds, megabytes) in enumerate(figures)
        ]
        table.add_row([name, *cells])
    print(common.machine())
    print("time (as a multiple of siamese_nn's), peak memory")
    print(table)


if __name__ == "__main__":
    main()
