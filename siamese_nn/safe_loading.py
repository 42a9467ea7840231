"""What a run folder holds for its verifier, read in a way that lets nothing in it run code."""

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import tensorflow as tf

from .files import read_json
from .run_folder import VERIFIER_FORMAT

# Keras resolves other modules by importing them, and these classes run what a file brings with it.
_MODULES = ("keras", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints")
_PACKAGES = ("keras.src.models.", "keras.src.engine.", "keras.src.layers.", "keras.src.ops.", "siamese_nn.")
_MOST_PIXELS = 100_000  # across a photo, of which the middle is taken
_UNSAFE = ("function", "tfsmlayer", "torchmodulewrapper", "jaxlayer", "flaxlayer")


def read_verifier_settings(path: str | os.PathLike) -> dict[str, Any]:
    """Reads a run's `verifier.json`.

    Returns:
        What it holds, with `"model"` a file name, `"crop"` a tuple or `None`, finite `"threshold"` and `"calibration"`, and
        `"people"` lists of names.

    Raises:
        ValueError: if it is damaged or of another format.
    """
    settings = read_json(path)
    version = settings.get("format") if isinstance(settings, dict) else None
    if version != VERIFIER_FORMAT:
        raise ValueError(
            f"{path} must have format {VERIFIER_FORMAT}, which this siamese_nn reads. Received: format {version}. Train the run again, "
            "or take the siamese_nn that trained it"
        )
    try:
        name, crop, calibration = settings["model"], settings["crop"], settings["calibration"]
        people = [settings["people"][part] for part in ("trained_on", "chosen_on")]
        numbers = [settings["threshold"], calibration["slope"], calibration["intercept"], *(crop or ())]
        whole = (
            all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
            and calibration["slope"] >= 0
            and (
                crop is None
                or (len(crop) == 2 and all(type(n) is int and 0 < n <= _MOST_PIXELS for n in crop))
            )
            and type(settings["model_sha256"]) is str
            and all(type(names) is list and all(type(person) is str for person in names) for names in people)
            and Path(name).name == name  # no way out of the folder
        )
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(
            f"{path} is damaged, or of an older siamese_nn: a part is missing or out of range. Train the run again, into a "
            "new folder"
        )
    return {**settings, "crop": None if crop is None else tuple(crop)}


def load_model_safely(path: str | os.PathLike) -> tf.keras.Model:
    """Loads a `.keras` file of this package's layers and Keras's own, uncompiled.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is damaged, or could run code: Lambda layers, functions, other packages' classes, pickles.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} is missing. Train the run again")
    try:
        # Checked here: what is no such archive, Keras would take for one of its older forms, which can hold code.
        with zipfile.ZipFile(path) as archive:
            cut = archive.testzip()
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or no `.keras` file ({error}). Train the run again") from error
    if cut is not None:
        raise ValueError(f"{path} is damaged (in {cut}). Train the run again")
    config.pop("compile_config", None)  # the loss and the optimizer, which are not loaded
    _require_known_classes(path, config)
    try:
        return tf.keras.models.load_model(path, compile=False, safe_mode=True)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OSError,
        RecursionError,
    ) as error:  # all are Keras's words for it
        raise ValueError(f"{path} cannot be loaded ({error}). Train the run again") from error


def _require_known_classes(path: str | os.PathLike, config: Any) -> None:
    parts = [config]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            name, module = part.get("class_name"), part.get("module")
            word = str(name).lower()
            known = module is None or module in _MODULES or str(module).startswith(_PACKAGES)
            if name is not None and (not known or word in _UNSAFE or "lambda" in word):
                raise ValueError(
                    f"{path} could run code: it holds {module or 'an unnamed module'}.{name}, which is no layer of Keras's or "
                    "siamese_nn's that is known to be harmless. Don't load it"
                )
        parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
