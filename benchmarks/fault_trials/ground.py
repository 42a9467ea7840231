"""What the trials harm: drawn faces, small runs and a search, each made once, whole and unbroken."""

import csv
import hashlib
import io
import json
import re
import shutil
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf

from siamese_nn import Verifier, datasets, training
from siamese_nn.runs import folder as run_folder
from siamese_nn.training import Recipe

from .process import run, steps_so_far

_TINY = {"image_size": (80, 80), "filters": 2, "units": 8, "batch_size": 16}
_PEOPLE = {"embedding_size": 8, "monitor": "val_auc", "epochs": 1}
RECIPES = {
    "pairs": Recipe(**_TINY, epochs=2),
    "people": Recipe(**_TINY, **_PEOPLE | {"epochs": 2}, model="cosface", mirror=True, back_end="plda"),
    "stages": Recipe(
        **_TINY,
        **_PEOPLE,
        model="triplet",
        margin=0.2,
        pretraining=Recipe(**_TINY, **_PEOPLE, model="softmax"),
    ),
}
SPACE = {"units": [4, 6]}
SEARCH = Recipe(**_TINY, epochs=1)
LONG = 300  # seconds; a training takes some 5 on an idle core
SHORT = 60
_RESULTS = (
    "status",
    "split",
    "seed",
    "epochs",
    "best_epoch",
    "monitor",
    "people",
    "figures",
    "raw_pixels",
    "leak",
)


class StopHere(Exception):
    """Ends a training between two epochs."""


