import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from siamese_nn import datasets
from siamese_nn.cli import main
from siamese_nn.datasets import ImageError, shard_writing
from siamese_nn.datasets.digests import people_digest
from siamese_nn.datasets.photo_files import in_threads
from siamese_nn.datasets.shards import NOTE

pytestmark = pytest.mark.once

SIZE = {"image_size": (16, 16)}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shard_writing, "PHOTOS_A_SHARD", 5)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Twelve photos of five people, of names whose order by folder is not their order by path."""
    folder, rng = tmp_path_factory.mktemp("people") / "people", np.random.default_rng(0)
    names = ["Ada", "Ada Lovelace", "Ada-May", "Élise", "Zoë"]
    for i in range(12):
        path = folder / names[i % 5] / f"photo {i}.{'png' if i % 3 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20 + i, 20, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def written(people):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_writing, "PHOTOS_A_SHARD", 5)
        datasets.write_shards(people, people.with_name("shards"))
    return people.with_name("shards")


@pytest.fixture
def shards(written, tmp_path):
    return shutil.copytree(written, tmp_path / "shards")


def photos_of(people):
    return [path for own in people.values() for path in own]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".tfrecord", ".npy")}


def test_shards_hold_what_the_folder_holds(people, shards):
    folder, stored = datasets.photos_by_identity(people), datasets.read_shards(shards)
    assert datasets.photos_by_identity(shards) == stored
    relative = [
        {name: [os.path.relpath(p, root) for p in own] for name, own in listed.items()}
        for listed, root in ((folder, people), (stored, shards))
    ]
    assert relative[0] == relative[1]
    assert list(folder) == list(stored)
    files, names = photos_of(folder), photos_of(stored)
    assert datasets.photo_sizes(names) == datasets.photo_sizes(files)
    assert people_digest(stored) == people_digest(folder)
    np.testing.assert_array_equal(datasets.load_images(names, **SIZE), datasets.load_images(files, **SIZE))
    assert datasets.make_pairs(stored).keys() == datasets.make_pairs(folder).keys()


def test_a_relative_name_is_that_of_the_folder_one_is_in(people, shards, tmp_path, monkeypatch):
    other = tmp_path / "other" / "shards"
    shutil.copytree(people / "Ada", tmp_path / "few" / "Ada")
    datasets.write_shards(tmp_path / "few", other)
    for root in (tmp_path, other.parent):
        monkeypatch.chdir(root)
        path = photos_of(datasets.read_shards("shards"))[-1]
        np.testing.assert_array_equal(
            datasets.load_image(path, **SIZE), datasets.load_image(root / path, **SIZE)
        )
    with pytest.raises(ImageError, match="no such image"):
        datasets.load_image("shards/Zoë/photo 4.png")


def test_others_read_them_as_tfrecord_files(people, shards):
    records = tf.data.TFRecordDataset(sorted(map(str, shards.glob("*.tfrecord")))).as_numpy_iterator()
    examples = [tf.train.Example.FromString(record).features.feature for record in records]
    texts = [
        [example[key].bytes_list.value[0] for key in ("image/filename", "image/class/text", "image/encoded")]
        for example in examples
    ]
    files = sorted(path for path in people.glob("*/*"))
    assert sorted(name.decode() for name, _, _ in texts) == sorted(str(f.relative_to(people)) for f in files)
    for name, person, content in texts:
        assert (people / name.decode()).read_bytes() == content
        assert name.startswith(person + b"/")


@pytest.mark.parametrize("make", ["identity_dataset", "photo_dataset", "pair_dataset"])
def test_batches_are_those_of_the_folder(people, shards, make):
    def batches(folder):
        listed = datasets.photos_by_identity(folder)
        options = SIZE | {"memory_limit": 0, "seed": 3}
        if make == "pair_dataset":
            return datasets.pair_dataset(datasets.make_pairs(listed), **options, batch_size=4)
        names = [name for name, own in listed.items() for _ in own]
        sizes = (
            {"identities_per_batch": 2, "images_per_identity": 2} if "identity" in make else {"batch_size": 5}
        )
        return getattr(datasets, make)(photos_of(listed), names, **options, **sizes)

    ours, theirs = (batches(folder) for folder in (shards, people))
    for _ in range(2):  # each epoch has an order of its own
        for own, other in zip(ours, theirs, strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, own, other)


class Killed(BaseException):
    pass


def kill_at(monkeypatch, photo):
    """Makes a writer die at a photo. Returns those that it reads."""
    of_folder, read = shard_writing._of_folder, []

    def mortal(source):
        own = of_folder(source)

        def killed(i):
            read.append(i)
            if i == photo:
                raise Killed
            return own.read(i)

        return own._replace(read=killed)

    monkeypatch.setattr(shard_writing, "_of_folder", mortal)
    return read


def test_a_killed_writer_goes_on_to_the_same_files(people, shards, tmp_path, monkeypatch):
    whole, output = contents(shards), tmp_path / "cut"
    with monkeypatch.context() as patch:
        kill_at(patch, 7)  # with the second shard half written
        with pytest.raises(Killed):
            datasets.write_shards(people, output)
    assert contents(output) == {name: whole[name] for name in whole if "00000" in name}
    with pytest.raises(ImageError, match=r"cut is not finished: .* `siamese-nn shards SOURCE .*cut`"):
        datasets.read_shards(output)
    shutil.copy(shards / "photos-00001.tfrecord", output)  # put in place, and killed before its index was
    (output / "photos-00001.tfrecord").write_bytes(b"half")
    first = (output / "photos-00000.tfrecord").stat().st_mtime_ns
    datasets.write_shards(people, output)
    assert contents(output) == whole
    assert (output / "photos-00000.tfrecord").stat().st_mtime_ns == first


@pytest.mark.parametrize("name", ["photos-00000.tfrecord", "photos-00000.npy"])
def test_damage_after_a_kill_is_no_part_of_what_is_finished(people, shards, tmp_path, monkeypatch, name):
    output = tmp_path / "cut"
    with monkeypatch.context() as patch:
        kill_at(patch, 7)
        with pytest.raises(Killed):
            datasets.write_shards(people, output)
    content = bytearray((output / name).read_bytes())
    content[len(content) // 2] ^= 1
    (output / name).write_bytes(content)
    datasets.write_shards(people, output)
    assert contents(output) == contents(shards)


def test_damaged_photos_are_all_named_and_cost_their_shards_alone(people, tmp_path, monkeypatch):
    source, output = tmp_path / "source", tmp_path / "shards"
    shutil.copytree(people, source)
    photos = sorted(photos_of(datasets.photos_by_identity(source)))
    for path in (photos[i] for i in (0, 3, 11)):  # the first and the last of three shards
        Path(path).write_bytes(Path(path).read_bytes()[:-20])
    with pytest.raises(ImageError) as error:
        datasets.write_shards(source, output)
    assert [line.split(": ")[0] for line in str(error.value).split("\n")] == [photos[i] for i in (0, 3, 11)]
    for path in (photos[i] for i in (0, 3)):
        shutil.copy(people / Path(path).relative_to(source), path)
    Path(photos[11]).unlink()
    with monkeypatch.context() as patch:
        read = kill_at(patch, None)
        assert datasets.write_shards(source, output)["photos"] == 11
    assert sorted(read) == [0, 1, 2, 3, 4, 10]
    stored = sorted(photos_of(datasets.read_shards(output)))
    np.testing.assert_array_equal(
        datasets.load_images(stored, **SIZE), datasets.load_images(photos[:11], **SIZE)
    )


def test_other_rights_and_a_copy_make_no_other_photos(people, shards, tmp_path):
    source, whole = tmp_path / "source", contents(shards)
    shutil.copytree(people, source)
    Path(photos_of(datasets.photos_by_identity(source))[0]).chmod(0o600)
    datasets.write_shards(source, shards)
    assert contents(shards) == whole


def test_where_faces_lie_is_checked_as_all_else(people, shards, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(people, source)
    frame = '{"points": [[5, 7.5], [14, 7], [10, 12], [6, 15], [13, 15]], "size": [20, 20]}'
    (source / "frame.json").write_text(frame)
    output = tmp_path / "new"
    datasets.write_shards(source, output)
    photos = photos_of(datasets.read_shards(output))
    known = datasets.known_frame(photos)
    assert known.points[0] == (5, 7.5) or known.points[0] == [5, 7.5]
    for damage in (lambda file: file.write_text(frame.replace("7.5", "8.5")), Path.unlink):
        damage(output / "frame.json")
        os.utime(output / NOTE)
        with pytest.raises(ImageError, match=r"frame.json is damaged: .*siamese-nn shards SOURCE"):
            datasets.known_frame(photos)
        datasets.write_shards(source, output)
        assert datasets.known_frame(photos) == known


def test_any_number_of_folders_is_read_once(shards, tmp_path, monkeypatch):
    photos = []
    for i in range(5):
        shutil.copytree(shards, tmp_path / str(i))
        photos += photos_of(datasets.read_shards(tmp_path / str(i)))
    monkeypatch.setattr("siamese_nn.datasets.shards._Shard", None)
    assert len(datasets.photo_sizes(photos)) == 60


@pytest.mark.parametrize("name", ["photos-00001.tfrecord", "photos-00001.npy"])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_damage_is_refused_and_mended(people, shards, name, damage):
    whole, file = contents(shards), shards / name
    photos = photos_of(datasets.read_shards(shards))
    content = bytearray(whole[name])
    content[len(content) // 2] ^= 1
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if damage == "cut" else content)
    os.utime(shards / NOTE)  # as if another process were the reader
    with pytest.raises(ImageError, match=rf"{name} .*siamese-nn shards SOURCE"):
        for photo in photos:
            datasets.load_image(photo)
    datasets.write_shards(people, shards)
    assert contents(shards) == whole
    os.utime(shards / NOTE)
    datasets.load_images(photos)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 9}', '{"version": 1, "finished": true, "shards": [{}]}', '"\x00"']
)
def test_a_damaged_note_is_refused(people, shards, text):
    whole = contents(shards)
    (shards / NOTE).write_text(text)
    with pytest.raises(ImageError, match=rf"{NOTE} is damaged .*siamese-nn shards SOURCE"):
        datasets.read_shards(shards)
    if text in ("", "[]", "{}", '"\x00"'):
        datasets.write_shards(people, shards)
        assert len(photos_of(datasets.read_shards(shards))) == 12
    else:  # of another version, or finished and of nobody knows which photos
        with pytest.raises(ValueError, match=r"or remove .*shards|or remove that one"):
            datasets.write_shards(people, shards)
    assert contents(shards) == whole


def test_what_cannot_become_shards_is_refused(people, shards, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(people, changed)
    Image.new("L", (20, 20)).save(next(changed.glob("Ada/*.jpg")))
    with pytest.raises(ValueError, match=r"shards was written from other photos than those in .*changed"):
        datasets.write_shards(changed, shards)
    for source, fault in ((tmp_path / "none", "is missing"), (shards / NOTE, "is neither")):
        with pytest.raises(FileNotFoundError, match=rf"`source` must be a folder .*, which {fault}"):
            datasets.write_shards(source, tmp_path / "new")
    with pytest.raises(ValueError, match="must not lie in that of the photos"):
        datasets.write_shards(people, people / "shards")
    with pytest.raises(ValueError, match="must be a new folder, or one of shards.*: Ada, Ada"):
        datasets.write_shards(people, changed)
    photo = next(changed.glob("Ada/*.png"))
    photo.write_bytes(photo.read_bytes()[:-20])
    with pytest.raises(ImageError, match=rf"{photo}: "):
        datasets.write_shards(changed, tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="must be a folder of shards"):
        datasets.read_shards(people)
    with pytest.raises(ImageError, match="no such image"):
        datasets.load_image(shards / "Ada" / "none.jpg")


def test_names_are_kept_once_and_do_not_wait_in_a_queue(people):
    paths = photos_of(datasets.photos_by_identity(people))
    photos = datasets.DecodedPhotos(paths, datasets.PhotoFormat((16, 16)), memory_limit=0)
    assert all(kept is path for kept, path in zip(photos.paths, paths, strict=True))
    called = []
    next(in_threads(called.append, range(5000)))
    assert len(called) <= 1024


# A set as MXNet writes it: https://mxnet.apache.org/versions/1.9.1/api/faq/recordio
def record(labels, content, key):
    flag, label = (0, labels[0]) if len(labels) == 1 else (len(labels), 0)
    more = struct.pack(f"<{len(labels)}f", *labels) if flag else b""
    data = struct.pack("<IfQQ", flag, label, key, 0) + more + content
    magic = struct.pack("<I", 0xCED7230A)
    cuts = [i for i in range(0, len(data) - 3, 4) if data[i : i + 4] == magic]
    parts = [data[a + 4 if a else 0 : b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    whole = b""
    for i, part in enumerate(parts):
        kind = 0 if len(parts) == 1 else 1 if i == 0 else 3 if i == len(parts) - 1 else 2
        whole += magic + struct.pack("<I", kind << 29 | len(part)) + part + b"\0" * (-len(part) % 4)
    return whole


def write_set(folder, records, people):
    folder.mkdir()
    lines, whole = [], b""
    for key, labels, content in records:
        lines.append(f"{key}\t{len(whole)}\n")
        whole += record(labels, content, key)
    (folder / "train.rec").write_bytes(whole)
    (folder / "train.idx").write_text("".join(lines))
    (folder / "property").write_text(f"{people},24,20")
    return folder / "train.rec"


def set_of(files, *, header=True):
    photos = [(i, [i % 3], file.read_bytes()) for i, file in enumerate(files, 1)]
    # The mark of a record within a photo, at a multiple of four bytes: behind the end of a JPEG nobody looks.
    key, labels, content = photos[1]
    photos[1] = (key, [*labels, 0.5], content + bytes(-len(content) % 4) + struct.pack("<I", 0xCED7230A) * 2)
    if not header:
        return photos
    ranges = [(len(photos) + 1 + i, [1, 2], b"") for i in range(3)]
    return [(0, [len(photos) + 1, len(photos) + 4], b""), *photos, *ranges]


@pytest.mark.parametrize("header", [True, False])
def test_a_set_in_recordio_becomes_shards(people, tmp_path, header, capsys):
    files = sorted(people.glob("*/*.jpg"))
    records = set_of(files, header=header)
    rec = write_set(tmp_path / "set", records, 3)
    assert main(["shards", str(rec), str(tmp_path / "shards")]) == 0
    assert "3 people, 4 photos, 1 shards" in capsys.readouterr().out
    stored = datasets.read_shards(tmp_path / "shards")
    assert {name: [Path(p).stem for p in own] for name, own in stored.items()} == {
        "0": ["3"],
        "1": ["1", "4"],
        "2": ["2"],
    }
    for path in photos_of(stored):
        wanted = next(content for key, _, content in records if key == int(Path(path).stem))
        np.testing.assert_array_equal(datasets.load_image(path, **SIZE), datasets.load_image(wanted, **SIZE))


FAULTS = {
    "train.rec is damaged or cut off": lambda folder: (folder / "train.rec").write_bytes(
        (folder / "train.rec").read_bytes()[:-40]
    ),
    "train.idx:2: each line": lambda folder: (folder / "train.idx").write_text("1\t0\n1\t0\n"),
    "train.idx must list": lambda folder: (folder / "train.idx").write_text(""),
    "train.idx must be a file": lambda folder: (folder / "train.idx").unlink(),
    "train.idx:1: each line": lambda folder: (folder / "train.idx").write_text("1\t-1\n"),
    "train.rec is damaged or cut off: it ends at byte": lambda folder: (folder / "train.rec").write_bytes(
        (folder / "train.rec").read_bytes()[:100]
    ),
    "train.idx must list all records of train.rec": lambda folder: (folder / "train.idx").write_text(
        "".join((folder / "train.idx").read_text().splitlines(keepends=True)[:2])
    ),
    "no whole record begins at byte 4": lambda folder: (folder / "train.idx").write_text("1\t4\n"),
    "less than the 2 of `property`": lambda folder: (folder / "property").write_text("2,24,20"),
    "property must hold": lambda folder: (folder / "property").write_text("many"),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_damaged_set_is_refused(people, tmp_path, message):
    rec = write_set(tmp_path / "set", set_of(sorted(people.glob("*/*.jpg")), header=False), 3)
    FAULTS[message](tmp_path / "set")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        datasets.write_shards(rec, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


def test_a_damaged_photo_of_a_set_and_a_folder_for_its_file_are_told(tmp_path, capsys):
    rec = write_set(tmp_path / "set", [(1, [0], b"photo")], 3)
    with pytest.raises(ImageError, match=rf"{rec}, record 1: not a whole [^.]*\. Fetch the set again$"):
        datasets.write_shards(rec, tmp_path / "shards")
    for command in (["shards", str(rec.parent), str(tmp_path / "new")], ["train", "--data", str(rec.parent)]):
        assert main(command) == 1
        assert f"`siamese-nn shards {rec} SHARDS`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "message"),
    [([np.nan], "whole number"), ([-1], "whole"), ([0.5], "whole"), ([np.inf], "whole")],
)
def test_a_label_that_names_nobody_is_refused(tmp_path, labels, message):
    rec = write_set(tmp_path / "set", [(1, labels, b"photo")], 3)
    with pytest.raises(ValueError, match=message):
        datasets.write_shards(rec, tmp_path / "shards")
