"""Turns a folder of your own people into a data set: pairs in three identity-disjoint sets."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from unicodedata import normalize

import numpy as np

from ..files import write_text
from .pair_files import pairs_text
from .pairs import Pairs, pair_key
from .photo_folders import IMAGE_ENDINGS, photos_by_identity

logger = logging.getLogger(__name__)

# The fewest people with two photos for whom an accuracy is reported. If a model recognises ten people without
# an error, up to 26% of other people may still be errors (the binomial bound at 95%, 1 - 0.05 ** (1 / 10)).
# At an accuracy of 78% the interval over ten people is 30 points wide.
FEWEST = 10
SPLITS = ("draw", "letters")
_SHARES = (0.6, 0.2, 0.2)  # of the people: training, validation, test


@dataclass(frozen=True)
class OwnPeople:
    """People's photos in three identity-disjoint sets.

    Args:
        train: pairs to train on.
        validation: pairs to choose epoch and threshold on.
        test: pairs to report on.
        photos: all photos of each training person, for recipes that learn from people.

    Example:
        >>> own = load_people("faces/lfw2")  # a folder of photos for each person
        >>> len(own.photos), len(own.test.identities())
        (38, 13)
    """

    train: Pairs
    validation: Pairs
    test: Pairs
    photos: dict[str, list[str]]

    def write_pairs(self, folder: str | os.PathLike) -> list[Path]:
        """Writes the pairs as LFW pair files, `train.txt`, `validation.txt` and `test.txt`.

        Args:
            folder: the folder for the files, made if it is missing.

        Returns:
            The files, which `read_pairs` reads.

        Raises:
            ValueError: if a pair file cannot hold a name (see `datasets.write_pairs`), or a file of that name
                has another content. Nothing is written then.

        Example:
            >>> [file.name for file in load_people("faces/lfw2").write_pairs("pairs")]
            ['train.txt', 'validation.txt', 'test.txt']
        """
        sides = {"train": self.train, "validation": self.validation, "test": self.test}
        texts = {Path(folder) / f"{side}.txt": pairs_text(pairs) for side, pairs in sides.items()}
        for file, text in texts.items():
            if file.exists() and (not file.is_file() or file.read_bytes() != text.encode()):
                raise ValueError(
                    f"Other pair files are not overwritten. Received: {file}, which holds something else. "
                    "Choose another folder, or remove it"
                )
        for file, text in texts.items():
            write_text(file, text)
        return list(texts)


def load_people(
    folder: str | os.PathLike,
    *,
    split: str = "draw",
    most_per_person: int = 20,
    seed: int = 0,
    endings: tuple[str, ...] = IMAGE_ENDINGS,
) -> OwnPeople:
    """Makes a data set from a folder of people: it splits the people into three sets, and pairs their photos.

    60% of the people are for training, 20% for validation and 20% for the test. A seeded draw has these
    shares of the people with two photos or more and of those with one photo; names play no part. A split by
    letters takes the people of the first letters for validation, those of the next letters for the test, and
    the others for training, so that names that begin alike are in one set. Letters may be of any script;
    accents and case don't count. `make_pairs` makes the pairs of each set.

    Args:
        folder: a folder with a folder of aligned photos for each person, `Ada Lovelace/any name.jpg`; see
            `photos_by_identity`, and `align_folder` for raw photos.
        split: `"draw"` or `"letters"`.
        most_per_person: the most pairs of the same person for each person.
        seed: of the draw and the pairs, a whole number of at least 0.
        endings: the endings of photos' names; see `Verifier.photo_endings` for raw photos.

    Returns:
        The three sets of pairs, and the photos of the training people.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if the person on a photo is not clear, an argument is out of range, or a set gets fewer
            than 10 people with two photos, which are too few to report an accuracy. `people_folds` needs only
            10 in all.

    Example:
        >>> own = load_people("faces/lfw2")  # a folder of photos for each person
        >>> own.train, own.test
        (Pairs(228 same, 228 different, 38 people), Pairs(78 same, 78 different, 13 people))
        >>> own.train.identities() & own.test.identities()
        set()
    """
    people = photos_by_identity(folder, endings)
    require_seed(seed)
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {SPLITS}. Received: split={split!r}")
    sides = _drawn(people, seed) if split == "draw" else _by_letter(people)
    counts = [sum(len(own) > 1 for own in side.values()) for side in sides]
    if min(counts) < FEWEST:
        require_enough(folder, people)
        raise ValueError(
            f"Each side of a split by letters must get at least {FEWEST} people with two photos or more. "
            f"Received in {folder}: {counts[0]} for training, {counts[1]} for validation and {counts[2]} for "
            "the test, as the names of many begin alike. Take the drawn split, the default"
        )
    pairs = [
        make_pairs(side, most_per_person=most_per_person, seed=[seed, 2 + number])
        for number, side in enumerate(sides)
    ]
    for name, side, own in zip(("training", "validation", "test"), sides, pairs, strict=True):
        say_who(name, side, own)
    return OwnPeople(pairs[0], pairs[1], pairs[2], photos=sides[0])


def require_enough(
    folder: str | os.PathLike,
    people: Mapping[str, Sequence],
    *,
    split: str = "draw",
    n_folds: int | None = None,
) -> None:
    """Refuses a folder with too few people to report an accuracy; opens no photo.

    Args:
        folder: the people's folder, for the message.
        people: the photos of each person.
        split: see `load_people`.
        n_folds: the number of folds; `None` for one split.

    Raises:
        ValueError: if too few people have two photos or more.
    """
    several, single = map(len, by_number_of_photos(people))
    received = f"Received: {several}, and {single} with one photo. Add people, or photos of them"
    if n_folds is not None:
        least = max(FEWEST, 2 * n_folds)
        if several < least:
            raise ValueError(
                f"{folder} must hold at least {least} people with two photos or more for {n_folds} folds: "
                f"two for each, and {FEWEST} in all, so that an accuracy can be reported. {received}"
                + (", or take fewer folds" if several >= FEWEST else "")
            )
    elif several < 3 * FEWEST or (split == "draw" and min(np.diff([0, *_ends(several), several])) < FEWEST):
        raise ValueError(
            f"{folder} must hold at least {round(FEWEST / min(_SHARES))} people with two photos or more, so "
            f"that {FEWEST} of them are held out for the validation and {FEWEST} for the test. {received}, "
            f"or train in folds (`people_folds`, `--folds 5`), for which {FEWEST} do"
        )


def _ends(n: int) -> np.ndarray:
    """Where the first two of three sides of `n` people end."""
    return np.round(np.cumsum(_SHARES[:-1]) * n).astype(int)


def say_who(name: str, people: Mapping[str, Sequence[str]], pairs: Pairs) -> None:
    """Logs how many people, photos and pairs a set has."""
    single = sum(len(own) == 1 for own in people.values())
    photos = sum(map(len, people.values()))
    same = int(pairs.same.sum())
    logger.info(
        *("%s: %d people (%d of them with one photo), %d photos; %d pairs of one person, %d of two", name),
        *(len(people), single, photos, same, len(pairs) - same),
    )


def by_number_of_photos(people: Mapping[str, Sequence]) -> tuple[list[str], list[str]]:
    """Returns the people with two photos or more, and those with one."""
    return [name for name in people if len(people[name]) > 1], [
        name for name in people if len(people[name]) == 1
    ]


def _drawn(people: Mapping[str, list[str]], seed: int) -> list[dict[str, list[str]]]:
    sides: list[dict[str, list[str]]] = [{}, {}, {}]
    for number, names in enumerate(by_number_of_photos(people)):
        order = np.random.default_rng([seed, number]).permutation(len(names))
        for side, part in zip(sides, np.split(order, _ends(len(names))), strict=True):
            side.update({names[i]: people[names[i]] for i in np.sort(part)})
    return sides


def _by_letter(people: Mapping[str, list[str]]) -> list[dict[str, list[str]]]:
    letters: dict[str, list[str]] = {}
    for name in people:
        letters.setdefault(normalize("NFKD", name).strip()[:1].casefold(), []).append(name)
    several = sum(len(own) > 1 for own in people.values())
    sides: list[dict[str, list[str]]] = [{}, {}, {}]
    wanted = [0, *(round(share * several) for share in _SHARES[1:])]  # people with several photos
    for letter in sorted(letters):
        side = next((number for number in (1, 2) if wanted[number] > 0), 0)
        sides[side].update({name: people[name] for name in letters[letter]})
        wanted[side] -= sum(len(people[name]) > 1 for name in letters[letter])
    return sides


def make_pairs(
    people: Mapping[str, Sequence[str]], *, most_per_person: int = 20, seed: int | Sequence[int] = 0
) -> Pairs:
    """Makes as many pairs of the same person as of two people, and no pair twice.

    Each person gets all pairs of their photos, or `most_per_person` drawn pairs, so that a person with 500
    photos does not dominate. For the pairs of two people, all people are paired at random, again and again,
    so that all occur equally often; their photos are drawn.

    Args:
        people: the photos of each person.
        most_per_person: the most pairs of the same person for each person, at least 1.
        seed: of the draws.

    Returns:
        The pairs. Pairs of the same person come first.

    Raises:
        ValueError: if no person has two photos, there are fewer than two people, or an argument is out of
            range.

    Example:
        >>> make_pairs({"Ada": ["1.jpg", "2.jpg"], "Bob": ["3.jpg"], "Cy": ["4.jpg", "5.jpg"], "Di": ["6"]})
        Pairs(2 same, 2 different, 4 people)
    """
    if isinstance(most_per_person, bool) or not isinstance(most_per_person, int) or most_per_person < 1:
        raise ValueError(
            "`most_per_person` must be a whole number of at least 1. "
            f"Received: most_per_person={most_per_person!r}"
        )
    rng = np.random.default_rng(seed)
    same: list[tuple[str, str]] = []
    names: list[str] = []
    for name in sorted(people):
        own = list(combinations(sorted(people[name]), 2))
        chosen = np.sort(rng.permutation(len(own))[:most_per_person])
        same += [own[i] for i in chosen]
        names += [name] * len(chosen)
    if not same or len(people) < 2:
        raise ValueError(
            "`people` must hold at least two people, and two photos of at least one of them. "
            f"Received: {len(people)} people, with at most {max(map(len, people.values()), default=0)} photos"
        )
    different = _different(people, len(same), rng)
    if len(different) < len(same):  # a few people with many photos each, or photos of few others
        kept = np.sort(rng.permutation(len(same))[: len(different)])
        same, names = [same[i] for i in kept], [names[i] for i in kept]
    left, right = ([pair[side] for pair in same] for side in (0, 1))
    apart = [[pair[side] for pair in different] for side in (0, 1)]
    return Pairs(
        left=[*left, *(photo for _, photo in apart[0])],
        right=[*right, *(photo for _, photo in apart[1])],
        same=np.repeat([1, 0], [len(same), len(different)]),
        left_identities=[*names, *(name for name, _ in apart[0])],
        right_identities=[*names, *(name for name, _ in apart[1])],
    )


def _different(
    people: Mapping[str, Sequence[str]], wanted: int, rng: np.random.Generator
) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    names = sorted(people)
    taken: set[tuple[str, str]] = set()
    found: list[tuple[tuple[str, str], tuple[str, str]]] = []
    fruitless = 0
    while len(found) < wanted and fruitless < 50:
        before = len(found)
        order = rng.permutation(len(names)).tolist()
        for i, j in zip(order[::2], order[1::2], strict=False):
            left, right = (own[int(rng.integers(len(own)))] for own in (people[names[i]], people[names[j]]))
            key = pair_key(left, right)
            if key not in taken and len(found) < wanted:
                taken.add(key)
                found.append(((names[i], left), (names[j], right)))
        fruitless = 0 if len(found) > before else fruitless + 1
    return found


def require_seed(seed: int) -> None:
    """Raises a `ValueError` unless `seed` is a whole number of at least 0."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be a whole number of at least 0. Received: seed={seed!r}")
