import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.once

# What it and its libraries write before anything else, and what nobody may miss.
NOISE = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1795696601.419249    3035 port.cc:153] oneDNN custom operations are on.\n"
)
NEEDED = "E0000 00:00:1795696601.419249    3035 port.cc:153] no memory\nI am no log line\n"


@pytest.mark.parametrize(("level", "shown"), [(None, NEEDED), ("3", NEEDED), ("0", NOISE + NEEDED)])
def test_the_start_up_lines_alone_are_left_out_unless_the_user_asks_for_them(tmp_path, level, shown):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(
        f"import os; os.write(2, {(NOISE + NEEDED).encode()})"
    )
    (tmp_path / "tensorflow" / "part.py").write_text("raise ImportError('a library is missing')")
    script = "import os, siamese_nn, tensorflow; os.write(2, b'I0000 00:00:1] later\\n')\n"
    script += "print(os.environ['TF_CPP_MIN_LOG_LEVEL'], flush=True)\nimport tensorflow.part"
    own = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    own |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=own if level is None else own | {"TF_CPP_MIN_LOG_LEVEL": level},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{level or 3}\n"
    told, _, error = done.stderr.partition("Traceback")
    assert told == shown + "I0000 00:00:1] later\n" and "a library is missing" in error


def test_an_error_in_the_import_is_not_hidden(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os; os.write(2, b'why'); raise ImportError('no wheel')")
    script = "import siamese_nn\ntry: import tensorflow\nexcept ImportError as error: print(error)\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("no wheel\n", "why", 0)
