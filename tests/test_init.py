import os
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
