"""A folder of people, or a set in RecordIO, to shards: TFRecord files with an index of the photos in each."""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from ..files import digest, locked, read_json, replacing, write_text
from .frames import known_frame
from .images import load_image, size_of
from .photo_files import in_threads, photo_version, read_photo
from .photo_folders import LOCK, photos_by_identity, some
from .photo_format import ImageError
from .recordio import find_records, read_record
from .shards import FRAME, NOTE, VERSION, is_shards

PHOTOS_A_SHARD = 8192
_AT_A_TIME = 64  # photos in memory
_FRAMING = (12, 4)  # bytes that a TFRecord has before and after its data
_OWN = re.compile(r"photos-[0-9]{5}\.(tfrecord|npy)")


class _Source(NamedTuple):
    """Photos by their names in the shards, `Ada Lovelace/any name.jpg`, sorted."""

    names: list[str]
    read: Callable[[int], bytes]
    version: Callable[[int], str | None]  # what tells a photo from an earlier one of its name, unread
    fault: Callable[[int, str], str]  # what is said of a damaged photo
    frame: Any = None


def write_shards(source: str | os.PathLike, output: str | os.PathLike) -> dict[str, int]:
    """Writes people's photos into a few large files, which are faster to copy, list and check than a million.

    A shard is a TFRecord file of up to 8,192 photos: a `tf.train.Example` each, with the photo's file as it
    is in `image/encoded`, its name in `image/filename`, and who is on it in `image/class/text`. An index
    beside it holds for each photo its place, its size and its SHA-256, which each reading checks. So photos
    are read one by one, in any order, and what is trained on them is, bit by bit, what is trained on the
    folder. `read_shards` lists them.

    Killed at any moment, or after a damaged photo has been mended or removed, the same call goes on: shards
    whose photos are the same stay. Called again, it checks each file and writes anew what is damaged or
    missing. Nothing reads shards that are not finished.

    Args:
        source: a folder that `photos_by_identity` reads, of photos that are aligned already; or the
            `train.rec` of one of InsightFace's sets, whose people are called by their numbers.
        output: the folder to make or to go on with, outside of `source`.

    Returns:
        The number of `people`, `photos` and `shards`.

    Raises:
        FileNotFoundError: if there is no such `source`.
        ImageError: if photos are damaged; all are named, and shards without one are written.
        ValueError: if `photos_by_identity` refuses the folder, the set is damaged, or `output` holds
            something else or finished shards of other photos, or is being written by another process.
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
    require_new_or_shards(source, output)
    photos = _of_folder(source) if source.is_dir() else _of_set(source)
    busy = ValueError(f"Another process is writing {output}. Wait for it, or choose another folder")
    with locked(output / LOCK, busy):
        before = _before(output)
        parts = [
            range(start, min(start + PHOTOS_A_SHARD, len(photos.names)))
            for start in range(0, len(photos.names), PHOTOS_A_SHARD)
        ]
        notes = _notes_of_same_photos(before, photos, parts)
        if before.get("finished") and (None in notes or len(notes) != len(before["shards"])):
            raise ValueError(
                f"{output} was written from other photos than those in {source}, or some have changed since. "
                "Choose another folder, or remove that one"
            )
        faults: list[str] = []
        with tqdm(total=len(photos.names), desc="writing shards", unit="photo", disable=None) as bar:
            for number, (which, note) in enumerate(zip(parts, notes, strict=True)):
                file = output / f"photos-{number:05}.tfrecord"
                if note is None or not _is_whole(file, note):
                    _write_note(output, notes)
                    try:
                        notes[number] = _write(file, photos, which)
                    except ImageError as error:
                        notes[number] = None
                        faults.append(str(error))
                bar.update(len(which))
        if faults:
            _write_note(output, notes)
            raise ImageError("\n".join(faults))
        if photos.frame is None:
            (output / FRAME).unlink(missing_ok=True)
        else:
            write_text(output / FRAME, json.dumps({"points": photos.frame.points, "size": photos.frame.size}))
        _write_note(output, notes, finished=True)
        kept = {name for note in notes if note for name in (note["file"], note["index"])}
        for file in output.iterdir():
            if _OWN.fullmatch(file.name) and file.name not in kept:  # there were more photos before
                file.unlink()
    people = len({name.partition("/")[0] for name in photos.names})
    return {"people": people, "photos": len(photos.names), "shards": len(notes)}


def require_new_or_shards(source: Path, output: Path) -> None:
    """Refuses an output folder within that of the photos, and one that holds something else than shards."""
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"The folder of shards must not lie in that of the photos. Received: {output}")
    names = [entry.name for entry in output.iterdir()] if output.is_dir() else []
    own = (LOCK, ".partial-", NOTE, FRAME)
    others = sorted(name for name in names if not (name.startswith(own) or _OWN.fullmatch(name)))
    if others and not _before(output):
        raise ValueError(
            f"{output} must be a new folder, or one of shards. Received one with other files: {some(others)}"
        )


def _before(output: Path) -> dict[str, Any]:
    """What `NOTE` says; nothing if it is missing or damaged: then all shards are written anew."""
    try:
        before = read_json(output / NOTE) if is_shards(output) else {}
    except ValueError:
        before = {}
    if not isinstance(before, dict) or "version" not in before:
        return {}
    if before["version"] != VERSION:
        raise ValueError(
            f"{output / NOTE} must be of version {VERSION}. Received: {before['version']!r}. Choose another "
            f"folder, or remove {output}"
        )
    return before if isinstance(before.get("shards"), list) else {}


def _write_note(output: Path, notes: list[dict[str, Any] | None], *, finished: bool = False) -> None:
    frame = digest(output / FRAME) if finished and (output / FRAME).is_file() else None
    content = {"version": VERSION, "finished": finished, "frame": frame, "shards": notes}
    write_text(output / NOTE, json.dumps(content, indent=1) + "\n")


def _notes_of_same_photos(
    before: dict[str, Any], photos: _Source, parts: list[range]
) -> list[dict[str, Any] | None]:
    """For each shard what `NOTE` says of it, or `None` where it says nothing or was of other photos."""
    told = before.get("shards", [])
    notes: list[dict[str, Any] | None] = []
    for number, which in enumerate(parts):
        note = told[number] if number < len(told) else None
        if isinstance(note, dict) and note.get("source") != (version := _version(photos, which)):
            # Copied, moved, or with other rights? Their content tells, which takes longer.
            note = note | {"source": version} if note.get("photos") == _content(photos, which) else None
        notes.append(note if isinstance(note, dict) else None)
    return notes


def _digest(photos: _Source, which: Sequence[int], facts: Iterable[str | None]) -> str:
    told = sha256()
    for i, fact in zip(which, facts, strict=True):
        told.update(f"{photos.names[i]}\n{fact}\n".encode())
    return told.hexdigest()


def _version(photos: _Source, which: Sequence[int]) -> str:
    return _digest(photos, which, map(photos.version, which))


def _content(photos: _Source, which: Sequence[int]) -> str:
    try:
        return _digest(photos, which, in_threads(lambda i: sha256(photos.read(i)).hexdigest(), which))
    except ImageError:  # one that cannot be read is not the same
        return ""


def _of_folder(source: Path) -> _Source:
    people = photos_by_identity(source)
    paths = {f"{name}/{os.path.basename(path)}": path for name, own in people.items() for path in own}
    names = sorted(paths)
    return _Source(
        names,
        read=lambda i: read_photo(paths[names[i]]),
        version=lambda i: photo_version(paths[names[i]]),
        fault=lambda i, fault: fault.replace("the photo:", f"{paths[names[i]]}:", 1),
        frame=known_frame(paths.values()),
    )


def _of_set(source: Path) -> _Source:
    records = find_records(source)
    digits = len(str(max(max(record.label, record.key) for record in records)))
    files = " ".join(str(photo_version(file)) for file in (source, source.with_suffix(".idx")))

    def fault(i: int, text: str) -> str:  # there is no file of the photo to replace
        what = text.partition(". ")[0].removeprefix("the photo: ")
        return f"{source}, record {records[i].key}: {what}. Fetch the set again"

    return _Source(
        names=[f"{record.label:0{digits}}/{record.key:0{digits}}.jpg" for record in records],
        read=lambda i: read_record(source, records[i].offset),
        version=lambda i: files,
        fault=fault,
    )


def _facts(file: Path) -> dict[str, Any]:
    """What `NOTE` says of a shard's two files."""
    index = file.with_suffix(".npy")
    names = {"file": file.name, "index": index.name, "bytes": file.stat().st_size}
    return names | {"sha256": digest(file), "index_sha256": digest(index)}


