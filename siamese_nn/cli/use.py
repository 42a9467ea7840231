"""The commands that use a trained run."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any


def add(commands: argparse._SubParsersAction) -> None:
    """Adds them to the parser."""
    command = commands.add_parser(
        "verify",
        help="are two photos of the same person, by a trained run",
        epilog="exit codes: 0 same, 3 different, 1 an error, 2 wrong usage",
    )
    add_run(command)
    command.add_argument("a", type=Path, metavar="A", help="a photo")
    command.add_argument("b", type=Path, metavar="B", help="another photo")
    _add_align(command)
    command.set_defaults(run=_verify)

    command = commands.add_parser(
        "identify",
        help="who of a gallery is on a photo, by a trained run",
        epilog="exit codes: 0 known, 3 unknown, 1 an error, 2 wrong usage",
    )
    add_run(command)
    command.add_argument("photo", type=Path, metavar="PHOTO")
    command.add_argument(
        "--gallery",
        type=Path,
        required=True,
        metavar="FOLDER_OR_NPZ",
        help="a folder with a folder of photos for each person, or a file that Gallery.save wrote",
    )
    _add_align(command)
    limit = command.add_mutually_exclusive_group()
    limit.add_argument(
        "--fpir",
        type=float,
        default=0.01,
        metavar="RATE",
        help="share of strangers that may get a name, at most (default: 0.01)",
    )
    limit.add_argument(
        "--threshold", type=float, metavar="SCORE", help="the score from which on a photo gets a name"
    )
    command.set_defaults(run=_identify)

    command = commands.add_parser("cluster", help="sort a folder's photos into people, by a trained run")
    add_run(command)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="photos, or folders of them")
    _add_align(command)
    command.set_defaults(run=_cluster)


def add_run(command: argparse.ArgumentParser) -> None:
    """Adds the arguments of every command over a trained run."""
    command.add_argument("run_dir", type=Path, metavar="RUN", help="the folder that train made")
    command.add_argument("--json", action="store_true", help="print the answer as JSON")


def _add_align(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--align",
        action=argparse.BooleanOptionalAction,
        help="find the face in each photo, that nearest its middle, and put it where the training has it "
        "(default: where the run knows that place, and siamese_nn[faces] is installed)",
    )


def _verify(options: argparse.Namespace) -> int:
    from ..verification.verifier import Verifier

    verifier = Verifier.load(options.run_dir)
    answer = verifier.verify(options.a, options.b, align=options.align)
    if options.json:
        print(json.dumps(asdict(answer)))
    else:
        print(
            f"{'same' if answer.same else 'different'} (score {answer.score:.4f}, "
            f"threshold {answer.threshold:.4f}, probability of the same person {answer.probability:.1%})"
        )
    return 0 if answer.same else 3


def _identify(options: argparse.Namespace) -> int:
    from ..verification.verifier import Gallery, Verifier

    verifier = Verifier.load(options.run_dir)
    of_file = options.gallery.suffix == ".npz"
    if of_file:
        gallery = Gallery.load(options.gallery)
    else:
        gallery = verifier.gallery(options.gallery, align=options.align)
    answer = verifier.identify(
        options.photo, gallery, k=5, fpir=options.fpir, threshold=options.threshold, align=options.align
    )
    if options.json:
        print(json.dumps(asdict(answer)))
        return 3 if answer.name is None else 0
    print("unknown" if answer.name is None else answer.name)
    print(f"Threshold {answer.threshold:.4f}, for a gallery of {len(gallery)} photos:")
    print(f"  strangers that get a name (FPIR): {_percent(answer.fpir)}")
    print(f"  people in it that don't get theirs (FNIR): {_percent(answer.fnir)}")
    print(f"  by {verifier.held_out.n_people} people whom the training has not seen")
    print("The most alike:")
    for candidate in answer.candidates:
        print(f"  {candidate.score:.4f}  {candidate.name}")
    return 3 if answer.name is None else 0


def _percent(rate: Any) -> str:
    if rate is None:
        return "not known, too few people were held out"
    interval = "" if rate.interval is None else " ({:.1%} to {:.1%})".format(*rate.interval)
    return f"about {rate.estimate:.1%}{interval}"


def _cluster(options: argparse.Namespace) -> None:
    from ..datasets.photo_folders import photos_in
    from ..verification.verifier import Verifier

    verifier = Verifier.load(options.run_dir)
    photos = photos_in(options.folder, verifier.photo_endings(options.align))
    labels = verifier.cluster(photos, align=options.align).tolist()
    people = [
        [str(photo) for photo, label in zip(photos, labels, strict=True) if label == number]
        for number in range(max(labels) + 1)
    ]
    if options.json:
        print(json.dumps(people))
        return
    for number, paths in enumerate(people):
        print(f"person {number}:", *paths, sep="\n  ")
