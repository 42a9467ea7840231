"""LFW-a put in order: whole or not at all, whatever is in the archive and whenever the process is killed."""

import errno
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nn import faces
from siamese_nn.datasets import (
    ImageError,
    align_lfw_a,
    check_lfw_a,
    known_frame,
    lfw_a,
    load_lfw_a,
    organize_lfw_a,
    photo_sources,
)

pytestmark = pytest.mark.once

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
PEOPLE = {"Ann_Lee": 3, "Bo": 2, "Cy_Ng": 2, "Di": 1, "Ed": 2}
COUNTS = {"train": 5, "test": 3, "unused": 2}


def photos() -> dict[str, bytes]:
    return {
        f"lfw2/{name}/{name}_{i:04d}.jpg": JPEG + f"{name} {i}".encode() * 9
        for name, count in PEOPLE.items()
        for i in range(1, count + 1)
    }


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def make_folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


MAKERS = {"lfw2.zip": make_zip, "lfwa.tar.gz": make_tar, "unpacked": make_folder}


@pytest.fixture
def pair_files(tmp_path):
    (tmp_path / "train.txt").write_text("1\nAnn_Lee\t1\t3\nAnn_Lee\t1\tBo\t2\n")
    (tmp_path / "test.txt").write_text("1\nCy_Ng\t1\t2\nDi\t1\tCy_Ng\t2\n")
    return {"train_pairs": tmp_path / "train.txt", "test_pairs": tmp_path / "test.txt"}


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files but the lock, which stays for the next process."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def expected(pair_files) -> dict[str, bytes]:
    group = {"Ann_Lee": "train", "Bo": "train", "Cy_Ng": "test", "Di": "test", "Ed": "unused"}
    found = {
        f"{group[name.split('/')[1]]}/{name.split('/')[2]}": content for name, content in photos().items()
    }
    found["pairsDevTrain.txt"] = pair_files["train_pairs"].read_bytes()
    found["pairsDevTest.txt"] = pair_files["test_pairs"].read_bytes()
    return found


def refused(error, match, source, tmp_path, pair_files, **options):
    """Checks that the call raises and leaves nothing behind; returns the message."""
    with pytest.raises(error, match=match) as raised:
        organize_lfw_a(source, tmp_path / "out", **pair_files, **options)
    assert not (tmp_path / "out").exists()
    return str(raised.value)


@pytest.mark.parametrize("form", MAKERS)
@pytest.mark.parametrize("prefix", ["lfw2/", "", "./a/b/"])
def test_every_form_gives_the_same_folder(tmp_path, pair_files, form, prefix):
    members = {name.replace("lfw2/", prefix): content for name, content in photos().items()}
    source = MAKERS[form](tmp_path / form, members)
    before = snapshot(tmp_path)
    assert organize_lfw_a(source, tmp_path / "out", **pair_files) == COUNTS
    found = snapshot(tmp_path / "out")
    proof = json.loads(found.pop("lfw_a.json"))
    assert found == expected(pair_files)
    assert proof["counts"] == COUNTS
    assert proof["source_kind"] == {"lfw2.zip": "zip", "lfwa.tar.gz": "tar.gz", "unpacked": "folder"}[form]
    assert {name: before[name] for name in before} == {name: snapshot(tmp_path)[name] for name in before}
    assert not list((tmp_path / "out").glob(".partial*"))


def test_folder_entries_of_an_archive_and_png_photos_are_welcome(tmp_path, pair_files):
    members = {"lfw2/": b"", "lfw2/Ed/": b"", **photos(), "lfw2/Ed/Ed_0003.PNG": PNG + b"x"}
    counts = organize_lfw_a(make_zip(tmp_path / "a.zip", members), tmp_path / "out", **pair_files)
    assert counts == {**COUNTS, "unused": 3}
    assert (tmp_path / "out/unused/Ed_0003.PNG").read_bytes() == PNG + b"x"


