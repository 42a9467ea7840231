import os
import pickle
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from siamese_nn.verification.gallery import Gallery


def test_a_gallerys_file_is_its_owners_alone(tmp_path):
    gallery, path = Gallery(np.array(["a"]), np.ones((1, 2)), "x"), tmp_path / "people.npz"
    leftover = tmp_path / ".partial-0123abcd-people.npz" / "people.npz"  # of a killed process
    for left_behind in (False, True):
        if left_behind:
            leftover.parent.mkdir()
            leftover.write_text("half")
        gallery.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(Gallery.load(path)) == 1 and not leftover.parent.exists()


def test_two_writers_and_a_reader_of_one_gallery(tmp_path):
    path = tmp_path / "people.npz"
    galleries = [
        Gallery(np.full(n, name), np.full((n, 8), float(n)), "x") for name, n in (("a", 3000), ("b", 2000))
    ]
    galleries[0].save(path)

    def save_often(gallery):
        for _ in range(60):
            gallery.save(path)

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(save_often, gallery) for gallery in galleries]
        while not all(writer.done() for writer in writers):
            names = Gallery.load(path).names
            assert (len(names), set(names)) in ((3000, {"a"}), (2000, {"b"}))
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for writer in writers:
        writer.result()
    assert os.listdir(tmp_path) == ["people.npz"]


@pytest.mark.parametrize("shape", [(10**15,), (10**15, 16), (2**62, 2**62), (10**30, 2), (2**32, 2**32)])
def test_a_gallery_that_claims_to_be_huge_is_refused(tmp_path, shape):
    parts = {"format": 1, "names": np.array(["a"]), "model": "x"}
    np.savez(tmp_path / "huge.npz", **parts)
    header = str({"descr": "<f4", "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    with zipfile.ZipFile(tmp_path / "huge.npz", "a") as archive:
        length = len(header).to_bytes(2, "little")
        archive.writestr("embeddings.npy", b"\x93NUMPY\x01\x00" + length + header.encode())
    with pytest.raises(ValueError, match=r"huge\.npz is no gallery"):
        Gallery.load(tmp_path / "huge.npz")


def test_a_gallery_that_would_swell_is_refused(tmp_path):
    parts = {"format": 1, "names": np.array(["a"] * 10**6), "model": "x"}
    np.savez_compressed(tmp_path / "bomb.npz", embeddings=np.zeros((10**6, 8), np.float32), **parts)
    with pytest.raises(ValueError, match=r"bomb\.npz is no gallery \(it is compressed"):
        Gallery.load(tmp_path / "bomb.npz")


def test_what_is_no_gallery_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "exploded"), "w")

    parts = {"format": 1, "names": np.array(["a"]), "embeddings": np.ones((1, 2)), "model": "x"}
    wrong = {
        "pickled": parts | {"names": np.array([Bomb()], object)},
        "short": parts | {"names": np.array(["a", "b"])},
        "narrow": parts | {"embeddings": np.ones((1, 0))},
        "flat": parts | {"embeddings": np.ones(1)},
        "nan": parts | {"embeddings": np.full((1, 2), np.nan)},
        "future": parts | {"format": 2},
        "lacking": {"format": 1},
    }
    for name, arrays in wrong.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Bomb()))
    np.save(tmp_path / "array.npz.npy", np.ones(3))
    (tmp_path / "array.npz.npy").rename(tmp_path / "array.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "short.npz").read_bytes()[:300])
    for path in tmp_path.glob("*.npz"):
        with pytest.raises(ValueError, match=rf"{path.name} is no gallery .*Make it anew"):
            Gallery.load(path)
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(FileNotFoundError, match=r"absent\.npz does not exist. Make a gallery with `Verifier"):
        Gallery.load(tmp_path / "absent.npz")
    with pytest.raises(ValueError, match=r"d >= 1.*float64 \(1, 0\)"):
        Gallery(np.array(["a"]), np.ones((1, 0)), "x")
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        Gallery(np.array(["a"]), np.ones((1, 2)), "x").save(tmp_path / "a.pkl")
