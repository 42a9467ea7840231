"""The recipes that have names.

Example:
    >>> RECIPES["face"].model, REPORT_EXPERIMENTS["5.1"].batch_size, len(CFP_EXPERIMENTS)
    ('cosface', 128, 26)
"""

from dataclasses import replace
from typing import Any

from ..datasets import Augmentation
from .published import CFP_EXPERIMENTS as PUBLISHED_CFP
from .published import EXPERIMENTS, SETTINGS, PublishedCfpExperiment
from .recipe import Recipe

_PRINTED = {
    number: Recipe(split="report", **{name: getattr(row, name) for name in SETTINGS})
    for number, row in EXPERIMENTS.items()
}

_NARROW = {
    number: replace(recipe, units=256, last_pooling=recipe.drop_rate is not None)
    for number, recipe in _PRINTED.items()
}

# What the code handed on to no run: each had Adam and the normal initial weights.
_AS_RUN: dict[str, Any] = {"optimizer": "adam", "initializer": "normal", "whole_batches": True}
_OWN: dict[str, dict[str, Any]] = {
    "6.1": {"epochs": 200},
    # What the logged losses fit: in 7.1 the margin 1, in 8.1 and 8.2 no drop-out in all places.
    "7.1": {"model": "euclidean_contrastive_whole"},
    "8.1": {"drop_after": 2},
    "8.2": {"drop_after": 2},
}

REPORT_EXPERIMENTS = (
    _PRINTED
    | {f"{number}-256": recipe for number, recipe in _NARROW.items()}
    | {
        f"{number}-as-run": replace(recipe, **_AS_RUN, **_OWN.get(number, {}))
        for number, recipe in _NARROW.items()
    }
)
"""The report's experiments by the numbers of its tables.

`-as-run`: as its code really ran them, whatever the tables print: 256 units, Adam, normal initial weights,
whole batches; in 8.1 and 8.2 features dropped after the second convolution alone, and a fourth pooling; 200
epochs in 6.1; in 7.1 no halves. `-256`: as printed, but for the 256 units and the fourth
pooling; kept for runs made so."""

_CFP_MODELS = {
    "bce_1_neuron": "decision_network",
    "ce_2_neurons": "decision_network_2",
    "cosine_embedding": "cosine_embedding",
}


def cfp_recipe(row: PublishedCfpExperiment, image_size: int = 224) -> Recipe:
    """Returns an experiment of the study on CFP as a recipe.

    What the study doesn't say is ours: 32 pairs a batch, the best epoch by the AUC of the validation fold, a
    margin of 0 in the cosine embedding loss, and by how much photos are changed.

    Args:
        row: the published experiment.
        image_size: height and width, in pixels; augmentation shifts by a sixteenth of it at most.
    """
    changes = Augmentation(
        rotation=10,
        zoom=0.1,
        aspect=0,
        shift=image_size / 16,
        gamma=0,
        contrast=0.2,
        brightness=0.1,
        cutout=0.25,
        margin=image_size // 16,
    )
    return Recipe(
        model=_CFP_MODELS[row.loss],
        margin=0.0,
        backbone=row.backbone,
        weights="imagenet" if row.pretrained else None,
        trainable=row.fine_tuning,
        features=row.features_from,
        image_size=(image_size, image_size),
        channels=3,
        augmentation=changes if row.augmentation else None,
        batch_size=32,
        optimizer="sgd" if row.experiment.endswith("sgd") else "adam",
        learning_rate=row.learning_rate,
        epochs=row.epochs,
        patience=row.epochs,
        monitor="val_auc",
    )


CFP_EXPERIMENTS = {name: cfp_recipe(row) for name, row in PUBLISHED_CFP.items()}
"""The experiments of the Person Verification study on CFP, by its names."""

_PAIRS = Recipe(image_size=(80, 80), units=256, initializer="he_normal", epochs=15)
_EMBEDDING = Recipe(
    model="cosface",
    margin=0.2,
    backbone="face_cnn",
    embedding_size=None,
    crop=(140, 140),
    image_size=(64, 64),
    batch_size=64,
    most_per_identity=20,
    epochs=15,
    patience=5,
    monitor="val_auc",
)

_FACE = replace(
    _EMBEDDING,
    crop=(128, 112),
    image_size=(64, 56),
    augmentation=Augmentation(shift=2.5, cutout=0),
    learning_rate=2e-3,
    weight_decay=5e-3,
    schedule="cosine",
    epochs=30,
    patience=30,
    mirror=True,
    back_end="plda",
)

_PATCHES = replace(
    _FACE,
    backbone="face_patches",
    crop=(192, 168),
    image_size=(192, 168),
    augmentation=Augmentation(margin=8, cutout=0),  # a patch is a photo with the rest covered
)

_FUSION = replace(_PATCHES, textures=("lbp", "lpq"))

RECIPES = {
    "face": _FACE,
    "face-fast": replace(_FACE, epochs=10, patience=10),
    "face-patches": _PATCHES,
    "face-fusion": _FUSION,
    "face-distilled": replace(_FACE, model="distilled", teacher=_FUSION),
    "face-pairs": replace(
        _FACE,
        model="cosine_sigmoid",
        back_end="cosine",
        augmentation=Augmentation(),
        batch_size=32,
        learning_rate=1.5e-3,
        epochs=60,
        patience=60,
    ),
    "l1_sigmoid": _PAIRS,
    "euclidean_contrastive": replace(_PAIRS, model="euclidean_contrastive"),
    "cosine_embedding": replace(_PAIRS, model="cosine_embedding", margin=0.3),
    "decision_network": replace(_PAIRS, model="decision_network"),
    "decision_network_2": replace(_PAIRS, model="decision_network_2"),
    "decision_network_linear": replace(_PAIRS, model="decision_network", features="linear"),
    "triplet_semi_hard": replace(_EMBEDDING, model="triplet_semi_hard"),
    "triplet_hard": replace(_EMBEDDING, model="triplet_hard"),
    "triplet": replace(_EMBEDDING, model="triplet", margin=0.5),
    "circle": replace(_EMBEDDING, model="circle", margin=0.4),
    "multi_similarity": replace(_EMBEDDING, model="multi_similarity", margin=0.1),
    "softmax": replace(_EMBEDDING, model="softmax"),
    "cosface": _EMBEDDING,
    "arcface": replace(_EMBEDDING, model="arcface", margin=0.3),
    "sphereface": replace(_EMBEDDING, model="sphereface", margin=2),
    "parkhi": replace(
        _EMBEDDING,
        model="triplet",
        margin=0.5,
        embedding_size=128,
        mean_face=True,
        trainable="none",
        epochs=10,
        pretraining=replace(_EMBEDDING, model="softmax"),
    ),
    "harmonic": replace(_EMBEDDING, model="harmonic", pretraining=_EMBEDDING),
}
"""Recipes by name, small enough to learn the drawn faces in minutes on two cores."""
