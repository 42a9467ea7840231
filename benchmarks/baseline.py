"""Verification without a network: gradient histograms (HOG), local binary patterns (LBP), PCA, PLDA, cosine.

The hand-made baseline that our networks stand beside. Rows 66 to 194 and columns 69 to 181 of LFW-a's 250
x 250 pixels, at three scales: HOG in cells of 8 x 8, and uniform LBP of radius 1 and 2 in cells of 16 x
16, as roots of frequencies; those of a photo and of its mirror image averaged. Of each kind the 300
principal components, to unit length, through PLDA; the two cosines added. PCA and PLDA are fitted to the
training people, the threshold to the validation pairs (people on A-E, none of them in training). With
`--final` the test pairs are scored, once.

    python benchmarks/baseline.py --data data/lfw-a [--final]          # pip install '.[benchmarks]'
"""

import argparse
import time
from pathlib import Path

import numpy as np
from prettytable import PrettyTable
from skimage.feature import hog, local_binary_pattern
from skimage.transform import resize
from sklearn.decomposition import PCA
from tqdm.auto import tqdm

from siamese_nn import datasets, evaluation

ROWS, COLUMNS = slice(66, 194), slice(69, 181)
SCALES = ((128, 112), (96, 84), (64, 56))
CELL = 16  # side of LBP's cells, in pixels
COMPONENTS = 300


def gradients(faces: list[np.ndarray]) -> np.ndarray:
    """HOG features of a face, given at all scales."""
    return np.concatenate([hog(face, 9, (8, 8), (2, 2), "L2-Hys") for face in faces])


def patterns(faces: list[np.ndarray]) -> np.ndarray:
    """Roots of the frequencies of 59 uniform patterns of 8 neighbours, by cell, of a face at all scales."""
    histograms = []
    for face in faces:
        rows, columns = face.shape[0] // CELL, face.shape[1] // CELL
        top, left = (face.shape[0] - rows * CELL) // 2, (face.shape[1] - columns * CELL) // 2
        for radius in (1, 2):
            codes = local_binary_pattern(face, 8, radius, "nri_uniform").astype(int)
            codes = codes[top : top + rows * CELL, left : left + columns * CELL]
            cells = codes.reshape(rows, CELL, columns, CELL).swapaxes(1, 2).reshape(rows * columns, -1)
            histograms += [np.bincount(cell, minlength=59) / CELL**2 for cell in cells]
    return np.sqrt(np.concatenate(histograms))


KINDS = {"HOG": gradients, "LBP": patterns}


def features(paths: list[str]) -> dict[str, np.ndarray]:
    """Both kinds of features of photos, each averaged with those of the mirror image."""
    kinds = {kind: [] for kind in KINDS}
    for path in tqdm(paths, desc="describing", unit="photo", leave=False, disable=None):
        face = datasets.load_image(path, image_size=(250, 250))[ROWS, COLUMNS, 0]
        sides = [
            [
                np.rint(resize(side, scale, anti_aliasing=True, preserve_range=True)).astype(np.uint8)
                for scale in SCALES
            ]
            for side in (face, face[:, ::-1])
        ]
        for kind, extract in KINDS.items():
            kinds[kind].append(((extract(sides[0]) + extract(sides[1])) / 2).astype(np.float32))
    return {kind: np.array(own) for kind, own in kinds.items()}


def embeddings(known: np.ndarray, identities: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Fits PCA and PLDA to features of known people; returns those of others as unit embeddings."""
    pca = PCA(min(COMPONENTS, *known.shape), svd_solver="randomized", random_state=0).fit(known)
    bias, matrix = evaluation.fit_plda(unit(pca.transform(known)), identities).projection()
    return [unit(unit(pca.transform(other)) @ matrix + bias) for other in others]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/lfw-a"), help="organised folder")
    parser.add_argument("--final", action="store_true", help="score the test pairs")
    options = parser.parse_args()

    began = time.perf_counter()
    pairs, test = datasets.load_lfw_a(options.data)
    train, val = datasets.split_identities(pairs, exclude=test)
    photos = datasets.training_photos(options.data / "train", pairs, val)
    sets = {"validation": val} | ({"test": test} if options.final else {})
    for name, held_out in sets.items():
        datasets.require_disjoint(train, held_out, names=("training", name))
        if held_out.identities() & set(photos):
            raise SystemExit(f"people of the {name} pairs are among those to be fitted to")

    identities = np.repeat(np.arange(len(photos)), [len(own) for own in photos.values()])
    known = features([path for own in photos.values() for path in own])
    distinct = {name: held_out.distinct_images() for name, held_out in sets.items()}
    unknown = {name: features(list(paths)) for name, (paths, _) in distinct.items()}
    scores = {}
    for kind in KINDS:
        both = embeddings(known[kind], identities, *(own[kind] for own in unknown.values()))
        for name, own in zip(sets, both, strict=True):
            left, right = distinct[name][1].T
            scores[kind, name] = np.einsum("ij,ij->i", own[left], own[right])
    scores |= {("HOG and LBP", name): sum(scores[kind, name] for kind in KINDS) for name in sets}

    table = PrettyTable(["", "Pairs", "People", "AUC (95%)", "EER", "Accuracy (95%)"], align="r")
    for (kind, name), own in scores.items():
        if name == "test" and kind in KINDS:
            continue  # only what is final
        threshold = float(evaluation.choose_threshold(scores[kind, "validation"], val.same))
        held_out = sets[name]
        report = evaluation.verification_report(
            own,
            held_out.same,
            threshold=threshold,
            identities=(held_out.left_identities, held_out.right_identities),
        )
        auc = (
            f" ({report.auc_interval[0]:.3f} to {report.auc_interval[1]:.3f})" if report.auc_interval else ""
        )
        low, high = report.accuracy_interval
        table.add_row(
            [
                kind,
                f"{len(held_out)} {name}",
                report.n_people,
                f"{report.auc:.4f}{auc}",
                f"{report.eer:.1%}",
                f"{report.accuracy:.1%} ({low:.1%} to {high:.1%})",
            ]
        )
    print(table)
    print(
        f"Fitted to {len(identities)} photos of {len(photos)} people of {options.data}, none of "
        "whom are scored; threshold from the validation pairs, whose own accuracy it flatters. Intervals "
        f"over people. {time.perf_counter() - began:.0f} s."
    )


if __name__ == "__main__":
    main()
