"""Keras callbacks that look at the embedding between epochs."""

import numpy as np
import tensorflow as tf

from ..datasets import DecodedPhotos, Pairs, PhotoFormat, sample_violating_triplets
from ..evaluation import compare, embed, verification_report
from ..models import embedding_model
from ..models.siamese import begins_at


class VerificationCallback(tf.keras.callbacks.Callback):
    """Measures verification on pairs after each epoch, also for models without a validation loss.

    It adds three figures to the epoch's logs, which `EarlyStopping` and `ModelCheckpoint` can monitor. So put
    it before them in the list. `val_eer` is the equal error rate, `val_auc` the area under the ROC curve.
    `val_verification_accuracy` is the best accuracy over all thresholds on these very pairs: it serves to
    compare epochs, and is no figure to report. All three are NaN if the model's scores are. Each photo is
    embedded once an epoch. It is decoded once, unless all photos take more than 4 GiB.

    Args:
        pairs: validation pairs, of people who are not in training.
        crop: height and width of the middle part of the photos to use, as in training; `None` uses all.
        batch_size: photos that the model sees at a time.
        photos: the pairs' photos, among others, where they are decoded already, with the crop that they were
            made with.

    Raises:
        ImageError: in `fit`, if a photo is missing or broken.
        ValueError: if an argument is out of range, or the pairs are all of one class; in
            `fit`, if the model takes no images of a fixed size.

    Example:
        >>> from siamese_nn import datasets, models
        >>> image = tf.keras.Input((8, 8, 1))
        >>> pixels = tf.keras.layers.Flatten()(image)
        >>> callback = VerificationCallback(datasets.read_pairs("faces/pairsDevTest.txt", "faces/lfw2"))
        >>> callback.set_model(models.cosine_embedding(tf.keras.Model(image, pixels)))
        >>> callback.on_train_begin()  # `fit` calls these
        >>> callback.on_epoch_end(0, logs := {})
        >>> sorted(logs)
        ['val_auc', 'val_eer', 'val_verification_accuracy']
    """

    def __init__(
        self,
        pairs: Pairs,
        *,
        crop: tuple[int, int] | None = None,
        batch_size: int = 128,
        photos: DecodedPhotos | None = None,
    ):
        super().__init__()
        if not isinstance(pairs, Pairs):
            raise ValueError(f"`pairs` must be a `Pairs`. Received: {type(pairs).__name__}")
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(
                f"`batch_size` must be a whole number of at least 1. Received: batch_size={batch_size!r}"
            )
        if not 0 < int(pairs.same.sum()) < len(pairs):
            raise ValueError(
                f"`pairs` must hold some of the same person and some of different people. Received: {pairs}"
            )
        if crop is not None and photos is not None:
            raise ValueError(
                "`crop` can't be given with `photos`, which are decoded already. "
                f"Received: {crop=}, {photos.photo_format}"
            )
        self.pairs, self.crop, self.batch_size, self.photos = pairs, crop, batch_size, photos

    def on_train_begin(self, logs: dict | None = None) -> None:
        embedding = embedding_model(self.model)
        # Made over photos, it is another each time, and would be traced anew in each epoch.
        self.tower = embedding if begins_at(self.model) else self.model
        shape = embedding.input_shape
        if len(shape) != 4 or None in shape[1:]:
            raise ValueError(
                "The model must take images, (batch, height, width, channels) of a fixed "
                f"size. Received: input shape {shape}"
            )
        _, height, width, channels = shape
        paths, self.where = self.pairs.distinct_images()
        photos = self.photos
        if photos is None:
            photos = DecodedPhotos(paths, PhotoFormat((height, width), self.crop, channels))
        self.images = photos.of(paths)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        embeddings = embed(self.tower, self.images, batch_size=self.batch_size)
        scores = compare(self.model, *(embeddings[side] for side in self.where.T), batch_size=self.batch_size)
        figures = dict.fromkeys(("val_eer", "val_auc", "val_verification_accuracy"), float("nan"))
        if np.isfinite(scores).all():
            report = verification_report(scores, self.pairs.same, threshold=0.0)
            figures = dict(zip(figures, (report.eer, report.auc, report.best_accuracy), strict=True))
        if logs is not None:
            logs.update(figures)


class CurrentEpoch(tf.keras.callbacks.Callback):
    """Knows the number of the epoch that is running, also in a training that goes on after a cut.

    Its attribute `number` is what `datasets.pipelines.pair_batches` takes: validation pairs that are drawn
    anew for each epoch depend on it, and not on how often somebody has looked at them.
    """

    def __init__(self):
        super().__init__()
        with tf.device("CPU"):
            self.number = tf.Variable(0, dtype=tf.int64, trainable=False)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.number.assign(epoch)


class ViolatingTriplets(tf.keras.callbacks.Callback):
    """Draws the triplets of each epoch from those that violate the margin, by the model as it is then.

    `datasets.triplet_dataset` takes its method `plan`. Put it after the callback that restores a killed
    training.

    Args:
        images: the training photos, uint8 `(n, height, width, channels)`, or as `DecodedPhotos`.
        identities: who is on them, `n` names or numbers.
        margin: margin of the loss.
        seed: seed of the draws.
        initial_epoch: the same as in `fit`.

    Raises:
        ValueError: if there are no triplets to draw; see `datasets.sample_violating_triplets`.

    Example:
        >>> images, people = np.zeros((4, 8, 8, 1), np.uint8), np.array(["Ada", "Ada", "Bob", "Bob"])
        >>> triplets = ViolatingTriplets(images, people, margin=0.2)
        >>> triplets.plan(0).shape  # one for each photo as the anchor
        (4, 3)
    """

    def __init__(
        self,
        images: np.ndarray | DecodedPhotos,
        identities: np.ndarray,
        *,
        margin: float,
        seed: int = 0,
        initial_epoch: int = 0,
    ):
        super().__init__()
        self.images, self.identities = images, identities
        self.margin, self.seed, self.initial_epoch = margin, seed, initial_epoch
        # Keras may look at a first batch before training begins; then all negatives are equally near.
        self._draw(np.zeros((len(images), 1)), initial_epoch)

    def plan(self, number: int) -> np.ndarray:
        """Returns the triplets of the epoch that now begins, `(m, 3)`."""
        return self.triplets

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._draw(embed(self.model, self.images), self.initial_epoch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        # Not when the next epoch begins: Keras 2 asks for its first batch before it says so.
        if not self.model.stop_training:
            self._draw(embed(self.model, self.images), epoch + 1)

    def _draw(self, embeddings: np.ndarray, epoch: int) -> None:
        self.triplets = sample_violating_triplets(
            embeddings, self.identities, margin=self.margin, seed=[self.seed, epoch]
        )
