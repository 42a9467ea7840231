"""The alignment against Umeyama's own formula, and against photos known at every point of the plane."""

import numpy as np
import pytest
from PIL import Image

from siamese_nn.datasets import cfp_alignment
from siamese_nn.datasets.cfp_alignment import align_photo, read_fiducials

pytestmark = pytest.mark.once

PLACES = {view: places.copy() for view, places in cfp_alignment._PLACES.items()}


def umeyama(points: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equations 34 to 42 of the paper, with the singular value decomposition: returns c R and t."""
    centred, target = points - points.mean(0), places - places.mean(0)
    u, d, vt = np.linalg.svd(target.T @ centred / len(points))
    s = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    scale = np.trace(np.diag(d) @ s) / (centred**2).sum(1).mean()
    linear = scale * u @ s @ vt
    return linear, places.mean(0) - linear @ points.mean(0)


def thirty(points: np.ndarray) -> np.ndarray:
    """Fiducials with the four points that the alignment uses; the first is in the middle of the eye's six."""
    fiducials = np.full((30, 2), 3.0)
    angle = np.arange(6) * np.pi / 3
    fiducials[12:18] = points[0] + 2 * np.stack([np.cos(angle), np.sin(angle)], 1)
    fiducials[[18, 22, 25]] = points[1:]
    return fiducials


def painting(x: np.ndarray, y: np.ndarray, period: float) -> np.ndarray:
    return 127 + 60 * np.sin(2 * np.pi * x / period) + 50 * np.cos(2 * np.pi * y / period + 1)


def placed(view: str, scale: float, degrees: float, size: tuple[int, int], noise: float = 0.0) -> np.ndarray:
    """Points of a face in the middle of a photo of that size, each some pixels off."""
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    off = noise * np.array([[1, -1], [-0.5, 1], [1, 0.5], [-1, -1]])
    points = (PLACES[view] - PLACES[view].mean(0)) @ turn.T + off
    return points + np.array(size) / 2


@pytest.mark.parametrize("view", ["frontal", "profile"])
@pytest.mark.parametrize(("scale", "degrees"), [(1, 0), (0.4, 20), (2.6, -35), (1.3, 60)])
def test_the_result_is_the_photo_at_the_points_that_umeyama_says(view, scale, degrees):
    size, period = (round(180 * scale), round(230 * scale)), 90 * scale
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    photo = Image.fromarray(painting(x, y, period).round().astype(np.uint8))
    points = placed(view, scale, degrees, size, noise=2 * scale)
    linear, shift = umeyama(points, PLACES[view])
    rows, columns = np.mgrid[:250, :250] + 0.5
    back = (np.stack([columns, rows], -1) - shift) @ np.linalg.inv(linear).T
    back = back.clip(0.5, np.array(size) - 0.5)  # beyond the edge, its nearest pixel
    expected = painting(back[..., 0], back[..., 1], period)
    found = np.asarray(align_photo(photo, thirty(points), view)).astype(float)
    assert found.shape == (250, 250)
    assert abs(found - expected).max() < 8 and abs(found - expected).mean() < 1


def test_marks_come_to_their_places():
    size = (400, 500)
    points = placed("frontal", 1.7, 15, size)
    y, x = np.mgrid[:500, :400] + 0.5
    for point, place in zip(points, PLACES["frontal"], strict=True):
        mark = 255 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 50)
        found = np.asarray(
            align_photo(Image.fromarray(mark.astype(np.uint8)), thirty(points), "frontal"), float
        )
        rows, columns = np.mgrid[:250, :250] + 0.5
        middle = [(found * axis).sum() / found.sum() for axis in (columns, rows)]
        assert middle == pytest.approx(place, abs=0.1)


def test_a_profile_to_the_left_is_the_mirror_image_of_one_to_the_right():
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).resize(
        (300, 400), Image.Resampling.BICUBIC
    )
    points = thirty(placed("profile", 1.4, 10, photo.size, noise=3))
    right = np.asarray(align_photo(photo, points, "profile")).astype(int)
    mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    left = np.asarray(align_photo(mirrored, points * [-1, 1] + [300, 0], "profile")).astype(int)
    assert left.shape == (250, 250, 3)
    assert abs(left[:, 2:] - right[:, 2:][:, ::-1]).max() <= 3  # about column 126


def test_a_fine_pattern_is_averaged_when_it_shrinks():
    y, x = np.mgrid[:2000, :1600]
    photo = Image.fromarray(((x + y) % 2 * 255).astype(np.uint8))
    aligned = np.asarray(align_photo(photo, thirty(placed("frontal", 7.3, 5, photo.size)), "frontal"))
    assert abs(aligned[50:200, 50:200].astype(int) - 127).max() <= 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p * [-1, 1] + [200, 0], "not a frontal face"),  # a frontal photo is never mirrored
        (lambda p: p * [1, -1] + [0, 240], "not a frontal face"),  # head over heels is a mirror image, too
        (lambda p: p - [100, 0], "outside of the photo of 200 x 240"),
        (lambda p: p - [0, -130], "outside of the photo"),
        (lambda p: p * 0 + 50, "not a frontal face"),
        (lambda p: 100 + p * 0.05, "not a frontal face, or a far too small one"),
        (lambda p: p[::-1], "not a frontal face"),
    ],
)
def test_what_is_no_face_is_refused(change, message):
    photo = Image.new("L", (200, 240))
    points = placed("frontal", 1, 0, photo.size)
    align_photo(photo, thirty(points), "frontal")
    fiducials = thirty(points)
    fiducials[12:18], fiducials[[18, 22, 25]] = np.split(
        change(np.r_[fiducials[12:18], fiducials[[18, 22, 25]]]), [6]
    )
    with pytest.raises(ValueError, match=message):
        align_photo(photo, fiducials, "frontal")


def test_fiducials_are_read_as_they_are():
    text = "".join(f"{i}.5,{2 * i}e0\r\n" for i in range(30))
    points = read_fiducials(text.encode())
    assert points.shape == (30, 2) and points[7].tolist() == [7.5, 14]
    for wrong in (text + "1,2", text.replace("7.5", "inf"), text.replace(",", " "), "é" + text, ""):
        with pytest.raises(ValueError, match="not 30 lines `x,y` of finite numbers"):
            read_fiducials(wrong.encode())
