"""What is saved in one process is loaded in another, which has imported the package alone."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import losses, models
from siamese_nn.models.pretrained import pretrained
from siamese_nn.models.resnext import _resnext

SHAPE = (32, 32, 1)
# One process for all, for to import TensorFlow takes longer than to load them. It says what it found of each.
SCRIPT = """
import json, pathlib, sys
import numpy as np, tensorflow as tf
import siamese_nn.losses, siamese_nn.models
folder = pathlib.Path(sys.argv[1])
photos = np.load(folder / "photos.npy")
found = {}
for path in sorted(folder.glob("*.keras")):
    model = tf.keras.models.load_model(path, safe_mode=True)
    inputs = [*photos][: len(model.inputs)]
    np.save(path.with_suffix(".npy"), model(inputs if len(inputs) > 1 else inputs[0]))
    found[path.stem] = {"trainable": len(model.trainable_weights)}
    if path.stem.startswith("siamese "):
        found[path.stem]["inputs"] = len(siamese_nn.models.embedding_model(model).inputs)
    if path.stem.startswith("loss "):
        found[path.stem] |= {"loss": type(model.loss).__name__, "config": model.loss.get_config()}
    if path.stem == "monitors":
        values = model.evaluate(photos[0], np.array([0, 0, 1, 1]), return_dict=True, verbose=0)
        found[path.stem]["values"] = values
for path in sorted((folder / "functions").iterdir()):
    function = getattr(siamese_nn.losses, path.stem)
    found[f"function {path.name}"] = tf.keras.models.load_model(path).loss is function
print(json.dumps(found))
"""
LOSSES = [
    losses.ContrastiveLoss(0.8),
    losses.CosineEmbeddingLoss(0.1),
    losses.TripletLoss(0.3),
    losses.TripletSemiHardLoss(0.5),
    losses.TripletHardLoss(0.4, soft=True),
    losses.HarmonicTripletLoss(0.3),
    losses.CircleLoss(32.0, 0.3),
    losses.MultiSimilarityLoss(alpha=3.0),
    losses.CosFaceLoss(8.0, 0.2),
    losses.ArcFaceLoss(8.0, 0.25),
    losses.SphereFaceLoss(8.0, 3),
]


FUNCTIONS = [name for name in losses.__all__ if name.endswith("_loss")]


def backbone() -> tf.keras.Model:
    image = tf.keras.Input(SHAPE)
    features = tf.keras.layers.Conv2D(4, 5, strides=4, activation="relu")(image)
    return tf.keras.Model(image, tf.keras.layers.Dense(8)(tf.keras.layers.Flatten()(features)))


def compiled(loss: tf.keras.losses.Loss) -> tf.keras.Model:
    classifies = "scale" in loss.get_config() and not isinstance(loss, losses.CircleLoss)
    model = models.classifier(backbone(), 4) if classifies else backbone()
    model.compile("sgd", loss)
    return model


def with_monitors() -> tf.keras.Model:
    monitors = losses.ActiveTriplets(0.5), losses.PositiveDistance("angular"), losses.NegativeDistance()
    model = backbone()
    model.compile("sgd", losses.TripletSemiHardLoss(0.5), metrics=[*monitors])
    return model


def after_a_mean_face(photos: np.ndarray) -> tf.keras.Model:
    mean_face, image = models.MeanFace(), tf.keras.Input(SHAPE)
    mean_face.adapt(photos)
    return tf.keras.Model(image, models.face_cnn(SHAPE)(mean_face(image)))


def all_models(photos: np.ndarray) -> dict[str, tf.keras.Model]:
    def triplet(size=None):
        return models.triplet_embedding(backbone(), size)

    pairs = (
        models.l1_sigmoid,
        models.euclidean_contrastive,
        models.cosine_embedding,
        models.cosine_sigmoid,
        models.decision_network,
        models.triplet_embedding,
    )
    return {
        **{f"siamese {build.__name__}": build(backbone()) for build in pairs},
        "siamese explicit_triplets": models.explicit_triplets(triplet()),
        "siamese harmonic": models.harmonic_embedding(triplet(4), triplet(4)),
        "siamese classifier": models.classifier(backbone(), 4),
        "frozen in part": pretrained("MobileNet", SHAPE, weights=None, trainable="upper_half"),
        "ResNeXt": _resnext((1, 1, 1, 1), SHAPE, None, "avg", "resnext"),
        "mean face": after_a_mean_face(photos),
        "monitors": with_monitors(),
        **{f"loss {loss.name}": compiled(loss) for loss in LOSSES},
    }


def test_what_is_saved_is_loaded_in_a_fresh_process_and_scores_the_same(tmp_path):
    photos = np.random.default_rng(0).random((3, 4, *SHAPE), np.float32)
    np.save(tmp_path / "photos.npy", photos)
    saved = all_models(photos[0])
    for name, model in saved.items():
        model.save(tmp_path / f"{name}.keras")
    (tmp_path / "functions").mkdir()
    small = tf.keras.Sequential([tf.keras.Input((6,)), tf.keras.layers.Dense(6)])
    for name in FUNCTIONS:
        small.compile("sgd", getattr(losses, name))
        for suffix in (".keras", ".h5"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Keras's, that .h5 is old
                small.save(str(tmp_path / "functions" / f"{name}{suffix}"))
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    functions = {name for name in found if name.startswith("function ")}
    assert len(functions) == 2 * len(FUNCTIONS) and all(found.pop(name) for name in functions)
    assert found.keys() == saved.keys() and 0 < found["frozen in part"]["trainable"] < 81
    for name, model in saved.items():
        inputs = [*photos][: len(model.inputs)]
        expected = model(inputs if len(inputs) > 1 else inputs[0])
        assert np.ptp(expected) > 0, name
        got = np.load(tmp_path / f"{name}.npy")
        if name.startswith("siamese "):
            np.testing.assert_array_equal(got, expected, err_msg=name)  # bit by bit
        else:
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=name)
        assert found[name]["trainable"] == len(model.trainable_weights), name
        assert found[name].get("inputs", 1) == 1, name
    for loss in LOSSES:
        of = found[f"loss {loss.name}"]
        assert (of["loss"], of["config"]) == (type(loss).__name__, json.loads(json.dumps(loss.get_config())))
    values = saved["monitors"].evaluate(photos[0], np.array([0, 0, 1, 1]), return_dict=True, verbose=0)
    assert len(values) == 4 and found["monitors"]["values"] == pytest.approx(values, rel=1e-4, abs=1e-5)
