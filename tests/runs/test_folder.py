import ast
import json
import math
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from siamese_nn.evaluation import choose_threshold, verification_report
from siamese_nn.runs import folder
from siamese_nn.runs.folder import read_history, read_results, write_history, write_results
from siamese_nn.runs.measured import RunFolder, has_collapsed
from siamese_nn.runs.results import Status


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run's folder, of invented scores."""
    run, random = tmp_path_factory.mktemp("made") / "run", np.random.default_rng(0)
    run.mkdir()
    scores, figures = {}, {"best": {}, "last": {}}
    for name in ("validation", "test"):
        same = random.permutation(80) % 2
        names = {column: [f"{column} {i}" for i in range(80)] for column in ("left", "right")}
        people = {f"{column}_identities": names[column] for column in names}
        scores[name] = {**names, **people, "same": same.tolist()}
        for model in figures:
            scores[name][model] = (random.random(80) + 0.3 * same).tolist()
    for model, sets in figures.items():
        own = scores["validation"]
        threshold = float(choose_threshold(own[model], own["same"]))
        for name, columns in scores.items():
            report = verification_report(columns[model], columns["same"], threshold=threshold)
            sets[name] = {**report.as_dict(), "loss": 0.5}
    data = {name: {"people": 80} for name in scores}
    calibration = {"threshold": 0.5, "calibration": {"slope": 9.25, "intercept": -4.5}}
    documents = {"recipe.json": {"siamese_nn": "0.1.0", "recipe": {"units": 8}, "data": data}}
    documents |= {"scores.json": scores, "verifier.json": calibration}
    for name, document in documents.items():
        (run / name).write_text(json.dumps(document))
    write_history(run, [{"epoch": epoch, "loss": 1 / epoch, "seconds": 2.5} for epoch in range(1, 9)])
    for name in ("model.keras", "last.keras"):
        (run / name).write_bytes(name.encode() * 100)
    results = {"status": "finished", "split": "identities", "device": "CPU", "seed": 0, "seconds": 20.0}
    results |= {"epochs": 8, "best_epoch": 6, "figures": figures, "raw_pixels": figures["last"]}
    write_results(run, results)
    return run


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def make_older(run):
    """Takes away what an older siamese_nn did not write."""
    results = json.loads((run / "results.json").read_text())
    del results["files"], results["sha256"]
    (run / "results.json").write_text(json.dumps(results))
    return results


@pytest.mark.parametrize(
    "name",
    [
        "recipe.json",
        "history.csv",
        "scores.json",
        "verifier.json",
        "model.keras",
        "last.keras",
        "results.json",
    ],
)
def test_no_digit_of_any_file_can_be_changed(run, name):
    whole = (run / name).read_bytes()
    RunFolder(run)
    digits = [match.start() for match in re.finditer(rb"[0-8]", whole)] or [5]
    for place in digits[:: max(1, len(digits) // 25)]:
        changed = bytearray(whole)
        changed[place] += 1
        (run / name).write_bytes(changed)
        with pytest.raises(ValueError, match=rf"{re.escape(name)}.* (damaged|has changed)"):
            RunFolder(run)
    (run / name).write_bytes(whole)
    RunFolder(run)


def test_a_seal_that_was_taken_off_is_missed(run):
    results = json.loads((run / "results.json").read_text())
    del results["sha256"]
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match=r"results\.json is damaged .a part of it was changed"):
        read_results(run)


def test_what_is_kept_of_a_run_needs_no_model_and_no_scores(run):
    for name in ("scores.json", "verifier.json", "model.keras", "last.keras"):
        (run / name).unlink()
    assert read_results(run)["status"] == "finished"
    results = make_older(run)
    assert read_results(run) == results


def change(results, figure):
    value = results["figures"]["last"]["test"][figure]
    if isinstance(value, dict):
        name = next(name for name in value if value[name] is not None)
        value[name] += 1
    else:
        results["figures"]["last"]["test"][figure] = value + 1


@pytest.mark.parametrize(
    "figure", ["n_same", "accuracy", "auc", "eer", "best_accuracy", "confusion", "tar_at_far", "threshold"]
)
def test_figures_that_nothing_vouches_for_are_made_again_from_the_scores(run, figure):
    results = make_older(run)
    assert read_results(run) == results
    RunFolder(run)
    change(results, figure)
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match=r"results\.json is damaged .figures of last on test"):
        read_results(run)


