"""LFW's pair files, View 1 and View 2: read strictly, written atomically."""

import os
import re
from collections.abc import Sequence
from functools import reduce
from itertools import chain
from operator import add
from pathlib import Path
from unicodedata import normalize

from ..files import write_text
from .pairs import Pairs

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
OTHER_IMAGE_ENDINGS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".tif", ".tiff", ".webp")
# Cameras number their photos as LFW numbers a person's.
_CAMERAS = (
    "cimg dcim dsc dscf dscn foto gopr hpim image img mvc p photo pic pict "
    "picture pxl sam scan screenshot vid wp"
)
_LFW_NAME = re.compile(rf"(?!(?i:{_CAMERAS.replace(' ', '|')})(?:_[0-9]+)+$)(.*[^\W\d_].*)_[0-9]{{4}}")


class PairFileError(ValueError):
    """A pair file that cannot be used as it stands; the message says file, line, fault and remedy."""


def read_pairs(pairs_file: str | os.PathLike, image_dir: str | os.PathLike) -> Pairs:
    """Reads an LFW pair file.

    Both published forms are understood. View 1 (`pairsDevTrain.txt`) starts with a count N, then come N lines
    `name i j` (one person) and N lines `name i name j` (two people). View 2 (`pairs.txt`) starts with the
    number of folds and N, then repeats that for each fold; see `read_folds` for the folds one by one.

    Args:
        pairs_file: the pair file.
        image_dir: where the photos are: flat (`First_Last_0001.jpg`, as `organize_lfw_a` makes it) or in a
            folder a person (`First_Last/First_Last_0001.jpg`), as `.jpg`, `.jpeg` or `.png`.

    Returns:
        The pairs in the file's order.

    Raises:
        PairFileError: on a malformed line, a wrong count, a pair given twice (mirrored counts as twice),
            missing photos, all of them listed, or a photo that is there twice.
        FileNotFoundError: if `pairs_file` or `image_dir` does not exist.

    Reference:
        Huang et al., "Labeled Faces in the Wild", UMass Amherst technical report 07-49, section 3.
    """
    return reduce(add, read_folds(pairs_file, image_dir))


def read_folds(pairs_file: str | os.PathLike, image_dir: str | os.PathLike) -> list[Pairs]:
    """Reads an LFW pair file fold by fold: ten `Pairs` for View 2, one for View 1. See `read_pairs`."""
    pairs_file, image_dir = Path(pairs_file), Path(image_dir)
    folds = parse_pair_file(pairs_file)
    photos = _photos_by_stem(image_dir)
    missing: dict[str, int] = {}
    for line, pair in chain.from_iterable(folds):
        for stem in map(photo_stem, pair):
            if stem not in photos:
                missing.setdefault(stem, line)
            elif len(photos[stem]) > 1:
                raise PairFileError(
                    f"{pairs_file}:{line}: the photo {stem} must be there once. "
                    f"Received: {' and '.join(photos[stem])}. Remove all but one"
                )
    if missing:
        listed = "\n".join(f"  {stem} (line {line})" for stem, line in missing.items())
        raise PairFileError(
            f"{pairs_file}: {len(missing)} of its photos are not in "
            f"{image_dir}, neither there nor in a folder a person. Complete the folder, or pass the right "
            f"one as `image_dir`. Missing:\n{listed}"
        )
    return [
        Pairs(
            left=[photos[photo_stem(left)][0] for _, (left, _) in fold],
            right=[photos[photo_stem(right)][0] for _, (_, right) in fold],
            same=[left[0] == right[0] for _, (left, right) in fold],
            left_identities=[left[0] for _, (left, _) in fold],
            right_identities=[right[0] for _, (_, right) in fold],
        )
        for fold in folds
    ]


