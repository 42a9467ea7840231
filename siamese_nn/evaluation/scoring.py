"""From a model and pairs to scores, each distinct photo embedded once."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.images import load_images
from ..datasets.pairs import Pairs

if TYPE_CHECKING:
    import tensorflow as tf

_CHUNK = 1024  # photos decoded at a time: 64 MB as float32 at 125 x 125


def score_pairs(
    model: "tf.keras.Model", pairs: Pairs, *, crop: tuple[int, int] | None = None, batch_size: int = 128
) -> np.ndarray:
    """Scores pairs with a Siamese model; each distinct photo goes through its tower once.

    Args:
        model: a model of `siamese_nn.models`. Its input shape says to what size the photos are brought, and whether they
            are grey.
        pairs: the `n` pairs.
        crop: height and width of the middle part of the photos to use, as in training; `None` uses all.
        batch_size: photos, and then pairs, that the model sees at a time.

    Returns:
        `(n,)` float32 scores, higher is more alike: a pair model's probability or cosine, or its distance negated; of an
        embedding model the cosine.

    Raises:
        ImageError: if a photo is missing or broken; it is named.
        ValueError: if `model` has no tower, or there are no pairs.
    """
    from ..models import embedding_model  # imports TensorFlow, which the model needed anyway

    if not len(pairs):
        raise ValueError("`pairs` must hold at least one pair. Received none")
    tower = embedding_model(model)
    height, width, channels = tower.input_shape[1:]
    paths, where = pairs.distinct_images()
    features = []
    for start in range(0, len(paths), _CHUNK):
        images = load_images(
            paths[start : start + _CHUNK],
            image_size=(height, width),
            crop=crop,
            channels=channels,
            progress=False,
        )
        features.append(tower.predict(images.astype(np.float32) / 255, batch_size=batch_size, verbose=0))
    features = np.concatenate(features)
    chunks = np.array_split(where, -(-len(where) // (8 * _CHUNK)))
    compare = _cosine if len(model.inputs) == 1 else _comparison(model, batch_size)
    return np.concatenate([compare(features[chunk[:, 0]], features[chunk[:, 1]]) for chunk in chunks])


def _cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """For unit embeddings, as good as any of their distances: all three order pairs alike."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.einsum("ij,ij->i", left, right) / np.maximum(lengths, np.finfo(np.float32).tiny)


def _comparison(model: "tf.keras.Model", batch_size: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Returns the model's own comparison, turned so that higher is more alike."""
    from ..models import EuclideanDistance, comparison_model

    comparison = comparison_model(model)
    sign = -1 if isinstance(comparison.layers[-1], EuclideanDistance) else 1

    def compare(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        # The last column: the only one, or of the probabilities of different and same the second.
        return sign * comparison.predict((left, right), batch_size=batch_size, verbose=0)[:, -1]

    return compare


def score_raw_pixels(
    pairs: Pairs,
    *,
    image_size: tuple[int, int] = (125, 125),
    crop: tuple[int, int] | None = None,
    channels: int = 1,
) -> np.ndarray:
    """Scores pairs without a model, by the negative euclidean distance of their pixels: the baseline to beat.

    Args:
        pairs: the `n` pairs.
        image_size: height and width to which the photos are brought.
        crop: height and width of the middle part of the photos to use; `None` uses all.
        channels: 1 for grey, 3 for RGB.

    Returns:
        `(n,)` float32 scores of at most 0, of pixels in [0, 1].
    """
    paths, where = pairs.distinct_images()
    images = load_images(paths, image_size=image_size, crop=crop, channels=channels).reshape(len(paths), -1)
    differences = ((images[left].astype(np.float32) - images[right]) / 255 for left, right in where)
    return np.array([-np.linalg.norm(difference) for difference in differences], np.float32)
