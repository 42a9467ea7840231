import json
import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from siamese_nn.runs.results import Leak, Learnt, Pretraining, Results, Status
from siamese_nn.runs.summary import describe, results_table

KEPT = sorted(Path(__file__).parents[2].glob("docs/report_runs/*/results.json"))


@pytest.fixture
def document():
    """What the results of a kept run hold, of the report's split."""
    kept = next(path for path in KEPT if path.parent.name == "5.1-as-run-report-0")
    return json.loads(kept.read_text(encoding="utf-8"))


def test_kept_results_are_read_and_written_byte_by_byte():
    assert len(KEPT) >= 36
    for path in KEPT:
        text = path.read_text(encoding="utf-8")
        results = Results.from_json(json.loads(text))
        assert json.dumps(results.as_json(), indent=2) + "\n" == text
        assert Results.from_json(results.as_json()) == results


def test_figures_are_typed(document):
    results = Results.from_json(document)
    assert results.status is Status.FINISHED and results.monitor == "val_loss"
    test, held = results.best["test"], document["figures"]["best"]["test"]
    assert test.accuracy == held["accuracy"] and test.accuracy_interval == tuple(held["accuracy_interval"])
    assert test.n_pairs == held["n_same"] + held["n_different"]
    assert test.tar_intervals["0.1"] == tuple(held["tar_intervals"]["0.1"])
    assert results.leak.val_auc_touched == document["leak"]["val_auc_touched"]
    assert list(results.models) == ["best epoch", "last epoch", "raw pixels"]
    assert results.models["raw pixels"]["test"].loss is None


def test_what_a_run_does_not_have_is_left_out(document):
    results = Results.from_json(document)
    held = replace(results, files=None, sha256=None).as_json()
    assert "loss" not in held["raw_pixels"]["test"] and "files" not in held and "sha256" not in held
    assert held["pretraining"] is None and held["photos"] is None
    leak = replace(results, leak=Leak(3, None, 0.5)).as_json()["leak"]
    assert leak == {"touched_pairs": 3, "val_auc_others": 0.5}
    full = replace(
        results, pretraining=Pretraining(2, 1, 9.5), photos=Learnt(8, 2, "ab"), files={"a": "b"}, sha256="c"
    )
    assert Results.from_json(json.loads(json.dumps(full.as_json()))) == full


def test_what_an_older_version_did_not_write_has_a_default(document):
    for name in ("monitor", "pretraining", "people", "photos", "leak"):
        del document[name]
    for sets in (*document["figures"].values(), document["raw_pixels"]):
        for figures in sets.values():
            del figures["n_people"], figures["tar_intervals"]
    document["of a later version"] = 3
    results = Results.from_json(document)
    assert (results.monitor, results.people, results.photos, results.leak) == ("val_loss", {}, None, None)
    assert results.best["test"].n_people is None and results.best["test"].tar_intervals == {}
    assert "best epoch" in results_table(document).get_string() and "val_loss" in describe(document)


def test_a_loss_may_be_infinite_and_figures_may_be_few(document):
    document["figures"]["best"]["test"]["loss"] = math.inf
    assert Results.from_json(document).best["test"].loss == math.inf
    document["figures"] = {}
    results = Results.from_json(document)
    with pytest.raises(ValueError, match="best epoch on the validation pairs. Received: figures of nothing"):
        assert results.best


def changed(document, path, value):
    document = part = deepcopy(document)
    *way, name = path
    for step in way:
        part = part[step]
    part[name] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (["status"], "unfinished", "status can't be 'unfinished'"),
        (["status"], None, "status can't be 'None'"),
        (["seed"], 1.5, "seed can't be '1.5'"),
        (["epochs"], True, "epochs can't be 'True'"),
        (["seconds"], "long", "seconds can't be 'long'"),
        (["people"], {"test": -1}, "people can't be"),
        (["pretraining"], {"epochs": 3}, "pretraining can't be"),
        (["photos"], [], "photos can't be"),
        (["leak"], {"touched_pairs": 3, "val_auc_others": "high"}, "leak can't be"),
        (["files"], {"model.keras": 3}, "files can't be"),
        (["figures"], [], "figures can't be"),
        (["figures", "best"], [], "figures: best can't be"),
        (["figures", "best", "test"], None, "figures: best: test: it lacks n_same"),
        (["figures", "last", "test", "auc"], None, "figures: last: test: auc can't be 'None'"),
        (["figures", "last", "test", "loss"], "low", "figures: last: test: loss can't be 'low'"),
        (["raw_pixels", "test", "accuracy_interval"], None, "raw_pixels: test: accuracy_interval can't be"),
        (["raw_pixels", "test", "confusion"], {}, "raw_pixels: test: confusion can't be"),
        (["raw_pixels", "test", "tar_at_far"], {"0.1": "x"}, "raw_pixels: test: tar_at_far can't be"),
        (["raw_pixels", "test", "tar_intervals"], {"0.1": [1]}, "raw_pixels: test: tar_intervals can't be"),
    ],
)
def test_the_first_fault_is_named(document, path, value, fault):
    with pytest.raises(ValueError, match=f"`document` must be what `results.json` holds.*{fault}"):
        Results.from_json(changed(document, path, value))


@pytest.mark.parametrize("document", [None, [], "results", {}])
def test_what_is_no_results_is_refused(document):
    with pytest.raises(ValueError, match="Received one that is not whole: it lacks status, split"):
        Results.from_json(document)
