"""A recipe: everything that decides a training, as plain data."""

import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from numbers import Real

import tensorflow as tf

from .. import losses, models
from ..datasets import Augmentation, Pairs, split_by_letter, split_identities
from ..datasets.photo_format import PhotoFormat
from ..models.pretrained import networks
from .precision import built_in

_OWN_BACKBONES = ("report_cnn", "koch_cnn", "face_cnn", "face_patches")
_PAIR_MODELS = {
    "l1_sigmoid": models.l1_sigmoid,
    "euclidean_contrastive": models.euclidean_contrastive,
    "cosine_embedding": models.cosine_embedding,
    "cosine_sigmoid": models.cosine_sigmoid,
    "decision_network": models.decision_network,
    "decision_network_2": partial(models.decision_network, neurons=2),
}
_BY_COSINE = ("cosine_embedding", "cosine_sigmoid")
_TRIPLETS = {
    "triplet_semi_hard": losses.TripletSemiHardLoss,
    "triplet_hard": losses.TripletHardLoss,
    "triplet": losses.TripletLoss,
    "circle": losses.CircleLoss,
    "harmonic": losses.HarmonicTripletLoss,
}
_CLASSIFIERS = {
    "softmax": None,
    "cosface": losses.CosFaceLoss,
    "arcface": losses.ArcFaceLoss,
    "sphereface": losses.SphereFaceLoss,
}
_CHOICES = {
    "model": (*_PAIR_MODELS, *_TRIPLETS, *_CLASSIFIERS),
    "backbone": (*_OWN_BACKBONES, *networks()),
    "features": ("convolutional", "linear"),
    "trainable": ("all", "upper_half", "none"),
    "optimizer": ("adam", "rmsprop", "sgd"),
    "schedule": ("constant", "cosine"),
    "back_end": ("cosine", "plda"),
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "monitor": ("val_loss", "val_eer", "val_auc"),
    "split": ("identities", "report"),
}
_OPTIMIZERS = {
    "adam": tf.keras.optimizers.Adam,
    "rmsprop": tf.keras.optimizers.RMSprop,
    "sgd": tf.keras.optimizers.SGD,
}
_WHOLE = {
    "filters": 1,
    "units": 1,
    "embedding_size": 1,
    "batch_size": 1,
    "identities_per_batch": 1,
    "images_per_identity": 2,
    "most_per_identity": 1,
    "epochs": 1,
    "patience": 1,
    "seed": 0,
}
_SHARED = (
    *("backbone", "filters", "units", "kernel_sizes", "initializer", "drop_rate", "last_pooling"),
    *("weights", "mean_face", "precision"),
    *("image_size", "crop", "channels", "split", "letters", "seed"),
)
_NUMBERS = {
    "learning_rate": ("positive", lambda value: value > 0),
    "scale": ("positive", lambda value: value > 0),
    "margin": ("at least 0", lambda value: value >= 0),
    "weight_decay": ("at least 0, or None", lambda value: value >= 0),
    "drop_rate": ("in [0.1, 1), or None", lambda value: 0.1 <= value < 1),
}
_OPTIONAL = ("embedding_size", "most_per_identity", "weight_decay", "drop_rate")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training but its photos. The defaults are the report's experiment 5.1, without its leak.

    Args:
        model: what is learnt, which brings its loss. From pairs: `"l1_sigmoid"`, `"cosine_sigmoid"` and `"decision_network"` (binary
            cross-entropy), `"decision_network_2"` (two neurons, cross-entropy), `"euclidean_contrastive"` or `"cosine_embedding"`.
            An embedding from triplets, in squared distance: `"triplet_semi_hard"` and `"triplet_hard"`, which find them in the batch, or
            `"triplet"`, whose negatives are drawn from those that violate the margin; or `"circle"`, by cosines; or `"harmonic"`, a new
            network beside the frozen one of `pretraining`, whose embeddings stay comparable. An embedding from telling people
            apart: `"softmax"`, `"cosface"`, `"arcface"` or `"sphereface"`.
        margin: of the loss; the report's contrastive loss has 1. Without effect where the loss has none.
        scale: of the cosines in CosFace, ArcFace and SphereFace.
        backbone: `"report_cnn"`, `"koch_cnn"`, `"face_cnn"`, `"face_patches"`, or the name of a network of `models.pretrained`.
        filters, units, kernel_sizes, initializer, drop_rate, last_pooling: of `models.report_cnn`; the others have their
            own.
        weights: of a network of `models.pretrained`: `"imagenet"`, a path, or `None`.
        trainable: which part of such a network, or of that of `pretraining`, is trained: `"all"`, `"upper_half"` or
            `"none"`.
        features: of the decision networks, see `models.decision_network`.
        embedding_size: of the models from triplets, see `models.triplet_embedding`.
        mean_face: whether to subtract the training photos' mean face, inside the model.
        pretraining: the recipe of a training that comes first; this one goes on with its embedding. Backbone, images, split and seed
            are this recipe's, whatever it says.
        image_size: height and width of the images, in pixels.
        crop: height and width of the middle part of the photos to use, in pixels; `None` uses all.
        channels: 1 for grey, 3 for RGB.
        augmentation: how the training photos are changed at random; `None` takes them as they are. Both photos of a pair are
            changed, each in its own way.
        batch_size: pairs, photos or chosen triplets a step.
        identities_per_batch, images_per_identity: of the batches in which triplets are found, see
            `datasets.identity_dataset`.
        most_per_identity: the most photos of one person in an epoch of a classifier; `None` takes all.
        optimizer: `"adam"`, `"rmsprop"` or `"sgd"`, with Keras's settings.
        learning_rate: its learning rate.
        weight_decay: the part of each weight that a step of learning rate 1 takes away, apart from the gradient's: with
            `"adam"` this is AdamW. `None` takes nothing away.
        schedule: `"constant"`, or `"cosine"`: a tenth of the learning rate in the first epoch, then all of it, going down to nearly
            0 in the last of `epochs` along a cosine.
        epochs: the most epochs to train.
        patience: epochs without improvement after which training stops.
        monitor: what must improve: `"val_loss"`, which only models of pairs have, `"val_eer"` or `"val_auc"`, of the validation
            pairs.
        mirror: whether the finished embedding is that of the photo and that of its mirror image, averaged. Only for models that
            compare by cosine: all but `"l1_sigmoid"`, `"euclidean_contrastive"` and the decision networks.
        back_end: how finished embeddings are compared: by `"cosine"` as they are, or after `"plda"`, which is fitted to the
            training people (see `evaluation.fit_plda`). Only for models that learn from people.
        precision: of the computation, `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"` (with loss scaling); weights and scores are
            float32 in any case. `fastest_precision` says what suits this machine.
        split: `"identities"`: nobody is on both sides. `"report"`: the report's letter split, which leaks people.
        letters: first letters of the validation people, of the split by identities.
        seed: of weights, order and split.

    Raises:
        ValueError: on an unknown option, or options that contradict each other.
    """

    model: str = "l1_sigmoid"
    margin: float = 1.0
    scale: float = 16.0
    backbone: str = "report_cnn"
    filters: int = 8
    units: int = 2048
    kernel_sizes: tuple[int, int, int, int] = (10, 7, 4, 4)
    initializer: str = "normal"
    drop_rate: float | None = None
    last_pooling: bool = False
    weights: str | None = None
    trainable: str = "all"
    features: str = "convolutional"
    embedding_size: int | None = 128
    mean_face: bool = False
    pretraining: "Recipe | None" = None
    image_size: tuple[int, int] = (125, 125)
    crop: tuple[int, int] | None = None
    channels: int = 1
    augmentation: Augmentation | None = None
    batch_size: int = 128
    identities_per_batch: int = 16
    images_per_identity: int = 4
    most_per_identity: int | None = None
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float | None = None
    schedule: str = "constant"
    epochs: int = 100
    patience: int = 3
    monitor: str = "val_loss"
    mirror: bool = False
    back_end: str = "cosine"
    precision: str = "float32"
    split: str = "identities"
    letters: str = "ABCDE"
    seed: int = 0

    def __post_init__(self):
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {known}. Received: {name}={getattr(self, name)!r}")
        for name in ("last_pooling", "mean_face", "mirror"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"`{name}` must be True or False. Received: {name}={getattr(self, name)!r}")
        for name, least in _WHOLE.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if type(value) is not int or not least <= value < 2**32:
                raise ValueError(
                    f"`{name}` must be a whole number of at least {least} and below 2**32. Received: {name}={value!r}"
                )
        for name, (words, fits) in _NUMBERS.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if isinstance(value, bool) or not (
                isinstance(value, Real) and math.isfinite(value) and fits(value)
            ):
                raise ValueError(f"`{name}` must be a number, {words}. Received: {name}={value!r}")
        _ = self.photo_format  # which refuses what it can't be
        sizes = self.kernel_sizes
        if (
            not isinstance(sizes, (tuple, list))
            or [type(size) is int and size >= 1 for size in sizes] != [True] * 4
        ):
            raise ValueError(
                f"`kernel_sizes` must be four whole numbers of at least 1. Received: kernel_sizes={sizes!r}"
            )
        for name in ("image_size", "crop", "kernel_sizes"):  # a list when it comes from JSON
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.monitor == "val_loss" and self.kind != "pairs":
            raise ValueError(
                f'`monitor` must be "val_eer" or "val_auc" where the model is {self.model!r}: it has no loss on the '
                "validation pairs. Received: monitor='val_loss'"
            )
        if isinstance(self.augmentation, dict):
            try:
                object.__setattr__(self, "augmentation", Augmentation(**self.augmentation))
            except TypeError as error:
                raise ValueError(
                    f"`augmentation` must hold fields of `Augmentation`: {error}. Received: {self.augmentation}"
                ) from error
        if not isinstance(self.augmentation, Augmentation | None):
            raise ValueError(
                f"`augmentation` must be a `datasets.Augmentation`, or None. Received: augmentation={self.augmentation!r}"
            )
        if isinstance(self.pretraining, dict):
            object.__setattr__(self, "pretraining", Recipe(**self.pretraining))
        if not isinstance(self.pretraining, Recipe | None):
            raise ValueError(
                f"`pretraining` must be a recipe, or None. Received: pretraining={self.pretraining!r}"
            )
        if self.pretraining is not None:
            own = {name: getattr(self, name) for name in _SHARED}
            object.__setattr__(self, "pretraining", replace(self.pretraining, **own))
        self._require_sense()

    def _require_sense(self) -> None:
        if self.model == "harmonic" and (self.pretraining is None or self.mean_face):
            raise ValueError(
                'Where the model is "harmonic", `pretraining` must be a recipe, which makes the old network, and `mean_face` '
                f"False. Received: pretraining={self.pretraining}, mean_face={self.mean_face}"
            )
        if self.mirror and self.kind == "pairs" and self.model not in _BY_COSINE:
            raise ValueError(
                f"`mirror` must be False where the model is {self.model!r}, which doesn't compare by cosine. "
                "Received: mirror=True"
            )
        if self.model == "softmax" and self._groups > 1:
            raise ValueError(
                f"`model` must be a margin-softmax, which has a head for each patch, or none with classes, where the backbone is "
                f"{self.backbone!r}. Received: model='softmax'"
            )
        if self.back_end == "plda" and self.kind == "pairs":
            raise ValueError(
                f'`back_end` must be "cosine" where the model is {self.model!r}, which learns from pairs and knows no '
                "people. Received: back_end='plda'"
            )
        if self.trainable == "all":
            return
        if self.pretraining is None and self.backbone in _OWN_BACKBONES:
            raise ValueError(
                f'`trainable` must be "all" where {self.backbone} begins at random. '
                f"Received: trainable={self.trainable!r}"
            )
        if self.trainable == "none" and self.kind in ("groups", "triplets") and self.embedding_size is None:
            raise ValueError(
                '`embedding_size` must be a number where `trainable` is "none": nothing else is left to train. '
                "Received: embedding_size=None"
            )

    @property
    def photo_format(self) -> PhotoFormat:
        """As what the photos are decoded."""
        return PhotoFormat(self.image_size, self.crop, self.channels)

    @property
    def kind(self) -> str:
        """From what the model learns: `"pairs"`, `"groups"` of photos of a person, `"triplets"` or `"classes"`."""
        if self.model in _PAIR_MODELS:
            return "pairs"
        if self.model in _CLASSIFIERS:
            return "classes"
        return "triplets" if self.model == "triplet" else "groups"

    @property
    def _groups(self) -> int:
        """Into how many parts of the embedding, that learn each on its own, a classifier parts it."""
        return len(models.FACE_PATCHES) if self.backbone == "face_patches" else 1

    @property
    def finishes(self) -> bool:
        """Whether the trained embedding becomes another before it is measured and used."""
        return self.mirror or self.back_end != "cosine"

    @property
    def fixed_threshold(self) -> float | None:
        """The score from which on a pair counts as same without a look at data; none for cosines."""
        if self.model == "euclidean_contrastive":
            return -self.margin / 2
        return None if self.kind != "pairs" or self.model == "cosine_embedding" or self.finishes else 0.5

    def as_dict(self) -> dict:
        """Returns the fields, ready for JSON; `Recipe(**fields)` is the recipe again."""
        return asdict(self)

    def learning_rate_at(self, epoch: int) -> float:
        """Returns the learning rate of an epoch, which are counted from 0."""
        if self.schedule == "constant":
            return self.learning_rate
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
            return self._build_backbone()

    def _build_backbone(self) -> tf.keras.Model:
        input_shape = (*self.image_size, self.channels)
        if self.backbone == "report_cnn":
            return models.report_cnn(
                input_shape,
                filters=self.filters,
                units=self.units,
                kernel_sizes=self.kernel_sizes,
                initializer=self.initializer,
                drop_rate=self.drop_rate,
                last_pooling=self.last_pooling,
            )
        if self.backbone == "koch_cnn":
            return models.koch_cnn(input_shape)
        if self.backbone == "face_cnn":
            return models.face_cnn(input_shape)
        if self.backbone == "face_patches":
            return models.face_patches(input_shape)
        return models.pretrained(self.backbone, input_shape, weights=self.weights, trainable=self.trainable)

    def build_model(
        self, backbone: tf.keras.Model | None = None, *, n_classes: int | None = None
    ) -> tf.keras.Model:
        """Returns the model, new and compiled. Its weights depend on TensorFlow's global seed.

        Args:
            backbone: what to build it over; `None` makes the recipe's. Where the model is "harmonic" it is the old network.
            n_classes: people to tell apart, for a classifier.
        """
        with built_in(self.precision):
            return self._build_model(backbone, n_classes)

    def _build_model(self, backbone: tf.keras.Model | None, n_classes: int | None) -> tf.keras.Model:
        old = None
        if self.model == "harmonic":
            old, backbone = models.triplet_embedding(backbone, None), None
        backbone = self.build_backbone() if backbone is None else backbone
        if self.kind == "pairs":
            options = {"features": self.features} if self.model.startswith("decision_network") else {}
            model = _PAIR_MODELS[self.model](backbone, **options)
        elif self.kind == "classes":
            head = "softmax" if self.model == "softmax" else "cosine"
            model = models.classifier(backbone, n_classes, head=head, groups=self._groups)
        else:
            model = models.triplet_embedding(backbone, self.embedding_size)
            if self.kind == "triplets":
                model = models.explicit_triplets(model)
            elif old is not None:
                model = models.harmonic_embedding(old, model)
        self.compile(model)
        return model

    def compile(self, model: tf.keras.Model) -> None:
        """Gives a model of this recipe, such as one that was loaded, its optimizer, loss and metrics."""
        with built_in(self.precision):
            loss, metrics = self._loss_and_metrics()
            optimizer = _OPTIMIZERS[self.optimizer](self.learning_rate_at(0), weight_decay=self.weight_decay)
            model.compile(optimizer, loss=loss, metrics=metrics)

    def _loss_and_metrics(self) -> tuple[str | tf.keras.losses.Loss, list]:
        if self.kind == "classes":
            if self.model == "softmax":
                return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"]
            metrics = ["accuracy"] if self._groups == 1 else []  # which group's would it be?
            return _CLASSIFIERS[self.model](self.scale, self.margin), metrics
        if self.kind == "triplets":
            return losses.TripletLoss(self.margin), []
        if self.model == "circle":
            return losses.CircleLoss(margin=self.margin), []
        if self.model == "harmonic":
            return losses.HarmonicTripletLoss(self.margin), []
        if self.kind == "groups":
            squared = {"distance_metric": "squared-L2"}
            monitors = [
                losses.ActiveTriplets(self.margin, **squared),
                losses.PositiveDistance(**squared),
                losses.NegativeDistance(**squared),
            ]
            return _TRIPLETS[self.model](self.margin, **squared), monitors
        if self.model == "euclidean_contrastive":
            # The report's equation 1 has the halves.
            metric = models.DistanceAccuracy(self.margin / 2)
            return losses.ContrastiveLoss(self.margin, scale=0.5), [metric]
        if self.model == "cosine_embedding":
            return losses.CosineEmbeddingLoss(self.margin), []
        if self.model == "decision_network_2":
            return "sparse_categorical_crossentropy", ["accuracy"]
        return "binary_crossentropy", ["accuracy"]
