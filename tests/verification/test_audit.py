"""`audit_people`, its CSV, its page and the command, over a made folder with all that can be wrong in it."""

import csv
import os
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from siamese_nn import cli, datasets, faces
from siamese_nn.verification import Embedding, audit
from siamese_nn.verification import verifier as verifier_module
from siamese_nn.verification.audit import audit_people
from siamese_nn.verification.audit_page import write_audit_page

pytestmark = pytest.mark.once

SIDE = 24


def flat(images):
    return images.reshape(len(images), 6, 4, 6, 4).mean(axis=(2, 4)).reshape(len(images), -1) - 128


EMBEDDING = Embedding(flat, (SIDE, SIDE), "pixels", 1)
# Its threshold was chosen on one of these people: an audit has no use for it.
VERIFIER = SimpleNamespace(embedding=EMBEDDING, seen_people=frozenset(["Person 00"]))


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """60 people with three photos each: a pattern of each person, and one of each photo."""
    folder, rng = tmp_path_factory.mktemp("audit") / "people", np.random.default_rng(0)
    for i in range(60):
        own = rng.normal(size=(6, 6))
        (folder / f"Person {i:02}").mkdir(parents=True)
        for number in range(3):
            pixels = np.kron(128 + 30 * (own + 0.5 * rng.normal(size=own.shape)), np.ones((4, 4)))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / f"Person {i:02}" / f"{number}.png")
    return folder


@pytest.fixture
def people(clean, tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "is_installed", lambda: False)
    return shutil.copytree(clean, tmp_path / "people")


def found(result, kind):
    return [(finding.photo, finding.other) for finding in result.findings if finding.kind == kind]


