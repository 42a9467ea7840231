"""The invented people of the drawn faces: names, traits, and how the parts of a face are drawn."""

import numpy as np
from PIL import Image, ImageDraw

SIDE, SUPERSAMPLE = 250, 2  # pixels of a photo, as in LFW-a, and how many times as fine it is drawn
_HEAD = 84.0  # pixels from the middle of the face to its top

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


def people_names(count: int) -> list[str]:
    """Returns the names of the first `count` people, 2400 at most, each once."""
    first, last = _FIRST_NAMES.split(), _LAST_NAMES.split()
    # A first name comes again after 60 people, with the last name 67 further on, so that no name comes twice.
    return [f"{first[i % 60]}_{last[(i + i // 60 * 7) % 40]}" for i in range(count)]


def draw_traits(rng: np.random.Generator) -> dict:
    """Draws what makes a person's face."""
    traits = {name: rng.uniform(low, high) for name, (low, high) in _TRAITS.items()}
    # Hair that is as grey as the skin would hide the hairline, the brows and the beard.
    if abs(traits["hair"] - traits["skin"]) < 70:
        traits["hair"] = traits["skin"] - 85
    traits["top"] = rng.choice(["bald", "smooth", "smooth", "zigzag", "curly", "bun"])
    traits["earring"] = rng.choice([0.0, 0.0, 0.15])
    traits["glasses"] = rng.choice(["none", "round", "square", "dark"])
    traits["beard"] = rng.choice(["none", "moustache", "full"])
    return traits


class Pen:
    """Draws on the front of a head, as one photo shows it. A point is x + yj from the middle, y down."""

    def __init__(self, image: Image.Image, face_width: float, rng: np.random.Generator):
        self.draw, self.face_width = ImageDraw.Draw(image), face_width
        self.yaw, self.pitch = rng.uniform([-0.3, -0.15], [0.3, 0.15])
        self.scale = SUPERSAMPLE * _HEAD * rng.uniform(0.88, 1.06)
        self.roll = np.exp(1j * rng.uniform(-0.12, 0.12))
        self.centre = SUPERSAMPLE * (SIDE * (0.5 + 0.525j) + rng.uniform(-14, 14, 2) @ [1, 1j])

    def project(self, points) -> list[float]:
        """Returns where points of the face lie in the image."""
        x, y = np.real(points), np.imag(points)
        # The head is half an ellipsoid: features in the middle are nearer and move more than the outline.
        depth = 0.7 * np.sqrt(np.clip(1 - (x / self.face_width) ** 2 - (y / 1.2) ** 2, 0, 1))
        x = x * np.cos(self.yaw) + depth * np.sin(self.yaw)
        y = y * np.cos(self.pitch) + depth * np.sin(self.pitch)
        return ((x + 1j * y) * self.roll * self.scale + self.centre).view(float).tolist()

    def fill(self, points, grey: float) -> None:
        """Draws a polygon."""
        self.draw.polygon(self.project(points), fill=int(grey))

    def line(self, points, grey: float, width: float) -> None:
        """Draws a line through points."""
        self.draw.line(self.project(points), int(grey), max(1, round(width * self.scale)), joint="curve")


def ellipse(middle: complex, width: float, height: float, tilt=0.0, start=0.0, stop=2 * np.pi) -> np.ndarray:
    """Returns points; angles run from the right over the bottom, since y points down."""
    angle = np.linspace(start, stop, 25)
    return middle + (width * np.cos(angle) + 1j * height * np.sin(angle)) * np.exp(1j * tilt)


def outline(traits: dict, grow: float, start: float, stop: float) -> np.ndarray:
    """Returns points of the face's edge, `grow` times as far out; angle 0 is the top, pi the chin."""
    angle = np.linspace(start, stop, 41)
    power, height = np.where(np.cos(angle) > 0, [[0.9], [1.0]], [[traits["jaw"]], [traits["chin"]]])
    x = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * traits["face_width"]
    return grow * (x - 1j * np.cos(angle) * height)


def draw_head(pen: Pen, traits: dict) -> None:
    """Draws the head without its features."""
    skin, hair, width, volume = (traits[name] for name in ("skin", "hair", "face_width", "hair_volume"))
    if traits["top"] != "bald":
        ends = width * volume * np.array([1, -1]) + 1j * traits["hair_length"]
        pen.fill([*outline(traits, volume, -np.pi / 2, np.pi / 2), *ends], hair * 0.85)
    if traits["top"] == "bun":
        pen.fill(ellipse(-1j * (volume + 0.1), 0.32, 0.27), hair)
    for point in outline(traits, volume, -1.9, 1.9)[::3] if traits["top"] == "curly" else ():
        pen.fill(ellipse(point, 0.2, 0.2), hair)
    pen.fill([-0.35 + 0.6j, -0.42 + 1.7j, 0.42 + 1.7j, 0.35 + 0.6j], skin * 0.8)  # neck
    for side in (-1, 1):
        pen.fill(ellipse(side * width * 1.02 + 0.08j, traits["ear"] * 0.7, traits["ear"] * 1.2), skin * 0.9)
    pen.fill(outline(traits, 1.0, 0, 2 * np.pi), skin)
    if traits["beard"] == "full":
        cheeks = outline(traits, traits["beard_length"], 0.6 * np.pi, 1.4 * np.pi)
        pen.fill([*cheeks, -0.3 + 0.4j, 0.3 + 0.4j], hair)


