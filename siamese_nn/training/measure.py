"""What a training has come to: the scores and figures of a run."""

import io
import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from .. import __version__
from ..datasets import DecodedPhotos, Pairs, known_frame
from ..evaluation import (
    choose_threshold,
    compare,
    embed,
    score_matrix,
    spread_photos,
    verification_report,
)
from ..evaluation.scoring import raw_pixel_scores
from ..files import replacing
from ..models import comparison_model, embedding_model
from ..recipes.recipe import Recipe
from ..runs.folder import (
    FINISHED,
    HELD_OUT,
    LAST,
    MODEL,
    PRETRAINING,
    TEACHER,
    read_claim,
    read_history,
    read_results,
    read_verifier_settings,
    write_scores,
    write_verifier_settings,
)
from ..runs.measured import COLLAPSED, has_collapsed
from ..runs.results import Figures, Leak, Learnt, Pretraining, Results, Status
from ..verification.safe_loading import load_model_safely
from .callbacks import mode
from .choice import Choice, choose
from .data import common_photo_size
from .finish import finishing

logger = logging.getLogger(__name__)

_WHICH = {"best": MODEL, "last": LAST}


def measure(
    run_dir: str | os.PathLike,
    recipe: Recipe,
    sets: dict[str, Pairs],
    photos: Mapping[str, Sequence[str]],
    decoded: DecodedPhotos,
    device: str,
    status: Status,
    choice: Choice | None = None,
) -> Results:
    """Scores a run's models on all its pairs; writes the scores and what its verifier needs into its folder.

    Args:
        run_dir: the folder of the run, with `model.keras`, `history.csv`, and `last.keras` unless it was
            interrupted.
        recipe: the run's recipe.
        sets: the pairs by name; `"validation"` must be there, for the thresholds are chosen on it, unless
            `choice` has them.
        photos: the photos that it learnt people from, person by person; none if it learnt from pairs.
        decoded: the photos of all these; see `run_photos`.
        device: on what it was trained, in words.
        status: `Status.FINISHED` or `Status.INTERRUPTED`.
        choice: what another run has chosen, where nobody validates this one.

    Returns:
        What `results.json` is to hold. That is for the caller to write, last of all, as the proof that all is
        there.
    """
    run_dir = Path(run_dir)
    history = read_history(run_dir)
    claim = read_claim(run_dir)
    best_epoch = len(history["epoch"]) if choice else _best_epoch(history[recipe.monitor], recipe.monitor)
    scores: dict[str, dict[str, np.ndarray]] = {}
    figures: dict[str, dict[str, Figures]] = {}
    finish = finishing(recipe, photos, decoded) if recipe.finishes else None
    for which, file in _WHICH.items():
        if which == "last" and status == Status.INTERRUPTED:
            continue
        if which == "last" and best_epoch == len(history["epoch"]):
            scores[which], figures[which] = scores["best"], figures["best"]  # the same weights
            continue
        model = load_model_safely(run_dir / file)
        if finish is not None:
            model = finish(model)
            if which == "best":
                with replacing(run_dir / FINISHED) as partial:
                    model.save(partial)
                model = load_model_safely(run_dir / FINISHED)  # as the verifier does
        features = {name: _features(model, pairs, decoded) for name, pairs in sets.items()}
        scores[which] = {name: compare(model, *features[name]) for name in sets}
        if which == "best":
            best = model
            chosen = choice or choose(sets["validation"], scores[which]["validation"])
        figures[which] = figures_on(sets, scores[which], chosen if which == "best" else None)
        if recipe.kind == "pairs" and not recipe.finishes:
            figures[which] = _with_own_figures(figures[which], sets, scores[which], model, recipe, features)
    judged = "validation" if choice is None else "test"
    if has_collapsed(scores["best"][judged]):
        logger.warning("%s: %s", run_dir, COLLAPSED.format(judged))
    before: dict[str, Any] = {}
    trained_on = sets["train"].identities().union(photos)
    for name in (PRETRAINING, TEACHER):
        if getattr(recipe, name) is not None:
            first = Results.from_json(read_results(run_dir / name))
            before[name] = Pretraining(first.epochs, first.best_epoch, first.seconds)
            trained_on.update(read_verifier_settings(run_dir / name)["people"]["trained_on"])
    leaked = None
    if recipe.split == "report" and "last" in scores:
        leaked = leak(sets["train"], sets["validation"], scores["last"]["validation"])
    raw_pixels = chosen.raw_pixels
    if raw_pixels is None:
        pixels = {name: raw_pixel_scores(pairs, decoded) for name, pairs in sets.items() if name != "train"}
        raw_pixels = figures_on(sets, pixels)
    results = Results(
        status=status,
        seed=recipe.seed,
        split=recipe.split,
        device=device,
        epochs=len(history["epoch"]),
        best_epoch=best_epoch,
        monitor=recipe.monitor,
        seconds=sum(history["seconds"]),
        **before,
        people={name: len(pairs.identities()) for name, pairs in sets.items()},
        photos=Learnt(**claim["photos"]) if "photos" in claim else None,
        figures=figures,
        raw_pixels=raw_pixels,
        leak=leaked,
        chosen_by=chosen.by,
    )
    write_scores(run_dir, _score_lists(sets, scores))
    write_verifier_settings(
        run_dir,
        _verifier_settings(
            *(run_dir, recipe, sets, photos, chosen),
            *(claim, trained_on, decoded, best),
        ),
    )
    return results


