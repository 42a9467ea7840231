import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import datasets, models, training
from siamese_nn.models.pretrained import networks
from siamese_nn.recipes import precision as precisions
from siamese_nn.training import Recipe

_TEXTURES = {
    "model": "cosface",
    "back_end": "plda",
    "monitor": "val_auc",
    "image_size": (192, 168),
    "margin": 0.2,
}

_DISTILLED = {"model": "distilled", "monitor": "val_auc"}


def test_json_gives_the_recipe_back():
    for recipe in (
        Recipe(crop=(160, 160), drop_rate=0.2, kernel_sizes=(2, 3, 12, 1), seed=4),
        Recipe(augmentation=datasets.Augmentation(rotation=3.0, flip=False)),
        *training.RECIPES.values(),
    ):
        assert Recipe(**json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_pretraining_is_of_the_same_network_images_split_and_seed():
    first = Recipe(model="softmax", monitor="val_eer", epochs=3)
    recipe = Recipe(
        model="triplet_hard", monitor="val_eer", pretraining=first, image_size=(80, 70), seed=5, units=7
    )
    assert (recipe.pretraining.image_size, recipe.pretraining.seed, recipe.pretraining.units) == (
        (80, 70),
        5,
        7,
    )
    assert (recipe.pretraining.model, recipe.pretraining.epochs) == ("softmax", 3)


def test_a_teacher_keeps_its_own_network_and_images_and_takes_over_precision_split_and_seed():
    pupil = replace(training.RECIPES["face-distilled"], seed=5, precision="mixed_bfloat16", letters="XY")
    fusion = replace(training.RECIPES["face-fusion"], seed=5, precision="mixed_bfloat16", letters="XY")
    assert pupil.teacher == fusion == pupil.before and pupil.kind == "teacher"
    assert pupil.build_model().output_shape == (None, 128)
    assert replace(pupil, embedding_size=32).build_model().output_shape == (None, 32)
    # Written before there were teachers.
    old = {name: value for name, value in training.RECIPES["face"].as_dict().items() if name != "teacher"}
    assert Recipe(**old) == training.RECIPES["face"]


@pytest.mark.parametrize(
    ("model", "kind", "outputs"),
    [
        ("l1_sigmoid", "pairs", 1),
        ("triplet_hard", "groups", 32),
        ("triplet", "triplets", 96),
        ("arcface", "classes", 9),
    ],
)
def test_the_kind_is_what_the_model_learns_from(model, kind, outputs):
    recipe = Recipe(
        model=model, monitor="val_eer", margin=0.5, image_size=(80, 80), units=8, embedding_size=32
    )
    assert recipe.kind == kind
    assert recipe.build_model(n_classes=9).output_shape == (None, outputs)
    assert recipe.fixed_threshold == (0.5 if kind == "pairs" else None)


def test_backbones_of_keras_are_known_by_name():
    recipe = Recipe(backbone="MobileNetV2", image_size=(64, 64), trainable="none")
    tower = recipe.build_backbone()
    assert tower.output_shape == (None, 1280) and not tower.trainable_weights


def test_the_model_is_the_recipes():
    recipe = Recipe(
        filters=4,
        units=32,
        kernel_sizes=[8, 6, 3, 2],
        image_size=(80, 80),
        optimizer="sgd",
        learning_rate=0.5,
    )
    model = recipe.build_model()
    weights = [weight.shape[0] for weight in model.get_weights() if weight.ndim == 4]
    assert weights == [8, 6, 3, 2] == list(recipe.kernel_sizes)
    assert model.input_shape == [(None, 80, 80, 1)] * 2
    assert isinstance(model.optimizer, tf.keras.optimizers.SGD)
    assert float(model.optimizer.learning_rate) == 0.5
    assert model.loss == "binary_crossentropy"


def test_weights_depend_on_the_global_seed_alone():
    weights = []
    for seed in (0, 0, 1):
        tf.keras.utils.set_random_seed(seed)
        weights.append(Recipe(filters=2, units=8, image_size=(80, 80)).build_model().get_weights()[0])
    assert np.array_equal(weights[0], weights[1]) and not np.array_equal(weights[0], weights[2])


def test_splits_are_by_identity_unless_the_reports_is_asked_for(toy_pairs, toy_test):
    train, val = Recipe().split_pairs(toy_pairs, exclude=toy_test)
    datasets.require_disjoint(train, val)
    with pytest.warns(datasets.IdentityLeakWarning):
        train, val = Recipe(split="report").split_pairs(toy_pairs)
    assert datasets.shared_identities(train, val)


def test_experiment_5_1_is_the_reports():
    recipe = training.REPORT_EXPERIMENTS["5.1"]
    row = (
        recipe.filters,
        recipe.units,
        recipe.batch_size,
        recipe.learning_rate,
        recipe.optimizer,
        recipe.split,
    )
    assert row == (8, 2048, 128, 0.001, "adam", "report")
    assert (recipe.image_size, recipe.patience, recipe.initializer) == ((125, 125), 3, "normal")


@pytest.mark.parametrize(
    "option",
    [
        {"model": "x"},
        {"backbone": "x"},
        {"optimizer": "x"},
        {"split": "x"},
        {"batch_size": 0},
        {"epochs": 0},
        {"patience": 0},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"batch_size": 1.5},
        {"epochs": "3"},
        {"seed": 2**40},
        {"image_size": (5, 5, 5)},
        {"image_size": 5},
        {"channels": 2},
        {"features": "x"},
        {"trainable": "x"},
        {"monitor": "val_accuracy"},
        {"images_per_identity": 1},
        {"most_per_identity": 0},
        {"monitor": "val_loss", "model": "cosface"},
        {"margin": -1},
        {"scale": 0},
        {"trainable": "none"},
        {"pretraining": 1.5},
        {"pretraining": None, "model": "harmonic", "monitor": "val_auc"},
        {
            "embedding_size": None,
            "trainable": "none",
            "model": "triplet",
            "monitor": "val_auc",
            "pretraining": Recipe(),
        },
        {"drop_rate": "none"},
        {"drop_rate": 0.05},
        {"drop_rate": True},
        {"learning_rate": "0.1"},
        {"learning_rate": None},
        {"weight_decay": -1},
        {"weight_decay": float("nan")},
        {"schedule": "linear"},
        {"back_end": "x"},
        {"precision": "float16"},
        {"mirror": "yes"},
        {"model": "softmax", "backbone": "face_patches", "monitor": "val_auc"},
        {"augmentation": True},
        {"augmentation": {"rotatoin": 4}},
        {"mirror": True},
        {"mirror": True, "model": "decision_network"},
        {"back_end": "plda", "model": "cosine_sigmoid"},
        {"textures": ("lbp",), "image_size": (192, 168)},  # without a back-end that joins them
        {"textures": ("lbp",), **_TEXTURES | {"image_size": (96, 84)}},
        {"textures": ("lbp",), **_TEXTURES, "channels": 3},
        {"textures": ("lbp", "lbp"), **_TEXTURES},
        {"textures": ("hog",), **_TEXTURES},
        {"textures": (["lbp"],), **_TEXTURES},
        {"textures": "lbp", **_TEXTURES},
        {"kernel_sizes": (10, 7, 4)},
        {"kernel_sizes": (10, 7, 4, 0)},
        {"kernel_sizes": (10, 7, 4, 4.0)},
        {"kernel_sizes": 4},
        {"kernel_sizes": (10, 7, 4, True)},
        {"kernel_sizes": np.ones((4, 4), int)},
        {"initializer": "nonsense"},
        {"letters": "123"},
        {"letters": ""},
        {"letters": None},
        {"weights": "no/such.h5", "backbone": "VGG16"},
        {"weights": __file__, "backbone": "VGG16"},
        {"weights": "imagenet"},  # of a network that begins at random
        {"margin": 1.0, "model": "circle", "monitor": "val_auc"},
        {"margin": 0, "model": "euclidean_contrastive"},
        {"margin": 0.5, "model": "sphereface", "monitor": "val_auc"},
        {"margin": 1.6, "model": "arcface", "monitor": "val_auc"},
        {"margin": 1.1, "model": "cosine_embedding"},
        {"margin": 1e39},  # infinite in single precision
        {"learning_rate": 1e-60},  # 0 in single precision
        {"learning_rate": 10**400},
        {"learning_rate": np.array([0.1])},
        {"filters": np.float64(8)},
        {"filters": True},
        {"filters": 2**28},  # 8 times as many are more than TensorFlow counts
        {"units": 2**31},
        {"embedding_size": 2**31},
        {"image_size": (2**16, 80)},
        {"image_size": (80, 80.0)},
        {"crop": (0, 80)},
        {"channels": True},
        {"seed": -1},
        {"identities_per_batch": 1},  # of whom nobody is told apart
        {"last_pooling": 1},
        {"drop_after": 2},  # and nothing is dropped
        {"drop_after": 5, "drop_rate": 0.2},
        {"monitor": ["val_loss"]},
        {"image_size": (20, 20)},
        {"image_size": (39, 125), "backbone": "koch_cnn"},
        {"image_size": (7, 8), "backbone": "face_cnn"},
        {"image_size": (48, 41), "backbone": "face_patches"},
        {"image_size": (64, 64), "backbone": "Xception"},
        {
            "trainable": "none",
            "backbone": "VGG16",
            "model": "euclidean_contrastive",
        },  # nothing is left to train
        {
            "trainable": "none",
            "pretraining": Recipe(),
            "model": "harmonic",
            "monitor": "val_auc",
            "margin": 0.2,
        },
        {"mean_face": True, "pretraining": Recipe(), "model": "harmonic", "monitor": "val_auc"},
        {"embedding_size": 64, "pretraining": Recipe(), "model": "harmonic", "monitor": "val_auc"},
        {"teacher": None, **_DISTILLED},
        {"teacher": Recipe(), **_DISTILLED},  # which doesn't compare by cosine
        {"teacher": "face", **_DISTILLED},
        {"teacher": {"epoch": 3}, **_DISTILLED},
        {"teacher": Recipe("cosine_embedding", margin=0.3)},  # of a model that learns from pairs
        {"pretraining": Recipe(), **_DISTILLED, "teacher": Recipe("cosine_embedding", margin=0.3)},
        {"pretraining": {"epoch": 3}},
        {"pretraining": {"letters": "1", "model": "circle", "monitor": "val_auc"}},
    ],
)
def test_options_are_checked(option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}`"):
        Recipe(**option)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("filters", np.int64(8), 8),
        ("learning_rate", np.float32(0.5), 0.5),
        ("last_pooling", np.bool_(True), True),
        ("backbone", np.str_("face_cnn"), "face_cnn"),
        ("kernel_sizes", np.array([4, 4, 3, 3]), (4, 4, 3, 3)),
        ("image_size", [np.int32(80), 70], (80, 70)),
    ],
)
def test_numpys_values_are_kept_as_pythons(name, value, kept):
    recipe = Recipe(**{name: value})
    held = getattr(recipe, name)
    assert held == kept and type(held) is type(kept)
    assert json.loads(json.dumps(recipe.as_dict()))[name] == (list(kept) if isinstance(kept, tuple) else kept)


def test_a_weights_file_may_be_a_path(tmp_path):
    path = tmp_path / "mine.weights.h5"
    path.touch()
    assert Recipe(backbone="VGG16", weights=path).as_dict()["weights"] == str(path)


@pytest.mark.parametrize(
    ("backbone", "least"),
    [("report_cnn", (65, 65)), ("koch_cnn", (65, 65)), ("face_cnn", (8, 8)), ("face_patches", (48, 42))],
)
def test_the_smallest_image_that_is_allowed_can_be_computed(backbone, least):
    Recipe(backbone=backbone, image_size=least, units=4, filters=1).build_backbone()
    for smaller in ((least[0] - 1, least[1]), (least[0], least[1] - 1)):
        with pytest.raises(ValueError, match="`image_size` must suit the backbone"):
            Recipe(backbone=backbone, image_size=smaller)


def test_every_network_of_keras_says_how_small_an_image_may_be():
    for name in networks():
        with pytest.raises(ValueError, match=f"`image_size` must suit the backbone '{name}'"):
            Recipe(backbone=name, image_size=(31, 75))
        assert Recipe(backbone=name, image_size=(75, 75)).backbone == name


def test_a_whole_number_serves_as_learning_rate_and_weight_decay():
    model = Recipe(learning_rate=1, weight_decay=1, image_size=(80, 80), filters=1, units=4).build_model()
    assert float(model.optimizer.learning_rate) == 1


def test_the_kept_runs_recipes_are_recipes():
    kept = sorted((Path(__file__).parents[2] / "docs/report_runs").glob("*/recipe.json"))
    assert len(kept) >= 36
    for path in kept:
        recipe = json.loads(path.read_text())["recipe"]
        # Fields that are newer than a run have their default, which is what was done then.
        read, expected = Recipe(**recipe).as_dict(), Recipe().as_dict() | recipe
        assert json.loads(json.dumps(read)) == json.loads(json.dumps(expected))


def test_a_cosine_schedule_warms_up_and_comes_down_to_nearly_nothing():
    recipe = Recipe(schedule="cosine", learning_rate=0.1, epochs=21)
    rates = [recipe.learning_rate_at(epoch) for epoch in range(21)]
    assert rates[0] == 0.01 and rates[1] == pytest.approx(0.1, rel=0.01)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    # The cosine's middle, and its mean over the epochs, are half.
    assert np.mean(rates[1:]) == pytest.approx(0.05) and 0 < rates[-1] < 0.0005
    assert replace(recipe, epochs=1).learning_rate_at(0) == 0.01
    assert Recipe().learning_rate_at(50) == 1e-3


def test_weight_decay_is_apart_from_the_gradient():
    model = Recipe(
        image_size=(80, 80), units=8, filters=2, weight_decay=0.5, optimizer="sgd", learning_rate=0.1
    ).build_model()
    kernels = [weight for weight in model.trainable_variables if "kernel" in weight.name]
    before = [kernel.numpy() for kernel in kernels]
    zeros = [tf.zeros_like(tf.convert_to_tensor(weight)) for weight in model.trainable_variables]
    model.optimizer.apply_gradients(zip(zeros, model.trainable_variables, strict=True))
    for old, kernel in zip(before, kernels, strict=True):
        np.testing.assert_allclose(kernel.numpy(), 0.95 * old, rtol=1e-5)


@pytest.mark.parametrize(
    ("precision", "model"),
    [("mixed_bfloat16", "cosface"), ("mixed_bfloat16", "l1_sigmoid"), ("mixed_float16", "triplet_hard")],
)
def test_half_precision_is_of_the_layers_and_no_one_elses(precision, model):
    recipe = Recipe(
        model=model,
        backbone="face_cnn",
        monitor="val_auc",
        margin=0.2,
        image_size=(16, 16),
        precision=precision,
    )
    built = recipe.build_model(n_classes=5)
    kernels = [layer for layer in recipe.build_backbone().layers if layer.name.startswith("conv2d")]
    assert len(kernels) == 5 and all(
        layer.compute_dtype == precision.removeprefix("mixed_") for layer in kernels
    )
    assert all(weight.dtype == "float32" for weight in built.get_weights())
    images = np.random.default_rng(0).random((20, 16, 16, 1), np.float32)
    inputs = images if len(built.inputs) == 1 else (images, images[::-1])
    before = built.get_weights()
    built.run_eagerly = True  # one step, for which tracing would take longest
    figures = built.train_on_batch(inputs, np.arange(20) % (2 if model == "l1_sigmoid" else 5))
    assert np.isfinite(figures).all() and built(inputs).dtype == "float32"
    assert any(not np.array_equal(a, b) for a, b in zip(before, built.get_weights(), strict=True))
    assert tf.keras.mixed_precision.global_policy().name == "float32"


@pytest.mark.parametrize(
    ("flags", "capability", "precision"),
    [
        ("fpu sse2 avx512f", None, "float32"),
        ("fpu avx512_bf16 sse2", None, "mixed_bfloat16"),
        ("fpu amx_bf16", None, "mixed_bfloat16"),
        ("", None, "float32"),
        ("avx512_bf16", (6, 1), "float32"),
        ("", (7, 5), "mixed_float16"),
        ("", (9, 0), "mixed_bfloat16"),
    ],
)
def test_the_fastest_precision_goes_by_the_hardware(flags, capability, precision, monkeypatch, tmp_path):
    if flags:
        (tmp_path / "cpuinfo").write_text(f"model name\t: a b\nflags\t\t: {flags}\n")
    monkeypatch.setattr(precisions, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"] if capability else [])
    details = {"compute_capability": capability}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    assert training.fastest_precision() == precision


def test_a_classifier_over_patches_has_a_head_for_each():
    recipe = replace(training.RECIPES["face-patches"], image_size=(48, 42))
    model = recipe.build_model(n_classes=5)
    patches = len(models.FACE_PATCHES)
    assert model.output_shape == (None, patches, 5)
    embedding = models.embedding_model(model)
    assert (embedding.input_shape, embedding.output_shape) == ((None, 48, 42, 1), (None, patches * 128))
