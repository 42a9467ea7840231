import math
import os
import signal
import time

import pytest
from fault_trials.outcome import GOOD, OUTCOMES, Ending, Outcome, difference, fault_of_message, judge, worst
from fault_trials.process import Blow, Refused, run, steps_so_far

from siamese_nn.verification.gallery import Gallery

pytestmark = pytest.mark.once

ANSWER = {"same": True, "score": 0.25, "names": ["Ann", "Bo"], "threshold": None}
CLEAR = Ending("error", error="ValueError", message="/a/model.keras is damaged", expected=True, ours=True)


@pytest.mark.parametrize(
    "harmed",
    [
        None,
        {},
        {**ANSWER, "same": False},
        {**ANSWER, "same": 1},
        {**ANSWER, "score": 0.2501},
        {**ANSWER, "score": math.nan},
        {**ANSWER, "score": 0},
        {**ANSWER, "names": ["Ann"]},
        {**ANSWER, "names": ["Bo", "Ann"]},
        {**ANSWER, "more": 1},
        {name: ANSWER[name] for name in ("same", "score", "names")},
        [ANSWER],
    ],
)
def test_no_other_answer_is_right(harmed):
    assert judge(Ending("answer", harmed), ANSWER, ()).word == "wrong"


def test_the_same_answer_is_right_and_a_rounding_error_is_no_other():
    assert judge(Ending("answer", {**ANSWER, "score": 0.25 + 1e-8}), ANSWER, ()) == Outcome("right")


def test_where_an_answer_differs_is_said():
    assert difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == "the answer, a, 1, b: 2 instead of 3"
    assert difference(math.nan, math.nan) is not None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"expected": False, "error": "KeyError"}, "a class that the library does not promise"),
        ({"ours": False}, "raised by a library below"),
        ({"message": "it is damaged"}, "names none of"),
        ({"message": "[Errno 20] Not a directory: '/a/model.keras'"}, "the system's words"),
        ({"message": "/a/model.keras " + "x" * 3000}, "a dump"),
        ({"message": "/a/model.keras\nArguments received by Dense.call()"}, "a dump"),
    ],
)
def test_an_error_that_is_not_clear_is_a_traceback(changes, fault):
    ending = Ending(**{**vars(CLEAR), **changes})
    assert fault_of_message(ending, ("model.keras",)).startswith(fault)
    assert judge(ending, ANSWER, ("model.keras",)).word == "traceback"


def test_a_clear_error_is_a_refusal_whatever_was_expected():
    assert judge(CLEAR, ANSWER, ("model.keras",)).word == "refused"


@pytest.mark.parametrize(("kind", "word"), [("hang", "hang"), ("died", "traceback")])
def test_a_process_that_hangs_or_dies_is_neither_right_nor_refused(kind, word):
    assert judge(Ending(kind, ANSWER), ANSWER, ()).word == word


def test_the_worst_outcome_counts_and_none_at_all_is_an_error():
    assert OUTCOMES[: len(GOOD)] == GOOD
    assert worst([Outcome("right"), Outcome("lost"), Outcome("wrong")]).word == "lost"
    with pytest.raises(ValueError, match="at least one answer"):
        worst([])
    with pytest.raises(ValueError, match="must be one of"):
        Outcome("fine")


def write_three(folder):
    for i in range(3):
        (folder / f"{i}.txt").write_text("x")
    return steps_so_far()


def test_a_process_is_killed_at_the_very_step(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    steps = run(lambda: write_three(folder), tmp_path / "scratch", 60, watched=folder).value
    assert steps == ["open 0.txt", "open 1.txt", "open 2.txt"]
    for i in range(3):
        for file in folder.iterdir():
            file.unlink()
        ending = run(lambda: write_three(folder), tmp_path / "scratch", 60, watched=folder, blow=Blow(i))
        assert (ending.kind, ending.message) == ("died", "the process died: SIGKILL")
        assert sorted(file.name for file in folder.iterdir()) == [f"{n}.txt" for n in range(i)]


def test_a_blow_may_come_a_moment_after_the_step(tmp_path):
    def slow():
        (tmp_path / "files" / "x").mkdir(parents=True)
        time.sleep(60)

    blow = Blow(0, 0.05, signal.SIGTERM)
    ending = run(slow, tmp_path / "scratch", 30, watched=tmp_path / "files", blow=blow)
    assert ending.message == "the process died: SIGTERM" and (tmp_path / "files" / "x").exists()


def test_how_an_operation_ended_is_told(tmp_path):
    scratch = tmp_path / "scratch"

    def library_refuses():
        Gallery.load(tmp_path / "none.npz")

    def library_below():
        return int("x")

    def command_refuses():
        raise Refused("siamese-nn: error: nope")

    assert run(lambda: {"a": 1.5}, scratch, 60) == Ending("answer", {"a": 1.5})
    ours = run(library_refuses, scratch, 60)
    assert (ours.kind, ours.error, ours.expected, ours.ours) == ("error", "FileNotFoundError", True, True)
    below = run(library_below, scratch, 60)
    assert (below.error, below.ours) == ("ValueError", False)
    assert run(command_refuses, scratch, 60).ours
    assert run(lambda: os._exit(3), scratch, 60).message == "the process died: exit code 3"
    assert run(lambda: time.sleep(60), scratch, 0.2).kind == "hang"
    assert run(lambda: bytearray(8 * 2**30), scratch, 60).error == "MemoryError"


def test_an_answer_of_an_earlier_operation_is_not_taken(tmp_path):
    assert run(lambda: 1, tmp_path, 60).kind == "answer"
    assert run(lambda: os.kill(os.getpid(), signal.SIGKILL), tmp_path, 60).kind == "died"