def snapshot(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_nothing_is_wrong_in_a_clean_folder_and_nothing_is_changed(people):
    before = snapshot(people)
    result = audit_people(people, VERIFIER)
    assert (result.findings, result.n_photos, len(result.people)) == ([], 180, 60)
    assert result.notes == [
        "Faces were not looked for: pip install 'siamese_nn[faces]'",
        "Where this verifier wants the faces is not known: photos are judged as they are",
    ]
    assert audit_people(people).notes[1].startswith("Photos of somebody else, and people under")
    assert snapshot(people) == before


def test_photos_that_are_there_twice_those_of_two_people_first(people):
    shutil.copy(people / "Person 05/1.png", people / "Person 05/copy.png")
    shutil.copy(people / "Person 03/0.png", people / "Person 09/3.png")
    with Image.open(people / "Person 07/2.png") as image:
        image.resize((40, 40), Image.Resampling.BICUBIC).save(people / "Person 08/large.jpg", quality=95)
    with Image.open(people / "Person 12/2.png") as image:
        image.resize((240, 240)).crop((8, 8, 232, 232)).save(people / "Person 12/cropped.jpg", quality=90)
    result = audit_people(people)
    twice = [("Person 03/0.png", "Person 09/3.png"), ("Person 05/1.png", "Person 05/copy.png")]
    assert found(result, "twice") == twice
    assert found(result, "nearly twice") == [
        ("Person 07/2.png", "Person 08/large.jpg"),
        ("Person 12/2.png", "Person 12/cropped.jpg"),
    ]
    reasons = [finding.reason for finding in result.findings]
    assert reasons[:2] == ["the same file, of two people", "the same file, of one person"]


def test_photos_of_somebody_else_and_people_under_two_names(people):
    (people / "Person 02/0.png").rename(people / "Person 11/away.png")
    (people / "Person 04 again").mkdir()
    (people / "Person 04/0.png").rename(people / "Person 04 again/0.png")
    result = audit_people(people, VERIFIER)
    assert found(result, "somebody else")[0] == ("Person 11/away.png", "Person 02")
    assert found(result, "one person")[0] == ("Person 04", "Person 04 again")
    scores = [finding.score for finding in result.findings if finding.kind == "somebody else"]
    assert scores == sorted(scores, reverse=True) and min(scores) > 0
    assert audit_people(people, VERIFIER).findings == result.findings


def test_names_that_are_written_alike_are_a_finding(people, tmp_path):
    (people / "Person 04").rename(people / "Zoë Müller")
    (people / "zoë müller").mkdir()
    (people / "Zoë Müller/0.png").rename(people / "zoë müller/0.png")
    for verifier in (None, VERIFIER):
        result = audit_people(people, verifier)
        assert found(result, "one person") == [("Zoë Müller", "zoë müller")]
        assert result.findings[-1].reason == "one name that is written in two ways"
    page = write_audit_page(result, tmp_path / "audit.html").read_text()
    assert "Zoë Müller" in page and "zoë müller" in page


def test_too_few_people_are_told_before_any_photo_is_looked_at(people, monkeypatch):
    for i in range(41):
        shutil.rmtree(people / f"Person {i:02}")
    monkeypatch.setattr(audit, "open_raw_photo", lambda path: 1 / 0)
    with pytest.raises(ValueError, match="at least 20 people must have two photos or more. Received: 19"):
        audit_people(people, VERIFIER)


def test_too_few_people_whose_photos_can_be_judged_leave_the_other_findings(people):
    for i in range(39):
        shutil.rmtree(people / f"Person {i:02}")
    for i in range(40, 60):
        (people / f"Person {i}/1.png").write_bytes(b"")
        (people / f"Person {i}/2.png").write_bytes(b"")
    result = audit_people(people, VERIFIER)
    assert len(found(result, "unreadable")) == 40
    assert result.notes[-1].endswith("Received: 1 with photos that can be judged")


def test_copies_do_not_vouch_for_a_wrong_photo(people):
    with Image.open(people / "Person 30/0.png") as wrong:
        for quality in (95, 90, 85):
            wrong.save(people / f"Person 31/{quality}.jpg", quality=quality)
    result = audit_people(people, VERIFIER)
    listed = [photo for photo, other in found(result, "somebody else") if other == "Person 30"]
    assert listed and all(photo.startswith("Person 31/") and photo.endswith(".jpg") for photo in listed)
    assert not [photo for photo, _ in found(result, "somebody else") if photo.startswith("Person 31/0")]


def test_a_stranger_is_nobody_here(people):
    rng = np.random.default_rng(5)
    pixels = np.kron(128 + 30 * rng.normal(size=(6, 6)), np.ones((4, 4))).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(people / "Person 40/stranger.png")
    (finding,) = (one for one in audit_people(people, VERIFIER).findings if "stranger" in one.photo)
    assert (finding.kind, finding.other) == ("somebody else", "")
    assert finding.reason == "more like nobody here than like Person 40"


def test_a_photo_that_the_network_cannot_judge_is_named_and_stops_nothing(people):
    Image.new("L", (SIDE, SIDE), 128).save(people / "Person 50/grey.png")  # a vector of zeros
    (people / "Person 51" / "notes.txt").write_text("no photo")
    (people / "Person 52" / "deeper").mkdir()
    result = audit_people(people, VERIFIER)
    assert found(result, "unreadable") == [("Person 50/grey.png", "")]
    assert found(result, "left out") == [("Person 51/notes.txt", ""), ("Person 52/deeper", "")]
    strict = Embedding(flat, (SIDE, SIDE), "pixels", 1, crop=(SIDE, SIDE), photo_size=(SIDE, SIDE))
    Image.new("L", (9, 40), 3).save(people / "Person 53/long.png")  # of another shape than its photos
    named = found(audit_people(people, SimpleNamespace(embedding=strict)), "unreadable")
    assert named == [("Person 50/grey.png", ""), ("Person 53/long.png", "")]


def test_what_cannot_be_read_is_named_and_the_rest_judged(people):
    whole = (people / "Person 00/0.png").read_bytes()
    (people / "Person 00/0.png").write_bytes(whole[: len(whole) // 2])
    (people / "Person 01/0.png").write_text("no photo")
    Image.new("L", (9, 9), 7).save(people / "Person 01/grey.png")  # of one colour
    result = audit_people(people)
    assert found(result, "unreadable") == [("Person 00/0.png", ""), ("Person 01/0.png", "")]
    assert all(str(people) in finding.reason for finding in result.findings)


def test_faces_are_counted_in_raw_photos(people, monkeypatch):
    face = faces.Face((0, 0, 5, 5), 1.0, np.array(faces.LFW_A.points))
    by_width = {SIDE: [face], 40: [], 50: [face, face]}
    monkeypatch.setattr(audit, "is_installed", lambda: True)
    monkeypatch.setattr(faces, "find", lambda photo, finder=None: by_width[photo.width])
    Image.new("L", (40, 40), 3).save(people / "Person 06/none.png")
    Image.new("L", (50, 50), 3).save(people / "Person 07/two.png")
    result = audit_people(people)
    assert found(result, "no face") == [("Person 06/none.png", "")]
    assert found(result, "several faces") == [("Person 07/two.png", "")]
    assert "Faces were not looked for" not in " ".join(result.notes)


def test_a_network_that_has_learnt_from_somebody_is_refused(people):
    known = SimpleNamespace(embedding=replace(EMBEDDING, trained_on=["person_07"]))
    with pytest.raises(datasets.IdentityLeakError, match="Received 1 of 60: Person 07. Take a run of other"):
        audit_people(people, known)
    (people / "empty").mkdir()
    with pytest.raises(ValueError, match="must be a folder with photos"):
        audit_people(people / "empty")


def test_hostile_names_are_text_in_the_table_and_on_the_page(people, tmp_path):
    (people / "Person 20").rename(people / "=HYPERLINK(1)")
    (people / "Person 21").rename(people / "<script>alert(1)<!--")
    shutil.copy(people / "=HYPERLINK(1)/0.png", people / "<script>alert(1)<!--/9.png")
    result = audit_people(people)
    result.write_csv(tmp_path / "audit.csv")
    with (tmp_path / "audit.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["kind"] == "twice" and "<script>alert(1)<!--/9.png" in (row["photo"], row["other"])
    assert "'=HYPERLINK(1)/0.png" in (row["photo"], row["other"])
    broken = os.fsdecode(os.fsencode(str(people)) + b"/Person 22/\xff.png")
    shutil.copy(people / "Person 22/0.png", broken)  # no UTF-8
    result = audit_people(people)
    result.write_csv(tmp_path / "audit.csv")
    page = write_audit_page(result, tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;!--/9.png" in page
    assert not re.search('(src|href)=(?!"data:)', page)


def test_the_command(people, tmp_path, monkeypatch, capsys, caplog):
    (people / "Person 02/0.png").rename(people / "Person 11/away.png")
    monkeypatch.setattr(verifier_module.Verifier, "load", lambda folder: VERIFIER)
    assert cli.main(["audit", str(people), "--run", "run", "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "somebody else: " in out and "180 photos of 60 people" in out and "nothing was changed" in out
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "Person 11/away.png" in page and (tmp_path / "out" / "audit.csv").exists()
    assert not caplog.messages
    (people / "Person 11/notes.txt").touch()
    for name in ("frame.json", "photos.csv", ".lock"):  # of `align_folder`
        (people / name).touch()
    assert cli.main(["audit", str(people), "--output", str(tmp_path / "out")]) == 0
    (message,) = caplog.messages  # told once
    assert message.endswith(": Person 11/notes.txt") and "left out: 1\n" in capsys.readouterr().out
    assert cli.main(["audit", str(people), "--output", str(people / "out")]) == 1
    assert "`--output` must lie outside of" in capsys.readouterr().err
