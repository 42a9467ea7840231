"""Harms everything that the library reads and writes, in seeded trials, and judges what it does then.

    python benchmarks/faults.py --trials 1000 --seed 0 --markdown docs/reliability.md
    python benchmarks/faults.py --family kill-train --seed 17 --trials 1      # that trial again

Each trial is one of: right; refused, by one clear error; traceback; wrong; lost; hang. The exit code is 1 unless all are right or
refused. 1,000 trials take some 15 minutes on two cores.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # weights are the same bit by bit on a CPU

from fault_trials import archives, damage, images, kills, models, names, races, texts
from fault_trials.ground import Ground
from fault_trials.outcome import GOOD, OUTCOMES, Outcome
from fault_trials.process import Running
from prettytable import PrettyTable, TableStyle
from tqdm import tqdm

from siamese_nn import run_report  # noqa: F401  imported once, before all forks
from siamese_nn.cli import use  # noqa: F401
from siamese_nn.training import reproduction, sweep  # noqa: F401

_TITLE = "trials of benchmarks/faults.py"
_LIMIT = 1800  # seconds of a whole trial, whose operations have limits of their own


@dataclass(frozen=True)
class Family:
    """Trials of one kind.

    Args:
        share: how many of 1,000 trials.
        needs: what they stand on, see `Ground.prepare`.
        trial: takes the ground, a random generator and an empty folder; returns an `Outcome`.
        does: what they do, for the table.
    """

    share: int
    needs: tuple[str, ...]
    trial: Callable[[Ground, random.Random, Path], Outcome]
    does: str


_RUNS = ("pairs", "people", "stages")
FAMILIES = {
    "kill-train": Family(36, ("pairs",), partial(kills.kill_train, "pairs"), "a training is killed, and called again"),
    "kill-people": Family(14, ("people",), partial(kills.kill_train, "people"), "the same, with mirror and PLDA"),
    "kill-stages": Family(20, ("stages",), partial(kills.kill_train, "stages"), "the same, in two stages"),
    "kill-organize": Family(80, ("organized",), kills.kill_organize, "`organize` is killed, and called again"),
    "kill-search": Family(14, ("search",), kills.kill_search, "a search is killed, and called again"),
    "kill-gallery": Family(60, (), kills.kill_gallery, "`Gallery.save` is killed, and called again"),
    "kill-cache": Family(30, (), kills.kill_cache, "a process that fills the image cache is killed"),
    "damage-run": Family(110, _RUNS, damage.damage_run, "bytes of a finished run are changed; it is used"),
    "damage-words": Family(110, _RUNS, damage.damage_words, "digits, words or values of its text files are changed"),
    "damage-half": Family(36, _RUNS, damage.damage_half, "a file of a run that was cut off is changed; it goes on"),
    "damage-gallery": Family(40, (), damage.damage_gallery, "bytes of a gallery are changed; it is read"),
    "not-finite": Family(40, _RUNS, damage.not_finite, "NaN or infinity in a model or a gallery"),
    "hostile-model": Family(80, _RUNS, models.hostile_model, "a `.keras` file made to harm"),
    "hostile-archive": Family(80, ("organized",), archives.hostile_archive, "an archive made to harm; `organize`"),
    "hostile-image": Family(80, (), images.hostile_image, "a photo made to harm"),
    "odd-names": Family(40, ("organized", "people"), names.odd_names, "odd names of people, photos, runs"),
    "fuzzed-text": Family(60, (), texts.fuzzed_text, "pair files, lists of names, search spaces, recipes"),
    "race-train": Family(8, ("pairs",), races.race_train, "two trainings in one run folder"),
    "race-organize": Family(24, ("organized",), races.race_organize, "two calls of `organize` on one output"),
    "race-gallery": Family(16, (), races.race_gallery, "two `Gallery.save` of one file, and a reader"),
    "race-cache": Family(10, (), races.race_cache, "two processes at one image cache, which is then harmed"),
    "cache-in-use": Family(6, (), races.cache_in_use, "the image cache is cut short while in use"),
    "race-search": Family(6, ("search",), races.race_search, "two workers of one search"),
}  # fmt: skip


def plan(trials: int, seed: int, family: str | None = None) -> list[tuple[str, int]]:
    """Returns a family and a seed for each trial; the seeds of a family count up from `seed`."""
    if family is not None:
        return [(family, seed + i) for i in range(trials)]
    total, counts = sum(family.share for family in FAMILIES.values()), Counter()
    for _ in range(trials):  # always the family that is furthest behind its share
        counts[max(FAMILIES, key=lambda name: FAMILIES[name].share / total / (counts[name] + 1))] += 1
    return [(name, seed + i) for name in FAMILIES for i in range(counts[name])]


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
                bar.update()
                bar.set_postfix(Counter(outcome.word for outcome in ended.values()), refresh=False)
            time.sleep(0.005)
    return ended


def _trial(ground: Ground, family: str, seed: int, folder: Path) -> dict[str, str]:
    place = folder / "place"
    place.mkdir(parents=True)
    return FAMILIES[family].trial(ground, random.Random(f"{family} {seed}"), place).as_dict()


def table(ended: dict[tuple[str, int], Outcome], *, markdown: bool = False) -> str:
    """Shows how many trials of each family came to what, and below that each that is neither right nor refused."""
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
    lines = [
        f"- {family}, seed {seed}: {outcome.word}. {' '.join(outcome.detail.split())[:400]}"
        for (family, seed), outcome in ended.items()
        if outcome.word not in GOOD
    ]
    return "\n".join([str(shown), *([""] if lines else []), *lines])


def write_markdown(path: Path, text: str) -> None:
    """Puts the table between its two comments in a Markdown file."""
    before, after = reproduction.markdown_around(path, _TITLE)
    path.write_text(f"{before}<!-- {_TITLE} -->\n\n{text}\n\n<!-- end of {_TITLE} -->\n{after}", encoding="utf-8")


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
        call = f"`python benchmarks/faults.py --trials {options.trials} --seed {options.seed}`"
        write_markdown(options.markdown, f"{call}:\n\n{table(ended, markdown=True)}")
    return 0 if all(outcome.word in GOOD for outcome in ended.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
