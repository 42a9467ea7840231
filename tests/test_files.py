import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import siamese_nn
from siamese_nn.files import filling, locked, read_json, replacing, write_text

CHILD_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(siamese_nn.__file__).parents[1])}


def test_a_failed_writer_leaves_the_old_file_and_no_rest(tmp_path):
    write_text(tmp_path / "deep" / "notes.txt", "old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "deep" / "notes.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["notes.txt"]
    assert (tmp_path / "deep" / "notes.txt").read_text() == "old"
    write_text(tmp_path / "deep" / "notes.txt", "new\n")
    assert (tmp_path / "deep" / "notes.txt").read_bytes() == b"new\n"


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "notes").touch()
    for folder in (tmp_path / "notes", tmp_path / "notes" / "deeper"):
        with pytest.raises(OSError, match=f"{folder} must be a folder. Received: a file"):
            write_text(folder / "new.txt", "")
        with (
            pytest.raises(OSError, match=f"{folder} must be a folder. Received: a file"),
            locked(folder / ".lock", ValueError()),
        ):
            pass


def test_two_writers_of_one_file_have_files_of_their_own(tmp_path):
    path = tmp_path / "notes.txt"
    with replacing(path) as first:
        first.write_text("first")
        with replacing(path) as second:
            assert second != first and second.name == first.name == "notes.txt"
            second.write_text("second")
        assert path.read_text() == "second"
        assert first.read_text() == "first"  # it is locked: no other writer takes it for abandoned
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_of_two_writers_of_one_folder_the_first_wins_and_nothing_mixes(tmp_path):
    folder = tmp_path / "out"
    told = r"out can't be replaced \(.*another process has filled it meanwhile"
    with pytest.raises(OSError, match=told), filling(folder) as slow:
        (slow / "a").write_text("slow")
        with filling(folder) as quick:
            assert quick != slow and (slow / "a").exists()
            (quick / "b").write_text("quick")
    assert [path.name for path in folder.iterdir()] == ["b"]
    with pytest.raises(RuntimeError), filling(tmp_path / "other") as partial:
        (partial / "a").write_text("half")
        raise RuntimeError
    assert [*tmp_path.iterdir()] == [folder]


def test_readers_see_one_whole_content_while_many_write(tmp_path):
    path, texts = tmp_path / "notes.txt", [letter * 100_000 for letter in "abcd"]
    write_text(path, texts[0])
    faults = []

    def write(text):
        try:
            for _ in range(30):
                write_text(path, text)
        except OSError as error:
            faults.append(error)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_text() in texts
    assert not faults
    assert list(tmp_path.iterdir()) == [path]


def test_hdf5_which_locks_what_it_writes_can_write(tmp_path):
    h5py = pytest.importorskip("h5py")
    for number in range(2):
        with replacing(tmp_path / "weights.h5") as partial, h5py.File(partial, "w") as file:
            file["number"] = number
    with h5py.File(tmp_path / "weights.h5") as file:
        assert file["number"][()] == 1


KILLED = """
import os, signal, sys
from siamese_nn.files import replacing
with replacing(sys.argv[1]) as partial:
    partial.write_text("half")
    print(partial, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "notes.txt"
    write_text(path, "old")
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], env=CHILD_ENVIRONMENT, capture_output=True, text=True
    )
    assert child.returncode == -signal.SIGKILL
    left = Path(child.stdout.strip())
    assert left.read_text() == "half" and path.read_text() == "old"
    others = [".partial-notes.txt", ".partial-mine-notes.txt", ".partial-0123abcd-other.txt", "target"]
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    (tmp_path / ".partial-89abcdef-notes.txt").symlink_to("folder")  # a link is not followed
    write_text(path, "new")
    assert not left.parent.exists() and path.read_text() == "new"
    assert [(tmp_path / name).read_text() for name in others] == ["mine"] * 4
    assert (tmp_path / "folder" / "mine").exists()


@pytest.mark.skipif(os.name != "posix", reason="owners and permissions")
def test_permissions_hold_from_the_first_byte(tmp_path):
    for options, expected in (({}, 0o666 & ~_umask()), ({"mode": 0o600}, 0o600)):
        with replacing(tmp_path / "notes.txt", **options) as partial:
            assert stat.S_IMODE(partial.stat().st_mode) == expected
        assert stat.S_IMODE((tmp_path / "notes.txt").stat().st_mode) == expected


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("text", ["", "{", "[" * 200_000, "{'a': 1}", "\udcff"])
def test_damaged_json_is_named(tmp_path, text):
    (tmp_path / "facts.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"facts\.json is damaged .*Remove it"):
        read_json(tmp_path / "facts.json")
    write_text(tmp_path / "facts.json", '{"a": [1]}')
    assert read_json(tmp_path / "facts.json") == {"a": [1]}
