import json
from itertools import combinations

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import t as student_t

from siamese_nn.datasets import IdentityLeakError
from siamese_nn.evaluation import all_pairs, rates_by_group, read_groups

pytestmark = pytest.mark.once


def drawn(rng, sizes, photos_each=2, noise=0.7, size=10):
    """Embeddings of the people of some groups, of whom the later ones look more alike."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    people = np.repeat(np.arange(len(group)), photos_each)
    shift = np.zeros((len(sizes), size))
    np.fill_diagonal(shift, 0.8 * np.arange(len(sizes)))
    photos = (rng.normal(size=(len(group), size)) + shift[group])[people]
    groups = {f"p{person}": "abcdef"[one] for person, one in enumerate(group)}
    return photos + noise * rng.normal(size=photos.shape), [f"p{person}" for person in people], groups


def slow_rates(photos, people, groups, threshold):
    """FMR of each two groups and FNMR of each, pair by pair, in which each pair of people counts alike."""
    unit = (photos / np.linalg.norm(photos, axis=1, keepdims=True)).astype(np.float32)
    matches = {}
    for i, j in combinations(range(len(people)), 2):
        matches.setdefault(tuple(sorted((people[i], people[j]))), []).append(unit[i] @ unit[j] >= threshold)
    fmr, fnmr = {}, {}
    for (a, b), own in matches.items():
        pair = tuple(sorted((groups[a], groups[b])))
        (fnmr if a == b else fmr).setdefault(pair, []).append(1 - np.mean(own) if a == b else np.mean(own))
    return {pair: np.mean(own) for pair, own in fmr.items()}, {
        pair: np.mean(own) for pair, own in fnmr.items()
    }


def test_the_rates_are_those_of_a_slow_loop():
    photos, people, groups = drawn(np.random.default_rng(0), [24, 30], [1, 2, 3] * 18)
    report = rates_by_group(photos, people, groups, threshold=0.5)
    fmr, fnmr = slow_rates(photos, people, groups, 0.5)
    assert [rates.groups for rates in report.rates] == [("a", "a"), ("a", "b"), ("b", "b")]
    for rates in report.rates:
        assert rates.fmr.estimate == pytest.approx(fmr[rates.groups], abs=1e-9)
        if rates.fnmr is not None:
            assert rates.fnmr.estimate == pytest.approx(fnmr[rates.groups], abs=1e-9)
    assert report.fmr_ratio.estimate == pytest.approx(
        max(fmr["a", "a"], fmr["b", "b"]) / min(fmr["a", "a"], fmr["b", "b"])
    )
    whole = rates_by_group(photos, people, dict.fromkeys(groups, "all"), threshold=0.5)
    assert whole.rates[0].fmr == report.everybody.fmr and whole.fmr_ratio is None
    assert [rates.n_people for rates in report.rates] == [24, 54, 30]


def test_they_agree_with_all_pairs():
    photos, people, groups = drawn(np.random.default_rng(1), [60, 60])
    found = all_pairs(photos, people)
    report = rates_by_group(photos, people, groups, threshold=float(found.thresholds["0.1"]))
    assert report.everybody.fnmr.estimate == pytest.approx(found.fnmr_at_fmr["0.1"].estimate)
    assert 0.099 < report.everybody.fmr.estimate <= 0.1


def test_a_threshold_of_all_pairs_is_refused_on_their_people():
    photos, people, groups = drawn(np.random.default_rng(0), [40, 40])
    threshold = all_pairs(photos, people).thresholds["0.1"]
    with pytest.raises(IdentityLeakError, match=r"must have been chosen on other people.*knows 80 of 80"):
        rates_by_group(photos, people, groups, threshold=threshold)
    others = [f"other {name}" for name in people]
    groups = {f"other {name}": group for name, group in groups.items()}
    assert rates_by_group(photos, others, groups, threshold=threshold).threshold == threshold


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"people": ["a", 1, None] * 20}, "`people` must be names, or numbers"),
        ({"people": [["a"], ["b", "c"]]}, "lists of other lengths in a list"),
        ({"embeddings": "vectors"}, "`embeddings` must be numbers of shape"),
        ({"groups": None}, "`groups` must be the group by person. Received: NoneType"),
        ({"groups": "ab"}, "`groups` must be the group by person. Received: str"),
    ],
)
def test_arguments_of_a_wrong_kind_are_one_error(changed, message):
    photos = np.random.default_rng(0).normal(size=(60, 4))
    people = np.repeat([f"p{i}" for i in range(30)], 2)
    given = {"embeddings": photos, "people": people, "groups": dict.fromkeys(people, "a")} | changed
    with pytest.raises(ValueError, match=message):
        rates_by_group(**given, threshold=0.5)


def test_the_interval_of_a_group_is_a_jackknife_over_its_people():
    photos, people, groups = drawn(np.random.default_rng(2), [20, 15])
    report = rates_by_group(photos, people, groups, threshold=0.4)
    for rates in report.rates:
        variance = 0
        for one in sorted(set(rates.groups)):
            own = [name for name, group in groups.items() if group == one]
            left_out = []
            for name in own:
                keep = [other != name for other in people]
                rest = [other for other in people if other != name]
                left_out.append(slow_rates(photos[keep], rest, groups, 0.4)[0][rates.groups])
            variance += (len(own) - 1) / len(own) * ((left_out - np.mean(left_out)) ** 2).sum()
        low, high = rates.fmr.interval
        least = 15 if "b" in rates.groups else 20
        p = rates.fmr.estimate
        reach = student_t.ppf(0.975, least - 1) * np.sqrt(variance) / (p * (1 - p))
        np.testing.assert_allclose([logit(low), logit(high)], [logit(p) - reach, logit(p) + reach], rtol=1e-5)


def test_the_intervals_hold_the_truth():
    def everything(report):
        fmr = [rates.fmr for rates in report.rates]
        return [*fmr, report.rates[0].fnmr, report.rates[2].fnmr, report.fmr_ratio]

    truth = everything(rates_by_group(*drawn(np.random.default_rng(3), [700, 700], noise=1.0), threshold=0.5))
    inside = []
    for seed in range(60):
        report = rates_by_group(*drawn(np.random.default_rng([3, seed]), [60, 90], noise=1.0), threshold=0.5)
        inside.append(
            [
                rate.interval[0] <= true.estimate <= rate.interval[1]
                for rate, true in zip(everything(report), truth, strict=True)
            ]
        )
    covered = np.mean(inside, axis=0)
    assert (covered >= 0.85).all(), covered  # of 95%, but for chance: 3.5 deviations


def test_groups_that_are_too_small_are_named_and_not_judged():
    photos, people, groups = drawn(np.random.default_rng(4), [80, 5, 80])
    report = rates_by_group(photos, people, groups, threshold=0.6)
    found = {rates.groups: rates for rates in report.rates}
    assert found["b", "b"].n_people == 5 and found["b", "b"].fmr is None and found["b", "b"].fnmr is None
    assert found["a", "b"].fmr is None and found["a", "c"].fmr is not None
    assert report.fmr_ratio.estimate > 1 and report.fmr_ratio.interval[0] > 0
    table = report.table().get_string()
    assert "too few" in table and "Highest / lowest of a group" in table and "a / c" in table
    assert json.loads(json.dumps(report.as_dict()))["rates"][0]["groups"] == ["a", "a"]
    none = rates_by_group(photos, people, groups, threshold=2)  # nobody matches: no group is judged
    assert none.needed()[0] is None and all(rates.fmr is None for rates in none.rates)
    assert none.fmr_ratio is None and "not known" in none.table().get_string()


def test_the_ratio_is_that_of_independent_rates():
    photos, people, groups = drawn(np.random.default_rng(6), [60, 90], noise=1.0)
    report = rates_by_group(photos, people, groups, threshold=0.5)
    a, _, b = report.rates
    # An interval of log-odds has half the width quantile * error / (p (1 - p)).
    relative = []
    for rates in (a, b):
        odds, p = logit(np.array(rates.fmr.interval)), rates.fmr.estimate
        quantile = student_t.ppf(0.975, rates.n_people - 1)
        relative.append(np.ptp(odds) / 2 / quantile * (1 - p))
    ratio = max(b.fmr.estimate / a.fmr.estimate, a.fmr.estimate / b.fmr.estimate)
    reach = np.exp(student_t.ppf(0.975, 59) * np.hypot(*relative))
    assert report.fmr_ratio.estimate == pytest.approx(ratio)
    np.testing.assert_allclose(report.fmr_ratio.interval, [ratio / reach, ratio * reach])


def test_everybody_needs_a_group_and_the_threshold_is_a_number():
    photos, people, groups = drawn(np.random.default_rng(5), [4])
    del groups["p2"]
    with pytest.raises(ValueError, match="hold everybody. Received: none for 1 of 4 people, p2"):
        rates_by_group(photos, people, groups, threshold=0.5)
    for threshold in (float("nan"), "0.5", None, True):
        with pytest.raises(ValueError, match="`threshold` must be a finite number"):
            rates_by_group(photos, people, groups, threshold=threshold)


def test_a_file_of_groups(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text('﻿person,born,place\nAda, 1815 ,"London, UK"\n\nBob,1901,Rome\n', encoding="utf-8")
    assert read_groups(path) == {"Ada": "1815", "Bob": "1901"}
    assert read_groups(path, column="place") == {"Ada": "London, UK", "Bob": "Rome"}
    with pytest.raises(ValueError, match="groups.csv must have the column 'age'. Received: person, born"):
        read_groups(path, column="age")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begin with the line `person,group`.*Received: nothing"),
        (b"name,group\nAda,a\n", "Received: name,group"),
        (b"person,group,group\nAda,a,b\n", "Received: person,group,group"),
        (b"person,group\nAda\n", "line 2, must hold 2 columns.*Received: 1 columns"),
        (b"person,group\nAda,\n", "line 2.*Received: an empty one"),
        (b"person,group\nAda,a\nAda,b\n", "line 3.*Received: Ada a second time"),
        (b"person,group\nAda,\xff\n", "must be a CSV file in UTF-8"),
        (b'person,group\n"Ada,a\n', "must be a CSV file"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path, content, message):
    path = tmp_path / "groups.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_groups(path)