def leak(train: Pairs, val: Pairs, scores: np.ndarray) -> Leak:
    """Says how a model ranks the validation pairs with somebody whom training has seen, and the others.

    Args:
        train: the training pairs.
        val: the `n` validation pairs.
        scores: theirs, `(n,)`.
    """
    seen = list(train.identities())
    touched = np.isin(val.left_identities, seen) | np.isin(val.right_identities, seen)
    aucs: list[float | None] = [
        float(roc_auc_score(val.same[part], scores[part])) if 0 < val.same[part].sum() < part.sum() else None
        for part in (touched, ~touched)
    ]
    return Leak(int(touched.sum()), *aucs)


def _best_epoch(values: list[float], monitor: str) -> int:
    best = np.nanargmax if mode(monitor) == "max" else np.nanargmin
    return int(best(values)) + 1


def figures_on(
    sets: dict[str, Pairs], scores: dict[str, np.ndarray], choice: Choice | None = None
) -> dict[str, Figures]:
    """The figures by what was chosen; by `None` those of a baseline, at its own threshold, uncalibrated."""
    if choice is None:
        threshold = float(choose_threshold(scores["validation"], sets["validation"].same))
    else:
        threshold, on = choice.threshold, choice.chosen_on
        share = on["same"] / (on["same"] + on["different"])
    reports = {
        name: verification_report(
            scores[name],
            sets[name].same,
            threshold=threshold,
            identities=(sets[name].left_identities, sets[name].right_identities),
            log_likelihood_ratios=None
            if choice is None
            else choice.calibration.log_likelihood_ratio(scores[name], share_of_same=share),
        )
        for name in scores
    }
    return {name: Figures(**report.as_dict()) for name, report in reports.items()}


def _verifier_settings(
    run_dir: Path,
    recipe: Recipe,
    sets: Mapping[str, Pairs],
    photos: Mapping[str, Sequence[str]],
    choice: Choice,
    claim: dict[str, Any],
    trained_on: Collection[str],
    decoded: DecodedPhotos,
    model: tf.keras.Model,
) -> dict[str, Any]:
    """What `Verifier` needs beside the model, and where it came from."""
    val = sets.get("validation", sets["train"])  # whom the training has seen are none held out
    learnt = chain(sets["train"].distinct_images()[0], *photos.values())
    photo_size = common_photo_size(recipe, val.distinct_images()[0])
    frame = known_frame([*learnt, *val.distinct_images()[0]])
    file = FINISHED if recipe.finishes else _WHICH["best"]
    return {
        "siamese_nn": __version__,
        "model": file,
        "model_sha256": sha256((run_dir / file).read_bytes()).hexdigest(),
        "crop": recipe.crop,
        "photo_size": photo_size,
        "frame": asdict(frame) if frame is not None and frame.size == photo_size else None,
        "threshold": choice.threshold,
        "calibration": asdict(choice.calibration),
        "chosen_on": choice.chosen_on,
        "seed": recipe.seed,
        "trained_on": {**claim["data"]["train"], "photos": claim.get("photos")},
        "people": {"trained_on": sorted(trained_on), "chosen_on": choice.people},
        "held_out": _held_out_scores(run_dir, model, decoded, val, trained_on),
    }


