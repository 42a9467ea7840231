"""What is imported is declared, and what is declared has a version with which all tests have passed."""

import ast
import configparser
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = re.compile(r"[A-Za-z0-9._-]+")


# Where what an extra brings is imported.
OF_EXTRAS = {
    **{"sweep": {"studies"}, "faces": {"faces", "datasets"}},
    **{extra: {"verification"} for extra in ("onnx", "litert", "export", "app", "index")},
}


def declared() -> dict[str, set[str]]:
    """The distributions that setup.cfg asks for, by their extra; "" is what every user gets."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lists = {"": config["options"]["install_requires"], **config["options.extras_require"]}
    return {extra: {plain(WORDS.match(line)[0]) for line in text.split()} for extra, text in lists.items()}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> dict[str, set[str]]:
    """The modules of others that the library imports, wherever in a file, and the rooms that do."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "siamese_nn").rglob("*.py"):
        room = path.relative_to(ROOT / "siamese_nn").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in names:
                found.setdefault(name.split(".")[0], set()).add(room)
    return {name: rooms for name, rooms in found.items() if name not in sys.stdlib_module_names}


def test_what_the_library_imports_is_declared():
    brought_by = {"faiss": ["faiss-cpu"], **packages_distributions()}  # not every environment has it
    extras = declared()
    for module, rooms in imported().items():
        names = {plain(name) for name in brought_by.get(module, [module])}
        optional = set().union(*(extras[extra] for extra, own in OF_EXTRAS.items() if rooms <= own))
        assert names & (extras[""] | optional), f"{module}, imported in {rooms}, is not in setup.cfg"


@pytest.mark.parametrize(
    ("name", "left_out"), [("constraints.txt", {"addons"}), ("constraints-addons.txt", {"dev-onnx"})]
)
def test_the_constraints_fix_what_make_installs(name, left_out):
    lines = (ROOT / name).read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)  # no paths
    fixed = {plain(line.split("==")[0]) for line in lines}
    assert len(fixed) == len(lines)
    extras = declared()
    for extra in {"", "dev", "dev-onnx", "sweep", "addons"} - left_out:
        assert extras[extra] <= fixed
