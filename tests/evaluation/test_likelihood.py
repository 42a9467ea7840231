import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import norm
from scipy.stats import t as student_t

from siamese_nn import evaluation

pytestmark = pytest.mark.once


def some_ratios(seed=18):
    rng = np.random.default_rng(seed)
    same = rng.integers(0, 2, 400)
    return rng.normal(3 * same - 1.5, 1.5).round(2), same


def test_cllr_and_its_minimum_are_those_of_lir():
    ratios, same = some_ratios()  # by lir 1.3.1, `metrics.cllr` and `metrics.cllr_min`
    assert evaluation.cllr(ratios, same).estimate == pytest.approx(0.5242824804250965, abs=1e-12)
    assert evaluation.min_cllr(ratios, same).estimate == pytest.approx(0.47021448923990106, abs=1e-12)


def test_cllr_is_that_of_a_slow_loop():
    ratios, same = some_ratios(1)
    sides = [[], []]
    for ratio, one in zip(ratios, same, strict=True):
        sides[one].append(np.log2(1 + np.exp(-ratio if one else ratio)))
    assert evaluation.cllr(ratios, same).estimate == pytest.approx(np.mean([np.mean(s) for s in sides]))


def test_no_rising_curve_costs_less_than_the_minimum():
    ratios, same = some_ratios(2)
    least = evaluation.min_cllr(ratios, same).estimate
    for slope in (0.5, 0.8, 1.0, 1.3):
        for shift in (-0.3, 0.0, 0.3):
            assert evaluation.cllr(slope * ratios + shift, same).estimate > least
    assert evaluation.min_cllr(np.exp(ratios), same).estimate == pytest.approx(least)
    assert evaluation.min_cllr(-ratios, same).estimate > 0.9
    assert evaluation.min_cllr(np.zeros(400), same).estimate == pytest.approx(1)


@pytest.mark.parametrize(("prior", "c_miss", "c_false"), [(0.5, 1, 1), (0.05, 1, 1), (0.3, 10, 2)])
def test_detection_costs_are_those_of_a_slow_loop(prior, c_miss, c_false):
    ratios, same = some_ratios(3)
    options = {"prior": prior, "c_miss": c_miss, "c_false": c_false}

    def cost(threshold):
        missed, false = (ratios[same == 1] < threshold).mean(), (ratios[same == 0] >= threshold).mean()
        whole = c_miss * prior * missed + c_false * (1 - prior) * false
        return whole / min(c_miss * prior, c_false * (1 - prior))

    actual = cost(np.log(c_false * (1 - prior) / (c_miss * prior)))
    assert evaluation.detection_cost(ratios, same, **options).estimate == pytest.approx(actual)
    least = min(cost(threshold) for threshold in [*ratios, 99])
    assert evaluation.min_detection_cost(ratios, same, **options).estimate == pytest.approx(least)


def made_up_pairs(rng, n_people=60, pairs_each=4, person_effect=0.7):
    """Log-likelihood-like scores in which a person's pairs go up or down together."""
    half = n_people * pairs_each
    left = np.tile(np.repeat(np.arange(n_people), pairs_each), 2)
    right = np.r_[left[:half], (left[half:] + rng.integers(1, n_people, half)) % n_people]
    same = left == right
    easy, alike = rng.normal(0, person_effect, (2, n_people))
    chance = rng.normal(0, np.sqrt(1 - person_effect**2), 2 * half)
    scores = np.where(same, 1.8 + easy[left], 0.7 * (alike[left] + alike[right])) + chance
    return 1.8 * (scores - 0.9), same, (left.astype(str), right.astype(str))


