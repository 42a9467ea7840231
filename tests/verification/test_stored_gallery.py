import json
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import unicodedata
import zlib

import numpy as np
import pytest

from siamese_nn.evaluation.comparison import Cosine, Euclidean
from siamese_nn.verification.gallery import Gallery
from siamese_nn.verification.stored_gallery import LOG, GalleryInUse, StoredGallery

pytestmark = pytest.mark.once

# The gallery's own modules, without the package that imports TensorFlow: such a process starts at once.
ALONE = """
    import importlib, sys, types
    from pathlib import Path
    package = Path(sys.argv[1])
    for name in ("", ".evaluation", ".verification"):
        module = types.ModuleType("siamese_nn" + name)
        module.__path__ = [str(package.joinpath(*name.split(".")))]
        sys.modules[module.__name__] = module
    from siamese_nn.verification.gallery import Gallery
    from siamese_nn.verification.stored_gallery import StoredGallery
    import numpy as np
"""
ADDING = (
    ALONE
    + """
    stored = StoredGallery(sys.argv[2])
    for i in range(int(sys.argv[3]), 10**6):
        stored.add(Gallery(np.full(3, f"person {i}"), np.full((3, 4), i, np.float32), "m"))
        if i % 7 == 0:
            stored.remove(f"person {i - 3}") if f"person {i - 3}" in stored.view().counts() else None
        if i % 11 == 0:
            stored.compact()
        print(i, flush=True)
"""
)


def made(names, value=1.0, model="m", size=4):
    return Gallery(np.array(names), np.full((len(names), size), value, np.float32), model)