def _is_whole(file: Path, note: dict[str, Any]) -> bool:
    there = file.is_file() and file.with_suffix(".npy").is_file()
    return there and _facts(file).items() <= note.items()


def _write(file: Path, photos: _Source, which: Sequence[int]) -> dict[str, Any]:
    """Writes a shard and its index, and returns what `NOTE` says of them. Damaged photos are all named."""
    import tensorflow as tf

    version = _version(photos, which)
    names = [photos.names[i].encode() for i in which]
    columns = [("name", f"S{max(map(len, names))}"), ("offset", "<u8"), ("size", "<u4")]
    rows = np.zeros(len(names), [*columns, ("height", "<u4"), ("width", "<u4"), ("sha256", "u1", (32,))])

    def read(i: int) -> tuple[bytes, tuple[int, int]] | str:
        try:
            content = photos.read(i)
            load_image(content, image_size=(8, 8))  # whole, and not only there
            return content, size_of(content)
        except ImageError as error:
            return photos.fault(i, str(error))

    faults: list[str] = []
    position = done = 0
    try:
        with (
            replacing(file) as partial,
            tf.io.TFRecordWriter(str(partial)) as writer,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            for start in range(0, len(which), _AT_A_TIME):
                for found in pool.map(read, which[start : start + _AT_A_TIME]):
                    if faults or isinstance(found, str):
                        faults += [found] if isinstance(found, str) else []
                        continue
                    content, size = found
                    record = _example(tf, names[done], content)
                    place = position + _FRAMING[0] + record.index(content)
                    hashed = np.frombuffer(sha256(content).digest(), np.uint8)
                    rows[done] = (names[done], place, len(content), *size, hashed)
                    writer.write(record)
                    position, done = position + sum(_FRAMING) + len(record), done + 1
            if faults:
                raise ImageError("\n".join(faults))
    except tf.errors.OpError as error:
        raise OSError(
            f"{file} cannot be written ({error.message}). Mend that; the same call goes on"
        ) from error
    with replacing(file.with_suffix(".npy")) as partial, partial.open("wb") as index:
        np.save(index, rows)
    content_digest = _digest(photos, which, (own.tobytes().hex() for own in rows["sha256"]))
    return _facts(file) | {"source": version, "photos": content_digest}


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
