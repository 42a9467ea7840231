"""Backbones: functional models from an image to a feature vector."""

from collections.abc import Sequence

import tensorflow as tf

INITIALIZERS = ("normal", "glorot_normal", "lecun_normal", "he_normal")
_KERNEL_SIZES = (10, 7, 4, 4)
_CONVOLUTION, _DENSE = 0.01, 0.2  # the one-shot paper's standard deviations


def report_cnn(
    input_shape: tuple[int, int, int],
    *,
    filters: int = 8,
    units: int = 2048,
    kernel_sizes: Sequence[int] = (10, 7, 4, 4),
    initializer: str = "normal",
    drop_rate: float | None = None,
    drop_after: int | None = None,
    last_pooling: bool = False,
) -> tf.keras.Model:
    """The LFW-a report's network: four valid convolutions with ReLU, max-pooling between them, sigmoid units.

    Args:
        input_shape: height, width and channels of the images, for instance `(125, 125, 1)`.
        filters: filters `f` of the first convolution; the others have `2f`, `4f` and `8f`.
        units: size of the feature vector.
        kernel_sizes: sides of the four convolutions' square kernels.
        initializer: `"normal"` is the one-shot paper's: normal(0, 0.01) for the convolutions and normal(0,
            0.2) for the dense layer, with biases from normal(0.5, 0.01), but 0 in the first convolution.
            `"glorot_normal"` and `"lecun_normal"` are for both, with the same biases. `"he_normal"` learns
            faster: He's for the convolutions, Glorot's for the dense layer, and biases 0.
        drop_rate: `X` in [0.1, 1) drops features after the pooled convolutions at rates X, X - 0.05, X - 0.10
            (never below 0.1) and 0.1 after the last. `None` drops nothing.
        drop_after: 1 to 4: features are dropped after this convolution alone, at the rate `drop_rate`.
        last_pooling: whether to pool after the fourth convolution too, as the report's drop-out runs did.

    Returns:
        An uncompiled model from `(batch, height, width, channels)`, in [0,
        1], to `(batch, units)`, in (0, 1).

    Raises:
        ValueError: if the image is too small for the convolutions, or an argument is out of range.

    Reference:
        The report, section 5.1; L2 penalties 2e-4 (convolutions) and 1e-3 (dense layer).

    Example:
        >>> report_cnn((125, 125, 1), filters=8, units=256).output_shape
        (None, 256)
    """
    if drop_after not in (None, 1, 2, 3, 4) or (drop_after and drop_rate is None):
        raise ValueError(
            "`drop_after` must be 1 to 4, with a `drop_rate`, or None. "
            f"Received: drop_after={drop_after}, drop_rate={drop_rate}"
        )
    rates = None
    if drop_rate is not None:
        if not 0.1 <= drop_rate < 1:
            raise ValueError(f"`drop_rate` must lie in [0.1, 1), or be None. Received: drop_rate={drop_rate}")
        rates = [max(drop_rate - step, 0.1) for step in (0.0, 0.05, 0.1)] + [0.1]
        if drop_after is not None:
            rates = [drop_rate if place == drop_after else 0.0 for place in range(1, 5)]
    return _one_shot_cnn(
        input_shape,
        [filters, 2 * filters, 4 * filters, 8 * filters],
        kernel_sizes,
        units,
        initializer=initializer,
        drop_rates=rates,
        last_pooling=last_pooling,
        name="report_cnn",
    )


def koch_cnn(input_shape: tuple[int, int, int] = (105, 105, 1)) -> tf.keras.Model:
    """The network of the one-shot paper: 64, 128, 128 and 256 filters, 4096 sigmoid units.

    Args:
        input_shape: height, width and channels of the images; the paper's are 105 x 105, grey.

    Returns:
        An uncompiled model from `(batch, height, width, channels)`, in [0, 1], to `(batch, 4096)`, in (0, 1).

    Raises:
        ValueError: if the image is too small for the convolutions.

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015, figure 4.

    Example:
        >>> koch_cnn((65, 65, 1)).output_shape
        (None, 4096)
    """
    return _one_shot_cnn(input_shape, [64, 128, 128, 256], _KERNEL_SIZES, 4096, name="koch_cnn")


def _one_shot_cnn(
    input_shape: tuple[int, int, int],
    filters: Sequence[int],
    kernel_sizes: Sequence[int],
    units: int,
    *,
    name: str,
    initializer: str = "normal",
    drop_rates: Sequence[float] | None = None,
    last_pooling: bool = False,
) -> tf.keras.Model:
    if initializer not in INITIALIZERS:
        raise ValueError(
            f"`initializer` must be one of {INITIALIZERS}. Received: initializer={initializer!r}"
        )
    if min(*filters, units) < 1 or len(kernel_sizes) != 4 or min(kernel_sizes) < 1:
        raise ValueError(
            "`filters` and `units` must be at least 1, `kernel_sizes` four sizes of at least 1. "
            f"Received: filters={filters[0]}, units={units}, kernel_sizes={tuple(kernel_sizes)}"
        )
    require_room(input_shape, kernel_sizes, last_pooling)

    def options(deviation: float, first: bool = False) -> dict:
        initializers = tf.keras.initializers
        bias = initializers.RandomNormal(0.5, 0.01)
        return {
            "kernel_initializer": {
                "normal": initializers.RandomNormal(0.0, deviation),
                "glorot_normal": initializers.GlorotNormal(),
                "lecun_normal": initializers.LecunNormal(),
                "he_normal": initializers.HeNormal()
                if deviation == _CONVOLUTION
                else initializers.GlorotNormal(),
            }[initializer],
            "bias_initializer": "zeros" if first or initializer == "he_normal" else bias,
        }

    image = features = tf.keras.Input(input_shape, name="image")
    for i, (n_filters, size) in enumerate(zip(filters, kernel_sizes, strict=True)):
        features = tf.keras.layers.Conv2D(
            n_filters,
            size,
            activation="relu",
            kernel_regularizer=tf.keras.regularizers.L2(2e-4),
            **options(_CONVOLUTION, first=i == 0),
        )(features)
        if i < 3 or last_pooling:
            features = tf.keras.layers.MaxPooling2D()(features)
        if drop_rates is not None and drop_rates[i]:
            features = tf.keras.layers.Dropout(drop_rates[i])(features)
    features = tf.keras.layers.Dense(
        units,
        activation="sigmoid",
        kernel_regularizer=tf.keras.regularizers.L2(1e-3),
        **options(_DENSE),
    )(tf.keras.layers.Flatten()(features))
    return tf.keras.Model(image, features, name=name)


def require_room(
    input_shape: tuple[int, int, int],
    kernel_sizes: Sequence[int] = _KERNEL_SIZES,
    last_pooling: bool = False,
) -> None:
    """Raises `ValueError` if an image is too small for the four convolutions."""
    sides = list(input_shape[:2])
    for i, size in enumerate(kernel_sizes):
        sides = [(side - size + 1) // (2 if i < 3 or last_pooling else 1) for side in sides]
        if min(sides) < 1:
            raise ValueError(
                f"An image of {input_shape[0]} x {input_shape[1]} pixels is too small for convolutions of "
                f"{tuple(kernel_sizes)} with pooling: nothing is left after "
                f"convolution {i + 1}. Use larger images or smaller `kernel_sizes`"
            )
