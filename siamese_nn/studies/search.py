"""Searches for a better recipe. Many processes can share a search, and each of them can be killed."""

import csv
import io
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prettytable import PrettyTable
from tqdm import tqdm

try:
    import optuna
except ImportError as error:
    raise ImportError("A sweep needs Optuna: pip install 'siamese_nn[sweep]'") from error

from ..datasets import Pairs
from ..datasets.images import cache_or
from ..files import write_text
from ..recipes.recipe import Recipe
from ..training.callbacks import mode
from ..training.train import train as train_recipe
from . import search_queue
from .search_space import distributions, grid, read_space, require_sense
from .search_worker import Worker, data_digests, work_together

__all__ = ["final", "read_space", "search", "trials_table", "write_csv"]

logger = logging.getLogger(__name__)

_SAMPLERS = ("tpe", "random", "grid")
_MONITORS = ("val_auc", "val_eer")
_TRIALS = 20
_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def search(
    base: Recipe,
    space: Mapping[str, Any],
    train: Pairs,
    val: Pairs,
    folder: str | os.PathLike,
    *,
    sampler: str = "tpe",
    trials: int | None = None,
    jobs: int = 1,
    monitor: str = "val_auc",
    prune: bool = True,
    photos: Mapping[str, Sequence[str]] | None = None,
    storage: str | None = None,
    study_name: str | None = None,
    seed: int = 0,
    heartbeat: int = 30,
) -> optuna.Study:
    """Tries recipes on training and validation people, or goes on with a search that was interrupted.

    A trial fails, with its message, if its recipe is refused, by `Recipe` or when the model is built, if the
    training diverges, or if it is too large for the GPU's memory. Any other error, such as a full disk or a
    photo that can't be read, stops the search; the same call goes on with that trial. If the worker of a
    trial is killed, the trial runs again, from its last whole epoch if that is in `folder`. Any number of
    processes and machines can make the same call and share the study. The space may be changed as long as no
    trial is complete.

    Args:
        base: the recipe whose fields the space replaces. The search sets its `monitor`.
        space: the fields of `Recipe` to search; `split`, `letters` and `monitor` can't be. Each has a list of
            choices, or a range with its ends: `{"low": 1e-4, "high": 1e-2, "log": True}` or `{"low": 2,
            "high": 12, "step": 2}`. A field of whole numbers draws whole numbers. A range of `kernel_sizes`
            holds for each convolution. A range of `image_size` or `crop` is one of the side of a square.
        train: pairs to train on.
        val: pairs of other people, for early stopping, pruning and the comparison of the recipes.
        folder: folder of the search; it is made if it is missing. It receives the runs in `runs/`, each under
            a digest of its recipe, and `search.journal`. It keeps the decoded photos in `images/`, unless
            `SIAMESE_NN_IMAGE_CACHE` names another folder.
        sampler: `"tpe"`, `"random"` or `"grid"`.
        trials: number of trials of the whole study; a later call may raise it. `None` means 20, or the whole
            grid. With a grid it must be `None`.
        jobs: number of worker processes. With more than one, a script needs `if __name__ == "__main__":`. The
            workers use the GPUs that the environment shows.
        monitor: `"val_auc"` or `"val_eer"`, of the best epoch of a trial.
        prune: whether to stop a trial if an epoch of it is worse than the median of the others.
        photos: photos to train on, for recipes that learn from people, as in `training.train`.
        storage: URL of a server's database, as Optuna takes it; `None` means `search.journal` in `folder`.
        study_name: name of the study in the database; `None` means the folder's name.
        seed: seed of the draws. The draws of a random search depend on nothing else.
        heartbeat: seconds between two signs of life of a worker. After four times as long without one,
            another worker gets its trial; at once if the worker was a process of this machine that has ended.

    Returns:
        The study, with all its trials.

    Raises:
        ValueError: if an argument is out of range, `Recipe` refuses a choice or an end of a range of the
            space, or the study is another search's.
        ChildProcessError: if worker processes died and left trials undone; the same call goes on.
        KeyboardInterrupt: on Ctrl-C; the trials that ran are put back, and the same call goes on.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTrain.txt", "faces/lfw2")
        >>> test = datasets.read_pairs("faces/pairsDevTest.txt", "faces/lfw2")
        >>> recipe = Recipe(epochs=10)
        >>> train, val = recipe.split_pairs(pairs, exclude=test)
        >>> space = {"filters": [4, 8, 16], "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
        >>> study = search(recipe, space, train, val, "runs/search", trials=30)  # doctest: +SKIP
        >>> print(trials_table(study))  # doctest: +SKIP
        >>> final(study, train, val, test, "runs/search")  # once, at the end  # doctest: +SKIP
        >>> search(recipe, space, train, val, "runs/search", sampler="grid")
        Traceback (most recent call last):
        ...
        ValueError: `learning_rate` in `space`: for sampler="grid" give a list of choices, or a range with a
        `step` and without `log`
    """
    _require_choice("sampler", sampler, _SAMPLERS)
    _require_choice("monitor", monitor, _MONITORS)
    for name, value in (("jobs", jobs), ("heartbeat", heartbeat), ("trials", trials)):
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"`{name}` must be a whole number of at least 1. Received: {name}={value!r}")
    if type(seed) is not int or seed < 0:
        raise ValueError(f"`seed` must be a whole number of at least 0. Received: seed={seed!r}")
    if base.split != "identities":
        raise ValueError(
            'The recipe of a search must have split="identities": recipes are compared on people they have '
            f"not seen. Received: split={base.split!r}"
        )
    if sampler == "grid" and trials is not None:
        raise ValueError(f'`trials` must be None where sampler="grid". Received: trials={trials}')
    require_sense(replace(base, monitor=monitor), space)
    points = grid(space) if sampler == "grid" else [{}] * (trials or _TRIALS)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    worker = Worker(
        base=replace(base, monitor=monitor),
        space=dict(space),
        sets=(train, val),
        photos=photos,
        folder=folder,
        cache_dir=cache_or(folder / "images"),  # for all trials on this machine
        storage=storage or str(folder.resolve() / "search.journal"),
        study_name=study_name or folder.resolve().name,
        sampler=sampler,
        seed=seed,
        prune=prune,
        heartbeat=heartbeat,
    )
    with search_queue.quiet():
        study = worker.open()
        silences = search_queue.Silences(study)
        search_queue.fill(study, points)
        with tqdm(desc="trials", initial=len(search_queue.settled(study))) as bar:
            told = False

            def tell_progress() -> None:
                nonlocal told
                _show(bar, study)
                silent = search_queue.silence(study, silences)
                if not told and silent is not None and silent > 2 * heartbeat:
                    told = True
                    logger.warning(
                        "waiting for a worker that gave no sign of life for %d s; after %d its trial is "
                        "given to another",
                        silent,
                        search_queue.BEATS * heartbeat,
                    )

            if jobs == 1:
                worker.work(tell_progress)
            else:
                work_together(worker, jobs, tell_progress)
    return study


