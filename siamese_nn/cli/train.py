"""The commands that train a recipe and show a run."""

import argparse
import logging
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any

from .. import datasets
from ..datasets.cfp import NAMES as CFP_NAMES
from ..datasets.own_people import require_enough
from ..datasets.photo_folders import listing, require_no_set, some
from ..datasets.raw_photos import RAW_ENDINGS
from ..datasets.shards import is_shards
from ..recipes.constraints import PRECISIONS, SPLITS
from ..runs.folder import PAGE, PICTURES, RESULTS, read_results, read_scores
from .data import aligned, data_folder
from .people import PAIRS, folders_in, further_people, train_folds
from .recipes import chosen, title_of

logger = logging.getLogger(__name__)


def add(commands: argparse._SubParsersAction) -> None:
    """Adds them to the parser."""
    command = commands.add_parser("train", help="train a recipe, and measure it on people it has never seen")
    command.add_argument(
        "--recipe",
        help="a name that `siamese-nn recipes` lists, or a .toml file (default: l1_sigmoid for drawn faces, "
        "face for a folder of people, else 5.1)",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the recipe, such as learning_rate=3e-4 or image_size=96x80; may be repeated",
    )
    command.add_argument(
        "--data",
        action="append",
        metavar="FOLDER",
        help="a folder with a folder of photos for each person, or an organised LFW-a; toy (default) draws "
        "faces into data/toy. A second one, which may be an organised CFP, too, adds people to learn from, "
        "but for those whom the first one validates and tests on",
    )
    command.add_argument(
        "--align",
        action="store_true",
        help="first find the face in each photo of your people, and write aligned copies",
    )
    command.add_argument(
        "--face", choices=["middle", "largest"], help="with --align: the face to take of several, see `align`"
    )
    command.add_argument(
        "--run-dir",
        type=Path,
        metavar="FOLDER",
        help="folder of the run (default: runs/DATA-RECIPE-SPLIT-SEED, with other changes at the end)",
    )
    command.add_argument(
        "--split",
        choices=(*SPLITS, "letters"),
        help="identities (default): nobody is on two sides; report: the letter split of the report, which "
        "leaks people; letters: your own people by the first letters of their names, not by a draw",
    )
    command.add_argument(
        "--folds",
        dest="n_folds",
        type=int,
        metavar="N",
        help="train and measure N times, each time on others of your own people; for few people (from 10), "
        "of whom one split says too little",
    )
    command.add_argument(
        "--all-people",
        dest="chosen_by",
        type=Path,
        metavar="RUN",
        help="learn from the validation people, too, for as many epochs and with the threshold that RUN has "
        "chosen on them: a finished run of the same recipe, seed and data. Nobody validates this one",
    )
    command.add_argument("--seed", type=int, help="seed of weights, order and split (default: the recipe's)")
    command.add_argument(
        "--exclude",
        type=Path,
        metavar="FILE",
        help="leave these people out of training and validation: one name a line, as in CFP's "
        "Data/list_name.txt",
    )
    command.add_argument(
        "--epochs",
        type=int,
        help="at most so many epochs, in each stage (default: the recipe's); a teacher keeps its own",
    )
    command.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="precision of the computation (default: the recipe's); the command tells of a faster one",
    )
    command.add_argument(
        "--devices",
        metavar="all|0,1",
        help="the GPUs that share each batch, by number (default: all that the recipe's batches suit); "
        "see docs/scale.md",
    )
    command.set_defaults(run=_train)

    command = commands.add_parser(
        "report", help="write the page of a run, or one page that compares several runs"
    )
    command.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="folder of a run")
    command.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the page (default: report.html in RUN; for several runs comparison.html)",
    )
    command.set_defaults(run=_report)


