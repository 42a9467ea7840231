from itertools import combinations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t as student_t

from siamese_nn.evaluation import HeldOutScores, spread_photos


def drawn_photos(rng, n_people, photos_each=1, size=12, noise=0.6):
    """Unit embeddings of made-up people, some of whom look more like everybody than others."""
    people = np.repeat(np.arange(n_people), photos_each)
    middle = rng.exponential(1.0, (n_people, 1)) * np.ones(size)
    photos = (rng.normal(size=(n_people, size)) + 0.3 * middle)[people]
    photos += noise * rng.normal(size=photos.shape)
    return photos / np.linalg.norm(photos, axis=1, keepdims=True), people


def held_out(seed, n_people, photos_each=1, **options):
    photos, people = drawn_photos(np.random.default_rng(seed), n_people, photos_each, **options)
    return HeldOutScores(photos @ photos.T, people)


def slow_rates(held, n, threshold):
    """Both rates, by every gallery of `n` people that there is, with the photos of each of `_galleries`."""
    m = held.n_people
    strangers, known = [[] for _ in range(m)], [[] for _ in range(m)]
    for photos in held._galleries:
        for probe, person in enumerate(held.people):
            others = [other for other in range(m) if other != person]
            strangers[person].append(
                np.mean(
                    [
                        max(held.scores[probe, photos[other]] for other in gallery) >= threshold
                        for gallery in combinations(others, n)
                    ]
                )
            )
            mate = held.scores[probe, photos[person]]
            if photos[person] != probe:
                known[person].append(
                    np.mean(
                        [
                            mate < threshold
                            or any(held.scores[probe, photos[other]] >= mate for other in gallery)
                            for gallery in combinations(others, n - 1)
                        ]
                    )
                )
    return np.mean([np.mean(own) for own in strangers]), np.mean([np.mean(own) for own in known if own])


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_both_rates_are_those_of_all_galleries(n):
    held = held_out(1, 7, [1, 2, 3, 1, 2, 2, 1])
    for threshold in np.sort(held.scores, axis=None)[[30, 60, 90, 100]]:
        found = held._fpir(n, threshold), held._fnir(n, threshold)
        np.testing.assert_allclose(
            [rate.estimate for rate in found], slow_rates(held, n, threshold), atol=1e-12
        )


@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_names_at_each_rank_are_those_of_all_galleries(n):
    held = held_out(1, 7, [1, 2, 3, 1, 2, 2, 1], noise=1.5)
    found = held.cmc(n, ranks=(1, 2, 5))
    for rank, rate in found.items():
        known = [[] for _ in range(held.n_people)]
        for photos in held._galleries:
            for probe, person in enumerate(held.people):
                mate = held.scores[probe, photos[person]]
                others = [held.scores[probe, photos[other]] for other in range(7) if other != person]
                if photos[person] != probe:
                    known[person].append(
                        np.mean(
                            [sum(s >= mate for s in drawn) < rank for drawn in combinations(others, n - 1)]
                        )
                    )
        assert rate.estimate == pytest.approx(np.mean([np.mean(own) for own in known if own]), abs=1e-12)
    assert found[1].estimate < 1 and found[1] == held._fnir(n, -9).complement()


def test_the_interval_of_a_rank_is_a_jackknife_over_people():
    held = held_out(2, 40, 2, noise=1.5)
    for rank in (1, 2):
        rate, left_out = held.cmc(10, ranks=[rank])[rank], []
        for person in range(40):
            # With the same photos in the galleries, which a new draw would change.
            rest, gallery = np.flatnonzero(held.people != person), np.delete(held._galleries, person, axis=1)
            one = HeldOutScores(held.scores[np.ix_(rest, rest)], held.people[rest])
            vars(one)["_galleries"] = gallery - 2 * (gallery > 2 * person)
            left_out.append(one.cmc(10, ranks=[rank])[rank].estimate)
        error = np.sqrt(39 / 40 * ((left_out - np.mean(left_out)) ** 2).sum())
        reach = student_t.ppf(0.975, 39) * error / (rate.estimate * (1 - rate.estimate))
        np.testing.assert_allclose(rate.interval, expit(logit(rate.estimate) + reach * np.array([-1, 1])))


