import os
from pathlib import Path

import numpy as np
import pytest

from siamese_nn import datasets
from siamese_nn.datasets import PairFileError

pytestmark = pytest.mark.once

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
    with pytest.raises(FileNotFoundError, match="must be an LFW pair file.*nope.txt, which is no file"):
        datasets.read_pairs(tmp_path / "nope.txt", photos)
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


def test_a_photo_that_is_there_twice_is_refused(photos, tmp_path):
    for twin in ("Ada_0001.jpg", "Ada/Ada_0001.png"):
        (photos / twin).touch()
        with pytest.raises(
            PairFileError, match=r"pairs.txt:2: the photo Ada_0001 must exist once. .*Ada_0001\."
        ):
            datasets.read_pairs(write(tmp_path, VIEW_1), photos)
        (photos / twin).unlink()
    (photos / "Bob/Ada_0001.jpg").touch()  # Bob's, by its folder
    pairs = datasets.read_pairs(write(tmp_path, VIEW_1), photos)
    assert pairs.left[0] == str(photos / "Ada/Ada_0001.jpg")
    (photos / "Ada/Ada_0001.jpg").unlink()
    with pytest.raises(PairFileError, match="Ada_0001 .line 2"):
        datasets.read_pairs(write(tmp_path, VIEW_1), photos)


def fill(folder, *places):
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(b"")


@pytest.mark.parametrize("folder", ["", "Ann_Lee"])
def test_photos_are_listed_by_person_flat_and_in_folders(tmp_path, folder):
    place = tmp_path / folder
    fill(
        place, "Ann_Lee_0002.jpg", "Ann_Lee_0001.png", "notes.txt", "._Ann_Lee_0001.jpg", ".thumbnails/x.jpg"
    )
    photos = [str(place / "Ann_Lee_0001.png"), str(place / "Ann_Lee_0002.jpg")]
    assert datasets.photos_by_identity(tmp_path) == {"Ann_Lee": photos}


def test_in_folders_a_photos_person_is_its_folder(tmp_path):
    """Whatever a camera called it."""
    places = [f"{name}/IMG_{i:04d}.JPG" for name in ("Cyd", "Ada Lovelace", "Bob_0001") for i in (2, 1)]
    fill(tmp_path, *places, "Cyd/Ada_0001.jpg", "Cyd/me.jpeg")
    people = datasets.photos_by_identity(tmp_path)
    assert {name: len(photos) for name, photos in people.items()} == {
        "Ada Lovelace": 2,
        "Bob_0001": 2,
        "Cyd": 4,
    }
    assert list(people) == ["Ada Lovelace", "Bob_0001", "Cyd"]
    assert people["Cyd"] == [
        str(tmp_path / "Cyd" / name) for name in ("Ada_0001.jpg", "IMG_0001.JPG", "IMG_0002.JPG", "me.jpeg")
    ]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["notes.txt"], "without any"),
        (["IMG.jpg"], r"First_Last_0001. Received: .*IMG.jpg. Rename or remove it, or make a folder"),
        (["IMG_0001.jpg"], r"First_Last_0001. Received: .*IMG_0001.jpg"),
        (["IMG_20230101_1234.jpg", "Ada_00001.jpg"], r"Received: .*Ada_00001.jpg"),
        (["img_0001.jpg", "img_0002.jpg"], r"First_Last_0001. Received: .*img_0001.jpg"),
        (["Photo_0001.jpg", "CIMG_0002.jpg"], r"First_Last_0001. Received: .*CIMG_0002.jpg"),
        (["P1030_0001.jpg", "P1030_0002.jpg"], r"2 photos, all of 'P1030', in .*Make a folder for each"),
        (["Zo\u00eb/1.jpg", "Zoe\u0308/1.jpg"], r"written in two ways. Put the photos into one"),
        (["Ada/1.jpg", "ada/1.jpg"], r"'Ada' and 'ada', one name that is written in two ways"),
        (["Ada Ek/1.jpg", "Ada  Ek/1.jpg"], r"one name that is written in two ways"),
        (["Ada_0001.jpg", "ADA_0001.jpg"], r"one name that is written in two ways"),
        (["Img_2020_0001.jpg", "Ada_0001.jpg"], r"First_Last_0001. Received: .*Img_2020_0001.jpg"),
        (["20230101_1234.jpg"], r"Received: .*20230101_1234.jpg"),
        (["Ada_0001.jpg", "Bob/1.jpg"], r"not both. Received: .*Ada_0001.jpg beside .*Bob"),
        (["Ada/1.jpg", "Bob/2023/May/1.jpg"], r"not deeper. Received some in .*Bob/2023/May. Move them up"),
        (["Ada_0001.jpg", "2023/May/1.heic"], r"not deeper. Received some in .*2023/May"),
        (["Ada/1.jpg", "Ada/2.HEIC"], r"Received: .*2.HEIC. Let `siamese-nn align` read"),
        (["Ada_0001.jpg", "Bob_0001.webp"], r"Received: .*Bob_0001.webp. Let `siamese-nn align`"),
        (["Ada/1.jpg", "Bob/notes.txt"], r"must hold photos. Received one without: .*Bob. Remove it"),
    ],
)
def test_photos_of_whom_it_is_not_clear_who_is_on_them_are_refused(tmp_path, places, message):
    fill(tmp_path, *places)
    with pytest.raises(ValueError, match=message):
        datasets.photos_by_identity(tmp_path)


