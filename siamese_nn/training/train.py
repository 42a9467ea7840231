"""From a recipe and pairs to a run folder: model, history, scores, figures and pictures."""

import errno
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from .. import models
from ..datasets import DecodedPhotos, IdentityLeakError, ImageError, Pairs, require_disjoint
from ..datasets.photo_folders import some
from ..files import replacing
from ..models.pretrained import freeze
from ..models.siamese import begins_at
from ..recipes.named import RECIPES
from ..recipes.recipe import Recipe
from ..runs.folder import (
    CHANGED,
    DRAWN,
    HISTORY,
    LAST,
    LOGS,
    MODEL,
    PAGE,
    PRETRAINING,
    RESULTS,
    STATE,
    TARGETS,
    TEACHER,
    TRAINED,
    VERIFIER,
    changed_files,
    damaged,
    read_results,
    read_verifier_settings,
    require_no_links,
    sealed,
    write_claim,
    write_results,
)
from ..runs.measured import RunFolder
from ..runs.page import write_page
from ..runs.pictures import draw
from ..runs.results import Results, Status
from ..verification.safe_loading import load_model_safely, require_loadable
from .callbacks import completed_epochs, read_progress, settle, standard_callbacks
from .choice import Choice, read_choice
from .claim import alone_in, claim_of, require_own_folder
from .data import alike, common_photo_size, run_photos, training_data
from .devices import describe_devices, is_chief, own_folder, strategy_for
from .measure import measure
from .teacher import targets
from .validation import VerificationCallback

logger = logging.getLogger(__name__)