def started(code, *words):
    package = os.path.dirname(sys.modules["siamese_nn"].__file__)
    command = [sys.executable, "-c", textwrap.dedent(code), package, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def content(stored):
    """Each person's vectors, sorted, by the view's own rows."""
    view = stored._refresh().view
    rows = [
        (view.people[owner], row.tolist())
        for owner, row in zip(view.owners, view.embeddings, strict=True)
        if owner >= 0
    ]
    return sorted(rows)


def test_random_changes_leave_what_a_dict_holds(tmp_path):
    draw = random.Random(0)
    for trial in range(3):
        folder, names = tmp_path / str(trial), ["Ada", "Bo", "José", "李", "a b", "\udcff"]
        stored = StoredGallery.create(folder, made(["Ada"], 0.0))
        reader, model = StoredGallery(folder), {"Ada": [[0.0] * 4]}
        for step in range(1, 40):
            what = draw.choice(["add", "add", "remove", "open", "compact"])
            if what == "add":
                some = draw.choices(names, k=draw.randint(1, 4))
                stored.add(made(some, float(step)))
                for name in some:
                    model.setdefault(name, []).append([float(step)] * 4)
            elif what == "remove" and model:
                name = draw.choice(sorted(model))
                stored.remove(name)
                del model[name]
            elif what == "open":
                stored = StoredGallery(folder)
            elif what == "compact":
                stored.compact()
                assert len(list(folder.glob("vectors-*"))) == 1
                assert next(folder.glob("vectors-*")).stat().st_size == 16 * sum(map(len, model.values()))
            expected = sorted((name, row) for name, rows in model.items() for row in rows)
            assert content(stored) == content(reader) == expected


def test_a_photo_that_its_person_has_already_is_left_out(tmp_path, caplog):
    vectors = Cosine().prepare(np.random.default_rng(0).normal(size=(4, 8)))
    first = Gallery(np.array(["Ada", "Ada", "Bo"]), vectors[:3], "m")
    stored = StoredGallery.create(tmp_path / "door", first)
    again = Gallery(np.array(["Ada", "Bo", "Bo", "Cy"]), vectors[[1, 2, 3, 1]] * np.float32(1 + 1e-6), "m")
    assert stored.add(again) == {"Bo": 1, "Cy": 1}  # somebody else's photo is no reason
    assert "has 2 of these 4 photos already" in caplog.text
    assert stored.add(first) == {} and stored.view().counts() == {"Ada": 2, "Bo": 2, "Cy": 1}
    stored.remove("Ada")
    assert stored.add(first) == {"Ada": 2}


def test_people_are_found_as_in_a_gallery_of_the_same(tmp_path):
    rng = np.random.default_rng(0)
    vectors = Cosine().prepare(rng.normal(size=(600, 8)))
    names = np.array([f"person {i}" for i in rng.integers(0, 90, 600)])
    stored = StoredGallery.create(tmp_path / "door", Gallery(names[:200], vectors[:200], "m"))
    stored.add(Gallery(names[200:], vectors[200:], "m"))
    gone = sorted(set(names))[::3]
    stored.remove(gone)
    left = ~np.isin(names, gone)
    view, whole = stored.view(), Gallery(names[left], vectors[left], "m")
    assert len(view) == len(whole) and view.counts() == whole.counts()
    queries = np.concatenate([vectors[~left][:20], vectors[left][:20]])
    for k in (1, 4):
        for ours, theirs in zip(
            view.nearest(Cosine(), queries, k), whole.nearest(Cosine(), queries, k), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def indexed(tmp_path):
    """A gallery with an index of 1,800 photos; its vectors, and their names."""
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    who = rng.integers(0, 500, 2000)
    vectors = Cosine().prepare(rng.normal(size=(500, 32))[who] + 0.5 * rng.normal(size=(2000, 32)))
    names = np.array([f"person {i}" for i in who])
    stored = StoredGallery.create(tmp_path / "door", Gallery(names[:1800], vectors[:1800], "m"))
    with pytest.raises(FileNotFoundError, match=r"door has no index"):
        StoredGallery(stored.folder, index="faiss")
    assert 0.94 < stored.make_index() <= 1
    return stored, vectors, names


def test_an_index_finds_nearly_what_the_exact_search_does(indexed):
    stored, vectors, names = indexed
    stored.add(Gallery(names[1800:], vectors[1800:], "m"))
    stored.remove(sorted(set(names))[::3])
    by_index, queries = StoredGallery(stored.folder, index="faiss"), vectors[::7]  # a third of strangers
    for k in (1, 3):
        approximate = by_index.view().nearest(Cosine(), queries, k)
        exact = stored.view().nearest(Cosine(), queries, k)
        assert approximate[0].shape == exact[0].shape
        assert (approximate[0][:, 0] == exact[0][:, 0]).mean() > 0.9
        off = np.abs(approximate[1][:, 0] - exact[1][:, 0])
        assert (off < 1e-6).mean() > 0.9  # the scores are exact, though the index holds 8 bits a number
    gone = set(names) - set(stored.view().counts())
    assert not gone & set(approximate[0].ravel().tolist())
    few = sum(sorted(stored.view().counts().values())[-199:]) + 1  # more photos than the lists it looks into
    for ours, theirs in zip(
        by_index.view().nearest(Cosine(), queries[:5], 200),
        stored.view().nearest(Cosine(), queries[:5], 200),
        strict=True,
    ):
        assert ours.shape == (5, few)
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=r"`index` must be None for a verifier that .* Euclidean"):
        by_index.view().nearest(Euclidean(), queries, 1)
    exact = stored.view().nearest(Cosine(), queries, 1)
    stored.compact()
    np.testing.assert_array_equal(by_index.view().nearest(Cosine(), queries, 1)[0][:, 0], exact[0][:, 0])


def test_an_index_looks_as_far_as_its_recall_asks(tmp_path, capfd):
    pytest.importorskip("faiss")
    spread = Cosine().prepare(np.random.default_rng(0).normal(size=(3000, 64)))  # no two are near each other
    for n, least in ((3000, 0.94), (50, 0.9), (2, 1), (1, 1)):
        names = np.array([f"person {i}" for i in range(n)])
        stored = StoredGallery.create(tmp_path / str(n), Gallery(names, spread[:n], "m"))
        assert least <= stored.make_index() <= 1
        found, _ = StoredGallery(stored.folder, index="faiss").view().nearest(Cosine(), spread[:n], 1)
        assert (found[:, 0] == names).mean() >= least
    stored.remove("person 0")
    with pytest.raises(ValueError, match=r"1 holds nobody: all were removed"):
        stored.make_index()
    assert capfd.readouterr() == ("", "")  # faiss has words of its own for too few photos


def test_an_index_that_does_not_fit_is_refused(indexed, tmp_path):
    stored, vectors, names = indexed
    folder, index = stored.folder, stored.folder / "index.faiss"
    kept = {path: path.read_bytes() for path in (index, folder / "index.json")}
    stored.remove(names[0])
    stored.compact()
    assert not list(folder.glob("index.*"))  # it holds the vectors of those who were removed
    for path, content_before in kept.items():  # as Windows leaves them, where another process reads
        path.write_bytes(content_before)
    with pytest.raises(ValueError, match=r"older than the gallery, which was compacted"):
        StoredGallery(folder, index="faiss")
    earlier = {path: path.read_bytes() for path in (folder / LOG, *folder.glob("vectors-*"))}
    stored.add(Gallery(names[:1], vectors[:1], "m"))
    stored.make_index()
    for path, content_before in earlier.items():
        path.write_bytes(content_before)
    with pytest.raises(ValueError, match=r"index.faiss is newer than the gallery"):
        StoredGallery(folder, index="faiss")
    (folder / "index.usearch").write_bytes(b"of an earlier version")
    stored.make_index()
    assert sorted(path.name for path in folder.glob("index.*")) == ["index.faiss", "index.json"]
    whole = index.read_bytes()
    for harmed in (whole[:900] + bytes([whole[900] ^ 1]) + whole[901:], whole[:-1], b""):
        index.write_bytes(harmed)
        with pytest.raises(ValueError, match=r"index.faiss is damaged.* Make it anew"):
            StoredGallery(folder, index="faiss")
    later, facts = b"a later faiss", folder / "index.json"
    index.write_bytes(later)
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"crc32": zlib.crc32(later)}))
    with pytest.raises(ValueError, match=r"index.faiss is of another version of faiss .* Make it anew"):
        StoredGallery(folder, index="faiss")
    index.rename(folder / "index.usearch")
    with pytest.raises(FileNotFoundError, match=r"door has no index. Make it anew"):
        StoredGallery(folder, index="faiss")
    for other in ("usearch", "other"):
        with pytest.raises(ValueError, match=r"`index` must be None or one of \('faiss',\)"):
            StoredGallery(folder, index=other)
    unequal = StoredGallery.create(tmp_path / "other", made(["Ada", "Bo"]))
    with pytest.raises(ValueError, match=r"An index is for vectors of length 1"):
        unequal.make_index()


