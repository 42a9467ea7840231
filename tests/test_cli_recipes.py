"""`siamese-nn recipes`, and `train --recipe my.toml --set FIELD=VALUE`, up to the training itself."""

import argparse
from dataclasses import replace

import pytest

from siamese_nn import cli, training
from siamese_nn.cli.running import run
from siamese_nn.training import RECIPES

pytestmark = pytest.mark.once


@pytest.fixture
def trained(toy_dir, monkeypatch):
    """Calls `train` with further words; returns the recipe and folder that it would train."""

    def call(*words):
        calls = []

        def train(recipe, train, val, run_dir, **_):
            calls.append((recipe, run_dir.name))
            raise ValueError("no training in this test")

        monkeypatch.setattr(training, "train", train)
        assert cli.main(["train", "--data", str(toy_dir / "lfw2"), *words]) == 1
        return calls[0] if calls else None

    return call


def test_the_table_has_a_line_for_each_recipe(capsys):
    assert cli.main(["recipes"]) == 0
    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    names = {name.strip(): kind.strip() for name, kind in rows}
    assert set(names) - {"recipe"} == set(RECIPES)
    assert names["face"] == "photos and names" and names["triplet"] == "chosen triplets"


def test_a_recipe_is_written_changed_and_trained(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["recipes", "face-fast"]) == 0
    text = capsys.readouterr().out.replace("seed = 0", "seed = 7")
    (tmp_path / "my.toml").write_text(text)
    assert trained("--recipe", "my.toml") == (replace(RECIPES["face-fast"], seed=7), "lfw2-my-identities-7")
    settings = ("--set", "learning_rate=3e-4", "--set", "crop=none")
    recipe, folder = trained("--recipe", "my.toml", "--seed", "1", "--epochs", "2", *settings)
    assert recipe == replace(RECIPES["face-fast"], seed=1, epochs=2, learning_rate=3e-4, crop=None)
    assert folder == "lfw2-my-identities-1-2-epochs-learning_rate=3e-4-crop=none"


def test_epochs_are_of_both_stages_and_a_setting_is_of_one(trained):
    recipe, _ = trained("--recipe", "parkhi", "--epochs", "4", "--set", "pretraining.epochs=2")
    assert (recipe.epochs, recipe.pretraining.epochs) == (4, 2)
    recipe, _ = trained("--recipe", "face-distilled", "--epochs", "4")
    assert (recipe.epochs, recipe.teacher.epochs) == (4, 30)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "seed=1", "--seed", "2"], "`--seed` and `--set seed=1` must not be given both"),
        (["--set", "learning_rte=1"], "no field `learning_rte`. Did you mean learning_rate?"),
        (["--recipe", "none.toml"], "none.toml, which is no file. `siamese-nn recipes face > none.toml`"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_read(trained, words, message, capsys):
    assert trained(*words) is None
    assert message in capsys.readouterr().err


def test_a_wrong_name_of_a_recipe(capsys):
    assert cli.main(["recipes", "fcae"]) == 1
    assert "`--recipe` must be one of face," in capsys.readouterr().err


def test_an_option_is_named_though_it_was_not_given_unless_it_is_a_field(capsys):
    def refuse(options):
        raise ValueError(
            "`fpir` must be lower. Give a higher `fpir`, a `threshold`, other `epochs` or `words`"
        )

    parser = argparse.ArgumentParser(prog="any")
    command = parser.add_subparsers(dest="command").add_parser("one")
    for name, default in (("--fpir", 0.01), ("--threshold", None), ("--epochs", None)):
        command.add_argument(name, type=float, default=default)
    command.set_defaults(run=refuse)
    assert run(parser, ["one"]) == 1
    assert "higher `--fpir`, a `--threshold`, other `epochs` or `words`" in capsys.readouterr().err


def test_a_field_of_a_file_is_not_called_an_option(tmp_path, capsys):
    (tmp_path / "mine.toml").write_text("epochs = 0\n")
    assert cli.main(["train", "--data", "nowhere", "--recipe", f"{tmp_path}/mine.toml", "--epochs", "3"]) == 1
    assert "mine.toml: `epochs` must be a whole number" in capsys.readouterr().err
