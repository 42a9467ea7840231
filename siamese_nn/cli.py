"""The command `siamese-nn`: parses, calls the library, prints."""

import argparse
import json
import logging
import os
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from . import __version__, datasets
from .files import read_json


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the words after `siamese-nn`; `None` takes those of the process.

    Returns:
        The exit code: 0 done (same person, known), 1 an error that the message explains, 2 wrong usage, 3 the answer no
        (different people, unknown), 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.captureWarnings(True)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}"
    # TensorFlow's own messages drown ours; whoever wants them sets the variable.
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print(
            "\nsiamese-nn: interrupted. The same command goes on after the last thing that was done.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # as in `siamese-nn pairs DATA | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        print(f"siamese-nn: error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="siamese-nn",
        description="One-shot face verification with Siamese networks, from photos to figures.",
    )
    parser.add_argument("--version", action="version", version=f"siamese_nn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = commands.add_parser("download", help="fetch LFW-a, or LFW's pair files")
    command.add_argument("what", choices=["lfw-a", "pairs"])
    command.add_argument("--to", type=Path, default=Path("data"), metavar="FOLDER", help="default: data")
    command.set_defaults(run=_download)

    command = commands.add_parser(
        "organize", help="sort LFW-a into train/, test/ and unused/ by its pair files"
    )
    command.add_argument("source", type=Path, help="lfw2.zip, lfwa.tar.gz, or the unpacked folder")
    command.add_argument("output", type=Path, help="the folder to make, for instance data/lfw-a")
    for side in ("Train", "Test"):
        command.add_argument(
            f"--{side.lower()}-pairs",
            type=Path,
            metavar="FILE",
            help=f"default: pairsDev{side}.txt beside SOURCE",
        )
    command.add_argument(
        "--move", action="store_true", help="move the photos of a folder instead of copying them"
    )
    command.set_defaults(run=_organize)

    command = commands.add_parser("check", help="verify a copy of LFW-a by counts and by hash")
    command.add_argument("data", type=Path, help="archive, unpacked folder or organised folder")
    command.set_defaults(run=_check)

    command = commands.add_parser("pairs", help="count an organised folder's pairs, by letter and by split")
    command.add_argument("data", type=Path, help="organised folder")
    command.add_argument(
        "--letters", default="ABCDE", help="first letters of the validation people (default: ABCDE)"
    )
    command.set_defaults(run=_pairs)

    command = commands.add_parser("train", help="train a recipe and measure it on people it has never seen")
    command.add_argument(
        "--recipe", help="by name; a wrong one lists all (default: l1_sigmoid without --data, else 5.1)"
    )
    command.add_argument(
        "--data", default="toy", help="organised folder; toy, the default, draws one into data/toy"
    )
    command.add_argument(
        "--run-dir", type=Path, metavar="FOLDER", help="default: runs/DATA-RECIPE-SPLIT-SEED"
    )
    command.add_argument(
        "--split",
        choices=["identities", "report"],
        default="identities",
        help="identities (default): nobody is on both sides; report: the report's letter split, which leaks",
    )
    command.add_argument("--seed", type=int, default=0, help="of weights, order and split (default: 0)")
    command.add_argument("--epochs", type=int, help="the most epochs, of each stage (default: the recipe's)")
    command.set_defaults(run=_train)

    command = commands.add_parser("sweep", help="many trainings, resumed when they are cut off")
    sweeps = command.add_subparsers(title="sweeps", required=True, metavar="SWEEP")
    _add_sweep_report(sweeps)
    _add_sweep_search(sweeps)

    command = commands.add_parser(
        "report", help="write a run's page, or one that sets several runs side by side"
    )
    command.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="folder of a run")
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="default: report.html in RUN; of several comparison.html"
    )
    command.set_defaults(run=_report)

    command = commands.add_parser(
        "verify",
        help="are two photos of the same person, by a trained run",
        epilog="exit codes: 0 same, 3 different, 1 an error, 2 wrong usage",
    )
    _add_run(command)
    command.add_argument("a", type=Path, metavar="A", help="a photo, aligned as those of the training")
    command.add_argument("b", type=Path, metavar="B", help="another photo")
    command.set_defaults(run=_verify)

    command = commands.add_parser(
        "identify",
        help="who of a gallery is on a photo, by a trained run",
        epilog="exit codes: 0 known, 3 unknown, 1 an error, 2 wrong usage",
    )
    _add_run(command)
    command.add_argument("photo", type=Path, metavar="PHOTO", help="aligned as those of the training")
    command.add_argument(
        "--gallery",
        type=Path,
        required=True,
        metavar="FOLDER_OR_NPZ",
        help="a folder with a folder of photos for each person, or a file that Gallery.save wrote",
    )
    command.set_defaults(run=_identify)

    command = commands.add_parser("cluster", help="sort a folder's photos into people, by a trained run")
    _add_run(command)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="photos, or folders of them")
    command.set_defaults(run=_cluster)
    return parser


