"""A verifier and photos in which the face may lie anywhere. The finder is made up: it knows faces by size."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from siamese_nn import Verifier, faces, models
from siamese_nn.datasets import ImageError
from siamese_nn.evaluation.calibration import Calibration
from siamese_nn.faces.transform import warp
from siamese_nn.verification import Embedding, photos

POINTS = np.array(faces.LFW_A.points)
MOVE, AWAY = 0.7 * np.exp(0.3j), 190 + 60j  # what makes a raw photo of an aligned one
RAW = (420, 420)  # its height and width


def face_at(factor=1.0, shift=0.0):
    places = factor * (POINTS @ [1, 1j]) + shift
    points = np.stack([places.real, places.imag], -1)
    return faces.Face((*points.min(0), *points.max(0)), 1.0, points)


@pytest.fixture
def found(monkeypatch):
    """The faces that are found, by the photo's width and height; to be changed."""
    by_size = {(250, 250): [face_at()], RAW: [face_at(MOVE, AWAY)], (90, 90): []}
    monkeypatch.setattr(faces, "find", lambda photo, finder=None: by_size[photo.size])
    monkeypatch.setattr(photos, "is_installed", lambda: True)
    return by_size


@pytest.fixture(scope="module")
def model():
    """The photo in small, less its mean: no weights are drawn."""
    photo = tf.keras.Input((80, 80, 1))
    small = tf.keras.layers.Flatten()(tf.keras.layers.AveragePooling2D(5)(photo))
    backbone = tf.keras.Model(photo, tf.keras.layers.LayerNormalization()(small))
    return models.cosine_embedding(backbone)


def verifier_of(model, frame=faces.LFW_A, photo_size=(250, 250)):
    people = {"trained_on": [], "chosen_on": []}
    facts = {"calibration": Calibration(4.0, -2.0), "held_out": None, "digest": "", "threshold": 0.5}
    embedding = Embedding.of_keras(model, crop=(160, 160), photo_size=photo_size, frame=frame)
    return Verifier(embedding, comparison=embedding.comparison, provenance={"people": people}, **facts)


@pytest.fixture(scope="module")
def aligned(toy_dir):
    return next((toy_dir / "lfw2").rglob("*.jpg"))


