"""A gallery in a folder that grows: opening, adding and exact search; beside it approximate indices.

Unit vectors of 128 numbers, of people with four photos each on average; 1,000 queries are further photos of
people in it. Two photos of one person have a cosine of about 0.67, those of two people of about 0: nothing
lies in clusters but a person's photos. An index proposes ten photos, which are scored exactly; its recall is
the share of queries whose best photo is that of the exact search. All times are processor time, of one thread
where a query is timed. Each contestant runs in a process of its own.

    python benchmarks/galleries.py --photos 1000000   # pip install usearch faiss-cpu; left out where missing
"""

import argparse
import importlib.util
import json
import tempfile
import time

import common
import numpy as np
from prettytable import PrettyTable

CONTESTANTS = {"exact": None, "usearch": "usearch", "faiss HNSW": "faiss", "faiss IVF": "faiss"}
EFFORTS = {"usearch": (64, 256, 1024), "faiss HNSW": (64, 256, 1024), "faiss IVF": (32, 128, 512)}


def photos(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, who is on them, and queries."""
    generator = np.random.default_rng(0)
    people = generator.standard_normal((n // 4, 128), np.float32)
    who = generator.integers(0, n // 4, n + 1000)
    who[n:] = who[:1000]
    vectors = np.empty((n + 1000, 128), np.float32)
    for start in range(0, n + 1000, 50_000):
        part = vectors[start : start + 50_000]
        part[:] = people[who[start : start + 50_000]]
        part += 0.7 * generator.standard_normal(part.shape, np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors[:n], who[:n], vectors[n:]


def spent(call) -> tuple[float, object]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def measure_exact(n: int) -> dict:
    from siamese_nn.evaluation.comparison import Cosine
    from siamese_nn.verification import Gallery, StoredGallery

    vectors, who, queries = photos(n)
    with tempfile.TemporaryDirectory() as folder:
        StoredGallery.create(folder, Gallery(who.astype(str), vectors, "0" * 64))
        del vectors
        opening, stored = spent(lambda: StoredGallery(folder))
        search = [
            spent(lambda i=i: stored.view().nearest(Cosine(), queries[i : i + 1], 1))[0] for i in range(30)
        ]
        one = Gallery(np.array(["new"]), queries[:1], "0" * 64)
        adding = [spent(lambda: stored.add(one))[0] for _ in range(10)]
    return {
        "opening": f"{opening:.2f} s",
        "a query": f"{np.median(search) * 1e3:.0f} ms",
        "adding one": f"{np.median(adding) * 1e3:.0f} ms",
    }


def measure_index(contestant: str, n: int) -> dict:
    vectors, _, queries = photos(n)
    exact = np.concatenate([(queries[i : i + 50] @ vectors.T).argmax(axis=1) for i in range(0, 1000, 50)])
    if contestant == "usearch":
        from usearch.index import Index

        index = Index(ndim=128, metric="ip", dtype="i8", connectivity=16, expansion_add=64)
        making, _ = spent(lambda: index.add(np.arange(n), vectors, threads=2))
    else:
        import faiss

        faiss.omp_set_num_threads(2)
        hnsw = contestant == "faiss HNSW"
        kind = "HNSW16_SQ8" if hnsw else f"IVF{int(2 * n**0.5)},SQ8"
        index = faiss.index_factory(128, kind, faiss.METRIC_INNER_PRODUCT)
        if hnsw:
            index.hnsw.efConstruction = 64
        making, _ = spent(lambda: (index.train(vectors[:: max(1, n // 200_000)]), index.add(vectors)))
        faiss.omp_set_num_threads(1)
    size = index.memory_usage if contestant == "usearch" else len(faiss.serialize_index(index))
    figures = {"making": f"{making:.0f} s", "size": f"{size / 1e6:.0f} MB"}
    for effort in EFFORTS[contestant]:
        if contestant == "usearch":
            index.expansion_search = effort
            seconds, found = spent(lambda: index.search(queries, 10, threads=1).keys.astype(np.int64))
        elif hnsw:
            index.hnsw.efSearch = effort
            seconds, found = spent(lambda: index.search(queries, 10)[1])
        else:
            index.nprobe = effort
            seconds, found = spent(lambda: index.search(queries, 10)[1])
        found = np.maximum(found, 0)
        best = np.einsum("qd,qkd->qk", queries, vectors[found]).argmax(axis=1)
        recall = np.mean(found[np.arange(1000), best] == exact)
        figures[f"effort {effort}"] = f"{seconds:.2f} ms, recall {recall:.3f}"
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1_000_000, help="(default: 1,000,000)")
    parser.add_argument("--only", choices=CONTESTANTS, help="one contestant")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        exact = arguments.contestant == "exact"
        n = arguments.photos
        print(json.dumps(measure_exact(n) if exact else measure_index(arguments.contestant, n)))
        return
    there = [name for name, module in CONTESTANTS.items() if not module or importlib.util.find_spec(module)]
    there = [arguments.only] if arguments.only else there
    results = common.run_in_turn(__file__, there, 1, "--photos", str(arguments.photos))
    print(common.machine())
    table = PrettyTable(["", "figures"], align="l")
    for name, rounds in results.items():
        table.add_row([name, "; ".join(f"{what} {figure}" for what, figure in rounds[0].items())])
    print(table)


if __name__ == "__main__":
    main()
