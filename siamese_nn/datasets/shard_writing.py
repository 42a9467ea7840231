"""A folder of people, or a set in RecordIO, to shards: TFRecord files with an index of the photos in each."""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from ..files import digest, locked, read_json, replacing, write_text
from .frames import known_frame
from .images import load_image, size_of
from .photo_files import photo_version, read_photo
from .photo_folders import FRAME, LOCK, photos_by_identity
from .photo_format import ImageError
from .recordio import find_records, read_record
from .shards import NOTE, VERSION, is_shards

PHOTOS_A_SHARD = 8192
_AT_A_TIME = 64  # photos in memory
_FRAMING = (12, 4)  # bytes that a TFRecord has before and after its data


class _Source(NamedTuple):
    """Photos by their names in the shards, `Ada Lovelace/any name.jpg`, sorted."""

    names: list[str]
    read: Callable[[int], bytes]
    digest: str
    place: Path
    frame: Any = None


def write_shards(source: str | os.PathLike, output: str | os.PathLike) -> dict[str, int]:
    """Writes people's photos into a few large files, which are faster to copy, list and check than a million.

    A shard is a TFRecord file of up to 8,192 photos: a `tf.train.Example` each, with the photo's file as it
    is in `image/encoded`, its name in `image/filename`, and who is on it in `image/class/text`. An index
    beside it holds for each photo its place, its size and its SHA-256, which each reading checks. So photos
    are read one by one, in any order, and what is trained on them is, bit by bit, what is trained on the
    folder. `read_shards` lists them.

    Killed at any moment, the same call goes on. Called again, it checks each file and writes anew what is
    damaged or missing. Nothing reads shards that are not finished.

    Args:
        source: a folder that `photos_by_identity` reads, of photos that are aligned already; or the
            `train.rec` of one of InsightFace's sets, whose people are called by their numbers.
        output: the folder to make or to go on with, outside of `source`.

    Returns:
        The number of `people`, `photos` and `shards`.

    Raises:
        FileNotFoundError: if there is no such `source`.
        ImageError: if a photo is damaged; it is named.
        ValueError: if `photos_by_identity` refuses the folder, the set is damaged, or `output` holds
            something else or shards of other photos, or is being written by another process.
        OSError: if `output` can't be written, as on a full disk; the same call goes on.

    Example:
        >>> write_shards("faces/lfw2", "shards")
        {'people': 64, 'photos': 256, 'shards': 1}
    """
    source, output = Path(source), Path(output)
    if not source.is_dir() and not (source.is_file() and source.suffix == ".rec"):
        raise FileNotFoundError(
            "`source` must be a folder with a folder of photos for each person, or the train.rec of an "
            f"InsightFace set. Received: {source}, which {'is neither' if source.exists() else 'is missing'}"
        )
    _require_own(source, output)
    photos = _of_folder(source) if source.is_dir() else _of_set(source)
    busy = ValueError(f"Another process is writing {output}. Wait for it, or choose another folder")
    with locked(output / LOCK, busy):
        claim = {"version": VERSION, "source": photos.digest}
        before = read_json(output / NOTE) if is_shards(output) else None
        if before is None:
            before = claim | {"finished": False, "shards": []}
            write_text(output / NOTE, json.dumps(before))
        if not isinstance(before, dict) or any(before.get(key) != value for key, value in claim.items()):
            raise ValueError(
                f"{output} was written from other photos than those in {source}, or some have changed since. "
                "Choose another folder, or remove that one"
            )
        known = before.get("shards") if before.get("finished") else None
        notes = []
        with tqdm(total=len(photos.names), desc="writing shards", unit="photo", disable=None) as bar:
            for start in range(0, len(photos.names), PHOTOS_A_SHARD):
                file = output / f"photos-{start // PHOTOS_A_SHARD:05}.tfrecord"
                which = range(start, min(start + PHOTOS_A_SHARD, len(photos.names)))
                note = _note_of(file)
                if note is None or (isinstance(known, list) and note not in known):
                    _write(file, photos, which)
                    note = _note_of(file)
                notes.append(note)
                bar.update(len(which))
        if photos.frame is not None:
            write_text(output / FRAME, json.dumps({"points": photos.frame.points, "size": photos.frame.size}))
        write_text(output / NOTE, json.dumps(claim | {"finished": True, "shards": notes}, indent=1) + "\n")
    people = len({name.partition("/")[0] for name in photos.names})
    return {"people": people, "photos": len(photos.names), "shards": len(notes)}


