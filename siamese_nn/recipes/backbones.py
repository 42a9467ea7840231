"""What a recipe's `backbone` means: a row each for our own, and one for all of `models.pretrained`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tensorflow as tf

from .. import models
from ..models.backbones import require_room
from ..models.face import SMALLEST_OF_PATCHES, require_size
from ..models.pretrained import networks, require_allowed_size

if TYPE_CHECKING:
    from .recipe import Recipe

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Backbone:
    """A network from an image to features.

    Args:
        build: makes it, from the recipe and the shape of its images.
        require_room: raises `ValueError` where such images are too small. It builds nothing.
        groups: into how many parts of the features, that learn each on its own, a classifier parts them.
        at_random: whether it always begins at random.
    """

    build: Callable[["Recipe", Shape], tf.keras.Model]
    require_room: Callable[["Recipe", Shape], None]
    groups: int = 1
    at_random: bool = True


def _report_cnn(recipe: "Recipe", shape: Shape) -> tf.keras.Model:
    own = ("filters", "units", "kernel_sizes", "initializer", "drop_rate", "drop_after", "last_pooling")
    return models.report_cnn(shape, **{name: getattr(recipe, name) for name in own})


def _pretrained(name: str) -> Backbone:
    return Backbone(
        lambda recipe, shape: models.pretrained(
            name, shape, weights=recipe.weights, trainable=recipe.trainable
        ),
        lambda recipe, shape: require_allowed_size(name, shape),
        at_random=False,
    )


BACKBONES = {
    "report_cnn": Backbone(
        _report_cnn, lambda recipe, shape: require_room(shape, recipe.kernel_sizes, recipe.last_pooling)
    ),
    "koch_cnn": Backbone(lambda _, shape: models.koch_cnn(shape), lambda _, shape: require_room(shape)),
    "face_cnn": Backbone(lambda _, shape: models.face_cnn(shape), lambda _, shape: require_size(shape)),
    "face_patches": Backbone(
        lambda _, shape: models.face_patches(shape),
        lambda _, shape: require_size(shape, SMALLEST_OF_PATCHES),
        groups=len(models.FACE_PATCHES),
    ),
} | {name: _pretrained(name) for name in networks()}
"""What a recipe's `backbone` may be."""
