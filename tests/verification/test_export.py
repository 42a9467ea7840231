"""An exported run: the same answers from another format, or a refusal that leaves nothing."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import Verifier, evaluation, models, training
from siamese_nn.cli import main
from siamese_nn.evaluation.comparison import Cosine
from siamese_nn.evaluation.learnt_head import LearntHead
from siamese_nn.verification import export as export_module
from siamese_nn.verification.embedding import Embedding
from siamese_nn.verification.export import FORMATS, export, openvino_function
from siamese_nn.verification.keras_network import LearntComparison, in_float32, without_tensorflow
from stacks import KERAS_3

HEADS = {
    "l1_sigmoid": models.l1_sigmoid,
    "cosine_sigmoid": models.cosine_sigmoid,
    "decision_network": models.decision_network,
    "decision_network_2": lambda backbone: models.decision_network(backbone, neurons=2),
    "euclidean_contrastive": models.euclidean_contrastive,
    "cosine_embedding": models.cosine_embedding,
    "triplet_embedding": models.triplet_embedding,
}
needs_keras_3 = pytest.mark.skipif(not KERAS_3, reason="export needs TensorFlow 2.20")


@pytest.mark.parametrize("name", HEADS)
def test_numpy_compares_as_the_model_does(name):
    image = tf.keras.Input((6, 6, 1))
    features = tf.keras.layers.Dense(24)(tf.keras.layers.Flatten()(image))
    model = HEADS[name](tf.keras.Model(image, features))
    rng = np.random.default_rng(0)
    model.set_weights([weight + 0.1 * rng.normal(size=weight.shape) for weight in model.get_weights()])
    n = models.embedding_model(model).output_shape[1]
    left, right = rng.normal(size=(2, 7, n)).astype(np.float32)
    comparison = without_tensorflow(model)
    if not isinstance(comparison, str):
        comparison = LearntHead.of_arrays(comparison.arrays())
    else:
        comparison = Embedding(np.zeros, (8, 8), "any", metric=comparison).comparison
    left_prepared, right_prepared = comparison.prepare(left), comparison.prepare(right)
    wanted = evaluation.compare(model, left, right)
    # An index of a gallery proposes whom the cosines do: only where they are the scores.
    are_cosines = np.allclose(wanted, Cosine().pairs(*map(Cosine().prepare, (left, right))), atol=1e-5)
    assert (
        LearntComparison(model).by_cosines
        == are_cosines
        == (name in ("cosine_embedding", "triplet_embedding"))
    )
    np.testing.assert_allclose(comparison.pairs(left_prepared, right_prepared), wanted, rtol=0, atol=2e-6)
    found = np.empty((7, 7), np.float32)
    for row, column, block in comparison.blocks(left_prepared, right_prepared):
        found[row : row + len(block), column : column + block.shape[1]] = block
    np.testing.assert_allclose(np.diag(found), wanted, rtol=0, atol=5e-6)
    assert found[1, 4] == pytest.approx(evaluation.compare(model, left[1:2], right[4:5])[0], abs=5e-6)


def test_a_comparison_of_another_kind_is_refused():
    left, right = tf.keras.Input((4,)), tf.keras.Input((4,))
    head = tf.keras.layers.Dense(1, "tanh")(models.L1Distance()([left, right]))
    comparison = tf.keras.Model([left, right], head, name="comparison")
    images = tf.keras.Input((4,)), tf.keras.Input((4,))
    with pytest.raises(ValueError, match="must be one of `siamese_nn.models`"):
        without_tensorflow(tf.keras.Model(images, comparison(list(images))))
    with pytest.raises(ValueError, match="the last 1 or 2 numbers. Received: 'difference'"):
        LearntHead("difference", ((np.zeros((4, 3)), np.zeros(3)),))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_built_anew_in_float32(policy):
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        half = models.triplet_embedding(models.face_cnn((32, 32, 1)), 8)
    finally:
        tf.keras.mixed_precision.set_global_policy(before)
    whole = in_float32(models.mirror_averaged(half))
    assert all(layer.compute_dtype == "float32" for layer in whole._flatten_layers())
    images = np.random.default_rng(0).random((3, 32, 32, 1), np.float32)
    np.testing.assert_allclose(whole(images), models.mirror_averaged(half)(images), atol=0.05)


RECIPES = {  # each of the ways of comparing, of finishing and of reading a photo, and a half precision
    "l1_sigmoid": training.Recipe(model="l1_sigmoid", units=32, filters=4, epochs=1),
    "face": replace(training.RECIPES["face"], epochs=1, patience=1, precision="mixed_bfloat16"),
    "patches": replace(training.RECIPES["face-patches"], epochs=1, patience=1),
}


# Every format with one run, and every run with the formats that `Verifier.load` reads: each takes 10 to 40 s.
CASES = [("l1_sigmoid", format) for format in FORMATS]
CASES += [("face", "onnx"), ("face", "litert-8bit"), ("patches", "litert")]


@pytest.fixture(scope="module")
def runs(toy_pairs, tmp_path_factory):
    """Three runs on drawn faces."""
    train, val = datasets_of(toy_pairs)
    folder = tmp_path_factory.mktemp("runs")
    for name, recipe in RECIPES.items():
        photos = None if recipe.kind == "pairs" else photos_of(train)
        training.train(recipe, train, val, folder / name, photos=photos)
    return folder


@needs_keras_3
@pytest.mark.slow
@pytest.mark.parametrize(("name", "format"), CASES)
def test_an_export_answers_as_the_run(runs, name, format, tmp_path, toy_pairs):
    for package in export_module._EXTRAS.get(format, ()):
        pytest.importorskip(package)
    in_8_bits = (
        format == "litert-8bit"
    )  # what that changes in a network that has hardly learnt is anybody's guess
    check = export(
        runs / name, tmp_path / "out", format=format, most_changed=0.99 if in_8_bits else 0.05
    ).check
    functions = {
        "saved-model": lambda: Embedding.of_saved_model(tmp_path / "out" / "saved_model").function,
        "openvino": lambda: openvino_function(tmp_path / "out" / "openvino"),
    }
    function = functions[format]() if format in functions else None
    exported, run = Verifier.load(tmp_path / "out", function=function), Verifier.load(runs / name)
    before, after = (own.score_pairs(datasets_of(toy_pairs)[1]) for own in (run, exported))
    if not in_8_bits:  # the run of `face` computes in bfloat16
        np.testing.assert_allclose(before, after, rtol=0, atol=0.1 if name == "face" else 1e-5)
    assert check.largest_difference == pytest.approx(np.abs(before - after).max(), abs=1e-5)
    assert check.changed == ((before >= run.threshold) != (after >= run.threshold)).sum()
    assert (exported.threshold, exported.calibration) == (run.threshold, run.calibration)
    assert exported.seen_people == run.seen_people
    assert np.array_equal(exported.held_out.scores, run.held_out.scores)
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"{check.accuracy:.2%}" in text and run.provenance["model_sha256"] in text


def datasets_of(pairs):
    names = sorted(pairs.identities())
    half = names[: len(names) // 2]
    left, right = np.isin(pairs.left_identities, half), np.isin(pairs.right_identities, half)
    return pairs[left & right], pairs[~left & ~right]


def photos_of(pairs):
    photos = {}
    for side in ("left", "right"):
        for path, name in zip(getattr(pairs, side), getattr(pairs, f"{side}_identities"), strict=True):
            folder = Path(str(path)).parent
            photos[str(name)] = sorted(map(str, folder.glob(f"{name}_*")))
    return photos


@pytest.fixture(scope="module")
def run(toy_pairs, tmp_path_factory):
    train, val = datasets_of(toy_pairs)
    folder = tmp_path_factory.mktemp("run") / "run"
    training.train(RECIPES["l1_sigmoid"], train, val, folder)
    return folder


@needs_keras_3
@pytest.mark.slow
def test_it_is_read_in_a_fresh_process_and_damage_is_refused(run, tmp_path, toy_test, capsys):
    pytest.importorskip("ai_edge_litert")
    out = tmp_path / "out"
    assert main(["export", str(run), "--format", "litert", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == 0
    pair = toy_test.left[0], toy_test.right[0]
    code = f"from siamese_nn import Verifier; print(Verifier.load({str(out)!r}).verify(*{pair!r}).score)"
    code = code.replace("np.str_(", "str(")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(Verifier.load(run).verify(*pair).score, abs=1e-5)
    network = out / "embedding.tflite"
    network.write_bytes(network.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"embedding\.tflite"):
        Verifier.load(out)
    network.unlink()
    with pytest.raises(FileNotFoundError, match=r"embedding\.tflite"):
        Verifier.load(out)


@needs_keras_3
@pytest.mark.slow
def test_what_decides_otherwise_is_refused_and_leaves_nothing(run, tmp_path, monkeypatch):
    written = export_module._write_network

    def broken(tower, path, format):
        rng = np.random.default_rng(0)
        tower.set_weights([rng.normal(size=weight.shape) for weight in tower.get_weights()])
        written(tower, path, format)

    monkeypatch.setattr(export_module, "_write_network", broken)
    with pytest.raises(ValueError, match="on all but 1.0% of its validation pairs. Received: saved-model"):
        export(run, tmp_path / "out", format="saved-model")
    assert not list(tmp_path.iterdir())


@needs_keras_3
@pytest.mark.slow
def test_photos_that_moved_are_looked_for_and_others_refused(run, tmp_path, toy_pairs, toy_dir):
    moved = tmp_path / "moved"
    copied = shutil.copytree(run, tmp_path / "run")
    scores = (copied / "scores.json").read_text()
    (copied / "scores.json").write_text(scores.replace(str(toy_dir), "/gone"))
    with pytest.raises(FileNotFoundError, match="are not where they were, as /gone"):
        export(copied, tmp_path / "out", format="saved-model")
    with pytest.raises(FileNotFoundError, match="`data` must hold all"):
        export(copied, tmp_path / "out", format="saved-model", data=moved)
    shutil.copytree(toy_dir, moved)
    assert export(copied, tmp_path / "out", format="saved-model", data=moved).check.changed == 0
    assert not (tmp_path / ".out.partial").exists()


def test_wrong_arguments_are_told(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`format` must be one of"):
        export("run", tmp_path / "out", format="caffe")
    with pytest.raises(ValueError, match="`most_changed` must be in"):
        export("run", tmp_path / "out", format="saved-model", most_changed=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(ValueError, match="`folder` must be new, or empty"):
        export("run", tmp_path / "full", format="saved-model")
    monkeypatch.setattr(export_module, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"siamese_nn\[export\].*Missing: tf2onnx, onnxruntime"):
        export("run", tmp_path / "out", format="onnx")
    monkeypatch.setattr(tf, "__version__", "2.19.1")
    with pytest.raises(ValueError, match=r"TensorFlow 2\.20 or later.*Received: TensorFlow 2\.19\.1"):
        export("run", tmp_path / "out", format="saved-model")


def test_the_command_knows_all_formats():
    from siamese_nn.cli.export import _FORMATS

    assert tuple(FORMATS) == _FORMATS
