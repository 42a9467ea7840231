"""The command that exports a trained run."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from .use import add_run

# As in `verification.export.FORMATS`: to import that takes seconds.
_FORMATS = ("onnx", "litert", "litert-8bit", "saved-model", "openvino")


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser(
        "export", help="export a run for a server, a phone or a page, and check the export"
    )
    add_run(command)
    command.add_argument("--format", required=True, choices=_FORMATS)
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    command.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="where the run's photos are now (default: where they were)",
    )
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from ..verification.export import export

    exported = export(options.run_dir, options.out, format=options.format, data=options.data)
    check = exported.check
    if options.json:
        print(json.dumps({"folder": str(exported.folder), **asdict(check)}))
        return
    print(exported.folder)
    print(
        f"{check.bytes / 1e6:.2f} MB, {check.milliseconds:.2f} ms a photo (before: "
        f"{check.milliseconds_before:.2f}). On the {check.pairs} {check.of} pairs {check.changed} decisions "
        f"changed, scores by at most {check.largest_difference:.2g}; accuracy {check.accuracy:.2%} (before: "
        f"{check.accuracy_before:.2%})"
    )
