"""Measures the default face finder: how many faces it finds, where, and how fast.

    python benchmarks/faces.py lfw-a data/lfw-a/unused
    python benchmarks/faces.py cfp cfp-dataset.zip
    taskset -c 0 python benchmarks/faces.py time cfp-dataset.zip --run runs/face   # on one core
    python benchmarks/faces.py time cfp-dataset.zip --photos 1000                  # on all

LFW-a: the medians of the five points, which are `faces.LFW_A`. CFP: of frontal and profile photos, and how
far the eyes of frontal ones are from CFP's own fiducial points. No identity plays a part, and nothing is
trained. Time: a photo of 12 megapixels, a folder, and with a run two photos from their files to the answer.
"""

import argparse
import io
import itertools
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from siamese_nn import Verifier, datasets, faces
from siamese_nn.datasets.cfp_alignment import eye_nose_and_mouth, read_fiducials


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["lfw-a", "cfp", "time"])
    parser.add_argument("source", type=Path, help="a folder of LFW-a's photos, or cfp-dataset.zip")
    parser.add_argument(
        "--photos", type=int, default=100, help="of each kind, drawn by seed 0 (default: 100)"
    )
    parser.add_argument("--run", type=Path, help="for `time`: folder of a run that knows its frame")
    options = parser.parse_args()
    if options.what == "time":
        clock(options.source, options.photos, options.run)
    else:
        (lfw_a if options.what == "lfw-a" else cfp)(options.source, options.photos)


def drawn(names: list, count: int) -> list:
    return [names[i] for i in np.random.default_rng(0).permutation(len(names))[:count]]


def middle_face(photo: Image.Image, seconds: list[float]) -> faces.Face | None:
    begin = time.perf_counter()
    found = faces.find(photo)
    seconds.append(time.perf_counter() - begin)
    middle = np.array(photo.size) / 2
    return min(found, key=lambda face: np.hypot(*(face.points.mean(0) - middle)), default=None)


def lfw_a(folder: Path, count: int) -> None:
    seconds: list[float] = []
    photos = drawn(sorted(folder.rglob("*.jpg")), count)
    found = [face for path in photos if (face := middle_face(Image.open(path), seconds))]
    points = np.array([face.points for face in found])
    print(
        f"LFW-a: a face in {len(found)} of {len(photos)} photos, "
        f"{1000 * np.median(seconds):.0f} ms each (median)"
    )
    for name, place, spread in zip(
        ("left eye", "right eye", "nose", "mouth, left", "mouth, right"),
        np.median(points, 0),
        points.std(0),
        strict=True,
    ):
        print(f"  {name}: column {place[0]:.1f}, row {place[1]:.1f}; standard deviations {spread.round(1)}")


def cfp(archive: Path, count: int) -> None:
    with zipfile.ZipFile(archive) as source:
        names = source.namelist()
        for view in ("frontal", "profile"):
            seconds: list[float] = []
            photos = drawn(
                sorted(n for n in names if "/Images/" in n and f"/{view}/" in n and n.endswith("jpg")), count
            )
            found = {name: middle_face(Image.open(io.BytesIO(source.read(name))), seconds) for name in photos}
            faces_found = {name: face for name, face in found.items() if face}
            print(
                f"CFP {view}: {len(faces_found)} of {len(photos)}, "
                f"{1000 * np.median(seconds):.0f} ms each (median)"
            )
            if view == "profile":
                continue
            off, part = [], []
            for name, face in faces_found.items():
                points = source.read(name.replace("/Images/", "/Fiducials/").replace(".jpg", ".txt"))
                eye = eye_nose_and_mouth(read_fiducials(points))[0]
                distances = np.hypot(*(face.points[:2] - eye).T)
                off.append(distances.min())
                part.append(distances.min() / np.hypot(*(face.points[0] - face.points[1])))
            print(
                f"  the eye is {np.median(off):.1f} pixels off (median), "
                f"{np.median(part):.1%} of the eyes' distance"
            )


def clock(archive: Path, count: int, run: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as source:
        photos = drawn(sorted(n for n in source.namelist() if "/frontal/" in n and n.endswith("jpg")), count)
        people = Path(folder, "people")
        people.mkdir()
        for name in photos:
            (people / name.partition("/Images/")[2].replace("/", "_")).write_bytes(source.read(name))
        files = sorted(people.iterdir())
        large = Path(folder, "large.jpg")
        Image.open(files[0]).resize((4000, 3000)).save(large, quality=95)

        def told(what: str, times: int, do: Callable[[], object]) -> None:
            do()  # the networks are read and traced
            seconds = []
            for _ in range(times):
                begin, begin_cpu = time.perf_counter(), time.process_time()
                do()
                seconds.append((time.perf_counter() - begin, time.process_time() - begin_cpu))
            wall, cpu = np.median(seconds, 0)
            print(f"{what}: {wall:.2f} s, {cpu:.2f} s of computing (median of {times})", flush=True)

        told("12 megapixels, read and aligned", 5, lambda: faces.align(datasets.open_raw_photo(large)))
        if run is not None:
            verifier = Verifier.load(run)
            told("two photos verified", 11, lambda: verifier.verify(*files[:2], align=True))
        out = (Path(folder, f"out{number}") for number in itertools.count())
        told(f"a folder of {count} photos aligned", 1, lambda: datasets.align_folder(people, next(out)))


if __name__ == "__main__":
    main()