def test_ranks_that_cannot_be_asked_for_are_refused():
    held = held_out(3, 30, 2)
    for arguments, message in (
        ((1,), "`n_photos` must be a whole number of at least 2. Received: 1"),
        ((30,), "below the number of people.*Received: n_photos=30, 30 people, 30 of them"),
    ):
        with pytest.raises(ValueError, match=message):
            held.cmc(*arguments)
    with pytest.raises(ValueError, match="`ranks` must be whole numbers of at least 1"):
        held.cmc(5, ranks=[0])
    with pytest.raises(ValueError, match="30 people, 0 of them with two photos"):
        held_out(3, 30).cmc(5)


@pytest.mark.parametrize("n", [1, 4, 20])
def test_the_interval_is_a_jackknife_over_people(n):
    held, m = held_out(2, 40), 40
    threshold = float(np.quantile(held.scores, 0.93))
    rate = held._fpir(n, threshold)
    left_out = []
    for person in range(m):
        rest = np.delete(np.arange(m), person)
        left_out.append(HeldOutScores(held.scores[np.ix_(rest, rest)], rest)._fpir(n, threshold).estimate)
    error = np.sqrt((m - 1) / m * ((left_out - np.mean(left_out)) ** 2).sum())
    reach = student_t.ppf(0.975, m - 1) * error / (rate.estimate * (1 - rate.estimate))
    np.testing.assert_allclose(
        rate.interval, expit(logit(rate.estimate) + reach * np.array([-1, 1])), rtol=1e-9
    )


def test_the_lowest_threshold_that_keeps_to_the_rate():
    held = held_out(3, 80, 2)
    apart = held.people[:, None] != held.people
    for n, fpir in ((1, 0.02), (10, 0.1), (78, 0.5)):
        found = held.gallery_threshold(n, fpir=fpir)
        assert found.fpir.estimate <= fpir and found.fpir == held._fpir(n, found.threshold)
        lower = held.scores[apart & (held.scores < found.threshold)].max()
        assert held._fpir(n, lower).estimate > fpir
        own = held.gallery_threshold(n, threshold=found.threshold)
        assert own == found


