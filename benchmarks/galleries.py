"""A gallery in a folder that grows: opening, adding, exact search and its index; beside it other indices.

Unit vectors of 128 numbers, four photos a person on average, drawn from a seed. They lie as those of a
trained `face` do: the variances between people and within one, direction by direction, are two formulas
fitted to what 7,720 photos of LFW-a have there (two photos of one person have a cosine of .56 there on
average, two people 0 with a standard deviation of .20). Of 1,000 queries 800 are further photos of people in
the gallery, 200 are of strangers.

An index proposes photos, which are scored exactly, as `StoredGallery` does it. Recall at 1 is the share of
queries whose best photo is as near as that of the exact search; recall at 10 the share of the ten nearest
that are among its ten. All times are processor time of one thread; a query is asked alone. Memory is what the
process itself takes for the index. Each contestant runs in a process of its own. What `--keep` holds already
is not measured again.

    python benchmarks/galleries.py --photos 1000000   # pip install usearch faiss-cpu; left out where missing
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROPOSED = 32  # as `StoredGallery` asks for one person
# A contestant: faiss's name of what it makes, how many it proposes, and the efforts of its search.
CONTESTANTS = {
    "ours": (None, 0, ()),
    "usearch": (None, PROPOSED, (64, 256, 1024)),
    "faiss HNSW16, SQ8": ("HNSW16_SQ8", PROPOSED, (64, 256, 1024)),
    "faiss IVF, flat": ("IVF{lists},Flat", PROPOSED, (8, 32, 128, 512)),
    "faiss IVF, SQ8": ("IVF{lists},SQ8", PROPOSED, (8, 32, 128, 512)),
    "faiss IVF, PQ32": ("IVF{lists},PQ32", 8 * PROPOSED, (8, 32, 128, 512)),
}
_ROWS = 50_000


def draw(generator: np.random.Generator, people: np.ndarray) -> np.ndarray:
    """A photo of each of these people."""
    within = 0.0145 * np.exp(-((np.arange(128) / 36) ** 1.6))
    vectors = people + generator.standard_normal(people.shape, np.float32) * np.sqrt(within, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make(folder: Path, n: int) -> None:
    """Writes the vectors, who is on them, queries, and each query's ten nearest by the exact search."""
    from siamese_nn.evaluation.search import score_blocks, top_scores

    generator = np.random.default_rng(0)
    i = np.arange(128)
    between = np.sqrt(0.1 / (1 + i / 2.2) * np.exp(-i / 30)).astype(np.float32)
    people = generator.standard_normal((n // 4 + 200, 128), np.float32) * between
    who = generator.integers(0, n // 4, n)
    asked = np.concatenate([generator.choice(who, 800), np.arange(n // 4, n // 4 + 200)])
    vectors = np.lib.format.open_memmap(folder / "partial.npy", "w+", np.float32, (n, 128))
    for start in range(0, n, _ROWS):
        vectors[start : start + _ROWS] = draw(generator, people[who[start : start + _ROWS]])
    queries = draw(generator, people[asked])
    scores, nearest = top_scores(score_blocks(queries, vectors), len(queries), 10)
    np.savez(folder / "asked.npz", who=who, queries=queries, scores=scores, nearest=nearest)
    (folder / "partial.npy").rename(folder / "vectors.npy")


def spent(call) -> tuple[float, object]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def own_memory() -> float:
    """Bytes that this process has for itself, without files that it has mapped."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) * 1024


def measure_ours(vectors: np.ndarray, asked: dict) -> dict:
    from siamese_nn.evaluation.comparison import Cosine
    from siamese_nn.verification import Gallery, StoredGallery

    queries, best = asked["queries"], asked["scores"][:, 0]

    def ask(view, i):
        return view.nearest(Cosine(), queries[i : i + 1], 1)[1][0, 0]

    with tempfile.TemporaryDirectory() as folder:
        StoredGallery.create(folder, Gallery(asked["who"].astype("U8"), vectors, "0" * 64))
        opening, stored = spent(lambda: StoredGallery(folder))
        view = stored.view()
        search = [spent(lambda i=i: ask(view, i))[0] for i in range(20)]
        figures = {"opening": f"{opening:.2f} s", "a query": f"{np.median(search) * 1e3:.0f} ms"}
        if importlib.util.find_spec("faiss"):
            import faiss

            faiss.omp_set_num_threads(1)
            making, recall = spent(stored.make_index)
            file = (Path(folder) / "index.faiss").stat().st_size
            before = own_memory()
            opening, indexed = spent(lambda: StoredGallery(folder, index="faiss"))
            view = indexed.view()
            ask(view, 0)  # the first one counts everybody's photos
            seconds, scores = spent(lambda: [ask(view, i) for i in range(len(queries))])
            memory = own_memory() - before
            found = np.mean(np.array(scores) >= best - 1e-6)
            figures |= {
                "making its index": f"{making / 60:.1f} min, recall {recall:.3f}, file {file / 1e6:.0f} MB",
                "opening with it": f"{opening:.2f} s, {memory / 1e6:.0f} MB with all names",
                "a query by it": f"{seconds / len(queries) * 1e3:.2f} ms, recall at 1 {found:.3f}",
            }
        one = Gallery(np.array(["new"]), queries[:1], "0" * 64)
        adding = [spent(lambda: stored.add(one))[0] for _ in range(10)]
    return figures | {"adding one": f"{np.median(adding) * 1e3:.0f} ms"}


def measure_index(contestant: str, vectors: np.ndarray, asked: dict, file: Path) -> dict:
    kind, proposed, efforts = CONTESTANTS[contestant]
    n, queries = len(vectors), asked["queries"]
    before = own_memory()
    if contestant == "usearch":
        from usearch.index import Index

        index = Index(ndim=128, metric="cos", dtype="i8", connectivity=16, expansion_add=64)

        def add(start):
            rows = np.arange(start, min(n, start + _ROWS))
            index.add(rows, vectors[rows], threads=1)
    else:
        import faiss

        faiss.omp_set_num_threads(1)
        lists = 2 ** int(np.log2(4 * n**0.5))
        index = faiss.index_factory(128, kind.format(lists=lists), faiss.METRIC_INNER_PRODUCT)
        if "HNSW" in kind:
            index.hnsw.efConstruction = 64
        else:
            index.cp.niter = 10
        sample = np.sort(np.random.default_rng(1).choice(n, min(n, 50 * lists), replace=False))

        def add(start):
            index.add(np.ascontiguousarray(vectors[start : start + _ROWS]))

    training = 0.0 if contestant == "usearch" else spent(lambda: index.train(vectors[sample]))[0]
    making = training
    for start in range(0, n, _ROWS):
        making += spent(lambda start=start: add(start))[0]
        print(f"{contestant}: {start + _ROWS} of {n}, {making:.0f} s", file=sys.stderr, flush=True)
    memory = own_memory() - before
    index.save(str(file)) if contestant == "usearch" else faiss.write_index(index, str(file))
    figures = {
        "making": f"{making / 60:.1f} min",
        "memory": f"{memory / 1e6:.0f} MB",
        "file": f"{file.stat().st_size / 1e6:.0f} MB",
    }
    file.unlink()
    for effort in efforts:
        if contestant == "usearch":
            index.expansion_search = effort

            def search(query):
                return index.search(query, proposed, threads=1).keys.astype(np.int64)
        else:
            if "HNSW" in kind:
                index.hnsw.efSearch = effort
            else:
                index.nprobe = effort

            def search(query):
                return index.search(query[None], proposed)[1][0]

        seconds, found = spent(lambda search=search: [search(query) for query in queries])
        one, ten = [], []
        for query, rows, best, nearest in zip(queries, found, asked["scores"], asked["nearest"], strict=True):
            rows = rows[rows >= 0]
            scores = vectors[rows] @ query
            one.append(scores.max(initial=-2) >= best[0] - 1e-6)
            ten.append(np.isin(nearest, rows[np.argsort(-scores)[:10]]).mean())
        figures[f"effort {effort}"] = (
            f"{seconds / len(queries) * 1e3:.2f} ms, recall at 1 {np.mean(one):.3f}, at 10 {np.mean(ten):.3f}"
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1_000_000, help="(default: 1,000,000)")
    parser.add_argument("--only", choices=CONTESTANTS, nargs="+", help="these contestants")
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path("data/galleries"),
        help="for vectors and results (default: %(default)s)",
    )
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.keep / str(arguments.photos)
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.contestant:
        name = arguments.contestant
        if name == "data":
            make(folder, arguments.photos)
            return
        vectors = np.load(folder / "vectors.npy", mmap_mode="r").view(np.ndarray)
        asked = dict(np.load(folder / "asked.npz"))
        figures = (
            measure_ours(vectors, asked)
            if name == "ours"
            else measure_index(name, vectors, asked, folder / "index")
        )
        (folder / f"{name}.json").write_text(json.dumps(figures))
        return

    def run(name: str) -> None:
        words = [__file__, "--photos", str(arguments.photos), "--keep", str(arguments.keep)]
        subprocess.run([sys.executable, *words, "--contestant", name], check=True)

    if not (folder / "vectors.npy").exists():
        run("data")
    for name in arguments.only or CONTESTANTS:
        module = name.split()[0]
        if module != "ours" and not importlib.util.find_spec(module):
            continue
        if not (folder / f"{name}.json").exists():
            run(name)
        figures = json.loads((folder / f"{name}.json").read_text())
        print("\n    ".join([name, *(f"{what}: {figure}" for what, figure in figures.items())]), flush=True)


if __name__ == "__main__":
    main()
