"""The commands that use a trained run."""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..verification.gallery import Gallery
    from ..verification.loaded import LoadedVerifier
    from ..verification.verifier import Verifier


def add(commands: argparse._SubParsersAction) -> None:
    """Adds them to the parser."""
    command = commands.add_parser(
        "verify",
        help="say whether two photos show the same person",
        epilog="exit codes: 0 same, 3 different, 1 an error, 2 wrong usage",
    )
    add_run(command)
    add_function(command)
    command.add_argument("a", type=Path, metavar="A", help="a photo")
    command.add_argument("b", type=Path, metavar="B", help="another photo")
    add_align(command)
    command.set_defaults(run=_verify)

    command = commands.add_parser(
        "identify",
        help="say who of a gallery is on a photo, or that nobody is",
        epilog="exit codes: 0 known, 3 unknown, 1 an error, 2 wrong usage",
    )
    add_run(command)
    add_function(command)
    command.add_argument("photo", type=Path, metavar="PHOTO")
    command.add_argument(
        "--gallery",
        type=Path,
        required=True,
        metavar="FOLDER_OR_NPZ",
        help="known people: a folder with a folder of photos for each, one that `siamese-nn gallery add` "
        "made, or a file that Gallery.save wrote",
    )
    command.add_argument(
        "--index",
        choices=("faiss",),
        help="search with the index that `siamese-nn gallery index` made (default: search all)",
    )
    add_align(command)
    limit = command.add_mutually_exclusive_group()
    add_fpir(limit)
    limit.add_argument(
        "--threshold", type=float, metavar="SCORE", help="the score from which on a photo gets a name"
    )
    command.set_defaults(run=_identify)

    command = commands.add_parser("cluster", help="sort the photos of a folder by person")
    add_run(command)
    add_function(command)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="photos, or folders of them")
    add_align(command)
    command.set_defaults(run=_cluster)


def add_run(command: argparse.ArgumentParser) -> None:
    """Adds the arguments of every command over a trained run."""
    command.add_argument(
        "run_dir", type=Path, metavar="RUN", help="the folder of a run, or what `verifier make` left"
    )
    command.add_argument("--json", action="store_true", help="print the answer as JSON")


def add_fpir(command: argparse._ActionsContainer) -> None:
    """Adds the argument of the commands that look for somebody in a gallery."""
    command.add_argument(
        "--fpir",
        type=float,
        default=0.01,
        metavar="RATE",
        help="the share of strangers who may get a name, at most (default: 0.01)",
    )


def add_function(command: argparse.ArgumentParser) -> None:
    """Adds the argument of the commands that `load_verifier` serves."""
    command.add_argument(
        "--function",
        metavar="MODULE:NAME",
        help="the function, if the verifier uses one of yours; modules in this folder are found",
    )


def load_verifier(options: argparse.Namespace) -> "Verifier":
    """Loads the verifier that a command names, with its function if it is over one."""
    from ..verification.verifier import Verifier

    if options.function is None:
        return Verifier.load(options.run_dir)
    find_own_modules()
    return Verifier.load(options.run_dir, function=options.function)


def find_own_modules() -> None:
    """Lets modules in the present folder be imported, as `python -m` does."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def add_align(command: argparse.ArgumentParser) -> None:
    """Adds the argument of the commands that bring photos to a trained run."""
    command.add_argument(
        "--align",
        action=argparse.BooleanOptionalAction,
        help="find the face nearest the middle of each photo, and put it where the training has it (default: "
        "if the run knows that place, and siamese_nn[faces] is installed)",
    )


def _verify(options: argparse.Namespace) -> int:
    verifier = load_verifier(options)
    answer = verifier.verify(options.a, options.b, align=options.align)
    if options.json:
        print(json.dumps(asdict(answer)))
    else:
        print(
            f"{'same' if answer.same else 'different'} (score {answer.score:.4f}, "
            f"threshold {answer.threshold:.4f}, probability of the same person {answer.probability:.1%})"
        )
    return 0 if answer.same else 3


def gallery_of(verifier: "LoadedVerifier", path: Path, align: bool | None, index: str | None = None) -> Any:
    """Returns the gallery that a file or a folder holds, stored or not, or that its photos make."""
    from ..verification.gallery import Gallery
    from ..verification.stored_gallery import LOG, StoredGallery

    if (path / LOG).exists():
        return StoredGallery(path, index=index)
    if index:
        raise ValueError(f"--index is for what `siamese-nn gallery add` made. Received: {path}")
    if path.suffix == ".npz":
        return Gallery.load(path)
    return gallery_of_folder(verifier, path, align)


def gallery_of_folder(verifier: "LoadedVerifier", folder: Path, align: bool | None) -> "Gallery":
    """Returns the gallery of a folder of people. Photos that can't be used are left out, by name."""
    from ..datasets.photo_folders import people_in, some
    from ..verification.photos import of_usable

    people = people_in(folder, verifier.photo_endings(align))
    owners = {photo: name for name, own in people.items() for photo in own}

    def of_photos(kept: list[Path]) -> "Gallery":
        by_name: dict[str, list[Path]] = {}
        for photo in kept:
            by_name.setdefault(owners[photo], []).append(photo)
        return verifier.gallery(by_name, align=align)

    photos, gallery = of_usable(list(owners), of_photos)
    if lost := sorted(people.keys() - {owners[photo] for photo in photos}):
        print(f"no photo is left of {some(lost)}", file=sys.stderr)
    return gallery


def _identify(options: argparse.Namespace) -> int:
    from ..verification.stored_gallery import StoredGallery

    verifier = load_verifier(options)
    gallery = gallery_of(verifier, options.gallery, options.align, options.index)
    if isinstance(gallery, StoredGallery):
        gallery = gallery.view()
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
    from ..verification.photos import of_usable

    verifier = load_verifier(options)
    photos = photos_in(options.folder, verifier.photo_endings(options.align))
    photos, found = of_usable(photos, lambda kept: verifier.cluster(kept, align=options.align))
    labels = found.tolist()
    people = [
        [str(photo) for photo, label in zip(photos, labels, strict=True) if label == number]
        for number in range(max(labels) + 1)
    ]
    if options.json:
        print(json.dumps(people))
        return
    for number, paths in enumerate(people):
        print(f"person {number}:", *paths, sep="\n  ")