def highest_scores(photos, people, n, mates=1):
    """Those of strangers in galleries of `n` photos, `mates` a person, drawn from a large population."""
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        order = rng.permutation(people.max() + 1)
        gallery = np.concatenate([np.flatnonzero(people == one)[:mates] for one in order[: n // mates]])
        strangers = np.isin(people, order[n : n + 500])
        found.append((photos[strangers] @ photos[gallery].T).max(axis=1))
    return np.concatenate(found)


def test_a_rate_that_is_promised_is_kept_on_other_people():
    highest = highest_scores(*drawn_photos(np.random.default_rng(4), 1500), 20)
    inside = []
    for seed in range(100):
        found = held_out([4, seed], 120).gallery_threshold(20, fpir=0.1)
        low, high = found.fpir.interval
        inside.append(low <= (highest >= found.threshold).mean() <= high)
    assert np.mean(inside) >= 0.88, np.mean(inside)  # of 95%, but for chance and few people


def test_several_photos_of_a_person_only_lower_the_rate():
    photos, people = drawn_photos(np.random.default_rng(5), 600, 4)
    found = held_out(6, 400).gallery_threshold(40, fpir=0.2)
    one, several = ((highest_scores(photos, people, 40, mates) >= found.threshold).mean() for mates in (1, 4))
    assert several < one < found.fpir.interval[1]


def test_of_a_gallery_larger_than_the_held_out_people_the_rate_is_a_bound():
    photos, people = drawn_photos(np.random.default_rng(7), 1500)
    found = held_out(8, 150).gallery_threshold(300, fpir=0.5)
    assert found.fnir is None
    assert (highest_scores(photos, people, 300) >= found.threshold).mean() < found.fpir.interval[1]
    scores = np.zeros((30, 30))
    scores[0] = 1  # one stranger is like everybody, and nobody else is
    one = HeldOutScores(scores, np.arange(30))
    assert one._fpir(28, 0.5).estimate == pytest.approx(1 / 30)
    assert one._fpir(29, 0.5).estimate == pytest.approx(1 - (29 / 30) ** 29)
    assert one._fpir(10**9, 0.5).estimate == 1


def test_what_cannot_be_promised_is_refused_and_what_can_be_is_said():
    held = held_out(9, 60)
    with pytest.raises(
        ValueError, match=r"gallery of 20 photos, the run's 60 held-out people can promise rates"
    ) as error:
        held.gallery_threshold(20, fpir=0.001)
    assert "Received: fpir=0.001. Give a higher `fpir`, a `threshold` of your own" in str(error.value)
    promised = float(str(error.value).split("rates from ")[1].split()[0])
    assert held.gallery_threshold(20, fpir=promised).fpir.estimate <= promised
    with pytest.raises(ValueError, match="rates from"):
        held.gallery_threshold(20, fpir=promised - 0.002)
    own = held.gallery_threshold(20, threshold=0.999)
    assert own.threshold == 0.999 and own.fpir is None
    for few in (np.zeros((0, 0)), np.zeros((1, 1)), np.eye(4)):
        fault = f"the run's {len(few)} held-out people can promise none" if len(few) else "holds nobody out"
        with pytest.raises(ValueError, match=fault):
            HeldOutScores(few, np.arange(len(few))).gallery_threshold(1, fpir=0.99)
        nothing = HeldOutScores(few, np.arange(len(few))).gallery_threshold(1, threshold=0.5)
        assert nothing.fpir is None and nothing.fnir is None
    with pytest.raises(ValueError, match="can promise none"):  # a model that has collapsed
        HeldOutScores(np.ones((50, 50)), np.arange(50)).gallery_threshold(1, fpir=0.99)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_photos": 0}, "`n_photos` must be a whole number of at least 1. Received: n_photos=0"),
        ({"n_photos": 1.5}, "`n_photos` must be"),
        ({"n_photos": True}, "`n_photos` must be"),
        ({"fpir": 0}, r"`fpir` must be a rate in \(0, 1\). Received: fpir=0"),
        ({"fpir": 1.0}, "`fpir` must be a rate"),
        ({"fpir": float("nan")}, "`fpir` must be a rate"),
        ({"fpir": "1%"}, "`fpir` must be a rate"),
        ({"threshold": float("inf")}, "`threshold` must be a finite number"),
        ({"threshold": "0.5"}, "`threshold` must be a finite number"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        held_out(0, 30).gallery_threshold(**{"n_photos": 2, **arguments})


@pytest.mark.parametrize(
    ("scores", "people", "message"),
    [
        (np.zeros((2, 3)), [0, 1], r"`scores` must be floats of shape \(n, n\)"),
        (np.zeros((2, 2)), [0, 1, 2], r"`scores` must be floats of shape \(n, n\)"),
        (np.zeros((2, 2), int), [0, 1], r"`scores` must be floats.*int64"),
        (np.full((2, 2), np.nan), [0, 1], "`scores` must be finite"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores, people, message):
    with pytest.raises(ValueError, match=message):
        HeldOutScores(scores, np.array(people))


def test_photos_are_spread_over_people():
    people = ["a"] * 5 + ["b"] + ["c"] * 3
    assert spread_photos(people).tolist() == list(range(9)) and len(spread_photos([])) == 0
    many = np.repeat(np.arange(900), 3)
    chosen = spread_photos(many)
    counts = np.bincount(many[chosen])
    assert (
        len(chosen) == len(set(chosen)) == 1000 and (counts > 0).sum() == 800 and (counts == 2).sum() == 200
    )
    assert (spread_photos(many) == chosen).all() and (spread_photos(many, seed=1) != chosen).any()
