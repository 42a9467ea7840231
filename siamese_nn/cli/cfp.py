"""The commands for Celebrities in Frontal-Profile (CFP)."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from .. import datasets
from ..datasets.cfp import TASKS
from ..datasets.images import cache_or
from .data import words
from .use import add_run

logger = logging.getLogger(__name__)


def add(commands: argparse._SubParsersAction) -> None:
    """Adds them to the parser."""
    command = commands.add_parser(
        "cfp", help="organise the photos of CFP (Celebrities in Frontal-Profile), or measure a run on them"
    )
    own = command.add_subparsers(title="commands", required=True, dest="part", metavar="COMMAND")

    command = own.add_parser(
        "organize", help="take the photos and the protocol out of the archive, and align the photos if asked"
    )
    command.add_argument("source", type=Path, help="cfp-dataset.zip, or the unpacked folder")
    command.add_argument("output", type=Path, help="the folder to make, for instance data/cfp")
    command.add_argument(
        "--align",
        action="store_true",
        help="turn and scale every photo by its fiducials, so that the face is where LFW-a's photos have it",
    )
    command.set_defaults(run=_organize)

    command = own.add_parser(
        "measure", help="measure a run in the ten folds, frontal-frontal and frontal-profile"
    )
    add_run(command)
    command.add_argument(
        "--data", required=True, help="folder that cfp organize made; toy draws one into data/toy-cfp"
    )
    command.add_argument(
        "--refit",
        action="store_true",
        help="fit PLDA anew for each fold, to the people of eight others; the ninth chooses the threshold",
    )
    command.set_defaults(run=_measure)


def add_sweep(sweeps: argparse._SubParsersAction) -> None:
    """Adds `sweep cfp` to the parser of the sweeps."""
    command = sweeps.add_parser(
        "cfp",
        help="run the Person Verification study on CFP again, with our figures beside the published ones",
        epilog="Runs that are finished, or that another process is at, are left alone. "
        "Experiments that begin with ImageNet weights are passed over where these can't be had.",
    )
    command.add_argument(
        "--data", required=True, help="folder that cfp organize made; toy draws one into data/toy-cfp"
    )
    command.add_argument("--only", metavar="02,13", help="experiments to run (default: all)")
    command.add_argument("--task", choices=TASKS, default="FF", help="default: FF, the study's")
    command.add_argument(
        "--image-size",
        type=int,
        default=224,
        metavar="PIXELS",
        help="height and width, from 32 (default: 224)",
    )
    command.add_argument("--epochs", type=int, help="the most epochs (default: the study's)")
    command.add_argument("--seed", type=int, default=0, help="of weights and order (default: 0)")
    command.add_argument("--runs", type=Path, metavar="FOLDER", help="default: runs/study-DATA")
    command.set_defaults(run=_sweep)


def _organize(options: argparse.Namespace) -> None:
    counts = datasets.organize_cfp(options.source, options.output, align=options.align)
    print(f"{options.output}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))


def _measure(options: argparse.Namespace) -> None:
    from ..verification.verifier import Verifier

    verifier = Verifier.load(options.run_dir)
    cfp_dir = _folder(options.data)
    if not datasets.cfp_is_aligned(cfp_dir):
        logger.warning("%s isn't aligned as LFW-a: `siamese-nn cfp organize --align` aligns it", cfp_dir)
    photos = datasets.cfp_photos(cfp_dir) if options.refit else None
    reports = {
        task: verifier.cross_validate(datasets.read_cfp_folds(cfp_dir, task), photos=photos, align=False)
        for task in TASKS
    }
    if options.json:
        print(json.dumps({task: report.as_dict() for task, report in reports.items()}))
        return
    for task, report in reports.items():
        print(f"{task}, {cfp_dir}:\n{report.table()}")
    chosen = "next one, and PLDA fitted to the people of the other eight" if options.refit else "other nine"
    drop = reports["FF"].accuracy["mean"] - reports["FP"].accuracy["mean"]
    print(
        f"From FF to FP accuracy drops by {100 * drop:.1f} points. Each fold's threshold is the "
        f"best on the {chosen}; none of the {reports['FF'].n_people} people trained or validated the run. "
        "The standard error is over ten folds."
    )


def _sweep(options: argparse.Namespace) -> None:
    from tqdm.contrib.logging import logging_redirect_tqdm

    from ..studies import cfp_study

    only = words("only", options.only)
    cfp_dir = _folder(options.data)
    runs_dir = options.runs or Path("runs") / f"study-{cfp_dir.name}"
    runs = cfp_study.plan(
        runs_dir,
        only=only,
        task=options.task,
        image_size=options.image_size,
        epochs=options.epochs,
        seed=options.seed,
    )
    try:
        with logging_redirect_tqdm():
            cfp_study.run(runs, cfp_dir, cache_dir=cache_or(runs_dir / "images"))
    except KeyboardInterrupt:
        _show(cfp_study.collect(runs))
        raise
    _show(cfp_study.collect(runs))


def _show(rows: list[dict[str, Any]]) -> None:
    from ..runs.summary import finished_line
    from ..studies import cfp_study

    print(cfp_study.table(rows))
    print(cfp_study.describe(rows))
    print(finished_line([row["status"] for row in rows]))


def _folder(name: str) -> Path:
    if name != "toy":
        return Path(name)
    folder = Path("data/toy-cfp")
    datasets.organize_cfp(datasets.make_toy_cfp(folder.with_name("toy-cfp-drawn")), folder, align=True)
    return folder
