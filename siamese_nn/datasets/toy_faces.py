"""Drawn faces in the layout of LFW-a: a data set that needs no download and no permission."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from tqdm.auto import tqdm

_SIDE, _SUPERSAMPLE = 250, 2  # pixels of a photo, as in LFW-a, and how many times as fine it is drawn
_HEAD = 84.0  # pixels from the middle of the face to its top
_DRAWING = 1  # raise when the pictures change, so that a set drawn by older code is not taken for a new one

# Three in every ten names begin with A-E: about 30 % of the people are there to validate on.
_FIRST_NAMES = """Ada Fern Gus Hana Bruno Ivo Jun Carla Kofi Lena Milo Dora Nils Olga Ezra Pia Quinn Rosa Abel
Sven Emil Umar Beth Vera Tim Xenia Cyrus Yara Zeno Farid Dina Gwen Hugo Elsa Iris Jonas Anouk Kira Luca Mona
Boris Noor Otto Chloe Petra Quido Rhea Dario Sami Thea Ugo Eli Vito Willa Aiko Xavi Yusuf Bella Zora Felix"""
_LAST_NAMES = """Adler Bakker Castro Dekker Ekman Farkas Garza Holt Ibarra Jansen Keller Lund Moreau Novak
Okafor Petrov Quist Rossi Sato Tanaka Ueda Varga Weber Xiong Yilmaz Zeman Brandt Conti Duarte Eriksen Fischer
Grant Hansen Ito Kaya Lopez Meyer Nunes Ortega Palmer"""

# Each trait is drawn once per person. Lengths are in units of _HEAD, angles in radians, greys from 0 to 255.
_TRAITS = {
    "skin": (110, 220), "hair": (10, 255), "face_width": (0.62, 0.92), "chin": (0.9, 1.2), "jaw": (0.55, 1.1),
    "eye_spacing": (0.27, 0.42), "eye_width": (0.11, 0.21), "eye_height": (0.05, 0.14), "eye_y": (-0.22, 0.0),
    "eye_tilt": (-0.3, 0.3), "iris": (20, 120), "brow_thickness": (0.02, 0.1), "brow_tilt": (-0.35, 0.35),
    "brow_y": (0.2, 0.32), "nose_length": (0.25, 0.48), "nose_width": (0.09, 0.22),
    "mouth_width": (0.18, 0.4), "lips": (0.3, 0.85), "mouth_height": (0.03, 0.12), "mouth_y": (0.52, 0.68),
    "ear": (0.08, 0.24), "hair_volume": (1.06, 1.3), "hair_length": (-0.5, 1.35), "hairline": (-0.85, -0.4),
    "parting": (-0.5, 0.5), "beard_length": (1.02, 1.25),
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

    Pose, light, expression, clothes and background differ from photo to photo. Pixel distances say little;
    a small network can learn. A run that is cut off leaves no half set, and the next starts again.

    Args:
        output_dir: Folder to make, with `lfw2/<name>/<name>_0001.jpg` and so on (grey, 250x250), the View 1
            files `pairsDevTrain.txt` and `pairsDevTest.txt`, and `toy_faces.json`, which keeps the arguments.
            A whole set that was made with the same arguments is kept as it is.
        seed: Integer from 0 to 2**32 - 1. The same seed gives the same files. Defaults to 0.
        n_train_identities: Integer from 2 to 1200. People in `pairsDevTrain.txt`. Defaults to 480.
        n_test_identities: Integer from 2 to 1200. People in `pairsDevTest.txt`, all new. Defaults to 120.
        images_per_identity: Integer from 2 to 1200. Photos of each person. Defaults to 4.
        train_pairs: Positive integer. Same pairs in `pairsDevTrain.txt` and as many others. Defaults to 2400.
        test_pairs: Positive integer. The same for `pairsDevTest.txt`. Defaults to 500.

    Returns:
        `output_dir`, as a `Path`.

    Raises:
        ValueError: If an argument is out of its range, or more pairs are asked for than there are.
        FileExistsError: If `output_dir` holds something else.

    Example:
        >>> import tempfile
        >>> sizes = dict(n_train_identities=3, n_test_identities=2, images_per_identity=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     faces = make_toy_faces(f"{folder}/faces", train_pairs=3, test_pairs=2, **sizes)
        ...     print((faces / "pairsDevTest.txt").read_text().splitlines()[0])
        2
    """
    output_dir = Path(output_dir)
    arguments = {
        "seed": seed, "n_train_identities": n_train_identities, "n_test_identities": n_test_identities,
        "images_per_identity": images_per_identity, "train_pairs": train_pairs, "test_pairs": test_pairs,
    }  # fmt: skip
    _check(arguments)
    note = json.dumps({"drawing": _DRAWING, **arguments}, default=int)  # int() for NumPy's integers
    if not _holds_set(output_dir, note, (n_train_identities + n_test_identities) * images_per_identity):
        partial = output_dir.parent / f".{output_dir.name}.toy_faces_partial"
        if partial.exists():
            shutil.rmtree(partial)
        parts = {"Train": (n_train_identities, train_pairs), "Test": (n_test_identities, test_pairs)}
        _draw_set(partial, seed, images_per_identity, parts)
        (partial / "toy_faces.json").write_text(note)
        if output_dir.exists():
            output_dir.rmdir()  # it is empty, and not every system renames onto an empty folder
        partial.rename(output_dir)
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
    """Returns whether the set is there already; raises FileExistsError if something else is."""
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
    first, last = _FIRST_NAMES.split(), _LAST_NAMES.split()
    count = sum(people for people, _ in parts.values())
    # A first name comes again after 60 people, with the last name 67 further on, so that no name comes twice.
    names = [f"{first[i % 60]}_{last[(i + i // 60 * 7) % 40]}" for i in range(count)]
    for person, name in enumerate(tqdm(names, desc="Drawing faces", unit="person", disable=None)):
        (folder / "lfw2" / name).mkdir(parents=True)
        traits = _draw_traits(np.random.default_rng([seed, 0, person]))
        for photo in range(images):
            image = _draw_photo(traits, np.random.default_rng([seed, 1, person, photo]))
            image.save(folder / "lfw2" / name / f"{name}_{photo + 1:04d}.jpg", quality=90)
    for number, (part, (people, n_pairs)) in enumerate(parts.items()):
        text = _make_pairs(names[:people], images, n_pairs, np.random.default_rng([seed, 2, number]))
        (folder / f"pairsDev{part}.txt").write_text(text, newline="\n")
        names = names[people:]


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
        sides = [(people[left[couple]], photos // images + 1), (people[right[couple]], photos % images + 1)]
        rng.shuffle(sides)  # or the left person would always be the earlier one in the list of people
        lines.append("\t".join(f"{name}\t{photo}" for name, photo in sides))
    return "\n".join(lines) + "\n"


def _draw_traits(rng: np.random.Generator) -> dict:
    traits = {name: rng.uniform(low, high) for name, (low, high) in _TRAITS.items()}
    # Hair that is as grey as the skin would hide the hairline, the brows and the beard.
    if abs(traits["hair"] - traits["skin"]) < 70:
        traits["hair"] = traits["skin"] - 85
    traits["top"] = rng.choice(["bald", "smooth", "smooth", "zigzag", "curly", "bun"])
    traits["earring"] = rng.choice([0.0, 0.0, 0.15])
    traits["glasses"] = rng.choice(["none", "round", "square", "dark"])
    traits["beard"] = rng.choice(["none", "moustache", "full"])
    return traits


class _Pen:
    """Draws on the front of a head, as one photo shows it. A point is x + yj from the middle, y down."""

    def __init__(self, image: Image.Image, face_width: float, rng: np.random.Generator):
        self.draw, self.face_width = ImageDraw.Draw(image), face_width
        self.yaw, self.pitch = rng.uniform([-0.3, -0.15], [0.3, 0.15])
        self.scale = _SUPERSAMPLE * _HEAD * rng.uniform(0.88, 1.06)
        self.roll = np.exp(1j * rng.uniform(-0.12, 0.12))
        self.centre = _SUPERSAMPLE * (_SIDE * (0.5 + 0.525j) + rng.uniform(-14, 14, 2) @ [1, 1j])

    def project(self, points) -> list[float]:
        x, y = np.real(points), np.imag(points)
        # The head is half an ellipsoid: features in the middle are nearer and move more than the outline.
        depth = 0.7 * np.sqrt(np.clip(1 - (x / self.face_width) ** 2 - (y / 1.2) ** 2, 0, 1))
        x = x * np.cos(self.yaw) + depth * np.sin(self.yaw)
        y = y * np.cos(self.pitch) + depth * np.sin(self.pitch)
        return ((x + 1j * y) * self.roll * self.scale + self.centre).view(float).tolist()

    def fill(self, points, grey: float) -> None:
        self.draw.polygon(self.project(points), fill=int(grey))

    def line(self, points, grey: float, width: float) -> None:
        self.draw.line(self.project(points), int(grey), max(1, round(width * self.scale)), joint="curve")


def _ellipse(middle: complex, width: float, height: float, tilt=0.0, start=0.0, stop=2 * np.pi) -> np.ndarray:
    """Returns points; angles run from the right over the bottom, since y points down."""
    angle = np.linspace(start, stop, 25)
    return middle + (width * np.cos(angle) + 1j * height * np.sin(angle)) * np.exp(1j * tilt)


def _outline(traits: dict, grow: float, start: float, stop: float) -> np.ndarray:
    """Returns points of the face's edge, `grow` times as far out; angle 0 is the top, pi the chin."""
    angle = np.linspace(start, stop, 41)
    power, height = np.where(np.cos(angle) > 0, [[0.9], [1.0]], [[traits["jaw"]], [traits["chin"]]])
    x = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * traits["face_width"]
    return grow * (x - 1j * np.cos(angle) * height)


def _draw_photo(traits: dict, rng: np.random.Generator) -> Image.Image:
    """Returns one 250x250 grey photo of the person: soft, lit from one side and grainy."""
    coarse = Image.fromarray(rng.uniform(0, 255, rng.integers(2, 6, 2)).astype(np.uint8))
    image = coarse.resize((_SIDE * _SUPERSAMPLE,) * 2, Image.Resampling.BICUBIC)
    pen = _Pen(image, traits["face_width"], rng)
    pen.fill(_ellipse(2.35j, 1.7, 1.0), rng.uniform(10, 245))  # clothes
    _draw_head(pen, traits)
    _draw_eyes(pen, traits, rng)
    _draw_mouth_and_nose(pen, traits, rng)
    _draw_hair(pen, traits)
    low, high = [0.3, 0, 0, 0.8, 0, 0.65], [1.2, 2 * np.pi, 0.35, 1.25, 0.15, 0.85]
    blur, angle, slope, gamma, black, gain = rng.uniform(low, high).tolist()  # floats keep float32 pixels
    image = image.reduce(_SUPERSAMPLE).filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(image, np.float32) / 255
    ramp = np.linspace(-slope, slope, _SIDE, dtype=np.float32)
    pixels *= 1 + math.cos(angle) * ramp[None, :] + math.sin(angle) * ramp[:, None]
    pixels = black + gain * pixels.clip(0, 1) ** gamma
    pixels += 0.02 * rng.standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray((255 * pixels.clip(0, 1)).astype(np.uint8))


def _draw_head(pen: _Pen, traits: dict) -> None:
    skin, hair, width, volume = (traits[name] for name in ("skin", "hair", "face_width", "hair_volume"))
    if traits["top"] != "bald":
        ends = width * volume * np.array([1, -1]) + 1j * traits["hair_length"]
        pen.fill([*_outline(traits, volume, -np.pi / 2, np.pi / 2), *ends], hair * 0.85)
    if traits["top"] == "bun":
        pen.fill(_ellipse(-1j * (volume + 0.1), 0.32, 0.27), hair)
    for point in _outline(traits, volume, -1.9, 1.9)[::3] if traits["top"] == "curly" else ():
        pen.fill(_ellipse(point, 0.2, 0.2), hair)
    pen.fill([-0.35 + 0.6j, -0.42 + 1.7j, 0.42 + 1.7j, 0.35 + 0.6j], skin * 0.8)  # neck
    for side in (-1, 1):
        pen.fill(_ellipse(side * width * 1.02 + 0.08j, traits["ear"] * 0.7, traits["ear"] * 1.2), skin * 0.9)
    pen.fill(_outline(traits, 1.0, 0, 2 * np.pi), skin)
    if traits["beard"] == "full":
        cheeks = _outline(traits, traits["beard_length"], 0.6 * np.pi, 1.4 * np.pi)
        pen.fill([*cheeks, -0.3 + 0.4j, 0.3 + 0.4j], hair)


def _draw_eyes(pen: _Pen, traits: dict, rng: np.random.Generator) -> None:
    open_by, gaze, raised = rng.uniform([0.5, -0.3, -0.03], [1.1, 0.3, 0.06])
    width, height = traits["eye_width"], traits["eye_height"] * open_by
    iris, across = min(height, 0.6 * width), np.array([-1, -0.4, 0.2, 1])
    for side in (-1, 1):
        eye, tilt = side * traits["eye_spacing"] + 1j * traits["eye_y"], side * traits["eye_tilt"]
        pen.fill(_ellipse(eye, width, height, tilt), 235)
        for size, grey in [(iris, traits["iris"]), (iris / 2, 10)]:
            pen.fill(_ellipse(eye + gaze * width, size, size), grey)
        pen.line(_ellipse(eye, width * 1.1, height, tilt, np.pi, 2 * np.pi), 25, 0.025)
        brow = across * width * (1.3 + 1j * side * np.sin(traits["brow_tilt"])) - 0.03j * (1 - across**2)
        brow_grey = min(traits["hair"], traits["skin"] * 0.8)
        pen.line(eye - 1j * (traits["brow_y"] + raised) + brow, brow_grey, traits["brow_thickness"])
        if traits["glasses"] == "dark":
            pen.fill(_ellipse(eye, 0.27, 0.22), 15)
        if traits["glasses"] == "round":
            pen.line(_ellipse(eye, 0.26, 0.26), 15, 0.07)
        if traits["glasses"] == "square":
            pen.line(eye + np.array([-25 - 19j, 25 - 19j, 25 + 19j, -25 + 19j, -25 - 19j]) / 100, 15, 0.09)
        if traits["glasses"] != "none":
            pen.line([eye - side * 0.25, 1j * eye.imag], 15, 0.045)


def _draw_mouth_and_nose(pen: _Pen, traits: dict, rng: np.random.Generator) -> None:
    skin, smile, gap = traits["skin"], rng.uniform(-0.05, 0.13), max(0.0, rng.uniform(-0.1, 0.12))
    top, wing = 1j * traits["eye_y"], traits["nose_width"]
    tip = top + 1j * traits["nose_length"]
    pen.fill([top + 0.02, tip + wing, tip - wing, top - 0.02], skin * 0.88)
    pen.line(_ellipse(tip, wing, 0.07, 0, 0, np.pi), skin * 0.5, 0.035)
    across = np.linspace(-1, 1, 15)
    arch = 1j * (1 - across**2)  # nothing in the corners of the mouth
    mouth = across * traits["mouth_width"] + 1j * (traits["mouth_y"] - smile * across**2)
    lip, jaw = traits["mouth_height"] * arch, gap * arch
    if traits["beard"] != "none":
        moustache = mouth + 0.1 * mouth.real - 1j * (traits["mouth_height"] + 0.04 - 0.06 * across**2)
        pen.line(moustache, traits["hair"], 0.12)
    pen.fill([*(mouth - lip), *(mouth + lip + jaw)[::-1]], skin * traits["lips"])
    pen.fill([*mouth, *(mouth + jaw)[::-1]], 30)


def _draw_hair(pen: _Pen, traits: dict) -> None:
    temple, parting, ring = traits["face_width"] * 0.97, traits["parting"], traits["earring"]
    x = np.linspace(temple, -temple, 21)
    fringe = np.interp(x, [-temple, parting * temple, temple], [-0.2, traits["hairline"], -0.2])
    fringe += 0.09 * (-1.0) ** np.arange(21) * (traits["top"] == "zigzag")
    if traits["top"] != "bald":
        pen.fill([*_outline(traits, traits["hair_volume"], -1.5, 1.5), *(x + 1j * fringe)], traits["hair"])
    for side in (-1, 1) if ring else ():
        pen.line(_ellipse(side * traits["face_width"] * 1.08 + 1j * (0.3 + ring), ring, ring), 250, 0.06)
