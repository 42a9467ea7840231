"""The command that makes a verifier of somebody else's network."""

import argparse
import json
from pathlib import Path

from .. import datasets
from ..files import write_text
from ..runs.folder import PAGE

REPORT = "report.json"


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser(
        "verifier", help="make a verifier of anybody's network: threshold and figures from your own people"
    )
    parts = command.add_subparsers(required=True, metavar="COMMAND")
    command = parts.add_parser(
        "make",
        help="choose the threshold on some people, and report on others",
        epilog="verify, identify, cluster take OUTPUT as they take a run",
    )
    network = command.add_mutually_exclusive_group(required=True)
    network.add_argument("--onnx", type=Path, metavar="FILE", help="a network for ONNX Runtime (extra onnx)")
    network.add_argument("--keras", type=Path, metavar="FILE", help="a .keras file")
    command.add_argument(
        "--data",
        type=Path,
        required=True,
        help="organised LFW-a, or a folder with a folder of photos for each person",
    )
    command.add_argument("output", type=Path, metavar="OUTPUT", help="the folder to make")
    command.add_argument(
        "--faces",
        choices=["arcface", "lfw-a", "as-they-are"],
        default="as-they-are",
        help="where the network wants the face; default: nowhere, it takes photos as they are",
    )
    command.add_argument("--mean", type=float, metavar="N", help="taken from each pixel, of [0, 255]")
    command.add_argument("--std", type=float, metavar="N", help="by which what remains is divided")
    command.add_argument("--colours", choices=["rgb", "bgr"], help="the order of an ONNX file's channels")
    command.add_argument("--metric", choices=["cosine", "euclidean"], help="how vectors are compared")
    command.add_argument("--plda", action="store_true", help="fit PLDA to the training people")
    command.add_argument("--cohort", action="store_true", help="normalise scores by the training people")
    command.add_argument("--seed", type=int, default=0, help="of the split of your own people (default: 0)")
    command.set_defaults(run=_make)


def _make(options: argparse.Namespace) -> None:
    from .. import faces
    from ..verification.embedding import Embedding
    from ..verification.verifier import Verifier

    frames = {"arcface": faces.ARCFACE, "lfw-a": faces.LFW_A, "as-they-are": None}
    more = {name: getattr(options, name) for name in ("mean", "std", "colours", "metric")}
    more = {name: value for name, value in more.items() if value is not None}
    if options.keras and "colours" in more:
        raise ValueError("`--colours` is for ONNX files; a Keras model gets RGB. Leave it out")
    make = Embedding.of_onnx if options.onnx else Embedding.of_keras
    try:
        embedding = make(options.onnx or options.keras, frame=frames[options.faces], **more)
    except ImportError as error:
        raise ValueError(error) from error
    validation, test, photos = _sides(options)
    verifier = Verifier.fit(
        embedding,
        validation,
        plda=photos if options.plda else None,
        cohort=photos if options.cohort else None,
    )
    verifier.save(options.output)
    report = verifier.report(test, page=options.output / PAGE)
    write_text(options.output / REPORT, json.dumps(report.as_dict(), indent=1) + "\n")
    print(report.table())
    print(
        f"Threshold chosen on {len(validation)} pairs of {len(validation.identities())} other people. Whom "
        "the network was trained on is not known: if they are among these, the figures flatter.\n"
        f"Page: {options.output / PAGE}\n{options.output}: `siamese-nn verify`, `identify` and `cluster` "
        "take it as a run"
    )


def _sides(options: argparse.Namespace) -> tuple[datasets.Pairs, datasets.Pairs, dict[str, list[str]]]:
    """Pairs to choose on, pairs to report on, and photos of others."""
    if (options.data / "lfw_a.json").exists():
        pairs, test = datasets.load_lfw_a(options.data)
        _, validation = datasets.split_identities(pairs, exclude=test)
        photos = datasets.training_photos(options.data / "train", pairs, validation)
    else:
        own = datasets.load_people(options.data, seed=options.seed)
        validation, test, photos = own.validation, own.test, own.photos
    return validation, test, photos
