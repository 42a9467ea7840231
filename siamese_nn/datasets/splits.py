"""Train/validation splits, and the check that no person is on both sides."""

import csv
import logging
import os
import warnings
from collections.abc import Iterable
from functools import cache
from importlib import resources
from unicodedata import normalize

import numpy as np

from .pairs import Pairs, pair_key, require_pairs

logger = logging.getLogger(__name__)


class IdentityLeakError(ValueError):
    """People are on both sides of a split that must be identity-disjoint.

    Example:
        >>> ada = Pairs(["Ada_1.jpg"], ["Ada_2.jpg"], [1], ["Ada"], ["Ada"])
        >>> try:
        ...     require_disjoint(ada, ada)
        ... except IdentityLeakError as error:
        ...     print(error)
        1 person occurs in both the first and the second pairs (Ada); ...
    """


class IdentityLeakWarning(UserWarning):
    """A split that is known to leak was asked for by name.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTrain.txt", "faces/lfw2")
        >>> with warnings.catch_warnings():  # where the leak is wanted, as in the report
        ...     warnings.simplefilter("ignore", IdentityLeakWarning)
        ...     train, val = split_by_letter(pairs)
        >>> train
        Pairs(44 same, 50 different, 46 people)
    """


def shared_identities(a: Pairs, b: Pairs) -> set[str]:
    """Returns the names of the people who are in both `a` and `b`.

    Args:
        a: one set of pairs.
        b: the other set.

    Example:
        >>> ada = Pairs(["Ada_1.jpg"], ["Ada_2.jpg"], [1], ["Ada"], ["Ada"])
        >>> both = Pairs(["Ada_1.jpg"], ["Bob_1.jpg"], [0], ["Ada"], ["Bob"])
        >>> shared_identities(ada, both)
        {'Ada'}
    """
    require_pairs(a=a, b=b)
    return a.identities() & b.identities()


def spelling(name: str) -> str:
    """Returns a form of a person's name for comparing the people of two data sets.

    It consists of the letters and digits, without case and accents. For the 29 people whose names CFP and LFW
    spell differently it is CFP's spelling. (They were found by similar names, and checked on the photos where
    the names left a doubt.)

    Example:
        >>> spelling("LeBron_James") == spelling("Lebron James")
        True
        >>> spelling("Robert_De_Niro") == spelling("Robert_Do_Niro")
        True
    """
    plain = _letters_and_digits(name)
    return _cfp_spellings().get(plain, plain)


def _letters_and_digits(name: str) -> str:
    name = normalize("NFKD", name).casefold()  # separates the accents, which are not letters
    return "".join(filter(str.isalnum, name)) or name


@cache
def _cfp_spellings() -> dict[str, str]:
    text = (resources.files(__package__) / "spellings.csv").read_text(encoding="utf-8")
    return {
        _letters_and_digits(row["lfw"]): _letters_and_digits(row["cfp"])
        for row in csv.DictReader(text.splitlines())
    }


def without_people(pairs: Pairs, identities: Iterable[str]) -> Pairs:
    """Leaves out the pairs that contain a person of a list, such as the people of a test set.

    Names are compared by `spelling`, as in `evaluation.require_unseen`.

    Args:
        pairs: the pairs.
        identities: the names, for instance those of another data set, from `datasets.read_names`.

    Returns:
        The other pairs, in the same order.

    Raises:
        ValueError: if `identities` is one string, or no pair is left.

    Example:
        >>> left, right = ["Ada_1.jpg", "Bob_1.jpg"], ["Bob_2.jpg", "Bob_2.jpg"]
        >>> pairs = Pairs(left, right, [0, 1], ["Ada", "Bob"], ["Bob", "Bob"])
        >>> without_people(pairs, ["ADA"])
        Pairs(1 same, 0 different, 1 people)
    """
    if isinstance(identities, str):
        raise ValueError(f"`identities` must be a list of names. Received: the one string {identities!r}")
    unwanted = {spelling(name) for name in identities}
    sides = (pairs.left_identities.tolist(), pairs.right_identities.tolist())
    kept = [not unwanted & {spelling(one), spelling(other)} for one, other in zip(*sides, strict=True)]
    if not any(kept):
        raise ValueError(
            f"`identities` must leave some pairs. Received: {len(unwanted)} "
            f"names, which touch all {len(pairs)}"
        )
    logger.info("%d of %d pairs are left out, with people of the list", len(kept) - sum(kept), len(kept))
    return pairs[np.array(kept)]


