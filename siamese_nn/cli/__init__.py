"""The command `siamese-nn`: parses, calls the library, prints."""

import argparse

from .. import __version__
from . import app, audit, cfp, data, export, folds, galleries, measure, recipes, sweeps, train, use, verifiers
from .running import run


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the words after `siamese-nn`; `None` takes those of the process.

    Returns:
        The exit code: 0 done (same person, known), 1 an error that the message explains, 2 wrong usage, 3 the
        answer no (different people, unknown), 130 interrupted.
    """
    return run(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="siamese-nn",
        description="One-shot face verification with Siamese networks, from photos to figures.",
    )
    parser.add_argument("--version", action="version", version=f"siamese_nn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    for group in (
        data,
        audit,
        train,
        recipes,
        folds,
        sweeps,
        use,
        galleries,
        app,
        verifiers,
        measure,
        export,
        cfp,
    ):
        group.add(commands)
    return parser
