"""Hostile `.keras` files: loaded as harmless or refused; never run, hung, or past the memory's limit."""

import io
import json
import math
import random
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .ground import LONG, SHORT, Ground, copy, seal
from .harm import STRANGE, change_members, harm_bytes, harm_json, harm_text
from .outcome import Outcome, judge
from .process import run

_BOMB = 1500 * 2**20  # bytes; three times that is beyond the limit of memory
_CLASSES = (
    *(("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("keras.layers", "Lambda")),
    *(
        ("keras.layers", "TFSMLayer"),
        ("keras.utils", "get_file"),
        ("keras", "Model"),
        ("pickle", "loads"),
        (None, ""),
    ),
    *(("siamese_nn.files", "write_text"), ("keras.src.models.functional", "Functional"), (3, [])),
)


def hostile_model(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Puts a hostile model file into a run; a finite answer or a clear refusal is right."""
    before = draw.random() < 0.25  # the first stage's model, which the second stage's training loads
    made = ground.runs["stages" if before else draw.choice(sorted(ground.runs))]
    run_dir = copy(made.half if before else made.folder, folder / "hurt")
    part = run_dir / "pretraining" if before else run_dir
    file = part / json.loads((part / "verifier.json").read_text(encoding="utf-8"))["model"]
    canary = folder / "canary"
    way = draw.choice(_WAYS)
    told = f"{'first stage' if before else 'model'}, {way.__name__.strip('_')}: {way(file, draw, canary)}"
    seal(part)

    def use() -> Any:
        return len(ground.train_in("stages", run_dir)) if before else ground.verify(run_dir)

    ending = run(use, folder / "scratch", LONG if before else SHORT)
    if canary.exists():
        return Outcome("wrong", f"{told}: the file's code was run")
    outcome = judge(ending, _fault_of_answer, (file.name, str(run_dir)))
    return Outcome(outcome.word, f"{told}: {outcome.detail}")


def _fault_of_answer(answer: Any) -> str | None:
    if isinstance(answer, int):
        return None
    whole = all(math.isfinite(one["score"]) and 0 <= one["probability"] <= 1 for one in answer)
    return None if whole else f"an answer that is not finite: {answer}"


def _harmed_bytes(path: Path, draw: random.Random, canary: Path) -> str:
    told, content = harm_bytes(path.read_bytes(), draw)
    path.write_bytes(content)
    return told


def _harmed_member(path: Path, draw: random.Random, canary: Path) -> str:
    told = ""

    def change(members: dict[str, bytes]) -> None:
        nonlocal told
        name = draw.choice(["config.json", "config.json", "metadata.json", "model.weights.h5"])
        harm = harm_bytes if name.endswith(".h5") else draw.choice([harm_json, harm_text])
        how, members[name] = harm(members[name], draw)
        told = f"{name}, {how}"

    change_members(path, change)
    return told


def _member_gone(path: Path, draw: random.Random, canary: Path) -> str:
    gone = draw.choice(["config.json", "metadata.json", "model.weights.h5"])
    change_members(path, lambda members: members.pop(gone))
    return gone


def _strange_class(path: Path, draw: random.Random, canary: Path) -> str:
    module, name = draw.choice(_CLASSES)
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    config = draw.choice([{"name": "x", "function": code}, {"command": f"touch {canary}"}, {}, code, None])

    def change(members: dict[str, bytes]) -> None:
        document = json.loads(members["config.json"])
        parts = [part for part in _parts(document) if "class_name" in part]
        part = draw.choice(parts)
        part.update({"module": module, "class_name": name, "config": config, "registered_name": name})
        members["config.json"] = json.dumps(document).encode()

    change_members(path, change)
    return f"{module}.{name}"


def _strange_setting(path: Path, draw: random.Random, canary: Path) -> str:
    told = ""

    def change(members: dict[str, bytes]) -> None:
        nonlocal told
        document = json.loads(members["config.json"])
        found = [(part, key) for part in _parts(document) for key in part]
        part, key = draw.choice(found)
        part[key] = draw.choice([*STRANGE[:8], 10**9, 10**6, [None, 10**6, 10**6, 1], "linear", "a/b"])
        told = f"{key} = {str(part[key])[:40]}"
        members["config.json"] = json.dumps(document).encode()

    change_members(path, change)
    return told


def _huge_layer(path: Path, draw: random.Random, canary: Path) -> str:
    told = ""

    def change(members: dict[str, bytes]) -> None:
        nonlocal told
        document = json.loads(members["config.json"])
        found = [(part, key) for part in _parts(document) for key in ("units", "filters") if key in part]
        part, key = draw.choice(found)
        part[key] = draw.choice([10**6, 10**9, 2**31, 2**63, 10**30])
        told = f"{key} = {part[key]}"
        members["config.json"] = json.dumps(document).encode()

    change_members(path, change)
    return told


def _deep(path: Path, draw: random.Random, canary: Path) -> str:
    depth = draw.choice([500, 50_000])
    text = draw.choice(["[" * depth + "]" * depth, '{"config":' * depth + "1" + "}" * depth])
    change_members(path, lambda members: members.update({"config.json": text.encode()}))
    return f"{depth} levels"


def _bomb(path: Path, draw: random.Random, canary: Path) -> str:
    name = draw.choice(["config.json", "metadata.json", "model.weights.h5", "other.bin"])
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist() if member != name}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        with archive.open(name, "w") as stream:
            for _ in range(_BOMB // 2**24):
                stream.write(b" " * 2**24)
    return f"{name} of {_BOMB:,} bytes"


def _odd_members(path: Path, draw: random.Random, canary: Path) -> str:
    how = draw.choice(["twice", "outside", "absolute", "long", "link", "encrypted", "many", "no zip"])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            if how == "encrypted":
                info.flag_bits |= 1
            archive.writestr(info, content)
        link = zipfile.ZipInfo("assets/link")
        link.external_attr = 0o120777 << 16
        more = {
            "twice": [("config.json", members["config.json"])],
            "outside": [("../../canary", b"x")],
            "absolute": [(str(canary), b"x")],
            "long": [("x" * 60_000, b"x")],
            "link": [(link, str(canary).encode())],
            "many": [(f"x{i}", b"") for i in range(20_000)],
        }
        for name, content in more.get(how, []):
            archive.writestr(name, content)
    if how == "encrypted":
        path.write_bytes(
            path.read_bytes().replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
        )
    if how == "no zip":
        path.write_bytes(draw.choice([b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + bytes(500), b"\x80\x04N."]))
    return how


def _odd_weights(path: Path, draw: random.Random, canary: Path) -> str:
    how = draw.choice(["external", "loop", "huge", "words", "whole numbers", "shape", "group", "soft"])

    def change(members: dict[str, bytes]) -> None:
        stream = io.BytesIO(members["model.weights.h5"])
        with h5py.File(stream, "r+") as file:
            found: list[str] = []
            file.visititems(lambda name, part: found.append(name) if isinstance(part, h5py.Dataset) else None)
            name = draw.choice([name for name in found if "optimizer" not in name])
            shape = file[name].shape
            del file[name]
            if how == "external":
                file[name] = h5py.ExternalLink(str(canary.with_name("other.h5")), "/x")
            elif how in ("loop", "soft"):
                file[name] = h5py.SoftLink(f"/{name}" if how == "loop" else "/nowhere")
            elif how == "huge":
                file.create_dataset(name, (2**40,), "f4", chunks=(1024,))
            elif how == "words":
                file[name] = np.full(shape, b"word")
            elif how == "whole numbers":
                file[name] = np.ones(shape, np.int64)
            elif how == "shape":
                file[name] = np.ones((*shape, 2), np.float32)
            else:
                file.create_group(name)
        members["model.weights.h5"] = stream.getvalue()

    change_members(path, change)
    return how


def _parts(document: Any) -> list[dict]:
    """All dictionaries in a document."""
    found, open_parts = [], [document]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, dict):
            found.append(part)
        open_parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return [part for part in found if part]


_WAYS: tuple[Callable[[Path, random.Random, Path], str], ...] = (
    *(_harmed_bytes, _harmed_bytes, _harmed_member, _harmed_member, _harmed_member, _member_gone),
    *(_strange_class, _strange_class, _strange_setting, _strange_setting, _strange_setting, _huge_layer),
    *(_deep, _odd_members, _odd_members, _odd_weights, _odd_weights, _bomb),
)
