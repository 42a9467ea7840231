"""The command that looks for what is wrong with a folder of people."""

import argparse
from collections import Counter
from pathlib import Path

CSV, PAGE = "audit.csv", "audit.html"


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser(
        "audit",
        help="find faults in a folder of people: photos twice, unreadable, or of somebody else",
        epilog="It changes nothing in the folder.",
    )
    command.add_argument("people", type=Path, metavar="PEOPLE", help="a folder of photos for each person")
    command.add_argument(
        "--run",
        dest="run_dir",
        type=Path,
        metavar="RUN",
        help="a run, or what `verifier make` left, that has not learnt from these people; it judges who is "
        "on a photo",
    )
    command.add_argument(
        "--output", type=Path, metavar="FOLDER", help="for audit.html and audit.csv (default: PEOPLE-audit)"
    )
    command.set_defaults(run=_audit)


def _audit(options: argparse.Namespace) -> None:
    from ..verification.audit import audit_people
    from ..verification.audit_page import write_audit_page
    from ..verification.verifier import Verifier

    folder = options.people.resolve()
    output = options.output or folder.with_name(f"{folder.name}-audit")
    if output.resolve().is_relative_to(folder):
        raise ValueError(f"`--output` must lie outside of {folder}, which isn't changed. Received: {output}")
    verifier = None if options.run_dir is None else Verifier.load(options.run_dir)
    audit = audit_people(options.people, verifier)
    audit.write_csv(output / CSV)
    page = write_audit_page(audit, output / PAGE)
    for note in audit.notes:
        print(note)
    for kind, count in Counter(finding.kind for finding in audit.findings).items():
        print(f"{kind}: {count}")
    print(f"{audit.n_photos} photos of {len(audit.people)} people; nothing was changed.")
    print(page, output / CSV, sep="\n")
