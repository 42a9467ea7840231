"""Photo files as bytes: read within limits, and found to be whole before anybody believes their pixels."""

import io
import math
import os
import re
import zlib
from hashlib import sha256

from PIL import Image


class ImageError(ValueError):
    """A photo that cannot be used; the message names the file and the fault."""


_MOST_BYTES = 256_000_000  # a photo of the most pixels that are decoded, barely compressed
_MOST_SCANS = 100  # cameras and the web's encoders write 1 to 20; each costs a pass over all pixels
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
    """Raises `ImageError` unless `path` is a regular file: to open a pipe would wait for its writer."""
    if not os.path.isfile(path):
        no_file = "no file but a folder, a pipe or the like. Give a photo's file"
        raise ImageError(f"{path}: {no_file if os.path.exists(path) else 'no such image'}")


def read_photo(path: str | os.PathLike) -> bytes:
    """Reads a photo's file.

    Raises:
        ImageError: if it is missing, is no regular file, cannot be read, or is larger than 256 MB.
    """
    require_photo_file(path)
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ImageError(
            f"{path}: cannot be read ({error.strerror}). Make it readable or replace it"
        ) from error
    if len(content) > _MOST_BYTES:
        raise ImageError(f"{path}: more than the {_MOST_BYTES:,} bytes that are read. Make it smaller first")
    return content


def scan_ends(name: str | os.PathLike, content: bytes) -> list[int]:
    """Finds where the data of each scan of a JPEG end: at once, where a decoder would take minutes.

    Args:
        name: how to call the photo in an error.
        content: the bytes of the file.

    Returns:
        For each scan the position behind its data. None for another format.

    Raises:
        ImageError: if there are more than 100 scans; or on arithmetic coding, which no camera writes, and
            which can't be found to be whole.
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
    """Makes sure that a decoded photo's pixels come from its file, all of them.

    Pillow refuses a file that ends too soon. But where the data end too soon and the file properly, it makes
    up the rest: mid-grey in a JPEG, zeros in a PNG. A PNG says how many bytes its rows take. A JPEG does not.
    But bytes put behind its data change nothing where the data are whole, and are taken for what is lacking
    where they are not. Both are looked at where the last pixel may be made up.

    Args:
        name: how to call the photo in an error.
        content: the bytes of the file.
        photo: Pillow's image of them, decoded, and not changed since.
        ends: what `scan_ends` found.
        draft: the arguments that the photo's `draft` was given.

    Raises:
        ImageError: if pixels are made up, or the data of a PNG were changed since it was written.
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
    # The first scan of a progressive JPEG has all pixels, coarsely: only the later ones may lack something.
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
    """The compressed rows of a PNG; Pillow does not look at their checksums."""
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
    """How many bytes the rows of a PNG take, with a byte before each that names its filter."""
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    bits = content[24] * _CHANNELS[content[25]]
    passes = _PASSES if content[28] else ((0, 0, 1, 1),)
    sizes = [
        (math.ceil((width - left) / across), math.ceil((height - top) / down))
        for left, top, across, down in passes
    ]
    return sum(rows * (1 + math.ceil(columns * bits / 8)) for columns, rows in sizes if columns > 0)


def _inflated_size(data: bytes) -> int:
    """How many bytes come out of compressed ones, never held all at once."""
    inflater, size = zlib.decompressobj(), 0
    while data and not inflater.eof:
        size += len(inflater.decompress(data, _BLOCK))
        data = inflater.unconsumed_tail
    return size
