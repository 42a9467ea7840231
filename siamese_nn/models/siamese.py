"""Siamese models: one tower for all images, and a comparison of its features.

Each pair model consists of two named sub-models: `"tower"`, from an image to its features, and
`"comparison"`, from two feature vectors to the output. So an image goes through the tower only once, however
many pairs contain it.
"""

import tensorflow as tf

from .layers import Cosine, CosineClassifier, EuclideanDistance, L1Distance, UnitLength
from .patches import PhotoPatches, over_photos, patches_at_start

FEATURES = ("convolutional", "linear")
LINEAR_UNITS = 256


def l1_sigmoid(backbone: tf.keras.Model) -> tf.keras.Model:
    """The one-shot paper's Siamese model: a weighted L1 distance of the features, with a sigmoid.

    Args:
        backbone: a model from an image to a feature vector, such as `report_cnn`. Its weights are shared, not
            copied.

    Returns:
        An uncompiled functional model from `(left, right)` images to the probability that both show one
        person, float32 `(batch, 1)` under any policy. Train it with binary cross-entropy.

    Raises:
        ValueError: if `backbone` has not one image as input and one feature vector as output.

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015, section 3.1.

    Example:
        >>> from siamese_nn import models
        >>> model = models.l1_sigmoid(models.report_cnn((125, 125, 1), filters=8, units=256))
        >>> model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        >>> model.output_shape
        (None, 1)
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


def euclidean_contrastive(backbone: tf.keras.Model) -> tf.keras.Model:
    """The Siamese model of the contrastive loss: the euclidean distance of the features.

    Args:
        backbone: a model from an image to a feature vector. Its weights are shared, not copied.

    Returns:
        An uncompiled functional model from `(left, right)` images to their distance, float32 `(batch, 1)`.
        Train it with `losses.ContrastiveLoss` and the metric `DistanceAccuracy`.

    Raises:
        ValueError: if `backbone` has not one image as input and one feature vector as output.

    Reference:
        Hadsell et al., "Dimensionality Reduction by Learning an Invariant Mapping", 2006.

    Example:
        >>> from siamese_nn import losses, models
        >>> model = euclidean_contrastive(models.face_cnn())
        >>> model.compile("adam", losses.ContrastiveLoss(margin=1.0), metrics=[models.DistanceAccuracy(0.5)])
        >>> model.output_shape
        (None, 1)
    """
    left, right = _feature_inputs(backbone)
    distance = EuclideanDistance(name="distance", dtype="float32")([left, right])
    return _pair_model(
        backbone, tf.keras.Model([left, right], distance, name="comparison"), "euclidean_contrastive"
    )


def cosine_embedding(backbone: tf.keras.Model) -> tf.keras.Model:
    """The Siamese model of the cosine embedding loss: the cosine similarity of the features.

    Args:
        backbone: a model from an image to a feature vector. Its weights are shared, not copied.

    Returns:
        An uncompiled functional model from `(left, right)` images to their cosine similarity, float32
        `(batch, 1)` in [-1, 1]. Train it with `losses.CosineEmbeddingLoss`.

    Raises:
        ValueError: if `backbone` has not one image as input and one feature vector as output.

    Example:
        >>> from siamese_nn import losses, models
        >>> model = cosine_embedding(models.face_cnn())
        >>> model.compile("adam", losses.CosineEmbeddingLoss(margin=0.2))
        >>> model.output_shape
        (None, 1)
    """
    left, right = _feature_inputs(backbone)
    cosine = Cosine(axes=1, name="cosine", dtype="float32")([left, right])
    return _pair_model(backbone, tf.keras.Model([left, right], cosine, name="comparison"), "cosine_embedding")


def cosine_sigmoid(backbone: tf.keras.Model) -> tf.keras.Model:
    """The Siamese model that turns the features' cosine similarity into a probability, sigmoid(a cosine + b).

    Args:
        backbone: a model from an image to a feature vector. Its weights are shared, not copied.

    Returns:
        An uncompiled functional model from `(left, right)` images to the probability that both show one
        person, float32 `(batch, 1)`. Slope and offset are learnt. They start at 8 and -2.4, which gives even
        odds at a cosine of 0.3. Train it with binary cross-entropy.

    Raises:
        ValueError: if `backbone` has not one image as input and one feature vector as output.

    Example:
        >>> from siamese_nn import models
        >>> model = cosine_sigmoid(models.face_cnn(embedding_size=2))
        >>> model.compile("adam", "binary_crossentropy")
        >>> left, right = tf.constant([[1.0, 0.0]]), tf.constant([[0.3, 0.954]])  # of a cosine of 0.3
        >>> round(float(comparison_model(model)([left, right])[0, 0]), 2)
        0.5
    """
    left, right = _feature_inputs(backbone)
    cosine = Cosine(axes=1, name="cosine", dtype="float32")([left, right])
    constant = tf.keras.initializers.Constant
    same = tf.keras.layers.Dense(
        1,
        activation="sigmoid",
        kernel_initializer=constant(8.0),
        bias_initializer=constant(-2.4),
        dtype="float32",
        name="same",
    )(cosine)
    return _pair_model(backbone, tf.keras.Model([left, right], same, name="comparison"), "cosine_sigmoid")


def decision_network(
    backbone: tf.keras.Model,
    *,
    neurons: int = 1,
    features: str = "convolutional",
    linear_units: int = LINEAR_UNITS,
    hidden_units: int = 512,
) -> tf.keras.Model:
    """The Siamese model that also learns the comparison: a small network on the concatenated features.

    It distinguishes left and right: unlike the other models, it may score a pair and the swapped pair
    differently. Without the hidden layer it could only add up a term for each side, which does not show
    whether both are alike.

    Args:
        backbone: a model from an image to a feature vector. Its weights are shared, not copied.
        neurons: 1, with a sigmoid for binary cross-entropy, or 2, with a softmax for sparse categorical
            cross-entropy.
        features: `"convolutional"`, the backbone's features, or `"linear"`, these features after a linear
            layer that is part of the tower.
        linear_units: the size of this layer.
        hidden_units: the size of the decision network's hidden layer, which uses ReLU.

    Returns:
        An uncompiled functional model from `(left, right)` images to the probability that both show one
        person, float32 `(batch, 1)`, or to the probabilities of different and of same, `(batch, 2)`.

    Raises:
        ValueError: if an option is unknown, or `backbone` has not one image as input and one feature vector
            as output.

    Reference:
        Zagoruyko and Komodakis, "Learning to Compare Image Patches via
        Convolutional Neural Networks", CVPR 2015, section 3.1.

    Example:
        >>> from siamese_nn import models
        >>> model = decision_network(models.face_cnn(), neurons=2)
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> model.output_shape
        (None, 2)
    """
    if neurons not in (1, 2):
        raise ValueError(f"`neurons` must be 1 or 2. Received: neurons={neurons}")
    if features not in FEATURES:
        raise ValueError(f"`features` must be one of {FEATURES}. Received: features={features!r}")
    if min(linear_units, hidden_units) < 1:
        raise ValueError(
            "`linear_units` and `hidden_units` must be at least 1. "
            f"Received: linear_units={linear_units}, hidden_units={hidden_units}"
        )
    if features == "linear":
        backbone = tf.keras.Model(backbone.inputs, tf.keras.layers.Dense(linear_units)(backbone.outputs[0]))
    left, right = _feature_inputs(backbone)
    both = tf.keras.layers.Concatenate()([left, right])
    hidden = tf.keras.layers.Dense(hidden_units, activation="relu", name="hidden")(both)
    activation = "sigmoid" if neurons == 1 else "softmax"
    decision = tf.keras.layers.Dense(neurons, activation=activation, dtype="float32", name="same")(hidden)
    return _pair_model(
        backbone, tf.keras.Model([left, right], decision, name="comparison"), "decision_network"
    )


def triplet_embedding(backbone: tf.keras.Model, embedding_size: int | None = 128) -> tf.keras.Model:
    """The model of the triplet losses: an embedding of unit length.

    Args:
        backbone: a model from an image to a feature vector. Its weights are shared, not copied.
        embedding_size: the size of the embedding, from a linear layer; `None` uses the backbone's features.

    Returns:
        An uncompiled functional model from images to embeddings, float32 `(batch, embedding_size)` of unit
        length. Train it with `losses.TripletSemiHardLoss` and similar losses, on batches of
        `datasets.identity_dataset`.

    Raises:
        ValueError: if `backbone` has not one image as input and one feature vector as output.

    Reference:
        Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015, section 3.

    Example:
        >>> from siamese_nn import losses, models
        >>> model = triplet_embedding(models.face_cnn(), embedding_size=64)
        >>> model.compile("adam", losses.TripletSemiHardLoss(margin=0.2, distance_metric="squared-L2"))
        >>> model.output_shape
        (None, 64)
    """
    _feature_inputs(backbone)
    image = tf.keras.Input(backbone.input_shape[1:], name="image")
    embedding = backbone(image)
    if embedding_size is not None:
        embedding = tf.keras.layers.Dense(embedding_size, name="projection")(embedding)
    unit = UnitLength(dtype="float32", name="unit_length")(embedding)
    return tf.keras.Model(image, unit, name="triplet_embedding")


def classifier(
    backbone: tf.keras.Model, n_classes: int, *, head: str = "cosine", groups: int = 1
) -> tf.keras.Model:
    """The model that classifies the training people. Without its head, its features distinguish other people.

    Args:
        backbone: a model from an image to a feature vector. Its weights are shared, not copied.
        n_classes: the number of people, at least 1.
        head: `"cosine"`, a `CosineClassifier` for `losses.CosFaceLoss` and similar losses, or `"softmax"`, a
            dense layer of logits for `SparseCategoricalCrossentropy(from_logits=True)`, as Parkhi's.
        groups: for the cosine head, the number of feature groups that learn separately, such as the patches
            of `face_patches`.

    Returns:
        An uncompiled functional model from images to cosines or logits, float32 `(batch, n_classes)`, or with
        groups `(batch, groups, n_classes)`; `embedding_model` removes the head.

    Raises:
        ValueError: if an option is unknown, or `backbone` has not one image as input and one feature vector
            as output.

    Reference:
        Parkhi et al., "Deep Face Recognition", BMVC 2015, section 4.1.

    Example:
        >>> from siamese_nn import models
        >>> model = classifier(models.face_cnn(), n_classes=500)
        >>> model.output_shape, embedding_model(model).output_shape
        ((None, 500), (None, 128))
    """
    if head not in ("cosine", "softmax"):
        raise ValueError(f'`head` must be "cosine" or "softmax". Received: head={head!r}')
    if n_classes < 1:
        raise ValueError(f"`n_classes` must be at least 1. Received: n_classes={n_classes}")
    _feature_inputs(backbone)
    tower = tf.keras.Model(backbone.inputs, backbone.outputs[0], name="tower")
    image = tf.keras.Input(backbone.input_shape[1:], name="image")
    layer = CosineClassifier(n_classes, groups=groups, name="classes")
    if head == "softmax":
        layer = tf.keras.layers.Dense(n_classes, dtype="float32", name="classes")
    return tf.keras.Model(image, layer(tower(image)), name="classifier")


def explicit_triplets(embedding: tf.keras.Model) -> tf.keras.Model:
    """Wraps an embedding model for training on given triplets.

    Args:
        embedding: a model from an image to an embedding, such as `triplet_embedding`. Its weights are shared.

    Returns:
        An uncompiled functional model from `(anchor, positive, negative)` images to their
        embeddings side by side, `(batch, 3 * embedding_size)`. Train it with `losses.TripletLoss`;
        `embedding_model` returns the embedding.

    Raises:
        ValueError: if `embedding` has not one image as input and one vector as output.

    Example:
        >>> from siamese_nn import losses, models
        >>> model = explicit_triplets(triplet_embedding(models.face_cnn(), embedding_size=64))
        >>> model.compile("adam", losses.TripletLoss(margin=0.2))
        >>> model.output_shape
        (None, 192)
    """
    _feature_inputs(embedding)
    tower = tf.keras.Model(embedding.inputs, embedding.outputs[0], name="tower")
    images = [
        tf.keras.Input(embedding.input_shape[1:], name=name) for name in ("anchor", "positive", "negative")
    ]
    side_by_side = tf.keras.layers.Concatenate(dtype="float32")([tower(image) for image in images])
    return tf.keras.Model(images, side_by_side, name="explicit_triplets")


def harmonic_embedding(old: tf.keras.Model, new: tf.keras.Model) -> tf.keras.Model:
    """Joins an embedding model in use and its successor, whose embeddings must stay comparable.

    Args:
        old: a model from an image to an embedding. It is frozen.
        new: another model with the same embedding size. Its weights are shared, not copied.

    Returns:
        An uncompiled functional model from images to both embeddings side by side, `(batch, 2 *
        embedding_size)`. Train it with `losses.HarmonicTripletLoss`, on batches of
        `datasets.identity_dataset`; `embedding_model` returns the new model.

    Raises:
        ValueError: if the two models differ in the size of image or embedding, or one is not an embedding
            model.

    Reference:
        Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015, section 6.1.

    Example:
        >>> from siamese_nn import losses, models
        >>> old, new = (triplet_embedding(models.face_cnn(), embedding_size=64) for _ in range(2))
        >>> model = harmonic_embedding(old, new)
        >>> model.compile("adam", losses.HarmonicTripletLoss(margin=0.2))
        >>> model.output_shape
        (None, 128)
    """
    for model in (old, new):
        _feature_inputs(model)
    if (old.input_shape, old.output_shape) != (new.input_shape, new.output_shape):
        raise ValueError(
            "`old` and `new` must be of the same image and embedding sizes. Received: "
            f"{old.input_shape} to {old.output_shape}, and {new.input_shape} to {new.output_shape}"
        )
    before = tf.keras.Model(old.inputs, old.outputs[0], name="old")
    before.trainable = False
    tower = tf.keras.Model(new.inputs, new.outputs[0], name="tower")
    image = tf.keras.Input(new.input_shape[1:], name="image")
    both = tf.keras.layers.Concatenate(dtype="float32")([before(image), tower(image)])
    return tf.keras.Model(image, both, name="harmonic_embedding")


def embedding_model(model: tf.keras.Model) -> tf.keras.Model:
    """Returns the shared tower of a Siamese model, from an image to its features; the weights are shared.

    Args:
        model: one of this package's models, which may be loaded from a file. A classifier loses its head;
            another model of one image is its own tower. One that was trained from patches takes photos.

    Returns:
        The tower.

    Raises:
        ValueError: if `model` has no tower.

    Example:
        >>> from siamese_nn import models
        >>> tower = embedding_model(l1_sigmoid(models.face_cnn()))
        >>> tower.input_shape, tower.output_shape
        ((None, 64, 56, 1), (None, 128))
    """
    tower = _tower(model)
    patches = patches_at_start(tower)
    return tower if patches is None else over_photos(tower, patches)


def begins_at(model: tf.keras.Model) -> PhotoPatches | None:
    """Returns the patches that a Siamese model takes instead of photos, `None` where it takes photos."""
    return patches_at_start(_tower(model))


def comparison_model(model: tf.keras.Model) -> tf.keras.Model:
    """Returns the part of a pair model that follows the tower, from two feature vectors to the output.

    Args:
        model: one of this package's pair models, which may be loaded from a file.

    Returns:
        The comparison.

    Raises:
        ValueError: if `model` has no comparison.

    Example:
        >>> from siamese_nn import models
        >>> model = l1_sigmoid(models.face_cnn())
        >>> comparison_model(model).input_shape
        [(None, 128), (None, 128)]
    """
    return _part(model, "comparison")


def _tower(model: tf.keras.Model) -> tf.keras.Model:
    if len(model.inputs) == 1 and all(layer.name != "tower" for layer in model.layers):
        return model
    return _part(model, "tower")


def _part(model: tf.keras.Model, name: str) -> tf.keras.Model:
    for layer in model.layers:
        if layer.name == name:
            return layer
    raise ValueError(
        f"`model` must be a Siamese model of `siamese_nn.models`, which holds a layer named {name!r}. "
        f"Received: {model.name!r} with layers {[layer.name for layer in model.layers]}"
    )


def _feature_inputs(backbone: tf.keras.Model) -> tuple[tf.Tensor, tf.Tensor]:
    if not isinstance(backbone, tf.keras.Model):
        raise ValueError(
            "`backbone` must be a Keras model from an image to a feature vector, such as "
            f"`models.report_cnn((80, 80, 1))`. Received: {backbone!r}"
        )
    if len(backbone.inputs) != 1 or len(backbone.outputs) != 1 or len(backbone.output_shape) != 2:
        raise ValueError(
            "`backbone` must take one image and return one feature vector, "
            f"(batch, features). Received: inputs {backbone.input_shape}, outputs {backbone.output_shape}"
        )
    shape = backbone.output_shape[1:]
    return tf.keras.Input(shape, name="left_features"), tf.keras.Input(shape, name="right_features")


def _pair_model(backbone: tf.keras.Model, comparison: tf.keras.Model, name: str) -> tf.keras.Model:
    tower = tf.keras.Model(backbone.inputs, backbone.outputs[0], name="tower")
    left, right = (tf.keras.Input(backbone.input_shape[1:], name=side) for side in ("left", "right"))
    return tf.keras.Model([left, right], comparison([tower(left), tower(right)]), name=name)
