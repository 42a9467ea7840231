"""A verifier over anybody's embedding: its threshold found on people held out, and kept in a folder."""

import importlib
import io
import json
import logging
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..datasets.pairs import Pairs
from ..datasets.splits import IdentityLeakError, spelling
from ..evaluation import HeldOutScores, Plda, choose_threshold, fit_platt, fit_plda, spread_photos
from ..evaluation.calibration import Calibration
from ..evaluation.comparison import Comparison, LikelihoodRatio, NormalizedScores, all_scores
from ..evaluation.scoring import unit_length
from ..faces import Frame
from ..files import filling, read_json
from ..runs.folder import VERIFIER
from .embedding import Embedding

logger = logging.getLogger(__name__)

_FORMAT = "embedding 1"
_ARRAYS, _NETWORK = "arrays.npz", {"onnx": "embedding.onnx", "keras": "embedding.keras"}
_OF_ONNX = ("colours", "output")
_LEAST = 10  # people with a pair of their own, and pairs of two people: with fewer a threshold says nothing
_TOP = 200  # scores with a cohort
_APART = 0.04  # of its length, at most: the vectors that one network gives on two machines
_ANEW = "Copy the folder anew, or make it again by `Verifier.fit` and `save`"

Photos = Mapping[str, Sequence[str]]


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


def fit(
    embedding: Embedding,
    pairs: Pairs,
    embed: Callable[[Sequence[str]], np.ndarray],
    *,
    plda: Photos | None,
    cohort: Photos | None,
) -> Fitted:
    """Finds the threshold; see `Verifier.fit`.

    Args:
        embed: from paths to the embedding's vectors, `(n, d)`.
        embedding, pairs, plda, cohort: as there.
    """
    _require_enough(pairs)
    groups = {"trained_on": embedding.trained_on, "plda": plda or {}, "cohort": cohort or {}}
    for name, people in groups.items():
        require_apart(f"`{name}`", people, pairs)
    comparison = embedding.comparison
    arrays: dict[str, np.ndarray] = {}
    if plda is not None:
        paths, names = _listed(plda)
        fitted = fit_plda(unit_length(embed(paths)), names)
        comparison = LikelihoodRatio(fitted)
        arrays |= {"mean": fitted.mean, "directions": fitted.directions, "between": fitted.between}
    if cohort is not None:
        first = comparison.prepare(embed([str(photos[0]) for photos in cohort.values()]))
        comparison = NormalizedScores(comparison, first, min(_TOP, len(first)))
        arrays["cohort"] = first
    photos, where = pairs.distinct_images()
    prepared = comparison.prepare(embed(photos.tolist()))
    scores = comparison.pairs(prepared[where[:, 0]], prepared[where[:, 1]])
    people = dict(zip(pairs.left.tolist(), pairs.left_identities.tolist(), strict=True))
    people |= dict(zip(pairs.right.tolist(), pairs.right_identities.tolist(), strict=True))
    order = np.argsort([people[path] for path in photos], kind="stable")
    kept = order[spread_photos([people[photos[i]] for i in order])]
    each = Counter(people[photos[i]] for i in kept)
    return Fitted(
        embedding,
        comparison,
        float(choose_threshold(scores, pairs.same)),
        fit_platt(scores, pairs.same),
        HeldOutScores(
            all_scores(comparison, prepared[kept]), np.repeat(np.arange(len(each)), list(each.values()))
        ),
        _digest(embedding, arrays),
        {
            "siamese_nn": __version__,
            "embedding": embedding.as_dict(),
            "chosen_on": {
                "same": int(pairs.same.sum()),
                "different": int(len(pairs) - pairs.same.sum()),
                "people": len(pairs.identities()),
            },
            "people": {
                **{name: sorted(own) for name, own in groups.items()},
                "chosen_on": sorted(pairs.identities()),
            },
            "photos_each": list(each.values()),
        },
    )


