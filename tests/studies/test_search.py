import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from optuna.trial import TrialState

from searches import BASE, GRID, RANGE, SMALL_GRID, figure
from siamese_nn import cli, datasets
from siamese_nn.studies import search, search_queue, search_worker
from siamese_nn.training import Recipe


@pytest.fixture(scope="module")
def organized(toy_dir, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("organized") / "faces"
    pair_files = {f"{side}_pairs": toy_dir / f"pairsDev{side.title()}.txt" for side in ("train", "test")}
    datasets.organize_lfw_a(toy_dir / "lfw2", folder, **pair_files)
    return folder


@pytest.mark.slow
@pytest.mark.once
def test_from_the_command_line_with_two_processes_and_the_test_pairs_at_the_end(organized, tmp_path, capsys):
    (tmp_path / "space.toml").write_text("units = [4, 8]\nfilters = [1]\nimage_size = [[70, 70]]\n")
    folder = tmp_path / "search"
    words = ["sweep", "search", "--data", str(organized), "--recipe", "l1_sigmoid", "--epochs", "1"]
    words += ["--space", str(tmp_path / "space.toml"), "--sampler", "grid", "--folder", str(folder)]
    assert cli.main([*words, "--jobs", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("complete") == 2 and "[70, 70]" in out and "never seen" not in out
    assert out.splitlines()[-1].startswith("Result: trial ")
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


@pytest.mark.slow
@pytest.mark.once
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


def test_without_optuna_it_says_how_to_get_it():
    script = "import sys; sys.modules['optuna'] = None; from siamese_nn.studies import search"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1 and "pip install 'siamese_nn[sweep]'" in done.stderr
