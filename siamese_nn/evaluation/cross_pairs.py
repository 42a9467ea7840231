"""Measures all pairs of some people's photos: the false non-match rate at given false match rates."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike
from prettytable import PrettyTable

from .intervals import Rate, interval_of_share, jackknife_error, least_count
from .metrics import ChosenThreshold
from .search import score_blocks
from .vectors import unit_length

FALSE_MATCH_RATES = (0.1, 0.01, 0.001, 0.0001)
_GROUPS = 32  # of people; each is left out in turn
_ROWS = 256  # photos whose scores with all others are in memory at a time
_BINS = 2**15  # the least number of steps between the lowest and the highest score

Blocks = Iterable[tuple[int, int, np.ndarray]]
Compare = Callable[[np.ndarray, np.ndarray], Blocks]


@dataclass(frozen=True)
class AllPairsReport:
    """The figures of all pairs of some people's photos, in the terms of ISO/IEC 19795-1 and NIST.

    Args:
        n_photos: the number of photos.
        n_people: the number of people on them.
        n_people_twice: people with two photos or more, who give the estimate of FNMR.
        n_same: pairs of photos of one person.
        n_different: pairs of photos of two people.
        fnmr_at_fmr: the lowest false non-match rate (the share of same pairs that are missed) at which the
            false match rate (the share of different pairs that match) is at most `"0.1"`, `"0.01"`,
            `"0.001"`, `"0.0001"`. `None` with fewer than 10 / FMR pairs of people: 15, 46, 143 and 448
            people give enough.
        thresholds: the scores from which a pair matches at these rates; `None` as above. They fit these
            people. For other people choose thresholds on held-out people.

    Example:
        >>> people = np.repeat(np.arange(50), 2)  # two photos each
        >>> report = all_pairs(np.eye(50)[people], people)  # vectors that tell all of them apart
        >>> report.n_same, report.fnmr_at_fmr["0.01"].estimate
        (50, 0.0)
        >>> print(report.table().get_string(fields=["Figure", "Value"], start=1, end=4))
        +------------------+-----------------------------------------+
        | Figure           | Value                                   |
        +------------------+-----------------------------------------+
        | Pairs            | 50 same, 4,900 different, of 100 photos |
        | FNMR at FMR 0.1  | 0.0000                                  |
        | FNMR at FMR 0.01 | 0.0000                                  |
        +------------------+-----------------------------------------+
    """

    n_photos: int
    n_people: int
    n_people_twice: int
    n_same: int
    n_different: int
    fnmr_at_fmr: dict[str, Rate | None]
    thresholds: dict[str, float | None]

    def as_dict(self) -> dict:
        """Returns the fields as plain numbers, ready for JSON."""
        return asdict(self)

    def table(self) -> PrettyTable:
        """Returns the figures as a table, in words where there is no number."""
        table = PrettyTable(["Figure", "Value", "95% interval over people", "Threshold"], align="l")
        people = f"{self.n_people:,}, {self.n_people_twice:,} of them with two photos or more"
        pairs = f"{self.n_same:,} same, {self.n_different:,} different, of {self.n_photos:,} photos"
        table.add_rows([["People", people, "", ""], ["Pairs", pairs, "", ""]])
        for fmr, rate in self.fnmr_at_fmr.items():
            if rate is None:
                row = [f"too few pairs of people (needs {least_count(float(fmr)):,})", "", ""]
            else:
                row = [f"{rate.estimate:.4f}", in_words(rate.interval), f"{self.thresholds[fmr]:.6g}"]
            table.add_row([f"FNMR at FMR {fmr}", *row])
        return table


def all_pairs(
    embeddings: ArrayLike, people: Sequence | np.ndarray, *, compare: Compare | None = None, seed: int = 0
) -> AllPairsReport:
    """Measures all pairs of photos, and not only those of a pair file, in constant memory.

    All people have the same weight, and so have all pairs of people, regardless of their numbers of photos. A
    pair of people counts with the share of their pairs of photos that match; a person counts with the share
    of their pairs that do not match. With one pair of photos each, these are the plain shares. Thresholds are
    on a grid of at least 32,768 steps from the lowest to the highest score; the rates at each are exact.

    The intervals are a jackknife over groups of people. 32 groups, if there are enough people, are left out
    in turn, and the threshold is found again without them. Leaving out single people would be wrong for a
    figure that contains a quantile.

    Args:
        embeddings: `(n, d)` finite numbers, the photos' vectors.
        people: the person on each photo, `n` names or numbers.
        compare: a function of two arrays of embeddings that gives their scores, higher is more alike, in
            blocks as `compare_all` does: the first row, the first column, and the scores. For a model of
            `siamese_nn.models` it is `functools.partial(compare_all, model)`. `None` uses the cosine.
        seed: the seed of the groups.

    Returns:
        The report.

    Raises:
        ValueError: if the shapes do not fit, a number is not finite, or fewer than two people have two
            photos.

    Reference:
        ISO/IEC 19795-1:2021 (the rates).
        Shao and Wu, "A general theory for jackknife variance estimation", Annals of Statistics 17(3), 1989
        (several left out at a time).
        Lee, "U-Statistics", 1990, section 5.1 (the jackknife of means over pairs of people).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> people = np.repeat(np.arange(200), 2)  # two photos each
        >>> photos = rng.normal(size=(200, 16))[people] + 0.5 * rng.normal(size=(400, 16))
        >>> report = all_pairs(photos, people)
        >>> report.n_different, report.fnmr_at_fmr["0.0001"]
        (79600, None)
        >>> low, high = report.fnmr_at_fmr["0.01"].interval
        >>> 0 < low < report.fnmr_at_fmr["0.01"].estimate < high < 1
        True
    """
    embeddings, names, people = checked_people(embeddings, people)
    photos_each = np.bincount(people)
    twice = photos_each >= 2
    n_people, n_twice = len(names), int(twice.sum())
    # People with two photos are distributed first, so that each group gets its share of them.
    order = np.lexsort((np.random.default_rng(seed).random(n_people), ~twice))
    n_groups = min(n_people, _GROUPS)
    group = np.empty(n_people, np.int64)
    group[order] = np.arange(n_people) % n_groups

    low, high = np.inf, -np.inf
    for _, _, block in _blocks(embeddings, compare):
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    rounding = max(abs(low), abs(high)) * float(np.finfo(np.float32).eps)  # if all scores are equal
    extent = max(high - low, rounding, float(np.finfo(np.float32).tiny))
    # A power of two, so that a division by it is exact.
    step = 2.0 ** math.floor(math.log2(extent / _BINS))
    first = math.floor(low / step)
    n_bins = math.floor(high / step) - first + 2  # the last one is above all scores

    same, different = np.zeros((n_groups, n_bins)), np.zeros(n_bins)
    touched = np.zeros((n_groups, n_bins))  # the pairs in which each group takes part
    for left, right, scores in pairs_of_photos(embeddings, compare):
        bins = (np.floor(scores / step) - first).astype(np.int64)
        left, right = people[left], people[right]
        own = left == right
        weights = 1 / (photos_each[left] * (photos_each[right] - own) / (1 + own))
        same += _counts(group[left[own]], bins[own], weights[own], same.shape)
        left, right, bins, weights = left[~own], right[~own], bins[~own], weights[~own]
        different += np.bincount(bins, weights, n_bins)
        touched += _counts(group[left], bins, weights, touched.shape)
        apart = group[left] != group[right]
        touched += _counts(group[right[apart]], bins[apart], weights[apart], touched.shape)

    all_same = same.sum(axis=0)
    figures: dict[str, Rate | None] = {}
    thresholds: dict[str, float | None] = {}
    for fmr in FALSE_MATCH_RATES:
        if n_people * (n_people - 1) // 2 < least_count(fmr):
            figures[str(fmr)] = thresholds[str(fmr)] = None
            continue
        place, estimate = _fnmr(all_same, different, fmr)
        left_out = np.array(
            [_fnmr(all_same - same[g], different - touched[g], fmr)[1] for g in range(n_groups)]
        )
        interval = interval_of_share(estimate, jackknife_error(left_out), min(n_groups, n_twice) - 1)
        threshold = ChosenThreshold((first + place) * step)
        threshold.people = [str(name) for name in names]
        figures[str(fmr)], thresholds[str(fmr)] = Rate(estimate, interval), threshold
    n_same = int((photos_each * (photos_each - 1) // 2).sum())
    n_photos = len(embeddings)
    n_different = n_photos * (n_photos - 1) // 2 - n_same
    return AllPairsReport(n_photos, n_people, n_twice, n_same, n_different, figures, thresholds)


def in_words(interval: tuple[float, float] | None) -> str:
    """Formats an interval for a table."""
    return "not known" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def checked_people(
    embeddings: ArrayLike, people: Sequence | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the embeddings, the people's names, and the index of the person on each photo."""
    try:
        embeddings, people = np.asarray(embeddings), np.asarray(people)
    except ValueError as error:
        raise ValueError(
            f"`embeddings` and `people` must be arrays. Received: lists of other lengths in a list ({error})"
        ) from error
    if embeddings.ndim != 2 or embeddings.dtype.kind not in "fiu" or people.shape != embeddings.shape[:1]:
        raise ValueError(
            "`embeddings` must be numbers of shape (n, d), and `people` n names. Received: embeddings "
            f"{embeddings.dtype} {embeddings.shape}, people {people.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        raise ValueError(f"`embeddings` must be finite. Received: row {bad[0]}, which is not")
    try:
        names, people = np.unique(people, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"`people` must be names, or numbers. Received: both, or others ({error})"
        ) from error
    n_twice = int((np.bincount(people, minlength=1) >= 2).sum())
    if n_twice < 2:
        raise ValueError(
            "`people` must hold at least two people with two photos or more, to tell how often the same "
            f"person is missed. Received: {n_twice} among {len(names)} people"
        )
    return embeddings, names, people


def _blocks(embeddings: np.ndarray, compare: Compare | None) -> Blocks:
    """Gives scores in blocks that cover every pair at least once; some pairs come in both orders."""
    if compare is None:
        embeddings, compare = unit_length(embeddings.astype(np.float32)), score_blocks
    for start in range(0, len(embeddings), _ROWS):
        for row, column, block in compare(embeddings[start : start + _ROWS], embeddings[start:]):
            if not np.isfinite(block).all():
                raise ValueError("The scores must be finite. Received: some that are not")
            yield start + row, start + column, block


def pairs_of_photos(
    embeddings: np.ndarray, compare: Compare | None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Gives each pair of photos once: the left ones, the right ones, and their scores."""
    for row, column, block in _blocks(embeddings, compare):
        left, right = np.nonzero(column + np.arange(block.shape[1]) > row + np.arange(len(block))[:, None])
        yield row + left, column + right, block[left, right].astype(np.float64)


def _counts(groups: np.ndarray, bins: np.ndarray, weights: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.bincount(groups * shape[1] + bins, weights, shape[0] * shape[1]).reshape(shape)


def _fnmr(same: np.ndarray, different: np.ndarray, fmr: float) -> tuple[int, float]:
    """Returns the first step with at most the share `fmr` of `different` above, and FNMR there."""
    matches = np.cumsum(different[::-1])[::-1]
    place = int(np.argmax(matches <= (fmr + 1e-12) * matches[0]))
    return place, float(same[:place].sum() / same.sum())


def score_square(embeddings: np.ndarray, compare: Compare | None) -> np.ndarray:
    """Returns all scores among a few photos, `(n, n)`; rows are the probes."""
    if compare is None:
        embeddings, compare = unit_length(embeddings.astype(np.float32)), score_blocks
    scores = np.empty((len(embeddings), len(embeddings)))
    for row, column, block in compare(embeddings, embeddings):
        scores[row : row + len(block), column : column + block.shape[1]] = block
    if not np.isfinite(scores).all():
        raise ValueError("The scores must be finite. Received: some that are not")
    return scores
