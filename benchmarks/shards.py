"""A million photos: the seconds to write them, to an epoch's start, the photos a second, and the memory.

The photos are drawn faces under noise, JPEG files of 112 x 112 pixels in colour: 20,000 of them, again and
again. They lie in a set in RecordIO as InsightFace publishes them. `write_shards` makes shards of it.
The batches are those of the datasets, decoded anew in every epoch. A part of the photos lies as files, too,
and as decoded pixels in one file: three ways to keep the same photos, for the same `photo_dataset`. The head
is a classifier's last layer, over all people.

    python benchmarks/shards.py FOLDER [--photos 1000000] [--people 50000]

FOLDER gets 10 GB of a million photos, and keeps them: remove it. What is there is not made again.
"""

import io
import json
import resource
import statistics
import struct
import time
from itertools import chain, islice
from multiprocessing import Pool
from pathlib import Path

import common
import numpy as np
from PIL import Image
from prettytable import PrettyTable

SIZE, BATCH, FACES, DISTINCT, PART, ROUNDS, STEPS = (112, 112), 128, 100, 20_000, 10_000, 3, 12
FORMAT = {"image_size": SIZE, "channels": 3}
MAGIC = struct.pack("<I", 0xCED7230A)


def draw_faces(folder: Path) -> list[np.ndarray]:
    from siamese_nn import datasets

    drawn = datasets.make_toy_faces(folder / "drawn", n_train_identities=FACES, train_pairs=200)
    people = datasets.photos_by_identity(drawn / "lfw2").values()
    photos = [own[0] for own in islice(people, FACES)]
    return list(datasets.load_images(photos, **FORMAT, crop=(150, 150), progress=False))


