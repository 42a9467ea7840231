"""An exported run: the same answers from another format, or a refusal that leaves nothing."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from siamese_nn import Verifier, datasets, evaluation, models, training, verification
from siamese_nn.cli import main
from siamese_nn.evaluation.comparison import Cosine
from siamese_nn.evaluation.learnt_head import LearntHead
from siamese_nn.models import face
from siamese_nn.verification import export as export_module
from siamese_nn.verification.embedding import Embedding
from siamese_nn.verification.export import FORMATS, export, openvino_function
from siamese_nn.verification.keras_network import LearntComparison, in_float32, without_tensorflow
from siamese_nn.verification.litert_network import LitertNetwork
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
    "patches": replace(
        training.RECIPES["face-patches"],
        epochs=1,
        patience=1,
        image_size=(48, 42),
        augmentation=datasets.Augmentation(margin=1, cutout=0),
    ),
}


def one_convolution(image, embedding_size, drop_rate):
    """A network of `face_patches`, with each of its layers once: to trace three whole ones takes long."""
    features = face.PhotoStandardization(dtype="float32")(image)
    features = tf.keras.layers.MaxPooling2D()(face._convolution(features, 8, size=5, strides=2))
    features = tf.keras.layers.Dropout(drop_rate)(tf.keras.layers.Flatten()(features))
    features = tf.keras.layers.Dense(embedding_size, use_bias=False)(features)
    return tf.keras.layers.BatchNormalization(momentum=0.9)(features)


@pytest.fixture(scope="module")
def runs(toy_pairs, tmp_path_factory):
    """A function that gives the folder of a run on drawn faces, trained when it is first asked for."""
    train, val = datasets_of(toy_pairs)

    @cache
    def run(name):
        folder = tmp_path_factory.mktemp("runs") / name
        photos = None if RECIPES[name].kind == "pairs" else photos_of(train)
        with pytest.MonkeyPatch.context() as patch:
            if name == "patches":
                patch.setattr(face, "_features", one_convolution)
            training.train(RECIPES[name], train, val, folder, photos=photos)
        return folder

    return run


@pytest.fixture(scope="module")
def exports(runs, tmp_path_factory):
    """A function that gives the export of a run, written when it is first asked for."""

    @cache
    def exported(name, format):
        for package in export_module._EXTRAS.get(format, ()):
            pytest.importorskip(package)
        # What 8 bits change in a network that has hardly learnt is anybody's guess.
        most_changed = 0.99 if format == "litert-8bit" else 0.05
        folder = tmp_path_factory.mktemp("exports") / "out"
        return export(runs(name), folder, format=format, most_changed=most_changed)

    return exported


@needs_keras_3
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "format"),  # patches in the two formats that phones and pages read: what differs is one layer
    [
        (name, format)
        for name in RECIPES
        for format in FORMATS
        if name != "patches" or format in ("onnx", "litert")
    ],
)
def test_an_export_answers_as_the_run(runs, exports, name, format, toy_pairs):
    exported, run = exports(name, format), Verifier.load(runs(name))
    folder, check = exported.folder, exported.check
    functions = {
        "saved-model": lambda: Embedding.of_saved_model(folder / "saved_model").function,
        "openvino": lambda: openvino_function(folder / "openvino"),
    }
    function = functions[format]() if format in functions else None
    exported = Verifier.load(folder, function=function)
    before, after = (own.score_pairs(datasets_of(toy_pairs)[1]) for own in (run, exported))
    if format != "litert-8bit":  # the run of `face` computes in bfloat16
        np.testing.assert_allclose(before, after, rtol=0, atol=0.1 if name == "face" else 1e-5)
    assert check.largest_difference == pytest.approx(np.abs(before - after).max(), abs=1e-5)
    assert check.changed == ((before >= run.threshold) != (after >= run.threshold)).sum()
    assert (exported.threshold, exported.calibration) == (run.threshold, run.calibration)
    assert exported.seen_people == run.seen_people
    assert np.array_equal(exported.held_out.scores, run.held_out.scores)
    text = (folder / "README.md").read_text()
    assert "The face must lie in the photos where" in text
    assert f"{check.accuracy:.2%}" in text and run.provenance["model_sha256"] in text


@needs_keras_3
@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "litert", "openvino"])
def test_textures_can_be_exported(format, tmp_path):
    for package in export_module._EXTRAS.get(format, ()):
        pytest.importorskip(package)
    image = tf.keras.Input((48, 32, 1), name="image")
    layers = models.LocalBinaryPatterns(), models.LocalPhaseQuantization()
    model = tf.keras.Model(image, tf.keras.layers.Concatenate()([layer(image) for layer in layers]))
    path = tmp_path / "textures"
    export_module._write_network(model, path, format)
    read = {
        "onnx": lambda: Embedding.of_onnx(path, frame=None, std=255.0, image_size=(48, 32)).function,
        "litert": lambda: Embedding.of_litert(path, frame=None).function,
        "openvino": lambda: openvino_function(path),
    }
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 32, 1), np.uint8)
    found = read[format]()(images)
    np.testing.assert_allclose(found, model(images / np.float32(255)), atol=1e-6)


def block(language):
    """What the page shows of a language."""
    page = Path(__file__).parents[2] / "docs" / "use_elsewhere.md"
    (found,) = re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return found


@needs_keras_3
@pytest.mark.slow
def test_the_pages_script_answers_as_the_library_without_it(exports, tmp_path, toy_test):
    script = tmp_path / "same.py"
    script.write_text(block("python"))

    def said(*words):
        forbid = "sys.modules.update(dict.fromkeys(('siamese_nn', 'tensorflow', 'keras', 'scipy')))"
        code = f"import runpy, sys; {forbid}; runpy.run_path(sys.argv.pop(1))"
        words = [sys.executable, "-c", code, script, *words]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
        return done.stdout + done.stderr

    for name in ("face", "l1_sigmoid"):  # by cosine, and learnt
        folder = exports(name, "onnx").folder
        answer = Verifier.load(folder).verify(toy_test.left[0], toy_test.right[0], align=False)
        found = said(folder, toy_test.left[0], toy_test.right[0])
        score = float(re.match(r"(same|different), score (\S+), threshold \S+\n$", found)[2])
        assert score == pytest.approx(answer.score, abs=2e-6)
        assert found.startswith("same") == answer.same
    Image.new("L", (240, 250)).save(tmp_path / "small.png")
    assert "must be upright, grey or RGB" in said(folder, toy_test.left[0], tmp_path / "small.png")
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    flip(damaged / "embedding.onnx")
    assert "must be a whole export" in said(damaged, toy_test.left[0], toy_test.right[0])


DRIVE = """<script type="module">
const output = document.querySelector("output"), files = new DataTransfer();
while (output.textContent !== "Ready.") await new Promise((resolve) => setTimeout(resolve, 50));
for (const name of ["a.jpg", "b.jpg"]) files.items.add(new File([await (await fetch(name)).blob()], name));
document.querySelector("input").files = files.files;
document.querySelector("input").dispatchEvent(new Event("change"));
while (output.textContent === "Ready.") await new Promise((resolve) => setTimeout(resolve, 50));
await fetch("answer", { method: "POST", body: output.textContent });
</script></html>"""


@needs_keras_3
@pytest.mark.slow
def test_the_pages_browser_example_answers_as_the_library(exports, tmp_path, toy_test):
    packages, chromium = Path(__file__).parents[2] / "node_modules", shutil.which("chromium")
    if not (packages / "onnxruntime-web").exists() or chromium is None:
        pytest.skip("needs Chromium, and `npm install --no-save onnxruntime-web` in the repository's root")
    exported = exports("face", "onnx").folder
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "exported").symlink_to(exported)
    (tmp_path / "same.html").write_text(block("html").replace("</html>", DRIVE))
    for name, photo in (("a.jpg", toy_test.left[0]), ("b.jpg", toy_test.right[0])):
        shutil.copyfile(photo, tmp_path / name)
    said = Queue()

    class Handler(SimpleHTTPRequestHandler):
        def do_POST(self):
            said.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        # Time is real: by `--virtual-time-budget`, a busy machine's page ends before WebAssembly is compiled.
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        words += [f"--user-data-dir={tmp_path / 'profile'}"]
        words += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # no other host
        address = f"http://127.0.0.1:{server.server_port}/same.html"
        with subprocess.Popen([chromium, *words, address], stderr=subprocess.DEVNULL) as browser:
            try:
                found = said.get(timeout=300)
            finally:
                browser.terminate()
        server.shutdown()
    answer = Verifier.load(exported).verify(toy_test.left[0], toy_test.right[0], align=False)
    verdict, score = re.match(r"(.*?)\. Score (\S+), threshold", found).groups()
    assert verdict == ("The same person" if answer.same else "Different people")
    assert float(score) == pytest.approx(answer.score, abs=1e-5)


def flip(path):
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


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
def run(runs):
    return runs("l1_sigmoid")


@needs_keras_3
@pytest.mark.slow
def test_it_is_read_in_a_fresh_process(run, exports, toy_test):
    out = exports("l1_sigmoid", "litert").folder
    pair = toy_test.left[0], toy_test.right[0]
    code = f"from siamese_nn import Verifier; print(Verifier.load({str(out)!r}).verify(*{pair!r}).score)"
    code = code.replace("np.str_(", "str(")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(Verifier.load(run).verify(*pair).score, abs=1e-5)


@needs_keras_3
@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_bit_that_changed_or_a_lost_file_is_refused(exports, format, tmp_path):
    out = shutil.copytree(exports("l1_sigmoid", format).folder, tmp_path / "out")
    function = np.zeros if format in ("saved-model", "openvino") else None  # it comes to no call
    settings = json.loads((out / "verifier.json").read_text())
    for name in ("verifier.json", "arrays.npz", *settings["run"]["files"]):
        whole = (out / name).read_bytes()
        flip(out / name)
        with pytest.raises(ValueError, match=Path(name).name.replace(".", r"\.")):
            Verifier.load(out, function=function)
        (out / name).unlink()
        lost = " is missing| no run folder|for a folder that `Verifier.save` wrote"
        with pytest.raises((FileNotFoundError, ValueError), match=lost):
            Verifier.load(out, function=function)
        (out / name).write_bytes(whole)


@needs_keras_3
@pytest.mark.slow
@pytest.mark.parametrize("format", ["litert", "openvino"])
def test_two_threads_get_their_own_answers(exports, format):
    folder = exports("l1_sigmoid", format).folder
    path, settings = folder / FORMATS[format], json.loads((folder / "verifier.json").read_text())["embedding"]
    if format == "litert":
        network = LitertNetwork(path)
        whole = network._network

        class Slow:
            """The interpreter, which another thread overtakes."""

            def __getattr__(self, name):
                return getattr(whole, name)

            def invoke(self):
                time.sleep(0.2)
                whole.invoke()

        network._network = Slow()
    else:
        network = openvino_function(path)
    shape = (2, 1, *settings["image_size"], settings["channels"])
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    wanted = [network(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for vector, alone in zip(pool.map(network, [*images] * 10), wanted * 10, strict=True):
            np.testing.assert_array_equal(vector, alone)


@needs_keras_3
@pytest.mark.slow
@pytest.mark.parametrize("format", ["saved-model", "openvino"])
def test_the_refusal_names_the_function_that_computes_it(exports, format):
    folder = exports("l1_sigmoid", format).folder
    with pytest.raises(ValueError, match=f"an export to {format}.*Verifier.load") as refused:
        Verifier.load(folder)
    (remedy,) = re.findall("`(.*)`", str(refused.value))
    known = {"Verifier": Verifier, "Embedding": Embedding, "verification": verification, "folder": folder}
    assert eval(remedy, known).threshold


@needs_keras_3
@pytest.mark.slow
def test_a_killed_export_leaves_nothing_that_loads_and_the_next_one_works(run, tmp_path, capsys):
    code = (
        "import os, signal\n"
        "from siamese_nn.verification import export\n"
        "written = export._write_network\n"
        "def killed(*words):\n"
        "    written(*words)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "export._write_network = killed\n"
        f"export.export({str(run)!r}, {str(tmp_path / 'out')!r}, format='saved-model')\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "out" / "saved_model").exists()
    for folder in (left / "out", tmp_path / "out"):
        with pytest.raises(FileNotFoundError, match="is no run folder"):
            Verifier.load(folder)
    assert (
        main(["export", str(run), "--format", "saved-model", "--out", str(tmp_path / "out"), "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["changed"] == 0
    assert [*tmp_path.iterdir()] == [tmp_path / "out"]


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
def test_a_full_disk_and_lost_scores_are_told(run, tmp_path, monkeypatch, capsys):
    def full(tower, path, format):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    copied = shutil.copytree(run, tmp_path / "run")
    monkeypatch.setattr(export_module, "_write_network", full)
    words = ["export", str(copied), "--format", "saved-model", "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert re.search(r"disk of .*out.*No space left on device.*Make room", capsys.readouterr().err)
    (copied / "scores.json").unlink()
    assert main(words) == 1
    assert "scores.json is missing. Give the same `siamese-nn train`" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [copied]


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
    assert {path.name for path in tmp_path.iterdir()} == {"run", "moved", "out"}


def test_photos_in_shards_are_found_and_looked_for(toy_dir, tmp_path, monkeypatch):
    for name in sorted(path.name for path in (toy_dir / "lfw2").iterdir())[:2]:
        shutil.copytree(toy_dir / "lfw2" / name, tmp_path / "people" / name)
    datasets.write_shards(tmp_path / "people", tmp_path / "shards")
    names = [own[0] for own in datasets.read_shards(tmp_path / "shards").values()]
    columns = {"left": names[:1], "right": names[1:], "same": [0], "best": [0.5]}
    columns |= {"left_identities": ["Ada"], "right_identities": ["Bob"]}
    monkeypatch.setattr(export_module, "read_scores", lambda _: {"test": columns})
    assert export_module._pairs(tmp_path, "test", None)[0].left.tolist() == names[:1]
    moved = (tmp_path / "shards").rename(tmp_path / "moved")
    pairs, _ = export_module._pairs(tmp_path, "test", moved)
    assert datasets.load_images([*pairs.left, *pairs.right]).shape == (2, 125, 125, 1)


def test_wrong_arguments_are_told(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`format` must be one of"):
        export("run", tmp_path / "out", format="caffe")
    with pytest.raises(ValueError, match="`most_changed` must be in"):
        export("run", tmp_path / "out", format="saved-model", most_changed=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    (tmp_path / "present").mkdir()
    monkeypatch.chdir(tmp_path / "present")
    for folder in (tmp_path / "full", ".", tmp_path / "present"):  # who is in it would not see what came
        with pytest.raises(ValueError, match="`folder` must be new, or empty"):
            export("run", folder, format="saved-model")
    monkeypatch.setattr(export_module, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"siamese_nn\[export\].*Missing: tf2onnx, onnxruntime"):
        export("run", tmp_path / "out", format="onnx")
    monkeypatch.setattr(tf, "__version__", "2.19.1")
    with pytest.raises(ValueError, match=r"TensorFlow 2\.20 or later.*Received: TensorFlow 2\.19\.1"):
        export("run", tmp_path / "out", format="saved-model")


def test_the_command_knows_all_formats():
    from siamese_nn.cli.export import _FORMATS

    assert tuple(FORMATS) == _FORMATS
