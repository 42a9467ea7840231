"""From a recipe and photos to what `fit` is given."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..datasets import (
    Pairs,
    identity_dataset,
    load_images,
    pair_dataset,
    photo_dataset,
    photo_sizes,
    triplet_dataset,
)
from ..datasets.people import plan_identity_batches
from ..recipes.recipe import Recipe
from .validation import ViolatingTriplets


def image_options(recipe: Recipe) -> dict[str, Any]:
    """Returns how the recipe wants its photos decoded."""
    return {"image_size": recipe.image_size, "crop": recipe.crop, "channels": recipe.channels}


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
            f"crop={recipe.crop}, {paths[sizes.index(commonest)]} of {commonest[0]} x {commonest[1]} pixels (height x "
            f"width), and {paths[sizes.index(other)]} of {other[0]} x {other[1]}. Bring all to one size, with the faces "
            "in one place"
        )
    margin = 0 if recipe.augmentation is None else recipe.augmentation.margin
    wanted = [round(c * (s + 2 * margin) / s) for c, s in zip(recipe.crop, recipe.image_size, strict=True)]
    if wanted[0] > commonest[0] or wanted[1] > commonest[1]:
        around = f", with {margin} pixels of the image as the margin of `augmentation`" if margin else ""
        raise ValueError(
            f"The recipe's `crop` must fit into its photos. Received: crop={recipe.crop}{around}, which is {wanted[0]} x "
            f"{wanted[1]} pixels (height x width), and photos of {commonest[0]} x {commonest[1]}, such as {paths[0]}. Take "
            "a recipe with a smaller `crop`, or enlarge the photos"
        )
    return commonest


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
