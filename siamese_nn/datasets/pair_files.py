"""Reads and writes pair files: LFW's View 1 and View 2, and the same forms for any people."""

import os
import re
from collections.abc import Sequence
from functools import reduce
from itertools import chain
from operator import add
from pathlib import Path

from ..files import write_text
from .pairs import Pairs
from .photo_folders import IMAGE_ENDINGS, is_plain
from .shards import is_shards, read_shards

Photo = tuple[str, int | str]  # the person, and the photo's number or the name of its file


class PairFileError(ValueError):
    r"""A pair file that cannot be used. The message names the file, the line, the fault and the remedy.

    Example:
        >>> write_text("pairs.txt", "1\nAda_Adler 1 1\nAda_Adler 1 Ada_Conti 1\n")
        >>> read_pairs("pairs.txt", "faces/lfw2")
        Traceback (most recent call last):
        siamese_nn.datasets.pair_files.PairFileError: pairs.txt:2: a photo paired with itself: ...
    """


def read_pairs(pairs_file: str | os.PathLike, image_dir: str | os.PathLike) -> Pairs:
    """Reads an LFW pair file.

    Both published forms are read. View 1 (`pairsDevTrain.txt`) starts with a count N. Then come N lines
    `name i j` (one person) and N lines `name i name j` (two people). View 2 (`pairs.txt`) starts with the
    number of folds and N, and repeats these lines for each fold; see `read_folds` for single folds.

    A third form, for people and photos with any names, has the names of files instead of the numbers, and one
    tab between two fields: `Ada Lovelace<TAB>IMG_2301.jpg<TAB>holiday.png`. These names include the ending,
    so that they are never numbers.

    Args:
        pairs_file: the pair file.
        image_dir: the folder of the photos: flat (`First_Last_0001.jpg`, as `organize_lfw_a` makes it) or
            with one folder per person (`First_Last/First_Last_0001.jpg`), as `.jpg`, `.jpeg` or `.png`. The
            third form needs one folder per person.

    Returns:
        The pairs in the file's order.

    Raises:
        PairFileError: if a line is malformed, the count is wrong, a pair is given twice (or mirrored), photos
            are missing (the message lists all of them), or a photo exists twice.
        FileNotFoundError: if `pairs_file` or `image_dir` does not exist.

    Reference:
        Huang et al., "Labeled Faces in the Wild", UMass Amherst technical report 07-49, section 3.

    Example:
        >>> pairs = read_pairs("faces/pairsDevTrain.txt", "faces/lfw2")
        >>> pairs
        Pairs(60 same, 60 different, 52 people)
        >>> pairs[0]
        ('faces/lfw2/Elsa_Ito/Elsa_Ito_0003.jpg', 'faces/lfw2/Elsa_Ito/Elsa_Ito_0004.jpg', 1)
    """
    return reduce(add, read_folds(pairs_file, image_dir))


def read_folds(pairs_file: str | os.PathLike, image_dir: str | os.PathLike) -> list[Pairs]:
    """Reads an LFW pair file fold by fold: ten `Pairs` for View 2, one for View 1. See `read_pairs`.

    Args:
        pairs_file: as in `read_pairs`.
        image_dir: as in `read_pairs`.

    Returns:
        The pairs of each fold.

    Raises:
        PairFileError, FileNotFoundError: as in `read_pairs`.

    Example:
        >>> read_folds("faces/pairsDevTest.txt", "faces/lfw2")  # View 1: one fold
        [Pairs(12 same, 12 different, 12 people)]
    """
    return read_folds_of([Path(image_dir)], Path(pairs_file))


def read_folds_of(folders: Sequence[Path], pairs_file: Path) -> list[Pairs]:
    """Reads a pair file whose photos are in several folders; see `read_folds`."""
    folds = parse_pair_file(pairs_file)
    photos = _photos_by_place(folders)
    missing: dict[str, int] = {}
    for line, pair in chain.from_iterable(folds):
        for place in map(_place, pair):
            if place not in photos:
                missing.setdefault(place, line)
            elif len(photos[place]) > 1:
                raise PairFileError(
                    f"{pairs_file}:{line}: the photo {place} must exist once. "
                    f"Received: {' and '.join(photos[place])}. Remove all but one"
                )
    if missing:
        listed = "\n".join(f"  {place} (line {line})" for place, line in missing.items())
        raise PairFileError(
            f"{pairs_file}: {len(missing)} of its photos are not in {' or '.join(map(str, folders))}, "
            "neither there nor in one folder per person. Complete the folder, or pass the right one as "
            f"`image_dir`. Missing:\n{listed}"
        )
    return [
        Pairs(
            left=[photos[_place(left)][0] for _, (left, _) in fold],
            right=[photos[_place(right)][0] for _, (_, right) in fold],
            same=[left[0] == right[0] for _, (left, right) in fold],
            left_identities=[left[0] for _, (left, _) in fold],
            right_identities=[right[0] for _, (_, right) in fold],
        )
        for fold in folds
    ]