def require_disjoint(a: Pairs, b: Pairs, *, names: tuple[str, str] = ("the first", "the second")) -> None:
    """Checks that nobody is in both sets of pairs.

    Args:
        a: one set of pairs.
        b: the other set.
        names: the names of the two sets in the error.

    Raises:
        IdentityLeakError: if a person is. The message says who, and how many pairs of `b` are affected.

    Example:
        >>> ada = Pairs(["Ada_1.jpg"], ["Ada_2.jpg"], [1], ["Ada"], ["Ada"])
        >>> both = Pairs(["Ada_1.jpg"], ["Bob_1.jpg"], [0], ["Ada"], ["Bob"])
        >>> require_disjoint(ada, both)
        Traceback (most recent call last):
        ...
        siamese_nn.datasets.splits.IdentityLeakError: 1 person occurs in both ...
    """
    leak = _describe_leak(a, b, names)
    if leak:
        raise IdentityLeakError(
            f"{leak}. Use `datasets.split_identities`, which keeps every person on one side"
        )


def _describe_leak(a: Pairs, b: Pairs, names: tuple[str, str]) -> str:
    shared = sorted(shared_identities(a, b))
    if not shared:
        return ""
    touched = int((np.isin(b.left_identities, shared) | np.isin(b.right_identities, shared)).sum())
    people = "1 person occurs" if len(shared) == 1 else f"{len(shared)} people occur"
    more = f" and {len(shared) - 10} more" if len(shared) > 10 else ""
    return (
        f"{people} in both {names[0]} and {names[1]} pairs ({', '.join(shared[:10])}{more}); "
        f"{touched} of the {len(b)} pairs of {names[1]} are touched"
    )


def split_by_letter(
    pairs: Pairs, *, same_letters: str = "ABCDE", different_letters: str = "ABC"
) -> tuple[Pairs, Pairs]:
    """Splits as the report did: by the first letter of the LEFT name only. This leaks, and warns about it.

    The right person of a validation pair may also be in a training pair, so the validation accuracy is
    partly that of people seen in training. Use this split only to reproduce the report, and
    `split_identities` otherwise.

    Args:
        pairs: the pairs to split.
        same_letters: first letters of the pairs of one person that go to validation.
        different_letters: first letters of the pairs of two people that go to validation.

    Returns:
        The training and the validation pairs, in the same order. On View 1 of LFW with the default letters:
        757 same + 721 different, and 343 + 379.

    Raises:
        ValueError: if a set would be empty.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTrain.txt", "faces/lfw2")
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     train, val = split_by_letter(pairs)
        >>> str(caught[0].message)
        "The report's letter split leaks: 16 people occur in both training and validation pairs ...
        >>> train, val
        (Pairs(44 same, 50 different, 46 people), Pairs(16 same, 10 different, 22 people))
    """
    letters = np.char.upper(_first_letters(pairs.left_identities))
    same_set, different_set = (
        _letters(same_letters, "same_letters"),
        _letters(different_letters, "different_letters"),
    )
    validates = np.where(pairs.same == 1, np.isin(letters, same_set), np.isin(letters, different_set))
    train, val = _both_sides(pairs, validates)
    leak = _describe_leak(train, val, ("training", "validation"))
    if leak:
        warnings.warn(f"The report's letter split leaks: {leak}", IdentityLeakWarning, stacklevel=2)
    return train, val


