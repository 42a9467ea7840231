import math

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import datasets, evaluation, models, training

SIZE = (32, 32)


def small_backbone() -> tf.keras.Model:
    image = tf.keras.Input((*SIZE, 1))
    features = tf.keras.layers.Conv2D(4, 5, strides=4, activation="relu")(image)
    return tf.keras.Model(image, tf.keras.layers.Dense(8)(tf.keras.layers.Flatten()(features)))


def pair_data(pairs):
    return datasets.pair_dataset(pairs, image_size=SIZE, batch_size=16)


@pytest.mark.parametrize("build", [models.l1_sigmoid, models.euclidean_contrastive, models.triplet_embedding])
def test_each_epochs_figures_are_those_of_the_scores(build, toy_pairs, toy_test):
    model = build(small_backbone())
    model.compile("adam", "mse")
    data = pair_data(toy_pairs)
    if len(model.inputs) == 1:
        data = data.map(lambda images, same: (images[0], tf.zeros((tf.shape(same)[0], 128))))
    expected = []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            scores = evaluation.score_pairs(model, toy_test)
            expected.append(evaluation.verification_report(scores, toy_test.same, threshold=0.0))
            assert logs["val_eer"] == expected[-1].eer  # callbacks that follow see the figures

    callbacks = [training.VerificationCallback(toy_test), Look()]
    history = model.fit(data, epochs=2, callbacks=callbacks, verbose=0).history
    assert history["val_eer"] == [report.eer for report in expected]
    assert history["val_auc"] == [report.auc for report in expected]
    assert history["val_verification_accuracy"] == [report.best_accuracy for report in expected]


def test_early_stopping_and_checkpoint_go_by_them(toy_pairs, toy_test, tmp_path):
    tf.keras.utils.set_random_seed(0)
    model = models.l1_sigmoid(small_backbone())
    model.compile(tf.keras.optimizers.SGD(1e-9), "binary_crossentropy")  # nothing gets better
    callbacks = training.standard_callbacks(tmp_path / "run", monitor="val_auc", patience=2)
    callbacks = [training.VerificationCallback(toy_test), *callbacks]
    history = model.fit(pair_data(toy_pairs), epochs=9, callbacks=callbacks, verbose=0).history
    assert len(history["val_auc"]) == 3
    assert training.read_history(tmp_path / "run")["val_auc"] == pytest.approx(history["val_auc"])
    assert (tmp_path / "run/model.keras").exists()


def test_the_higher_area_and_the_lower_error_rate_is_the_better():
    assert [
        training.callbacks.mode(name) for name in ("val_auc", "val_verification_accuracy", "accuracy")
    ] == ["max"] * 3
    assert [training.callbacks.mode(name) for name in ("val_eer", "val_loss", "loss")] == ["min"] * 3


def test_a_model_that_diverged_has_no_figures(toy_pairs, toy_test):
    model = models.l1_sigmoid(small_backbone())
    model.compile(tf.keras.optimizers.SGD(float("nan")), "binary_crossentropy")
    callback = training.VerificationCallback(toy_test)
    history = model.fit(pair_data(toy_pairs), callbacks=[callback], verbose=0).history
    assert math.isnan(history["val_eer"][0]) and math.isnan(history["val_auc"][0])


def test_pairs_of_one_class_are_refused(toy_test):
    with pytest.raises(ValueError, match="of the same person and some of different"):
        training.VerificationCallback(toy_test[toy_test.same == 1])


def test_arguments_are_checked(toy_test):
    for wrong in ([("a", "b", 1)], "pairs.txt", None):
        with pytest.raises(ValueError, match=f"`pairs` must be a `Pairs`. Received: {type(wrong).__name__}"):
            training.VerificationCallback(wrong)
    for wrong in (0, -1, 2.5, None):
        with pytest.raises(ValueError, match=f"`batch_size` must be.*Received: batch_size={wrong}"):
            training.VerificationCallback(toy_test, batch_size=wrong)


def test_decoded_photos_are_taken_as_they_are(toy_test, monkeypatch):
    photos = datasets.DecodedPhotos(toy_test.distinct_images()[0], datasets.PhotoFormat(SIZE, (120, 120)))
    with pytest.raises(ValueError, match="`crop` can't be given with `photos`"):
        training.VerificationCallback(toy_test, crop=(120, 120), photos=photos)
    model = models.l1_sigmoid(small_backbone())

    def figures(**options):
        callback = training.VerificationCallback(toy_test, **options)
        callback.set_model(model)
        callback.on_train_begin()
        logs = {}
        callback.on_epoch_end(0, logs)
        return logs

    expected = figures(crop=(120, 120))
    assert len(photos[:]) == len(photos)  # all are decoded now
    monkeypatch.setattr(datasets.images, "load_image", lambda *_, **__: pytest.fail("decoded again"))
    assert figures(photos=photos) == expected


@pytest.mark.parametrize("shape", [(8,), (None, None, 1)])
def test_a_model_of_something_else_is_refused(toy_test, shape):
    model = tf.keras.Sequential(
        [tf.keras.Input(shape), tf.keras.layers.Flatten(), tf.keras.layers.Activation("tanh")]
    )
    callback = training.VerificationCallback(toy_test)
    callback.set_model(model)
    with pytest.raises(ValueError, match=r"model must take images.*Received: input shape \(None, "):
        callback.on_train_begin()


def test_triplets_are_drawn_by_the_model_as_it_is(toy_pairs):
    paths = toy_pairs.distinct_images()[0]
    names = [path.rsplit("/", 2)[1] for path in paths]
    images = datasets.load_images(paths, image_size=SIZE)
    model = models.explicit_triplets(models.triplet_embedding(small_backbone(), 8))
    sampler = training.ViolatingTriplets(images, names, margin=0.1, seed=3)
    data = datasets.triplet_dataset(paths, sampler.plan, batch_size=32, image_size=SIZE)
    seen = []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            embeddings = evaluation.embed(self.model, images)
            expected = datasets.sample_violating_triplets(embeddings, names, margin=0.1, seed=[3, epoch])
            assert np.array_equal(sampler.plan(0), expected)
            seen.append(expected)

    model.compile(tf.keras.optimizers.Adam(0.01), "mse")
    model.fit(data, epochs=3, callbacks=[Look(), sampler], verbose=0)
    assert len(seen) == 3 and not np.array_equal(seen[0], seen[1])
