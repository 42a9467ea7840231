import csv
import logging
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from siamese_nn import cli, faces
from siamese_nn.datasets import align_folder, aligned_folder

POINTS = np.array(faces.LFW_A.points)


def finder(pixels):
    """A face where the middle is bright; two of them where it is brightest."""
    height, width = pixels.shape[:2]
    level = int(pixels[height // 2, width // 2, 0])
    one = faces.Face(
        (width * 0.3, height * 0.3, width * 0.7, height * 0.7), 1.0, POINTS * 0.4 + [width * 0.2, 0]
    )
    return [one] * (0 if level < 50 else 1 if level < 200 else 2)


@pytest.fixture
def people(tmp_path):
    source = tmp_path / "people"
    for name, level in (("Ada Lovelace/a.jpg", 100), ("Ada Lovelace/b.png", 250), ("Bo/dark.jpg", 0)):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (120, 100), (level,) * 3).save(source / name)
    (source / "Bo" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (source / "Bo" / "notes.txt").write_text("no photo")
    return source


def test_each_photo_is_aligned_or_listed_with_its_reason(people, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        rows = align_folder(people, tmp_path / "out", finder=finder)
    assert [(row["photo"], row["result"], row["faces"]) for row in rows] == [
        ("Ada Lovelace/a.jpg", "aligned", "1"),
        ("Ada Lovelace/b.png", "aligned", "2"),
        ("Bo/dark.jpg", "no face", "0"),
        ("Bo/notes.txt", "left out", ""),
        ("Bo/torn.jpg", "unreadable", ""),
    ]
    assert "several faces" in rows[1]["reason"] and all(row["reason"] for row in rows[1:])
    assert rows[3]["reason"] == "no photo, by its ending .txt" and "no photo is left of Bo" in caplog.text
    with (tmp_path / "out" / "photos.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == rows
    found = sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.jpg")
    )
    assert found == ["Ada Lovelace/a.jpg", "Ada Lovelace/b.png.jpg"]
    assert Image.open(tmp_path / "out" / found[0]).size == (250, 250)


def test_the_same_call_takes_up_only_what_is_new_or_changed(people, tmp_path):
    seen = []

    def counted(pixels):
        seen.append(pixels.shape)
        return finder(pixels)

    align_folder(people, tmp_path / "out", finder=counted)
    seen.clear()
    before = (tmp_path / "out/photos.csv").read_bytes()
    align_folder(people, tmp_path / "out", finder=counted)
    assert not seen and (tmp_path / "out/photos.csv").read_bytes() == before
    Image.new("RGB", (90, 90)).save(
        people / "Ada Lovelace/a.jpg"
    )  # dark now: what was aligned is another photo's
    (people / "Ada Lovelace/b.png").unlink()
    rows = align_folder(people, tmp_path / "out", finder=counted)
    assert len(seen) == 1 and not [entry for entry in (tmp_path / "out").iterdir() if entry.is_dir()]
    assert [row["result"] for row in rows] == ["no face", "no face", "left out", "unreadable"]


def test_no_name_is_taken_for_a_formula_and_each_is_read_back(people, tmp_path):
    (people / "Ada Lovelace").rename(people / "=1+1")
    first = align_folder(people, tmp_path / "out", finder=finder)
    assert "\n'=1+1/a.jpg," in (tmp_path / "out/photos.csv").read_text()
    again = align_folder(people, tmp_path / "out", finder=lambda pixels: pytest.fail("it is aligned already"))
    assert again == first and (tmp_path / "out/=1+1/a.jpg").exists()


def test_a_kill_loses_at_most_the_photo_at_which_it_was(people, tmp_path):
    class KilledError(Exception):
        pass

    calls = []

    def killed(pixels):
        if pixels.max() > 200:  # the second photo
            raise KilledError
        return finder(pixels)

    with pytest.raises(KilledError):
        align_folder(people, tmp_path / "out", finder=killed)
    with (tmp_path / "out/photos.csv").open("a") as file:
        file.write("Bo/dark.jpg,half a li")  # of the one that was being written
    rows = align_folder(people, tmp_path / "out", finder=lambda pixels: calls.append(1) or finder(pixels))
    assert len(calls) == 2 and [row["result"] for row in rows] == [
        "aligned",
        "aligned",
        "no face",
        "left out",
        "unreadable",
    ]


def test_after_a_kill_no_further_photo_is_begun(tmp_path):
    (tmp_path / "people").mkdir()
    for i in range(200):
        Image.new("RGB", (30, 30)).save(tmp_path / "people" / f"{i:03d}.png")
    seen = []

    def killed(pixels):
        seen.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align_folder(tmp_path / "people", tmp_path / "out", finder=killed)
    assert len(seen) < 200


def test_a_finder_is_called_by_one_thread_at_a_time(people, tmp_path):
    inside = []

    def alone(pixels):
        assert not inside
        inside.append(1)
        time.sleep(0.02)
        return inside.clear() or finder(pixels)

    rows = align_folder(people, tmp_path / "out", finder=alone)
    assert [row["result"] for row in rows].count("aligned") == 2


def test_another_choice_or_folder_is_refused(people, tmp_path):
    align_folder(people, tmp_path / "out", finder=finder)
    with pytest.raises(ValueError, match="was aligned with face='middle'. Received: face='largest'"):
        align_folder(people, tmp_path / "out", face="largest", finder=finder)
    held = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("out/*/*"))
    shutil.copytree(people / "Ada Lovelace", tmp_path / "else" / "Somebody Else")
    with pytest.raises(ValueError, match="was aligned from other photos: . of its . are not in .*else: A"):
        align_folder(tmp_path / "else", tmp_path / "out", finder=finder)
    assert held == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("out/*/*")) != []
    with pytest.raises(ValueError, match="must be a new folder, or one of aligned photos"):
        align_folder(people, tmp_path, finder=finder)
    with pytest.raises(ValueError, match="must not be in that of the photos"):
        align_folder(people, people / "out", finder=finder)
    with pytest.raises(FileNotFoundError, match="must be a folder with photos"):
        align_folder(tmp_path / "nowhere", tmp_path / "other", finder=finder)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OSError, match="notes.txt must be a folder. Received: a file"):
        align_folder(people, tmp_path / "notes.txt", finder=finder)
    with pytest.raises(ValueError, match="`face` must be one of"):
        align_folder(people, tmp_path / "other", face="all", finder=finder)
    Image.new("L", (9, 9)).save(people / "Ada Lovelace/b.png.jpg")
    with pytest.raises(ValueError, match=r"two photos would both become Ada Lovelace/b\.png\.jpg"):
        align_folder(people, tmp_path / "other", finder=finder)


