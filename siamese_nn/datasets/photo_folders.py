"""Folders of photos: what lies in them, of whom, and what is left out."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

from .pair_files import IMAGE_ENDINGS, person_by_name, photos_by_identity
from .pairs import Pairs

logger = logging.getLogger(__name__)

_MOST_NAMED = 10


def photos_in(folder: str | os.PathLike) -> list[Path]:
    """Lists the JPEG and PNG files of a folder and of the folders in it.

    Hidden files, files of other formats and deeper folders are left out, and named in the log.

    Returns:
        The files, sorted.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if it is no folder, or holds no such file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        if folder.exists():
            raise ValueError(f"{folder} must be a folder with photos. Received: a file")
        raise FileNotFoundError(
            f"{folder} does not exist. Give a folder with photos, or with folders of them"
        )
    photos: list[Path] = []
    left_out: list[Path] = []
    for entry in sorted(folder.iterdir()):
        person = entry.is_dir() and not entry.name.startswith(".")
        for path in sorted(entry.iterdir()) if person else [entry]:
            fits = path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".") and path.is_file()
            (photos if fits else left_out).append(path)
    if left_out:
        logger.warning(
            "%s: left out, being hidden, deeper, or no JPEG or PNG file: %s",
            folder,
            ", ".join(str(path.relative_to(folder)) for path in left_out),
        )
    if not photos:
        raise ValueError(
            f"{folder} must be a folder with photos ({', '.join(IMAGE_ENDINGS)}), or with folders of them. "
            "Received one without"
        )
    return photos


def people_in(folder: str | os.PathLike) -> dict[str, list[Path]]:
    """Lists the photos of a folder, person by person.

    Args:
        folder: with a folder of photos for each person, named like them. Photos that lie in it directly are
            named in LFW's form, `First_Last_0001.jpg`; or each is of another person, named like the photo.

    Returns:
        For each person their photos; of a person's folder without any an empty list.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if it is no folder or holds no photo, or only some photos outside of
            people's folders are named in LFW's form.
    """
    photos, folder = photos_in(folder), Path(folder)
    people: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith("."):
            if _name(entry.name) in people:
                raise ValueError(
                    f"Two people's folders must have two names. Received: {entry}, "
                    "which is written in two ways. Put the photos into one"
                )
            people[_name(entry.name)] = []
    alone = [path for path in photos if path.parent == folder]
    of_lfw = [path for path in alone if person_by_name(path)]
    if 0 < len(of_lfw) < len(alone):
        other = next(path.name for path in alone if path not in of_lfw)
        raise ValueError(
            f"{folder}: photos outside of people's folders must all be named in "
            f"LFW's form, First_Last_0001, or none. Received: {of_lfw[0].name} and {other}. Put "
            "each person's photos into a folder"
        )
    for path in photos:
        name = person_by_name(path) or path.stem if path.parent == folder else path.parent.name
        people.setdefault(_name(name), []).append(path)
    if alone:
        rule = "by their names in LFW's form" if of_lfw else "each of one person, named like the file"
        logger.warning("%s: %d photos outside of people's folders are taken %s", folder, len(alone), rule)
    return people


def _name(name: str) -> str:
    """Returns the one way to write a name that two systems write in two."""
    return normalize("NFC", name)


def some(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def training_photos(image_dir: str | os.PathLike, pairs: Pairs, val: Pairs) -> dict[str, list[str]]:
    """Lists the photos to learn people from: all of those in the training file who are not held out.

    Args:
        image_dir: the folder of their photos, as `photos_by_identity` takes it; of an organised LFW-a
            `train/`.
        pairs: all pairs of the training file, before they were split.
        val: those of them that are held out for validation.

    Returns:
        For each person in `pairs` who isn't in `val`, in alphabetical order, the paths of their photos.

    Raises:
        FileNotFoundError, ValueError: as `photos_by_identity`.

    Example:
        >>> import tempfile
        >>> from siamese_nn import datasets
        >>> faces = datasets.make_toy_faces(tempfile.mkdtemp() + "/toy", n_train_identities=26,
        ...     n_test_identities=6, images_per_identity=4, train_pairs=40, test_pairs=8)
        >>> pairs = datasets.read_pairs(faces / "pairsDevTrain.txt", faces / "lfw2")
        >>> train, val = datasets.split_identities(pairs)
        >>> photos = training_photos(faces / "lfw2", pairs, val)
        >>> train.identities() <= set(photos), val.identities().isdisjoint(photos)
        (True, True)
    """
    people = pairs.identities() - val.identities()
    return {name: own for name, own in photos_by_identity(image_dir).items() if name in people}
