"""The commands of many trainings."""

import argparse
from dataclasses import replace
from pathlib import Path

from .. import datasets
from ..datasets.images import cache_or
from ..recipes.constraints import SPLITS
from ..runs.results import Status
from . import cfp
from .data import data_folder, words
from .recipes import recipe_named, title_of
from .train import show_run


def add(commands: argparse._SubParsersAction) -> None:
    """Adds them to the parser."""
    command = commands.add_parser(
        "sweep", help="run many trainings: the report's, a search, or those of the CFP study"
    )
    sweeps = command.add_subparsers(title="sweeps", required=True, dest="part", metavar="SWEEP")
    _add_report(sweeps)
    _add_search(sweeps)
    cfp.add_sweep(sweeps)


def _add_report(sweeps: argparse._SubParsersAction) -> None:
    command = sweeps.add_parser(
        "report",
        help="run the report's experiments again, with our figures beside the published ones",
        epilog="Runs that are finished, or that another process is at, are left alone: start "
        "the same command again after it was cut off, or several times at once. In FILE of --markdown "
        "only the part of such a sweep is replaced.",
    )
    command.add_argument("--data", required=True, help="organised folder; toy draws one into data/toy")
    command.add_argument("--table", metavar="3,4", help="the tables whose rows to run (default: all rows)")
    command.add_argument("--only", metavar="5.1,7.1", help="rows to run, besides those of --table")
    command.add_argument(
        "--split",
        choices=SPLITS,
        default="report",
        help="report (default): the report's letter split, which leaks; identities: nobody is on both sides",
    )
    command.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="seeds for each row (default: 1)"
    )
    command.add_argument("--seed", type=int, default=0, help="the first seed (default: 0)")
    command.add_argument("--epochs", type=int, help="the most epochs to train (default: the report's 100)")
    command.add_argument(
        "--variant",
        choices=["as-printed", "as-run", "256"],
        default="as-printed",
        help="as-run: as the report's code really ran, with 256 units and Adam whatever the tables "
        "print; 256: as printed, but for the 256 units",
    )
    command.add_argument("--runs", type=Path, metavar="FOLDER", help="default: runs/report-DATA")
    command.add_argument("--csv", type=Path, metavar="FILE", help="write a line for each run, too")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables into FILE, too")
    command.set_defaults(run=_report)


def _add_search(sweeps: argparse._SubParsersAction) -> None:
    command = sweeps.add_parser(
        "search",
        help="search for a better recipe, with Optuna",
        epilog="The same command goes on after it was cut off; started several times, or on "
        "several machines with one --storage and --folder of one name, it shares the work.",
    )
    command.add_argument("--data", required=True, help="organised folder; toy draws one into data/toy")
    command.add_argument(
        "--recipe",
        required=True,
        help="where to start from: a name of `siamese-nn recipes`, or a .toml file",
    )
    command.add_argument(
        "--space",
        type=Path,
        required=True,
        metavar="FILE",
        help="TOML or JSON: for a field of the recipe a list of choices, or a range: units = "
        "{low = 64, high = 512, log = true}",
    )
    command.add_argument("--sampler", choices=["tpe", "random", "grid"], default="tpe", help="default: tpe")
    command.add_argument(
        "--trials", type=int, metavar="N", help="of the whole search (default: 20, or the whole grid)"
    )
    command.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes on this machine (default: 1)"
    )
    command.add_argument(
        "--storage", metavar="URL", help="a server's database, as Optuna takes it (default: a file in FOLDER)"
    )
    command.add_argument(
        "--folder", type=Path, help="of runs and results (default: runs/search-DATA-RECIPE-SPACE-SAMPLER)"
    )
    command.add_argument(
        "--final",
        action="store_true",
        help="at the end open the test pairs, once: train the best recipe again and measure it on them",
    )
    command.add_argument("--epochs", type=int, help="the most epochs of a trial (default: the recipe's)")
    command.set_defaults(run=_search)


