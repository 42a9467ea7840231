"""Whose a run folder is: one recipe's, on one set of data, and one process's at a time."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .. import __version__
from ..datasets import Pairs
from ..datasets.digests import pairs_digest, people_digest
from ..files import locked
from ..recipes.recipe import Recipe
from ..runs.folder import LOCK, RECIPE, read_claim


class RunFolderInUse(ValueError):
    """Another process is training in the same run folder.

    Example:
        >>> with alone_in(Path("run")):  # as a training does that is still going on
        ...     with alone_in(Path("run")):
        ...         pass
        Traceback (most recent call last):
        siamese_nn.training.claim.RunFolderInUse: Another process is training in run...
    """


@contextmanager
def alone_in(run_dir: Path) -> Iterator[None]:
    """Keeps other processes out of a run folder. The lock goes with the process, however it ends."""
    busy = f"Another process is training in {run_dir}. Wait for it, or choose another folder"
    with locked(run_dir / LOCK, RunFolderInUse(busy)):
        try:
            yield
        finally:
            if os.listdir(run_dir) == [LOCK]:  # a recipe that could not be built
                with suppress(OSError):  # Windows keeps a file that is open
                    (run_dir / LOCK).unlink()
                    run_dir.rmdir()


def claim_of(recipe: Recipe, sets: dict[str, Pairs], photos: Mapping[str, Sequence[str]]) -> dict:
    """Returns what a run is: of which recipe, on which data."""
    data = {
        name: {
            "same": int(pairs.same.sum()),
            "different": int((1 - pairs.same).sum()),
            "people": len(pairs.identities()),
            "sha256": pairs_digest(pairs),
        }
        for name, pairs in sets.items()
    }
    claim = {"siamese_nn": __version__, "recipe": recipe.as_dict(), "data": data}
    if photos:
        count = sum(map(len, photos.values()))
        claim["photos"] = {"photos": count, "people": len(photos), "sha256": people_digest(photos)}
    return json.loads(json.dumps(claim))


def require_own_folder(run_dir: Path, claim: dict) -> None:
    """Raises `ValueError` unless the folder is free, or that of the very run that this is the claim of."""
    path = run_dir / RECIPE
    if not path.exists():
        # A kill in the first moment may have left `.partial-recipe.json`.
        own = (".partial-", LOCK)
        if run_dir.exists() and any(not entry.name.startswith(own) for entry in run_dir.iterdir()):
            raise ValueError(
                f"`run_dir` must be a new folder or a run's. Received one with other files: {run_dir}"
            )
        return
    if found := differences(claim, read_claim(run_dir)):
        raise ValueError(f"{run_dir} is the run of {found}. Choose another folder, or remove this one")


def differences(claim: Mapping[str, Any], held: Mapping[str, Any]) -> str:
    """Says in what the claims of two runs differ; empty where they don't."""
    held = dict(held)
    with suppress(
        TypeError, ValueError
    ):  # written before a field was added, whose default is what was done then
        held["recipe"] = json.loads(json.dumps(Recipe(**held["recipe"]).as_dict()))
    parts = {"recipe": "another recipe", "data": "other data", "photos": "other photos"}
    for part, words in (parts | {"chosen_by": "another choice"}).items():
        ours, theirs = claim.get(part, {}), held.get(part, {})
        # What a first run has chosen is the same under another name, and when it was measured anew.
        named = {"run", "sha256"} if part == "chosen_by" and ours and theirs else set()
        other = [name for name in ours | theirs if ours.get(name) != theirs.get(name) and name not in named]
        if other:
            return f"{words}; they differ in {', '.join(other)}"
    return ""
