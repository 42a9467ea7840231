"""What every loss shares: Keras 3's arguments on both stacks, and the check of a number."""

import inspect
import math
from collections.abc import Callable
from numbers import Real

import tensorflow as tf

_KERAS_TAKES_DTYPE = "dtype" in inspect.signature(tf.keras.losses.Loss).parameters
_HALF = ("float16", "bfloat16")


class Loss(tf.keras.losses.Loss):
    """Keras 3's `Loss` on both stacks: Keras 2's has no `dtype`, and neither keeps it in the config.

    Under `tf.distribute` each replica computes the loss of its own share of the batch. The step is that of
    the mean of their losses: in `fit` without more ado; in a loop of your own with `reduction="none"` and
    `tf.nn.compute_average_loss`, or with `reduction="sum"`, divided by the size of the whole batch. (Of the
    values there must be one for each photo, for Keras 3 does not divide a scalar by the number of replicas.)

    Args:
        name: of the loss.
        reduction: what becomes of the values, one a photo, pair or triplet: `"sum_over_batch_size"` (their
            mean), `"sum"`, `"none"`, or another one that this Keras knows.
        dtype: of the loss, a floating type or a dtype policy. Labels and outputs are cast to it before, but
            for half precision to float32: in it, the numbers of people would run together. `None` leaves it
            to Keras: Keras 3 casts to `floatx`, which is float32, and Keras 2 leaves all as it is.

    Raises:
        ValueError: if `dtype` is not floating, or Keras does not know `reduction`.
    """

    def __init__(self, name: str | None, reduction: str | None, dtype: str | tf.DType | None):
        self._asked_dtype = _floating(dtype)
        self._computed_dtype = "float32" if self._asked_dtype in _HALF else self._asked_dtype
        options = {"dtype": self._computed_dtype} if _KERAS_TAKES_DTYPE else {}
        super().__init__(name=name, reduction=reduction, **options)

    def __call__(self, y_true, y_pred, sample_weight=None) -> tf.Tensor:
        if self._asked_dtype is None:
            return super().__call__(y_true, y_pred, sample_weight)
        # Keras 3 does the same, once more.
        y_true, y_pred = tf.cast(y_true, self._computed_dtype), tf.cast(y_pred, self._computed_dtype)
        return tf.cast(super().__call__(y_true, y_pred, sample_weight), self._asked_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "dtype": self._asked_dtype}


def number(name: str, value: float, rule: str, holds: Callable[[float], bool]) -> float:
    """Returns an argument that is a number, as Python has it.

    Args:
        name: the argument's.
        value: what was given.
        rule: what `holds` asks, in words that follow "must".
        holds: whether a finite number is right.

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
    """Returns the name of a floating type, or of the one that a policy computes in."""
    if dtype is None:
        return None
    try:
        found = tf.as_dtype(getattr(dtype, "compute_dtype", dtype))
    except TypeError:
        found = None
    if found is None or not found.is_floating:
        raise ValueError(f"`dtype` must be a floating type, as 'float32'. Received: dtype={dtype!r}")
    return found.name