def draw_eyes(pen: Pen, traits: dict, rng: np.random.Generator) -> None:
    """Draws eyes and brows."""
    open_by, gaze, raised = rng.uniform([0.5, -0.3, -0.03], [1.1, 0.3, 0.06])
    width, height = traits["eye_width"], traits["eye_height"] * open_by
    iris, across = min(height, 0.6 * width), np.array([-1, -0.4, 0.2, 1])
    for side in (-1, 1):
        eye, tilt = side * traits["eye_spacing"] + 1j * traits["eye_y"], side * traits["eye_tilt"]
        pen.fill(ellipse(eye, width, height, tilt), 235)
        for size, grey in [(iris, traits["iris"]), (iris / 2, 10)]:
            pen.fill(ellipse(eye + gaze * width, size, size), grey)
        pen.line(ellipse(eye, width * 1.1, height, tilt, np.pi, 2 * np.pi), 25, 0.025)
        brow = across * width * (1.3 + 1j * side * np.sin(traits["brow_tilt"])) - 0.03j * (1 - across**2)
        brow_grey = min(traits["hair"], traits["skin"] * 0.8)
        pen.line(eye - 1j * (traits["brow_y"] + raised) + brow, brow_grey, traits["brow_thickness"])
        if traits["glasses"] == "dark":
            pen.fill(ellipse(eye, 0.27, 0.22), 15)
        if traits["glasses"] == "round":
            pen.line(ellipse(eye, 0.26, 0.26), 15, 0.07)
        if traits["glasses"] == "square":
            pen.line(eye + np.array([-25 - 19j, 25 - 19j, 25 + 19j, -25 + 19j, -25 - 19j]) / 100, 15, 0.09)
        if traits["glasses"] != "none":
            pen.line([eye - side * 0.25, 1j * eye.imag], 15, 0.045)


def draw_mouth_and_nose(pen: Pen, traits: dict, rng: np.random.Generator) -> None:
    """Draws mouth and nose, the mouth's lips last."""
    skin, smile, gap = traits["skin"], rng.uniform(-0.05, 0.13), max(0.0, rng.uniform(-0.1, 0.12))
    top, wing = 1j * traits["eye_y"], traits["nose_width"]
    tip = top + 1j * traits["nose_length"]
    pen.fill([top + 0.02, tip + wing, tip - wing, top - 0.02], skin * 0.88)
    pen.line(ellipse(tip, wing, 0.07, 0, 0, np.pi), skin * 0.5, 0.035)
    across = np.linspace(-1, 1, 15)
    arch = 1j * (1 - across**2)  # nothing in the corners of the mouth
    mouth = across * traits["mouth_width"] + 1j * (traits["mouth_y"] - smile * across**2)
    lip, jaw = traits["mouth_height"] * arch, gap * arch
    if traits["beard"] != "none":
        moustache = mouth + 0.1 * mouth.real - 1j * (traits["mouth_height"] + 0.04 - 0.06 * across**2)
        pen.line(moustache, traits["hair"], 0.12)
    pen.fill([*(mouth - lip), *(mouth + lip + jaw)[::-1]], skin * traits["lips"])
    pen.fill([*mouth, *(mouth + jaw)[::-1]], 30)


def draw_hair(pen: Pen, traits: dict) -> None:
    """Draws the hair in front of the face, and an earring."""
    temple, parting, ring = traits["face_width"] * 0.97, traits["parting"], traits["earring"]
    x = np.linspace(temple, -temple, 21)
    fringe = np.interp(x, [-temple, parting * temple, temple], [-0.2, traits["hairline"], -0.2])
    fringe += 0.09 * (-1.0) ** np.arange(21) * (traits["top"] == "zigzag")
    if traits["top"] != "bald":
        pen.fill([*outline(traits, traits["hair_volume"], -1.5, 1.5), *(x + 1j * fringe)], traits["hair"])
    for side in (-1, 1) if ring else ():
        pen.line(ellipse(side * traits["face_width"] * 1.08 + 1j * (0.3 + ring), ring, ring), 250, 0.06)
