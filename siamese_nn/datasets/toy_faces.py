"""Drawn faces in the layout of LFW-a: a data set without download and permission."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm.auto import tqdm

from ..files import filling
from .toy_drawing import (
    SIDE,
    SUPERSAMPLE,
    Pen,
    draw_eyes,
    draw_hair,
    draw_head,
    draw_mouth_and_nose,
    draw_traits,
    ellipse,
    people_names,
)

_DRAWING = 1  # raise when the pictures change, so that a set drawn by older code is not taken for a new one


def make_toy_faces(
    output_dir: str | Path,
    *,
    seed: int = 0,
    n_train_identities: int = 480,
    n_test_identities: int = 120,
    images_per_identity: int = 4,
    train_pairs: int = 2400,
    test_pairs: int = 500,
) -> Path:
    """Draws photos of invented people, with the folders and the pair files of LFW-a.

    Pose, light, expression, clothes and background differ between photos. Pixel distances say little about
    the person, but a small network can learn it. An interrupted call leaves nothing, and the next call starts
    again.

    Args:
        output_dir: the folder to make, with `lfw2/<name>/<name>_0001.jpg` and so on (grey, 250x250), the View
            1 files `pairsDevTrain.txt` and `pairsDevTest.txt`, and `toy_faces.json`, which records the
            arguments. A whole set that was made with the same arguments is kept.
        seed: an integer from 0 to 2**32 - 1. The same seed gives the same files.
        n_train_identities: people in `pairsDevTrain.txt`, an integer from 2 to 1200.
        n_test_identities: other people, in `pairsDevTest.txt`, an integer from 2 to 1200.
        images_per_identity: photos of each person, an integer from 2 to 1200.
        train_pairs: same pairs in `pairsDevTrain.txt`, and as many different pairs, at least 1.
        test_pairs: the same for `pairsDevTest.txt`.

    Returns:
        `output_dir`, as a `Path`.

    Raises:
        ValueError: if an argument is out of range, or the photos do not give that many pairs.
        FileExistsError: if `output_dir` holds other files.

    Example:
        >>> sizes = dict(n_train_identities=3, n_test_identities=2, images_per_identity=2)
        >>> folder = make_toy_faces("drawn", train_pairs=3, test_pairs=2, **sizes)
        >>> sorted(path.name for path in folder.iterdir())
        ['lfw2', 'pairsDevTest.txt', 'pairsDevTrain.txt', 'toy_faces.json']
    """
    output_dir = Path(output_dir)
    arguments = {
        "seed": seed, "n_train_identities": n_train_identities, "n_test_identities": n_test_identities,
        "images_per_identity": images_per_identity, "train_pairs": train_pairs, "test_pairs": test_pairs,
    }  # fmt: skip
    _check(arguments)
    note = json.dumps({"drawing": _DRAWING, **arguments}, default=int)  # int() for NumPy's integers
    if not _holds_set(output_dir, note, (n_train_identities + n_test_identities) * images_per_identity):
        parts = {"Train": (n_train_identities, train_pairs), "Test": (n_test_identities, test_pairs)}
        with filling(output_dir) as partial:
            _draw_set(partial, seed, images_per_identity, parts)
            (partial / "toy_faces.json").write_text(note)
    return output_dir


def _check(arguments: dict) -> None:
    for name, value in arguments.items():
        low = {"seed": 0, "train_pairs": 1, "test_pairs": 1}.get(name, 2)
        high = 1200 if "identit" in name else 2**32 - 1  # 60 first names x 40 last names, for train and test
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"`{name}` must be an integer from {low} to {high}. Received: {name}={value!r}")
    images = arguments["images_per_identity"]
    for part in ("train", "test"):
        people, n_pairs = arguments[f"n_{part}_identities"], arguments[f"{part}_pairs"]
        most = min(people * (images * (images - 1) // 2), people * (people - 1) // 2 * images**2)
        if n_pairs > most:
            raise ValueError(
                f"`{part}_pairs` must be at most {most} for {people} people with {images} photos each. "
                f"Received: {part}_pairs={n_pairs}. Ask for fewer pairs, or for more people or photos."
            )


def _holds_set(folder: Path, note: str, n_photos: int) -> bool:
    """Returns whether the set exists already; raises FileExistsError for other files."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    found, note_file = "something else", folder / "toy_faces.json"
    if note_file.is_file():
        photos, pair_files = len(list(folder.glob("lfw2/*/*.jpg"))), len(list(folder.glob("pairsDev*.txt")))
        if (note_file.read_text(), photos, pair_files) == (note, n_photos, 2):
            return True
        found = f"{photos} photos and {pair_files} pair files of {note_file.read_text()}"
    raise FileExistsError(
        f"`output_dir` must be new, empty, or hold the {n_photos} photos and 2 pair files of {note}. "
        f"Received: output_dir={folder}, which holds {found}. Choose another folder, or delete this one."
    )


