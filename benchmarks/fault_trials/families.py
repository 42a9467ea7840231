"""The families of trials, how many of a thousand each has, and what they stand on."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import archives, damage, images, kills, models, names, races, texts
from .ground import Ground
from .outcome import Outcome


@dataclass(frozen=True)
class Family:
    """Trials of one kind.

    Args:
        share: how many of 1,000 trials.
        needs: what they stand on, see `Ground.prepare`.
        trial: takes the ground, a random generator and an empty folder; returns an `Outcome`.
        does: what they do, for the table.
    """

    share: int
    needs: tuple[str, ...]
    trial: Callable[[Ground, random.Random, Path], Outcome]
    does: str


_RUNS = ("pairs", "people", "stages")
FAMILIES = {
    "kill-train": Family(36, ("pairs",), partial(kills.kill_train, "pairs"),
        "a training is killed, and called again"),
    "kill-people": Family(14, ("people",), partial(kills.kill_train, "people"),
        "the same, with mirror and PLDA"),
    "kill-stages": Family(20, ("stages",), partial(kills.kill_train, "stages"), "the same, in two stages"),
    "kill-organize": Family(80, ("organized",), kills.kill_organize,
        "`organize` is killed, and called again"),
    "kill-search": Family(14, ("search",), kills.kill_search, "a search is killed, and called again"),
    "kill-gallery": Family(60, (), kills.kill_gallery, "`Gallery.save` is killed, and called again"),
    "kill-cache": Family(30, (), kills.kill_cache, "a process that fills the image cache is killed"),
    "damage-run": Family(110, _RUNS, damage.damage_run, "bytes of a finished run are changed; it is used"),
    "damage-words": Family(110, _RUNS, damage.damage_words,
        "digits, words or values of its text files are changed"),
    "damage-half": Family(36, _RUNS, damage.damage_half,
        "a file of a run that was cut off is changed; it goes on"),
    "damage-gallery": Family(40, (), damage.damage_gallery,
        "bytes or files of a gallery are changed; it is read"),
    "not-finite": Family(40, _RUNS, damage.not_finite, "NaN or infinity in a model or a gallery"),
    "hostile-model": Family(80, _RUNS, models.hostile_model, "a `.keras` file made to harm"),
    "hostile-archive": Family(80, ("organized",), archives.hostile_archive,
        "an archive made to harm; `organize`"),
    "hostile-image": Family(80, (), images.hostile_image, "a photo made to harm"),
    "odd-names": Family(40, ("organized", "people"), names.odd_names, "odd names of people, photos, runs"),
    "fuzzed-text": Family(60, (), texts.fuzzed_text, "pair files, lists of names, search spaces, recipes"),
    "race-train": Family(8, ("pairs",), races.race_train, "two trainings in one run folder"),
    "race-organize": Family(24, ("organized",), races.race_organize, "two calls of `organize` on one output"),
    "race-gallery": Family(16, (), races.race_gallery, "two `Gallery.save` of one file, and a reader"),
    "race-cache": Family(10, (), races.race_cache, "two processes at one image cache, which is then harmed"),
    "cache-in-use": Family(6, (), races.cache_in_use, "the image cache is cut short while in use"),
    "race-search": Family(6, ("search",), races.race_search, "two workers of one search"),
}  # fmt: skip


def plan(trials: int, seed: int, family: str | None = None) -> list[tuple[str, int]]:
    """Returns a family and a seed for each trial; the seeds of a family count up from `seed`."""
    if family is not None:
        return [(family, seed + i) for i in range(trials)]
    total, counts = sum(family.share for family in FAMILIES.values()), Counter()
    for _ in range(trials):  # always the family that is furthest behind its share
        counts[max(FAMILIES, key=lambda name: FAMILIES[name].share / total / (counts[name] + 1))] += 1
    return [(name, seed + i) for name in FAMILIES for i in range(counts[name])]
