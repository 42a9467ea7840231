"""What a run folder holds for its verifier, read in a way that lets nothing in it run code."""

import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorflow as tf

from .. import models  # noqa: F401, registers its layers
from ..evaluation.open_set import HeldOutScores

# Keras resolves other modules by importing them, and these classes run what a file brings with it.
_MODULES = (
    "keras",
    "keras.mixed_precision",
    "keras.layers",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
)
_KERAS = ("models", "engine", "layers", "ops", "applications")
_PACKAGES = ("siamese_nn.", *(f"keras.src.{package}." for package in _KERAS))
_MEMBERS = ["config.json", "metadata.json", "model.weights.h5"]  # of a `.keras` file
_MOST_CONFIG = 2**22  # bytes; that of Keras's largest networks is some 1.5 MB
_REMEDY = "Train the run again"
_ANEW = "Give the same `siamese-nn train` command again: it makes it anew"
_UNSAFE = ("function", "tfsmlayer", "torchmodulewrapper", "jaxlayer", "flaxlayer")


def read_held_out_scores(run_dir: str | os.PathLike, settings: dict[str, Any]) -> HeldOutScores:
    """Reads the scores among held-out people that a run's `verifier.json` names.

    Args:
        run_dir: the folder of the run.
        settings: `"held_out"` of `read_verifier_settings`.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is damaged.
    """
    path = Path(run_dir) / settings["file"]
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing. {_ANEW}")
    content = path.read_bytes()
    if sha256(content).hexdigest() != settings["sha256"]:
        raise ValueError(f"{path} is damaged, or not the one that verifier.json names. {_ANEW}")
    photos_each = settings["photos_each"]
    try:
        if len(content) < 4 * sum(photos_each) ** 2:
            raise ValueError("it is too short")
        scores = np.load(io.BytesIO(content), allow_pickle=False)
        return HeldOutScores(scores, np.repeat(np.arange(len(photos_each)), photos_each))
    except (
        ValueError,
        AttributeError,
        EOFError,
        OSError,
        MemoryError,
    ) as error:  # all are NumPy's words for it
        raise ValueError(f"{path} is damaged ({error}). {_ANEW}") from error


def load_model_safely(path: str | os.PathLike) -> tf.keras.Model:
    """Loads a `.keras` file of this package's layers and Keras's own, uncompiled.

    Whatever the file holds, loading takes about as much memory as the file is long.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is damaged, could run code (Lambda layers, functions, other packages' classes,
            pickles), or holds weights that are not finite.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is missing. {_REMEDY}")
    try:
        # Checked here: what is no such archive, Keras would take for one of its older forms, which can hold
        # code.
        with zipfile.ZipFile(path) as archive:
            _require_plain(archive, os.path.getsize(path))
            config = json.loads(archive.read("config.json"))
            n_weights = _count_weights(archive.read("model.weights.h5"))
        if not isinstance(config, dict):
            raise ValueError("its config.json holds no model")
        _require_whole_graphs(config)
    except Exception as error:  # zipfile, json and h5py have many words for it
        raise ValueError(f"{path} is damaged or no `.keras` file ({_line(error)}). {_REMEDY}") from error
    config.pop("compile_config", None)  # the loss and the optimizer, which are not loaded
    _require_known_classes(path, config)
    try:
        with _at_most(n_weights):
            model = tf.keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # its layers raise whatever they meet in a configuration that nobody wrote
        raise ValueError(f"{path} cannot be loaded ({_line(error)}). {_REMEDY}") from error
    if not isinstance(model, tf.keras.Model):
        raise ValueError(f"{path} holds no model, but a {type(model).__name__}. {_REMEDY}")
    for variable in model.variables:
        if not np.isfinite(np.asarray(variable.numpy(), np.float64)).all():
            raise ValueError(
                f"{path} holds weights that are not finite numbers, in "
                f"{getattr(variable, 'path', variable.name)}. It is damaged, "
                f"or its training diverged. {_REMEDY}"
            )
    return model


def _require_plain(archive: zipfile.ZipFile, size: int) -> None:
    """Raises unless the archive holds what Keras writes, uncompressed, so that nothing can swell."""
    members = archive.infolist()
    if sorted(member.filename for member in members) != _MEMBERS:
        raise ValueError(
            f"it must hold {', '.join(_MEMBERS)}. Received: {[member.filename for member in members][:5]}"
        )
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if (
            member.compress_type != zipfile.ZIP_STORED
            or member.flag_bits & 1
            or kind not in (0, stat.S_IFREG)
        ):
            raise ValueError(f"{member.filename} is compressed, encrypted, or no file")
    if (
        sum(member.file_size for member in members) > size
        or archive.getinfo("config.json").file_size > _MOST_CONFIG
    ):
        raise ValueError("its members claim more than the file holds, or config.json is too long")
    cut = archive.testzip()
    if cut is not None:
        raise ValueError(f"in {cut}")


def _require_whole_graphs(config: Any) -> None:
    """Raises where a layer waits for the output of one that never comes: Keras would wait for it for ever."""
    for part in _parts(config):
        layers = part.get("layers") if isinstance(part, dict) else None
        layers = [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []
        names = [layer["name"] for layer in layers if isinstance(layer.get("name"), str)]
        if len(set(names)) < len(names):
            raise ValueError("two layers have one name")
        there = {(layer.get("name"), 0) for layer in layers if layer.get("class_name") == "InputLayer"}
        waiting: dict[tuple[str, int], set[tuple[str, int]]] = {}
        for layer in layers:
            nodes = layer.get("inbound_nodes")
            if isinstance(layer.get("name"), str) and isinstance(nodes, list):
                inner = layer.get("config")
                # Keras 2, whose calls are lists, counts a model's own making as its first.
                first = int(isinstance(inner, dict) and "layers" in inner and list in map(type, nodes))
                waiting |= {(layer["name"], i): _inputs(node, names) for i, node in enumerate(nodes, first)}
        while ready := [node for node, inputs in waiting.items() if inputs <= there]:
            there.update(ready)
            for node in ready:
                del waiting[node]
        if waiting:
            raise ValueError(f"its layer {min(waiting)[0]} has an input that nothing gives")


def _inputs(node: Any, names: list[str]) -> set[tuple[str, int]]:
    """The outputs that a layer's call takes: what looks like [name of a layer, its call, its output, ...]."""
    return {
        (part[0], part[1] if type(part[1]) is int else -1)
        for part in _parts(node)
        if isinstance(part, list) and len(part) >= 3 and isinstance(part[0], str) and part[0] in names
    }


