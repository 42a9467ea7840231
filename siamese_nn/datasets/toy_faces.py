"""Drawn faces in the layout of LFW-a: a data set that needs no download and no permission."""

from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from tqdm.auto import tqdm

logger = logging.getLogger(__name__)

_SIDE = 250  # pixels, as in LFW-a
_SUPERSAMPLE = 2
_HEAD = 84.0  # pixels from the middle of the face to its top
_DRAWING = 1  # raise when the pictures change, so that a set drawn by older code is not taken for a new one

# Lowest and highest value of each argument; 2 x 1200 is how many names the lists below can make.
_LIMITS = {
    "seed": (0, 2**32 - 1),
    "n_train_identities": (2, 1200),
    "n_test_identities": (2, 1200),
    "images_per_identity": (2, 999),
    "train_pairs": (1, None),
    "test_pairs": (1, None),
}

# In every line of ten, three names begin with A-E: any number of people keeps about 30 % of them for validation.
_FIRST_NAMES = """
Ada Fern Gus Hana Bruno Ivo Jun Carla Kofi Lena
Milo Dora Nils Olga Ezra Pia Quinn Rosa Abel Sven
Emil Umar Beth Vera Tim Xenia Cyrus Yara Zeno Farid
Dina Gwen Hugo Elsa Iris Jonas Anouk Kira Luca Mona
Boris Noor Otto Chloe Petra Quido Rhea Dario Sami Thea
Ugo Eli Vito Willa Aiko Xavi Yusuf Bella Zora Felix
"""
_LAST_NAMES = """
Adler Bakker Castro Dekker Ekman Farkas Garza Holt Ibarra Jansen Keller Lund Moreau Novak Okafor Petrov
Quist Rossi Sato Tanaka Ueda Varga Weber Xiong Yilmaz Zeman Brandt Conti Duarte Eriksen Fischer Grant
Hansen Ito Kaya Lopez Meyer Nunes Ortega Palmer
"""

