"""What a run has come to: its figures, how they came about, and what `results.json` holds of them."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

from ..evaluation import VerificationReport
from ..evaluation.metrics import COSTS
from .checks import (
    Fits,
    fault,
    is_count,
    is_interval,
    is_number,
    is_table,
    is_text,
    or_none,
    table_of,
)

T = TypeVar("T")


class Status(StrEnum):
    """How a run stands. `results.json` says only whether it is finished or interrupted."""

    NOT_BEGUN = "not begun"
    UNFINISHED = "unfinished"
    INTERRUPTED = "interrupted"
    DIVERGED = "diverged"
    DAMAGED = "damaged"
    FINISHED = "finished"


@dataclass(frozen=True)
class Figures(VerificationReport):
    """The figures of a model on a set of pairs: a `VerificationReport`, and what only some models have.

    Args:
        loss: the model's loss, with the penalties on weights; `None` if it has none on pairs.
        accuracy_at_half: the accuracy at the threshold that the model is made for; `None` if it has none.
        accuracy_at_half_interval: its 95% interval, over pairs.
    """

    loss: float | None = None
    accuracy_at_half: float | None = None
    accuracy_at_half_interval: tuple[float, float] | None = None

    @property
    def n_pairs(self) -> int:
        """The pairs of both kinds."""
        return self.n_same + self.n_different


@dataclass(frozen=True)
class Pretraining:
    """The training that came before: its epochs, the best of them, and its time."""

    epochs: int
    best_epoch: int
    seconds: float


@dataclass(frozen=True)
class Learnt:
    """The photos that a run learnt from: how many, of how many people, and their digest."""

    photos: int
    people: int
    sha256: str | None = None


@dataclass(frozen=True)
class ChosenBy:
    """The first run that has chosen for one that learnt from the validation people, too.

    Args:
        run: the name of its folder.
        epochs: the number of its best epoch, and so of this run's epochs.
        threshold: its threshold, and so this run's.
        sha256: the digest in its `results.json`.
    """

    run: str
    epochs: int
    threshold: float
    sha256: str | None = None

    def in_words(self) -> str:
        """Says that nobody has validated, and where epochs and threshold come from."""
        return (
            "Nobody validated this training: it has learnt from the validation people, too. Its number of "
            f"epochs, {self.epochs}, and its threshold, {self.threshold:.4f}, were chosen before, on these "
            f"people, by the run {self.run}"
        )


@dataclass(frozen=True)
class Leak:
    """How a model ranks the validation pairs with somebody from training, and how the others.

    Args:
        touched_pairs: number of pairs with somebody from training.
        val_auc_touched: their AUC; `None` if they are all of one class.
        val_auc_others: AUC of the other pairs; `None` likewise.
    """

    touched_pairs: int
    val_auc_touched: float | None = None
    val_auc_others: float | None = None


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a run has come to.

    `results.json` holds these fields as plain JSON, and `training.train` returns them as a dictionary:
    `results["figures"]["best"]["test"]["accuracy"]` is the accuracy of the best epoch on the test pairs. The
    sets of pairs are `"train"`, `"validation"` and, if it was given, `"test"`. `figures` and `raw_pixels`
    hold the fields of `Figures`: those of `evaluation.VerificationReport`, and three more. `pretraining` and
    `teacher` have `epochs`, `best_epoch` and `seconds`; `photos` has `photos`, `people` and `sha256`; `leak`
    has the fields of `Leak`, and `chosen_by` those of `ChosenBy`.

    Args:
        status: `Status.FINISHED` or `Status.INTERRUPTED`.
        seed: seed of weights, order and split.
        split: `"identities"` or `"report"`.
        device: the device that trained it, in words.
        epochs: number of completed epochs, at least 1.
        best_epoch: number of the best epoch, from 1 on.
        monitor: the logged quantity that decides which epoch is the best.
        seconds: time of all epochs together.
        pretraining: the training that came before; `None` if there was none.
        teacher: likewise, of what it has learnt from.
        people: number of people in each set of pairs.
        photos: the photos it learnt from, if it learns from people and not from pairs.
        figures: figures by model and by set of pairs. The models are `"best"` (epoch) and, unless the run was
            interrupted, `"last"`.
        raw_pixels: figures of the baseline, by set of pairs.
        leak: how the report's split leaks, by the model of the last epoch; `None` in another split.
        chosen_by: whose epochs and threshold these are, where nobody has validated; `None` elsewhere. Such a
            run has no figures of `"validation"`.
        files: SHA-256 of each file that belongs to the results; `None` before they are written.
        sha256: SHA-256 of all else in `results.json`.

    Example:
        >>> from siamese_nn.runs.folder import read_results
        >>> document = read_results("runs/faces")  # or what `train` returned
        >>> document["figures"]["best"]["test"]["n_same"]
        12
        >>> results = Results.from_json(document)
        >>> results.best["test"].n_same, results.people
        (12, {'train': 36, 'validation': 16, 'test': 12})
    """

    status: Status
    seed: int
    split: str
    device: str
    epochs: int
    best_epoch: int
    monitor: str = "val_loss"
    seconds: float
    pretraining: Pretraining | None = None
    teacher: Pretraining | None = None
    people: dict[str, int]
    photos: Learnt | None = None
    figures: dict[str, dict[str, Figures]]
    raw_pixels: dict[str, Figures]
    leak: Leak | None = None
    chosen_by: ChosenBy | None = None
    files: dict[str, str] | None = None
    sha256: str | None = None

    @property
    def best(self) -> dict[str, Figures]:
        """The figures of the best epoch's model, by set of pairs.

        The validation pairs' are always there; where nobody has validated, the test pairs'.
        """
        best, needed = self.figures.get("best", {}), "test" if self.chosen_by else "validation"
        if needed not in best:
            raise ValueError(
                f"`figures` must hold those of the best epoch on the {needed} pairs. "
                f"Received: figures of {', '.join(self.figures) or 'nothing'}"
            )
        return best

    @property
    def models(self) -> dict[str, dict[str, Figures]]:
        """All figures, by model in words and by set of pairs; those of one epoch once."""
        trained = {f"{which} epoch": sets for which, sets in self.figures.items()}
        if {"best", "last"} <= self.figures.keys() and self.best_epoch == self.epochs:
            trained = {"last epoch" if self.chosen_by else "best and last epoch": self.figures["best"]}
        return {**trained, "raw pixels": self.raw_pixels}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Results":
        """Reads what `as_json` returns, `training.train` returns and `results.json` holds.

        Raises:
            ValueError: if a part is missing or of another kind.
        """
        if found := results_fault(document):
            raise ValueError(
                f"`document` must be what `results.json` holds. Received one that is not whole: {found}"
            )
        nested = {"pretraining": Pretraining, "teacher": Pretraining, "photos": Learnt, "leak": Leak}
        parts: dict[str, Any] = {
            name: None if document.get(name) is None else _made(kind, document[name])
            for name, kind in (nested | {"chosen_by": ChosenBy}).items()
        }
        models = {
            model: {name: _figures(each) for name, each in sets.items()}
            for model, sets in {**document["figures"], "raw_pixels": document["raw_pixels"]}.items()
        }
        pixels = models.pop("raw_pixels")
        parts |= {"status": Status(document["status"]), "figures": models, "raw_pixels": pixels}
        return _made(cls, {"people": {}, **document, **parts})

    def as_json(self) -> dict[str, Any]:
        """Returns what `results.json` holds: plain lists, numbers and texts by name."""
        return json.loads(json.dumps(asdict(self, dict_factory=_present)))


