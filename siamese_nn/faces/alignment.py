"""Aligns the face in a raw photo as the faces of a training are aligned.

Example:
    >>> photo = np.zeros((250, 250, 3), np.uint8)
    >>> face = Face((80, 80, 170, 190), 0.9, LFW_A.points)  # of a photo of LFW-a
    >>> align(photo, face, frame=ARCFACE).size
    (112, 112)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .finder import Face, Finder, find
from .transform import similarity, warp

_CHOICES = ("middle", "largest")
_LARGEST = 20_000  # pixels of a photo's longer side when its face has the wanted size
# Of the distance between the eyes. By MTCNN, 95% of 400 photos of LFW-a are nearer to their frame.
_NEAR = 0.15


class NoFaceError(ValueError):
    """A photo in which no face was found.

    Example:
        >>> wall = np.zeros((250, 250, 3), np.uint8)
        >>> align(wall, finder=lambda pixels: [])
        Traceback (most recent call last):
        siamese_nn.faces.alignment.NoFaceError: No face was found...
    """


@dataclass(frozen=True)
class Frame:
    """Where the faces are in the photos of a training.

    Args:
        points: five pairs x, y, in pixels: the eye on the photo's left, that on its right, the tip of the
            nose, and the corners of the mouth on the left and on the right.
        size: height and width of the photos, in pixels.

    Raises:
        ValueError: if `points` are not five pairs of finite numbers or are all equal, or a side of `size` is
            less than 1.

    Example:
        >>> close = Frame(points=((20, 30), (60, 30), (40, 52), (24, 72), (56, 72)), size=(96, 80))
        >>> pixels, face = np.zeros((250, 250, 3), np.uint8), Face((80, 80, 170, 190), 0.9, LFW_A.points)
        >>> align(pixels, face, frame=close).size  # Pillow's: width and height
        (80, 96)
    """

    points: tuple[tuple[float, float], ...]
    size: tuple[int, int]

    def __post_init__(self):
        points = np.asarray(self.points, dtype=float)
        if points.shape != (5, 2) or not np.isfinite(points).all() or not np.ptp(points, axis=0).any():
            raise ValueError(
                f"`points` must be five different pairs of finite numbers. Received: points={self.points}"
            )
        if len(self.size) != 2 or not all(isinstance(side, int) and side >= 1 for side in self.size):
            raise ValueError(
                f"`size` must be (height, width) in whole pixels of at least 1. Received: size={self.size}"
            )
        object.__setattr__(self, "points", tuple(map(tuple, points.tolist())))
        object.__setattr__(self, "size", tuple(self.size))


LFW_A = Frame(
    points=((103.5, 113.2), (147.1, 112.6), (125.6, 138.8), (106.8, 160.3), (144.7, 160.0)), size=(250, 250)
)
"""Where LFW-a's photos have the face.

The medians of what MTCNN finds in them: `python benchmarks/faces.py lfw-a data/lfw-a/unused --photos 300`.
"""

ARCFACE = Frame(
    points=(
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ),
    size=(112, 112),
)
"""To where InsightFace's `arcface_dst` aligns for ArcFace, and OpenCV for SFace: in 112 x 112 pixels."""


def align(
    photo: Image.Image | np.ndarray,
    face: Face | str = "middle",
    *,
    frame: Frame = LFW_A,
    finder: Finder | None = None,
) -> Image.Image:
    """Rotates, scales and shifts a photo, so that its face is where the faces of a training are.

    Args:
        photo: a Pillow image, or uint8 `(height, width, 3)` in [0, 255], upright.
        face: the face to align: `"middle"`, the face nearest the middle of the photo, `"largest"`, or one
            that `find` returned.
        frame: where the face should be.
        finder: see `find`.

    Returns:
        A Pillow image of the frame's size, grey if the photo is grey, else RGB. Beyond the photo's edges the
        edge pixels are repeated.

    Raises:
        NoFaceError: if no face is found.
        ImportError: if a finder is needed, `finder` is `None`, and the extra `faces` is not installed.
        ValueError: if the photo or `face` has another type, or the face's points are too close together.

    Example:
        >>> pixels = np.zeros((400, 300, 3), np.uint8)
        >>> found = Face((100, 100, 200, 220), 0.9, 0.5 * np.array(LFW_A.points) + [90, 100])
        >>> align(pixels, found).size
        (250, 250)
    """
    if not (isinstance(face, Face) or face in _CHOICES):
        raise ValueError(f"`face` must be a `Face`, or one of {_CHOICES}. Received: face={face!r}")
    if not isinstance(face, Face):
        face = choose(find(photo, finder=finder), photo, face)
    image = photo if isinstance(photo, Image.Image) else Image.fromarray(photo)
    factor, shift, _ = similarity(face.points, np.array(frame.points))
    if not 0 < max(image.size) * abs(factor) <= _LARGEST:
        raise ValueError(
            f"A face's points must lie further apart. Received: {face.points.round(1).tolist()} in a photo "
            f"of {image.width} x {image.height} pixels"
        )
    return warp(image if image.mode == "L" else image.convert("RGB"), factor, shift, frame.size)


def choose(found: Sequence[Face], photo: Image.Image | np.ndarray, which: str) -> Face:
    """Returns the face nearest the middle of a photo (`"middle"`), or the largest (`"largest"`); see `align`.

    Args:
        found: the faces, as `find` returns them.
        photo: the photo, as in `align`.
        which: `"middle"` or `"largest"`.

    Raises:
        NoFaceError: if there is no face.

    Example:
        >>> pixels = np.zeros((400, 400, 3), np.uint8)
        >>> small, large = (Face(box, 0.9, LFW_A.points) for box in ((180, 180, 220, 230), (0, 0, 90, 110)))
        >>> choose([small, large], pixels, "middle").area, choose([small, large], pixels, "largest").area
        (2000.0, 9900.0)
    """
    if not found:
        raise NoFaceError(
            "No face was found. Give a photo with a larger or clearer face, or align it by hand"
        )
    if which == "largest":
        return max(found, key=lambda face: face.area)
    middle = np.array(photo.size if isinstance(photo, Image.Image) else photo.shape[1::-1]) / 2
    return min(found, key=lambda face: float(np.hypot(*(np.reshape(face.box, (2, 2)).mean(0) - middle))))


def is_aligned(photo: Image.Image | np.ndarray, face: Face, *, frame: Frame = LFW_A) -> bool:
    """Returns whether a photo is already aligned: it has the frame's size, and its face is in place.

    Aligning such a photo again would change it by no more than the error of a finder's points.

    Args:
        photo: a photo as in `align`.
        face: the face in it.
        frame: where the face should be.

    Example:
        >>> there = Face((80, 80, 170, 190), 0.9, np.array(LFW_A.points))
        >>> is_aligned(np.zeros((250, 250, 3), np.uint8), there)
        True
    """
    size = photo.size[::-1] if isinstance(photo, Image.Image) else photo.shape[:2]
    factor, shift, _ = similarity(face.points, np.array(frame.points))
    places = np.array(frame.points) @ [1, 1j]
    moved = np.sqrt((abs(factor * places + shift - places) ** 2).mean())
    return size == frame.size and bool(moved <= _NEAR * abs(places[1] - places[0]))
