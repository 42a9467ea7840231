"""Hostile photos: decoded, or refused by name; never for minutes, never cut short in silence.

A bit that turns over in the middle of a JPEG changes pixels, and no checksum in the file tells: such an
answer counts as right. A PNG has checksums, and a file that ends too early shows it.
"""

import io
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from siamese_nn import datasets

from .ground import SHORT, Ground, digest
from .harm import harm_bytes
from .outcome import Outcome, judge
from .process import run

_NOTHING = b""  # no image at all is right
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F")
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA", "PCX")


def hostile_image(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Decodes a hostile photo as a training does."""
    way = draw.choice(_WAYS)
    told, name, content, must_be = way(ground, draw)
    file = folder / name
    file.write_bytes(content)

    channels = draw.choice([1, 3])

    def decode() -> Any:
        image = datasets.load_image(file, image_size=(64, 64), channels=channels)
        return {"shape": list(image.shape), "dtype": str(image.dtype), "digest": digest(image.tobytes())}

    ending, whole = run(decode, folder / "scratch", SHORT), None
    if must_be:
        file.write_bytes(must_be)
        whole = run(decode, folder / "scratch", SHORT).value

    def fault(answer: dict[str, Any]) -> str | None:
        if answer["shape"][:2] != [64, 64] or answer["dtype"] != "uint8":
            return f"an image of {answer['shape']} {answer['dtype']}"
        if must_be is not None and (whole is None or answer["digest"] != whole["digest"]):
            return "decoded, though it cannot be what it was"
        return None

    outcome = judge(ending, fault, (file.name,))
    return Outcome(outcome.word, f"{way.__name__.strip('_')}, {told}: {outcome.detail}")


def _photo(ground: Ground, draw: random.Random) -> bytes:
    return Path(draw.choice(ground.all_photos)).read_bytes()


def _png(ground: Ground, draw: random.Random) -> bytes:
    return _saved(Image.open(io.BytesIO(_photo(ground, draw))), "PNG")


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _harmed(ground: Ground, draw: random.Random) -> tuple[str, str, bytes, bytes | None]:
    if draw.random() < 0.5:
        told, content = harm_bytes(_photo(ground, draw), draw)
        return told, "photo.jpg", content, None
    whole = _png(ground, draw)
    told, content = harm_bytes(whole, draw)
    return told, "photo.png", content, whole


def _cut(ground: Ground, draw: random.Random) -> tuple[str, str, bytes, bytes | None]:
    large = draw.choice([(250, 250), (1600, 1200), (7900, 7900)])
    kind, ending = draw.choice([("JPEG", "jpg"), ("PNG", "png")])
    image = Image.open(io.BytesIO(_photo(ground, draw))).convert("L").resize(large)
    options = {"progressive": draw.choice([True, False])} if kind == "JPEG" else {"compress_level": 1}
    whole = _saved(image, kind, **options)
    at = draw.choice([0.02, 0.3, 0.9, draw.random()])
    return f"{kind} of {large} cut to {at:.2f}", f"photo.{ending}", whole[: int(at * len(whole))], whole


def _claim(ground: Ground, draw: random.Random) -> tuple[str, str, bytes, bytes | None]:
    """A small photo whose header claims another size."""
    size = draw.choice(
        [(7900, 7900), (65500, 65500), (2510, 250), (1, 65500), (2**31 - 1, 2**31 - 1), (0, 5)]
    )
    if draw.random() < 0.5:
        content = bytearray(_png(ground, draw))
        content[16:24] = struct.pack(">II", *size)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        return f"a PNG claims {size}", "photo.png", bytes(content), _NOTHING
    content = bytearray(_photo(ground, draw))
    at = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    content[at + 5 : at + 9] = struct.pack(">HH", size[0] % 65536, size[1] % 65536)
    return f"a JPEG claims {size}", "photo.jpg", bytes(content), _NOTHING


def _scans(ground: Ground, draw: random.Random) -> tuple[str, str, bytes, bytes | None]:
    """A progressive JPEG whose last scan comes again and again."""
    side, again = draw.choice([(250, 20), (2000, 300), (4000, 3000), (7000, 3000)])
    image = Image.fromarray(np.full((side, side), 128, np.uint8))
    content = _saved(image, "JPEG", progressive=True, quality=50)
    last, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    repeated = content[:last] + content[last:end] * again + content[end:]
    return f"{side} pixels a side, {again} scans more, {len(repeated):,} bytes", "photo.jpg", repeated, None


def _mode(ground: Ground, draw: random.Random) -> tuple[str, str, bytes, bytes | None]:
    mode, kind = draw.choice(_MODES), draw.choice(_FORMATS)
    image = Image.open(io.BytesIO(_photo(ground, draw))).convert("L")
    image = image.convert(mode) if mode != "I;16" else Image.fromarray(np.asarray(image, np.uint16))
    try:
        content = _saved(image, kind)
    except (OSError, ValueError, KeyError):  # a format that has no such mode
        content, kind = _saved(image.convert("L"), "PNG"), "PNG"
    return f"{mode} {kind}", draw.choice(["photo.jpg", "photo.png"]), content, None


def _chunks(ground: Ground, draw: random.Random) -> tuple[str, str, bytes, bytes | None]:
    """A PNG with texts that unpack to a lot, unknown chunks, or chunks of a false length."""
    whole = _png(ground, draw)
    kind = draw.choice([b"zTXt", b"iTXt", b"acTL", b"fcTL", b"iCCP", b"eXIf", b"xxXx", b"tRNS", b"PLTE"])
    packed = zlib.compress(bytes(2**27), 1) if kind in (b"zTXt", b"iTXt", b"iCCP") else draw.randbytes(40)
    body = (b"x\0\1\0\0\0" if kind == b"iTXt" else b"x\0\0") + packed
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    if draw.random() < 0.2:
        chunk = struct.pack(">I", draw.choice([2**31, 2**32 - 1, 0])) + chunk[4:]
    return f"{kind!r} of {len(chunk):,} bytes", "photo.png", whole[:33] + chunk + whole[33:], None


def _exif(ground: Ground, draw: random.Random) -> tuple[str, str, bytes, bytes | None]:
    image = Image.open(io.BytesIO(_photo(ground, draw)))
    exif = Image.Exif()
    turn = draw.choice([0, 1, 6, 8, 9, 65535])
    exif[0x0112] = turn
    _, block = harm_bytes(exif.tobytes() + draw.randbytes(draw.choice([0, 20_000])), draw)
    return f"turn {turn}, harmed", "photo.jpg", _saved(image, "JPEG", exif=block[:60_000]), None


_WAYS = (_harmed, _harmed, _cut, _cut, _claim, _scans, _mode, _chunks, _exif)
