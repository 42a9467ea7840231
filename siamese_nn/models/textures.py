"""Textures of a face: histograms of local patterns, as frozen Keras layers that learn nothing.

Example:
    >>> texture_histograms("lbp").output_shape, texture_histograms("lpq").output_shape
    ((None, 22302), (None, 25088))
"""

import numpy as np
import tensorflow as tf

from .finishing import MirrorImage

TEXTURE_SIZE = (192, 168)
_CELL = 16  # side of a cell, in pixels
# First and last row and column of 192 x 168; how often a pixel is repeated, and how many are then averaged.
_SCALES = (
    (32, 160, 28, 140, 1, 1),  # 128 x 112
    (16, 176, 14, 154, 3, 5),  # 96 x 84
    (0, 192, 0, 168, 1, 3),  # 64 x 56
    (32, 160, 28, 140, 1, 2),  # 64 x 56
)


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class LocalBinaryPatterns(tf.keras.layers.Layer):
    """Histograms of uniform local binary patterns of 8 neighbours, in cells of 16 x 16 every 8 pixels.

    A pattern says which neighbours, on a circle of radius 1, are at least as bright as the pixel. Outside the
    image all is 0. 58 patterns change at most twice around the circle and have a label each; all others share
    one.

    Call arguments:
        images: float `(batch, height, width, 1)`, each side at least 16 pixels. What doesn't fill a cell is
            left out, half of it on each side.

    Returns:
        Roots of the frequencies, float `(batch, (height // 8 - 1) * (width // 8 - 1) * 59)`, cell by cell.
        Under a mixed policy build the layer with `dtype="float32"`.

    Reference:
        Ahonen, Hadid and Pietikainen, "Face Description with Local Binary Patterns", 2006. The labels are
        those of scikit-image's `local_binary_pattern(image, 8, 1, "nri_uniform")`.

    Example:
        >>> int(LocalBinaryPatterns()(tf.zeros((1, 16, 16, 1))).numpy().argmax())  # all neighbours as bright
        57
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        counts = _histograms(*_binary_patterns(images), step=_CELL // 2)
        cells = counts[:, :-1] + counts[:, 1:]
        cells = cells[:, :, :-1] + cells[:, :, 1:]
        labels = tf.one_hot(_UNIFORM, _UNIFORM.max() + 1, dtype=images.dtype)
        return _roots(tf.matmul(tf.cast(cells, images.dtype), labels))

    def compute_output_shape(self, input_shape):
        rows, columns = (side // (_CELL // 2) - 1 for side in input_shape[1:3])
        return (input_shape[0], rows * columns * (int(_UNIFORM.max()) + 1))


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class LocalPhaseQuantization(tf.keras.layers.Layer):
    """Histograms of the signs of four frequencies of a pixel's 7 x 7 neighbours, in cells of 16 x 16.

    A code has 8 bits: whether the real and the imaginary part of each frequency are positive. The frequencies
    are one wave a window across, down, and along both diagonals. Blur changes few of these signs. Outside the
    image all is 0.

    Call arguments:
        images: float `(batch, height, width, 1)` in [0, 1], each side at least 16 pixels. What doesn't fill a
            cell is left out, half of it on each side.

    Returns:
        Roots of the frequencies of the 256 codes, float `(batch, (height // 16) * (width // 16) * 256)`, cell
        by cell. Under a mixed policy build the layer with `dtype="float32"`.

    Reference:
        Ojansivu and Heikkila, "Blur Insensitive Texture Classification Using Local Phase Quantization", 2008
        (without its decorrelation).

    Example:
        >>> LocalPhaseQuantization()(tf.ones((1, 64, 48, 1))).shape
        TensorShape([1, 3072])
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        waves = tf.nn.conv2d(images, tf.constant(_WAVES, images.dtype), 1, "SAME")
        # A product with powers of two: faster than to take the bits apart.
        digits = tf.matmul(tf.cast(waves > _ROUNDING, tf.float32), _TWO_DIGITS)
        counts = _histograms(digits[..., 0], digits[..., 1], step=_CELL)  # `tf.unstack` kills OpenVINO
        return _roots(tf.cast(counts, images.dtype))

    def compute_output_shape(self, input_shape):
        rows, columns = (side // _CELL for side in input_shape[1:3])
        return (input_shape[0], rows * columns * 256)


TEXTURES: dict[str, tuple[type[tf.keras.layers.Layer], tuple]] = {
    "lbp": (LocalBinaryPatterns, _SCALES),
    "lpq": (LocalPhaseQuantization, _SCALES[:3]),
}
"""The layer and the scales of each texture."""


def texture_histograms(kind: str) -> tf.keras.Model:
    """Describes the middle of LFW-a's photos by histograms of local patterns, at three or four scales.

    Args:
        kind: `"lbp"`, 22,302 numbers, or `"lpq"`, 25,088.

    Returns:
        An uncompiled model without weights, from grey images `(batch, 192, 168, 1)` in [0, 1] to float32
        `(batch, numbers)`: the mean of the photo's and of its mirror image's.

    Raises:
        ValueError: if `kind` is neither.

    Example:
        >>> texture_histograms("lbp").count_params()
        0
    """
    if kind not in TEXTURES:
        raise ValueError(f"`kind` must be one of {tuple(TEXTURES)}. Received: kind={kind!r}")
    layer, scales = TEXTURES[kind]
    image = tf.keras.Input((*TEXTURE_SIZE, 1), name="image")
    parts = []
    for top, bottom, left, right, repeats, pool in scales:
        rows, columns = (top, TEXTURE_SIZE[0] - bottom), (left, TEXTURE_SIZE[1] - right)
        part = tf.keras.layers.Cropping2D((rows, columns), dtype="float32")(image)
        if repeats > 1:
            part = tf.keras.layers.UpSampling2D(repeats, dtype="float32")(part)
        if pool > 1:
            part = tf.keras.layers.AveragePooling2D(pool, dtype="float32")(part)
        parts.append(layer(dtype="float32")(part))
    one = tf.keras.Model(image, tf.keras.layers.Concatenate(dtype="float32")(parts), name=kind)
    both = [one(image), one(MirrorImage(dtype="float32", name="mirror")(image))]
    return tf.keras.Model(image, tf.keras.layers.Average(dtype="float32")(both), name=f"{kind}_of_both")


def _binary_patterns(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Codes as two digits; bit p is the neighbour at p / 8 of the circle, from the right."""
    height, width = images.shape[1:3]
    around = tf.pad(images[..., 0], [[0, 0], [1, 1], [1, 1]])
    centre = images[..., 0]

    def beyond(down: int, across: int) -> tf.Tensor:
        return around[:, 1 + down : 1 + down + height, 1 + across : 1 + across + width] - centre

    east, north, west, south = beyond(0, 1), beyond(-1, 0), beyond(0, -1), beyond(1, 0)
    # A diagonal neighbour, interpolated between four pixels, less the centre, is this times `_DIAGONAL`.
    north_east, north_west, south_west, south_east = (
        (1 - _DIAGONAL) * (down + across) + _DIAGONAL * beyond(*corner)
        for down, across, corner in (
            (north, east, (-1, 1)),
            (north, west, (-1, -1)),
            (south, west, (1, -1)),
            (south, east, (1, 1)),
        )
    )

    def digit(*neighbours: tf.Tensor) -> tf.Tensor:
        bits = (tf.cast(neighbour >= -_ROUNDING, tf.float32) for neighbour in neighbours)
        return tf.add_n([2**place * bit for place, bit in enumerate(bits)])

    return digit(east, north_east, north, north_west), digit(west, south_west, south, south_east)


def _histograms(low: tf.Tensor, high: tf.Tensor, step: int) -> tf.Tensor:
    """Counts the 256 codes in squares of `step` pixels: float32 `(batch, rows, columns, 256)`.

    Two digits of base 16, float32 `(batch, height, width)`, make a code, so the product of two one-hot
    matrices counts the pairs of digits. This takes an eighth of the memory of one-hot codes.
    """
    height, width = low.shape[1:]
    rows, columns = height // step, width // step
    top, left = (height - step * rows) // 2, (width - step * columns) // 2

    def one_hot(digits: tf.Tensor) -> tf.Tensor:
        digits = tf.cast(digits[:, top : top + rows * step, left : left + columns * step], tf.int32)
        digits = tf.transpose(tf.reshape(digits, (-1, rows, step, columns, step)), (0, 1, 3, 2, 4))
        # Rows of a table: ONNX Runtime and LiteRT take longer for their own one-hot.
        return tf.gather(_ONE_HOT, tf.reshape(digits, (-1, rows, columns, step * step)))

    counts = tf.matmul(one_hot(high), one_hot(low), transpose_a=True)
    return tf.reshape(counts, (-1, rows, columns, 256))


def _roots(counts: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.sqrt(counts), (-1, int(np.prod(counts.shape[1:])))) / _CELL


def _uniform_labels() -> np.ndarray:
    """The label of each of the 256 codes, in scikit-image's order: by the number of ones, then by turns."""
    ones = [2**count - 1 for count in range(1, 8)]
    uniform = [0, *((code >> turn | code << (8 - turn)) & 255 for code in ones for turn in range(8)), 255]
    labels = np.full(256, len(uniform), np.int32)
    labels[uniform] = range(len(uniform))
    return labels


def _waves(window: int = 7) -> np.ndarray:
    """The real and imaginary parts of four waves over a window, as the filters `(7, 7, 1, 8)`."""
    down, across = np.mgrid[:window, :window] - window // 2
    turns = [np.exp(-2j * np.pi / window * at) for at in (across, down, down + across, down - across)]
    return np.stack([part for turn in turns for part in (turn.real, turn.imag)], axis=-1)[:, :, None]


_UNIFORM = _uniform_labels()
_WAVES = _waves()
_TWO_DIGITS = np.kron(np.eye(2), [[1], [2], [4], [8]]).astype(np.float32)  # of eight bits
_ONE_HOT = np.eye(16, dtype=np.float32)  # of a digit of base 16
_DIAGONAL = 0.70711  # the cosine of 45 degrees, as scikit-image rounds it
_ROUNDING = 1e-5  # what counts as 0, in [0, 1]: a flat part is equal on every machine, and a grey level 4e-3
