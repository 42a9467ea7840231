import json
import subprocess
import sys

import pytest

from siamese_nn import cli, datasets


@pytest.fixture(scope="module")
def organized(toy_dir, tmp_path_factory):
    return tmp_path_factory.mktemp("cli") / "faces"


def test_help_comes_at_once_and_without_tensorflow():
    script = "import sys\nfrom siamese_nn.cli import main\ntry: main(['--help'])\nfinally: assert 'tensorflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(word in done.stdout for word in ("download", "organize", "check", "pairs", "train"))


def test_from_photos_to_figures(toy_dir, organized, tmp_path, capsys, monkeypatch):
    assert cli.main(["organize", str(toy_dir / "lfw2"), str(organized)]) == 0
    assert "photos in train/" in capsys.readouterr().out
    assert cli.main(["pairs", str(organized)]) == 0
    assert "by identity: validation" in capsys.readouterr().out
    assert cli.main(["check", str(organized)]) == 1
    assert "error" in capsys.readouterr().err
    run_dir = tmp_path / "run"
    words = [
        "train",
        "--data",
        str(organized),
        "--recipe",
        "l1_sigmoid",
        "--epochs",
        "1",
        "--run-dir",
        str(run_dir),
    ]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "never seen" in out and "raw pixels" in out and str(run_dir / "pairs.png") in out
    assert json.loads((run_dir / "results.json").read_text())["epochs"] == 1
    with pytest.warns(datasets.IdentityLeakWarning):
        assert cli.main([*words[:-1], str(tmp_path / "leaky"), "--split", "report"]) == 0
    assert "SHARE people" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--data", "nowhere"], "nowhere"),
        (["train", "--data", "nowhere", "--recipe", "no"], "`--recipe` must be one of"),
        (["organize", "nowhere.zip", "out"], "siamese-nn download pairs"),
        (["pairs", "nowhere"], "nowhere"),
    ],
)
def test_errors_are_one_message_and_exit_code_1(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 1
    err = capsys.readouterr().err
    assert err.startswith("siamese-nn: error: ") and message in err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_wrong_usage_is_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train", "--split", "none"])
    assert stopped.value.code == 2
