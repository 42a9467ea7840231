"""What a field of a dataclass may hold, written beside the field; one loop checks them all."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

import numpy as np

# Here, for the command line offers them before TensorFlow is imported.
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
SPLITS = ("identities", "report")
# Of single precision, in which is computed: other numbers would be 0 there, or infinite.
_TINIEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Constraint:
    """What a field may hold: what `allows` allows, in words that follow "must be" `rule`.

    Args:
        rule: the words.
        allows: whether a value of plain Python is right.
        choices: of a field that has few values, all of them.
        number: of a field of numbers, `int` or `float`.
        parts: how many numbers the field holds.
        or_none: whether it may hold `None`, too.
        shared: whether a recipe's pretraining takes the field over.
    """

    rule: str
    allows: Callable[[Any], bool]
    choices: tuple = ()
    number: type | None = None
    parts: int = 1
    or_none: bool = False
    shared: bool = False


def that(rule: str, allows: Callable[[Any], bool], *, default: Any, **more: Any) -> Any:
    """A field with a rule of its own; `more` are further arguments of `Constraint`."""
    return field(default=default, metadata={"constraint": Constraint(rule, allows, **more)})


def one_of(*choices: Any, default: Any, **more: Any) -> Any:
    """A field that holds one of a few values."""
    allowed = [(type(choice), choice) for choice in choices]  # True is no 1
    return that(
        f"one of {choices}",
        lambda value: (type(value), value) in allowed,
        default=default,
        choices=choices,
        **more,
    )


def at_least(least: int, *, default: int | None, below: int = 2**32, **more: Any) -> Any:
    """A field that holds a whole number."""
    rule = f"a whole number of at least {least} and below 2**{below.bit_length() - 1}"
    return that(rule, lambda value: _is_whole(value, least, below), default=default, number=int, **more)


def number(rule: str, fits: Callable[[float], bool], *, default: float | None, **more: Any) -> Any:
    """A field that holds a number that single precision can hold."""

    def allows(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (value == 0 or _TINIEST <= abs(value) <= _LARGEST) and fits(value)

    return that(f"a number of single precision, {rule}", allows, default=default, number=float, **more)


def whole_numbers(rule: str, *, default: tuple[int, ...] | None, parts: int, **more: Any) -> Any:
    """A field that holds several whole numbers, from 1 to 65,535."""

    def allows(value: Any) -> bool:
        return (
            isinstance(value, tuple)
            and len(value) == parts
            and all(_is_whole(part, 1, 2**16) for part in value)
        )

    rule = f"{rule}, each of at least 1 and below 2**16"
    return that(rule, allows, default=default, number=int, parts=parts, **more)


def constraints(kind: type) -> dict[str, Constraint]:
    """Returns the constraints of a dataclass by field."""
    return {own.name: own.metadata["constraint"] for own in fields(kind) if own.metadata}


def check_fields(record: Any) -> None:
    """Checks a new dataclass. NumPy's values become Python's, lists tuples, and paths text, for JSON.

    Raises:
        ValueError: naming the field, if one holds what its constraint does not allow.
    """
    for name, constraint in constraints(type(record)).items():
        value = _plain(getattr(record, name))
        if not (value is None and constraint.or_none) and not constraint.allows(value):
            rule = constraint.rule + ", or None" * constraint.or_none
            words = [choice for choice in constraint.choices if isinstance(choice, str)]
            nearest = get_close_matches(value, words, n=1) if isinstance(value, str) else []
            hint = f". Did you mean {nearest[0]!r}?" if nearest else ""
            raise ValueError(f"`{name}` must be {rule}. Received: {name}={value!r}{hint}")
        object.__setattr__(record, name, value)


def _is_whole(value: Any, least: int, below: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < below


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(part.tolist() if isinstance(part, np.generic) else part for part in value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value
