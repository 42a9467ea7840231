"""The report's tables with our figures below the published ones: as tables, CSV and Markdown."""

import csv
import io
import os
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from prettytable import PrettyTable, TableStyle

from ..files import write_text
from ..recipes.published import EXPERIMENTS, SETTINGS, PublishedExperiment
from ..runs.measured import LEAKS
from ..runs.results import Status

LAST = (
    "test_loss",
    "test_accuracy",
    "val_loss",
    "val_accuracy",
)  # as the report took them, at the last epoch
BEST = ("best_test_accuracy", "best_test_low", "best_test_high")
LEAK = ("touched_pairs", "val_auc_touched", "val_auc_others")
COLUMNS = (
    *("name", "split", "seed", "changes", "data", "status", "epochs", "best_epoch", "seconds", "device"),
    *LAST,
    *BEST,
    *LEAK,
    "own_units",
    *(field.name for field in fields(PublishedExperiment)),
)


def table(rows: Iterable[Mapping[str, Any]], number: int) -> PrettyTable:
    """Shows one of the report's tables, with our figures below the published ones.

    Args:
        rows: what `reproduction.collect` returns; seeds of one experiment become mean and standard deviation.
        number: the table's number, 3 to 7.

    Raises:
        ValueError: if none of the rows is of that table.

    Example:
        >>> from siamese_nn.studies.reproduction import collect, plan
        >>> for row in table(collect(plan(["5.1"], "runs/report")), 3).rows:
        ...     print(*row[:5], sep="; ")  # with loss and accuracy on test pairs
        5.1; 128, 0.001, adam; report; 1.082; 68.4
        ; ; ours, seed 0, not begun; -; -
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["table"] == number:
            groups.setdefault(row["name"], []).append(row)
    if not groups:
        raise ValueError(f"`rows` must hold rows of table {number}. Received: none")
    own = [row for row in EXPERIMENTS.values() if row.table == number]
    vary = [name for name in SETTINGS if len({getattr(row, name) for row in own}) > 1] or ["model"]
    shown = PrettyTable(
        [
            "Experiment",
            ", ".join(name.replace("_", " ") for name in vary),
            "Figures",
            "Test loss",
            "Test accuracy",
            "Val. loss",
            "Val. accuracy",
            "Best epoch, test",
            "Epochs",
            "Seconds",
        ],
        align="r",
    )
    shown.align["Experiment"] = shown.align["Figures"] = "l"
    for name, group in groups.items():
        first, done = group[0], [row for row in group if row["status"] == Status.FINISHED]
        published = [f"{first[f'published_{column}']:g}" for column in LAST]
        settings = ", ".join(str(first[column]) for column in vary)
        shown.add_row([name, settings, "report", *published, "-", "-", f"{first['published_seconds']:.0f}"])
        figures = ["-"] * 7
        if done:
            figures = [_mean(done, column, 1 if "accuracy" in column else 3) for column in LAST]
            best = _mean(done, "best_test_accuracy", 1)
            if len(done) == 1:
                best += " ({best_test_low:.1f} to {best_test_high:.1f})".format(**done[0])
            figures += [best, _mean(done, "epochs", 0), _mean(done, "seconds", 0)]
        shown.add_row(["", "", f"ours, {_standing(group)}", *figures])
    return shown


def leak_table(rows: Iterable[Mapping[str, Any]]) -> PrettyTable | None:
    """Shows what the report's split leaks: the AUC of pairs with somebody from training, and of others.

    Args:
        rows: what `reproduction.collect` returns.

    Returns:
        A row for each finished run in the report's split; `None` where there is none.
    """
    shown = PrettyTable(["Experiment", "Seed", "Touched pairs", "AUC touched", "AUC others"], align="r")
    shown.align["Experiment"] = "l"
    for row in rows:
        # Of one class alone there is none.
        if None not in (row.get("val_auc_touched"), row.get("val_auc_others")):
            figures = [f"{row[name]:.3f}" for name in LEAK[1:]]
            shown.add_row([row["name"], row["seed"], row["touched_pairs"], *figures])
    return shown if shown.rows else None


def _wrapped(line: str) -> str:
    return textwrap.fill(line, 110, break_long_words=False, break_on_hyphens=False)


def _mean(rows: Sequence[Mapping[str, Any]], column: str, digits: int) -> str:
    values = [row[column] for row in rows]
    text = f"{statistics.fmean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {statistics.stdev(values):.{digits}f}"


def _standing(group: Sequence[Mapping[str, Any]]) -> str:
    """What there is of an experiment, in words: its seeds, and what has become of those without figures."""
    words = [row["status"] for row in group]
    done = words.count(Status.FINISHED)
    seeds = f"seed {group[0]['seed']}" if len(group) == 1 else f"{len(group)} seeds"
    others = [
        word if len(group) == 1 else f"{words.count(word)} {word}"
        for word in (Status.DIVERGED, Status.DAMAGED, Status.UNFINISHED, Status.NOT_BEGUN)
        if word in words
    ]
    return ", ".join([seeds, *([f"{done} finished"] if others and done else []), *others])


def describe(rows: Sequence[Mapping[str, Any]]) -> str:
    """Says in words what the figures of `reproduction.collect` are, and what to bear in mind.

    Example:
        >>> from siamese_nn.studies.reproduction import collect, plan
        >>> rows = collect(plan(["5.1"], "runs/report", split="identities"))
        >>> describe(rows).splitlines()[1:]  # the first says what the figures are
        ['Nobody is in two of the sets.', 'Ours on: nothing yet.']
    """
    split = {row["split"] for row in rows}
    devices = sorted({row["device"] for row in rows if row["device"]})
    apart = "Nobody is in two of the sets."
    if "report" in split:
        apart = f"{LEAKS}."
    notes = [f"Data: {data}." for data in sorted({row["data"] for row in rows if row["data"]})]
    if any(row["name"].endswith("-256") for row in rows):
        notes.append(
            "-256: as printed, but with the 256 units of all the report's runs, and a fourth pooling with "
            "drop-out."
        )
    if any(row["name"].endswith("-as-run") for row in rows):
        notes.append(
            "-as-run: as the report's code really ran, with 256 units, Adam and normal initial weights "
            "whatever the table prints, in whole batches; rows of one setting share their runs."
        )
    changes = sorted({row["changes"] for row in rows if row["changes"]})
    if changes:
        notes.append(f"Ours DEPART from the report's settings: {'; '.join(changes)}.")
    lines = [
        "Accuracies are in percent. Loss and accuracy: last epoch, threshold 0.5, as the report took them; "
        "losses include the penalties on weights. Best epoch: of the best validation loss, at the threshold "
        "chosen on the validation pairs, with the 95% interval over people where there is one seed. ±: "
        "standard deviation over seeds. The report's figures are of one run each, its seconds of one Tesla "
        "K80.",
        apart,
        *notes,
        f"Ours on: {'; '.join(devices) or 'nothing yet'}.",
    ]
    return "\n".join(lines)


def tables(rows: Sequence[Mapping[str, Any]], *, markdown: bool = False) -> str:
    """Returns as text all tables of the rows of `reproduction.collect`, with `describe` below them.

    Example:
        >>> from siamese_nn.studies.reproduction import collect, plan
        >>> text = tables(collect(plan(["5.1", "7.1"], "runs/report")), markdown=True)
        >>> [line for line in text.splitlines() if line.startswith("#")]
        ['### Table 3', '### Table 5']
    """
    parts = [
        _titled(f"Table {number}", "", table(rows, number), markdown)
        for number in sorted({row["table"] for row in rows})
    ]
    if (leak := leak_table(rows)) is not None:
        words = (
            "Validation pairs with somebody from training, and the others, ranked by the last epoch's model:"
        )
        parts.append(_titled("The leak", words, leak, markdown))
    return "\n".join([*parts, describe(rows)]) + "\n"


def _titled(title: str, words: str, shown: PrettyTable, markdown: bool) -> str:
    """A table below its title and some words; in Markdown an empty line parts them."""
    if markdown:
        shown.set_style(TableStyle.MARKDOWN)
        title = f"### {title}"
    parts = [title, words, str(shown)] if words else [title, str(shown)]
    return ("\n\n" if markdown else "\n").join(parts) + "\n"


def write_csv(rows: Iterable[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """Writes the rows of `reproduction.collect` as CSV, a line for each run.

    Example:
        >>> from siamese_nn.studies.reproduction import collect, plan
        >>> write_csv(collect(plan(["5.1", "7.1"], "runs/report")), "report.csv")
        >>> with open("report.csv") as file:
        ...     [(row["name"], row["status"], row["published_test_accuracy"]) for row in csv.DictReader(file)]
        [('5.1', 'not begun', '68.4'), ('7.1', 'not begun', '65.8')]
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def markdown_around(path: str | os.PathLike, title: str) -> tuple[str, str]:
    r"""Returns what stands in a Markdown file before and after the part that `write_markdown` replaces.

    Raises:
        ValueError: naming the file, if it is no UTF-8, or the comments around that part are not one pair.

    Example:
        >>> _ = Path("RESULTS.md").write_text("Ours follow.")
        >>> markdown_around("RESULTS.md", "Tables")  # no such part yet: it will be put at the end
        ('Ours follow.\n', '')
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except ValueError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from error
    begin, end = f"<!-- {title} -->\n", f"<!-- end of {title} -->\n"
    found = [text.count(begin), text.count(end)]
    if found == [0, 0]:
        return (f"{text}\n" if text else ""), ""
    before, _, rest = text.partition(begin)
    if found != [1, 1] or end not in rest:
        received = f"{found[0]} and {found[1]}"
        if found == [1, 1]:
            received += " in the wrong order"
        raise ValueError(
            f"{path} must have one line {begin.strip()} and below it one line {end.strip()}, or neither. "
            f"Received {received}. Mend or remove them"
        )
    return before, rest.partition(end)[2]


def write_markdown(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike, title: str) -> None:
    """Writes `tables` into a Markdown file, between two comments that bear `title`.

    What stands between these comments is replaced; where they are missing, they are put at the end. All else
    stays.

    Raises:
        ValueError: naming the file, if it is no UTF-8, or these comments are not one pair.

    Example:
        >>> from siamese_nn.studies.reproduction import collect, plan
        >>> _ = Path("RESULTS.md").write_text("Ours follow.")
        >>> write_markdown(collect(plan(["5.1"], "runs/report")), "RESULTS.md", "Tables")
        >>> Path("RESULTS.md").read_text().splitlines()[:4]
        ['Ours follow.', '<!-- Tables -->', '', '### Table 3']
    """
    write_part(tables(rows, markdown=True), path, title)


def write_part(text: str, path: str | os.PathLike, title: str) -> None:
    """Writes a text into a Markdown file as `write_markdown` does; lines outside tables are wrapped.

    Example:
        >>> for words in ("Nothing yet.", "One run."):  # the second replaces the first
        ...     write_part(words, "RESULTS.md", "Words")
        >>> Path("RESULTS.md").read_text().splitlines()
        ['<!-- Words -->', '', 'One run.', '<!-- end of Words -->']
    """
    before, after = markdown_around(path, title)
    lines = [line if line[:1] == "|" else _wrapped(line) for line in text.split("\n")]
    part = "\n".join([f"<!-- {title} -->\n", *lines, f"<!-- end of {title} -->\n"])
    write_text(path, f"{before}{part}{after}")