def write_pairs(pairs: Pairs | Sequence[Pairs], pairs_file: str | os.PathLike) -> None:
    """Writes an LFW pair file: the View 1 form for one `Pairs`, the View 2 form for a list of folds.

    Args:
        pairs: the pairs. Both forms hold as many pairs of the same as of different people, and the same
            number in every fold. If all photos are named `First_Last_0001`, the file has LFW's own form.
            Otherwise it names the files of the photos, which must be in one folder per person; see
            `read_pairs`.
        pairs_file: the file to write.

    Raises:
        ValueError: if the pairs do not fit the form, so that `read_pairs` would not return them.

    Example:
        >>> pairs = read_pairs("faces/pairsDevTest.txt", "faces/lfw2")
        >>> write_pairs(pairs[[0, 1, 12, 13]], "few.txt")
        >>> read_pairs("few.txt", "faces/lfw2")
        Pairs(2 same, 2 different, 6 people)
    """
    write_text(pairs_file, pairs_text(pairs))


def pairs_text(pairs: Pairs | Sequence[Pairs]) -> str:
    """Returns what `write_pairs` writes."""
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
    photos = _written(folds)
    for fold in folds:
        for wanted in (1, 0):
            for i in (fold.same == wanted).nonzero()[0]:
                name, other = fold.left_identities[i], fold.right_identities[i]
                first, second = photos[fold.left[i]], photos[fold.right[i]]
                lines.append("\t".join((name, first, second) if wanted else (name, first, other, second)))
    return "\n".join(lines) + "\n"


def _written(folds: Sequence[Pairs]) -> dict[str, str]:
    """Returns how each photo is written, by path: all by their numbers, or all by their files' names."""
    people: dict[str, str] = {}
    for fold in folds:
        for paths, names in ((fold.left, fold.left_identities), (fold.right, fold.right_identities)):
            people.update(zip(paths.tolist(), names.tolist(), strict=True))
    numbers = {path: _number(path, name) for path, name in people.items()}
    if None not in numbers.values() and len({Path(path).stem for path in people}) == len(people):
        return {path: str(number) for path, number in numbers.items()}
    for path, name in people.items():
        if Path(path).parent.name != name or not _is_photo(path):
            raise ValueError(
                "A photo in a pair file is named after its person, First_Last_0001, or lies in the person's "
                f"folder, Ada Lovelace/any name.jpg. Received: {path}, of {name}"
            )
        for part in (name, Path(path).name):
            if not is_plain(part):
                raise ValueError(
                    "A name in a pair file holds no slash, tab, line break or other control character. "
                    f"Received: {path!r}. Rename it"
                )
    return {path: Path(path).name for path in people}


def _number(path: str, identity: str) -> int | None:
    """Returns the number of a photo that has LFW's name for this person; `None` for any other."""
    match = re.fullmatch(r"(\S+)_([0-9]{4,9})", Path(path).stem)
    if match is None or match[1] != identity or photo_stem((identity, int(match[2]))) != Path(path).stem:
        return None
    return int(match[2])


def _is_photo(name: str) -> bool:
    return name.lower().endswith(IMAGE_ENDINGS)


def photo_stem(photo: tuple[str, int]) -> str:
    """Returns the file name, without its ending, of a (name, number) photo."""
    return f"{photo[0]}_{photo[1]:04d}"


def _place(photo: tuple[str, int | str]) -> str:
    """Returns the key of `_photos_by_place` for a photo: a stem, or person/file with a slash."""
    name, own = photo
    return photo_stem((name, own)) if isinstance(own, int) else f"{name}/{own}"


def _require_folder(image_dir: Path) -> None:
    if not image_dir.is_dir():
        raise FileNotFoundError(f"`image_dir` must be an existing folder. Received: {image_dir}")


