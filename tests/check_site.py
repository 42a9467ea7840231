"""Whether the built site shows each exported object, and loads nothing from another host; for `make docs`."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "siamese_nn"
# What a browser fetches by itself. A link that is followed by hand may lead anywhere.
_BEFORE = r"""(?:[^>"']|"[^"]*"|'[^']*')*?"""  # other attributes of the same element
_LOADED = re.compile(
    rf"""<link\b{_BEFORE}\bhref=["']?([^"'\s>]+)"""
    rf"""|<\w+\b{_BEFORE}\b(?:src|srcset|poster)=["']?([^"'\s>]+)"""
    r"""|(?:url\(|@import)\s*["']?([^"')\s]+)"""
)


def elsewhere(text: str) -> list[str]:
    """What a page or a style sheet loads from another host."""
    loaded = (next(filter(None, match.groups())) for match in _LOADED.finditer(text))
    return [address for address in loaded if re.match(r"(https?:)?//", address)]


def exported() -> Iterator[str]:
    """The names that the rooms export, as `losses.CircleLoss`."""
    for file in PACKAGE.glob("*/__init__.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                yield from (f"{file.parent.name}.{name}" for name in ast.literal_eval(node.value))
    for node in ast.parse((PACKAGE / "plots.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield f"plots.{node.name}"


def main(site: Path) -> None:
    """Ends with the first kind of fault that it finds."""
    files = [path for path in sorted(site.rglob("*")) if path.suffix in (".html", ".css")]
    texts = {str(path.relative_to(site)): path.read_text(encoding="utf-8") for path in files}
    loaded = [(name, address) for name, text in texts.items() for address in elsewhere(text)]
    faults = [f"{name} must load nothing from another host. Received: {address}" for name, address in loaded]
    for name in exported():
        room, word = name.split(".")
        # `training.train` is a module, too, and stands there by the name of what it holds.
        if not re.search(rf'id="siamese_nn\.{room}\.({word}\.)?{word}"', texts[f"api/{room}/index.html"]):
            faults.append(f"docs/api/{room}.md must show {name}, which is exported")
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
