"""Recipes as files and as settings of the command line."""

from dataclasses import replace

import pytest

from siamese_nn.recipes.measured import read_measured
from siamese_nn.recipes.recipe_file import as_toml, read_recipe, with_settings
from siamese_nn.training import CFP_EXPERIMENTS, RECIPES, REPORT_EXPERIMENTS, Recipe

pytestmark = pytest.mark.once


@pytest.fixture
def written(tmp_path):
    def write(text):
        (tmp_path / "my.toml").write_text(text, encoding="utf-8")
        return tmp_path / "my.toml"

    return write


def test_every_recipe_is_the_same_after_it_was_written_and_read(written):
    nested = replace(RECIPES["parkhi"], backbone="ResNet50", channels=3, image_size=(96, 80), crop=None)
    nested = replace(nested, pretraining=replace(nested, pretraining=RECIPES["triplet"], mean_face=False))
    # A pretraining with a teacher, which has a teacher itself.
    taught = replace(RECIPES["face-distilled"], teacher=RECIPES["face-distilled"], seed=3)
    taught = replace(RECIPES["triplet"], pretraining=taught, precision="mixed_bfloat16")
    for recipe in (*(RECIPES | REPORT_EXPERIMENTS | CFP_EXPERIMENTS).values(), nested, taught):
        assert read_recipe(written(as_toml(recipe))) == recipe


def test_what_a_file_leaves_out_has_its_default(written):
    text = 'model = "softmax"\nmonitor = "val_auc"\nbackbone = "face_cnn"\nimage_size = [64, 64]\n'
    recipe = read_recipe(written(f"{text}[augmentation]\nrotation = 3\n"))
    assert recipe == Recipe(
        model="softmax",
        monitor="val_auc",
        backbone="face_cnn",
        image_size=(64, 64),
        augmentation={"rotation": 3},
    )


def test_a_pretraining_is_checked_with_what_it_takes_over(written):
    # By itself, over the default backbone, `trainable = "upper_half"` would be refused.
    text = 'model = "triplet"\nmonitor = "val_auc"\nbackbone = "ResNet50"\nchannels = 3\n[pretraining]\n'
    text += 'model = "softmax"\nmonitor = "val_auc"\ntrainable = "upper_half"\n'
    assert read_recipe(written(text)).pretraining.trainable == "upper_half"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rte = 1", "no field `learning_rte`. Did you mean learning_rate?"),
        ("xyz = 1", "no field `xyz`. It has model, margin,"),
        ("# only a comment", "must name a field at least. `siamese-nn recipes face > "),
        ('model = "cosfase"', "`model` must be one of .*Did you mean 'cosface'?"),
        ("epochs = 0", "`epochs` must be a whole number of at least 1"),
        ("epochs = 1\nepochs = 2", "overwrite"),
        ("[augmentation]\nrotatoin = 1", "no field `rotatoin`. Did you mean rotation?"),
        ("[augmentation]\nrotation = -1", "`rotation` must"),
        ("augmentation = 3", "`augmentation` must be a `Augmentation`"),
        ('[pretraining]\nbackbone = "face_cnn"', "`backbone` is for the main recipe, from which this takes"),
        ("[teacher]\nseed = 3", "`seed` is for the main recipe, from which this takes"),
        (
            '[teacher]\nmodel = "cosine_sigmoid"',
            "`teacher` must be None where the model is 'l1_sigmoid'.*Received: a recipe of 'cosine_sigmoid'",
        ),
        ('teacher = "face-fusion"', r"`teacher` must be a table \[teacher\], or 'none'.*'face-fusion'"),
        ("[kernel_sizes]\na = 1", "`kernel_sizes` must be four whole numbers"),
        ('optimizer = "none"', "`optimizer` must be one of"),
    ],
)
def test_a_wrong_file_is_one_error_that_names_it(written, text, message):
    with pytest.raises(ValueError, match=message) as raised:
        read_recipe(written(text))
    assert str(raised.value).startswith(str(written("")))


