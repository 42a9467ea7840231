"""A run's verifier for elsewhere: its network in another format, checked beside the one of Keras."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..datasets.pairs import Pairs
from ..datasets.photo_files import photo_version
from ..evaluation import Comparison, verification_report
from ..files import digest, filling
from ..runs.folder import read_claim, read_results, read_scores
from ..runs.results import Results
from .embedding import Embedding
from .fitted import CARD, NETWORK, Fitted, arrays_of, digest_of, is_fitted, require_new, write
from .model_card import Check, card
from .photos import vectors_of, where_faces_lie
from .verifier import Verifier

FORMATS = {
    "onnx": NETWORK["onnx"],
    "litert": NETWORK["litert"],
    "litert-8bit": NETWORK["litert"],
    "saved-model": "saved_model",
    "openvino": "openvino",
}
_EXTRAS = {
    "onnx": ("tf2onnx", "onnxruntime"),
    "litert": ("ai_edge_litert",),
    "litert-8bit": ("ai_edge_litert",),
    "openvino": ("openvino",),
}
_LEAST_TENSORFLOW = (2, 20)
_TIMED = 20  # calls with one photo


@dataclass(frozen=True)
class Exported:
    """The folder of an export, and how it compares with the run; see `Check`."""

    folder: Path
    check: Check


def export(
    run_dir: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    format: str,
    data: str | os.PathLike | None = None,
    most_changed: float = 0.01,
) -> Exported:
    """Writes the verifier of a run into a folder, with its network in a format for elsewhere.

    The network computes in float32, and includes mirror image and PLDA. The rest of the verifier is JSON and
    arrays. The written network then scores the run's validation pairs, beside the run's own network. Where
    nobody validated the run, it scores the test pairs.
    `Verifier.load` reads an export to ONNX or LiteRT. The other formats need the function that
    computes them, such as `Embedding.of_saved_model(folder + "/saved_model").function`, as its `function`.

    Args:
        run_dir: the folder of a finished run.
        folder: a new one, or an empty one. `README.md` in it is the model's card.
        format: one of `FORMATS`; `"litert-8bit"` keeps weights in 8 bits.
        data: where the photos of the run are now, if not where they were: a folder that holds them by their
            last folders and names.
        most_changed: the share of these pairs, in [0, 1), on which the export may decide otherwise.

    Raises:
        FileNotFoundError: if the run, or a photo of these pairs, is missing.
        ImportError: if the extra `export` is not installed.
        ValueError: if TensorFlow is older than 2.20, an argument is out of range, the network can't be
            written, or more decisions change; then nothing is left.
    """
    run_dir, folder = Path(run_dir), Path(folder)
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {tuple(FORMATS)}. Received: format={format!r}")
    if not 0 <= most_changed < 1:
        raise ValueError(f"`most_changed` must be in [0, 1). Received: most_changed={most_changed}")
    require_new(folder)
    if is_fitted(run_dir):
        raise ValueError(
            f"`run_dir` must be the folder of a run. Received: {run_dir}, of a verifier of another "
            "embedding, whose network is in its format already"
        )
    if missing := [name for name in _EXTRAS.get(format, ()) if find_spec(name) is None]:
        raise ImportError(
            f"{format} needs the extra `export`: pip install 'siamese_nn[export]'. Missing: "
            f"{', '.join(missing)}"
        )
    _require_tensorflow()
    from .keras_network import in_float32, without_tensorflow

    verifier = Verifier.load(run_dir)
    results = Results.from_json(read_results(run_dir))
    judged = "test" if results.chosen_by else "validation"
    pairs, recorded = _pairs(run_dir, judged, data)
    model = verifier.embedding.source["model"]
    metric = without_tensorflow(model)
    before = verifier.embedding
    before_vectors, where = _vectors(before, pairs)
    old = verifier.comparison.pairs(*_sides(verifier.comparison, before_vectors, where))
    _require_same_photos(recorded, old, verifier.threshold, most_changed, run_dir)
    from ..models import embedding_model

    tower = in_float32(embedding_model(model))
    with filling(folder) as partial:
        path = partial / FORMATS[format]
        try:
            _write_network(tower, path, format)
        except Exception as error:  # of whatever kind: it is somebody else's code
            raise ValueError(
                f"The network must fit the disk of {folder}, and be one that {format} can hold. Received: "
                f"{type(error).__name__}: {str(error)[:300]}. Make room, or take another format. Nothing is "
                "left of this one"
            ) from error
        embedding = _embedding(path, format, metric, before)
        vectors, where = _vectors(embedding, pairs)
        new = embedding.comparison.pairs(*_sides(embedding.comparison, vectors, where))
        check = _check(verifier, embedding, path, format, pairs, old, new, judged)
        if check.changed > most_changed * len(pairs):
            raise ValueError(
                f"An export must decide as the run does on all but {most_changed:.1%} of its {judged} "
                f"pairs. Received: {format} decides {check.changed} of {len(pairs)} otherwise. Take "
                "another format"
            )
        files = {own.relative_to(partial).as_posix(): digest(own) for own in _files(path)}
        fitted = _fitted(verifier, embedding, format, files)
        write(fitted, partial)
        text = card(fitted, check, results, read_claim(run_dir)["recipe"])
        (partial / CARD).write_text(text, encoding="utf-8")
    return Exported(folder, check)


def _require_tensorflow() -> None:
    import tensorflow as tf

    if tuple(map(int, tf.__version__.split(".")[:2])) < _LEAST_TENSORFLOW:
        least = ".".join(map(str, _LEAST_TENSORFLOW))
        raise ValueError(
            f"Export needs TensorFlow {least} or later: earlier ones write some networks wrongly, or not at "
            f"all. Received: TensorFlow {tf.__version__}. Train and export with a later one"
        )


def _pairs(run_dir: Path, judged: str, data: str | os.PathLike | None) -> tuple[Pairs, np.ndarray]:
    """Returns the pairs of a set of a run, with its own scores of then."""
    columns = read_scores(run_dir)[judged]
    paths = sorted({*columns["left"], *columns["right"]})
    found = dict(zip(paths, paths, strict=True)) if data is None else _moved(paths, judged, Path(data))
    if missing := [path for path in paths if photo_version(found[path]) is None]:
        raise FileNotFoundError(
            f"An export is checked on the run's {judged} photos. {len(missing)} of {len(paths)} are not "
            f"where they were, as {missing[0]}. Say by `data` (`--data`) in which folder they are now"
        )
    pairs = Pairs(
        [found[path] for path in columns["left"]],
        [found[path] for path in columns["right"]],
        columns["same"],
        columns["left_identities"],
        columns["right_identities"],
    )
    return pairs, np.array(columns["best"])


def _moved(paths: list[str], judged: str, data: Path) -> dict[str, str]:
    """Returns where photos are in another folder, by as many of their last folders as fit all."""
    parts = {path: Path(path).parts for path in paths}
    for count in range(min(map(len, parts.values())) - 1, 0, -1):
        found = {path: data.joinpath(*own[-count:]) for path, own in parts.items()}
        if all(photo_version(path) is not None for path in found.values()):
            return {path: str(own) for path, own in found.items()}
    raise FileNotFoundError(
        f"`data` must hold all {len(paths)} {judged} photos of the run, by their last folders and names, "
        f"as {Path(*parts[paths[0]][-2:])}. Received: {data}"
    )


def _vectors(embedding: Embedding, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    photos, where = pairs.distinct_images()
    paths = photos.tolist()
    return vectors_of(embedding, paths, where_faces_lie(embedding, paths, None)), where


def _sides(comparison: Comparison, vectors: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    prepared = comparison.prepare(vectors)
    return prepared[where[:, 0]], prepared[where[:, 1]]


def _require_same_photos(
    recorded: np.ndarray, found: np.ndarray, threshold: float, most_changed: float, run_dir: Path
) -> None:
    changed = int(((recorded >= threshold) != (found >= threshold)).sum())
    if changed > max(1, most_changed * len(found)):
        raise ValueError(
            f"The validation photos must be those of the run. Received others: on them the network of "
            f"{run_dir} decides {changed} of {len(found)} pairs otherwise than when it was measured"
        )


def _write_network(tower: Any, path: Path, format: str) -> None:
    import tensorflow as tf

    if format == "onnx":
        tower(np.zeros((1, *tower.input_shape[1:]), np.float32))  # Keras writes only what was called once
        tower.export(path, format="onnx", verbose=False)
        return
    saved = path if format == "saved-model" else path.parent / "partial_saved_model"
    tower.export(saved, format="tf_saved_model", verbose=False)
    if format == "saved-model":
        return
    if format == "openvino":
        import openvino

        path.mkdir()
        openvino.save_model(openvino.convert_model(saved), path / "embedding.xml", compress_to_fp16=False)
    else:
        converter = tf.lite.TFLiteConverter.from_saved_model(os.fspath(saved))
        if format == "litert-8bit":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]  # of weights alone, without sample photos
        path.write_bytes(converter.convert())
    shutil.rmtree(saved)


def _embedding(path: Path, format: str, metric: str | Comparison, run: Embedding) -> Embedding:
    """Makes the embedding of a written network, which takes photos as the run's own does."""
    known = {name: getattr(run, name) for name in ("frame", "crop", "photo_size", "trained_on")}
    known |= {"metric": metric, "name": f"{run.name} as {format}"}
    if format == "onnx":
        return Embedding.of_onnx(path, std=255.0, image_size=run.image_size, **known)
    if format.startswith("litert"):
        return Embedding.of_litert(path, **known)
    if format == "saved-model":
        return Embedding.of_saved_model(path, **known)
    return Embedding(openvino_function(path), run.image_size, channels=run.channels, **known)


