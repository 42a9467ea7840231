"""A recipe: everything that decides a training, as plain data."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from ..datasets import Augmentation, Pairs, split_by_letter, split_identities
from ..datasets.photo_format import PhotoFormat
from ..models.backbones import INITIALIZERS
from ..models.patches import from_patches
from ..models.pretrained import TRAINABLE
from ..models.siamese import FEATURES, LINEAR_UNITS
from ..models.textures import TEXTURE_SIZE, TEXTURES
from .backbones import BACKBONES
from .constraints import (
    PRECISIONS,
    SPLITS,
    Constraint,
    at_least,
    check_fields,
    constraints,
    number,
    one_of,
    that,
    whole_numbers,
)
from .objectives import OBJECTIVES
from .precision import built_in

_OPTIMIZERS = {
    "adam": tf.keras.optimizers.Adam,
    "rmsprop": tf.keras.optimizers.RMSprop,
    "sgd": tf.keras.optimizers.SGD,
}
_WIDEST = 2**28  # of layers; the last convolution has 8 times the `filters`, and TensorFlow counts to 2**31


def _are_weights(value: object) -> bool:
    return value == "imagenet" or (isinstance(value, str) and value.endswith(".h5") and Path(value).is_file())


def _are_letters(value: object) -> bool:
    return isinstance(value, str) and value.isalpha()


def _are_textures(value: object) -> bool:
    if not isinstance(value, tuple) or any(part not in tuple(TEXTURES) for part in value):
        return False
    return len(set(value)) == len(value)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training, except its photos.

    The defaults are experiment 5.1 of the report, without its leak. A recipe refuses at once a value that no
    training could use. It takes NumPy's numbers, too, and keeps them as Python's.

    Args:
        model: what is learnt; it decides the loss. `recipes/objectives.py` has a row for each. A model learns
            from pairs, such as `"l1_sigmoid"`; or it learns an embedding from batches of people, such as
            `"triplet_semi_hard"`, from chosen triplets, `"triplet"`, or by telling people apart, such as
            `"cosface"`. `"harmonic"` trains a new network beside the frozen one of `pretraining`, so that
            their embeddings can be compared. `"distilled"` learns the embedding of `teacher`, photo by photo.
        margin: margin of the loss, which is 1 in the report's contrastive loss. Some losses have none.
        scale: factor of the cosines in CosFace, ArcFace and SphereFace.
        backbone: a row of `recipes/backbones.py`, such as `"report_cnn"`, or the name of a network of
            `models.pretrained`.
        filters, units, kernel_sizes, initializer, drop_rate, drop_after, last_pooling: arguments of
            `models.report_cnn`. They play no part in other backbones.
        weights: initial weights of a network of `models.pretrained`: `"imagenet"`, a path, or `None`.
        trainable: which part of such a network, or of that of `pretraining`, is trained: `"all"`,
            `"upper_half"` or `"none"`.
        features: argument of the decision networks, see `models.decision_network`.
        embedding_size: argument of the models that learn from triplets or a teacher, see
            `models.triplet_embedding`.
        mean_face: whether the model subtracts the mean face of the training photos.
        pretraining: recipe of a training that comes first. This one goes on with its embedding. Backbone,
            images, split and seed are always those of this recipe.
        teacher: recipe of another training that comes first, for `"distilled"` alone: this one learns what
            its finished embedding, compared by cosine, says of each training photo; see
            `training.teacher.targets`. Precision, split, letters and seed are always those of this recipe.
        image_size: height and width of the images, in pixels.
        crop: height and width of the middle part of the photos to use, in pixels; `None` uses all.
        channels: 1 for grey, 3 for RGB.
        augmentation: how the training photos are changed at random; `None` takes them as they are. Both
            photos of a pair are changed, each in its own way.
        batch_size: pairs, photos or chosen triplets in a step.
        whole_batches: only for models that learn from pairs: whether pairs that don't fill a whole batch are
            left out, as in the report's code. They are other pairs in each epoch. This holds for training
            and for the validation loss; scores are always of all pairs.
        identities_per_batch, images_per_identity: people in a batch in which triplets are found, and photos
            of each, see `datasets.identity_dataset`.
        most_per_identity: at most so many photos of one person in an epoch of a classifier or of what has a
            teacher; `None` takes all.
        optimizer: `"adam"`, `"rmsprop"` or `"sgd"`, with Keras's settings.
        learning_rate: learning rate of the optimizer.
        weight_decay: the part of each weight that a step takes away at a learning rate of 1, beside the
            gradient. With `"adam"` this is AdamW. `None` takes nothing away.
        schedule: `"constant"`, or `"cosine"`: a tenth of the learning rate in the first epoch, then all of
            it, which falls along a cosine to nearly 0 in the last of `epochs`.
        epochs: at most so many epochs.
        patience: the training stops after so many epochs without improvement.
        monitor: what must improve on the validation pairs: `"val_loss"`, which only models that learn from
            pairs have, `"val_eer"` or `"val_auc"`.
        mirror: whether the finished embedding is the average of the photo's and of its mirror image's. Only
            for models that compare by cosine: all but `"l1_sigmoid"`, `"euclidean_contrastive"` and the
            decision networks.
        back_end: how finished embeddings are compared: by `"cosine"` as they are, or after `"plda"`, which is
            fitted to the training people (see `evaluation.fit_plda`). Only for models that learn from people.
        textures: textures of the photo that join the network's embedding in the back-end, `"lbp"`, `"lpq"` or
            both; see `models.texture_histograms`. Only with `"plda"` and grey images of 192 x 168 pixels.
        precision: precision of the computation: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"` (with
            loss scaling). Weights and scores are always float32. `fastest_precision` says what suits this
            machine.
        split: `"identities"`: nobody is on both sides. `"report"`: the report's letter split, which leaks
            people.
        letters: first letters of the validation people in the split by identities.
        seed: seed of weights, order and split.

    Raises:
        ValueError: if a value can't be right, by itself, for the loss, for the backbone, or beside the other
            fields. It names the field.

    Example:
        >>> recipe = Recipe(model="circle", margin=0.4, monitor="val_auc", epochs=30)
        >>> recipe.kind
        'groups'
        >>> Recipe(model="circle", monitor="val_auc")
        Traceback (most recent call last):
        ValueError: `margin` must lie in [0, 1). Received: margin=1.0, where the model is 'circle'
    """

    model: str = one_of(*OBJECTIVES, default="l1_sigmoid")
    margin: float = number("at least 0", lambda margin: margin >= 0, default=1.0)
    scale: float = number("positive", lambda scale: scale > 0, default=16.0)
    backbone: str = one_of(*BACKBONES, default="report_cnn", shared=True)
    filters: int = at_least(1, default=8, below=_WIDEST, shared=True)
    units: int = at_least(1, default=2048, below=_WIDEST, shared=True)
    kernel_sizes: tuple[int, int, int, int] = whole_numbers(
        "four whole numbers", default=(10, 7, 4, 4), parts=4, shared=True
    )
    initializer: str = one_of(*INITIALIZERS, default="normal", shared=True)
    drop_rate: float | None = number(
        "in [0.1, 1)", lambda rate: 0.1 <= rate < 1, default=None, or_none=True, shared=True
    )
    drop_after: int | None = at_least(1, default=None, below=5, or_none=True, shared=True)
    last_pooling: bool = one_of(False, True, default=False, shared=True)
    weights: str | None = that(
        '"imagenet" or the path of an .h5 file that exists',
        _are_weights,
        default=None,
        or_none=True,
        shared=True,
    )
    trainable: str = one_of(*TRAINABLE, default="all")
    features: str = one_of(*FEATURES, default="convolutional")
    embedding_size: int | None = at_least(1, default=128, below=_WIDEST, or_none=True)
    mean_face: bool = one_of(False, True, default=False, shared=True)
    pretraining: "Recipe | None" = None
    teacher: "Recipe | None" = None
    image_size: tuple[int, int] = whole_numbers(
        "(height, width), whole numbers", default=(125, 125), parts=2, shared=True
    )
    crop: tuple[int, int] | None = whole_numbers(
        "(height, width), whole numbers", default=None, parts=2, or_none=True, shared=True
    )
    channels: int = one_of(1, 3, default=1, shared=True)
    augmentation: Augmentation | None = None
    batch_size: int = at_least(1, default=128)
    whole_batches: bool = one_of(False, True, default=False)
    identities_per_batch: int = at_least(2, default=16)
    images_per_identity: int = at_least(2, default=4)
    most_per_identity: int | None = at_least(1, default=None, or_none=True)
    optimizer: str = one_of(*_OPTIMIZERS, default="adam")
    learning_rate: float = number("positive", lambda rate: rate > 0, default=1e-3)
    weight_decay: float | None = number("at least 0", lambda decay: decay >= 0, default=None, or_none=True)
    schedule: str = one_of("constant", "cosine", default="constant")
    epochs: int = at_least(1, default=100)
    patience: int = at_least(1, default=3)
    monitor: str = one_of("val_loss", "val_eer", "val_auc", default="val_loss")
    mirror: bool = one_of(False, True, default=False)
    back_end: str = one_of("cosine", "plda", default="cosine")
    textures: tuple[str, ...] = that(f"some of {tuple(TEXTURES)}, each once", _are_textures, default=())
    precision: str = one_of(*PRECISIONS, default="float32", shared=True)
    split: str = one_of(*SPLITS, default="identities", shared=True)
    letters: str = that('letters such as "ABCDE"', _are_letters, default="ABCDE", shared=True)
    seed: int = at_least(0, default=0, shared=True)

    def __post_init__(self):
        check_fields(self)
        kinds = {"augmentation": Augmentation, "pretraining": Recipe, "teacher": Recipe}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if isinstance(value, dict):  # from JSON
                try:
                    value = kind(**value)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"`{name}`: {error}") from error
            if value is not None and not isinstance(value, kind):
                raise ValueError(f"`{name}` must be a `{kind.__name__}`, or None. Received: {name}={value!r}")
            object.__setattr__(self, name, value)
        self._require_sense()
        for name, fields in SHARED.items():
            if (before := getattr(self, name)) is not None:
                try:
                    before = replace(before, **{field: getattr(self, field) for field in fields})
                except ValueError as error:
                    raise ValueError(f"`{name}`, with what it takes over from this: {error}") from error
                object.__setattr__(self, name, before)
        if OBJECTIVES[self.model].keeps_old:
            self._require_width(self.pretraining._width())

    def _require_sense(self) -> None:
        """Checks the fields with one another; what the loss and the backbone refuse is refused here, too."""
        objective, backbone = OBJECTIVES[self.model], BACKBONES[self.backbone]
        pairs, old = objective.learns_from == "pairs", objective.keeps_old
        fresh = backbone.at_random and (self.pretraining is None or old)
        learns = objective.has_weights(self) or self.trainable != "none"
        model, network = f"where the model is {self.model!r}", f"where the backbone is {self.backbone!r}"
        at_random = f"{network}, which begins at random"
        self._require("monitor", pairs or self.monitor != "val_loss", f'"val_eer" or "val_auc" {model}')
        self._require("whole_batches", pairs or not self.whole_batches, f"False {model}")
        self._require("drop_after", self.drop_rate or not self.drop_after, "None where `drop_rate` is None")
        self._require("pretraining", self.pretraining or not old, f"a recipe {model}, for the old network")
        self._require("mean_face", not (old and self.mean_face), f"False {model}")
        if objective.learns_from == "teacher":
            by_cosine = self.teacher is not None and OBJECTIVES[self.teacher.model].by_cosine
            self._require("teacher", by_cosine, f"a recipe that compares by cosine, {model}")
            self._require("pretraining", self.pretraining is None, f"None {model}: the `teacher` comes first")
        else:
            self._require("teacher", self.teacher is None, f"None {model}, which has none")
        self._require(
            "mirror",
            objective.by_cosine or not self.mirror,
            f"False {model}, which doesn't compare by cosine",
        )
        self._require(
            "back_end", not pairs or self.back_end == "cosine", f'"cosine" {model}, which knows no people'
        )
        self._require(
            "textures", not self.textures or self.back_end == "plda", "() where the back-end is 'cosine'"
        )
        suit = self.image_size == TEXTURE_SIZE and self.channels == 1
        self._require(
            *("textures", not self.textures or suit),
            f"() unless `channels` is 1 and `image_size` {TEXTURE_SIZE}, as in face-fusion",
        )
        self._require("model", objective.in_groups or backbone.groups == 1, f"one with more heads {network}")
        self._require("weights", not (backbone.at_random and self.weights), f"None {at_random}")
        self._require("trainable", self.trainable == "all" or not fresh, f'"all" {at_random}')
        size = "" if pairs else " and `embedding_size` None"
        self._require("trainable", learns, f'"all" or "upper_half" {model}{size}: nothing else learns')
        try:
            objective.loss(self)
        except ValueError as error:
            raise ValueError(f"{error}, {model}") from error
        try:
            backbone.require_room(self, (*self.image_size, self.channels))
        except ValueError as error:
            raise ValueError(f"`image_size` must suit the backbone {self.backbone!r}. {error}") from error

    def _require(self, name: str, holds: Any, rule: str) -> None:
        if not holds:
            value = getattr(self, name)
            received = f"a recipe of {value.model!r}" if isinstance(value, Recipe) else f"{name}={value!r}"
            raise ValueError(f"`{name}` must be {rule}. Received: {received}")

    def _require_width(self, old: int | None) -> None:
        new = self.embedding_size
        if old != new:
            old, new = (width or self.build_backbone().output_shape[-1] for width in (old, new))
            self._require("embedding_size", old == new, f"that of the old network, {old}")

    def _width(self) -> int | None:
        """The embedding's size; `None` for that of the backbone."""
        if self.kind in ("groups", "triplets", "teacher") and self.embedding_size is not None:
            return self.embedding_size
        if self.model.startswith("decision_network") and self.features == "linear":
            return LINEAR_UNITS
        return (
            None
            if self.pretraining is None or OBJECTIVES[self.model].keeps_old
            else self.pretraining._width()
        )

    @property
    def photo_format(self) -> PhotoFormat:
        """As what the photos are decoded."""
        return PhotoFormat(self.image_size, self.crop, self.channels)

    @property
    def kind(self) -> str:
        """From what the model learns; see `Objective`."""
        return OBJECTIVES[self.model].learns_from

    @property
    def before(self) -> "Recipe | None":
        """What is trained before this recipe: its `pretraining` or its `teacher`."""
        return self.pretraining or self.teacher

    @property
    def finishes(self) -> bool:
        """Whether the trained embedding becomes another before it is measured and used."""
        return self.mirror or self.back_end != "cosine"

    @property
    def fixed_threshold(self) -> float | None:
        """The score from which on a pair counts as same without a look at data; none for cosines."""
        threshold = OBJECTIVES[self.model].fixed_threshold
        return None if threshold is None or self.finishes else threshold(self)

    def as_dict(self) -> dict:
        """Returns the fields, ready for JSON; `Recipe(**fields)` is the recipe again."""
        return asdict(self)

    def learning_rate_at(self, epoch: int) -> float:
        """Returns the learning rate of an epoch, which are counted from 0."""
        if self.schedule == "constant":
            return float(self.learning_rate)
        if epoch == 0:
            return self.learning_rate / 10
        part = (epoch - 0.5) / max(self.epochs - 1, 1)  # the middle of the epoch
        return self.learning_rate * (1 + math.cos(math.pi * part)) / 2

    def split_pairs(self, pairs: Pairs, *, exclude: Pairs | None = None) -> tuple[Pairs, Pairs]:
        """Splits `pairs` into training and validation as `split` says; see the functions of `datasets`."""
        if self.split == "report":
            return split_by_letter(pairs)
        return split_identities(pairs, letters=self.letters, seed=self.seed, exclude=exclude)

    def build_backbone(self) -> tf.keras.Model:
        """Returns the backbone, new. Its weights depend on TensorFlow's global seed."""
        with built_in(self.precision):
            return BACKBONES[self.backbone].build(self, (*self.image_size, self.channels))

    def build_model(
        self, backbone: tf.keras.Model | None = None, *, n_classes: int | None = None
    ) -> tf.keras.Model:
        """Returns the model, new and compiled. Its weights depend on TensorFlow's global seed.

        Over `face_patches` it takes the photos' patches, as vectors of `models.PhotoPatches`, so that each
        patch may change on its own. Its `models.embedding_model` takes photos, as every other.

        Args:
            backbone: what to build it over; `None` makes the recipe's. Where the model is "harmonic" it is
                the old network.
            n_classes: people to tell apart, for a classifier.
        """
        objective = OBJECTIVES[self.model]
        if backbone is None and not objective.keeps_old:
            backbone = self.build_backbone()
        with built_in(self.precision):
            model = objective.build(self, backbone and from_patches(backbone), n_classes)
        self.compile(model)
        return model

    def compile(self, model: tf.keras.Model) -> None:
        """Gives a model of this recipe, such as one that was loaded, its optimizer, loss and metrics."""
        objective = OBJECTIVES[self.model]
        with built_in(self.precision):
            optimizer = _OPTIMIZERS[self.optimizer](self.learning_rate_at(0), weight_decay=self.weight_decay)
            model.compile(optimizer, loss=objective.loss(self), metrics=objective.metrics(self))


CONSTRAINTS: dict[str, Constraint] = constraints(Recipe)
"""What each field of a recipe may hold; of a field that has few values, all of them (`choices`)."""

SHARED = {
    "pretraining": [name for name, constraint in CONSTRAINTS.items() if constraint.shared],
    "teacher": ["precision", "split", "letters", "seed"],
}
"""The fields that a recipe of a training that comes first takes over."""
