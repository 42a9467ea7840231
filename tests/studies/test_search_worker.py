import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from searches import BASE, GRID, SMALL_GRID, load, wait_until
from siamese_nn import training
from siamese_nn.studies import search, search_queue, search_worker

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


class Workers:
    """Workers at a search of their own, as processes that can be killed."""

    def __init__(self, toy: Path, folder: Path, space: dict):
        self.folder, self.log = folder, folder.parent / "epochs.txt"
        words = [str(toy), str(folder), str(self.log), json.dumps(space)]
        pipe = subprocess.PIPE
        self.driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, *words], stdin=pipe, stdout=pipe, text=True
        )
        assert self.driver.stdout.readline() == "ready\n"

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


@pytest.fixture
def workers(toy_dir, tmp_path, request):
    workers = Workers(toy_dir, tmp_path / "search", request.param)
    yield workers
    workers.close()


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
@pytest.mark.once
@pytest.mark.parametrize("workers", [SMALL_GRID], indirect=True)
def test_kill_9_at_five_random_moments_loses_no_finished_trial_and_repeats_at_most_the_running_one(workers):
    # Each worker is killed at a random moment once it has begun an epoch.
    draw = random.Random(0)
    finished = {}
    for _ in range(5):
        pid, before = workers.start(), len(workers.epochs())
        wait_until(lambda before=before: len(workers.epochs()) > before)
        time.sleep(draw.uniform(0, 1))
        os.kill(pid, signal.SIGKILL)
        now = {trial.number: trial for trial in workers.study().trials if trial.state == TrialState.COMPLETE}
        assert all(now[number] == trial for number, trial in finished.items())
        finished = now
    workers.wait()
    study = workers.study()
    assert all(study.trials[number] == trial for number, trial in finished.items())
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert sorted(trial.user_attrs["slot"] for trial in complete) == list(range(4))
    assert len({trial.user_attrs["run"] for trial in complete}) == 4
    # The others are the killed ones, and of what they did at most the epoch that ran is done again.
    assert all(trial.state in (TrialState.COMPLETE, TrialState.FAIL) for trial in study.trials)
    assert len(study.trials) <= 4 + 5
    epochs = Counter((run, epoch) for _, run, epoch in workers.epochs())
    assert len(epochs) == 8 and sum(epochs.values()) <= 8 + 5


@pytest.mark.slow
@pytest.mark.once
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
@pytest.mark.once
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
@pytest.mark.once
def test_ctrl_c_stops_all_workers_and_leaves_nothing_running(toy_dir, tmp_path):
    folder = tmp_path / "search"
    words = [sys.executable, "-c", STOPPED, str(toy_dir), str(folder)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def trials():
        return load(folder).trials if folder.exists() else []

    def runs():
        return [run for run in (folder / "runs").glob("*") if (run / "logs").exists()]  # `fit` has begun

    try:
        wait_until(lambda: len(runs()) == 2 or process.poll() is not None)
        assert process.poll() is None, process.stderr.read()
        os.killpg(process.pid, signal.SIGINT)
        err = process.communicate(timeout=900)[1]
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
@pytest.mark.once
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_do_not_outlive_the_process_that_started_them(tmp_path, how):
    (tmp_path / "busy.py").write_text(BUSY)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "busy.py"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout.readline() == "busy\n"
        process.send_signal(how)  # to it alone
        process.communicate(timeout=900)  # returns when nobody is left who could write
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


@pytest.mark.parametrize("told", [True, False])
def test_what_tensorflow_makes_of_an_interruption_is_taken_for_one(told, monkeypatch):
    # It catches it in its C code now and then, and goes on without the value that it asked for.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(search_worker, "Thread", lambda **_: type("Thread", (), {"start": lambda _: None})())
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true")

    class Struck:
        def work(self, tell_progress):
            with contextlib.suppress(KeyboardInterrupt):
                if told:
                    search_worker._stop()
            raise SystemError("bad argument to internal function")

    try:
        with contextlib.nullcontext() if told else pytest.raises(SystemError):
            search_worker._worker_process(Struck())
    finally:
        search_worker._told_to_stop.clear()


def test_a_worker_that_was_told_to_stop_begins_no_trial(fake, sets, tmp_path, monkeypatch):
    search_worker._told_to_stop.set()
    try:
        with pytest.raises(KeyboardInterrupt):
            search.search(BASE, GRID, *sets, tmp_path, sampler="grid")
    finally:
        search_worker._told_to_stop.clear()
    assert not fake


def test_a_search_knows_its_photos_by_who_is_on_them(sets):
    """Before, by their base names."""
    paths = sets[0].distinct_images()[0].tolist()[:4]
    one, other = ({"Ada": paths[:2], "Bob": paths[2:]}, {"Ada": paths[2:], "Bob": paths[:2]})
    found = [search_worker.data_digests(sets, photos) for photos in (one, other, None)]
    assert found[2].keys() == {"train", "validation"}
    assert found[0]["train"] == found[1]["train"] and found[0]["photos"] != found[1]["photos"]
