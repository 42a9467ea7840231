"""How files are harmed: bytes, words of a text, values of a JSON document, numbers of a model."""

import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

STRANGE = (
    *(None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "word", "\ud800", "\0", "../../x"),
    *([], {}, [[]], {"a": 1}, [None], "9" * 5000, "ж" * 300),
)
_WORDS = (
    *(
        "-1",
        "0",
        "1e999",
        "NaN",
        "9" * 400,
        "null",
        '"',
        "{",
        "[" * 3000,
        "\0",
        "\t",
        "\r\n",
        "\n\n",
        "\ufeff",
        ",",
    ),
    *("é", "\U0001f600", "x" * 20000, "\\ud800", "1_000", "٣", "=", "'''"),
)


def harm_bytes(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Returns what was done in words, and the harmed bytes."""
    how = draw.choice(["flip", "flip", "byte", "cut", "zero", "grow", "empty", "repeat", "swap"])
    data, size = bytearray(content), len(content)
    at = draw.randrange(max(size, 1))
    length = min(draw.choice([1, 16, 512, 4096]), max(size - at, 0))
    if how == "flip" and size:
        data[at] ^= 1 << draw.randrange(8)
    elif how == "byte" and size:
        data[at] = draw.randrange(256)
    elif how == "cut":
        del data[at:]
    elif how == "zero":
        data[at : at + length] = bytes(length)
    elif how == "grow":
        data += draw.randbytes(draw.choice([1, 100, 5000]))
    elif how == "empty":
        data.clear()
    elif how == "repeat":
        data[at:at] = data[at : at + length]
    elif how == "swap":
        other = draw.randrange(max(size, 1))
        data[at : at + length], data[other : other + length] = (
            data[other : other + length],
            data[at : at + length],
        )
    return f"{how} at {at}", bytes(data)


def harm_text(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """The same for a text; the result need not be UTF-8."""
    text = content.decode("utf-8", "surrogateescape")
    how = draw.choice(["digit", "digit", "word", "word", "line", "twice", "lines", "bytes", "cut"])
    lines = text.split("\n")
    at = draw.randrange(len(text) + 1)
    if how == "digit" and (digits := [m.start() for m in re.finditer("[0-9]", text)]):
        at = draw.choice(digits)
        text = text[:at] + str((int(text[at]) + draw.randrange(1, 10)) % 10) + text[at + 1 :]
    elif how == "word":
        end = at + draw.choice([0, 0, 1, 5])
        text = text[:at] + draw.choice(_WORDS) + text[end:]
    elif how == "line":
        del lines[draw.randrange(len(lines))]
        text = "\n".join(lines)
    elif how == "twice":
        i = draw.randrange(len(lines))
        text = "\n".join([*lines[: i + 1], *lines[i:]])
    elif how == "lines":
        draw.shuffle(lines)
        text = "\n".join(lines)
    elif how == "cut":
        text = text[:at]
    harmed = text.encode("utf-8", "surrogatepass" if how == "word" else "surrogateescape")
    if how == "bytes":
        harmed = harmed[:at] + draw.randbytes(draw.choice([1, 4])) + harmed[at:]
    return f"{how} at {at}", harmed


def harm_json(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """The same for a JSON document that stays one: a value is exchanged, taken away or doubled."""
    document = json.loads(content)
    path, holder = [], document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw.choice(keys)
        path.append(str(key))
        value = holder[key]
        if not isinstance(value, (dict, list)) or not value or draw.random() < 0.2:
            break
        holder = value
    how = draw.choice(["value", "value", "value", "number", "gone"])
    if how == "gone":
        del holder[key]
    elif how == "number" and isinstance(value, (int, float)):
        holder[key] = draw.choice([-value, value + 1, value * 0.999, float(value), str(value)])
    else:
        holder[key] = draw.choice(STRANGE)
    where = " > ".join(path)
    return f"{how} of {where}", json.dumps(document, indent=2).encode("utf-8", "surrogatepass")


def change_members(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Writes a zip archive again, its members as `change` leaves them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def harm_weights(path: Path, draw: random.Random, values: tuple[float, ...]) -> str:
    """Puts values that are not finite into a weight of a `.keras` file; returns where."""
    told = ""

    def change(members: dict[str, bytes]) -> None:
        nonlocal told
        stream = io.BytesIO(members["model.weights.h5"])
        with h5py.File(stream, "r+") as file:
            found: list[Any] = []
            file.visititems(
                lambda name, part: (
                    found.append(part)
                    if isinstance(part, h5py.Dataset) and part.dtype.kind == "f" and "optimizer" not in name
                    else None
                )
            )
            part = draw.choice(found)
            told = f"{part.name} {part.shape}"
            part[...] = _with(part[()], draw, values)
        members["model.weights.h5"] = stream.getvalue()

    change_members(path, change)
    return told


def harm_arrays(path: Path, draw: random.Random, values: tuple[float, ...]) -> str:
    """The same for an array of an `.npz` file."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = draw.choice([name for name, array in arrays.items() if array.dtype.kind == "f"])
    arrays[name] = _with(arrays[name], draw, values)
    np.savez(path, **arrays)
    return f"{name} {arrays[name].shape}"


def _with(array: np.ndarray, draw: random.Random, values: tuple[float, ...]) -> np.ndarray:
    """Some, or all, of the numbers replaced."""
    array = np.array(array)
    flat = array.reshape(-1)
    flat[draw.choice([0, slice(None), slice(0, None, 7)])] = draw.choice(values)
    return array
