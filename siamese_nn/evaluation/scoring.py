"""Scores pairs with a model; each distinct photo is embedded once."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from ..datasets.decoded import DecodedPhotos
from ..datasets.pairs import Pairs
from ..datasets.photo_format import PhotoFormat
from .search import score_blocks
from .vectors import cosines, unit_length

if TYPE_CHECKING:
    import tensorflow as tf

_CHUNK = 1024  # photos at a time: 64 MB as float32 at 125 x 125


def score_pairs(
    model: "tf.keras.Model",
    pairs: Pairs,
    *,
    crop: tuple[int, int] | None = None,
    photo_size: tuple[int, int] | None = None,
    batch_size: int = 128,
    photos: DecodedPhotos | None = None,
) -> np.ndarray:
    """Scores pairs with a Siamese model; each distinct photo goes through its tower once.

    Args:
        model: a model of `siamese_nn.models`. Its input shape decides the size of the photos, and whether
            they are grey.
        pairs: the `n` pairs.
        crop: height and width of the middle part of the photos to use, as in training; `None` uses all of it.
        photo_size: height and width of the photos that `crop` was chosen for; see `datasets.load_image`.
        batch_size: photos, and then pairs, that the model processes at a time.
        photos: photos that include those of the pairs and are already decoded, with the model's size and
            their own crop. `None` decodes the photos, some at a time.

    Returns:
        `(n,)` float32 scores, higher is more alike; see `compare`.

    Raises:
        ImageError: if a photo is missing or broken. The message names it.
        TypeError: if `pairs` is not a `Pairs`, for instance if the two arguments are swapped.
        ValueError: if `model` has no tower, there are no pairs, or `photos` lacks a photo, has another size,
            or is given together with `crop` or `photo_size`.

    Example:
        >>> from siamese_nn import datasets, models
        >>> pairs = datasets.read_pairs("faces/pairsDevTest.txt", "faces/lfw2")
        >>> model = models.cosine_embedding(models.face_cnn((32, 28, 1)))  # not trained
        >>> scores = score_pairs(model, pairs, crop=(128, 112))
        >>> scores.shape, bool((abs(scores) <= 1).all())
        ((24,), True)
    """
    if not isinstance(pairs, Pairs):
        raise TypeError(
            "`pairs` must be a `datasets.Pairs`, and come after the model: score_pairs(model, pairs). "
            f"Received: {type(model).__name__}, {type(pairs).__name__}"
        )
    if not len(pairs):
        raise ValueError("`pairs` must hold at least one pair. Received none")
    paths, where = pairs.distinct_images()
    if photos is None:
        height, width, channels = _tower(model).input_shape[1:]
        photo_format = PhotoFormat((height, width), crop, channels)
        photos = DecodedPhotos(paths, photo_format, photo_size=photo_size, memory_limit=0)
    elif crop is not None or photo_size is not None:
        raise ValueError(
            "`crop` and `photo_size` can't be given with `photos`, which are decoded already. "
            f"Received: {crop=}, {photo_size=}"
        )
    embeddings = embed(model, photos.of(paths), batch_size=batch_size)
    return compare(model, embeddings[where[:, 0]], embeddings[where[:, 1]], batch_size=batch_size)


def embed(
    model: "tf.keras.Model", images: np.ndarray | DecodedPhotos, *, batch_size: int = 128
) -> np.ndarray:
    """Sends images through the tower of a model, some at a time.

    Args:
        model: a model of `siamese_nn.models`.
        images: uint8 `(n, height, width, channels)`, of the model's size, as `datasets.load_images` returns
            them; or `DecodedPhotos`, which are decoded once, or some at a time if memory is short.
        batch_size: images that the model processes at a time.

    Returns:
        The features, float32 `(n, features)`: what `compare` compares.

    Raises:
        ValueError: if `model` has no tower, or `images` are photos with another format.

    Example:
        >>> from siamese_nn import models
        >>> model = models.cosine_embedding(models.face_cnn((32, 28, 1), embedding_size=16))
        >>> embed(model, np.zeros((5, 32, 28, 1), np.uint8)).shape
        (5, 16)
    """
    tower = _tower(model)
    if isinstance(images, DecodedPhotos) and images.image_shape != tower.input_shape[1:]:
        raise ValueError(
            f"The photos must be decoded as the model takes them, {tower.input_shape[1:]} (height, width, "
            f"channels). Received: {images.image_shape}, by {images.photo_format}"
        )
    chunks = (images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK))
    features = [
        tower.predict(chunk.astype(np.float32) / 255, batch_size=batch_size, verbose=0) for chunk in chunks
    ]
    return np.concatenate(features).astype(np.float32, copy=False)  # NumPy can't compute with bfloat16


def compare(
    model: "tf.keras.Model", left: np.ndarray, right: np.ndarray, *, batch_size: int = 128
) -> np.ndarray:
    """Scores pairs of embeddings as their model does.

    Args:
        model: a model of `siamese_nn.models`.
        left: its embeddings of the left photos, `(n, features)`.
        right: its embeddings of the right photos, `(n, features)`.
        batch_size: pairs that the model processes at a time.

    Returns:
        `(n,)` float32 scores, higher is more alike: the probability, cosine or negative distance of a pair
        model; the cosine of the features for an embedding model or a classifier.

    Example:
        >>> from siamese_nn import models
        >>> model = models.cosine_embedding(models.face_cnn(embedding_size=2))
        >>> left, right = np.array([[3.0, 4.0], [3.0, 4.0]]), np.array([[4.0, 3.0], [-3.0, -4.0]])
        >>> compare(model, left, right).round(2)
        array([ 0.96, -1.  ], dtype=float32)
    """
    if len(model.inputs) != 2:
        # For unit embeddings, cosine and all distances order pairs alike.
        return cosines(left, right)
    from ..models import EuclideanDistance, comparison_model

    comparison = comparison_model(model)
    sign = -1 if isinstance(comparison.layers[-1], EuclideanDistance) else 1
    batches = (slice(i, i + batch_size) for i in range(0, len(left), batch_size))
    # A call, not `predict`, which would trace a graph for these few operations after every epoch. The last
    # column is the only one, or the second of the probabilities of different and same.
    scores = np.concatenate(
        [
            sign * np.asarray(comparison((left[batch], right[batch]), training=False), np.float32)[:, -1]
            for batch in batches
        ]
    )
    return scores if sign < 0 else np.clip(scores, -1, 1)  # of probabilities it changes none


def compare_all(
    model: "tf.keras.Model", left: np.ndarray, right: np.ndarray, *, memory_limit: int = 2**28
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Scores every left embedding with every right one, block by block, as `compare` scores pairs.

    Args:
        model: a model of `siamese_nn.models`.
        left: its embeddings of some photos, `(m, features)`.
        right: its embeddings of other photos, `(n, features)`.
        memory_limit: bytes of working memory. Defaults to 256 MiB.

    Yields:
        The block's first left index, its first right index, and its scores, `(rows, columns)` float32. Use or
        copy the scores before the next block, which may reuse their memory.

    Example:
        >>> from siamese_nn import models
        >>> model = models.cosine_embedding(models.face_cnn(embedding_size=2))
        >>> some, others = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> [scores.round(2) for row, column, scores in compare_all(model, some, others)]
        [array([[1. , 0. , 0.6]], dtype=float32)]
    """
    import tensorflow as tf

    from ..models import EuclideanDistance, comparison_model

    last = comparison_model(model).layers[-1] if len(model.inputs) == 2 else None
    if last is None or isinstance(last, tf.keras.layers.Dot):
        for row, column, block in score_blocks(
            unit_length(left), unit_length(right), memory_limit=memory_limit
        ):
            yield row, column, np.clip(block, -1, 1, out=block)
        return
    # A learnt comparison needs both embeddings of each pair.
    by_distance = isinstance(last, EuclideanDistance)
    n_scores = memory_limit // (100 if by_distance else 100 + 16 * left.shape[1])
    columns = max(1, min(len(right), n_scores))
    rows = max(1, min(len(left), n_scores // columns))
    for row in range(0, len(left), rows):
        for column in range(0, len(right), columns):
            some, others = left[row : row + rows], right[column : column + columns]
            if by_distance:
                scores = -euclidean_distances(some, others)
            else:
                pairs = np.repeat(some, len(others), axis=0), np.tile(others, (len(some), 1))
                scores = compare(model, *pairs, batch_size=1024)
            yield row, column, scores.reshape(len(some), len(others))


def score_matrix(model: "tf.keras.Model", embeddings: np.ndarray) -> np.ndarray:
    """Scores all pairs of embeddings; see `compare_all`.

    Args:
        model: a model of `siamese_nn.models`.
        embeddings: its embeddings, `(n, features)`.

    Returns:
        `(n, n)` float32 scores; the left photos are in rows.

    Example:
        >>> from siamese_nn import models
        >>> model = models.cosine_embedding(models.face_cnn(embedding_size=2))
        >>> score_matrix(model, np.array([[1.0, 0.0], [0.6, 0.8]])).round(2)
        array([[1. , 0.6],
               [0.6, 1. ]], dtype=float32)
    """
    scores = np.empty((len(embeddings), len(embeddings)), np.float32)
    for row, column, block in compare_all(model, embeddings, embeddings):
        scores[row : row + len(block), column : column + block.shape[1]] = block
    return scores


def score_raw_pixels(
    pairs: Pairs,
    *,
    image_size: tuple[int, int] = (125, 125),
    crop: tuple[int, int] | None = None,
    channels: int = 1,
) -> np.ndarray:
    """Scores pairs without a model, by the negative euclidean distance of their pixels, as a baseline.

    Args:
        pairs: the `n` pairs.
        image_size: height and width to which the photos are resized.
        crop: height and width of the middle part of the photos to use; `None` uses all of it.
        channels: 1 for grey, 3 for RGB.

    Returns:
        `(n,)` float32 scores, at most 0, for pixels in [0, 1].

    Example:
        >>> from siamese_nn import datasets
        >>> from siamese_nn.evaluation import equal_error_rate
        >>> pairs = datasets.read_pairs("faces/pairsDevTest.txt", "faces/lfw2")
        >>> scores = score_raw_pixels(pairs, image_size=(32, 28), crop=(128, 112))
        >>> 0 < equal_error_rate(scores, pairs.same) < 1
        True
    """
    photo_format = PhotoFormat(image_size, crop, channels)
    return raw_pixel_scores(pairs, DecodedPhotos(pairs.distinct_images()[0], photo_format))


def raw_pixel_scores(pairs: Pairs, photos: DecodedPhotos) -> np.ndarray:
    """Scores pairs among photos that may be decoded already; see `score_raw_pixels`."""
    paths, where = pairs.distinct_images()
    images = photos.of(paths)[:].reshape(len(paths), -1)
    differences = ((images[left].astype(np.float32) - images[right]) / 255 for left, right in where)
    return np.array([-np.linalg.norm(difference) for difference in differences], np.float32)


def _tower(model: "tf.keras.Model") -> "tf.keras.Model":
    from ..models import embedding_model  # imports TensorFlow, which the model needed anyway

    if not hasattr(model, "inputs"):
        raise TypeError(f"`model` must be a Keras model. Received: {type(model).__name__}")
    return embedding_model(model)
