"""A recipe for a reader: which of its settings play a part, and in words. It needs no TensorFlow."""

import math
from collections.abc import Callable, Mapping
from typing import Any

KINDS = {
    "pairs": {
        *("l1_sigmoid", "euclidean_contrastive", "euclidean_contrastive_whole", "cosine_embedding"),
        *("cosine_sigmoid", "decision_network", "decision_network_2"),
    },
    "groups": {"triplet_semi_hard", "triplet_hard", "circle", "multi_similarity", "harmonic"},
    "triplets": {"triplet"},
    "classes": {"softmax", "cosface", "arcface", "sphereface"},
    "teacher": {"distilled"},
}
"""The values of `model`, by what they learn from."""

WITHOUT_MARGIN = {
    *("l1_sigmoid", "cosine_sigmoid", "decision_network", "decision_network_2"),
    *("softmax", "distilled"),
}
WITH_SCALE = {"cosface", "arcface", "sphereface"}
BY_COSINE = {model for models in KINDS.values() for model in models} - {
    *("l1_sigmoid", "euclidean_contrastive", "euclidean_contrastive_whole"),
    *("decision_network", "decision_network_2"),
}
OWN_BACKBONES = {"report_cnn", "koch_cnn", "face_cnn", "face_patches"}

_OF_REPORT_CNN = ("filters", "units", "kernel_sizes", "initializer", "drop_rate", "last_pooling")


def kind_of(recipe: Mapping[str, Any]) -> str | None:
    """Returns from what a recipe learns, a key of `KINDS`; `None` where its model is not known."""
    return next((kind for kind, models in KINDS.items() if recipe["model"] in models), None)


def _is_pretrained(recipe: Mapping[str, Any]) -> bool:
    return recipe["backbone"] not in OWN_BACKBONES


def _of(*kinds: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda recipe: kind_of(recipe) in kinds


# When a setting plays a part. What isn't here always does.
_PLAYS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "margin": lambda recipe: recipe["model"] not in WITHOUT_MARGIN,
    "scale": lambda recipe: recipe["model"] in WITH_SCALE,
    **dict.fromkeys(_OF_REPORT_CNN, lambda recipe: recipe["backbone"] == "report_cnn"),
    "drop_after": lambda recipe: recipe["backbone"] == "report_cnn" and recipe["drop_rate"] is not None,
    "weights": _is_pretrained,
    "trainable": lambda recipe: (
        _is_pretrained(recipe) or (recipe["pretraining"] is not None and recipe["model"] != "harmonic")
    ),
    "features": lambda recipe: recipe["model"].startswith("decision_network"),
    "embedding_size": _of("groups", "triplets", "teacher"),
    "teacher": _of("teacher"),
    "batch_size": _of("pairs", "triplets", "classes", "teacher"),
    "whole_batches": _of("pairs"),
    **dict.fromkeys(("identities_per_batch", "images_per_identity"), _of("groups")),
    "most_per_identity": _of("classes", "teacher"),
    "patience": lambda recipe: recipe["patience"] < recipe["epochs"],
    "mirror": lambda recipe: recipe["model"] in BY_COSINE,
    "back_end": lambda recipe: kind_of(recipe) != "pairs",
    "textures": lambda recipe: recipe["back_end"] == "plda",
    "letters": lambda recipe: recipe["split"] == "identities",
}


def effective(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a recipe that play a part in its training.

    Args:
        recipe: as `Recipe.as_dict` returns it, or as `recipe.json` holds it. Of one whose model isn't known,
            as that of another version, all settings are returned.

    Example:
        >>> effective({"model": "softmax", "margin": 0.2, "seed": 0})
        {'model': 'softmax', 'seed': 0}
    """
    if "model" not in recipe or kind_of(recipe) is None:
        return dict(recipe)

    def plays(name: str) -> bool:
        try:
            return name not in _PLAYS or _PLAYS[name](recipe)
        except KeyError:  # a setting that this version asks for is not there
            return True

    return {name: value for name, value in recipe.items() if plays(name)}


def in_words(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Returns the settings that play a part, each in words.

    Args:
        recipe: as of `effective`.

    Example:
        >>> in_words({"model": "cosface", "image_size": [64, 56], "mirror": True, "filters": 8})
        {'model': 'cosface', 'image_size': '64 x 56', 'mirror': 'yes', 'filters': '8'}
    """
    return {name: _in_words(name, value, recipe) for name, value in effective(recipe).items()}


def _in_words(name: str, value: Any, recipe: Mapping[str, Any]) -> str:
    if name == "augmentation" and isinstance(value, Mapping):
        return augmentation_in_words(value)
    if name in ("pretraining", "teacher") and isinstance(value, Mapping):
        own = {part: words for part, words in in_words(value).items() if recipe.get(part) != value[part]}
        return ", ".join(f"{part} {words}" for part, words in own.items()) or "the same recipe"
    if name == "textures":
        return " and ".join(value) or "none"
    if isinstance(value, list | tuple):
        return " x ".join(map(str, value))
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)


def _percent(logarithm: float) -> str:
    return f"{math.expm1(logarithm):.0%}"


_CHANGES: dict[str, Callable[[Any], str]] = {
    "flip": lambda _: "half of them mirrored",
    "rotation": lambda degrees: f"turned by up to {degrees:g} degrees",
    "zoom": lambda zoom: f"enlarged or shrunk by up to {_percent(zoom)}",
    "aspect": lambda aspect: f"stretched by up to {_percent(aspect)}",
    "shift": lambda pixels: f"shifted by up to {pixels:g} pixels",
    "gamma": lambda gamma: f"lighter or darker by a gamma of up to {math.exp(gamma):.2f}",
    "contrast": lambda part: f"with up to {part:.0%} more or less contrast",
    "brightness": lambda part: f"up to {part:.0%} brighter or darker",
    "cutout": lambda share: f"{share:.0%} of them partly covered by a rectangle",
    "margin": lambda pixels: f"with {pixels:g} pixels around the crop to fill gaps",
}


def augmentation_in_words(changes: Mapping[str, Any]) -> str:
    """Says how training photos are changed at random.

    Args:
        changes: the fields of a `datasets.Augmentation`, by name. What is 0 or false is left out.

    Example:
        >>> augmentation_in_words({"flip": True, "rotation": 8.0, "cutout": 0.5, "shift": 0})
        'half of them mirrored, turned by up to 8 degrees, 50% of them partly covered by a rectangle'
    """
    words = [
        _CHANGES[name](value) if name in _CHANGES else f"{name} {value}"
        for name, value in changes.items()
        if value
    ]
    return ", ".join(words) or "none"
