"""False matches and false non-matches by group of people, at one threshold for all."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from prettytable import PrettyTable

from ..datasets.splits import IdentityLeakError, spelling
from .cross_pairs import Compare, checked_people, in_words, pairs_of_photos
from .intervals import Rate, interval_of_cost, interval_of_share, jackknife_error, least_count
from .likelihood import Cost

LEAST_PEOPLE = 10  # in a group that gets rates


@dataclass(frozen=True)
class GroupRates:
    """The rates of a group, or those between two groups.

    Args:
        groups: the group's name twice, or the names of two groups.
        n_people: the number of people in the group, or in both groups.
        n_people_twice: the people of the group with two photos or more; 0 for two groups.
        n_pairs: pairs of two people, one from each group.
        fmr: the share of these pairs that match; `None` if there are too few.
        fnmr: the share of same pairs that do not match; `None` if there are too few, and for two groups.

    Example:
        >>> rates = GroupRates(("women", "men"), 40, 0, 400, fmr=Rate(0.01, (0.005, 0.02)), fnmr=None)
        >>> rates.fmr.estimate
        0.01
    """

    groups: tuple[str, str]
    n_people: int
    n_people_twice: int
    n_pairs: int
    fmr: Rate | None
    fnmr: Rate | None


@dataclass(frozen=True)
class GroupReport:
    """The rates of groups of people at one threshold.

    Args:
        threshold: the score from which a pair matches.
        everybody: the rates of all people together.
        rates: the rates of each group, and of each two groups.
        fmr_ratio: the highest FMR of a group divided by the lowest. `None` if fewer than two groups have one,
            or the lowest is 0.
        fnmr_ratio: the same for FNMR.

    Example:
        >>> people = np.repeat([f"person {i}" for i in range(40)], 2)
        >>> groups = {name: "even" if name[-1] in "02468" else "odd" for name in people}
        >>> report = rates_by_group(np.eye(40)[np.arange(80) // 2], people, groups, threshold=0.5)
        >>> print(report.table().get_string(fields=["Group", "Pairs of people", "FMR"], end=2))
        +-----------+-----------------+---------+
        | Group     | Pairs of people | FMR     |
        +-----------+-----------------+---------+
        | everybody | 780             | 0       |
        | even      | 190             | too few |
        +-----------+-----------------+---------+
    """

    threshold: float
    everybody: GroupRates
    rates: list[GroupRates]
    fmr_ratio: Cost | None
    fnmr_ratio: Cost | None

    def as_dict(self) -> dict:
        """Returns the fields as plain numbers, ready for JSON."""
        return asdict(self)

    def needed(self) -> tuple[int | None, int | None]:
        """Returns how many pairs of people FMR needs, and how many people with two photos FNMR needs.

        `None` if no number is enough, because there is no error at all.
        """
        rates = self.everybody.fmr, self.everybody.fnmr
        fmr, fnmr = (least_count(rate.estimate) if rate and rate.estimate else None for rate in rates)
        return fmr, fnmr

    def table(self) -> PrettyTable:
        """Returns a table with one row per group and per two groups; words replace missing numbers."""
        header = ["Group", "People", "Pairs of people", "FMR", "95% interval", "FNMR", "95% interval "]
        table = PrettyTable(header, align="l")
        for row in [self.everybody, *self.rates]:
            (name, other), people, fnmr = row.groups, f"{row.n_people:,}", ("", "")
            if name == other:
                people, fnmr = f"{people}, {row.n_people_twice:,} with two photos", _cells(row.fnmr)
            names = name if name == other else f"{name} / {other}"
            table.add_row([names, people, f"{row.n_pairs:,}", *_cells(row.fmr), *fnmr])
        ratios = *ratio_in_words(self.fmr_ratio), *ratio_in_words(self.fnmr_ratio)
        table.add_row(["Highest / lowest of a group", "", "", *ratios])
        return table


def rates_by_group(
    embeddings: ArrayLike,
    people: Sequence | np.ndarray,
    groups: Mapping[str, str],
    *,
    threshold: float,
    compare: Compare | None = None,
) -> GroupReport:
    """Measures all pairs of photos within each group of people and between groups, at one threshold.

    As in `all_pairs`, all people have the same weight, and so have all pairs of people. The intervals are a
    jackknife over people. A group gets a rate only if it would show 10 errors at the rate of everybody: it
    needs 10 / FMR pairs of people, or 10 / FNMR people with two photos, and 10 people in either case. The
    highest and the lowest rate are chosen by their values. So their ratio is above 1 by chance even if the
    groups are alike, and its interval does not correct for that.

    Args:
        embeddings: `(n, d)` finite numbers, the photos' vectors.
        people: the person on each photo, `n` names.
        groups: the group of each person, as `read_groups` returns it; it may contain other people, too. A
            name that is not in it is compared as in `require_unseen`.
        threshold: a pair matches from this score on. Choose it on other people; see `choose_threshold`.
            `Verifier.threshold` and `AllPairsReport.thresholds` record their people.
        compare: as in `all_pairs`; `None` uses the cosine.

    Returns:
        The report.

    Raises:
        IdentityLeakError: if `threshold` records that it was chosen on a person of `people`.
        ValueError: if the shapes do not fit, a number is not finite, fewer than two people have two photos,
            or a person has no group.

    Reference:
        ISO/IEC 19795-10:2024 (differential performance across demographic groups).
        Grother, Ngan and Hanaoka, "Face recognition vendor test part 3: demographic effects", NISTIR 8280,
        2019.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> people = np.repeat([f"person {i}" for i in range(200)], 2)
        >>> photos = np.repeat(rng.normal(size=(200, 8)), 2, axis=0) + 0.5 * rng.normal(size=(400, 8))
        >>> groups = {name: "ab"[int(name[-1]) % 2] for name in people}
        >>> report = rates_by_group(photos, people, groups, threshold=0.7)
        >>> [rates.groups for rates in report.rates]
        [('a', 'a'), ('a', 'b'), ('b', 'b')]
    """
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float, np.number)):
        raise ValueError(f"`threshold` must be a finite number. Received: threshold={threshold!r}")
    if not np.isfinite(threshold):
        raise ValueError(f"`threshold` must be a finite number. Received: threshold={threshold}")
    embeddings, names, people = checked_people(embeddings, people)
    chosen_on = {spelling(name) for name in getattr(threshold, "people", ())}
    if known := [str(name) for name in names if spelling(str(name)) in chosen_on]:
        raise IdentityLeakError(
            "`threshold` must have been chosen on other people: its rates would flatter. Received one that "
            f"knows {len(known)} of {len(names)} people, {known[0]} for one. Leave them out"
        )
    if not isinstance(groups, Mapping):
        raise ValueError(f"`groups` must be the group by person. Received: {type(groups).__name__}")
    grouped = groups_of(map(str, names), groups)
    without = [str(name) for name in names if str(name) not in grouped]
    if without:
        raise ValueError(
            f"`groups` must hold everybody. Received: none for {len(without)} of {len(names)} people, "
            f"{', '.join(without[:5])}{' among them' if len(without) > 5 else ''}"
        )
    labels, group = np.unique([grouped[str(name)] for name in names], return_inverse=True)
    photos_each = np.bincount(people)
    matches = np.zeros((len(names), len(labels)))  # of each person with each group
    missed = np.zeros(len(names))
    for left, right, scores in pairs_of_photos(embeddings, compare):
        above = scores >= threshold
        left, right = people[left], people[right]
        own = left == right
        misses, hits = left[own & ~above], above & ~own
        missed += np.bincount(misses, minlength=len(names))
        left, right = left[hits], right[hits]
        weights = 1 / (photos_each[left] * photos_each[right])
        for one, other in ((left, right), (right, left)):
            np.add.at(matches, (one, group[other]), weights)
    twice = photos_each >= 2
    missed[twice] /= photos_each[twice] * (photos_each[twice] - 1) / 2

    everyone = np.ones(len(names), bool)
    whole = _rates(("everybody", "everybody"), everyone, everyone, matches.sum(axis=1), missed, twice)
    report = GroupReport(float(threshold), whole[0], [], None, None)
    found = []
    for a, b in combinations_with_replacement(range(len(labels)), 2):
        either = np.where(group == a, matches[:, b], matches[:, a])
        pair = str(labels[a]), str(labels[b])
        found.append(
            _rates(pair, group == a, group == b, either, missed, twice, report.needed(), LEAST_PEOPLE)
        )
    own = [row for row in found if row[0].groups[0] == row[0].groups[1]]
    fmr_ratio = _ratio([(rates.fmr, error, rates.n_people) for rates, error, _ in own])
    fnmr_ratio = _ratio([(rates.fnmr, error, rates.n_people_twice) for rates, _, error in own])
    return GroupReport(float(threshold), whole[0], [rates for rates, *_ in found], fmr_ratio, fnmr_ratio)


def groups_of(people: Iterable[str], groups: Mapping[str, str]) -> dict[str, str]:
    """Finds people's groups by name, or else by `spelling`. People without a group are left out.

    Example:
        >>> groups_of(["ada_lovelace", "Bo"], {"Ada Lovelace": "before 1900"})
        {'ada_lovelace': 'before 1900'}
    """
    spelt: dict[str, set[str]] = {}
    for name, group in groups.items():
        spelt.setdefault(spelling(name), set()).add(group)
    found = {name: {groups[name]} if name in groups else spelt.get(spelling(name), set()) for name in people}
    # With two groups it is not clear which of the two names is meant.
    return {name: own.pop() for name, own in found.items() if len(own) == 1}


def read_groups(path: str | os.PathLike, *, column: str | None = None) -> dict[str, str]:
    r"""Reads each person's group from a CSV file: a header, `person,group,...`, and one line per person.

    Args:
        path: the file, UTF-8.
        column: the column of the group, if there are several; `None` uses the column after `person`, which
            must be the first.

    Returns:
        The groups by person.

    Raises:
        ValueError: if the file is not such a table. The message names line and remedy.
        OSError: if the file cannot be read.

    Example:
        >>> rows = "person,group,born\nAda Lovelace,women,1815\nAlan Turing,men,1912\n"
        >>> _ = Path("groups.csv").write_text(rows)
        >>> read_groups("groups.csv")
        {'Ada Lovelace': 'women', 'Alan Turing': 'men'}
        >>> read_groups("groups.csv", column="born")["Ada Lovelace"]
        '1815'
    """
    path = Path(path)
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} must be a CSV file in UTF-8. Received: {error}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    if len(header) < 2 or header[0] != "person" or len(set(header)) < len(header):
        raise ValueError(
            f"{path} must begin with the line `person,group`, or more columns, each of another name. "
            f"Received: {','.join(header) or 'nothing'}"
        )
    column = header[1] if column is None else column
    if column not in header[1:]:
        raise ValueError(f"{path} must have the column {column!r}. Received: {', '.join(header)}")
    groups: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        cells = [cell.strip() for cell in row]
        fault = None
        if len(cells) != len(header):
            fault = f"{len(cells)} columns"
        elif not cells[0] or not cells[header.index(column)]:
            fault = "an empty one"
        elif cells[0] in groups:
            fault = f"{cells[0]} a second time"
        if fault:
            raise ValueError(
                f"{path}, line {number}, must hold {len(header)} columns, with a person who is in no other "
                f"line and the group. Received: {fault}"
            )
        groups[cells[0]] = cells[header.index(column)]
    return groups


def _rates(
    names: tuple[str, str],
    a: np.ndarray,
    b: np.ndarray,
    matches: np.ndarray,
    missed: np.ndarray,
    twice: np.ndarray,
    needed: tuple[int | None, int | None] = (3, 2),
    least_people: int = 0,
) -> tuple[GroupRates, float, float]:
    """Returns rates with their errors, of one group (`a` and `b` are the same people) or of two.

    Args:
        names: the names of the groups.
        a: bool, the people of the first group.
        b: bool, the people of the second group.
        matches: how many people of the other group (or their own) match each person, in shares.
        missed: the share of each person's same pairs that do not match.
        twice: bool, the people with two photos or more.
        needed: the pairs of people, and the people with two photos, that the rates need.
        least_people: the people that a group needs.
    """
    one = names[0] == names[1]
    n_a, n_b = int(a.sum()), int(b.sum())
    n_pairs = n_a * (n_a - 1) // 2 if one else n_a * n_b
    n_twice = int((a & twice).sum()) if one else 0
    fmr = fnmr = None
    fmr_error = fnmr_error = 0.0
    least = min(n_a, n_b)
    if least >= least_people and needed[0] is not None and n_pairs >= max(needed[0], 3):
        total = matches[a].sum() / (2 if one else 1)
        sides = [(a, n_b - 1 if one else n_b)] if one else [(a, n_b), (b, n_a)]
        # Leaving out a person leaves out all pairs of that person.
        errors = [
            jackknife_error((total - matches[side]) / (n_pairs - n_others))
            for side, n_others in sides
            if n_pairs > n_others
        ]
        fmr_error = float(np.sqrt(np.square(errors).sum()))
        estimate = float(total / n_pairs)
        fmr = Rate(estimate, interval_of_share(estimate, fmr_error, least - 1))
    if least >= least_people and one and needed[1] is not None and n_twice >= max(needed[1], 2):
        own = missed[a & twice]
        estimate, fnmr_error = float(own.mean()), float(own.std(ddof=1) / np.sqrt(n_twice))
        fnmr = Rate(estimate, interval_of_share(estimate, fnmr_error, n_twice - 1))
    n_people = n_a if one else n_a + n_b
    return GroupRates(names, n_people, n_twice, n_pairs, fmr, fnmr), fmr_error, fnmr_error


def _ratio(rates: list[tuple[Rate | None, float, int]]) -> Cost | None:
    """Returns the highest rate divided by the lowest, given with errors and numbers of people.

    The groups contain different people, so that their errors are independent.
    """
    judged = [(rate.estimate, error, n) for rate, error, n in rates if rate is not None]
    if len(judged) < 2 or min(judged)[0] <= 0:
        return None
    (low, low_error, n_low), (high, high_error, n_high) = min(judged), max(judged)
    error = high / low * float(np.hypot(low_error / low, high_error / high))
    return Cost(high / low, interval_of_cost(high / low, error, min(n_low, n_high) - 1))


def ratio_in_words(ratio: Cost | None) -> tuple[str, str]:
    """Formats a ratio and its interval."""
    if ratio is None:
        return "not known", ""
    return f"{ratio.estimate:.2f}", "{:.2f} to {:.2f}".format(*ratio.interval) if ratio.interval else ""


def _cells(rate: Rate | None) -> tuple[str, str]:
    return ("too few", "") if rate is None else (f"{rate.estimate:.4g}", in_words(rate.interval))
