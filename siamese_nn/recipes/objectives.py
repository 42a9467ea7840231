"""What a recipe's `model` means, a row each: what it learns from, its model, its loss and its metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from .. import losses, models
from ..models.patches import from_patches
from .backbones import BACKBONES

if TYPE_CHECKING:
    from .recipe import Recipe

Build = Callable[["Recipe", tf.keras.Model, int | None], tf.keras.Model]
_SQUARED = "squared-L2"


@dataclass(frozen=True)
class Objective:
    """A way of learning.

    Args:
        learns_from: `"pairs"`, `"groups"` of photos of a person, `"triplets"`, `"classes"`, or the
            embeddings of a `"teacher"`.
        build: makes the model from the recipe, a backbone and, for classes, the number of people.
        loss: makes the loss. What it refuses is refused when a recipe is made.
        metrics: makes the metrics.
        fixed_threshold: the score from which on a pair counts as same without a look at data.
        by_cosine: whether photos are compared by the cosine of their features.
        has_weights: whether the model has weights beside the backbone's.
        in_groups: whether it goes with a backbone whose features are in groups.
        keeps_old: whether the given backbone stays as it is, and a new one learns beside it.
    """

    learns_from: str
    build: Build
    loss: Callable[["Recipe"], str | tf.keras.losses.Loss]
    metrics: Callable[["Recipe"], list] = lambda recipe: []
    fixed_threshold: Callable[["Recipe"], float] | None = None
    by_cosine: bool = True
    has_weights: Callable[["Recipe"], bool] = lambda recipe: True
    in_groups: bool = True
    keeps_old: bool = False


def _of_pairs(make: Callable[[tf.keras.Model], tf.keras.Model]) -> Build:
    return lambda recipe, backbone, _: make(backbone)


def _decision(neurons: int) -> Build:
    return lambda recipe, backbone, _: models.decision_network(
        backbone, neurons=neurons, features=recipe.features
    )


def _embedding(recipe: "Recipe", backbone: tf.keras.Model, _: Any = None) -> tf.keras.Model:
    return models.triplet_embedding(backbone, recipe.embedding_size)


def _triplets(recipe: "Recipe", backbone: tf.keras.Model, _: Any) -> tf.keras.Model:
    return models.explicit_triplets(_embedding(recipe, backbone))


def _beside_old(recipe: "Recipe", old: tf.keras.Model, _: Any) -> tf.keras.Model:
    old = models.triplet_embedding(old, None)
    new = from_patches(recipe.build_backbone())
    return models.harmonic_embedding(old, _embedding(recipe, new))


def _classes(head: str) -> Build:
    def build(recipe: "Recipe", backbone: tf.keras.Model, n_classes: int | None) -> tf.keras.Model:
        if n_classes is None:
            raise ValueError("`n_classes` must be the number of people to tell apart. Received: None")
        return models.classifier(backbone, n_classes, head=head, groups=BACKBONES[recipe.backbone].groups)

    return build


def _accuracy(recipe: "Recipe") -> list:
    return ["accuracy"] if BACKBONES[recipe.backbone].groups == 1 else []  # which group's would it be?


def _monitors(recipe: "Recipe") -> list:
    monitors = (
        losses.PositiveDistance(distance_metric=_SQUARED),
        losses.NegativeDistance(distance_metric=_SQUARED),
    )
    return [losses.ActiveTriplets(recipe.margin, distance_metric=_SQUARED), *monitors]


def _scaled(make: Callable[..., tf.keras.losses.Loss]) -> Callable[["Recipe"], tf.keras.losses.Loss]:
    return lambda recipe: make(recipe.scale, recipe.margin)


def _contrastive(scale: float) -> Objective:
    return Objective(
        "pairs",
        _of_pairs(models.euclidean_contrastive),
        lambda recipe: losses.ContrastiveLoss(recipe.margin, scale=scale),
        lambda recipe: [models.DistanceAccuracy(recipe.margin / 2)],
        fixed_threshold=lambda recipe: -recipe.margin / 2,
        by_cosine=False,
        has_weights=lambda recipe: False,
    )


def _cross_entropy(recipe: "Recipe") -> str:
    return "binary_crossentropy"


# The probability of pairs, embeddings, and what tells people apart.
_probability = partial(
    Objective,
    "pairs",
    metrics=lambda recipe: ["accuracy"],
    fixed_threshold=lambda recipe: 0.5,
    by_cosine=False,
)
_embeddings = partial(Objective, has_weights=lambda recipe: recipe.embedding_size is not None)
_groups = partial(_embeddings, "groups", _embedding)
_margin_softmax = partial(Objective, "classes", _classes("cosine"), metrics=_accuracy)

OBJECTIVES = {
    # From pairs; the binary cross-entropy of a probability, but where another loss is named.
    "l1_sigmoid": _probability(_of_pairs(models.l1_sigmoid), _cross_entropy),
    "euclidean_contrastive": _contrastive(0.5),  # the report's equation 1
    "euclidean_contrastive_whole": _contrastive(1.0),  # Hadsell's equation 4 without its halves
    "cosine_embedding": Objective(
        "pairs",
        _of_pairs(models.cosine_embedding),
        lambda recipe: losses.CosineEmbeddingLoss(recipe.margin),
        has_weights=lambda recipe: False,
    ),
    "cosine_sigmoid": _probability(_of_pairs(models.cosine_sigmoid), _cross_entropy, by_cosine=True),
    "decision_network": _probability(_decision(1), _cross_entropy),
    "decision_network_2": _probability(_decision(2), lambda recipe: "sparse_categorical_crossentropy"),
    # From batches of people, in which triplets are found, in squared distance.
    "triplet_semi_hard": _groups(
        lambda recipe: losses.TripletSemiHardLoss(recipe.margin, distance_metric=_SQUARED), _monitors
    ),
    "triplet_hard": _groups(
        lambda recipe: losses.TripletHardLoss(recipe.margin, distance_metric=_SQUARED), _monitors
    ),
    # From triplets whose negatives are drawn from those that violate the margin.
    "triplet": _embeddings("triplets", _triplets, lambda recipe: losses.TripletLoss(recipe.margin)),
    # From batches of people, by cosines.
    "circle": _groups(lambda recipe: losses.CircleLoss(margin=recipe.margin)),
    "multi_similarity": _groups(lambda recipe: losses.MultiSimilarityLoss(margin=recipe.margin)),
    # A new network beside the frozen one of the recipe's pretraining.
    "harmonic": _embeddings(
        "groups", _beside_old, lambda recipe: losses.HarmonicTripletLoss(recipe.margin), keeps_old=True
    ),
    # From the embeddings of the recipe's teacher.
    "distilled": _embeddings("teacher", _embedding, lambda recipe: tf.keras.losses.CosineSimilarity()),
    # From telling people apart.
    "softmax": Objective(
        "classes",
        _classes("softmax"),
        lambda recipe: tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        _accuracy,
        in_groups=False,
    ),
    "cosface": _margin_softmax(_scaled(losses.CosFaceLoss)),
    "arcface": _margin_softmax(_scaled(losses.ArcFaceLoss)),
    "sphereface": _margin_softmax(_scaled(losses.SphereFaceLoss)),
}
"""What a recipe's `model` may be. Its rows are what adding a loss touches."""