def _require_own(source: Path, output: Path) -> None:
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"The folder of shards must not lie in that of the photos. Received: {output}")
    own = (LOCK, ".partial-")
    others = output.is_dir() and any(not entry.name.startswith(own) for entry in output.iterdir())
    if others and not is_shards(output):
        raise ValueError(f"{output} must be a new folder, or one of shards. Received one with other files")


def _of_folder(source: Path) -> _Source:
    people = photos_by_identity(source)
    paths = {f"{name}/{os.path.basename(path)}": path for name, own in people.items() for path in own}
    names = sorted(paths)
    told = sha256()
    for name in names:
        told.update(f"{name}\n{photo_version(paths[name])}\n".encode())
    frame = known_frame(paths.values())
    return _Source(names, lambda i: read_photo(paths[names[i]]), told.hexdigest(), source, frame)


def _of_set(source: Path) -> _Source:
    records = find_records(source)
    digits = len(str(max(max(record.label, record.key) for record in records)))
    names = [f"{record.label:0{digits}}/{record.key:0{digits}}.jpg" for record in records]
    told = sha256(f"{photo_version(source)} {photo_version(source.with_suffix('.idx'))}".encode())
    return _Source(names, lambda i: read_record(source, records[i].offset), told.hexdigest(), source)


def _note_of(file: Path) -> dict[str, Any] | None:
    """What `NOTE` says of a shard; `None` where it is not there, which its index tells that comes last."""
    index = file.with_suffix(".npy")
    if not (index.is_file() and file.is_file()):
        return None
    names = {"file": file.name, "index": index.name, "bytes": file.stat().st_size}
    return names | {"sha256": digest(file), "index_sha256": digest(index)}


def _write(file: Path, photos: _Source, which: Sequence[int]) -> None:
    """Writes a shard, and then the index without which it is none."""
    import tensorflow as tf

    file.with_suffix(".npy").unlink(missing_ok=True)
    names = [photos.names[i].encode() for i in which]
    columns = [("name", f"S{max(map(len, names))}"), ("offset", "<u8"), ("size", "<u4")]
    rows = np.zeros(len(names), [*columns, ("height", "<u4"), ("width", "<u4"), ("sha256", "u1", (32,))])

    def read(i: int) -> tuple[bytes, tuple[int, int]]:
        content = photos.read(i)
        try:
            load_image(content, image_size=(8, 8))  # whole, and not only there
            return content, size_of(content)
        except ImageError as error:
            raise ImageError(
                str(error).replace("the photo", f"{photos.place / photos.names[i]}", 1)
            ) from error

    position = done = 0
    try:
        with (
            replacing(file) as partial,
            tf.io.TFRecordWriter(str(partial)) as writer,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            for start in range(0, len(which), _AT_A_TIME):
                for content, size in pool.map(read, which[start : start + _AT_A_TIME]):
                    record = _example(tf, names[done], content)
                    place = position + _FRAMING[0] + record.index(content)
                    hashed = np.frombuffer(sha256(content).digest(), np.uint8)
                    rows[done] = (names[done], place, len(content), *size, hashed)
                    writer.write(record)
                    position, done = position + sum(_FRAMING) + len(record), done + 1
    except tf.errors.OpError as error:
        raise OSError(
            f"{file} cannot be written ({error.message}). Mend that; the same call goes on"
        ) from error
    with replacing(file.with_suffix(".npy")) as partial, partial.open("wb") as index:
        np.save(index, rows)


def _example(tf: Any, name: bytes, content: bytes) -> bytes:
    values = {
        "image/encoded": content,
        "image/filename": name,
        "image/class/text": name.partition(b"/")[0],
    }
    features = {
        key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)
