"""What alignment is worth: pairs of LFW-a and of CFP, scored by a run that was trained on LFW-a.

LFW-a: each photo of View 1's test and validation pairs as it is, aligned again, and aligned again unless
`faces.is_aligned` says that it is so already, which is what a verifier does. And disturbed at random, seeded
by its name: turned by up to 20 degrees, scaled by 0.6 to 1.2, shifted by up to 25 pixels each way; left so,
and aligned. At the run's own threshold, which `verify` takes, and at that which is best on the validation
pairs, prepared as the test's.

CFP: the ten folds of FF and FP, aligned by CFP's own points and by `faces.align`. Pairs with people whom the
run has seen are left out. Each fold is measured at the threshold that is best on the others.

Where no face is found, a pair counts as the least alike.

    siamese-nn train --data data/lfw-a --recipe face --run-dir runs/face
    python benchmarks/alignment.py runs/face --data data/lfw-a --cfp cfp-dataset.zip
"""

import argparse
import logging
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from siamese_nn import Verifier, datasets, evaluation, faces
from siamese_nn.faces.transform import warp

_MIDDLE = 125 + 125j  # of LFW-a's photos, as x + yj


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("run", type=Path, help="folder of a run that was trained on LFW-a")
    arguments.add_argument("--data", type=Path, help="organised folder of LFW-a")
    arguments.add_argument("--cfp", type=Path, help="cfp-dataset.zip, or the folder unpacked from it")
    options = arguments.parse_args()
    logging.disable(logging.INFO)
    verifier = Verifier.load(options.run)
    if options.data is not None:
        lfw_a(verifier, options.data)
    if options.cfp is not None:
        cfp(verifier, options.cfp)


def as_it_is(path: str) -> Image.Image:
    return datasets.open_raw_photo(path)


def disturbed(path: str) -> Image.Image:
    draw = np.random.default_rng(crc32(Path(path).name.encode()))
    turn, scale = draw.uniform(-20, 20), np.exp(draw.uniform(np.log(0.6), np.log(1.2)))
    factor = scale * np.exp(1j * np.radians(turn))
    shift = _MIDDLE - factor * _MIDDLE + complex(*draw.uniform(-25, 25, 2))
    return warp(as_it_is(path), factor, shift, faces.LFW_A.size)


@cache
def own_face(path: str) -> faces.Face:
    photo = as_it_is(path)
    return faces.choose(faces.find(photo), photo, "middle")


def again(path: str) -> Image.Image:
    return faces.align(as_it_is(path), own_face(path))


def again_if_not_so(path: str) -> Image.Image:
    return as_it_is(path) if faces.is_aligned(as_it_is(path), own_face(path)) else again(path)


def aligned(prepare: Callable[[str], Image.Image]) -> Callable[[str], Image.Image]:
    return lambda path: faces.align(prepare(path))


def embeddings(verifier: Verifier, paths: Iterable[str], prepare: Callable) -> dict[str, np.ndarray]:
    """The embedding of each photo; of one without a face there is none."""
    photos, found = {}, {}
    for path in sorted(set(paths)):
        try:
            photos[path] = prepare(path)
        except faces.NoFaceError:
            continue
        if len(photos) == 256:
            found.update(zip(photos, verifier.embed(list(photos.values()), align=False), strict=True))
            photos.clear()
    if photos:
        found.update(zip(photos, verifier.embed(list(photos.values()), align=False), strict=True))
    return found


def scores(verifier: Verifier, pairs: datasets.Pairs, found: dict[str, np.ndarray]) -> np.ndarray:
    sides = (pairs.left, pairs.right)
    whole = np.array([left in found and right in found for left, right in zip(*sides, strict=True)])
    left, right = ([found[path] for path in side[whole]] for side in sides)
    all_scores = np.empty(len(pairs))
    all_scores[whole] = verifier.comparison.pairs(np.array(left), np.array(right))
    all_scores[~whole] = all_scores[whole].min() - 1
    return all_scores


def lfw_a(verifier: Verifier, data: Path) -> None:
    pairs, test = datasets.load_lfw_a(data)
    _, val = datasets.split_identities(pairs, exclude=test)
    evaluation.require_unseen([test], verifier.seen_people)
    ways = {
        "as they are": as_it_is,
        "aligned again": again,
        "aligned again unless they are": again_if_not_so,
        "disturbed": disturbed,
        "disturbed, aligned": aligned(disturbed),
    }
    for name, prepare in ways.items():
        paths = [*val.distinct_images()[0].tolist(), *test.distinct_images()[0].tolist()]
        found = embeddings(verifier, paths, prepare)
        val_scores, test_scores = (scores(verifier, part, found) for part in (val, test))
        chosen = float(evaluation.choose_threshold(val_scores, val.same))
        figures = [
            evaluation.verification_report(
                test_scores,
                test.same,
                threshold=threshold,
                identities=(test.left_identities, test.right_identities),
            )
            for threshold in (verifier.threshold, chosen)
        ]
        print(
            f"LFW-a {name}: no face in {len(set(paths)) - len(found)} of {len(set(paths))} photos, AUC "
            f"{figures[0].auc:.4f}",
            *(
                f"  at the threshold {where}: {figure.accuracy:.2%} {interval(figure)}"
                for where, figure in zip(("of the run", "of validation photos alike"), figures, strict=True)
            ),
            sep="\n",
            flush=True,
        )


def interval(report: evaluation.VerificationReport) -> str:
    low, high = report.accuracy_interval
    return f"({low:.2%} to {high:.2%})"


def cfp(verifier: Verifier, source: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw, by_points = Path(folder, "raw"), Path(folder, "aligned")
        datasets.organize_cfp(source, raw)
        datasets.organize_cfp(source, by_points, align=True)
        ways = {"own points": (by_points, as_it_is), "finder": (raw, aligned(as_it_is))}
        for name, (cfp_dir, prepare) in ways.items():
            tasks = {
                task: [
                    datasets.without_people(fold, verifier.seen_people)
                    for fold in datasets.read_cfp_folds(cfp_dir, task)
                ]
                for task in ("FF", "FP")
            }
            all_folds = [fold for folds in tasks.values() for fold in folds]
            paths = {path for fold in all_folds for path in fold.distinct_images()[0].tolist()}
            found = embeddings(verifier, paths, prepare)
            print(f"CFP by {name}: no face in {len(paths) - len(found)} of {len(paths)} photos")
            for task, folds in tasks.items():
                report = evaluation.cross_validate([scores(verifier, fold, found) for fold in folds], folds)
                print(
                    f"  {task}: {report.accuracy['mean']:.2%} (standard error "
                    f"{report.accuracy['standard_error']:.2%}), {sum(map(len, folds))} pairs",
                    flush=True,
                )


if __name__ == "__main__":
    main()
