"""A network that Keras computes, as one traced function."""

import os
from hashlib import sha256

import numpy as np
import tensorflow as tf

from .. import evaluation, models
from ..evaluation.comparison import Blocks
from .safe_loading import load_model_safely

_MOST_PIXELS = 4096  # a side of what a model sees


class KerasNetwork:
    """A network from images to vectors.

    Args:
        model: a Keras model; of a Siamese model of this package the tower counts. Or the path of a `.keras`
            file, which is loaded without running code.

    Attributes: `model`; `name`; `shape`, of an image; `digest`, the SHA-256 of its weights.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or could run code, or doesn't lead from one image to one vector.
    """

    def __init__(self, model: tf.keras.Model | str | os.PathLike):
        what = f"The model {model.name!r}" if isinstance(model, tf.keras.Model) else os.fspath(model)
        self.model = model if isinstance(model, tf.keras.Model) else load_model_safely(model)
        self.name = self.model.name
        tower = models.embedding_model(self.model)
        shape, output = tower.input_shape, tower.output_shape
        sizes = shape[1:3] if isinstance(shape, tuple) and len(shape) == 4 else (None,)
        if None in sizes or max(sizes) > _MOST_PIXELS or shape[3] not in (1, 3):
            raise ValueError(
                f"{what} must take grey or RGB images of one size, of at most {_MOST_PIXELS} pixels a side. "
                f"Received: its input is {shape}"
            )
        if not isinstance(output, tuple) or len(output) != 2:
            raise ValueError(f"{what} must give one vector an image. Received: its output is {output}")
        self.shape: tuple[int, int, int] = shape[1:]
        # Traced once, for batches of any length: `predict` would make a new data set at each call.
        self._function = tf.function(
            lambda images: tower(images, training=False),
            input_signature=[tf.TensorSpec((None, *self.shape), tf.float32)],
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        content = sha256()
        for weight in self.model.get_weights():
            content.update(np.ascontiguousarray(weight).tobytes())
        return content.hexdigest()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the vectors, `(n, d)` float32, of images, scaled as it wants them."""
        return np.asarray(tf.cast(self._function(tf.constant(images, tf.float32)), tf.float32))


class LearntComparison:
    """The comparison of one of this package's models; see `evaluation.compare`."""

    def __init__(self, model: tf.keras.Model):
        self.model = model

    def prepare(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns them as they are."""
        return embeddings

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Comparison`."""
        return evaluation.compare(self.model, left, right)

    def blocks(self, left: np.ndarray, right: np.ndarray) -> Blocks:
        """See `Comparison`."""
        yield from evaluation.compare_all(self.model, left, right)
