"""What the recipes with names were measured to reach, see `benchmarks/recipes.py`."""

import csv
from dataclasses import dataclass
from pathlib import Path

MEASURED = Path(__file__).with_name("measured.csv")


@dataclass(frozen=True)
class Measured:
    """One training on LFW-a's View 1, seed 0, in the identity-disjoint split, in `mixed_bfloat16`.

    Args:
        recipe: its name.
        accuracy: on the 1,000 test pairs, at the threshold of the validation people.
        low, high: its interval of 95%, over people.
        minutes: of one core, for the whole command.
    """

    recipe: str
    accuracy: float
    low: float
    high: float
    minutes: float


def read_measured() -> dict[str, Measured]:
    """Returns what is known, by recipe."""
    if not MEASURED.exists():
        return {}
    with MEASURED.open(encoding="utf-8", newline="") as file:
        return {
            row["recipe"]: Measured(row.pop("recipe"), **{name: float(text) for name, text in row.items()})
            for row in csv.DictReader(file)
        }
