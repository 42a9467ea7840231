"""A page with the rates of groups of people, at one threshold."""

import os
from pathlib import Path

from ..evaluation import GroupReport, Rate
from ..evaluation.groups import LEAST_PEOPLE, GroupRates, ratio_in_words
from . import html_page


def write_groups_page(report: GroupReport, output: str | os.PathLike, *, title: str = "Groups") -> Path:
    """Writes a page with the rates by group, and those of each two groups with each other.

    Args:
        report: what `evaluation.rates_by_group` returns.
        output: the file to write.
        title: of the page.

    Returns:
        The path of the page.
    """
    own = [rates for rates in report.rates if rates.groups[0] == rates.groups[1]]
    names = [rates.groups[0] for rates in own]
    found = {frozenset(rates.groups): rates for rates in report.rates}
    return html_page.write_page(
        output,
        "groups.html",
        title=title,
        report=report,
        least_people=LEAST_PEOPLE,
        needed=report.needed(),
        rows=[_row(rates) for rates in [report.everybody, *own]],
        names=names,
        crossed=[[name, *(_cell(found[frozenset((name, other))].fmr) for other in names)] for name in names],
        too_few={
            words: [rates.groups[0] for rates in own if getattr(rates, words.lower()) is None]
            for words in ("FMR", "FNMR")
        },
        ratios=[
            ["FMR", ratio_in_words(report.fmr_ratio)],
            ["FNMR", ratio_in_words(report.fnmr_ratio)],
        ],
    )


def _row(rates: GroupRates) -> list:
    counts = rates.n_people, rates.n_people_twice, rates.n_pairs
    return [rates.groups[0], *counts, _cell(rates.fmr), _cell(rates.fnmr)]


def _cell(rate: Rate | None) -> tuple[str, str]:
    if rate is None:
        return "-", "too few"
    ends = "" if rate.interval is None else "{:.3%} to {:.3%}".format(*rate.interval)
    return f"{rate.estimate:.3%}", ends
