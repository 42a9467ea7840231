"""A recipe: everything that decides a training, as plain data."""

import math
from dataclasses import asdict, dataclass, replace
from functools import partial

import tensorflow as tf

from .. import losses, models
from ..datasets import Pairs, split_by_letter, split_identities
from ..datasets.images import check_image_options

_BACKBONES = ("report_cnn", "koch_cnn")
_MODELS = {
    "l1_sigmoid": models.l1_sigmoid,
    "euclidean_contrastive": models.euclidean_contrastive,
    "cosine_embedding": models.cosine_embedding,
    "decision_network": models.decision_network,
    "decision_network_2": partial(models.decision_network, neurons=2),
}
_OPTIMIZERS = {
    "adam": tf.keras.optimizers.Adam,
    "rmsprop": tf.keras.optimizers.RMSprop,
    "sgd": tf.keras.optimizers.SGD,
}
_SPLITS = ("identities", "report")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training but its photos. The defaults are the report's experiment 5.1, without its leak.

    Args:
        model: the Siamese model, which brings its loss: `"l1_sigmoid"` and `"decision_network"` (binary cross-entropy),
            `"decision_network_2"` (two neurons, cross-entropy), `"euclidean_contrastive"` or `"cosine_embedding"`.
        margin: of the contrastive loss (the report's is 1), or of the cosine embedding loss.
        backbone: `"report_cnn"` or `"koch_cnn"`.
        filters, units, initializer, drop_rate, last_pooling: of `models.report_cnn`; `koch_cnn` has its own.
        image_size: height and width of the images, in pixels.
        crop: height and width of the middle part of the photos to use, in pixels; `None` uses all.
        channels: 1 for grey, 3 for RGB.
        batch_size: pairs a step.
        optimizer: `"adam"`, `"rmsprop"` or `"sgd"`, with Keras's settings.
        learning_rate: its learning rate.
        epochs: the most epochs to train.
        patience: epochs without a better validation loss after which training stops.
        split: `"identities"`: nobody is on both sides. `"report"`: the report's letter split, which leaks people.
        letters: first letters of the validation people, of the split by identities.
        seed: of weights, order and split.

    Raises:
        ValueError: on an unknown option.
    """

    model: str = "l1_sigmoid"
    margin: float = 1.0
    backbone: str = "report_cnn"
    filters: int = 8
    units: int = 2048
    initializer: str = "normal"
    drop_rate: float | None = None
    last_pooling: bool = False
    image_size: tuple[int, int] = (125, 125)
    crop: tuple[int, int] | None = None
    channels: int = 1
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    epochs: int = 100
    patience: int = 3
    split: str = "identities"
    letters: str = "ABCDE"
    seed: int = 0

    def __post_init__(self):
        for name, known in (
            ("model", tuple(_MODELS)),
            ("backbone", _BACKBONES),
            ("optimizer", tuple(_OPTIMIZERS)),
            ("split", _SPLITS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {known}. Received: {name}={getattr(self, name)!r}")
        for name, least in (
            ("filters", 1),
            ("units", 1),
            ("batch_size", 1),
            ("epochs", 1),
            ("patience", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value < 2**32:
                raise ValueError(
                    f"`{name}` must be a whole number of at least {least}. Received: {name}={value!r}"
                )
        if not (0 < self.learning_rate < math.inf):
            raise ValueError(
                f"`learning_rate` must be positive. Received: learning_rate={self.learning_rate}"
            )
        check_image_options(self.image_size, self.crop, self.channels)
        for name in ("image_size", "crop"):  # a list when it comes from JSON
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))

    def as_dict(self) -> dict:
        """Returns the fields, ready for JSON; `Recipe(**fields)` is the recipe again."""
        return asdict(self)

    def split_pairs(self, pairs: Pairs, *, exclude: Pairs | None = None) -> tuple[Pairs, Pairs]:
        """Splits `pairs` into training and validation as `split` says; see the functions of `datasets`."""
        if self.split == "report":
            return split_by_letter(pairs)
        return split_identities(pairs, letters=self.letters, seed=self.seed, exclude=exclude)

    def build_model(self) -> tf.keras.Model:
        """Returns the model, new and compiled. Its weights depend on TensorFlow's global seed."""
        input_shape = (*self.image_size, self.channels)
        if self.backbone == "koch_cnn":
            backbone = models.koch_cnn(input_shape)
        else:
            backbone = models.report_cnn(
                input_shape,
                filters=self.filters,
                units=self.units,
                initializer=self.initializer,
                drop_rate=self.drop_rate,
                last_pooling=self.last_pooling,
            )
        model = _MODELS[self.model](backbone)
        optimizer = _OPTIMIZERS[self.optimizer](self.learning_rate)
        loss, metrics = self._loss_and_metrics()
        model.compile(optimizer, loss=loss, metrics=metrics)
        return model

    @property
    def fixed_threshold(self) -> float | None:
        """The score from which on a pair counts as same without a look at data; none for cosines."""
        return {"euclidean_contrastive": -self.margin / 2, "cosine_embedding": None}.get(self.model, 0.5)

    def _loss_and_metrics(self) -> tuple[str | tf.keras.losses.Loss, list]:
        if self.model == "euclidean_contrastive":
            # The report's equation 1 has the halves.
            metric = models.DistanceAccuracy(self.margin / 2)
            return losses.ContrastiveLoss(self.margin, scale=0.5), [metric]
        if self.model == "cosine_embedding":
            return losses.CosineEmbeddingLoss(self.margin), []
        if self.model == "decision_network_2":
            return "sparse_categorical_crossentropy", ["accuracy"]
        return "binary_crossentropy", ["accuracy"]


REPORT_EXPERIMENTS = {
    "5.1": Recipe(split="report"),
    "5.1-256": Recipe(split="report", units=256),
    "7.1": Recipe(split="report", model="euclidean_contrastive"),
    "7.1-256": Recipe(split="report", model="euclidean_contrastive", units=256),
}
"""The report's experiments by the numbers of its tables; `-256`: with the 256 units that its weight files really hold."""

_SMALL = Recipe(image_size=(80, 80), units=256, initializer="he_normal", epochs=15)

RECIPES = {
    "l1_sigmoid": _SMALL,
    "euclidean_contrastive": replace(_SMALL, model="euclidean_contrastive"),
    "cosine_embedding": replace(_SMALL, model="cosine_embedding", margin=0.3),
    "decision_network": replace(_SMALL, model="decision_network"),
    "decision_network_2": replace(_SMALL, model="decision_network_2"),
}
"""Recipes by name, small enough to learn the drawn faces in about a minute on two cores."""
