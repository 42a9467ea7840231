import hashlib
import sys

import numpy as np
import pytest
from PIL import Image

from siamese_nn import faces
from siamese_nn.faces import Face, find, mtcnn

POINTS = np.array([[40.0, 50.0], [60.0, 50.0], [50.0, 60.0], [42.0, 70.0], [58.0, 70.0]])


def painted(size, box):
    """A black photo with a white box, as large as the finder's face, and a finder that sees such a box."""
    pixels = np.zeros((*size[::-1], 3), np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = 255
    return Image.fromarray(pixels)


def sees_white(pixels):
    rows, columns = (np.flatnonzero((pixels[..., 0] > 127).any(axis)) for axis in (1, 0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    middle = [(left + right) / 2, (top + bottom) / 2]
    return [
        Face(
            (left, top, right, bottom),
            1.0,
            [[left, top], [right, top], middle, [left, bottom], [right, bottom]],
        )
    ]


@pytest.mark.parametrize(
    ("size", "box"), [((200, 100), (50, 20, 90, 70)), ((4000, 3000), (1000, 400, 1900, 1500))]
)
def test_what_is_found_is_in_the_pixels_of_the_photo(size, box):
    (face,) = find(painted(size, box), finder=sees_white)
    tolerance = max(size) / 400  # a pixel of the smaller photo that is looked at
    assert np.abs(np.array(face.box) - box).max() <= tolerance
    assert np.abs(face.points[0] - box[:2]).max() <= tolerance
    assert np.abs(face.points[4] - box[2:]).max() <= tolerance


def test_there_is_repeated_edge_around_what_the_finder_sees():
    seen = []
    assert find(np.full((80, 60, 3), 7, np.uint8), finder=lambda pixels: seen.append(pixels) or []) == []
    assert seen[0].shape == (120, 90, 3) and (seen[0] == 7).all()


def test_the_largest_comes_first():
    sizes = [(0, 0, 10, 10), (0, 0, 30, 30), (0, 0, 20, 20)]
    found = find(np.zeros((90, 90, 3), np.uint8), finder=lambda _: [Face(box, 0.5, POINTS) for box in sizes])
    assert [round(face.area) for face in found] == [900, 400, 100]


@pytest.mark.parametrize(
    "photo", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8), "a.jpg"]
)
def test_what_is_no_photo_is_refused(photo):
    with pytest.raises(ValueError, match="`photo` must be a Pillow image"):
        find(photo, finder=sees_white)


def test_a_finder_must_return_faces():
    with pytest.raises(ValueError, match="must return a list of `Face`"):
        find(np.zeros((9, 9, 3), np.uint8), finder=lambda _: [(0, 0, 9, 9)])


@pytest.mark.parametrize(
    ("box", "points", "message"),
    [
        ((0, 0, 9, 9), POINTS[:4], "`points` must be five pairs"),
        ((0, 0, 9, 9), POINTS * np.nan, "`points` must be five pairs"),
        ((9, 0, 9, 9), POINTS, "`box` must be left, top, right and bottom"),
    ],
)
def test_a_face_is_checked(box, points, message):
    with pytest.raises(ValueError, match=message):
        Face(box, 1.0, points)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    mtcnn._network.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'siamese_nn\[faces\]'"):
        find(np.zeros((90, 90, 3), np.uint8))


def test_other_weights_are_refused(monkeypatch):
    pytest.importorskip("mtcnn", reason="the extra `faces` is not installed")
    monkeypatch.setitem(mtcnn._SHA256, "onet.lz4", hashlib.sha256(b"others").hexdigest())
    mtcnn._network.cache_clear()
    with pytest.raises(ValueError, match=r"onet\.lz4 must be the weights of mtcnn 1\.0\.0"):
        find(np.zeros((90, 90, 3), np.uint8))
    mtcnn._network.cache_clear()


def test_weights_in_the_working_folder_are_not_read(tmp_path, monkeypatch):
    pytest.importorskip("mtcnn", reason="the extra `faces` is not installed")
    monkeypatch.chdir(tmp_path)
    for name in mtcnn._SHA256:
        (tmp_path / name).write_bytes(b"a pickle that would run")
    mtcnn._network.cache_clear()
    assert faces.find(np.zeros((90, 90, 3), np.uint8)) == []


def test_mtcnn_finds_drawn_faces_and_their_points_in_order(toy_dir):
    pytest.importorskip("mtcnn", reason="the extra `faces` is not installed")
    photos = sorted((toy_dir / "lfw2").rglob("*.jpg"))[:24]  # of which it sees some
    found = [face for path in photos for face in find(Image.open(path))]
    assert found
    for face in found:
        (left, right, nose, mouth_left, mouth_right), (x0, y0, x1, y1) = face.points, face.box
        assert left[0] < right[0] and mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] < max(mouth_left[1], mouth_right[1])
        assert x0 < nose[0] < x1 and y0 < nose[1] < y1


def test_the_networks_are_traced_once_for_photos_of_all_sizes():
    pytest.importorskip("mtcnn", reason="the extra `faces` is not installed")
    for size in ((90, 90, 3), (70, 200, 3)):
        find(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    networks = [stage.model for stage in mtcnn._network().stages]
    assert [network.experimental_get_tracing_count() <= 1 for network in networks] == [True] * 3
