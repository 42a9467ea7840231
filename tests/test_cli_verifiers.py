"""`siamese-nn verifier make`, and the verifier that it leaves."""

import json
import re

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


def test_a_verifier_is_made_and_used(people, tmp_path, capsys):
    photos, model = people
    words = ["verifier", "make", "--keras", str(model), "--data", str(photos), str(tmp_path / "own")]
    assert cli.main([*words, "--mean", "127", "--cohort"]) == 0
    out = capsys.readouterr().out
    report = json.loads((tmp_path / "own" / "report.json").read_text())
    page = (tmp_path / "own" / "report.html").read_text()
    assert f"{report['accuracy']:.1%}" in page and "Wrongly: the worst false accepts" in page
    assert "sequential" in page and "NormalizedScores" in page
    assert not re.search('(src|href)=(?!"data:)', page)  # nothing from elsewhere
    assert f"{report['accuracy']:.4f}" in out and "Whom the network was trained on is not known" in out
    pair = [str(path) for path in sorted(photos.glob("*/*.jpg"))[:2]]
    assert cli.main(["verify", str(tmp_path / "own"), *pair, "--json"]) in (0, 3)
    answer = json.loads(capsys.readouterr().out)
    assert answer["threshold"] == report["threshold"] and np.isfinite(answer["score"])
    assert cli.main(words) == 1
    assert "must be new, or empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--colours", "bgr"], "`--colours` is for ONNX files"),
        (["--std", "0"], "`std` must not be 0"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_is_wrong_is_one_message(people, tmp_path, words, message, capsys):
    photos, model = people
    command = ["verifier", "make", "--keras", str(model), "--data", str(photos), str(tmp_path / "own")]
    assert cli.main([*command, *words]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "own").exists()
