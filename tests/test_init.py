import os
import runpy
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("chosen", "expected"), [(None, "1"), ("0", "0")])
def test_tensorflow_computes_with_onednn_unless_the_user_says_otherwise(chosen, expected):
    name = "TF_ENABLE_ONEDNN_OPTS"
    own = {key: value for key, value in os.environ.items() if key != name}
    script = f"import os, sys, siamese_nn; print(os.environ['{name}'], 'tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=own if chosen is None else own | {name: chosen},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [expected, "False"]


def test_what_needs_no_tensorflow_starts_without_it():
    """In one process: who imports it is the first that is named."""
    script = """
import importlib, sys
for name in ("evaluation", "datasets", "faces", "plots", "recipes.published", "runs.page", "cli"):
    importlib.import_module("siamese_nn." + name)
    if "tensorflow" in sys.modules:
        sys.exit(f"siamese_nn.{name} imports TensorFlow")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_python_m_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["siamese_nn", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("siamese_nn", run_name="__main__")
    assert ended.value.code == 0 and capsys.readouterr().out.startswith("siamese_nn ")