def _draw_set(folder: Path, seed: int, images: int, parts: dict) -> None:
    names = people_names(sum(people for people, _ in parts.values()))
    for person, name in enumerate(tqdm(names, desc="Drawing faces", unit="person", disable=None)):
        (folder / "lfw2" / name).mkdir(parents=True)
        traits = draw_traits(np.random.default_rng([seed, 0, person]))
        for photo in range(images):
            image = _draw_photo(traits, np.random.default_rng([seed, 1, person, photo]))
            image.save(folder / "lfw2" / name / f"{name}_{photo + 1:04d}.jpg", quality=90)
    for number, (part, (people, n_pairs)) in enumerate(parts.items()):
        text = _make_pairs(names[:people], images, n_pairs, np.random.default_rng([seed, 2, number]))
        (folder / f"pairsDev{part}.txt").write_text(text, newline="\n")
        names = names[people:]


def _make_pairs(people: list[str], images: int, n_pairs: int, rng: np.random.Generator) -> str:
    """Returns the text of a View 1 pair file, drawn without replacement from all possible pairs."""
    lines = [str(n_pairs)]
    first, second = np.triu_indices(images, 1)
    for choice in rng.choice(len(people) * len(first), n_pairs, replace=False):
        person, photos = divmod(choice, len(first))
        lines.append(f"{people[person]}\t{first[photos] + 1}\t{second[photos] + 1}")
    left, right = np.triu_indices(len(people), 1)
    for choice in rng.choice(len(left) * images**2, n_pairs, replace=False):
        couple, photos = divmod(choice, images**2)
        sides = [(people[left[couple]], photos // images + 1), (people[right[couple]], photos % images + 1)]
        rng.shuffle(sides)  # else the left person would always come first in the list of people
        lines.append("\t".join(f"{name}\t{photo}" for name, photo in sides))
    return "\n".join(lines) + "\n"


def _draw_photo(traits: dict, rng: np.random.Generator) -> Image.Image:
    """Returns one 250x250 grey photo of the person: soft, lit from one side and grainy."""
    coarse = Image.fromarray(rng.uniform(0, 255, rng.integers(2, 6, 2)).astype(np.uint8))
    image = coarse.resize((SIDE * SUPERSAMPLE,) * 2, Image.Resampling.BICUBIC)
    pen = Pen(image, traits["face_width"], rng)
    pen.fill(ellipse(2.35j, 1.7, 1.0), rng.uniform(10, 245))  # clothes
    draw_head(pen, traits)
    draw_eyes(pen, traits, rng)
    draw_mouth_and_nose(pen, traits, rng)
    draw_hair(pen, traits)
    low, high = [0.3, 0, 0, 0.8, 0, 0.65], [1.2, 2 * np.pi, 0.35, 1.25, 0.15, 0.85]
    blur, angle, slope, gamma, black, gain = rng.uniform(low, high).tolist()  # floats keep float32 pixels
    pixels = np.asarray(image.reduce(SUPERSAMPLE).filter(ImageFilter.GaussianBlur(blur)), np.float32) / 255
    ramp = np.linspace(-slope, slope, SIDE, dtype=np.float32)
    pixels *= 1 + math.cos(angle) * ramp[None, :] + math.sin(angle) * ramp[:, None]
    pixels = black + gain * pixels.clip(0, 1) ** gamma
    pixels += 0.02 * rng.standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray((255 * pixels.clip(0, 1)).astype(np.uint8))
