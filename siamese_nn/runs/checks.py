"""What a part of a run's JSON files may be. A row of a table says it for each part by name."""

from collections.abc import Callable, Mapping
from typing import Any

Fits = Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Whether it is a number that a float can hold; a whole number may have any size."""
    return type(value) in (int, float) and -1e300 < value < 1e300


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 0 on."""
    return type(value) is int and value >= 0


def is_text(value: Any) -> bool:
    """Whether it is a string."""
    return type(value) is str


def is_table(value: Any) -> bool:
    """Whether it is an object of JSON."""
    return type(value) is dict


def is_interval(value: Any) -> bool:
    """Whether it is a list of two numbers."""
    return type(value) is list and len(value) == 2 and all(map(is_number, value))


def or_none(fits: Fits) -> Fits:
    """Returns a check that `None` passes, too."""
    return lambda value: value is None or fits(value)


def column_of(fits: Fits) -> Fits:
    """Returns a check of a list, each part of which must pass `fits`."""
    return lambda value: type(value) is list and all(map(fits, value))


def table_of(fits: Fits) -> Fits:
    """Returns a check of an object of JSON, each value of which must pass `fits`."""
    return lambda value: is_table(value) and all(map(fits, value.values()))


def fault(
    document: Any, required: Mapping[str, Fits], optional: Mapping[str, Fits] | None = None
) -> str | None:
    """Says in words what is wrong with a part of a file.

    Args:
        document: the part, as JSON gives it.
        required: the names that it must have, each with what its value must pass.
        optional: the names that it may have, likewise.

    Returns:
        The first fault; `None` where there is none.

    Example:
        >>> fault({"seed": -1}, {"seed": is_count})
        "seed can't be '-1'"
    """
    missing = [name for name in required if not is_table(document) or name not in document]
    if missing:
        return f"it lacks {', '.join(missing)}"
    for name, fits in {**required, **(optional or {})}.items():
        if name in document and not fits(document[name]):
            return f"{name} can't be {str(document[name])[:40]!r}"
    return None
