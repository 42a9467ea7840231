"""CFP put in order: whole or not at all, whatever is in the archive and whenever the process is killed."""

import errno
import io
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nn.datasets import cfp_alignment, cfp_archive, make_toy_cfp, organize_cfp, read_cfp_folds

pytestmark = pytest.mark.once

COUNTS = {"people": 20, "frontal": 40, "profile": 20}
PHOTO, POINTS = "Data/Images/003/frontal/02.jpg", "Data/Fiducials/003/frontal/02.txt"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "cfp"
    return make_toy_cfp(folder, frontal_photos=2, profile_photos=1)


@pytest.fixture
def members(drawn) -> dict[str, bytes]:
    return {name: content for name, content in snapshot(drawn).items() if name != "toy_cfp.json"}


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files but the lock, which stays for the next process."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def make_zip(path: Path, members: dict[str, bytes], prefix: str = "cfp-dataset/") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(prefix + name), content)
    return path


def make_folder(path: Path, members: dict[str, bytes], prefix: str = "cfp-dataset/") -> Path:
    for name, content in members.items():
        file = path / (prefix + name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


MAKERS = {"a.zip": make_zip, "unpacked": make_folder}


def refused(tmp_path: Path, source: Path, match: str, **options) -> str:
    """Checks that the call raises and leaves nothing behind; returns the message."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=match) as raised:
        organize_cfp(source, tmp_path / "out", **options)
    assert sorted(tmp_path.iterdir()) == before
    assert "cfp_partial" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("form", MAKERS)
@pytest.mark.parametrize("prefix", ["", "cfp-dataset/"])
def test_every_form_gives_the_same_folder_byte_for_byte(tmp_path, members, form, prefix):
    source = MAKERS[form](tmp_path / form, {**members, "Readme.txt": b"hello"}, prefix)
    (tmp_path / "out").mkdir()  # an empty one is filled
    assert organize_cfp(source, tmp_path / "out") == COUNTS
    found = snapshot(tmp_path / "out")
    assert found.pop("cfp.json") and found == members
    assert len(read_cfp_folds(tmp_path / "out", "FP")) == 10
    assert {path.name for path in tmp_path.iterdir()} == {form, "out"}


def test_aligned_photos_are_jpegs_of_lfw_a_s_size_in_their_own_mode(tmp_path, members):
    grey = io.BytesIO()
    Image.open(io.BytesIO(members[PHOTO])).convert("L").save(grey, "JPEG")
    members[PHOTO] = grey.getvalue()
    source = make_zip(tmp_path / "a.zip", members)
    assert organize_cfp(source, tmp_path / "out", align=True) == COUNTS
    found = snapshot(tmp_path / "out")
    assert set(found) == {name for name in members if "Fiducials" not in name} | {"cfp.json"}
    for name in (name for name in found if name.endswith(".jpg")):
        with Image.open(tmp_path / "out" / name) as photo:
            assert (photo.format, photo.size) == ("JPEG", (250, 250))
            assert photo.mode == ("L" if name == PHOTO else "RGB")
            assert (
                max(table[0] for table in photo.quantization.values()) == 2
            )  # what quality 95 makes of 16 and 17
            assert all(layer[1:3] == (1, 1) for layer in photo.layer)  # no colour is subsampled
    with pytest.raises(ValueError, match="was not organised with align=False"):
        organize_cfp(source, tmp_path / "out")
    with pytest.raises(ValueError, match=r"faults \(60\).*\n.*Data/Fiducials/001/frontal/01.txt: missing"):
        organize_cfp(tmp_path / "out", tmp_path / "twice", align=True)


def test_second_run_returns_at_once_and_notices_changes(tmp_path, members):
    source, out = make_zip(tmp_path / "a.zip", members), tmp_path / "out"
    organize_cfp(source, out)
    source.unlink()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert organize_cfp(source, out) == COUNTS
    (out / "Data" / ".DS_Store").touch()
    assert organize_cfp(source, out) == COUNTS
    (out / "Data" / ".DS_Store").unlink()
    assert {path for path in out.rglob("*")} == before.keys()
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.is_file())
    with pytest.raises(ValueError, match=r"out was organised from a\.zip\. Received: .*raw"):
        organize_cfp(make_folder(tmp_path / "raw", members), out)
    (out / PHOTO).unlink()
    with pytest.raises(ValueError, match="added or removed"):
        organize_cfp(source, out)
    (out / "cfp.json").write_text("{")
    with pytest.raises(ValueError, match="cfp.json is damaged"):
        organize_cfp(source, out)


def test_other_things_are_left_alone(tmp_path, members, drawn):
    source = make_folder(tmp_path / "raw", members)
    mine = make_folder(tmp_path / "mine", {"holiday.jpg": b"mine"}, "")
    for out in (mine, mine / "holiday.jpg", mine / "holiday.jpg" / "cfp", drawn, source):
        before = snapshot(tmp_path)
        with pytest.raises(
            FileExistsError, match="`output_dir` must be (new, empty|a folder.*holiday.jpg is a file)"
        ):
            organize_cfp(source, out)
        assert snapshot(tmp_path) == before
    with pytest.raises(ValueError, match="must lie outside of `source`"):
        organize_cfp(source, source / "cfp-dataset" / "out")
    assert snapshot(source) == {f"cfp-dataset/{name}": content for name, content in members.items()}


@pytest.mark.parametrize("form", MAKERS)
@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        (PHOTO, None, f"{PHOTO}: missing"),
        (POINTS, None, f"{POINTS}: missing"),
        ("Data/list_name.txt", None, "Data/list_name.txt: missing"),
        ("Protocol/Split/FP/07/diff.txt", None, "Protocol/Split/FP/07/diff.txt: missing"),
        ("Protocol/Pair_list_P.txt", None, "Pair_list_P.txt: missing"),
        (PHOTO, b"", f"{PHOTO}: not a whole JPEG"),
        (PHOTO, b"<html>no photo</html>", f"{PHOTO}: not a whole JPEG"),
        (POINTS, b"", f"{POINTS}: not 30 lines"),
        (POINTS, b"1,2\n" * 29, f"{POINTS}: not 30 lines"),
        (POINTS, b"1,2\n" * 29 + b"NaN,2\n", f"{POINTS}: not 30 lines"),
        (POINTS, b"1,2\n" * 29 + b"1,2,3\n", f"{POINTS}: not 30 lines"),
        ("Data/Images/003/frontal/2.jpg", b"x", "frontal/2.jpg: no photo of the pair lists"),
        ("Data/Images/003/frontal/03.JPG", b"x", "frontal/03.JPG: no photo of the pair lists"),
        ("Data/Fiducials/021/frontal/01.txt", b"x", "021/frontal/01.txt: no photo of the pair lists"),
        (
            "Protocol/Pair_list_F.txt",
            b"1 ../Data/Images/001/../../x.jpg\n",
            r"Protocol/Pair_list_F.txt:1: expected `1 ",
        ),
        ("Protocol/Split/FF/01/same.txt", b"1,1\n", "FF/01/same.txt:1: a photo paired with itself"),
        ("Data/list_name.txt", b"Al Pacino\nAl_Pacino\n", "list_name.txt:2: the name of line 1 again"),
    ],
)
def test_each_fault_is_named_and_nothing_is_left(tmp_path, members, form, name, content, fault):
    members[name] = content
    source = MAKERS[form](tmp_path / form, {name: c for name, c in members.items() if c is not None})
    assert str(source) in refused(tmp_path, source, fault)


def test_a_photo_that_is_cut_off_is_noticed_and_all_faults_come_together(tmp_path, members):
    photos = sorted(name for name in members if name.endswith(".jpg"))
    for name in photos[:23]:
        members[name] = members[name][:-200]
    members[POINTS.replace("003", "020")] = b"x"
    message = refused(tmp_path, make_zip(tmp_path / "a.zip", members), r"faults \(24\)")
    assert "... and 4 more" in message and "truncated" in message and "Fetch it again" not in message


@pytest.mark.parametrize(
    "points",
    [
        "0,0\n" * 30,  # all in one
        "5,5\n" * 29 + "6,5\n",
        "900,900\n" * 30,
        "-1,5\n" * 30,
        "".join(f"{7 * i % 30},{3 * i}\n" for i in range(30)),
    ],
)
def test_points_that_are_no_face_only_matter_to_the_alignment(tmp_path, members, points):
    members[POINTS] = points.encode()
    source = make_zip(tmp_path / "a.zip", members)
    refused(tmp_path, source, f"{PHOTO}: (its eye|points that are not a frontal face)", align=True)
    assert organize_cfp(source, tmp_path / "out") == COUNTS


def test_hostile_members_are_harmless(tmp_path, members):
    evil = {"../../evil.jpg": b"x", "/evil.jpg": b"x", "cfp-dataset/../evil.txt": b"x", "..\\evil.jpg": b"x"}
    tree = {f"cfp-dataset/{name}": content for name, content in members.items()}
    (tmp_path / "in").mkdir()
    source = make_zip(tmp_path / "in" / "a.zip", {**evil, **tree}, "")
    out = tmp_path / "deep" / "er" / "out"
    out.mkdir(parents=True)
    assert organize_cfp(source, out) == COUNTS
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]
    shutil.rmtree(out)
    make_zip(source, {**tree, "cfp-dataset/Data/Images/../../../../evil.jpg": b"x"}, "")
    with pytest.raises(ValueError, match="no photo of the pair lists"):
        organize_cfp(source, out)
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


def test_links_encryption_and_bombs_in_a_zip_are_faults(tmp_path, members, monkeypatch):
    source = make_zip(tmp_path / "a.zip", {name: c for name, c in members.items() if name != PHOTO})
    info = zipfile.ZipInfo(f"cfp-dataset/{PHOTO}")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path, source, f"{PHOTO}: links, devices or the like")
    content = bytearray(make_zip(source, members).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag bits of the first entry of the directory
    source.write_bytes(content)
    refused(tmp_path, source, r"faults \(1\).*\n.*encrypted")
    monkeypatch.setattr(cfp_archive, "_MOST_MEMBER_BYTES", max(map(len, members.values())))
    make_zip(source, {**members, PHOTO: bytes(10**6)})
    refused(tmp_path, source, f"{PHOTO}: more than [0-9]+ bytes")
    monkeypatch.setattr(cfp_archive, "_MOST_BYTES", 10**6)
    refused(tmp_path, source, "must unpack to less than 1000000 bytes")


def test_a_file_that_is_there_twice_is_refused(tmp_path, members):
    source = make_zip(tmp_path / "a.zip", members)
    with zipfile.ZipFile(source, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(f"cfp-dataset/{PHOTO}", members["Data/Images/004/frontal/02.jpg"])
    refused(tmp_path, source, f"{PHOTO}: 2 times")


def test_damaged_archives_say_fetch_again(tmp_path, members):
    source = make_zip(tmp_path / "a.zip", members)
    whole = source.read_bytes()
    sizes = range(0, len(whole), len(whole) // 15)
    broken = [*(whole[:size] for size in sizes), *(whole[:size] + whole[size + 50 :] for size in sizes)]
    for content in (*broken, b"<!DOCTYPE html>Sign in first"):
        source.write_bytes(content)
        refused(tmp_path, source, r"a\.zip.*[Ff]etch it again")
    with pytest.raises(FileNotFoundError, match=r"`source` must be.*gone\.zip"):
        organize_cfp(tmp_path / "gone.zip", tmp_path / "out")


KILLED_RUNS = """
import os, signal, sys
from contextlib import suppress
from pathlib import Path
from siamese_nn.datasets.cfp_archive import organize_cfp

source, work = Path(sys.argv[1]), Path(sys.argv[2])

def run(out, fatal):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        writes = event == "open" and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
        if seen >= 0 and (writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir")):
            seen += 1
            if seen == fatal:
                seen = -1
                with suppress(OSError, TypeError):  # filelock opens some by their folder's descriptor
                    if writes:  # the worst moment: half a file is there
                        Path(arguments[0]).write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    sys.addaudithook(hook)
    out.mkdir(parents=True)
    organize_cfp(source, out)
    (work / "seen").write_text(str(seen + 1))  # with this file's own
    os._exit(0)

assert run(work / "whole", 0) == 0
last = int((work / "seen").read_text())
for fatal in [*range(3, last - 8, max(1, last // 8)), *range(last - 8, last)]:
    assert run(work / f"killed-{fatal}" / "out", fatal) == signal.SIGKILL
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_at_any_operation_the_same_call_finishes(tmp_path, members):
    source = make_zip(tmp_path / "a.zip", members)
    environment = {**os.environ, "PYTHONPATH": str(Path(cfp_archive.__file__).parents[2])}
    command = [sys.executable, "-c", KILLED_RUNS, str(source), str(tmp_path)]
    subprocess.run(command, check=True, env=environment)
    cases = sorted(tmp_path.glob("killed-*"))
    assert len(cases) > 14
    whole = snapshot(tmp_path / "whole")
    for case in cases:
        out = case / "out"
        assert not out.exists() or snapshot(out) in ({}, whole)
        assert organize_cfp(source, out) == COUNTS
        assert snapshot(out) == whole and list(case.iterdir()) == [out]


def test_what_a_killed_call_left_is_cleared(tmp_path, members):
    source = make_zip(tmp_path / "a.zip", members)
    make_folder(tmp_path / ".out.cfp_partial", {POINTS: b"half", "cfp.json": b"{}"}, "")
    organize_cfp(source, tmp_path / "out", align=True)
    assert not (tmp_path / "out" / "Data" / "Fiducials").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "out"}


def test_an_interrupted_call_leaves_nothing(tmp_path, members, monkeypatch):
    source = make_zip(tmp_path / "a.zip", members)
    monkeypatch.setattr(cfp_archive, "load_image", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        organize_cfp(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("step", [1, 30, 100, 161])
def test_a_full_disk_is_one_clear_error_and_the_same_call_goes_on(tmp_path, members, monkeypatch, step):
    source, writes, real = make_zip(tmp_path / "a.zip", members), [], Path.write_bytes

    def write(*arguments):
        writes.append(arguments)
        if len(writes) == step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match=r"out can't be organised to the end .*No space left.*same call again"):
        organize_cfp(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [source]
    assert organize_cfp(source, tmp_path / "out") == COUNTS


def test_of_two_calls_on_one_folder_the_second_is_refused(tmp_path, members, monkeypatch):
    source, out = make_zip(tmp_path / "a.zip", members), tmp_path / "out"
    refusals, real = [], cfp_archive.load_image

    def look_while_another_comes(*arguments, **options):
        if not refusals:
            with pytest.raises(
                ValueError, match=r"Another process is organising into .*out\. Wait for it"
            ) as raised:
                organize_cfp(source, out)
            refusals.append(raised.value)
        return real(*arguments, **options)

    monkeypatch.setattr(cfp_archive, "load_image", look_while_another_comes)
    assert organize_cfp(source, out) == COUNTS
    found = snapshot(out)
    assert refusals and found.pop("cfp.json") and found == members


def test_many_calls_at_once_end_in_one_whole_folder(tmp_path, members):
    source, out = make_zip(tmp_path / "a.zip", members), tmp_path / "out"

    def call(_):
        try:
            return organize_cfp(source, out)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(call, range(24)))
    assert COUNTS in results
    assert all(result == COUNTS or "Another process is organising" in result for result in results)
    found = snapshot(out)
    assert found.pop("cfp.json") and found == members
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "out"]


@pytest.mark.slow
def test_the_real_cfp_aligned(tmp_path):
    source = os.environ.get("SIAMESE_NN_CFP")
    if not source:
        pytest.skip("SIAMESE_NN_CFP is not set to a folder with cfp-dataset.zip")
    # A small zip of the real one: every 25th person, 14 photos each, and a protocol of our own over them.
    with zipfile.ZipFile(Path(source) / "cfp-dataset.zip") as archive:
        people = range(25, 501, 25)
        names = archive.read("cfp-dataset/Data/list_name.txt").decode().split("\n")
        toy = make_toy_cfp(tmp_path / "toy")
        real = {f"Protocol/{name}": content for name, content in snapshot(toy / "Protocol").items()}
        real["Data/list_name.txt"] = "\n".join(names[person - 1] for person in people).encode()
        farthest = {"frontal": [], "profile": []}
        for name in archive.namelist():
            match = re.fullmatch(
                r"cfp-dataset/Data/(Images|Fiducials)/([0-9]{3})/(\w+)/([0-9]{2}\.\w+)", name
            )
            if match and int(match[2]) in people:
                real[f"Data/{match[1]}/{int(match[2]) // 25:03d}/{match[3]}/{match[4]}"] = archive.read(name)
            if match and match[1] == "Fiducials":
                farthest[match[3]].append(distance(archive.read(name), match[3]))
    # All 7,000 are faces of their view, with room to spare below the 15 pixels that are refused.
    assert {view: len(distances) for view, distances in farthest.items()} == {
        "frontal": 5000,
        "profile": 2000,
    }
    assert max(farthest["frontal"]) < 6 and max(farthest["profile"]) < 10
    assert organize_cfp(make_zip(tmp_path / "a.zip", real), tmp_path / "out", align=True) == {
        "people": 20,
        "frontal": 200,
        "profile": 80,
    }
    mean = mean_photo(tmp_path.glob("out/Data/Images/*/frontal/*.jpg"))
    # The points are all on the left half: that the right one is its mirror about column 126
    # shows where the middle is. A shift by 4 pixels, a scale wrong by a tenth or a turn by 5
    # degrees falls short here or below.
    left, right = mean[66:194, 69:126], mean[66:194, 126:183][:, ::-1]
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.95
    lfw_a = os.environ.get("SIAMESE_NN_LFW_A")
    if lfw_a:
        with zipfile.ZipFile(Path(lfw_a) / "lfw2.zip") as archive:
            photos = [name for name in archive.namelist() if name.endswith(".jpg")][::40]
            expected = mean_photo(io.BytesIO(archive.read(name)) for name in photos)
        box = (slice(66, 194), slice(69, 181))
        assert np.corrcoef(mean[box].ravel(), expected[box].ravel())[0, 1] > 0.93


def distance(fiducials: bytes, view: str) -> float:
    points = cfp_alignment.eye_nose_and_mouth(cfp_alignment.read_fiducials(fiducials))
    return cfp_alignment.best_similarity(points, view)[2]


def mean_photo(files) -> np.ndarray:
    return np.mean([np.asarray(Image.open(file).convert("L"), np.float32) for file in files], axis=0)


def test_a_link_to_an_empty_folder_is_followed_and_the_current_one_refused(tmp_path, monkeypatch):
    drawn = make_toy_cfp(tmp_path / "drawn", frontal_photos=2, profile_photos=1)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    organize_cfp(drawn, tmp_path / "link")
    assert (tmp_path / "real" / "cfp.json").is_file()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match="current folder"):
        organize_cfp(drawn, ".")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn", "here", "link", "real"]
