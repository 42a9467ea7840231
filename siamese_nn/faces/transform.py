"""Rotates, scales and shifts a photo so that points in it move to given places."""

import numpy as np
from PIL import Image


def similarity(points: np.ndarray, places: np.ndarray) -> tuple[complex, complex, float]:
    """Finds the rotation, scale and shift (no shear, no mirror) that bring points nearest to their places.

    Args:
        points: float `(n, 2)`, x before y, in pixels.
        places: float `(n, 2)`, the place of each point.

    Returns:
        The factor and the shift, for points as x + yj; and the remaining distance, root mean square, in
        pixels of the places. It is infinite if all points are equal.

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

    The photo is first resized, bicubic and with antialiasing, then rotated and shifted, bicubic. Beyond its
    edges the edge pixels are repeated.

    Args:
        photo: grey or RGB.
        factor: the factor that `similarity` returns, from the photo to the result.
        shift: the shift that it returns.
        size: height and width of the result, in pixels.

    Returns:
        The moved photo, with the same mode.
    """
    width, height = (max(1, round(side * abs(factor))) for side in photo.size)
    scaled = np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC))
    # The map from the result back to the scaled photo, whose sides are rounded to whole pixels.
    ratio = np.array([width, height]) / photo.size
    right, corner = 1 / factor, -shift / factor
    linear = np.array([[right.real, -right.imag], [right.imag, right.real]]) * ratio[:, None]
    offset = np.array([corner.real, corner.imag]) * ratio
    corners = np.array([[0, 0], [size[1], 0], [0, size[0]], size[::-1]]) @ linear.T + offset
    before = np.ceil(np.maximum(0, 3 - corners.min(0))).astype(int)  # bicubic needs 2 more pixels
    after = np.ceil(np.maximum(0, corners.max(0) + 3 - [width, height])).astype(int)
    padding = [(before[1], after[1]), (before[0], after[0]), (0, 0)][: scaled.ndim]
    padded = Image.fromarray(np.pad(scaled, padding, mode="edge"))
    x, y = offset + before
    coefficients = (*linear[0], x, *linear[1], y)
    return padded.transform(size[::-1], Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
