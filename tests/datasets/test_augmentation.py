import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import datasets
from siamese_nn.datasets import Augmentation

NONE = {
    "flip": False,
    **dict.fromkeys(("rotation", "zoom", "aspect", "shift", "gamma", "cutout", "margin"), 0),
}
SEED = tf.constant([3, 4])


def photos(n=200, height=24, width=20):
    """Smooth photos, so that resampling costs nothing."""
    rng = np.random.default_rng(0)
    small = rng.random((n, 4, 4, 1), np.float32) * 0.6 + 0.2
    return tf.image.resize(small, (height, width), "bicubic")


def test_without_any_change_photos_stay_as_they_are():
    images = photos()
    np.testing.assert_allclose(Augmentation(**NONE)(images, SEED), images, atol=1e-6)


def test_the_margin_is_cut_off():
    images = photos()
    found = Augmentation(**{**NONE, "margin": 3})(images, SEED)
    np.testing.assert_allclose(found, images[:, 3:-3, 3:-3], atol=1e-6)


def test_half_of_the_photos_are_mirrored():
    images = photos()
    found = Augmentation(**{**NONE, "flip": True})(images, SEED)
    same, mirrored = (
        np.isclose(found, expected, atol=1e-5).all(axis=(1, 2, 3))
        for expected in (images, images[:, :, ::-1])
    )
    assert (same ^ mirrored).all() and 70 < mirrored.sum() < 130


def centre(images):
    """Where the bright blob of each image is: row and column."""
    images = np.asarray(images)[..., 0]
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    total = images.sum(axis=(1, 2))
    return (images * rows).sum(axis=(1, 2)) / total, (images * columns).sum(axis=(1, 2)) / total


def blobs(rows, columns, size=61, width=2.0):
    y, x = np.mgrid[:size, :size]
    squares = (y - np.reshape(rows, (-1, 1, 1))) ** 2 + (x - np.reshape(columns, (-1, 1, 1))) ** 2
    return tf.constant(np.exp(-squares / 2 / width**2)[..., None], tf.float32)


def test_shifts_fill_their_range():
    found = Augmentation(**{**NONE, "shift": 5})(blobs([30] * 300, [30] * 300), SEED)
    for moved in centre(found):
        assert 4.5 < np.abs(moved - 30).max() < 5.1 and np.abs(moved.mean() - 30) < 0.6
        assert 2.4 < moved.std() < 3.4  # of a uniform distribution: 10 / sqrt(12)


def test_rotations_fill_their_range_around_the_middle():
    found = Augmentation(**{**NONE, "rotation": 20})(blobs([30] * 300, [50] * 300), SEED)
    rows, columns = centre(found)
    angles = np.degrees(np.arctan2(rows - 30, columns - 30))
    np.testing.assert_allclose(np.hypot(rows - 30, columns - 30), 20, atol=0.1)
    assert 18 < np.abs(angles).max() < 20.1 and np.abs(angles.mean()) < 2.5


@pytest.mark.parametrize("kind", ["zoom", "aspect"])
def test_zoom_and_aspect_fill_their_range(kind):
    found = Augmentation(**{**NONE, kind: 0.3})(blobs([40] * 300, [44] * 300), SEED)
    down, across = (
        np.log((place - 30) / whole) for place, whole in zip(centre(found), (10, 14), strict=True)
    )
    if kind == "zoom":
        np.testing.assert_allclose(down, across, atol=0.02)
        assert 0.27 < np.abs(down).max() < 0.31
    else:
        np.testing.assert_allclose(down, -across, atol=0.02)
        assert 0.27 < np.abs(down - across).max() < 0.31


def test_light_is_as_the_formulas_say():
    images = photos()
    bent = np.asarray(Augmentation(**{**NONE, "gamma": 0.3})(images, SEED))
    exponents = np.log(bent) / np.log(images)
    np.testing.assert_allclose(np.ptp(exponents, axis=(1, 2, 3)), 0, atol=1e-2)
    assert 0.25 < np.abs(np.log(exponents.mean(axis=(1, 2, 3)))).max() < 0.3
    brighter = np.asarray(Augmentation(**{**NONE, "brightness": 0.1})(images, SEED)) - images
    assert 0.08 < np.abs(brighter).max() < 0.101
    stretched = np.asarray(Augmentation(**{**NONE, "contrast": 0.2})(images, SEED))
    factors = stretched.std(axis=(1, 2, 3)) / np.std(images, axis=(1, 2, 3))
    np.testing.assert_allclose(stretched.mean(axis=(1, 2, 3)), np.mean(images, axis=(1, 2, 3)), atol=5e-3)
    assert 0.8 <= factors.min() < 0.82 and 1.15 < factors.max() <= 1.2001


def test_half_of_the_photos_are_covered_by_a_rectangle_of_their_mean():
    images = photos(400, 40, 30)
    found = np.asarray(Augmentation(**{**NONE, "cutout": 0.5})(images, SEED))
    changed = (found != images.numpy())[..., 0]
    covered = changed.any(axis=(1, 2))
    assert 160 < covered.sum() < 240
    for i in np.flatnonzero(covered):
        rows, columns = np.flatnonzero(changed[i].any(axis=1)), np.flatnonzero(changed[i].any(axis=0))
        assert 3 <= np.ptp(rows) + 1 <= 21 and 2 <= np.ptp(columns) + 1 <= 16
        inside = found[i, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        np.testing.assert_allclose(inside, np.mean(images[i]), atol=1e-5)


def test_all_depends_on_the_seed_alone_and_stays_in_range():
    images = photos()
    augment = Augmentation(contrast=0.5, brightness=0.3, margin=2)
    first, again, other = (augment(images, tf.constant(seed)) for seed in ([1, 2], [1, 2], [1, 3]))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.shape[1:] == (20, 16, 1)
    assert float(tf.reduce_min(first)) >= 0 and float(tf.reduce_max(first)) <= 1


@pytest.mark.parametrize("crop", [None, (120, 120)])
def test_the_datasets_decode_the_margin(toy_pairs, crop):
    options = {"image_size": (24, 24), "crop": crop, "batch_size": 20, "shuffle": False}
    plain = next(iter(datasets.pair_dataset(toy_pairs, **options)))
    still = Augmentation(**{**NONE, "margin": 4})
    margin = next(iter(datasets.pair_dataset(toy_pairs, **options, augment=still)))
    for a, b in zip(plain[0], margin[0], strict=True):
        assert a.shape == b.shape == (20, 24, 24, 1)
        np.testing.assert_allclose(a, b, atol=0.02)
    if crop is not None:  # what shifts in is there in the photo, not mirrored
        wider = datasets.load_images(toy_pairs.left[:20], image_size=(32, 32), crop=(160, 160)) / np.float32(
            255
        )
        moved = Augmentation(**{**NONE, "margin": 4, "shift": 4})
        (left, _), _ = next(iter(datasets.pair_dataset(toy_pairs, **options, augment=moved)))
        for image, source in zip(left.numpy(), wider, strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(source[..., 0], (24, 24))
            assert np.abs(windows - image[..., 0]).mean(axis=(2, 3)).min() < 0.03


@pytest.mark.parametrize(
    "option",
    [{"rotation": -1}, {"cutout": 2}, {"zoom": float("nan")}, {"margin": 1.5}, {"brightness": 3}],
)
def test_options_are_checked(option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}`"):
        Augmentation(**option)
