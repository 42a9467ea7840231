"""The report's published figures as data, read without TensorFlow; `training/published/README.md` says what is known of them."""

import csv
from dataclasses import dataclass, fields
from importlib import resources


@dataclass(frozen=True)
class PublishedExperiment:
    """A row of the report's Tables 3 to 7. Accuracies are in percent, losses include the penalties on weights.

    Args:
        table: the table's number.
        experiment: the row's number, such as `"5.1"`.
        model, initializer, drop_rate, units, filters, batch_size, learning_rate, optimizer: as the fields of
            `training.Recipe`; `drop_rate` is `None` where nothing is dropped.
        loss: `"binary_crossentropy"` or `"contrastive"`.
        published_seconds: training time, on one Tesla K80.
        published_test_loss, published_test_accuracy, published_val_loss, published_val_accuracy: at the last epoch and the threshold 0.5.

    Example:
        >>> row = EXPERIMENTS["5.1"]
        >>> row.table, row.batch_size, row.published_test_accuracy, row.drop_rate
        (3, 128, 68.4, None)
        >>> LETTERS["same"]["A"]
        101
    """

    table: int
    experiment: str
    model: str
    loss: str
    initializer: str
    drop_rate: float | None
    units: int
    filters: int
    batch_size: int
    learning_rate: float
    optimizer: str
    published_seconds: float
    published_test_loss: float
    published_test_accuracy: float
    published_val_loss: float
    published_val_accuracy: float


def _rows(name: str) -> list[dict[str, str]]:
    folder = resources.files(__package__) / "training" / "published"
    return list(csv.DictReader((folder / name).read_text(encoding="utf-8").splitlines()))


def _experiment(row: dict[str, str]) -> PublishedExperiment:
    convert = {int: int, str: str, float: float, float | None: lambda text: float(text) if text else None}
    return PublishedExperiment(
        **{field.name: convert[field.type](row[field.name]) for field in fields(PublishedExperiment)}
    )


EXPERIMENTS = {row["experiment"]: _experiment(row) for row in _rows("lfw_a_report.csv")}
"""The rows of Tables 3 to 7 by their numbers, in the report's order."""

LETTERS = {
    row.pop("kind"): {letter: int(count) for letter, count in row.items()} for row in _rows("lfw_letters.csv")
}
"""Table 1: of same and of different training pairs, how many there are by the first letter of the left name."""
