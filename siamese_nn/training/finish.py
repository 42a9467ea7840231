"""From a trained network to the embedding that is measured and used."""

from collections.abc import Mapping, Sequence

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


def finish(
    model: tf.keras.Model, recipe: Recipe, photos: Mapping[str, Sequence[str]], decoded: DecodedPhotos
) -> tf.keras.Model:
    """Makes of a trained model the embedding that its recipe's `mirror` and `back_end` ask for.

    Args:
        model: the trained model.
        recipe: its recipe.
        photos: the photos that it learnt from, person by person; the back-end is fitted to them, and to
            nothing else. With a teacher, those of people with one photo are left out.
        decoded: the same photos, among others, as the recipe wants them decoded.

    Returns:
        A model from one image to its embedding, of unit length.

    Raises:
        ValueError: if the back-end can't be fitted to these photos.
    """
    embedding = models.embedding_model(model)
    # Under a name of its own: `embedding_model` of the result is to be the result.
    embedding = tf.keras.Model(embedding.inputs, embedding.outputs[0], name="trained_embedding")
    groups = BACKBONES[recipe.backbone].groups
    if recipe.mirror:
        embedding = models.mirror_averaged(embedding, groups)
    if recipe.back_end == "plda":
        if recipe.kind == "teacher":  # on validation people this was better in each of four trainings
            photos = {name: own for name, own in photos.items() if len(own) > 1}
        paths = [path for own in photos.values() for path in own]
        identities = np.repeat(np.arange(len(photos)), [len(own) for own in photos.values()])
        sizes = [embedding.output_shape[-1] // groups] * groups
        if recipe.textures:
            # Evenly from all people: they come person by person.
            some = np.linspace(0, len(paths) - 1, min(len(paths), _MOST_PHOTOS)).astype(int)
            known = decoded.of([paths[i] for i in some])
            components = [_components(kind, known) for kind in recipe.textures]
            sizes += [model.output_shape[-1] for model in components]
            embedding = models.side_by_side([embedding, *components])
        embeddings = unit_length(embed(embedding, decoded.of(paths)))
        # Each source's people and photos differ in their own way: one back-end for all would need far more
        # people than there are to learn how the sources depend on one another.
        parts = np.split(embeddings, np.cumsum(sizes)[:-1], axis=1)
        projections = [fit_plda(part, identities).projection() for part in parts]
        biases, matrices = zip(*projections, strict=True)
        embedding = models.projected(embedding, np.concatenate(biases), block_diag(*matrices))
    return embedding


def _components(kind: str, photos: DecodedPhotos) -> tf.keras.Model:
    """A texture's principal components, their deviations drawn closer to one another, of unit length."""
    texture = models.texture_histograms(kind)
    histograms = unit_length(embed(texture, photos))
    count = min(_COMPONENTS, len(histograms) - 1, histograms.shape[1])
    pca = PCA(count, svd_solver="randomized", iterated_power=3, random_state=0).fit(histograms)
    # Divided by the deviation to the power of 1/4; of copies of a photo it is 0 but for rounding.
    matrix = pca.components_.T / np.maximum(pca.explained_variance_, _ROUNDING) ** 0.125
    return models.projected(texture, -pca.mean_ @ matrix, matrix)
