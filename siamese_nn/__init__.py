"""One-shot face verification with Siamese networks on Keras and TensorFlow 2.

The examples of the docstrings run as they are shown, where the working folder holds drawn faces and a run:

    from siamese_nn import datasets

    people = dict(n_train_identities=52, n_test_identities=12, images_per_identity=4)
    datasets.make_toy_faces("faces", train_pairs=60, test_pairs=12, **people)
    datasets.make_toy_cfp("cfp", frontal_photos=2, profile_photos=1)

The example of `training.train` makes the run, `runs/faces`.
"""

import importlib
import os
from typing import Any

from .startup import be_quiet

# On processors without AVX-512 VNNI, TensorFlow leaves oneDNN off, and computes convolutions several times
# slower. It is read when TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
be_quiet()

__version__ = "0.1.0"
__all__ = [
    *("Verifier", "datasets", "evaluation", "faces", "losses", "models", "plots"),
    *("training", "verification"),
]


def __getattr__(name: str) -> Any:
    if name == "Verifier":
        return importlib.import_module(".verification.verifier", __name__).Verifier
    if name in __all__:  # on demand, for TensorFlow takes seconds to import
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
