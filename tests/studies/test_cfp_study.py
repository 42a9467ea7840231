import csv
import os
from pathlib import Path

import pytest

from siamese_nn import cli, datasets, training
from siamese_nn.recipes import published
from siamese_nn.studies import cfp_study

pytestmark = pytest.mark.once

PUBLISHED = Path(published.__file__).parent / "published_figures/cfp_person_verification.csv"


@pytest.fixture(scope="module")
def cfp(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cfp")
    drawn = datasets.make_toy_cfp(folder / "drawn", frontal_photos=2, profile_photos=1)
    datasets.organize_cfp(drawn, folder / "cfp")
    return folder / "cfp"


def test_the_experiments_are_those_published():
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    assert len(rows) == 26 and list(training.CFP_EXPERIMENTS) == list(rows)
    for name, row in rows.items():
        recipe = training.CFP_EXPERIMENTS[name]
        assert recipe.backbone == row["backbone"] and recipe.features == row["features_from"]
        assert recipe.learning_rate == float(row["learning_rate"]) and recipe.epochs == int(row["epochs"])
        assert (recipe.weights == "imagenet") == (row["pretrained"] == "yes")
        assert (recipe.augmentation is not None) == (row["augmentation"] == "yes")
        assert recipe.trainable == row["fine_tuning"]
        assert recipe.optimizer == ("sgd" if "sgd" in name else "adam")
        outputs = {"bce_1_neuron": "", "ce_2_neurons": "_2"}.get(row["loss"])
        assert recipe.model == ("cosine_embedding" if outputs is None else f"decision_network{outputs}")
    assert published.CFP_EXPERIMENTS["73"].published_test_accuracy is None
    assert published.CFP_EXPERIMENTS["63"].published_best_epoch == 12


def test_a_smaller_image_is_shifted_less():
    (small,) = cfp_study.plan("runs", only=["04"], image_size=64)
    whole = training.CFP_EXPERIMENTS["04"]
    assert (small.recipe.augmentation.shift, whole.augmentation.shift) == (4, 14)
    assert (small.recipe.image_size, whole.image_size) == ((64, 64), (224, 224))


@pytest.mark.slow
def test_ours_stand_beside_the_studys_and_what_cannot_be_had_is_passed_over(
    cfp, tmp_path, monkeypatch, caplog
):
    """Over a small network: what is tested is the study, not VGG16."""
    from siamese_nn import models

    def small(name, input_shape, *, weights, trainable):
        if weights == "imagenet":
            raise ConnectionError("The ImageNet weights of VGG16 could not be downloaded")
        return models.face_cnn(input_shape, embedding_size=8)

    monkeypatch.setattr(models, "pretrained", small)
    runs = cfp_study.plan(tmp_path, only=["04", "13", "04"], image_size=32, epochs=1)
    cfp_study.run(runs, cfp)
    assert "13-FF-32-0-1-epochs is passed over: The ImageNet weights" in caplog.text
    rows = cfp_study.collect(runs)
    assert [row["status"] for row in rows] == ["finished", "not begun"]
    results = rows[0]["results"]
    assert results["people"] == {"train": 16, "validation": 2, "test": 2}
    study, ours, other, missing = cfp_study.table(rows).rows
    assert study[:3] == ["04", "bce_1_neuron over convolutional VGG16", "0.0001 adam, augmented"]
    assert other[2] == "0.0001 adam, pretrained, augmented"
    assert (study[4:6], other[4:6]) == (["50.1", "-"], ["80.3", "81.9"])
    assert (study[8], other[8]) == ("7 of 7", "11 of 14")
    assert ours[4] == f"{100 * results['figures']['best']['validation']['accuracy']:.1f}"
    assert missing[3:5] == ["ours, FF", "not begun"]
    words = cfp_study.describe(rows)
    assert "32 x 32 pixels" in words and "Shorter than the study's: 04." in words
    assert "could not be downloaded" in words

    monkeypatch.chdir(tmp_path)
    options = ["--data", str(cfp), "--only", "04", "--image-size", "32", "--epochs", "1"]
    assert cli.main(["sweep", "cfp", *options, "--runs", "anew"]) == 0
    assert (tmp_path / "anew" / "images").is_dir()  # decoded once, for all runs
    assert "SIAMESE_NN_IMAGE_CACHE" not in os.environ


@pytest.mark.parametrize(
    "wrong", [{"only": ["99"]}, {"task": "PP"}, {"image_size": 31}, {"epochs": 0}, {"seed": -1}]
)
def test_options_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        cfp_study.plan("runs", **wrong)


def test_an_empty_choice_is_not_all_of_them(capsys):
    assert cli.main(["sweep", "cfp", "--data", "nowhere", "--only", ""]) == 1
    assert "`--only` must name something" in capsys.readouterr().err