_CHUNK = 1024  # photos at a time
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def train(
    recipe: Recipe,
    train: Pairs,
    val: Pairs,
    run_dir: str | os.PathLike,
    *,
    test: Pairs | None = None,
    photos: Mapping[str, Sequence[str]] | None = None,
    callbacks: Sequence[tf.keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
    cache_dir: str | os.PathLike | None = None,
    strategy: tf.distribute.Strategy | None = None,
    chosen_by: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """Trains a recipe and measures it; goes on with an interrupted run, and knows a finished one.

    It scores the models of the best and of the last epoch on all pairs that are given. It chooses the
    threshold on the validation pairs alone. If the process is killed, the same call goes on after the last
    whole epoch; on a CPU it ends with the very weights that an unbroken training would have had. Ctrl-C stops
    the training and measures the best model so far; the same call takes the run up again. If files of a
    finished run are lost, the same call makes them anew, except the models. On a CPU, it switches on
    TensorFlow's deterministic operations for the whole process.

    Training, validation and measuring share the photos: each is decoded once and lies in memory once. There
    are four exceptions. If all photos take more than 4 GiB, each step decodes its own. If photos are
    augmented with a margin around a `crop` that is resized by no multiple of a quarter, the training photos
    are decoded twice; see `PhotoFormat.is_middle_with`. The run's page and pictures decode the photos that
    they show. And a teacher that takes other images than its pupil has all photos decoded for itself.

    Args:
        recipe: what to train.
        train: pairs to train on.
        val: pairs that decide when to stop, which epoch is the best, and the threshold.
        run_dir: folder of the run; it is made if it is missing. It receives `recipe.json`, `model.keras`
            (best epoch), `last.keras`, `history.csv`, `scores.json`, `results.json` (the figures),
            `report.html` (the page), and the curves and `pairs.png` as pictures; for `Verifier.load`
            `verifier.json` and `held_out_scores.npy`; the pairs in `pairs/` and TensorBoard's files in
            `logs/`. The recipe's `pretraining` is a run of its own in `pretraining/`, and its `teacher` in
            `teacher/`.
        test: pairs that play no part in training; they are scored at the end.
        photos: photos to train on, by person, as `datasets.photos_by_identity` lists them. Only for recipes
            that learn from people and not from pairs. People of the other sets are refused. `None` takes the
            photos of the training pairs.
        callbacks: more Keras callbacks for the recipe's own training, not for what comes before it. They find
            the figures of `VerificationCallback` in the logs. If one raises an error, the same call goes on.
        verbose: as in Keras's `fit`.
        cache_dir: a folder to keep the decoded photos in, for other trainings; see `datasets.load_images`.
        strategy: how several devices share each batch, a `tf.distribute.MirroredStrategy`, or on several
            machines (Keras 2 only) a `MultiWorkerMirroredStrategy`; see docs/scale.md. The steps are those of
            one device, up to rounding and dropout. `None` takes all GPUs of the machine that the batches can
            be divided among.
        chosen_by: the folder of a finished run of the same recipe, seed and pairs, which has chosen
            everything. This training learns from the people of `val`, too, whose photos are then among
            `photos`. It takes as many epochs as that run's best one, in the same schedule, and its threshold
            and calibration. Nobody validates it, and `results.json` says so. `test` must be given.

    Returns:
        What `results.json` holds: the fields of `runs.results.Results`, with the SHA-256 of the run's other
        files under `"files"` and its own under `"sha256"`. `results_table` shows it. Of several
        machines the first alone measures and returns it; the others return nothing.

    Raises:
        IdentityLeakError: if a person is in two of the three sets, unless `recipe.split` is `"report"`, whose
            training and validation pairs may share people.
        ValueError: if an argument is of another kind, `run_dir` belongs to another recipe or other pairs, a
            file in it is damaged, has changed or is a link, or the training diverged. Or if `chosen_by` is
            not finished, or of another recipe, seed or data.
        ImageError: if a photo can't be read.
        OSError: if `run_dir` can't be written, as on a full disk; the same call goes on.
        RunFolderInUse: if another process is training in `run_dir`.
        KeyboardInterrupt: on Ctrl-C, after the run has been brought in order.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTrain.txt", "faces/lfw2")
        >>> test = datasets.read_pairs("faces/pairsDevTest.txt", "faces/lfw2")
        >>> sizes = dict(image_size=(80, 80), filters=2, units=8)
        >>> recipe = Recipe("cosine_embedding", margin=0.3, initializer="he_normal", epochs=1, **sizes)
        >>> own, held_out = recipe.split_pairs(pairs, exclude=test)
        >>> results = train(recipe, own, held_out, "runs/faces", test=test, verbose=0)
        >>> results["epochs"], 0 <= results["figures"]["best"]["test"]["accuracy"] <= 1
        (1, True)
    """
    _require_kinds(recipe, train, val, test, run_dir, photos)
    sets = {"train": train, "validation": val, **({} if test is None else {"test": test})}
    choice = None
    if chosen_by is not None:
        if Path(run_dir).resolve() == Path(chosen_by).resolve():
            raise ValueError(
                f"`run_dir` must be another folder than that of `chosen_by`. Received: {run_dir} for both"
            )
        choice = _chosen(chosen_by, recipe, sets, photos)
        sets = {"train": train + val, "test": sets["test"]}
    strategy = strategy_for(recipe, strategy)

    def claim() -> dict:
        return claim_of(recipe, sets, _photos(recipe, sets["train"], photos))

    with own_folder(strategy, Path(run_dir), claim) as folder:
        return _train(recipe, sets, photos, folder, callbacks, verbose, cache_dir, strategy, choice=choice)


def _chosen(
    first: str | os.PathLike,
    recipe: Recipe,
    sets: dict[str, Pairs],
    photos: Mapping[str, Sequence[str]] | None,
) -> Choice:
    """What a first run has chosen, if it is that of the same training without the validation people."""
    if "test" not in sets:
        raise ValueError(
            "`test` must be given where `chosen_by` is: no other pairs are left to measure on. Received none"
        )
    _require_people_apart(recipe, sets, {})
    if photos is not None:
        held_out = sets["validation"].identities()
        if missing := sorted(held_out - set(photos)):
            raise ValueError(
                "`photos` must hold the people of `val`, too, where `chosen_by` is given. Received them "
                f"without {len(missing)}: {some(missing)}"
            )
        photos = {name: own for name, own in photos.items() if name not in held_out}
    return read_choice(first, recipe, claim_of(recipe, sets, _photos(recipe, sets["train"], photos)))


def _train(
    recipe: Recipe,
    sets: dict[str, Pairs],
    photos: Mapping[str, Sequence[str]] | None,
    run_dir: Path,
    callbacks: Sequence[tf.keras.callbacks.Callback],
    verbose: int | str,
    cache_dir: str | os.PathLike | None,
    strategy: tf.distribute.Strategy,
    decoded: DecodedPhotos | None = None,
    choice: Choice | None = None,
) -> dict[str, Any]:
    """Trains and measures a recipe, or what comes before one whose photos, `decoded`, may do for it, too."""
    _require_people_apart(recipe, sets, photos or {})
    train, val = sets["train"], sets.get("validation")
    own_photos = _photos(recipe, train, photos)
    if recipe.kind != "pairs" and len(own_photos) < 2:
        raise ValueError(
            "`photos` must hold at least two "
            f"people{' with two photos each' if recipe.kind == 'classes' else ''}. Received: "
            f"{len(own_photos)}"
        )
    _require_both_classes(sets)
    if decoded is None or decoded.photo_format != recipe.photo_format:
        learnt = [_photos(stage, train, photos).values() for stage in alike(recipe)]
        decoded = run_photos(recipe, sets, chain.from_iterable(chain.from_iterable(learnt)), cache_dir)
    require_no_links(run_dir)
    first = choice and choice.by
    claim = claim_of(recipe, sets, own_photos) | ({"chosen_by": asdict(first)} if first else {})
    require_own_folder(run_dir, claim)
    with _in_plain_words(run_dir), alone_in(run_dir):
        require_own_folder(run_dir, claim)  # nobody has taken it since
        if (run_dir / RESULTS).exists():
            results = read_results(run_dir)
            if Results.from_json(results).status == Status.FINISHED:
                if not is_chief(strategy):
                    return {}
                return _finished(run_dir, results, recipe, sets, own_photos, decoded, choice)
        paths = [path for pairs in sets.values() for path in pairs.distinct_images()[0]]
        common_photo_size(
            recipe, chain(paths, *own_photos.values())
        )  # else the crop cuts another part out of each
        device = _prepare_device(recipe.seed, strategy)
        logger.info("computing on %s", device)
        facts = (run_dir, recipe, sets, own_photos, decoded, device)
        taught = None
        if recipe.before is not None:
            write_claim(run_dir, claim)
            stage, before = PRETRAINING if recipe.teacher is None else TEACHER, decoded
            if recipe.before.photo_format != recipe.photo_format:
                before = run_photos(recipe.before, sets, chain.from_iterable(own_photos.values()), cache_dir)
            logger.info("first the recipe's %s, in %s", stage, run_dir / stage)
            _train(recipe.before, sets, photos, run_dir / stage, (), verbose, cache_dir, strategy, before)
            if recipe.teacher is not None:
                taught = targets(run_dir, recipe, own_photos, before)
            del before  # a teacher's photos are large
            # The same weights to begin with, whether that ran in this process or in one before.
            tf.keras.utils.set_random_seed(recipe.seed)
        with strategy.scope():
            model = _build(recipe, own_photos, decoded, run_dir)
        if strategy.num_replicas_in_sync > 1:
            model.jit_compile = False  # XLA compiles for one device
        # Only now, so that a recipe that cannot be built leaves the folder free.
        write_claim(run_dir, claim)
        if not completed_epochs(run_dir):
            for name in (HISTORY, MODEL, LAST):  # of a training that was cut off before it could say so
                (run_dir / name).unlink(missing_ok=True)
        try:
            epochs = first.epochs if first else recipe.epochs
            learning = (train, val, own_photos, decoded, taught)
            _fit(model, recipe, *learning, run_dir, callbacks, verbose, strategy, epochs)
        except KeyboardInterrupt:
            # What is to stop at a fixed epoch has no best model before it.
            if settle(run_dir)["checkpoint"].get("sha256") and choice is None:
                logger.warning(
                    "interrupted; measuring the best model so far. The same command goes on with the training"
                )
                _complete(run_dir, measure(*facts, Status.INTERRUPTED).as_json())
            raise
        with replacing(run_dir / LAST) as partial:
            model.save(partial)
        if not is_chief(strategy):
            return {}
        results = _complete(run_dir, measure(*facts, Status.FINISHED, choice).as_json())
        _tidy(run_dir)
        return results


def _tidy(run_dir: Path) -> None:
    """Removes what only a training that goes on needs."""
    for name in (TARGETS, STATE):
        (run_dir / name).unlink(missing_ok=True)


def _require_kinds(
    recipe: Recipe,
    train: Pairs,
    val: Pairs,
    test: Pairs | None,
    run_dir: str | os.PathLike,
    photos: Mapping[str, Sequence[str]] | None,
) -> None:
    if not isinstance(recipe, Recipe):
        named = f"[{recipe!r}]" if isinstance(recipe, str) and recipe in RECIPES else ""
        raise ValueError(
            f"`recipe` must be a `Recipe`, such as training.RECIPES{named}. Received: recipe={recipe!r}"
        )
    for name, pairs in (("train", train), ("val", val), ("test", test)):
        if not isinstance(pairs, Pairs) and not (name == "test" and pairs is None):
            raise ValueError(
                f"`{name}` must be a `datasets.Pairs`, such as `datasets.read_pairs` or `recipe.split_pairs` "
                f"return. Received: {name}={str(pairs)[:60]!r}"
            )
    if not isinstance(run_dir, (str, os.PathLike)):
        raise ValueError(f"`run_dir` must be the path of a folder. Received: run_dir={run_dir!r}")
    for folder in (Path(run_dir), *Path(run_dir).parents):
        if folder.exists():
            if not folder.is_dir():
                raise ValueError(
                    f"`run_dir` must be a folder, new or a run's. Received: {run_dir}, where {folder} is a "
                    "file"
                )
            break
    if photos is not None and not (
        isinstance(photos, Mapping)
        and all(not isinstance(own, (str, bytes)) and isinstance(own, Iterable) for own in photos.values())
    ):
        raise ValueError(
            "`photos` must give for each person a list of photos, as `datasets.photos_by_identity` does. "
            f"Received: photos={str(photos)[:60]!r}"
        )


def _finished(
    run_dir: Path,
    results: dict[str, Any],
    recipe: Recipe,
    sets: dict[str, Pairs],
    photos: Mapping[str, Sequence[str]],
    decoded: DecodedPhotos,
    choice: Choice | None,
) -> dict[str, Any]:
    """Returns the results of a finished run; makes anew what is lost of it, where no training is needed."""
    _tidy(run_dir)  # killed between the last two steps
    faults = changed_files(run_dir, results)
    for name in TRAINED:
        if faults.get(name) == CHANGED:
            raise damaged(run_dir / name, "it has changed since the run was measured")
    if not (run_dir / MODEL).exists():
        logger.warning("%s is finished, and only its figures are left: it has no %s", run_dir, MODEL)
        return results
    for name in TRAINED:
        if name in faults:
            raise damaged(run_dir / name, "it is missing")
    try:
        read_verifier_settings(run_dir)
    except (OSError, ValueError) as error:  # missing, damaged, or of another version
        faults.setdefault(VERIFIER, f"can't be used ({error})")
    if not faults:
        logger.info("%s is finished already", run_dir)
        return results
    lost = ", ".join(f"{name} {fault}" for name, fault in faults.items())
    if faults.keys() <= set(DRAWN):
        logger.warning("%s is finished, but %s: it is drawn anew", run_dir, lost)
        return _complete(run_dir, results)
    logger.warning("%s is finished, but %s: its models are measured anew", run_dir, lost)
    _prepare_device(recipe.seed, tf.distribute.get_strategy())
    device = Results.from_json(results).device
    measured = measure(run_dir, recipe, sets, photos, decoded, device, Status.FINISHED, choice)
    return _complete(run_dir, measured.as_json())


def _complete(run_dir: Path, results: dict[str, Any]) -> dict[str, Any]:
    """Draws what was measured. Then writes the results, which vouch for all files, and returns them."""
    run = RunFolder(run_dir, sealed(run_dir, results))
    draw(run)
    write_page(run, run_dir / PAGE)
    return write_results(run_dir, results)


@contextmanager
def _in_plain_words(run_dir: Path) -> Iterator[None]:
    """Turns what TensorFlow says of a photo or a full disk into an error with the file and the way out."""
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        if found := re.search(r"ImageError: (.+)", str(error)):
            raise ImageError(found[1]) from error
        full = getattr(error, "errno", None) in _FULL or "No space left" in str(error)
        if full or str(run_dir / LOGS) in str(error):
            raise OSError(
                f"{run_dir} cannot be written ({'the disk is full' if full else error}). Mend that, and the "
                "same call goes on after the last whole epoch"
            ) from error
        raise


def _photos(recipe: Recipe, train: Pairs, photos: Mapping[str, Sequence[str]] | None) -> dict[str, list[str]]:
    """The photos that the recipe learns people from, by the people's names; none if it learns from pairs."""
    if recipe.kind == "pairs":
        return {}
    if photos is None:
        own: dict[str, set[str]] = {}
        for paths, names in ((train.left, train.left_identities), (train.right, train.right_identities)):
            for path, name in zip(paths.tolist(), names.tolist(), strict=True):
                own.setdefault(name, set()).add(path)
        photos = {name: sorted(paths) for name, paths in own.items()}
    # One photo teaches a classifier nothing of what a person keeps.
    least = 2 if recipe.kind == "classes" else 1
    return {name: sorted(photos[name]) for name in sorted(photos) if len(photos[name]) >= least}


def _require_people_apart(
    recipe: Recipe, sets: dict[str, Pairs], photos: Mapping[str, Sequence[str]]
) -> None:
    names = {"train": "training", "validation": "validation", "test": "test"}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if {a, b} <= sets.keys() and (a, b, recipe.split) != ("train", "validation", "report"):
            require_disjoint(sets[a], sets[b], names=(names[a], names[b]))
    for name in sorted(set(sets) - {"train"}):
        shared = sorted(set(photos) & sets[name].identities())
        if shared and (name, recipe.split) != ("validation", "report"):
            raise IdentityLeakError(
                f"{len(shared)} of the people in `photos` occur in the {names[name]} pairs, too "
                f"({', '.join(shared[:10])}{' and more' if len(shared) > 10 else ''}). Leave them out"
            )


def _require_both_classes(sets: dict[str, Pairs]) -> None:
    for name, pairs in sets.items():
        same = int(pairs.same.sum())
        if not 0 < same < len(pairs):
            raise ValueError(
                f"The {name} pairs must hold some of the same person and some of different people. "
                f"Received: {same} same, {len(pairs) - same} different"
            )


def _prepare_device(seed: int, strategy: tf.distribute.Strategy) -> str:
    tf.keras.utils.set_random_seed(seed)
    if not tf.config.list_physical_devices("GPU"):
        # On a GPU it would cost speed and refuse some operations; there it stays the user's choice.
        tf.config.experimental.enable_op_determinism()
    return describe_devices(strategy)


def _build(
    recipe: Recipe, photos: Mapping[str, Sequence[str]], decoded: DecodedPhotos, run_dir: Path
) -> tf.keras.Model:
    backbone = None
    if recipe.pretraining is not None:
        before = load_model_safely(run_dir / PRETRAINING / MODEL)
        backbone = models.embedding_model(before)
        freeze(backbone, recipe.trainable)
    elif recipe.mean_face:
        backbone = _over_mean_face(recipe, decoded.of(list(chain.from_iterable(photos.values()))))
    model = recipe.build_model(backbone, n_classes=len(photos))
    require_loadable(model)
    return model


def _over_mean_face(recipe: Recipe, photos: DecodedPhotos) -> tf.keras.Model:
    chunks = (photos[i : i + _CHUNK] for i in range(0, len(photos), _CHUNK))
    mean_face = models.MeanFace(dtype="float32", name="mean_face")
    mean_face.adapt(chunk / np.float32(255) for chunk in chunks)
    backbone = recipe.build_backbone()
    image = tf.keras.Input(backbone.input_shape[1:], name="image")
    return tf.keras.Model(image, backbone(mean_face(image)), name="over_mean_face")


def _fit(
    model: tf.keras.Model,
    recipe: Recipe,
    train: Pairs,
    val: Pairs | None,
    photos: Mapping[str, Sequence[str]],
    decoded: DecodedPhotos,
    taught: np.ndarray | None,
    run_dir: Path,
    further: Sequence[tf.keras.callbacks.Callback],
    verbose: int | str,
    strategy: tf.distribute.Strategy,
    epochs: int,
) -> None:
    progress = settle(run_dir)
    done = len(progress["history"])
    _require_finite(run_dir, progress["history"])
    monitor = None if val is None else recipe.monitor
    callbacks = standard_callbacks(run_dir, monitor=monitor, patience=recipe.patience)
    if progress["stopped"] or done >= epochs:
        with strategy.scope():  # for the variables of the optimizer
            callbacks[-1].set_model(model)
            callbacks[-1].on_train_begin()
        return
    if done:
        logger.info("going on after epoch %d", done)
    if val is not None and recipe.monitor != "val_loss":
        callbacks.insert(0, VerificationCallback(val, photos=decoded))
    if recipe.schedule != "constant":
        callbacks.insert(0, tf.keras.callbacks.LearningRateScheduler(recipe.learning_rate_at))
    replicas = strategy.num_replicas_in_sync
    patches = begins_at(model)
    data, after = training_data(recipe, train, val, photos, decoded, done, replicas, patches, taught)
    with strategy.scope():
        _make_variables(model, data["x"].element_spec, replicas)
    model.fit(
        **data,
        epochs=epochs,
        initial_epoch=done,
        shuffle=False,  # the dataset does
        callbacks=[*callbacks, *after, *further],
        verbose=verbose,
    )
    _require_finite(run_dir, read_progress(run_dir)["history"])


def _make_variables(model: tf.keras.Model, spec: tuple, replicas: int) -> None:
    """Makes those of optimizer and metrics. TensorFlow traces a step twice that makes them itself."""
    model.optimizer.build(model.trainable_variables)
    if replicas > 1:  # where metrics take no values but in a step
        return
    labels, output = (tf.zeros([n or 1 for n in shape]) for shape in (spec[1].shape, model.output_shape))
    model.compute_metrics(None, tf.cast(labels, spec[1].dtype), output, None)
    model.reset_metrics()


def _require_finite(run_dir: Path, history: list[dict]) -> None:
    if history and not math.isfinite(history[-1]["loss"]):
        raise ValueError(
            f"The training diverged: in epoch {len(history)} the loss, a weight, a moving average or the "
            "monitored quantity became NaN or infinite. Lower the recipe's `learning_rate`, and remove "
            f"{run_dir}"
        )
