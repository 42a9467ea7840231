"""The protocol of Celebrities in Frontal-Profile: ten folds of frontal, or of frontal and profile, pairs."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path

from .pair_files import PairFileError
from .pairs import Pairs
from .splits import require_disjoint

TASKS = ("FF", "FP")
VIEWS = {"F": "frontal", "P": "profile"}
FOLDS = tuple(f"{number:02d}" for number in range(1, 11))
NAMES = "Data/list_name.txt"


def split_cfp_folds(folds: Sequence[Pairs]) -> tuple[Pairs, Pairs, Pairs]:
    """Makes training, validation and test pairs from the ten folds: 1 to 8, 9, and 10.

    The study of person verification on CFP has sets of these sizes, but does not say which folds they are;
    this choice is ours. The full protocol, `evaluation.cross_validate`, tests on each fold in turn.

    Args:
        folds: the ten folds that `read_cfp_folds` returns.

    Returns:
        The pairs to train on, to validate on and to test on: 5,600, 700 and 700
        for the real CFP, of 400, 50 and 50 people.

    Raises:
        ValueError: if there are not ten folds.
        IdentityLeakError: if a person is in two of the three sets.

    Example:
        >>> train, val, test = split_cfp_folds(read_cfp_folds("cfp", "FP"))
        >>> train, test
        (Pairs(16 same, 16 different, 16 people), Pairs(2 same, 2 different, 2 people))
    """
    if len(folds) != len(FOLDS):
        raise ValueError(f"`folds` must be the ten of `read_cfp_folds`. Received: {len(folds)}")
    train, val, test = reduce(add, folds[:8]), folds[8], folds[9]
    require_disjoint(train, val, names=("training", "validation"))
    require_disjoint(train, test, names=("training", "test"))
    require_disjoint(val, test, names=("validation", "test"))
    return train, val, test


def read_cfp_folds(cfp_dir: str | os.PathLike, task: str) -> list[Pairs]:
    """Reads the ten folds of CFP's protocol.

    The people are named as LFW names them, with underscores (`Al_Pacino`), so that
    `evaluation.require_unseen` finds the people of a training on LFW. The FF folds contain some pairs
    twice, as published; these are kept.

    Args:
        cfp_dir: the unpacked `cfp-dataset`, with `Data/` and `Protocol/`.
        task: `"FF"` for pairs of two frontal photos, `"FP"` for a frontal one
            on the left and a profile on the right.

    Returns:
        Ten `Pairs`. The same pairs come first in each.

    Raises:
        ValueError: if `task` is neither.
        PairFileError: if a line is malformed, a file has another number of pairs than the task's other files,
            or photos are missing. The message names the file, the line or count, and the remedy.
        FileNotFoundError: if a file of the protocol does not exist.

    Reference:
        Sengupta et al., "Frontal to profile face verification in the wild", WACV 2016, http://www.cfpw.io.

    Example:
        >>> folds = read_cfp_folds("cfp", "FP")
        >>> len(folds), folds[0]
        (10, Pairs(2 same, 2 different, 2 people))
    """
    if task not in TASKS:
        raise ValueError(f'`task` must be "FF" or "FP". Received: task={task!r}')
    cfp_dir = Path(cfp_dir)
    _require_cfp(cfp_dir)
    people = read_names(cfp_dir / NAMES)
    left_photos, right_photos = (read_photo_list(cfp_dir, side, people) for side in task)
    folds, counts = [], {}
    for number in FOLDS:
        rows = []
        for kind in ("same", "diff"):
            pairs_file = cfp_dir / "Protocol" / "Split" / task / number / f"{kind}.txt"
            read = _read_fold_file(pairs_file, left_photos, right_photos, kind == "same")
            counts[pairs_file] = len(read)
            rows += read
        left, right = ([row[side] for row in rows] for side in (0, 1))
        folds.append(
            Pairs(
                left=[photo for photo, _ in left],
                right=[photo for photo, _ in right],
                same=[one[1] == other[1] for one, other in rows],
                left_identities=[name for _, name in left],
                right_identities=[name for _, name in right],
            )
        )
    _require_equal_counts(counts)
    photos = sorted({photo for fold in folds for photo in (*fold.left.tolist(), *fold.right.tolist())})
    missing = [photo for photo in photos if not os.path.isfile(photo)]
    if missing:
        more = f"\n  and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise PairFileError(
            f"{cfp_dir / 'Protocol' / 'Split' / task}: {len(missing)} of the {len(photos)} "
            "photos of its pairs do not exist. Organise or unpack "
            "cfp-dataset.zip again. Missing:\n  " + "\n  ".join(missing[:10]) + more
        )
    return folds


def cfp_photos(cfp_dir: str | os.PathLike) -> dict[str, list[str]]:
    """Returns for each person of CFP the paths of all their photos, frontal ones first.

    Args:
        cfp_dir: as in `read_cfp_folds`.

    Raises:
        PairFileError: as in `read_cfp_folds`, if a list is malformed.
        FileNotFoundError: if a list does not exist.

    Example:
        >>> photos = cfp_photos("cfp")
        >>> len(photos), len(photos["Ada_Adler"])
        (20, 3)
    """
    cfp_dir = Path(cfp_dir)
    _require_cfp(cfp_dir)
    people = read_names(cfp_dir / NAMES)
    photos: dict[str, list[str]] = {name: [] for name in people}
    for side in VIEWS:
        for path, name in read_photo_list(cfp_dir, side, people):
            photos[name].append(path)
    return photos


def read_names(file: str | os.PathLike) -> list[str]:
    r"""Reads a list of people, one name per line, such as CFP's `Data/list_name.txt`.

    LFW contains 176 of CFP's 500 people under the same name, and 29 under another name. Leave them out of a
    training on LFW that is tested on CFP. `without_people` does it, and knows the other names, too.

    Args:
        file: the list, with names as `Al Pacino` or `Al_Pacino`.

    Returns:
        The names as LFW writes them, with underscores, in the order of the file.

    Raises:
        PairFileError: if a line has no name or repeats the name of an earlier line, or the file is not in
            UTF-8. The message names the file, the line and the remedy.
        FileNotFoundError: if `file` does not exist.

    Example:
        >>> names = read_names("cfp/Data/list_name.txt")
        >>> len(names), names[0]
        (20, 'Ada_Adler')
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist. A list of people has one name per line")
    try:
        lines = file.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise PairFileError(f"{file} is not in UTF-8 ({error}). Save it in that encoding") from error
    people = ["_".join(line.split()) for line in lines]
    first: dict[str, int] = {}
    for number, name in enumerate(people, 1):
        if not name or first.setdefault(name, number) != number:
            fault = f"the name of line {first[name]} again: {name:.120}" if name else "a line without a name"
            raise PairFileError(f"{file}:{number}: {fault}. Correct the line")
    return people