def test_a_full_disk_leaves_the_index_that_was_there(indexed):
    resource = pytest.importorskip("resource")
    stored = indexed[0]
    index, (soft, hard) = stored.folder / "index.faiss", resource.getrlimit(resource.RLIMIT_FSIZE)
    before = index.read_bytes()
    for most in (0, 5000, len(before) - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            with pytest.raises(OSError, match=r"door cannot be written \(File too large\)"):
                stored.make_index()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert index.read_bytes() == before
        assert StoredGallery(stored.folder, index="faiss").view().index is not None


def test_names(tmp_path):
    stored = StoredGallery.create(tmp_path / "door", made(["José", "Ada Lovelace"]))
    stored.add(made([unicodedata.normalize("NFD", "José")], 2.0))
    assert stored.view().counts() == {"José": 2, "Ada Lovelace": 1}
    with pytest.raises(ValueError, match=r"Received: 'Ada Lovelac'. Did you mean 'Ada Lovelace'\?"):
        stored.remove(["José", "Ada Lovelac"])
    assert len(stored.view()) == 3  # all or none
    with pytest.raises(ValueError, match=r"Received: '  '"):
        stored.add(made(["  "]))
    stored.remove(["José", "Ada Lovelace"])
    with pytest.raises(ValueError, match=r"door holds nobody"):
        stored.view()
    stored.compact()
    stored.add(made(["Bo"]))
    assert StoredGallery(tmp_path / "door").view().counts() == {"Bo": 1}


def test_what_does_not_fit_is_refused(tmp_path):
    stored = StoredGallery.create(tmp_path / "door", made(["Ada"]))
    for other in (made(["Bo"], model="n"), made(["Bo"], size=5)):
        with pytest.raises(ValueError, match=r"must be of the model that .*door was made with"):
            stored.add(other)
    with pytest.raises(ValueError, match=r"`folder` must be a new folder"):
        StoredGallery.create(tmp_path / "door", made(["Bo"]))
    with pytest.raises(ValueError, match=r"make it with `verifier.gallery\(people\)`. Received: dict"):
        stored.add({"Bo": 1})
    with pytest.raises(FileNotFoundError, match=r"nowhere is no gallery"):
        StoredGallery(tmp_path / "nowhere")
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in (tmp_path / "door").glob("[!.]*"))


