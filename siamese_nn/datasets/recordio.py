"""InsightFace's sets in MXNet's RecordIO (`train.rec`, `train.idx`, `property`), read without MXNet."""

import os
import struct
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO, NamedTuple

_MAGIC = struct.pack("<I", 0xCED7230A)
_LENGTH = (1 << 29) - 1  # the bits of it; the three above say which part of a record it is
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_HEADER = struct.Struct("<IfQQ")  # how many labels follow, or 0 and the one label; two numbers of the record


class Record(NamedTuple):
    """A photo of a set."""

    label: int  # who is on it
    key: int  # its number in `train.idx`
    offset: int  # where its record begins in `train.rec`


def find_records(rec: str | os.PathLike) -> list[Record]:
    """Lists the photos of a set, without reading them.

    Args:
        rec: `train.rec`. `train.idx` must lie beside it: a line a record, its number and the byte where it
            begins. Where `property` lies beside it, too, it says how many people there are. InsightFace's
            record 0 says which records are photos; the others hold ranges of these, person by person.

    Returns:
        The photos by person, then by number.

    Raises:
        FileNotFoundError: if one of the two files is missing.
        ValueError: if a file is damaged or cut off; it is named with the line or byte.
    """
    rec = Path(rec)
    index = rec.with_suffix(".idx")
    for part in (rec, index):
        if not part.is_file():
            raise FileNotFoundError(
                f"{part} must be a file. A set in RecordIO is {rec.name} and {index.name} in one folder"
            )
    size = rec.stat().st_size
    offsets = _read_index(index, rec, size)
    n_people = _number_of_people(rec.with_name("property"))
    found = []
    with rec.open("rb") as file:
        _unpacked(rec, file, max(offsets.values()))
        if (end := file.tell()) + -end % 4 < size:
            raise ValueError(
                f"{index} must list all records of {rec.name}. Received: none behind byte {end} of {size}. "
                "Fetch it again"
            )
        labels, content = _unpacked(rec, file, offsets[0]) if 0 in offsets else ([], b"")
        photos: Collection[int] = offsets.keys()
        if len(labels) > 1 and not content:  # InsightFace's record 0: photos are those before this number
            if not 1 < labels[0] <= len(offsets):
                raise ValueError(
                    f"{rec}: record 0 must hold how many photos there are, and 1 more. Received: "
                    f"{labels[0]:g}, and {len(offsets)} records in {index.name}. Fetch the set again"
                )
            photos = range(1, int(labels[0]))
        for key in photos:
            if key not in offsets:
                raise ValueError(
                    f"{index} lists no record {key}, which {rec.name} promises. Fetch both again"
                )
            labels, content = _unpacked(rec, file, offsets[key])
            label = labels[0]
            if not 0 <= label < n_people or label != int(label) or not content:
                raise ValueError(
                    f"{rec}: a record must hold a photo, and who is on it as a whole number of 0 or more"
                    f"{f' and less than the {n_people} of `property`' if n_people < _LENGTH else ''}. "
                    f"Received in record {key}: {label:g}, {len(content)} bytes. Fetch the set again"
                )
            found.append(Record(int(label), key, offsets[key]))
    return sorted(found)


def read_record(rec: str | os.PathLike, offset: int) -> bytes:
    """Returns the photo's file in the record that begins at a byte.

    Raises:
        ValueError: if no whole record begins there.
    """
    with open(rec, "rb") as file:
        return _unpacked(Path(rec), file, offset)[1]


def _read_index(index: Path, rec: Path, size: int) -> dict[int, int]:
    offsets: dict[int, int] = {}
    for number, line in enumerate(index.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        try:
            key, offset = map(int, line.split("\t"))
        except ValueError:
            key = offset = -1
        if key < 0 or key in offsets or offset < 0:
            raise ValueError(
                f"{index}:{number}: each line must hold a record's number, another in each, a tab, and the "
                f"byte where it begins. Received: {line[:80]!r}. Fetch it again"
            )
        if offset >= size:
            raise ValueError(
                f"{rec} is damaged or cut off: it ends at byte {size}, and record {key} should begin at "
                f"{str(offset)[:20]} by {index.name}:{number}. Fetch both again"
            )
        offsets[key] = offset
    if not offsets:
        raise ValueError(f"{index} must list records. Received an empty file. Fetch it again")
    return offsets


def _number_of_people(file: Path) -> int:
    """What `property` says, as in `85742,112,112`; where it is missing, any number will do."""
    if not file.is_file():
        return _LENGTH
    text = file.read_text(encoding="ascii", errors="replace").strip()
    people = text.partition(",")[0]
    if not people.isdecimal() or int(people) < 1:
        raise ValueError(
            f"{file} must hold the number of people, height and width, as 85742,112,112. "
            f"Received: {text[:80]!r}. Fetch it again"
        )
    return int(people)


def _unpacked(rec: Path, file: BinaryIO, offset: int) -> tuple[list[float], bytes]:
    """The labels of a record and what else it holds."""
    record = _record(rec, file, offset)
    if len(record) >= _HEADER.size:
        n_labels, label, _, _ = _HEADER.unpack_from(record)
        start = _HEADER.size + 4 * n_labels
        if start <= len(record):
            labels = struct.unpack_from(f"<{n_labels}f", record, _HEADER.size) if n_labels else (label,)
            return list(labels), record[start:]
    raise ValueError(f"{rec} is damaged: the record at byte {offset} has no whole header. Fetch it again")


def _record(rec: Path, file: BinaryIO, offset: int) -> bytes:
    """The bytes of a record. One that held the mark of a beginning was cut there, and the mark left out."""
    file.seek(offset)
    parts: list[bytes] = []
    while True:
        head = file.read(8)
        kind, length = divmod(int.from_bytes(head[4:], "little"), _LENGTH + 1)
        part = file.read(length)
        if len(head) < 8 or head[:4] != _MAGIC or len(part) < length or kind > _LAST:
            raise ValueError(
                f"{rec} is damaged or cut off: no whole record begins at byte {offset}. Fetch it again, with "
                "its index"
            )
        if (kind in (_WHOLE, _FIRST)) != (not parts):
            raise ValueError(f"{rec} is damaged: the record at byte {offset} lacks a part. Fetch it again")
        parts.append(part)
        if kind in (_WHOLE, _LAST):
            return _MAGIC.join(parts)
        file.seek(-length % 4, os.SEEK_CUR)
