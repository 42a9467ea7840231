import numpy as np
import pytest

from siamese_nn.evaluation import one_shot_accuracy

pytestmark = pytest.mark.once


def drawn(rng, n_alphabets=1, n_characters=25, n_drawers=4, noise=1.2, size=8):
    """Embeddings of characters, each drawn once by each drawer, and of which alphabet, which, by whom."""
    shape = n_alphabets, n_characters, n_drawers
    alphabets, characters, drawers = (axis.ravel() for axis in np.indices(shape))
    vectors = rng.normal(size=(n_alphabets, n_characters, size))[alphabets, characters]
    return vectors + noise * rng.normal(size=vectors.shape), characters, alphabets, drawers


def trials(rng, n, vectors, characters, alphabets, drawers, ways):
    """Koch's trials, drawn one by one: whether each is right."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    right = []
    for _ in range(n):
        within = np.flatnonzero(alphabets == rng.integers(alphabets.max() + 1))
        chosen = rng.permutation(characters.max() + 1)[:ways]
        asks, shows = rng.permutation(drawers.max() + 1)[:2]

        def photo(character, drawer, within=within):
            (found,) = within[(characters[within] == character) & (drawers[within] == drawer)]
            return vectors[found]

        scores = [photo(chosen[0], asks) @ photo(character, shows) for character in chosen]
        right.append(scores[0] > max(scores[1:]))
    return np.mean(right)


def test_it_is_the_mean_of_kochs_trials():
    rng = np.random.default_rng(0)
    vectors, characters, alphabets, drawers = drawn(rng, n_alphabets=3)
    found = one_shot_accuracy(vectors, characters, ways=10, alphabets=alphabets, drawers=drawers)
    mean = trials(rng, 2500, vectors, characters, alphabets, drawers, 10)
    assert abs(found.estimate - mean) < 3.5 * np.sqrt(mean * (1 - mean) / 2500)


def test_people_without_drawers():
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(30), 2)
    photos = rng.normal(size=(30, 8))[people] + 0.8 * rng.normal(size=(60, 8))
    unit = photos / np.linalg.norm(photos, axis=1, keepdims=True)
    scores, right = unit @ unit.T, []
    for _ in range(4000):
        chosen = rng.permutation(30)[:5]
        asked = 2 * chosen[0] + rng.integers(2)
        mate = asked ^ 1
        # Each gallery has one and the same photo of a person: on average a draw of one of the two.
        others = 2 * chosen[1:] + rng.integers(0, 2, 4)
        right.append(scores[asked, mate] > scores[asked, others].max())
    found = one_shot_accuracy(photos, [f"person {person}" for person in people], ways=5)
    assert found.estimate == pytest.approx(np.mean(right), abs=0.05)
    assert found.interval[0] < np.mean(right) < found.interval[1]


def test_the_interval_holds_the_truth():
    truth = one_shot_accuracy(*drawn(np.random.default_rng(2), n_characters=1200, n_drawers=2)[:2], ways=20)
    inside = []
    for seed in range(100):
        found = one_shot_accuracy(*drawn(np.random.default_rng([2, seed]), n_characters=60, n_drawers=2)[:2])
        inside.append(found.interval[0] <= truth.estimate <= found.interval[1])
    assert np.mean(inside) >= 0.88, np.mean(inside)


def test_all_characters_of_an_alphabet_may_be_in_a_trial():
    vectors, characters, alphabets, drawers = drawn(np.random.default_rng(3), 2, n_characters=20)
    found = one_shot_accuracy(vectors, characters, alphabets=alphabets, drawers=drawers)
    assert found.interval[0] < found.estimate < found.interval[1]
    each = [
        one_shot_accuracy(vectors[own], characters[own], drawers=drawers[own]).estimate
        for own in (alphabets == 0, alphabets == 1)
    ]
    assert found.estimate == pytest.approx(np.mean(each))


def test_ties_are_no_answer():
    people = np.repeat(np.arange(30), 2)
    found = one_shot_accuracy(np.ones((60, 2)), people)
    assert found.estimate == 0 and found.interval is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ways": 1}, "`ways` must be a whole number of at least 2. Received: ways=1"),
        ({"ways": 26}, "at most the number of people.*Received: ways=26, 25 people"),
        ({"alphabets": [0, 1]}, r"`alphabets` must be 100 names. Received: shape \(2,\)"),
        ({"drawers": np.repeat(np.arange(25), 4)}, "0 drew 0 4 times"),
        (
            {"alphabets": np.arange(100) // 99},
            "Alphabet 1: .*two photos.* Received: 0 among 1",
        ),
        ({"ways": 13, "alphabets": np.arange(100) // 52}, "Received: ways=13, 12 people in 1"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    vectors, characters, _, _ = drawn(np.random.default_rng(4))
    with pytest.raises(ValueError, match=message):
        one_shot_accuracy(vectors, characters, **options)