def _train(options: argparse.Namespace) -> None:
    from .. import training
    from ..training.devices import strategy_over

    given = options.data or ["toy"]
    options.data, *others = given
    own = _is_of_own_people(options.data)
    name = options.recipe or ("l1_sigmoid" if options.data == "toy" else "face" if own else "5.1")
    by_letters = options.split == "letters"
    own_split = "letters" if by_letters else "draw"
    if by_letters:
        options.split = "identities"  # the recipe's: nobody is on two sides
    recipe, changes = chosen(name, options)
    if (Path(options.data) / CFP_NAMES).exists():
        raise ValueError(
            f"An organised CFP is trained in its own folds: `siamese-nn folds --data {options.data}`. As a "
            f"second `--data` it adds its people. Received as the first: --data {options.data}"
        )
    if not own and options.data != "toy" and not folders_in(Path(options.data)):
        require_no_set(Path(options.data))
        raise FileNotFoundError(
            "`--data` must be a folder with a folder of photos for each person, or an organised LFW-a, which "
            f"`siamese-nn organize SOURCE {options.data}` makes. Received: {options.data}, which "
            + ("holds no folder" if Path(options.data).is_dir() else "is no folder")
        )
    _require_fitting(options, own, by_letters, recipe)
    more = further_people(given, recipe, options.exclude)
    strategy = None if options.devices is None else strategy_over(options.devices)
    if own:  # before hours of aligning: none gets more photos by it
        alone, folders, _ = listing(Path(options.data), RAW_ENDINGS)
        people = {name: photos for name, photos in folders.items() if photos}
        if alone and people:
            raise ValueError(
                "Photos must lie in the folders of their people. Received, beside these: "
                f"{some([str(path) for path in alone])}. Move or remove what is there"
            )
        require_enough(options.data, people, split=own_split, n_folds=options.n_folds)
        if not options.align and datasets.known_frame(chain(*people.values())) is None:
            logger.warning(
                "%s: it is not known where the faces are. Unless they are in one place in all photos, add "
                "--align",
                options.data,
            )
    data_dir = _aligned(options) if options.align else data_folder(options.data)
    split = "letters" if by_letters else recipe.split
    data = "-".join([data_dir.name, *(Path(other).name for other in others)])
    title = f"{data}-{title_of(name)}-{split}-{recipe.seed}{changes}"
    if options.n_folds is not None:
        title += f"-{options.n_folds}-folds"
    if options.exclude:
        title += f"-without-{options.exclude.stem}"
    if options.chosen_by:
        title += "-all-people"
    run_dir = options.run_dir or Path("runs") / title
    if (faster := training.fastest_precision()) != recipe.precision and not options.precision:
        logger.info("this machine computes faster with --precision %s", faster)
    if options.n_folds is not None:
        train_folds(recipe, data_dir, options.n_folds, run_dir, more)
        return
    if own:
        sets = datasets.load_people(data_dir, split=own_split, seed=recipe.seed)
    else:
        sets = _lfw_a(options, data_dir, recipe)
    (sets,) = reduce(datasets.add_people, more, [sets])
    photos = sets.photos
    if options.chosen_by:
        everybody = datasets.all_people(data_dir)
        photos = photos | {name: everybody[name] for name in sets.validation.identities()}
    try:
        results = training.train(
            *(recipe, sets.train, sets.validation, run_dir),
            test=sets.test,
            photos=photos,
            verbose=2,
            strategy=strategy,
            chosen_by=options.chosen_by,
        )
    except KeyboardInterrupt:
        if (run_dir / RESULTS).exists():
            show_run(read_results(run_dir), data_dir, run_dir)
        raise
    if own and not options.chosen_by:  # whose validation people are held out no more
        sets.write_pairs(run_dir / PAIRS)
    show_run(results, data_dir, run_dir)


def _is_of_own_people(data: str) -> bool:
    """Whether a folder holds folders of people's photos, and not what `organize` makes."""
    folder = Path(data)
    if data == "toy" or (folder / "lfw_a.json").exists():
        return False
    names = folders_in(folder)
    return is_shards(folder) or (bool(names) and not {"train", "test", "unused"} & names)


def _aligned(options: argparse.Namespace) -> Path:
    if options.data == "toy":
        raise ValueError("`--align` is for photos; the drawn faces are in place. Received: --data toy")
    return aligned(Path(options.data), options.face or "middle")


def _require_fitting(options: argparse.Namespace, own: bool, by_letters: bool, recipe: Any) -> None:
    if own and (recipe.split == "report" or options.exclude):
        raise ValueError(
            "`--split report` and `--exclude` are for LFW-a; your own people are split by a draw that keeps "
            f"them apart. Received: --data {options.data}"
        )
    if not own and (by_letters or options.n_folds is not None):
        raise ValueError(
            "`--split letters` and `--folds` are for a folder with a folder of photos for each person; LFW-a "
            f"has a split by letters and a test of its own. Received: --data {options.data}"
        )
    if options.face and not options.align:
        raise ValueError(
            f"`--face` says which face `--align` takes. Received: --face {options.face} without --align"
        )
    if options.devices and options.n_folds is not None:
        raise ValueError(
            "`--folds` trains on all GPUs that the batches suit; leave out `--devices`. Received: --devices "
            f"{options.devices}. The environment variable CUDA_VISIBLE_DEVICES={options.devices} hides others"
        )
    if options.chosen_by and options.n_folds is not None:
        raise ValueError(
            "`--all-people` and `--folds` exclude each other: the folds measure, and leave a model to use. "
            "Received both"
        )
    if by_letters and options.n_folds is not None:
        raise ValueError("`--split letters` and `--folds` exclude each other: folds are drawn. Received both")


def _lfw_a(options: argparse.Namespace, data_dir: Path, recipe: Any) -> datasets.OwnPeople:
    pairs, test = datasets.load_lfw_a(data_dir)
    if options.exclude:
        pairs = datasets.without_people(pairs, datasets.read_names(options.exclude))
    train, val = recipe.split_pairs(pairs, exclude=test)
    return datasets.OwnPeople(train, val, test, datasets.training_photos(data_dir / "train", pairs, val))


def _report(options: argparse.Namespace) -> None:
    from ..runs import page

    if len(options.runs) == 1:
        print(page.write_run_report(options.runs[0], options.output))
    else:
        print(page.compare_runs(options.runs, options.output or Path("comparison.html")))


def show_run(results: dict, data_dir: Path, run_dir: Path) -> None:
    """Prints what has come of a run."""
    from .. import training
    from ..runs.summary import result_line

    print(f"\nSome test pairs of {data_dir}, drawn at random. The network has never seen these people:")
    print(training.examples_table(read_scores(run_dir), results))
    print(f"\nAll pairs of {data_dir}:")
    print(training.results_table(results))
    print(training.describe(results))
    pictures = sorted(str(run_dir / name) for name in PICTURES if (run_dir / name).exists())
    print(f"Pictures: {', '.join(pictures)}")
    print(f"{result_line(results)} Its worst mistakes: {run_dir / PAGE}")
