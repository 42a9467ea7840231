import io
import os
import struct
import time
import tracemalloc
import zlib
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image, ImageOps

from siamese_nn import datasets
from siamese_nn.datasets import ImageError
from siamese_nn.datasets.photo_files import read_photo


@pytest.fixture
def colours(tmp_path):
    pixels = np.zeros((100, 80, 3), np.uint8)
    pixels[:50, :, 0] = 255
    pixels[50:, :, 2] = 255
    Image.fromarray(pixels).save(tmp_path / "colours.png")
    return tmp_path / "colours.png"


def test_shape_channels_and_values(colours):
    image = datasets.load_image(colours, image_size=(50, 40), channels=3)
    assert image.shape == (50, 40, 3) and image.dtype == np.uint8
    assert image[0, 0].tolist() == [255, 0, 0] and image[-1, -1].tolist() == [0, 0, 255]
    grey = datasets.load_image(colours, image_size=(50, 40))
    assert grey.shape == (50, 40, 1) and grey[0, 0, 0] == round(0.299 * 255)


def test_crop_takes_the_middle(tmp_path):
    pixels = np.zeros((100, 100), np.uint8)
    pixels[40:60, 30:70] = 200
    Image.fromarray(pixels).save(tmp_path / "middle.png")
    image = datasets.load_image(tmp_path / "middle.png", image_size=(20, 40), crop=(20, 40))
    assert (image == 200).all()


def test_paths_keep_their_order(colours, tmp_path):
    Image.new("L", (80, 100), 7).save(tmp_path / "grey.jpg")
    images = datasets.load_images([tmp_path / "grey.jpg", colours], image_size=(10, 8))
    assert (images[0] == 7).all() and images[1, 0, 0, 0] == round(0.299 * 255)


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_broken_images_are_named(colours, tmp_path, ending):
    whole = tmp_path / f"whole.{ending}"
    Image.effect_noise((80, 100), 90).save(whole)
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "text.jpg").write_text("hello")
    for path in (cut, tmp_path / "text.jpg", tmp_path / "absent.jpg"):
        with pytest.raises(ImageError, match=path.name):
            datasets.load_images([colours, path], image_size=(10, 8))