def test_a_torn_end_is_cut_off_at_the_next_writing(tmp_path, caplog):
    stored = StoredGallery.create(tmp_path / "door", made(["Ada"]))
    log = tmp_path / "door" / LOG
    whole = log.read_bytes()
    stored.add(made(["Bo"]))
    line = log.read_bytes()[len(whole) :]
    for cut in range(len(line) + 1):  # the whole line, too, was never said to be stored without its head
        log.write_bytes(whole + line[:cut])
        again = StoredGallery(tmp_path / "door")
        assert again.view().counts() == {"Ada": 1}
        caplog.clear()
        again.add(made(["Cy"], 2.0))
        assert content(StoredGallery(tmp_path / "door")) == [("Ada", [1.0] * 4), ("Cy", [2.0] * 4)]
        assert bool(cut) == (f"cut off {cut} bytes" in caplog.text)


def test_a_changed_byte_and_a_cut_are_refused(tmp_path):
    stored = StoredGallery.create(tmp_path / "door", made(["Ada", "Bo"]))
    stored.add(made(["Cy"], 2.0))
    stored.remove("Bo")
    vectors = next((tmp_path / "door").glob("vectors-*"))
    for path in (tmp_path / "door" / LOG, vectors):
        whole = path.read_bytes()
        harmed = [whole[:place] for place in range(len(whole))]  # at a line's end, too: Bo would be back
        for change in (0x01, 0x80, 0xFF):
            harmed += [whole[:i] + bytes([whole[i] ^ change]) + whole[i + 1 :] for i in range(len(whole))]
        for damage in harmed:
            path.write_bytes(damage)
            with pytest.raises(ValueError, match=rf"{path.name} is damaged .* Take the folder from a copy"):
                StoredGallery(tmp_path / "door")
        path.write_bytes(whole)


def test_files_of_another_gallery_and_missing_ones_are_refused(tmp_path):
    ours = StoredGallery.create(tmp_path / "door", made(["Ada", "Bo"]))
    theirs = StoredGallery.create(tmp_path / "other", made(["Cy", "Di"], 2.0))
    ours.remove("Bo")
    theirs.remove("Di")
    log, vectors = tmp_path / "door" / LOG, next((tmp_path / "door").glob("vectors-*"))
    other_log, other_vectors = tmp_path / "other" / LOG, next((tmp_path / "other").glob("vectors-*"))
    head, *lines = log.read_bytes().splitlines(keepends=True)
    other_head = other_log.read_bytes().splitlines(keepends=True)[0]
    harms = {
        "is missing": lambda: vectors.unlink(),
        "rows 0 to 1 have changed": lambda: vectors.write_bytes(other_vectors.read_bytes()),
        f"{other_vectors.name} is damaged .it is missing": lambda: log.write_bytes(other_log.read_bytes()),
        "its first line has changed": lambda: log.write_bytes(b"".join(lines)),
        "it has changed": lambda: log.write_bytes(b"".join([head, *lines[:2], lines[1], lines[2]])),
        "log is damaged": lambda: log.write_bytes(b"".join([other_head, *lines])),
        "cut short": lambda: log.write_bytes(b"".join([head, *lines[:2]])),
        "has format 1, and this version reads 2": lambda: log.write_bytes(b'00000000 {"format": 1}\n'),
        "door is no gallery": lambda: log.unlink(),
    }
    for words, harm in harms.items():
        whole = log.read_bytes(), vectors.read_bytes()
        harm()
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            StoredGallery(tmp_path / "door")
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            ours.view()  # which has read the beginning before
        log.write_bytes(whole[0])
        vectors.write_bytes(whole[1])
    log.write_bytes(log.read_bytes() + lines[1])  # behind the head: as a killed process leaves it
    assert StoredGallery(tmp_path / "door").view().counts() == {"Ada": 1}


