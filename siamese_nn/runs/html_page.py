"""Pieces of a self-contained HTML page. All text is escaped here, so that a name or a path may hold anything."""

import base64
import io
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from html import escape
from pathlib import Path
from string import Template

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from ..files import write_text

_INK = "#1f2328"  # of axes and their text: it gives way to the page's own colour, light or dark
_PARTS = ("text.color", "xtick.color", "ytick.color", "grid.color", "axes.labelcolor", "axes.edgecolor")
_STYLE = {
    **dict.fromkeys(_PARTS, _INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "font.size": 9.5,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "svg.hashsalt": "siamese_nn",  # so that the same figures give the same file
}


def style() -> AbstractContextManager:
    """Within it `axes` and `figure` are to be called, and axes drawn upon, so that all pictures are of one style."""
    return plt.rc_context(_STYLE)


def axes() -> Axes:
    """Makes axes for `figure` to show."""
    return plt.subplots(figsize=(4.8, 3.5), layout="constrained")[1]


def figure(ax: Axes, alt: str, caption: str) -> str:
    """Shows the picture of `ax` as vectors, in the colours of the page, and closes it."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    ax.figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    plt.close(ax.figure)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    colours = f"svg{{color:{_INK}}}@media(prefers-color-scheme:dark){{svg{{color:#d9dce1}}}}"
    svg = svg.replace(">", f"><style>{colours}</style>", 1)
    picture = image(svg.encode(), "image/svg+xml", alt)
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def image(content: bytes, media_type: str, alt: str) -> str:
    """Shows a picture, which the page then holds."""
    data = base64.b64encode(content).decode()
    return f"<img src='data:{media_type};base64,{data}' alt='{escape(alt)}'>"


def text(words: str, kind: str = "") -> str:
    """Makes a paragraph."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(words)}</p>"


def notices(texts: Iterable[str]) -> str:
    """Makes paragraphs that stand out."""
    return "".join(text(words, "notice") for words in texts)


def section(title: str, *parts: str) -> str:
    """Puts parts, HTML already, under a heading."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def cell(value: object) -> str:
    """Makes a value readable; of a tuple the second stands below the first, small."""
    if isinstance(value, tuple):
        return f"{escape(value[0])}<small>{escape(value[1])}</small>"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def table(caption: str, header: list[str], rows: Iterable[list]) -> str:
    """Makes a table, which scrolls inside itself where it is wider than the page."""
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in header)
    body = "".join(
        f"<tr><th scope='row'>{cell(row[0])}</th>{''.join(f'<td>{cell(value)}</td>' for value in row[1:])}</tr>"
        for row in rows
    )
    return (
        f"<div class='table' role='region' tabindex='0' aria-label='{escape(caption)}'><table>"
        f"<caption><span>{escape(caption)}</span></caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def write_page(path: str | os.PathLike, title: str, parts: Iterable[str]) -> Path:
    """Writes the page in one step and returns its path."""
    page = _PAGE.substitute(title=escape(title), body="\n".join(parts))
    write_text(path, page.encode("utf-8", "backslashreplace").decode())  # a folder's name may be no UTF-8
    return Path(path)


_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --ink: #1f2328; --soft: #5d6570; --rule: #d9dce0; --paper: #fdfdfb; --wash: #f4f4ef;
  --warn: #d55e00; --sure: #0072b2; --sans: system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #d9dce1; --soft: #9aa3af; --rule: #363b42; --paper: #16191d; --wash: #20242a; --warn: #e58a3c; --sure: #56b4e9; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 Charter, "Iowan Old Style", "Palatino Linotype", Georgia, "DejaVu Serif", serif; }
main { max-width: 66rem; margin: 0 auto; padding: 3.5rem 1.25rem 5rem; counter-reset: figure table; }
h1, h2, h3, h4 { line-height: 1.25; font-weight: 600; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: 2.125rem; margin: 0 0 1rem; }
h2 { font-size: 1.5rem; margin: 4rem 0 1rem; padding-top: 1rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.1875rem; margin: 2.5rem 0 .5rem; }
h4 { font: 600 .9375rem/1.4 var(--sans); margin: .75rem 0; }
p { max-width: 42rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
small { color: var(--soft); font-weight: 400; }
.kind, .note, figcaption, caption, summary, table, dl, .pairs { font-family: var(--sans); }
.kind { margin: 0 0 .25rem; font-size: .8125rem; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); }
.note, figcaption, caption { font-size: .875rem; line-height: 1.5; color: var(--soft); }
.notice { padding: .75rem 1rem; border-left: 4px solid var(--warn); background: var(--wash); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1.25rem; margin: 1.5rem 0 1rem;
  padding: 1.25rem 0; border: solid var(--rule); border-width: 1px 0; }
dt { font-size: .8125rem; color: var(--soft); }
dd { margin: 0; font-size: 1.75rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
dd small, td small { display: block; white-space: nowrap; }
dd small { font-size: .8125rem; }
.table { overflow-x: auto; margin: 1.5rem 0; }
table { border-collapse: collapse; min-width: 100%; font-size: .875rem; line-height: 1.4; font-variant-numeric: tabular-nums;
  border-bottom: 2px solid var(--ink); }
caption { text-align: left; padding-bottom: .5rem; }
caption span { position: sticky; left: 0; display: inline-block; max-width: calc(100vw - 2.5rem); }
caption span::before { counter-increment: table; content: "Table " counter(table) ". "; color: var(--ink); font-weight: 600; }
thead { border-top: 2px solid var(--ink); border-bottom: 1px solid var(--ink); }
th, td { padding: .375rem .5rem; text-align: right; vertical-align: top; font-weight: 400; }
th:first-child { text-align: left; padding-left: 0; white-space: nowrap; }
td:last-child, th:last-child { padding-right: 0; }
thead th { vertical-align: bottom; font-weight: 600; }
thead th:nth-child(n + 7) { min-width: 6.25rem; }
tbody tr + tr { border-top: 1px solid var(--rule); }
summary { cursor: pointer; font-size: .9375rem; }
.plates { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 2rem; }
figure { margin: 0; max-width: 32rem; break-inside: avoid; }
figure img { display: block; width: 100%; height: auto; }
figcaption { margin-top: .5rem; }
figcaption::before { counter-increment: figure; content: "Figure " counter(figure) ". "; color: var(--ink); font-weight: 600; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem 2.5rem; }
.pairs { list-style: none; margin: 0; padding: 0; display: grid; gap: 1.25rem 1rem; font-size: .8125rem; line-height: 1.4;
  grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
.pairs li { overflow-wrap: anywhere; break-inside: avoid; color: var(--soft); }
.pairs b { font-weight: 600; color: var(--ink); }
.pairs div { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; margin-bottom: .375rem; padding-bottom: 3px;
  border-bottom: 3px solid var(--sure); }
.wrong .pairs div { border-bottom-color: var(--warn); }
.pairs img { display: block; width: 100%; height: auto; }
.missing { aspect-ratio: 1; padding: .25rem; background: var(--wash); font-size: .6875rem; display: grid; place-content: center; }
</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")