@pytest.fixture(scope="module")
def raw(aligned, tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "raw.png"
    warp(Image.open(aligned), MOVE, AWAY, RAW).save(path)
    return path


def test_by_default_the_face_comes_to_where_the_training_has_it(model, aligned, raw, found):
    verifier = verifier_of(model)
    (there,) = verifier.embed(aligned, align=False)
    for photo in (raw, raw.read_bytes(), np.asarray(Image.open(raw)), Image.open(raw)):
        (brought,), (left,) = verifier.embed(photo), verifier.embed(photo, align=False)
        assert np.linalg.norm(brought - there) < 0.2 * np.linalg.norm(left - there)
    assert verifier.verify(raw, aligned).score > verifier.verify(raw, aligned, align=False).score
    assert verifier.verify(raw, aligned) == verifier.verify(raw, aligned, align=True)
    gallery = verifier.gallery({"Ada": [raw]})
    assert np.abs(gallery.embeddings[0] - verifier.embed(raw)[0]).max() < 1e-5
    assert not np.array_equal(gallery.embeddings, verifier.gallery({"Ada": [raw]}, align=False).embeddings)
    verifier.threshold = verifier.verify(raw, aligned).score - 1e-4
    assert verifier.cluster([raw, aligned]).tolist() == [0, 0]
    assert verifier.cluster([raw, aligned], align=False).tolist() == [0, 1]


def test_a_photo_that_is_aligned_already_is_taken_as_it_is(model, aligned, found, tmp_path):
    verifier = verifier_of(model)
    found[250, 250] = [face_at(1.02, 2 + 1j)]  # as near as a finder's points are
    as_it_is = verifier.embed(aligned, align=False)
    assert np.array_equal(verifier.embed(aligned), as_it_is)
    found[250, 250] = [face_at(1.0, 12)]  # of the right size, but its face is not in its place
    assert not np.array_equal(verifier.embed(aligned), as_it_is)
    found[250, 250] = [face_at()]
    Image.open(aligned).save(tmp_path / "a.webp", lossless=True)  # which only raw photos may be
    assert np.abs(verifier.embed(tmp_path / "a.webp") - as_it_is).max() < 0.02


def test_all_photos_without_a_face_are_named(model, aligned, found, tmp_path):
    for name in ("b.png", "c.png"):
        Image.new("L", (90, 90)).save(tmp_path / name)
    photos = [tmp_path / "b.png", aligned, tmp_path / "c.png", np.zeros((90, 90), np.uint8)]
    wanted = r"b\.png, .*c\.png, photo 3 of those given: no face was found.*`align=False`"
    with pytest.raises(faces.NoFaceError, match=wanted):
        verifier_of(model).embed(photos)


def test_photos_with_several_faces_are_named_in_the_log(model, aligned, raw, found, caplog):
    verifier = verifier_of(model)
    one = verifier.embed(raw)
    found[RAW] = [face_at(), *found[RAW]]  # a larger one, further from the middle
    assert np.abs(verifier.embed([raw, aligned])[0] - one[0]).max() < 1e-5
    assert f"several faces; the one nearest the middle counts: {raw}" in caplog.text
    assert str(aligned) not in caplog.text


def test_without_the_extra_it_says_that_photos_are_compared_as_they_are(
    model, aligned, raw, monkeypatch, caplog
):
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    faces.mtcnn._network.cache_clear()
    verifier = verifier_of(model)
    assert np.array_equal(verifier.embed(aligned), verifier.embed(aligned, align=False))
    assert caplog.text.count("compared as they are") == 1
    with pytest.raises(ImageError, match=r"raw.png: an aligned photo must be of \(250, 250\)"):
        verifier.embed(raw)
    with pytest.raises(ImportError, match=r"pip install 'siamese_nn\[faces\]'"):
        verifier.embed(aligned, align=True)


def test_where_the_frame_is_not_known_photos_are_taken_as_they_are(model, raw, found, caplog):
    verifier = verifier_of(model, frame=None)
    assert np.array_equal(verifier.embed(raw), verifier.embed(raw, align=False)) and not caplog.records
    for align in (True, faces.LFW_A):
        with pytest.raises(ValueError, match="It is not known where .* wants the faces"):
            verifier.embed(raw, align=align)
    with pytest.raises(ValueError, match="`align` must be True, False, None or a `faces.Frame`"):
        verifier.embed(raw, align="yes")


def test_the_photos_folder_says_where_their_faces_lie(model, toy_test, found, monkeypatch):
    verifier, pairs = verifier_of(model), toy_test[:4]
    monkeypatch.setattr(faces, "find", lambda photo, finder=None: 1 / 0)
    monkeypatch.setattr("siamese_nn.datasets.known_frame", lambda paths: faces.LFW_A)
    as_they_are = verifier.score_pairs(pairs, align=False)
    assert np.array_equal(verifier.score_pairs(pairs), as_they_are)
    half = faces.Frame(POINTS / 2, (125, 125))
    monkeypatch.setattr("siamese_nn.datasets.known_frame", lambda paths: half)
    with pytest.raises(ImageError, match=r"must be of \(125, 125\) pixels .* Received: 250 x 250"):
        verifier.score_pairs(pairs)
    monkeypatch.setattr("siamese_nn.datasets.known_frame", lambda paths: None)
    with pytest.raises(ZeroDivisionError):
        verifier.score_pairs(pairs)


def test_where_faces_are_found_a_folder_may_hold_photos_of_all_kinds(model, aligned, found, tmp_path):
    verifier = verifier_of(model)
    for place in ("Ada/a.webp", "Bo/b.png"):
        (tmp_path / place).parent.mkdir()
        Image.open(aligned).save(tmp_path / place, lossless=True)
    assert verifier.gallery(tmp_path).names.tolist() == ["Ada", "Bo"]
    with pytest.raises(ValueError, match="at least one photo of each person.*Received none of Ada"):
        verifier.gallery(tmp_path, align=False)
    assert verifier_of(model, frame=None).photo_endings() == (".jpg", ".jpeg", ".png")
