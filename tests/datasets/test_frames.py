import json

import numpy as np
import pytest
from PIL import Image

from siamese_nn import datasets, faces
from siamese_nn.datasets import frames, known_frame

pytestmark = pytest.mark.once

HALF = faces.Frame(np.array(faces.LFW_A.points) / 2, (125, 125))


def one_face(pixels):
    height, width = pixels.shape[:2]
    return [faces.Face((0, 0, width, height), 1.0, np.array(faces.LFW_A.points) * width / 250)]


@pytest.mark.parametrize("places", [["a.png", "b.png"], ["Ada/a.png", "Bo/b.png"]])
def test_what_align_folder_has_made(tmp_path, places):
    for place in places:
        (tmp_path / "raw" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 60)).save(tmp_path / "raw" / place)
    datasets.align_folder(tmp_path / "raw", tmp_path / "out", frame=HALF, finder=one_face)
    photos = sorted((tmp_path / "out").rglob("*.jpg"))
    assert len(photos) == 2 and known_frame(photos) == HALF
    assert known_frame(map(str, photos)) == HALF
    raw = sorted((tmp_path / "raw").rglob("*.png"))
    assert known_frame(raw) is None and known_frame([*photos, *raw]) is None


def test_cfp_is_in_lfw_as_frame_if_it_was_aligned(tmp_path):
    drawn = datasets.make_toy_cfp(tmp_path / "drawn", frontal_photos=2, profile_photos=1)
    for align, frame in ((True, faces.LFW_A), (False, None)):
        datasets.organize_cfp(drawn, tmp_path / str(align), align=align)
        photos = datasets.cfp_photos(tmp_path / str(align))
        assert known_frame([path for own in photos.values() for path in own]) == frame


def test_drawn_faces_that_are_organised_are_not_lfw_a(toy_dir, tmp_path):
    pair_files = {f"{side.lower()}_pairs": toy_dir / f"pairsDev{side}.txt" for side in ("Train", "Test")}
    datasets.organize_lfw_a(toy_dir / "lfw2", tmp_path / "organised", **pair_files)
    assert known_frame((tmp_path / "organised" / "train").iterdir()) is None


@pytest.mark.parametrize("whole", [True, False])
def test_lfw_a_is_known_by_every_byte(tmp_path, monkeypatch, whole):
    def check(folder):
        assert folder == tmp_path
        if not whole:
            raise ValueError("as many photos and people, but other names or bytes")
        return {"photos": 13233}

    monkeypatch.setattr(frames, "check_lfw_a", check)
    assert known_frame([tmp_path / "train" / "Ada_0001.jpg"]) is None  # not organised: nobody looks
    (tmp_path / "lfw_a.json").write_text("{}")
    assert known_frame([tmp_path / "train" / "Ada_0001.jpg"]) == (faces.LFW_A if whole else None)


def test_the_real_lfw_a(lfw_a_dir):
    assert known_frame(sorted((lfw_a_dir / "train").iterdir())) == faces.LFW_A


@pytest.mark.parametrize("content", ['{"size": [250, 250]}', "no JSON", json.dumps([1])])
def test_somebody_elses_file_says_nothing(tmp_path, content):
    (tmp_path / "frame.json").write_text(content)
    assert known_frame([tmp_path / "a.jpg"]) is None
