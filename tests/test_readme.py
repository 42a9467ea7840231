import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_python_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    names = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert "VerificationReport(" in printed and "TAR at FAR 0.1" in printed and "Identification(" in printed
    assert names["done"] == 2 and names["training"].completed_epochs("my_run") == 3


def test_the_commands_exist():
    from siamese_nn.cli import _parser

    for line in re.findall(r"^    siamese-nn (.*)$", README.read_text(), re.MULTILINE):
        _parser().parse_args(line.split())
