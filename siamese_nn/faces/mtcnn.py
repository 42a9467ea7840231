"""The default finder: MTCNN, by the package `mtcnn`, whose weights come with it."""

import hashlib
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import Any

import numpy as np

from .finder import Face

# The package reads its weights with joblib, which can run code from a changed file. So only these are read.
_SHA256 = {
    "pnet.lz4": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet.lz4": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet.lz4": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}


def find_by_mtcnn(pixels: np.ndarray) -> list[Face]:
    """Finds faces of at least 20 pixels; see `find`.

    Args:
        pixels: uint8 `(height, width, 3)`, RGB.

    Raises:
        ImportError: if the extra `faces` is not installed.
        ValueError: if the package's weights are not those of its version 1.0.0.
    """
    # With a larger `min_face_size` the package makes an image too small for its network, and finds nothing.
    # Its dictionaries hold coordinates that are rounded to whole pixels.
    rows = _network().detect_faces(pixels, box_format="xyxy", fit_to_image=False, output_type="numpy")
    return [  # a row: photo, box, score, five x, five y
        Face(tuple(row[1:5]), float(row[5]), row[6:].reshape(2, 5).T)
        for row in np.asarray(rows, dtype=float)
        if row[1] < row[3] and row[2] < row[4]
    ]


def is_installed() -> bool:
    """Returns whether the extra `faces` is installed."""
    return all(map(find_spec, ("mtcnn", "joblib", "lz4")))


@cache
def _network() -> Any:
    try:
        import tensorflow as tf
        from mtcnn import MTCNN
        from mtcnn.stages import StageONet, StagePNet, StageRNet
    except ImportError as error:
        raise ImportError(
            "To find faces, the package mtcnn is needed: pip install 'siamese_nn[faces]'. Or give a `finder`"
        ) from error
    folder = resources.files("mtcnn.assets.weights")
    for name, wanted in _SHA256.items():
        with resources.as_file(folder / name) as path:
            if hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
                raise ValueError(
                    f"{path} must be the weights of mtcnn 1.0.0. Received another file. Install that version "
                    "again: pip install --force-reinstall mtcnn==1.0.0"
                )
    stages = []
    sides = {"pnet.lz4": (StagePNet, None), "rnet.lz4": (StageRNet, 24), "onet.lz4": (StageONet, 48)}
    for name, (make, side) in sides.items():
        # The whole path, since a bare name would be searched in the working folder first.
        stage = make(weights=str(folder / name))
        # As a graph, traced once for all sizes, a network takes a third of the time with the same result.
        photos = tf.TensorSpec((None, side, side, 3), tf.float32)
        stage._model = tf.function(stage.model, input_signature=[photos])
        stages.append(stage)
    return MTCNN(stages)
