"""From a trained network to the embedding that is measured and used."""

from collections.abc import Callable, Mapping, Sequence
from itertools import compress

import numpy as np
import tensorflow as tf
from scipy.linalg import block_diag
from sklearn.decomposition import PCA

from .. import models
from ..datasets import DecodedPhotos
from ..evaluation import embed, fit_plda
from ..evaluation.vectors import unit_length
from ..recipes.backbones import BACKBONES
from ..recipes.recipe import Recipe

_COMPONENTS = 600  # of a texture
_MOST_PHOTOS = 6000  # to which they are fitted: 0.6 GB of histograms
_ROUNDING = 1e-8  # of the variance of histograms of unit length


def finishing(
    recipe: Recipe, photos: Mapping[str, Sequence[str]], decoded: DecodedPhotos
) -> Callable[[tf.keras.Model], tf.keras.Model]:
    """Makes what finishes the trained models of a run, as its recipe's `mirror` and `back_end` ask for.

    Args:
        recipe: the recipe.
        photos: the photos that it learnt from, person by person; the back-end is fitted to them, and to
            nothing else. With a teacher, those of people with one photo are left out.
        decoded: the same photos, among others, as the recipe wants them decoded.

    Returns:
        A function from a trained model to one from an image to its embedding, of unit length. It raises a
        `ValueError` if the back-end can't be fitted to these photos. The textures, which know no network, are
        computed once.
    """
    if recipe.kind == "teacher":  # on validation people this was better in each of four trainings
        photos = {name: own for name, own in photos.items() if len(own) > 1}
    paths = [path for own in photos.values() for path in own]
    identities = np.repeat(np.arange(len(photos)), [len(own) for own in photos.values()])
    sources = [_components(kind, paths, decoded) for kind in recipe.textures]
    textures, histograms = [model for model, _ in sources], [found for _, found in sources]
    groups = BACKBONES[recipe.backbone].groups

    def finished(model: tf.keras.Model) -> tf.keras.Model:
        embedding = models.embedding_model(model)
        # Under a name of its own: `embedding_model` of the result is to be the result.
        embedding = tf.keras.Model(embedding.inputs, embedding.outputs[0], name="trained_embedding")
        if recipe.mirror:
            embedding = models.mirror_averaged(embedding, groups)
        if recipe.back_end != "plda":
            return embedding
        found = [embed(embedding, decoded.of(paths)), *histograms]
        sizes = [found[0].shape[1] // groups] * groups + [own.shape[1] for own in histograms]
        parts = np.split(unit_length(np.hstack(found)), np.cumsum(sizes)[:-1], axis=1)
        # Each source's people and photos differ in their own way: one back-end for all would need far more
        # people than there are to learn how the sources depend on one another.
        projections = [fit_plda(part, identities).projection() for part in parts]
        biases, matrices = zip(*projections, strict=True)
        if textures:
            embedding = models.side_by_side([embedding, *textures])
        return models.projected(embedding, np.concatenate(biases), block_diag(*matrices))

    return finished


def _components(kind: str, paths: Sequence[str], decoded: DecodedPhotos) -> tuple[tf.keras.Model, np.ndarray]:
    """A texture's principal components, their deviations drawn closer to one another, of unit length.

    Returns:
        The texture's model, and what it gives for the photos.
    """
    texture = models.texture_histograms(kind)
    known = np.zeros(len(paths), bool)
    # Evenly from all people: they come person by person.
    known[np.linspace(0, len(paths) - 1, min(len(paths), _MOST_PHOTOS)).astype(int)] = True
    histograms = unit_length(embed(texture, decoded.of(list(compress(paths, known)))))
    count = min(_COMPONENTS, len(histograms) - 1, histograms.shape[1])
    pca = PCA(count, svd_solver="randomized", iterated_power=3, random_state=0).fit(histograms)
    # Divided by the deviation to the power of 1/4; of copies of a photo it is 0 but for rounding.
    matrix = pca.components_.T / np.maximum(pca.explained_variance_, _ROUNDING) ** 0.125
    bias = -pca.mean_ @ matrix
    model = models.projected(texture, bias, matrix)
    found = np.empty((len(paths), count), np.float32)
    found[known] = unit_length(histograms @ matrix + bias)
    if not known.all():
        found[~known] = embed(model, decoded.of(list(compress(paths, ~known))))
    return model, found
