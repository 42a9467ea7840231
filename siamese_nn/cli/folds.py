"""The command that trains a recipe in the folds of a protocol: LFW's View 2, or CFP's."""

import argparse
from pathlib import Path
from typing import Any

from .. import datasets
from ..recipes.constraints import PRECISIONS
from ..runs.folder import PAGE
from .recipes import chosen, title_of

_TASKS = ("FF", "FP")


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser(
        "folds",
        help="train and measure a recipe in ten folds, by the protocol of LFW's View 2 or of CFP",
        epilog="This takes hours. After an interruption the same command goes on.",
    )
    command.add_argument("--data", type=Path, required=True, help="an organised LFW-a or CFP")
    command.add_argument(
        "--pairs", type=Path, metavar="FILE", help="LFW's pairs.txt (default: pairs.txt beside --data)"
    )
    command.add_argument("--task", choices=_TASKS, default="FF", help="which task of CFP (default: FF)")
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
        help="folder of the runs (default: runs/DATA-RECIPE-folds-SEED)",
    )
    command.set_defaults(run=_folds, split=None)


def _folds(options: argparse.Namespace) -> None:
    from ..studies import folds as study

    recipe, changes = chosen(options.recipe, options)
    is_lfw_a = (options.data / "lfw_a.json").exists()
    if is_lfw_a:
        pairs_file = options.pairs or options.data.parent / "pairs.txt"
        parts, what = datasets.load_lfw_a_folds(options.data, pairs_file), "view-2"
    else:
        folds = datasets.read_cfp_folds(options.data, options.task)
        parts, what = datasets.folds_in_turn(folds, datasets.cfp_photos(options.data)), options.task
    title = f"{options.data.name}-{title_of(options.recipe)}-{what}-{recipe.seed}{changes}"
    runs = options.runs or Path("runs") / title
    result: Any = study.train_folds(recipe, parts, runs, verbose=2)
    print(result.folds.table())
    print(result.describe())
    print(f"{result.in_one_line()} Page: {runs / PAGE}")