def noisy(words: tuple[np.ndarray, int]) -> bytes:
    """A drawn face under noise that its number draws, as a JPEG file."""
    face, number = words
    rng = np.random.default_rng(number)
    coarse = rng.integers(-20, 20, (14, 14, 3)).repeat(8, 0).repeat(8, 1)
    pixels = np.clip(face + coarse + rng.integers(-6, 6, (112, 112, 1)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def make_set(folder: Path, n_photos: int, n_people: int) -> None:
    """Writes a set in RecordIO, of people in order."""
    faces = draw_faces(folder)
    people = np.sort(np.arange(n_photos) % n_people)
    with (folder / "train.rec").open("wb") as rec, (folder / "train.idx").open("w") as index, Pool() as pool:
        drawn = pool.map(noisy, [(faces[i % FACES], i) for i in range(DISTINCT)], 64)
        for key, person in enumerate(people.tolist(), 1):
            photo = drawn[key % DISTINCT]
            index.write(f"{key}\t{rec.tell()}\n")
            data = struct.pack("<IfQQ", 0, person, key, 0) + photo
            rec.write(MAGIC + struct.pack("<I", len(data)) + data + bytes(-len(data) % 4))
    (folder / "property").write_text(f"{n_people},112,112")


def say(**figures: float) -> None:
    figures["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures["cpu_seconds"] = time.process_time()
    print(json.dumps(figures))


def write(folder: Path) -> None:
    from siamese_nn import datasets

    start = time.perf_counter()
    counts = datasets.write_shards(folder / "train.rec", folder / "shards")
    say(photos=counts["photos"], seconds=time.perf_counter() - start)


def batches_of(kind: str, folder: Path, epoch: int):
    from siamese_nn import datasets

    people = datasets.read_shards(folder / "shards")
    photos, names = list(chain(*people.values())), [name for name, own in people.items() for _ in own]
    listed = time.perf_counter()
    sizes = {"batch_size": BATCH}
    if kind == "identity":
        sizes = {"identities_per_batch": BATCH // 4, "images_per_identity": 4}
    make = getattr(datasets, f"{kind}_dataset")
    return listed, iter(make(photos, names, **FORMAT, **sizes, initial_epoch=epoch))


def measure(kind: str, folder: Path, steps: int = 150) -> None:
    """From nothing to the first batch of an epoch, and on."""
    import tensorflow as tf  # noqa: F401, so that its import is not timed

    start, cpu = time.perf_counter(), time.process_time()
    listed, batches = batches_of(kind, folder, epoch=0)
    next(batches)
    first, cpu = time.perf_counter(), time.process_time() - cpu
    seen = sum(int(next(batches)[1].shape[0]) for _ in range(steps))
    rate = seen / (time.perf_counter() - first)
    say(listed=listed - start, first=first - start, first_cpu=cpu, rate=rate)


def keep_part(folder: Path) -> None:
    """The first photos as files, and as pixels."""
    from siamese_nn import datasets

    people, left = datasets.read_shards(folder / "shards"), PART
    for name, own in people.items():
        for path in own[:left]:
            file = folder / "files" / name / Path(path).name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(datasets.shards.find_in_shards(path).read())
        left -= len(own[:left])
    files = chain(*datasets.photos_by_identity(folder / "files").values())
    np.save(folder / "pixels.npy", datasets.load_images(list(files), **FORMAT, progress=False))


def rate_of(way: str, folder: Path) -> None:
    """Photos a second of `photo_dataset`, decoded anew in every epoch, of files, shards or pixels."""
    from siamese_nn import datasets
    from siamese_nn.datasets import decoded

    people = datasets.photos_by_identity(folder / "files")
    if way == "shards":
        stored = datasets.read_shards(folder / "shards")
        people = {name: stored[name][: len(own)] for name, own in people.items()}
    names = [name for name, own in people.items() for _ in own]
    if way == "pixels":
        pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        rows = {path: row for row, path in enumerate(chain(*people.values()))}
        decoded.decode_photos = lambda paths, *_, **__: pixels[[rows[path] for path in paths]]
    data = datasets.photo_dataset(
        list(chain(*people.values())), names, batch_size=BATCH, **FORMAT, memory_limit=0, initial_epoch=0
    )
    batches, steps = iter(data), len(names) // BATCH
    next(batches)
    start = time.perf_counter()
    seen = sum(int(next(batches)[1].shape[0]) for _ in range(steps))
    say(rate=seen / (time.perf_counter() - start))


def head(n_people: int) -> None:
    """Milliseconds of a training step of `face` under a classifier's head, of many people or few."""
    import tensorflow as tf

    from siamese_nn.training import RECIPES

    recipe = RECIPES["face"]
    model = recipe.build_model(n_classes=n_people)
    images = tf.random.uniform((recipe.batch_size, *recipe.photo_format.shape))
    labels = tf.random.uniform((recipe.batch_size,), maxval=n_people, dtype=tf.int32)
    for _ in range(3):  # traced, and warm
        model.train_on_batch(images, labels)
    cpu = time.process_time()
    for _ in range(STEPS):
        model.train_on_batch(images, labels)
    say(cpu_milliseconds=1000 * (time.process_time() - cpu) / STEPS, weights=model.count_params())


def main() -> None:
    arguments = common.parser(__doc__.splitlines()[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--photos", type=int, default=1_000_000)
    arguments.add_argument("--people", type=int, default=50_000)
    options = arguments.parse_args()
    folder, contestant = options.folder, options.contestant
    if contestant:
        kind, _, what = contestant.partition("-")
        run = {"write": write, "part": keep_part, "batches": lambda f: measure(what, f)}
        run |= {"way": lambda f: rate_of(what, f), "head": lambda _: head(int(what))}
        run[kind](folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "property").exists():
        make_set(folder, options.photos, options.people)

    def results(contestants: list[str], rounds: int = 1) -> dict[str, list[dict]]:
        return common.run_in_turn(__file__, contestants, rounds, str(folder))

    print(common.machine())
    if not (folder / "shards" / "shards.json").exists():
        print("written:", results(["write"])["write"][0])
    for kind in ("photo", "identity"):
        print(f"{kind}_dataset:", results([f"batches-{kind}"])[f"batches-{kind}"][0])
    if not (folder / "pixels.npy").exists():
        keep_part(folder)
    ways = results(["way-files", "way-shards", "way-pixels"], ROUNDS)
    table = PrettyTable(["kept as", "bytes a photo", "photos a second"], align="r")
    shards = sum(file.stat().st_size for file in (folder / "shards").iterdir())
    files = [file.stat().st_size for file in (folder / "files").glob("*/*")]
    sizes = [statistics.mean(files), shards / options.photos, np.prod(SIZE) * 3]
    for (way, rows), size in zip(ways.items(), sizes, strict=True):
        table.add_row([way[4:], f"{size:,.0f}", f"{statistics.median(row['rate'] for row in rows):,.0f}"])
    print(table)
    for name, rows in results([f"head-{options.people}", "head-500"], ROUNDS).items():
        print(
            name, statistics.median(row["cpu_milliseconds"] for row in rows), "ms of a core a step:", rows[0]
        )


if __name__ == "__main__":
    main()
