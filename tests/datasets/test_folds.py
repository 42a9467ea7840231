from collections import Counter

import numpy as np
import pytest

from siamese_nn.datasets import (
    Pairs,
    add_people,
    folds_in_turn,
    load_people,
    people_folds,
    photos_by_identity,
    read_pairs,
)
from siamese_nn.datasets.own_people import FEWEST

pytestmark = pytest.mark.once

NAMES = ("Ada Lovelace", "Zoë", "李", "Жанна", " J. R. ", "007", "o'Neil", "x_y", "Ünal", "z")


def drawn_folder(rng, folder, n_people):
    """People of any names, with one photo, with a few and with hundreds."""
    for i in range(n_people):
        person = folder / f"{rng.choice(NAMES)} {i}"
        person.mkdir(parents=True)
        count = 300 if i == 0 else 1 if rng.random() < 0.3 else int(rng.integers(2, 7))
        for number in range(count):
            (
                person / f"{rng.choice(['IMG_', 'me & you ', 'ü'])}{number}{rng.choice(['.jpg', '.PNG'])}"
            ).touch()
    return folder


def require_good_pairs(pairs, own, most):
    """As many of one person as of two, none twice, nobody fills them, and each photo is its person's."""
    assert int(pairs.same.sum()) * 2 == len(pairs) > 0
    sides = [*zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)]
    assert len(set(map(frozenset, sides))) == len(sides) and all(left != right for left, right in sides)
    same = Counter(pairs.left_identities[pairs.same == 1].tolist())
    assert max(same.values()) <= most
    names = zip(pairs.left_identities.tolist(), pairs.right_identities.tolist(), strict=True)
    for paths, people in zip(sides, names, strict=True):
        assert all(path in own[name] for path, name in zip(paths, people, strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_folds_of_any_folder_share_nobody_and_leave_nobody_out(tmp_path, seed):
    rng = np.random.default_rng(seed)
    folder = drawn_folder(rng, tmp_path / "people", int(rng.integers(25, 45)))
    n_folds, most = int(rng.integers(3, 6)), int(rng.integers(1, 9))
    own = photos_by_identity(folder)
    folds = people_folds(folder, n_folds, most_per_person=most, seed=seed)
    assert len(folds) == n_folds
    for fold in folds:
        sides = [fold.train, fold.validation, fold.test]
        for pairs in sides:
            require_good_pairs(pairs, own, most)
        names = [pairs.identities() for pairs in sides]
        assert not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])
        assert names[0] <= set(fold.photos) and not (names[1] | names[2]) & set(fold.photos)
        assert all(fold.photos[name] == own[name] for name in fold.photos)
        several = sum(len(own[name]) > 1 for name in fold.test.identities())
        assert several >= sum(len(photos) > 1 for photos in own.values()) // n_folds
    tested = Counter(name for fold in folds for name in fold.test.identities())
    assert max(tested.values()) == 1 and {name for name in own if len(own[name]) > 1} <= set(tested)
    assert [fold.validation.keys() for fold in folds] == [fold.test.keys() for fold in (*folds[1:], folds[0])]
    for i, file in enumerate(folds[0].write_pairs(tmp_path / "pairs")):
        again, made = read_pairs(file, folder), (folds[0].train, folds[0].validation, folds[0].test)[i]
        assert all(
            a.tolist() == b.tolist() for a, b in zip(vars(again).values(), vars(made).values(), strict=True)
        )


@pytest.mark.parametrize("split", ["draw", "letters"])
@pytest.mark.parametrize("seed", range(2))
def test_one_split_of_any_folder(tmp_path, split, seed):
    rng = np.random.default_rng([7, seed])
    folder = drawn_folder(rng, tmp_path, 140)
    own = photos_by_identity(folder)
    people = load_people(folder, split=split, most_per_person=5, seed=seed)
    names = []
    for pairs in (people.train, people.validation, people.test):
        require_good_pairs(pairs, own, 5)
        names.append(pairs.identities())
        assert sum(len(own[name]) > 1 for name in names[-1]) >= FEWEST
    assert not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])
    if split == "letters":
        letters = [{name.strip()[0] for name in side} for side in names]
        assert not (letters[0] & letters[1] or letters[0] & letters[2] or letters[1] & letters[2])
        assert len(letters[0] | letters[1] | letters[2]) == len(NAMES)


