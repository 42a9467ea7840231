"""Lists folders of photos: the photos, their people, and the files that are left out."""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import category, normalize

from .shards import FRAME, is_shards, read_shards

if TYPE_CHECKING:
    from .pairs import Pairs

logger = logging.getLogger(__name__)

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
OTHER_IMAGE_ENDINGS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".tif", ".tiff", ".webp")
# Cameras number their photos as LFW numbers a person's.
_CAMERAS = (
    "cimg dcim dsc dscf dscn foto gopr hpim image img mvc p photo pic pict "
    "picture pxl sam scan screenshot vid wp"
)
_LFW_NAME = re.compile(rf"(?!(?i:{_CAMERAS.replace(' ', '|')})(?:_[0-9]+)+$)(.*[^\W\d_].*)_[0-9]{{4}}")
_MOST_NAMED = 10
LIST, LOCK = "photos.csv", ".lock"  # what `align_folder` writes beside the photos, and `FRAME`


def photos_in(folder: str | os.PathLike, endings: tuple[str, ...] = IMAGE_ENDINGS) -> list[Path]:
    """Lists the photos of a folder and of the folders in it.

    Hidden files, files of other formats and deeper folders are left out. The log names them.

    Args:
        folder: the folder.
        endings: the endings of photos' names; by default those of JPEG and PNG files.

    Returns:
        The files, sorted.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if it is not a folder, or holds no photo.
    """
    folder = Path(folder)
    if not folder.is_dir():
        if folder.exists():
            raise ValueError(f"{folder} must be a folder with photos. Received: a file")
        raise FileNotFoundError(
            f"{folder} does not exist. Give a folder with photos, or with folders of them"
        )
    alone, folders, left_out = listing(folder, endings)
    if left_out:
        logger.warning(
            "%s: left out, being hidden, deeper, or no file that ends in %s: %s",
            folder,
            ", ".join(endings),
            ", ".join(str(path.relative_to(folder)) for path in left_out),
        )
    photos = sorted(chain(alone, *folders.values()))
    if not photos:
        raise ValueError(
            f"{folder} must be a folder with photos ({', '.join(endings)}), or with folders of them. "
            "Received one without"
        )
    return photos


def people_in(folder: str | os.PathLike, endings: tuple[str, ...] = IMAGE_ENDINGS) -> dict[str, list[Path]]:
    """Lists the photos of a folder by person.

    Args:
        folder: a folder with one folder of photos per person, named after the person. Photos directly in it
            either all have names in LFW's form, `First_Last_0001.jpg`, or each is of one person and named
            after the person.
        endings: see `photos_in`.

    Returns:
        The photos of each person; an empty list for a person's folder without photos.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if it is not a folder or holds no photo, only some of the photos outside people's folders
            have names in LFW's form, or two names differ only in letter case, spaces or Unicode form.
    """
    people = people_as_named(folder, endings)
    require_different_names(people)
    return {normalize("NFC", name): own for name, own in people.items()}


def people_as_named(
    folder: str | os.PathLike, endings: tuple[str, ...] = IMAGE_ENDINGS
) -> dict[str, list[Path]]:
    """Lists photos as `people_in` does, but under the folders' own names, which may be spelt alike."""
    photos_in(folder, endings)  # logs what is left out
    folder = Path(folder)
    alone, folders, _ = listing(folder, endings)
    of_lfw = [path for path in alone if person_by_name(path)]
    if 0 < len(of_lfw) < len(alone):
        other = next(path.name for path in alone if path not in of_lfw)
        raise ValueError(
            f"{folder}: photos outside of people's folders must all be named in "
            f"LFW's form, First_Last_0001, or none. Received: {of_lfw[0].name} and {other}. Put "
            "each person's photos into a folder"
        )
    people = dict(folders)
    for path in alone:
        people.setdefault(person_by_name(path) or path.stem, []).append(path)
    if alone:
        rule = "by their names in LFW's form" if of_lfw else "each of one person, named like the file"
        logger.warning("%s: %d photos outside of people's folders are taken %s", folder, len(alone), rule)
    return people


