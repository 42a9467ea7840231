"""The command `siamese-nn-runtime`."""

import argparse

from . import app, use
from .running import run


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; see `siamese_nn.cli.main`."""
    parser = argparse.ArgumentParser(
        prog="siamese-nn-runtime",
        description="Verifiers of siamese_nn, without TensorFlow: RUN is what `siamese-nn export` wrote.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for group in (use, app):
        group.add(commands)
    return run(parser, arguments)