def _held_out_scores(
    run_dir: Path, model: tf.keras.Model, decoded: DecodedPhotos, val: Pairs, trained_on: Collection[str]
) -> dict[str, Any]:
    """Writes all scores among photos of the validation people, less those trained on; says where."""
    names = dict(zip(val.left.tolist(), val.left_identities.tolist(), strict=True))
    names |= dict(zip(val.right.tolist(), val.right_identities.tolist(), strict=True))
    photos = sorted((name, path) for path, name in names.items() if name not in set(trained_on))
    photos = [photos[i] for i in spread_photos([name for name, _ in photos])]
    scores = np.empty((0, 0), np.float32)
    if photos:
        scores = score_matrix(model, embed(model, decoded.of([path for _, path in photos])))
    content = io.BytesIO()
    np.save(content, scores)
    with replacing(run_dir / HELD_OUT) as partial:
        partial.write_bytes(content.getvalue())
    return {
        "file": HELD_OUT,
        "sha256": sha256(content.getvalue()).hexdigest(),
        "photos_each": list(Counter(name for name, _ in photos).values()),
    }


def _features(model: tf.keras.Model, pairs: Pairs, decoded: DecodedPhotos) -> tuple[np.ndarray, np.ndarray]:
    """What the tower finds in the left and in the right photos, each distinct photo sent through it once."""
    paths, where = pairs.distinct_images()
    features = embed(model, decoded.of(paths))
    return features[where[:, 0]], features[where[:, 1]]


def _with_own_figures(
    figures: dict[str, Figures],
    sets: dict[str, Pairs],
    scores: dict[str, np.ndarray],
    model: tf.keras.Model,
    recipe: Recipe,
    features: dict[str, tuple[np.ndarray, np.ndarray]],
) -> dict[str, Figures]:
    """Adds the model's own loss, and its accuracy at the threshold that it was made for."""
    comparison = comparison_model(model)  # alone: no photo goes through the tower again
    recipe.compile(comparison)
    penalties = sum(float(penalty) for penalty in embedding_model(model).losses)
    found = {}
    for name, pairs in sets.items():
        same = pairs.same[:, None].astype(np.float32)
        loss = comparison.evaluate(features[name], same, verbose=0, return_dict=True)["loss"] + penalties
        found[name] = replace(figures[name], loss=loss)
        if recipe.fixed_threshold is not None:
            at_half = verification_report(scores[name], pairs.same, threshold=recipe.fixed_threshold)
            found[name] = replace(
                found[name],
                accuracy_at_half=at_half.accuracy,
                accuracy_at_half_interval=at_half.accuracy_interval,
            )
    return found


def _score_lists(sets: dict[str, Pairs], scores: dict[str, dict[str, np.ndarray]]) -> dict:
    return {
        name: {
            # Absolute, so that the run's page finds the photos from wherever it is written anew.
            "left": [os.path.abspath(path) for path in pairs.left],
            "right": [os.path.abspath(path) for path in pairs.right],
            "left_identities": pairs.left_identities.tolist(),
            "right_identities": pairs.right_identities.tolist(),
            "same": pairs.same.tolist(),
            **{which: scores[which][name].tolist() for which in scores},
        }
        for name, pairs in sets.items()
    }
