"""The command `siamese-nn`: parses, calls the library, prints."""

import argparse
from typing import Any

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


GROUPS = {
    "photos and pairs": ("align", "audit", "pairs", "shards", "download", "organize", "check", "cfp"),
    "train and compare": ("train", "recipes", "report", "folds", "sweep"),
    "use a run": ("verify", "identify", "cluster", "gallery", "app", "export"),
    "measure": ("measure", "verifier"),
}
EXAMPLES = """\
examples:
  siamese-nn train                                train on drawn faces, to see it work
  siamese-nn train --data people --align          train on a folder of photos for each person
  siamese-nn verify RUN A.jpg B.jpg               do these two photos show the same person?"""


class _Commands(argparse._SubParsersAction):
    """The commands. What each does stands in its own help, too, and in groups in that of all."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.told: dict[str, str] = {}

    def add_parser(self, name: str, *, help: str, **kwargs: Any) -> argparse.ArgumentParser:  # type: ignore[override]
        """Adds a command.

        Args:
            name: its name.
            help: what it does.
            **kwargs: of `ArgumentParser`.
        """
        self.told[name] = help
        return super().add_parser(name, description=f"{help[0].upper()}{help[1:]}.", **kwargs)

    def in_groups(self) -> str:
        """Returns what the commands do, group by group."""
        parts = []
        for title, names in GROUPS.items():
            parts.append("\n".join([f"{title}:", *(f"  {name:<10} {self.told[name]}" for name in names)]))
        return "\n\n".join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="siamese-nn",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Trains face verification on your people, and measures it on people it has never seen.",
    )
    parser.add_argument("--version", action="version", version=f"siamese_nn {__version__}")
    commands: Any = parser.add_subparsers(
        action=_Commands,
        required=True,
        dest="command",
        metavar="COMMAND",
        help="COMMAND --help tells more of one",
    )

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
    parser.epilog = f"{commands.in_groups()}\n\n{EXAMPLES}"
    return parser
