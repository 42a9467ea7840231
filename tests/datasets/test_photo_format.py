from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from siamese_nn import datasets
from siamese_nn.datasets import DecodedPhotos, PhotoFormat
from siamese_nn.training import RECIPES


def test_it_is_checked_where_it_is_made():
    assert PhotoFormat() == PhotoFormat((125, 125), None, 1)
    assert PhotoFormat([64, np.int64(56)], [128, 112], 3) == PhotoFormat((64, 56), (128, 112), 3)
    assert PhotoFormat((64, 56), channels=3).shape == (64, 56, 3)
    for wrong in ((0, 5), 5, (1.5, 2), (4,), "ab"):
        with pytest.raises(ValueError, match="`image_size` must be"):
            PhotoFormat(wrong)
        with pytest.raises(ValueError, match="`crop` must be"):
            PhotoFormat(crop=wrong)
    for wrong in (2, None, "1", [3]):
        with pytest.raises(ValueError, match="`channels` must be"):
            PhotoFormat(channels=wrong)


def test_a_recipe_has_one():
    recipe = replace(RECIPES["face"], channels=3)
    assert recipe.photo_format == PhotoFormat((64, 56), (128, 112), 3)


def test_a_margin_keeps_the_scale():
    assert PhotoFormat((64, 64), (140, 140)).with_margin(4) == PhotoFormat((72, 72), (158, 158))
    assert PhotoFormat().with_margin(0) == PhotoFormat()
    with pytest.raises(ValueError, match="A margin needs a `crop`"):
        PhotoFormat().with_margin(1)


@pytest.fixture
def photo(tmp_path):
    """Makes a photo of noise: every pixel counts."""

    def make(ending, side=250):
        pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        path = tmp_path / f"Ada_0001.{ending}"
        Image.fromarray(pixels).save(path)
        return str(path)

    return make


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [250, 251, 999])
@pytest.mark.parametrize(
    ("size", "crop", "margin"),
    [
        ((64, 56), (128, 112), 4),
        ((64, 56), (128, 112), 3),
        ((192, 168), (192, 168), 8),
        ((125, 125), (125, 125), 5),
        ((60, 60), (75, 105), 6),
        ((64, 64), (32, 16), 4),
        ((32, 32), (120, 120), 8),
    ],
)
def test_the_middle_with_a_margin_is_the_image_without(photo, ending, channels, side, size, crop, margin):
    plain = PhotoFormat(size, crop, channels)
    assert plain.is_middle_with(margin)
    path, wide = photo(ending, side), plain.with_margin(margin)
    options = {"image_size": wide.size, "crop": wide.crop, "channels": channels}
    image = datasets.load_image(path, **options)
    expected = datasets.load_image(path, image_size=size, crop=crop, channels=channels)
    assert np.array_equal(image[margin:-margin, margin:-margin], expected)


def test_where_it_is_another_image_that_is_known(photo):
    for size, crop, margin in (((64, 64), (140, 140), 4), ((80, 80), (140, 140), 5), ((20, 20), (80, 80), 2)):
        assert not PhotoFormat(size, crop).is_middle_with(margin)
    assert not PhotoFormat().is_middle_with(4)
    plain = PhotoFormat((64, 64), (140, 140))
    path, wide = photo("png"), plain.with_margin(4)
    image = datasets.load_image(path, image_size=wide.size, crop=wide.crop)
    assert not np.array_equal(
        image[4:-4, 4:-4], datasets.load_image(path, image_size=(64, 64), crop=(140, 140))
    )


@pytest.fixture
def counted(monkeypatch):
    seen = []
    load = datasets.images.load_image
    monkeypatch.setattr(
        datasets.images, "load_image", lambda path, **options: seen.append(path) or load(path, **options)
    )
    return seen


FORMAT = PhotoFormat((16, 14), (128, 112))


def expected(paths, margin=0):
    wide = FORMAT.with_margin(margin)
    return datasets.load_images(paths, image_size=wide.size, crop=wide.crop)


def test_selections_share_what_is_decoded_once(toy_pairs, counted):
    paths = toy_pairs.left.tolist()
    images, reverse = expected(paths), expected(paths[::-1])
    counted.clear()
    photos = DecodedPhotos(paths, FORMAT)
    assert not counted and photos.kept and len(photos) == len(paths)  # not before somebody looks
    assert np.array_equal(photos[:], images) and np.array_equal(photos[3:9], images[3:9])
    assert np.array_equal(photos[np.array([5, 2, 5])], images[[5, 2, 5]])
    selection = photos.of(paths[::-1])
    assert np.array_equal(selection[:], reverse) and np.array_equal(selection.of(paths[:2])[:], images[:2])
    assert sorted(counted) == sorted(set(paths))
    with pytest.raises(ValueError, match="must be among the photos. Received one that is not: nobody.jpg"):
        photos.of(["nobody.jpg"])


def test_too_many_are_decoded_where_they_are_looked_at(toy_pairs, counted):
    paths = list(dict.fromkeys(toy_pairs.left.tolist()))
    images = expected(paths)
    photos = DecodedPhotos(paths, FORMAT, memory_limit=3 * 16 * 14)
    counted.clear()
    assert not photos.kept and np.array_equal(photos[2:5], images[2:5]) and counted == paths[2:5]
    few = photos.of(paths[:3])
    assert few.kept and np.array_equal(few[:], images[:3])


def test_a_margin_is_cut_off_only_where_that_changes_nothing(toy_pairs, counted):
    paths = toy_pairs.left[:5].tolist()
    for fmt, times in ((PhotoFormat((64, 56), (128, 112)), 1), (PhotoFormat((64, 64), (140, 140)), 2)):
        wide = fmt.with_margin(4)
        plain = datasets.load_images(paths, image_size=fmt.size, crop=fmt.crop)
        around = datasets.load_images(paths, image_size=wide.size, crop=wide.crop)
        counted.clear()
        photos = DecodedPhotos(paths, fmt, margin=4)
        assert np.array_equal(photos[:], around)
        assert np.array_equal(photos.with_margin(0)[:], plain)
        assert len(counted) == times * len(set(paths))


def test_tensorflow_looks_at_the_same_memory(toy_pairs):
    photos = DecodedPhotos(toy_pairs.left.tolist(), FORMAT)
    tensor, rows, cut = photos.tensor()
    assert np.shares_memory(np.asarray(tensor), photos._table.images) and cut == 0
    assert np.array_equal(tensor.numpy()[rows], photos[:])
    assert photos.of(toy_pairs.left[:3]).tensor()[0] is tensor


def test_a_dataset_takes_them_with_and_without_margin(toy_pairs):
    """Above the limit, in memory, and as a selection among others, images are the same."""
    from siamese_nn.datasets.pipelines import pair_batches

    fmt = PhotoFormat((64, 56), (128, 112))
    everybody = DecodedPhotos(toy_pairs.distinct_images()[0], fmt, margin=4).with_margin(0)
    for augment in (None, datasets.Augmentation()):
        options = {"shuffle": False, "batch_size": 8, "seed": 3, "augment": augment}
        found = next(iter(pair_batches(toy_pairs[:8], everybody, **options)))
        alone = {"image_size": fmt.size, "crop": fmt.crop}
        for limit in ({}, {"memory_limit": 0}):
            other = next(iter(datasets.pair_dataset(toy_pairs[:8], **options, **alone, **limit)))
            for ours, theirs in zip(found[0], other[0], strict=True):
                assert np.array_equal(ours, theirs)
