"""Harms everything that the library reads and writes, in seeded trials, and judges what it does then.

    python benchmarks/faults.py --trials 1000 --seed 0 --markdown docs/reliability.md
    python benchmarks/faults.py --family kill-train --seed 17 --trials 1      # that trial again

Each trial is one of: right; refused, by one clear error; traceback; wrong; lost; hang. The exit code is 1
unless all are right or refused. 1,000 trials take some 15 minutes on two cores.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # weights are the same bit by bit on a CPU

from fault_trials.families import FAMILIES, plan
from fault_trials.ground import Ground
from fault_trials.kills import TOO_LATE
from fault_trials.outcome import GOOD, OUTCOMES, Outcome
from fault_trials.process import Running
from prettytable import PrettyTable, TableStyle
from tqdm import tqdm

from siamese_nn.cli import use  # noqa: F401
from siamese_nn.runs import page  # noqa: F401  imported once, before all forks
from siamese_nn.studies import reproduction, search  # noqa: F401

_TITLE = "trials of benchmarks/faults.py"
_LIMIT = 1800  # seconds of a whole trial, whose operations have limits of their own


def run_trials(ground: Ground, planned: list[tuple[str, int]], jobs: int) -> dict[tuple[str, int], Outcome]:
    """Runs trials, so many at a time, each in a process and a folder of its own."""
    ended: dict[tuple[str, int], Outcome] = {}
    waiting, running = list(reversed(planned)), {}
    with tqdm(total=len(planned), desc="trials", unit="trial") as bar:
        while waiting or running:
            while waiting and len(running) < jobs:
                one = waiting.pop()
                folder = ground.folder / "trials" / f"{one[0]}-{one[1]}"
                running[one] = Running(partial(_trial, ground, *one, folder), folder / "judged", _LIMIT)
            for one in [one for one, process in running.items() if process.has_ended()]:
                ending = running.pop(one).wait()
                ended[one] = (
                    Outcome(**ending.value)
                    if ending.kind == "answer"
                    else Outcome("traceback", f"the trial itself: {ending.error} {ending.message}")
                )
                shutil.rmtree(ground.folder / "trials" / f"{one[0]}-{one[1]}", ignore_errors=True)
                if ended[one].word not in GOOD:  # now, for whoever waits
                    bar.write(_line(*one, ended[one]), file=sys.stderr)
                bar.update()
                bar.set_postfix(Counter(outcome.word for outcome in ended.values()), refresh=False)
            time.sleep(0.005)
    return ended


def _trial(ground: Ground, family: str, seed: int, folder: Path) -> dict[str, str]:
    place = folder / "place"
    place.mkdir(parents=True)
    return FAMILIES[family].trial(ground, random.Random(f"{family} {seed}"), place).as_dict()


def table(ended: dict[tuple[str, int], Outcome], *, markdown: bool = False) -> str:
    """Shows how many trials of each family came to what, then each that is neither right nor refused."""
    shown = PrettyTable(["family", "what is done", *OUTCOMES], align="r")
    shown.align["family"] = shown.align["what is done"] = "l"
    counts = Counter((family, outcome.word) for (family, _), outcome in ended.items())
    for name, family in FAMILIES.items():
        row = [counts[name, word] for word in OUTCOMES]
        if any(row):
            shown.add_row([name, family.does, *row])
    words = Counter(outcome.word for outcome in ended.values())
    shown.add_row([f"all {len(ended):,}", "", *(words[word] for word in OUTCOMES)])
    if markdown:
        shown.set_style(TableStyle.MARKDOWN)
    late = sum(TOO_LATE in outcome.detail for outcome in ended.values())
    killed = sum(family.startswith("kill-") for family, _ in ended)
    lines = (
        [f"In {late} of {killed} trials that kill, the operation had ended before the kill."]
        if killed
        else []
    )
    lines += [_line(*one, outcome) for one, outcome in ended.items() if outcome.word not in GOOD]
    return "\n".join([str(shown), *([""] if lines else []), *lines])


def _line(family: str, seed: int, outcome: Outcome) -> str:
    return f"- {family}, seed {seed}: {outcome.word}. {' '.join(outcome.detail.split())[:400]}"


def write_markdown(path: Path, text: str) -> None:
    """Puts the table between its two comments in a Markdown file."""
    before, after = reproduction.markdown_around(path, _TITLE)
    path.write_text(
        f"{before}<!-- {_TITLE} -->\n\n{text}\n\n<!-- end of {_TITLE} -->\n{after}", encoding="utf-8"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first trial of each family")
    parser.add_argument("--family", choices=sorted(FAMILIES), help="these trials alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trials at a time")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table into FILE, too")
    options = parser.parse_args()
    planned = plan(options.trials, options.seed, options.family)
    if options.markdown:
        reproduction.markdown_around(options.markdown, _TITLE)  # refused now, not at the end
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        ground = Ground(Path(folder).resolve())
        ground.prepare({need for name, _ in planned for need in FAMILIES[name].needs})
        ended = run_trials(ground, planned, options.jobs)
    ended = {one: ended[one] for one in planned}
    print(table(ended))
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")
    if options.markdown:
        only = f" --family {options.family}" if options.family else ""
        call = f"`python benchmarks/faults.py --trials {options.trials} --seed {options.seed}{only}`"
        write_markdown(options.markdown, f"{call}:\n\n{table(ended, markdown=True)}")
    return 0 if all(outcome.word in GOOD for outcome in ended.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
