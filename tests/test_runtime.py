"""The verifier without TensorFlow: what `runtime/` takes from this package, and whether it answers alike."""

import ast
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from siamese_nn import Verifier, __version__
from siamese_nn.cli import main
from siamese_nn.verification import Embedding

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[1]
RUNTIME, PACKAGE = ROOT / "runtime", ROOT / "siamese_nn"
SETUP = runpy.run_path(str(RUNTIME / "setup.py"))
OWN_FOLDER = RUNTIME / "siamese_nn_runtime"
OWN = {str(path.relative_to(OWN_FOLDER)) for path in OWN_FOLDER.rglob("*.py")}
# What the answers may not need; SciPy may be needed by `identify` and `cluster`.
HEAVY = ["tensorflow", "keras", "sklearn", "matplotlib", "pandas", "h5py", "prettytable", "tqdm"]
HEAVY += ["requests", "pooch", "filelock", "jinja2"]


def imported(path):
    """The files of the package, one of each several, that a file imports when it is imported itself."""
    room = path.relative_to(PACKAGE).parent
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (PACKAGE / room).parents[node.level - 2] if node.level > 1 else PACKAGE / room
            base = base.joinpath(*(node.module or "").split("."))
            if base.is_dir():
                yield {base / name for alias in node.names for name in (alias.name + ".py", "__init__.py")}
            else:
                yield {base.with_suffix(".py")}


def test_what_the_runtime_takes_imports_nothing_that_it_lacks():
    there = {PACKAGE / name for name in (*SETUP["NAMES"], *OWN)}
    for name in SETUP["NAMES"]:
        for files in imported(PACKAGE / name):
            assert files & there, f"runtime/shared.txt has {name}, and lacks what it imports: {files}"


def test_both_have_one_version():
    (line,) = [
        line
        for line in (RUNTIME / "siamese_nn_runtime/__init__.py").read_text().splitlines()
        if "__version__" in line
    ]
    assert ast.literal_eval(line.split(" = ")[1]) == __version__


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The package as its build makes it, on a path of its own, and a start that forbids heavy imports."""
    folder = tmp_path_factory.mktemp("runtime")
    shutil.copytree(RUNTIME / "siamese_nn_runtime", folder / "siamese_nn_runtime")
    SETUP["take"](SETUP["NAMES"], folder / "siamese_nn_runtime")
    (folder / "mine.py").write_text(
        "import numpy as np\n\n\ndef small(images):\n"
        "    small = images[:, ::5, ::5].reshape(len(images), -1).astype(float)\n"
        "    return small - small.mean(axis=1, keepdims=True)\n"
    )
    (folder / "light.py").write_text(
        "import sys\n\n\ndef forbid(*names):\n    for name in names:\n        sys.modules[name] = None\n"
    )
    return folder


@pytest.fixture(scope="module")
def saved(runtime, toy_pairs):
    """A verifier's folder, and the verifier."""
    sys.path.insert(0, str(runtime))
    try:
        from mine import small
    finally:
        sys.path.pop(0)
    embedding = Embedding(small, (80, 80), "small photos", 1, crop=(200, 200))
    verifier = Verifier.fit(embedding, toy_pairs)
    verifier.save(runtime / "saved")
    return verifier


def in_runtime(runtime, code):
    """Runs code where neither TensorFlow nor this package can be imported."""
    forbid = f"import light; light.forbid('siamese_nn', *{HEAVY})\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path[:0] = [{str(runtime)!r}]\n{forbid}{code}"],
        cwd=runtime,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_answers_as_the_whole_library(runtime, saved, toy_test):
    left, right = toy_test.left.tolist(), toy_test.right.tolist()
    people = {"a": left[:2], "b": right[:1]}
    (found,) = in_runtime(
        runtime,
        "import json\nlight.forbid('scipy')\nfrom siamese_nn_runtime import Verifier\n"
        "v = Verifier.load('saved', function='mine:small')\n"
        f"answers = [[a.same, a.score, a.threshold, a.probability] for a in v.verify({left}, {right})]\n"
        "[sys.modules.pop(name) for name in list(sys.modules) if name.split('.')[0] == 'scipy']\n"
        f"gallery = v.gallery({people})\n"
        f"who = v.identify({right[:3]}, gallery, threshold=0.5, k=2)\n"
        "names = [[w.name, [c.name for c in w.candidates], w.fpir.estimate] for w in who]\n"
        f"print(json.dumps([answers, names, v.cluster({left}).tolist(), gallery.embeddings.tolist()]))",
    )
    answers = [[a.same, a.score, a.threshold, a.probability] for a in saved.verify(left, right)]
    gallery = saved.gallery(people)
    who = saved.identify(right[:3], gallery, threshold=0.5, k=2)
    names = [[w.name, [c.name for c in w.candidates], w.fpir.estimate] for w in who]
    assert found == [answers, names, saved.cluster(left).tolist(), gallery.embeddings.tolist()]


