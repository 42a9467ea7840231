"""`siamese-nn verifier make`, and the verifier that it leaves."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import cli, datasets


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Drawn faces of enough people for three sides, and a Keras model that knows nothing of them."""
    folder = tmp_path_factory.mktemp("people")
    few = {"n_train_identities": 104, "n_test_identities": 26, "images_per_identity": 2}
    drawn = datasets.make_toy_faces(folder / "drawn", train_pairs=20, test_pairs=20, **few)
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [layers.Input((50, 50, 1)), layers.Flatten(), layers.Dense(16, use_bias=False)]
    )
    model.save(folder / "own.keras")
    return drawn / "lfw2", folder / "own.keras"


def test_a_verifier_is_made_and_used(people, tmp_path, capsys, monkeypatch):
    photos, model = people
    words = ["verifier", "make", "--keras", str(model), "--data", str(photos), str(tmp_path / "own")]
    assert cli.main([*words, "--mean", "127", "--cohort"]) == 0
    out = capsys.readouterr().out
    report = json.loads((tmp_path / "own" / "report.json").read_text())
    page = (tmp_path / "own" / "report.html").read_text()
    assert f"{report['accuracy']:.1%}" in page and "Wrongly: the worst false accepts" in page
    assert "sequential" in page and "NormalizedScores" in page
    assert not re.search('(src|href)=(?!"data:)', page)  # nothing from elsewhere
    assert f"{report['accuracy']:.4f}" in out and "It is not known on whom the network was trained" in out
    assert out.splitlines()[-1].startswith(f"Result: accuracy {report['accuracy']:.1%} (95% interval ")
    pair = [str(path) for path in sorted(photos.glob("*/*.jpg"))[:2]]
    assert cli.main(["verify", str(tmp_path / "own"), *pair, "--json"]) in (0, 3)
    answer = json.loads(capsys.readouterr().out)
    assert answer["threshold"] == report["threshold"] and np.isfinite(answer["score"])
    with monkeypatch.context() as patch:  # before anything that takes minutes
        patch.setattr("siamese_nn.verification.embedding.Embedding.of_keras", None)
        assert cli.main(words) == 1
    assert "must be new, or empty" in capsys.readouterr().err


def test_a_function_is_named_on_the_command_line(people, tmp_path, monkeypatch, capsys):
    code = "def rows(images):\n    return images.mean(axis=2)[..., 0] / 255 - 0.5\n"
    (tmp_path / "of_rows.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    photos, _ = people
    words = ["verifier", "make", "--function", "of_rows:rows", "--data", str(photos), "own", "--name", "rows"]
    assert cli.main(words) == 1
    assert "`--function` needs `--image-size HEIGHT WIDTH`" in capsys.readouterr().err
    assert cli.main([*words, "--image-size", "24", "20", "--channels", "1"]) == 0
    assert "take own as a run, with `--function of_rows:rows`" in capsys.readouterr().out
    settings = json.loads((tmp_path / "own" / "verifier.json").read_text())["embedding"]
    assert (settings["name"], settings["image_size"], settings["channels"]) == ("rows", [24, 20], 1)
    pair = [str(path) for path in sorted(photos.glob("*/*.jpg"))[:2]]
    assert cli.main(["verify", "own", *pair]) == 1
    assert "Give it: `Verifier.load(folder, function=" in capsys.readouterr().err
    assert cli.main(["verify", "own", *pair, "--function", "of_rows:rows", "--json"]) in (0, 3)
    assert np.isfinite(json.loads(capsys.readouterr().out)["score"])


def test_photos_that_cannot_be_used_are_left_out_with_their_pairs(people, tmp_path, caplog, capsys):
    photos, model = people
    own = datasets.load_people(photos)
    bad = [str(side.left[0]) for side in (own.validation, own.test)] + [own.photos[min(own.photos)][0]]
    shutil.copytree(photos, tmp_path / "photos")
    bad = [path.replace(str(photos), str(tmp_path / "photos")) for path in bad]
    for path in bad:
        Path(path).write_bytes(b"no photo")
    words = ["verifier", "make", "--keras", str(model), "--data", str(tmp_path / "photos"), "--mean", "127"]
    assert cli.main([*words, str(tmp_path / "own"), "--plda"]) == 0
    named = [message for message in caplog.messages if message.startswith("left out: ")]
    assert len(named) == 3 and all(any(path in message for message in named) for path in bad)
    report = json.loads((tmp_path / "own" / "report.json").read_text())
    lost = int(((own.test.left == own.test.left[0]) | (own.test.right == own.test.left[0])).sum())
    assert report["n_same"] + report["n_different"] == len(own.test) - lost
    assert f"{lost} of {len(own.test)} pairs need photos that were left out" in caplog.text


def test_the_output_of_an_onnx_file_and_its_size_are_named(people, tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    info, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    nodes = [onnx.helper.make_node("ReduceMean", ["photos", "axes"], [name], keepdims=0) for name in "ab"]
    nodes[0] = onnx.helper.make_node("Identity", ["photos"], ["a"])
    axes = onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [1, 3])
    outputs = [info("a", floats, ("n", 1, "h", "w")), info("b", floats, ("n", "h"))]
    graph = onnx.helper.make_graph(nodes, "g", [info("photos", floats, ("n", 1, "h", "w"))], outputs, [axes])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "rows.onnx")
    words = [
        "verifier",
        "make",
        "--onnx",
        str(tmp_path / "rows.onnx"),
        "--data",
        str(people[0]),
        "--mean",
        "127",
    ]
    assert cli.main([*words, str(tmp_path / "own")]) == 1
    assert "`image_size` must be given" in capsys.readouterr().err
    words += ["--image-size", "24", "20", "--network-output", "1"]
    assert cli.main([*words, str(tmp_path / "own")]) == 0
    settings = json.loads((tmp_path / "own" / "verifier.json").read_text())["embedding"]
    assert settings["source"]["output"] == "b" and settings["image_size"] == [24, 20]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--colours", "bgr"], "`--colours` is for `--onnx`. Received it with `--keras`"),
        (["--std", "0"], "`--std` must not be 0"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_is_wrong_is_one_message(people, tmp_path, words, message, capsys):
    photos, model = people
    command = ["verifier", "make", "--keras", str(model), "--data", str(photos), str(tmp_path / "own")]
    assert cli.main([*command, *words]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "own").exists()
