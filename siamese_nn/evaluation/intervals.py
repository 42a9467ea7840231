"""95% intervals over people, since pairs share people. Reports use a bootstrap over people."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
FALSE_ACCEPT_RATES = (0.1, 0.01, 0.001)
FIGURES = ("accuracy", "auc", "eer", *map(str, FALSE_ACCEPT_RATES))
_CELLS = 2_000_000  # resamples times pairs in memory at a time: 16 MB per array


@dataclass(frozen=True)
class Rate:
    """A share, in [0, 1], and its 95% interval over people, (low, high).

    Args:
        estimate: the share.
        interval: the interval; `None` if the people show no spread.

    Example:
        >>> missed = Rate(0.1, (0.05, 0.2))
        >>> missed.complement()
        Rate(estimate=0.9, interval=(0.8, 0.95))
    """

    estimate: float
    interval: tuple[float, float] | None

    def complement(self) -> "Rate":
        """Returns 1 minus the share, with its interval."""
        low, high = self.interval or (0.0, 0.0)
        return Rate(1 - self.estimate, None if self.interval is None else (1 - high, 1 - low))


def least_count(rate: float) -> int:
    """Returns how many trials show 10 errors at this rate. With fewer, the rate is not reported."""
    return int(np.ceil(10 / rate - 1e-6))


def interval_of_share(estimate: float, error: float, degrees: int) -> tuple[float, float] | None:
    """Finds the 95% interval of a share. It is normal in the log-odds, so that it stays within 0 and 1.

    Args:
        estimate: the share.
        error: its standard error.
        degrees: the degrees of freedom of Student's t: the number of people minus 1.

    Returns:
        The ends (low, high); `None` if the error is 0, or the share is 0 or 1.
    """
    if not error > 0 or not 0 < estimate < 1:
        return None
    # By the delta method, the log-odds have the share's error over estimate * (1 - estimate).
    from scipy.special import expit, logit

    reach = _student_t(degrees) * error / (estimate * (1 - estimate))
    low, high = expit(logit(estimate) + np.array([-reach, reach]))
    return float(low), float(high)


def interval_of_cost(estimate: float, error: float, degrees: int) -> tuple[float, float] | None:
    """Finds the 95% interval of a cost or ratio, normal in its logarithm; see `interval_of_share`."""
    if not error > 0 or not estimate > 0:
        return None
    reach = _student_t(degrees) * error / estimate
    return float(estimate * np.exp(-reach)), float(estimate * np.exp(reach))


def _student_t(degrees: int) -> float:
    """Returns Student's quantile for an interval of 95%."""
    from scipy.stats import t  # takes half a second to import

    return t.ppf(0.975, degrees)


def jackknife_error(left_out: np.ndarray) -> float:
    """Returns the standard error of a figure, from its values without each person (or group) in turn."""
    n = len(left_out)
    return float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))


