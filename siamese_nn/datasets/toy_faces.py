"""Drawn faces in the layout of LFW-a: a data set that needs no download and no permission."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from tqdm.auto import tqdm

logger = logging.getLogger(__name__)

_SIDE = 250  # pixels, as in LFW-a
_SUPERSAMPLE = 2
_HEAD = 82.0  # pixels from the middle of the face to its top
_DRAWING = 1  # raise when the pictures change, so that a set drawn by older code is not taken for a new one

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
    "skin": (95, 225), "hair": (10, 235), "face_width": (0.62, 0.92), "chin": (0.9, 1.2), "jaw": (0.55, 1.1),
    "eye_spacing": (0.27, 0.42), "eye_width": (0.12, 0.19), "eye_height": (0.06, 0.12), "eye_y": (-0.22, 0.0),
    "eye_tilt": (-0.3, 0.3), "iris": (20, 120), "brow_thickness": (0.02, 0.1), "brow_tilt": (-0.35, 0.35),
    "brow_y": (0.2, 0.32), "nose_length": (0.25, 0.48), "nose_width": (0.09, 0.22), "mouth_width": (0.18, 0.4),
    "mouth_height": (0.04, 0.11), "mouth_y": (0.52, 0.68), "ear": (0.08, 0.24), "hair_volume": (1.06, 1.3),
    "hair_length": (-0.5, 1.35), "hairline": (-0.85, -0.4), "parting": (-0.5, 0.5), "beard_length": (1.02, 1.4),
}  # fmt: skip


def make_toy_faces(
    output_dir: str | Path,
    *,
    seed: int = 0,
    n_train_identities: int = 360,
    n_test_identities: int = 120,
    images_per_identity: int = 5,
    train_pairs: int = 2500,
    test_pairs: int = 500,
) -> Path:
    """Draws photos of invented people, with the folders and pair files of LFW-a.

    Args:
        output_dir: Where the set goes.

    Returns:
        `output_dir`, as a `Path`.
    """
    output_dir = Path(output_dir)
    parameters = {
        "drawing": _DRAWING,
        "seed": seed,
        "n_train_identities": n_train_identities,
        "n_test_identities": n_test_identities,
        "images_per_identity": images_per_identity,
        "train_pairs": train_pairs,
        "test_pairs": test_pairs,
    }
    names = _names(n_train_identities + n_test_identities)
    for person, name in enumerate(tqdm(names, desc="Drawing faces", unit="person", disable=None)):
        folder = output_dir / "lfw2" / name
        folder.mkdir(parents=True)
        traits = _draw_traits(np.random.default_rng([seed, 0, person]))
        for photo in range(images_per_identity):
            image = _draw_photo(traits, np.random.default_rng([seed, 1, person, photo]))
            image.save(folder / f"{name}_{photo + 1:04d}.jpg", quality=90)
    for part, (file, people, n_pairs) in enumerate(
        [("pairsDevTrain.txt", names[:n_train_identities], train_pairs), ("pairsDevTest.txt", names[n_train_identities:], test_pairs)]
    ):
        rng = np.random.default_rng([seed, 2, part])
        (output_dir / file).write_text(_pair_file(people, images_per_identity, n_pairs, rng))
    return output_dir


def _names(count: int) -> list[str]:
    """Returns `count` distinct names; first names go round, so that every letter comes early."""
    first, last = _FIRST_NAMES.split(), _LAST_NAMES.split()
    # 7 shares no factor with the 40 last names, so a first name meets each of them once before it repeats.
    return [f"{first[i % len(first)]}_{last[(i + 7 * (i // len(first))) % len(last)]}" for i in range(count)]


def _pair_file(people: list[str], images: int, n_pairs: int, rng: np.random.Generator) -> str:
    """Returns the text of a View 1 pair file, drawn without replacement from all pairs there are."""
    first, second = np.triu_indices(images, 1)
    chosen = rng.choice(len(people) * len(first), n_pairs, replace=False)
    same = [(people[c // len(first)], first[c % len(first)] + 1, second[c % len(first)] + 1) for c in chosen]
    lines = [str(n_pairs), *(f"{name}\t{i}\t{j}" for name, i, j in same)]
    left, right = np.triu_indices(len(people), 1)
    for c in rng.choice(len(left) * images**2, n_pairs, replace=False):
        sides = [(people[left[c // images**2]], c % images + 1), (people[right[c // images**2]], c // images % images + 1)]
        # Without the flip the left person would always come before the right one in the list of people.
        (a, i), (b, j) = sides[:: rng.choice([1, -1])]
        lines.append(f"{a}\t{i}\t{b}\t{j}")
    return "\n".join(lines) + "\n"


def _draw_traits(rng: np.random.Generator) -> dict:
    """Returns what stays the same in every photo of one person."""
    traits = {name: rng.uniform(low, high) for name, (low, high) in _TRAITS.items()}
    # Hair that is as grey as the skin would hide the hairline, the brows and the beard.
    if abs(traits["hair"] - traits["skin"]) < 45:
        traits["hair"] = traits["skin"] - 70
    traits["top"] = rng.choice(["bald", "smooth", "smooth", "zigzag", "curly", "bun"])
    traits["glasses"] = rng.choice(["none", "round", "square"])
    traits["beard"] = rng.choice(["none", "moustache", "full"])
    traits["moles"] = rng.uniform([-0.5, 0.05], [0.5, 0.5], (rng.integers(0, 3), 2))
    return traits


class _Pen:
    """Draws points given on the front of a head, seen from where one photo was taken."""

    def __init__(self, image: Image.Image, face_width: float, rng: np.random.Generator):
        self.draw = ImageDraw.Draw(image)
        self.face_width = face_width
        self.yaw, self.pitch = rng.uniform([-0.35, -0.2], [0.35, 0.2])
        self.scale = _SUPERSAMPLE * _HEAD * rng.uniform(0.88, 1.1)
        roll = rng.uniform(-0.12, 0.12)
        self.rotation = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        self.centre = _SUPERSAMPLE * (np.array([_SIDE / 2, _SIDE / 2 + 6]) + rng.uniform(-10, 10, 2))

    def project(self, points) -> list[tuple[float, float]]:
        x, y = np.asarray(points, float).T
        # The head is half an ellipsoid: features in the middle are nearer and move more than the outline.
        depth = 0.7 * np.sqrt(np.clip(1 - (x / self.face_width) ** 2 - (y / 1.2) ** 2, 0, 1))
        x = x * np.cos(self.yaw) + depth * np.sin(self.yaw)
        y = y * np.cos(self.pitch) + depth * np.sin(self.pitch)
        return [tuple(p) for p in np.stack([x, y], 1) @ self.rotation * self.scale + self.centre]

    def fill(self, points, grey: float):
        self.draw.polygon(self.project(points), fill=_grey(grey))

    def line(self, points, grey: float, width: float):
        self.draw.line(self.project(points), fill=_grey(grey), width=max(1, round(width * self.scale)), joint="curve")


def _grey(value: float) -> int:
    return int(np.clip(value, 0, 255))


def _ellipse(x, y, width, height, tilt=0.0, start=0.0, stop=2 * np.pi) -> np.ndarray:
    """Returns (n, 2) points; angles run from the right over the bottom, since y points down."""
    angle = np.linspace(start, stop, 25)
    across, down = width * np.cos(angle), height * np.sin(angle)
    return np.stack([x + across * np.cos(tilt) - down * np.sin(tilt), y + across * np.sin(tilt) + down * np.cos(tilt)], 1)


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
        brow = [(x + w * width * 1.3, brow_y + w * lean * width - 0.03 * (1 - w * w)) for w in (-1, -0.4, 0.2, 1)]
        pen.line(brow, min(traits["hair"], traits["skin"] * 0.8), traits["brow_thickness"])
        if traits["glasses"] == "round":
            pen.line(_ellipse(x, y, 0.25, 0.25), 15, 0.045)
        if traits["glasses"] == "square":
            corners = [(x + 0.25 * i, y + 0.19 * j) for i, j in [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]]
            pen.line(corners, 15, 0.06)
    if traits["glasses"] != "none":
        bridge = traits["eye_spacing"] - 0.25
        pen.line([(-bridge, traits["eye_y"]), (bridge, traits["eye_y"])], 15, 0.045)


def _draw_mouth_and_nose(pen: _Pen, traits: dict, rng: np.random.Generator):
    skin, smile, gap = traits["skin"], rng.uniform(-0.05, 0.13), max(0.0, rng.uniform(-0.1, 0.12))
    nose_width, nose_end = traits["nose_width"], traits["eye_y"] + traits["nose_length"]
    pen.fill([(0.02, traits["eye_y"]), (nose_width, nose_end), (-nose_width, nose_end), (-0.02, traits["eye_y"])], skin * 0.88)
    pen.line(_ellipse(0, nose_end, nose_width, 0.07, 0, 0, np.pi), skin * 0.5, 0.035)
    across = np.linspace(-1, 1, 15)
    x, y = across * traits["mouth_width"], traits["mouth_y"] - smile * across**2
    lip = traits["mouth_height"] * (1 - across**2)
    if traits["beard"] != "none":
        pen.line(np.stack([x * 1.1, y - traits["mouth_height"] - 0.04 + 0.06 * across**2], 1), traits["hair"], 0.12)
    upper, lower = np.stack([x, y - lip], 1), np.stack([x, y + lip + gap * (1 - across**2)], 1)
    pen.fill([*upper, *lower[::-1]], skin * 0.55)
    pen.fill([*np.stack([x, y], 1) * 0.98, *np.stack([x, y + gap * (1 - across**2)], 1)[::-1] * 0.98], 30)


def _draw_hair(pen: _Pen, traits: dict):
    if traits["top"] == "bald":
        return
    edge = _outline(traits, traits["hair_volume"], -1.5, 1.5)
    temple = traits["face_width"] * 0.97
    across = np.linspace(temple, -temple, 21)
    fringe = np.interp(across, [-temple, traits["parting"] * temple, temple], [-0.2, traits["hairline"], -0.2])
    if traits["top"] == "zigzag":
        fringe = fringe + 0.09 * (-1.0) ** np.arange(21)
    pen.fill([*edge, *np.stack([across, fringe], 1)], traits["hair"])


def _light(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the photo as a camera might have caught it: lit from one side, soft, grainy."""
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    pixels = np.asarray(image, np.float32) / 255
    direction, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.7)
    ramp = np.linspace(-1, 1, _SIDE, dtype=np.float32)
    shade = 1 + strength * (np.cos(direction) * ramp[None, :] + np.sin(direction) * ramp[:, None])
    pixels = (pixels * shade).clip(0, 1) ** rng.uniform(0.7, 1.4)
    low, contrast = rng.uniform(0, 0.2), rng.uniform(0.55, 0.85)
    pixels = low + contrast * pixels + rng.normal(0, 0.02, pixels.shape)
    return Image.fromarray((255 * pixels.clip(0, 1)).astype(np.uint8))