def photos_by_identity(image_dir: str | os.PathLike) -> dict[str, list[str]]:
    """Lists all photos of a folder, person by person.

    Args:
        image_dir: a folder with a folder for each person, `Ada Lovelace/any name.jpg`; or a flat folder of
            photos in LFW's naming, `Ada_Lovelace_0001.jpg`. Of an organised LFW-a take `train/`, which holds
            all photos of the people in the training pairs. Photos end in `.jpg`, `.jpeg` or `.png`. What
            begins with a dot is not looked at.

    Returns:
        For each person, in alphabetical order, the paths of their photos in alphabetical order. A person's
        name is that of the folder, or in a flat folder what comes before the photo's number.

    Raises:
        FileNotFoundError: if `image_dir` does not exist.
        ValueError: if it is not clear of each photo who is on it: in a flat folder one that isn't named as
            LFW's are, photos beside folders of photos, or photos deeper in a person's folder; if there is no
            photo, in the folder or in a person's; or if there is one of another format, such as `.heic` or
            `.webp`.

    Example:
        >>> import tempfile
        >>> people = Path(tempfile.mkdtemp())
        >>> for place in ("Ada/IMG_0001.jpg", "Ada/IMG_0002.jpg", "Bob/IMG_0001.jpg"):
        ...     (people / place).parent.mkdir(exist_ok=True)
        ...     (people / place).touch()
        >>> {name: len(photos) for name, photos in photos_by_identity(people).items()}
        {'Ada': 2, 'Bob': 1}
    """
    image_dir = Path(image_dir)
    flat, folders = _listed(image_dir)
    people: dict[str, list[str]] = {}
    seen: set[str] = set()
    for folder in folders:
        own, deeper = _listed(folder)
        for place in deeper:
            for below, _, names in os.walk(place):
                if any(name.lower().endswith(IMAGE_ENDINGS + OTHER_IMAGE_ENDINGS) for name in names):
                    raise ValueError(
                        "A person's photos must lie in the person's folder, not deeper. "
                        f"Received some in {below}. Move them up"
                    )
        if own and flat:
            raise ValueError(
                "`image_dir` must hold photos, or a folder of photos for each person, but not both. "
                f"Received: {flat[0]} beside {folder}. Move the one or the other"
            )
        if not own and not flat:
            raise ValueError(f"A person's folder must hold photos. Received one without: {folder}. Remove it")
        if own:
            # One name may be written in two ways, by two systems. It stays as
            # it is: so it is in the pair files.
            if normalize("NFC", folder.name) in seen:
                raise ValueError(
                    f"Two people's folders must have two names. Received: {folder}, "
                    "which is written in two ways. Put the photos into one"
                )
            seen.add(normalize("NFC", folder.name))
            people[folder.name] = [str(path) for path in own]
    for path in flat:
        name = person_by_name(path)
        if name is None:
            raise ValueError(
                "In a flat folder a photo is named after its person, First_Last_0001. "
                f"Received: {path}. Rename or remove it, or make a folder for each person"
            )
        people.setdefault(name, []).append(str(path))
    if not people:
        raise ValueError(f"`image_dir` must hold photos. Received a folder without any: {image_dir}")
    if len(flat) > 1 and len(people) == 1 and "_" not in min(people):  # one that numbers files, and no person
        raise ValueError(
            "In a flat folder a photo is named after its person, "
            f"First_Last_0001. Received: {len(flat)} photos of {min(people)!r} alone in "
            f"{image_dir}. Make a folder for each person"
        )
    return dict(sorted(people.items()))


def person_by_name(photo: Path) -> str | None:
    """Returns who is on a photo that is named in LFW's form, `First_Last_0001.jpg`; `None` of any other."""
    match = _LFW_NAME.fullmatch(photo.stem)
    return None if match is None else match[1]


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """The photos in a folder and the folders in it, each in alphabetical order."""
    _require_folder(folder)
    photos, folders = [], []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):  # left by file managers and notebooks
            continue
        if path.is_dir():
            folders.append(path)
        elif path.suffix.lower() in IMAGE_ENDINGS:
            photos.append(path)
        elif path.suffix.lower() in OTHER_IMAGE_ENDINGS:
            raise ValueError(
                f"A photo must be a JPEG or a PNG file. Received: {path}. Convert it to JPEG or remove it"
            )
    return photos, folders


def write_pairs(pairs: Pairs | Sequence[Pairs], pairs_file: str | os.PathLike) -> None:
    """Writes an LFW pair file: the View 1 form for one `Pairs`, the View 2 form for a list of folds.

    Args:
        pairs: the pairs. Both forms hold as many pairs of the same as of different people, in every fold the
            same number, and the photos are named `First_Last_0001`.
        pairs_file: the file to write.

    Raises:
        ValueError: if the pairs do not fit the form, so that `read_pairs` would not give them back.
    """
    folds = [pairs] if isinstance(pairs, Pairs) else list(pairs)
    sizes = [(int(fold.same.sum()), int((1 - fold.same).sum())) for fold in folds]
    count = sizes[0][0] if sizes else 0
    if not count or set(sizes) != {(count, count)}:
        raise ValueError(
            "An LFW pair file holds, in every fold, the same number of same and "
            f"of different pairs, at least one. Received (same, different): {sizes}. Balance them first"
        )
    keys = reduce(add, folds).keys()
    if len(set(keys)) < len(keys):
        raise ValueError(
            f"An LFW pair file holds no pair twice. Received {len(keys) - len(set(keys))} pairs again"
        )
    lines = [str(count) if isinstance(pairs, Pairs) else f"{len(folds)}\t{count}"]
    for fold in folds:
        for wanted in (1, 0):
            for i in (fold.same == wanted).nonzero()[0]:
                name, first = _split_photo(fold.left[i], fold.left_identities[i])
                other, second = _split_photo(fold.right[i], fold.right_identities[i])
                lines.append("\t".join((name, first, second) if wanted else (name, first, other, second)))
    write_text(pairs_file, "\n".join(lines) + "\n")


