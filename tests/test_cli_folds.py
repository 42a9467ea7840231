"""`siamese-nn folds`, up to the trainings themselves."""

import pytest

from siamese_nn import cli, datasets
from siamese_nn.recipes.named import RECIPES
from siamese_nn.studies import folds as study

pytestmark = pytest.mark.once


@pytest.fixture
def asked(monkeypatch):
    """What was to be trained."""
    calls = []

    def train_folds(recipe, folds, runs_dir, *, verbose):
        calls.append((recipe, folds, runs_dir.name))
        raise ValueError("no training in this test")

    monkeypatch.setattr(study, "train_folds", train_folds)
    return calls


@pytest.fixture(scope="module")
def view_2(toy_dir, tmp_path_factory):
    """Drawn faces organised as LFW-a, and ten folds over all parts of it, beside it."""
    folder = tmp_path_factory.mktemp("view-2")
    pair_files = {f"{side}_pairs": toy_dir / f"pairsDev{side.title()}.txt" for side in ("train", "test")}
    datasets.organize_lfw_a(toy_dir / "lfw2", folder / "faces", **pair_files)
    names = sorted(path.name for path in (toy_dir / "lfw2").iterdir())
    lines = ["10\t2"]
    for one, other in (names[i : i + 2] for i in range(0, 20, 2)):
        lines += [f"{one}\t1\t2", f"{other}\t1\t2", f"{one}\t1\t{other}\t1", f"{one}\t2\t{other}\t2"]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder, names[:20]


def test_view_2_in_turn_over_all_parts_of_an_organised_folder(view_2, asked, capsys):
    folder, names = view_2
    words = ["--recipe", "face-fast", "--seed", "3", "--set", "epochs=2"]
    assert cli.main(["folds", "--data", str(folder / "faces"), *words]) == 1
    assert "no training in this test" in capsys.readouterr().err
    ((recipe, folds, title),) = asked
    assert (recipe.epochs, recipe.seed) == (2, 3) and title == "faces-face-fast-view-2-3-epochs=2"
    assert len(folds) == 10 and recipe.crop == RECIPES["face-fast"].crop
    for fold in folds:
        sides = [fold.train.identities(), fold.validation.identities(), fold.test.identities()]
        assert [len(side) for side in sides] == [16, 2, 2] and set().union(*sides) == set(names)
        assert set(fold.photos) == sides[0] and all(len(own) == 4 for own in fold.photos.values())


def test_the_pair_file_that_is_not_there_is_named(view_2, tmp_path, asked, capsys):
    missing = str(tmp_path / "pairs.txt")
    assert cli.main(["folds", "--data", str(view_2[0] / "faces"), "--pairs", missing]) == 1
    assert missing in capsys.readouterr().err and not asked


def test_the_folds_of_cfp(tmp_path, asked):
    drawn = datasets.make_toy_cfp(tmp_path / "drawn")
    datasets.organize_cfp(drawn, tmp_path / "cfp")
    assert cli.main(["folds", "--data", str(tmp_path / "cfp"), "--task", "FP"]) == 1
    ((_, folds, title),) = asked
    assert len(folds) == 10 and title == "cfp-face-FP-0"
    assert all(not set(fold.photos) & fold.test.identities() and fold.photos for fold in folds)