def _require_cfp(cfp_dir: Path) -> None:
    if not (cfp_dir / NAMES).is_file():
        missing = f"has no {NAMES}" if cfp_dir.is_dir() else "does not exist"
        raise FileNotFoundError(
            f"{cfp_dir} must be the unpacked cfp-dataset, with Data/ and Protocol/, "
            f"and {missing}. Correct the name, or run `siamese-nn cfp organize cfp-dataset.zip {cfp_dir}`"
        )


def _read_lines(file: Path) -> list[str]:
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} does not exist. CFP's folder is the unpacked cfp-dataset, with Data/ and Protocol/"
        )
    lines = file.read_text(encoding="utf-8-sig", errors="replace").rstrip().split("\n")
    return [line.strip() for line in lines]


def read_photo_list(cfp_dir: Path, side: str, people: list[str]) -> list[tuple[str, str]]:
    """Returns path and person of each photo in `Pair_list_F.txt` or `Pair_list_P.txt`, which number them."""
    list_file = cfp_dir / "Protocol" / f"Pair_list_{side}.txt"
    photos = []
    for number, line in enumerate(_read_lines(list_file), 1):
        match = re.fullmatch(
            rf"{number}\s+\.\./(Data/Images/([0-9]{{3}})/{VIEWS[side]}/[0-9]{{2}}\.jpg)", line
        )
        if match is None or not 1 <= int(match[2]) <= len(people):
            raise PairFileError(
                f"{list_file}:{number}: expected `{number} "
                f"../Data/Images/NNN/{VIEWS[side]}/NN.jpg`, with a person NNN from 001 to "
                f"{len(people):03d}, the names in list_name.txt. Received: "
                f"{line[:120]!r}. Unpack cfp-dataset.zip again"
            )
        photos.append((str(cfp_dir / match[1]), people[int(match[2]) - 1]))
    if {person for _, person in photos} != set(people):
        raise PairFileError(
            f"{cfp_dir / NAMES}: must name those on the photos of {list_file}, the N-th those in "
            f"folder N. Received: {len(people)} names for {len({person for _, person in photos})} "
            "people. Unpack cfp-dataset.zip again"
        )
    return photos


def _read_fold_file(
    pairs_file: Path, left_photos: list[tuple[str, str]], right_photos: list[tuple[str, str]], same: bool
) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    rows = []
    for number, line in enumerate(_read_lines(pairs_file), 1):
        match = re.fullmatch(r"([0-9]{1,9})\s*,\s*([0-9]{1,9})", line)
        i, j = (int(match[1]), int(match[2])) if match else (0, 0)
        if not (1 <= i <= len(left_photos) and 1 <= j <= len(right_photos)):
            raise PairFileError(
                f"{pairs_file}:{number}: expected two photo numbers `i,j`, "
                f"from 1 to {len(left_photos)} and to {len(right_photos)}. Received: {line[:120]!r}. "
                "Correct the line or unpack cfp-dataset.zip again"
            )
        left, right = left_photos[i - 1], right_photos[j - 1]
        if left == right or (left[1] == right[1]) != same:
            people = "a photo paired with itself" if left == right else f"a pair of {left[1]} and {right[1]}"
            raise PairFileError(
                f"{pairs_file}:{number}: {people}: {line!r}. A line of {pairs_file.name} is a pair of "
                f"{'two photos of one person' if same else 'two people'}. Correct or remove the line"
            )
        rows.append((left, right))
    return rows


def _require_equal_counts(counts: dict[Path, int]) -> None:
    """Refuses a truncated fold: the published ones have one size, half same and half different pairs."""
    usual = Counter(counts.values()).most_common(1)[0][0]
    for pairs_file, count in counts.items():
        if count != usual:
            raise PairFileError(
                f"{pairs_file}: must hold {usual} pairs, as the other files of "
                f"its task. Received: {count}. Unpack cfp-dataset.zip again"
            )
