import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nn import datasets
from siamese_nn.datasets import toy_cfp
from siamese_nn.datasets.toy_cfp import make_toy_cfp

pytestmark = pytest.mark.once

SIZES = {"people": 23, "frontal_photos": 3, "profile_photos": 2}


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    return make_toy_cfp(tmp_path_factory.mktemp("toy") / "cfp", seed=3, **SIZES)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_layout_is_that_of_cfp(toy):
    photos = sorted(
        path.relative_to(toy / "Data/Images").as_posix() for path in toy.glob("Data/Images/*/*/*")
    )
    counts = {"frontal": 3, "profile": 2}
    assert photos == [
        f"{person:03d}/{view}/{number:02d}.jpg"
        for person in range(1, 24)
        for view, count in counts.items()
        for number in range(1, count + 1)
    ]
    fiducials = {
        path.relative_to(toy / "Data/Fiducials").as_posix() for path in toy.glob("Data/Fiducials/*/*/*")
    }
    assert fiducials == {photo.replace(".jpg", ".txt") for photo in photos}
    with Image.open(toy / "Data/Images" / photos[0]) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB") and image.size != (250, 250)
    assert (toy / "Data/list_name.txt").read_text().startswith("Ada Adler\n")


@pytest.mark.parametrize(("task", "views"), [("FF", ("frontal", "frontal")), ("FP", ("frontal", "profile"))])
def test_the_folds_are_even_and_share_nobody(toy, task, views):
    folds = datasets.read_cfp_folds(toy, task)
    assert [(int(fold.same.sum()), len(fold)) for fold in folds] == [(6, 12)] * 10  # 2 people, 3 pairs each
    everybody = [name for fold in folds for name in fold.identities()]
    assert len(everybody) == len(set(everybody)) == 23
    for fold in folds:
        pairs = list(zip(fold.left, fold.right, strict=True))
        assert len({frozenset(pair) for pair in pairs}) == 12
        assert all((Path(i).parent.name, Path(j).parent.name) == views for i, j in pairs)
    datasets.split_cfp_folds(folds)


@pytest.mark.parametrize(
    ("sizes", "same"),
    [((20, 10, 4), 14), ((20, 2, 1), 2), ((40, 10, 1), 28), ((20, 3, 9), 6)],
)
def test_pairs_are_as_many_as_people_and_photos_allow_but_seven_a_person(tmp_path, sizes, same):
    people, frontal, profile = sizes
    toy_cfp._write_protocol(tmp_path, people, {"frontal": frontal, "profile": profile}, 0)
    counts = {len(file.read_text().splitlines()) for file in tmp_path.glob("Split/*/*/*.txt")}
    assert counts == {same}


def test_same_seed_gives_the_same_bytes_and_another_seed_other_photos(toy, tmp_path):
    again = contents(make_toy_cfp(tmp_path / "again", seed=3, **SIZES))
    assert again == contents(toy)
    other = contents(make_toy_cfp(tmp_path / "other", seed=4, **SIZES))
    assert other.keys() == again.keys()
    assert not [name for name in other if name.endswith((".jpg", "/01.txt")) and other[name] == again[name]]


def test_a_person_has_the_name_that_the_drawn_lfw_a_gives(toy, tmp_path):
    faces = datasets.make_toy_faces(
        tmp_path / "faces",
        seed=3,
        n_train_identities=20,
        n_test_identities=3,
        images_per_identity=2,
        train_pairs=1,
        test_pairs=1,
    )
    names = datasets.read_names(toy / "Data/list_name.txt")
    assert set(names) == {folder.name for folder in (faces / "lfw2").iterdir()}


def test_people_have_distinct_names_however_many(tmp_path, monkeypatch):
    monkeypatch.setattr(toy_cfp, "_draw_photo", lambda *_: (Image.new("RGB", (8, 8)), np.zeros((30, 2))))
    toy = make_toy_cfp(tmp_path / "cfp", people=999, frontal_photos=2, profile_photos=1)
    assert len(datasets.read_names(toy / "Data/list_name.txt")) == 999


