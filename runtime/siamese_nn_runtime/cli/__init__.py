"""The command `siamese-nn-runtime`."""

import argparse

from .. import __version__
from . import app, galleries, use
from .running import run


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; see `siamese_nn.cli.main`."""
    parser = argparse.ArgumentParser(
        prog="siamese-nn-runtime",
        description="Verifiers of siamese_nn, without TensorFlow: RUN is what `siamese-nn export` wrote.",
    )
    parser.add_argument("--version", action="version", version=f"siamese_nn_runtime {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, dest="command", metavar="COMMAND")
    for group in (use, galleries, app):
        group.add(commands)
    return run(parser, arguments)
