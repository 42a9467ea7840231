"""Thresholds for galleries, from held-out people: how often unknown people get a name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .intervals import Rate, interval_of_share, jackknife_error

_MOST_PEOPLE, _MOST_PHOTOS = 800, 1000  # held-out: 4 MB of scores
_LEAST_PAIRS = 10  # of two people, with scores at or above a threshold for which rates are reported
_GALLERIES = 8  # each with another photo of each person, if there are others


@dataclass(frozen=True)
class GalleryThreshold:
    """The score from which a photo gets a name in a gallery, and the resulting error rates.

    Args:
        threshold: the score.
        fpir: the false positive identification rate: the share of unknown people's photos that get a name.
            `None` if too few held-out people reach the threshold to estimate it.
        fnir: the false negative identification rate: the share of known people's photos that do not get the
            person's name, because the score is too low or another person's is higher. `None` if no held-out
            person has two photos, or the gallery has more photos than there are held-out people.

    Example:
        >>> people = np.repeat(np.arange(50), 2)
        >>> held_out = HeldOutScores(np.eye(50)[people] @ np.eye(50)[people].T, people)
        >>> held_out.gallery_threshold(10, threshold=0.5).fnir.estimate  # nobody misses their own name
        0.0
    """

    threshold: float
    fpir: Rate | None
    fnir: Rate | None


@dataclass(frozen=True, eq=False)
class HeldOutScores:
    """All scores among photos of held-out people, which give thresholds for galleries.

    Args:
        scores: `(n, n)` finite floats, higher is more alike. Rows are probes, columns are photos of the
            gallery.
        people: the person on each photo, `n` names or numbers.

    Attributes:
        n_people: the number of people.

    Raises:
        ValueError: if the shapes do not fit, or a score is not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> people = np.repeat(np.arange(200), 2)  # two photos each
        >>> photos = rng.normal(size=(200, 16))[people] + 0.3 * rng.normal(size=(400, 16))
        >>> photos /= np.linalg.norm(photos, axis=1, keepdims=True)
        >>> found = HeldOutScores(photos @ photos.T, people).gallery_threshold(10, fpir=0.05)
        >>> found.fpir.interval[0] < found.fpir.estimate <= 0.05 < found.fpir.interval[1]
        True
    """

    scores: np.ndarray = field(repr=False)
    people: np.ndarray = field(repr=False)
    n_people: int = field(init=False)

    def __post_init__(self):
        scores, people = np.asarray(self.scores), np.asarray(self.people)
        if people.ndim != 1 or scores.shape != (len(people), len(people)) or scores.dtype.kind != "f":
            raise ValueError(
                "`scores` must be floats of shape (n, n), and `people` n names. Received: scores "
                f"{scores.dtype} {scores.shape}, people {people.shape}"
            )
        if not np.isfinite(scores).all():
            raise ValueError("`scores` must be finite. Received: some that are not")
        names, people = np.unique(people, return_inverse=True)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "people", people)
        object.__setattr__(self, "n_people", len(names))

    def gallery_threshold(
        self, n_photos: int, *, fpir: float = 0.01, threshold: float | None = None
    ) -> GalleryThreshold:
        """Finds the threshold at which few unknown people get a name in a gallery.

        A photo is compared with every photo of the gallery, and the highest score counts. The estimate uses
        each held-out person in turn as the unknown person, and all galleries of the others with one photo
        each. A gallery with several photos per person counts as one with as many people; in fact fewer
        unknown people get a name in it. For a gallery with more photos than there are held-out people, the
        rate is an upper bound, from the false match rate of pairs. The interval is a jackknife over people.

        Args:
            n_photos: photos in the gallery, at least 1.
            fpir: the false positive identification rate to keep to, in (0, 1).
            threshold: your own score, whose rates are measured; `fpir` is not used then.

        Returns:
            The lowest threshold whose estimated rate is at most `fpir`, with its rates.

        Raises:
            ValueError: if an argument is out of range, or the rate cannot be estimated: fewer than 10 pairs
                of held-out people would reach such a threshold.

        Reference:
            ISO/IEC 19795-1:2021 (the rates).
            Grother and Phillips, "Models of large population recognition performance", CVPR 2004 (from pairs
            to galleries).
            Efron and Stein, "The jackknife estimate of variance", Annals of Statistics 9(3), 1981 (on average
            it is not too small).
        """
        if isinstance(n_photos, bool) or not isinstance(n_photos, (int, np.integer)) or n_photos < 1:
            raise ValueError(
                f"`n_photos` must be a whole number of at least 1. Received: n_photos={n_photos!r}"
            )
        if threshold is None:
            threshold = self._threshold(n_photos, fpir)
        elif not _is_number(threshold) or not math.isfinite(threshold):
            raise ValueError(f"`threshold` must be a finite number. Received: threshold={threshold!r}")
        known = self._highest is not None and threshold <= self._highest
        return GalleryThreshold(
            float(threshold),
            self._fpir(n_photos, threshold) if known else None,
            self._fnir(n_photos, threshold),
        )

    def _threshold(self, n_photos: int, fpir: float) -> float:
        if not _is_number(fpir) or not 0 < fpir < 1:
            raise ValueError(f"`fpir` must be a rate in (0, 1). Received: fpir={fpir!r}")
        least = 1.0 if self._highest is None else self._fpir(n_photos, self._highest).estimate
        if least > fpir:
            promised = math.ceil(1000 * least) / 1000
            words = f"rates from {promised:g} on" if promised < 1 else "none"
            if not self.n_people:
                raise ValueError(
                    "No `fpir` can be promised: the run holds nobody out, or has lost their scores. Give a "
                    "`threshold` of your own, or take a run with people held out for validation"
                )
            raise ValueError(
                f"`fpir` must be a rate that can be promised. For a gallery of {n_photos} photos, the run's "
                f"{self.n_people} held-out people can promise {words}. Received: "
                f"fpir={fpir:g}. Give a higher `fpir`, a `threshold` of your own, or a smaller gallery; or "
                "train with more people held out for validation"
            )
        scores = np.unique(self._meetings)
        scores = scores[(scores > -np.inf) & (scores <= self._highest)]
        # The rate falls as the threshold rises; the highest threshold keeps to it.
        low, high = 0, len(scores) - 1
        while low < high:
            middle = (low + high) // 2
            if self._fpir(n_photos, scores[middle], interval=False).estimate <= fpir:
                high = middle
            else:
                low = middle + 1
        return float(scores[high])

    @cached_property
    def _highest(self) -> float | None:
        """The highest threshold for which rates can be reported; `None` if there are too few people."""
        if self.n_people * (self.n_people - 1) // 2 < _LEAST_PAIRS:
            return None
        order = np.argsort(self.people, kind="stable")
        first = np.searchsorted(self.people[order], np.arange(self.n_people))
        pairs = np.maximum.reduceat(self.scores[np.ix_(order, order)], first, axis=0)
        pairs = np.maximum.reduceat(pairs, first, axis=1)
        pairs = np.maximum(pairs, pairs.T)[np.triu_indices(self.n_people, 1)]
        return float(np.partition(pairs, -_LEAST_PAIRS)[-_LEAST_PAIRS])

    @cached_property
    def _galleries(self) -> np.ndarray:
        """Galleries with one photo of each person, `(g, people)`; they use different photos of a person."""
        rng = np.random.default_rng(0)
        own = [rng.permutation(np.flatnonzero(self.people == person)) for person in range(self.n_people)]
        n = min(_GALLERIES, max(map(len, own), default=0))
        galleries = [[photos[i % len(photos)] for photos in own] for i in range(n)]
        return np.array(galleries, np.int64).reshape(n, self.n_people)

    @cached_property
    def _meetings(self) -> np.ndarray:
        """The scores of all photos in these galleries, `(g * n, people)`; -inf for the photo's own person."""
        scores = np.concatenate([self.scores[:, gallery] for gallery in self._galleries])
        scores[np.arange(len(scores)), self._probes] = -np.inf
        return scores

    @property
    def _probes(self) -> np.ndarray:
        """The person on the photo of each row of `_meetings`."""
        return np.tile(self.people, len(self._galleries))

    def _fpir(self, n_photos: int, threshold: float, *, interval: bool = True) -> Rate:
        above = self._meetings >= threshold
        if n_photos <= self.n_people - 2:
            return _rate(above, self._probes, n_photos, interval=interval)
        # 1 - (1 - x)^n is concave: its mean over unknown people is at most its value at their mean.
        match = _rate(above, self._probes, 1, interval=interval)
        estimate = _of_many(match.estimate, n_photos)
        if match.interval is None:
            return Rate(estimate, None)
        low, high = match.interval
        return Rate(estimate, (_of_many(low, n_photos), _of_many(high, n_photos)))

    def _fnir(self, n_photos: int, threshold: float) -> Rate | None:
        if n_photos >= self.n_people or not self._n_twice:
            return None
        scores, above, people = self._known
        return _rate(above, people, n_photos - 1, scores >= threshold)

    @property
    def _n_twice(self) -> int:
        return int((np.bincount(self.people, minlength=1) > 1).sum())

    @property
    def _known(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each probe: the score of its own person, the people who score as high, and its person."""
        photos = np.arange(len(self.people))
        mates = self._galleries[:, self.people]  # the photo of the same person in each gallery
        others = (mates != photos).ravel()
        scores = self.scores[photos, mates].ravel()[others]
        return scores, self._meetings[others] >= scores[:, None], self._probes[others]

    def cmc(self, n_photos: int, *, ranks: Sequence[int] = (1, 5, 10, 20)) -> dict[int, Rate]:
        """Finds how often a known person's name is among the first names (the CMC curve).

        This is a closed set: every probe's person is in the gallery, and there is no threshold. The rates are
        those of all galleries of the held-out people with one photo each; a tie counts as an error.

        Args:
            n_photos: photos in the gallery, at least 2, and fewer than there are people.
            ranks: how many of the first names count; rank 1 is the identification rate.

        Returns:
            For each rank the share of photos whose person is among these names, with an interval by a
            jackknife over people.

        Raises:
            ValueError: if an argument is out of range, or no person has two photos.

        Reference:
            ISO/IEC 19795-1:2021 (the true positive identification rate at a rank).
            Grother and Phillips, CVPR 2004 (its expectation over galleries).

        Example:
            >>> people = np.repeat(np.arange(50), 2)
            >>> held_out = HeldOutScores(np.eye(50)[people] @ np.eye(50)[people].T, people)
            >>> held_out.cmc(20)[1].estimate
            1.0
        """
        if isinstance(n_photos, bool) or not isinstance(n_photos, (int, np.integer)) or n_photos < 2:
            raise ValueError(f"`n_photos` must be a whole number of at least 2. Received: {n_photos!r}")
        if not all(isinstance(rank, (int, np.integer)) and rank >= 1 for rank in ranks):
            raise ValueError(f"`ranks` must be whole numbers of at least 1. Received: {ranks}")
        if n_photos >= self.n_people or not self._n_twice:
            raise ValueError(
                "`n_photos` must be below the number of people, some of whom have two photos. Received: "
                f"n_photos={n_photos}, {self.n_people} people, {self._n_twice} of them with two photos"
            )
        _, above, people = self._known
        return {rank: _rate(above, people, n_photos - 1, rank=rank).complement() for rank in map(int, ranks)}


def spread_photos(people: Sequence[str], *, seed: int = 0) -> np.ndarray:
    """Picks at most 1,000 photos of at most 800 people for `HeldOutScores`: one of each, then a second.

    Args:
        people: the person on each photo, `n` names.
        seed: the seed of the choice, if there are more.

    Returns:
        The photos' indices, in ascending order.

    Example:
        >>> spread_photos(["Ada", "Ada", "Bob"]).tolist()  # so few are all taken
        [0, 1, 2]
    """
    rng = np.random.default_rng(seed)
    names, numbers = np.unique(np.asarray(people, np.str_), return_inverse=True)
    own = [rng.permutation(np.flatnonzero(numbers == i)) for i in rng.permutation(len(names))[:_MOST_PEOPLE]]
    rounds = [photos[i] for i in range(max(map(len, own), default=0)) for photos in own if i < len(photos)]
    return np.sort(np.array(rounds[:_MOST_PHOTOS], np.int64))


def _rate(
    above: np.ndarray,
    people: np.ndarray,
    n: int,
    right: np.ndarray | float = 1.0,
    *,
    rank: int = 1,
    interval: bool = True,
) -> Rate:
    """See `share_that_meets`."""
    estimate, error = share_that_meets(above, people, n, right, rank=rank, with_error=interval)
    return Rate(estimate, interval_of_share(estimate, error, above.shape[1] - 1))


def share_that_meets(
    above: np.ndarray,
    people: np.ndarray,
    n: int,
    right: np.ndarray | float = 1.0,
    *,
    rank: int = 1,
    with_error: bool = True,
) -> tuple[float, float]:
    """Returns the share of photos that have `rank` people `above` among `n` others, or are not `right`.

    Args:
        above: `(photos, m)`, whether each of the m people is above; never the photo's own person.
        people: the person on each photo, from 0 to m - 1. All people have the same weight.
        n: the number of people that are drawn from the m - 1 others, without replacement.
        right: `(photos,)`, 1 or 0.
        rank: the number of people above that counts as an error.
        with_error: whether to compute the error.

    Returns:
        The share, and its standard error by a jackknife over people; 0 if it is not computed or not known.
    """
    m = above.shape[1]
    weights = 1 / np.bincount(people, minlength=m)[people]
    counted = np.bincount(people, minlength=m) > 0
    n_above = above.sum(axis=1)
    estimate = 1 - (weights * right * _fewer_drawn(n_above, m - 1, n, rank)).sum() / counted.sum()
    estimate = float(np.clip(estimate, 0, 1))  # against rounding
    if not with_error or counted.sum() < 2:
        return estimate, 0.0
    # Without one person, each photo has one other fewer, and one above fewer if that person was above.
    n = min(n, m - 2)
    one_other_fewer = weights * right * _fewer_drawn(n_above, m - 2, n, rank)
    one_above_fewer = weights * right * _fewer_drawn(n_above - 1, m - 2, n, rank)
    clear = one_other_fewer.sum() - np.bincount(people, one_other_fewer, minlength=m)
    clear += (one_above_fewer - one_other_fewer) @ above
    left_out = 1 - clear / (counted.sum() - counted)
    return estimate, jackknife_error(left_out)


def _fewer_drawn(n_above: np.ndarray, m: int, n: int, rank: int) -> np.ndarray:
    """Returns the probability that fewer than `rank` of `n` people, drawn from `m`, are above."""
    if rank > 1:
        from scipy.stats import hypergeom

        return hypergeom.cdf(rank - 1, m, np.clip(n_above, 0, m), n)
    from scipy.special import gammaln

    n_below = m - n_above
    ways = (
        gammaln(n_below + 1) - gammaln(np.maximum(n_below - n, 0) + 1) - gammaln(m + 1) + gammaln(m - n + 1)
    )
    return np.where(n_below >= n, np.exp(ways), 0.0)


def _of_many(share: float, n: int) -> float:
    """Returns the probability of at least one event in `n` trials."""
    return 1.0 if share >= 1 else -math.expm1(n * math.log1p(-share))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