def bootstrap_intervals(
    scores: np.ndarray,
    same: np.ndarray,
    identities: tuple[np.ndarray, np.ndarray],
    *,
    threshold: float,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """Finds 95% intervals of the figures of `verification_report`, for other people from the same population.

    People are drawn with replacement. A pair of one person counts as often as the person was drawn; a pair of
    two people counts as often as the product of their two numbers. The product gives the right variance for
    what pairs share, but counts each different pair's own noise three times. The two extra parts are
    subtracted, as in multi-way clustering: the variance is that of the bootstrap over people, minus twice
    that of a bootstrap over the different pairs, and at least that of a bootstrap over all pairs. The
    interval is normal in the log-odds of the figure, with Student's t quantile for this number of people. So
    it stays within 0 and 1, and is wider for few people.

    Args:
        scores: `(n,)` finite floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people; both occur.
        identities: the people on the left and on the right of each pair, `(n,)` names each.
        threshold: a pair counts as same from this score on.
        seed: the seed of the draw; the same seed gives the same intervals.

    Returns:
        The intervals of `"accuracy"`, `"auc"`, `"eer"`, and of the TAR at the FAR `"0.1"`, ...,
        each (low, high); `None` if the resamples have no spread, as for a figure that is 0 or 1, such as the
        AUC of a perfect separation.

    Reference:
        Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 2007 (the product, and its
        variance). Cameron, Gelbach and Miller, "Robust inference with multiway clustering", Journal of
        Business & Economic Statistics 29(2), 2011 (sums and differences of variances). Cameron and Miller, "A
        practitioner's guide to cluster-robust inference", Journal of Human Resources 50(2), 2015 (the
        quantile). Fogliato, Patil and Perona, "Confidence intervals for error rates in 1:1 matching tasks",
        International Journal of Computer Vision, 2024, arXiv:2306.01198 (face verification).

    Example:
        >>> names = np.repeat(list("abcdefgh"), 2), np.array(list("abbccddeeffgghha"))
        >>> same = names[0] == names[1]
        >>> scores = np.where(same, 1.0, 0.0) + 0.2 * (np.arange(16) % 7)
        >>> intervals = bootstrap_intervals(scores, same, names, threshold=0.5)
        >>> low, high = intervals["auc"]
        >>> 0.5 < low < high < 1
        True
    """
    scores, same = np.asarray(scores, np.float64), np.asarray(same) == 1
    left, right = np.unique(np.concatenate(identities), return_inverse=True)[1].reshape(2, -1)
    n, n_people, different = len(same), max(left.max(), right.max()) + 1, np.flatnonzero(~same)
    rng = np.random.default_rng(seed)

    def people(count: int) -> np.ndarray:
        times = rng.multinomial(n_people, np.full(n_people, 1 / n_people), size=count)
        return np.where(left == right, times[:, left], times[:, left] * times[:, right])

    def pairs(count: int) -> np.ndarray:
        return rng.multinomial(n, np.full(n, 1 / n), size=count)

    def different_pairs(count: int) -> np.ndarray:
        weights = np.ones((count, n))
        weights[:, different] = rng.multinomial(
            len(different), np.full(len(different), 1 / len(different)), size=count
        )
        return weights

    by_people, by_pairs, by_different = (
        _resample(scores, same, draw, threshold).var(axis=0) for draw in (people, pairs, different_pairs)
    )
    errors = np.sqrt(np.maximum(by_people - 2 * by_different, by_pairs))
    estimates = weighted_figures(scores, same, np.ones((1, n)), threshold=threshold)[0]
    return {
        name: interval_of_share(estimate, error, n_people - 1)
        for name, estimate, error in zip(FIGURES, estimates, errors, strict=True)
    }


def _resample(
    scores: np.ndarray, same: np.ndarray, draw: Callable[[int], np.ndarray], threshold: float
) -> np.ndarray:
    """Returns the figures of `RESAMPLES` draws, `(RESAMPLES, 6)`, without draws that hold only one class."""
    step = max(1, _CELLS // len(scores))
    counts = [min(step, RESAMPLES - start) for start in range(0, RESAMPLES, step)]
    figures = np.concatenate(
        [weighted_figures(scores, same, draw(count), threshold=threshold) for count in counts]
    )
    return figures[np.isfinite(figures).all(axis=1)]


def weighted_figures(
    scores: np.ndarray, same: np.ndarray, weights: np.ndarray, *, threshold: float
) -> np.ndarray:
    """Measures many weightings of the same pairs at once, as scikit-learn does with each `sample_weight`.

    Args:
        scores: `(n,)` finite floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.
        weights: `(b, n)`, how often each pair counts, at least 0.
        threshold: a pair counts as same from this score on.

    Returns:
        For each weighting the `FIGURES`: accuracy, AUC, EER, and the TAR at each of the `FALSE_ACCEPT_RATES`,
        `(b, 6)`; NaN if a class has no weight.
    """
    scores, same = np.asarray(scores), np.asarray(same) == 1
    order = np.argsort(-scores, kind="stable")
    scores, same, weights = scores[order], same[order], np.asarray(weights, np.float64)[:, order]
    # One point of the ROC curve for each distinct score, after the last pair with it, and one at the origin.
    points = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    accepted_same = np.cumsum(weights * same, axis=1)[:, points]
    accepted_different = np.cumsum(weights * ~same, axis=1)[:, points]
    with np.errstate(invalid="ignore"):
        true_positives = np.pad(accepted_same / accepted_same[:, -1:], ((0, 0), (1, 0)))
        false_positives = np.pad(accepted_different / accepted_different[:, -1:], ((0, 0), (1, 0)))
    accuracy = weights @ ((scores >= threshold) == same) / weights.sum(axis=1).clip(np.finfo(float).tiny)
    heights = (true_positives[:, 1:] + true_positives[:, :-1]) / 2
    auc = (np.diff(false_positives, axis=1) * heights).sum(axis=1)
    # The equal error rate is where false positives minus false negatives change sign, from -1 to 1.
    excess = false_positives + true_positives - 1
    rows, after = np.arange(len(excess)), np.maximum(np.argmax(excess >= 0, axis=1), 1)
    start, stop = excess[rows, after - 1], excess[rows, after]
    first, last = false_positives[rows, after - 1], false_positives[rows, after]
    eer = first - start / (stop - start) * (last - first)
    tars = [
        np.where(false_positives <= rate + 1e-12, true_positives, 0).max(axis=1)
        for rate in FALSE_ACCEPT_RATES
    ]
    return np.stack([accuracy, auc, eer, *tars], axis=1) + np.where(np.isnan(auc), np.nan, 0)[:, None]