def final(
    study: optuna.Study,
    train: Pairs,
    val: Pairs,
    test: Pairs,
    folder: str | os.PathLike,
    *,
    photos: Mapping[str, Sequence[str]] | None = None,
    verbose: int | str = "auto",
) -> dict[str, Any]:
    """Opens the test pairs: trains the best recipe of a search once more and measures it on them.

    The study records the choice. From then on this function returns the figures of that recipe, whatever the
    search finds later: the test pairs would choose between two recipes if both were measured on them.

    Args:
        study: what `search` returned.
        train: the search's training pairs.
        val: the search's validation pairs.
        test: pairs of people who are in neither.
        folder: the search's; the run goes into `final/`.
        photos: the search's.
        verbose: as in Keras's `fit`.

    Returns:
        The figures, as `training.train` does.

    Raises:
        ValueError: if no trial is complete, or the pairs are not the search's.
        IdentityLeakError: if people of the test pairs are in the others.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTrain.txt", "faces/lfw2")
        >>> test = datasets.read_pairs("faces/pairsDevTest.txt", "faces/lfw2")
        >>> train, val = Recipe().split_pairs(pairs, exclude=test)
        >>> study = optuna.create_study()  # stands for that of a search without trials
        >>> study.set_user_attr("search", {"data": data_digests((train, val), None)})
        >>> final(study, train, val, test, "runs/search")
        Traceback (most recent call last):
        ...
        ValueError: `study` must have a complete trial. Received one without
    """
    if study.user_attrs["search"]["data"] != data_digests((train, val), photos):
        raise ValueError(
            "`train`, `val` and `photos` must be those of the search. Received others than the study records"
        )
    complete = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if not complete:
        raise ValueError("`study` must have a complete trial. Received one without")
    best = study.best_trial
    chosen = study.user_attrs.get("final")
    if chosen is None:
        # Before the training: killed in it, the same recipe goes on.
        chosen = {"trial": best.number, "recipe": best.user_attrs["recipe"]}
        study.set_user_attr("final", chosen)
    elif chosen["trial"] != best.number:
        logger.warning(
            "the test pairs were opened for trial %d and stay with it, though trial %d is better now",
            chosen["trial"],
            best.number,
        )
    recipe = Recipe(**chosen["recipe"])
    return train_recipe(recipe, train, val, Path(folder) / "final", test=test, photos=photos, verbose=verbose)


