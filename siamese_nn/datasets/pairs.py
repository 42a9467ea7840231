"""Pairs of face photos, with the people on them and whether these are the same person."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from prettytable import PrettyTable


@dataclass(frozen=True, eq=False)
class Pairs:
    """An immutable list of photo pairs. A slice or a selection of it is a `Pairs`, too.

    Args:
        left: paths of the left photos, `(n,)` strings.
        right: paths of the right photos, `(n,)` strings.
        same: 1 if both photos show the same person, else 0, `(n,)` int64.
        left_identities: the people on the left photos, `(n,)` strings.
        right_identities: the people on the right photos, `(n,)` strings.

    Raises:
        ValueError: if the five columns differ in length, or a label is not 0 or 1, or contradicts the names.

    Example:
        >>> pairs = Pairs(["a_1.jpg", "a_1.jpg"], ["a_2.jpg", "b_1.jpg"], [1, 0], ["a", "a"], ["a", "b"])
        >>> len(pairs), pairs[0], sorted(pairs.identities())
        (2, ('a_1.jpg', 'a_2.jpg', 1), ['a', 'b'])
        >>> len(pairs[pairs.same == 0])
        1
    """

    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    left_identities: np.ndarray
    right_identities: np.ndarray

    if TYPE_CHECKING:  # a column may be given as any sequence, and becomes an array

        def __init__(
            self,
            left: Sequence[Any] | np.ndarray,
            right: Sequence[Any] | np.ndarray,
            same: Sequence[Any] | np.ndarray,
            left_identities: Sequence[Any] | np.ndarray,
            right_identities: Sequence[Any] | np.ndarray,
        ) -> None: ...

    def __post_init__(self) -> None:
        for name in ("left", "right", "left_identities", "right_identities"):
            column = getattr(self, name)
            # Strings of NumPy's own, one for each element, would take three times the memory of Python's.
            column = column.tolist() if isinstance(column, np.ndarray) else column
            values = [os.fspath(value) for value in column]
            object.__setattr__(self, name, np.array(values, dtype=np.str_).reshape(len(values)))
        same = np.asarray(self.same)
        if same.ndim != 1:
            raise ValueError(f"`same` must have the shape (n,). Received: shape {same.shape}")
        if not np.isin(same, (0, 1)).all():
            raise ValueError(f"`same` must hold only 0 and 1. Received: {np.unique(same)[:5]}")
        object.__setattr__(self, "same", same.astype(np.int64))
        lengths = {name: len(column) for name, column in vars(self).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"The columns of `Pairs` must have one length. Received: {lengths}")
        for column in vars(self).values():
            column.flags.writeable = False
        wrong = (self.left_identities == self.right_identities) != (self.same == 1)
        if wrong.any():
            raise ValueError(
                "`same` must be 1 where both names are equal and 0 elsewhere. "
                f"Received another label for {int(wrong.sum())} pairs, the first "
                f"of them {self[int(wrong.argmax())]}"
            )

    def __len__(self) -> int:
        return len(self.same)

    @overload
    def __getitem__(self, index: int) -> tuple[str, str, int]: ...

    @overload
    def __getitem__(self, index: slice | list | np.ndarray) -> "Pairs": ...

    def __getitem__(self, index: int | slice | list | np.ndarray) -> "tuple[str, str, int] | Pairs":
        if isinstance(index, (int, np.integer)):
            return str(self.left[index]), str(self.right[index]), int(self.same[index])
        return Pairs(*(column[index] for column in vars(self).values()))

    def __add__(self, other: "Pairs") -> "Pairs":
        columns = zip(vars(self).values(), vars(other).values(), strict=True)
        return Pairs(*(np.concatenate(both) for both in columns))

    def __repr__(self) -> str:
        same = int(self.same.sum())
        return f"Pairs({same} same, {len(self) - same} different, {len(self.identities())} people)"

    def identities(self) -> set[str]:
        """Returns the names of all people on any photo."""
        return set(self.left_identities.tolist()) | set(self.right_identities.tolist())

    def keys(self) -> list[tuple[str, str]]:
        """Returns a key for each pair that depends neither on the set's folder nor on which photo is left.

        Returns:
            For each pair the paths of its photos below the common folder of all, in alphabetical order.

        Example:
            >>> pairs = Pairs(["people/Ada/2.jpg"], ["people/Bob/1.jpg"], [0], ["Ada"], ["Bob"])
            >>> pairs.keys()
            [('Ada/2.jpg', 'Bob/1.jpg')]
        """
        paths, where = self.distinct_images()
        keys = photo_keys(paths.tolist())
        return [pair_key(keys[left], keys[right]) for left, right in where.tolist()]

    def distinct_images(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the distinct paths, sorted, `(m,)`, and each pair's indices in them, `(n, 2)` int64."""
        paths, where = np.unique(np.concatenate([self.left, self.right]), return_inverse=True)
        return paths, where.reshape(2, len(self)).T.astype(np.int64)


