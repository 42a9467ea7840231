import os
import sys
from pathlib import Path

import pytest

from siamese_nn import datasets


@pytest.fixture
def pictures(real_pictures):
    """Real pictures for a whole test."""
    with real_pictures():
        yield


@pytest.fixture
def no_page(monkeypatch):
    """Leaves out a training's page and pictures."""
    for name in ("draw", "write_page"):
        monkeypatch.setattr(sys.modules["siamese_nn.training.train"], name, lambda *_: None)


@pytest.fixture(scope="session")
def toy_pairs(toy_dir) -> datasets.Pairs:
    return datasets.read_pairs(toy_dir / "pairsDevTrain.txt", toy_dir / "lfw2")


@pytest.fixture(scope="session")
def toy_test(toy_dir) -> datasets.Pairs:
    return datasets.read_pairs(toy_dir / "pairsDevTest.txt", toy_dir / "lfw2")


@pytest.fixture(scope="session")
def lfw_a_dir(tmp_path_factory) -> Path:
    """The real LFW-a, organised, where the environment says where it is."""
    source = os.environ.get("SIAMESE_NN_LFW_A")
    if not source:
        pytest.skip("SIAMESE_NN_LFW_A is not set to a folder with lfw2.zip and LFW's pair files")
    organized = tmp_path_factory.mktemp("lfw") / "lfw-a"
    datasets.organize_lfw_a(
        Path(source) / "lfw2.zip",
        organized,
        train_pairs=Path(source) / "pairsDevTrain.txt",
        test_pairs=Path(source) / "pairsDevTest.txt",
    )
    return organized


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of published figures, where the environment says where it is."""
    if not os.environ.get("SIAMESE_NN_PUBLISHED"):
        pytest.skip("SIAMESE_NN_PUBLISHED is not set to the folder of published figures")
    return Path(os.environ["SIAMESE_NN_PUBLISHED"])
