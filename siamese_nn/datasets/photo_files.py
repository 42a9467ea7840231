"""Reads photo files as bytes, within limits, and checks that they are whole."""

import io
import math
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import chain
from typing import Any, TypeVar

from PIL import Image

from .photo_format import ImageError
from .shards import find_in_shards

_Result = TypeVar("_Result")

_MOST_BYTES = 256_000_000  # the largest photo that is decoded, barely compressed
_MOST_SCANS = 100  # cameras and web encoders write 1 to 20; each costs a pass over all pixels
# What ends the data of a scan: no stuffed byte, no restart.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SCAN, _END, _LONE = 0xDA, 0xD9, (0x01, 0xD8)
_ARITHMETIC = (0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
# With the restart markers that a decoder may wait for before it goes on.
_NOISE = b"".join(
    sha256(bytes([i])).digest().replace(b"\xff", b"") + bytes([0xFF, 0xD0 + i % 8]) for i in range(16)
)
_BLOCK = 2**20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by PNG's colour types
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def require_photo_file(path: str | os.PathLike) -> None:
    """Raises `ImageError` unless `path` is a regular file: opening a pipe would wait for its writer."""
    if not os.path.isfile(path):
        no_file = "not a file, but a folder, a pipe or the like. Give a photo's file"
        raise ImageError(f"{path}: {no_file if os.path.exists(path) else 'no such image'}")


def read_photo(path: str | os.PathLike) -> bytes:
    """Reads a photo's file, which may lie in a shard.

    Raises:
        ImageError: if the file is missing, not a regular file, not readable, or larger than 256 MB; or if its
            shard is damaged.
    """
    try:
        if (stored := find_in_shards(path)) is not None:
            return stored.read()
        require_photo_file(path)
        with open(path, "rb") as file:
            # `file.read(_MOST_BYTES)` would take so much memory for each photo, if only for a moment.
            if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                raise ImageError(
                    f"{path}: more than the {_MOST_BYTES:,} bytes that are read. Make it smaller first"
                )
            return file.read()
    except OSError as error:
        raise ImageError(
            f"{path}: cannot be read ({error.strerror}). Make it readable or replace it"
        ) from error


def photo_version(path: str | os.PathLike) -> str | None:
    """Returns what tells a photo's file from an earlier one of its name, unread; `None` of one missing."""
    if (stored := find_in_shards(path)) is not None:
        return f"{stored.size} {stored.sha256}"
    try:
        facts = os.stat(path)
    except OSError:
        return None
    # The time of a change can be set back, that of a change of the file's facts can't.
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def in_threads(function: Callable[[Any], _Result], items: Sequence) -> Iterator[_Result]:
    """Calls a function for each item, with all cores; a million wait in no queue."""

    def task(start: int) -> list[_Result]:
        return [function(item) for item in items[start : start + 32]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(items), 1024):
            yield from chain.from_iterable(pool.map(task, range(start, min(start + 1024, len(items)), 32)))


def scan_ends(name: str | os.PathLike, content: bytes) -> list[int]:
    """Finds where the data of each scan of a JPEG end: quickly, even if decoding would take minutes.

    Args:
        name: the photo's name for an error.
        content: the bytes of the file.

    Returns:
        The position after the data of each scan; an empty list for another format.

    Raises:
        ImageError: if there are more than 100 scans, or arithmetic coding, which no camera writes and which
            cannot be checked to be whole.
    """
    ends: list[int] = []
    position = 2 if content.startswith(b"\xff\xd8") else len(content)
    while found := _MARKER.search(content, position):
        marker, position = content[found.end() - 1], found.end()
        if marker == _END:
            break
        if marker in _ARITHMETIC:
            raise ImageError(f"{name}: a JPEG in arithmetic coding. Save it as an ordinary JPEG")
        if marker not in _LONE:
            position += max(2, int.from_bytes(content[position : position + 2], "big"))
        if marker == _SCAN:
            stop = _MARKER.search(content, position)
            ends.append(stop.start() if stop else len(content))
            if len(ends) > _MOST_SCANS:
                raise ImageError(
                    f"{name}: more than the {_MOST_SCANS} scans that are decoded. Save it as an ordinary JPEG"
                )
    return ends


def require_whole(
    name: str | os.PathLike,
    content: bytes,
    photo: Image.Image,
    ends: list[int],
    draft: tuple[str, tuple[int, int]],
) -> None:
    """Checks that all pixels of a decoded photo come from its file.

    Pillow refuses a file that ends too early. But if the data end too early in a file that ends properly,
    Pillow fills in the rest: mid-grey in a JPEG, zeros in a PNG. A PNG states how many bytes its rows take. A
    JPEG does not. But bytes that are inserted after its data change nothing if the data are whole, and are
    decoded as pixels if they are not. Both checks are made only if the last pixel may have been filled in.

    Args:
        name: the photo's name for an error.
        content: the bytes of the file.
        photo: Pillow's decoded and unchanged image of these bytes.
        ends: the result of `scan_ends`.
        draft: the arguments of the photo's `draft`.

    Raises:
        ImageError: if pixels were filled in, or the data of a PNG have changed since it was written.
    """
    pixel = photo.getpixel((photo.width - 1, photo.height - 1))
    last = pixel if isinstance(pixel, tuple) else (pixel or 0,)
    if photo.format == "PNG":
        data = _png_data(name, content)
        interlaced = bool(content[28])
        if (interlaced or not any(last)) and _inflated_size(data) < _png_size(content):
            raise ImageError(f"{name}: its data end before its last pixel. Replace the file")
        return
    luma = last[0] if len(last) < 3 else 0.299 * last[0] + 0.587 * last[1] + 0.114 * last[2]
    # The first scan of a progressive JPEG has all pixels coarsely; only later scans may be incomplete.
    if abs(luma - 128) > 2 and len(ends) == 1:
        return
    pieces, start = [], 0
    for end in ends:
        while content[end - 1] == 0xFF:  # fill bytes before the marker
            end -= 1
        pieces += [content[start:end], _NOISE]
        start = end
    with Image.open(io.BytesIO(b"".join([*pieces, content[start:]])), formats=("JPEG",)) as again:
        again.draft(*draft)
        if again.tobytes() != photo.tobytes():
            raise ImageError(f"{name}: its data end before its last pixel. Replace the file")


def _png_data(name: str | os.PathLike, content: bytes) -> bytes:
    """Returns the compressed rows of a PNG, and checks their checksums, which Pillow does not."""
    data, position = [], 8
    while position + 12 <= len(content):
        stop = position + 8 + int.from_bytes(content[position : position + 4], "big")
        if content[position + 4 : position + 8] == b"IDAT":
            chunk = content[position + 4 : stop]
            if zlib.crc32(chunk) != int.from_bytes(content[stop : stop + 4], "big"):
                raise ImageError(f"{name}: its data were changed since it was written. Replace the file")
            data.append(chunk[4:])
        position = stop + 4
    return b"".join(data)


def _png_size(content: bytes) -> int:
    """Returns how many bytes the rows of a PNG take, with one filter byte before each row."""
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    bits = content[24] * _CHANNELS[content[25]]
    passes = _PASSES if content[28] else ((0, 0, 1, 1),)
    sizes = [
        (math.ceil((width - left) / across), math.ceil((height - top) / down))
        for left, top, across, down in passes
    ]
    return sum(rows * (1 + math.ceil(columns * bits / 8)) for columns, rows in sizes if columns > 0)


def _inflated_size(data: bytes) -> int:
    """Returns the uncompressed size of some data, without holding all of it in memory."""
    inflater, size = zlib.decompressobj(), 0
    while data and not inflater.eof:
        size += len(inflater.decompress(data, _BLOCK))
        data = inflater.unconsumed_tail
    return size