def _add_sweep_report(sweeps: argparse._SubParsersAction) -> None:
    command = sweeps.add_parser(
        "report",
        help="the report's experiments again, with our figures beside the published ones",
        epilog="Runs that are finished, or that another process is at, are left alone: start the same command again after it was "
        "cut off, or several times at once. In FILE of --markdown only the part of such a sweep is replaced.",
    )
    command.add_argument("--data", required=True, help="organised folder; toy draws one into data/toy")
    command.add_argument(
        "--table", default="", metavar="3,4", help="the tables whose rows to run (default: all rows)"
    )
    command.add_argument(
        "--only", default="", metavar="5.1,7.1", help="rows to run, besides those of --table"
    )
    command.add_argument(
        "--split",
        choices=["report", "identities"],
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
        choices=["as-printed", "as-run"],
        default="as-printed",
        help="as-run: 256 units and a fourth pooling with drop-out, as the report's code really ran",
    )
    command.add_argument("--runs", type=Path, metavar="FOLDER", help="default: runs/report-DATA")
    command.add_argument("--csv", type=Path, metavar="FILE", help="write a line for each run, too")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables into FILE, too")
    command.set_defaults(run=_sweep_report)


def _add_sweep_search(sweeps: argparse._SubParsersAction) -> None:
    command = sweeps.add_parser(
        "search",
        help="search for a better recipe, with Optuna",
        epilog="The same command goes on after it was cut off; started several times, or on several machines with one --storage "
        "and --folder of one name, it shares the work.",
    )
    command.add_argument("--data", required=True, help="organised folder; toy draws one into data/toy")
    command.add_argument(
        "--recipe", required=True, help="where to start from, by name; a wrong one lists all"
    )
    command.add_argument(
        "--space",
        type=Path,
        required=True,
        metavar="FILE",
        help="TOML or JSON: for a field of the recipe a list of choices, or a range: units = {low = 64, high = 512, log = true}",
    )
    command.add_argument("--sampler", choices=["tpe", "random", "grid"], default="tpe", help="default: tpe")
    command.add_argument(
        "--trials", type=int, metavar="N", help="of the whole search (default: 20, or the whole grid)"
    )
    command.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes on this machine (default: 1)"
    )
    command.add_argument(
        "--storage", metavar="URL", help="database, as Optuna takes it (default: SQLite in FOLDER)"
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
    command.set_defaults(run=_sweep_search)


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_dir", type=Path, metavar="RUN", help="the folder that train made")
    command.add_argument("--json", action="store_true", help="print the answer as JSON")


def _download(options: argparse.Namespace) -> None:
    if options.what == "pairs":
        print("\n".join(map(str, datasets.download_pairs(options.to))))
    else:
        print(datasets.download_lfw_a(options.to))


def _organize(options: argparse.Namespace) -> None:
    counts = datasets.organize_lfw_a(
        options.source,
        options.output,
        train_pairs=options.train_pairs or options.source.parent / "pairsDevTrain.txt",
        test_pairs=options.test_pairs or options.source.parent / "pairsDevTest.txt",
        move=options.move,
    )
    print(f"{options.output}: " + ", ".join(f"{count:,} photos in {name}/" for name, count in counts.items()))


def _check(options: argparse.Namespace) -> None:
    counts = datasets.check_lfw_a(options.data)
    print(
        f"{options.data}: LFW-a, whole: " + ", ".join(f"{count:,} {name}" for name, count in counts.items())
    )


def _pairs(options: argparse.Namespace) -> None:
    pairs, test = datasets.load_lfw_a(options.data)
    train, val = datasets.split_identities(pairs, letters=options.letters, exclude=test)
    report_train, report_val = datasets.split_by_letter(pairs)
    print(datasets.letter_table(pairs))
    sets = {
        "all training pairs": pairs,
        "report's split: train": report_train,
        "report's split: validation": report_val,
        "by identity: train": train,
        "by identity: validation": val,
        "test": test,
    }
    print(datasets.class_table(sets))


def _train(options: argparse.Namespace) -> None:
    from . import training

    name = options.recipe or ("l1_sigmoid" if options.data == "toy" else "5.1")
    recipe = replace(_recipe(name), split=options.split, seed=options.seed)
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs)
        if recipe.pretraining is not None:
            recipe = replace(recipe, pretraining=replace(recipe.pretraining, epochs=options.epochs))
    data_dir = _toy_data() if options.data == "toy" else Path(options.data)
    pairs, test = datasets.load_lfw_a(data_dir)
    train, val = recipe.split_pairs(pairs, exclude=test)
    length = "" if options.epochs is None else f"-{options.epochs}-epochs"
    run_dir = options.run_dir or Path("runs") / f"{data_dir.name}-{name}-{recipe.split}-{recipe.seed}{length}"
    try:
        results = training.train(
            recipe, train, val, run_dir, test=test, photos=_training_photos(data_dir, pairs, val), verbose=2
        )
    except KeyboardInterrupt:
        if (run_dir / "results.json").exists():
            _show(read_json(run_dir / "results.json"), data_dir, run_dir)
        raise
    _show(results, data_dir, run_dir)


