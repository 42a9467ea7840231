"""Turns scores into probabilities: Platt scaling, fitted on validation pairs."""

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .checked import checked_scores

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """Turns a score into the probability of the same person: 1 / (1 + exp(-(slope * score + intercept))).

    Args:
        slope: a number, at least 0, so that a higher score is never less probable.
        intercept: the log-odds at a score of 0.

    Example:
        >>> calibration = Calibration(slope=2.0, intercept=-1.0)
        >>> calibration.probability([0.5, 2.0]).round(2)
        array([0.5 , 0.95])
    """

    slope: float
    intercept: float

    def probability(self, scores: ArrayLike) -> np.ndarray:
        """Returns probabilities in [0, 1], with the shape of `scores`, for its own share of same pairs.

        Raises:
            ValueError: if a score is not finite.

        Example:
            >>> Calibration(slope=2.0, intercept=-1.0).probability([0.5, 0.5])
            array([0.5, 0.5])
        """
        scores = np.asarray(scores, np.float64)
        if not np.isfinite(scores).all():
            raise ValueError(
                f"`scores` must be finite. Received: {(~np.isfinite(scores)).sum()} that are not"
            )
        with np.errstate(over="ignore"):  # an infinite exponential correctly gives 0
            return 1 / (1 + np.exp(-(self.slope * scores + self.intercept)))

    def log_likelihood_ratio(self, scores: ArrayLike, *, share_of_same: float = 0.5) -> np.ndarray:
        """Returns log-likelihood ratios: how much likelier the scores are for one person than for two.

        Args:
            scores: numbers of any shape.
            share_of_same: the share of same pairs in the calibration's pairs, in (0, 1). Its log-odds are
                subtracted.

        Returns:
            Natural logarithms, with the shape of `scores`.

        Raises:
            ValueError: if `share_of_same` is out of range.

        Example:
            >>> Calibration(slope=2.0, intercept=-1.0).log_likelihood_ratio([0.5, 1.5])
            array([0., 2.])
        """
        if not 0 < share_of_same < 1:
            raise ValueError(f"`share_of_same` must be in (0, 1). Received: share_of_same={share_of_same}")
        return self.slope * np.asarray(scores, np.float64) + self.intercept - _logit(share_of_same)


def fit_platt(scores: ArrayLike, same: ArrayLike) -> Calibration:
    """Fits a logistic curve to the scores of validation pairs (Platt scaling).

    The targets are Platt's, slightly inside 0 and 1, so that the curve for perfectly separated pairs stays
    finite. Scores that rank pairs no better than chance get the best curve that does not fall. It is flat:
    every pair has the share of same pairs as its probability. A warning is logged then.

    Args:
        scores: `(n,)` floats of validation pairs, on any scale; higher is more alike.
        same: `(n,)`, 1 for the same person and 0 for different people.

    Returns:
        The calibration.

    Raises:
        ValueError: if the lengths differ, a score is not finite, or only one class is present.

    Reference:
        Platt, "Probabilistic outputs for support vector machines",
        Advances in Large Margin Classifiers, 1999.

    Example:
        >>> calibration = fit_platt([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0, 0, 1, 0, 1, 1])
        >>> calibration.probability([2.5, 5.0]).round(2)
        array([0.5 , 0.79])
    """
    from sklearn.linear_model import (
        LogisticRegression,  # its import takes a second, and using a calibration does not need it
    )

    scores, same = checked_scores(scores, same)
    n, n_same = len(same), int(same.sum())
    targets = np.where(same, (n_same + 1) / (n_same + 2), 1 / (n - n_same + 2))
    slope, centre = 0.0, scores.mean()
    if np.ptp(scores):
        scale = scores.std()
        # A target between 0 and 1 becomes two pairs, one for each label, with weights that sum to 1.
        regression = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(
            np.tile((scores - centre) / scale, 2)[:, None],
            np.repeat([1, 0], n),
            np.concatenate([targets, 1 - targets]),
        )
        slope, intercept = float(regression.coef_[0, 0] / scale), float(regression.intercept_[0])
    if slope <= 0:
        logger.warning(
            "The scores rank the %d pairs no better than chance: all get one "
            "probability, the share of same pairs",
            n,
        )
        return Calibration(0.0, _logit(float(targets.mean())))
    return Calibration(slope, float(intercept - slope * centre))


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
