"""Imports run one way: from the command line down to the files."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "siamese_nn"

# Each room, and those it may import. A module of the package's root is a room of its own.
ROOMS = {
    "startup": set(),
    "files": set(),
    "faces": set(),
    "datasets": {"files", "faces"},
    "losses": set(),
    "models": {"losses"},
    "evaluation": {"datasets", "models"},
    "plots": {"datasets", "evaluation"},
    "recipes": {"datasets", "losses", "models"},
    "runs": {"files", "faces", "datasets", "evaluation", "plots", "recipes"},
    "verification": {"files", "faces", "datasets", "models", "evaluation", "runs"},
    "training": {
        *("files", "plots", "datasets", "models", "evaluation"),
        *("recipes", "runs", "verification"),
    },
    "studies": {"files", "plots", "datasets", "models", "evaluation", "recipes", "runs", "training"},
    "cli": {"faces", "files", "datasets", "recipes", "runs", "verification", "training", "studies"},
    "__main__": {"cli"},
}


def imported_rooms(path):
    """The rooms that a file imports, wherever in it."""
    own = ("siamese_nn", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = (*own[: len(own) - node.level + 1], *(node.module or "").split("."))
            names = [module[1]] if len(module) > 1 and module[1] else [alias.name for alias in node.names]
            yield from (name for name in names if name != "__version__")
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            assert not any(name.split(".")[0] == "siamese_nn" for name in names), (path, names)


def test_a_room_imports_only_those_below_it():
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            above = set(imported_rooms(path)) - {room} - ROOMS[room]
            assert not above, f"{path} may not import {sorted(above)}"


def test_the_table_holds_all_rooms_and_no_circle():
    found = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert found - {"__init__", "__pycache__"} == set(ROOMS)
    below = list(ROOMS)
    for room, allowed in ROOMS.items():
        assert allowed <= set(below[: below.index(room)]), room
