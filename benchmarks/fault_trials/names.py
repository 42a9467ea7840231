"""Odd names of people, photos, folders and runs: kept as they are, or refused."""

import io
import json
import logging
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nn import Verifier
from siamese_nn.verification.gallery import Gallery

from .ground import SHORT, VERIFIED, Ground, copy, write_page
from .outcome import Outcome, judge
from .process import command, run

_ODD = (
    *(
        "Zoë_Åström",
        "李_明",
        "محمد",
        "\u202egnitide",
        "e\u0301",
        "\U0001f600",
        "\udcff\udcfe",
        "A\udc80_B",
        "x" * 120,
    ),
    *(
        "-rf",
        "--help",
        "...",
        "a b  c",
        " lead",
        "trail ",
        "new\nline",
        "tab\tbed",
        "quo\"te'",
        "<b>&amp;",
        "{0}",
        "%s",
    ),
    *(
        "$HOME",
        "a;b",
        "C:x",
        "back\\slash",
        "*?[x]",
        "CON",
        "name.",
        ".hidden",
        "a.npz",
        "1",
        "_",
        "__",
        "0001_0001",
    ),
)


def odd_names(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Gives a person, a photo or a run an odd name and uses it."""
    odd, way = draw.choice(_ODD), draw.choice([_organized, _gallery, _clustered, _clustered, _run, _kept])
    operation, expected, names = way(ground, draw, folder, odd)
    outcome = judge(run(operation, folder / "scratch", SHORT), expected, (*names, odd, repr(odd)[1:-1]))
    return Outcome(outcome.word, f"{way.__name__.strip('_')} {odd!r}: {outcome.detail}")


def _organized(ground: Ground, draw: random.Random, folder: Path, odd: str) -> tuple:
    source = Path(shutil.copytree(ground.faces / "lfw2", folder / "lfw2"))
    (source / odd).mkdir()
    shutil.copyfile(ground.all_photos[0], source / odd / f"{odd}_0001.jpg")
    counts = ground.organized["counts"]

    def organize() -> Any:
        found = ground.organize(source, folder / "organized")
        there = os.path.exists(folder / "organized" / "unused" / f"{odd}_0001.jpg")
        return {"counts": found, "there": there}

    return organize, {"counts": {**counts, "unused": counts["unused"] + 1}, "there": True}, (str(source),)


def _gallery(ground: Ground, draw: random.Random, folder: Path, odd: str) -> tuple:
    people = _people(ground, folder, odd)

    def gallery() -> list[str]:
        told = io.StringIO()
        logging.getLogger("siamese_nn").addHandler(logging.StreamHandler(told))
        found = Verifier.load(ground.runs["people"].folder).gallery(people).names.tolist()
        return sorted(map(repr, found + [odd] * (odd.startswith(".") and odd in told.getvalue())))

    return gallery, sorted([repr("Ann"), repr(odd)]), (str(people),)


def _clustered(ground: Ground, draw: random.Random, folder: Path, odd: str) -> tuple:
    people, as_json = _people(ground, folder, odd), draw.choice([True, False])
    photos = {str(path) for path in people.glob("*/*.jpg")}

    def cluster() -> str | None:
        words = ["--json"] if as_json else []
        answer = command("cluster", ground.runs["people"].folder, people, *words)
        out = answer["out"]
        if odd.startswith(".") and odd in answer["err"]:  # hidden, and named as left out
            return "all"
        if as_json:
            return "all" if {path for group in json.loads(out) for path in group} == photos else out
        shown = (path.encode("utf-8", "backslashreplace").decode() for path in photos)
        return "all" if all(path in out for path in shown) or "\n" in odd else out

    return cluster, "all", (str(people),)


def _run(ground: Ground, draw: random.Random, folder: Path, odd: str) -> tuple:
    made, page = ground.runs["people"], folder / "page.html"
    run_dir = copy(made.folder, folder / odd)
    if draw.random() < 0.5:
        left, right = ground.test.left[0], ground.test.right[0]

        def verify() -> dict[str, Any]:
            answer = json.loads(command("verify", run_dir, left, right, "--json")["out"])
            return {name: answer[name] for name in VERIFIED}

        return verify, made.answer[0], (str(run_dir),)
    return lambda: len(write_page(run_dir, page)) > 1000, True, (str(run_dir),)


def _kept(ground: Ground, draw: random.Random, folder: Path, odd: str) -> tuple:
    path, names = folder / f"{odd}.npz", ["Ann", odd, odd * 3]

    def keep() -> list[str]:
        Gallery(np.array(names), np.ones((3, 4), np.float32), "a" * 64).save(path)
        return [repr(name) for name in Gallery.load(path).names.tolist()]

    return keep, [repr(name) for name in names], (path.name, "names")


def _people(ground: Ground, folder: Path, odd: str) -> Path:
    """A folder of two people, the second of that name."""
    people = folder / "people"
    for name, photo in (("Ann", ground.all_photos[0]), (odd, ground.all_photos[-1])):
        (people / name).mkdir(parents=True)
        shutil.copyfile(photo, people / name / "photo.jpg")
    return people
