"""Folders of photos: what lies in them, of whom, and what is left out."""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import category, normalize

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
LIST, FRAME, LOCK = "photos.csv", "frame.json", ".lock"  # what `align_folder` writes beside the photos


def photos_in(folder: str | os.PathLike, endings: tuple[str, ...] = IMAGE_ENDINGS) -> list[Path]:
    """Lists the photos of a folder and of the folders in it.

    Hidden files, files of other formats and deeper folders are left out, and named in the log.

    Args:
        folder: the folder.
        endings: of the files that are photos; by default of JPEG and PNG files.

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
    """Lists the photos of a folder, person by person.

    Args:
        folder: with a folder of photos for each person, named like them. Photos that lie in it directly are
            named in LFW's form, `First_Last_0001.jpg`; or each is of another person, named like the photo.
        endings: see `photos_in`.

    Returns:
        For each person their photos; of a person's folder without any an empty list.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if it is no folder or holds no photo, only some photos outside of people's folders are
            named in LFW's form, or two names differ by letter case, spaces or Unicode form alone.
    """
    people = people_as_named(folder, endings)
    require_different_names(people)
    return {normalize("NFC", name): own for name, own in people.items()}


def people_as_named(
    folder: str | os.PathLike, endings: tuple[str, ...] = IMAGE_ENDINGS
) -> dict[str, list[Path]]:
    """Lists photos as `people_in` does, but under the folders' own names, which may be written alike."""
    photos_in(folder, endings)  # says what is left out
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
    """Lists all photos of a folder, person by person.

    Args:
        image_dir: a folder with a folder for each person, `Ada Lovelace/any name.jpg`; or a flat folder of
            photos in LFW's naming, `Ada_Lovelace_0001.jpg`. Of an organised LFW-a take `train/`, which holds
            all photos of the people in the training pairs. Photos end in `.jpg`, `.jpeg` or `.png`. What
            begins with a dot is not looked at.
        endings: see `photos_in`.

    Returns:
        For each person, in alphabetical order, the paths of their photos in alphabetical order. A person's
        name is that of the folder, or in a flat folder what comes before the photo's number.

    Raises:
        FileNotFoundError: if `image_dir` does not exist.
        ValueError: if it is not clear of each photo who is on it: in a flat folder one that isn't named as
            LFW's are, photos beside folders of photos, photos deeper in a person's folder, or two names that
            differ by letter case, spaces or Unicode form alone; if there is no photo, in the folder or in a
            person's; if there is one of another format, such as `.heic` or `.webp`; or if a name holds a
            backslash, a tab, a line break or another control character.

    Example:
        >>> import tempfile
        >>> people = Path(tempfile.mkdtemp())
        >>> for place in ("Ada/IMG_0001.jpg", "Ada/IMG_0002.jpg", "Bob/IMG_0001.jpg"):
        ...     (people / place).parent.mkdir(exist_ok=True)
        ...     (people / place).touch()
        >>> {name: len(photos) for name, photos in photos_by_identity(people).items()}
        {'Ada': 2, 'Bob': 1}
    """
    folder = Path(image_dir)
    if not folder.is_dir():
        raise FileNotFoundError(f"`image_dir` must be an existing folder. Received: {folder}")
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
        raise ValueError(f"`image_dir` must hold photos. Received a folder without any: {folder}")
    if len(flat) > 1 and len(people) == 1 and "_" not in min(people):  # one that numbers files, and no person
        raise ValueError(
            "In a flat folder a photo is named after its person, "
            f"First_Last_0001. Received: {len(flat)} photos of {min(people)!r} alone in "
            f"{folder}. Make a folder for each person"
        )
    return dict(sorted(people.items()))


def person_by_name(photo: Path) -> str | None:
    """Returns who is on a photo that is named in LFW's form, `First_Last_0001.jpg`; `None` of any other."""
    match = _LFW_NAME.fullmatch(photo.stem)
    return None if match is None else match[1]


def is_plain(name: str) -> bool:
    """Whether a name can be that of one file, and stand in a line of UTF-8."""
    return name not in ("", ".", "..") and not any(
        character in "/\\" or category(character) in ("Cc", "Cs") for character in name
    )


def listing(
    folder: Path, endings: tuple[str, ...] = IMAGE_ENDINGS
) -> tuple[list[Path], dict[str, list[Path]], list[Path]]:
    """What lies in a folder and in the folders in it, sorted.

    Returns:
        The photos that lie in it directly; the photos of each folder in it by the folder's name, of one
        without any an empty list; and what is left out: hidden, deeper, or of another ending. What
        `align_folder` writes into its folder is none of these.
    """
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
    """Refuses what was left out of a folder of people and holds a photo; hidden files are not looked at."""
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
    """Refuses two names that a reader, or another system, takes for one: they'd be two people, unnoticed."""
    for known, name in written_alike(names):
        raise ValueError(
            f"Two people must have two names. Received: {known!r} and {name!r}, one name that is "
            "written in two ways. Put the photos into one folder, or call one person otherwise"
        )


def written_alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Returns pairs of names that differ by letter case, spaces or Unicode form alone."""
    first: dict[str, str] = {}
    pairs = [
        (first.setdefault(" ".join(normalize("NFKC", name).casefold().split()), name), name) for name in names
    ]
    return [(known, name) for known, name in pairs if known != name]


def training_photos(image_dir: str | os.PathLike, pairs: "Pairs", val: "Pairs") -> dict[str, list[str]]:
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
