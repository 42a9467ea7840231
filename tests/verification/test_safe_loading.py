"""Hostile and damaged model files: each is loaded right, or refused in one message that names it."""

import io
import json
import resource
import zipfile
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import models
from siamese_nn.verification.safe_loading import load_model_safely, require_loadable
from stacks import KERAS_3

WEIGHTS = "model.weights.h5"


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The members of a small model's file."""
    image = tf.keras.Input((16, 12, 1))
    x = tf.keras.layers.Conv2D(3, 3, activation="relu", name="conv")(models.PhotoStandardization()(image))
    x = tf.keras.layers.BatchNormalization(name="norm")(x)
    x = tf.keras.layers.Dense(4, name="dense")(tf.keras.layers.Flatten()(x))
    path = tmp_path_factory.mktemp("model") / "model.keras"
    models.cosine_embedding(tf.keras.Model(image, x)).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@contextmanager
def memory_limit(more):
    """Lets this process take so many bytes more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def write(path, parts, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def outcome(path):
    """What loading comes to, in a word or two; any error but one that names the file is raised."""
    try:
        with memory_limit(2**31):
            return type(load_model_safely(path)).__name__
    except (ValueError, FileNotFoundError) as error:
        assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 1000, error
        return str(error)


def test_a_whole_file_is_loaded(parts, tmp_path):
    assert outcome(write(tmp_path / "model.keras", parts)) == "Functional"
    assert "is missing" in outcome(tmp_path / "absent.keras") and "is missing" in outcome(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not KERAS_3, reason="Keras 2 builds them of TFOpLambda, which could run code")
def test_keras_own_networks_are_loaded(tmp_path):
    model = models.cosine_embedding(models.pretrained("ConvNeXtTiny", (32, 32, 3), weights=None))
    model.save(tmp_path / "model.keras")  # with a layer of Keras's that is not among its layers
    assert load_model_safely(tmp_path / "model.keras").count_params() == model.count_params()


def test_what_is_never_loaded_is_not_trained_either():
    image = tf.keras.Input((8, 8, 1))
    require_loadable(tf.keras.Model(image, tf.keras.layers.Flatten()(image)))
    with pytest.raises(ValueError, match=r"The model 'odd' could run code.*Lambda"):
        require_loadable(tf.keras.Model(image, tf.keras.layers.Lambda(lambda x: x)(image), name="odd"))


def test_damaged_files(parts, tmp_path):
    path = write(tmp_path / "model.keras", parts)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for trial in range(60):
        damaged = bytearray(whole)
        if trial < 45:
            damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged if trial < 45 else damaged[: rng.integers(len(whole))])
        outcome(path)


@pytest.mark.parametrize(("name", "trials"), [("config.json", 25), ("metadata.json", 5), (WEIGHTS, 25)])
def test_members_with_other_bytes(parts, tmp_path, name, trials):
    rng = np.random.default_rng(1)
    for _ in range(trials):
        content = bytearray(parts[name])
        for place in rng.integers(len(content), size=rng.integers(1, 4)):
            content[place] = rng.integers(256)
        outcome(write(tmp_path / "model.keras", parts | {name: bytes(content)}))


def places(part):
    """Every place in a JSON document: its holder and key."""
    found, left = [], [part]
    while left:
        holder = left.pop()
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            found.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                left.append(holder[key])
    return found


def test_configurations_with_other_values(parts, tmp_path):
    rng = np.random.default_rng(2)
    values = [
        None,
        -1,
        0,
        True,
        10**9,
        10**30,
        1e308,
        "",
        "a/b",
        "../../b",
        [],
        {},
        [10**6, 10**6],
        "float99",
        "relu",
    ]
    for trial in range(90):
        config = json.loads(parts["config.json"])
        where = places(config)
        holder, key = where[rng.integers(len(where))]
        holder[key] = values[trial % len(values)]
        outcome(write(tmp_path / "model.keras", parts | {"config.json": json.dumps(config).encode()}))


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "null", '"model"', "{}", '{"class_name": 3}', '{"config": []}', "\ufeff{}"]
)
def test_configurations_of_another_kind(parts, tmp_path, text):
    found = outcome(write(tmp_path / "model.keras", parts | {"config.json": text.encode()}))
    words = ("damaged", "cannot be loaded", "could run code", "holds no model")
    assert any(word in found for word in words), found


@pytest.mark.parametrize("key", ["units", "filters", "image"])
def test_a_configuration_that_asks_for_all_memory(parts, tmp_path, key):
    config = json.loads(parts["config.json"])
    for holder, name in places(config):
        if name == key:
            holder[name] = 10**9
        elif key == "image" and name in ("batch_shape", "batch_input_shape"):  # of Keras 3 and Keras 2
            holder[name] = [None, 90_000, 90_000, 1]
    found = outcome(write(tmp_path / "model.keras", parts | {"config.json": json.dumps(config).encode()}))
    assert "model.keras cannot be loaded (" in found


def test_a_layer_that_waits_for_ever_is_refused(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.keras.models, "load_model", lambda *_, **__: pytest.fail("loaded"))
    config = json.loads(parts["config.json"])
    calls = [
        (holder, key)
        for holder, key in places(config)
        if key == 1
        and isinstance(holder, list)
        and len(holder) >= 3
        and holder[0] in ("conv", "norm", "tower")
    ]
    assert len(calls) >= 2
    for holder, key in calls:
        for value in (10**9, -1, None, 0.0):
            before, holder[key] = holder[key], value
            found = outcome(
                write(tmp_path / "model.keras", parts | {"config.json": json.dumps(config).encode()})
            )
            assert "has an input that nothing gives" in found
            holder[key] = before


def test_archives_that_keras_does_not_write(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.keras.models, "load_model", lambda *_, **__: pytest.fail("loaded"))
    path = tmp_path / "model.keras"
    bomb = b'{"a": "' + b" " * 2**23 + b'"}'  # 8 MB in 8 KB
    compressed = "is compressed, encrypted, or no file"
    assert compressed in outcome(write(path, parts | {"config.json": bomb}, zipfile.ZIP_DEFLATED))
    assert "config.json is too long" in outcome(write(path, parts | {"config.json": bomb}))
    for more in ("../evil.txt", "assets/x", "config.json/", "/etc/passwd"):
        assert "it must hold config.json" in outcome(write(path, parts | {more: b""}))
    for lacking in parts:
        assert "it must hold" in outcome(
            write(path, {name: content for name, content in parts.items() if name != lacking})
        )
    write(path, parts)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("config.json", parts["config.json"])
    assert "it must hold" in outcome(path)
    link = zipfile.ZipInfo("config.json")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        for name in ("metadata.json", WEIGHTS):
            archive.writestr(name, parts[name])
    assert compressed in outcome(path)
    write(path, parts)
    content = path.read_bytes()
    where = content.index(b"PK\x01\x02") + 8  # the flags in the archive's directory
    path.write_bytes(content[:where] + b"\x01" + content[where + 1 :])
    assert "damaged or no `.keras` file" in outcome(path)


def changed_weights(content, change):
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as weights:
        found = []
        weights.visititems(lambda name, part: found.append(name) if isinstance(part, h5py.Dataset) else None)
        change(weights, found)
    return file.getvalue()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_each_variable_must_be_finite(parts, tmp_path, value):
    names = []
    changed_weights(parts[WEIGHTS], lambda weights, found: names.extend(found))
    seen = set()
    for name in names:

        def spoil(weights, _, name=name):
            weights[name][(0,) * weights[name].ndim] = value

        found = outcome(
            write(tmp_path / "model.keras", parts | {WEIGHTS: changed_weights(parts[WEIGHTS], spoil)})
        )
        assert "model.keras holds weights that are not finite numbers, in " in found
        seen.add(found.split(", in ")[1])
    assert len(seen) == len(names) >= 8  # moving mean and variance among them


def test_weights_that_are_elsewhere_or_compressed(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.keras.models, "load_model", lambda *_, **__: pytest.fail("loaded"))

    def compressed(weights, found):
        del weights[found[0]]
        weights.create_dataset(
            found[0], shape=(10**5, 10**4), chunks=(10**3, 10**3), compression="gzip", dtype="f4"
        )

    def external(weights, found):
        shape = weights[found[0]].shape
        del weights[found[0]]
        weights.create_dataset(
            found[0], shape=shape, dtype="f4", external=[("/etc/passwd", 0, 4 * np.prod(shape))]
        )

    def linked(weights, found):
        del weights[found[0]]
        weights[found[0]] = h5py.ExternalLink("/etc/passwd", "/")

    def soft(weights, found):
        weights["again"] = h5py.SoftLink("/")

    def claiming(weights, found):
        del weights[found[0]]
        weights.create_dataset(found[0], shape=(10**6, 10**6), dtype="f4")

    for change in (compressed, external, linked, soft, claiming):
        content = parts | {WEIGHTS: changed_weights(parts[WEIGHTS], change)}
        found = outcome(write(tmp_path / "model.keras", content))
        assert "are compressed, or lie elsewhere" in found or "hold a link" in found, change.__name__


def test_other_shapes_and_missing_weights(parts, tmp_path):
    def missing(weights, found):
        del weights[found[0]]

    def other(weights, found):
        del weights[found[0]]
        weights[found[0]] = np.zeros((2, 2), np.float32)

    def words(weights, found):
        shape = weights[found[0]].shape
        del weights[found[0]]
        weights.create_dataset(found[0], shape=shape, dtype="S4")

    for change in (missing, other, words):
        found = outcome(
            write(tmp_path / "model.keras", parts | {WEIGHTS: changed_weights(parts[WEIGHTS], change)})
        )
        assert "model.keras cannot be loaded" in found, change.__name__