def require_pairs(**given: Any) -> None:
    """Raises a `TypeError` for the first of the named arguments that is not a `Pairs`."""
    for name, value in given.items():
        if not isinstance(value, Pairs):
            raise TypeError(
                f"`{name}` must be a `datasets.Pairs`, as `datasets.read_pairs` "
                f"returns. Received: {type(value).__name__}"
            )


def pair_key(left: str, right: str) -> tuple[str, str]:
    """Returns two photos in alphabetical order."""
    return (left, right) if left <= right else (right, left)


def photo_keys(paths: Sequence[str]) -> list[str]:
    """Returns each photo's path below their common folder. Two photos never have the same one.

    Args:
        paths: the `n` photos, relative to the working folder or absolute.

    Returns:
        The `n` relative paths, with `/` between folders.

    Example:
        >>> photo_keys(["data/cfp/001/frontal/01.jpg", "data/cfp/001/profile/01.jpg"])
        ['frontal/01.jpg', 'profile/01.jpg']
    """
    whole = [os.path.abspath(path) for path in paths]
    if not whole:
        return []
    prefix = os.path.join(os.path.commonpath(map(os.path.dirname, whole)), "")
    return [path[len(prefix) :].replace(os.sep, "/") for path in whole]


def letter_counts(pairs: Pairs) -> dict[str, dict[str, int]]:
    """Counts the pairs by the first letter of the left name, as the report's Table 1 does.

    Args:
        pairs: the pairs.

    Returns:
        `{"same": {"A": 101, ...}, "different": {"A": 144, ...}}`, with all of A to Z, then any other first
        letter that occurs.

    Example:
        >>> pairs = Pairs(["Ada_1", "Ada_1"], ["Ada_2", "Bob_1"], [1, 0], ["Ada", "Ada"], ["Ada", "Bob"])
        >>> letter_counts(pairs)["same"]["A"], letter_counts(pairs)["different"]["B"]
        (1, 0)
    """
    counts = {
        kind: Counter(name[:1].upper() for name in pairs.left_identities[pairs.same == label].tolist())
        for kind, label in (("same", 1), ("different", 0))
    }
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    others = sorted((set(counts["same"]) | set(counts["different"])) - set(alphabet))
    return {
        kind: {letter: count[letter] for letter in [*alphabet, *others]} for kind, count in counts.items()
    }


def letter_table(pairs: Pairs) -> PrettyTable:
    """Returns `letter_counts` as a table: one row per letter, and the totals.

    Args:
        pairs: the pairs.

    Example:
        >>> pairs = Pairs(["Ada_1", "Ada_1"], ["Ada_2", "Bob_1"], [1, 0], ["Ada", "Ada"], ["Ada", "Bob"])
        >>> print(letter_table(pairs)[0])
        +--------+------+-----------+
        | Letter | Same | Different |
        +--------+------+-----------+
        |      A |    1 |         1 |
        +--------+------+-----------+
    """
    counts = letter_counts(pairs)
    table = PrettyTable(["Letter", "Same", "Different"], align="r")
    for letter in counts["same"]:
        table.add_row([letter, counts["same"][letter], counts["different"][letter]])
    table.add_divider()
    table.add_row(["Total", *(sum(count.values()) for count in counts.values())])
    return table


def class_table(sets: Mapping[str, Pairs]) -> PrettyTable:
    """Returns a table of the pairs of the same and of different people in each named set.

    Args:
        sets: the sets by name, for instance `{"train": train, "validation": val, "test": test}`.

    Returns:
        The table, with one row per set.

    Example:
        >>> pairs = Pairs(["Ada_1", "Ada_1"], ["Ada_2", "Bob_1"], [1, 0], ["Ada", "Ada"], ["Ada", "Bob"])
        >>> print(class_table({"train": pairs}))
        +-------+------+-----------+-------+--------+--------+
        | Set   | Same | Different | Pairs | People | Photos |
        +-------+------+-----------+-------+--------+--------+
        | train |    1 |         1 |     2 |      2 |      3 |
        +-------+------+-----------+-------+--------+--------+
    """
    table = PrettyTable(["Set", "Same", "Different", "Pairs", "People", "Photos"], align="r")
    table.align["Set"] = "l"
    for name, pairs in sets.items():
        same = int(pairs.same.sum())
        photos = len(pairs.distinct_images()[0])
        table.add_row([name, same, len(pairs) - same, len(pairs), len(pairs.identities()), photos])
    return table