def _split_photo(path: str, identity: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\S+)_([0-9]{4,9})", Path(path).stem)
    if match is None or match[1] != identity or photo_stem((identity, int(match[2]))) != Path(path).stem:
        raise ValueError(
            "A photo in a pair file is named after its person, "
            f"First_Last_0001. Received: {path}, of {identity}"
        )
    return identity, str(int(match[2]))


def photo_stem(photo: tuple[str, int]) -> str:
    """Returns the file name, without its ending, of a (name, number) photo."""
    return f"{photo[0]}_{photo[1]:04d}"


def _require_folder(image_dir: Path) -> None:
    if not image_dir.is_dir():
        raise FileNotFoundError(f"`image_dir` must be an existing folder. Received: {image_dir}")


def _photos_by_stem(image_dir: Path) -> dict[str, list[str]]:
    """Lists a flat folder, or one with a folder a person, once: 4,000 look-ups cost one listing."""
    _require_folder(image_dir)
    photos: dict[str, list[str]] = {}
    for entry in sorted(os.scandir(image_dir), key=lambda entry: entry.name):
        in_folder = entry.is_dir()
        entries = sorted(os.scandir(entry.path), key=lambda e: e.name) if in_folder else [entry]
        for photo in entries:
            stem, ending = os.path.splitext(photo.name)
            own = (
                not in_folder or stem.rpartition("_")[0] == entry.name
            )  # in another's folder it is another's
            if own and ending.lower() in IMAGE_ENDINGS:
                photos.setdefault(stem, []).append(photo.path)
    return photos


def parse_pair_file(pairs_file: Path) -> list[list[tuple[int, tuple[tuple[str, int], tuple[str, int]]]]]:
    """Returns, fold by fold, the line number and the two (name, number) photos of each pair."""
    if pairs_file.is_dir():
        raise PairFileError(
            "`pairs_file` must be a file, and come before the folder of the photos: "
            f"read_pairs(pairs_file, image_dir). Received: the folder {pairs_file}"
        )
    if not pairs_file.is_file():  # to open a pipe would wait for its writer
        raise FileNotFoundError(
            f"{pairs_file} must be an LFW pair file, and is no file. `siamese-nn download pairs` fetches it"
        )
    try:
        lines = pairs_file.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise PairFileError(f"{pairs_file}: not a UTF-8 text file ({error.reason}). Fetch it anew") from error
    header = lines[0].split()
    if not (1 <= len(header) <= 2 and all(re.fullmatch(r"[1-9][0-9]{0,8}", field) for field in header)):
        raise PairFileError(
            f"{pairs_file}:1: the first line must be the number of same pairs "
            "(View 1), or the number of folds and of same pairs in each "
            f"(View 2). Received: {lines[0][:80]!r}"
        )
    count, n_folds = int(header[-1]), int(header[0]) if len(header) == 2 else 1
    expected = 2 * count * n_folds
    folds: list[list] = [[] for _ in range(min(n_folds, len(lines)))]
    seen: dict[frozenset, int] = {}
    for position, line in enumerate(lines[1 : expected + 1]):
        number = position + 2
        same = position % (2 * count) < count
        pair = _parse_line(pairs_file, number, line, same, count)
        first = seen.setdefault(frozenset(pair), number)
        if first != number:
            raise PairFileError(
                f"{pairs_file}:{number}: the pair of line {first} again: {line!r}. Remove one of them"
            )
        folds[position // (2 * count)].append((number, pair))
    if len(lines) - 1 != expected:
        raise PairFileError(
            f"{pairs_file}:{min(len(lines), expected + 2)}: the first line promises "
            f"{expected} pairs ({n_folds} x ({count} same + {count} different)), the file holds "
            f"{len(lines) - 1}. Correct the count or fetch the file anew"
        )
    return folds


def _parse_line(pairs_file: Path, number: int, line: str, same: bool, count: int):
    fields = line.split()
    want = "name, i, j (one person)" if same else "name, i, other name, j (two people)"
    if len(fields) != (3 if same else 4):
        raise PairFileError(
            f"{pairs_file}:{number}: expected {want}, for the first line promises "
            f"{count} pairs of one person, then {count} of two. Received {len(fields)} fields: {line[:120]!r}"
        )
    name, other = fields[0], fields[0] if same else fields[2]
    numbers = (fields[1], fields[-1])
    if not all(re.fullmatch(r"0{0,8}[1-9][0-9]{0,8}", n) for n in numbers):
        raise PairFileError(
            f"{pairs_file}:{number}: photo numbers must be whole and at least 1, "
            f"in {want}. Received: {line[:120]!r}"
        )
    left, right = (name, int(numbers[0])), (other, int(numbers[1]))
    if left == right or (name == other) != same:
        fault = (
            "a photo paired with itself"
            if left == right
            else "one person on both sides of a pair of two people"
        )
        raise PairFileError(f"{pairs_file}:{number}: {fault}: {line[:120]!r}. Correct or remove the line")
    return left, right
