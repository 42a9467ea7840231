import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score, roc_curve

from siamese_nn import evaluation


def some_scores(seed: int, n: int = 200, ties: bool = False, sign: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    same = rng.integers(0, 2, n)
    scores = rng.normal(sign * same, 1.0)
    return (scores.round(1) if ties else scores), same


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_report_equals_scikit_learn(seed, ties):
    scores, same = some_scores(seed, ties=ties)
    report = evaluation.verification_report(scores, same, threshold=0.3)
    assert report.accuracy == accuracy_score(same, scores >= 0.3)
    assert report.auc == pytest.approx(roc_auc_score(same, scores))
    assert (report.n_same, report.n_different) == (same.sum(), (1 - same).sum())
    false_positives, true_positives, _ = roc_curve(same, scores)
    closest = np.abs(false_positives - (1 - true_positives)).argmin()
    bounds = sorted((false_positives[closest], 1 - true_positives[closest]))
    assert bounds[0] - 1e-9 <= report.eer <= bounds[1] + 1e-9


@pytest.mark.parametrize("sign", [1, 0, -1])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_is_better_than_the_chosen_one(seed, ties, sign):
    scores, same = some_scores(seed, n=60, ties=ties, sign=sign)
    threshold = evaluation.choose_threshold(scores, same)
    candidates = [-9, *(scores - 1e-9), *(scores + 1e-9), 9]
    assert ((scores >= threshold) == same).mean() == max(((scores >= c) == same).mean() for c in candidates)


def test_threshold_at_the_edges():
    assert evaluation.choose_threshold([1, 2, 3, 4], [0, 0, 1, 1]) == 2.5
    assert evaluation.choose_threshold([5, 5, 5], [1, 1, 0]) <= 5
    assert evaluation.choose_threshold([3, 2, 1], [0, 0, 1]) > 3
    # Nothing is right more often than calling everything same.
    assert evaluation.choose_threshold([1, 2, 3], [1, 1, 0]) <= 1


@pytest.mark.parametrize(("right", "n"), [(50, 100), (98, 100), (3, 4)])
def test_the_interval_is_wilsons(right, n):
    scores = np.array([1.0] * right + [0.0] * (n - right))
    scores = np.concatenate([scores, -scores])
    same = np.repeat([1, 0], n)
    report = evaluation.verification_report(scores, same, threshold=0.5)
    k, m, z = right + n, 2 * n, 1.959964
    p = k / m
    middle = (p + z * z / (2 * m)) / (1 + z * z / m)
    half = z / (1 + z * z / m) * math.sqrt(p * (1 - p) / m + z * z / (4 * m * m))
    assert report.accuracy_interval == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_perfect_chance_and_reversed():
    same = [1, 1, 0, 0]
    assert evaluation.equal_error_rate([4, 3, 2, 1], same) == 0
    assert evaluation.equal_error_rate([1, 2, 3, 4], same) == 1
    assert evaluation.equal_error_rate([1, 1, 1, 1], same) == 0.5


@pytest.mark.parametrize(
    ("scores", "same", "message"),
    [
        ([1, np.nan], [1, 0], "must be finite.*index 1"),
        ([1, np.inf], [1, 0], "must be finite"),
        ([1, 2], [1, 1], "both classes"),
        ([1, 2], [0, 2], "both classes"),
        ([], [], "both classes"),
        ([1, 2, 3], [1, 0], "one shape"),
        ([[1], [2]], [[1], [0]], "one shape"),
    ],
)
def test_bad_input_is_explained(scores, same, message):
    for measure in (
        evaluation.choose_threshold,
        evaluation.equal_error_rate,
        lambda scores, same: evaluation.verification_report(scores, same, threshold=0.5),
    ):
        with pytest.raises(ValueError, match=message):
            measure(scores, same)
    with pytest.raises(ValueError, match="`threshold`"):
        evaluation.verification_report([1, 2], [0, 1], threshold=math.nan)


def test_figures_come_without_tensorflow():
    import subprocess
    import sys

    script = "import sys, siamese_nn.evaluation, siamese_nn.datasets, siamese_nn.cli; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
