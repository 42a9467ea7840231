"""A raw photo to a photo in which the face lies where a training has it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .finder import Face, Finder, find
from .transform import similarity, warp

_CHOICES = ("middle", "largest")
_LARGEST = 20_000  # pixels of a photo's longer side once its face has the wanted size


# Of the distance between the eyes: of 400 photos of LFW-a 95% lie nearer to their frame, by what MTCNN finds.
_NEAR = 0.15


class NoFaceError(ValueError):
    """A photo in which no face was found."""


@dataclass(frozen=True)
class Frame:
    """Where the faces of a training lie in its photos.

    Args:
        points: five pairs x, y, in pixels: the eye on the photo's left, that on its right, the tip of the
            nose, and the corners of the mouth on the left and on the right.
        size: height and width of the photos, in pixels.

    Raises:
        ValueError: if `points` are no five pairs of finite numbers or are all one, or a side of `size` is
            less than 1.
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
    """Turns, scales and shifts a photo, so that a face in it lies where the faces of a training lie.

    Args:
        photo: a Pillow image, or uint8 `(height, width, 3)` in [0, 255], upright.
        face: which one: `"middle"`, the face nearest the middle of the photo, `"largest"`, or one of those
            that `find` returns.
        frame: where the face is to lie.
        finder: see `find`.

    Returns:
        A Pillow image of the frame's size, grey if the photo is, else RGB. Beyond the photo's edges the
        pixels of the edge are repeated.

    Raises:
        NoFaceError: if no face is found.
        ImportError: if `finder` is needed, is `None`, and the extra `faces` is not installed.
        ValueError: if the photo or `face` is of another kind, or the face's points lie so close together that
            they are none.

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
    """Returns the face nearest the middle of a photo (`"middle"`), or the `"largest"`; see `align`.

    Raises:
        NoFaceError: if there is none.
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
    """Says whether a photo is one of a frame already: of its size, with a face where the frame has it.

    To align such a photo again would change it by no more than what a finder's points are off.

    Args:
        photo: as in `align`.
        face: the face that counts.
        frame: where it is to lie.

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
