"""From a recipe and photos to what `fit` is given."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..datasets import (
    Pairs,
    identity_dataset,
    load_images,
    pair_dataset,
    photo_dataset,
    triplet_dataset,
)
from ..datasets.people import plan_identity_batches
from .recipes import Recipe
from .validation import ViolatingTriplets


def image_options(recipe: Recipe) -> dict[str, Any]:
    """Returns how the recipe wants its photos decoded."""
    return {"image_size": recipe.image_size, "crop": recipe.crop, "channels": recipe.channels}


def training_data(
    recipe: Recipe, train: Pairs, val: Pairs, photos: Mapping[str, Sequence[str]], initial_epoch: int
) -> tuple[dict[str, Any], list[tf.keras.callbacks.Callback]]:
    """Chooses the data of a training.

    Args:
        recipe: the recipe.
        train: the pairs to train on, for a recipe that learns from pairs.
        val: the validation pairs.
        photos: the photos to train on, person by person, for a recipe that learns from people.
        initial_epoch: the epoch to begin with.

    Returns:
        The arguments of `fit` that have to do with data, and callbacks that these need, to come last.
    """
    plain = {**image_options(recipe), "seed": recipe.seed}
    options = {**plain, "augment": recipe.augmentation}
    if recipe.kind == "pairs":
        size = {"batch_size": recipe.batch_size}
        data = {
            "x": pair_dataset(train, **options, **size, initial_epoch=initial_epoch),
            "steps_per_epoch": math.ceil(len(train) / recipe.batch_size),
        }
        if recipe.monitor == "val_loss":
            data["validation_data"] = pair_dataset(val, **plain, **size, shuffle=False)
        return data, []
    paths = [path for own in photos.values() for path in own]
    names = [name for name, own in photos.items() for _ in own]
    if recipe.kind == "triplets":
        identities = np.asarray(names)
        sampler = ViolatingTriplets(
            load_images(paths, **image_options(recipe)),
            identities,
            margin=recipe.margin,
            seed=recipe.seed,
            initial_epoch=initial_epoch,
        )
        return {"x": triplet_dataset(paths, sampler.plan, **options, batch_size=recipe.batch_size)}, [sampler]
    if recipe.kind == "classes":
        most = recipe.most_per_identity or len(paths)
        steps = math.ceil(sum(min(len(own), most) for own in photos.values()) / recipe.batch_size)
        options |= {"batch_size": recipe.batch_size, "most_per_identity": recipe.most_per_identity}
        data = photo_dataset(paths, names, **options, initial_epoch=initial_epoch)
    else:
        sizes = (recipe.identities_per_batch, recipe.images_per_identity)
        labels = np.repeat(np.arange(len(photos)), [len(own) for own in photos.values()])
        steps = len(plan_identity_batches(labels, *sizes, [recipe.seed, 0]))
        options |= dict(zip(("identities_per_batch", "images_per_identity"), sizes, strict=True))
        data = identity_dataset(paths, names, **options, initial_epoch=initial_epoch)
    return {"x": data, "steps_per_epoch": steps}, []
