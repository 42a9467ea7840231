"""What the report printed, what its authors logged, and what ours gives: row by row, with a verdict."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from prettytable import PrettyTable

from ..recipes.published import EXPERIMENTS, curves
from ..runs.results import Status
from .report_tables import LAST

_PAIRS = {"test": 1000, "val": 722}
_LOSS = 0.1  # of the published one

_STOPPED = (
    "patience ends a training where a chance of a few epochs puts it, and the loss, still falling, with "
    "it; the accuracies of the authors' three runs lie as far apart"
)
_OPEN = "no reason yet"
REASONS = {
    **dict.fromkeys(("4.1", "4.2", "4.3", "5.1", "5.2", "5.3", "8.1", "8.2"), _STOPPED),
    "9.1": "few filters: the network stops in another epoch, and its accuracy on 722 pairs varies with it",
    "9.2": "ours gives one answer for nearly all pairs, as both do with 32 filters; theirs got away with 16",
    "10.1": "as 9.1, which is the same setting",
    "10.2": "as 9.2, which is the same setting",
}
"""Why a row that does not agree does not, by its number."""


def disagreements(number: str, figures: Mapping[str, float]) -> list[str]:
    """Names the figures of an experiment that do not agree with the published ones.

    A loss agrees within 10% of the published one, an accuracy within two standard errors of a share of 1,000
    test or 722 validation pairs. Slips of the point are put right first.

    Args:
        number: the experiment's.
        figures: ours, by `"test_loss"`, `"test_accuracy"`, `"val_loss"` and `"val_accuracy"`; accuracies in
            percent.

    Example:
        >>> ours = {"test_loss": 18.8, "test_accuracy": 66.2, "val_loss": 18.8, "val_accuracy": 60.0}
        >>> disagreements("2.1", ours)
        ['val_accuracy']
    """
    row, found = EXPERIMENTS[number], []
    for name in LAST:
        theirs = row.true(name)
        allowed = _LOSS * theirs
        if name.endswith("accuracy"):
            allowed = 200 * math.sqrt(theirs / 100 * (1 - theirs / 100) / _PAIRS[name.partition("_")[0]])
        if abs(figures[name] - theirs) > allowed:
            found.append(name)
    return found


def agreement_table(rows: Sequence[Mapping[str, Any]]) -> PrettyTable:
    """Sets published figures, the authors' log and ours side by side, for every row of the report.

    Args:
        rows: what `reproduction.collect` returns, of the variant as-run. An experiment that has no finished
            run there is said to be outstanding; one of whole epochs bears a †.

    Returns:
        The table. Its cells hold test and validation loss; test and validation accuracy in percent; of the
        log, those of validation at the last epoch.

    Example:
        >>> own = {"test_loss": 18.8, "test_accuracy": 66.2, "val_loss": 18.8, "val_accuracy": 64.3}
        >>> row = {"experiment": "2.1", "status": "finished", "changes": "", **own}
        >>> shown = agreement_table([row])  # or the rows of `collect`
        >>> shown.rows[3][3:]
        ['18.800, 18.800; 66.2, 64.3', '1', 'yes']
    """
    shown = PrettyTable(
        ["Experiment", "Printed", "The authors' log", "Ours", "Seeds", "Agrees, or the reason"], align="r"
    )
    shown.align["Experiment"] = shown.align["Agrees, or the reason"] = "l"
    for number, row in EXPERIMENTS.items():
        done = [own for own in rows if own["experiment"] == number and own["status"] == Status.FINISHED]
        log = curves().get(number)
        logged = "-"
        if log:
            logged = f"{log['val_loss'][-1]:.3f}, {100 * log['val_accuracy'][-1]:.1f}"
        printed = [f"{getattr(row, f'published_{name}'):g}" for name in LAST]
        if not done:
            shown.add_row([number, _four(printed), logged, "-", "0", "outstanding: not run yet"])
            continue
        values = {name: [own[name] for own in done] for name in LAST}
        ours = [_mean(values[name], 1 if name.endswith("accuracy") else 3) for name in LAST]
        missed = disagreements(number, {name: statistics.fmean(values[name]) for name in LAST})
        words = "yes" if not done[0]["changes"] else "yes †"
        if missed:
            names = ", ".join(name.replace("_", " ").replace("val ", "val. ") for name in missed)
            words = f"not in {names}{words[3:]}: {REASONS.get(number, _OPEN)}"
        shown.add_row([number, _four(printed), logged, _four(ours), str(len(done)), words])
    return shown


def noise() -> str:
    """Says in words how far apart the report's own runs of one setting with one seed are, by Table 3.

    Example:
        >>> print(noise())
        Between the report's own three runs of one setting with one seed, accuracies vary by a standard
        deviation of 1.5 points on test and 1.1 on validation pairs, and by 4.3 and 2.9 at most.
    """
    groups: dict[str, list[str]] = {}
    for number, row in EXPERIMENTS.items():
        if row.table == 3:
            groups.setdefault(number.partition(".")[0], []).append(number)

    def pooled(name: str) -> float:
        figures = [[EXPERIMENTS[number].true(name) for number in group] for group in groups.values()]
        return math.sqrt(statistics.fmean(map(statistics.variance, figures)))

    def widest(name: str) -> float:
        figures = [[EXPERIMENTS[number].true(name) for number in group] for group in groups.values()]
        return max(max(group) - min(group) for group in figures)

    return (
        "Between the report's own three runs of one setting with one seed, accuracies vary by a standard "
        f"deviation of {pooled('test_accuracy'):.1f} points on test and {pooled('val_accuracy'):.1f} on "
        f"validation pairs, and by {widest('test_accuracy'):.1f} and {widest('val_accuracy'):.1f} at most."
    )


def _four(figures: Sequence[str]) -> str:
    test_loss, test_accuracy, val_loss, val_accuracy = figures
    return f"{test_loss}, {val_loss}; {test_accuracy}, {val_accuracy}"


def _mean(values: Sequence[float], digits: int) -> str:
    text = f"{statistics.fmean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {statistics.stdev(values):.{digits}f}"