def openvino_function(path: str | os.PathLike) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what computes an export to OpenVINO: the `function` that `Verifier.load` wants.

    Args:
        path: the folder `openvino` of the export.
    """
    import openvino

    network = openvino.Core().compile_model(
        Path(path) / "embedding.xml",
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},  # else bfloat16 where it can
    )
    turn = threading.Lock()  # of two requests at once OpenVINO has given wrong vectors

    def function(images: np.ndarray) -> np.ndarray:
        with turn:
            return network([images.astype(np.float32) / np.float32(255)])[0]

    return function


def _check(
    verifier: Verifier,
    embedding: Embedding,
    path: Path,
    format: str,
    pairs: Pairs,
    old: np.ndarray,
    new: np.ndarray,
    judged: str,
) -> Check:
    identities = pairs.left_identities, pairs.right_identities
    reports = [
        verification_report(scores, pairs.same, threshold=verifier.threshold, identities=identities)
        for scores in (old, new)
    ]
    return Check(
        format=format,
        pairs=len(pairs),
        of=judged,
        largest_difference=float(np.abs(new - old).max()),
        changed=int(((old >= verifier.threshold) != (new >= verifier.threshold)).sum()),
        accuracy_before=reports[0].accuracy,
        accuracy=reports[1].accuracy,
        accuracy_interval=reports[1].accuracy_interval,
        bytes=sum(file.stat().st_size for file in _files(path)),
        milliseconds_before=_milliseconds(verifier.embedding),
        milliseconds=_milliseconds(embedding),
    )


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _milliseconds(embedding: Embedding) -> float:
    """Returns how long one photo takes, warm: the fastest call, in which nothing else had the machine."""
    image = np.zeros((1, *embedding.photo_format.shape), np.uint8)
    embedding(image)
    seconds = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        embedding(image)
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds)


def _fitted(verifier: Verifier, embedding: Embedding, format: str, files: dict[str, str]) -> Fitted:
    run = verifier.provenance
    return Fitted(
        embedding,
        embedding.comparison,
        verifier.threshold,
        verifier.calibration,
        verifier.held_out,
        digest_of(embedding, arrays_of(embedding.comparison)),
        {
            "siamese_nn": __version__,
            "embedding": embedding.as_dict(),
            "chosen_on": run["chosen_on"],
            "people": run["people"],
            "photos_each": run["held_out"]["photos_each"],
            "run": {
                "format": format,
                "files": files,
                **{name: run[name] for name in ("siamese_nn", "model_sha256", "seed", "trained_on")},
            },
        },
    )
