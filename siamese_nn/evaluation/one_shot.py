"""One-shot accuracy: which of several people, with one photo each, is on another photo?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .cross_pairs import Compare, checked_people, score_square
from .intervals import Rate, interval_of_share
from .open_set import share_that_meets

_MOST_PHOTOS_EACH = 8  # in galleries, without drawers


def one_shot_accuracy(
    embeddings: ArrayLike,
    people: Sequence | np.ndarray,
    *,
    ways: int = 20,
    alphabets: Sequence | np.ndarray | None = None,
    drawers: Sequence | np.ndarray | None = None,
    compare: Compare | None = None,
    seed: int = 0,
) -> Rate:
    """Measures N-way one-shot accuracy, as Koch et al. measure it on Omniglot, for people or characters.

    In a trial a photo is compared with `ways` others, one of them of the same person. The trial is correct if
    that one has the highest score; a tie is wrong. No trials are drawn. The figure is the expectation over
    all draws of people, computed from the number of others whose score is as high. All people have the same
    weight.

    Args:
        embeddings: `(n, d)` finite numbers, the photos' vectors.
        people: the person or character on each photo, `n` names.
        ways: people in a trial, at least 2.
        alphabets: the alphabet of each photo's character, `n` names. A trial stays within one alphabet, and
            all alphabets have the same weight. Characters of two alphabets may have the same name. `None`
            makes all of them one alphabet.
        drawers: the drawer of each photo, `n` names; each drew each character of an alphabet once. The
            compared photos of a trial are by one drawer, and the photo is by another. `None` draws one photo
            of each person.
        compare: as in `all_pairs`; `None` uses the cosine.
        seed: the seed of the draw of photos, without `drawers`.

    Returns:
        The accuracy, with an interval by a jackknife over people, within alphabets.

    Raises:
        ValueError: if the shapes do not fit, a number is not finite, an alphabet has fewer people than `ways`
            or than 3, or a drawer lacks a character of the alphabet.

    Reference:
        Koch, Zemel and Salakhutdinov, "Siamese neural networks for one-shot image recognition", ICML deep
        learning workshop, 2015, section 4.3.
        Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through probabilistic program
        induction", Science 350, 2015 (20 characters of one alphabet, two drawers).

    Example:
        >>> characters, drawers = np.repeat(np.arange(25), 4), np.tile(list("abcd"), 25)
        >>> one_shot_accuracy(np.eye(25)[characters], characters, drawers=drawers).estimate
        1.0
    """
    if isinstance(ways, bool) or not isinstance(ways, (int, np.integer)) or ways < 2:
        raise ValueError(f"`ways` must be a whole number of at least 2. Received: ways={ways!r}")
    embeddings = checked_people(embeddings, people)[0]
    people = np.asarray(people)
    for name, given in (("alphabets", alphabets), ("drawers", drawers)):
        if given is not None and np.shape(given) != people.shape:
            raise ValueError(f"`{name}` must be {len(people)} names. Received: shape {np.shape(given)}")
    within = np.zeros(len(people), int) if alphabets is None else np.asarray(alphabets)
    found, n_people = [], 0
    for alphabet in np.unique(within):
        own = np.flatnonzero(within == alphabet)
        named = "" if alphabets is None else f" in {alphabet}"
        try:
            vectors, names, numbers = checked_people(embeddings[own], people[own])
        except ValueError as fault:
            raise ValueError(f"Alphabet {alphabet}: {fault}") from fault
        if len(names) < max(ways, 3):
            raise ValueError(
                f"`ways` must be at most the number of people, and these at least 3. Received: ways={ways}, "
                f"{len(names)} people{named}"
            )
        if drawers is None:
            galleries = _drawn(numbers, seed)
            asked = galleries[:, numbers] != np.arange(len(own))
        else:
            hands, hand = np.unique(np.asarray(drawers)[own], return_inverse=True)
            galleries = _by_drawer(names, numbers, hands, hand, named)
            asked = hand != np.arange(len(hands))[:, None]
        scores = score_square(vectors, compare)
        met, who = np.nonzero(asked)
        mates = scores[who, galleries[met, numbers[who]]]
        above = scores[who[:, None], galleries[met]] >= mates[:, None]
        above[np.arange(len(who)), numbers[who]] = False
        found.append(share_that_meets(above, numbers[who], ways - 1))
        n_people += len(names)
    missed, errors = np.transpose(found)
    error = float(np.sqrt((errors**2).sum())) / len(found)
    estimate = float(missed.mean())
    return Rate(estimate, interval_of_share(estimate, error, n_people - len(found))).complement()


def _drawn(people: np.ndarray, seed: int) -> np.ndarray:
    """Galleries with a photo of each person, `(g, people)`; a person's photos take turns."""
    rng = np.random.default_rng(seed)
    own = [rng.permutation(np.flatnonzero(people == person)) for person in range(people.max() + 1)]
    n = min(_MOST_PHOTOS_EACH, max(map(len, own)))
    return np.array([[photos[i % len(photos)] for photos in own] for i in range(n)])


def _by_drawer(
    names: np.ndarray, people: np.ndarray, hands: np.ndarray, hand: np.ndarray, named: str
) -> np.ndarray:
    """The photo of each person by each drawer, `(drawers, people)`."""
    counts = np.zeros((len(hands), len(names)), int)
    np.add.at(counts, (hand, people), 1)
    wrong = np.argwhere(counts != 1)
    if len(wrong) or len(hands) < 2:
        first = (
            f"{hands[wrong[0, 0]]} drew {names[wrong[0, 1]]} {counts[tuple(wrong[0])]} times"
            if len(wrong)
            else f"one drawer, {hands[0]}"
        )
        raise ValueError(
            f"`drawers` must be at least two, who each drew every character{named} once. Received: {first}"
        )
    galleries = np.empty(counts.shape, int)
    galleries[hand, people] = np.arange(len(people))
    return galleries
