"""Drawn faces in CFP's layout, frontal and in profile, with fiducials and folds, without a download."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps
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
    outline,
    people_names,
)

_DRAWING = 1  # raise it when the pictures change, so that a set of older code is not taken for a new one
_PAIRS_PER_PERSON = 7  # at most, in each file of a fold, as in CFP
_NOTE = "toy_cfp.json"


def make_toy_cfp(
    output_dir: str | Path,
    *,
    people: int = 20,
    frontal_photos: int = 10,
    profile_photos: int = 4,
    seed: int = 0,
) -> Path:
    """Draws photos of invented people, with the folders, fiducials and folds of CFP.

    A profile is the same head, turned by about 35 degrees to the left or right. The photos are cropped
    loosely, so that the faces are in different places. Each fold has its own people, and all folds have as
    many same and different pairs, FF and FP: seven per person as in CFP, or fewer if there are not enough.
    People have the names and traits of those that `make_toy_faces` draws with the same seed. Leave them out
    of a training on those, as with CFP and LFW.

    Args:
        output_dir: the folder to make, which `read_cfp_folds` and `organize_cfp` read. Its `toy_cfp.json`
            records the arguments; a whole set that was made with the same arguments is kept.
        people: an integer from 20 to 999: at least two per fold.
        frontal_photos: frontal photos of each person, an integer from 2 to 99.
        profile_photos: profiles of each person, an integer from 1 to 99.
        seed: an integer from 0 to 2**32 - 1. The same seed gives the same files.

    Returns:
        `output_dir`, as a `Path`.

    Raises:
        ValueError: if an argument is out of range.
        FileExistsError: if `output_dir` holds other files.

    Example:
        >>> from siamese_nn import datasets
        >>> folder = make_toy_cfp("cfp", frontal_photos=2, profile_photos=1)
        >>> len(datasets.cfp_photos(folder))
        20
    """
    output_dir = Path(output_dir)
    arguments = {
        "people": people,
        "frontal_photos": frontal_photos,
        "profile_photos": profile_photos,
        "seed": seed,
    }
    ranges = {
        "people": (20, 999),
        "frontal_photos": (2, 99),
        "profile_photos": (1, 99),
        "seed": (0, 2**32 - 1),
    }
    for name, value in arguments.items():
        low, high = ranges[name]
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"`{name}` must be an integer from {low} to {high}. Received: {name}={value!r}")
    note = json.dumps({"drawing": _DRAWING, **arguments}, default=int)
    photos = people * (frontal_photos + profile_photos)
    if output_dir.exists() and not (output_dir.is_dir() and not any(output_dir.iterdir())):
        found, note_file = len(list(output_dir.glob("Data/Images/*/*/*.jpg"))), output_dir / _NOTE
        if note_file.is_file() and (note_file.read_text(), found) == (note, photos):
            return output_dir
        raise FileExistsError(
            f"`output_dir` must be new, empty, or hold the {photos} photos of {note}. "
            f"Received: output_dir={output_dir}, which holds something else. Choose "
            "another folder, or delete this one"
        )
    views = {"frontal": frontal_photos, "profile": profile_photos}
    with filling(output_dir) as partial:
        _draw_people(partial, people, views, seed)
        _write_protocol(partial / "Protocol", people, views, seed)
        (partial / _NOTE).write_text(note)
    return output_dir


def _draw_people(folder: Path, people: int, views: dict[str, int], seed: int) -> None:
    for person in tqdm(range(people), desc="Drawing CFP", unit="person", disable=None):
        traits = draw_traits(np.random.default_rng([seed, 0, person]))
        for number, (view, count) in enumerate(views.items()):
            photos, fiducials = (
                folder / "Data" / kind / f"{person + 1:03d}" / view for kind in ("Images", "Fiducials")
            )
            photos.mkdir(parents=True)
            fiducials.mkdir(parents=True)
            for photo in range(1, count + 1):
                image, points = _draw_photo(
                    traits, view, np.random.default_rng([seed, 3 + number, person, photo])
                )
                image.save(photos / f"{photo:02d}.jpg", quality=90)
                lines = "".join(f"{x:.5g},{y:.5g}\n" for x, y in points)
                (fiducials / f"{photo:02d}.txt").write_text(lines, newline="\n")
    names = "".join(f"{name.replace('_', ' ')}\n" for name in people_names(people))
    (folder / "Data" / "list_name.txt").write_text(names, newline="\n")


class _TurnedPen(Pen):
    """A pen that can turn the head, and keeps the last polygon, which has the mouth's points."""

    def __init__(self, image: Image.Image, face_width: float, view: str, rng: np.random.Generator):
        super().__init__(image, face_width, rng)
        if view == "profile":  # beyond this angle the hidden eye would leave the face
            self.yaw = rng.choice([-1, 1]) * rng.uniform(0.55, 0.65)

    def fill(self, points, grey: float) -> None:
        super().fill(points, grey)
        self.last = np.asarray(points)