def test_the_command_says_what_became_of_which_photo(people, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(aligned_folder.faces.alignment, "find", lambda photo, finder=None: [])
    monkeypatch.setattr(aligned_folder.faces, "find", lambda photo, finder=None: [])
    assert cli.main(["align", str(people), str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "Bo/dark.jpg: no face: No face was found" in said.out
    assert "of 4 photos none could be aligned" in said.err


def test_a_damaged_aligned_photo_is_made_again(people, tmp_path):
    align_folder(people, tmp_path / "out", finder=finder)
    aligned = tmp_path / "out/Ada Lovelace/a.jpg"
    whole = aligned.read_bytes()
    aligned.write_bytes(whole[:300])
    align_folder(people, tmp_path / "out", finder=finder)
    assert aligned.read_bytes() == whole


def test_names_that_no_training_takes_are_refused_before_faces_are_looked_for(people, tmp_path):
    Image.new("L", (9, 9)).save(people / "Ada Lovelace/c.png")
    for name, message in (("ada lovelace", "Two people must have two names"), ("Bo\\x", "no backslash")):
        (people / name).mkdir()
        with pytest.raises(ValueError, match=message):
            align_folder(people, tmp_path / "out", finder=lambda pixels: 1 / 0)
        (people / name).rmdir()


@pytest.mark.parametrize("line", ["../people/Bo/dark.jpg,,no face,,,\n", "a,b\n"])
def test_a_list_that_leads_out_of_the_folder_or_is_no_list_is_refused(people, tmp_path, line):
    align_folder(people, tmp_path / "out", finder=finder)
    with (tmp_path / "out/photos.csv").open("a") as file:
        file.write(line)
    with pytest.raises(ValueError, match=r"photos\.csv is damaged"):
        align_folder(people, tmp_path / "out", finder=finder)
    assert (people / "Bo/dark.jpg").exists()
