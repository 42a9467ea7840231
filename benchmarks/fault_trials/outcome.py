"""What a trial came to, in one word, and how that word is found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

OUTCOMES = ("right", "refused", "traceback", "wrong", "lost", "hang")
GOOD = ("right", "refused")
_MOST_LETTERS = 2000  # of a message; a list of missing photos may be long
_DUMPS = ("Traceback (most recent", "NodeDef", "Arguments received by", "Call arguments", 'File "')
_TOLERANCE = 1e-6  # of a score: one photo alone is computed in another order than a batch


@dataclass(frozen=True)
class Ending:
    """How an operation ended, in a process of its own.

    Args:
        kind: `"answer"`, `"error"` (it raised), `"died"` (a signal or an exit of
            the process) or `"hang"` (past its limit).
        value: the answer, as JSON gives it back.
        error: the name of the error's class.
        message: the error's message, or how the process died.
        expected: whether the class is one of those that the library promises: `ValueError`, `OSError`.
        ours: whether a line of siamese_nn raised it, and not of a library below.
    """

    kind: str
    value: Any = None
    error: str = ""
    message: str = ""
    expected: bool = False
    ours: bool = False


@dataclass(frozen=True)
class Outcome:
    """A word of `OUTCOMES`, and what happened."""

    word: str
    detail: str = ""

    def __post_init__(self):
        if self.word not in OUTCOMES:
            raise ValueError(f"`word` must be one of {OUTCOMES}. Received: word={self.word!r}")

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def fault_of_message(ending: Ending, names: Sequence[str]) -> str | None:
    """Says why an error is not a clear one; `None` where it is.

    Args:
        ending: of kind `"error"`.
        names: what the message may name: the harmed file, its folder, or the argument.
    """
    if not ending.expected:
        return "a class that the library does not promise"
    if not ending.ours:
        return "raised by a library below"
    if "[Errno" in ending.message[:40]:
        return "the system's words, without a remedy"
    if not any(name in ending.message for name in names):
        return f"names none of {', '.join(names)}"
    if len(ending.message) > _MOST_LETTERS or any(dump in ending.message for dump in _DUMPS):
        return "a dump instead of a message"
    return None


def judge(ending: Ending, expected: Any, names: Sequence[str]) -> Outcome:
    """Returns "right" only for the very answer that was expected, "refused" only for a clear error.

    Args:
        ending: the operation's.
        expected: the answer of the unharmed; a function of the answer, which says what is wrong with it or
            `None`, where several answers are right.
        names: see `fault_of_message`.
    """
    if ending.kind == "hang":
        return Outcome("hang", ending.message)
    if ending.kind == "died":
        return Outcome("traceback", ending.message)
    if ending.kind == "error":
        fault = fault_of_message(ending, names)
        said = f"{ending.error}: {ending.message}"
        return Outcome("refused", said) if fault is None else Outcome("traceback", f"{fault}: {said}")
    wrong = expected(ending.value) if callable(expected) else difference(ending.value, expected)
    return Outcome("right") if wrong is None else Outcome("wrong", wrong)


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """Returns the worst of several; none at all is an error, and not "right"."""
    if not outcomes:
        raise ValueError("A trial must judge at least one answer. Received none")
    return max(outcomes, key=lambda outcome: OUTCOMES.index(outcome.word))


def difference(ours: Any, expected: Any, where: str = "the answer") -> str | None:
    """Returns where two answers, of what JSON knows, differ first; `None` where they don't.

    Floats may differ by a rounding error. A NaN is never right.
    """
    if isinstance(expected, Mapping) and isinstance(ours, Mapping):
        if ours.keys() != expected.keys():
            lacking, more = sorted(expected.keys() - ours.keys()), sorted(ours.keys() - expected.keys())
            return f"{where}: lacks {lacking}, has more {more}"
        pairs = ((f"{where}, {name}", ours[name], expected[name]) for name in expected)
    elif isinstance(expected, list) and isinstance(ours, list):
        if len(ours) != len(expected):
            return f"{where}: {len(ours)} parts instead of {len(expected)}"
        pairs = ((f"{where}, {i}", ours[i], expected[i]) for i in range(len(expected)))
    elif type(expected) is float and type(ours) is float:
        same = bool(np.isclose(ours, expected, rtol=0, atol=_TOLERANCE))
        return None if same else f"{where}: {ours} instead of {expected}"
    else:
        same = type(ours) is type(expected) and ours == expected
        return None if same else f"{where}: {str(ours)[:80]} instead of {str(expected)[:80]}"
    return next((found for found in (difference(a, b, place) for place, a, b in pairs) if found), None)
