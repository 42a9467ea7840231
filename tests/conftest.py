import os
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.pop("SIAMESE_NN_IMAGE_CACHE", None)  # what is tested is decoded here

import pytest

from siamese_nn import datasets


@pytest.fixture(scope="session", autouse=True)
def real_pictures():
    """A context in which pictures are drawn. Without it each is the smallest there is: nobody looks at it."""
    from matplotlib.figure import Figure
    from PIL import Image

    def save(self, file, format="png", **_):
        if format == "svg":
            file.write('<svg xmlns="http://www.w3.org/2000/svg"></svg>')
        else:
            Image.new("L", (1, 1)).save(file, format=format)

    @contextmanager
    def drawn():
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Figure, "savefig", real)
            yield

    real = Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        yield drawn


@pytest.fixture
def pictures(real_pictures):
    """Real pictures for a whole test."""
    with real_pictures():
        yield


@pytest.fixture(scope="session")
def toy_dir(tmp_path_factory) -> Path:
    """A small set of drawn faces, as downloaded: `lfw2/` and two pair files."""
    return datasets.make_toy_faces(
        tmp_path_factory.mktemp("toy") / "faces",
        n_train_identities=52,
        n_test_identities=12,
        images_per_identity=4,
        train_pairs=60,
        test_pairs=12,
    )


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
