import itertools
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from searches import BASE, GRID, SMALL_GRID, load
from siamese_nn.studies import search, search_queue, search_space, search_worker

pytestmark = pytest.mark.once


def test_a_queue_filled_and_put_back_twice_is_run_once(fake, sets, tmp_path, monkeypatch):
    enqueue, count = optuna.Study.enqueue_trial, 0

    def killed(*words, **options):
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        enqueue(*words, **options)

    monkeypatch.setattr(optuna.Study, "enqueue_trial", killed)
    with pytest.raises(KeyboardInterrupt):
        search.search(BASE, GRID, *sets, tmp_path, sampler="grid")
    study = load(tmp_path)
    assert len(study.trials) == 3
    # As two would who fill it at the same moment; and two trials that died between their end and their copy.
    for slot in (1, 2, 3, 3):
        enqueue(study, search_space.grid(GRID)[slot], user_attrs={"slot": slot})
    for _ in range(2):
        study.tell(study.ask(), state=TrialState.FAIL)
    study = search.search(BASE, GRID, *sets, tmp_path, sampler="grid")
    assert len(fake) == len(set(fake)) == 6
    assert sorted(trial.user_attrs["slot"] for trial in search_queue.settled(study)) == list(range(6))


def test_a_worker_that_was_thought_dead_leaves_its_trial_to_others(fake, sets, tmp_path, monkeypatch):
    works = search_worker.train

    def slept(recipe, *words, **options):
        monkeypatch.setattr(search_worker, "train", works)
        study = load(tmp_path)
        study.tell(study.trials[0].number, state=TrialState.FAIL)
        search_queue.put_back_lost(study)
        return works(recipe, *words, **options)

    monkeypatch.setattr(search_worker, "train", slept)
    study = search.search(BASE, GRID, *sets, tmp_path, sampler="grid")
    assert [trial.state.name for trial in study.trials] == ["FAIL"] + ["COMPLETE"] * 6
    assert study.trials[6].params == study.trials[0].params


def leave_running(folder: Path, worker: list) -> None:
    """A trial of another worker, which runs; the others are not begun."""
    with search_queue.quiet():
        study = load(folder)
        trial = search_queue.take(study, search_queue.Silences(study), 30)
    trial.set_user_attr("worker", worker)


def stopped_before_the_first(*_):
    raise KeyboardInterrupt


def test_the_trial_of_a_process_of_this_machine_that_is_no_more_is_taken_over_at_once(
    fake, sets, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(search_queue, "take", stopped_before_the_first)
        search.search(BASE, SMALL_GRID, *sets, tmp_path, sampler="grid")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    leave_running(tmp_path, [socket.gethostname(), gone.pid])
    study = search.search(BASE, SMALL_GRID, *sets, tmp_path, sampler="grid")  # else it would wait for 120 s
    assert [trial.state.name for trial in study.trials] == ["FAIL"] + ["COMPLETE"] * 4
    assert study.trials[4].user_attrs["worker"] == [socket.gethostname(), os.getpid()]


def test_who_is_waited_for_is_said_once(fake, sets, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(search_queue, "take", stopped_before_the_first)
        search.search(BASE, SMALL_GRID, *sets, tmp_path, sampler="grid")
    leave_running(tmp_path, ["elsewhere", 1])

    times = itertools.accumulate(itertools.chain([0, 0, 61, 1, 40, 30], itertools.repeat(0)))
    now = next(times)

    def sleep(_):
        nonlocal now
        now = next(times)

    monkeypatch.setattr(search_queue, "time", SimpleNamespace(monotonic=lambda: now, time=time.time))
    monkeypatch.setattr(search_worker.time, "sleep", sleep)
    study = search.search(BASE, SMALL_GRID, *sets, tmp_path, sampler="grid")
    assert [trial.state.name for trial in study.trials] == ["FAIL"] + ["COMPLETE"] * 4
    (said,) = caplog.messages
    assert re.fullmatch(r"waiting for a worker that gave no sign of life for 6\d s; after 120 .*", said)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"garbage" * 1000,
        lambda _: bytes(1000),
        lambda content: content[: len(content) // 2] + b"\n" + content[len(content) // 2 :],
        lambda content: content.replace(b"op_code", b"opcode"),
        lambda content: content.replace(b'"op_code":4', b'"op_code":99'),
    ],
)
def test_a_damaged_journal_is_named_with_a_remedy(fake, sets, tmp_path, damage):
    search.search(BASE, SMALL_GRID, *sets, tmp_path, sampler="grid")
    journal = tmp_path / "search.journal"
    journal.write_bytes(damage(journal.read_bytes()))
    with pytest.raises(
        ValueError, match="search.journal can't be opened: .* If the file is damaged, remove it"
    ):
        search.search(BASE, GRID, *sets, tmp_path)


def test_half_a_line_is_cut_off_and_its_trial_runs_again(fake, sets, tmp_path, caplog):
    """A full disk or a kill leaves it."""
    study = search.search(BASE, GRID, *sets, tmp_path, sampler="grid")
    journal, points = tmp_path / "search.journal", [trial.params for trial in study.trials]
    lines = journal.read_bytes().splitlines(keepends=True)
    for half in (b"".join(lines[:-4]) + lines[-4][:20], b"".join(lines) + b'{"op', lines[0][:7]):
        journal.write_bytes(half)
        caplog.clear()
        study = search.search(BASE, GRID, *sets, tmp_path, sampler="grid")
        assert [trial.params for trial in search_queue.settled(study)] == points
        assert "search.journal ended in half a line" in caplog.messages[0]


def test_the_queue_is_the_same_in_a_database(fake, sets, tmp_path, monkeypatch):
    # SQLite stands for a server's: of one worker it is as good.
    monkeypatch.setattr(search_queue, "open_storage", search_queue._open_database)
    options = {"sampler": "grid", "storage": f"sqlite:///{tmp_path}/studies.db", "study_name": "shared"}
    works = search_worker.train
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(search_worker, "train", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
        search.search(BASE, GRID, *sets, tmp_path, **options)
    study = search.search(BASE, GRID, *sets, tmp_path, **options)
    assert [trial.state.name for trial in study.trials] == ["FAIL"] + ["COMPLETE"] * 6
    assert search_worker.train is works and len(fake) == 6
    assert not (tmp_path / "search.journal").exists()