def test_a_minimal_cllr_that_the_scores_do_not_give_is_refused(run):
    results = make_older(run)
    results["figures"]["last"]["test"]["min_cllr"] = 0.123
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match="figures of last on test: min_cllr is not what scores.json gives"):
        read_results(run)


def test_a_threshold_is_that_of_the_validation_scores(run):
    results = make_older(run)
    for figures in results["figures"]["best"].values():
        figures["threshold"] += 1e-4
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match=r"results\.json is damaged"):
        read_results(run)


@pytest.mark.parametrize("name", ["results.json", "model.keras", "verifier.json", "logs"])
def test_a_link_in_a_run_folder_is_not_followed(run, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir() if name == "logs" else shutil.move(run / name, outside)
    (run / name).symlink_to(outside)
    with pytest.raises(
        ValueError, match=rf"{name} must be a file or folder of the run's own.*a link to .*outside"
    ):
        RunFolder(run)
    (run / name).unlink()
    os.symlink(run, tmp_path / "link")
    if name == "logs":
        RunFolder(tmp_path / "link")  # the folder itself may be reached by one


def test_a_quantity_may_come_later(tmp_path):
    rows = [
        {"epoch": 1, "loss": 0.5, "seconds": 1.0},
        {"epoch": 2, "loss": 0.25, "seconds": 1.0, "extra": 3.0},
    ]
    write_history(tmp_path, rows)
    history = read_history(tmp_path)
    assert (tmp_path / "history.csv").read_text().splitlines()[1] == "1,0.5,1.0,"
    assert history["loss"] == [0.5, 0.25] and history["extra"][1] == 3.0 and math.isnan(history["extra"][0])
    (tmp_path / "history.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"history\.csv is damaged .*Remove the folder"):
        read_history(tmp_path)


def test_a_run_whose_file_is_missing_can_be_shown_if_it_needs_no_such_file(run, caplog):
    (run / "last.keras").unlink()
    RunFolder(run)
    assert "has lost last.keras. The same `siamese-nn train` command" in caplog.text
    (run / "verifier.json").unlink()
    with pytest.raises(
        ValueError, match=r"verifier\.json is missing since the run was measured.*same `train` call"
    ):
        RunFolder(run)
    write_results(run, read_results(run))
    assert "last.keras" not in read_results(run)["files"]


@pytest.mark.parametrize("name", ["results.json", "history.csv", "verifier.json", "logs/pipe"])
def test_a_pipe_in_a_run_folder_is_named_and_not_waited_for(run, name):
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    with pytest.raises(ValueError, match=f"{Path(name).name} must be a file. Received: a pipe"):
        RunFolder(run)
    if name == "results.json":
        with pytest.raises(ValueError, match="must be a file"):
            read_results(run)


def test_a_number_that_no_float_holds_is_damage(run):
    results = read_results(run)
    write_results(run, {**results, "seconds": 10**400})
    with pytest.raises(ValueError, match=r"results\.json is damaged \(seconds can't be"):
        read_results(run)


def test_a_collapse_is_a_spread_of_the_last_digits():
    assert has_collapsed([0.6196472, 0.6196463, 0.6196464])
    assert not has_collapsed([0.6196, 0.6197])


def test_the_names_of_a_runs_files_and_its_statuses_stand_in_one_place():
    package = Path(folder.__file__).parents[1]
    files = {folder.STATE, *folder.TRAINED, *folder.MEASURED, *folder.DRAWN, folder.RESULTS}
    homes = {package / "runs/folder.py": files, package / "runs/results.py": set(Status)}
    homes[package / "verification/fitted.py"] = {folder.VERIFIER, folder.PAGE}  # read where runs are not
    for room in ("runs", "training", "studies", "verification", "cli"):
        for path in (package / room).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found = {node.value} & (files | set(Status)) - homes.get(path, set())
                    assert not found, f"{path}:{node.lineno}: {found}"