def trials_table(study: optuna.Study) -> PrettyTable:
    """Shows a study's settled trials, the best first.

    Args:
        study: what `search` returned.

    Example:
        >>> study = optuna.create_study(direction="maximize")  # stands for that of a search
        >>> study.set_user_attr("search", {"monitor": "val_auc", "space": {"units": [4, 8]}})
        >>> for units, value in ((4, 0.71), (8, 0.84)):
        ...     study.enqueue_trial({"units": units})
        ...     trial = study.ask(distributions({"units": [4, 8]}))
        ...     _ = study.tell(trial, value)
        >>> [row[:3] for row in trials_table(study).rows]
        [[1, 'complete', '0.84'], [0, 'complete', '0.71']]
    """
    names, rows = _rows(study)
    table = PrettyTable(names, align="r")
    for name in ("state", "run", "note"):
        table.align[name] = "l"
    table.max_width["note"] = 60
    table.add_rows([[f"{value:.4g}" if isinstance(value, float) else value for value in row] for row in rows])
    return table


def write_csv(study: optuna.Study, path: str | os.PathLike) -> None:
    """Writes what `trials_table` shows to a CSV file, with all digits.

    Args:
        study: what `search` returned.
        path: the file to make or replace.

    Example:
        >>> study = optuna.create_study()  # stands for that of a search without trials
        >>> study.set_user_attr("search", {"monitor": "val_auc", "space": {"units": [4, 8]}})
        >>> write_csv(study, "trials.csv")
        >>> Path("trials.csv").read_text().splitlines()
        ['trial,state,val_auc,epochs run,units,run,note']
    """
    names, rows = _rows(study)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([names, *rows])
    write_text(path, text.getvalue())


def _rows(study: optuna.Study) -> tuple[list[str], list[list[Any]]]:
    """The column names of the table of trials, and its rows."""
    monitor = study.user_attrs["search"]["monitor"]
    fields = list(distributions(study.user_attrs["search"]["space"]))
    sign = -1 if mode(monitor) == "max" else 1
    trials = sorted(
        search_queue.settled(study),
        key=lambda trial: (list(_STATES).index(trial.state.name), sign * (trial.value or 0), trial.number),
    )
    rows = [
        [
            trial.number,
            _STATES[trial.state.name],
            "" if trial.value is None else trial.value,
            trial.user_attrs.get("epochs", len(trial.intermediate_values)),
            *(trial.params.get(field, "") for field in fields),
            trial.user_attrs.get("run", ""),
            trial.user_attrs.get("error", ""),
        ]
        for trial in trials
    ]
    return ["trial", "state", monitor, "epochs run", *fields, "run", "note"], rows


def _show(bar: tqdm, study: optuna.Study) -> None:
    settled = search_queue.settled(study)
    bar.total = search_queue.count_slots(study)
    bar.n = len(settled)
    if any(trial.state == optuna.trial.TrialState.COMPLETE for trial in settled):
        bar.set_postfix(best=f"{study.best_value:.4f}", refresh=False)
    bar.refresh()


def _require_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"`{name}` must be one of {tuple(known)}. Received: {name}={value!r}")
