"""Photos as arrays: decoded, cropped, resized, kept as uint8."""

import io
import logging
import math
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..files import replacing
from .photo_files import (
    in_threads,
    photo_version,
    read_photo,
    require_photo_file,
    require_whole,
    scan_ends,
)
from .photo_format import MODES, ImageError, PhotoFormat, checked_size
from .shards import find_in_shards

logger = logging.getLogger(__name__)

_ORIENTATION = ExifTags.Base.Orientation
_TASK = 32  # photos that a thread decodes at a time
_ASPECTS = 1.02  # how far the aspect ratio of a photo may differ from that of `photo_size`
_PILLOWS_ERRORS = (  # Pillow's own for damaged files, and those that its readers of EXIF data let through
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error),
)
_CACHE = "SIAMESE_NN_IMAGE_CACHE"  # the environment variable that names a folder for decoded photos
_MOST_PIXELS = 64_000_000  # about 200 MB decoded; a file of a few kilobytes may claim any size


def load_image(
    source: str | os.PathLike | bytes | Image.Image,
    *,
    image_size: tuple[int, int] = (125, 125),
    crop: tuple[int, int] | None = None,
    channels: int = 1,
    photo_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Decodes one photo, crops its middle, and resizes it.

    Args:
        source: a JPEG or PNG file, grey or colour, of at most 64 million pixels: its path, its bytes, or a
            Pillow image.
        image_size: height and width of the result, in pixels. The photo or crop is resized with
            antialiasing, and should have the aspect ratio of `image_size`.
        crop: height and width of the middle part to use, in pixels; `None` uses the whole photo. The faces of
            LFW-a fill about the middle 125 x 125 of 250 x 250 pixels.
        channels: 1 for grey (ITU-R 601 luma), 3 for RGB.
        photo_size: height and width of the photos that `crop` was chosen for, in pixels. A photo of another
            size is treated as if it were resized to this size before the crop. Its aspect ratio may differ by
            at most 2%, and the crop must not be enlarged more than twice. `None` takes `crop` in the photo's
            own pixels.

    Returns:
        uint8 of shape `(height, width, channels)`, in [0, 255].

    Raises:
        ImageError: if the file is missing, not a regular file, not an image, truncated, too large, smaller
            than `crop`, or of another aspect ratio than `photo_size`.
        ValueError: if an argument is out of range.

    Example:
        >>> load_image("faces/lfw2/Ada_Adler/Ada_Adler_0001.jpg", image_size=(64, 56), crop=(128, 112)).shape
        (64, 56, 1)
    """
    photo_format = PhotoFormat(image_size, crop, channels)
    image_size, crop, photo_size = photo_format.size, photo_format.crop, _checked(photo_size, crop)
    if not isinstance(source, (str, os.PathLike, bytes, Image.Image)):
        raise ValueError(
            "`source` must be a photo's path, the bytes of its file, or a Pillow image. "
            f"Received: {type(source).__name__}"
        )
    path = _name_of(source)
    content = read_photo(source) if path is source else source
    ends = scan_ends(path, content) if isinstance(content, bytes) else []
    with named_faults(path), opened(content, path) as photo:
        if photo.mode.startswith(("I", "F")):
            raise ImageError(f"{path}: more than 8 bits a channel ({photo.mode}). Convert the file to 8 bits")
        full_height, full_width = _seen_size(photo)
        height, width = _part(path, (full_height, full_width), crop, photo_size)
        if photo_size is not None and (2 * height < image_size[0] or 2 * width < image_size[1]):
            raise ImageError(
                f"{path}: a photo must not be enlarged more than twice. Received: {full_height} x "
                f"{full_width} pixels (height x width), of which {height:.0f} x {width:.0f} would become "
                f"{image_size[0]} x {image_size[1]}. Take a larger photo"
            )
        # A JPEG can be decoded at a half, a quarter or an eighth of its size, which costs less. Twice the
        # wanted size is enough for the resizing below to give the same result as from the whole photo.
        wanted = (2 * image_size[1] * full_width / width, 2 * image_size[0] * full_height / height)
        if _on_its_side(photo):
            wanted = wanted[::-1]
        draft = (MODES[channels], (math.ceil(wanted[0]), math.ceil(wanted[1])))
        photo.draft(*draft)
        photo.load()
        if isinstance(content, bytes):
            require_whole(path, content, photo, ends, draft)
        if photo.getexif().get(_ORIENTATION, 1) != 1:  # a camera that was held on its side
            photo = ImageOps.exif_transpose(photo)
        across, down = width * photo.width / full_width, height * photo.height / full_height
        left, top = (photo.width - across) / 2, (photo.height - down) / 2
        if photo.mode != MODES[channels]:
            photo = photo.convert(MODES[channels])
        box = (left, top, left + across, top + down)
        pixels = np.asarray(photo.resize((image_size[1], image_size[0]), Image.Resampling.BILINEAR, box=box))
    return pixels.reshape(*image_size, channels)


def photo_sizes(paths: Sequence[str | os.PathLike]) -> list[tuple[int, int]]:
    """Returns the height and width of each photo as a viewer shows it, without decoding JPEG files.

    Args:
        paths: the `n` JPEG or PNG files.

    Returns:
        Height and width of each photo in pixels, after the rotation that its EXIF data ask for.

    Raises:
        ImageError: if a file is missing, not a regular file, not an image or too large. The message names it.

    Example:
        >>> photo_sizes(["faces/lfw2/Ada_Adler/Ada_Adler_0001.jpg"])
        [(250, 250)]
    """

    def size(path: str | os.PathLike) -> tuple[int, int]:
        if (stored := find_in_shards(path)) is not None:
            return stored.height, stored.width
        require_photo_file(path)
        with named_faults(path), opened(path, path) as photo:
            return _seen_size(photo)

    return list(in_threads(size, paths))


def size_of(content: bytes) -> tuple[int, int]:
    """Returns the height and width of a photo whose file's bytes are given; see `photo_sizes`."""
    with named_faults("the photo"), opened(content, "the photo") as photo:
        return _seen_size(photo)


def _on_its_side(photo: Image.Image) -> bool:
    return photo.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)


