"""A network that Keras computes, as one traced function."""

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from .. import evaluation, models
from ..evaluation.comparison import Blocks, Comparison
from ..evaluation.learnt_head import LearntHead
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
        ).get_concrete_function()

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


class SavedNetwork:
    """The signature `serving_default` of a SavedModel, from images to vectors.

    Args:
        path: its folder. It is a program: loading it trusts it.

    Attributes: `shape`, of an image; `digest`, the SHA-256 of graph and weights.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it is damaged, or the signature is another.
    """

    def __init__(self, path: str | os.PathLike):
        files = sorted([*Path(path).glob("*.pb"), *Path(path).glob("variables/*")])
        if not files:
            raise FileNotFoundError(
                f"{path} must be the folder of a SavedModel. Received: one without a graph"
            )
        content = sha256()
        for file in files:
            content.update(file.read_bytes())
        self.digest = content.hexdigest()
        try:
            self._loaded = tf.saved_model.load(os.fspath(path))  # its variables live as long as it is held
            self._function = self._loaded.signatures["serving_default"]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"{path} must be a SavedModel with `serving_default`. Received: {error}"
            ) from error
        inputs = self._function.structured_input_signature[1]
        shapes = [tuple(tensor.shape) for tensor in inputs.values()]
        if len(shapes) != 1 or len(shapes[0]) != 4 or None in shapes[0][1:] or shapes[0][3] not in (1, 3):
            raise ValueError(f"{path} must take grey or RGB images of one size. Received: inputs of {shapes}")
        if len(self._function.structured_outputs) != 1:
            raise ValueError(
                f"{path} must give one output. Received: {list(self._function.structured_outputs)}"
            )
        (self._input,), self.shape = inputs, shapes[0][1:]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the vectors, `(n, d)` float32, of images, scaled as it wants them."""
        (vectors,) = self._function(**{self._input: tf.constant(images, tf.float32)}).values()
        return np.asarray(tf.cast(vectors, tf.float32))


class LearntComparison:
    """The comparison of one of this package's models; see `evaluation.compare`."""

    def __init__(self, model: tf.keras.Model):
        self.model = model

    @property
    def by_cosines(self) -> bool:
        """Whether the score is the cosine, as of a run of `face`."""
        return without_tensorflow(self.model) == "cosine"

    def prepare(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns them as they are."""
        return embeddings

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Comparison`."""
        return evaluation.compare(self.model, left, right)

    def blocks(self, left: np.ndarray, right: np.ndarray) -> Blocks:
        """See `Comparison`."""
        yield from evaluation.compare_all(self.model, left, right)


def without_tensorflow(model: tf.keras.Model) -> str | Comparison:
    """Returns how a model of this package compares, as NumPy does it alone; see `Embedding.metric`.

    Args:
        model: the model.

    Raises:
        ValueError: if it compares as no model of this package does.
    """
    if len(model.inputs) != 2:
        return "cosine"
    layers = models.comparison_model(model).layers
    join, *dense = [layer for layer in layers if not isinstance(layer, tf.keras.layers.InputLayer)]
    if isinstance(join, models.EuclideanDistance) and not dense:
        return "euclidean"
    if isinstance(join, tf.keras.layers.Dot) and not dense:
        return "cosine"
    joins = {
        models.L1Distance: "difference",
        tf.keras.layers.Dot: "cosine",  # of models from before `Cosine`
        models.Cosine: "cosine",
        tf.keras.layers.Concatenate: "both",
    }
    ends = [layer.activation.__name__ for layer in dense if isinstance(layer, tf.keras.layers.Dense)]
    wanted = [*["relu"] * (len(dense) - 1), "sigmoid" if dense and dense[-1].units == 1 else "softmax"]
    if type(join) not in joins or ends != wanted:
        raise ValueError(
            f"The comparison of {model.name!r} must be one of `siamese_nn.models`: only those are known as "
            f"arrays. Received: {[type(layer).__name__ for layer in layers]}"
        )
    return LearntHead(joins[type(join)], tuple(tuple(layer.get_weights()) for layer in dense))


def in_float32(model: tf.keras.Model) -> tf.keras.Model:
    """Builds a model anew that computes in float32 throughout, with the same weights.

    Args:
        model: of any precision. What runs it elsewhere may not know bfloat16, nor half precision.
    """
    built = type(model).from_config(_in_float32(model.get_config()))
    built.set_weights(model.get_weights())
    return built


def _in_float32(config: Any) -> Any:
    if isinstance(config, dict):
        return {name: _in_float32(own) for name, own in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(own) for own in config)
    return "float32" if config in ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16") else config
