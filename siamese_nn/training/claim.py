"""Whose a run folder is: one recipe's, on one set of data, and one process's at a time."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import __version__
from ..datasets import Pairs
from ..datasets.digests import pairs_digest, people_digest
from ..files import locked
from ..recipes.recipe import Recipe
from ..runs.folder import read_claim

PRETRAINING = "pretraining"  # the folder in a run's that holds the run of what came before it
_LOCK = ".lock"


class RunFolderInUse(ValueError):
    """Another process is training in the same run folder."""


@contextmanager
def alone_in(run_dir: Path) -> Iterator[None]:
    """Keeps other processes out of a run folder. The lock goes with the process, however it ends."""
    busy = f"Another process is training in {run_dir}. Wait for it, or choose another folder"
    with locked(run_dir / _LOCK, RunFolderInUse(busy)):
        try:
            yield
        finally:
            if os.listdir(run_dir) == [_LOCK]:  # a recipe that could not be built
                with suppress(OSError):  # Windows keeps a file that is open
                    (run_dir / _LOCK).unlink()
                    run_dir.rmdir()


def claim_folder(
    run_dir: Path, recipe: Recipe, sets: dict[str, Pairs], photos: Mapping[str, Sequence[str]]
) -> dict:
    """Returns what the run is, and makes sure that the folder is free or this very run's."""
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
    claim = json.loads(json.dumps(claim))
    path = run_dir / "recipe.json"
    if not path.exists():
        # A kill in the first moment may have left `.partial-recipe.json`.
        own = (".partial-", _LOCK)
        if run_dir.exists() and any(not entry.name.startswith(own) for entry in run_dir.iterdir()):
            raise ValueError(
                f"`run_dir` must be a new folder or a run's. Received one with other files: {run_dir}"
            )
        return claim
    held = read_claim(run_dir)
    with suppress(
        TypeError, ValueError
    ):  # written before a field was added, whose default is what was done then
        held["recipe"] = json.loads(json.dumps(Recipe(**held["recipe"]).as_dict()))
    for part in ("recipe", "data", "photos"):
        ours, theirs = claim.get(part, {}), held.get(part, {})
        other = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
        if other:
            raise ValueError(
                f"{run_dir} is the run of another {part}; they differ in "
                f"{', '.join(other)}. Choose another folder, or remove this one"
            )
    return claim
