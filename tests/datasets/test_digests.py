import json
import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from siamese_nn import datasets
from siamese_nn.datasets import ImageError, Pairs
from siamese_nn.datasets.digests import pairs_digest, people_digest

pytestmark = pytest.mark.once

PEOPLE = {"Ada": ["Ada/1.png", "Ada/2.png"], "Bob": ["Bob/1.png", "Bob/2.png"]}


@pytest.fixture
def folder(tmp_path):
    for i, place in enumerate(path for own in PEOPLE.values() for path in own):
        path = tmp_path / "people" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 50 + i).save(path)
    return tmp_path / "people"


def people_in(folder):
    return {name: [str(folder / place) for place in own] for name, own in PEOPLE.items()}


def pairs_in(folder):
    ada, bob = people_in(folder).values()
    names = ["Ada", "Bob", "Ada"]
    return Pairs([ada[0], bob[0], ada[0]], [ada[1], bob[1], bob[0]], [1, 1, 0], names, ["Ada", "Bob", "Bob"])


def digests(folder):
    return people_digest(people_in(folder)), pairs_digest(pairs_in(folder))


def test_the_place_of_the_folder_makes_no_difference(folder, tmp_path, monkeypatch):
    expected = digests(folder)
    shutil.copytree(folder, tmp_path / "elsewhere" / "again")
    assert digests(tmp_path / "elsewhere" / "again") == expected
    monkeypatch.chdir(folder.parent)
    assert digests(folder.relative_to(folder.parent)) == expected
    mirrored = {name: own[::-1] for name, own in reversed(people_in(folder).items())}
    assert people_digest(mirrored) == expected[0]


def test_other_content_under_the_same_name_makes_one(folder):
    expected = digests(folder)
    path = folder / "Ada/1.png"
    size, facts = path.stat().st_size, path.stat()
    time.sleep(0.02)  # a file system's clock may be as coarse as that
    Image.new("L", (8, 8), 77).save(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert path.stat().st_size == size
    assert all(new != old for new, old in zip(digests(folder), expected, strict=True))


def test_other_people_under_the_same_names_of_files_make_one(folder):
    """Before, a photo counted by its base name."""
    expected = people_digest(people_in(folder))
    own = people_in(folder)
    assert people_digest({"Ada": own["Bob"], "Bob": own["Ada"]}) != expected
    assert people_digest({"Cyd": own["Ada"], "Bob": own["Bob"]}) != expected
    pairs = pairs_in(folder)
    renamed = Pairs(pairs.left, pairs.right, pairs.same, ["Cyd", "Bob", "Cyd"], ["Cyd", "Bob", "Bob"])
    assert pairs_digest(renamed) != pairs_digest(pairs)
    (folder / "Ada").rename(folder / "0")
    (folder / "Bob").rename(folder / "Ada")
    (folder / "0").rename(folder / "Bob")
    assert people_digest(people_in(folder)) != expected


def test_labels_and_order_of_pairs_count(folder):
    pairs = pairs_in(folder)
    found = {pairs_digest(pairs[order]) for order in ([0, 1, 2], [1, 0, 2], [0, 1])}
    assert len(found) == 3


def test_a_photo_that_is_missing_or_of_two_people_is_named(folder):
    own, pairs = people_in(folder), pairs_in(folder)
    with pytest.raises(ValueError, match=r"given once. Received .*1.png for Ada and again for Bob"):
        people_digest(own | {"Bob": [*own["Bob"], own["Ada"][0]]})
    with pytest.raises(ValueError, match=r"given once. Received .*1.png for Ada and again for Ada"):
        people_digest({"Ada": [*own["Ada"], own["Ada"][0]]})
    with pytest.raises(ValueError, match=r"of one person. Received .*1.png as one of Ada and of Cyd"):
        pairs_digest(pairs + Pairs([own["Ada"][0]], [own["Bob"][0]], [0], ["Cyd"], ["Bob"]))
    (folder / "Ada/2.png").unlink()
    for digest, data in ((people_digest, own), (pairs_digest, pairs)):
        with pytest.raises(ImageError, match="2.png: no such image"):
            digest(data)


@pytest.mark.filterwarnings("ignore::siamese_nn.datasets.IdentityLeakWarning")
@pytest.mark.parametrize("name", ["1.1-as-run-report-0", "2.1-256-identities-1"])
def test_the_runs_that_are_kept_are_of_the_real_photos(lfw_a_dir, name):
    """Or a sweep would take them for the runs of other data."""
    kept = Path(__file__).parents[2] / "docs" / "report_runs" / name / "recipe.json"
    held = json.loads(kept.read_text(encoding="utf-8"))
    pairs, test = datasets.load_lfw_a(lfw_a_dir)
    train, val = datasets.split_by_letter(pairs)
    if held["recipe"]["split"] == "identities":
        train, val = datasets.split_identities(pairs, seed=held["recipe"]["seed"], exclude=test)
    digests = {set_: held["data"][set_]["sha256"] for set_ in ("train", "validation", "test")}
    assert digests == {
        "train": pairs_digest(train),
        "validation": pairs_digest(val),
        "test": pairs_digest(test),
    }
