"""From a recipe and pairs to a run folder: model, history, scores, figures and pictures."""

import json
import logging
import math
import os
import platform
from hashlib import sha256
from pathlib import Path
from typing import Any

import tensorflow as tf

from .. import __version__
from ..datasets import Pairs, require_disjoint
from ..datasets.pipelines import pair_dataset
from ..files import read_json, replacing, write_text
from .callbacks import read_progress, standard_callbacks
from .measure import measure
from .recipes import Recipe

logger = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    train: Pairs,
    val: Pairs,
    run_dir: str | os.PathLike,
    *,
    test: Pairs | None = None,
    verbose: int | str = "auto",
) -> dict[str, Any]:
    """Trains a recipe and measures it; or goes on with a training that was cut off, or returns that of a finished one.

    The best epoch's and the last epoch's model are scored on all pairs that are given; the threshold is chosen on the
    validation pairs, and only there. Killed at any moment, the same call goes on after the last whole epoch and (on a
    CPU) ends with the weights, bit by bit, that an unbroken one would have had. Ctrl-C stops the training, measures the best
    model so far, and leaves a run that the same call takes up again. On a CPU, TensorFlow's deterministic operations are switched on,
    for the whole process.

    Args:
        recipe: what to do.
        train: pairs to train on.
        val: pairs for early stopping, the choice of the best epoch, and the threshold.
        run_dir: the folder of the run, made where it is missing. It receives `recipe.json`, `model.keras` (best epoch),
            `last.keras`, `history.csv`, `scores.json`, `results.json` (the figures) and, as PNG, `accuracy.png`, `loss.png`
            and `pairs.png`.
        test: pairs that play no part in training, to be scored at the end.
        verbose: as in Keras's `fit`.

    Returns:
        What `results.json` holds; `results_table` shows it.

    Raises:
        IdentityLeakError: if a person is in two of the three sets, unless `recipe.split` is `"report"`, whose training
            and validation pairs may share people.
        ValueError: if `run_dir` belongs to another recipe or other pairs, or the training diverged.
        KeyboardInterrupt: on Ctrl-C, after the run has been brought in order.
    """
    run_dir = Path(run_dir)
    sets = {"train": train, "validation": val, **({} if test is None else {"test": test})}
    _require_people_apart(recipe, sets)
    _require_both_classes(sets)
    claim = _claim(run_dir, recipe, sets)
    if (run_dir / "results.json").exists():
        results = read_json(run_dir / "results.json")
        if results["status"] == "finished":
            logger.info("%s is finished already", run_dir)
            return results
    device = _prepare_device(recipe.seed)
    logger.info("computing on %s", device)
    model = recipe.build_model()
    # Only now, so that a recipe that cannot be built leaves the folder free.
    write_text(run_dir / "recipe.json", json.dumps(claim, indent=2) + "\n")
    try:
        _fit(model, recipe, train, val, run_dir, verbose)
    except KeyboardInterrupt:
        if (run_dir / "model.keras").exists():
            logger.warning(
                "interrupted; measuring the best model so far. The same command goes on with the training"
            )
            measure(run_dir, recipe, sets, device=device, status="interrupted")
        raise
    with replacing(run_dir / "last.keras") as partial:
        model.save(partial)
    results = measure(run_dir, recipe, sets, device=device, status="finished")
    (run_dir / "state.npz").unlink()
    return results


def _require_people_apart(recipe: Recipe, sets: dict[str, Pairs]) -> None:
    names = {"train": "training", "validation": "validation", "test": "test"}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if b in sets and (a, b, recipe.split) != ("train", "validation", "report"):
            require_disjoint(sets[a], sets[b], names=(names[a], names[b]))


def _require_both_classes(sets: dict[str, Pairs]) -> None:
    for name, pairs in sets.items():
        same = int(pairs.same.sum())
        if not 0 < same < len(pairs):
            raise ValueError(
                f"The {name} pairs must hold some of the same person and some of different people. "
                f"Received: {same} same, {len(pairs) - same} different"
            )


def _claim(run_dir: Path, recipe: Recipe, sets: dict[str, Pairs]) -> dict:
    """Returns what the run is, and makes sure that the folder is free or this very run's."""
    data = {
        name: {
            "same": int(pairs.same.sum()),
            "different": int((1 - pairs.same).sum()),
            "people": len(pairs.identities()),
            "sha256": sha256("\n".join(map("\t".join, pairs.keys())).encode()).hexdigest(),
        }
        for name, pairs in sets.items()
    }
    claim = json.loads(json.dumps({"siamese_nn": __version__, "recipe": recipe.as_dict(), "data": data}))
    path = run_dir / "recipe.json"
    if not path.exists():
        # A kill in the first moment may have left `.partial-recipe.json`.
        if run_dir.exists() and any(not entry.name.startswith(".partial-") for entry in run_dir.iterdir()):
            raise ValueError(
                f"`run_dir` must be a new folder or a run's. Received one with other files: {run_dir}"
            )
        return claim
    held = read_json(path)
    for part in ("recipe", "data"):
        other = [name for name in claim[part] | held[part] if claim[part].get(name) != held[part].get(name)]
        if other:
            raise ValueError(
                f"{run_dir} is the run of another {part}; they differ in {', '.join(other)}. Choose another folder, "
                "or remove this one"
            )
    return claim


def _prepare_device(seed: int) -> str:
    tf.keras.utils.set_random_seed(seed)
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
        return f"GPU: {', '.join(names)}"
    # On a GPU it would cost speed and refuse some operations; there it stays the user's choice.
    tf.config.experimental.enable_op_determinism()
    return f"CPU: {platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _fit(
    model: tf.keras.Model, recipe: Recipe, train: Pairs, val: Pairs, run_dir: Path, verbose: int | str
) -> None:
    progress = read_progress(run_dir)
    done = len(progress["history"])
    _require_finite(run_dir, progress["history"])
    callbacks = standard_callbacks(run_dir, patience=recipe.patience)
    if progress["stopped"] or done >= recipe.epochs:
        callbacks[-1].set_model(model)
        callbacks[-1].on_train_begin()
        return
    if done:
        logger.info("going on after epoch %d", done)
    options = {
        "image_size": recipe.image_size,
        "crop": recipe.crop,
        "channels": recipe.channels,
        "batch_size": recipe.batch_size,
    }
    model.fit(
        pair_dataset(train, **options, seed=recipe.seed, initial_epoch=done),
        validation_data=pair_dataset(val, **options, shuffle=False),
        epochs=recipe.epochs,
        initial_epoch=done,
        steps_per_epoch=math.ceil(len(train) / recipe.batch_size),
        shuffle=False,  # the dataset does
        callbacks=callbacks,
        verbose=verbose,
    )
    _require_finite(run_dir, read_progress(run_dir)["history"])


def _require_finite(run_dir: Path, history: list[dict]) -> None:
    if history and not math.isfinite(history[-1]["loss"]):
        raise ValueError(
            f"The training diverged: in epoch {len(history)} the loss was {history[-1]['loss']}. Lower the recipe's "
            f"`learning_rate`, and remove {run_dir}"
        )