def test_second_run_returns_at_once_even_without_the_source(tmp_path, pair_files):
    source = make_zip(tmp_path / "lfw2.zip", photos())
    organize_lfw_a(source, tmp_path / "out", **pair_files)
    source.unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert organize_lfw_a(source, tmp_path / "out", **pair_files) == COUNTS
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_finished_folder_refuses_other_pair_files_and_notices_changes(tmp_path, pair_files):
    source, out = make_zip(tmp_path / "lfw2.zip", photos()), tmp_path / "out"
    organize_lfw_a(source, out, **pair_files)
    (out / "train" / ".DS_Store").write_bytes(b"Finder was here")
    assert organize_lfw_a(source, out, **pair_files) == COUNTS
    with pytest.raises(ValueError, match="other pair files"):
        organize_lfw_a(
            source, out, train_pairs=pair_files["test_pairs"], test_pairs=pair_files["train_pairs"]
        )
    with pytest.raises(ValueError, match=r"out was organised from lfw2\.zip\. Received: .*raw"):
        organize_lfw_a(make_folder(tmp_path / "raw", photos()), out, **pair_files)
    (out / "unused" / "Ed_0001.jpg").unlink()
    with pytest.raises(ValueError, match="added or removed"):
        organize_lfw_a(source, out, **pair_files)
    shutil.rmtree(out / "unused")
    with pytest.raises(ValueError, match="added or removed"):
        organize_lfw_a(source, out, **pair_files)


def test_bystanders_and_identical_pair_files_stay(tmp_path, pair_files):
    out = make_folder(tmp_path / "out", {"README.md": b"mine", ".gitignore": b"*", "lfw2.zip/notes": b"n"})
    train = shutil.copy(pair_files["train_pairs"], out / "pairsDevTrain.txt")
    source = make_folder(out / "raw", photos())
    organize_lfw_a(source, out, train_pairs=train, test_pairs=pair_files["test_pairs"])
    found = snapshot(out)
    assert (found["README.md"], found[".gitignore"], found["lfw2.zip/notes"]) == (b"mine", b"*", b"n")
    assert expected(pair_files).items() <= found.items()


@pytest.mark.parametrize("name", ["train/x.jpg", "test/x.jpg", "unused/x.jpg", "pairsDevTrain.txt"])
def test_foreign_folder_is_left_alone(tmp_path, pair_files, name):
    out = make_folder(tmp_path / "out", {name: b"mine"})
    with pytest.raises(FileExistsError, match=f"{name.split('/')[0]}.*Move that away"):
        organize_lfw_a(make_zip(tmp_path / "lfw2.zip", photos()), out, **pair_files)
    assert snapshot(out) == {name: b"mine"}


BAD_MEMBERS = {
    "/etc/Ed/Ed_0009.jpg": "unsafe path",
    "../Ed/Ed_0009.jpg": "unsafe path",
    "lfw2/../../Ed/Ed_0009.jpg": "unsafe path",
    "C:/Ed/Ed_0009.jpg": "unsafe path",
    "..\\Ed\\Ed_0009.jpg": "unsafe path",
    "lfw2/Ed/notes.txt": "photo's ending",
    "lfw2/Ed/Ed_0009": "photo's ending",
    "Ed_0009.jpg": "not named First_Last_0001 in a folder",
    "lfw2/Ed/Bo_0009.jpg": "not named First_Last_0001 in a folder",
    "lfw2/Ed/Ed.jpg": "not named First_Last_0001 in a folder",
    "lfw2/Ed/Ed_1b.jpg": "not named First_Last_0001 in a folder",
    "other/Ed/Ed_0001.jpg": "share their name",
    "lfw2/ED/ED_0001.jpg": "share their name",
    "lfw2/Ed/Ed_0001.png": "share their name",
}


@pytest.mark.parametrize("form", ["lfw2.zip", "lfwa.tar.gz"])
@pytest.mark.parametrize("member", BAD_MEMBERS)
def test_bad_members_are_refused_before_anything_is_written(tmp_path, pair_files, form, member):
    source = MAKERS[form](tmp_path / form, {**photos(), member: JPEG})
    message = refused(ValueError, BAD_MEMBERS[member], source, tmp_path, pair_files)
    assert repr(member)[1:-1] in message.replace("\\\\\\\\", "\\\\")
    assert not (tmp_path.parent / "Ed").exists()


@pytest.mark.parametrize("form", MAKERS)
@pytest.mark.parametrize("content", [b"", b"<html>not a photo</html>", b"GIF89a"])
def test_contents_that_are_no_photo_are_refused_by_name(tmp_path, pair_files, form, content):
    source = MAKERS[form](tmp_path / form, {**photos(), "lfw2/Ed/Ed_0009.jpg": content})
    assert "lfw2/Ed/Ed_0009.jpg" in refused(ValueError, "first bytes", source, tmp_path, pair_files)


