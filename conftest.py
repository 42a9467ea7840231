"""What the tests share with the examples in docstrings, and the folder that an example runs in."""

import os
import shutil
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
def toy_cfp(tmp_path_factory) -> Path:
    """A small CFP of drawn faces."""
    return datasets.make_toy_cfp(tmp_path_factory.mktemp("toy") / "cfp", frontal_photos=2, profile_photos=1)


@pytest.fixture(scope="session")
def toy_run(toy_dir, tmp_path_factory) -> Path:
    """The folder of a run over the drawn faces that took one epoch, as the example of `train` makes it."""
    from siamese_nn.training import Recipe, train

    pairs, test = (
        datasets.read_pairs(toy_dir / f"pairsDev{part}.txt", toy_dir / "lfw2") for part in ("Train", "Test")
    )
    sizes = {"image_size": (80, 80), "filters": 2, "units": 8}
    recipe = Recipe("cosine_embedding", margin=0.3, initializer="he_normal", epochs=1, **sizes)
    run_dir = tmp_path_factory.mktemp("toy") / "run"
    train(recipe, *recipe.split_pairs(pairs, exclude=test), run_dir, test=test, verbose=0)
    return run_dir


@pytest.fixture(autouse=True)
def what_an_example_finds(request):
    """An example runs in a folder with `faces/`, `cfp/` and `runs/faces/`, as far as it names them."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    source = "".join(example.source for example in request.node.dtest.examples)
    folder = request.getfixturevalue("tmp_path")
    request.getfixturevalue("monkeypatch").chdir(folder)
    for name, made_by in (("faces", "toy_dir"), ("cfp", "toy_cfp")):
        if f'"{name}' in source:
            (folder / name).symlink_to(request.getfixturevalue(made_by))
    if '"runs/faces' in source:
        shutil.copytree(request.getfixturevalue("toy_run"), folder / "runs" / "faces")
