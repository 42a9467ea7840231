"""Anybody's embedding: a network from photos to vectors, and what one must know to use it."""

import json
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets.photo_format import PhotoFormat, checked_size
from ..evaluation.comparison import Comparison, Cosine, Euclidean
from ..faces import ARCFACE, Frame
from ..files import digest as file_digest

if TYPE_CHECKING:
    from .keras_network import KerasNetwork

Images = np.ndarray
_METRICS: dict[str, Comparison] = {"cosine": Cosine(), "euclidean": Euclidean()}
_LEARNT = "learnt"
_COLOURS = ("rgb", "bgr")
_PROBE_SEED, _PROBES = 0, 4
_MOST_PIXELS = 4096  # a side of what a network sees
_LEAST, _MOST = 1e-15, 1e15  # of a vector's largest number: float32 can't hold squares far beyond


@dataclass(frozen=True, eq=False)
class Embedding:
    """A network from photos to vectors, and what must be known to use it.

    Make one of your own function with these arguments. `of_onnx`, `arcface`, `of_keras` and `of_run` make one
    of a file.

    Args:
        function: from uint8 images `(n, height, width, channels)`, RGB or grey, in [0, 255], to `(n, d)`
            finite numbers. It gets at most `batch_size` images at a time.
        image_size: height and width of its images, in pixels.
        name: name of the network: its import path, or a name and version. Galleries and verifiers of an
            embedding with another name are refused.
        channels: 1 for grey, 3 for RGB.
        metric: how its vectors are compared: `"cosine"`, `"euclidean"`, or an `evaluation.Comparison`, such
            as the one that a pair model has learnt.
        frame: where eyes, nose and mouth must be in its images, before `crop`. With `None` it takes photos as
            they are.
        crop: height and width of the middle part of the photos that it sees, in pixels of `photo_size`.
        photo_size: height and width of the photos for which `crop` was chosen.
        batch_size: number of images at a time.
        trained_on: names of the people it was trained on, as far as they are known.
        source: what `Verifier.save` writes of it. It is set by `of_onnx` and the like, and not by you.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> def mean_colours(images):
        ...     return images.mean(axis=(1, 2)) + 1
        >>> embedding = Embedding(mean_colours, image_size=(32, 32), name="mean colours, 1")
        >>> embedding(np.zeros((5, 32, 32, 3), np.uint8)).shape
        (5, 3)
    """

    function: Callable[[Images], Any] = field(repr=False)
    image_size: tuple[int, int]
    name: str
    channels: int = 3
    metric: str | Comparison = "cosine"
    frame: Frame | None = None
    crop: tuple[int, int] | None = None
    photo_size: tuple[int, int] | None = None
    batch_size: int = 64
    trained_on: Collection[str] = ()
    source: dict[str, Any] = field(default_factory=lambda: {"kind": "function"}, repr=False)

    def __post_init__(self):
        if not callable(self.function):
            raise ValueError(
                "`function` must be a function from images to vectors. Received: "
                f"{type(self.function).__name__}"
            )
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"`name` must say which network it is. Received: name={self.name!r}")
        compares = all(callable(getattr(self.metric, part, None)) for part in ("prepare", "pairs", "blocks"))
        if self.metric not in list(_METRICS) and (isinstance(self.metric, type) or not compares):
            raise ValueError(
                f"`metric` must be one of {tuple(_METRICS)}, or an `evaluation.Comparison`. Received: "
                f"metric={self.metric!r}"
            )
        for name, comparison in _METRICS.items():
            if self.metric == comparison:
                object.__setattr__(self, "metric", name)
        if not isinstance(self.frame, Frame | None):
            raise ValueError(f"`frame` must be a `faces.Frame`, or None. Received: frame={self.frame!r}")
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ValueError(
                f"`batch_size` must be a whole number of at least 1. Received: batch_size={self.batch_size!r}"
            )
        named = isinstance(self.trained_on, Collection) and not isinstance(self.trained_on, str | bytes)
        if not named or not all(isinstance(name, str) for name in self.trained_on):
            raise ValueError(f"`trained_on` must be several names. Received: {self.trained_on!r:.200}")
        if self.photo_size is not None:
            object.__setattr__(self, "photo_size", checked_size("photo_size", self.photo_size))
        object.__setattr__(self, "image_size", self.photo_format.size)
        if max(self.image_size) > _MOST_PIXELS:
            raise ValueError(
                f"`image_size` must be of at most {_MOST_PIXELS} pixels a side. Received: {self.image_size}"
            )

    @property
    def photo_format(self) -> PhotoFormat:
        """As what photos are decoded for it."""
        return PhotoFormat(self.image_size, self.crop, self.channels)

    @property
    def comparison(self) -> Comparison:
        """How its vectors are compared."""
        return _METRICS[self.metric] if isinstance(self.metric, str) else self.metric

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides what it makes of a photo, and of what it makes of the probe, in short.

        The probe's vectors are summed up in eight numbers of two digits. Those of another network are others,
        whatever its name; the last digits, in which two machines differ, are not among them.
        """
        kept = {name: value for name, value in self.as_dict().items() if name != "batch_size"}
        vectors = self.probe().astype(np.float64)
        sums = vectors @ np.cos(np.outer(np.arange(vectors.shape[1]), (1, 2)))
        kept["probe"] = [f"{number:.1e}" for number in sums.ravel()]
        return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Returns all but the function, ready for JSON."""
        names = ("image_size", "name", "channels", "crop", "photo_size", "batch_size")
        return {
            **{name: getattr(self, name) for name in names},
            "source": {name: value for name, value in self.source.items() if name not in ("model", "file")},
            "metric": self.metric if isinstance(self.metric, str) else _LEARNT,
            "frame": self.frame and {"points": self.frame.points, "size": self.frame.size},
        }

    def __call__(self, images: Images) -> np.ndarray:
        """Sends images through the network, some at a time.

        Args:
            images: uint8 `(n, height, width, channels)` in [0, 255], n at least 1.

        Returns:
            `(n, d)` float32.

        Raises:
            ValueError: if the images are of another kind, or the function fails, or gives anything but a
                vector of finite numbers for each, of one size, neither tiny nor huge.
        """
        shape = self.photo_format.shape
        known = isinstance(images, np.ndarray)
        if not known or images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
            raise ValueError(
                f"`images` must be uint8, (n, {', '.join(map(str, shape))}), of at least one image. "
                f"Received: {f'{images.dtype} {images.shape}' if known else type(images).__name__}"
            )
        found: list[np.ndarray] = []
        for start in range(0, len(images), self.batch_size):
            # Code in C often takes no other arrays.
            batch = np.ascontiguousarray(images[start : start + self.batch_size])
            found.append(self._vectors(batch))
            if found[-1].shape[1] != found[0].shape[1]:
                raise ValueError(
                    f"{self.name} must give vectors of one size. Received: {found[0].shape[1]} numbers for "
                    f"some images, and {found[-1].shape[1]} for others"
                )
        return np.concatenate(found)

    def _vectors(self, batch: Images) -> np.ndarray:
        """Checks what the function gives for a batch; see `__call__`."""
        try:
            vectors = np.asarray(self.function(batch))
        except Exception as error:  # of whatever kind: it is somebody else's code
            raise ValueError(
                f"{self.name} failed for {len(batch)} images, uint8 {batch.shape}. Received from it: "
                f"{type(error).__name__}: {error}"
            ) from error
        if vectors.ndim != 2 or len(vectors) != len(batch) or vectors.dtype.kind not in "fiu":
            raise ValueError(
                f"{self.name} must give ({len(batch)}, d) numbers for {len(batch)} images. Received: "
                f"{vectors.dtype} {vectors.shape}"
            )
        if not vectors.shape[1]:
            raise ValueError(f"{self.name} must give vectors of at least one number. Received: of none")
        if not np.isfinite(vectors).all():
            raise ValueError(f"{self.name} must give finite numbers. Received: some that are not")
        largest = np.abs(vectors).max(axis=1)
        odd = largest[(largest > _MOST) | ((largest < _LEAST) & (largest > 0))]
        if len(odd):
            raise ValueError(
                f"{self.name} must give vectors whose largest number is from {_LEAST:g} to {_MOST:g}, or 0: "
                f"others can't be compared in float32. Received: {odd[0]:.3g}. Scale them, or see whether "
                "`mean` and `std` are those of the network's training"
            )
        return vectors.astype(np.float32, copy=False)

    def require_photos_alone(self) -> None:
        """Raises a `ValueError` if the vector of a photo depends on those that go in with it."""
        together, alone = self.probe(), self.probe(batch_size=1)
        if not np.allclose(together, alone, rtol=0, atol=0.01 * np.abs(together).max()):
            raise ValueError(
                f"{self.name} must give a photo the same vector alone and among others. Received another: "
                "leave out what it computes over the whole batch, such as its mean"
            )

    def probe(self, batch_size: int = 4) -> np.ndarray:
        """Returns the vectors of four images that are always the same: by them another network is told."""
        rng = np.random.default_rng(_PROBE_SEED)
        height, width = self.image_size
        coarse = rng.integers(0, 256, (_PROBES, 8, 8, self.channels), np.uint8)
        rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
        images = coarse[:, rows][:, :, columns]
        return np.concatenate([self(images[i : i + batch_size]) for i in range(0, _PROBES, batch_size)])

    @classmethod
    def of_onnx(
        cls,
        path: str | os.PathLike,
        *,
        mean: float | tuple[float, float, float] = 0.0,
        std: float | tuple[float, float, float] = 1.0,
        colours: str = "rgb",
        image_size: tuple[int, int] | None = None,
        output: str | int = 0,
        **more: Any,
    ) -> "Embedding":
        """Makes an embedding of an ONNX file, which ONNX Runtime computes (extra `onnx`).

        The layout (`NCHW` or `NHWC`) and the channels are the file's. Each pixel goes in as float32
        `(pixel - mean) / std`.

        Args:
            path: the file.
            mean, std: of pixels in [0, 255], one number or one a channel, in the order of `colours`.
            colours: the order of the channels that the network wants, `"rgb"` or `"bgr"`.
            image_size: height and width, where the file leaves them open.
            output: the output that is the embedding, by name or number.
            more: `name`, `metric`, `frame`, `crop`, `photo_size`, `batch_size` and `trained_on`.

        Raises:
            FileNotFoundError: if there is no such file.
            ImportError: if the extra is not installed.
            ValueError: if the file is damaged or no network from images to vectors, or an argument is out of
                range.
        """
        from .onnx_network import OnnxNetwork

        if colours not in _COLOURS:
            raise ValueError(f"`colours` must be one of {_COLOURS}. Received: colours={colours!r}")
        network = OnnxNetwork(path, image_size, output)
        means, stds = _per_channel(mean, std, network.channels)

        def function(images: Images) -> np.ndarray:
            pixels = images[..., ::-1] if colours == "bgr" else images
            return network((pixels - means) / stds)

        source = {"kind": "onnx", "file": str(path), "sha256": file_digest(path), "colours": colours}
        source |= {"mean": means.tolist(), "std": stds.tolist(), "output": network.output}
        more = {"batch_size": network.batch_size or 64, **more}
        more = {"name": Path(path).name, **more}
        return cls(function, network.image_size, channels=network.channels, source=source, **more)

    @classmethod
    def arcface(cls, path: str | os.PathLike, **more: Any) -> "Embedding":
        """Makes an embedding of an ONNX file of InsightFace's ArcFace family, as `w600k_r50.onnx`.

        Aligned to 112 x 112 by five points, RGB, pixels as `(pixel - 127.5) / 127.5`, compared by cosine.

        Args:
            path: the file.
            more: as for `of_onnx`.
        """
        return cls.of_onnx(path, **{"mean": 127.5, "std": 127.5, "frame": ARCFACE, **more})

    @classmethod
    def of_litert(
        cls,
        path: str | os.PathLike,
        *,
        mean: float | tuple[float, float, float] = 0.0,
        std: float | tuple[float, float, float] = 255.0,
        **more: Any,
    ) -> "Embedding":
        """Makes an embedding of a LiteRT file (`.tflite`), which LiteRT computes (extra `litert`).

        Args:
            path: the file, of a network from batches of images `(n, height, width, 1 or 3)` to vectors.
            mean, std, more: as for `of_keras`.

        Raises:
            FileNotFoundError: if there is no such file.
            ImportError: if the extra is not installed.
            ValueError: if the file is damaged or no network from images to vectors, or an argument is out of
                range.
        """
        from .litert_network import LitertNetwork

        network = LitertNetwork(path)
        source = {"kind": "litert", "file": str(path), "sha256": file_digest(path)}
        more = {"name": Path(path).name, **more}
        return cls._of_network(network, (*network.image_size, network.channels), source, mean, std, **more)

    @classmethod
    def of_keras(
        cls,
        model: Any,
        *,
        mean: float | tuple[float, float, float] = 0.0,
        std: float | tuple[float, float, float] = 255.0,
        **more: Any,
    ) -> "Embedding":
        """Makes an embedding of a Keras model, or of a `.keras` file, which is loaded without running code.

        Args:
            model: with one input `(height, width, 1 or 3)` and one output, a vector; or one of this package,
                of which a pair model brings its own comparison; or the path of its file.
            mean, std: of pixels in [0, 255], one number or one a channel; what goes in is `(pixel - mean) /
                std`, by default from 0 to 1.
            more: `name`, `metric`, `frame`, `crop`, `photo_size`, `batch_size` and `trained_on`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is damaged or could run code, or the model is of another kind.
        """
        from .keras_network import KerasNetwork, LearntComparison

        network = KerasNetwork(model)
        if len(network.model.inputs) == 2:
            more = {"metric": LearntComparison(network.model), **more}
        return cls._of_keras(network, mean, std, **more)

    @classmethod
    def of_saved_model(
        cls,
        path: str | os.PathLike,
        *,
        mean: float | tuple[float, float, float] = 0.0,
        std: float | tuple[float, float, float] = 255.0,
        **more: Any,
    ) -> "Embedding":
        """Makes an embedding of the folder of a SavedModel, by its signature `serving_default`.

        A SavedModel is a program, which may read and write files: load none that you would not run. So a
        verifier keeps no copy of it. Give `Embedding.of_saved_model(path).function` to `Verifier.load`.

        Args:
            path: the folder; the signature takes images `(n, height, width, 1 or 3)` and gives one vector
                each.
            mean, std, more: as for `of_keras`.

        Raises:
            FileNotFoundError: if there is no such folder.
            ValueError: if the signature is another.
        """
        from .keras_network import SavedNetwork

        network = SavedNetwork(path)
        more = {"name": f"{Path(path).name} {network.digest[:12]}", **more}
        return cls._of_network(network, network.shape, {"kind": "function"}, mean, std, **more)

    @classmethod
    def _of_keras(cls, network: "KerasNetwork", mean: Any, std: Any, **more: Any) -> "Embedding":
        source = {"kind": "keras", "model": network.model, "sha256": network.digest}
        return cls._of_network(network, network.shape, source, mean, std, **{"name": network.name, **more})

    @classmethod
    def _of_network(
        cls,
        network: Callable[[Images], np.ndarray],
        shape: tuple[int, int, int],
        source: dict[str, Any],
        mean: Any,
        std: Any,
        **more: Any,
    ) -> "Embedding":
        """Makes an embedding of a network of images of this shape, each pixel as `(pixel - mean) / std`."""
        height, width, channels = shape
        means, stds = _per_channel(mean, std, channels)
        source = {**source, "mean": means.tolist(), "std": stds.tolist()}

        def function(images: Images) -> np.ndarray:
            return network((images - means) / stds)

        return cls(function, (height, width), channels=channels, source=source, **more)

    @classmethod
    def of_run(cls, run_dir: str | os.PathLike) -> "Embedding":
        """Makes an embedding of the folder of a run, as `training.train` leaves it, with its crop.

        Raises:
            FileNotFoundError: if a part of it is missing.
            ValueError: if a part is damaged or could run code, or the model is another than the one that the
                run's threshold was chosen for.
        """
        from ..runs.folder import VERIFIER, read_verifier_settings
        from .keras_network import KerasNetwork, LearntComparison

        settings = read_verifier_settings(run_dir)
        path = Path(run_dir) / settings["model"]
        network = KerasNetwork(path)
        if (found := file_digest(path)) != settings["model_sha256"]:
            raise ValueError(
                f"{path} is not the model that the threshold in {VERIFIER} was chosen for: its SHA-256 is "
                f"{found[:12]} instead of {settings['model_sha256'][:12]}. If a training has gone on since, "
                "the same `siamese-nn train` command ends it and chooses anew. Else bring the model back, or "
                "train the run again"
            )
        known = {name: settings[name] for name in ("crop", "photo_size")}
        known["frame"] = Frame(**settings["frame"]) if settings.get("frame") else None
        known["trained_on"] = settings["people"]["trained_on"]
        # Learnt or not: galleries of runs hold features as they come, of any length.
        return cls._of_keras(network, 0.0, 255.0, metric=LearntComparison(network.model), **known)


def _per_channel(mean: Any, std: Any, channels: int) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for name, value in (("mean", mean), ("std", std)):
        try:
            numbers = np.asarray(value)
        except ValueError:  # lists of other lengths within a list
            numbers = np.asarray(None)
        one_each = numbers.dtype.kind in "fiu" and numbers.shape in ((), (channels,))
        if not one_each or not np.isfinite(numbers).all():
            raise ValueError(
                f"`{name}` must be a number, or one for each of {channels} channels. Received: "
                f"{name}={value!r}"
            )
        found.append(numbers.astype(np.float32))
    if not np.all(found[1]):
        raise ValueError(f"`std` must not be 0. Received: std={std!r}")
    return found[0], found[1]
