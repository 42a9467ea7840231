"""Photos that are there twice: the same pixels, or another size, compression or a small crop of them."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from ..evaluation.search import score_blocks
from ..evaluation.vectors import unit_length

THUMBNAIL = 64  # pixels of a side
_COARSE = 16
_LIKE_COARSE = 0.8  # correlation of two photos in 16 x 16 pixels, from which on they are looked at
# And in 32 x 32, of the whole or of a part, from which on they are one photo. Of two photos among 3,807 of
# LFW-a that are not one, the most alike have 0.957; a copy that lost a tenth of its sides has 0.997.
_LIKE = 0.975
_FINE = 32
_PARTS = (1.0, 0.975, 0.95, 0.925, 0.9)  # of a side, that a crop may have left


def thumbnail(photo: Image.Image) -> np.ndarray:
    """Returns a photo in grey and small, uint8 `(64, 64)`, whatever its shape."""
    small = photo.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small)


def near_duplicates(thumbnails: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """Finds photos that are one photo in another size, brightness or compression, or a small crop of it.

    All are compared with all in 16 x 16 pixels. What is alike there is compared in 32 x 32, also the one
    photo with the middle, the sides and the corners of the other. Brightness and contrast play no part.

    Args:
        thumbnails: of the `n` photos, uint8 `(n, 64, 64)`.

    Yields:
        The numbers of two photos, the smaller first, and their correlation, from 0.975 to 1.

    Example:
        >>> drawn = np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)
        >>> drawn[2] = drawn[0] // 2
        >>> [(i, j) for i, j, _ in near_duplicates(drawn)]
        [(0, 2)]
    """
    step = THUMBNAIL // _COARSE
    coarse = thumbnails.reshape(-1, _COARSE, step, _COARSE, step).mean(axis=(2, 4), dtype=np.float32)
    coarse = _centred(coarse)
    for row, column, block in score_blocks(coarse, coarse, upper=True):
        for i, j in zip(*np.nonzero(block >= _LIKE_COARSE), strict=True):
            one, other = row + int(i), column + int(j)
            if one < other and (alike := _likeness(thumbnails[one], thumbnails[other])) >= _LIKE:
                yield one, other, alike


def _centred(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1).astype(np.float32)
    return unit_length(flat - flat.mean(axis=1, keepdims=True))  # one of one grey alone is like no other


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The largest correlation of one photo with the other or a part of it, either way."""
    first, second = _parts(one), _parts(other)
    return float(min(1, max((first @ second[0]).max(), (second @ first[0]).max())))


def _parts(thumb: np.ndarray) -> np.ndarray:
    """A photo and parts of it, centred and of length 1, the whole first."""
    image, boxes = Image.fromarray(thumb), []
    for part in _PARTS:
        free = THUMBNAIL * (1 - part)
        places = (0, free / 2, free) if free else (0,)
        boxes += [(x, y, x + part * THUMBNAIL, y + part * THUMBNAIL) for x in places for y in places]
    small = (image.resize((_FINE, _FINE), Image.Resampling.BILINEAR, box=box) for box in boxes)
    return _centred(np.stack([np.asarray(each) for each in small]))
