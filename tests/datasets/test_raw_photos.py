import io

import numpy as np
import pytest
from PIL import Image, features

from siamese_nn.datasets import ImageError, open_raw_photo

COLOUR = np.zeros((40, 60, 3), np.uint8)
COLOUR[:, :30] = (200, 80, 30)
COLOUR[:20, 30:] = (10, 90, 220)
PHOTO = Image.fromarray(COLOUR)


def saved(photo, kind, **options):
    file = io.BytesIO()
    photo.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_each_kind_gives_the_photo(kind):
    if kind in ("WEBP", "AVIF") and not features.check(kind.lower()):
        pytest.skip(f"this Pillow has no {kind}")
    photo = open_raw_photo(saved(PHOTO, kind, **({} if kind == "PNG" else {"quality": 95})))
    assert photo.mode == "RGB" and photo.size == (60, 40)
    assert abs(np.asarray(photo, int)[[5, 5, 35], [5, 50, 5]] - COLOUR[[5, 5, 35], [5, 50, 5]]).max() < 12


def test_a_camera_that_was_held_on_its_side():
    exif = Image.Exif()
    exif[274] = 6  # to be seen upright, turn a quarter clockwise
    photo = open_raw_photo(saved(PHOTO.rotate(90, expand=True), "PNG", exif=exif))
    assert np.array_equal(photo, COLOUR)


def test_what_is_transparent_is_grey():
    alpha = np.full((40, 60), 255, np.uint8)
    alpha[:, :30] = 0
    photo = PHOTO.copy()
    photo.putalpha(Image.fromarray(alpha))
    found = np.asarray(open_raw_photo(saved(photo, "PNG")))
    assert (found[:, :30] == 128).all() and np.array_equal(found[:, 30:], COLOUR[:, 30:])


def test_sixteen_bits_become_eight():
    levels = np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27
    photo = open_raw_photo(saved(Image.fromarray(levels), "PNG"))
    assert photo.mode == "L" and np.array_equal(photo, np.round(levels / 257).astype(np.uint8))
    assert not np.asarray(open_raw_photo(saved(Image.fromarray(levels // 600), "PNG"))).any()  # a dark one


@pytest.mark.parametrize(("mode", "values"), [("I", np.int32), ("F", np.float32)])
def test_pillow_images_without_a_largest_value_are_refused(mode, values):
    grey = np.asarray(PHOTO.convert("L")).astype(values)
    assert Image.fromarray(grey).mode == mode
    with pytest.raises(ImageError, match=f"mode '{mode}' has no largest value. Bring its values to 0 to 255"):
        open_raw_photo(Image.fromarray(grey))
    sixteen = Image.fromarray(np.full((8, 8), 257 * 100, np.uint16))
    assert np.asarray(open_raw_photo(sixteen)).max() == 100


def test_palettes_cmyk_and_grey():
    palette = open_raw_photo(saved(PHOTO.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"))
    assert palette.mode == "RGB" and abs(np.asarray(palette, int) - COLOUR).max() < 3
    cmyk = open_raw_photo(saved(PHOTO.convert("CMYK"), "JPEG", quality=95))
    assert cmyk.mode == "RGB" and abs(np.asarray(cmyk, int)[5, 5] - COLOUR[5, 5]).max() < 12
    assert open_raw_photo(saved(PHOTO.convert("L"), "PNG")).mode == "L"


@pytest.mark.parametrize("content", [b"", b"not a photo", saved(PHOTO, "PNG")[:60], saved(PHOTO, "GIF")])
def test_what_is_no_photo_is_named(content, tmp_path):
    (tmp_path / "Ada.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=r"Ada\.jpg"):
        open_raw_photo(tmp_path / "Ada.jpg")


def test_a_missing_file(tmp_path):
    with pytest.raises(ImageError, match="no such image"):
        open_raw_photo(tmp_path / "Ada.jpg")
