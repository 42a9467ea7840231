"""A verifier over anybody's embedding, kept in a folder: no TensorFlow, SciPy or scikit-learn to read it."""

import importlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.calibration import Calibration
from ..evaluation.comparison import Comparison, LikelihoodRatio, NormalizedScores
from ..evaluation.learnt_head import LearntHead
from ..evaluation.open_set import HeldOutScores
from ..evaluation.plda import Plda
from ..faces import Frame
from ..files import digest, filling, read_json
from .embedding import Embedding
from .onnx_network import OnnxNetwork

_FORMAT = "embedding 1"
_ARRAYS = "arrays.npz"
NETWORK = {"onnx": "embedding.onnx", "keras": "embedding.keras", "litert": "embedding.tflite"}
_LOADERS: dict[str, Callable[..., Embedding]] = {
    "onnx": Embedding.of_onnx,
    "keras": Embedding.of_keras,
    "litert": Embedding.of_litert,
}
_OF_ONNX = ("colours", "output")
# What computes an export that no loader reads, by its format.
_FUNCTIONS = {
    "saved-model": "Embedding.of_saved_model('{}/saved_model').function",
    "openvino": "verification.export.openvino_function('{}/openvino')",
}
TOP = 200  # scores with a cohort
VERIFIER, PAGE = "verifier.json", "report.html"  # as of a run, whose format is another
CARD = "README.md"  # of an export
_APART = 0.04  # of its length, at most: the vectors that one network gives on two machines
_ANEW = "Copy the folder anew, or make it again by `Verifier.fit` and `save`"


@dataclass(frozen=True, eq=False)
class Fitted:
    """What `Verifier` is made of, beside the network; see there."""

    embedding: Embedding
    comparison: Comparison
    threshold: float
    calibration: Calibration
    held_out: HeldOutScores
    digest: str
    provenance: dict[str, Any]


FIELDS = [own.name for own in fields(Fitted)]


def save(fitted: Fitted, folder: str | os.PathLike) -> None:
    """Writes a verifier into a new folder; see `Verifier.save`."""
    folder, embedding = require_new(folder), fitted.embedding
    if "embedding" not in fitted.provenance:
        raise ValueError("The verifier of a run is in the run's folder. Received it to be saved again")
    kind = embedding.source["kind"]
    with filling(folder) as partial:
        if kind == "keras":
            _save_keras(embedding, partial / NETWORK[kind])
        else:
            _require_known(embedding, LearntHead)
        if kind in ("onnx", "litert"):
            path = partial / NETWORK[kind]
            shutil.copyfile(embedding.source["file"], path)
            _require_unchanged(digest(path), embedding)
        if kind == "onnx":
            _require_whole(embedding, path)
        write(fitted, partial)


