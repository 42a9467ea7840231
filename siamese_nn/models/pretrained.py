"""Networks trained on ImageNet as backbones, each with its own preprocessing inside."""

import contextlib
import functools
import inspect
import os
import re
import socket
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from .preprocessing import IMAGENET_MODES, ImageNetPreprocessing
from .resnext import resnext50, resnext101

TRAINABLE = ("all", "upper_half", "none")
_POOLINGS = ("avg", "max", "flatten")
_RESNEXTS = {"ResNeXt50": resnext50, "ResNeXt101": resnext101}
_FAILED_DOWNLOADS = ("URL fetch failure", "Incomplete or corrupted file")  # so Keras's messages begin
_PATIENCE = 30.0  # seconds without a byte before a download counts as failed


def pretrained(
    name: str,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    weights: str | os.PathLike | None = "imagenet",
    trainable: str = "all",
    pooling: str = "avg",
) -> tf.keras.Model:
    """A network of `tf.keras.applications`, or ResNeXt, from an image to its last features.

    Args:
        name: `"VGG16"`, `"ResNet50"`, `"ResNet101"` or any other class of `tf.keras.applications`, as it is
            spelt there; `"ResNeXt50"` or `"ResNeXt101"` (32x4d).
        input_shape: height, width and channels (1, grey, or 3, RGB) of the
            images; any size that the network allows.
        weights: `"imagenet"`, downloaded once into Keras's cache; `None`, random weights; or the path of an
            `.h5` file (`.weights.h5`, or a published `notop` file) with the weights of the network, which is
            the layer named `"network"`.
        trainable: `"all"`, `"none"` or `"upper_half"`. The last freezes the first n // 2 of the n layers that
            have weights to train, batch normalisation included, in Keras's order from image to features.
            Frozen batch normalisation uses its moving averages in training, too.
        pooling: `"avg"` or `"max"` over the last feature map, or `"flatten"` for all its features.

    Returns:
        An uncompiled model from `(batch, height, width, channels)`, in [0, 1], to `(batch, features)`. The
        network's own preprocessing is part of the model, and grey images become three channels.

    Raises:
        ValueError: if an argument has another value, the network does not allow `input_shape`, or the file
            holds the weights of another network.
        FileNotFoundError: if the weights file does not exist.
        ConnectionError: if the ImageNet weights cannot be downloaded. The message names the address.

    Reference:
        https://keras.io/api/applications; for ResNeXt: Xie et al., "Aggregated Residual Transformations",
        CVPR 2017.

    Example:
        >>> model = pretrained("VGG16", (32, 32, 1), weights=None, trainable="upper_half")
        >>> model.output_shape
        (None, 512)
    """
    known = networks()
    _require_one_of(tuple(known), name=name)
    _require_one_of(TRAINABLE, trainable=trainable)
    _require_one_of(_POOLINGS, pooling=pooling)
    if len(input_shape) != 3 or None in input_shape or input_shape[2] not in (1, 3):
        raise ValueError(
            "`input_shape` must be (height, width, channels), with 1 or 3 channels. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    network = _network(known[name], name, (*input_shape[:2], 3), weights, pooling)
    freeze(network, trainable)

    image = tf.keras.Input(input_shape, name="image")
    features = network(
        ImageNetPreprocessing(_preprocessing_mode(name), dtype="float32", name="preprocessing")(image)
    )
    if pooling == "flatten":
        features = tf.keras.layers.Flatten(name="features")(features)
    return tf.keras.Model(image, features, name=name.lower())


def _require_one_of(known: tuple[str, ...], **argument: str) -> None:
    ((name, value),) = argument.items()
    if value not in known:
        raise ValueError(f"`{name}` must be one of {known}. Received: {name}={value!r}")


def networks() -> dict[str, Callable]:
    """Returns the functions that make the networks, by name."""
    applications = inspect.getmembers(tf.keras.applications, inspect.isroutine)
    known: dict[str, Callable] = {
        name: functools.partial(make, include_top=False) for name, make in applications
    }
    return dict(sorted({**known, **_RESNEXTS}.items()))


def require_allowed_size(name: str, input_shape: tuple[int, int, int]) -> None:
    """Raises `ValueError` if an image is too small for the network, without building the network."""
    least = _smallest_side(name)
    if min(input_shape[:2]) < least:
        raise ValueError(
            f"An image of {input_shape[0]} x {input_shape[1]} pixels is too small for {name}, which takes "
            f"{least} x {least} at least"
        )


@functools.cache
def _smallest_side(name: str) -> int:
    # Keras refuses an image that is too small for all networks before it builds anything, and says the limit.
    try:
        networks()[name](input_shape=(1, 1, 3), weights=None)
    except ValueError as error:
        if found := re.search(r"at least (\d+)", str(error)):
            return int(found[1])
    return 1


def _preprocessing_mode(name: str) -> str:
    if name in _RESNEXTS:
        return "torch"
    # Keras preprocesses an example, so that each of its present and future networks gets the right mode.
    module = getattr(tf.keras.applications, name).__module__.rpartition(".")[2]
    preprocess_input = getattr(tf.keras.applications, module).preprocess_input
    colours = np.array([[[[0.1, 0.5, 0.8]]]], "float32")
    wanted = preprocess_input(colours * 255)
    for mode in IMAGENET_MODES:
        if np.allclose(ImageNetPreprocessing(mode, dtype="float32")(colours), wanted, atol=1e-3):
            return mode
    raise NotImplementedError(f"The preprocessing of {name} is none of {IMAGENET_MODES}")


def _network(
    make: Callable[..., tf.keras.Model],
    name: str,
    input_shape: tuple[int, int, int],
    weights: str | os.PathLike | None,
    pooling: str,
) -> tf.keras.Model:
    path = None if weights in (None, "imagenet") else _weights_file(weights)
    try:
        with _socket_timeout(_PATIENCE):
            network = make(
                input_shape=input_shape,
                weights=None if path else weights,
                pooling=None if pooling == "flatten" else pooling,
            )
    except Exception as error:  # Keras raises nothing narrower for a failed download
        if isinstance(error, OSError) or str(error).startswith(_FAILED_DOWNLOADS):
            raise ConnectionError(
                f"The ImageNet weights of {name} could not be downloaded. Keras says: {error}. Fetch the "
                "file by other means and give its path as `weights`, or use weights=None"
            ) from error
        if isinstance(error, ValueError):
            raise ValueError(
                f"`input_shape` must be one that {name} allows. Received: height {input_shape[0]}, width "
                f"{input_shape[1]}. Reason: {error}"
            ) from error
        raise
    network = tf.keras.Model(network.inputs, network.outputs[0], name="network")
    if path:
        _load(network, path, name)
    return network


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _weights_file(weights: str | os.PathLike) -> str:
    path = os.fspath(weights)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            "`weights` must be 'imagenet', None or the path of a weights file. "
            f"Received: weights={path!r}, which is no file"
        )
    if not path.endswith(".h5"):
        raise ValueError(f"`weights` must be an .h5 file. Received: weights={path!r}")
    return path


def _load(network: tf.keras.Model, path: str, name: str) -> None:
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"`weights` must hold the weights of {name} without its classification head. "
            f"Received: weights={path!r}. Keras says: {error}"
        ) from error


def freeze(network: tf.keras.Model, trainable: str) -> None:
    """Freezes layers according to `trainable`; see `pretrained`."""
    if trainable == "none":
        network.trainable = False
    elif trainable == "upper_half":
        layers = list(_layers_to_train(network))
        for layer in layers[: len(layers) // 2]:
            layer.trainable = False


def _layers_to_train(network: tf.keras.Model) -> Iterator[tf.keras.layers.Layer]:
    for layer in network.layers:
        if isinstance(layer, tf.keras.Model):  # ConvNeXt keeps some of its layers in Sequential models
            yield from _layers_to_train(layer)
        elif layer.trainable_weights:
            yield layer
