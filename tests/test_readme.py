import re
from pathlib import Path

import pytest

from siamese_nn import datasets

HOME = Path(__file__).parents[1]
README = HOME / "README.md"


@pytest.mark.slow
@pytest.mark.once
def test_the_python_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    names = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert "VerificationReport(" in printed and "TAR at FAR 0.1" in printed and "Identification(" in printed
    assert names["done"] == 2 and names["training"].completed_epochs("my_run") == 3


OWN_PHOTOS, ANY_EMBEDDING = HOME / "docs" / "own_photos.md", HOME / "docs" / "any_embedding.md"


def test_the_page_on_own_photos_runs(toy_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people-aligned").symlink_to(toy_dir / "lfw2")
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


FAIRNESS, ELSEWHERE = HOME / "docs" / "fairness.md", HOME / "docs" / "use_elsewhere.md"


def test_the_page_on_groups_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", FAIRNESS.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, str(FAIRNESS), "exec"), {})
    assert "Highest / lowest of a group" in capsys.readouterr().out


@pytest.mark.parametrize(
    "page", [README, OWN_PHOTOS, ANY_EMBEDDING, FAIRNESS, ELSEWHERE], ids=lambda page: page.stem
)
def test_the_commands_exist(page):
    from siamese_nn.cli import _parser

    for line in re.findall(r"^    siamese-nn (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        _parser().parse_args(line.split())


def test_no_line_of_a_page_is_above_110_columns():
    folders = ("", "docs", "benchmarks", "data", "siamese_nn/recipes/published_figures")
    pages = [page for folder in folders for page in (HOME / folder).glob("*.md")]
    assert {README, HOME / "docs" / "accuracy.md"} <= set(pages)
    wide = [
        f"{page.relative_to(HOME)}:{number}"
        for page in pages
        for number, line in enumerate(page.read_text().split("\n"), 1)
        # A table's row and a link can't be broken.
        if len(line) > 110 and not line.startswith("|") and len(max(line.split(), key=len)) < 80
    ]
    assert not wide, f"wrap the lines {', '.join(wide)}"