def people_of(tmp_path, names, count=2):
    for name in names:
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.jpg").touch()
    return tmp_path


def test_letters_take_accents_and_case_off_and_the_first_ones_validate(tmp_path):
    beginnings = [*("Ä", "a", "A") * 4, *("b", "B") * 5, *("Ж", "李") * 15]
    folder = people_of(tmp_path, [f"{letter}{i}" for i, letter in enumerate(beginnings)])
    own = load_people(folder, split="letters")
    assert {name[0] for name in own.validation.identities()} == {"Ä", "a", "A"}
    assert {name[0] for name in own.test.identities()} == {"b", "B"}
    assert {name[0] for name in own.train.identities()} == {"Ж", "李"}
    assert own.validation.keys() == load_people(folder, split="letters").validation.keys()


def test_letters_that_split_nobody_are_refused(tmp_path):
    folder = people_of(tmp_path, [f"Person {i}" for i in range(60)])
    with pytest.raises(ValueError, match=r"at least 10 people .*0 for training, 60 for validation and 0 for"):
        load_people(folder, split="letters")
    with pytest.raises(ValueError, match="`split` must be one of"):
        load_people(folder, split="letter")


@pytest.mark.parametrize(
    ("n_people", "n_folds", "message"),
    [
        (
            9,
            3,
            r"at least 10 people .*accuracy can be reported. Received: 9, and 0 with one photo. Add people",
        ),
        (12, 7, r"at least 14 people .*Received: 12, .*or take fewer folds"),
        (12, 2, "`n_folds` must be a whole number of at least 3"),
        (12, True, "`n_folds` must be"),
        (12, 3.0, "`n_folds` must be"),
    ],
)
def test_too_few_people_or_folds_are_told_how_many_it_takes(tmp_path, n_people, n_folds, message):
    folder = people_of(tmp_path, [f"Person {i}" for i in range(n_people)])
    with pytest.raises(ValueError, match=message):
        people_folds(folder, n_folds)


def test_the_seed_decides(tmp_path, caplog):
    caplog.set_level("INFO")
    folder = people_of(tmp_path, [f"Person {i}" for i in range(10)], count=3)

    def keys(seed):
        return [fold.train.keys() + fold.test.keys() for fold in people_folds(folder, 5, seed=seed)]

    assert keys(0) == keys(0) != keys(1)
    assert "fold 1, training: 6 people (0 of them with one photo), 18 photos; 18 pairs of one" in caplog.text
    assert "fold 5, test: 2 people (0 of them with one photo), 6 photos; 6 pairs of one" in caplog.text
    with pytest.raises(ValueError, match="`seed`"):
        people_folds(folder, 5, seed=-1)


def protocol(n_folds):
    return [
        Pairs([f"a{i}1", f"a{i}1"], [f"a{i}2", f"b{i}1"], [1, 0], [f"a{i}"] * 2, [f"a{i}", f"b{i}"])
        for i in range(n_folds)
    ]


def test_a_protocols_folds_in_turn():
    folds = protocol(10)
    photos = {f"{letter}{i}": [f"{letter}{i}1", f"{letter}{i}2"] for i in range(10) for letter in "ab"}
    found = folds_in_turn(folds, photos)
    for i, fold in enumerate(found):
        assert fold.test is folds[i] and fold.validation is folds[(i + 1) % 10] and len(fold.train) == 16
        assert set(fold.photos) == fold.train.identities()
        assert not fold.train.identities() & (fold.validation.identities() | fold.test.identities())
    assert not folds_in_turn(folds)[0].photos
    for wrong in (found[0], folds_in_turn(folds)):
        with pytest.raises(ValueError, match="`folds` must be a list of trainings, .* each with `photos`"):
            add_people(wrong, photos)
    with pytest.raises(ValueError, match="`photos` must hold everybody of the folds. .*without b0"):
        folds_in_turn(folds, {name: own for name, own in photos.items() if name != "b0"})
    with pytest.raises(ValueError, match="at least 3"):
        folds_in_turn(folds[:2])


def test_a_data_set_that_is_added_to_itself_adds_no_photo(toy_dir):
    own = load_people(toy_dir / "lfw2")
    (joined,) = add_people([own], photos_by_identity(toy_dir / "lfw2"))
    assert joined.photos == {name: list(photos) for name, photos in own.photos.items()}