def _seen_size(photo: Image.Image) -> tuple[int, int]:
    return (photo.width, photo.height) if _on_its_side(photo) else (photo.height, photo.width)


def _part(
    path: str | os.PathLike,
    size: tuple[int, int],
    crop: tuple[int, int] | None,
    photo_size: tuple[int, int] | None,
) -> tuple[float, float]:
    """Returns height and width of the part to use of a photo of this size, in its own pixels."""
    height, width = size
    if photo_size is not None:
        down, across = height / photo_size[0], width / photo_size[1]
        if not 1 / _ASPECTS <= across / down <= _ASPECTS:
            raise ImageError(
                f"{path}: a photo must have the shape of `photo_size`, {photo_size[0]} x {photo_size[1]} "
                f"pixels (height x width), within 2%. Received: {height} x {width}. Cut the photo to that "
                "shape around the face"
            )
        part = crop or photo_size
        return min(part[0] * down, height), min(part[1] * across, width)  # no rounding beyond the edge
    if crop is not None and (crop[0] > height or crop[1] > width):
        raise ImageError(
            f"{path}: `crop` must fit into the photo of {height} x {width} pixels. "
            f"Received: crop={crop}, with the margin that an `Augmentation` may want around it"
        )
    return crop or size


def _name_of(source: str | os.PathLike | bytes | Image.Image) -> str | os.PathLike:
    return source if isinstance(source, (str, os.PathLike)) else "the photo"


@contextmanager
def named_faults(path: str | os.PathLike) -> Iterator[None]:
    """Turns every error of opening and decoding a file into an `ImageError` that names the file."""
    try:
        yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{path}: more than the {_MOST_PIXELS:,} pixels that are decoded. Make it smaller first"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path}: not a whole JPEG or PNG image. `siamese-nn align` reads WebP and AVIF, too, and HEIC "
            "after pip install pillow-heif. If it is of another format (GIF, BMP, TIFF), convert it to JPEG "
            "or PNG; otherwise replace it"
        ) from error
    except _PILLOWS_ERRORS as error:
        fault = str(error) or type(error).__name__
        raise ImageError(f"{path}: not a whole JPEG or PNG image ({fault}). Replace the file") from error


@contextmanager
def opened(
    source: str | os.PathLike | bytes | Image.Image,
    path: str | os.PathLike,
    formats: tuple[str, ...] = ("JPEG", "PNG"),
) -> Iterator[Image.Image]:
    """Opens a photo: only its header has been read so far."""
    if isinstance(source, Image.Image):
        # A copy, since decoding at a smaller size would change the caller's image.
        entered: AbstractContextManager[Image.Image] = nullcontext(source.copy())
    else:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        entered = Image.open(file, formats=formats)
    with entered as photo:
        if photo.width * photo.height > _MOST_PIXELS:
            raise ImageError(
                f"{path}: {photo.width:,} x {photo.height:,} pixels, more than the {_MOST_PIXELS:,} that are "
                "decoded. Make it smaller first"
            )
        yield photo


