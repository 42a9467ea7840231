import contextlib
import csv
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import tensorflow as tf
from optuna.trial import TrialState

from siamese_nn import cli, datasets, training
from siamese_nn.studies import search, search_queue, search_space, search_worker
from siamese_nn.training import Recipe

BASE = Recipe(image_size=(80, 80), filters=2, units=8, batch_size=16, epochs=2)
GRID = {"units": [4, 8, 16], "learning_rate": [0.001, 0.002]}
SMALL_GRID = {"units": [4, 8], "learning_rate": [0.001, 0.002]}
RANGE = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}

# Imports once and forks a worker for each line it reads, which is what a start of TensorFlow would cost
# otherwise. A worker writes down each epoch it begins. Pictures and pages are left out.
DRIVER = """
import json, os, sys
toy, folder, log, space = sys.argv[1:]
import tensorflow as tf
from siamese_nn import datasets
from siamese_nn.training import Recipe
from siamese_nn.studies import search, search_worker
training = sys.modules["siamese_nn.training.train"]
training.draw = training.write_page = lambda *a, **k: None
class Log(tf.keras.callbacks.Callback):
    def __init__(self, run_dir):
        super().__init__()
        self.run_dir = run_dir
    def on_epoch_begin(self, epoch, logs=None):
        with open(log, "a") as file:
            file.write(f"{os.getpid()} {self.run_dir.name} {epoch}\\n")
train = search_worker.train
search_worker.train = lambda recipe, a, b, run_dir, callbacks, **k: train(
    recipe, a, b, run_dir, callbacks=[Log(run_dir), *callbacks], **k
)
base = Recipe(image_size=(80, 80), filters=2, units=8, batch_size=16, epochs=2)
pairs = datasets.read_pairs(toy + "/pairsDevTrain.txt", toy + "/lfw2")
train_pairs, val = base.split_pairs(pairs)
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            options = {"sampler": "grid", "prune": False, "heartbeat": 2}
            search.search(base, json.loads(space), train_pairs, val, folder, **options)
            code = 0
        finally:
            os._exit(code)
    print(pid, flush=True)
    if line.strip() == "wait":
        print(os.waitpid(pid, 0)[1], flush=True)
"""


def load(folder: Path) -> optuna.Study:
    """The study of a search."""
    storage = search_queue.open_storage(str(folder / "search.journal"))
    return optuna.load_study(study_name=folder.name, storage=storage)


