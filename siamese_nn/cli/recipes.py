"""The command that shows the recipes, and which recipe a training means."""

import argparse
import re
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

_LEARNS_FROM = {
    "pairs": "pairs",
    "groups": "batches of people",
    "triplets": "chosen triplets",
    "classes": "photos and names",
    "teacher": "photos and a teacher",
}
_NOTE = """\
Accuracy: on the 1,000 test pairs of LFW-a's View 1, of held-out people. Others chose epoch and threshold.
It is one training (seed 0, mixed_bfloat16); the 95% interval is over people. Minutes: of one core, for all of
it. `python benchmarks/recipes.py` measures both. The report's experiments are recipes, too, by their numbers,
1.1 to 9.3. `siamese-nn recipes NAME > my.toml` writes a recipe, and `train --recipe my.toml` takes it."""
_TITLE = 100  # characters of what is changed, in the name of a run's folder; the file system's end is 255


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser(
        "recipes", help="list the recipes, or write one as a file that you can change"
    )
    command.add_argument("recipe", nargs="?", metavar="NAME", help="print this one as TOML")
    command.set_defaults(run=_recipes)


def is_file(recipe: str) -> bool:
    """Whether `--recipe` is a file, and not a name."""
    return recipe.endswith(".toml")


def title_of(recipe: str) -> str:
    """Returns what `--recipe` adds to a folder's name."""
    return Path(recipe).stem if is_file(recipe) else recipe


def recipe_named(name: str) -> Any:
    """Returns the recipe that `--recipe` names."""
    from .. import training

    if is_file(name):
        return training.read_recipe(name)
    recipes = training.RECIPES | training.REPORT_EXPERIMENTS
    if name not in recipes:
        nearest = get_close_matches(name, recipes, n=3) or list(training.RECIPES)
        raise ValueError(
            f"`--recipe` must be one of {', '.join(nearest)}, or another that `siamese-nn recipes` lists, or "
            f"the number of an experiment of the report, such as 5.1, or a .toml file. Received: {name}"
        )
    return recipes[name]


def chosen(name: str, options: argparse.Namespace) -> tuple[Any, str]:
    """Returns the recipe that the options of `train` ask for, and what they change, for a folder's name."""
    from ..recipes.recipe_file import with_settings

    recipe = recipe_named(name)
    if not is_file(name):
        recipe = replace(recipe, split="identities")  # the report's, too, unless its leak is asked for
    before = recipe.precision
    given = {word: getattr(options, word) for word in ("split", "seed", "epochs", "precision")}
    given = {word: value for word, value in given.items() if value is not None}
    for setting in options.set:
        if (field := setting.partition("=")[0].strip()) in given:
            raise ValueError(f"`--{field}` and `--set {setting}` must not be given both. Leave one out")
    recipe = replace(recipe, **given)
    if "epochs" in given and recipe.pretraining is not None:
        recipe = replace(recipe, pretraining=replace(recipe.pretraining, epochs=options.epochs))
    recipe = with_settings(recipe, options.set)
    changes = [f"{options.epochs}-epochs"] * ("epochs" in given)
    changes += [options.precision] * (given.get("precision", before) != before)
    changes += [re.sub(r"[^\w.=-]+", "_", setting) for setting in options.set]
    return recipe, "".join(f"-{change}" for change in changes)[:_TITLE]


def _recipes(options: argparse.Namespace) -> None:
    from ..recipes.recipe_file import as_toml

    if options.recipe:
        text = as_toml(recipe_named(options.recipe))
        print(f"# siamese-nn train --recipe THIS_FILE.toml\n\n{text}", end="")
    else:
        print(_table())


def _table() -> str:
    from prettytable import PrettyTable

    from .. import training
    from ..recipes.measured import read_measured

    measured = read_measured()
    table = PrettyTable(["recipe", "learns from", "accuracy (95%)", "minutes"], align="l")
    for name, recipe in training.RECIPES.items():
        figures = ["-", "-"]
        if name in measured:
            known = measured[name]
            figures[0] = f"{known.accuracy:.1%} ({100 * known.low:.1f} to {100 * known.high:.1f})"
            figures[1] = f"{known.minutes:.0f}"
        table.add_row([name, _LEARNS_FROM[recipe.kind], *figures])
    return f"{table}\n{_NOTE}"