def _sweep_report(options: argparse.Namespace) -> None:
    from tqdm.contrib.logging import logging_redirect_tqdm

    from .training import reproduction

    if options.repeats < 1:
        raise ValueError(f"`--repeats` must be at least 1. Received: {options.repeats}")
    try:
        numbers = [int(number) for number in _words(options.table)]
    except ValueError as error:
        raise ValueError(f"`--table` must be numbers such as 3,4. Received: {options.table}") from error
    names = reproduction.select(tables=numbers, only=_words(options.only), variant=options.variant)
    data_dir = _toy_data() if options.data == "toy" else Path(options.data)
    runs_dir = options.runs or Path("runs") / f"report-{data_dir.name}"
    runs = reproduction.plan(
        names,
        runs_dir,
        split=options.split,
        seeds=range(options.seed, options.seed + options.repeats),
        changes={} if options.epochs is None else {"epochs": options.epochs},
    )
    pairs, test = datasets.load_lfw_a(data_dir)
    os.environ.setdefault("SIAMESE_NN_IMAGE_CACHE", str(runs_dir / "images"))
    try:
        with logging_redirect_tqdm():
            reproduction.run(runs, pairs, test)
    except KeyboardInterrupt:
        _show_sweep(options, runs, runs_dir, data_dir)
        raise
    _show_sweep(options, runs, runs_dir, data_dir)


def _show_sweep(options: argparse.Namespace, runs: list, runs_dir: Path, data_dir: Path) -> None:
    from .training import reproduction

    rows = reproduction.collect(runs)
    print(reproduction.tables(rows))
    length = "" if options.epochs is None else f"-{options.epochs}-epochs"
    title = f"{options.split}-{options.variant}{length}"
    for path in reproduction.draw(runs, runs_dir / f"figures-{title}"):
        print(path)
    if options.csv:
        reproduction.write_csv(rows, options.csv)
    if options.markdown:
        reproduction.write_markdown(rows, options.markdown, f"{data_dir.name}-{title}")