@pytest.mark.parametrize("view", ["frontal", "profile"])
def test_the_points_are_where_the_face_is_drawn(view):
    """Paints a dot at the eye of a head that is otherwise drawn as it is, and looks for it."""
    rng_of = lambda: np.random.default_rng([5, 6])  # noqa: E731
    traits = toy_cfp.draw_traits(np.random.default_rng(1)) | {
        "glasses": "none",
        "beard": "none",
        "top": "bald",
    }
    _, points = toy_cfp._draw_photo(traits, view, rng_of())
    white = np.asarray(toy_cfp._draw_photo(traits | {"iris": 255.0}, view, rng_of())[0].convert("L")).astype(
        int
    )
    black = np.asarray(toy_cfp._draw_photo(traits | {"iris": 0.0}, view, rng_of())[0].convert("L")).astype(
        int
    )
    changed = white - black > 20  # both irises; the hidden one is further from the points
    rows, columns = np.nonzero(changed)
    eye = points[12:18].mean(0)
    near = np.hypot(columns - eye[0], rows - eye[1]) < 12
    assert near.any()
    assert np.hypot(columns[near].mean() - eye[0], rows[near].mean() - eye[1]) < 6
    assert (points >= 0).all() and (points <= np.array(white.shape[::-1])).all()


def test_all_drawn_photos_can_be_aligned_to_one_place(toy, tmp_path):
    out = tmp_path / "out"
    assert datasets.organize_cfp(toy, out, align=True) == {"people": 23, "frontal": 69, "profile": 46}
    spread = [
        np.mean([np.asarray(Image.open(file).convert("L").resize((250, 250)), float) for file in photos], 0)[
            90:180, 80:170
        ].std()
        for photos in (toy.glob("Data/Images/*/frontal/*"), out.glob("Data/Images/*/frontal/*"))
    ]
    assert spread[1] > 1.3 * spread[0]  # the mean of aligned faces is the less blurred


def test_a_whole_set_is_kept_and_anything_else_left_alone(toy, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in toy.rglob("*")}
    assert make_toy_cfp(str(toy), seed=np.int64(3), **SIZES) == toy
    assert {path: path.stat().st_mtime_ns for path in toy.rglob("*")} == before
    assert json.loads((toy / "toy_cfp.json").read_text()).items() >= ({"seed": 3} | SIZES).items()
    with pytest.raises(FileExistsError, match=r'must be new.*"people": 24.*something else'):
        make_toy_cfp(toy, seed=3, **SIZES | {"people": 24})
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    for folder in (tmp_path, tmp_path / "holiday.jpg"):
        with pytest.raises(FileExistsError, match="something else"):
            make_toy_cfp(folder, **SIZES)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_a_run_that_is_cut_off_leaves_no_half_set(toy, tmp_path, monkeypatch):
    output_dir = tmp_path / "cfp"
    output_dir.mkdir()
    monkeypatch.setattr(toy_cfp, "_write_protocol", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make_toy_cfp(output_dir, seed=3, **SIZES)
    assert not any(output_dir.iterdir())
    monkeypatch.undo()
    assert contents(make_toy_cfp(output_dir, seed=3, **SIZES)) == contents(toy)
    assert list(tmp_path.iterdir()) == [output_dir]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("people", value) for value in (19, 1000, 20.0, True)],
        *[("frontal_photos", value) for value in (1, 100)],
        *[("profile_photos", value) for value in (0, 100)],
        *[("seed", value) for value in (-1, 2**32, None)],
    ],
)
def test_bad_arguments_are_named(tmp_path, name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be an integer from .* Received: {name}={value}"):
        make_toy_cfp(tmp_path / "cfp", **{**SIZES, name: value})
    assert not list(tmp_path.iterdir())
