"""From scores to figures: NumPy, SciPy and scikit-learn, no TensorFlow."""

from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score, roc_curve


@dataclass(frozen=True)
class VerificationReport:
    """The figures of a verification on labelled pairs.

    Args:
        n_same: pairs of one person.
        n_different: pairs of two people.
        threshold: the score from which a pair counts as same.
        accuracy: share of pairs decided rightly at `threshold`, in [0, 1].
        accuracy_interval: 95% interval of `accuracy` (Wilson), taking pairs as independent; since pairs share people, the
            true one is somewhat wider.
        auc: area under the ROC curve, in [0, 1].
        eer: equal error rate, where false accepts and false rejects are equally frequent, in [0, 1].
    """

    n_same: int
    n_different: int
    threshold: float
    accuracy: float
    accuracy_interval: tuple[float, float]
    auc: float
    eer: float

    def as_dict(self) -> dict:
        """Returns the fields as plain numbers, ready for JSON."""
        return asdict(self)


def verification_report(scores: np.ndarray, same: np.ndarray, *, threshold: float) -> VerificationReport:
    """Measures scores against labels.

    Args:
        scores: `(n,)` floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.
        threshold: a pair counts as same from this score on. Choose it on other pairs: see `choose_threshold`.

    Raises:
        ValueError: if the lengths differ, a score is not finite, or only one class is present.

    Example:
        >>> report = verification_report([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0], threshold=0.5)
        >>> report.accuracy, report.auc
        (0.5, 0.75)

    Reference:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    scores, same = _checked(scores, same)
    if not isinstance(threshold, (int, float, np.number)) or not np.isfinite(threshold):
        raise ValueError(f"`threshold` must be a finite number. Received: threshold={threshold}")
    right = int(((scores >= threshold) == same).sum())
    interval = binomtest(right, len(same)).proportion_ci(0.95, method="wilson")
    return VerificationReport(
        n_same=int(same.sum()),
        n_different=int((~same).sum()),
        threshold=float(threshold),
        accuracy=right / len(same),
        accuracy_interval=(float(interval.low), float(interval.high)),
        auc=float(roc_auc_score(same, scores)),
        eer=equal_error_rate(scores, same),
    )


def choose_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """Finds the threshold of highest accuracy, to be used on other pairs than these.

    Args:
        scores: `(n,)` floats of validation pairs, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.

    Returns:
        The threshold, half-way between two neighbouring scores; the middle one where several are best.

    Raises:
        ValueError: if the lengths differ, a score is not finite, or only one class is present.

    Example:
        >>> choose_threshold([0.0, 0.25, 0.75, 1.0], [0, 0, 1, 1])
        0.5
    """
    scores, same = _checked(scores, same)
    distinct, where = np.unique(scores, return_inverse=True)
    # From the k-th distinct score on, all is called same: right are the same pairs from k on, the others before it.
    gain = np.bincount(where, weights=np.where(same, 1, -1))
    right_from = np.append(np.cumsum(gain[::-1])[::-1], 0)
    best = np.flatnonzero(right_from == right_from.max())
    k = int(best[len(best) // 2])
    if k == len(distinct):  # nothing is right more often than calling all different
        return float(np.nextafter(distinct[-1], np.inf))
    return float((distinct[k - 1] + distinct[k]) / 2 if k else distinct[0])


def equal_error_rate(scores: np.ndarray, same: np.ndarray) -> float:
    """Finds where the ROC curve's false-positive and false-negative rates are equal, linear between its points.

    Args:
        scores: `(n,)` floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.

    Returns:
        The equal error rate, in [0, 1]: 0 is perfect, 0.5 is chance.

    Raises:
        ValueError: if the lengths differ, a score is not finite, or only one class is present.
    """
    scores, same = _checked(scores, same)
    false_positives, true_positives, _ = roc_curve(same, scores, drop_intermediate=False)
    return float(np.interp(0.0, false_positives - (1 - true_positives), false_positives))


def _checked(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, same = np.asarray(scores, np.float64), np.asarray(same)
    if scores.ndim != 1 or scores.shape != same.shape:
        raise ValueError(
            f"`scores` and `same` must be of one shape, (n,). Received: shapes {scores.shape} and {same.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise ValueError(
            f"`scores` must be finite. Received: {len(bad)} that are not, the first is {scores[bad[0]]} at index {bad[0]}. "
            "A model whose training diverged scores NaN: look at its loss"
        )
    if not np.isin(same, (0, 1)).all() or len(np.unique(same)) != 2:
        raise ValueError(
            "`same` must hold both classes, 1 (same person) and 0 (different people). "
            f"Received: {len(same)} pairs with labels {np.unique(same)[:5]}"
        )
    return scores, same == 1
