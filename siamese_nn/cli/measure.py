"""The command that measures a trained run on all pairs of other people, and by group."""

import argparse
import json
from pathlib import Path

from .use import add_function, add_run, load_verifier


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser(
        "measure", help="measure a run's error rates on other people, also by group"
    )
    add_run(command)
    add_function(command)
    command.add_argument(
        "people",
        type=Path,
        metavar="FOLDER",
        help="a folder of photos for each person, none seen in training",
    )
    command.add_argument("--groups", type=Path, metavar="CSV", help="a file `person,group`: rates by group")
    command.add_argument(
        "--column", metavar="NAME", help="the column of --groups that counts (default: behind person)"
    )
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="the page of the groups (default: groups.html)"
    )
    command.set_defaults(run=_measure)


def _measure(options: argparse.Namespace) -> None:
    if options.groups is None and (options.column or options.output):
        raise ValueError("`--column` and `--output` need `--groups`. Received: them without it")
    from ..runs.groups_page import write_groups_page
    from ..verification.measure import measure_people

    report, by_group = measure_people(
        load_verifier(options), options.people, groups_file=options.groups, column=options.column
    )
    if by_group is not None:
        title = f"{options.run_dir.resolve().name}, {options.people.resolve().name}"
        page = write_groups_page(by_group, options.output or Path("groups.html"), title=title)
    if options.json:
        groups = None if by_group is None else by_group.as_dict()
        print(json.dumps({"all_pairs": report.as_dict(), "groups": groups}))
        return
    print(report.table())
    if by_group is not None:
        print(by_group.table())
        print(page)