# These are left out where there is none; all others are null then.
_LEFT_OUT = {
    *("loss", "accuracy_at_half", "accuracy_at_half_interval"),
    *COSTS,
    *(f"{name}_interval" for name in COSTS),
    *("val_auc_touched", "val_auc_others"),
    *("teacher", "chosen_by", "files", "sha256"),
}


def _present(parts: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in parts if value is not None or name not in _LEFT_OUT}


def _made(kind: Callable[..., T], document: Mapping[str, Any]) -> T:
    """Makes a dataclass of the parts that it knows; a later version may have written others, too."""
    known = inspect.signature(kind).parameters
    return kind(**{name: document[name] for name in known if name in document})


def _figures(document: Mapping[str, Any]) -> Figures:
    own = {"n_people": None, "tar_intervals": {}, **document}  # which the first version did not write
    own["tar_intervals"] = {far: _pair(interval) for far, interval in own["tar_intervals"].items()}
    own |= {name: _pair(value) for name, value in own.items() if name.endswith("_interval")}
    return _made(Figures, own)


def _pair(interval: list[float] | None) -> tuple[float, ...] | None:
    return None if interval is None else tuple(interval)


def _is_confusion(value: Any) -> bool:
    names = {"true_accepts", "false_rejects", "false_accepts", "true_rejects"}
    return is_table(value) and value.keys() == names and all(map(is_count, value.values()))


