import numpy as np
import pytest

from siamese_nn import datasets, evaluation
from siamese_nn.datasets import IdentityLeakError, IdentityLeakWarning, Pairs


def test_letter_split_looks_at_the_left_name_and_warns_whom(toy_pairs):
    with pytest.warns(IdentityLeakWarning, match="people occur in both training and validation") as warned:
        train, val = datasets.split_by_letter(toy_pairs)
    letters = {name[0] for name in val.left_identities[val.same == 1]}
    assert letters <= set("ABCDE") and {name[0] for name in val.left_identities[val.same == 0]} <= set("ABC")
    assert not {name[0] for name in train.left_identities[train.same == 1]} & set("ABCDE")
    assert len(train) + len(val) == len(toy_pairs)
    assert sorted(datasets.shared_identities(train, val))[0] in str(warned[0].message)
    with pytest.raises(IdentityLeakError):
        datasets.require_disjoint(train, val)


@pytest.mark.parametrize("seed", range(3))
def test_identity_split_keeps_its_promises(toy_pairs, seed):
    banned = datasets.split_identities(toy_pairs, seed=seed)[1]
    new = banned[-3:]
    train, val = datasets.split_identities(toy_pairs, seed=seed, exclude=new)
    datasets.require_disjoint(train, val)
    assert all(name[0] in "ABCDE" for name in val.identities())
    assert not any(name[0] in "ABCDE" for name in train.identities())
    for side in (train, val):
        assert np.bincount(side.same)[0] == np.bincount(side.same)[1]
        assert len(set(side.keys())) == len(side)
    assert not set(val.keys()) & set(new.keys())
    photos = set(toy_pairs.left) | set(toy_pairs.right)
    assert set(train.left) | set(train.right) | set(val.left) | set(val.right) <= photos


def test_identity_split_is_seeded_and_keeps_the_old_pairs_first(toy_pairs):
    plain = datasets.split_identities(toy_pairs, rebalance=False)
    one, again, other = (datasets.split_identities(toy_pairs, seed=seed) for seed in (1, 1, 2))
    for side in (0, 1):
        assert one[side].keys() == again[side].keys() != other[side].keys()
        assert one[side].keys()[: len(plain[side])] == plain[side].keys()


def test_no_lost_photo_is_used_twice_while_one_is_unused(toy_pairs):
    plain, full = (datasets.split_identities(toy_pairs, rebalance=r)[0] for r in (False, True))
    new = full[len(plain) :]
    uses = np.unique(np.concatenate([new.left, new.right]), return_counts=True)[1]
    lost = len(toy_pairs) - sum(map(len, datasets.split_identities(toy_pairs, rebalance=False)))
    assert len(new) and (uses.max() == 1 or len(uses) == lost)


def test_too_few_lost_photos_are_named():
    photos = [f"{name}_{i}.jpg" for name in ("Ada", "Zoe") for i in (1, 2, 3)]
    pairs = Pairs(
        [photos[0], photos[3], photos[0]],
        [photos[1], photos[4], photos[3]],
        [1, 1, 0],
        ["Ada", "Zoe", "Ada"],
        ["Ada", "Zoe", "Zoe"],
    )
    with pytest.raises(ValueError, match="lacks 1 different pairs"):
        datasets.split_identities(pairs, letters="A")


@pytest.mark.parametrize("letters", ["", "A1", None])
def test_wrong_letters_are_refused(toy_pairs, letters):
    with pytest.raises(ValueError, match="`letters` must be letters"):
        datasets.split_identities(toy_pairs, letters=letters)


def test_an_empty_side_is_refused(toy_pairs):
    with pytest.raises(ValueError, match="both sides"):
        datasets.split_identities(toy_pairs, letters="ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_the_reports_numbers_on_the_real_pairs(lfw_a_dir):
    pairs, test = datasets.load_lfw_a(lfw_a_dir)

    def sizes(split):
        return [np.bincount(side.same)[::-1].tolist() for side in split]

    with pytest.warns(IdentityLeakWarning, match="188 people"):
        report = datasets.split_by_letter(pairs)
    assert sizes(report) == [[757, 721], [343, 379]]
    with pytest.raises(IdentityLeakError, match="188 people.*208 of the 722 pairs"):
        datasets.require_disjoint(*report)
    assert sizes(datasets.split_identities(pairs, rebalance=False)) == [[757, 554], [343, 82]]
    balanced = datasets.split_identities(pairs, exclude=test)
    assert sizes(balanced) == [[757, 757], [343, 343]]
    for side in balanced:
        datasets.require_disjoint(side, test)


def test_without_people_leaves_out_every_pair_that_they_touch_however_they_are_spelt():
    pairs = Pairs(
        ["a1", "b1", "c1", "d1"],
        ["a2", "b2", "b1", "d2"],
        [1, 1, 0, 1],
        ["LeBron_James", "Bea_Bo", "Cy", "Dö"],
        ["LeBron_James", "Bea_Bo", "Bea_Bo", "Dö"],
    )
    assert datasets.without_people(pairs, ["Lebron James", "Nobody"]).left.tolist() == ["b1", "c1", "d1"]
    assert datasets.without_people(pairs, ["Bea_Bo", "DO"]).left.tolist() == ["a1"]
    with pytest.raises(ValueError, match="touch all 4"):
        datasets.without_people(pairs, ["lebronjames", "Bea Bo", "do"])
    with pytest.raises(ValueError, match="one string"):
        datasets.without_people(pairs, "Bea_Bo")


def test_people_whom_cfp_misspells_are_known():
    pairs = Pairs(["a1", "b1"], ["a2", "b2"], [1, 1], ["Robert_De_Niro", "Cy"], ["Robert_De_Niro", "Cy"])
    assert datasets.without_people(pairs, ["Robert_Do_Niro"]).left.tolist() == ["b1"]
    with pytest.raises(IdentityLeakError, match="Robert_De_Niro"):
        evaluation.require_unseen([pairs], ["Robert Do Niro"])


def test_people_are_learnt_from_all_photos_of_those_who_are_not_held_out(toy_dir, toy_pairs):
    _, val = datasets.split_identities(toy_pairs)
    photos = datasets.training_photos(toy_dir / "lfw2", toy_pairs, val)
    assert set(photos) == toy_pairs.identities() - val.identities()
    everybody = datasets.photos_by_identity(toy_dir / "lfw2")
    assert set(everybody) - set(photos) >= val.identities()
    assert all(own == everybody[name] and len(own) == 4 for name, own in photos.items())
