"""What all losses share: Keras 3's arguments on both stacks, and the check of a number."""

import inspect
import math
from collections.abc import Callable
from numbers import Real

import tensorflow as tf

_KERAS_TAKES_DTYPE = "dtype" in inspect.signature(tf.keras.losses.Loss).parameters
_HALF = ("float16", "bfloat16")


class Loss(tf.keras.losses.Loss):
    """Keras 3's `Loss` on both stacks: Keras 2's has no `dtype`, and neither stores it in the config.

    Under `tf.distribute` each replica computes the loss of its own part of the batch, and the training step
    uses the mean of these losses. `fit` does this by itself. A loop of your own needs `reduction="none"` and
    `tf.nn.compute_average_loss`, or `reduction="sum"` and a division by the size of the whole batch. (A loss
    must return one value per photo, since Keras 3 does not divide a scalar by the number of replicas.)
    A loss that compares the photos of a batch compares those of all replicas.

    Args:
        name: the name of the loss.
        reduction: how the values, one per photo, pair or triplet, are combined: `"sum_over_batch_size"`
            (their mean), `"sum"`, `"none"`, or another one that this Keras knows.
        dtype: the type of the loss, a floating type or a dtype policy. Labels and outputs are cast to it
            first. For half precision they are cast to float32, since half precision cannot tell the numbers
            of many people apart. `None` leaves it to Keras: Keras 3 casts to `floatx`, which is float32, and
            Keras 2 casts nothing.

    Raises:
        ValueError: if `dtype` is not a floating type, or Keras does not know `reduction`.
    """

    def __init__(self, name: str | None, reduction: str | None, dtype: str | tf.DType | None):
        self._asked_dtype = _floating(dtype)
        self._computed_dtype = "float32" if self._asked_dtype in _HALF else self._asked_dtype
        options = {"dtype": self._computed_dtype} if _KERAS_TAKES_DTYPE else {}
        super().__init__(name=name, reduction=reduction, **options)

    def __call__(self, y_true, y_pred, sample_weight=None) -> tf.Tensor:
        if self._asked_dtype is None:
            return super().__call__(y_true, y_pred, sample_weight)
        # Keras 3 then casts once more, to the same type.
        y_true, y_pred = tf.cast(y_true, self._computed_dtype), tf.cast(y_pred, self._computed_dtype)
        return tf.cast(super().__call__(y_true, y_pred, sample_weight), self._asked_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "dtype": self._asked_dtype}


def number(name: str, value: float, rule: str, holds: Callable[[float], bool]) -> float:
    """Checks an argument that must be a number, and returns it as a Python float.

    Args:
        name: the argument's name.
        value: the given value.
        rule: the condition of `holds`, in words that follow "must".
        holds: returns whether a finite number is allowed.

    Returns:
        The number.

    Raises:
        ValueError: unless `value` is a finite number for which `holds`.

    Example:
        >>> number("margin", -1, "be positive", lambda margin: margin > 0)
        Traceback (most recent call last):
        ValueError: `margin` must be positive. Received: margin=-1
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"`{name}` must be a finite number. Received: {name}={value!r}")
    if not holds(value):
        raise ValueError(f"`{name}` must {rule}. Received: {name}={value}")
    return float(value)


def _floating(dtype: str | tf.DType | None) -> str | None:
    """Returns the name of a floating type, or of the type in which a policy computes."""
    if dtype is None:
        return None
    try:
        found = tf.as_dtype(getattr(dtype, "compute_dtype", dtype))
    except TypeError:
        found = None
    if found is None or not found.is_floating:
        raise ValueError(f"`dtype` must be a floating type, as 'float32'. Received: dtype={dtype!r}")
    return found.name
