"""From a trained network to the embedding that is measured and used."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from .. import models
from ..datasets import DecodedPhotos
from ..evaluation import embed, fit_plda
from ..evaluation.vectors import unit_length
from ..recipes.recipe import Recipe


def finish(
    model: tf.keras.Model, recipe: Recipe, photos: Mapping[str, Sequence[str]], decoded: DecodedPhotos
) -> tf.keras.Model:
    """Makes of a trained model the embedding that its recipe's `mirror` and `back_end` ask for.

    Args:
        model: the trained model.
        recipe: its recipe.
        photos: the photos that it learnt from, person by person; the back-end
            is fitted to them, and to nothing else.
        decoded: the same photos, among others, as the recipe wants them decoded.

    Returns:
        A model from one image to its embedding, of unit length.

    Raises:
        ValueError: if the back-end can't be fitted to these photos.
    """
    embedding = models.embedding_model(model)
    # Under a name of its own: `embedding_model` of the result is to be the result.
    embedding = tf.keras.Model(embedding.inputs, embedding.outputs[0], name="trained_embedding")
    if recipe.mirror:
        embedding = models.mirror_averaged(embedding)
    if recipe.back_end == "plda":
        paths = [path for own in photos.values() for path in own]
        embeddings = unit_length(embed(embedding, decoded.of(paths)))
        identities = np.repeat(np.arange(len(photos)), [len(own) for own in photos.values()]).tolist()
        embedding = models.projected(embedding, *fit_plda(embeddings, identities).projection())
    return embedding
