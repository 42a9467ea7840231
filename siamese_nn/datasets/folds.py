"""Folds: identity-disjoint parts, each of which is the test in turn."""

import os
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np

from .own_people import OwnPeople, by_number_of_photos, make_pairs, require_enough, require_seed, say_who
from .pairs import Pairs
from .photo_folders import photos_by_identity


def people_folds(
    folder: str | os.PathLike, n_folds: int, *, most_per_person: int = 20, seed: int = 0
) -> list[OwnPeople]:
    """Makes the folds of a cross-validation over a folder of people, for few people.

    A single split of few people says little. A seeded draw puts each person into one part. In each fold one
    part is the test, the next part chooses epoch and threshold, and the other parts are for training.

    Args:
        folder: see `load_people`.
        n_folds: the number of folds, at least 3.
        most_per_person: the most pairs of the same person for each person, on each side.
        seed: of the draw and the pairs, a whole number of at least 0.

    Returns:
        The folds. Each person is in one test set and in one validation set.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if the person on a photo is not clear, an argument is out of range, or fewer than 10
            people, or fewer than two per part, have two photos.

    Example:
        >>> folds = people_folds("faces/lfw2", 4)
        >>> folds[0].train, folds[0].validation
        (Pairs(192 same, 192 different, 32 people), Pairs(96 same, 96 different, 16 people))
        >>> everybody = set().union(*(fold.test.identities() for fold in folds))
        >>> len(everybody)
        64
    """
    if isinstance(n_folds, bool) or not isinstance(n_folds, int) or n_folds < 3:
        raise ValueError(
            "`n_folds` must be a whole number of at least 3: one part is the test, one chooses, and one is "
            f"trained on. Received: n_folds={n_folds!r}"
        )
    require_seed(seed)
    people = photos_by_identity(folder)
    require_enough(folder, people, n_folds=n_folds)
    parts: list[dict[str, list[str]]] = [{} for _ in range(n_folds)]
    for number, names in enumerate(by_number_of_photos(people)):
        order = np.random.default_rng([seed, number]).permutation(len(names))
        for place, i in enumerate(order.tolist()):
            parts[place % n_folds][names[i]] = people[names[i]]
    tests = [
        make_pairs(part, most_per_person=most_per_person, seed=[seed, 2, number])
        for number, part in enumerate(parts)
    ]
    folds = []
    for number, test in enumerate(tests):
        after = (number + 1) % n_folds
        apart = {*parts[number], *parts[after]}
        own = {name: photos for name, photos in people.items() if name not in apart}
        train = make_pairs(own, most_per_person=most_per_person, seed=[seed, 3, number])
        say_who(f"fold {number + 1}, training", own, train)
        say_who(f"fold {number + 1}, test", parts[number], test)
        folds.append(OwnPeople(train, tests[after], test, photos=own))
    return folds


def folds_in_turn(
    folds: Sequence[Pairs], photos: Mapping[str, Sequence[str]] | None = None
) -> list[OwnPeople]:
    """Makes a cross-validation of a protocol's folds, such as those of LFW's View 2 or of CFP.

    Each fold is the test once. The next fold then chooses epoch and threshold, and the pairs of the others
    are for training: three identity-disjoint parts. `evaluation.cross_validate_plda` uses them in the same
    way.

    Args:
        folds: the pairs of each fold, as `read_folds` or `read_cfp_folds` returns them; three or more.
        photos: the photos of each person of the folds, for recipes that learn from people; `None` uses those
            in the pairs.

    Returns:
        As many trainings as there are folds.

    Raises:
        ValueError: if there are fewer than 3 folds, or `photos` lacks a person.

    Example:
        >>> fold = lambda a, b: Pairs([a + "1", a + "1"], [a + "2", b + "1"], [1, 0], [a, a], [a, b])
        >>> first, *_ = folds_in_turn([fold("ada", "bea"), fold("cyd", "dot"), fold("eve", "fay")])
        >>> [sorted(pairs.identities()) for pairs in (first.train, first.validation, first.test)]
        [['eve', 'fay'], ['cyd', 'dot'], ['ada', 'bea']]
    """
    if len(folds) < 3:
        raise ValueError(
            "`folds` must be at least 3: one is the test, one chooses, and one is trained on. "
            f"Received: {len(folds)}"
        )
    found = []
    for number, test in enumerate(folds):
        after = (number + 1) % len(folds)
        train = reduce(add, [fold for i, fold in enumerate(folds) if i not in (number, after)])
        names = sorted(train.identities())
        if photos is not None and (missing := [name for name in names if name not in photos]):
            raise ValueError(f"`photos` must hold everybody of the folds. Received them without {missing[0]}")
        own = {} if photos is None else {name: list(photos[name]) for name in names}
        found.append(OwnPeople(train, folds[after], test, photos=own))
    return found
