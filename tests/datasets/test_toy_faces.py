import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nn.datasets import toy_drawing, toy_faces
from siamese_nn.datasets.toy_faces import make_toy_faces

pytestmark = pytest.mark.once

SIZES = {
    "n_train_identities": 10,
    "n_test_identities": 4,
    "images_per_identity": 3,
    "train_pairs": 8,
    "test_pairs": 5,
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    return make_toy_faces(tmp_path_factory.mktemp("toy") / "faces", seed=3, **SIZES)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_view_1(path: Path) -> tuple[int, list[list[str]]]:
    text = path.read_text()
    assert text.endswith("\n") and not text.endswith("\n\n")
    first, *lines = text.splitlines()
    return int(first), [line.split("\t") for line in lines]


def sides(fields: list[str]) -> frozenset[tuple[str, int]]:
    if len(fields) == 3:
        fields = [fields[0], fields[1], fields[0], fields[2]]
    return frozenset({(fields[0], int(fields[1])), (fields[2], int(fields[3]))})


def people_of(path: Path) -> set[str]:
    return {name for fields in read_view_1(path)[1] for name, _ in sides(fields)}


def test_photos_are_named_and_shaped_like_lfw_a(faces):
    folders = sorted((faces / "lfw2").iterdir())
    assert len(folders) == 14
    for folder in folders:
        first, last = folder.name.split("_")
        assert first.istitle() and last.istitle()
        expected = [f"{folder.name}_{number:04d}.jpg" for number in (1, 2, 3)]
        assert sorted(path.name for path in folder.iterdir()) == expected
    with Image.open(folders[0] / f"{folders[0].name}_0001.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "L", (250, 250))


@pytest.mark.parametrize(("file", "n_pairs"), [("pairsDevTrain.txt", 8), ("pairsDevTest.txt", 5)])
def test_pair_files_have_the_form_of_view_1(faces, file, n_pairs):
    count, lines = read_view_1(faces / file)
    assert count == n_pairs
    assert [len(fields) for fields in lines] == [3] * n_pairs + [4] * n_pairs
    assert all(fields[0] != fields[2] for fields in lines[n_pairs:])
    pairs = [sides(fields) for fields in lines]
    assert all(len(pair) == 2 for pair in pairs)  # no photo is paired with itself
    assert len(set(pairs)) == len(pairs)
    for name, number in set().union(*pairs):
        assert (faces / "lfw2" / name / f"{name}_{number:04d}.jpg").is_file()


def test_train_and_test_share_nobody(faces):
    train, test = people_of(faces / "pairsDevTrain.txt"), people_of(faces / "pairsDevTest.txt")
    assert train and test and not train & test


def test_every_possible_pair_can_be_asked_for_once(tmp_path):
    # 4 people with 3 photos each make 12 same pairs, 2 people 6 same pairs and 9 different ones.
    sizes = {"n_train_identities": 4, "n_test_identities": 2, "images_per_identity": 3}
    folder = make_toy_faces(tmp_path / "faces", train_pairs=12, test_pairs=6, **sizes)
    for file, n_pairs in [("pairsDevTrain.txt", 12), ("pairsDevTest.txt", 6)]:
        pairs = [sides(fields) for fields in read_view_1(folder / file)[1]]
        assert len(pairs) == len(set(pairs)) == 2 * n_pairs


def test_same_seed_gives_the_same_bytes_and_another_seed_other_ones(faces, tmp_path):
    again = contents(make_toy_faces(tmp_path / "again", seed=3, **SIZES))
    assert again == contents(faces)
    other = contents(make_toy_faces(tmp_path / "other", seed=4, **SIZES))
    assert other.keys() == again.keys()
    assert not [name for name in other if other[name] == again[name]]


def test_a_person_does_not_depend_on_how_many_there_are(faces, tmp_path):
    more = make_toy_faces(tmp_path / "more", seed=3, **SIZES | {"n_train_identities": 12})
    name = "lfw2/Ada_Adler/Ada_Adler_0002.jpg"
    assert (more / name).read_bytes() == (faces / name).read_bytes()


def test_names_are_distinct_and_spread_over_the_alphabet():
    first, last = toy_drawing._FIRST_NAMES.split(), toy_drawing._LAST_NAMES.split()
    assert (len(set(first)), len(set(last))) == (60, 40)
    assert {name[0] for name in first} == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    for start in range(0, 60, 10):
        assert sum(name[0] in "ABCDE" for name in first[start : start + 10]) == 3
    assert len({(i % 60, (i + i // 60 * 7) % 40) for i in range(2400)}) == 2400


def test_left_names_of_different_pairs_are_spread(tmp_path):
    sizes = {"n_train_identities": 60, "n_test_identities": 2, "images_per_identity": 2}
    folder = make_toy_faces(tmp_path / "faces", train_pairs=60, test_pairs=1, **sizes)
    _, lines = read_view_1(folder / "pairsDevTrain.txt")
    order = {name: position for position, name in enumerate(toy_drawing._FIRST_NAMES.split())}
    left_is_earlier = [order[f[0].split("_")[0]] < order[f[2].split("_")[0]] for f in lines[60:]]
    assert 15 < sum(left_is_earlier) < 45
    assert len(Counter(fields[0][0] for fields in lines[60:])) > 12


def test_photos_of_one_person_differ(faces):
    photos = [np.asarray(Image.open(path)) for path in sorted((faces / "lfw2" / "Ada_Adler").iterdir())]
    assert np.abs(photos[0].astype(int) - photos[1]).mean() > 5
    assert all(photo.std() > 10 for photo in photos)


def test_a_whole_set_is_kept(faces):
    before = {path: path.stat().st_mtime_ns for path in faces.rglob("*")}
    assert make_toy_faces(str(faces), seed=np.int64(3), **SIZES) == faces
    assert {path: path.stat().st_mtime_ns for path in faces.rglob("*")} == before
    assert json.loads((faces / "toy_faces.json").read_text()).items() >= ({"seed": 3} | SIZES).items()


def test_a_run_that_is_cut_off_leaves_nothing_and_the_next_one_starts_again(faces, tmp_path, monkeypatch):
    output_dir = tmp_path / "faces"
    monkeypatch.setattr(toy_faces, "_make_pairs", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make_toy_faces(output_dir, seed=3, **SIZES)
    assert not list(tmp_path.iterdir())
    stale = tmp_path / ".partial-0123abcd-faces" / "faces"  # of a killed process
    stale.mkdir(parents=True)
    (stale / "left_over.txt").touch()
    monkeypatch.undo()
    assert contents(make_toy_faces(output_dir, seed=3, **SIZES)) == contents(faces)
    assert list(tmp_path.iterdir()) == [output_dir]


def test_an_empty_folder_is_filled(faces, tmp_path):
    assert contents(make_toy_faces(tmp_path, seed=3, **SIZES)) == contents(faces)


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"must be new.*Received: output_dir=.*something else"):
        make_toy_faces(tmp_path, **SIZES)
    with pytest.raises(FileExistsError, match="something else"):
        make_toy_faces(tmp_path / "holiday.jpg", **SIZES)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_a_set_with_other_arguments_or_lost_photos_is_refused(tmp_path):
    sizes = {"n_train_identities": 2, "n_test_identities": 2, "images_per_identity": 2, "test_pairs": 1}
    folder = make_toy_faces(tmp_path / "faces", train_pairs=2, **sizes)
    with pytest.raises(FileExistsError, match=r'"train_pairs": 1.*Received.*"train_pairs": 2'):
        make_toy_faces(folder, train_pairs=1, **sizes)
    next(folder.glob("lfw2/*/*.jpg")).unlink()
    with pytest.raises(FileExistsError, match="7 photos and 2 pair files"):
        make_toy_faces(folder, train_pairs=2, **sizes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 1.5),
        ("seed", True),
        ("seed", None),
        ("n_train_identities", 1),
        ("n_train_identities", 1201),
        ("n_test_identities", 0),
        ("images_per_identity", 1),
        ("train_pairs", 0),
        ("train_pairs", 31),  # 10 people with 3 photos each make 30 same pairs
        ("test_pairs", -2),
        ("test_pairs", 13),
    ],
)
def test_bad_arguments_are_named(tmp_path, name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .* Received: {name}={value}"):
        make_toy_faces(tmp_path / "faces", **{**SIZES, name: value})
    assert not list(tmp_path.iterdir())