class Workers:
    """Workers at a search of their own, as processes that can be killed."""

    def __init__(self, toy: Path, folder: Path, space: dict):
        self.folder, self.log = folder, folder.parent / "epochs.txt"
        words = [str(toy), str(folder), str(self.log), json.dumps(space)]
        pipe = subprocess.PIPE
        self.driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, *words], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        assert self.driver.stdout.readline() == "ready\n", self.driver.stderr.read()

    def start(self, word: str = "go") -> int:
        self.driver.stdin.write(word + "\n")
        self.driver.stdin.flush()
        return int(self.driver.stdout.readline())

    def wait(self) -> None:
        """Starts a worker and waits until it has ended."""
        self.start("wait")
        assert int(self.driver.stdout.readline()) == 0

    def epochs(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def study(self) -> optuna.Study:
        return load(self.folder)

    def close(self) -> None:
        self.driver.stdin.close()
        self.driver.wait()
        self.driver.stdout.close()
        self.driver.stderr.close()


@pytest.fixture
def workers(toy_dir, tmp_path, request):
    workers = Workers(toy_dir, tmp_path / "search", request.param)
    yield workers
    workers.close()


@pytest.fixture(scope="module")
def sets(toy_pairs, toy_test):
    return BASE.split_pairs(toy_pairs, exclude=toy_test)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A training that takes no time: its figure is that of a formula. Returns the recipes trained."""
    trained = []

    def train(recipe, train, val, run_dir, *, callbacks, **_):
        trained.append(recipe)
        for epoch in range(recipe.epochs):
            for callback in callbacks:
                callback.on_epoch_end(epoch, {recipe.monitor: figure(recipe, epoch)})
        return {"epochs": recipe.epochs, "best_epoch": recipe.epochs, "run_dir": run_dir}

    monkeypatch.setattr(search_worker, "train", train)
    monkeypatch.setattr(
        search_worker,
        "read_history",
        lambda _: {"val_auc": [figure(trained[-1], epoch) for epoch in range(9)]},
    )
    monkeypatch.setattr(search_worker, "_POLL", 0.01)
    monkeypatch.setattr(search_worker.tf.keras.backend, "clear_session", lambda: None)
    return trained


def figure(recipe: Recipe, epoch: int) -> float:
    return 0.9 - abs(np.log10(recipe.learning_rate) + 3) / 5 + epoch / 100


def test_decoded_photos_are_kept_for_all_trials_where_the_user_says(sets, tmp_path, monkeypatch, fake):
    seen = []
    train = search_worker.train

    def recorded(*words, cache_dir, **options):
        seen.append(cache_dir)
        return train(*words, **options)

    monkeypatch.setattr(search_worker, "train", recorded)
    search.search(BASE, {"units": [4, 8]}, *sets, tmp_path / "a", sampler="grid")
    assert seen == [str(tmp_path / "a" / "images")] * 2 and "SIAMESE_NN_IMAGE_CACHE" not in os.environ
    monkeypatch.setenv("SIAMESE_NN_IMAGE_CACHE", "elsewhere")
    search.search(BASE, {"units": [4]}, *sets, tmp_path / "b", sampler="grid")
    assert seen[2:] == ["elsewhere"]


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(tf.keras, "ops"), reason="takes a minute, and no other code than on the first stack"
)
@pytest.mark.parametrize("workers", [GRID], indirect=True)
def test_kill_9_at_five_random_moments_loses_no_finished_trial_and_repeats_at_most_the_running_one(workers):
    # Each worker is killed at a random moment once it has begun an epoch.
    draw = random.Random(0)
    finished = {}
    for _ in range(5):
        pid, before = workers.start(), len(workers.epochs())
        deadline = time.monotonic() + 300
        while len(workers.epochs()) == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 1))
        os.kill(pid, signal.SIGKILL)
        now = {trial.number: trial for trial in workers.study().trials if trial.state == TrialState.COMPLETE}
        assert all(now[number] == trial for number, trial in finished.items())
        finished = now
    workers.wait()
    study = workers.study()
    assert all(study.trials[number] == trial for number, trial in finished.items())
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert sorted(trial.user_attrs["slot"] for trial in complete) == list(range(6))
    assert len({trial.user_attrs["run"] for trial in complete}) == 6
    # The others are the killed ones, and of what they did at most the epoch that ran is done again.
    assert all(trial.state in (TrialState.COMPLETE, TrialState.FAIL) for trial in study.trials)
    assert len(study.trials) <= 6 + 5
    epochs = Counter((run, epoch) for _, run, epoch in workers.epochs())
    assert len(epochs) == 12 and sum(epochs.values()) <= 12 + 5


@pytest.mark.slow
@pytest.mark.parametrize("workers", [SMALL_GRID], indirect=True)
def test_two_workers_finish_a_grid_with_no_trial_run_twice(workers):
    workers.start()  # both make the database and the queue at the same moment
    workers.wait()
    epochs = workers.epochs()
    assert len({(run, epoch) for _, run, epoch in epochs}) == len(epochs) == 8
    assert len({pid for pid, _, _ in epochs}) == 2
    settled = search_queue.settled(workers.study())
    assert sorted(trial.user_attrs["slot"] for trial in settled) == list(range(4))
    assert {trial.state for trial in settled} == {TrialState.COMPLETE}
    points = [tuple(trial.params.values()) for trial in sorted(settled, key=lambda t: t.user_attrs["slot"])]
    assert points == [(units, rate) for units in (4, 8) for rate in (0.001, 0.002)]
    for trial in settled:
        history = training.read_history(workers.folder / "runs" / trial.user_attrs["run"])
        assert trial.value == max(history["val_auc"])


@pytest.fixture(scope="module")
def organized(toy_dir, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("organized") / "faces"
    pair_files = {f"{side}_pairs": toy_dir / f"pairsDev{side.title()}.txt" for side in ("train", "test")}
    datasets.organize_lfw_a(toy_dir / "lfw2", folder, **pair_files)
    return folder


@pytest.mark.slow
def test_from_the_command_line_with_two_processes_and_the_test_pairs_at_the_end(organized, tmp_path, capsys):
    (tmp_path / "space.toml").write_text("units = [4, 8]\nfilters = [1]\nimage_size = [[70, 70]]\n")
    folder = tmp_path / "search"
    words = ["sweep", "search", "--data", str(organized), "--recipe", "l1_sigmoid", "--epochs", "1"]
    words += ["--space", str(tmp_path / "space.toml"), "--sampler", "grid", "--folder", str(folder)]
    assert cli.main([*words, "--jobs", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("complete") == 2 and "[70, 70]" in out and "never seen" not in out
    assert not (folder / "final").exists()
    for run in (folder / "runs").iterdir():
        assert "test" not in json.loads((run / "results.json").read_text())["people"]
    assert list((folder / "images").iterdir())
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["complete"] * 2 and {row["units"] for row in rows} == {"4", "8"}
    assert float(rows[0]["val_auc"]) >= float(rows[1]["val_auc"])
    assert cli.main([*words, "--final"]) == 0
    assert "never seen" in capsys.readouterr().out
    held = json.loads((folder / "final/recipe.json").read_text())
    assert str(held["recipe"]["units"]) == rows[0]["units"] and "test" in held["data"]
    best = json.loads((folder / "runs" / rows[0]["run"] / "results.json").read_text())["figures"]["best"]
    again = json.loads((folder / "final/results.json").read_text())["figures"]["best"]
    assert again["validation"] == best["validation"]
    assert cli.main([*words, "--recipe", "no"]) == 1
    assert "`--recipe` must be one of" in capsys.readouterr().err


def test_the_test_pairs_stay_with_the_recipe_that_they_were_opened_for(
    fake, sets, toy_test, tmp_path, monkeypatch
):
    study = search.search(BASE, RANGE, *sets, tmp_path, sampler="random", trials=2)
    opened = []
    monkeypatch.setattr(
        search, "train_recipe", lambda recipe, *_, test, **__: opened.append((recipe, test)) or {}
    )
    with pytest.raises(ValueError, match="must be those of the search"):
        search.final(study, sets[1], sets[0], toy_test, tmp_path)
    search.final(study, *sets, toy_test, tmp_path)
    first = study.best_trial
    study = search.search(BASE, RANGE, *sets, tmp_path, sampler="random", trials=12)
    assert study.best_trial.value > first.value
    search.final(study, *sets, toy_test, tmp_path)
    assert opened == [(Recipe(**first.user_attrs["recipe"]), toy_test)] * 2


def test_random_draws_depend_on_the_seed_alone_and_are_not_repeated(fake, sets, tmp_path):
    options = {"sampler": "random", "prune": False}
    whole = search.search(BASE, RANGE, *sets, tmp_path / "whole", trials=6, **options)
    for trials in (2, 6):  # in two goes
        parts = search.search(BASE, RANGE, *sets, tmp_path / "parts", trials=trials, **options)
    rates = [[trial.params["learning_rate"] for trial in study.trials] for study in (whole, parts)]
    assert rates[0] == rates[1] and len(set(rates[0])) == 6
    other = search.search(BASE, RANGE, *sets, tmp_path / "other", trials=6, seed=1, **options)
    assert not set(rates[0]) & {trial.params["learning_rate"] for trial in other.trials}
    assert len(fake) == 18
    assert search.search(BASE, RANGE, *sets, tmp_path / "whole", trials=6, **options).trials == whole.trials
    assert len(fake) == 18


def test_tpe_comes_nearer_to_the_best_than_random_draws(fake, sets, tmp_path):
    best = {
        sampler: search.search(
            BASE, RANGE, *sets, tmp_path / sampler, sampler=sampler, trials=25, prune=False
        )
        for sampler in ("tpe", "random")
    }
    late = {name: np.mean([trial.value for trial in study.trials[10:]]) for name, study in best.items()}
    assert late["tpe"] > late["random"]


def test_a_trial_worse_than_the_median_is_pruned(fake, sets, tmp_path):
    space = {"learning_rate": [1e-3, 1.1e-3, 1.2e-3, 0.9e-3, 0.8e-3, 10.0]}
    study = search.search(BASE, space, *sets, tmp_path / "a", sampler="grid")
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE"] * 5 + ["PRUNED"]
    assert study.trials[5].intermediate_values == {
        0: pytest.approx(figure(replace(BASE, learning_rate=10.0), 0))
    }
    study = search.search(BASE, space, *sets, tmp_path / "b", sampler="grid", prune=False)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}


def test_what_a_recipe_refuses_is_a_failed_trial_with_its_message(fake, sets, tmp_path):
    space = {"image_size": [[80, 80], [200, 200]], "kernel_sizes": [[40, 40, 4, 4], [10, 7, 4, 4]]}
    study = search.search(BASE, space, *sets, tmp_path, sampler="grid")
    assert [trial.state.name for trial in study.trials] == ["FAIL"] + ["COMPLETE"] * 3
    assert "too small for convolutions of (40, 40, 4, 4)" in study.trials[0].user_attrs["error"]
    table = search.trials_table(study).get_string()
    assert "failed" in table and "[40, 40, 4, 4]" in table and "too small" in table


def test_a_training_that_diverges_is_a_failed_trial(sets, tmp_path):
    study = search.search(BASE, {"learning_rate": [1e30]}, *sets, tmp_path, sampler="grid")
    assert [trial.state.name for trial in study.trials] == ["FAIL"]
    assert "The training diverged" in study.trials[0].user_attrs["error"]
    with pytest.raises(ValueError, match="must have a complete trial"):
        search.final(study, *sets, sets[1], tmp_path)


def test_what_is_not_the_recipes_fault_stops_the_search_and_the_trial_runs_again(
    fake, sets, tmp_path, monkeypatch
):
    works = search_worker.train
    faults = (
        datasets.IdentityLeakError("on both sides"),
        datasets.ImageError("cut off"),
        KeyboardInterrupt(),
        OSError("disk full"),
        MemoryError(),
        ValueError("cannot reshape array of size 7"),
    )
    for fault in faults:

        def fails(*_, fault=fault, **__):
            raise fault

        monkeypatch.setattr(search_worker, "train", fails)
        with pytest.raises(type(fault)):
            search.search(BASE, GRID, *sets, tmp_path, sampler="grid")
    monkeypatch.setattr(search_worker, "train", works)
    study = search.search(BASE, GRID, *sets, tmp_path, sampler="grid")
    assert len(study.trials) == 6 + len(faults) and len(fake) == 6
    assert sorted(trial.user_attrs["slot"] for trial in search_queue.settled(study)) == list(range(6))
    assert len(search.trials_table(study).rows) == 6


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


def test_of_a_run_folder_in_use_the_result_is_waited_for(fake, sets, tmp_path, monkeypatch):
    works, count = search_worker.train, 0

    def busy(*words, **options):
        nonlocal count
        count += 1
        if count < 4:
            raise training.RunFolderInUse("another process")
        return works(*words, **options)

    monkeypatch.setattr(search_worker, "train", busy)
    study = search.search(BASE, {"units": [8]}, *sets, tmp_path, sampler="grid")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] and count == 4


@pytest.mark.slow
def test_workers_that_die_are_reported(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(search_worker, "_worker_process", os._exit)  # which a spawned process can import
    with pytest.raises(ChildProcessError, match="exit codes .*trials are left. The same call goes on"):
        search.search(BASE, GRID, *sets, tmp_path, sampler="grid", jobs=2)


# Epochs of some minutes.
STOPPED = """
import logging, os, signal, sys, threading, time
import numpy as np, optuna
from siamese_nn import datasets
from siamese_nn.training import Recipe
from siamese_nn.studies import search
if __name__ == "__main__":
    # A job in a shell's background begins without it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    toy, folder = sys.argv[1:]
    base = Recipe(filters=8, units=8, batch_size=8)
    train, val = base.split_pairs(datasets.read_pairs(toy + "/pairsDevTrain.txt", toy + "/lfw2"))
    train = train[np.tile(np.arange(len(train)), 200)]
    try:
        search.search(base, {"units": [4, 8, 16]}, train, val, folder, sampler="grid", jobs=2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(tf.keras, "ops"), reason="takes a minute, and no other code than on the first stack"
)
def test_ctrl_c_stops_all_workers_and_leaves_nothing_running(toy_dir, tmp_path):
    folder = tmp_path / "search"
    words = [sys.executable, "-c", STOPPED, str(toy_dir), str(folder)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def trials():
        return load(folder).trials if folder.exists() else []

    def runs():
        return [run for run in (folder / "runs").glob("*") if (run / "logs").exists()]  # `fit` has begun

    try:
        while len(runs()) < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        err = process.communicate(timeout=600)[1]  # a loaded machine takes its time
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130 and err.count("stopping: no other trial begins; waiting for") == 1
    assert "Traceback" not in err
    states = Counter(trial.state for trial in trials())
    assert states == {TrialState.FAIL: 2, TrialState.WAITING: 3} and len(runs()) == 2


# A worker that neither looks around nor ends: it measures, or builds a model.
BUSY = """
import multiprocessing, time
class Busy:
    def work(self, tell_progress):
        print("busy", flush=True)
        time.sleep(600)
def work():
    from siamese_nn.studies.search_worker import _worker_process
    _worker_process(Busy())
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=work)
    process.start()
    process.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_do_not_outlive_the_process_that_started_them(tmp_path, how):
    (tmp_path / "busy.py").write_text(BUSY)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "busy.py"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout.readline() == "busy\n"
        process.send_signal(how)  # to it alone
        process.communicate(timeout=60)  # returns when nobody is left who could write
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -how


def test_all_workers_are_told_to_stop_before_one_is_waited_for(sets, tmp_path, monkeypatch):
    said = []

    class Process:
        pid, sentinel, exitcode = 1, None, 0

        def __init__(self, **_):
            self.start = self.is_alive = lambda: True
            self.terminate, self.join = lambda: said.append("stop"), lambda: said.append("wait")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    context = type("Context", (), {"Process": Process})
    monkeypatch.setattr(search_worker.multiprocessing, "get_context", lambda _: context)
    monkeypatch.setattr(search_worker, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search.search(BASE, GRID, *sets, tmp_path, sampler="grid", jobs=3)
    assert said == ["stop"] * 3 + ["wait"] * 3


def test_a_worker_that_was_told_to_stop_begins_no_trial(fake, sets, tmp_path, monkeypatch):
    search_worker._told_to_stop.set()
    try:
        with pytest.raises(KeyboardInterrupt):
            search.search(BASE, GRID, *sets, tmp_path, sampler="grid")
    finally:
        search_worker._told_to_stop.clear()
    assert not fake


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


def test_a_space_may_be_corrected_as_long_as_no_trial_is_complete(fake, sets, tmp_path, monkeypatch):
    for wrong, message in (
        (
            {"learning_rate": [0.001, -1], "units": [8, 9]},
            "`learning_rate` in `space`, its value -1: .*positive",
        ),
        ({"optimizer": ["adam", "adamw"]}, "`optimizer` in `space`, its value 'adamw': .*rmsprop"),
        ({"filters": [4], "units": {"low": 4, "high": 2**33}}, "`units` in `space`, its value 8589934592"),
        ({"kernel_sizes": [[40, 40, 4, 4]]}, "`kernel_sizes` in `space`, .*too small for convolutions of"),
    ):
        with pytest.raises(ValueError, match=message):
            search.search(BASE, wrong, *sets, tmp_path / "a", sampler="grid")
    assert not (tmp_path / "a").exists()
    works = search_worker.train

    def too_large(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    monkeypatch.setattr(search_worker, "train", too_large)
    study = search.search(BASE, {"units": [2**20]}, *sets, tmp_path, sampler="grid")
    assert [trial.state.name for trial in study.trials] == ["FAIL"] and "error" in study.trials[0].user_attrs
    monkeypatch.setattr(search_worker, "train", works)
    study = search.search(BASE, SMALL_GRID, *sets, tmp_path, sampler="grid")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4 and len(fake) == 4
    assert study.user_attrs["search"]["space"] == SMALL_GRID
    with pytest.raises(ValueError, match="they differ in space"):
        search.search(BASE, GRID, *sets, tmp_path, sampler="grid")


def test_epochs_may_be_searched(fake, sets, tmp_path):
    study = search.search(BASE, {"epochs": [1, 2]}, *sets, tmp_path, sampler="grid")
    names = search.trials_table(study).field_names
    assert names[3:5] == ["epochs run", "epochs"]
    search.write_csv(study, tmp_path / "trials.csv")
    assert (tmp_path / "trials.csv").read_text().startswith(",".join(names))


def test_values_that_go_only_together_are_no_slip(fake, sets, tmp_path):
    space = {"trainable": ["none", "all"], "backbone": ["report_cnn", "ResNet50"]}
    search_space.require_sense(BASE, space)
    with pytest.raises(ValueError, match="`trainable` in `space`, its value 'none'"):
        search_space.require_sense(BASE, {"trainable": ["none", "all"]})
    with pytest.raises(ValueError, match="`learning_rate` in `space`, its value -1.0: .*positive"):
        search_space.require_sense(BASE, {**GRID, "learning_rate": {"low": -1.0, "high": 1.0}})


def test_another_search_in_the_same_study_is_refused(fake, sets, tmp_path):
    search.search(BASE, GRID, *sets, tmp_path, sampler="grid")
    for words, options, differ in (
        ((replace(BASE, units=9), GRID, *sets), {}, r"recipe \(units\)"),
        ((BASE, {"units": [4]}, *sets), {}, "space"),
        ((BASE, GRID, sets[0][:-2], sets[1]), {}, "data"),
        ((BASE, GRID, *sets), {"monitor": "val_eer", "seed": 1}, r"recipe \(monitor\), monitor, seed"),
    ):
        with pytest.raises(ValueError, match=f"another search's; they differ in {differ}"):
            search.search(*words, tmp_path, sampler="grid", **options)
    assert len(fake) == 6


def test_a_search_knows_its_photos_by_who_is_on_them(sets):
    """Before, by their base names."""
    paths = sets[0].distinct_images()[0].tolist()[:4]
    one, other = ({"Ada": paths[:2], "Bob": paths[2:]}, {"Ada": paths[2:], "Bob": paths[:2]})
    found = [search_worker.data_digests(sets, photos) for photos in (one, other, None)]
    assert found[2].keys() == {"train", "validation"}
    assert found[0]["train"] == found[1]["train"] and found[0]["photos"] != found[1]["photos"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"sampler": "x"}, "`sampler` must be one of"),
        ({"monitor": "val_loss"}, "`monitor` must be one of"),
        ({"trials": 0}, "`trials` must be a whole number of at least 1. Received: trials=0"),
        ({"jobs": 1.5}, "`jobs`"),
        ({"heartbeat": 0}, "`heartbeat`"),
        ({"seed": -1}, "`seed` must be a whole number of at least 0. Received: seed=-1"),
        ({"sampler": "grid", "trials": 3}, "`trials` must be None"),
        ({"base": replace(BASE, split="report")}, 'split="identities"'),
        ({"storage": "nonsense://x"}, "`storage` can't be opened"),
        ({"storage": "sqlite:///x.db"}, "`storage` must be the database of a server.*two workers"),
        ({"space": {}}, "at least one field"),
        ({"space": {"filter": [1]}}, "fields of `Recipe`.*Received: filter"),
        ({"space": {"split": ["report"]}}, "can't hold `split`"),
        ({"space": {"units": []}}, "`units` in `space` must be a list of choices"),
        ({"space": {"units": 8}}, "`units` in `space` must be a list of choices"),
        ({"space": {"units": [8, 8]}}, "each choice once"),
        ({"space": {"units": [{8}]}}, "plain data"),
        ({"space": {"units": {"low": 8}}}, "must have `low` and `high`"),
        ({"space": {"units": {"low": 8, "high": 9, "base": 2}}}, "must have `low` and `high`"),
        ({"space": {"units": {"low": 8, "high": 4}}}, "`units` in `space`: .*high"),
        ({"space": {"units": {"low": 8, "high": 9.5}}}, "whole numbers"),
        ({"space": {"units": {"low": True, "high": 9}}}, "whole numbers"),
        ({"space": {"margin": {"low": 0, "high": "1"}}}, "must be of numbers"),
        ({"space": {"margin": {"low": 0, "high": float("inf")}}}, "must have an end"),
        ({"space": {"margin": {"low": 0.0, "high": 1.0, "log": True}}}, "`margin` in `space`"),
        ({"space": {"margin": {"low": 0.1, "high": 1.0, "log": 1}}}, "`log` must be true or false"),
        ({"space": {"initializer": {"low": 0, "high": 1}}}, "is no number"),
        ({"space": RANGE, "sampler": "grid"}, '`learning_rate` in `space`: for sampler="grid"'),
    ],
)
def test_arguments_are_checked_before_anything_runs(option, message, sets, tmp_path):
    options = {"base": BASE, "space": GRID, **option}
    base, space = options.pop("base"), options.pop("space")
    with pytest.raises(ValueError, match=message):
        search.search(base, space, *sets, tmp_path / "search", **options)
    assert not list(tmp_path.glob("search/*"))


def test_a_password_is_not_shown(sets, tmp_path):
    with pytest.raises(ValueError, match=r"can't be opened.*nonsense://ann:\*\*\*@host/db") as caught:
        search.search(BASE, GRID, *sets, tmp_path, storage="nonsense://ann:pass:w@rd@host/db")
    assert "pass" not in str(caught.value) and "w@rd" not in str(caught.value)


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


@pytest.mark.slow
def test_a_search_without_a_completed_trial_is_an_error(organized, tmp_path, capsys):
    space, folder = tmp_path / "space.toml", tmp_path / "search"
    space.write_text("learning_rate = [1e30]\n")
    words = ["sweep", "search", "--data", str(organized), "--recipe", "l1_sigmoid", "--space", str(space)]
    words += ["--folder", str(folder), "--trials", "1", "--final"]
    assert cli.main(words) == 1
    shown = capsys.readouterr()
    assert "diverged" in shown.out and "No trial was completed" in shown.err
    assert f"The test pairs stay closed. Correct {space}" in shown.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--space", "missing.toml"], "Received: missing.toml, which is no file"),
        (["--space", "missing"], "must be a .toml or .json file. Received: missing"),
        (["--sampler", "grid", "--trials", "1"], "`--trials` can't be given with --sampler grid"),
        (["--folder", __file__], "`--folder` must be a folder. Received"),
        (
            ["--space", "epochs.toml", "--epochs", "1"],
            "`--epochs` can't be given where epochs.toml has `epochs`",
        ),
    ],
)
def test_what_the_command_refuses_before_it_begins(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text("units = [4]\n")
    (tmp_path / "epochs.toml").write_text("epochs = [1]\n")
    options = ["--data", "nowhere", "--recipe", "l1_sigmoid", "--space", "space.toml", *words]
    assert cli.main(["sweep", "search", *options]) == 1
    assert message in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"epochs.toml", "space.toml"}


def test_a_grid_has_every_point_and_a_range_its_ends():
    space = {"kernel_sizes": [(10, 7, 4, 4), (8, 6, 4, 4)], "units": {"low": 2, "high": 12, "step": 5}}
    points = search_space.grid(space)
    assert [(point["kernel_sizes"], point["units"]) for point in points] == [
        (sizes, units) for sizes in ("[10, 7, 4, 4]", "[8, 6, 4, 4]") for units in (2, 7, 12)
    ]
    recipes = [search_space.recipe_at(BASE, space, point) for point in points]
    assert recipes[4] == replace(BASE, kernel_sizes=(8, 6, 4, 4), units=7)
    fine = search_space.grid({"drop_rate": {"low": 0.1, "high": 0.4, "step": 0.1}})
    assert [point["drop_rate"] for point in fine] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert len(search_space.grid({"filters": {"low": 2, "high": 12}})) == 11
    for low, count in ((2, "14,641"), (-(10**15), "1,000,000,000,000,013")):
        with pytest.raises(
            ValueError, match=f"at most 10,000 points .* Received one with {count}: give fewer"
        ):
            search_space.grid({"kernel_sizes": {"low": low, "high": 12}})


def test_ranges_of_sizes():
    space = {"kernel_sizes": {"low": 2, "high": 3}, "image_size": {"low": 64, "high": 80, "step": 16}}
    points = search_space.grid(space)
    assert len(points) == 2**4 * 2
    recipes = [search_space.recipe_at(BASE, space, point) for point in points]
    assert {recipe.kernel_sizes for recipe in recipes} == set(itertools.product((2, 3), repeat=4))
    assert {recipe.image_size for recipe in recipes} == {(64, 64), (80, 80)}
    search_space.require_sense(BASE, space)
    with pytest.raises(ValueError, match="`kernel_sizes` in `space`, its value 0: .*four whole numbers"):
        search_space.require_sense(BASE, {"kernel_sizes": {"low": 0, "high": 3}})
    # Four of 12 leave nothing of 80 pixels, but one beside smaller ones does.
    search_space.require_sense(BASE, {"kernel_sizes": {"low": 2, "high": 12}})
    with pytest.raises(ValueError, match="`kernel_sizes` in `space`, its value 90: .*too small"):
        search_space.require_sense(BASE, {"kernel_sizes": {"low": 2, "high": 90}})


def test_a_range_of_kernel_sizes_is_searched(fake, sets, tmp_path):
    space = {"kernel_sizes": {"low": 2, "high": 12}, "crop": {"low": 90, "high": 150}}
    base = replace(BASE, image_size=(200, 200))  # has room for all
    study = search.search(base, space, *sets, tmp_path, sampler="random", trials=8)
    for trial, recipe in zip(study.trials, fake, strict=True):
        drawn = [trial.params[f"kernel_sizes_{i}"] for i in (1, 2, 3, 4)]
        assert list(recipe.kernel_sizes) == drawn and set(drawn) <= set(range(2, 13))
        assert recipe.crop == (trial.params["crop"],) * 2
    assert len({recipe.kernel_sizes for recipe in fake}) == 8
    table = search.trials_table(study)
    assert table.field_names[4:9] == [*(f"kernel_sizes_{i}" for i in (1, 2, 3, 4)), "crop"]
    assert str(study.trials[0].params["kernel_sizes_4"]) in table.get_string()


def test_spaces_are_read_from_toml_and_json(tmp_path):
    toml = tmp_path / "space.toml"
    toml.write_text("filters = [4, 8]\nlearning_rate = {low = 1e-4, high = 1e-2, log = true}\n")
    assert search.read_space(toml) == {"filters": [4, 8], **RANGE}
    (tmp_path / "space.json").write_text(json.dumps({"drop_rate": [None, 0.2]}))
    assert search.read_space(tmp_path / "space.json") == {"drop_rate": [None, 0.2]}
    for name, text, message in (
        ("a.toml", "x = ", "a.toml is no TOML"),
        ("a.json", "{", "a.json is no JSON"),
        ("b.json", "[]", "must hold a table"),
        ("a.yaml", "", "must be a .toml or .json file"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=message):
            search.read_space(tmp_path / name)


def test_without_optuna_it_says_how_to_get_it():
    script = "import sys; sys.modules['optuna'] = None; from siamese_nn.studies import search"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1 and "pip install 'siamese_nn[sweep]'" in done.stderr