# Each trait is drawn once per person. Lengths are in units of _HEAD, angles in radians, greys from 0 to 255.
_TRAITS = {
    "skin": (110, 220), "hair": (10, 255), "face_width": (0.62, 0.92), "chin": (0.9, 1.2), "jaw": (0.55, 1.1),
    "eye_spacing": (0.27, 0.42), "eye_width": (0.11, 0.21), "eye_height": (0.05, 0.14), "eye_y": (-0.22, 0.0),
    "eye_tilt": (-0.3, 0.3), "iris": (20, 120), "brow_thickness": (0.02, 0.1), "brow_tilt": (-0.35, 0.35),
    "brow_y": (0.2, 0.32), "nose_length": (0.25, 0.48), "nose_width": (0.09, 0.22), "mouth_width": (0.18, 0.4),
    "lips": (0.3, 0.85), "mouth_height": (0.03, 0.12), "mouth_y": (0.52, 0.68), "ear": (0.08, 0.24), "hair_volume": (1.06, 1.3),
    "hair_length": (-0.5, 1.35), "hairline": (-0.85, -0.4), "parting": (-0.5, 0.5), "beard_length": (1.02, 1.25),
}  # fmt: skip


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

    A person keeps face, hair and glasses from photo to photo; pose, light, expression, clothes and background
    change. Pixel distances therefore say little, and a small Siamese network learns to tell people apart. The
    set is drawn beside `output_dir` and renamed at the end: a run that was cut off leaves no half set.

    Args:
        output_dir: Path of the folder to make. It gets `lfw2/<name>/<name>_0001.jpg` and so on (grey, 250x250),
            `pairsDevTrain.txt`, `pairsDevTest.txt` (LFW View 1) and `toy_faces.json`, which keeps the arguments.
            If it holds a whole set made with the same arguments already, that set is kept.
        seed: Integer from 0 to 2**32 - 1. The same seed gives the same files. Defaults to 0.
        n_train_identities: Integer from 2 to 1200. People in `pairsDevTrain.txt`. Defaults to 480.
        n_test_identities: Integer from 2 to 1200. People in `pairsDevTest.txt`, all of them new. Defaults to 120.
        images_per_identity: Integer from 2 to 999. Photos of each person. Defaults to 4.
        train_pairs: Integer, at least 1. Pairs of the same person in `pairsDevTrain.txt`, and as many of
            different people. Defaults to 2400.
        test_pairs: The same for `pairsDevTest.txt`. Defaults to 500.

    Returns:
        `output_dir`, as a `Path`.

    Raises:
        ValueError: If an argument is out of its range, or more pairs are asked for than there are.
        FileExistsError: If `output_dir` holds something else.

    Example:
        >>> import tempfile
        >>> people = dict(n_train_identities=3, n_test_identities=2, images_per_identity=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     faces = make_toy_faces(Path(folder) / "faces", train_pairs=3, test_pairs=2, **people)
        ...     sorted(path.name for path in (faces / "lfw2" / "Ada_Adler").iterdir())
        ['Ada_Adler_0001.jpg', 'Ada_Adler_0002.jpg']
    """
    output_dir = Path(output_dir)
    parameters = {
        "seed": seed,
        "n_train_identities": n_train_identities,
        "n_test_identities": n_test_identities,
        "images_per_identity": images_per_identity,
        "train_pairs": train_pairs,
        "test_pairs": test_pairs,
    }
    _check_limits(parameters)
    parts = {"train": (n_train_identities, train_pairs), "test": (n_test_identities, test_pairs)}
    for part, (people, n_pairs) in parts.items():
        _check_pairs(f"{part}_pairs", n_pairs, people, images_per_identity)
    # A NumPy integer is welcome as an argument, but JSON does not know it.
    note = json.dumps(
        {"drawing": _DRAWING, **{name: int(value) for name, value in parameters.items()}}, indent=2
    )
    if _holds_set(output_dir, note, (n_train_identities + n_test_identities) * images_per_identity):
        logger.info("Toy faces are already complete in %s", output_dir)
        return output_dir
    partial = output_dir.parent / f".{output_dir.name}.toy_faces_partial"
    if partial.exists():
        shutil.rmtree(partial)
    _draw_set(partial, seed, images_per_identity, parts)
    (partial / "toy_faces.json").write_text(note)
    if output_dir.exists():
        output_dir.rmdir()  # it is empty, and not every system renames onto an empty folder
    partial.rename(output_dir)
    logger.info("Drew %d people in %s", n_train_identities + n_test_identities, output_dir)
    return output_dir


def _check_limits(parameters: dict) -> None:
    for name, value in parameters.items():
        low, high = _LIMITS[name]
        integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not integer or value < low or (high is not None and value > high):
            rule = f"of at least {low}" if high is None else f"from {low} to {high}"
            raise ValueError(f"`{name}` must be an integer {rule}. Received: {name}={value!r}")


def _check_pairs(name: str, n_pairs: int, people: int, images: int) -> None:
    same = people * (images * (images - 1) // 2)
    different = people * (people - 1) // 2 * images**2
    if n_pairs > min(same, different):
        raise ValueError(
            f"`{name}` must be at most {min(same, different)}: {people} people with {images} photos each make "
            f"{same} same and {different} different pairs. Received: {name}={n_pairs}. Ask for fewer pairs, or for "
            "more people or more photos of each."
        )


def _holds_set(folder: Path, note: str, n_photos: int) -> bool:
    """Returns whether the set is there already; raises FileExistsError if something else is."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    rule = "`output_dir` must be new, empty, or hold the set of toy faces that is asked for."
    way_out = "Choose another folder, or delete this one."
    note_file = folder / "toy_faces.json"
    if not note_file.is_file():
        raise FileExistsError(f"{rule} Received: output_dir={folder}, which holds something else. {way_out}")
    if note_file.read_text() != note:
        raise FileExistsError(
            f"{rule} Received: output_dir={folder}, drawn with {note_file.read_text()}, but {note} is asked for. {way_out}"
        )
    pair_files = [folder / "pairsDevTrain.txt", folder / "pairsDevTest.txt"]
    found = len(list(folder.glob("lfw2/*/*.jpg")))
    if found != n_photos or not all(path.is_file() for path in pair_files):
        raise FileExistsError(
            f"{rule} Received: output_dir={folder}, which has {found} of {n_photos} photos, or lacks a pair file. {way_out}"
        )
    return True


def _draw_set(folder: Path, seed: int, images: int, parts: dict) -> None:
    names = _make_names(sum(people for people, _ in parts.values()))
    for person, name in enumerate(tqdm(names, desc="Drawing faces", unit="person", disable=None)):
        (folder / "lfw2" / name).mkdir(parents=True)
        traits = _draw_traits(np.random.default_rng([seed, 0, person]))
        for photo in range(images):
            image = _draw_photo(traits, np.random.default_rng([seed, 1, person, photo]))
            image.save(folder / "lfw2" / name / f"{name}_{photo + 1:04d}.jpg", quality=90)
    for number, (part, (people, n_pairs)) in enumerate(parts.items()):
        text = _make_pairs(names[:people], images, n_pairs, np.random.default_rng([seed, 2, number]))
        (folder / f"pairsDev{part.title()}.txt").write_text(text, newline="\n")
        names = names[people:]


def _make_names(count: int) -> list[str]:
    first, last = _FIRST_NAMES.split(), _LAST_NAMES.split()
    # 7 shares no factor with the 40 last names, so a first name meets each of them once before any comes again.
    return [f"{first[i % len(first)]}_{last[(i + 7 * (i // len(first))) % len(last)]}" for i in range(count)]


def _make_pairs(people: list[str], images: int, n_pairs: int, rng: np.random.Generator) -> str:
    """Returns the text of a View 1 pair file, drawn without replacement from all the pairs there are."""
    lines = [str(n_pairs)]
    first, second = np.triu_indices(images, 1)
    for choice in rng.choice(len(people) * len(first), n_pairs, replace=False):
        person, photos = divmod(choice, len(first))
        lines.append(f"{people[person]}\t{first[photos] + 1}\t{second[photos] + 1}")
    left, right = np.triu_indices(len(people), 1)
    for choice in rng.choice(len(left) * images**2, n_pairs, replace=False):
        couple, photos = divmod(choice, images**2)
        sides = [
            f"{people[left[couple]]}\t{photos // images + 1}",
            f"{people[right[couple]]}\t{photos % images + 1}",
        ]
        # Without the shuffle the person on the left would always come first in the list of people.
        rng.shuffle(sides)
        lines.append("\t".join(sides))
    return "\n".join(lines) + "\n"


def _draw_traits(rng: np.random.Generator) -> dict:
    """Returns what stays the same in every photo of one person."""
    traits = {name: rng.uniform(low, high) for name, (low, high) in _TRAITS.items()}
    # Hair that is as grey as the skin would hide the hairline, the brows and the beard.
    if abs(traits["hair"] - traits["skin"]) < 70:
        traits["hair"] = traits["skin"] - 85
    traits["top"] = rng.choice(["bald", "smooth", "smooth", "zigzag", "curly", "bun"])
    traits["earring"] = rng.choice([0.0, 0.0, 0.15])
    traits["glasses"] = rng.choice(["none", "round", "square", "dark"])
    traits["beard"] = rng.choice(["none", "moustache", "full"])
    traits["moles"] = rng.uniform([-0.5, 0.05], [0.5, 0.5], (rng.integers(0, 4), 2))
    return traits


class _Pen:
    """Draws points given on the front of a head, seen from where one photo was taken."""

    def __init__(self, image: Image.Image, face_width: float, rng: np.random.Generator):
        self.draw = ImageDraw.Draw(image)
        self.face_width = face_width
        self.yaw, self.pitch = rng.uniform([-0.3, -0.15], [0.3, 0.15])
        self.scale = _SUPERSAMPLE * _HEAD * rng.uniform(0.88, 1.06)
        roll = rng.uniform(-0.12, 0.12)
        self.rotation = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        self.centre = _SUPERSAMPLE * (np.array([_SIDE / 2, _SIDE / 2 + 6]) + rng.uniform(-14, 14, 2))

    def project(self, points) -> list[tuple[float, float]]:
        x, y = np.asarray(points, float).T
        # The head is half an ellipsoid: features in the middle are nearer and move more than the outline.
        depth = 0.7 * np.sqrt(np.clip(1 - (x / self.face_width) ** 2 - (y / 1.2) ** 2, 0, 1))
        x = x * np.cos(self.yaw) + depth * np.sin(self.yaw)
        y = y * np.cos(self.pitch) + depth * np.sin(self.pitch)
        return [tuple(p) for p in np.stack([x, y], 1) @ self.rotation * self.scale + self.centre]

    def fill(self, points, grey: float):
        self.draw.polygon(self.project(points), fill=int(grey))

    def line(self, points, grey: float, width: float):
        self.draw.line(
            self.project(points), fill=int(grey), width=max(1, round(width * self.scale)), joint="curve"
        )


def _ellipse(x, y, width, height, tilt=0.0, start=0.0, stop=2 * np.pi) -> np.ndarray:
    """Returns (n, 2) points; angles run from the right over the bottom, since y points down."""
    angle = np.linspace(start, stop, 25)
    across, down = width * np.cos(angle), height * np.sin(angle)
    return np.stack(
        [x + across * np.cos(tilt) - down * np.sin(tilt), y + across * np.sin(tilt) + down * np.cos(tilt)], 1
    )


def _outline(traits: dict, grow: float, start: float, stop: float) -> np.ndarray:
    """Returns points of the face's edge, `grow` times as far out; angle 0 is the top, pi the chin."""
    angle = np.linspace(start, stop, 41)
    power = np.where(np.cos(angle) > 0, 0.9, traits["jaw"])
    x = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * traits["face_width"]
    y = -np.cos(angle) * np.where(np.cos(angle) > 0, 1.0, traits["chin"])
    return grow * np.stack([x, y], 1)


def _draw_photo(traits: dict, rng: np.random.Generator) -> Image.Image:
    """Returns one 250x250 grey photo of the person with these traits."""
    size = (_SIDE * _SUPERSAMPLE,) * 2
    coarse = rng.uniform(0, 255, (rng.integers(2, 6), rng.integers(2, 6)))
    image = Image.fromarray(coarse.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pen = _Pen(image, traits["face_width"], rng)
    clothes = rng.uniform(10, 245)
    pen.fill(_ellipse(0, 2.35, 1.7, 1.0), clothes)
    _draw_head(pen, traits)
    _draw_eyes(pen, traits, rng)
    _draw_mouth_and_nose(pen, traits, rng)
    _draw_hair(pen, traits)
    if traits["earring"]:
        for side in (-1, 1):
            ring = traits["earring"]
            pen.line(_ellipse(side * traits["face_width"] * 1.08, 0.3 + ring, ring, ring), 250, 0.06)
    return _light(image.reduce(_SUPERSAMPLE), rng)


def _draw_head(pen: _Pen, traits: dict):
    skin, hair, width = traits["skin"], traits["hair"], traits["face_width"]
    volume, length = traits["hair_volume"], traits["hair_length"]
    if traits["top"] != "bald":
        pen.fill(_outline(traits, volume, -np.pi / 2, np.pi / 2), hair * 0.85)
        side = width * volume
        pen.fill([(-side, 0), (-side, length), (side, length), (side, 0)], hair * 0.85)
    if traits["top"] == "bun":
        pen.fill(_ellipse(0, -volume - 0.1, 0.32, 0.27), hair)
    if traits["top"] == "curly":
        for x, y in _outline(traits, volume, -1.9, 1.9)[::3]:
            pen.fill(_ellipse(x, y, 0.2, 0.2), hair)
    pen.fill([(-0.35, 0.6), (-0.42, 1.7), (0.42, 1.7), (0.35, 0.6)], skin * 0.8)
    for side in (-1, 1):
        pen.fill(_ellipse(side * width * 1.02, 0.08, traits["ear"] * 0.7, traits["ear"] * 1.2), skin * 0.9)
    if traits["beard"] == "full":
        pen.fill(_outline(traits, traits["beard_length"], 0.6 * np.pi, 1.4 * np.pi), hair)
    pen.fill(_outline(traits, 1.0, 0, 2 * np.pi), skin)
    if traits["beard"] == "full":
        cheeks = _outline(traits, 1.0, 0.58 * np.pi, 1.42 * np.pi)
        pen.fill([*cheeks, (-0.3, 0.4), (0.3, 0.4)], hair)
    for x, y in traits["moles"]:
        pen.fill(_ellipse(x * width, y, 0.04, 0.04), skin * 0.4)


def _draw_eyes(pen: _Pen, traits: dict, rng: np.random.Generator):
    open_by, gaze, raised = rng.uniform([0.5, -0.3, -0.03], [1.1, 0.3, 0.06])
    width, height = traits["eye_width"], traits["eye_height"] * open_by
    for side in (-1, 1):
        x, y, tilt = side * traits["eye_spacing"], traits["eye_y"], side * traits["eye_tilt"]
        pen.fill(_ellipse(x, y, width, height, tilt), 235)
        iris = min(height, 0.6 * width)
        pen.fill(_ellipse(x + gaze * width, y, iris, iris), traits["iris"])
        pen.fill(_ellipse(x + gaze * width, y, iris * 0.5, iris * 0.5), 10)
        pen.line(_ellipse(x, y, width * 1.1, height, tilt, np.pi, 2 * np.pi), 25, 0.025)
        brow_y, lean = y - traits["brow_y"] - raised, np.sin(traits["brow_tilt"]) * side
        brow = [
            (x + w * width * 1.3, brow_y + w * lean * width - 0.03 * (1 - w * w)) for w in (-1, -0.4, 0.2, 1)
        ]
        pen.line(brow, min(traits["hair"], traits["skin"] * 0.8), traits["brow_thickness"])
        if traits["glasses"] == "dark":
            pen.fill(_ellipse(x, y, 0.27, 0.22), 15)
        if traits["glasses"] == "round":
            pen.line(_ellipse(x, y, 0.26, 0.26), 15, 0.07)
        if traits["glasses"] == "square":
            corners = [
                (x + 0.25 * i, y + 0.19 * j) for i, j in [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
            ]
            pen.line(corners, 15, 0.09)
    if traits["glasses"] != "none":
        bridge = traits["eye_spacing"] - 0.25
        pen.line([(-bridge, traits["eye_y"]), (bridge, traits["eye_y"])], 15, 0.045)


def _draw_mouth_and_nose(pen: _Pen, traits: dict, rng: np.random.Generator):
    skin, smile, gap = traits["skin"], rng.uniform(-0.05, 0.13), max(0.0, rng.uniform(-0.1, 0.12))
    nose_width, nose_end = traits["nose_width"], traits["eye_y"] + traits["nose_length"]
    pen.fill(
        [(0.02, traits["eye_y"]), (nose_width, nose_end), (-nose_width, nose_end), (-0.02, traits["eye_y"])],
        skin * 0.88,
    )
    pen.line(_ellipse(0, nose_end, nose_width, 0.07, 0, 0, np.pi), skin * 0.5, 0.035)
    across = np.linspace(-1, 1, 15)
    x, y = across * traits["mouth_width"], traits["mouth_y"] - smile * across**2
    lip = traits["mouth_height"] * (1 - across**2)
    if traits["beard"] != "none":
        pen.line(
            np.stack([x * 1.1, y - traits["mouth_height"] - 0.04 + 0.06 * across**2], 1), traits["hair"], 0.12
        )
    upper, lower = np.stack([x, y - lip], 1), np.stack([x, y + lip + gap * (1 - across**2)], 1)
    pen.fill([*upper, *lower[::-1]], skin * traits["lips"])
    pen.fill([*np.stack([x, y], 1) * 0.98, *np.stack([x, y + gap * (1 - across**2)], 1)[::-1] * 0.98], 30)


def _draw_hair(pen: _Pen, traits: dict):
    if traits["top"] == "bald":
        return
    edge = _outline(traits, traits["hair_volume"], -1.5, 1.5)
    temple = traits["face_width"] * 0.97
    across = np.linspace(temple, -temple, 21)
    fringe = np.interp(
        across, [-temple, traits["parting"] * temple, temple], [-0.2, traits["hairline"], -0.2]
    )
    if traits["top"] == "zigzag":
        fringe = fringe + 0.09 * (-1.0) ** np.arange(21)
    pen.fill([*edge, *np.stack([across, fringe], 1)], traits["hair"])


def _light(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the photo as a camera might have caught it: soft, lit from one side, grainy."""
    blur, angle, strength, gamma, black, contrast = map(
        float, rng.uniform([0.3, 0, 0, 0.8, 0, 0.65], [1.2, 2 * np.pi, 0.35, 1.25, 0.15, 0.85])
    )  # plain floats, which keep float32 pixels float32 in every version of NumPy
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), np.float32) / 255
    ramp = np.linspace(-strength, strength, _SIDE, dtype=np.float32)
    shade = 1 + math.cos(angle) * ramp[None, :] + math.sin(angle) * ramp[:, None]
    pixels = black + contrast * (pixels * shade).clip(0, 1) ** gamma
    pixels += 0.02 * rng.standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray((255 * pixels.clip(0, 1)).astype(np.uint8))
