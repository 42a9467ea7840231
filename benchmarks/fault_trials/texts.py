"""Fuzzed text files of a user: pair files, lists of names, search spaces; read as they stand, or refused."""

import json
import random
import re
from pathlib import Path
from typing import Any

from siamese_nn import datasets
from siamese_nn.studies import search_space

from .ground import RECIPES, SEARCH, SHORT, Ground
from .harm import harm_json, harm_text
from .outcome import Outcome, judge
from .process import run

_SPACES = {
    "space.json": ('{"units": [4, 8], "learning_rate": {"low": 0.0001, "high": 0.01, '
        '"log": true}, "drop_rate": [null, 0.5]}'),
    "space.toml": ('units = [4, 8]\nfilters = {low = 2, high = 12, step = '
        '2}\nkernel_sizes = {low = 2, high = 9}\nmodel = ["l1_sigmoid", "cosine_sigmoid"]\n'),
}  # fmt: skip


def fuzzed_text(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Harms a text file once or twice and reads it."""
    way = draw.choice([_pair_file, _pair_file, _folds, _names, _space, _space, _recipe])
    outcome, told = way(ground, draw, folder)
    return Outcome(outcome.word, f"{way.__name__.strip('_')}, {told}: {outcome.detail}")


def _harmed(path: Path, content: bytes, draw: random.Random, harms: tuple = (harm_text,)) -> str:
    told = []
    for _ in range(draw.choice([1, 1, 2])):
        how, content = draw.choice(harms)(content, draw)
        told.append(how)
    path.write_bytes(content)
    return ", ".join(told)


def _pair_file(ground: Ground, draw: random.Random, folder: Path) -> tuple[Outcome, str]:
    path = folder / "pairs.txt"
    told = _harmed(path, ground.pair_files[draw.choice(["train_pairs", "test_pairs"])].read_bytes(), draw)
    ending = run(
        lambda: _listed([datasets.read_pairs(path, ground.faces / "lfw2")]), folder / "scratch", SHORT
    )
    return judge(ending, lambda found: _fault_of_pairs(path, found, 1), (path.name,)), told


def _folds(ground: Ground, draw: random.Random, folder: Path) -> tuple[Outcome, str]:
    path = folder / "pairs.txt"
    lines = ground.pair_files["test_pairs"].read_text(encoding="utf-8").splitlines()[1:]
    same, different = lines[:6], lines[6:]
    text = "\n".join(["2\t3", *same[:3], *different[:3], *same[3:], *different[3:]]) + "\n"
    told = _harmed(path, text.encode(), draw)
    ending = run(lambda: _listed(datasets.read_folds(path, ground.faces / "lfw2")), folder / "scratch", SHORT)
    return judge(ending, lambda found: _fault_of_pairs(path, found, None), (path.name,)), told


def _listed(folds: list[datasets.Pairs]) -> list[list[Any]]:
    return [
        [Path(left).stem, Path(right).stem, int(same)]
        for fold in folds
        for left, right, same in zip(fold.left, fold.right, fold.same, strict=True)
    ]


def _fault_of_pairs(path: Path, found: list[list[Any]], header: int | None) -> str | None:
    """Reads the pairs by hand, without any check, and says where they differ."""
    lines = [line.split() for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    if header is not None and len(lines[0]) != header and len(lines[0]) != 2:
        return f"a first line of {len(lines[0])} words is taken"
    expected = []
    for words in lines[1:]:
        left = words[:2]
        right = [words[0], words[2]] if len(words) == 3 else words[2:4]
        stems = [f"{name}_{int(number):04d}" for name, number in (left, right)]
        expected.append([*stems, int(left[0] == right[0])])
    return None if expected == found else "other pairs than the file's"


def _names(ground: Ground, draw: random.Random, folder: Path) -> tuple[Outcome, str]:
    path = folder / "list.txt"
    told = _harmed(path, "\n".join(sorted(ground.photos)).encode(), draw)
    ending = run(lambda: sorted(datasets.read_names(path)), folder / "scratch", SHORT)

    def fault(found: list[str]) -> str | None:
        words = set(re.split(r"[\r\n]", path.read_text(encoding="utf-8-sig")))
        more = [name for name in found if name not in words and name not in {word.strip() for word in words}]
        return f"names that the file has not: {more[:3]}" if more else None

    return judge(ending, fault, (path.name,)), told


def _space(ground: Ground, draw: random.Random, folder: Path) -> tuple[Outcome, str]:
    name = draw.choice(sorted(_SPACES))
    path = folder / name
    harms = (harm_text, harm_json) if name.endswith(".json") else (harm_text,)
    try:
        told = _harmed(path, _SPACES[name].encode(), draw, harms)
    except ValueError:  # no JSON any more, after the first harm
        told = _harmed(path, _SPACES[name].encode(), draw)

    def read() -> bool:
        search_space.require_sense(SEARCH, search_space.read_space(path))
        return True

    return judge(run(read, folder / "scratch", SHORT), True, (path.name, "`")), told


def _recipe(ground: Ground, draw: random.Random, folder: Path) -> tuple[Outcome, str]:
    """The fields of a recipe, from JSON, as a user's own script may keep them."""
    recipe = RECIPES[draw.choice(sorted(RECIPES))]
    told, harmed = harm_json(json.dumps(recipe.as_dict()).encode(), draw)

    def make() -> bool:
        type(recipe)(**json.loads(harmed))
        return True

    return judge(run(make, folder / "scratch", SHORT), True, ("`",)), told