@pytest.fixture(scope="module")
def flat(runtime, toy_pairs):
    """The folder of a verifier over an ONNX file, which flattens photos."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    info, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    node = onnx.helper.make_node("Flatten", ["photos"], ["vectors"])
    photos, vectors = info("photos", floats, ("n", 20, 20, 1)), info("vectors", floats, ("n", 400))
    graph = onnx.helper.make_graph([node], "g", [photos], [vectors])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, runtime / "flat.onnx")
    embedding = Embedding.of_onnx(runtime / "flat.onnx", mean=128, std=64, crop=(200, 200))
    Verifier.fit(embedding, toy_pairs).save(runtime / "flat")
    return runtime / "flat"


def test_its_command_answers_as_siamese_nn(runtime, flat, toy_test, capsys):
    for folder, a in ((flat, toy_test.left[0]), (flat, runtime / "none.jpg"), (runtime, toy_test.left[0])):
        words = ["verify", str(folder), str(a), str(toy_test.right[0]), "--json"]
        code = f"from siamese_nn_runtime.cli import main\nlight.forbid('scipy')\nprint(main({words}))"
        *said, ended = in_runtime(runtime, code)
        assert ended == main(words)
        assert said == [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
def test_it_answers_in_an_environment_without_tensorflow(flat, toy_test, tmp_path, capsys):
    command = ROOT / ".venv-runtime/bin/siamese-nn-runtime"
    if not command.exists():
        pytest.skip("there is no such environment: make .venv-runtime/installed")
    for person, photo in zip(("Ada", "Bob"), toy_test.left, strict=False):
        (tmp_path / person).mkdir()
        shutil.copy(photo, tmp_path / person / "a.jpg")
    left, right = str(toy_test.left[0]), str(toy_test.right[0])
    for words in (
        ["verify", str(flat), left, right],
        ["identify", str(flat), left, "--gallery", str(tmp_path), "--threshold", "0.5"],
        ["cluster", str(flat), str(tmp_path)],
    ):
        done = subprocess.run([command, *words, "--json"], capture_output=True, text=True)
        assert done.returncode == (main([*words, "--json"]) or 0), done.stderr
        assert json.loads(done.stdout) == json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_its_page_answers_and_keeps_nothing(flat, runtime, toy_test, tmp_path):
    folder = ROOT / ".venv-runtime/bin"
    if not (folder / "siamese-nn-runtime").exists():
        pytest.skip("there is no such environment: make .venv-runtime/installed")
    left, right = str(toy_test.left[0]), str(toy_test.right[0])
    people, uploads = tmp_path / "people" / "Ada <b>", tmp_path / "uploads"
    people.mkdir(parents=True)
    uploads.mkdir()
    shutil.copy(left, people)
    whole = Path(left).read_bytes()
    (tmp_path / "no-photo.txt").write_text("no photo")
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, door = folder / "siamese-nn-runtime", str(tmp_path / "door")
    subprocess.run([command, "gallery", "add", str(flat), door, str(people.parent)], check=True)
    card = flat / "README.md"
    card.write_text("# A card\n")
    words = ["app", str(flat), "--gallery", door, "--port", str(port)]
    server = subprocess.Popen(
        [command, *words],
        env={**os.environ, "TMPDIR": str(uploads)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = server.stdout.readline().split()[0]
        assert address == f"http://127.0.0.1:{port}/"
        for number, told in (port, "Give another `--port`"), (65536, "`--port` must be from 1"):
            again = [command, *words[:-1], str(number)]
            refused = subprocess.run(again, capture_output=True, text=True)
            assert refused.returncode == 1 and told in refused.stderr, refused.stderr
            assert "Traceback" not in refused.stderr
        shutil.move(people, people.with_name("Bo <b>"))
        subprocess.run([command, "gallery", "remove", door, people.name], check=True)
        subprocess.run([command, "gallery", "add", str(flat), door, str(people.parent)], check=True)
        code = f"""
import json
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
client = Client({address!r}, verbose=False)
def ask(api, *photos):
    try:
        photos = [photo if isinstance(photo, dict) else photo and handle_file(photo) for photo in photos]
        return client.predict(*photos, api_name=api)[:2]
    except AppError as error:
        return str(error)
asked = [("/verify", {left!r}, {right!r}), ("/identify", {left!r}), ("/verify", {left!r}, None)]
asked += [("/verify", {str(tmp_path / "no-photo.txt")!r}, {left!r})]
asked += [("/verify", {{"path": "http://192.0.2.1/a.jpg", "meta": {{"_type": "gradio.FileData"}}}}, {left!r})]
print(json.dumps(client.config["components"]))
print(json.dumps([ask(*words) for words in (*asked, ("/verify", {left!r}, {str(tmp_path / "cut.jpg")!r}))]))
"""
        done = subprocess.run([folder / "python", "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        components, answers = map(json.loads, done.stdout.splitlines()[-2:])
        (verdict, _), (name, table), missing, no_photo, from_elsewhere, damaged = answers
        if chromium := shutil.which("chromium"):
            browse = [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--virtual-time-budget=20000",
                "--dump-dom",
            ]
            page = subprocess.run([chromium, *browse, address], capture_output=True, text=True, timeout=300)
            assert "Same person?" in page.stdout and "Who is it?" in page.stdout
    finally:
        card.unlink(missing_ok=True)
        server.send_signal(signal.SIGTERM)  # Ctrl-C's way is the same
        server.wait(timeout=300)
    answer = Verifier.load(flat).verify(left, right)
    assert ("The same person" in verdict) == answer.same and f"Score {answer.score:.4f}" in verdict
    assert "Bo &lt;b&gt;" in name and table["data"] == [["Bo <b>", table["data"][0][1]]]
    assert any("A card" in str(own["props"].get("value")) for own in components)
    assert no_photo.startswith("photo 1: not a whole JPEG or PNG image")
    assert from_elsewhere == "A photo must be uploaded. Received an address."
    assert missing == "Give a photo in each place."
    assert damaged.startswith("photo 2") and str(tmp_path) not in damaged
    assert not list(uploads.rglob("*.jpg")), "what was uploaded lies there still"