def _sweep_search(options: argparse.Namespace) -> None:
    from tqdm.contrib.logging import logging_redirect_tqdm

    try:
        from .training import sweep
    except ImportError as error:
        raise ValueError(error) from error

    recipe = replace(_recipe(options.recipe), split="identities")
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs)
    space = sweep.read_space(options.space)
    data_dir = _toy_data() if options.data == "toy" else Path(options.data)
    pairs, test = datasets.load_lfw_a(data_dir)
    train, val = recipe.split_pairs(pairs, exclude=test)
    photos = _training_photos(data_dir, pairs, val)
    title = f"search-{data_dir.name}-{options.recipe}-{options.space.stem}-{options.sampler}"
    folder = options.folder or Path("runs") / title
    with logging_redirect_tqdm():
        study = sweep.search(
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
    print(sweep.trials_table(study))
    sweep.write_csv(study, folder / "trials.csv")
    print(folder / "trials.csv")
    if options.final:
        results = sweep.final(study, train, val, test, folder, photos=photos, verbose=2)
        _show(results, data_dir, folder / "final")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _recipe(name: str) -> Any:
    from . import training

    recipes = training.RECIPES | training.REPORT_EXPERIMENTS
    if name not in recipes:
        raise ValueError(f"`--recipe` must be one of {', '.join(recipes)}. Received: {name}")
    return recipes[name]


def _training_photos(data_dir: Path, pairs: datasets.Pairs, val: datasets.Pairs) -> dict[str, list[str]]:
    """All photos of the people in the training file who are not held out for validation."""
    people = pairs.identities() - val.identities()
    return {
        name: paths
        for name, paths in datasets.photos_by_identity(data_dir / "train").items()
        if name in people
    }


def _report(options: argparse.Namespace) -> None:
    from . import run_report

    if len(options.runs) == 1:
        print(run_report.write_run_report(options.runs[0], options.output))
    else:
        print(run_report.compare_runs(options.runs, options.output or Path("comparison.html")))


def _toy_data() -> Path:
    folder = Path("data/toy")
    faces = datasets.make_toy_faces(folder / "drawn")
    datasets.organize_lfw_a(
        faces / "lfw2",
        folder,
        train_pairs=faces / "pairsDevTrain.txt",
        test_pairs=faces / "pairsDevTest.txt",
    )
    return folder


def _show(results: dict, data_dir: Path, run_dir: Path) -> None:
    from . import training

    print(f"\nSome test pairs ({data_dir}), drawn at random; the network has never seen these people:")
    print(training.examples_table(read_json(run_dir / "scores.json"), results))
    print(f"\nAll pairs of {data_dir}:")
    print(training.results_table(results))
    print(training.describe(results))
    pictures = ", ".join(map(str, sorted(run_dir.glob("*.png"))))
    print(f"The run's page, with its worst mistakes: {run_dir / 'report.html'}\nPictures: {pictures}")


def _verify(options: argparse.Namespace) -> int:
    from .verifier import Verifier

    answer = Verifier.load(options.run_dir).verify(options.a, options.b)
    if options.json:
        print(json.dumps(asdict(answer)))
    else:
        print(
            f"{'same' if answer.same else 'different'} (score {answer.score:.4f}, threshold {answer.threshold:.4f}, "
            f"probability of the same person {answer.probability:.1%})"
        )
    return 0 if answer.same else 3


def _identify(options: argparse.Namespace) -> int:
    from .verifier import Gallery, Verifier

    verifier = Verifier.load(options.run_dir)
    of_file = options.gallery.suffix == ".npz"
    gallery = Gallery.load(options.gallery) if of_file else verifier.gallery(options.gallery)
    answer = verifier.identify(options.photo, gallery, k=5)
    if options.json:
        print(json.dumps(asdict(answer)))
    else:
        print("unknown" if answer.name is None else answer.name)
        print(f"Threshold {answer.threshold:.4f}; the most alike:")
        for candidate in answer.candidates:
            print(f"  {candidate.score:.4f}  {candidate.probability:6.1%}  {candidate.name}")
    return 3 if answer.name is None else 0


def _cluster(options: argparse.Namespace) -> None:
    from .verifier import Verifier, photos_in

    photos = photos_in(options.folder)
    labels = Verifier.load(options.run_dir).cluster(photos).tolist()
    people = [
        [str(photo) for photo, label in zip(photos, labels, strict=True) if label == number]
        for number in range(max(labels) + 1)
    ]
    if options.json:
        print(json.dumps(people))
        return
    for number, paths in enumerate(people):
        print(f"person {number}:", *paths, sep="\n  ")
