"""Finds photos that probably show another person than their folder's, and folders of one person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .plda import Plda, fit_plda
from .vectors import unit_length

_FEWEST = 10  # people with two photos that each half needs to fit PLDA
FEWEST_TO_JUDGE = 2 * _FEWEST  # people with two photos in all
_BLOCK = 1024  # photos or folders at a time


@dataclass(frozen=True)
class Suspect:
    """A photo, and how much likelier it belongs to another folder than to its own.

    Args:
        photo: the photo's index.
        score: `other - own`; above 0 if the other folder is likelier.
        own: the logarithm of p(photo | the rest of its folder shows this person) / p(photo | a new person).
        other: the same for the likeliest other folder.
        other_person: the person of that folder.

    Example:
        >>> found = Suspect(photo=17, score=9.0, own=-4.0, other=5.0, other_person="Ada Lovelace")
        >>> found.score == found.other - found.own
        True
    """

    photo: int
    score: float
    own: float
    other: float
    other_person: str


@dataclass(frozen=True)
class SamePerson:
    """Two folders that may show one person, with the log-likelihood ratio.

    Args:
        one: the name of the first folder.
        other: the name of the second folder.
        score: the logarithm of p(all photos | one person) / p(all photos | two people).

    Example:
        >>> found = SamePerson("Ada Lovelace", "A. Lovelace", score=7.5)
        >>> f"{found.one} and {found.other}: {np.exp(found.score):,.0f} times as likely one person as two"
        'Ada Lovelace and A. Lovelace: 1,808 times as likely one person as two'
    """

    one: str
    other: str
    score: float


def rank_suspects(
    embeddings: np.ndarray, people: Sequence[str] | np.ndarray, *, seed: int = 0
) -> list[Suspect]:
    """Ranks photos by how much likelier they belong to another folder than to their own.

    The method is cross-fitted over people. A draw splits them into two halves. For the photos of one half,
    PLDA learns from the other half how photos of one person differ; see `fit_plda`. A photo is left out of
    its own folder, so that it is not compared with itself. A folder with many photos has more weight, since
    it describes its person better. The network must not have been trained on these people: it would confirm
    the wrong labels that it has learnt.

    Args:
        embeddings: `(n, d)` finite numbers, as `Verifier.embed` returns them; no row is all zeros.
        people: `(n,)` names, the folder of each photo.
        seed: the seed of the halves.

    Returns:
        The photos of all folders with two photos or more, the highest score first.

    Raises:
        ValueError: if the shapes do not fit, a row is not finite or is zero, or a half has fewer than 10
            people with two photos, which are too few for PLDA.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> people = np.repeat([f"P{i:02}" for i in range(60)], 4)
        >>> photos = np.repeat(rng.normal(size=(60, 16)), 4, axis=0) + 0.6 * rng.normal(size=(240, 16))
        >>> people[17] = "P40"  # P04's second photo is put into P40's folder
        >>> first = rank_suspects(photos, people)[0]
        >>> first.photo, first.other_person
        (17, 'P04')
    """
    vectors, names, folder, counts = _checked(embeddings, people)
    found = []
    for mine, plda in _halves(vectors, folder, counts, seed):
        space = _Space(plda, vectors, folder, counts)
        rows = np.flatnonzero(mine[folder] & (counts[folder] > 1))
        for start in range(0, len(rows), _BLOCK):
            some = rows[start : start + _BLOCK]
            others = space.of_folders(some)
            others[np.arange(len(some)), folder[some]] = -np.inf
            own, best = space.of_own_rest(some), others.argmax(axis=1)
            other = others.max(axis=1)
            found += [
                Suspect(*row)
                for row in zip(
                    some.tolist(),
                    (other - own).tolist(),
                    own.tolist(),
                    other.tolist(),
                    names[best].tolist(),
                    strict=True,
                )
            ]
    return sorted(found, key=lambda suspect: (-suspect.score, suspect.photo))


def rank_same_people(
    embeddings: np.ndarray, people: Sequence[str] | np.ndarray, *, most: int = 100, seed: int = 0
) -> list[SamePerson]:
    """Ranks pairs of folders by how likely their photos are of one person.

    Args:
        embeddings: as in `rank_suspects`.
        people: as in `rank_suspects`.
        seed: as in `rank_suspects`.
        most: pairs to return, at most.

    Returns:
        The pairs, the highest ratio first. Only those whose ratio is above the logarithm of the number of
        pairs are returned, so that chance alone finds about one.

    Raises:
        ValueError: as in `rank_suspects`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> people = np.repeat([f"P{i:02}" for i in range(60)], 4)
        >>> photos = np.repeat(rng.normal(size=(60, 16)), 4, axis=0) + 0.6 * rng.normal(size=(240, 16))
        >>> people[18:20] = "P99"  # two of P04's four photos lie in a folder of another name
        >>> [(pair.one, pair.other) for pair in rank_same_people(photos, people)]
        [('P04', 'P99')]
    """
    vectors, names, folder, counts = _checked(embeddings, people)
    least = np.log(max(1, len(names) * (len(names) - 1) / 2))
    scores: dict[tuple[int, int], float] = {}
    for mine, plda in _halves(vectors, folder, counts, seed):
        space = _Space(plda, vectors, folder, counts)
        rows = np.flatnonzero(mine)
        for start in range(0, len(rows), _BLOCK):
            some = rows[start : start + _BLOCK]
            ratios = space.of_pairs(some)
            ratios[np.arange(len(some)), some] = -np.inf
            for one, other in zip(*np.nonzero(ratios > least), strict=True):
                pair = (min(some[one], other), max(some[one], other))
                # Of the ratios from the two halves, the lower counts.
                scores[pair] = min(float(ratios[one, other]), scores.get(pair, np.inf))
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [SamePerson(str(names[one]), str(names[other]), score) for (one, other), score in ranked]


class _Space:
    """Photos and folders along PLDA's directions, in which one person's photos have variance 1."""

    def __init__(self, plda: Plda, vectors: np.ndarray, folder: np.ndarray, counts: np.ndarray):
        known = plda.between > 0
        self.between = plda.between[known]
        self.photos = ((vectors - plda.mean) @ plda.directions)[:, known]
        self.folder, self.counts = folder, counts
        self.sums = np.zeros((len(counts), len(self.between)))
        np.add.at(self.sums, folder, self.photos)

    def _new(self, photos: np.ndarray) -> np.ndarray:
        spread = 1 + self.between
        return -(photos**2 / spread + np.log(spread)).sum(axis=1) / 2

    def of_folders(self, rows: np.ndarray) -> np.ndarray:
        """Returns the log-likelihood ratios of some photos with all folders, `(photos, folders)`."""
        photos, b = self.photos[rows], self.between
        ratios = np.empty((len(rows), len(self.counts)))
        for count in np.unique(self.counts):
            own = self.counts == count
            centre = self.sums[own] * (b / (1 + count * b))
            spread = 1 + b / (1 + count * b)
            ratios[:, own] = (
                (photos / spread) @ centre.T
                - (photos**2 / spread).sum(axis=1)[:, None] / 2
                - (centre**2 / spread).sum(axis=1) / 2
                - np.log(spread).sum() / 2
            )
        return ratios - self._new(photos)[:, None]

    def of_own_rest(self, rows: np.ndarray) -> np.ndarray:
        """Returns the ratios of some photos with the rest of their own folders, `(photos,)`."""
        photos, b = self.photos[rows], self.between
        count = (self.counts[self.folder[rows]] - 1)[:, None]
        centre = (self.sums[self.folder[rows]] - photos) * (b / (1 + count * b))
        spread = 1 + b / (1 + count * b)
        return -((photos - centre) ** 2 / spread + np.log(spread)).sum(axis=1) / 2 - self._new(photos)

    def of_pairs(self, rows: np.ndarray) -> np.ndarray:
        """Returns the ratios of some folders with all folders: one person in both, or two people."""
        b, means = self.between, self.sums / self.counts[:, None]
        ratios = np.empty((len(rows), len(self.counts)))
        for one in np.unique(self.counts[rows]):
            left = np.flatnonzero(self.counts[rows] == one)
            for other in np.unique(self.counts):
                right = np.flatnonzero(self.counts == other)
                v, w = b + 1 / one, b + 1 / other  # variances of the means
                whole = v * w - b**2
                x, y = means[rows[left]], means[right]
                cross = (x * (b / whole)) @ y.T
                squares = (x**2 @ ((1 / v - w / whole) / 2))[:, None] + y**2 @ ((1 / w - v / whole) / 2)
                ratios[np.ix_(left, right)] = cross + squares - np.log(whole / (v * w)).sum() / 2
        return ratios


def _checked(
    embeddings: np.ndarray, people: Sequence[str] | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    vectors = np.asarray(embeddings, np.float64)
    names, folder, counts = np.unique(np.asarray(people, np.str_), return_inverse=True, return_counts=True)
    if vectors.ndim != 2 or len(vectors) != len(folder):
        raise ValueError(
            "`embeddings` must be (photos, embedding_size), with one of `people` for each photo. "
            f"Received: embeddings of shape {vectors.shape}, {len(folder)} people"
        )
    bad = np.flatnonzero(~(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)))
    if len(bad):
        raise ValueError(f"`embeddings` must be finite and not zero. Received: row {bad[0]} is not")
    return unit_length(vectors), names, folder, counts


def _halves(
    vectors: np.ndarray, folder: np.ndarray, counts: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, Plda]]:
    """Gives each half of the people, `(people,)` bool, and the PLDA that is fitted to the other half."""
    rng = np.random.default_rng(seed)
    half = np.zeros(len(counts), bool)
    for several in (True, False):  # each half has as many people with two photos
        group = rng.permutation(np.flatnonzero((counts > 1) == several))
        half[group[::2]] = True
    for mine in (half, ~half):
        taught = ~mine[folder]
        if (n := int((counts[~mine] > 1).sum())) < _FEWEST:
            raise ValueError(
                f"At least {FEWEST_TO_JUDGE} people must have two photos or more, to learn how photos of one "
                f"person differ. Received: a half with {n}"
            )
        yield mine, fit_plda(vectors[taught], folder[taught])
