import logging
import math

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import datasets
from siamese_nn.datasets import ImageError, Pairs, pair_dataset

SIZE = (20, 20)


def epoch(dataset, count=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    batches = [(left, right, same) for (left, right), same in dataset.take(count or -1).as_numpy_iterator()]
    return tuple(np.concatenate(column) for column in zip(*batches, strict=True))


def test_values_are_the_decoded_photos(toy_pairs):
    left, right, same = epoch(pair_dataset(toy_pairs, image_size=SIZE, batch_size=32, shuffle=False))
    assert left.dtype == right.dtype == same.dtype == np.float32
    assert same[:, 0].tolist() == toy_pairs.same.tolist()
    for images, paths in ((left, toy_pairs.left), (right, toy_pairs.right)):
        expected = datasets.load_images(paths, image_size=SIZE) / np.float32(255)
        np.testing.assert_allclose(images, expected, atol=1e-6)


def test_each_distinct_photo_is_decoded_once(toy_pairs, monkeypatch):
    from siamese_nn.datasets import images

    decoded = []
    load = images.load_image
    monkeypatch.setattr(
        images, "load_image", lambda path, **options: decoded.append(path) or load(path, **options)
    )
    dataset = pair_dataset(toy_pairs, image_size=SIZE)
    epoch(dataset), epoch(dataset)
    assert sorted(decoded) == toy_pairs.distinct_images()[0].tolist()


def test_order_depends_on_seed_and_epoch_alone(toy_pairs):
    dataset = pair_dataset(toy_pairs, image_size=SIZE, batch_size=50, seed=7)
    first, second = epoch(dataset), epoch(dataset)
    assert not np.array_equal(first[0], second[0])
    assert np.array_equal(np.sort(first[0].sum((1, 2, 3))), np.sort(second[0].sum((1, 2, 3))))
    tf.random.set_seed(99)
    again = pair_dataset(toy_pairs, image_size=SIZE, batch_size=32, seed=7)
    assert np.array_equal(first[0], epoch(again)[0]) and np.array_equal(second[0], epoch(again)[0])
    resumed = pair_dataset(toy_pairs, image_size=SIZE, batch_size=50, seed=7, initial_epoch=1)
    steps = math.ceil(len(toy_pairs) / 50)
    assert np.array_equal(second[0], epoch(resumed, steps)[0])
    other = pair_dataset(toy_pairs, image_size=SIZE, seed=8)
    assert not np.array_equal(first[0], epoch(other)[0])


def test_endless_epochs_follow_each_other_with_whole_last_batches(toy_pairs):
    steps = math.ceil(len(toy_pairs) / 50)
    endless = pair_dataset(toy_pairs, image_size=SIZE, batch_size=50, initial_epoch=0)
    passes = pair_dataset(toy_pairs, image_size=SIZE, batch_size=50)
    left = epoch(endless, 2 * steps)[0]
    assert np.array_equal(left, np.concatenate([epoch(passes)[0], epoch(passes)[0]]))


def test_cardinality_is_known(toy_pairs):
    assert pair_dataset(toy_pairs, image_size=SIZE, batch_size=50).cardinality() == math.ceil(
        len(toy_pairs) / 50
    )


def test_above_the_memory_limit_the_same_values_come_decoded_anew(toy_pairs, caplog):
    with caplog.at_level(logging.WARNING):
        slow = pair_dataset(toy_pairs, image_size=SIZE, memory_limit=1000)
    assert "memory_limit" in caplog.text
    fast = pair_dataset(toy_pairs, image_size=SIZE)
    for a, b in zip(epoch(slow), epoch(fast), strict=True):
        assert np.array_equal(a, b)


def test_augmentation_is_seeded_by_epoch_batch_and_side(toy_pairs):
    twins = Pairs(*(column[[0] * 8] for column in vars(toy_pairs).values()))

    def noise(images, seed):
        return images + tf.random.stateless_uniform(tf.shape(images), seed)

    def run():
        dataset = pair_dataset(twins, image_size=SIZE, batch_size=4, augment=noise)
        return [epoch(dataset), epoch(dataset)]

    (first, second), again = run(), run()
    assert np.array_equal(first[0], again[0][0]) and np.array_equal(second[1], again[1][1])
    base = datasets.load_image(toy_pairs.left[0], image_size=SIZE) / 255
    other = datasets.load_image(toy_pairs.right[0], image_size=SIZE) / 255
    draws = [first[0][:4] - base, first[0][4:] - base, first[1][:4] - other, second[0][:4] - base]
    for i, draw in enumerate(draws):
        assert all(not np.allclose(draw, earlier) for earlier in draws[:i])


def test_colour(toy_pairs):
    left, _, _ = epoch(pair_dataset(toy_pairs, image_size=SIZE, channels=3))
    assert left.shape[1:] == (*SIZE, 3)


def test_a_broken_photo_is_named(toy_pairs, tmp_path):
    (tmp_path / "Broken_0001.jpg").write_bytes(b"\xff\xd8\xff")
    pairs = toy_pairs + Pairs(
        [tmp_path / "Broken_0001.jpg"], [toy_pairs.right[0]], [0], ["Broken"], ["Whole"]
    )
    with pytest.raises(ImageError, match="Broken_0001.jpg"):
        pair_dataset(pairs, image_size=SIZE)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Broken_0001.jpg"):
        epoch(pair_dataset(pairs, image_size=SIZE, memory_limit=0))


@pytest.mark.parametrize("option", [{"batch_size": 0}, {"seed": -1}, {"initial_epoch": -1}])
def test_options_are_checked(toy_pairs, option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}`"):
        pair_dataset(toy_pairs, **option)


def test_no_pairs_are_refused(toy_pairs):
    with pytest.raises(ValueError, match="at least one pair"):
        pair_dataset(toy_pairs[:0])


@pytest.mark.parametrize("where", ["memory", "file", "disk"])
@pytest.mark.parametrize("crop", [None, (180, 180)])
def test_augmented_wherever_the_photos_come_from(where, crop, toy_pairs, tmp_path, monkeypatch):
    options = {
        "image_size": (32, 30),
        "crop": crop,
        "augment": datasets.Augmentation(margin=2),
        "shuffle": False,
    }
    expected = next(iter(datasets.pair_dataset(toy_pairs[:8], **options)))
    if where == "file":
        monkeypatch.setenv("SIAMESE_NN_IMAGE_CACHE", str(tmp_path))
    limit = {"memory_limit": 10} if where == "disk" else {}
    found = next(iter(datasets.pair_dataset(toy_pairs[:8], **options, **limit)))
    for ours, theirs in zip(found[0], expected[0], strict=True):
        assert ours.shape == (8, 32, 30, 1)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
