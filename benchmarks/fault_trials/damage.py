"""Damage in the files of a run; then the run is used: right answers, or a clear refusal."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nn.evaluation.comparison import Cosine
from siamese_nn.verification.gallery import Gallery
from siamese_nn.verification.stored_gallery import LOG, StoredGallery

from .ground import LONG, SHORT, VERIFIED, Ground, Run, copy, figures, seal, summary, write_page
from .harm import harm_arrays, harm_bytes, harm_json, harm_text, harm_weights
from .kills import galleries
from .outcome import Outcome, judge, worst
from .process import command, run

_FILES = ("recipe.json", "history.csv", "scores.json", "results.json", "verifier.json", "model.keras")
_SELDOM = ("last.keras", "finished.keras", "report.html", "loss.png", "pairs.png")
_NOT_FINITE = (float("nan"), float("inf"), float("-inf"))


def damage_run(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Harms bytes of a file of a finished run, or removes it, and asks the run something."""
    made, run_dir, file = _drawn(ground, draw, folder, (*_FILES * 3, *_SELDOM))
    if draw.random() < 0.08:
        file.unlink()
        told = f"{file.name} removed"
    else:
        told = _harm(file, draw, harm_bytes)
    return _asked(ground, draw, folder, made, run_dir, file, told)


def damage_words(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Changes a digit, a word or a value of a text file of a finished run, and asks the run something."""
    made, run_dir, file = _drawn(ground, draw, folder, _FILES[:-1])
    harm = draw.choice([harm_text, harm_text, harm_json]) if file.suffix == ".json" else harm_text
    return _asked(ground, draw, folder, made, run_dir, file, _harm(file, draw, harm))


def damage_half(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Harms a file of a run that was cut off; going on must give the unbroken weights, or a clear refusal."""
    made = ground.runs[draw.choice(sorted(ground.runs.keys() - {"stages"}))]
    run_dir = copy(made.half, folder / "hurt")
    file = run_dir / draw.choice(["state.npz"] * 6 + ["model.keras", "history.csv", "recipe.json"])
    if file.name == "state.npz" and draw.random() < 0.25:
        told = harm_arrays(file, draw, _NOT_FINITE)
    else:
        told = _harm(file, draw, harm_text if file.suffix in (".csv", ".json") else harm_bytes)
    name = _name_of(ground, made)

    def go_on() -> dict[str, Any]:
        ground.train_in(name, run_dir)
        return summary(run_dir)

    ending = run(go_on, folder / "scratch", LONG)
    return _told(judge(ending, made.summary, (file.name, str(run_dir))), f"half {file.name}, {told}")


def not_finite(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Puts NaN or infinity into a finished model, with a new digest, as a training that diverged would."""
    if draw.random() < 0.15:
        return _gallery_not_finite(draw, folder)
    made = ground.runs[draw.choice(sorted(ground.runs))]
    run_dir = copy(made.folder, folder / "hurt")
    settings = json.loads((run_dir / "verifier.json").read_text(encoding="utf-8"))
    file = run_dir / settings["model"]
    told = harm_weights(file, draw, _NOT_FINITE)
    seal(run_dir)
    ending = run(lambda: ground.verify(run_dir), folder / "scratch", SHORT)
    return _told(judge(ending, made.answer, (file.name, str(run_dir))), f"{file.name}, {told}")


def _gallery_not_finite(draw: random.Random, folder: Path) -> Outcome:
    path = folder / "people.npz"
    galleries()["a"].save(path)
    told = harm_arrays(path, draw, _NOT_FINITE)
    ending = run(lambda: len(Gallery.load(path)), folder / "scratch", SHORT)
    return _told(judge(ending, lambda _: "a gallery that is not finite is read", (path.name,)), told)


def damage_gallery(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Harms a gallery's file, or one in a folder that grows; it must be read as it was, or refused."""
    if draw.random() < 0.5:
        return _damage_stored(draw, folder)
    path = folder / "people.npz"
    gallery = galleries()["a"]
    Gallery(gallery.names[:40], gallery.embeddings[:40], gallery.model).save(path)
    told = _harm(path, draw, harm_bytes)

    def read() -> str:
        found = Gallery.load(path)
        same = found.names.tolist() == gallery.names[:40].tolist()
        return "same" if same and (found.embeddings == gallery.embeddings[:40]).all() else "another"

    return _told(judge(run(read, folder / "scratch", SHORT), "same", (path.name,)), told)


def _damage_stored(draw: random.Random, folder: Path) -> Outcome:
    """Harms, removes or swaps a file of a gallery that grows, or repeats or leaves out lines of its log."""
    ours, theirs = (_stored(folder / name, seed) for seed, name in enumerate(("door", "other")))

    def read() -> list:
        view = StoredGallery(ours).view()
        names, scores = view.nearest(Cosine(), np.eye(8, dtype=np.float32), 1)
        return [view.counts(), names.tolist(), scores.tolist()]

    expected = read()
    name = draw.choice([LOG, "vectors-*"])
    file, other = next(ours.glob(name)), next(theirs.glob(name))
    how = draw.choice(["harm", "harm", "harm", "removed", "swapped", "lines"])
    if how == "harm":
        how = _harm(file, draw, harm_bytes)
    elif how == "removed":
        file.unlink()
    elif how == "swapped":
        file.write_bytes(other.read_bytes())
    else:
        lines = (ours / LOG).read_bytes().splitlines(keepends=True)
        at = draw.randrange(len(lines))
        lines[at:] = lines[at:] * draw.choice([0, 2])
        (ours / LOG).write_bytes(b"".join(lines))
    ending = run(read, folder / "scratch", SHORT)
    return _told(judge(ending, expected, ("door",)), f"{file.name}, {how}")


def _stored(folder: Path, seed: int) -> Path:
    """Makes a gallery that grows, of three people, one of whom is removed."""
    vectors = np.random.default_rng(seed).standard_normal((4, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stored = StoredGallery.create(folder, Gallery(np.array([f"Ann {seed}", "Bo"]), vectors[:2], "a" * 64))
    stored.add(Gallery(np.array(["Di", f"Ann {seed}"]), vectors[2:], "a" * 64))
    stored.remove("Bo")
    return folder


def questions(
    ground: Ground, made: Run, run_dir: Path, folder: Path
) -> dict[str, tuple[Callable[[], Any], Any, float]]:
    """Returns by name what a run can be asked, with the right answer and the limit in seconds."""
    page = folder / "page.html"
    left, right = ground.test.left[0], ground.test.right[0]

    def verify_by_command() -> dict[str, Any]:
        answer = json.loads(command("verify", run_dir, left, right, "--json")["out"])
        return {name: answer[name] for name in VERIFIED}

    def report_by_command() -> str:
        command("report", run_dir, "--output", page)
        return page.read_text(encoding="utf-8")

    name = _name_of(ground, made)
    return {
        "verify": (lambda: ground.verify(run_dir), made.answer, SHORT),
        "siamese-nn verify": (verify_by_command, made.answer[0], SHORT),
        "report": (lambda: write_page(run_dir, page), made.page, SHORT),
        "siamese-nn report": (report_by_command, made.page, SHORT),
        "train": (lambda: figures(ground.train_in(name, run_dir)), made.results, LONG),
    }


def _asked(
    ground: Ground, draw: random.Random, folder: Path, made: Run, run_dir: Path, file: Path, told: str
) -> Outcome:
    asked = questions(ground, made, run_dir, folder)
    name = draw.choice(list(asked))
    operation, expected, seconds = asked[name]
    names = (file.name, str(run_dir))
    outcomes = [judge(run(operation, folder / "scratch", seconds), expected, names)]
    if name == "train" and outcomes[0].word == "right":  # which may have mended the run
        operation, expected, seconds = asked["verify"]
        outcomes.append(judge(run(operation, folder / "scratch", seconds), expected, names))
        name = "train, then verify"
    return _told(worst(outcomes), f"{name}: {told}")


def _drawn(
    ground: Ground, draw: random.Random, folder: Path, files: tuple[str, ...]
) -> tuple[Run, Path, Path]:
    """A copy of a finished run, and one of its files."""
    made = ground.runs[draw.choice(sorted(ground.runs))]
    run_dir = copy(made.folder, folder / "hurt")
    there = [run_dir / name for name in files if (run_dir / name).exists()]
    return made, run_dir, draw.choice(there)


def _harm(file: Path, draw: random.Random, harm: Callable[[bytes, random.Random], tuple[str, bytes]]) -> str:
    told, harmed = harm(file.read_bytes(), draw)
    file.write_bytes(harmed)
    return f"{file.name}, {told}"


def _name_of(ground: Ground, made: Run) -> str:
    return next(name for name, run in ground.runs.items() if run is made)


def _told(outcome: Outcome, told: str) -> Outcome:
    return Outcome(outcome.word, f"{told}: {outcome.detail}")
