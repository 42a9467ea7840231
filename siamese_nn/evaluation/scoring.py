"""From a model and pairs to scores, each distinct photo embedded once."""

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
        model: a pair model of `siamese_nn.models`. Its input shape says to what size the photos are brought, and whether
            they are grey.
        pairs: the `n` pairs.
        crop: height and width of the middle part of the photos to use, as in training; `None` uses all.
        batch_size: photos, and then pairs, that the model sees at a time.

    Returns:
        `(n,)` float32 scores, higher is more alike: the model's output.

    Raises:
        ImageError: if a photo is missing or broken; it is named.
        ValueError: if `model` has no tower, or there are no pairs.
    """
    from ..models import (  # imports TensorFlow, which the model needed anyway
        comparison_model,
        embedding_model,
    )

    if not len(pairs):
        raise ValueError("`pairs` must hold at least one pair. Received none")
    tower, comparison = embedding_model(model), comparison_model(model)
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
    scores = [
        comparison.predict((features[chunk[:, 0]], features[chunk[:, 1]]), batch_size=batch_size, verbose=0)
        for chunk in np.array_split(where, -(-len(where) // (8 * _CHUNK)))
    ]
    return np.concatenate(scores)[:, 0]


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