def _draw_photo(traits: dict, view: str, rng: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """Returns one photo in brown, and its 30 points, `(30, 2)`."""
    coarse = Image.fromarray(rng.uniform(0, 255, rng.integers(2, 6, 2)).astype(np.uint8))
    image = coarse.resize((SIDE * SUPERSAMPLE,) * 2, Image.Resampling.BICUBIC)
    pen = _TurnedPen(image, traits["face_width"], view, rng)
    pen.fill(ellipse(2.35j, 1.7, 1.0), rng.uniform(10, 245))  # clothes
    draw_head(pen, traits)
    draw_eyes(pen, traits, rng)
    draw_mouth_and_nose(pen, traits, rng)
    mouth = pen.last
    draw_hair(pen, traits)
    left, top, right, bottom = rng.integers(0, 25, 4)
    box = (left, top, SIDE - right, SIDE - bottom)
    grey = image.reduce(SUPERSAMPLE).filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2))).crop(box)
    pixels = rng.uniform(0, 40) + rng.uniform(0.6, 0.9) * np.asarray(grey, np.float32)
    pixels += 5 * rng.standard_normal(pixels.shape, dtype=np.float32)
    grey = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    # CFP's points are those of the half on the left, or in a profile of
    # the half that is turned to the camera.
    side = 1 if view == "profile" and pen.yaw < 0 else -1
    points = np.array(pen.project(_face_points(traits, mouth, side))).reshape(30, 2) / SUPERSAMPLE
    return ImageOps.colorize(grey, "black", "white", "#a0785a"), points - box[:2]


def _face_points(traits: dict, mouth: np.ndarray, side: int) -> np.ndarray:
    """Returns CFP's 30 points of the half where x has the sign of `side`, as x + yj like all drawn."""
    jaw = outline(traits, 1.0, np.pi / 2, np.pi)[::5]
    jaw = side * jaw.real + 1j * jaw.imag
    eye = side * traits["eye_spacing"] + 1j * traits["eye_y"]
    across, up = side * traits["eye_width"], 1j * traits["eye_height"]
    brow = eye - 1j * traits["brow_y"] + 1.3 * across * np.array([1, 0, -1])
    lid = [eye + across, eye + across / 2 - up, eye - across / 2 - up]
    lid += [eye - across, eye - across / 2 + up, eye + across / 2 + up]
    top, length, wing = 1j * traits["eye_y"], 1j * traits["nose_length"], side * traits["nose_width"]
    tip = top + length
    base = tip + 0.07j + wing * np.array([0, 0.5, 1]) - [0, 0, 0.07j]
    # The mouth runs from corner to corner along the upper lip, and back along the lower one.
    corner = mouth[0] if mouth[0].real * side > 0 else mouth[14]
    upper, lower, lip = mouth[7], mouth[22], 1j * traits["mouth_height"]
    lips = [upper - lip, upper, lower + lip, lower]
    return np.array([*jaw, *brow, *lid, *(top + np.linspace(0, 1, 4) * length), *base, corner, *lips])


def _write_protocol(folder: Path, people: int, views: dict[str, int], seed: int) -> None:
    counts = {side: views[view] for side, view in (("F", "frontal"), ("P", "profile"))}
    for (view, count), side in zip(views.items(), counts, strict=True):
        photos = [f"{p:03d}/{view}/{n:02d}.jpg" for p in range(1, people + 1) for n in range(1, count + 1)]
        _write_lines(
            folder / f"Pair_list_{side}.txt", [f"{i} ../Data/Images/{p}" for i, p in enumerate(photos, 1)]
        )
    few, frontal, profiles = people // 10, counts["F"], counts["P"]  # people of the smallest fold
    same = few * min(frontal * (frontal - 1) // 2, frontal * profiles, _PAIRS_PER_PERSON)
    n_pairs = min(same, few * (few - 1) // 2 * frontal * min(frontal, profiles))
    for fold in range(10):
        for number, task in enumerate(("FF", "FP")):
            rng = np.random.default_rng([seed, 2, fold, number])
            pairs = _all_pairs(range(fold, people, 10), [counts[side] for side in task], task == "FF")
            for kind, candidates in pairs.items():
                chosen = rng.choice(len(candidates), n_pairs, replace=False)
                lines = ["{},{}".format(*candidates[i]) for i in chosen]
                _write_lines(folder / "Split" / task / f"{fold + 1:02d}" / f"{kind}.txt", lines)


def _all_pairs(people: range, counts: list[int], symmetric: bool) -> dict[str, list[tuple[int, int]]]:
    """Returns a fold's same and different pairs, as numbers of the pair lists; a symmetric one only once."""
    left, right = ([(p, p * n + i) for p in people for i in range(1, n + 1)] for n in counts)
    pairs: dict[str, list[tuple[int, int]]] = {"same": [], "diff": []}
    for one, i in left:
        for other, j in right:
            if not symmetric or i < j:
                pairs["same" if one == other else "diff"].append((i, j))
    return pairs


def _write_lines(file: Path, lines: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", newline="\n")
