"""Siamese models: one tower for both images, and a comparison of what it finds.

Each pair model is made of two named sub-models, so that an image needs to go through the tower only once however many
pairs it is in: `"tower"`, from an image to its features, and `"comparison"`, from two features to the output.
"""

import tensorflow as tf

from .layers import L1Distance


def l1_sigmoid(backbone: tf.keras.Model) -> tf.keras.Model:
    """The one-shot paper's Siamese model: a weighted L1 distance of the features, through a sigmoid.

    Args:
        backbone: a model from an image to a feature vector, such as `report_cnn`. Its weights are shared, not copied.

    Returns:
        An uncompiled functional model from `(left, right)` images to the probability that both show one person,
        float32 `(batch, 1)` under any policy. Made for binary cross-entropy.

    Raises:
        ValueError: if `backbone` has not one image as input and one feature vector as output.

    Example:
        >>> from siamese_nn import models
        >>> model = models.l1_sigmoid(models.report_cnn((125, 125, 1), filters=8, units=256))
        >>> model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        >>> model.output_shape
        (None, 1)

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015, section 3.1.
    """
    left, right = _feature_inputs(backbone)
    distance = L1Distance(name="l1_distance")([left, right])
    probability = tf.keras.layers.Dense(
        1,
        activation="sigmoid",
        bias_initializer=tf.keras.initializers.RandomNormal(0.5, 0.01),
        dtype="float32",
        name="same",
    )(distance)
    return _pair_model(backbone, tf.keras.Model([left, right], probability, name="comparison"), "l1_sigmoid")


def embedding_model(model: tf.keras.Model) -> tf.keras.Model:
    """Returns the shared tower of a Siamese model, from an image to its features; the weights are shared.

    Args:
        model: one of this package's models, also one that was loaded from a file.

    Raises:
        ValueError: if `model` has no such tower.
    """
    return _part(model, "tower")


def comparison_model(model: tf.keras.Model) -> tf.keras.Model:
    """Returns the part of a pair model that follows the tower, from two feature vectors to the output.

    Args:
        model: one of this package's pair models, also one that was loaded from a file.

    Raises:
        ValueError: if `model` has no such part.
    """
    return _part(model, "comparison")


def _part(model: tf.keras.Model, name: str) -> tf.keras.Model:
    for layer in model.layers:
        if layer.name == name:
            return layer
    raise ValueError(
        f"`model` must be a Siamese model of `siamese_nn.models`, which holds a layer named {name!r}. "
        f"Received: {model.name!r} with layers {[layer.name for layer in model.layers]}"
    )


def _feature_inputs(backbone: tf.keras.Model) -> tuple[tf.Tensor, tf.Tensor]:
    if len(backbone.inputs) != 1 or len(backbone.outputs) != 1 or len(backbone.output_shape) != 2:
        raise ValueError(
            "`backbone` must take one image and return one feature vector, (batch, features). Received: inputs "
            f"{backbone.input_shape}, outputs {backbone.output_shape}"
        )
    shape = backbone.output_shape[1:]
    return tf.keras.Input(shape, name="left_features"), tf.keras.Input(shape, name="right_features")


def _pair_model(backbone: tf.keras.Model, comparison: tf.keras.Model, name: str) -> tf.keras.Model:
    tower = tf.keras.Model(backbone.inputs, backbone.outputs[0], name="tower")
    left, right = (tf.keras.Input(backbone.input_shape[1:], name=side) for side in ("left", "right"))
    return tf.keras.Model([left, right], comparison([tower(left), tower(right)]), name=name)
