"""The commands that bring photos and pairs in order."""

import argparse
from functools import partial
from pathlib import Path

from .. import datasets
from ..datasets.shard_writing import require_new_or_shards
from .people import write_pairs


def add(commands: argparse._SubParsersAction) -> None:
    """Adds them to the parser."""
    command = commands.add_parser("download", help="download LFW-a, or the pair files of LFW")
    command.add_argument("what", choices=["lfw-a", "pairs"])
    command.add_argument("--to", type=Path, default=Path("data"), metavar="FOLDER", help="default: data")
    command.set_defaults(run=_download)

    command = commands.add_parser("organize", help="sort the photos of LFW-a into train/, test/ and unused/")
    command.add_argument("source", type=Path, help="lfw2.zip, lfwa.tar.gz, or the unpacked folder")
    command.add_argument("output", type=Path, help="the folder to make, for instance data/lfw-a")
    for side in ("Train", "Test"):
        command.add_argument(
            f"--{side.lower()}-pairs",
            type=Path,
            metavar="FILE",
            help=f"default: pairsDev{side}.txt beside SOURCE",
        )
    command.set_defaults(run=_organize)

    command = commands.add_parser(
        "align", help="find the face in each photo of a folder, and write aligned copies"
    )
    command.add_argument(
        "source",
        type=Path,
        help="a folder with a folder of photos for each person, or with photos, or an organised LFW-a",
    )
    command.add_argument(
        "output", type=Path, help="the folder to make; the same command goes on after it was cut off"
    )
    command.add_argument(
        "--face",
        choices=["middle", "largest"],
        default="middle",
        help="the face to take of several: the one nearest the middle of the photo (default), or the largest",
    )
    command.set_defaults(run=_align)

    command = commands.add_parser(
        "shards", help="write people's photos into a few large files, to train on more than memory holds"
    )
    command.add_argument(
        "source",
        type=Path,
        help="a folder with a folder of aligned photos for each person, or an InsightFace set's train.rec",
    )
    command.add_argument(
        "output", type=Path, help="the folder to make; the same command goes on after it was cut off"
    )
    command.add_argument(
        "--align",
        action="store_true",
        help="find the face in each photo first, as `train --align` does, into SOURCE-aligned",
    )
    command.set_defaults(run=_shards)

    command = commands.add_parser("check", help="check that a copy of LFW-a is whole, by counts and by hash")
    command.add_argument("data", type=Path, help="archive, unpacked folder or organised folder")
    command.set_defaults(run=_check)

    command = commands.add_parser(
        "pairs",
        help="count the pairs of an organised folder, or make pairs of your own people",
        usage="%(prog)s [-h] [--letters LETTERS] DATA\n"
        "       %(prog)s make [-h] [--folds N] [--seed SEED] --out FOLDER PEOPLE",
    )
    command.add_argument(
        "words",
        nargs="+",
        metavar="DATA",
        help="an organised folder; or the word make, and a folder with a folder of photos for each person",
    )
    command.add_argument("--out", type=Path, metavar="FOLDER", help="where make writes the pair files")
    command.add_argument(
        "--folds",
        dest="n_folds",
        type=int,
        metavar="N",
        help="make files for N folds, as `train --folds` has them",
    )
    command.add_argument("--seed", type=int, default=0, help="of the draw that make does (default: 0)")
    command.add_argument(
        "--letters", default="ABCDE", help="first letters of the validation people (default: ABCDE)"
    )
    command.set_defaults(run=_pairs)


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
    )
    print(f"{options.output}: " + ", ".join(f"{count:,} photos in {name}/" for name, count in counts.items()))


def _align(options: argparse.Namespace) -> None:
    align_folder(options.source, options.output, options.face)


def _shards(options: argparse.Namespace) -> None:
    require_new_or_shards(options.source, options.output)  # before hours of aligning
    source = aligned(options.source, "middle") if options.align else options.source
    counts = datasets.write_shards(source, options.output)
    print(f"{options.output}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))


def aligned(source: Path, face: str) -> Path:
    """Aligns a folder's photos into one beside it, and returns that."""
    output = source.with_name(f"{source.resolve().name}-aligned")
    align_folder(source, output, face)
    return output


def align_folder(source: Path, output: Path, face: str) -> None:
    """Aligns a folder's photos, and prints which were not, and why."""
    organized = (source / "lfw_a.json").is_file()
    if organized and face != "middle":
        raise ValueError("LFW-a's photos show the person in their middle. Received: --face largest")
    align = datasets.align_lfw_a if organized else partial(datasets.align_folder, face=face)
    rows = align(source, output)
    for row in rows:
        if row["reason"]:
            print(f"{row['photo']}: {row['result']}: {row['reason']}")
    photos = [row for row in rows if row["result"] != "left out"]
    aligned = sum(row["result"] == "aligned" for row in photos)
    if not aligned:
        raise ValueError(f"{output}: of {len(photos)} photos none could be aligned; photos.csv says why")
    rest = "the others stay as they were, and " if organized and aligned < len(photos) else ""
    print(
        f"{output}: {aligned} of {len(photos)} photos are aligned; {rest}photos.csv says what became of each"
    )


def _check(options: argparse.Namespace) -> None:
    counts = datasets.check_lfw_a(options.data)
    print(
        f"{options.data}: LFW-a, whole: " + ", ".join(f"{count:,} {name}" for name, count in counts.items())
    )


def _pairs(options: argparse.Namespace) -> None:
    first, *others = options.words
    if first == "make":
        if len(others) != 1 or options.out is None:
            raise ValueError(
                "`pairs make` wants one folder, and where to write: pairs make PEOPLE --out FOLDER. "
                f"Received: {' '.join(others) or 'no folder'}, --out {options.out}"
            )
        write_pairs(Path(others[0]), options.out, options.n_folds, options.seed)
        return
    if others or options.out is not None or options.n_folds is not None:
        raise ValueError(
            "`pairs` wants one organised folder; `--out` and `--folds` belong to `pairs make`. Received: "
            f"{' '.join(options.words)}"
        )
    pairs, test = datasets.load_lfw_a(Path(first))
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


def data_folder(name: str) -> Path:
    """Returns the organised folder that `--data` names; toy is drawn first."""
    if name != "toy":
        return Path(name)
    folder = Path("data/toy")
    faces = datasets.make_toy_faces(folder / "drawn")
    datasets.organize_lfw_a(
        faces / "lfw2",
        folder,
        train_pairs=faces / "pairsDevTrain.txt",
        test_pairs=faces / "pairsDevTest.txt",
    )
    return folder


def words(name: str, text: str | None) -> list[str]:
    """Returns the words, parted by commas, that an option was given; none if it wasn't."""
    found = [word.strip() for word in (text or "").split(",") if word.strip()]
    if text is not None and not found:
        raise ValueError(f"`--{name}` must name something, or be left out. Received: {text!r}")
    return found
