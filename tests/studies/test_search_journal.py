"""Many processes at one journal, some of them killed. They train nothing, and import no TensorFlow."""

import subprocess
import sys
from collections import Counter

import optuna
import pytest

from siamese_nn.studies import search_queue

pytestmark = pytest.mark.once

SLOTS = 30

# Five workers begin at the same moment. One after the other is killed, wherever it is, and another comes in
# its place.
SCRIPT = """
import os, random, signal, sys, time
import optuna
from siamese_nn.studies import search_queue
folder, seed, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(seed)
def work():
    storage = search_queue.open_storage(folder + "/search.journal")
    study = optuna.create_study(study_name="many", storage=storage, load_if_exists=True)
    search_queue.fill(study, [{"x": slot} for slot in range(slots)])
    silences = search_queue.Silences(study)
    while True:
        trial = search_queue.take(study, silences, 5)
        if trial is not None:
            with search_queue.beating(trial, 1):
                x = trial.suggest_int("x", 0, slots)
                time.sleep(0.02)
                with open(folder + "/log", "a") as file:
                    file.write(f"{trial.number}\\n")
            study.tell(trial, x, skip_if_finished=True)
        elif not search_queue.is_idle(study):
            time.sleep(0.02)
        elif not search_queue.put_back_lost(study):
            return
def start():
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with search_queue.quiet():
                work()
            code = 0
        finally:
            os._exit(code)
    return pid
workers = [start() for _ in range(5)]
for _ in range(10):
    time.sleep(draw.uniform(0, 0.15))
    killed = workers.pop(0)
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    workers.append(start())
sys.exit(any(os.waitpid(pid, 0)[1] for pid in workers))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("seed", [0, 1])
def test_each_slot_is_settled_once_and_no_trial_is_taken_twice(tmp_path, seed):
    words = [sys.executable, "-c", SCRIPT, str(tmp_path), str(seed), str(SLOTS)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    storage = search_queue.open_storage(str(tmp_path / "search.journal"))
    study = optuna.load_study(study_name="many", storage=storage)
    settled = search_queue.settled(study)
    assert sorted(trial.user_attrs["slot"] for trial in settled) == list(range(SLOTS))
    assert all(trial.params["x"] == trial.value == trial.user_attrs["slot"] for trial in settled)
    assert search_queue.is_idle(study) and search_queue.count_slots(study) == SLOTS
    ran = Counter((tmp_path / "log").read_text().split())
    assert set(ran.values()) == {1} and len(ran) <= SLOTS + 10  # a kill costs at most the trial that ran
