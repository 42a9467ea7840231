"""One-shot face verification with Siamese networks on Keras and TensorFlow 2."""

import importlib
from types import ModuleType

__version__ = "0.1.0"
__all__ = ["datasets", "evaluation", "losses", "models", "plots", "training"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:  # on demand, for TensorFlow takes seconds to import
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
