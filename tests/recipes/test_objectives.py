from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import models
from siamese_nn.recipes.objectives import OBJECTIVES
from siamese_nn.training import Recipe

SMALL = {"backbone": "face_cnn", "image_size": (16, 16), "monitor": "val_auc", "embedding_size": 8}


def small(name: str, **options) -> Recipe:
    """A recipe whose margin every loss allows."""
    options = {"margin": 1 if name == "sphereface" else 0.5, **SMALL, **options}
    if OBJECTIVES[name].learns_from == "teacher":
        options["teacher"] = Recipe(model="cosine_embedding", margin=0.5)
    if OBJECTIVES[name].keeps_old:
        options["pretraining"] = Recipe(model="triplet_hard", **SMALL)
    return Recipe(model=name, **options)


def build(recipe: Recipe) -> tf.keras.Model:
    old = None if recipe.pretraining is None else recipe.pretraining.build_model()
    return recipe.build_model(old, n_classes=3)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_row_trains(name):
    recipe, objective = small(name), OBJECTIVES[name]
    model = build(recipe)
    images = np.random.default_rng(0).random((8, 16, 16, 1), np.float32)
    labels = np.arange(8) % 2
    if recipe.kind == "teacher":
        labels = np.eye(8, dtype=np.float32)
    assert len(model.inputs) == {"pairs": 2, "triplets": 3}.get(recipe.kind, 1)
    inputs = [images] * len(model.inputs) if len(model.inputs) > 1 else images
    model.run_eagerly = True  # one step, for which tracing would take longest
    figures = model.train_on_batch(inputs, labels, return_dict=True)
    assert np.isfinite(list(figures.values())).all()
    assert len(figures) == 1 + len(objective.metrics(recipe))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_row_says_the_truth_about_its_model(name):
    objective = OBJECTIVES[name]
    for size in (8, None):
        recipe = replace(small(name), embedding_size=size) if not objective.keeps_old else small(name)
        backbone = recipe.build_backbone()
        backbone.trainable = False
        if not objective.keeps_old:
            model = recipe.build_model(backbone, n_classes=3)
            assert bool(model.trainable_weights) == objective.has_weights(recipe)
    if objective.learns_from == "pairs":
        layers = models.comparison_model(model).layers
        assert objective.by_cosine == any(isinstance(layer, tf.keras.layers.Dot) for layer in layers)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if OBJECTIVES[name].learns_from != "pairs"])
def test_a_model_of_people_has_no_threshold_but_a_chosen_one(name):
    assert small(name).fixed_threshold is None


@pytest.mark.parametrize(
    ("name", "options", "threshold"),
    [
        ("l1_sigmoid", {}, 0.5),
        ("decision_network_2", {}, 0.5),
        ("euclidean_contrastive", {"margin": 3}, -1.5),
        ("cosine_embedding", {}, None),
        ("cosine_sigmoid", {}, 0.5),
        ("cosine_sigmoid", {"mirror": True}, None),
    ],
)
def test_the_threshold_of_pairs_is_that_of_the_loss(name, options, threshold):
    assert small(name, **options).fixed_threshold == threshold


@pytest.mark.parametrize(
    ("old", "own"),
    [
        ({"model": "cosface", "margin": 0.2}, None),  # both the backbone's
        ({"model": "cosface", "margin": 0.2}, 128),
        ({"model": "triplet_hard", "embedding_size": 128}, None),
        ({"model": "decision_network", "features": "linear"}, 256),
        ({"model": "triplet_hard", "pretraining": {"model": "l1_sigmoid"}, "embedding_size": None}, 128),
        (
            {
                "model": "l1_sigmoid",
                "pretraining": {"model": "triplet_hard", "embedding_size": 7, **{"monitor": "val_auc"}},
            },
            7,
        ),
    ],
)
def test_a_harmonic_recipe_is_one_where_the_old_embedding_is_as_wide(old, own):
    options = {**SMALL, "model": "harmonic", "margin": 0.2}
    old = {"monitor": "val_auc", **old}
    recipe = Recipe(**options | {"embedding_size": own, "pretraining": old})
    first = recipe.pretraining
    before = None if first.pretraining is None else models.embedding_model(first.pretraining.build_model())
    embedding = models.embedding_model(first.build_model(before, n_classes=3))
    width = own or 128
    assert recipe.build_model(embedding).output_shape == (None, 2 * width)
    with pytest.raises(ValueError, match=f"`embedding_size` must be that of the old network, {width}"):
        Recipe(**options | {"embedding_size": 9, "pretraining": old})
