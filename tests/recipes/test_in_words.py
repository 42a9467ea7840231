from dataclasses import fields

import pytest

from siamese_nn.datasets import Augmentation
from siamese_nn.recipes import in_words
from siamese_nn.recipes.backbones import BACKBONES
from siamese_nn.recipes.named import RECIPES
from siamese_nn.recipes.objectives import OBJECTIVES
from siamese_nn.recipes.recipe import Recipe

pytestmark = pytest.mark.once


def example(model):
    """A recipe of the model."""
    return next(recipe for recipe in RECIPES.values() if recipe.model == model)


def test_the_table_of_what_plays_a_part_says_what_the_recipes_do():
    assert {model: in_words.kind_of({"model": model}) for model in OBJECTIVES} == {
        model: objective.learns_from for model, objective in OBJECTIVES.items()
    }
    assert {model for model, objective in OBJECTIVES.items() if objective.by_cosine} == in_words.BY_COSINE
    at_random = {name for name, backbone in BACKBONES.items() if backbone.at_random}
    assert at_random == in_words.OWN_BACKBONES
    # Another value of a field that plays no part makes the same loss, and of one that does another.
    for model, objective in OBJECTIVES.items():
        fit = {"margin": 0.5, "monitor": "val_auc"}
        if objective.keeps_old:
            fit["pretraining"] = example("cosface")
        if objective.learns_from == "teacher":
            fit["teacher"] = example("cosface")
        if model == "sphereface":
            fit["margin"] = 2
        recipe = Recipe(model=model, embedding_size=2048 if objective.keeps_old else 128, **fit)
        shown = in_words.effective(recipe.as_dict())
        for name, other in (("margin", 3 if model == "sphereface" else 0.25), ("scale", 20.0)):
            losses = [
                loss if isinstance(loss, str) else loss.get_config()
                for loss in (objective.loss(recipe), objective.loss(Recipe(**{**vars(recipe), name: other})))
            ]
            assert (losses[0] != losses[1]) == (name in shown), (model, name)


def test_what_plays_no_part_is_left_out():
    shown = in_words.in_words(RECIPES["face"].as_dict())
    gone = {"filters", "units", "kernel_sizes", "initializer", "drop_rate", "last_pooling", "weights"}
    gone |= {"trainable", "features", "embedding_size", "identities_per_batch", "images_per_identity"}
    gone |= {"whole_batches", "patience", "drop_after", "teacher"}
    assert set(vars(RECIPES["face"])) - set(shown) == gone
    assert in_words.in_words(RECIPES["face-pairs"].as_dict())["augmentation"] == (
        "half of them mirrored, turned by up to 8 degrees, enlarged or shrunk by up to 8%, stretched by up "
        "to 5%, shifted by up to 4 pixels, lighter or darker by a gamma of up to 1.35, 50% of them partly "
        "covered by a rectangle, with 4 pixels around the crop to fill gaps"
    )
    assert shown["textures"] == "none"
    assert in_words.in_words(RECIPES["face-fusion"].as_dict())["textures"] == "lbp and lpq"
    assert {"filters", "units", "batch_size"} <= set(in_words.effective(RECIPES["l1_sigmoid"].as_dict()))
    assert "batch_size" not in in_words.effective(RECIPES["triplet_hard"].as_dict())
    assert "trainable" in in_words.effective(RECIPES["parkhi"].as_dict())
    assert in_words.in_words(RECIPES["parkhi"].as_dict())["pretraining"].startswith("model softmax, ")
    taught = in_words.in_words(RECIPES["face-distilled"].as_dict())
    assert taught["teacher"].startswith("model cosface, ") and "textures lbp and lpq" in taught["teacher"]
    assert "margin" not in taught and taught["most_per_identity"] == "20"
    assert in_words.effective({"model": "of tomorrow", "margin": 1}) == {"model": "of tomorrow", "margin": 1}


def test_each_change_of_an_augmentation_has_words():
    assert [field.name for field in fields(Augmentation)] == list(in_words._CHANGES)
    assert in_words.augmentation_in_words({"flip": False, "rotation": 0}) == "none"
