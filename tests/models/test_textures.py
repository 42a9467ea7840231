import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import models

# Of scikit-image 0.26: local_binary_pattern(image, 8, 1, "nri_uniform") of what `drawn` returns.
LABELS = """
    0 21 13 37 20 46 20 54 36 3    26 0 58 1 0 58 13 58 27 0
    35 7 14 57 58 0 23 57 8 58     0 40 42 0 50 58 57 58 58 58
    58 56 57 58 57 3 58 11 57 12   3 46 28 0 58 0 57 19 0 13
    0 58 8 57 0 57 58 58 7 31      58 57 58 58 58 0 57 0 48 39
    2 58 57 34 16 39 58 42 0 30    17 0 58 33 7 14 41 34 17 0
"""


def drawn(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width))


def in_batch(image: np.ndarray) -> np.ndarray:
    return (image / 255).astype(np.float32)[None, ..., None]


def binary_pattern_labels(image: np.ndarray) -> np.ndarray:
    """A slow reference for the counts of the layer, in double precision."""
    height, width = image.shape
    padded = np.pad(image.astype(float), 1)
    near = 0.70711
    uniform = [code for code in range(256) if sum((code ^ _turned(code)) >> p & 1 for p in range(8)) <= 2]
    # 0, then by the number of ones; of as many ones, the pattern that begins there and its turns.
    order = [0] + [_turned((1 << ones) - 1, turn) for ones in range(1, 8) for turn in range(8)] + [255]
    assert sorted(order) == uniform
    labels = np.empty((height, width), int)
    for row in range(height):
        for column in range(width):
            block = padded[row : row + 3, column : column + 3]
            code = 0
            for p, (down, across) in enumerate(
                [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]
            ):
                side = near if down and across else 1
                rows = {0: 1 - side, down: side} if down else {0: 1}
                columns = {0: 1 - side, across: side} if across else {0: 1}
                value = sum(a * b * block[1 + i, 1 + j] for i, a in rows.items() for j, b in columns.items())
                code |= (value >= block[1, 1] - 1e-9) << p
            labels[row, column] = order.index(code) if code in order else 58
    return labels


def _turned(code: int, by: int = 1) -> int:
    by %= 8
    return (code >> by | code << (8 - by)) & 255


def test_the_slow_loop_has_the_patterns_of_scikit_image():
    expected = np.array(LABELS.split(), int).reshape(10, 10)
    np.testing.assert_array_equal(binary_pattern_labels(drawn(10, 10)), expected)


def test_binary_patterns_are_counted_in_cells():
    image = drawn(29, 35)  # 24 x 32 fill cells, from the third row and the second column on
    labels = binary_pattern_labels(image)[2:26, 1:33]
    expected = [
        np.bincount(labels[row : row + 16, column : column + 16].ravel(), minlength=59)
        for row in (0, 8)
        for column in (0, 8, 16)
    ]
    found = models.LocalBinaryPatterns()(in_batch(image)).numpy()
    np.testing.assert_allclose(found, np.sqrt(np.array(expected) / 256).reshape(1, -1), atol=1e-6)


def test_phases_are_those_of_a_slow_loop():
    image = drawn(33, 21)  # 32 x 16 fill cells, from the first row and the third column on
    padded = np.pad(image / 255, 3)
    counts = np.zeros((2, 256))
    for row in range(32):
        for column in range(2, 18):
            code, bit = 0, 1
            for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
                total = sum(
                    padded[row + i, column + j]
                    * np.exp(-2j * np.pi * (down * (i - 3) + across * (j - 3)) / 7)
                    for i in range(7)
                    for j in range(7)
                )
                for part in (total.real, total.imag):
                    code += bit * (part > 0)
                    bit *= 2
            counts[row // 16, code] += 1
    found = models.LocalPhaseQuantization()(in_batch(image)).numpy()
    np.testing.assert_allclose(found, np.sqrt(counts / 256).reshape(1, -1), atol=1e-6)


@pytest.mark.parametrize("level", [0, 3, 100, 255])
def test_a_flat_image_has_one_pattern_whatever_its_grey(level):
    image = in_batch(np.full((48, 48), level))
    middle = models.LocalBinaryPatterns()(image).numpy().reshape(25, 59)[12]
    assert middle[57] == middle.sum() == 1
    middle = models.LocalPhaseQuantization()(image).numpy().reshape(9, 256)[4]
    assert middle[0] == middle.sum() == 1


def shrunk(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means of the areas that pixels of the new size cover."""

    def shares(old: int, new: int) -> np.ndarray:
        pixel, first = np.arange(old), np.arange(new)[:, None] * old / new
        covered = np.minimum(pixel + 1, first + old / new) - np.maximum(pixel, first)
        return covered.clip(0) * new / old

    return shares(image.shape[0], height) @ image @ shares(image.shape[1], width).T


@pytest.mark.parametrize(
    ("kind", "layer", "numbers"),
    [("lbp", models.LocalBinaryPatterns, 22302), ("lpq", models.LocalPhaseQuantization, 25088)],
)
def test_a_texture_is_of_several_scales_and_of_both_sides(kind, layer, numbers, tmp_path):
    image = np.random.default_rng(0).random((192, 168))
    parts = []
    for side in (image, image[:, ::-1]):
        scales = (
            side[32:160, 28:140],
            shrunk(side[16:176, 14:154], 96, 84),
            shrunk(side, 64, 56),
            shrunk(side[32:160, 28:140], 64, 56),
        )
        scales = scales if kind == "lbp" else scales[:3]
        own = [layer()(scale.astype(np.float32)[None, ..., None]).numpy() for scale in scales]
        parts.append(np.concatenate(own, axis=1))
    model = models.texture_histograms(kind)
    images = np.stack([image, image[:, ::-1]]).astype(np.float32)[..., None]
    found = model(images).numpy()
    assert found.shape == (2, numbers) and found.dtype == np.float32
    assert (np.abs(found - (parts[0] + parts[1]) / 2) > 1e-5).mean() < 1e-3  # but for rounding
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    model.save(tmp_path / "texture.keras")
    loaded = tf.keras.models.load_model(tmp_path / "texture.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(images).numpy(), found)


def test_another_texture_is_refused():
    with pytest.raises(ValueError, match="`kind` must be one of .*Received: kind='hog'"):
        models.texture_histograms("hog")
