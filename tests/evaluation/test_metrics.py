import copy
import json
import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score, roc_curve

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


@pytest.mark.parametrize("low", [0.1, -0.1, 1.0, 5e-324, 1.7e308, -1.7e308])
def test_a_threshold_separates_scores_that_no_number_lies_between(low):
    high = np.nextafter(low, np.inf)
    threshold = evaluation.choose_threshold([low, high], [0, 1])
    assert low < threshold <= high
    report = evaluation.verification_report([low, high], [0, 1], threshold=float(threshold))
    assert report.accuracy == 1


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


def named_pairs(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, tuple[list, list]]:
    """Scores of 40 people's pairs, with the names."""
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 40, n)
    right = np.where(rng.random(n) < 0.5, left, (left + rng.integers(1, 40, n)) % 40)
    names = [[f"person_{person}" for person in side] for side in (left, right)]
    return rng.normal(1.8 * (left == right), 1.0), left == right, (names[0], names[1])


def test_names_give_intervals_over_people():
    scores, same, names = named_pairs(0)
    report = evaluation.verification_report(scores, same, threshold=0.9, identities=names)
    without = evaluation.verification_report(scores, same, threshold=0.9)
    assert (report.n_people, report.interval_over) == (40, "people")
    assert (without.n_people, without.interval_over) == (None, "pairs")
    assert without.auc_interval is None and without.eer_interval is None
    for name in ("accuracy", "auc", "eer"):
        low, high = getattr(report, f"{name}_interval")
        assert 0 < low < getattr(report, name) < high < 1
        assert getattr(report, name) == getattr(without, name)
    low, high = without.accuracy_interval
    assert report.accuracy_interval[0] <= low and high <= report.accuracy_interval[1]
    again = evaluation.verification_report(scores, same, threshold=0.9, identities=names)
    other = evaluation.verification_report(scores, same, threshold=0.9, identities=names, seed=1)
    assert again == report != other


def test_a_perfect_separation_has_wilsons_interval_and_no_other():
    _, same, names = named_pairs(0)
    report = evaluation.verification_report(same + 0.0, same, threshold=0.5, identities=names)
    without = evaluation.verification_report(same + 0.0, same, threshold=0.5)
    assert report.accuracy_interval == without.accuracy_interval and report.accuracy_interval[0] < 1
    assert report.auc_interval is None and report.eer_interval is None
    assert "not known" in report.table().get_string()


@pytest.mark.parametrize("ties", [False, True])
def test_true_accepts_at_a_false_accept_rate(ties):
    scores, same = some_scores(0, n=8000, ties=ties)
    report = evaluation.verification_report(scores, same, threshold=0.3)
    assert list(report.tar_at_far) == ["0.1", "0.01", "0.001"]
    for rate, found in report.tar_at_far.items():
        candidates = np.unique(scores[same == 1])
        rates = [((scores[same == 0] >= t).mean(), (scores[same == 1] >= t).mean()) for t in candidates]
        assert found == max([0.0, *(tar for far, tar in rates if far <= float(rate))])


def test_too_few_different_pairs_for_a_false_accept_rate():
    def found(n_different):
        scores = np.r_[np.ones(5), np.zeros(n_different)]
        same = np.r_[np.ones(5), np.zeros(n_different)]
        return evaluation.verification_report(scores, same, threshold=0.5)

    assert found(300).tar_intervals == {}  # without names
    assert found(29).tar_at_far == {"0.1": None, "0.01": None, "0.001": None}
    assert found(30).tar_at_far == {"0.1": 1.0, "0.01": None, "0.001": None}
    assert found(299).tar_at_far["0.01"] is None and found(300).tar_at_far["0.01"] == 1.0
    assert found(2999).tar_at_far["0.001"] is None and found(3000).tar_at_far["0.001"] == 1.0
    assert "too few different pairs (needs 3000)" in found(300).table().get_string()


@pytest.mark.parametrize("sign", [1, 0, -1])
@pytest.mark.parametrize("ties", [False, True])
def test_confusion_and_best_accuracy(ties, sign):
    scores, same = some_scores(1, ties=ties, sign=sign)
    report = evaluation.verification_report(scores, same, threshold=0.3)
    (true_rejects, false_accepts), (false_rejects, true_accepts) = confusion_matrix(same, scores >= 0.3)
    assert report.confusion == {
        "true_accepts": true_accepts,
        "false_rejects": false_rejects,
        "false_accepts": false_accepts,
        "true_rejects": true_rejects,
    }
    assert report.best_accuracy == max(accuracy_score(same, scores >= t) for t in [*scores, 99])
    best = evaluation.choose_threshold(scores, same)
    assert report.best_accuracy == accuracy_score(same, scores >= best)


def test_a_threshold_is_refused_on_the_pairs_that_it_was_chosen_on():
    scores, same = some_scores(0)
    threshold = evaluation.choose_threshold(scores, same)
    order = np.random.default_rng(0).permutation(len(scores))
    for again in (threshold, copy.deepcopy(threshold)):
        for these, labels in ((scores, same), (list(scores), same == 1), (scores[order], same[order])):
            with pytest.raises(ValueError, match=r"optimistic; choose it on other pairs.*float\(threshold\)"):
                evaluation.verification_report(these, labels, threshold=again)
    report = evaluation.verification_report(scores, same, threshold=float(threshold))
    assert report.accuracy == report.best_accuracy
    other_scores, other_same = some_scores(1)
    assert evaluation.verification_report(other_scores, other_same, threshold=threshold)
    assert evaluation.verification_report(scores, 1 - same, threshold=threshold)
    assert evaluation.verification_report(scores[1:], same[1:], threshold=threshold)


