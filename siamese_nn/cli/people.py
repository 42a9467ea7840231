"""What the commands do with a folder of one's own people."""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from .. import datasets
from ..datasets.shards import is_shards
from ..datasets.splits import spelling
from ..runs.folder import PAGE

PAIRS = "pairs"  # in a run's folder: the pair files that it was trained and measured on


def train_folds(
    recipe: Any, data_dir: Path, n_folds: int, run_dir: Path, more: Sequence[dict[str, list[str]]]
) -> None:
    """Trains and measures a recipe in folds, then a model to use, and prints what has come of it."""
    from ..studies import folds as study

    folds = reduce(datasets.add_people, more, datasets.people_folds(data_dir, n_folds, seed=recipe.seed))
    result = study.train_folds(recipe, folds, run_dir, verbose=2)
    for number, fold in enumerate(folds, 1):
        fold.write_pairs(run_dir / f"fold-{number}" / PAIRS)
    model = study.train_model(recipe, folds, run_dir, verbose=2)
    print(result.folds.table())
    print(result.describe())
    print(
        f"The model to use is {model}. All people but those of fold 1 trained it; these chose its epoch and "
        "threshold. It is measured on nobody: the figures are those of its recipe.\n"
        f"siamese-nn verify {model} A.jpg B.jpg\n{result.in_one_line()} Page: {run_dir / PAGE}"
    )


def further_people(
    folders: Sequence[str | Path], recipe: Any, exclude: Path | None = None
) -> list[dict[str, list[str]]]:
    """Lists the people of each `--data` but the first, for a recipe to learn from, less those of a list."""
    first, *others = map(Path, folders)
    if others and recipe.kind == "pairs":
        raise ValueError(
            "A second `--data` holds people to learn from, so the recipe must learn from people. Received: "
            f"--data {others[0]} with a recipe that learns from pairs ({recipe.model}). Take `face`, for one"
        )
    for number, folder in enumerate(others):
        if not folders_in(folder) and not is_shards(folder):
            raise FileNotFoundError(
                "A second `--data` must be a folder with a folder of photos for each person, or an organised "
                f"LFW-a or CFP. Received: {folder}, which holds no folder"
            )
        if any(folder.samefile(other) for other in (first, *others[:number]) if other.exists()):
            raise ValueError(f"Each `--data` must be another folder. Received twice: --data {folder}")
    unwanted = {spelling(name) for name in datasets.read_names(exclude)} if exclude else set()
    return [
        {name: own for name, own in datasets.all_people(folder).items() if spelling(name) not in unwanted}
        for folder in others
    ]


def folders_in(folder: Path) -> set[str]:
    """The names of the folders in one; none of what is no folder."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}


def write_pairs(people: Path, output: Path, n_folds: int | None, seed: int) -> None:
    """Writes the pair files of a folder of people, split once or into folds, and prints their names."""
    if output.resolve().is_relative_to(people.resolve()):
        raise ValueError(
            f"`--out` must lie outside of {people}, where each folder is a person. Received: {output}"
        )
    if n_folds is None:
        print(*datasets.load_people(people, seed=seed).write_pairs(output), sep="\n")
        return
    for number, fold in enumerate(datasets.people_folds(people, n_folds, seed=seed), 1):
        print(*fold.write_pairs(output / f"fold-{number}"), sep="\n")