def require_new(folder: str | os.PathLike) -> Path:
    """Raises a `ValueError` unless a folder is missing or empty, and not the present one."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir()) or folder.samefile(os.curdir)):
        raise ValueError(f"`folder` must be new, or empty and not the present one. Received: {folder}")
    return folder


def _save_keras(embedding: Embedding, path: Path) -> None:
    from .keras_network import KerasNetwork, LearntComparison

    _require_known(embedding, LearntComparison)
    embedding.source["model"].save(path)
    try:
        found = KerasNetwork(path).digest
    except ValueError as error:
        raise ValueError(
            f"The model can't be kept in a file that is loaded without running code ({error}). Give it as a "
            "function: `Embedding(function, ...)`"
        ) from error
    _require_unchanged(found, embedding)


def _require_whole(embedding: Embedding, path: Path) -> None:
    """Refuses an ONNX file whose weights lie in other files: alone it is no network."""
    try:
        OnnxNetwork(path, embedding.image_size, embedding.source["output"])
    except ValueError as error:
        raise ValueError(
            f"{embedding.source['file']} must be a network in one file. Received one that can't be "
            "loaded from another folder: save it without external data (`onnx.save(onnx.load(file), other)`)"
        ) from error


def _require_known(embedding: Embedding, learnt: type) -> None:
    if not isinstance(embedding.metric, (str, learnt)):
        raise ValueError(
            "A comparison of your own can't be written. Received an embedding with metric="
            f"{type(embedding.metric).__name__}. Give 'cosine' or 'euclidean'"
        )


def _require_unchanged(found: str, embedding: Embedding) -> None:
    if found != embedding.source["sha256"]:
        raise ValueError(
            f"{embedding.name} must be the network that the threshold was chosen for. Received another: it "
            "was changed since. Make the embedding anew, and fit again"
        )


def write(fitted: Fitted, folder: Path) -> None:
    """Writes all of a verifier but the network, into a folder that holds it already."""
    content = io.BytesIO()
    arrays = {"held_out": fitted.held_out.scores, "probe": fitted.embedding.probe()}
    np.savez(content, **{**arrays, **arrays_of(fitted.comparison)})  # type: ignore[arg-type]
    (folder / _ARRAYS).write_bytes(content.getvalue())
    settings = {
        "format": _FORMAT,
        **fitted.provenance,
        "threshold": fitted.threshold,
        "calibration": {"slope": fitted.calibration.slope, "intercept": fitted.calibration.intercept},
        "digest": fitted.digest,
        "arrays_sha256": sha256(content.getvalue()).hexdigest(),
    }
    settings["sha256"] = _seal(settings)
    (folder / VERIFIER).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def is_fitted(folder: str | os.PathLike) -> bool:
    """Whether a folder holds what `save` wrote, and not a run."""
    path = Path(folder) / VERIFIER
    if not path.is_file():
        return False
    settings = read_json(path)
    return isinstance(settings, dict) and str(settings.get("format")).startswith("embedding")


def load(folder: str | os.PathLike, function: Callable | str | None) -> Fitted:
    """Reads what `save` wrote; see `Verifier.load`."""
    folder = Path(folder)
    path = folder / VERIFIER
    settings = read_json(path)
    if settings.get("format") != _FORMAT:
        raise ValueError(
            f"{path} must have format {_FORMAT!r}, which this siamese_nn reads. Received: "
            f"{settings.get('format')!r}. {_ANEW}"
        )
    if settings.pop("sha256", None) != _seal(settings):
        raise ValueError(f"{path} was changed since it was written. {_ANEW}")
    try:
        return _load(folder, settings, function)
    except (KeyError, TypeError, AttributeError, IndexError) as error:  # of a file that nobody wrote
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}). {_ANEW}") from error


def _load(folder: Path, settings: dict[str, Any], function: Callable | str | None) -> Fitted:
    arrays = _read_arrays(folder / _ARRAYS, settings["arrays_sha256"])
    # An export's files: no loader looks at what a function computes.
    for name, wanted in settings.get("run", {}).get("files", {}).items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing. {_ANEW}")
        if digest(folder / name) != wanted:
            raise ValueError(f"{folder / name} is not the network that the threshold was chosen for. {_ANEW}")
    format = settings.get("run", {}).get("format")
    if function is None and format in _FUNCTIONS:
        raise ValueError(
            f"{folder} is an export to {format}, whose network only siamese_nn's Python computes. Give it: "
            f"`Verifier.load(folder, function={_FUNCTIONS[format].format(folder)})`, or export to onnx"
        )
    embedding = _embedding(folder, settings["embedding"], function)
    embedding = replace(embedding, trained_on=settings["people"]["trained_on"])
    _require_same_network(embedding, arrays["probe"], folder)
    comparison = LearntHead.of_arrays(arrays) if "join" in arrays else embedding.comparison
    if "mean" in arrays:
        comparison = LikelihoodRatio(Plda(*(arrays[name] for name in ("mean", "directions", "between"))))
    if "cohort" in arrays:
        comparison = NormalizedScores(comparison, arrays["cohort"], min(TOP, len(arrays["cohort"])))
    known = ("siamese_nn", "embedding", "chosen_on", "people", "photos_each", "run")
    return Fitted(
        embedding,
        comparison,
        settings["threshold"],
        Calibration(**settings["calibration"]),
        HeldOutScores(arrays["held_out"], _numbers(settings["photos_each"])),
        settings["digest"],
        {name: settings[name] for name in known if name != "run" or name in settings},
    )


def _numbers(photos_each: Sequence[int]) -> np.ndarray:
    """Whose each photo is, as numbers."""
    return np.repeat(np.arange(len(photos_each)), photos_each)


def arrays_of(comparison: Comparison) -> dict[str, np.ndarray]:
    """What a back-end was fitted to."""
    arrays: dict[str, np.ndarray] = {}
    if isinstance(comparison, NormalizedScores):
        arrays["cohort"] = comparison.cohort
        comparison = comparison.inner
    if isinstance(comparison, LearntHead):
        arrays |= comparison.arrays()
    if isinstance(comparison, LikelihoodRatio):
        arrays |= {name: getattr(comparison.plda, name) for name in ("mean", "directions", "between")}
    return arrays


def digest_of(embedding: Embedding, arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 of a network and of what its back-end was fitted to."""
    content = sha256(embedding.digest.encode())
    for name in sorted(arrays):
        content.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return content.hexdigest()


