"""Turns scores into figures, with NumPy, SciPy and scikit-learn, without TensorFlow."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from prettytable import PrettyTable
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score, roc_curve

from .checked import Identities, checked_identities, checked_scores
from .intervals import FALSE_ACCEPT_RATES, bootstrap_intervals, least_count
from .likelihood import Cost, cllr, detection_cost, min_cllr, min_detection_cost

COSTS = {"cllr": "Cllr", "min_cllr": "Minimal Cllr", "dcf": "DCF", "min_dcf": "Minimal DCF"}
_LEAST_FOR_CLLR = 100  # pairs of either kind
_PRIOR = 0.01  # the share of same pairs in use, for the detection costs


@dataclass(frozen=True)
class VerificationReport:
    """The figures of a verification on labelled pairs: rates in [0, 1], and 95% intervals (low, high).

    Args:
        n_same: pairs of one person.
        n_different: pairs of two people.
        n_people: people in the pairs; `None` if their names were not given.
        threshold: the score from which a pair counts as same.
        accuracy: share of pairs that `threshold` decides correctly.
        accuracy_interval: the interval over people, at least as wide as Wilson's interval over pairs; without
            names, Wilson's interval.
        auc: area under the ROC curve.
        auc_interval: the interval over people; `None` without names, or if no resample differs (a perfect
            separation).
        eer: equal error rate, where false accepts and false rejects are equally frequent.
        eer_interval: like `auc_interval`.
        tar_at_far: the highest true-accept rate at which the false-accept rate is at most `"0.1"`,
            `"0.01"`, `"0.001"`, each at its own threshold. `None` with fewer than 3 / FAR different pairs
            (30, 300, 3,000): even if none of these is accepted, the rate is not certain at 95% (the rule of
            three).
        tar_intervals: the interval of each of these, like `auc_interval`; `{}` without names.
        confusion: pairs at `threshold`: `"true_accepts"`, `"false_rejects"`,
            `"false_accepts"`, `"true_rejects"`.
        best_accuracy: the accuracy at the threshold that is best on these pairs, which is optimistic.
        interval_over: `"people"` or `"pairs"`: what the intervals resample.
        min_cllr: how well the scores separate people, from 0 (perfectly) to 1 (not at all), for the best
            calibration; see `min_cllr`. `None` with fewer than 100 pairs of either kind, for which it would
            be too optimistic.
        min_cllr_interval: the interval over people; `None` without names or spread.
        cllr: the same for the given calibration; see `cllr`. The difference to `min_cllr` is what the
            calibration loses. `None` as `min_cllr`, and without likelihood ratios.
        cllr_interval: like `min_cllr_interval`.
        min_dcf: the detection cost if one pair in a hundred is of one person and both errors cost the same,
            at the threshold that is best on these pairs; see `min_detection_cost`. `None` with fewer than
            1,000 different pairs, which cannot show so few false matches.
        min_dcf_interval: like `min_cllr_interval`.
        dcf: the same with likelihood ratios; see `detection_cost`. `None` as `min_dcf`, and without
            likelihood ratios.
        dcf_interval: like `min_cllr_interval`.

    Reference:
        Hanley and Lippman-Hand, "If nothing goes wrong, is everything all
        right?", JAMA 249, 1983 (the rule of three).

    Example:
        >>> report = verification_report([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0], threshold=0.5)
        >>> print(report.table().get_string(fields=["Figure", "Value"], end=4))
        +----------+---------------------+
        | Figure   | Value               |
        +----------+---------------------+
        | Pairs    | 2 same, 2 different |
        | Accuracy | 0.5000              |
        | AUC      | 0.7500              |
        | EER      | 0.5000              |
        +----------+---------------------+
    """

    n_same: int
    n_different: int
    n_people: int | None
    threshold: float
    accuracy: float
    accuracy_interval: tuple[float, float]
    auc: float
    auc_interval: tuple[float, float] | None
    eer: float
    eer_interval: tuple[float, float] | None
    tar_at_far: dict[str, float | None]
    tar_intervals: dict[str, tuple[float, float] | None]
    confusion: dict[str, int]
    best_accuracy: float
    interval_over: str
    min_cllr: float | None = None
    min_cllr_interval: tuple[float, float] | None = None
    cllr: float | None = None
    cllr_interval: tuple[float, float] | None = None
    min_dcf: float | None = None
    min_dcf_interval: tuple[float, float] | None = None
    dcf: float | None = None
    dcf_interval: tuple[float, float] | None = None

    def as_dict(self) -> dict:
        """Returns the fields as plain numbers, ready for JSON."""
        return asdict(self)

    def table(self) -> PrettyTable:
        """Returns the figures as a table; words replace missing numbers."""
        table = PrettyTable(["Figure", "Value", f"95% interval over {self.interval_over}"], align="l")
        people = "" if self.n_people is None else f", of {self.n_people} people"
        table.add_row(["Pairs", f"{self.n_same} same, {self.n_different} different{people}", ""])
        table.add_row(["Accuracy", f"{self.accuracy:.4f}", _interval(self.accuracy_interval)])
        for name in ("auc", "eer"):
            table.add_row(
                [name.upper(), f"{getattr(self, name):.4f}", _interval(getattr(self, f"{name}_interval"))]
            )
        for rate, tar in self.tar_at_far.items():
            few = f"too few different pairs (needs {round(3 / float(rate))})"
            interval = "" if tar is None else _interval(self.tar_intervals.get(rate))
            table.add_row([f"TAR at FAR {rate}", few if tar is None else f"{tar:.4f}", interval])
        needed = {
            "cllr": f"too few pairs of either kind (needs {_LEAST_FOR_CLLR})",
            "dcf": f"too few different pairs (needs {least_count(_PRIOR):,})",
        }
        for name, words in COSTS.items():
            cost, interval = getattr(self, name), _interval(getattr(self, f"{name}_interval"))
            if cost is None:
                kind = name.removeprefix("min_")
                silent = needed[kind] if getattr(self, f"min_{kind}") is None else "not calibrated"
            table.add_row([words, *((silent, "") if cost is None else (f"{cost:.4f}", interval))])
        table.add_row(["Threshold", f"{self.threshold:.6g}", ""])
        for name, count in self.confusion.items():
            table.add_row([name.replace("_", " ").capitalize(), count, ""])
        table.add_row(["Best accuracy", f"{self.best_accuracy:.4f}", "optimistic: best on these very pairs"])
        return table


class ChosenThreshold(float):
    """A threshold that records on which pairs it was chosen, as a digest of scores and labels.

    It recognises exactly this set of pairs, in any order, but no subset and no superset. `people` are the
    names of the people on whom it was chosen, if they are known.
    """

    chosen_on: str | None = None
    people: Collection[str] = ()


def verification_report(
    scores: ArrayLike,
    same: ArrayLike,
    *,
    threshold: float,
    identities: tuple[Sequence[str] | np.ndarray, Sequence[str] | np.ndarray] | None = None,
    log_likelihood_ratios: ArrayLike | None = None,
    seed: int = 0,
) -> VerificationReport:
    """Measures scores against labels.

    Args:
        scores: `(n,)` floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.
        threshold: a pair counts as same from this score on. Choose it on other pairs: see `choose_threshold`.
        identities: the people on the left and on the right, `n` names each (`pairs.left_identities,
            pairs.right_identities`), for intervals over people: pairs share people, so that intervals over
            pairs are too narrow. `None` gives an interval over pairs for the accuracy (Wilson), and none for
            the other figures.
        log_likelihood_ratios: `(n,)` natural logarithms from a calibration on other people, for the cost of
            calibrated answers; see `Calibration.log_likelihood_ratio`.
        seed: the seed of the intervals over people; see `evaluation.intervals`.

    Returns:
        The report.

    Raises:
        ValueError: if the lengths differ, a score is not finite, only one class is present, names contradict
            labels, or `threshold` was chosen on these pairs (only the whole set is recognised).

    Reference:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    Example:
        >>> report = verification_report([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0], threshold=0.5)
        >>> report.accuracy, report.auc, report.confusion["false_accepts"]
        (0.5, 0.75, 1)
    """
    scores, same = checked_scores(scores, same)
    if not isinstance(threshold, (int, float, np.number)) or not np.isfinite(threshold):
        raise ValueError(f"`threshold` must be a finite number. Received: threshold={threshold}")
    if getattr(threshold, "chosen_on", None) == _digest(scores, same):
        raise ValueError(
            "`threshold` was chosen on these very pairs: its accuracy on them is "
            "optimistic; choose it on other pairs. Pass float(threshold) if the optimistic figure is what "
            f"you want. Received: threshold={threshold}"
        )
    accepted = scores >= threshold
    wilson = binomtest(int((accepted == same).sum()), len(same)).proportion_ci(0.95, method="wilson")
    low, high = float(wilson.low), float(wilson.high)
    intervals: dict[str, tuple[float, float] | None] = {}
    n_people = None
    if identities is not None:
        left, right = checked_identities(identities, same)
        n_people = len(np.union1d(left, right))
        intervals = bootstrap_intervals(scores, same, (left, right), threshold=threshold, seed=seed)
        # With few errors the bootstrap sees too few of them, and Wilson's interval is wider.
        least, most = intervals["accuracy"] or (low, high)
        low, high = float(min(least, low)), float(max(most, high))
    false_positives, true_positives, _ = roc_curve(same, scores, drop_intermediate=False)
    n_same, n_different = int(same.sum()), int((~same).sum())
    right_decisions = true_positives * n_same + (1 - false_positives) * n_different
    tar_at_far = {
        str(rate): float(true_positives[false_positives <= rate + 1e-12].max())
        if n_different * rate >= 3 - 1e-9
        else None
        for rate in FALSE_ACCEPT_RATES
    }
    costs: dict[str, Any] = {}
    for name, cost in _costs(scores, same, identities, log_likelihood_ratios).items():
        costs |= {name: cost.estimate, f"{name}_interval": cost.interval}
    return VerificationReport(
        n_same=n_same,
        n_different=n_different,
        n_people=n_people,
        threshold=float(threshold),
        accuracy=float((accepted == same).mean()),
        accuracy_interval=(low, high),
        auc=float(roc_auc_score(same, scores)),
        auc_interval=intervals.get("auc"),
        eer=equal_error_rate(scores, same),
        eer_interval=intervals.get("eer"),
        tar_at_far=tar_at_far,
        tar_intervals={
            rate: intervals[rate] if tar is not None else None
            for rate, tar in tar_at_far.items()
            if rate in intervals
        },
        confusion={
            "true_accepts": int((accepted & same).sum()),
            "false_rejects": int((~accepted & same).sum()),
            "false_accepts": int((accepted & ~same).sum()),
            "true_rejects": int((~accepted & ~same).sum()),
        },
        best_accuracy=float(np.rint(right_decisions.max()) / len(same)),
        interval_over="pairs" if identities is None else "people",
        **costs,
    )


def _costs(
    scores: np.ndarray, same: np.ndarray, identities: Identities | None, ratios: ArrayLike | None
) -> dict[str, Cost]:
    costs = {}
    n_different = int((~same).sum())
    if min(n_different, len(same) - n_different) >= _LEAST_FOR_CLLR:
        costs["min_cllr"] = min_cllr(scores, same, identities=identities)
        if ratios is not None:
            costs["cllr"] = cllr(ratios, same, identities=identities)
    if n_different >= least_count(_PRIOR):
        costs["min_dcf"] = min_detection_cost(scores, same, prior=_PRIOR, identities=identities)
        if ratios is not None:
            costs["dcf"] = detection_cost(ratios, same, prior=_PRIOR, identities=identities)
    return costs


def choose_threshold(scores: ArrayLike, same: ArrayLike, *, fmr: float | None = None) -> float:
    """Finds the threshold with the highest accuracy, or with a given false match rate, to use on other pairs.

    Args:
        scores: `(n,)` floats of validation pairs, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.
        fmr: the largest share of different pairs that may be taken for the same person, in (0, 1). The result
            is the lowest threshold that keeps to it on these pairs. `None` asks for the highest accuracy.

    Returns:
        The threshold, half-way between two neighbouring scores (the upper one if there is no number between
        them). If several are best, it is the middle one. It is a float that records its pairs, so that
        `verification_report` refuses it on the whole set, in any order, but not on a part.

    Raises:
        ValueError: if the lengths differ, a score is not finite, only one class is present, or `fmr` is out
            of range or wants more different pairs than there are: 10 / `fmr`, of which 10 would match.

    Example:
        >>> choose_threshold([0.0, 0.25, 0.75, 1.0], [0, 0, 1, 1])
        0.5
        >>> different = np.linspace(0, 0.99, 100)
        >>> round(choose_threshold([*different, 1.0], [0] * 100 + [1], fmr=0.1), 6)
        0.895
    """
    scores, same = checked_scores(scores, same)
    distinct, where = np.unique(scores, return_inverse=True)
    # All pairs from the k-th distinct score on are called same. Then the same pairs from k on are correct,
    # and the different pairs before it.
    gain = np.bincount(where, weights=np.where(same, 1, -1))
    right_from = np.append(np.cumsum(gain[::-1])[::-1], 0)
    if fmr is None:
        best = np.flatnonzero(right_from == right_from.max())
        k = int(best[len(best) // 2])
    else:
        _require_pairs_for(fmr, int((~same).sum()))
        different = np.bincount(where, weights=~same)
        matches = np.append(np.cumsum(different[::-1])[::-1], 0)
        k = int(np.argmax(matches <= (fmr + 1e-12) * matches[0]))
    if k == len(distinct):  # calling all pairs different is correct most often
        threshold = np.nextafter(distinct[-1], np.inf)
    elif k == 0:
        threshold = distinct[0]
    else:
        lower, upper = distinct[k - 1], distinct[k]
        middle = lower / 2 + upper / 2  # the sum of both may overflow
        threshold = middle if lower < middle else upper
    threshold = ChosenThreshold(threshold)
    threshold.chosen_on = _digest(scores, same)
    return threshold


def _require_pairs_for(fmr: float, n_different: int) -> None:
    if isinstance(fmr, bool) or not isinstance(fmr, (int, float, np.number)) or not 0 < fmr < 1:
        raise ValueError(f"`fmr` must be a rate in (0, 1). Received: fmr={fmr!r}")
    if n_different < least_count(float(fmr)):
        raise ValueError(
            f"`fmr` must be a rate that the pairs can show: {fmr:g} needs at least {least_count(fmr):,} "
            f"pairs of different people, of which 10 match. Received: {n_different:,}. Give more pairs, or a "
            "higher `fmr`"
        )


def equal_error_rate(scores: ArrayLike, same: ArrayLike) -> float:
    """Finds where false-positive and false-negative rate are equal on the ROC curve, linear between points.

    Args:
        scores: `(n,)` floats, higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.

    Returns:
        The equal error rate, in [0, 1]: 0 is perfect, 0.5 is chance.

    Raises:
        ValueError: if the lengths differ, a score is not finite, or only one class is present.

    Example:
        >>> equal_error_rate([0.9, 0.8, 0.6, 0.4], [1, 1, 0, 0])
        0.0
        >>> equal_error_rate([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0])
        0.5
    """
    scores, same = checked_scores(scores, same)
    false_positives, true_positives, _ = roc_curve(same, scores, drop_intermediate=False)
    return float(np.interp(0.0, false_positives - (1 - true_positives), false_positives))


def _digest(scores: np.ndarray, same: np.ndarray) -> str:
    """Returns a digest of the scored pairs that does not depend on their order."""
    order = np.lexsort((same, scores))
    # Adding 0.0 turns -0.0 into 0.0, which is equal.
    return hashlib.sha256((scores[order] + 0.0).tobytes() + same[order].tobytes()).hexdigest()


def _interval(interval: tuple[float, float] | None) -> str:
    return "not known" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
