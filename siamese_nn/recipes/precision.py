"""The arithmetic of a training: which one suits the machine, and layers built in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

_CPUINFO = Path("/proc/cpuinfo")


def fastest_precision() -> str:
    """Returns the `precision` that this machine most likely computes fastest, by what its hardware can do.

    On a GPU half precision, where its tensor cores have it (compute capability 7.0, of bfloat16 8.0). On a
    CPU bfloat16, where the processor multiplies it (AVX-512 BF16, AMX, Arm's BF16), as far as Linux tells.
    Else float32. `benchmarks/training_step.py` measures it.

    Example:
        >>> fastest_precision() in ("float32", "mixed_bfloat16", "mixed_float16")
        True
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        if capability >= (8, 0):
            return "mixed_bfloat16"
        return "mixed_float16" if capability >= (7, 0) else "float32"
    flags = set(_CPUINFO.read_text().split()) if _CPUINFO.exists() else set()
    return "mixed_bfloat16" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"


@contextmanager
def built_in(name: str) -> Iterator[None]:
    """Builds layers under a precision, and leaves the process's own as it was."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)
