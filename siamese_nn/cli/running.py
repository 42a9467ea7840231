"""How a command runs: what it logs, and how it ends."""

import argparse
import logging
import os
import re
import sys
import warnings

# Options that are named like a recipe, or like one of its fields, which `--set` or a file may have given.
_ALSO_OTHERS = {"epochs", "face", "image_size", "letters", "precision", "seed", "split"}


def run(parser: argparse.ArgumentParser, arguments: list[str] | None) -> int:
    """Runs one command; see `cli.main`."""
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.captureWarnings(True)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}"
    # TensorFlow's own messages drown ours; whoever wants them sets the variable.
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # it tells of processors
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print(
            f"\n{parser.prog}: interrupted. The same command goes on after the last thing that was done.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # as in `siamese-nn pairs DATA | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError) as error:
        print(f"{parser.prog}: error: {_in_options(str(error), parser, options)}", file=sys.stderr)
        return 1


def _in_options(words: str, parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """Names options where the library names its arguments: `run_dir` is `--run-dir` here."""
    if not words.startswith("`") or "`--" in words:  # of a file and its fields, or it names options already
        return words
    named = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return _in_options(words, action.choices[getattr(options, action.dest)], options)
        given = getattr(options, action.dest, None) != action.default
        if action.option_strings and (given or action.dest not in _ALSO_OTHERS):
            named[action.dest] = next(name for name in action.option_strings if name.startswith("--"))
    return re.sub(r"`(\w+)`", lambda found: f"`{named.get(found[1], found[1])}`", words)