def test_the_working_folder_is_one_as_any_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, "Ada_Ek_0001.jpg", "Ada_Ek_0002.jpg")
    assert datasets.photos_by_identity(".") == {"Ada_Ek": ["Ada_Ek_0001.jpg", "Ada_Ek_0002.jpg"]}


def test_a_person_may_be_called_as_a_camera_calls_photos(tmp_path):
    fill(tmp_path, "Sam_Torrance_0001.jpg", "Sam_Torrance_0002.jpg", "P_Ek_0001.jpg")
    assert sorted(datasets.photos_by_identity(tmp_path)) == ["P_Ek", "Sam_Torrance"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="image_dir"):
        datasets.photos_by_identity(tmp_path / "none")


def test_swapped_arguments_are_told_so(toy_dir):
    with pytest.raises(
        PairFileError, match=r"read_pairs\(pairs_file, image_dir\). Received: the folder .*lfw2"
    ):
        datasets.read_pairs(toy_dir / "lfw2", toy_dir / "pairsDevTrain.txt")


ODD = ("Ada Lovelace", " J. R. ", "Zoë", "李雷", "7", "a\u3000b", "\u2028", "Ann_Lee")


def made(tmp_path, people=ODD, files=("1.jpg", "7.PNG", "holiday at sea.jpeg")):
    fill(tmp_path / "people", *(f"{name}/{file}" for name in people for file in files))
    return tmp_path / "people", datasets.make_pairs(datasets.photos_by_identity(tmp_path / "people"))


def as_columns(pairs):
    return [column.tolist() for column in vars(pairs).values()]


def test_pairs_of_any_people_are_written_and_come_back(tmp_path):
    people, pairs = made(tmp_path)
    datasets.write_pairs(pairs, tmp_path / "pairs.txt")
    assert as_columns(datasets.read_pairs(tmp_path / "pairs.txt", people)) == as_columns(pairs)
    folds = [pairs[pairs.left_identities == name] for name in ODD]
    folds = [fold[np.argsort(-fold.same, kind="stable")[[0, -1]]] for fold in folds]
    datasets.write_pairs([fold for fold in folds if fold.same.tolist() == [1, 0]], tmp_path / "folds.txt")
    again = datasets.read_folds(tmp_path / "folds.txt", people)
    assert len(again) > 3 and all(
        as_columns(a) == as_columns(b)
        for a, b in zip(again, [fold for fold in folds if fold.same.tolist() == [1, 0]], strict=True)
    )


