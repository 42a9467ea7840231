"""What counts as a photo, and how photos become an embedding's vectors."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from ..datasets.images import ImageError, load_image
from ..datasets.raw_photos import open_raw_photo
from ..faces import Frame, NoFaceError
from ..faces import align as align_face
from ..faces.transform import similarity, warp
from .embedding import Embedding

Single = str | os.PathLike | bytes | bytearray | Image.Image
Several = list[Any] | tuple[Any, ...]
Photo = Single | np.ndarray
"""What counts as one photo: the path or the bytes of a JPEG or PNG file; a Pillow image; an array
`(height, width)`, `(height, width, 1)` or `(height, width, 3)` (RGB), uint8 or of floats in [0, 1].

An array `(n, height, width, channels)`, or one of `n` paths, counts as a list of photos."""

Align = bool | Frame
"""How faces come to where an embedding wants them: `False`, they lie there already; `True`, they are looked
for (extra `faces`); a `faces.Frame`, they lie in all photos as this one says, as `faces.LFW_A` in LFW-a's."""

_CHUNK = 256  # photos in memory at a time


def vectors_of(embedding: Embedding, photos: Sequence[Photo], align: Align = False) -> np.ndarray:
    """Returns an embedding's vectors of photos, `(n, d)` float32.

    Args:
        embedding: the network.
        photos: the `n` photos.
        align: see `Align`.

    Raises:
        NoFaceError: if a face is looked for, and none is found; the photo is named.
        ImageError: if a photo cannot be used; it is named.
        TypeError: if it is no photo at all.
        ValueError: if there are none, or they can't be aligned, as it is not known to what.
    """
    if not photos:
        raise ValueError("`photos` must hold at least one photo. Received none")
    if not isinstance(align, bool | Frame):
        raise ValueError(f"`align` must be True, False or a `faces.Frame`. Received: align={align!r}")
    if align is not False and embedding.frame is None:
        raise ValueError(
            f"Where {embedding.name} has the faces is not known (its `frame` is None). Give photos as those "
            "of its training, and no `align`"
        )
    vectors = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(photos), _CHUNK):
            chunk = photos[start : start + _CHUNK]
            numbers = range(start, start + len(chunk))
            images = np.stack(list(pool.map(partial(_pixels, embedding, align), chunk, numbers)))
            vectors.append(embedding(images))
    return np.concatenate(vectors)


def _pixels(embedding: Embedding, align: Align, photo: Photo, i: int) -> np.ndarray:
    if not isinstance(photo, Photo):
        raise TypeError(
            "A photo must be a path, bytes, an array or a Pillow image. Received, as photo "
            f"{i}: {type(photo).__name__}"
        )
    source = _as_image(photo, i) if isinstance(photo, np.ndarray) else photo
    try:
        return load_image(
            _aligned(source, embedding, align),
            image_size=embedding.image_size,
            crop=embedding.crop,
            channels=embedding.channels,
            photo_size=embedding.photo_size,
        )
    except ImageError as error:
        if isinstance(photo, (str, os.PathLike)):
            raise
        raise ImageError(f"photo {i} of those given: {str(error).removeprefix('the photo: ')}") from error
    except NoFaceError as error:
        named = photo if isinstance(photo, str | os.PathLike) else f"photo {i} of those given"
        raise NoFaceError(f"{named}: {error}") from error


def _aligned(photo: Single, embedding: Embedding, align: Align) -> str | os.PathLike | bytes | Image.Image:
    if isinstance(photo, bytearray):
        photo = bytes(photo)
    if embedding.frame is None or align in (False, embedding.frame):
        return photo
    if isinstance(photo, Image.Image):
        image = photo if photo.mode in ("L", "RGB") else photo.convert("RGB")
    else:
        image = open_raw_photo(photo)
    if not isinstance(align, Frame):
        return align_face(image, frame=embedding.frame)
    if image.size[::-1] != align.size:
        raise ImageError(
            f"A photo whose face lies as in the frame given must be of {align.size} pixels. Received: "
            f"{image.height} x {image.width}"
        )
    factor, shift, _ = similarity(np.array(align.points), np.array(embedding.frame.points))
    return warp(image, factor, shift, embedding.frame.size)


def listed(photos: Any) -> tuple[list[Photo], bool]:
    """Returns photos as a list, and whether they were several."""
    if isinstance(photos, np.ndarray) and photos.dtype.kind == "U":
        photos = photos.tolist()
    many = isinstance(photos, (list, tuple)) or (isinstance(photos, np.ndarray) and photos.ndim == 4)
    return (list(photos), True) if many else ([photos], False)


def _as_image(photo: np.ndarray, i: int) -> Image.Image:
    shape = photo.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)) or 0 in shape:
        raise ImageError(
            f"photo {i} of those given must be (height, width[, 1 or 3]). Received: shape {shape}"
        )
    if photo.dtype.kind == "f":
        if not (photo.min() >= 0 and photo.max() <= 1):
            raise ImageError(
                f"photo {i} of those given: floats must lie in [0, 1]. "
                f"Received: {photo.min()} to {photo.max()}"
            )
        photo = np.rint(photo * 255).astype(np.uint8)
    elif photo.dtype != np.uint8:
        raise ImageError(
            f"photo {i} of those given must be uint8, or floats in [0, 1]. Received: {photo.dtype}"
        )
    return Image.fromarray(photo[..., 0] if photo.ndim == 3 and shape[2] == 1 else photo)
