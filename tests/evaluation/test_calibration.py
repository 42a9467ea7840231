import logging

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from siamese_nn import evaluation


class _Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose decision is the one feature that it is given."""

    def fit(self, features, labels):
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, features):
        return features[:, 0]

    def predict(self, features):
        return (features[:, 0] > 0).astype(int)


def some_scores(seed: int, n: int = 300, sign: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    same = (rng.random(n) < 0.4).astype(int)
    return rng.normal(sign * same, 1.0), same


@pytest.mark.parametrize("seed", range(4))
def test_equals_scikit_learns_sigmoid_calibration(seed):
    scores, same = some_scores(seed)
    model = FrozenEstimator(_Scores().fit(None, None))
    theirs = CalibratedClassifierCV(model, method="sigmoid").fit(scores[:, None], same)
    grid = np.linspace(-4, 5, 50)
    np.testing.assert_allclose(
        evaluation.fit_platt(scores, same).probability(grid),
        theirs.predict_proba(grid[:, None])[:, 1],
        atol=1e-4,
    )


def test_separable_pairs_stay_finite_and_have_platts_optimum():
    scores, same = np.arange(10.0), np.repeat([0, 1], 5)
    calibration = evaluation.fit_platt(scores, same)
    targets = np.where(same == 1, 6 / 7, 1 / 7)

    def loss(curve):
        decisions = curve[0] * scores + curve[1]
        return (np.logaddexp(0, decisions) - targets * decisions).sum()

    best = minimize(loss, [0, 0], tol=1e-10).x
    assert (calibration.slope, calibration.intercept) == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize(("factor", "shift"), [(1e-9, 0), (1e9, 0), (1, 1e6), (-1e-3, 0.5)])
def test_the_scale_of_the_scores_does_not_matter(factor, shift):
    scores, same = some_scores(0, sign=1.5 * np.sign(factor))
    expected = evaluation.fit_platt(np.sign(factor) * scores, same).probability(np.sign(factor) * scores)
    moved = factor * scores + shift
    np.testing.assert_allclose(
        evaluation.fit_platt(moved, same).probability(moved), expected, rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("scores", [[4, 3, 2, 1, 0], [1, 1, 1, 1, 1], [0.1] * 5, [1, 0, 0, 0, 1]])
def test_inverted_and_worthless_scores_get_a_flat_curve_and_a_warning(scores, caplog):
    same = np.array([0, 0, 1, 1, 1])
    with caplog.at_level(logging.WARNING):
        calibration = evaluation.fit_platt(scores, same)
    assert calibration.slope == 0
    assert calibration.probability(scores) == pytest.approx(np.full(5, (3 * 4 / 5 + 2 * 1 / 4) / 5))
    assert "no better than chance" in caplog.text


def test_probabilities_rise_with_the_score_and_stay_within_bounds():
    calibration = evaluation.fit_platt(*some_scores(1))
    probabilities = calibration.probability(np.array([-1e9, -1.0, 0.0, 1.0, 1e9]))
    assert (np.diff(probabilities) > 0).all() and probabilities[0] == 0 and probabilities[-1] == 1
    assert calibration.probability(0.5) == 1 / (
        1 + np.exp(-(calibration.slope * 0.5 + calibration.intercept))
    )


@pytest.mark.parametrize(
    ("scores", "same", "message"),
    [([1, np.nan], [1, 0], "finite"), ([1, 2], [1, 1], "both classes"), ([1, 2, 3], [1, 0], "one shape")],
)
def test_bad_input_is_explained(scores, same, message):
    with pytest.raises(ValueError, match=message):
        evaluation.fit_platt(scores, same)
    with pytest.raises(ValueError, match="finite. Received: 1 that"):
        evaluation.Calibration(1.0, 0.0).probability([0.5, np.nan])