def save(fitted: Fitted, folder: str | os.PathLike) -> None:
    """Writes a verifier into a new folder; see `Verifier.save`."""
    folder, embedding = Path(folder), fitted.embedding
    if "embedding" not in fitted.provenance:
        raise ValueError("The verifier of a run is in the run's folder. Received it to be saved again")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"`folder` must be new, or empty. Received: {folder}")
    kind = embedding.source["kind"]
    with filling(folder) as partial:
        if kind == "onnx":
            shutil.copyfile(embedding.source["file"], partial / _NETWORK[kind])
        elif kind == "keras":
            embedding.source["model"].save(partial / _NETWORK[kind])
        content = io.BytesIO()
        arrays = {"held_out": fitted.held_out.scores, "probe": embedding.probe()}
        np.savez(content, **{**arrays, **_arrays(fitted.comparison)})  # type: ignore[arg-type]
        (partial / _ARRAYS).write_bytes(content.getvalue())
        settings = {
            "format": _FORMAT,
            **fitted.provenance,
            "threshold": fitted.threshold,
            "calibration": {"slope": fitted.calibration.slope, "intercept": fitted.calibration.intercept},
            "digest": fitted.digest,
            "arrays_sha256": sha256(content.getvalue()).hexdigest(),
        }
        settings["sha256"] = _seal(settings)
        (partial / VERIFIER).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


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
    embedding = _embedding(folder, settings["embedding"], function)
    embedding = replace(embedding, trained_on=settings["people"]["trained_on"])
    _require_same_network(embedding, arrays["probe"], folder)
    comparison = embedding.comparison
    if "mean" in arrays:
        comparison = LikelihoodRatio(Plda(*(arrays[name] for name in ("mean", "directions", "between"))))
    if "cohort" in arrays:
        comparison = NormalizedScores(comparison, arrays["cohort"], min(_TOP, len(arrays["cohort"])))
    known = ("siamese_nn", "embedding", "chosen_on", "people", "photos_each")
    return Fitted(
        embedding,
        comparison,
        settings["threshold"],
        Calibration(**settings["calibration"]),
        HeldOutScores(arrays["held_out"], _numbers(settings["photos_each"])),
        settings["digest"],
        {name: settings[name] for name in known},
    )


def _require_enough(pairs: Pairs) -> None:
    if not isinstance(pairs, Pairs):
        raise ValueError(f"`pairs` must be a `datasets.Pairs`. Received: {type(pairs).__name__}")
    same = pairs.same.astype(bool)
    people, different = len(set(pairs.left_identities[same].tolist())), int((~same).sum())
    if min(people, different) < _LEAST:
        raise ValueError(
            f"`pairs` must hold pairs of one person of at least {_LEAST} people, and as many pairs of two "
            f"people: fewer tell no threshold. Received: pairs of {people} people, and {different} of two"
        )


def require_apart(name: str, people: Collection[str], pairs: Pairs) -> None:
    """Raises `IdentityLeakError` where somebody of the pairs is among people who are known already."""
    known = {spelling(person) for person in people}
    shared = sorted(person for person in pairs.identities() if spelling(person) in known)
    if shared:
        some = ", ".join(shared[:10]) + (f" and {len(shared) - 10} more" if len(shared) > 10 else "")
        raise IdentityLeakError(
            f"{name} and `pairs` must share nobody: what is measured on people who are known already doesn't "
            f"hold for strangers. Received: {len(shared)} on both sides ({some})"
        )


def _numbers(photos_each: Sequence[int]) -> np.ndarray:
    """Whose each photo is, as numbers."""
    return np.repeat(np.arange(len(photos_each)), photos_each)


def _listed(photos: Photos) -> tuple[list[str], list[str]]:
    paths = [str(path) for own in photos.values() for path in own]
    return paths, [name for name, own in photos.items() for _ in own]


def _arrays(comparison: Comparison) -> dict[str, np.ndarray]:
    """What a back-end was fitted to."""
    arrays: dict[str, np.ndarray] = {}
    if isinstance(comparison, NormalizedScores):
        arrays["cohort"] = comparison.cohort
        comparison = comparison.inner
    if isinstance(comparison, LikelihoodRatio):
        arrays |= {name: getattr(comparison.plda, name) for name in ("mean", "directions", "between")}
    return arrays


def _digest(embedding: Embedding, arrays: Mapping[str, np.ndarray]) -> str:
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
    if kind == "function":
        if function is None:
            raise ValueError(
                f"{folder} is of a function of yours, {settings['name']!r}. Give it: `Verifier.load(folder, "
                "function=...)`, the function or its import path, as 'my_module:embed'"
            )
        return Embedding(
            _imported(function) if isinstance(function, str) else function,
            tuple(settings["image_size"]),
            settings["name"],
            settings["channels"],
            settings["metric"],
            source=source,
            **given,
        )
    if function is not None:
        raise ValueError(
            f"`function` is for an embedding of a function. Received it for one of a file, {folder}"
        )
    path = folder / _NETWORK[kind]
    given |= {"name": settings["name"], "mean": source["mean"], "std": source["std"]}
    if settings["metric"] != "learnt":
        given["metric"] = settings["metric"]
    if kind == "onnx":
        given |= {"image_size": tuple(settings["image_size"])} | {name: source[name] for name in _OF_ONNX}
    found = (Embedding.of_onnx if kind == "onnx" else Embedding.of_keras)(path, **given)
    if found.source["sha256"] != source["sha256"]:
        raise ValueError(f"{path} is not the network that the threshold was chosen for. {_ANEW}")
    return found


def _imported(path: str) -> Callable:
    module, colon, name = path.partition(":")
    if not colon:
        raise ValueError(f"`function` must be 'module:function'. Received: function={path!r}")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"`function` must be one that can be imported. Received: {path} ({error})"
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