def _seal(settings: Mapping[str, Any]) -> str:
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _read_arrays(path: Path, wanted: str) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing. {_ANEW}")
    content = path.read_bytes()
    if sha256(content).hexdigest() != wanted:
        raise ValueError(f"{path} is not the one that {VERIFIER} names: it was changed or cut off. {_ANEW}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            if any(member.file_size != member.compress_size for member in arrays.zip.infolist()):
                raise ValueError("it is compressed, and may be of any size")
            return dict(arrays)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}). {_ANEW}") from error


def _embedding(folder: Path, settings: dict[str, Any], function: Callable | str | None) -> Embedding:
    source, kind = settings["source"], settings["source"]["kind"]
    frame = settings["frame"] and Frame(**{**settings["frame"], "size": tuple(settings["frame"]["size"])})
    given: dict[str, Any] = {
        name: settings[name] and tuple(settings[name]) for name in ("crop", "photo_size")
    }
    given |= {"frame": frame, "batch_size": settings["batch_size"]}
    if settings["metric"] != "learnt":
        given["metric"] = settings["metric"]
    if kind == "function":
        if function is None:
            raise ValueError(
                f"{folder} is of a function of yours, {settings['name']!r}. Give it: `Verifier.load(folder, "
                "function=...)`, the function or its import path, as 'my_module:embed' "
                "(`--function`)"
            )
        return Embedding(
            imported(function) if isinstance(function, str) else function,
            tuple(settings["image_size"]),
            settings["name"],
            settings["channels"],
            source=source,
            **given,
        )
    if function is not None:
        raise ValueError(
            f"`function` is for an embedding of a function. Received it for one of a file, {folder}. Leave "
            "it out"
        )
    path = folder / NETWORK[kind]
    given |= {"name": settings["name"], "mean": source["mean"], "std": source["std"]}
    if kind == "onnx":
        given |= {"image_size": tuple(settings["image_size"])} | {name: source[name] for name in _OF_ONNX}
    found = _LOADERS[kind](path, **given)
    if found.source["sha256"] != source["sha256"]:
        raise ValueError(f"{path} is not the network that the threshold was chosen for. {_ANEW}")
    return found


def imported(path: str) -> Callable:
    """Imports a function by its path, `"my_module:embed"`."""
    module, _, name = path.partition(":")
    if not module or not name:
        raise ValueError(f"`function` must be 'module:function'. Received: function={path!r}")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # of whatever kind: to import it runs somebody else's code
        raise ValueError(
            f"`function` must be one that can be imported. Received: {path} ({type(error).__name__}: {error})"
        ) from error


def _require_same_network(embedding: Embedding, probe: np.ndarray, folder: Path) -> None:
    """Raises where the network gives other vectors than when its threshold was chosen."""
    found = embedding.probe()
    lengths = np.linalg.norm(probe, axis=1)
    # Not by the cosine: a network of other lengths has other distances.
    if found.shape == probe.shape and (np.linalg.norm(found - probe, axis=1) <= _APART * lengths).all():
        return
    raise ValueError(
        f"{embedding.name} gives other vectors than when the threshold in {folder} was chosen: it is another "
        "network, or photos go in otherwise. Bring the one of then back, or fit anew"
    )
