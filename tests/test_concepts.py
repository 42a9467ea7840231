"""The concept pages: their examples run, and their captions are those that the figures' script prints."""

import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

CONCEPTS = Path(__file__).parents[1] / "docs" / "concepts"
PAGES = sorted(page.stem for page in CONCEPTS.glob("*.md"))
SLOW = ("identity_disjoint", "intervals")

pytestmark = pytest.mark.once


def page(name):
    return (CONCEPTS / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_the_example_of_a_page_runs(name, toy_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").symlink_to(toy_dir)
    (block,) = re.findall(r"```python\n(.*?)```", page(name), re.DOTALL)
    exec(compile(block, f"{name}.md", "exec"), {})
    assert capsys.readouterr().out


@pytest.fixture(scope="module")
def figures():
    return {figure.__name__: figure for figure in runpy.run_path(str(CONCEPTS / "figures.py"))["FIGURES"]}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in PAGES]
)
def test_a_caption_says_what_the_script_finds(name, figures):
    assert sorted(figures) == PAGES
    _, caption = figures[name]()
    plt.close("all")
    assert f"*{caption} Drawn by" in " ".join(page(name).split())
    assert f"]({name}.png)" in page(name) and (CONCEPTS / f"{name}.png").stat().st_size < 60_000
