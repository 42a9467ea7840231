"""Photos as arrays: decoded, cropped, resized, kept as uint8."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

_MODES = {1: "L", 3: "RGB"}


class ImageError(ValueError):
    """A photo that cannot be used; the message names the file and the fault."""


def load_image(
    path: str | os.PathLike,
    *,
    image_size: tuple[int, int] = (125, 125),
    crop: tuple[int, int] | None = None,
    channels: int = 1,
) -> np.ndarray:
    """Decodes one photo, takes the middle of it, and resizes that.

    Args:
        path: a JPEG or PNG file, grey or colour.
        image_size: height and width of the result, in pixels. Resized with antialiasing, so the shape of the
            photo or crop should be that of `image_size`.
        crop: height and width of the middle part to take before resizing, in pixels; `None` takes all. The faces
            of LFW-a fill about the middle 125 x 125 of 250 x 250 pixels.
        channels: 1 for grey (ITU-R 601 luma), 3 for RGB.

    Returns:
        uint8 of shape `(height, width, channels)`, in [0, 255].

    Raises:
        ImageError: if the file is missing, is no image, is cut off, or is smaller than `crop`.
        ValueError: if an argument is out of range.
    """
    check_image_options(image_size, crop, channels)
    try:
        with Image.open(path) as photo:
            box = None
            if crop is not None:
                top, left = (photo.height - crop[0]) / 2, (photo.width - crop[1]) / 2
                if top < 0 or left < 0:
                    raise ImageError(
                        f"{path}: `crop` must fit into the photo of {photo.height} x {photo.width} pixels. "
                        f"Received: crop={crop}"
                    )
                box = (left, top, left + crop[1], top + crop[0])
            photo = photo.convert(_MODES[channels])
            pixels = np.asarray(
                photo.resize((image_size[1], image_size[0]), Image.Resampling.BILINEAR, box=box)
            )
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such image") from error
    except (
        OSError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:  # SyntaxError is Pillow's word for a broken PNG
        raise ImageError(f"{path}: not a whole JPEG or PNG image ({error}). Replace the file") from error
    return pixels.reshape(*image_size, channels)


def load_images(
    paths: Sequence[str],
    *,
    image_size: tuple[int, int] = (125, 125),
    crop: tuple[int, int] | None = None,
    channels: int = 1,
    progress: bool = True,
) -> np.ndarray:
    """Decodes many photos with all cores; see `load_image` for the arguments and what is raised.

    Args:
        paths: the `n` files.
        progress: whether to show a progress bar (on a terminal or in a notebook) when there are many.

    Returns:
        uint8 of shape `(n, height, width, channels)`, in [0, 255].
    """
    check_image_options(image_size, crop, channels)
    images = np.empty((len(paths), *image_size, channels), np.uint8)

    def load(index: int) -> None:
        images[index] = load_image(str(paths[index]), image_size=image_size, crop=crop, channels=channels)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(load, range(len(paths)))
        hide = None if progress and len(paths) >= 500 else True  # None: hidden where there is no terminal
        try:
            for _ in tqdm(done, total=len(paths), desc="decoding", unit="photo", leave=False, disable=hide):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return images


def check_image_options(image_size: tuple[int, int], crop: tuple[int, int] | None, channels: int) -> None:
    """Raises `ValueError` unless the three are what `load_image` takes."""
    for name, size in (("image_size", image_size), ("crop", crop)):
        if (size is not None or name == "image_size") and not (
            isinstance(size, (tuple, list))
            and len(size) == 2
            and all(isinstance(n, int) and n > 0 for n in size)
        ):
            raise ValueError(
                f"`{name}` must be (height, width) in whole pixels of at least 1. Received: {name}={size!r}"
            )
    if channels not in _MODES:
        raise ValueError(f"`channels` must be 1 (grey) or 3 (RGB). Received: channels={channels!r}")