def _photos_by_place(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Lists flat folders, or folders with one folder per person, once for all look-ups.

    The keys are a numbered photo's stem, and folder and file, `Ada/IMG_1.jpg`.
    """
    for folder in folders:
        _require_folder(folder)
    photos: dict[str, list[str]] = {}
    shards = [folder for folder in folders if is_shards(folder)]
    for path in chain.from_iterable(chain(*read_shards(folder).values()) for folder in shards):
        name, file = path.split(os.sep)[-2:]
        stem = os.path.splitext(file)[0]
        if stem.rpartition("_")[0] == name:
            photos.setdefault(stem, []).append(path)
        photos[f"{name}/{file}"] = [path]
    listed = chain.from_iterable(os.scandir(folder) for folder in folders if folder not in shards)
    for entry in sorted(listed, key=lambda entry: entry.name):
        in_folder = entry.is_dir()
        entries = sorted(os.scandir(entry.path), key=lambda e: e.name) if in_folder else [entry]
        for photo in entries:
            stem, ending = os.path.splitext(photo.name)
            # A numbered photo counts only in its own person's folder.
            own = not in_folder or stem.rpartition("_")[0] == entry.name
            if own and ending.lower() in IMAGE_ENDINGS:
                photos.setdefault(stem, []).append(photo.path)
            if in_folder and ending.lower() in IMAGE_ENDINGS:
                photos[f"{entry.name}/{photo.name}"] = [photo.path]
    return photos


def parse_pair_file(pairs_file: Path) -> list[list[tuple[int, tuple[Photo, Photo]]]]:
    """Returns, fold by fold, the line number and the two photos of each pair."""
    if pairs_file.is_dir():
        raise PairFileError(
            "`pairs_file` must be a file, and come before the folder of the photos: "
            f"read_pairs(pairs_file, image_dir). Received: the folder {pairs_file}"
        )
    if not pairs_file.is_file():  # opening a pipe would wait for its writer
        raise FileNotFoundError(
            "`pairs_file` must be an LFW pair file, which `siamese-nn download pairs` fetches. "
            f"Received: {pairs_file}, which is no file"
        )
    try:
        lines = pairs_file.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise PairFileError(
            f"{pairs_file}: not a UTF-8 text file ({error.reason}). Fetch it again"
        ) from error
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
    by_file = len(lines) > 1 and "\t" in lines[1] and _is_photo(lines[1])
    for position, line in enumerate(lines[1 : expected + 1]):
        number = position + 2
        same = position % (2 * count) < count
        pair = _parse_line(f"{pairs_file}:{number}", line, same, count, by_file)
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
            f"{len(lines) - 1}. Correct the count or fetch the file again"
        )
    return folds


def _parse_line(where: str, line: str, same: bool, count: int, by_file: bool) -> tuple[Photo, Photo]:
    i, j = ("file", "file") if by_file else ("i", "j")
    want = f"name, {i}, {j} (one person)" if same else f"name, {i}, other name, {j} (two people)"
    fields = line.split("\t" if by_file else None)
    if len(fields) != (3 if same else 4):
        raise PairFileError(
            f"{where}: expected {want}, since the first line promises "
            f"{count} pairs of one person, then {count} of two. Received {len(fields)} fields: {line[:120]!r}"
        )
    name, other = fields[0], fields[0] if same else fields[2]
    photos = (fields[1], fields[-1])
    if by_file and not (all(map(is_plain, fields)) and all(map(_is_photo, photos))):
        raise PairFileError(
            f"{where}: all photos must be named by their files, as in the first pair, with ending and "
            f"without folder, in {want}. Received: {line[:120]!r}"
        )
    if not by_file and not all(re.fullmatch(r"0{0,8}[1-9][0-9]{0,8}", photo) for photo in photos):
        raise PairFileError(
            f"{where}: photo numbers must be whole and at least 1, in {want}. Received: {line[:120]!r}"
        )
    left, right = (
        (who, photo if by_file else int(photo)) for who, photo in zip((name, other), photos, strict=True)
    )
    if left == right or (name == other) != same:
        fault = (
            "a photo paired with itself"
            if left == right
            else "one person on both sides of a pair of two people"
        )
        raise PairFileError(f"{where}: {fault}: {line[:120]!r}. Correct or remove the line")
    return left, right
