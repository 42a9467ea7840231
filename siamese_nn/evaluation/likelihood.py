"""The cost of wrong and unsure answers: Cllr and the detection cost, actual and minimal."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.isotonic import isotonic_regression

from .checked import Identities, checked_identities, checked_scores
from .intervals import interval_of_cost


@dataclass(frozen=True)
class Cost:
    """A cost of at least 0, and its 95% interval over people, (low, high).

    Args:
        estimate: the cost.
        interval: the interval; `None` without people's names, and if the people show no spread.

    Example:
        >>> cllr([0.0, 0.0], [1, 0])  # without names there is no interval
        Cost(estimate=1.0, interval=None)
    """

    estimate: float
    interval: tuple[float, float] | None


def cllr(log_likelihood_ratios: ArrayLike, same: ArrayLike, *, identities: Identities | None = None) -> Cost:
    """Measures likelihood ratios by Cllr: the bits of information that are missing per pair.

    Cllr = (mean of log2(1 + 1 / LR) over same pairs + mean of log2(1 + LR) over different pairs) / 2. Perfect
    answers cost 0, no answer at all (LR = 1) costs 1, and confident wrong answers cost much more.

    Args:
        log_likelihood_ratios: `(n,)` natural logarithms, above 0 for the same person.
            `Calibration.log_likelihood_ratio` makes them from scores, with a calibration from other people.
        same: `(n,)`, 1 for the same person and 0 for different people.
        identities: the people on the left and on the right, `n` names each, for the interval.

    Returns:
        The cost.

    Raises:
        ValueError: if the lengths differ, a number is not finite, only one class is present, or names
            contradict labels.

    Reference:
        Bruemmer and du Preez, "Application-independent evaluation of speaker detection", Computer Speech &
        Language 20, 2006.
        Aronow, Samii and Assenova, "Cluster-robust variance estimation for dyadic data", Political Analysis
        23(4), 2015 (the interval: errors of pairs that share a person are correlated).

    Example:
        >>> cllr([0.0, 0.0], [1, 0]).estimate
        1.0
    """
    ratios, same = checked_scores(log_likelihood_ratios, same)
    return _mean_cost(np.logaddexp(0, np.where(same, -ratios, ratios)) / np.log(2), same, identities, 0.5)


def min_cllr(scores: ArrayLike, same: ArrayLike, *, identities: Identities | None = None) -> Cost:
    """Finds the least Cllr that any rising curve from scores to likelihood ratios gives on these pairs.

    It measures how well scores separate people. `cllr` minus this is what the calibration loses. The curve is
    the best one for these pairs, so that the figure is a little optimistic, more so with few pairs.

    Args:
        scores: `(n,)` floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.
        identities: as in `cllr`. The interval keeps the curve fixed: near its minimum the cost does not
            change with the curve.

    Returns:
        The cost.

    Raises:
        ValueError: as in `cllr`.

    Reference:
        Bruemmer and du Preez, 2006, section 5 (pool adjacent violators).

    Example:
        >>> min_cllr([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1]).estimate
        0.0
    """
    scores, same = checked_scores(scores, same)
    # With equal weights of both classes, the curve is the probability at even odds.
    weights = np.where(same, 1 / same.sum(), 1 / (~same).sum())
    distinct, where = np.unique(scores, return_inverse=True)
    weight = np.bincount(where, weights)
    share = isotonic_regression(np.bincount(where, weights * same) / weight, sample_weight=weight)
    probability = np.clip(np.where(same, share[where], 1 - share[where]), np.finfo(float).tiny, 1)
    return _mean_cost(-np.log2(probability), same, identities, 0.5)


def detection_cost(
    log_likelihood_ratios: ArrayLike,
    same: ArrayLike,
    *,
    prior: float,
    c_miss: float = 1.0,
    c_false: float = 1.0,
    identities: Identities | None = None,
) -> Cost:
    """Measures decisions by likelihood ratios when the share of same pairs is known (the actual DCF).

    A pair counts as same if its likelihood ratio is at least c_false (1 - prior) / (c_miss prior). The cost,
    c_miss prior FNMR + c_false (1 - prior) FMR, is divided by that of the better constant answer. From 1 on,
    a constant answer would be better.

    Args:
        log_likelihood_ratios: as in `cllr`.
        same: `(n,)`, 1 for the same person and 0 for different people.
        prior: the share of same pairs in use, in (0, 1).
        c_miss: the cost of missing the same person, above 0.
        c_false: the cost of taking two people for one, above 0.
        identities: as in `cllr`.

    Returns:
        The cost.

    Raises:
        ValueError: as in `cllr`, or if a cost or the prior is out of range.

    Reference:
        NIST, "Speaker Recognition Evaluation Plan", 2019, section 3 (C_det, normalised).

    Example:
        >>> detection_cost([2.0, 1.0, -1.0, -2.0], [1, 0, 1, 0], prior=0.5).estimate
        1.0
    """
    ratios, same = checked_scores(log_likelihood_ratios, same)
    share = _share_of_misses(prior, c_miss, c_false)
    return _decision_cost(ratios >= np.log((1 - share) / share), same, share, identities)


def min_detection_cost(
    scores: ArrayLike,
    same: ArrayLike,
    *,
    prior: float,
    c_miss: float = 1.0,
    c_false: float = 1.0,
    identities: Identities | None = None,
) -> Cost:
    """Finds the least detection cost of any threshold on these pairs (minimum DCF), which is optimistic.

    Args:
        scores: `(n,)` floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.
        prior: the share of same pairs in use, in (0, 1).
        c_miss: the cost of missing the same person, above 0.
        c_false: the cost of taking two people for one, above 0.
        identities: as in `cllr`. The interval keeps the threshold fixed.

    Returns:
        The cost.

    Raises:
        ValueError: as in `detection_cost`.

    Example:
        >>> min_detection_cost([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0], prior=0.5).estimate
        0.5
    """
    scores, same = checked_scores(scores, same)
    share = _share_of_misses(prior, c_miss, c_false)
    distinct, where = np.unique(scores, return_inverse=True)
    gains = np.where(same, share / same.sum(), -(1 - share) / (~same).sum())
    # The gain of calling all pairs same from the k-th distinct score on.
    gained = np.append(np.cumsum(np.bincount(where, gains)[::-1])[::-1], 0)
    return _decision_cost(where >= np.argmax(gained), same, share, identities)


def _share_of_misses(prior: float, c_miss: float, c_false: float) -> float:
    for name, value, most in (("prior", prior, 1), ("c_miss", c_miss, np.inf), ("c_false", c_false, np.inf)):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < most:
            words = "in (0, 1)" if name == "prior" else "a finite number above 0"
            raise ValueError(f"`{name}` must be {words}. Received: {name}={value!r}")
    return float(c_miss * prior / (c_miss * prior + c_false * (1 - prior)))


def _decision_cost(
    accepted: np.ndarray, same: np.ndarray, share: float, identities: Identities | None
) -> Cost:
    wrong = (accepted != same) / min(share, 1 - share)
    return _mean_cost(wrong, same, identities, share)


def _mean_cost(costs: np.ndarray, same: np.ndarray, identities: Identities | None, share: float) -> Cost:
    """Returns `share` times the mean over same pairs plus (1 - `share`) times that over different pairs."""
    means = np.where(same, costs[same].mean(), costs[~same].mean())
    estimate = float(share * costs[same].mean() + (1 - share) * costs[~same].mean())
    if identities is None:
        return Cost(estimate, None)
    names = checked_identities(identities, same)
    left, right = np.unique(np.concatenate(names), return_inverse=True)[1].reshape(2, -1)
    n_people = int(max(left.max(), right.max())) + 1
    errors = (costs - means) * np.where(same, share / same.sum(), (1 - share) / (~same).sum())
    # Errors of pairs that share a person are correlated. Pairs of the same two people share both, and are
    # counted once.
    of_person = np.bincount(left, errors, n_people)
    of_person += np.bincount(right[~same], errors[~same], n_people)
    twos = np.unique(np.sort([left[~same], right[~same]], axis=0), axis=1, return_inverse=True)[1].ravel()
    by_people = (of_person**2).sum() - (np.bincount(twos, errors[~same]) ** 2).sum()
    variance = max(n_people / (n_people - 1) * by_people, (errors**2).sum())
    return Cost(estimate, interval_of_cost(estimate, float(np.sqrt(variance)), n_people - 1))
