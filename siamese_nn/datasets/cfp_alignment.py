"""Aligns CFP's loosely cropped photos as LFW-a is aligned, by their 30 fiducial points."""

import io

import numpy as np
from PIL import Image

from ..faces.transform import similarity, warp

# The 30 points are on one half of the face: the half on the left of a frontal photo, the visible half of a
# profile. From 0 on: 9 of the jaw from ear to chin, 3 of the brow, 6 round the eye from its outer corner
# (12) over its lid to the inner one (15) and back, 4 down the nose from between the eyes (18) to its tip
# (21), 3 from the middle of its base (22) to the wing, the corner of the mouth (25), and 4 where the middle
# line crosses the lips.
_EYE, _BETWEEN_EYES, _NOSE_BASE, _MOUTH_CORNER = slice(12, 18), 18, 22, 25

SIDE = 250  # pixels of an aligned photo, as of one of LFW-a

# The places of the middle of the eye, the point between the eyes, the base of the nose and the corner of the
# mouth. Frontal: the mean shape of the 5,000 frontal photos, rotated, scaled and shifted so that their mean
# aligned photo correlates best with LFW-a's mean photo (rows 66-194, columns 69-181); other choices of points
# put eye, nose and mouth within half a pixel of these. Profile: the mean shape of the 2,000, as upright as
# they are on average, with the eye where a frontal photo has it, and the corner of the mouth as far below.
_PLACES = {
    "frontal": np.array([[103.2, 114.0], [125.7, 112.7], [126.4, 147.0], [107.7, 161.9]]),
    "profile": np.array([[103.2, 114.0], [122.8, 113.3], [124.4, 146.8], [102.7, 161.9]]),
}
_MIDDLE = 126.0  # column of LFW-a's mean face; a face that looks to the left has its places mirrored there
_LARGEST = 2500  # pixels of a photo's longer side once its face has its size: CFP's have less than 250
_FARTHEST = (
    15.0  # pixels, root mean square: less than 10 on all 7,000 photos, more where frontal ones are mirrored
)


def read_fiducials(content: bytes) -> np.ndarray:
    """Reads the points of one photo.

    Args:
        content: a fiducial file: 30 lines `x,y`, in pixels from the photo's top left corner.

    Returns:
        float64 of shape `(30, 2)`.

    Raises:
        ValueError: if the file holds anything else.
    """
    try:
        points = [
            [float(number) for number in line.split(",")]
            for line in content.decode("ascii").strip().split("\n")
        ]
    except ValueError:
        points = []
    if len(points) != 30 or {len(point) for point in points} != {2} or not np.isfinite(points).all():
        raise ValueError("not 30 lines `x,y` of finite numbers")
    return np.array(points)


def align_photo(photo: Image.Image, fiducials: np.ndarray, view: str) -> Image.Image:
    """Rotates, scales and shifts a photo of CFP, so that its face is where the faces of LFW-a are.

    The similarity transform (no shear, no mirror) brings the middle of the eye, the point between the eyes,
    the base of the nose and the corner of the mouth nearest to their places by least squares. A frontal
    photo gets the eyes at (103, 114) and (149, 114), column and row. The visible eye of a profile goes to
    the same place as in a frontal photo, or to the one beyond the middle if the face looks to the left, and
    the mouth as far below it: the scale is a frontal photo's, and the tip of the nose lies some 8 pixels
    beyond the middle, inside of the crops that suit LFW-a. The photo is first resized, bicubic and with
    antialiasing, then turned and shifted, bicubic. CFP's photos are smaller than LFW-a's frame: beyond their
    edges the pixels of the edge are repeated.

    Args:
        photo: grey or RGB.
        fiducials: its points, `(30, 2)` floats in pixels, x before y.
        view: `"frontal"` or `"profile"`.

    Returns:
        250 x 250 pixels of the photo's mode.

    Raises:
        ValueError: if the eye, nose or mouth lies outside of the photo, or the points cannot be a face of
            this view: they stay more than 15 pixels, root mean square, from their places, or are far too
            close to each other for the photo.

    Reference:
        Umeyama, PAMI 1991, see `faces.transform.similarity`.
    """
    points = eye_nose_and_mouth(fiducials)
    if (points < 0).any() or (points > photo.size).any():
        raise ValueError(
            f"its eye, nose or mouth outside of the photo of {photo.width} x {photo.height} pixels"
        )
    turn, shift, distance = best_similarity(points, view)
    if not (distance <= _FARTHEST and max(photo.size) * abs(turn) <= _LARGEST):
        raise ValueError(f"points that are not a {view} face, or a far too small one")
    return warp(photo, turn, shift, (SIDE, SIDE))


def align_jpeg(content: bytes, fiducials: np.ndarray, view: str) -> bytes:
    """Aligns a photo's file; returns a JPEG, grey or RGB, of quality 95 and full colour resolution."""
    with Image.open(io.BytesIO(content)) as photo:
        aligned = align_photo(photo if photo.mode == "L" else photo.convert("RGB"), fiducials, view)
    file = io.BytesIO()
    aligned.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def eye_nose_and_mouth(fiducials: np.ndarray) -> np.ndarray:
    """Returns eye, point between the eyes, base of the nose and corner of the mouth, `(4, 2)`."""
    return np.stack([fiducials[_EYE].mean(0), *fiducials[[_BETWEEN_EYES, _NOSE_BASE, _MOUTH_CORNER]]])


def best_similarity(points: np.ndarray, view: str) -> tuple[complex, complex, float]:
    """Returns the factor and shift that take the four points, as x + yj, nearest to their places.

    The third figure is the remaining distance: the root mean square, in pixels of the result. A profile is
    compared with the places of the side to which it looks.
    """
    choices = [_PLACES[view]]
    if view == "profile":
        choices.append(_PLACES[view] * [-1, 1] + [2 * _MIDDLE, 0])
    return min((similarity(points, places) for places in choices), key=lambda fit: fit[2])
