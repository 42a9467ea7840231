"""The recipes that have names."""

from dataclasses import replace

from .recipes import Recipe

REPORT_EXPERIMENTS = {
    "5.1": Recipe(split="report"),
    "5.1-256": Recipe(split="report", units=256),
    "7.1": Recipe(split="report", model="euclidean_contrastive"),
    "7.1-256": Recipe(split="report", model="euclidean_contrastive", units=256),
}
"""The report's experiments by the numbers of its tables; `-256`: with the 256 units that its weight files really hold."""

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

RECIPES = {
    "l1_sigmoid": _PAIRS,
    "euclidean_contrastive": replace(_PAIRS, model="euclidean_contrastive"),
    "cosine_embedding": replace(_PAIRS, model="cosine_embedding", margin=0.3),
    "decision_network": replace(_PAIRS, model="decision_network"),
    "decision_network_2": replace(_PAIRS, model="decision_network_2"),
    "decision_network_linear": replace(_PAIRS, model="decision_network", features="linear"),
    "triplet_semi_hard": replace(_EMBEDDING, model="triplet_semi_hard"),
    "triplet_hard": replace(_EMBEDDING, model="triplet_hard"),
    "triplet": replace(_EMBEDDING, model="triplet", margin=0.5),
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
}
"""Recipes by name, small enough to learn the drawn faces in about a minute on two cores."""
