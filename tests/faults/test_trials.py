import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fault_trials import damage, families, harm, images, kills
from fault_trials.outcome import GOOD

from siamese_nn import datasets
from siamese_nn.verification import gallery_files
from siamese_nn.verification.gallery import Gallery

pytestmark = pytest.mark.once

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "faults.py"


def words(trial, tmp_path, seeds, ground=None):
    """What the trials of these seeds come to."""
    found = []
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir(parents=True)
        found.append(trial(ground, random.Random(seed), folder).word)
    return found


def test_a_thousand_trials_are_shared_out_and_each_has_a_seed_of_its_own():
    planned = families.plan(1000, 7)
    assert len(planned) == len(set(planned)) == 1000
    counts = Counter(family for family, _ in planned)
    assert counts.keys() == families.FAMILIES.keys()
    assert all(abs(counts[name] - family.share) <= 1 for name, family in families.FAMILIES.items())
    assert min(seed for _, seed in planned) == 7
    assert families.plan(2, 5, "kill-gallery") == [("kill-gallery", 5), ("kill-gallery", 6)]


def test_a_gallery_that_is_written_in_place_is_found_out(tmp_path, monkeypatch):
    def in_place(self, path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, format=1, names=self.names, embeddings=self.embeddings, model=np.array(self.model))

    monkeypatch.setattr(Gallery, "save", in_place)
    assert set(words(kills.kill_gallery, tmp_path, range(6))) - set(GOOD)


def test_a_gallery_that_is_read_without_a_check_is_found_out(tmp_path, monkeypatch):
    def unchecked(path):
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return SimpleNamespace(names=arrays["names"], embeddings=arrays["embeddings"] * 0 + 1)
        except Exception:
            return Gallery(np.array(["Ann"]), np.ones((1, 2), np.float32), "a")

    monkeypatch.setattr(Gallery, "load", unchecked)
    assert "wrong" in words(damage.damage_gallery, tmp_path, range(5))


def test_a_gallery_that_grows_without_a_check_of_its_vectors_is_found_out(tmp_path, monkeypatch):
    def harmed(folder):
        folder.mkdir()
        seeds = enumerate(random.Random(seed) for seed in range(20))
        return {damage._damage_stored(draw, folder / str(i)).word for i, draw in seeds}

    assert harmed(tmp_path / "checked") == set(GOOD)
    mapped = gallery_files._mapped
    monkeypatch.setattr(gallery_files, "_mapped", lambda file, rows, size, _: mapped(file, rows, size, []))
    assert "wrong" in harmed(tmp_path / "unchecked")


def test_a_photo_that_is_decoded_whatever_it_claims_is_found_out(tmp_path, toy_dir, monkeypatch):
    ground = SimpleNamespace(all_photos=sorted(map(str, (toy_dir / "lfw2").glob("*/*.jpg")))[:5])
    monkeypatch.setattr(images, "_WAYS", (images._claim,))
    monkeypatch.setattr(datasets, "load_image", lambda *_, **__: np.zeros((64, 64, 1), np.uint8))
    assert set(words(images.hostile_image, tmp_path, range(3), ground)) == {"wrong"}


@pytest.mark.parametrize("ending", [".json", ".txt", ".bin"])
def test_a_harm_is_the_seeds_and_mostly_changes_something(ending):
    content = b'{"a": [1, 2, {"b": "word"}], "c": 0.5, "d": null}\n'
    do = {".json": harm.harm_json, ".txt": harm.harm_text, ".bin": harm.harm_bytes}[ending]
    harmed = [do(content, random.Random(seed)) for seed in range(50)]
    assert harmed == [do(content, random.Random(seed)) for seed in range(50)]
    assert sum(after != content for _, after in harmed) > 40


@pytest.mark.slow
def test_a_sample_of_the_trials_comes_out_right_or_refused():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--trials", "16", "--seed", "5000"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
