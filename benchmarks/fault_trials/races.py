"""Two processes at one thing: one may be refused, none may disturb the other."""

import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .ground import LONG, SHORT, Ground, digest, summary, tree
from .kills import cached_photos, fault_of_organized, galleries, left_over, which_gallery, with_words
from .outcome import Ending, Outcome, difference, judge, worst
from .process import Running, run


def race_train(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Two trainings in one run folder."""
    made, run_dir = ground.runs["pairs"], folder / "hurt"

    def train() -> bool:
        ground.train_in("pairs", run_dir)
        return True

    endings, told = _together([train, train], draw, folder, LONG, made.seconds)
    return with_words(
        _end(endings, True, lambda: difference(summary(run_dir), made.summary, "the run"), run_dir), told
    )


def race_organize(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Two calls of `organize` on one output, of one source or of two."""
    output, kinds = folder / "organized", [draw.choice(["folder", "zip", "tar.gz"]) for _ in range(2)]
    sources = []
    for i, kind in enumerate(kinds):
        source = ground.organized["sources"][kind]
        sources.append(shutil.copytree(source, folder / f"lfw2-{i}") if kind == "folder" else source)
    before = {source: tree(source) for source in sources if source.is_dir()}
    calls = [lambda source=source: ground.organize(source, output) for source in sources]
    endings, told = _together(calls, draw, folder, SHORT, 0.3)
    # Whatever came of both, one of the calls must bring it in order. The
    # other may be refused: it is another source.
    for call in calls:
        last = run(call, folder / "scratch", SHORT)
        if last.kind != "error":
            break
    if last.kind == "error":
        return with_words(Outcome("lost", f"nothing goes on: {last.error}: {last.message[:300]}"), told)
    if any(tree(source) != files for source, files in before.items()):
        return with_words(Outcome("lost", "a source is no longer what it was"), told)
    ends = [*endings, last]
    outcome = _end(ends, ground.organized["counts"], lambda: fault_of_organized(ground, output), output)
    return with_words(outcome, [*told, *kinds])


def race_gallery(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Two writers of one gallery's file and a reader of it."""
    path, known = folder / "known" / "people.npz", galleries()
    known["a"].save(path)

    def write(letter: str) -> bool:
        for _ in range(6):
            known[letter].save(path)
        return True

    def read() -> bool:
        return all(which_gallery(path) in ("a", "b") for _ in range(6))

    calls = [lambda: write("a"), lambda: write("b"), read]
    endings, told = _together(calls, draw, folder, SHORT, 0.02)
    names = {file.name for file in path.parent.iterdir()}
    return with_words(_end(endings, True, lambda: left_over(names, {path.name}), path, all_right=True), told)


def race_cache(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Two processes that fill one image cache; in some trials its file is harmed between two readings."""
    cache = folder / "cache"
    expected = run(lambda: cached_photos(ground, None), folder / "scratch", SHORT).value
    calls = [lambda: cached_photos(ground, cache)] * 2
    endings, told = _together(calls, draw, folder, SHORT, 0.1)
    for file in sorted(cache.iterdir()):
        size, how = file.stat().st_size, draw.choice(["flip", "cut", "zero", "nothing"])
        told.append(how)
        file.chmod(0o644)
        if how == "cut":
            os.truncate(file, draw.randrange(size))
        elif how != "nothing":
            content = bytearray(file.read_bytes())
            at = draw.randrange(size)
            content[at] = content[at] ^ 1 if how == "flip" else 0
            file.write_bytes(content)
    endings.append(run(calls[0], folder / "scratch", SHORT))
    names = {file.name for file in cache.iterdir() if file.name.startswith(".")}
    return with_words(_end(endings, expected, lambda: left_over(names, set()), cache, all_right=True), told)


def cache_in_use(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Cuts the image cache's file short while a process holds its images."""
    from siamese_nn import datasets

    cache = folder / "cache"
    expected = run(lambda: cached_photos(ground, None), folder / "scratch", SHORT).value
    run(lambda: cached_photos(ground, cache), folder / "scratch", SHORT)
    share = draw.choice([0.0, draw.random()])

    def hold() -> str:
        images = datasets.load_images(ground.all_photos, image_size=(64, 64), cache_dir=cache)
        for file in cache.iterdir():
            file.chmod(0o644)
            os.truncate(file, int(share * file.stat().st_size))
        return digest(images.tobytes())

    return with_words(
        judge(run(hold, folder / "scratch", SHORT), expected, (str(cache),)),
        [f"cut to {share:.2f} while in use"],
    )


def race_search(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Two workers of one search."""
    made, search_dir = ground.search, folder / "search"
    calls = [lambda: ground.search_in(search_dir)] * 2
    endings, told = _together(calls, draw, folder, LONG, made["seconds"] / 2)
    return with_words(_end(endings, made["trials"], lambda: None, search_dir, all_right=True), told)


def _together(
    calls: Sequence[Callable[[], Any]], draw: random.Random, folder: Path, seconds: float, apart: float
) -> tuple[list[Ending], list[str]]:
    """Starts the calls, each a moment after the last; returns how they ended, and what was done in words."""
    running, told = [], []
    for i, call in enumerate(calls):
        wait = draw.choice([0.0, draw.uniform(0, apart)]) if i else 0.0
        time.sleep(wait)
        told.append(f"{wait:.3f} s")
        running.append(Running(call, folder / f"scratch-{i}", seconds))
    return [process.wait() for process in running], told


def _end(
    endings: Sequence[Ending],
    expected: Any,
    compared: Callable[[], str | None],
    path: Path,
    *,
    all_right: bool = False,
) -> Outcome:
    """Judges all endings, and then what they left. One at least must be right; with `all_right` each."""
    outcomes = [judge(ending, expected, (path.name, str(path))) for ending in endings]
    rights = [outcome.word for outcome in outcomes].count("right")
    if rights < (len(outcomes) if all_right else 1) and {o.word for o in outcomes} <= {"right", "refused"}:
        refused = next(outcome for outcome in outcomes if outcome.word == "refused")
        return Outcome("lost", f"{rights} of {len(outcomes)} have done it: {refused.detail}")
    if rights:
        wrong = compared()
        outcomes.append(Outcome("right") if wrong is None else Outcome("wrong", wrong))
    return worst(outcomes)