def _is_loss(value: Any) -> bool:
    return type(value) in (int, float)  # infinite, it may be


def _is_optional_table(required: Mapping[str, Fits], optional: Mapping[str, Fits] | None = None) -> Fits:
    return lambda value: value is None or fault(value, required, optional) is None


FIGURES: dict[str, Fits] = {
    **dict.fromkeys(("n_same", "n_different"), is_count),
    **dict.fromkeys(("threshold", "accuracy", "auc", "eer", "best_accuracy"), is_number),
    "accuracy_interval": is_interval,
    **dict.fromkeys(("auc_interval", "eer_interval"), or_none(is_interval)),
    "tar_at_far": table_of(or_none(is_number)),
    "confusion": _is_confusion,
    "interval_over": is_text,
}
_OPTIONAL_FIGURES: dict[str, Fits] = {
    "n_people": or_none(is_count),
    "tar_intervals": table_of(or_none(is_interval)),
    "loss": or_none(_is_loss),
    "accuracy_at_half": or_none(is_number),
    "accuracy_at_half_interval": or_none(is_interval),
    **dict.fromkeys(COSTS, or_none(is_number)),
    **{f"{name}_interval": or_none(is_interval) for name in COSTS},
}
_RESULTS: dict[str, Fits] = {
    "status": lambda value: value in (Status.FINISHED, Status.INTERRUPTED),
    **dict.fromkeys(("split", "device"), is_text),
    **dict.fromkeys(("seed", "epochs", "best_epoch"), is_count),
    "seconds": is_number,
    **dict.fromkeys(("figures", "raw_pixels"), is_table),
}
_BEFORE = _is_optional_table({"epochs": is_count, "best_epoch": is_count, "seconds": is_number})
_OPTIONAL: dict[str, Fits] = {
    "monitor": is_text,
    "pretraining": _BEFORE,
    "teacher": _BEFORE,
    "people": table_of(is_count),
    "photos": _is_optional_table({"photos": is_count, "people": is_count}, {"sha256": or_none(is_text)}),
    "leak": _is_optional_table(
        {"touched_pairs": is_count}, dict.fromkeys(("val_auc_touched", "val_auc_others"), or_none(is_number))
    ),
    "chosen_by": _is_optional_table(
        {"run": is_text, "epochs": is_count, "threshold": is_number}, {"sha256": is_text}
    ),
    "files": table_of(is_text),
    "sha256": is_text,
}


def results_fault(document: Any) -> str | None:
    """Says in words what is wrong with what `results.json` holds; `None` where nothing is."""
    if found := fault(document, _RESULTS, _OPTIONAL):
        return found
    models = {**document["figures"], "raw_pixels": document["raw_pixels"]}
    if found := fault(models, dict.fromkeys(models, is_table)):
        return f"figures: {found}"
    for model, sets in models.items():
        for name, figures in sets.items():
            if found := fault(figures, FIGURES, _OPTIONAL_FIGURES):
                return f"figures: {model}: {name}: {found}"
    return None
