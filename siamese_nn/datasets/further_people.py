"""A second data set to learn from: its people are added to those of a training, and none is on two sides."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from .cfp import NAMES, cfp_photos
from .frames import known_frame
from .images import photo_sizes
from .lfw_a_folder import lfw_a_photos
from .own_people import OwnPeople
from .photo_folders import photos_by_identity
from .splits import spelling

logger = logging.getLogger(__name__)


def all_people(folder: str | os.PathLike) -> dict[str, list[str]]:
    """Lists all photos of a data set by person.

    Args:
        folder: what `organize_lfw_a` or `organize_cfp` made, or a folder with a folder of photos for each
            person, as in `photos_by_identity`.

    Returns:
        The paths of each person's photos.

    Raises:
        FileNotFoundError, PairFileError, ValueError: as in `lfw_a_photos`, `cfp_photos` and
            `photos_by_identity`.

    Example:
        >>> len(all_people("faces/lfw2")), len(all_people("cfp"))
        (64, 20)
    """
    folder = Path(folder)
    if (folder / "lfw_a.json").exists():
        return lfw_a_photos(folder)
    return cfp_photos(folder) if (folder / NAMES).exists() else photos_by_identity(folder)


def add_people(folds: Sequence[OwnPeople], people: Mapping[str, Sequence[str]]) -> list[OwnPeople]:
    """Adds the people of a second data set to those whom trainings learn from.

    The first data set alone validates and tests. Of the second, everybody is added but those who are on a
    validation or test pair of the training. People are matched by their names, as in `without_people`, so
    that `LeBron_James` and `Lebron James` are one person: somebody of both data sets has the photos of both,
    under the first one's name. The log says how many are added, are in both, and are left out.

    Args:
        folds: the trainings, each with `photos`; for a single one `[own]`.
        people: the photos of each person of the second data set, as `all_people` lists them.

    Returns:
        The trainings, with more `photos`; their pairs stay.

    Raises:
        ValueError: if a training has no `photos`, or the photos of the two data sets are not of one size, or
            don't have the faces in one place; see `known_frame`.
        ImageError: if a photo can't be read.

    Example:
        >>> from siamese_nn import datasets
        >>> own = datasets.load_people("faces/lfw2")
        >>> photos = ["faces/lfw2/Ada_Adler/Ada_Adler_0001.jpg"]
        >>> [joined] = add_people([own], {"ZOE": photos, min(own.test.identities()).upper(): photos})
        >>> len(own.photos), len(joined.photos)  # who is on a test pair is left out
        (38, 39)
    """
    if isinstance(folds, OwnPeople) or not all(fold.photos for fold in folds):
        received = "one that is no list" if isinstance(folds, OwnPeople) else "one without"
        raise ValueError(
            "`folds` must be a list of trainings, `[own]` for one, each with `photos`, as `load_people` and "
            f"`folds_in_turn(folds, photos)` give them. Received: {received}"
        )
    if any(people.values()):
        _require_alike(folds, people)
    return [_with_people(fold, people, number) for number, fold in enumerate(folds, 1)]


def _require_alike(folds: Sequence[OwnPeople], people: Mapping[str, Sequence[str]]) -> None:
    pairs = chain.from_iterable((fold.train, fold.validation, fold.test) for fold in folds)
    first = {path for each in pairs for path in each.distinct_images()[0].tolist()}
    first.update(path for fold in folds for own in fold.photos.values() for path in own)
    paths = sorted(first), sorted(chain.from_iterable(people.values()))
    frames, sizes = [known_frame(each) for each in paths], [set(photo_sizes(each)) for each in paths]
    if frames[0] != frames[1] or len(set.union(*sizes)) > 1:
        received = (
            f"{each[0]} and others, of {' and '.join(f'{h} x {w}' for h, w in sorted(size)[:2])} pixels, "
            f"with the faces {'in a place that is not known' if frame is None else f'where {frame} says'}"
            for each, size, frame in zip(paths, sizes, frames, strict=True)
        )
        raise ValueError(
            "Photos of two data sets must have one size, and the faces in one place. Received: "
            f"{'; '.join(received)}. Align both: `siamese-nn align`, `cfp organize --align`"
        )
    if frames[0] is None:
        logger.warning(
            "it is not known where the faces are in %s and %s. Unless they are in one place in all photos, "
            "align both",
            *(each[0] for each in paths),
        )


def _with_people(fold: OwnPeople, people: Mapping[str, Sequence[str]], number: int) -> OwnPeople:
    held_out = {spelling(name) for name in fold.validation.identities() | fold.test.identities()}
    names = {spelling(name): name for name in fold.photos}
    photos = {name: list(own) for name, own in fold.photos.items()}
    added, left_out, before = 0, 0, len(photos)
    for name, own in sorted(people.items()):
        if spelling(name) in held_out:
            left_out += 1
            continue
        there = photos.setdefault(names.setdefault(spelling(name), name), [])
        there.extend(path for path in own if path not in there)  # none counts twice
        added += 1
    new = len(photos) - before
    logger.info(
        "training %d: people of the second data set: %d added, %d of them to somebody who is there; %d left "
        "out, who validate or test",
        *(number, added, added - new, left_out),
    )
    return replace(fold, photos=photos)