def test_what_would_come_out_wrong_is_refused(tmp_path):
    Image.fromarray(np.full((20, 20), 30000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ImageError, match=r"deep\.png: more than 8 bits"):
        datasets.load_image(tmp_path / "deep.png")


@pytest.mark.parametrize("ending", ["gif", "bmp", "tiff", "webp"])
def test_of_another_format_the_way_out_is_named(tmp_path, ending):
    path = tmp_path / f"photo.{ending}"
    Image.new("L", (20, 20)).save(path)
    for source, name in ((path, rf"photo\.{ending}"), (path.read_bytes(), "the photo")):
        with pytest.raises(ImageError, match=f"{name}: not a whole JPEG or PNG.*convert it to JPEG or PNG"):
            datasets.load_image(source)


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("folder.jpg", "pipe.jpg"):
        with pytest.raises(ImageError, match=f"{name}: not a file, but a folder, a pipe"):
            datasets.load_images([tmp_path / name])


@pytest.mark.parametrize(("side", "crop"), [(125, None), (60, None), (40, (200, 200)), (31, (130, 140))])
def test_a_jpeg_decoded_at_a_part_of_its_size_looks_the_same(tmp_path, side, crop):
    photo = Image.effect_noise((250, 250), 60).resize((20, 20)).resize((250, 250), Image.Resampling.BICUBIC)
    photo.save(tmp_path / "photo.jpg", quality=95)
    photo.save(tmp_path / "photo.png")
    jpeg, png = (
        datasets.load_image(tmp_path / name, image_size=(side, side), crop=crop).astype(int)
        for name in ("photo.jpg", "photo.png")
    )
    assert np.abs(jpeg - png).mean() < 1.5 and np.abs(jpeg - png).max() < 12


def test_options_are_checked(colours):
    with pytest.raises(ImageError, match="crop=\\(200, 200\\)"):
        datasets.load_image(colours, crop=(200, 200))
    for option in ({"image_size": (0, 5)}, {"image_size": 5}, {"crop": (1.5, 2)}, {"channels": 2}):
        with pytest.raises(ValueError, match=f"`{next(iter(option))}` must be"):
            datasets.load_image(colours, **option)


@pytest.mark.parametrize("source", [None, 5, np.zeros((9, 9), np.uint8), ["a.jpg"]])
def test_what_is_no_photo_is_refused(source):
    with pytest.raises(ValueError, match=f"`source` must be .* Received: {type(source).__name__}"):
        datasets.load_image(source)


def test_errors_of_other_kinds_name_the_photo_too(tmp_path):
    """Pillow lets an AssertionError out where a photo has opacity for its palette, but no palette."""
    content = png(8, 8, 8 * (b"\0" + bytes(8)), kinds=(8, 3), more=[(b"tRNS", b"\0")])
    (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"photo\.png: not a whole JPEG or PNG image .*Replace the file"):
        datasets.load_image(tmp_path / "photo.png", channels=3)


def test_bytes_and_pillow_images_are_photos_too(colours):
    options = {"image_size": (50, 40), "channels": 3}
    expected = datasets.load_image(colours, **options)
    np.testing.assert_array_equal(datasets.load_image(colours.read_bytes(), **options), expected)
    with Image.open(colours) as image:
        np.testing.assert_array_equal(datasets.load_image(image, **options), expected)
        assert image.size == (80, 100) and image.getpixel((0, 0)) == (255, 0, 0)  # left as it was, and open
    with pytest.raises(ImageError, match="the photo: not a whole JPEG or PNG"):
        datasets.load_image(colours.read_bytes()[:100])


def png(width, height, data, *, interlaced=False, kinds=(8, 0), more=()):
    """A PNG of some dozens of bytes whose header claims a size, with these rows."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, *kinds, 0, 0, interlaced)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def png_that_claims(width, height):
    return png(width, height, b"")


def jpeg(mode="RGB", side=64, *, colour=None, **options):
    image = Image.new(mode, (side, side), colour)
    if colour is None:
        rng = np.random.default_rng(0)
        bands = [Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)) for _ in image.getbands()]
        image = Image.merge(mode, bands).resize((side, side), Image.Resampling.BICUBIC)
    with io.BytesIO() as file:
        image.save(file, "JPEG", **options)
        return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}, {"quality": 98}]
)
def test_a_jpeg_whose_data_are_cut_short_is_refused_though_it_ends_properly(mode, options, channels):
    """The decoder makes up grey for what is lacking, and says nothing."""
    whole = jpeg(mode, **options)
    assert datasets.load_image(whole, image_size=(64, 64), channels=channels).std() > 20
    data = whole.index(b"\xff\xda") + 14
    for share in (0.1, 0.5, 0.9):
        cut = whole[: data + int(share * (len(whole) - data))].rstrip(b"\xff")
        for ending in (b"", b"\xff\xd9", b"\xff\xff\xd9"):
            with pytest.raises(ImageError, match="the photo: .*(data end before|truncated|broken)"):
                datasets.load_image(cut + ending, image_size=(64, 64), channels=channels)


def test_a_jpeg_that_claims_to_be_larger_than_it_is_is_refused(tmp_path):
    content = bytearray(jpeg(side=250))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 7900, 7900)
    (tmp_path / "large.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=r"large\.jpg: its data end before its last pixel"):
        datasets.load_image(tmp_path / "large.jpg")
    with pytest.raises(ImageError, match="its data end"):  # its header is all right
        datasets.load_images([tmp_path / "large.jpg"], crop=datasets.photo_sizes([tmp_path / "large.jpg"])[0])


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("grey", [True, False])
def test_a_whole_jpeg_is_used_grey_or_not(mode, progressive, grey):
    for side in (1, 7, 16, 33, 250):
        for options in ({}, {"restart_marker_blocks": 2}, {"optimize": True, "quality": 30}):
            colour = (128,) * len(Image.new(mode, (1, 1)).getbands()) if grey else None
            content = jpeg(mode, side, colour=colour, progressive=progressive, **options)
            for channels in (1, 3):
                assert datasets.load_image(content, image_size=(8, 8), channels=channels).shape[0] == 8
                assert datasets.load_image(content[:-2] + b"\xff" + content[-2:], channels=channels).any()


@pytest.mark.parametrize("scans", [3, 3000])
def test_decoding_a_progressive_jpeg_has_a_budget(scans):
    content = jpeg(side=1000, colour=(10, 200, 30), progressive=True)
    last = content.rindex(b"\xff\xda")
    content = content[:-2] + scans * content[last:-2] + b"\xff\xd9"
    if scans == 3:
        assert datasets.load_image(content).any()
        return
    with pytest.raises(ImageError, match="the photo: more than the 100 scans"):
        datasets.load_image(content)


def test_arithmetic_coding_is_refused():
    content = jpeg()
    frame = content.index(b"\xff\xc0")
    with pytest.raises(ImageError, match="the photo: a JPEG in arithmetic coding. Save it"):
        datasets.load_image(content[: frame + 1] + b"\xc9" + content[frame + 2 :])


@pytest.mark.parametrize(
    ("interlaced", "kinds", "size"),  # bits and colour type: grey of 1 bit, RGB, RGB with opacity
    [
        (False, (1, 0), 37 * (1 + 7)),
        (False, (8, 2), 37 * (1 + 3 * 50)),
        (True, (8, 6), 37 * 50 * 4 + sum([5, 5, 5, 10, 9, 19, 18])),
    ],
)
def test_a_png_that_lacks_rows_is_refused(interlaced, kinds, size):
    options = {"interlaced": interlaced, "kinds": kinds}
    assert not datasets.load_image(png(50, 37, bytes(size), **options)).any()  # black as what is made up
    for length in (size - 1, size // 2, 1):
        with pytest.raises(ImageError, match="the photo: .*(data end before its last pixel|truncated)"):
            datasets.load_image(png(50, 37, bytes(length), **options))


def test_a_png_that_was_changed_is_refused(colours):
    content = bytearray(colours.read_bytes())
    content[content.index(b"IDAT") + 9] ^= 1
    with pytest.raises(ImageError, match="the photo: .*(changed since it was written|broken)"):
        datasets.load_image(bytes(content))
    content = bytearray(colours.read_bytes())
    content[content.index(b"IEND") - 5] ^= 1  # the checksum of the data
    with pytest.raises(ImageError, match="the photo: its data were changed since it was written"):
        datasets.load_image(bytes(content))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "side",
    [10_000, 60_000],  # the latter is beyond Pillow's own limit
)
def test_photos_that_would_fill_the_memory_are_refused(tmp_path, side):
    message = "more than the 64,000,000 .*decoded. Make it smaller first"
    (tmp_path / "bomb.png").write_bytes(png_that_claims(side, side))
    with pytest.raises(ImageError, match=rf"bomb\.png: .*{message}"):
        datasets.load_image(tmp_path / "bomb.png")
    with pytest.raises(ImageError, match=f"the photo: .*{message}"):
        datasets.load_image(png_that_claims(side, side))


@pytest.mark.once
def test_a_files_size_is_known_before_it_is_read(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "small.png")
    tracemalloc.start()
    try:
        read_photo(tmp_path / "small.png")
        assert tracemalloc.get_traced_memory()[1] < 2**20  # not the limit's 256 MB
    finally:
        tracemalloc.stop()
    with open(tmp_path / "large.jpg", "wb") as file:
        file.truncate(256_000_001)  # a hole, which takes no room
    with pytest.raises(ImageError, match=r"large\.jpg: more than the 256,000,000 bytes that are read"):
        datasets.load_image(tmp_path / "large.jpg")


def test_a_large_photo_is_used(tmp_path):
    image = Image.new("L", (8000, 8000), 9)  # 64 million pixels
    assert (datasets.load_image(image, image_size=(5, 5)) == 9).all()
    with io.BytesIO() as file, pytest.raises(ImageError, match="more than the 64,000,000"):
        Image.new("L", (8001, 8000)).save(file, "PNG", compress_level=1)
        datasets.load_image(file.getvalue())


def test_the_real_photos_decode(lfw_a_dir):
    pairs, _ = datasets.load_lfw_a(lfw_a_dir)
    images = datasets.load_images(pairs.distinct_images()[0], progress=False)
    assert images.shape == (3443, 125, 125, 1)
    assert (images.std(axis=(1, 2, 3)) > 5).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_held_on_its_side_makes_no_difference(tmp_path, orientation):
    rng = np.random.default_rng(0)
    upright = Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8)).resize(
        (120, 80), Image.Resampling.BOX
    )
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that the orientations undo
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    stored.save(tmp_path / "photo.png", exif=exif)
    expected = datasets.load_image(upright, image_size=(20, 30), channels=3)
    found = datasets.load_image(tmp_path / "photo.png", image_size=(20, 30), channels=3)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_turned_jpeg_is_decoded_at_a_part_of_its_size(tmp_path, orientation):
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8)).resize(
        (960, 640), Image.Resampling.BICUBIC
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "photo.jpg") as opened:
        turned = ImageOps.exif_transpose(opened)
    options = {"image_size": (20, 30), "crop": (400, 600), "channels": 3}
    expected = datasets.load_image(turned, **options).astype(int)
    assert np.abs(datasets.load_image(tmp_path / "photo.jpg", **options) - expected).max() <= 3


def test_the_callers_image_stays_as_it_is(tmp_path):
    Image.new("RGB", (400, 400), "red").save(tmp_path / "photo.jpg")
    with Image.open(tmp_path / "photo.jpg") as photo:
        datasets.load_image(photo, image_size=(20, 20))
        assert (photo.size, photo.mode) == ((400, 400), "RGB")


def test_the_cache_is_shared_and_follows_the_files(tmp_path, toy_pairs, monkeypatch):
    paths = toy_pairs.left[:6].tolist()
    expected = datasets.load_images(paths, image_size=(20, 20))
    monkeypatch.setenv("SIAMESE_NN_IMAGE_CACHE", str(tmp_path / "cache"))
    first = datasets.load_images(paths, image_size=(20, 20))
    monkeypatch.setattr(datasets.images, "load_image", lambda *_, **__: pytest.fail("decoded again"))
    again = datasets.load_images(paths, image_size=(20, 20))
    assert np.array_equal(first, expected) and np.array_equal(again, expected)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    with pytest.raises(pytest.fail.Exception):
        datasets.load_images(paths, image_size=(20, 21))
    with pytest.raises(pytest.fail.Exception):
        datasets.load_images(paths[::-1], image_size=(20, 20))


def test_whatever_happens_to_the_cache_file_the_images_stay(tmp_path, toy_pairs, monkeypatch):
    """A memory-mapped file that somebody cuts off kills the process that reads it, by SIGBUS."""
    paths = toy_pairs.left[:6].tolist()
    monkeypatch.setenv("SIAMESE_NN_IMAGE_CACHE", str(tmp_path))
    expected = datasets.load_images(paths, image_size=(20, 20))
    kept_images, dataset = (
        datasets.load_images(paths, image_size=(20, 20)),
        datasets.pair_dataset(toy_pairs[:6], image_size=(20, 20), shuffle=False),
    )
    for kept in tmp_path.iterdir():
        os.truncate(kept, 0)
    assert np.array_equal(kept_images, expected)
    ((left, _), _), *_ = dataset.as_numpy_iterator()
    assert np.array_equal(np.rint(left * 255), expected)


def cut(content):
    return content[:-1]


def turn_a_bit(content):
    return content[:70] + bytes([content[70] ^ 1]) + content[71:]


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        turn_a_bit,
        lambda _: b"",
        lambda _: b"garbage",
        lambda content: bytes(len(content)),
        lambda content: content + b"0",
    ],
)
def test_a_damaged_cache_file_counts_as_absent(tmp_path, toy_pairs, monkeypatch, caplog, damage):
    paths = toy_pairs.left[:6].tolist()
    expected = datasets.load_images(paths, image_size=(20, 20))
    monkeypatch.setenv("SIAMESE_NN_IMAGE_CACHE", str(tmp_path))
    datasets.load_images(paths, image_size=(20, 20))
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    assert whole[:-32] == expected.tobytes() and whole[-32:] == sha256(whole[:-32]).digest()
    kept.write_bytes(damage(whole))
    os.utime(kept, ns=(5, 5))  # a clock may be too coarse to show that it was written again
    assert np.array_equal(datasets.load_images(paths, image_size=(20, 20)), expected)
    assert caplog.messages == [f"{kept} is damaged: the photos are decoded again"]
    assert list(tmp_path.iterdir()) == [kept] and kept.read_bytes() == whole


def test_a_cache_that_cannot_be_written_leaves_nothing_behind(tmp_path, toy_pairs, monkeypatch, caplog):
    def full(_):
        raise OSError("disk full")

    paths = toy_pairs.left[:2].tolist()
    expected = datasets.load_images(paths, image_size=(20, 20))
    monkeypatch.setenv("SIAMESE_NN_IMAGE_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    assert np.array_equal(datasets.load_images(paths, image_size=(20, 20)), expected)
    assert not list(tmp_path.iterdir()) and "cannot be written (disk full)" in caplog.text
    assert datasets.load_images([], image_size=(20, 20)).shape == (0, 20, 20, 1)
    monkeypatch.setenv("SIAMESE_NN_IMAGE_CACHE", paths[0])  # no folder
    assert np.array_equal(datasets.load_images(paths, image_size=(20, 20)), expected)
    assert "Not a directory" in caplog.text


def test_a_changed_photo_is_decoded_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("SIAMESE_NN_IMAGE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.png"
    sizes = set()
    for colour in (10, 200):
        time.sleep(0.02)  # a file system's clock may be as coarse as that
        Image.new("L", (8, 8), colour).save(path)
        sizes.add(path.stat().st_size)
        os.utime(path, ns=(5, 5))  # as those do who copy a file with its times
        assert (datasets.load_images([path], image_size=(4, 4)) == colour).all()
    assert len(sizes) == 1
    with pytest.raises(datasets.ImageError, match="no such image"):
        datasets.load_images([tmp_path / "b.png"], image_size=(4, 4))


def test_batches_from_the_cache_are_the_same(tmp_path, toy_pairs, monkeypatch):
    batches = []
    for _ in range(2):
        dataset = datasets.pair_dataset(toy_pairs, image_size=(20, 20), batch_size=16)
        batches.append(list(dataset.as_numpy_iterator()))
        monkeypatch.setenv("SIAMESE_NN_IMAGE_CACHE", str(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir())
    for ((left, right), same), ((a, b), c) in zip(*batches, strict=True):
        assert np.array_equal(left, a) and np.array_equal(right, b) and np.array_equal(same, c)


@pytest.mark.parametrize(("side", "tolerance"), [(250, 0), (1000, 3)])
def test_a_file_and_its_pixels_give_the_same(tmp_path, side, tolerance):
    """Large JPEGs are decoded at a part of their size, which must not show."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (12, 12), np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    photo.save(tmp_path / "photo.jpg", quality=95)
    with Image.open(tmp_path / "photo.jpg") as opened:
        pixels = opened.copy()
    for options in ({"image_size": (125, 125)}, {"image_size": (64, 64), "crop": (140, 140)}):
        by_path = datasets.load_image(tmp_path / "photo.jpg", **options).astype(int)
        assert np.abs(by_path - datasets.load_image(pixels, **options)).max() <= tolerance


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("crop", [(140, 120), None])
def test_a_crop_belongs_to_a_size_of_photo(tmp_path, ending, crop):
    """A photo of four times the size gives what the photo itself gives; in its own pixels, its eye."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (12, 10), np.uint8)).resize(
        (200, 240), Image.Resampling.BICUBIC
    )
    options = {"image_size": (70, 60), "crop": crop}
    expected = datasets.load_image(small, **options).astype(int)
    for width, height in ((800, 960), (400, 480), (200, 240), (804, 952)):
        path = tmp_path / f"{width}.{ending}"
        small.resize((width, height), Image.Resampling.BICUBIC).save(path, quality=95)
        found = datasets.load_image(path, **options, photo_size=(240, 200)).astype(int)
        assert np.abs(found - expected).mean() < 1.5
        (listed,) = datasets.load_images([path], **options, photo_size=(240, 200))
        assert np.array_equal(listed, found)
    if crop:
        pixels = datasets.load_image(tmp_path / f"800.{ending}", **options).astype(int)
        assert np.abs(pixels - expected).mean() > 20


def test_a_photo_of_another_shape_is_refused(tmp_path):
    options = {"image_size": (40, 40), "photo_size": (250, 250)}
    for width, height, fits in ((255, 250, True), (256, 250, False), (250, 256, False), (750, 1000, False)):
        path = tmp_path / f"{width}x{height}.png"
        Image.new("L", (width, height)).save(path)
        for crop in ((125, 125), None):
            if fits:
                assert datasets.load_image(path, crop=crop, **options).shape == (40, 40, 1)
                continue
            with pytest.raises(
                ImageError, match=rf"{path.name}: .*250 x 250.*Received: {height} x {width}. Cut"
            ):
                datasets.load_image(path, crop=crop, **options)
    for wrong in ({"photo_size": (1.5, 2)}, {"photo_size": 250}, {"photo_size": (250, 0)}):
        with pytest.raises(ValueError, match="`photo_size` must be"):
            datasets.load_image(path, **wrong)
    with pytest.raises(
        ValueError, match=r"`crop` must fit into `photo_size`. Received: crop=\(125, 251\).*=\(250, 250\)"
    ):
        datasets.load_image(path, crop=(125, 251), photo_size=(250, 250))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_sizes_are_those_that_are_seen(tmp_path):
    exif, paths = Image.Exif(), []
    for orientation in (1, 3, 6, 8):
        exif[0x0112] = orientation
        for ending in ("jpg", "png"):
            paths.append(tmp_path / f"{orientation}.{ending}")
            Image.new("RGB", (80, 100)).save(paths[-1], exif=exif)
    assert datasets.photo_sizes(paths) == [(100, 80)] * 4 + [(80, 100)] * 4
    for path in paths:  # what is decoded agrees
        assert datasets.load_image(path, crop=datasets.photo_sizes([path])[0]).shape == (125, 125, 1)
    (tmp_path / "cut.jpg").write_bytes(paths[0].read_bytes()[:100])
    (tmp_path / "bomb.png").write_bytes(png_that_claims(10_000, 10_000))
    for name in ("absent.jpg", "cut.jpg", "bomb.png"):
        with pytest.raises(ImageError, match=name):
            datasets.photo_sizes([*paths, tmp_path / name])
