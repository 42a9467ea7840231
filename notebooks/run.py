"""Runs notebooks. Their stored outputs are compared with what comes of it, or replaced: `--store`.

    python notebooks/run.py [--store] NOTEBOOK...

Stored outputs are fresh if they were made from the cells beside them (the notebook holds a digest of
these), and if a run leaves the same kinds of outputs. Figures and pictures may differ, as machines do.
"""

import argparse
import base64
import io
import re
import sys
from hashlib import sha256
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

DIGEST = "outputs_of"  # in a notebook's metadata: the digest of the cells that the outputs were made from
WIDEST = 640  # pixels of a stored picture
# What is of this very run: Keras's seconds, folders of the moment, TensorFlow's warnings with addresses in
# memory, and IPython's advice on `%pip`.
_OF_THE_MOMENT = [
    (re.compile(r" - \d+m?s(?: - \d+(?:us|ms|s)/(?:step|epoch))?"), ""),
    (re.compile(r"/tmp/tmp\w+"), "/tmp/..."),
    (re.compile(r"WARNING:tensorflow:.*\n"), ""),
    (re.compile(r"Note: you may need to restart the kernel to use updated packages\.\n"), ""),
]


def digest(notebook: nbformat.NotebookNode) -> str:
    """Returns the digest of a notebook's code cells."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return sha256("\0".join(cells).encode()).hexdigest()


def small(picture: str) -> str:
    """Returns a PNG of 64 colours, no wider than `WIDEST`, as base64."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        image = image.convert("RGB")
        image.thumbnail((WIDEST, 10 * WIDEST))
        buffer = io.BytesIO()
        image.quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def to_store(outputs: list) -> list:
    """Returns outputs as they are stored: without the error stream, small, and without what changes."""
    kept: list = []
    for output in outputs:
        if output.output_type == "stream":
            for pattern, text in _OF_THE_MOMENT:
                output.text = pattern.sub(text, output.text)
            if output.name == "stderr" or not output.text:
                continue
            if kept and kept[-1].output_type == "stream":  # what was printed in pieces
                kept[-1].text += output.text
                continue
        elif "data" in output:
            if "application/vnd.jupyter.widget-view+json" in output.data:  # a progress bar
                continue
            output.metadata = {}
            # A table is stored as text, a picture without the name of its object.
            wanted = "image/png" if "image/png" in output.data else "text/plain"
            content = output.data.get(wanted, "")
            output.data = {wanted: small(content) if wanted == "image/png" else content}
        kept.append(output)
    return kept


def kinds(outputs: list) -> list:
    """Returns the kinds of outputs, without what is printed: a finished training prints nothing."""
    return [sorted(output.data) for output in outputs if "data" in output]


def run(path: Path, *, store: bool) -> None:
    """Runs a notebook; stores its outputs, or compares them with those that are stored."""
    notebook = nbformat.read(path, 4)
    if not store and notebook.metadata.get(DIGEST) != digest(notebook):
        sys.exit(f"{path}: its outputs are of other cells. `make notebooks-outputs` stores them anew")
    stored = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=3600, record_timing=False, resources=resources).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, before in zip(cells, stored, strict=True):
        for output in cell.outputs:
            if output.get("name") == "stderr":
                sys.stderr.write(output.text)
        cell.outputs, cell.metadata = to_store(cell.outputs), {}
        if not store and kinds(cell.outputs) != kinds(before):
            sys.exit(
                f"{path}: a cell leaves {kinds(cell.outputs)}, and stored is {kinds(before)}. `make "
                f"notebooks-outputs` stores it anew. The cell:\n{cell.source}"
            )
    if store:
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            DIGEST: digest(notebook),
        }
        nbformat.write(notebook, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--store", action="store_true", help="replace the stored outputs")
    options = parser.parse_args()
    for each in options.notebooks:
        run(each, store=options.store)
