"""The commands that train a recipe and show a run."""

import argparse
import logging
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .. import datasets
from ..files import read_json
from ..runs.folder import read_results
from .data import data_folder

logger = logging.getLogger(__name__)


def add(commands: argparse._SubParsersAction) -> None:
    """Adds them to the parser."""
    command = commands.add_parser("train", help="train a recipe and measure it on people it has never seen")
    command.add_argument(
        "--recipe",
        help="by name; a wrong one is told the nearest (default: l1_sigmoid without --data, else 5.1)",
    )
    command.add_argument(
        "--data", default="toy", help="organised folder; toy, the default, draws one into data/toy"
    )
    command.add_argument(
        "--run-dir",
        type=Path,
        metavar="FOLDER",
        help="default: runs/DATA-RECIPE-SPLIT-SEED, and what else is changed",
    )
    command.add_argument(
        "--split",
        choices=["identities", "report"],
        default="identities",
        help="identities (default): nobody is on both sides; report: the report's letter split, which leaks",
    )
    command.add_argument("--seed", type=int, default=0, help="of weights, order and split (default: 0)")
    command.add_argument(
        "--exclude",
        type=Path,
        metavar="FILE",
        help="people to leave out of training and validation, a name a line, as CFP's Data/list_name.txt",
    )
    command.add_argument("--epochs", type=int, help="the most epochs, of each stage (default: the recipe's)")
    command.add_argument(
        "--precision",
        choices=["float32", "mixed_bfloat16", "mixed_float16"],
        help="of the computation (default: the recipe's); a faster one for this machine is suggested",
    )
    command.set_defaults(run=_train)

    command = commands.add_parser(
        "report", help="write a run's page, or one that sets several runs side by side"
    )
    command.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="folder of a run")
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="default: report.html in RUN; of several comparison.html"
    )
    command.set_defaults(run=_report)


def _train(options: argparse.Namespace) -> None:
    from .. import training

    name = options.recipe or ("l1_sigmoid" if options.data == "toy" else "5.1")
    recipe = replace(recipe_named(name), split=options.split, seed=options.seed)
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs)
        if recipe.pretraining is not None:
            recipe = replace(recipe, pretraining=replace(recipe.pretraining, epochs=options.epochs))
    if options.precision is not None:
        recipe = replace(recipe, precision=options.precision)
    elif (faster := training.fastest_precision()) != recipe.precision:
        logger.info("this machine computes faster with --precision %s", faster)
    data_dir = data_folder(options.data)
    pairs, test = datasets.load_lfw_a(data_dir)
    title = f"{data_dir.name}-{name}-{recipe.split}-{recipe.seed}"
    if options.epochs is not None:
        title += f"-{options.epochs}-epochs"
    if recipe.precision != recipe_named(name).precision:
        title += f"-{options.precision}"
    if options.exclude:
        pairs = datasets.without_people(pairs, datasets.read_names(options.exclude))
        title += f"-without-{options.exclude.stem}"
    train, val = recipe.split_pairs(pairs, exclude=test)
    run_dir = options.run_dir or Path("runs") / title
    try:
        results = training.train(
            recipe, train, val, run_dir, test=test, photos=training_photos(data_dir, pairs, val), verbose=2
        )
    except KeyboardInterrupt:
        if (run_dir / "results.json").exists():
            show_run(read_results(run_dir), data_dir, run_dir)
        raise
    show_run(results, data_dir, run_dir)


def _report(options: argparse.Namespace) -> None:
    from ..runs import page

    if len(options.runs) == 1:
        print(page.write_run_report(options.runs[0], options.output))
    else:
        print(page.compare_runs(options.runs, options.output or Path("comparison.html")))


def recipe_named(name: str) -> Any:
    """Returns the recipe that `--recipe` names."""
    from .. import training

    recipes = training.RECIPES | training.REPORT_EXPERIMENTS
    if name not in recipes:
        nearest = get_close_matches(name, recipes, n=3) or list(training.RECIPES)
        raise ValueError(
            f"`--recipe` must be one of {', '.join(nearest)}, or another that the README lists, or "
            f"the number of an experiment of the report, such as 5.1. Received: {name}"
        )
    return recipes[name]


def training_photos(data_dir: Path, pairs: datasets.Pairs, val: datasets.Pairs) -> dict[str, list[str]]:
    """All photos of the people in the training file who are not held out for validation."""
    people = pairs.identities() - val.identities()
    return {
        name: paths
        for name, paths in datasets.photos_by_identity(data_dir / "train").items()
        if name in people
    }


def show_run(results: dict, data_dir: Path, run_dir: Path) -> None:
    """Prints what has come of a run."""
    from .. import training

    print(f"\nSome test pairs ({data_dir}), drawn at random; the network has never seen these people:")
    print(training.examples_table(read_json(run_dir / "scores.json"), results))
    print(f"\nAll pairs of {data_dir}:")
    print(training.results_table(results))
    print(training.describe(results))
    pictures = ", ".join(map(str, sorted(run_dir.glob("*.png"))))
    print(f"The run's page, with its worst mistakes: {run_dir / 'report.html'}\nPictures: {pictures}")