def _report(options: argparse.Namespace) -> None:
    from tqdm.contrib.logging import logging_redirect_tqdm

    from ..studies import reproduction

    if options.repeats < 1:
        raise ValueError(f"`--repeats` must be at least 1. Received: {options.repeats}")
    for name in ("csv", "markdown"):
        _require_place(name, getattr(options, name), "file")
    _require_place("runs", options.runs, "folder")
    try:
        numbers = [int(number) for number in words("table", options.table)]
    except ValueError as error:
        raise ValueError(f"`--table` must be numbers such as 3,4. Received: {options.table!r}") from error
    names = reproduction.select(tables=numbers, only=words("only", options.only), variant=options.variant)
    data_dir = data_folder(options.data)
    runs_dir = options.runs or Path("runs") / f"report-{data_dir.name}"
    runs = reproduction.plan(
        names,
        runs_dir,
        split=options.split,
        seeds=range(options.seed, options.seed + options.repeats),
        changes={} if options.epochs is None else {"epochs": options.epochs},
    )
    if options.markdown:  # refused now, not after hours
        reproduction.markdown_around(options.markdown, _title(options, data_dir))
    pairs, test = datasets.load_lfw_a(data_dir)
    try:
        with logging_redirect_tqdm():
            reproduction.run(runs, pairs, test, cache_dir=cache_or(runs_dir / "images"))
    except KeyboardInterrupt:
        _show_sweep(options, runs, runs_dir, data_dir)
        raise
    damaged = _show_sweep(options, runs, runs_dir, data_dir)
    if damaged:
        raise ValueError(f"The tables lack damaged runs: {', '.join(damaged)}. The warnings say what to do")


def _show_sweep(options: argparse.Namespace, runs: list, runs_dir: Path, data_dir: Path) -> list[str]:
    """Shows what has come of the runs, and returns the folders of those that are damaged."""
    from ..runs.summary import finished_line
    from ..studies import reproduction

    rows = reproduction.collect(runs, data_dir)
    print(reproduction.tables(rows))
    for path in reproduction.draw(runs, runs_dir / f"figures-{_kind(options)}"):
        print(path)
    if options.csv:
        reproduction.write_csv(rows, options.csv)
    if options.markdown:
        reproduction.write_markdown(rows, options.markdown, _title(options, data_dir))
    print(finished_line([row["status"] for row in rows]))
    return [run.run_dir.name for run, row in zip(runs, rows, strict=True) if row["status"] == Status.DAMAGED]


def _kind(options: argparse.Namespace) -> str:
    length = "" if options.epochs is None else f"-{options.epochs}-epochs"
    return f"{options.split}-{options.variant}{length}"


def _title(options: argparse.Namespace, data_dir: Path) -> str:
    return f"{data_dir.name}-{_kind(options)}"


def _search(options: argparse.Namespace) -> None:
    from tqdm.contrib.logging import logging_redirect_tqdm

    try:
        from ..studies import search
    except ImportError as error:
        raise ValueError(error) from error

    if options.sampler == "grid" and options.trials is not None:
        raise ValueError(
            "`--trials` can't be given with --sampler grid, which takes the whole grid. "
            f"Received: --trials {options.trials}"
        )
    _require_place("folder", options.folder, "folder")
    recipe = replace(recipe_named(options.recipe), split="identities")
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs)
    space = search.read_space(options.space)
    if options.epochs is not None and "epochs" in space:
        raise ValueError(f"`--epochs` can't be given where {options.space} has `epochs`. Received both")
    data_dir = data_folder(options.data)
    pairs, test = datasets.load_lfw_a(data_dir)
    train, val = recipe.split_pairs(pairs, exclude=test)
    photos = datasets.training_photos(data_dir / "train", pairs, val)
    title = f"search-{data_dir.name}-{title_of(options.recipe)}-{options.space.stem}-{options.sampler}"
    folder = options.folder or Path("runs") / title
    with logging_redirect_tqdm():
        study = search.search(
            recipe,
            space,
            train,
            val,
            folder,
            sampler=options.sampler,
            trials=options.trials,
            jobs=options.jobs,
            photos=photos,
            storage=options.storage,
        )
    print(search.trials_table(study))
    search.write_csv(study, folder / "trials.csv")
    print(folder / "trials.csv")
    if not any(trial.state.name == "COMPLETE" for trial in study.trials):
        closed = " The test pairs stay closed." if options.final else ""
        raise ValueError(
            f"No trial was completed: the notes above say why.{closed} Correct "
            f"{options.space} and start the same command again"
        )
    if options.final:
        results = search.final(study, train, val, test, folder, photos=photos, verbose=2)
        show_run(results, data_dir, folder / "final")
    else:
        best, monitor = study.best_trial, study.user_attrs["search"]["monitor"]
        print(
            f"Result: trial {best.number} is the best of {len(study.trials)}: {monitor} {best.value:.4g} on "
            "the validation pairs, which flatters the best of many. `--final` measures it on the test pairs."
        )


def _require_place(name: str, path: Path | None, kind: str) -> None:
    """Raises `ValueError` now, not at the end, if something else is where a file or folder shall be made."""
    if path is None:
        return
    in_the_way = path.is_dir() if kind == "file" else path.exists() and not path.is_dir()
    if in_the_way or any(parent.is_file() for parent in path.parents):
        raise ValueError(f"`--{name}` must be a {kind}. Received: {path}, where something else is")
