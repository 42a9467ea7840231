import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import datasets, evaluation, models
from siamese_nn.evaluation import scoring


@pytest.fixture(scope="module")
def model():
    return models.l1_sigmoid(models.report_cnn((80, 80, 1), filters=2, units=16))


def test_an_embedding_in_half_precision_scores_as_any(toy_pairs):
    tower = tf.keras.Sequential(
        [
            tf.keras.layers.Input((8, 8, 1)),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(4, dtype="mixed_bfloat16"),
        ]
    )
    scores = evaluation.score_pairs(tower, toy_pairs)
    assert scores.dtype == np.float32 and np.ptp(scores) > 0


@pytest.mark.parametrize("crop", [None, (160, 160)])
def test_scores_are_the_models_own(model, toy_pairs, crop):
    dataset = datasets.pair_dataset(toy_pairs, image_size=(80, 80), shuffle=False, crop=crop)
    expected = model.predict(dataset, verbose=0)[:, 0]
    np.testing.assert_allclose(evaluation.score_pairs(model, toy_pairs, crop=crop), expected, rtol=1e-4)


def test_every_kind_of_model_scores_higher_for_more_alike(toy_pairs):
    backbone = models.report_cnn((80, 80, 1), filters=2, units=16)
    dataset = datasets.pair_dataset(toy_pairs, image_size=(80, 80), shuffle=False)
    expected = {
        models.euclidean_contrastive: lambda output: -output[:, 0],
        models.cosine_embedding: lambda output: output[:, 0],
        lambda backbone: models.decision_network(backbone, neurons=2): lambda output: output[:, 1],
    }
    for build, turn in expected.items():
        model = build(backbone)
        scores = evaluation.score_pairs(model, toy_pairs)
        np.testing.assert_allclose(scores, turn(model.predict(dataset, verbose=0)), rtol=1e-4, atol=1e-6)


def test_an_embedding_model_scores_by_cosine(toy_pairs):
    model = models.triplet_embedding(models.report_cnn((80, 80, 1), filters=2, units=16), 8)
    sides = (
        datasets.load_images(side, image_size=(80, 80)) / 255 for side in (toy_pairs.left, toy_pairs.right)
    )
    left, right = (model.predict(side.astype(np.float32), verbose=0) for side in sides)
    scores = evaluation.score_pairs(model, toy_pairs)
    np.testing.assert_allclose(scores, (left * right).sum(1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("build", [models.triplet_embedding, models.cosine_embedding])
def test_no_cosine_is_beyond_one(build):
    model = build(models.report_cnn((80, 80, 1), filters=2, units=16))
    size = models.embedding_model(model).output_shape[-1]
    embeddings = np.random.default_rng(0).normal(size=(5000, size)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    for sign in (1, -1):
        scores = evaluation.compare(model, embeddings, sign * embeddings)
        assert np.abs(scores).max() <= 1
        np.testing.assert_allclose(scores, sign, rtol=1e-5)


def test_many_chunks_give_the_same(model, toy_pairs, monkeypatch):
    whole = evaluation.score_pairs(model, toy_pairs)
    monkeypatch.setattr(scoring, "_CHUNK", 7)
    np.testing.assert_allclose(evaluation.score_pairs(model, toy_pairs), whole, rtol=1e-5)


def test_each_distinct_photo_is_embedded_once(model, toy_pairs, monkeypatch):
    tower = models.embedding_model(model)
    seen = []
    predict = tower.predict
    monkeypatch.setattr(
        tower, "predict", lambda images, **options: seen.append(len(images)) or predict(images, **options)
    )
    evaluation.score_pairs(model, toy_pairs)
    assert sum(seen) == len(toy_pairs.distinct_images()[0])


def test_photos_that_are_decoded_already_are_not_decoded_again(model, toy_pairs, monkeypatch):
    expected = evaluation.score_pairs(model, toy_pairs)
    size = models.embedding_model(model).input_shape[1:3]
    photos = datasets.DecodedPhotos(toy_pairs.distinct_images()[0], datasets.PhotoFormat(size))
    images = evaluation.embed(model, photos)
    monkeypatch.setattr(datasets.images, "load_image", lambda *_, **__: pytest.fail("decoded again"))
    assert np.array_equal(evaluation.score_pairs(model, toy_pairs, photos=photos), expected)
    assert np.array_equal(evaluation.embed(model, photos[:]), images)
    for wrong in ({"crop": (100, 100)}, {"photo_size": (250, 250)}):
        with pytest.raises(ValueError, match="can't be given with `photos`"):
            evaluation.score_pairs(model, toy_pairs, photos=photos, **wrong)
    others = datasets.DecodedPhotos(toy_pairs.distinct_images()[0], datasets.PhotoFormat((16, 16)))
    with pytest.raises(
        ValueError, match=r"as the model takes them.*Received: \(16, 16, 1\), by PhotoFormat\(size=\(16, 16\)"
    ):
        evaluation.score_pairs(model, toy_pairs, photos=others)


def test_raw_pixels(toy_pairs):
    left, right = (
        datasets.load_images(side[:3], image_size=(30, 30)) / 255
        for side in (toy_pairs.left, toy_pairs.right)
    )
    expected = -np.sqrt(((left - right) ** 2).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(
        evaluation.score_raw_pixels(toy_pairs[:3], image_size=(30, 30)), expected, rtol=1e-5
    )


def test_no_pairs_are_refused(model, toy_pairs):
    with pytest.raises(ValueError, match="at least one pair"):
        evaluation.score_pairs(model, toy_pairs[:0])


def test_swapped_arguments_are_told_so(toy_pairs):
    with pytest.raises(TypeError, match=r"score_pairs\(model, pairs\). Received: Pairs, object"):
        evaluation.score_pairs(toy_pairs, object())