def test_a_full_disk_leaves_what_was_there(tmp_path):
    resource = pytest.importorskip("resource")
    folder = tmp_path / "door"
    stored = StoredGallery.create(folder, made(["Ada"] * 50 + ["Bo"]))
    before, (soft, hard) = content(stored), resource.getrlimit(resource.RLIMIT_FSIZE)
    vectors = next(folder.glob("vectors-*")).stat().st_size
    for change, most in (
        (lambda: stored.add(made(["Cy"] * 99)), vectors + 8),
        (lambda: stored.remove("Bo"), (folder / LOG).stat().st_size + 5),
        (stored.compact, vectors - 8),
    ):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            with pytest.raises(OSError, match=r"door cannot be written \(File too large\)\. What it held"):
                change()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert content(stored) == content(StoredGallery(folder)) == before
        assert len(list(folder.glob("vectors-*"))) == 1
    stored.remove("Bo")
    assert StoredGallery(folder).view().counts() == {"Ada": 50}


def test_one_process_writes_and_two_read(tmp_path):
    StoredGallery.create(tmp_path / "door", made(["first"], 0.0))
    writer = started(ADDING, tmp_path / "door", 1)
    try:
        assert writer.stdout.readline() == "1\n"
        readers, seen = [StoredGallery(tmp_path / "door") for _ in range(2)], 0
        for _ in range(150):
            for reader in readers:
                for name, row in content(reader):
                    assert row == [float(name.removeprefix("person ").replace("first", "0"))] * 4
                assert len(reader.view()) % 3 == 1  # an addition is there whole
            acknowledged = int(writer.stdout.readline())
            assert max(int(n[7:]) for n in readers[0].view().counts() if n != "first") >= acknowledged
            seen = max(seen, acknowledged)
        assert seen > 100
    finally:
        writer.kill()
        writer.wait()


def test_two_writers_do_not_mix(tmp_path):
    stored = StoredGallery.create(tmp_path / "door", made(["Ada"]))
    holding = (
        ALONE
        + """
    stored = StoredGallery(sys.argv[2])
    with stored._writing():
        print("in", flush=True)
        sys.stdin.read()
    """
    )
    package = os.path.dirname(sys.modules["siamese_nn"].__file__)
    command = [sys.executable, "-c", textwrap.dedent(holding), package, str(tmp_path / "door")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "in\n"
    for change in (lambda: stored.add(made(["Bo"])), lambda: stored.remove("Ada"), stored.compact):
        with pytest.raises(GalleryInUse, match=r"Another process is writing to .*door"):
            change()
    assert len(stored.view()) == 1
    other.communicate("")
    stored.add(made(["Bo"]))


@pytest.mark.slow
def test_a_killed_process_loses_nothing_that_it_said_it_had_stored(tmp_path):
    draw, reached = random.Random(0), 0
    left = set()  # whose removal was still to come when a process was killed: the next one begins behind it
    StoredGallery.create(tmp_path / "door", made(["first"], 0.0))
    for _ in range(25):
        writer = started(ADDING, tmp_path / "door", reached + 1)
        said = [int(writer.stdout.readline()) for _ in range(draw.randint(1, 12))]
        try:
            writer.wait(draw.random() * 0.02)
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
        said += [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        found = dict(content(StoredGallery(tmp_path / "door")))
        last = max(int(name[7:]) for name in found if name != "first")
        assert said[-1] <= last <= said[-1] + 1
        left |= {last - 3} if last > said[-1] else set()
        # Of those that were said to be stored, only those that were said to be removed are missing.
        for i in range(1, said[-1] + 1):
            removed = (i + 3) % 7 == 0 and i + 3 <= last
            assert (f"person {i}" in found) or removed, i
            assert not (removed and f"person {i}" in found and i + 3 <= said[-1]) or i in left, i
        reached = last