def split_identities(
    pairs: Pairs,
    *,
    letters: str = "ABCDE",
    rebalance: bool = True,
    seed: int = 0,
    exclude: Pairs | None = None,
) -> tuple[Pairs, Pairs]:
    """Splits pairs into identity-disjoint sets: people whose first letter is in `letters` are for validation.

    A pair of people from different sets cannot be used (on View 1 of LFW with A-E: 464 of 2,200). With
    `rebalance` the photos of such pairs are paired again within their own set, until both sets have as many
    different pairs as same pairs. A set that already has enough gets no new pairs.

    Args:
        pairs: the pairs to split.
        letters: first letters of the validation people, in upper or lower case.
        rebalance: whether to pair the photos of the lost pairs again.
        seed: the seed of the new pairs, a whole number, at least 0.
        exclude: pairs that must not be made, such as those of the test file.

    Returns:
        The training and the validation pairs: first those of `pairs` in the same order, then the new ones. On
        View 1 of LFW with A-E: 757 same + 757 different and 343 + 343 (without `rebalance`: 554 and 82
        different).

    Raises:
        ValueError: if a set would be empty, or the photos of the lost pairs do not give enough new pairs.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTrain.txt", "faces/lfw2")
        >>> train, val = split_identities(pairs)
        >>> train, val
        (Pairs(44 same, 44 different, 36 people), Pairs(16 same, 16 different, 16 people))
        >>> shared_identities(train, val)
        set()
    """
    require_pairs(pairs=pairs)
    wanted = _letters(letters, "letters")
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0. Received: seed={seed}")
    left = np.isin(np.char.upper(_first_letters(pairs.left_identities)), wanted)
    right = np.isin(np.char.upper(_first_letters(pairs.right_identities)), wanted)
    straddling = pairs[left != right]
    within = left == right
    train, val = _both_sides(pairs[within], left[within])
    if rebalance:
        on_val = left[left != right]
        taken = _by_path(pairs) if exclude is None else _by_path(pairs) | _by_path(exclude)
        train += _new_different_pairs(train, "training", _photos(straddling, ~on_val), taken, [seed, 0])
        val += _new_different_pairs(val, "validation", _photos(straddling, on_val), taken, [seed, 1])
    logger.info(
        "%d pairs straddle the split by identity; train: %s, validation: %s", len(straddling), train, val
    )
    return train, val


def _letters(letters: str, name: str) -> list[str]:
    if not isinstance(letters, str) or not letters.isalpha():
        raise ValueError(f'`{name}` must be letters such as "ABCDE". Received: {name}={letters!r}')
    return sorted(set(letters.upper()))


def _first_letters(names: np.ndarray) -> np.ndarray:
    return np.array([name[:1] for name in names.tolist()], dtype=np.str_)


def _both_sides(pairs: Pairs, validates: np.ndarray) -> tuple[Pairs, Pairs]:
    train, val = pairs[~validates], pairs[validates]
    if not len(train) or not len(val):
        raise ValueError(
            f"A split must leave pairs on both sides. Received letters that give {len(train)} training and "
            f"{len(val)} validation pairs; `datasets.letter_counts` says how many pairs each letter has"
        )
    return train, val


def _photos(pairs: Pairs, on_left: np.ndarray) -> dict[str, str]:
    """Returns one photo of each pair, with its person: the left one if `on_left`, else the right one."""
    photos = np.where(on_left, pairs.left, pairs.right)
    people = np.where(on_left, pairs.left_identities, pairs.right_identities)
    return dict(zip(photos.tolist(), people.tolist(), strict=True))


def _by_path(pairs: Pairs) -> set[tuple[str, str]]:
    """Returns the pairs by their photos' absolute paths, which are the same in every set."""
    sides = (map(os.path.abspath, side.tolist()) for side in (pairs.left, pairs.right))
    return set(map(pair_key, *sides))


def _new_different_pairs(
    pairs: Pairs, side: str, photos: dict[str, str], taken: set[tuple[str, str]], seed: list[int]
) -> Pairs:
    """Makes different pairs until `pairs` is balanced, and uses each photo as rarely as possible."""
    wanted = max(0, int(pairs.same.sum()) - int((1 - pairs.same).sum()))
    rng = np.random.default_rng(seed)
    paths = sorted(photos)
    taken = set(taken)
    chosen: list[tuple[str, str]] = []
    fruitless = 0
    while len(chosen) < wanted and fruitless < 50:
        before = len(chosen)
        # Each round pairs a new random order, so that every photo is used once before one is used twice.
        order = rng.permutation(len(paths)).tolist()
        for left, right in ((paths[i], paths[j]) for i, j in zip(order[::2], order[1::2], strict=False)):
            key = pair_key(os.path.abspath(left), os.path.abspath(right))
            if photos[left] != photos[right] and key not in taken and len(chosen) < wanted:
                taken.add(key)
                chosen.append((left, right))
        fruitless = 0 if len(chosen) > before else fruitless + 1
    if len(chosen) < wanted:
        raise ValueError(
            f"The {side} side lacks {wanted} different pairs, and the photos of the "
            f"pairs lost to the split give only {len(chosen)}. Choose other "
            "`letters`, or pass `rebalance=False`"
        )
    lefts, rights = [pair[0] for pair in chosen], [pair[1] for pair in chosen]
    people = ([photos[path] for path in side] for side in (lefts, rights))
    return Pairs(lefts, rights, [0] * wanted, *people)
