"""Published figures as data, read without TensorFlow.

`published_figures/README.md` says what is known of them.
"""

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

# The fields of a `Recipe` in which the report's experiments differ.
SETTINGS = (
    *("model", "initializer", "drop_rate", "units", "filters"),
    *("batch_size", "learning_rate", "optimizer"),
)


@dataclass(frozen=True)
class PublishedExperiment:
    """A row of the report's Tables 3 to 7: accuracies in percent, losses with the penalties on weights.

    Args:
        table: the table's number.
        experiment: the row's number, such as `"5.1"`.
        model, initializer, drop_rate, units, filters, batch_size, learning_rate, optimizer: as the fields of
            `training.Recipe`; `drop_rate` is `None` where nothing is dropped.
        loss: `"binary_crossentropy"` or `"contrastive"`.
        published_seconds: training time, on one Tesla K80.
        published_test_loss, published_test_accuracy, published_val_loss, published_val_accuracy: at the last
            epoch and the threshold 0.5.

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

    def true(self, figure: str) -> float:
        """Returns a published figure; of a loss whose point has slipped, as the authors' log shows, a tenth.

        Args:
            figure: `"test_loss"`, `"test_accuracy"`, `"val_loss"` or `"val_accuracy"`.
        """
        printed = getattr(self, f"published_{figure}")
        return printed / 10 if figure in _SLIPS.get(self.experiment, ()) else printed


_SLIPS = {
    **dict.fromkeys(("1.1", "1.2", "1.3"), ("test_loss", "val_loss")),
    **dict.fromkeys(("4.1", "4.2", "4.3"), ("test_loss",)),
}


@dataclass(frozen=True)
class PublishedCfpExperiment:
    """An experiment of the Person Verification study on CFP, frontal-frontal. Accuracies are shares.

    Args:
        experiment: its name, such as `"13"` or `"13_lr1e-3_sgd"`.
        architecture: `"decision_network"` or `"cosine_embedding"`.
        loss: `"bce_1_neuron"`, `"ce_2_neurons"` or `"cosine_embedding"`.
        backbone: a network of `models.pretrained`.
        features_from: `"convolutional"` or `"linear"`.
        learning_rate: its learning rate.
        epochs: how long it trained.
        pretrained: whether the backbone began with ImageNet weights.
        augmentation: whether the photos were changed at random.
        fine_tuning: `"all"` or `"upper_half"`: which part of the backbone was trained.
        published_val_accuracy, published_test_accuracy, published_best_epoch: `None` where unpublished.

    Example:
        >>> row = CFP_EXPERIMENTS["13_lr1e-3_sgd"]
        >>> row.backbone, row.pretrained, row.published_test_accuracy
        ('VGG16', True, 0.834)
    """

    experiment: str
    architecture: str
    loss: str
    backbone: str
    features_from: str
    learning_rate: float
    epochs: int
    pretrained: bool
    augmentation: bool
    fine_tuning: str
    published_val_accuracy: float | None
    published_test_accuracy: float | None
    published_best_epoch: int | None


def _rows(name: str) -> list[dict[str, str]]:
    folder = resources.files(__package__) / "published_figures"
    return list(csv.DictReader((folder / name).read_text(encoding="utf-8").splitlines()))


def _experiment(kind: type, row: dict[str, str]):
    convert: dict[Any, Callable[[str], Any]] = {
        int: int,
        str: str,
        float: float,
        bool: {"yes": True, "no": False}.__getitem__,
        float | None: lambda text: float(text) if text else None,
        int | None: lambda text: int(text) if text else None,
    }
    return kind(**{field.name: convert[field.type](row[field.name]) for field in fields(kind)})


EXPERIMENTS = {row["experiment"]: _experiment(PublishedExperiment, row) for row in _rows("lfw_a_report.csv")}
"""The rows of Tables 3 to 7 by their numbers, in the report's order."""

LETTERS = {
    row.pop("kind"): {letter: int(count) for letter, count in row.items()} for row in _rows("lfw_letters.csv")
}
"""Table 1: same and different training pairs, counted by the first letter of the left name."""

CFP_EXPERIMENTS = {
    row["experiment"]: _experiment(PublishedCfpExperiment, row)
    for row in _rows("cfp_person_verification.csv")
}
"""The experiments of the study on CFP by their names, in its order."""


@cache
def curves() -> dict[str, dict[str, list[float]]]:
    """Returns loss and accuracy of every epoch, as the report's authors logged them.

    Returns:
        For each logged run its `loss`, `accuracy`, `val_loss` and `val_accuracy`, as far as they were logged,
        in the form of `training.read_history`; accuracies are shares, losses hold the penalties on weights.
        The name of a run is its experiment's number; of one that is in no table it is the authors' own. The
        validation figures are of pairs drawn anew for each epoch. Rows 4.1 to 4.3 were not logged.

    Example:
        >>> history = curves()["5.1"]
        >>> len(history["val_loss"]), history["val_loss"][-1]
        (69, 1.1644)
    """
    path = resources.files(__package__) / "published_figures" / "lfw_a_report_curves.csv.gz"
    found: dict[str, dict[str, list[float]]] = {}
    for row in csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines()):
        history = found.setdefault(row["experiment"] or row["run"], {})
        for name in ("loss", "accuracy"):
            side = {"train": name, "validation": f"val_{name}"}[row["side"]]
            history.setdefault(side, []).append(float(row[name]))
    return found
