"""From the kept runs to the page: tables and figures of `docs/report_reproduction.md`, without a training.

    python benchmarks/report_page.py [--runs docs/report_runs] [--page docs/report_reproduction.md]

Of a run that a sweep has made since, `recipe.json`, `history.csv` and `results.json` are copied into the
folder of the kept runs first.
"""

import argparse
from pathlib import Path

import report_optimizers
from prettytable import TableStyle

from siamese_nn.studies import reproduction

SEEDS = range(3)


def main() -> None:
    """Writes the page's generated part and its figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=Path, default=Path("docs/report_runs"))
    arguments.add_argument("--page", type=Path, default=Path("docs/report_reproduction.md"))
    options = arguments.parse_args()
    runs = reproduction.plan(reproduction.select(variant="as-run"), options.runs, seeds=SEEDS)
    shown = reproduction.agreement_table(reproduction.collect(runs))
    shown.set_style(TableStyle.MARKDOWN)
    reproduction.write_part(f"{shown}\n\n{reproduction.noise()}\n", options.page, "lfw-a-report-agreement")
    trials = options.runs / "optimizers.csv"
    tables = report_optimizers.table(trials), report_optimizers.comparisons(trials)
    for shown in tables:
        shown.set_style(TableStyle.MARKDOWN)
    words = f"\n\n{report_optimizers.over_people(trials)}\n\n"
    reproduction.write_part(f"{words.join(map(str, tables))}\n", options.page, "lfw-a-report-optimizers")
    for path in reproduction.draw(runs, options.page.parent / "report_figures"):
        print(path)


if __name__ == "__main__":
    main()
