"""Reads photos from cameras, phones and the web: upright, in 8 bits, grey or RGB."""

import os
from contextlib import suppress

import numpy as np
from PIL import Image, ImageOps

from .images import named_faults, opened
from .photo_files import ImageError, read_photo, require_whole, scan_ends

RAW_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif")
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF")
_GREY = 128  # the background of a transparent photo


def open_raw_photo(source: str | os.PathLike | bytes | Image.Image) -> Image.Image:
    """Reads a photo of any usual format into the form in which faces are searched.

    The photo is rotated as its EXIF data ask for. Transparent parts get a mid-grey background. 16 bits per
    channel become 8; palettes and CMYK become RGB.

    Args:
        source: the path of a JPEG, PNG, WebP or AVIF file, or its bytes; with the package `pillow-heif`
            installed also HEIC. Or a Pillow image, not of mode `"I"` or `"F"`. At most 64 million pixels.

    Returns:
        A Pillow image of mode `"L"` or `"RGB"`, upright.

    Raises:
        ImageError: if the file is missing, has another format, is damaged, or is too large. The message names
            it.

    Example:
        >>> Image.new("RGBA", (4, 3), (255, 0, 0, 0)).save("Ada.png")
        >>> photo = open_raw_photo("Ada.png")
        >>> photo.mode, photo.size, photo.getpixel((0, 0))
        ('RGB', (4, 3), (128, 128, 128))
    """
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    path = "the photo" if isinstance(source, (bytes, Image.Image)) else source
    content = read_photo(source) if path is source else source
    ends = scan_ends(path, content) if isinstance(content, bytes) else []
    Image.init()
    formats = tuple(name for name in _FORMATS if name in Image.OPEN)
    with named_faults(path), opened(content, path, formats) as photo:
        photo.load()
        if isinstance(content, bytes) and photo.format in ("JPEG", "PNG", "MPO"):
            require_whole(path, content, photo, ends, (photo.mode, photo.size))
        return _eight_bits(ImageOps.exif_transpose(photo), isinstance(source, Image.Image))


def _eight_bits(photo: Image.Image, of_pillow: bool) -> Image.Image:
    if photo.mode == "F" or (photo.mode == "I" and of_pillow):
        raise ImageError(
            f"the photo: a Pillow image of mode {photo.mode!r} has no largest value. Bring its values to 0 "
            "to 255, and give `image.convert('L')`"
        )
    if photo.mode.startswith("I"):  # 16 bits, as in some PNG files
        levels = np.asarray(photo, dtype=np.float64)
        return Image.fromarray((levels.clip(0, 65535) / 257).round().astype(np.uint8))
    if "transparency" in photo.info or photo.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        photo = photo.convert("RGBA")
        behind = Image.new("RGBA", photo.size, (_GREY, _GREY, _GREY, 255))
        return Image.alpha_composite(behind, photo).convert("RGB")
    return photo.convert("L" if photo.mode in ("1", "L") else "RGB")
