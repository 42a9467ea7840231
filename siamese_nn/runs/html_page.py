"""Self-contained HTML pages, made from templates that escape all text: a name or a path may hold anything."""

import base64
import io
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import matplotlib.pyplot as plt
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..files import write_text

_INK = "#1f2328"  # of axes and their text: it gives way to the page's own colour, light or dark
_PARTS = ("text.color", "xtick.color", "ytick.color", "grid.color", "axes.labelcolor", "axes.edgecolor")
_STYLE: dict[Any, Any] = {
    **dict.fromkeys(_PARTS, _INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "font.size": 9.5,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "svg.hashsalt": "siamese_nn",  # so that the same figures give the same file
}


@dataclass(frozen=True)
class Picture:
    """A picture that the page holds.

    Args:
        source: the picture itself, as a `data:` address; empty where there is none, and `alt` stands for it.
        alt: what it shows, in words.
        caption: what stands below it.
    """

    source: str
    alt: str
    caption: str = ""


def style() -> AbstractContextManager:
    """Gives all pictures one style: call `axes` and `figure`, and draw, within it."""
    return plt.rc_context(_STYLE)


def axes() -> Axes:
    """Makes axes for `figure` to show."""
    return plt.subplots(figsize=(4.8, 3.5), layout="constrained")[1]


def figure(ax: Axes, alt: str, caption: str) -> Picture:
    """Makes a picture of `ax` as vectors, in the colours of the page, and closes it."""
    whole, buffer = cast(Figure, ax.figure), io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    whole.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    plt.close(whole)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    colours = f"svg{{color:{_INK}}}@media(prefers-color-scheme:dark){{svg{{color:#d9dce1}}}}"
    svg = svg.replace(">", f"><style>{colours}</style>", 1)
    return Picture(data_address(svg.encode(), "image/svg+xml"), alt, caption)


def data_address(content: bytes, media_type: str) -> str:
    """Returns an address that holds the content itself."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def percent(value: float | None) -> str:
    """Shows a share in percent; a dash where there is none."""
    return "-" if value is None else f"{value:.1%}"


def write_page(path: str | os.PathLike, template: str, **values: Any) -> Path:
    """Writes a page in one step.

    Args:
        path: the file to write.
        template: the name of a file in `templates/`.
        **values: what the template asks for; the lack of one is an error.

    Returns:
        The path.
    """
    page = _templates().get_template(template).render(values)
    write_text(path, page.encode("utf-8", "backslashreplace").decode())  # a folder's name may be no UTF-8
    return Path(path)


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("siamese_nn.runs"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {
        "percent": percent,
        "thousands": "{:,}".format,
        "minutes": lambda seconds: f"{seconds / 60:.1f}",
    }
    return templates
