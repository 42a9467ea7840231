import csv

import numpy as np
import pytest

from siamese_nn import datasets
from siamese_nn.datasets import Pairs


def some_pairs() -> Pairs:
    return Pairs(
        left=["x/Ada_0001.jpg", "x/Bob_0001.jpg", "x/bea_0002.jpg"],
        right=["x/Ada_0002.jpg", "x/Ada_0001.jpg", "x/Ada_0001.jpg"],
        same=[1, 0, 0],
        left_identities=["Ada", "Bob", "bea"],
        right_identities=["Ada", "Ada", "Ada"],
    )


def test_selections_are_pairs_again():
    pairs = some_pairs()
    assert pairs[1] == ("x/Bob_0001.jpg", "x/Ada_0001.jpg", 0)
    assert len(pairs[1:]) == 2 and pairs[1:].identities() == {"Ada", "Bob", "bea"}
    assert pairs[pairs.same == 1].left.tolist() == ["x/Ada_0001.jpg"]
    assert len(pairs[:0]) == 0 and pairs[:0].identities() == set()
    assert (pairs[:1] + pairs[2:]).left_identities.tolist() == ["Ada", "bea"]


def test_keys_do_not_see_sides():
    pairs = some_pairs()
    mirrored = Pairs(pairs.right, pairs.left, pairs.same, pairs.right_identities, pairs.left_identities)
    assert pairs.keys() == mirrored.keys()
    assert pairs.keys()[1] == ("Ada_0001.jpg", "Bob_0001.jpg")


def test_two_photos_never_have_one_key():
    """Cameras number the photos of every person from 1 on, and CFP's are numbered in two folders a person."""
    for left, right in (
        ("Ada/IMG_0001.jpg", "Bob/IMG_0001.jpg"),
        ("001/frontal/01.jpg", "002/frontal/01.jpg"),
    ):
        pairs = Pairs([f"data/{left}"], [f"data/{right}"], [0], ["Ada"], ["Bob"])
        assert pairs.keys() == [(left, right)]
    one = Pairs(["x/1/frontal/01.jpg"], ["x/1/profile/01.jpg"], [1], ["Ada"], ["Ada"])
    assert one.keys() == [("frontal/01.jpg", "profile/01.jpg")]
    assert one[:0].keys() == []


def test_keys_do_not_see_where_the_photos_are(monkeypatch, tmp_path):
    keys = some_pairs().keys()
    monkeypatch.chdir(tmp_path)
    pairs = some_pairs()
    moved = Pairs([f"{tmp_path}/y/../x/{name[2:]}" for name in pairs.left], *list(vars(pairs).values())[1:])
    assert moved.keys() == keys


def test_the_labels_can_be_summed():
    """NumPy 2 lets Python's own `sum` of int8 wrap."""
    n = 300
    pairs = Pairs(["a_1.jpg"] * n, ["a_2.jpg"] * n, np.ones(n, np.int8), ["a"] * n, ["a"] * n)
    assert sum(pairs.same) == n and pairs.same.dtype == np.int64
    assert sum((pairs[:200] + pairs).same) == 500


def test_distinct_images_find_every_photo():
    pairs = some_pairs()
    paths, where = pairs.distinct_images()
    assert len(paths) == 4 and where.shape == (3, 2)
    assert paths[where[:, 0]].tolist() == pairs.left.tolist()
    assert paths[where[:, 1]].tolist() == pairs.right.tolist()


def test_pairs_are_immutable():
    with pytest.raises(ValueError, match="read-only"):
        some_pairs().same[0] = 0


def test_letters_are_counted_by_the_left_name_in_any_case():
    counts = datasets.letter_counts(some_pairs())
    assert counts["same"]["A"] == 1 and counts["different"]["B"] == 2 and counts["different"]["A"] == 0
    assert "Total" in datasets.letter_table(some_pairs()).get_string()


def test_class_table_counts():
    [row] = datasets.class_table({"mine": some_pairs()}).rows
    assert row == ["mine", 1, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((["a"], ["b"], [2], ["A"], ["B"]), "only 0 and 1"),
        ((["a"], ["b"], [1], ["A"], ["B"]), "must be 1 where both names are equal"),
        ((["a"], ["b"], [0], ["A"], ["A"]), "must be 1 where both names are equal"),
        ((["a", "c"], ["b"], [0], ["A"], ["B"]), "one length"),
        ((["a"], ["b"], [[1]], ["A"], ["A"]), "shape"),
    ],
)
def test_wrong_columns_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        Pairs(*columns)


def test_real_letters_are_the_reports_table_1(lfw_a_dir, published):
    pairs, test = datasets.load_lfw_a(lfw_a_dir)
    with (published / "lfw_letters.csv").open() as file:
        rows = {
            row.pop("kind"): {letter: int(n) for letter, n in row.items()} for row in csv.DictReader(file)
        }
    assert datasets.letter_counts(pairs) == rows
    assert (len(pairs), len(test)) == (2200, 1000)
    assert np.array_equal(np.bincount(test.same), [500, 500])
