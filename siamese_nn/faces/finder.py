"""Face finders: functions from a photo's pixels to the faces in it.

Example:
    >>> def finder(pixels):  # a `Finder` that is sure of one face in the middle
    ...     height, width, _ = pixels.shape
    ...     box = (width / 4, height / 4, 3 * width / 4, 3 * height / 4)
    ...     five = [[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.42, 0.6], [0.58, 0.6]]
    ...     return [Face(box, 1.0, np.array(five) * [width, height])]
    >>> find(np.zeros((200, 100, 3), np.uint8), finder=finder)[0].box
    (12.5, 25.0, 87.5, 175.0)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image

_LONGEST = 400  # pixels of a photo's longer side for the search
_MARGIN = 0.25  # of the photo's sides: a face that fills the photo is only found with a margin around it


@dataclass(frozen=True)
class Face:
    """One face in a photo.

    Args:
        box: left, top, right and bottom edge, in pixels.
        score: the finder's confidence; higher is more confident.
        points: float `(5, 2)`, x before y, in pixels from the top left corner: the eye on the photo's left,
            that on its right, the tip of the nose, and the corners of the mouth on the left and on the right.

    Example:
        >>> face = Face((20, 20, 60, 70), 0.9, [[30, 40], [50, 40], [40, 50], [32, 60], [48, 60]])
        >>> face.area, face.points.shape
        (2000.0, (5, 2))
    """

    box: tuple[float, float, float, float]
    score: float
    points: np.ndarray

    def __post_init__(self):
        points = np.asarray(self.points, dtype=float)
        if points.shape != (5, 2) or not np.isfinite(points).all():
            raise ValueError(
                "`points` must be five pairs of finite numbers: two eyes, nose, two corners of the mouth. "
                f"Received: shape {points.shape}"
            )
        box = np.asarray(self.box, dtype=float)
        if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
            raise ValueError(
                f"`box` must be left, top, right and bottom edge, in this order. Received: box={self.box}"
            )
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "box", tuple(map(float, box)))

    @property
    def area(self) -> float:
        """The box's area, in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


Finder: TypeAlias = Callable[[np.ndarray], Sequence[Face]]
"""Finds the faces in a photo, uint8 RGB `(height, width, 3)`; see `find`."""


def find(photo: Image.Image | np.ndarray, *, finder: Finder | None = None) -> list[Face]:
    """Finds the faces in a photo.

    A large photo is searched in a smaller size. A margin of repeated edge pixels, a quarter of its sides, is
    put around it, so that finders see faces that fill the photo.

    Args:
        photo: a Pillow image, or uint8 `(height, width, 3)` in [0, 255], upright.
        finder: a function that takes uint8 `(height, width, 3)`, RGB, and returns a `Face` for each face;
            `None` uses MTCNN, which needs the extra `faces`.

    Returns:
        The faces, the largest first, in pixels of the given photo.

    Raises:
        ImportError: if `finder` is `None` and the extra is not installed.
        ValueError: if the photo has another type, or the finder does not return faces.

    Reference:
        Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks",
        IEEE Signal Processing Letters 2016.

    Example:
        >>> photo = np.zeros((100, 80, 3), np.uint8)
        >>> five = [[30, 40], [50, 40], [40, 50], [32, 60], [48, 60]]
        >>> face = Face((20, 20, 60, 70), 0.9, np.array(five) + [20, 25])
        >>> found = find(photo, finder=lambda pixels: [face])
        >>> found[0].points[0].tolist()
        [30.0, 40.0]
    """
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
            raise ValueError(
                "`photo` must be a Pillow image or uint8 (height, width, 3). "
                f"Received: {photo.dtype} {photo.shape}"
            )
        photo = Image.fromarray(photo)
    elif not isinstance(photo, Image.Image):
        raise ValueError(f"`photo` must be a Pillow image or an array. Received: {type(photo).__name__}")
    if finder is None:
        from .mtcnn import find_by_mtcnn

        finder = find_by_mtcnn

    factor = min(1.0, _LONGEST / max(photo.size))
    small = photo.convert("RGB")
    if factor < 1:
        small = small.resize([max(1, round(side * factor)) for side in photo.size], Image.Resampling.BILINEAR)
    ratio = np.array(photo.size) / small.size
    across, down = (round(_MARGIN * side) for side in small.size)
    pixels = np.pad(np.asarray(small), [(down, down), (across, across), (0, 0)], mode="edge")
    faces = list(finder(pixels))
    if not all(isinstance(face, Face) for face in faces):
        raise ValueError(
            f"`finder` must return a list of `Face`. Received: {str(faces)[:80]}. Make a `Face` of each"
        )
    offset = np.array([across, down])
    found = [
        Face(
            tuple(((np.reshape(face.box, (2, 2)) - offset) * ratio).ravel()),
            face.score,
            (face.points - offset) * ratio,
        )
        for face in faces
    ]
    return sorted(found, key=lambda face: -face.area)
