"""`measure_people` and `siamese-nn measure`: all pairs of other people, and by group, with its page."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from siamese_nn import Verifier, cli, datasets, evaluation
from siamese_nn.verification.measure import measure_people
from siamese_nn.verification.photos import PhotosWithoutFace


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 60 people, whose photos are never opened."""
    folder = tmp_path_factory.mktemp("people")
    for i in range(60):
        (folder / f"P<b> {i:02}").mkdir()
        for number in range(2):
            (folder / f"P<b> {i:02}" / f"{number}.jpg").touch()
    return folder


@pytest.fixture(scope="module")
def verifier():
    comparison = evaluation.Cosine()

    def embed(photos, *, align):
        people = [int(Path(photo).parent.name[-2:]) for photo in photos]
        rng = np.random.default_rng(0)
        return comparison.prepare(rng.normal(size=(60, 8))[people] + 0.6 * rng.normal(size=(len(photos), 8)))

    embedding = SimpleNamespace(frame=None)
    seen = frozenset(["Somebody Else"])
    return SimpleNamespace(
        embedding=embedding, comparison=comparison, embed=embed, threshold=0.6, seen_people=seen
    )


@pytest.fixture(scope="module")
def groups_file(folder):
    path = folder.parent / f"{folder.name}-groups.csv"
    lines = [f"{person.name},{int(person.name[-2:]) % 3}<i>" for person in sorted(folder.iterdir())]
    path.write_text("\n".join(["person,born", *lines, "Nobody Here,9"]), encoding="utf-8")
    return path


def test_it_is_what_evaluation_says_of_the_embeddings(folder, verifier, groups_file):
    report, by_group = measure_people(verifier, folder, groups_file=groups_file)
    photos = sorted(folder.rglob("*.jpg"))
    embeddings, people = verifier.embed(photos, align=False), [photo.parent.name for photo in photos]
    expected = evaluation.all_pairs(embeddings, people)
    assert report.fnmr_at_fmr["0.1"].estimate == pytest.approx(expected.fnmr_at_fmr["0.1"].estimate)
    groups = evaluation.read_groups(groups_file)
    again = evaluation.rates_by_group(embeddings, people, groups, threshold=0.6)
    assert [rates.groups for rates in by_group.rates] == [rates.groups for rates in again.rates]
    assert by_group.everybody.fmr.estimate == pytest.approx(again.everybody.fmr.estimate)
    assert measure_people(verifier, folder)[1] is None


def test_people_whom_the_training_has_seen_are_refused(folder, verifier):
    seen = SimpleNamespace(**{**vars(verifier), "seen_people": frozenset(["p b 07"])})
    with pytest.raises(datasets.IdentityLeakError, match="1 of 60 whom it has: P<b> 07. Leave them out"):
        measure_people(seen, folder)


def test_nobody_is_left_out_in_silence(folder, verifier, tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("person,group\nP<b> 00,a\n")
    with pytest.raises(ValueError, match=r"groups.csv must hold everybody.* 59 of 60.* and 54 more"):
        measure_people(verifier, folder, groups_file=path)
    (tmp_path / "people" / "Ada").mkdir(parents=True)
    (tmp_path / "people" / "Bob").mkdir()
    (tmp_path / "people" / "Bob" / "1.jpg").touch()
    with pytest.raises(ValueError, match="a photo of each person. Received: none of Ada"):
        measure_people(verifier, tmp_path / "people")


def test_photos_that_cannot_be_used_are_left_out_and_named(folder, verifier, caplog):
    bad = [str(folder / "P<b> 07" / "0.jpg"), str(folder / "P<b> 09" / "1.jpg")]

    def embed(photos, *, align):
        found = [photo for photo in photos if photo in bad]
        if found:
            raise PhotosWithoutFace("", found, [f"{photo}: no face was found" for photo in found])
        return verifier.embed(photos, align=align)

    report, _ = measure_people(SimpleNamespace(**{**vars(verifier), "embed": embed}), folder)
    assert (report.n_photos, report.n_people, report.n_people_twice) == (118, 60, 58)
    assert caplog.messages == [f"left out: {photo}: no face was found" for photo in bad]


def test_names_of_groups_are_compared_as_elsewhere(folder, verifier, groups_file, tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text(groups_file.read_text().replace("P<b> 0", "p_(B)_0"), encoding="utf-8")
    found, wanted = (measure_people(verifier, folder, groups_file=file)[1] for file in (path, groups_file))
    assert found == wanted
    path.write_text(path.read_text() + "\np b 00,another\n", encoding="utf-8")  # whose group is it?
    with pytest.raises(ValueError, match="no group of 1 of 60 people: P<b> 00"):
        measure_people(verifier, folder, groups_file=path)


def test_the_command_and_its_page(folder, verifier, groups_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Verifier, "load", lambda run_dir: verifier)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["measure", "run", str(folder)]) == 0
    assert "FNMR at FMR 0.1" in capsys.readouterr().out and not list(tmp_path.iterdir())
    assert cli.main(["measure", "run", str(folder), "--groups", str(groups_file)]) == 0
    out = capsys.readouterr().out
    assert "0<i> / 1<i>" in out and out.rstrip().endswith("groups.html")
    page = (tmp_path / "groups.html").read_text(encoding="utf-8")
    assert "0&lt;i&gt;" in page and "<i>" not in page and "http" not in page.replace("http-equiv", "")
    words = ["measure", "run", str(folder), "--groups", str(groups_file), "--column", "born"]
    assert cli.main([*words, "--json", "--output", "own.html"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["groups"]["threshold"] == 0.6 and (tmp_path / "own.html").exists()
    assert found["all_pairs"]["n_people"] == 60
    assert cli.main(["measure", "run", str(folder), "--output", "own.html"]) == 1
    assert "need `--groups`" in capsys.readouterr().err
