"""Makes pages of the site of files that lie outside of docs/, without a copy.

Links are written as they hold in the repository. Here they become those of the site.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

HOME = Path(__file__).parents[1]
# Where in the site each file of the repository is that lies outside of docs/.
PLACES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "siamese_nn/recipes/published_figures/README.md": "published_figures.md",
    **{name: name for name in ("CITATION.cff", "LICENSE")},
    **{f"notebooks/{path.name}": f"notebooks/{path.name}" for path in (HOME / "notebooks").glob("*.ipynb")},
}
SOURCES = {place: source for source, place in PLACES.items()}


def on_files(files, *, config):
    """Adds the files."""
    for source, place in PLACES.items():
        files.append(File.generated(config, place, abs_src_path=str(HOME / source)))
    return files


def on_page_markdown(markdown, *, page, **_):
    """Turns each link into one from the page's place in the site."""
    place = page.file.src_uri
    folder = posixpath.dirname(SOURCES.get(place, f"docs/{place}"))

    def moved(link: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(folder, link["path"]))
        target = PLACES.get(target, target.removeprefix("docs/"))
        return f"]({posixpath.relpath(target, posixpath.dirname(place) or '.')}{link['anchor'] or ''})"

    return re.sub(r"\]\((?!\w+:)(?P<path>[^()#\s]+)(?P<anchor>#[^()\s]*)?\)", moved, markdown)