def test_all_problems_of_a_kind_are_listed_together_up_to_twenty(tmp_path, pair_files):
    bad = {f"lfw2/Ed/note{i:02d}.txt": b"x" for i in range(23)}
    source = make_zip(tmp_path / "lfw2.zip", {**photos(), **bad, "lfw2/Ed/Ed_0009.jpg": b""})
    message = refused(ValueError, "23 without", source, tmp_path, pair_files)
    assert "note00" in message and "note19" in message and "note20" not in message
    assert "and 3 more" in message and "1 empty" in message


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_zip_links_and_devices_are_refused(tmp_path, pair_files, mode):
    source = make_zip(tmp_path / "lfw2.zip", photos())
    info = zipfile.ZipInfo("lfw2/Ed/Ed_0009.jpg")
    info.external_attr = (mode | 0o644) << 16
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr(info, JPEG)
    assert "Ed_0009" in refused(ValueError, "links, devices", source, tmp_path, pair_files)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_tar_links_and_devices_are_refused(tmp_path, pair_files, kind):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("lfw2/Ed/Ed_0009.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    assert "Ed_0009" in refused(ValueError, "links, devices", tmp_path / "a.tar.gz", tmp_path, pair_files)


def test_folder_links_are_refused(tmp_path, pair_files):
    source = make_folder(tmp_path / "raw", photos())
    (source / "lfw2/Ed/Ed_0009.jpg").symlink_to(source / "lfw2/Ed/Ed_0001.jpg")
    (source / "lfw2/Flo").symlink_to(source / "lfw2/Ed")
    message = refused(ValueError, "2 links, devices", source, tmp_path, pair_files)
    assert "Ed_0009.jpg" in message and "lfw2/Flo" in message


def test_encrypted_members_are_refused(tmp_path, pair_files):
    content = bytearray(make_zip(tmp_path / "lfw2.zip", photos()).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag bits of the first entry of the directory
    (tmp_path / "lfw2.zip").write_bytes(content)
    assert "Ann_Lee_0001" in refused(ValueError, "1 encrypted", tmp_path / "lfw2.zip", tmp_path, pair_files)


@pytest.mark.parametrize("form", ["lfw2.zip", "lfwa.tar.gz"])
def test_truncated_archives_say_fetch_again(tmp_path, pair_files, form):
    whole = MAKERS[form](tmp_path / form, photos()).read_bytes()
    for size in [*range(0, len(whole), 37), len(whole) - 1]:
        (tmp_path / form).write_bytes(whole[:size])
        assert form in refused(ValueError, "Fetch it again", tmp_path / form, tmp_path, pair_files)


@pytest.mark.parametrize("form", ["lfw2.zip", "lfwa.tar.gz"])
def test_archives_with_a_hole_say_fetch_again(tmp_path, pair_files, form):
    whole = MAKERS[form](tmp_path / form, photos()).read_bytes()
    for start in range(4, len(whole) - 50, 41):
        (tmp_path / form).write_bytes(whole[:start] + whole[start + 50 :])
        assert form in refused(ValueError, "etch it again", tmp_path / form, tmp_path, pair_files)


@pytest.mark.parametrize("form", ["lfw2.zip", "lfwa.tar.gz"])
def test_flipped_byte_in_a_photo_is_noticed(tmp_path, pair_files, form):
    content = bytearray(MAKERS[form](tmp_path / form, photos()).read_bytes())
    content[len(content) // 4] ^= 255
    (tmp_path / form).write_bytes(content)
    refused(ValueError, form, tmp_path / form, tmp_path, pair_files)


def test_what_is_no_archive_is_refused(tmp_path, pair_files):
    (tmp_path / "lfw2.zip").write_bytes(b"<!DOCTYPE html>Google Drive can't scan this file")
    refused(ValueError, r"lfw2\.zip.*Fetch it again", tmp_path / "lfw2.zip", tmp_path, pair_files)
    refused(
        FileNotFoundError,
        r"gone\.zip, which does not exist.*download_lfw_a",
        tmp_path / "gone.zip",
        tmp_path,
        pair_files,
    )


def test_zip_bomb_is_refused(tmp_path, pair_files, monkeypatch):
    monkeypatch.setattr(photo_sources, "_MOST_BYTES", 1000)
    for form in ("lfw2.zip", "lfwa.tar.gz"):
        source = MAKERS[form](tmp_path / form, {**photos(), "lfw2/Ed/Ed_0009.jpg": JPEG + bytes(10**6)})
        refused(ValueError, "less than 1000 bytes", source, tmp_path, pair_files)


def test_somebody_in_both_pair_files_is_named(tmp_path, pair_files):
    pair_files["test_pairs"].write_text("1\nCy_Ng\t1\t2\nBo\t1\tCy_Ng\t2\n")
    refused(
        ValueError,
        "both name 1 people.*\n  'Bo'",
        make_zip(tmp_path / "a.zip", photos()),
        tmp_path,
        pair_files,
    )


@pytest.mark.parametrize("form", MAKERS)
def test_missing_photos_are_all_listed(tmp_path, pair_files, form):
    lost = ("Ann_Lee_0003", "Di_0001", "Ann_Lee_0002")  # no pair asks for the last one
    members = {name: content for name, content in photos().items() if Path(name).stem not in lost}
    message = refused(ValueError, "without 2:", MAKERS[form](tmp_path / form, members), tmp_path, pair_files)
    assert "Ann_Lee_0003" in message and "Di_0001" in message and "Ann_Lee_0002" not in message


def test_output_inside_the_source_is_refused(tmp_path, pair_files):
    source = make_folder(tmp_path / "raw", photos())
    for output_dir in (source, source / "lfw2" / "out"):
        with pytest.raises(ValueError, match="must lie apart"):
            organize_lfw_a(source, output_dir, **pair_files)
    assert snapshot(source) == photos()


KILLED_RUNS = """
import os, signal, sys
from contextlib import suppress
from pathlib import Path
from siamese_nn.datasets.lfw_a import organize_lfw_a

work, source = Path(sys.argv[1]), Path(sys.argv[2])
pair_files = {"train_pairs": work / "train.txt", "test_pairs": work / "test.txt"}

def die_at(number):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        writes = event == "open" and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
        if seen >= 0 and (writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir")):
            seen += 1
            if seen == number:
                seen = -1
                with suppress(OSError, TypeError):  # filelock opens some by their folder's descriptor
                    if writes:  # the worst moment: half a file is there
                        Path(arguments[0]).write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

number, status = 0, 9
while status:
    number += 1
    child = os.fork()
    if not child:
        die_at(number)
        organize_lfw_a(source, work / f"killed-{number}" / "out", **pair_files)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
"""


def killed_at_every_operation(tmp_path: Path, source: Path) -> tuple[list[Path], dict[str, bytes]]:
    """Returns what each of many killed calls has left, and the content of the one that lived."""
    environment = {**os.environ, "PYTHONPATH": str(Path(lfw_a.__file__).parents[2])}
    command = [sys.executable, "-c", KILLED_RUNS, str(tmp_path), str(source)]
    subprocess.run(command, check=True, env=environment)
    cases = sorted(tmp_path.glob("killed-*"), key=lambda case: int(case.name.rpartition("-")[2]))
    assert len(cases) > 25  # ten photos, three folders, two pair files, lock, proof, their renames
    return [case / "out" for case in cases[:-1]], snapshot(cases[-1] / "out")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("form", ["lfw2.zip", pytest.param("unpacked", marks=pytest.mark.slow)])
def test_killed_at_any_operation_the_same_call_finishes(tmp_path, pair_files, form):
    source = MAKERS[form](tmp_path / form, photos())
    killed, whole = killed_at_every_operation(tmp_path, source)
    assert expected(pair_files).items() <= whole.items()
    for out in killed:
        if (out / "lfw_a.json").exists():
            assert snapshot(out) == whole
        else:
            with pytest.raises(FileNotFoundError, match="siamese-nn organize SOURCE"):
                load_lfw_a(out)
        assert organize_lfw_a(source, out, **pair_files) == COUNTS
        assert snapshot(out) == whole, out
        assert not list(out.glob(".partial*"))
    assert form != "unpacked" or snapshot(source) == photos()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_a_half_made_folder_is_never_mixed_with_another_source_or_pair_file(tmp_path, pair_files):
    source = make_zip(tmp_path / "lfw2.zip", photos())
    other = make_folder(tmp_path / "other", {name: content + b"x" for name, content in photos().items()})
    killed, whole = killed_at_every_operation(tmp_path, source)
    swapped = {"train_pairs": pair_files["test_pairs"], "test_pairs": pair_files["train_pairs"]}
    calls = [
        (other, pair_files, "organised from lfw2.zip"),
        (source, swapped, "organised with other pair files"),
    ]
    for number, (folder, files, _) in enumerate(calls):
        organize_lfw_a(folder, tmp_path / f"whole-{number}", **files)
    for number, out in enumerate(killed):
        folder, files, refusal = calls[number % 2]
        if (out / "lfw_a.json").exists() or (out / ".partial-lfw_a" / "lfw_a.json").exists():
            with pytest.raises(ValueError, match=refusal):
                organize_lfw_a(folder, out, **files)
            assert organize_lfw_a(source, out, **pair_files) == COUNTS
            assert snapshot(out) == whole
        else:
            organize_lfw_a(folder, out, **files)
            assert snapshot(out) == snapshot(tmp_path / f"whole-{number % 2}")


@pytest.mark.parametrize("step", range(1, 18))
@pytest.mark.parametrize("form", ["lfw2.zip", "unpacked"])
def test_a_full_disk_is_one_clear_error_and_the_same_call_goes_on(
    tmp_path, pair_files, monkeypatch, form, step
):
    source, out, writes = MAKERS[form](tmp_path / form, photos()), tmp_path / "out", []

    def full(real):
        def write(*arguments, **options):
            writes.append(arguments)
            if len(writes) == step:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **options)

        return write

    monkeypatch.setattr(Path, "write_bytes", full(Path.write_bytes))
    monkeypatch.setattr(Path, "replace", full(Path.replace))
    monkeypatch.setattr(shutil, "copyfile", full(shutil.copyfile))
    with pytest.raises(OSError, match=r"out can't be organised to the end .*No space left.*same call again"):
        organize_lfw_a(source, out, **pair_files)
    monkeypatch.undo()
    assert organize_lfw_a(source, out, **pair_files) == COUNTS
    found = snapshot(out)
    assert found.pop("lfw_a.json") and found == expected(pair_files)
    assert form != "unpacked" or snapshot(source) == photos()


def test_of_two_calls_on_one_folder_the_second_is_refused(tmp_path, pair_files, monkeypatch):
    source, out = make_folder(tmp_path / "raw", photos()), tmp_path / "out"
    refusals, real_copy = [], shutil.copyfile

    def copy_while_another_comes(*arguments):
        if len(refusals) < 3:
            with pytest.raises(
                ValueError, match=r"Another process is organising into .*out\. Wait for it"
            ) as raised:
                organize_lfw_a(source, out, **pair_files)
            refusals.append(raised.value)
        return real_copy(*arguments)

    monkeypatch.setattr(shutil, "copyfile", copy_while_another_comes)
    assert organize_lfw_a(source, out, **pair_files) == COUNTS
    assert len(refusals) == 3
    found = snapshot(out)
    assert found.pop("lfw_a.json") and found == expected(pair_files)


def test_many_calls_at_once_end_in_one_whole_folder(tmp_path, pair_files):
    source = make_zip(tmp_path / "lfw2.zip", photos())

    def call(out):
        try:
            return organize_lfw_a(source, out, **pair_files)
        except ValueError as error:
            return str(error)

    for trial in range(8):
        out = tmp_path / f"out-{trial}"
        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(call, [out] * 6))
        assert COUNTS in results
        assert all(result == COUNTS or "Another process is organising" in result for result in results)
        found = snapshot(out)
        assert found.pop("lfw_a.json") and found == expected(pair_files)


def test_load_gives_both_sets_of_pairs(tmp_path, pair_files):
    organize_lfw_a(make_zip(tmp_path / "lfw2.zip", photos()), tmp_path / "out", **pair_files)
    train, test = load_lfw_a(tmp_path / "out")
    assert train.same.tolist() == [1, 0] and test.identities() == {"Cy_Ng", "Di"}
    assert train[0][:2] == tuple(str(tmp_path / f"out/train/Ann_Lee_000{i}.jpg") for i in (1, 3))
    (tmp_path / "out/lfw_a.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"not organised.*`siamese-nn organize SOURCE .*out`"):
        load_lfw_a(tmp_path / "out")
    (tmp_path / "out/.partial-lfw_a").mkdir()
    with pytest.raises(FileNotFoundError, match="only half organised"):
        check_lfw_a(tmp_path / "out")


def test_check_compares_counts_then_bytes(tmp_path, pair_files, monkeypatch):
    whole = {"photos": 10, "people": 5, **COUNTS}
    digest = lfw_a._digest(
        f"{Path(name).name} {hashlib.sha256(content).hexdigest()}" for name, content in photos().items()
    )
    monkeypatch.setattr(lfw_a, "_LFW_A_COUNTS", whole)
    monkeypatch.setattr(lfw_a, "_LFW_A_SHA256", digest)
    for form, make in MAKERS.items():
        assert check_lfw_a(make(tmp_path / form, photos())) == {"photos": 10, "people": 5}
    organize_lfw_a(tmp_path / "lfw2.zip", tmp_path / "out", **pair_files)
    assert check_lfw_a(tmp_path / "out") == whole
    (tmp_path / "out/train/Bo_0001.jpg").write_bytes(JPEG + b"other")
    with pytest.raises(ValueError, match="other names or bytes"):
        check_lfw_a(tmp_path / "out")
    shutil.rmtree(tmp_path / "unpacked/lfw2/Ed")
    with pytest.raises(ValueError, match="8 photos instead of 10, 4 people instead of 5"):
        check_lfw_a(tmp_path / "unpacked")


@pytest.mark.skipif(
    "SIAMESE_NN_LFW_A" not in os.environ, reason="SIAMESE_NN_LFW_A names no folder with the real LFW-a"
)
def test_real_lfw_a(tmp_path):
    real = Path(os.environ["SIAMESE_NN_LFW_A"])
    pair_files = {"train_pairs": real / "pairsDevTrain.txt", "test_pairs": real / "pairsDevTest.txt"}
    counts = {"train": 6685, "test": 2741, "unused": 3807}
    assert check_lfw_a(real / "lfw2.zip") == {"photos": 13233, "people": 5749}
    assert organize_lfw_a(real / "lfw2.zip", tmp_path, **pair_files) == counts
    assert check_lfw_a(tmp_path) == {"photos": 13233, "people": 5749, **counts}
    assert [len(pairs) for pairs in load_lfw_a(tmp_path)] == [2200, 1000]


def test_it_is_aligned_as_a_whole(tmp_path, toy_dir, monkeypatch):
    """Each photo with a face is moved, LFW-a's others stay, and pairs and people are those of the source."""
    pair_files = {f"{side}_pairs": toy_dir / f"pairsDev{side.title()}.txt" for side in ("train", "test")}
    source, output = tmp_path / "lfw-a", tmp_path / "aligned"
    organize_lfw_a(toy_dir / "lfw2", source, **pair_files)
    hidden = sorted((source / "train").iterdir())[1]
    Image.new("L", (250, 250), 5).save(hidden)

    def finder(pixels):
        moved = np.array(faces.LFW_A.points) + 20 + (len(pixels) - 250) / 2  # within a margin
        return [] if pixels.max() < 50 else [faces.Face((60, 60, 190, 200), 0.9, moved)]

    with pytest.raises(ValueError, match=rf"Received 1:\n.*{hidden.name}(?s:.*)256 photos instead of 13233"):
        align_lfw_a(source, output, finder=finder)
    assert not (output / "lfw_a.json").exists()
    monkeypatch.setattr("siamese_nn.datasets.aligned_lfw_a.check_lfw_a", lambda data: {})
    rows = align_lfw_a(source, output, finder=finder)
    with pytest.raises(ValueError, match="holds aligned copies"):
        organize_lfw_a(toy_dir / "lfw2", output, **pair_files)
    left, right = (load_lfw_a(folder) for folder in (source, output))
    assert [str(pairs) for pairs in left] == [str(pairs) for pairs in right] and len(rows) == 256
    assert [row["photo"] for row in rows if row["result"] == "no face"] == [f"train/{hidden.name}"]
    assert (output / "train" / hidden.name).read_bytes() == hidden.read_bytes()
    other = left[1].left[0]
    before, after = (np.asarray(Image.open(path).convert("L"), float) for path in (other, right[1].left[0]))
    assert np.abs(after[:-20, :-20] - before[20:, 20:]).mean() < 3 < np.abs(after - before).mean()
    assert known_frame(map(str, right[0].left)) == faces.LFW_A
    assert align_lfw_a(source, output, finder=lambda pixels: pytest.fail("it is aligned")) == rows
    (output / "lfw_a.json").unlink()  # as a call leaves it that was killed
    with pytest.raises(FileNotFoundError, match="siamese-nn align SOURCE"):
        load_lfw_a(output)
    assert align_lfw_a(source, output, finder=finder) == rows
    other = Path(left[0].left[0])
    other.write_bytes(JPEG)
    with pytest.raises(ImageError, match=rf"{other.name}: .*Organise LFW-a anew"):
        align_lfw_a(source, output, finder=finder)
    assert not (output / "lfw_a.json").exists()  # it holds one photo less now