def test_the_interval_is_that_of_errors_that_go_together():
    ratios, same, names = made_up_pairs(np.random.default_rng(4), 12)
    found = evaluation.cllr(ratios, same, identities=names)
    costs = np.log2(1 + np.exp(np.where(same, -ratios, ratios)))
    errors = np.where(same, costs - costs[same].mean(), costs - costs[~same].mean()) / len(same)
    people = [{a, b} for a, b in zip(*names, strict=True)]
    together = [[bool(a & b) for a in people] for b in people]
    error = np.sqrt(12 / 11 * (errors @ np.array(together, float) @ errors))
    reach = np.exp(student_t.ppf(0.975, 11) * error / found.estimate)
    np.testing.assert_allclose(found.interval, [found.estimate / reach, found.estimate * reach])


def test_the_intervals_hold_the_truth():
    options = {"prior": 0.2}
    deviation = np.sqrt(1 - 0.7**2 + 2 * 0.49**2)
    grid = np.linspace(-9, 9, 20001)
    ratios = 1.8 * (grid - 0.9)
    densities = norm.pdf(grid, 1.8), norm.pdf(grid, 0, deviation)
    true_ratios = np.log(densities[0] / densities[1])
    step = grid[1] - grid[0]

    def whole(of_ratios):
        costs = np.logaddexp(0, -of_ratios) / np.log(2), np.logaddexp(0, of_ratios) / np.log(2)
        return sum((c * d).sum() * step / 2 for c, d in zip(costs, densities, strict=True))

    def decisions(thresholds):
        return norm.cdf(thresholds - 1.8) + 4 * norm.sf(thresholds / deviation)

    truth = [
        whole(ratios),
        whole(true_ratios),  # the best curve: nearly, as it doesn't quite rise everywhere
        decisions(np.log(4) / 1.8 + 0.9),
        decisions(grid).min(),
    ]
    rng, inside = np.random.default_rng(5), []
    for _ in range(300):
        scores, same, names = made_up_pairs(rng)
        found = [
            evaluation.cllr(scores, same, identities=names),
            evaluation.min_cllr(scores, same, identities=names),
            evaluation.detection_cost(scores, same, identities=names, **options),
            evaluation.min_detection_cost(scores, same, identities=names, **options),
        ]
        inside.append(
            [cost.interval[0] <= t <= cost.interval[1] for cost, t in zip(found, truth, strict=True)]
        )
    covered = np.mean(inside, axis=0)
    assert (covered[[0, 2]] >= 0.90).all() and (covered[[0, 2]] <= 0.99).all(), covered
    assert (covered[[1, 3]] >= 0.80).all(), covered  # at their least they are optimistic


def test_the_ratios_of_a_calibration():
    ratios, same = some_ratios(6)
    keep = (same == 0) | (np.arange(400) % 4 == 0)  # fewer same pairs
    calibration = evaluation.fit_platt(ratios[keep], same[keep])
    share = same[keep].mean()
    found = calibration.log_likelihood_ratio(ratios, share_of_same=share)
    np.testing.assert_allclose(found, logit(calibration.probability(ratios)) - logit(share))
    assert evaluation.cllr(found, same).estimate == pytest.approx(0.5, abs=0.1)
    with pytest.raises(ValueError, match=r"`share_of_same` must be in \(0, 1\). Received: share_of_same=1"):
        calibration.log_likelihood_ratio(ratios, share_of_same=1)


def test_without_names_or_spread_there_is_no_interval():
    names = list("aabb"), list("aabc")
    assert evaluation.cllr([1, 1, 1, -1], [1, 1, 1, 0]).interval is None
    assert evaluation.min_cllr([1, 1, 1, -1], [1, 1, 1, 0], identities=names).interval is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": 0}, r"`prior` must be in \(0, 1\). Received: prior=0"),
        ({"prior": 0.5, "c_miss": -1}, "`c_miss` must be a finite number above 0. Received: c_miss=-1"),
        ({"prior": 0.5, "c_false": float("inf")}, "`c_false` must be a finite number above 0"),
        ({"prior": 0.5, "c_false": "1"}, "`c_false` must be"),
    ],
)
def test_costs_out_of_range_are_refused(options, message):
    for cost in (evaluation.detection_cost, evaluation.min_detection_cost):
        with pytest.raises(ValueError, match=message):
            cost([1, 0], [1, 0], **options)