def some(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def photos_by_identity(
    image_dir: str | os.PathLike, endings: tuple[str, ...] = IMAGE_ENDINGS
) -> dict[str, list[str]]:
    """Lists all photos of a folder by person.

    Args:
        image_dir: a folder with a folder for each person, `Ada Lovelace/any name.jpg`; or a flat folder of
            photos with LFW's names, `Ada_Lovelace_0001.jpg`. For an organised LFW-a give `train/`, with
            all photos of the people in the training pairs. Photos end in `.jpg`, `.jpeg` or `.png`. Names
            that begin with a dot are ignored. Or a folder that `write_shards` has made.
        endings: see `photos_in`.

    Returns:
        The paths of each person's photos; people and photos are in alphabetical order. A person's name is the
        name of the folder, or in a flat folder the part before the photo's number.

    Raises:
        FileNotFoundError: if `image_dir` does not exist.
        ValueError: if the person on a photo is not clear: a photo in a flat folder does not have LFW's form,
            photos are beside folders of photos or deeper in a person's folder, or two names differ only in
            letter case, spaces or Unicode form. Or if the folder or a person's folder holds no photo, a photo
            has another format, such as `.heic` or `.webp`, or a name contains a backslash, a tab, a line
            break or another control character.

    Example:
        >>> people = photos_by_identity("faces/lfw2")
        >>> len(people), people["Ada_Adler"][0]
        (64, 'faces/lfw2/Ada_Adler/Ada_Adler_0001.jpg')
    """
    folder = Path(image_dir)
    if not folder.is_dir():
        raise FileNotFoundError(f"`image_dir` must be an existing folder. Received: {folder}")
    if is_shards(folder):
        return read_shards(folder)
    flat, folders, left_out = listing(folder, endings)
    for path in left_out:
        _require_no_photo(path)
    own = {name: photos for name, photos in folders.items() if photos}
    for part in chain(own, (path.name for path in chain(flat, *own.values()))):
        if not is_plain(part):
            raise ValueError(
                "A name of a person or a photo holds no backslash, tab, line break or other control "
                f"character. Received: {part!r} in {folder}. Rename it"
            )
    if own and flat:
        raise ValueError(
            "`image_dir` must hold photos, or a folder of photos for each person, but not both. "
            f"Received: {flat[0]} beside {folder / min(own)}. Move the one or the other"
        )
    if len(own) < len(folders) and not flat:
        empty = folder / min(set(folders) - set(own))
        raise ValueError(f"A person's folder must hold photos. Received one without: {empty}. Remove it")
    people = {name: [str(path) for path in photos] for name, photos in own.items()}
    for path in flat:
        name = person_by_name(path)
        if name is None:
            raise ValueError(
                "In a flat folder a photo is named after its person, First_Last_0001. "
                f"Received: {path}. Rename or remove it, or make a folder for each person"
            )
        people.setdefault(name, []).append(str(path))
    require_different_names(people)
    if not people:
        require_no_set(folder)
        raise ValueError(f"`image_dir` must hold photos. Received a folder without any: {folder}")
    if len(flat) > 1 and len(people) == 1 and "_" not in min(people):  # the names number files, not people
        raise ValueError(
            "In a flat folder a photo is named after its person, "
            f"First_Last_0001. Received: {len(flat)} photos, all of {min(people)!r}, in "
            f"{folder}. Make a folder for each person"
        )
    return dict(sorted(people.items()))


def require_no_set(folder: Path) -> None:
    """Refuses a folder with one of InsightFace's sets, which must become shards first."""
    if (rec := folder / "train.rec").is_file():
        raise ValueError(
            f"A folder of people must hold photos. Received one of InsightFace's sets: {rec}. Make shards of "
            f"it: `siamese-nn shards {rec} SHARDS`"
        )


def person_by_name(photo: Path) -> str | None:
    """Returns the person if a photo's name has LFW's form, `First_Last_0001.jpg`; else `None`."""
    match = _LFW_NAME.fullmatch(photo.stem)
    return None if match is None else match[1]


def is_plain(name: str) -> bool:
    """Returns whether a name can be a file's name, and can be written in one line of UTF-8."""
    return name not in ("", ".", "..") and not any(
        character in "/\\" or category(character) in ("Cc", "Cs") for character in name
    )


def listing(
    folder: Path, endings: tuple[str, ...] = IMAGE_ENDINGS
) -> tuple[list[Path], dict[str, list[Path]], list[Path]]:
    """Lists a folder and its subfolders, sorted.

    Returns:
        The photos directly in the folder; the photos of each subfolder by its name, an empty list for one
        without photos; and the files that are left out: hidden, deeper, or with another ending. The lists do
        not contain the files that `align_folder` writes into its folder.
        The photos in a folder of shards are those of its subfolders.
    """
    if is_shards(folder):
        return [], {name: list(map(Path, own)) for name, own in read_shards(folder).items()}, []
    alone: list[Path] = []
    folders: dict[str, list[Path]] = {}
    left_out: list[Path] = []
    own = (LIST, FRAME, LOCK) if (folder / FRAME).is_file() else ()
    for entry in sorted(entry for entry in folder.iterdir() if entry.name not in own):
        photos = alone
        in_folder = entry.is_dir() and not entry.name.startswith(".")
        if in_folder:
            photos = folders[entry.name] = []
        for path in sorted(entry.iterdir()) if in_folder else [entry]:
            fits = path.suffix.lower() in endings and not path.name.startswith(".") and path.is_file()
            (photos if fits else left_out).append(path)
    return alone, folders, left_out


def _require_no_photo(path: Path) -> None:
    """Refuses a photo among the files that were left out of a folder of people; ignores hidden files."""
    if path.name.startswith("."):
        return
    if path.suffix.lower() in IMAGE_ENDINGS + OTHER_IMAGE_ENDINGS and not path.is_dir():
        raise ValueError(
            f"A photo must be a JPEG or a PNG file. Received: {path}. Let `siamese-nn align` read the "
            "folder, or `train --align`; or convert the photo to JPEG"
        )
    for below, _, names in os.walk(path):
        if any(name.lower().endswith(IMAGE_ENDINGS + OTHER_IMAGE_ENDINGS) for name in names):
            raise ValueError(
                "A person's photos must lie in the person's folder, not deeper. "
                f"Received some in {below}. Move them up"
            )


def require_different_names(names: Iterable[str]) -> None:
    """Refuses two names that a reader or another system takes for one name."""
    for known, name in written_alike(names):
        raise ValueError(
            f"Two people must have two names. Received: {known!r} and {name!r}, one name that is "
            "written in two ways. Put the photos into one folder, or give one person another name"
        )


def written_alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Returns pairs of names that differ only in letter case, spaces or Unicode form."""
    first: dict[str, str] = {}
    pairs = [
        (first.setdefault(" ".join(normalize("NFKC", name).casefold().split()), name), name) for name in names
    ]
    return [(known, name) for known, name in pairs if known != name]


def training_photos(image_dir: str | os.PathLike, pairs: "Pairs", val: "Pairs") -> dict[str, list[str]]:
    """Lists all photos of the training people: of those in the training file who are not held out.

    Args:
        image_dir: the folder of their photos, as in `photos_by_identity`; for an organised LFW-a `train/`.
        pairs: all pairs of the training file, before the split.
        val: the pairs that are held out for validation.

    Returns:
        The paths of the photos of each person in `pairs` who is not in `val`, in alphabetical order.

    Raises:
        FileNotFoundError, ValueError: as in `photos_by_identity`.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTrain.txt", "faces/lfw2")
        >>> train, val = datasets.split_identities(pairs)
        >>> photos = training_photos("faces/lfw2", pairs, val)
        >>> train.identities() <= set(photos), val.identities().isdisjoint(photos)
        (True, True)
    """
    people = pairs.identities() - val.identities()
    return {name: own for name, own in photos_by_identity(image_dir).items() if name in people}
