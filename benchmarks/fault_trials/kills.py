"""Kills an operation at a step or a moment, calls it again, and compares with the unbroken one."""

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nn import datasets
from siamese_nn.verification.gallery import Gallery

from .ground import LONG, SHORT, Ground, digest, summary, tree
from .outcome import Ending, Outcome, difference, worst
from .process import Blow, run

TOO_LATE = "(too late)"
_LATE = "after its end"
_WEIGHTS = {
    "os.rename": 5,
    "open": 4,
    "os.remove": 2,
}  # before one file takes another's place; while one is written
_SIGNALS = (signal.SIGKILL,) * 6 + (signal.SIGTERM, signal.SIGINT)


def draw_blow(draw: random.Random, steps: list[str], seconds: float) -> Blow:
    """Draws a kind of step, then one of these steps, and in half of the cases a moment after it."""
    kinds = sorted({step.split()[0] for step in steps})
    kind = draw.choices(kinds, [_WEIGHTS.get(kind, 1) for kind in kinds])[0]
    step = draw.choice([i for i, name in enumerate(steps) if name.split()[0] == kind])
    left = seconds * (1 - step / len(steps))
    delay = draw.choice([0.0, 0.0, draw.uniform(0, 0.01), draw.uniform(0, left / 3)])
    return Blow(step, delay, draw.choice(_SIGNALS))


def words_of(blow: Blow, ending: Ending, step: str = "") -> str:
    """Says what the blow was, and whether it came too late."""
    late = f", {_LATE}" if ending.kind == "answer" else ""
    return f"{signal.Signals(blow.signal).name} at step {blow.step} ({step}) and {blow.delay:.4f} s{late}"


