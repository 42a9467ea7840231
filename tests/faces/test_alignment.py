import numpy as np
import pytest
from PIL import Image

from siamese_nn.faces import LFW_A, Face, Frame, NoFaceError, align

CORNERS = np.array(LFW_A.points)


def moved(degrees, scale, offset):
    """LFW-a's points turned, scaled and shifted, as a face in another photo."""
    factor = scale * np.exp(1j * np.radians(degrees))
    there = factor * (CORNERS @ [1, 1j]) + complex(*offset)
    points = np.stack([there.real, there.imag], -1)
    return Face((*points.min(0), *points.max(0)), 1.0, points)


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (25, 2.0), (-40, 3.0)])
def test_the_marks_of_a_face_come_to_their_places(degrees, scale):
    face = moved(degrees, scale, (500, 500))
    rows, columns = np.mgrid[:1600, :1600] + 0.5
    # A bright spot at each of the five points.
    spots = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (4 * scale) ** 2)) for x, y in face.points]
    photo = Image.fromarray((255 * np.max(spots, 0)).astype(np.uint8))
    aligned = np.asarray(align(photo, face), dtype=float)
    assert aligned.shape == (250, 250)
    for x, y in CORNERS:
        window = aligned[int(y) - 8 : int(y) + 9, int(x) - 8 : int(x) + 9]
        down, across = np.unravel_index(window.argmax(), window.shape)
        assert np.hypot(int(x) - 8 + across + 0.5 - x, int(y) - 8 + down + 0.5 - y) < 1.5


def test_which_face():
    largest, middle = moved(0, 1.0, (0, 0)), moved(0, 0.5, (138, 134))
    photo = np.zeros((400, 400, 3), np.uint8)
    photo[:250, :250] = 50
    photo[190:220, 190:220] = 200  # the nose of the one in the middle

    def finder(pixels):  # which sees a quarter more on each side
        return [Face(np.add(face.box, 100), 1.0, face.points + 100) for face in (middle, largest)]

    for face, expected in (("middle", middle), ("largest", largest)):
        found, wanted = (
            np.asarray(image, int) for image in (align(photo, face, finder=finder), align(photo, expected))
        )
        assert abs(found - wanted).max() <= 1, face
    assert not np.array_equal(align(photo, largest), align(photo, middle))


def test_no_face():
    with pytest.raises(NoFaceError, match="No face was found"):
        align(np.zeros((90, 90, 3), np.uint8), finder=lambda _: [])


def test_another_frame_and_colour():
    frame = Frame(tuple(map(tuple, CORNERS / 2)), (125, 100))
    aligned = align(np.full((250, 250, 3), (9, 99, 199), np.uint8), moved(0, 1.0, (0, 0)), frame=frame)
    assert aligned.size == (100, 125) and aligned.getpixel((50, 50)) == (9, 99, 199)


def test_points_that_are_none():
    one = Face((0, 0, 1, 1), 1.0, np.full((5, 2), 7.0))
    with pytest.raises(ValueError, match="must lie further apart"):
        align(np.zeros((90, 90, 3), np.uint8), one)
    with pytest.raises(ValueError, match="`face` must be a `Face`, or one of"):
        align(np.zeros((90, 90, 3), np.uint8), "all")


@pytest.mark.parametrize(
    ("points", "size", "message"),
    [
        (CORNERS[:3], (250, 250), "five different pairs"),
        (CORNERS * 0, (250, 250), "five different pairs"),
        (CORNERS, (0, 250), "whole pixels of at least 1"),
        (CORNERS, (250.0, 250), "whole pixels"),
    ],
)
def test_a_frame_is_checked(points, size, message):
    with pytest.raises(ValueError, match=message):
        Frame(points, size)