def test_a_chosen_threshold_is_a_float():
    threshold = evaluation.choose_threshold([0, 1], [0, 1])
    assert isinstance(threshold, float) and threshold == 0.5 and 0.4 < threshold < 0.6
    assert json.dumps({"threshold": threshold}) == '{"threshold": 0.5}'
    assert f"{threshold} {threshold:.2f} {threshold!r}" == "0.5 0.50 0.5"
    assert type(float(threshold)) is float and {threshold: 1}[0.5] == 1
    assert np.array([0.4, 0.6])[np.array([0.4, 0.6]) >= threshold] == [0.6]


def test_the_report_as_json_and_as_a_table():
    scores, same, names = named_pairs(1)
    threshold = evaluation.choose_threshold(*named_pairs(2)[:2])
    report = evaluation.verification_report(scores, same, threshold=threshold, identities=names)
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain == json.loads(json.dumps(report.as_dict()))
    assert tuple(plain["auc_interval"]) == report.auc_interval
    assert type(report.as_dict()["threshold"]) is float
    text = report.table().get_string()
    for word in (
        "95% interval over people",
        "of 40 people",
        f"{report.eer:.4f}",
        "optimistic",
        "False accepts",
    ):
        assert word in text
    assert str(report.n_same) in text and f"{report.accuracy_interval[0]:.4f}" in text


@pytest.mark.parametrize(
    ("identities", "message"),
    [
        ((["a", "b"], ["a"]), r"two sequences.*2 names each. Received: lengths \[2, 1\]"),
        ((["a", "b"],), "two sequences"),
        (
            (["a", "b"], ["b", "c"]),
            "name one person where `same` is 1.*1 pairs, the first at index 0: a and b",
        ),
        ((["a", "b"], ["a", "b"]), "the first at index 1: b and b"),
    ],
)
def test_names_that_do_not_fit_are_explained(identities, message):
    with pytest.raises(ValueError, match=message):
        evaluation.verification_report([2, 1], [1, 0], threshold=0.5, identities=identities)


@pytest.mark.parametrize("scores", [["0.9", "0.1"], ["a", "b"], [None, 0.1], [0.1j, 0.2]])
def test_scores_that_are_no_numbers_are_refused(scores):
    with pytest.raises(ValueError, match="`scores` must be numbers. Received: "):
        evaluation.choose_threshold(scores, [1, 0])


@pytest.mark.parametrize("decimals", [2, 9])
@pytest.mark.parametrize("fmr", [0.02, 0.1, 0.5])
def test_the_lowest_threshold_that_keeps_to_a_false_match_rate(fmr, decimals):
    rng = np.random.default_rng(decimals)
    same = rng.integers(0, 2, 1500)
    scores = rng.normal(same, 1).round(decimals)
    threshold = evaluation.choose_threshold(scores, same, fmr=fmr)
    different = scores[same == 0]
    assert (different >= threshold).mean() <= fmr
    assert (different >= scores[scores < threshold].max()).mean() > fmr
    with pytest.raises(ValueError, match="chosen on these very pairs"):
        evaluation.verification_report(scores, same, threshold=threshold)


@pytest.mark.parametrize(
    ("fmr", "message"),
    [
        (0, r"`fmr` must be a rate in \(0, 1\). Received: fmr=0"),
        ("1%", r"`fmr` must be a rate in \(0, 1\). Received: fmr='1%'"),
        (float("nan"), "`fmr` must be a rate in"),
        (True, "`fmr` must be a rate in"),
        (0.01, "0.01 needs at least 1,000 pairs of different people.* Received: 999. Give more pairs"),
    ],
)
def test_a_false_match_rate_that_the_pairs_cannot_show_is_refused(fmr, message):
    scores, same = np.arange(1000.0), np.arange(1000) == 0
    with pytest.raises(ValueError, match=message):
        evaluation.choose_threshold(scores, same, fmr=fmr)


def test_the_costs_of_a_report_and_where_it_is_silent():
    rng = np.random.default_rng(0)
    same = np.arange(2000) % 2
    scores = rng.normal(same, 1)
    people = [f"{i // 4}" for i in range(2000)]
    names = people, [f"{person}{'' if one else 'x'}" for person, one in zip(people, same, strict=True)]
    ratios = 0.8 * scores - 0.5  # of a calibration that is a little off
    report = evaluation.verification_report(
        scores, same, threshold=0.5, identities=names, log_likelihood_ratios=ratios
    )
    expected = {
        "cllr": evaluation.cllr(ratios, same, identities=names),
        "min_cllr": evaluation.min_cllr(scores, same, identities=names),
        "dcf": evaluation.detection_cost(ratios, same, prior=0.01, identities=names),
        "min_dcf": evaluation.min_detection_cost(scores, same, prior=0.01, identities=names),
    }
    for name, cost in expected.items():
        assert (getattr(report, name), getattr(report, f"{name}_interval")) == (cost.estimate, cost.interval)
        assert f"{cost.estimate:.4f}" in report.table().get_string()
    assert report.min_cllr < report.cllr and report.min_dcf <= report.dcf
    uncalibrated = evaluation.verification_report(scores, same, threshold=0.5)
    assert uncalibrated.cllr is uncalibrated.dcf is None
    assert uncalibrated.table().get_string().count("not calibrated") == 2
    few = evaluation.verification_report(
        scores[:199], same[:199], threshold=0.5, log_likelihood_ratios=ratios[:199]
    )
    assert {getattr(few, f"{name}{end}") for name in expected for end in ("", "_interval")} == {None}
    words = few.table().get_string()
    assert words.count("too few pairs of either kind (needs 100)") == 2
    assert words.count("too few different pairs (needs 1,000)") == 2
    with pytest.raises(ValueError, match="one shape"):
        evaluation.verification_report(scores, same, threshold=0.5, log_likelihood_ratios=ratios[:5])
