"""The command that trains a recipe in the folds of a protocol: LFW's View 2, or CFP's."""

import argparse
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from .. import datasets
from ..datasets.cfp import TASKS
from ..recipes.constraints import PRECISIONS
from ..runs.folder import PAGE
from .people import further_people
from .recipes import chosen, title_of


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser(
        "folds",
        help="train and measure a recipe in ten folds, by the protocol of LFW's View 2 or of CFP",
        epilog="This takes hours. After an interruption the same command goes on. Started several times at "
        "once, it shares the folds.",
    )
    command.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        metavar="FOLDER",
        help="an organised LFW-a or CFP, whose folds these are; a second one adds people, as in `train`",
    )
    command.add_argument(
        "--pairs",
        dest="pairs_file",
        type=Path,
        metavar="FILE",
        help="LFW's pairs.txt (default: pairs.txt beside --data)",
    )
    command.add_argument(
        "--task", choices=TASKS, help="which task of CFP (default: both, by one training for each fold)"
    )
    command.add_argument("--recipe", default="face", help="a name, or a .toml file (default: face)")
    command.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `train`")
    command.add_argument("--seed", type=int, help="seed of weights and order (default: the recipe's)")
    command.add_argument("--epochs", type=int, help="at most so many epochs (default: the recipe's)")
    command.add_argument(
        "--precision", choices=PRECISIONS, help="precision of the computation (default: the recipe's)"
    )
    command.add_argument(
        "--runs",
        type=Path,
        metavar="FOLDER",
        help="folder of the runs (default: runs/DATA-RECIPE-TASK-SEED)",
    )
    command.set_defaults(run=_folds, split=None)


def _folds(options: argparse.Namespace) -> None:
    from ..studies import folds as study

    recipe, changes = chosen(options.recipe, options)
    data = options.data[0]
    if (data / "lfw_a.json").exists():
        if options.task:
            raise ValueError(f"`--task` is for CFP; {data} is an LFW-a. Received: --task {options.task}")
        pairs_file = options.pairs_file or data.parent / "pairs.txt"
        tasks = {"view-2": datasets.load_lfw_a_folds(data, pairs_file)}
    elif not (data / "Data").is_dir():
        raise ValueError(
            f"`--data` must be an organised LFW-a or CFP first. Received: {data}, which is neither. A folder "
            f"of people is measured in folds by `siamese-nn train --data {data} --folds N`"
        )
    else:
        if options.pairs_file:
            raise ValueError(
                f"`--pairs` is for LFW-a; {data} is a CFP, which holds its own pairs. Received: --pairs "
                f"{options.pairs_file}"
            )
        photos = datasets.cfp_photos(data)
        tasks = {
            task: datasets.folds_in_turn(datasets.read_cfp_folds(data, task), photos)
            for task in ([options.task] if options.task else TASKS)
        }
    learning = reduce(datasets.add_people, further_people(options.data, recipe), next(iter(tasks.values())))
    tasks = {
        task: [replace(fold, photos=own.photos) for fold, own in zip(folds, learning, strict=True)]
        for task, folds in tasks.items()
    }
    names = "-".join(folder.name for folder in options.data)
    title = f"{names}-{title_of(options.recipe)}-{'-'.join(tasks)}-{recipe.seed}{changes}"
    runs = options.runs or Path("runs") / title
    results: Any = study.train_tasks(recipe, tasks, runs, verbose=2)
    for task, result in results.items():
        print(f"{task}:\n{result.folds.table()}\n{result.describe()}")
    print(*(result.in_one_line(task) for task, result in results.items()), f"Page: {runs / PAGE}")
