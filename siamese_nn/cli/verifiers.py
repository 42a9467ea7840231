"""The command that makes a verifier of somebody else's network."""

import argparse
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .. import datasets
from ..files import write_text
from ..runs.folder import PAGE
from .use import find_own_modules

if TYPE_CHECKING:
    from ..verification.embedding import Embedding

T = TypeVar("T")

REPORT = "report.json"
_logger = logging.getLogger(__name__)
# Of what is said about a network, what each kind takes.
_TAKES = {
    "onnx": ("mean", "std", "colours", "metric", "name", "image_size", "network_output"),
    "keras": ("mean", "std", "metric", "name"),
    "function": ("metric", "name", "image_size", "channels"),
}


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser(
        "verifier", help="make a verifier of any network, with threshold and figures from your own people"
    )
    parts = command.add_subparsers(required=True, dest="part", metavar="COMMAND")
    command = parts.add_parser(
        "make",
        help="choose the threshold on some people, and report on others",
        epilog="verify, identify, cluster take OUTPUT as they take a run",
    )
    network = command.add_mutually_exclusive_group(required=True)
    network.add_argument("--onnx", type=Path, metavar="FILE", help="a network for ONNX Runtime (extra onnx)")
    network.add_argument("--keras", type=Path, metavar="FILE", help="a .keras file")
    network.add_argument(
        "--function",
        metavar="MODULE:NAME",
        help="a function from uint8 images (n, height, width, channels) to (n, d) numbers; modules in this "
        "folder are found",
    )
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
    command.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="of a function's images, or where an ONNX file leaves it open",
    )
    command.add_argument("--channels", type=int, choices=[1, 3], help="of a function's images (default: 3)")
    command.add_argument(
        "--network-output",
        metavar="NAME_OR_NUMBER",
        help="which output of an ONNX file is the vector (default: the first, 0)",
    )
    command.add_argument("--name", help="what the network is called (default: its file or function)")
    command.add_argument("--metric", choices=["cosine", "euclidean"], help="how vectors are compared")
    command.add_argument("--plda", action="store_true", help="fit PLDA to the training people")
    command.add_argument("--cohort", action="store_true", help="normalise scores by the training people")
    command.add_argument("--seed", type=int, default=0, help="of the split of your own people (default: 0)")
    command.set_defaults(run=_make)


def _make(options: argparse.Namespace) -> None:
    from ..runs.summary import accuracy_in_words
    from ..verification import fitted
    from ..verification.photos import photo_endings
    from ..verification.verifier import Verifier

    fitted.require_new(options.output)
    embedding = _embedding(options)
    validation, test, photos = _sides(options, photo_endings(embedding, None))
    photos = photos if options.plda or options.cohort else {}
    validation, verifier = _of_usable(
        validation,
        photos,
        lambda pairs, others: Verifier.fit(
            embedding,
            pairs,
            plda=others if options.plda else None,
            cohort=others if options.cohort else None,
        ),
    )
    verifier.save(options.output)
    page = options.output / PAGE
    test, report = _of_usable(test, {}, lambda pairs, _: verifier.report(pairs, page=page))
    write_text(options.output / REPORT, json.dumps(report.as_dict(), indent=1) + "\n")
    print(report.table())
    print(
        f"The threshold was chosen on {len(validation)} pairs of {len(validation.identities())} other people."
        " It is not known on whom the network was trained: if they are among these, the figures flatter.\n"
        f"`siamese-nn verify`, `identify` and `cluster` take {options.output} as a run"
        + (f", with `--function {options.function}`" if options.function else "")
        + f".\nResult: {accuracy_in_words(report)} on people who chose no threshold. Page: {page}"
    )


def _embedding(options: argparse.Namespace) -> "Embedding":
    from .. import faces
    from ..verification.embedding import Embedding
    from ..verification.fitted import imported

    frames = {"arcface": faces.ARCFACE, "lfw-a": faces.LFW_A, "as-they-are": None}
    (kind,) = (name for name in _TAKES if getattr(options, name) is not None)
    given = {
        name: getattr(options, name) for name in sorted({name for names in _TAKES.values() for name in names})
    }
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in _TAKES[kind]:
            kinds = " and ".join(f"`--{other}`" for other, names in _TAKES.items() if name in names)
            raise ValueError(
                f"`--{name.replace('_', '-')}` is for {kinds}. Received it with `--{kind}`. Leave it out"
            )
    given["frame"] = frames[options.faces]
    if "image_size" in given:
        given["image_size"] = tuple(given["image_size"])
    if "network_output" in given:
        given["output"] = given.pop("network_output")
    if kind == "function":
        if "image_size" not in given:
            raise ValueError("`--function` needs `--image-size HEIGHT WIDTH`. Received none")
        find_own_modules()
        return Embedding(imported(options.function), **{"name": options.function, **given})
    make = Embedding.of_onnx if kind == "onnx" else Embedding.of_keras
    try:
        return make(getattr(options, kind), **given)
    except ImportError as error:
        raise ValueError(error) from error


def _of_usable(
    pairs: datasets.Pairs,
    photos: Mapping[str, Sequence[str]],
    call: Callable[[datasets.Pairs, dict[str, list[str]]], T],
) -> tuple[datasets.Pairs, T]:
    """Calls with pairs and photos by person, without the photos that can't be used, which are named."""
    from ..verification.photos import of_usable

    def of_photos(kept: list[str]) -> tuple[datasets.Pairs, T]:
        usable = set(kept)
        some = pairs[np.isin(pairs.left, kept) & np.isin(pairs.right, kept)]
        others = {name: [path for path in own if path in usable] for name, own in photos.items()}
        return some, call(some, {name: own for name, own in others.items() if own})

    distinct = dict.fromkeys(
        [*pairs.distinct_images()[0].tolist(), *(path for own in photos.values() for path in own)]
    )
    _, (some, found) = of_usable(list(distinct), of_photos)
    if lost := len(pairs) - len(some):
        _logger.warning(
            "%d of %d pairs need photos that were left out, and are left out, too", lost, len(pairs)
        )
    return some, found


def _sides(
    options: argparse.Namespace, endings: tuple[str, ...]
) -> tuple[datasets.Pairs, datasets.Pairs, dict[str, list[str]]]:
    """Pairs to choose on, pairs to report on, and photos of others."""
    if (options.data / "lfw_a.json").exists():
        pairs, test = datasets.load_lfw_a(options.data)
        _, validation = datasets.split_identities(pairs, exclude=test)
        photos = datasets.training_photos(options.data / "train", pairs, validation)
    else:
        own = datasets.load_people(options.data, seed=options.seed, endings=endings)
        validation, test, photos = own.validation, own.test, own.photos
    return validation, test, photos
