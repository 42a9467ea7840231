"""The command `siamese-nn`: parses, calls the library, prints."""

import argparse
import logging
import os
import sys
import warnings

from .. import __version__
from . import audit, cfp, data, folds, measure, recipes, sweeps, train, use, verifiers


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the words after `siamese-nn`; `None` takes those of the process.

    Returns:
        The exit code: 0 done (same person, known), 1 an error that the message explains, 2 wrong usage, 3 the
        answer no (different people, unknown), 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.captureWarnings(True)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}"
    # TensorFlow's own messages drown ours; whoever wants them sets the variable.
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print(
            "\nsiamese-nn: interrupted. The same command goes on after the last thing that was done.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # as in `siamese-nn pairs DATA | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError) as error:
        print(f"siamese-nn: error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="siamese-nn",
        description="One-shot face verification with Siamese networks, from photos to figures.",
    )
    parser.add_argument("--version", action="version", version=f"siamese_nn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    for group in (data, audit, train, recipes, folds, sweeps, use, verifiers, measure, cfp):
        group.add(commands)
    return parser
