"""A photo turned, scaled and shifted until points of it lie at places given."""

import numpy as np
from PIL import Image


def similarity(points: np.ndarray, places: np.ndarray) -> tuple[complex, complex, float]:
    """Finds the turn, scale and shift (no shear, no mirror) that bring points nearest to their places.

    Args:
        points: float `(n, 2)`, x before y, in pixels.
        places: float `(n, 2)`, where each of them is to go.

    Returns:
        The factor and the shift, for points as x + yj; and the distance that remains, root mean square, in
        pixels of the places. It is infinite where all points are one.

    Reference:
        Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI
        1991, equations 40-42, which are these lines where points in the plane are complex numbers.

    Example:
        >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> factor, shift, distance = similarity(corners, 2 * corners + [3, 4])
        >>> print(factor.round(6), shift.round(6), round(distance, 6))
        (2+0j) (3+4j) 0.0
    """
    source, target = points @ [1, 1j], places @ [1, 1j]
    centred = source - source.mean()
    spread = (abs(centred) ** 2).sum()
    if not spread:
        return 0j, 0j, np.inf
    factor = (centred.conj() * target).sum() / spread
    shift = target.mean() - factor * source.mean()
    return factor, shift, float(np.sqrt((abs(factor * source + shift - target) ** 2).mean()))


def warp(photo: Image.Image, factor: complex, shift: complex, size: tuple[int, int]) -> Image.Image:
    """Moves a photo's pixels by a similarity transform.

    The photo is first resized, bicubic and with antialiasing, then turned and shifted, bicubic. Beyond its
    edges the pixels of the edge are repeated.

    Args:
        photo: grey or RGB.
        factor, shift: as `similarity` returns them; from the photo to the result.
        size: height and width of the result, in pixels.

    Returns:
        The result, of the photo's mode.
    """
    width, height = (max(1, round(side * abs(factor))) for side in photo.size)
    scaled = np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC))
    # From the result back into the scaled photo: its sides are whole pixels, not quite of that scale.
    ratio = np.array([width, height]) / photo.size
    right, corner = 1 / factor, -shift / factor
    linear = np.array([[right.real, -right.imag], [right.imag, right.real]]) * ratio[:, None]
    offset = np.array([corner.real, corner.imag]) * ratio
    corners = np.array([[0, 0], [size[1], 0], [0, size[0]], size[::-1]]) @ linear.T + offset
    before = np.ceil(np.maximum(0, 3 - corners.min(0))).astype(int)  # bicubic looks 2 pixels further
    after = np.ceil(np.maximum(0, corners.max(0) + 3 - [width, height])).astype(int)
    padding = [(before[1], after[1]), (before[0], after[0]), (0, 0)][: scaled.ndim]
    padded = Image.fromarray(np.pad(scaled, padding, mode="edge"))
    x, y = offset + before
    coefficients = (*linear[0], x, *linear[1], y)
    return padded.transform(size[::-1], Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
