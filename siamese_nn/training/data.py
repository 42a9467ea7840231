"""From a recipe and photos to what `fit` is given."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from ..datasets import Augmentation, DecodedPhotos, Pairs, photo_sizes
from ..datasets.people import identity_batches, photo_batches, plan_identity_batches
from ..datasets.pipelines import pair_batches, steps_an_epoch
from ..datasets.triplets import triplet_batches
from ..models import PhotoPatches
from ..recipes.recipe import Recipe
from .devices import in_equal_shares
from .validation import CurrentEpoch, ViolatingTriplets


def run_photos(
    recipe: Recipe,
    sets: Mapping[str, Pairs],
    photos: Iterable[str],
    cache_dir: str | os.PathLike | None = None,
) -> DecodedPhotos:
    """Returns all photos of a training, as the recipe wants them decoded, for all steps that look at them.

    They are decoded when the first step looks. Each is decoded once, and lies in memory once, as long as all
    take no more than 4 GiB; above it each step decodes its own. Photos that are augmented with a margin
    around their crop are those with that margin, and the others the middle of these, where that is the same
    bit by bit; see `PhotoFormat.is_middle_with`. Where it is not, the training photos are decoded a second
    time, with the margin.

    Args:
        recipe: the recipe.
        sets: the pairs by name.
        photos: the photos that people are learnt from, by it or in what comes before it.
        cache_dir: see `datasets.load_images`.
    """
    # In an order that does not depend on the split, so that runs with other splits find them in the cache.
    paths = sorted(
        {*photos, *(path for pairs in sets.values() for path in pairs.distinct_images()[0].tolist())}
    )
    photo_format = recipe.photo_format
    margins = [int(stage.augmentation.margin) for stage in alike(recipe) if stage.augmentation is not None]
    margin = max(filter(photo_format.is_middle_with, margins), default=0)
    return DecodedPhotos(paths, photo_format, margin=margin, cache_dir=cache_dir).with_margin(0)


def alike(recipe: Recipe) -> list[Recipe]:
    """Returns a recipe and those trained before it, as long as they want the photos decoded as it does."""
    before = recipe.before
    return [recipe] + (alike(before) if before and before.photo_format == recipe.photo_format else [])


def common_photo_size(recipe: Recipe, paths: Iterable[str]) -> tuple[int, int] | None:
    """Finds the size of a training's photos, to which the recipe's crop belongs.

    Args:
        recipe: the recipe.
        paths: the photos.

    Returns:
        Their height and width in pixels. Without a crop, photos of one shape suffice, and the commonest size
        is returned; `None` where their shapes differ by more than 2%.

    Raises:
        ImageError: if a photo cannot be read; it is named.
        ValueError: if the recipe has a crop, and the photos differ in size, or it doesn't fit into them.
    """
    paths = sorted(set(map(str, paths)))
    sizes = photo_sizes(paths)
    (commonest, _), *others = Counter(sizes).most_common()
    if recipe.crop is None:
        aspects = [height / width for height, width in sizes]
        return commonest if max(aspects) <= 1.02 * min(aspects) else None
    if others:
        other = others[0][0]
        raise ValueError(
            "Where a recipe has a `crop`, its photos must be of one size. Received: "
            f"crop={recipe.crop}, {paths[sizes.index(commonest)]} of {commonest[0]} x {commonest[1]} pixels "
            f"(height x width), and {paths[sizes.index(other)]} of {other[0]} x {other[1]}. Bring all to one "
            "size, with the faces in one place, as `siamese-nn align` and `train --align` do"
        )
    margin = 0 if recipe.augmentation is None else recipe.augmentation.margin
    wanted = recipe.photo_format.with_margin(int(margin)).crop or recipe.crop
    if wanted[0] > commonest[0] or wanted[1] > commonest[1]:
        around = f", with {margin} pixels of the image as the margin of `augmentation`" if margin else ""
        raise ValueError(
            f"The recipe's `crop` must fit into its photos. Received: crop={recipe.crop}{around}, which is "
            f"{wanted[0]} x {wanted[1]} pixels (height x width), and photos of {commonest[0]} x "
            f"{commonest[1]}, such as {paths[0]}. Take a recipe with a smaller `crop`, or enlarge the photos"
        )
    return commonest


def training_data(
    recipe: Recipe,
    train: Pairs,
    val: Pairs | None,
    photos: Mapping[str, Sequence[str]],
    decoded: DecodedPhotos,
    initial_epoch: int,
    replicas: int = 1,
    patches: PhotoPatches | None = None,
    targets: np.ndarray | None = None,
) -> tuple[dict[str, Any], list[tf.keras.callbacks.Callback]]:
    """Chooses the data of a training.

    Args:
        recipe: the recipe.
        train: the pairs to train on, for a recipe that learns from pairs.
        val: the validation pairs; `None` where nobody validates.
        photos: the photos to train on, person by person, for a recipe that learns from people.
        decoded: the photos of all these; see `run_photos`.
        initial_epoch: the epoch to begin with.
        replicas: among how many devices each batch is divided; see `in_equal_shares`.
        patches: the patches that the model takes instead of photos; see `models.siamese.begins_at`.
        targets: what a teacher says of each photo, a row for each, in the order of `photos`.

    Returns:
        The arguments of `fit` that have to do with data, and callbacks that these need, to come last.
    """
    augment = recipe.augmentation if patches is None else _ChangedPatches(patches, recipe.augmentation)
    options: dict[str, Any] = {"seed": recipe.seed, "augment": augment}
    if recipe.kind == "pairs":
        batches: dict[str, Any] = {"batch_size": recipe.batch_size, "whole_batches": recipe.whole_batches}
        _require_a_batch(recipe, train, val)
        pairs = pair_batches(train, decoded, **options, **batches, initial_epoch=initial_epoch)
        data = {
            "x": in_equal_shares(pairs, replicas),
            "steps_per_epoch": _steps(len(train), replicas, **batches),
        }
        if val is None or recipe.monitor != "val_loss":
            return data, []
        current = CurrentEpoch()
        data["validation_data"] = pair_batches(
            *(val, decoded),
            **batches,
            seed=recipe.seed,
            shuffle=recipe.whole_batches,
            augment=patches and _ChangedPatches(patches, None),
            initial_epoch=current.number if recipe.whole_batches else None,
        )
        return data, [current]
    images = decoded.of([path for own in photos.values() for path in own])
    names = [name for name, own in photos.items() for _ in own]
    if recipe.kind == "triplets":
        identities = np.asarray(names)
        sampler = ViolatingTriplets(
            images,
            identities,
            margin=recipe.margin,
            seed=recipe.seed,
            initial_epoch=initial_epoch,
        )
        triplets = triplet_batches(images, sampler.plan, **options, batch_size=recipe.batch_size)
        steps = _steps(len(sampler.triplets), replicas, recipe.batch_size)
        triplets = in_equal_shares(triplets, replicas)
        return {"x": triplets.apply(tf.data.experimental.assert_cardinality(steps))}, [sampler]
    if recipe.kind in ("classes", "teacher"):
        most = recipe.most_per_identity or len(images)
        steps = _steps(sum(min(len(own), most) for own in photos.values()), replicas, recipe.batch_size)
        options |= {"batch_size": recipe.batch_size, "most_per_identity": recipe.most_per_identity}
        data = photo_batches(images, names, **options, initial_epoch=initial_epoch, targets=targets)
    else:
        sizes = (recipe.identities_per_batch, recipe.images_per_identity)
        labels = np.repeat(np.arange(len(photos)), [len(own) for own in photos.values()])
        steps = len(plan_identity_batches(labels, *sizes, [recipe.seed, 0]))
        options |= dict(zip(("identities_per_batch", "images_per_identity"), sizes, strict=True))
        data = identity_batches(images, names, **options, initial_epoch=initial_epoch)
    return {"x": in_equal_shares(data, replicas), "steps_per_epoch": steps}, []


class _ChangedPatches:
    """Cuts the patches out of photos, each with changes of its own, around its own middle."""

    def __init__(self, patches: PhotoPatches, changes: Augmentation | None):
        self.patches, self.changes = patches, changes
        self.margin = 0 if changes is None else int(changes.margin)
        self.shape = (sum(patches.sizes),)

    def __call__(self, photos: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if self.changes is None:
            return self.patches(photos)
        height, width, _ = self.patches.image_shape
        parts = []
        for number, (top, bottom, left, right, _) in enumerate(self.patches.places):
            # As much of the photo as there is on all sides: real pixels for what turns and shifts bring in.
            around = min(top, height - bottom, left, width - right)
            rows = slice(top - around, bottom + around + 2 * self.margin)
            columns = slice(left - around, right + around + 2 * self.margin)
            changes = replace(self.changes, margin=self.margin + around)
            own = tf.random.experimental.stateless_fold_in(seed, number)
            parts.append(changes(photos[:, rows, columns], own))
        return self.patches.pooled(parts)


def _steps(examples: int, replicas: int, batch_size: int, whole_batches: bool = False) -> int:
    if examples < replicas:
        raise ValueError(
            "`strategy` must have no more devices than there is to train on. Received: "
            f"{replicas} devices, {examples} pairs, photos or triplets an epoch"
        )
    return steps_an_epoch(examples - examples % replicas, batch_size, whole_batches)


def _require_a_batch(recipe: Recipe, train: Pairs, val: Pairs | None) -> None:
    for name, pairs in (("training", train), ("validation", val)):
        if recipe.whole_batches and pairs is not None and len(pairs) < recipe.batch_size:
            raise ValueError(
                f"The {name} pairs must fill a batch where the recipe's `whole_batches` is True. Received: "
                f"{len(pairs)} pairs, batch_size={recipe.batch_size}. Lower `batch_size`"
            )
