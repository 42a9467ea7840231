"""How often a training decodes each photo. What reads headers or hashes files is no decoding."""

import sys
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from siamese_nn import datasets, training
from siamese_nn.datasets import Augmentation, images

PAIRS = replace(training.RECIPES["l1_sigmoid"], image_size=(80, 80), filters=2, units=8, epochs=1)
CLASSES = replace(training.RECIPES["cosface"], image_size=(32, 32), epochs=1)
FACE = replace(training.RECIPES["face"], epochs=1)  # one pixel is two of the photo
RECIPES = {
    "pairs": PAIRS,
    "pairs, augmented": replace(PAIRS, augmentation=Augmentation(), monitor="val_auc"),
    "classes, augmented with a margin, and PLDA": FACE,
    "groups": replace(training.RECIPES["triplet_semi_hard"], image_size=(32, 32), epochs=1),
    "triplets": replace(CLASSES, model="triplet", margin=0.5, embedding_size=8, mean_face=True),
    "pretraining": replace(
        CLASSES, model="triplet", margin=0.5, embedding_size=8, trainable="none", pretraining=CLASSES
    ),
    "pretraining, augmented with a margin": replace(
        FACE, augmentation=None, back_end="cosine", pretraining=FACE
    ),
}


@pytest.fixture
def decoded(monkeypatch, no_page):
    """Counts how often each photo is decoded, in whatever format."""
    counts = Counter()
    read = images.read_photo
    monkeypatch.setattr(images, "read_photo", lambda path: counts.update([path]) or read(path))
    return counts


def trained(recipe, toy_dir, toy_pairs, toy_test, run_dir):
    """Trains, and returns all photos of the training."""
    train, val = recipe.split_pairs(toy_pairs, exclude=toy_test)
    photos = datasets.training_photos(toy_dir / "lfw2", toy_pairs, val)
    training.train(recipe, train, val, run_dir, test=toy_test, photos=photos, verbose=0)
    paths = {path for pairs in (train, val, toy_test) for path in pairs.distinct_images()[0].tolist()}
    return paths if recipe.kind == "pairs" else paths.union(*photos.values())


QUICK = ("pairs",)
# Without room for them in memory the photos are decoded again and again, and the figures are the same.
ABOVE_THE_LIMIT = ("pairs, augmented", "classes, augmented with a margin, and PLDA", "triplets")


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=[pytest.mark.slow, pytest.mark.once])
        for name in RECIPES
    ],
)
def test_a_training_decodes_each_photo_once_and_a_finished_run_none(
    name, decoded, toy_dir, toy_pairs, toy_test, tmp_path, monkeypatch
):
    for decodings in (1, 0):
        decoded.clear()
        paths = trained(RECIPES[name], toy_dir, toy_pairs, toy_test, tmp_path / "run")
        assert decoded == Counter(dict.fromkeys(paths, decodings))
    if name in ABOVE_THE_LIMIT:
        module = sys.modules["siamese_nn.training.data"]
        monkeypatch.setattr(module, "DecodedPhotos", partial(datasets.DecodedPhotos, memory_limit=0))
        trained(RECIPES[name], toy_dir, toy_pairs, toy_test, tmp_path / "anew")
        assert min(decoded.values()) > 1
        scores = [(tmp_path / run / "scores.json").read_text() for run in ("run", "anew")]
        assert scores[0] == scores[1]


@pytest.mark.slow
@pytest.mark.once
def test_what_cannot_be_the_middle_is_decoded_twice(decoded, toy_dir, toy_pairs, toy_test, tmp_path):
    recipe = replace(FACE, crop=(100, 80))  # one pixel is 1.5625 of the photo
    paths = trained(recipe, toy_dir, toy_pairs, toy_test, tmp_path / "run")
    assert decoded.keys() == paths and set(decoded.values()) == {1, 2}
    _, val = recipe.split_pairs(toy_pairs, exclude=toy_test)
    learnt = datasets.training_photos(toy_dir / "lfw2", toy_pairs, val)
    assert {path for path, count in decoded.items() if count == 2} == set().union(*learnt.values())


@pytest.mark.slow
@pytest.mark.once
def test_the_cache_is_that_of_the_argument(decoded, toy_dir, toy_pairs, toy_test, tmp_path):
    train, val = PAIRS.split_pairs(toy_pairs, exclude=toy_test)
    for run in ("one", "two"):
        training.train(PAIRS, train, val, tmp_path / run, verbose=0, cache_dir=tmp_path / "images")
    assert set(decoded.values()) == {1} and len(list((tmp_path / "images").iterdir())) == 1
