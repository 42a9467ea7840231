import re
import shlex
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from siamese_nn import datasets, training
from siamese_nn.recipes.measured import read_measured

HOME = Path(__file__).parents[1]
README = HOME / "README.md"
IN_PYTHON, RECIPES = HOME / "docs" / "in_python.md", HOME / "docs" / "recipes.md"


def python_of(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [compile(block, str(page), "exec") for block in blocks]


@pytest.mark.slow
@pytest.mark.once
def test_the_python_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    (ten_lines,) = python_of(README)
    exec(ten_lines, names)
    promised = r"same=True score=(\S+) threshold=(\S+)\n"
    assert re.search(promised, README.read_text(encoding="utf-8"))
    score, threshold = re.search(promised, capsys.readouterr().out).groups()
    assert names["same"] == 1 and float(score) >= float(threshold)

    for block in python_of(IN_PYTHON):
        exec(block, names)
    printed = capsys.readouterr().out
    assert "VerificationReport(" in printed and "TAR at FAR 0.1" in printed and "Identification(" in printed
    assert names["done"] == 2 and names["training"].completed_epochs("my_run") == 3


@pytest.mark.once
@pytest.mark.parametrize(
    ("page", "recipes"),
    [(README, {"face-fast", "face", "face-distilled", "face-fusion"}), (RECIPES, set(read_measured()))],
)
def test_a_page_has_the_figures_that_were_measured(page, recipes):
    rows = re.findall(r"^\| `([\w-]+)` \|.*?([^|]*%[^|]*\|[^|]*) \|$", page.read_text(encoding="utf-8"), re.M)
    measured = {
        name: f" {found.accuracy:.1%} ({100 * found.low:.1f} to {100 * found.high:.1f}) | {found.minutes:.0f}"
        for name, found in read_measured().items()
    }
    assert dict(rows) == {name: measured[name] for name in recipes}


OWN_PHOTOS, ANY_EMBEDDING = HOME / "docs" / "own_photos.md", HOME / "docs" / "any_embedding.md"


def test_the_page_on_own_photos_runs(toy_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("people-aligned", "more-people-aligned"):
        (tmp_path / name).symlink_to(toy_dir / "lfw2")
    (block,) = re.findall(r"```python\n(.*?)```", OWN_PHOTOS.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, str(OWN_PHOTOS), "exec"), {})
    assert "people to learn from" in capsys.readouterr().out


def test_the_page_on_any_embedding_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = {"n_train_identities": 104, "n_test_identities": 26, "images_per_identity": 2}
    drawn = datasets.make_toy_faces(tmp_path / "drawn", train_pairs=20, test_pairs=20, **few)
    (tmp_path / "people-aligned").symlink_to(drawn / "lfw2")
    (block,) = re.findall(r"```python\n(.*?)```", ANY_EMBEDDING.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, str(ANY_EMBEDDING), "exec"), {})
    assert "95% interval over people" in capsys.readouterr().out


MILLION = HOME / "docs" / "photos_by_the_million.md"


def test_the_page_on_photos_by_the_million_runs(toy_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people-aligned").symlink_to(toy_dir / "lfw2")
    blocks = re.findall(r"```python\n(.*?)```", MILLION.read_text(encoding="utf-8"), re.DOTALL)
    asked = create_autospec(training.train)  # other tests train on shards
    monkeypatch.setattr(training, "train", asked)
    for block in blocks:
        exec(compile(block, str(MILLION), "exec"), {})
    assert "256 photos of 64 people, 4 batches an epoch" in capsys.readouterr().out
    ((_, _, validation, _), named) = asked.call_args
    assert not named["photos"].keys() & (validation.identities() | named["test"].identities())


FAIRNESS, ELSEWHERE = HOME / "docs" / "fairness.md", HOME / "docs" / "use_elsewhere.md"


def test_the_page_on_groups_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", FAIRNESS.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, str(FAIRNESS), "exec"), {})
    assert "Highest / lowest of a group" in capsys.readouterr().out


def test_the_commands_exist():
    from siamese_nn.cli import _parser

    parser = _parser()
    pages = [README, HOME / "SECURITY.md", *(HOME / "docs").rglob("*.md")]
    texts = {page: page.read_text(encoding="utf-8").replace("\\\n", "") for page in pages}
    found = {page: re.findall(r"^    siamese-nn (.*)$", text, re.MULTILINE) for page, text in texts.items()}
    assert all(found[page] for page in (README, RECIPES, OWN_PHOTOS, ANY_EMBEDDING, FAIRNESS, ELSEWHERE))
    for lines in found.values():
        for line in lines:
            parser.parse_args(shlex.split(line, comments=True))


def test_no_line_of_a_page_is_above_110_columns():
    folders = ("*", "docs/**/*", ".github/**/*", "benchmarks/*", "data/*", "siamese_nn/**/*")
    pages = [page for folder in folders for page in HOME.glob(f"{folder}.md")]
    assert {README, HOME / "docs" / "accuracy.md"} <= set(pages)
    wide = [
        f"{page.relative_to(HOME)}:{number}"
        for page in pages
        for number, line in enumerate(page.read_text().split("\n"), 1)
        # A table's row and a link can't be broken.
        if len(line) > 110 and not line.startswith("|") and len(max(line.split(), key=len)) < 80
    ]
    assert not wide, f"wrap the lines {', '.join(wide)}"