def test_photos_in_lfws_form_keep_their_numbers_and_one_that_is_not_names_all_by_file(tmp_path):
    files = ("Ada_0001.jpg", "Ada_0002.jpg")
    fill(tmp_path / "people", *(f"Ada/{file}" for file in files), "Bob/Bob_0001.jpg", "Bob/Bob_0002.png")
    pairs = datasets.make_pairs(datasets.photos_by_identity(tmp_path / "people"))
    datasets.write_pairs(pairs, tmp_path / "pairs.txt")
    assert (tmp_path / "pairs.txt").read_text().startswith("2\nAda\t1\t2\nBob\t1\t2\nAda\t")
    for others in (["Cy/Cy_0001.png", "Cy/Cy_0001.jpg"], ["Cy/Ada_0001.jpg"]):  # one number twice; another's
        fill(tmp_path / "people", *others)
        pairs = datasets.make_pairs(datasets.photos_by_identity(tmp_path / "people"))
        datasets.write_pairs(pairs, tmp_path / "pairs.txt")
        assert "\nAda\tAda_0001.jpg\tAda_0002.jpg\n" in (tmp_path / "pairs.txt").read_text()
        again = datasets.read_pairs(tmp_path / "pairs.txt", tmp_path / "people")
        assert as_columns(again) == as_columns(pairs)


FILES = "1\nAda Ek\t1.jpg\t2.jpg\nAda Ek\t1.jpg\tBob\tb.png\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FILES.replace("2.jpg", "2"), ":2: expected name, i, j"),
        (FILES.replace("b.png", "1"), ":3: all photos must be named by their files"),
        (FILES.replace("Bob", "../Bob"), ":3: all photos must be named by their files"),
        (FILES.replace("2.jpg", "/etc/2.jpg"), ":2: all photos must be named by their files"),
        (FILES.replace("Ada Ek", ".."), ":2: all photos must be named by their files"),
        (FILES.replace("\t", " "), ":2: expected name, i, j"),
        (FILES.replace("Bob\t", "Bob"), ":3: expected name, file, other name, file"),
        (FILES.replace("2.jpg", "1.jpg"), ":2: a photo paired with itself"),
        (FILES.replace("Bob\tb.png", "Ada Ek\t2.jpg"), ":3: one person on both sides"),
        (FILES.replace("b.png", "c.png"), r"1 of its photos(.|\n)*Bob/c.png \(line 3\)"),
    ],
)
def test_malformed_files_that_name_photos_by_file(tmp_path, text, message):
    fill(tmp_path / "people", "Ada Ek/1.jpg", "Ada Ek/2.jpg", "Bob/b.png")
    assert len(datasets.read_pairs(write(tmp_path, FILES), tmp_path / "people")) == 2
    with pytest.raises(PairFileError, match=message):
        datasets.read_pairs(write(tmp_path, text), tmp_path / "people")


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", "a\\b", "a\x85b", "a\udcffb"])
def test_a_name_that_a_line_cannot_hold_is_not_written(tmp_path, name):
    people = {person: [f"people/{person}/{file}" for file in ("1.jpg", "2.jpg")] for person in (name, "Bob")}
    pairs = datasets.make_pairs(people)
    with pytest.raises(ValueError, match="holds no slash, tab, line break or other control character"):
        datasets.write_pairs(pairs, tmp_path / "pairs.txt")
    assert not (tmp_path / "pairs.txt").exists()
    fill(tmp_path / "people", f"{name}/1.jpg", "Bob/1.jpg")
    with pytest.raises(ValueError, match="holds no backslash, tab, line break or other control character"):
        datasets.photos_by_identity(tmp_path / "people")


def test_lfws_own_folders_are_organised_by_numbers(tmp_path):
    fill(tmp_path / "lfw", "Ada Ek/1.jpg", "Ada Ek/2.jpg", "Bob/b.png")
    with pytest.raises(PairFileError, match="pairs.txt: LFW's pair files number their photos"):
        datasets.organize_lfw_a(
            tmp_path / "lfw",
            tmp_path / "organised",
            train_pairs=write(tmp_path, FILES),
            test_pairs=write(tmp_path, FILES),
        )
