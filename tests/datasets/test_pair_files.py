import os
from pathlib import Path

import pytest

from siamese_nn import datasets
from siamese_nn.datasets import PairFileError

VIEW_1 = "2\nAda\t1\t2\nBob\t1\t2\nAda\t1\tBob\t1\nBob\t2\tAda\t2\n"


@pytest.fixture
def photos(tmp_path) -> Path:
    for name in ("Ada", "Bob"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in (1, 2):
            (tmp_path / "photos" / name / f"{name}_{i:04d}.jpg").touch()
    return tmp_path / "photos"


def write(folder: Path, text: str) -> Path:
    (folder / "pairs.txt").write_text(text)
    return folder / "pairs.txt"


def test_view_1_reads_and_writes_back(photos, tmp_path):
    pairs = datasets.read_pairs(write(tmp_path, VIEW_1), photos)
    assert pairs.same.tolist() == [1, 1, 0, 0]
    assert pairs[3] == (str(photos / "Bob/Bob_0002.jpg"), str(photos / "Ada/Ada_0002.jpg"), 0)
    assert pairs.right_identities.tolist() == ["Ada", "Bob", "Bob", "Ada"]
    datasets.write_pairs(pairs, tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_text() == VIEW_1


def test_view_2_reads_and_writes_back(photos, tmp_path):
    text = "2\t1\nAda\t1\t2\nAda\t1\tBob\t1\nBob\t1\t2\nBob\t2\tAda\t2\n"
    folds = datasets.read_folds(write(tmp_path, text), photos)
    assert [fold.same.tolist() for fold in folds] == [[1, 0], [1, 0]]
    assert datasets.read_pairs(tmp_path / "pairs.txt", photos).same.tolist() == [1, 0, 1, 0]
    datasets.write_pairs(folds, tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_text() == text


def test_flat_folders_png_and_windows_line_ends(tmp_path):
    for stem in ("Ada_0001", "Ada_0002", "Bob_0001", "Bob_0002"):
        (tmp_path / f"{stem}.PNG").touch()
    pairs = datasets.read_pairs(write(tmp_path, VIEW_1.replace("\n", "\r\n")), tmp_path)
    assert pairs[0][0] == str(tmp_path / "Ada_0001.PNG")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the first line must be"),
        ("two\n", ":1: the first line must be"),
        ("0\n", ":1: the first line must be"),
        ("9" * 5000 + "\n", ":1: the first line must be"),
        ("999999999 1\nAda\t1\t2\n", ":2: the first line promises"),
        (VIEW_1.replace("Bob\t1\t2", "Bob\t1\t" + "9" * 5000), ":3: photo numbers"),
        (VIEW_1.replace("Bob\t1\t2", "Bob\t1"), ":3: expected name, i, j"),
        (VIEW_1.replace("Bob\t1\t2", ""), ":3: expected name, i, j"),
        (VIEW_1.replace("Bob\t1\t2", "Bob\t1\ttwo"), ":3: photo numbers"),
        (VIEW_1.replace("Bob\t1\t2", "Bob\t0\t2"), ":3: photo numbers"),
        (VIEW_1.replace("Bob\t1\t2", "Bob\t2\t2"), ":3: a photo paired with itself"),
        (VIEW_1.replace("Ada\t1\tBob\t1", "Ada\t1\tAda\t2"), ":4: one person on both sides"),
        (VIEW_1.replace("Bob\t2\tAda\t2", "Bob\t1\tAda\t1"), ":5: the pair of line 4 again"),
        (VIEW_1.replace("2\n", "3\n", 1), ":4: expected name, i, j"),
        (VIEW_1.rsplit("Bob", 1)[0], ":4: the first line promises 4 pairs"),
        (VIEW_1 + "Ada\t2\tBob\t1\n", ":6: the first line promises 4 pairs"),
    ],
)
def test_malformed_files_name_line_and_fault(photos, tmp_path, text, message):
    file = write(tmp_path, text)
    with pytest.raises(PairFileError, match=message) as caught:
        datasets.read_pairs(file, photos)
    assert str(caught.value).startswith(str(file))


def test_all_missing_photos_are_listed(photos, tmp_path):
    os.remove(photos / "Ada/Ada_0002.jpg")
    os.remove(photos / "Bob/Bob_0001.jpg")
    with pytest.raises(
        PairFileError, match=r"2 of its photos(.|\n)*Ada_0002 \(line 2\)(.|\n)*Bob_0001 \(line 3\)"
    ):
        datasets.read_pairs(write(tmp_path, VIEW_1), photos)


def test_missing_folder_and_binary_file(photos, tmp_path):
    with pytest.raises(FileNotFoundError, match="image_dir"):
        datasets.read_pairs(write(tmp_path, VIEW_1), tmp_path / "nowhere")
    (tmp_path / "pairs.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(PairFileError, match="not a UTF-8 text file"):
        datasets.read_pairs(tmp_path / "pairs.txt", photos)


def test_unbalanced_pairs_are_not_written(photos, tmp_path):
    pairs = datasets.read_pairs(write(tmp_path, VIEW_1), photos)
    with pytest.raises(ValueError, match="the same number"):
        datasets.write_pairs(pairs[:3], tmp_path / "again.txt")
    assert not (tmp_path / "again.txt").exists()


@pytest.mark.parametrize(
    ("photos", "people"),
    [
        (("Ann_7.jpg", "Ann_0008.jpg"), ("Ann", "Ann")),
        (("a/img_0001.jpg", "a/img_0002.jpg"), ("Ann", "Ann")),
        (("A B_0001.jpg", "A B_0002.jpg"), ("A B", "A B")),
    ],
)
def test_what_would_not_come_back_is_not_written(tmp_path, photos, people):
    different = datasets.Pairs(["Bob_0001.jpg"], ["Cyd_0001.jpg"], [0], ["Bob"], ["Cyd"])
    same = datasets.Pairs(photos[:1], photos[1:], [1], people[:1], people[1:])
    with pytest.raises(ValueError, match="named after its person"):
        datasets.write_pairs(same + different, tmp_path / "pairs.txt")
    good = datasets.Pairs(["Ann_0001.jpg"], ["Ann_0002.jpg"], [1], ["Ann"], ["Ann"]) + different
    with pytest.raises(ValueError, match="no pair twice"):
        datasets.write_pairs([good, good], tmp_path / "pairs.txt")
    assert not (tmp_path / "pairs.txt").exists()


def test_the_real_files_are_written_back_byte_for_byte(lfw_a_dir, tmp_path):
    for file, folder in (("pairsDevTrain.txt", "train"), ("pairsDevTest.txt", "test")):
        pairs = datasets.read_pairs(lfw_a_dir / file, lfw_a_dir / folder)
        datasets.write_pairs(pairs, tmp_path / file)
        assert (tmp_path / file).read_bytes() == (lfw_a_dir / file).read_bytes()


def test_photos_are_listed_by_person_flat_and_in_folders(tmp_path):
    for folder in ("", "Ann_Lee"):
        place = tmp_path / f"f{bool(folder)}" / folder
        place.mkdir(parents=True)
        for name in ("Ann_Lee_0002.jpg", "Ann_Lee_0001.png", "notes.txt"):
            (place / name).write_bytes(b"")
        assert datasets.photos_by_identity(tmp_path / f"f{bool(folder)}") == {
            "Ann_Lee": [str(place / "Ann_Lee_0001.png"), str(place / "Ann_Lee_0002.jpg")]
        }


def test_photos_without_a_name_or_no_photos_are_refused(tmp_path):
    with pytest.raises(ValueError, match="without any"):
        datasets.photos_by_identity(tmp_path)
    (tmp_path / "IMG.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="First_Last_0001. Received: .*IMG.jpg"):
        datasets.photos_by_identity(tmp_path)
    with pytest.raises(FileNotFoundError, match="image_dir"):
        datasets.photos_by_identity(tmp_path / "none")


def test_swapped_arguments_are_told_so(toy_dir):
    with pytest.raises(
        PairFileError, match=r"read_pairs\(pairs_file, image_dir\). Received: the folder .*lfw2"
    ):
        datasets.read_pairs(toy_dir / "lfw2", toy_dir / "pairsDevTrain.txt")
