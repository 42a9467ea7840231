import numpy as np
import pytest

from siamese_nn.evaluation.suspects import rank_suspects


def planted(seed):
    """Embeddings of 60 people with 6 photos each, 2% of which stand in a wrong folder."""
    random = np.random.default_rng(seed)
    true = np.repeat(np.arange(60), 6)
    embeddings = random.normal(size=(60, 32))[true] + 0.8 * random.normal(size=(360, 32))
    wrong = random.choice(360, 7, replace=False)
    labels = true.copy()
    labels[wrong] = (true[wrong] + random.integers(1, 60, 7)) % 60
    return embeddings, true.astype(str), labels.astype(str), wrong


@pytest.mark.parametrize("seed", range(3))
def test_planted_errors_lead_the_list_and_their_own_folder_is_named(seed):
    embeddings, true, labels, wrong = planted(seed)
    first = rank_suspects(embeddings, labels)[: 360 // 20]
    found = [s for s in first if s.photo in wrong]
    assert len(found) >= 0.8 * len(wrong)
    assert all(s.other_person == true[s.photo] for s in found)


def test_it_agrees_with_a_slow_loop_whatever_the_block():
    embeddings, _, labels, _ = planted(0)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    for s in rank_suspects(embeddings, labels, block=7)[:20]:
        rest = [i for i in np.flatnonzero(labels == labels[s.photo]) if i != s.photo]
        others = [np.mean(unit[labels == p] @ unit[s.photo]) for p in set(labels) - {labels[s.photo]}]
        np.testing.assert_allclose(s.own, np.mean(unit[rest] @ unit[s.photo]))
        np.testing.assert_allclose(s.other, max(others))
        np.testing.assert_allclose(s.score, s.other - s.own)


def test_an_only_photo_is_not_judged():
    assert {s.photo for s in rank_suspects([[1, 0], [1, 0.1], [0, 1]], list("aab"))} == {0, 1}


@pytest.mark.parametrize(
    ("embeddings", "people", "message"),
    [
        ([[1, 0]], list("ab"), "one of `people` for each photo"),
        ([[1, 0], [0, 1]], list("aa"), "at least two folders"),
        ([[1, 0], [0, 0]], list("ab"), "row 1"),
    ],
)
def test_what_cannot_be_ranked_is_refused(embeddings, people, message):
    with pytest.raises(ValueError, match=message):
        rank_suspects(embeddings, people)
