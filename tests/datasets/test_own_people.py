import tracemalloc
from collections import Counter

import numpy as np
import pytest

from siamese_nn.datasets import load_people, make_pairs, photos_by_identity


def folder_of(tmp_path, counts):
    for name, count in counts.items():
        (tmp_path / name).mkdir(parents=True)
        for i in range(count):
            (tmp_path / name / f"IMG_{i:04d}.jpg").touch()
    return tmp_path


@pytest.fixture
def people(tmp_path):
    counts = {f"Zoë {i}": 2 + i % 4 for i in range(60)} | {f"Al {i}": 1 for i in range(40)} | {"Many": 80}
    return folder_of(tmp_path, counts)


def test_nobody_is_on_two_sides_and_everybody_on_one(people):
    own = load_people(people)
    sides = [own.train, own.validation, own.test]
    names = [side.identities() for side in sides]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    assert set(own.photos) >= names[0] and not set(own.photos) & (names[1] | names[2])
    assert len(own.photos) == round(0.6 * 61) + 24
    everybody = photos_by_identity(people)
    assert all(own.photos[name] == everybody[name] for name in own.photos)


def test_pairs_are_balanced_never_twice_and_nobody_fills_them(people):
    own = load_people(people)
    for pairs in (own.train, own.validation, own.test):
        assert int(pairs.same.sum()) * 2 == len(pairs)
        assert len(set(pairs.keys())) == len(pairs)
        same = Counter(pairs.left_identities[pairs.same == 1].tolist())
        assert max(same.values()) <= 20
        apart = pairs[pairs.same == 0]
        often = Counter(apart.left_identities.tolist() + apart.right_identities.tolist())
        # Each occurs once a round, but for one who is left over where their number is odd.
        assert max(often.values()) <= 2 * len(apart) / (len(often) - 1) + 3


def test_the_seed_decides(people):
    def paths(seed):
        own = load_people(people, seed=seed)
        return [side.left.tolist() + side.right.tolist() for side in (own.train, own.validation, own.test)]

    assert paths(0) == paths(0) and paths(0) != paths(1)


def test_names_play_no_part_in_the_draw(people):
    """The split by letters would put all of A to one side."""
    own = load_people(people)
    assert all(any(name.startswith("Al") for name in side) for side in (own.photos, own.test.identities()))


def test_too_few_people_are_told_how_many_it_takes(tmp_path):
    people = folder_of(tmp_path, {f"P{i}": 2 for i in range(40)} | {f"Q{i}": 1 for i in range(99)})
    with pytest.raises(
        ValueError, match=r"at least 50 people with two photos or more.*Received: 40, and 99 with"
    ):
        load_people(people)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "`seed` must be"),
        ({"seed": 1.5}, "`seed` must be"),
        ({"most_per_person": 0}, "`most_per_person`"),
    ],
)
def test_arguments_out_of_range(people, options, message):
    with pytest.raises(ValueError, match=message):
        load_people(people, **options)


def test_where_there_are_few_different_pairs_there_are_as_few_same_ones():
    pairs = make_pairs({"Ada": [f"a{i}.jpg" for i in range(9)], "Bob": ["b.jpg"]}, most_per_person=30)
    assert int(pairs.same.sum()) * 2 == len(pairs) and 1 <= len(pairs) // 2 <= 9


@pytest.mark.parametrize("people", [{}, {"Ada": ["a.jpg", "b.jpg"]}, {"Ada": ["a.jpg"], "Bob": ["b.jpg"]}])
def test_people_of_whom_no_pairs_can_be_made(people):
    with pytest.raises(ValueError, match="at least two people, and two photos"):
        make_pairs(people)


def test_all_pairs_of_a_person_are_made_where_they_are_few():
    pairs = make_pairs({"Ada": ["1", "2", "3"], "Bob": ["4", "5"], "Cy": ["6", "7"]})
    same = pairs[pairs.same == 1]
    assert set(zip(same.left.tolist(), same.right.tolist(), strict=True)) == {
        *(("1", "2"), ("1", "3"), ("2", "3")),
        *(("4", "5"), ("6", "7")),
    }
    assert np.array_equal(pairs.same, [1] * 5 + [0] * 5)


def test_photos_of_other_endings_count_where_they_can_be_read(people):
    own = load_people(people)
    for path in sorted(people.glob("*/*.jpg"))[::2]:
        path.rename(path.with_suffix(".webp"))
    with pytest.raises(ValueError, match="must be a JPEG or a PNG file. Received: .*webp"):
        load_people(people)
    raw = load_people(people, endings=(".jpg", ".webp"))
    assert raw.test.identities() == own.test.identities() and raw.photos.keys() == own.photos.keys()


@pytest.mark.once
def test_pairs_are_made_in_little_more_memory_than_they_take():
    people = {f"Person {i:04d}": [f"people/Person {i:04d}/{k}.jpg" for k in range(8)] for i in range(200)}
    tracemalloc.start()
    try:
        pairs = make_pairs(people)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * sum(column.nbytes for column in vars(pairs).values())