class _Stop(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        raise StopHere


@dataclass
class Run:
    """A run made unbroken: its folder, its state after an epoch, its results, and the steps that made it."""

    recipe: Recipe
    folder: Path
    half: Path
    summary: dict[str, Any]
    results: dict[str, Any]
    steps: list[str]
    seconds: float
    page: str
    answer: dict[str, Any]


@dataclass
class Ground:
    """The common ground of all trials, read-only."""

    folder: Path
    faces: Path = field(init=False)

    def __post_init__(self):
        sizes = {"n_train_identities": 24, "n_test_identities": 6, "images_per_identity": 3}
        self.faces = datasets.make_toy_faces(self.folder / "faces", **sizes, train_pairs=30, test_pairs=6)
        self.pair_files = {
            f"{side}_pairs": self.faces / f"pairsDev{side.title()}.txt" for side in ("train", "test")
        }
        pairs = datasets.read_pairs(self.pair_files["train_pairs"], self.faces / "lfw2")
        self.test = datasets.read_pairs(self.pair_files["test_pairs"], self.faces / "lfw2")
        self.train, self.val = SEARCH.split_pairs(pairs, exclude=self.test)
        people = pairs.identities() - self.val.identities()
        photos = sorted((self.faces / "lfw2").glob("*/*.jpg"))
        self.photos = {
            name: [str(photo) for photo in photos if photo.parent.name == name] for name in sorted(people)
        }
        self.all_photos = [str(photo) for photo in photos]
        self.runs: dict[str, Run] = {}
        self.organized: dict[str, Any] = {}
        self.search: dict[str, Any] = {}

    def prepare(self, needs: set[str]) -> None:
        """Makes what the trials need, unbroken."""
        for name in sorted(needs & RECIPES.keys()):
            self.runs[name] = self._make_run(name)
        if "organized" in needs:
            self.organized = self._make_organized()
        if "search" in needs:
            self.search = self._make_search()

    def train_in(self, name: str, run_dir: Path, callbacks: tuple = ()) -> dict[str, Any]:
        """Trains the recipe of that name: the call that every trial repeats."""
        recipe = RECIPES[name]
        photos = None if recipe.kind == "pairs" and recipe.pretraining is None else self.photos
        return training.train(
            recipe,
            self.train,
            self.val,
            run_dir,
            test=self.test,
            photos=photos,
            callbacks=callbacks,
            verbose=0,
        )

    def verify(self, run_dir: Path) -> list[dict[str, Any]]:
        """What the run says of two test pairs, one of the same and one of different people."""
        left, right = ([str(side[0]), str(side[-1])] for side in (self.test.left, self.test.right))
        answers = Verifier.load(run_dir).verify(left, right)
        return [{name: getattr(answer, name) for name in VERIFIED} for answer in answers]

    def _make_run(self, name: str) -> Run:
        folder, half, scratch = (self.folder / name / part for part in ("hurt", "half", "scratch"))

        def unbroken() -> dict[str, Any]:
            return {"results": self.train_in(name, folder), "steps": steps_so_far()}

        began = time.monotonic()
        made = _required(run(unbroken, scratch, LONG, watched=folder))
        seconds = time.monotonic() - began
        stopped = run(lambda: self.train_in(name, half, (_Stop(),)), scratch, LONG)
        if stopped.error != "StopHere":
            raise RuntimeError(f"The training {name} did not stop where it should: {stopped}")
        page = self.folder / name / "page.html"
        _required(run(lambda: write_page(folder, page), scratch, LONG))
        answer = _required(run(lambda: self.verify(folder), scratch, LONG))
        return Run(
            RECIPES[name], folder, half, summary(folder), figures(made["results"]), made["steps"], seconds,
            page.read_text(encoding="utf-8"), answer,
        )  # fmt: skip

    def _make_organized(self) -> dict[str, Any]:
        folder, scratch = self.folder / "organized", self.folder / "organizing"
        archive = shutil.make_archive(str(self.folder / "lfw2"), "zip", self.faces, "lfw2")
        tar = shutil.make_archive(str(self.folder / "lfw2"), "gztar", self.faces, "lfw2")
        sources = {"folder": self.faces / "lfw2", "zip": Path(archive), "tar.gz": Path(tar)}
        steps = {}
        for kind, source in sources.items():
            shutil.rmtree(folder, ignore_errors=True)

            def unbroken(source: Path = source) -> dict[str, Any]:
                return {"counts": self.organize(source, folder), "steps": steps_so_far()}

            made = _required(run(unbroken, scratch, SHORT, watched=folder))
            steps[kind] = made["steps"]
        files = tree(folder)
        photos = {name: digest for name, digest in files.items() if name.endswith(".jpg")}
        return {
            "sources": sources,
            "steps": steps,
            "counts": made["counts"],
            "names": set(files),
            "photos": photos,
        }

    def organize(self, source: Path, output: Path) -> dict[str, int]:
        """Organises the drawn faces: the call that every trial repeats."""
        return datasets.organize_lfw_a(source, output, **self.pair_files)

    def _make_search(self) -> dict[str, Any]:
        folder, scratch = self.folder / "search", self.folder / "searching"

        def unbroken() -> dict[str, Any]:
            return {"trials": self.search_in(folder), "steps": steps_so_far()}

        began = time.monotonic()
        made = _required(run(unbroken, scratch, LONG, watched=folder))
        return {**made, "seconds": time.monotonic() - began}

    def search_in(self, folder: Path) -> list[list[Any]]:
        """Searches a grid of two recipes, as every trial does. Returns its points and their figures."""
        from siamese_nn.studies import search

        study = search.search(
            SEARCH, SPACE, self.train, self.val, folder, sampler="grid", prune=False, heartbeat=2
        )
        return sorted(
            [trial.params["units"], trial.value] for trial in study.trials if trial.state.name == "COMPLETE"
        )


def seal(run_dir: Path) -> None:
    """Makes a run's checksums anew, as if its training had left the files that it now holds."""
    path = run_dir / "verifier.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["model_sha256"] = digest((run_dir / settings["model"]).read_bytes())
    path.write_text(json.dumps(settings), encoding="utf-8")
    run_folder.write_results(run_dir, json.loads((run_dir / "results.json").read_text(encoding="utf-8")))


VERIFIED = ("same", "score", "threshold", "probability")


def write_page(run_dir: Path, page: Path) -> str:
    """Writes a run's page; returns its text."""
    from siamese_nn.runs.page import write_run_report

    write_run_report(run_dir, page)
    return page.read_text(encoding="utf-8")


def figures(results: Mapping[str, Any]) -> dict[str, Any]:
    """Returns of a run's results what two runs of one recipe have in common: all but the seconds."""
    return json.loads(json.dumps({name: results[name] for name in _RESULTS}))


def summary(run_dir: Path) -> dict[str, Any]:
    """Returns all of a run but its seconds: weights bit by bit, history, figures, scores, files, page."""
    names = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}
    found: dict[str, Any] = {"files": sorted(name for name in names if "logs" not in Path(name).parts)}
    for name in found["files"]:
        path = run_dir / name
        if path.suffix == ".keras":
            found[f"weights of {name}"] = weights(path)
        elif path.name == "history.csv":
            with path.open(encoding="utf-8", newline="") as file:
                found[name] = [
                    {k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
                ]
        elif path.name == "results.json":
            found[name] = figures(json.loads(path.read_text(encoding="utf-8")))
        elif path.name == "scores.json":
            found[name] = digest(path.read_bytes())
        elif path.name == "report.html":
            found[name] = digest(_without_minutes(path.read_text(encoding="utf-8")).encode())
    return found


def _without_minutes(page: str) -> str:
    return re.sub(r"[0-9.]+(\s| |&nbsp;)*(minutes|seconds|s\b)", "", page)


def weights(path: Path) -> str:
    """Returns a digest over each number of a `.keras` file but sums of metrics, which Keras 2 keeps there."""
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    found = hashlib.sha256()
    with h5py.File(content, "r") as file:
        file.visititems(
            lambda name, part: (
                found.update(name.encode() + part[()].tobytes())
                if isinstance(part, h5py.Dataset) and not name.startswith("metrics/")
                else None
            )
        )
    return found.hexdigest()


def tree(folder: Path) -> dict[str, str]:
    """Returns the digest of every file below a folder, by its path there."""
    return {
        str(path.relative_to(folder)): digest(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def copy(source: Path, target: Path) -> Path:
    """Copies a folder, event logs left out."""
    return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns("logs"), symlinks=True))


def _required(ending: Any) -> Any:
    if ending.kind != "answer":
        raise RuntimeError(f"What the trials stand on could not be made: {ending}")
    return ending.value