def kill_train(name: str, ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Kills a training once or twice; the same call must end with the unbroken one's weights, bit by bit."""
    made, run_dir = ground.runs[name], folder / "hurt"

    def again() -> bool:
        ground.train_in(name, run_dir)
        return True

    told = []
    for _ in range(draw.choice([1, 1, 2])):
        blow = draw_blow(draw, made.steps, made.seconds)
        ending = run(again, folder / "scratch", LONG, watched=run_dir, blow=blow)
        told.append(words_of(blow, ending, made.steps[blow.step]))
        if ending.kind == "hang":
            return with_words(Outcome("hang", ending.message), told)
    ending = run(again, folder / "scratch", LONG)
    return with_words(after_kill(ending, lambda: difference(summary(run_dir), made.summary, "the run")), told)


def after_kill(ending: Ending, compared: Callable[[], str | None]) -> Outcome:
    """Judges the call after the last kill. A refusal, however clear, means that the work is lost."""
    if ending.kind == "hang":
        return Outcome("hang", ending.message)
    if ending.kind == "died":
        return Outcome("traceback", ending.message)
    if ending.kind == "error":
        return Outcome("lost", f"nothing goes on: {ending.error}: {ending.message[:300]}")
    wrong = compared()
    return Outcome("right") if wrong is None else Outcome("wrong", wrong)


def with_words(outcome: Outcome, told: list[str]) -> Outcome:
    """Adds what was done to the detail of an outcome, and whether no kill came in time."""
    late = f" {TOO_LATE}" if told and all(_LATE in words for words in told) else ""
    return Outcome(outcome.word, f"{', '.join(told)}{late}: {outcome.detail}")


def kill_organize(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Kills `organize`; the source must stay whole, and the same call must finish."""
    kind = draw.choice(["folder", "folder", "zip", "tar.gz"])
    made, output = ground.organized, folder / "organized"
    source = ground.organized["sources"][kind]
    if kind == "folder":
        source = Path(shutil.copytree(source, folder / "lfw2"))
    before = tree(source) if kind == "folder" else {}

    told = []
    for _ in range(draw.choice([1, 1, 2])):
        blow = draw_blow(draw, made["steps"][kind], 0.5)
        ending = run(
            lambda: ground.organize(source, output), folder / "scratch", SHORT, watched=output, blow=blow
        )
        told.append(words_of(blow, ending, f"of {kind}"))
    ending = run(lambda: ground.organize(source, output), folder / "scratch", SHORT)
    if kind == "folder" and tree(source) != before:
        return with_words(Outcome("lost", "the source is no longer what it was"), told)
    return with_words(after_kill(ending, lambda: fault_of_organized(ground, output, ending.value)), told)


def fault_of_organized(ground: Ground, output: Path, counts: Any = None) -> str | None:
    """Says how an organised folder differs from the unbroken one."""
    made, files = ground.organized, tree(output)
    photos = {name: digest for name, digest in files.items() if name.endswith(".jpg")}
    wrong = difference(counts, made["counts"], "the counts") if counts is not None else None
    return wrong or difference(photos, made["photos"], "the photos") or left_over(set(files), made["names"])


def left_over(files: set[str], expected: set[str]) -> str | None:
    """Says which files are more or fewer than expected."""
    if files == expected:
        return None
    return f"left over: {sorted(files - expected)}, missing: {sorted(expected - files)}"


def galleries() -> dict[str, Gallery]:
    """Two galleries of one size."""
    names = np.array([f"Person {i}" for i in range(2000)])
    return {
        letter: Gallery(names, np.full((2000, 64), value, np.float32), letter * 64)
        for letter, value in (("a", 1.0), ("b", 2.0))
    }


def which_gallery(path: Path) -> str:
    """Returns the letter of the gallery that a file holds, whole; "torn" of one that is neither."""
    found, known = Gallery.load(path), galleries()
    for letter, gallery in known.items():
        if (
            found.model == gallery.model
            and np.array_equal(found.names, gallery.names)
            and np.array_equal(found.embeddings, gallery.embeddings)
        ):
            return letter
    return "torn"


def kill_gallery(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Kills `Gallery.save` over an older gallery: the old or the new one stays, whole, its owner's alone."""
    path, known = folder / "known" / "people.npz", galleries()
    known["a"].save(path)
    blow = Blow(draw.randrange(4), draw.choice([0.0, draw.uniform(0, 0.005)]))
    ending = run(lambda: known["b"].save(path), folder / "scratch", SHORT, watched=path.parent, blow=blow)
    told = [words_of(blow, ending)]
    ending = run(lambda: which_gallery(path), folder / "scratch", SHORT)
    between = after_kill(ending, lambda: None if ending.value in ("a", "b") else "a torn gallery")
    open_to_all = [file.name for file in path.parent.iterdir() if file.stat().st_mode & 0o077]
    if open_to_all:
        between = worst([between, Outcome("wrong", f"others may read {open_to_all}")])

    def again() -> str:
        known["b"].save(path)
        return which_gallery(path)

    last = run(again, folder / "scratch", SHORT)
    names = {file.name for file in path.parent.iterdir()}
    after = after_kill(last, lambda: difference(last.value, "b") or left_over(names, {path.name}))
    return with_words(worst([between, after]), told)


def kill_search(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Kills a search; the same call must end with the unbroken one's trials, each once."""
    made, search_dir = ground.search, folder / "search"
    blow = draw_blow(draw, made["steps"], made["seconds"])
    ending = run(
        lambda: ground.search_in(search_dir), folder / "scratch", LONG, watched=search_dir, blow=blow
    )
    told = [words_of(blow, ending, made["steps"][blow.step])]
    ending = run(lambda: ground.search_in(search_dir), folder / "scratch", LONG)
    return with_words(
        after_kill(ending, lambda: difference(ending.value, made["trials"], "the trials")), told
    )


def kill_cache(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Kills a process that fills the image cache; the next must get the photos' own pixels."""
    cache = folder / "cache"
    blow = Blow(draw.randrange(3), draw.choice([0.0, draw.uniform(0, 0.005)]))
    ending = run(lambda: cached_photos(ground, cache), folder / "scratch", SHORT, watched=cache, blow=blow)
    told = [words_of(blow, ending)]
    expected = run(lambda: cached_photos(ground, None), folder / "scratch", SHORT).value
    ending = run(lambda: cached_photos(ground, cache), folder / "scratch", SHORT)
    return with_words(after_kill(ending, lambda: difference(ending.value, expected, "the pixels")), told)


def cached_photos(ground: Ground, cache: Path | None) -> str:
    """Returns the digest of all photos, through the cache."""
    images = datasets.load_images(ground.all_photos, image_size=(64, 64), cache_dir=cache or "")
    return digest(images.tobytes())