def load_images(
    paths: Sequence[str],
    *,
    image_size: tuple[int, int] = (125, 125),
    crop: tuple[int, int] | None = None,
    channels: int = 1,
    photo_size: tuple[int, int] | None = None,
    progress: bool = True,
    cache_dir: str | os.PathLike | None = None,
) -> np.ndarray:
    """Decodes many photos with all cores.

    With a `cache_dir`, the decoded images are kept there in a file. Any process that asks for the same photos
    again reads that file. Photos are decoded again when the size or a time stamp of one has changed. Each
    file ends with its SHA-256, which is checked at each reading; the photos of a damaged file are decoded
    again. Each process has its own copy in memory, so that later changes to the file have no effect. Files
    are written whole and never changed. Remove the folder when you no longer need it.

    Args:
        paths: the `n` files.
        image_size: as in `load_image`.
        crop: as in `load_image`.
        channels: as in `load_image`.
        photo_size: as in `load_image`.
        progress: whether to show a progress bar (on a terminal or in a notebook) when there are many.
        cache_dir: the folder for the decoded images, made if it is missing. `None` uses the folder that the
            environment variable `SIAMESE_NN_IMAGE_CACHE` names, and keeps nothing if it is not set. `""`
            keeps nothing.

    Returns:
        uint8 of shape `(n, height, width, channels)`, in [0, 255].

    Raises:
        ImageError, ValueError: as `load_image`.

    Example:
        >>> paths = [f"faces/lfw2/Ada_Adler/Ada_Adler_000{number}.jpg" for number in (1, 2, 3)]
        >>> images = load_images(paths, image_size=(64, 56), crop=(128, 112))
        >>> images.shape, images.dtype
        ((3, 64, 56, 1), dtype('uint8'))
    """
    photo_format = PhotoFormat(image_size, crop, channels)
    photo_size = _checked(photo_size, crop)
    return decode_photos(paths, photo_format, photo_size=photo_size, progress=progress, cache_dir=cache_dir)


def decode_photos(
    paths: Sequence[str],
    photo_format: PhotoFormat,
    *,
    photo_size: tuple[int, int] | None = None,
    progress: bool = True,
    cache_dir: str | os.PathLike | None = None,
) -> np.ndarray:
    """Decodes many photos; see `load_images`, which makes the format."""
    if cache_dir is None:
        cache_dir = os.environ.get(_CACHE)
    kept = _kept(paths, photo_format, photo_size, cache_dir) if cache_dir else None
    if kept is None:
        return _decode(paths, photo_format, photo_size, progress)
    images = _read(kept, (len(paths), *photo_format.shape))
    if images is None:
        images = _decode(paths, photo_format, photo_size, progress)
        _keep(images, kept)
    return images


def cache_or(folder: str | os.PathLike) -> str:
    """Returns the folder for decoded photos from the environment, or else this one; see `load_images`."""
    return os.environ.get(_CACHE, os.fspath(folder))


def _keep(images: np.ndarray, kept: Path) -> None:
    try:
        with replacing(kept) as partial, partial.open("wb") as file:
            file.write(images.data)
            file.write(sha256(images.data).digest())
    except OSError as error:
        logger.warning("%s cannot be written (%s): the photos will be decoded again", kept, error)


def _read(kept: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Returns the images in a file of the cache; `None` if it is missing or damaged."""
    images = np.empty(shape, np.uint8)
    try:
        with kept.open("rb") as file:
            file.readinto(images.data)
            # One byte more than the digest has, to notice a file that is too long.
            if file.read(sha256().digest_size + 1) == sha256(images.data).digest():
                return images
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("%s cannot be read (%s): the photos are decoded again", kept, error)
        return None
    logger.warning("%s is damaged: the photos are decoded again", kept)
    return None


def _kept(
    paths: Sequence[str],
    photo_format: PhotoFormat,
    photo_size: tuple[int, int] | None,
    folder: str | os.PathLike,
) -> Path | None:
    """Returns the cache's file for exactly these photos; `None` if there are none or one is missing."""
    if not len(paths):
        return None
    digest = sha256(repr((photo_format, photo_size)).encode())
    for path in map(str, paths):
        if (version := photo_version(path)) is None:
            return None
        digest.update(f"{os.path.abspath(path)}\n{version}\n".encode(errors="surrogateescape"))
    return Path(folder) / f"{digest.hexdigest()[:32]}.uint8"


def _decode(
    paths: Sequence[str], photo_format: PhotoFormat, photo_size: tuple[int, int] | None, progress: bool
) -> np.ndarray:
    images = np.empty((len(paths), *photo_format.shape), np.uint8)
    options: dict[str, Any] = {
        "image_size": photo_format.size,
        "crop": photo_format.crop,
        "channels": photo_format.channels,
        "photo_size": photo_size,
    }

    def load(start: int) -> int:
        part = paths[start : start + _TASK]
        for i, path in enumerate(part, start):
            images[i] = load_image(str(path), **options)
        return len(part)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(load, range(0, len(paths), _TASK))
        hide = None if progress and len(paths) >= 500 else True  # None: hidden where there is no terminal
        try:
            from tqdm.auto import tqdm

            with tqdm(total=len(paths), desc="decoding", unit="photo", leave=False, disable=hide) as bar:
                for count in done:
                    bar.update(count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return images


def _checked(photo_size: tuple[int, int] | None, crop: tuple[int, int] | None) -> tuple[int, int] | None:
    """Returns `photo_size`; raises `ValueError` unless it is a size that the crop fits into."""
    if photo_size is None:
        return None
    photo_size = checked_size("photo_size", photo_size)
    if crop and (crop[0] > photo_size[0] or crop[1] > photo_size[1]):
        raise ValueError(
            f"`crop` must fit into `photo_size`. Received: {crop=}, with the margin that an `Augmentation` "
            f"may want around it, {photo_size=}"
        )
    return photo_size