def test_a_file_that_is_no_text_or_not_there(tmp_path):
    (tmp_path / "my.toml").write_text("epochs = 2", encoding="utf-16")
    with pytest.raises(ValueError, match="my.toml must be text in UTF-8.*Save it as UTF-8"):
        read_recipe(tmp_path / "my.toml")
    (tmp_path / "my.toml").write_text("epochs = 2", encoding="utf-8-sig")  # with a mark before it
    assert read_recipe(tmp_path / "my.toml").epochs == 2
    with pytest.raises(FileNotFoundError, match="siamese-nn recipes face > .*none.toml"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("learning_rate=3e-4", {"learning_rate": 3e-4}),
        ("image_size=96x80", {"image_size": (96, 80)}),
        ("crop=[160, 144]", {"crop": (160, 144)}),
        ("crop=none", {"crop": None}),
        ("mirror=false", {"mirror": False}),
        ("letters=NaN", {"letters": "NaN"}),
        ("back_end = cosine", {"back_end": "cosine"}),
        ("trainable=all", {"trainable": "all"}),
        ("augmentation=none", {"augmentation": None}),
        ("augmentation.flip=false", {"augmentation": replace(RECIPES["face"].augmentation, flip=False)}),
    ],
)
def test_a_setting_changes_one_field(setting, changes):
    assert with_settings(RECIPES["face"], [setting]) == replace(RECIPES["face"], **changes)


@pytest.mark.parametrize("textures", [("lbp",), ("lbp", "lpq")])
def test_textures_are_set_by_their_names(textures):
    recipe = replace(RECIPES["face-fusion"], textures=("lpq",))
    assert with_settings(recipe, [f"textures={','.join(textures)}"]).textures == textures


def test_settings_of_a_pretraining_go_together():
    settings = ["pretraining.epochs=2", "image_size=72x72", "epochs=3"]
    recipe = with_settings(RECIPES["parkhi"], settings)
    assert (recipe.epochs, recipe.pretraining.epochs, recipe.pretraining.image_size) == (3, 2, (72, 72))
    recipe = with_settings(RECIPES["face-distilled"], ["teacher.epochs=2", "image_size=72x72", "seed=4"])
    assert (recipe.epochs, recipe.teacher.epochs, recipe.teacher.image_size) == (30, 2, (192, 168))
    assert recipe.teacher.seed == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["epochs"], "must be FIELD=VALUE, as learning_rate=3e-4. Received: epochs"),
        (["epochs=1", "epochs=2"], "must be given once. Received: epochs=2"),
        (["epoch=1"], "no field `epoch`. Did you mean epochs?"),
        (["epochs=three"], "`epochs` must be a whole number .*Received: epochs='three'"),
        (["epochs=2.5"], "`epochs` must be a whole number"),
        (["learning_rate=NaN"], "`learning_rate` must be a number"),
        (["mirror=yes"], "`mirror` must be one of"),
        (["model=arcfase"], "Did you mean 'arcface'?"),
        (["backbone=facecnn"], "Did you mean 'face_cnn'?"),
        (["image_size=96"], r"`image_size` must be \(height, width\)"),
        (["augmentation.spin=1"], "no field `spin`"),
        (["augmentation.rotation=none"], "`rotation` must be a number"),
        (["pretraining.epochs=1"], "the recipe has no `pretraining`"),
        (["augmented.rotation=1"], "no field `augmented`. Did you mean augmentation?"),
        (["augmentation.pretraining.epochs=1"], "no field `pretraining`"),
        (
            ["pretraining=face"],
            "`pretraining` can only be set to none. Set its fields, as pretraining.model=...",
        ),
    ],
)
def test_a_wrong_setting_is_told_the_nearest_right_one(settings, message):
    with pytest.raises(ValueError, match=message):
        with_settings(RECIPES["face"], settings)


def test_figures_are_of_recipes_that_there_are():
    measured = read_measured()
    assert set(measured) <= set(RECIPES)
    assert all(0 < row.low < row.accuracy < row.high < 1 and row.minutes > 0 for row in measured.values())