def _parts(document: Any) -> Iterator[Any]:
    """All parts of a JSON document, itself included."""
    left = [document]
    while left:
        part = left.pop()
        yield part
        left += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()


def _count_weights(content: bytes) -> int:
    """Counts the numbers in an HDF5 file of weights, which must all lie in the file itself, uncompressed."""
    n_weights = 0

    def count(name: str, part: h5py.Group | h5py.Dataset) -> None:
        nonlocal n_weights
        if isinstance(part, h5py.Dataset):
            if part.chunks is not None or part.external or part.is_virtual or part.nbytes > len(content):
                raise ValueError(f"its weights {name} are compressed, or lie elsewhere")
            n_weights += part.size
        elif any(not isinstance(part.get(key, getlink=True), h5py.HardLink) for key in part):
            raise ValueError(f"its weights {name} hold a link")

    with h5py.File(io.BytesIO(content), "r") as file:
        count("/", file)
        file.visititems(count)
    return n_weights


def _at_most(n_weights: int) -> AbstractContextManager:
    """Limits the numbers in variables that Keras makes: a few bytes of configuration may ask for any size."""
    # A model is built twice where it is in another, and has states that it doesn't keep.
    left = 4 * n_weights + 2**16

    def create(next_creator: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
        nonlocal left
        value = options["initial_value"]
        with tf.Graph().as_default():  # where nothing is computed
            shape = tf.TensorShape(np.shape(value) if not callable(value) else value().shape)
        left -= shape.num_elements()
        if left < 0:
            raise ValueError(f"its layers want more weights than the {n_weights:,} that it holds")
        return next_creator(**options)

    return tf.variable_creator_scope(create)


def _line(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def require_loadable(model: tf.keras.Model) -> None:
    """Makes sure, before a model is trained, that `load_model_safely` will take it.

    Raises:
        ValueError: if it has a layer that is not loaded, such as those of Keras 2's ConvNeXt networks.
    """
    config = tf.keras.utils.serialize_keras_object(model)
    config.pop("compile_config", None)  # as in `load_model_safely`
    _require_known_classes(f"The model {model.name!r}", config)


def _require_known_classes(path: str | os.PathLike, config: Any) -> None:
    for part in _parts(config):
        if isinstance(part, dict):
            name, module = part.get("class_name"), part.get("module")
            word = str(name).lower()
            known = module is None or module in _MODULES or str(module).startswith(_PACKAGES)
            if name is not None and (not known or word in _UNSAFE or "lambda" in word):
                raise ValueError(
                    f"{path} could run code: it holds {module or 'an unnamed module'}.{name}, which is no "
                    "layer of Keras's or siamese_nn's that is known to be harmless. Don't load "
                    "it, and build models of other layers"
                )
