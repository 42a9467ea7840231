"""The command `siamese-nn`: parses, calls the library, prints."""

import argparse
import logging
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path

from . import __version__, datasets
from .files import read_json


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the words after `siamese-nn`; `None` takes those of the process.

    Returns:
        The exit code: 0 done, 1 an error that the message explains, 2 wrong usage, 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.captureWarnings(True)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}"
    # TensorFlow's own messages drown ours; whoever wants them sets the variable.
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        options.run(options)
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
    return 0


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
    command.add_argument("--epochs", type=int, help="the most epochs to train (default: the recipe's)")
    command.set_defaults(run=_train)
    return parser


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

    recipes = training.RECIPES | training.REPORT_EXPERIMENTS
    name = options.recipe or ("l1_sigmoid" if options.data == "toy" else "5.1")
    if name not in recipes:
        raise ValueError(f"`--recipe` must be one of {', '.join(recipes)}. Received: {name}")
    recipe = replace(recipes[name], split=options.split, seed=options.seed)
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs)
    data_dir = _toy_data() if options.data == "toy" else Path(options.data)
    pairs, test = datasets.load_lfw_a(data_dir)
    train, val = recipe.split_pairs(pairs, exclude=test)
    length = "" if options.epochs is None else f"-{options.epochs}-epochs"
    run_dir = options.run_dir or Path("runs") / f"{data_dir.name}-{name}-{recipe.split}-{recipe.seed}{length}"
    try:
        results = training.train(recipe, train, val, run_dir, test=test, verbose=2)
    except KeyboardInterrupt:
        if (run_dir / "results.json").exists():
            _show(read_json(run_dir / "results.json"), data_dir, run_dir)
        raise
    _show(results, data_dir, run_dir)


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
    print(f"Pictures: {run_dir / 'accuracy.png'}, {run_dir / 'loss.png'}, {run_dir / 'pairs.png'}")
