import json
import os
import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score, roc_curve

from siamese_nn import cli, datasets
from siamese_nn.runs.folder import write_results
from siamese_nn.runs.page import compare_runs, write_run_report
from siamese_nn.runs.summary import examples_table, result_line, results_table

pytestmark = pytest.mark.once


def figures_of(scores, same, threshold):
    """What `VerificationReport.as_dict` promises, worked out anew; intervals of AUC and EER are invented."""
    scores, same = np.array(scores), np.array(same) == 1
    accepted = scores >= threshold
    confusion = {
        "true_accepts": int((accepted & same).sum()),
        "false_rejects": int((~accepted & same).sum()),
        "false_accepts": int((accepted & ~same).sum()),
        "true_rejects": int((~accepted & ~same).sum()),
    }
    right = confusion["true_accepts"] + confusion["true_rejects"]
    interval = binomtest(right, len(same)).proportion_ci(method="wilson")
    far, tar, _ = roc_curve(same, scores)
    auc, eer = float(roc_auc_score(same, scores)), float(far[np.argmin(np.abs(far - (1 - tar)))])
    return {
        "n_same": int(same.sum()),
        "n_different": int((~same).sum()),
        "n_people": None,
        "threshold": threshold,
        "accuracy": right / len(same),
        "accuracy_interval": [interval.low, interval.high],
        "auc": auc,
        "auc_interval": [auc - 0.02, auc + 0.02],
        "eer": eer,
        "eer_interval": None,
        "tar_at_far": {
            "0.1": float(np.interp(0.1, far, tar)),
            "0.01": float(np.interp(0.01, far, tar)),
            "0.001": None,
        },
        "confusion": confusion,
        "best_accuracy": max(float(((scores >= cut) == same).mean()) for cut in scores),
        "interval_over": "people",
    }


def write_run(
    folder, train, val, test=None, *, seed=0, status="finished", split="identities", quantities=None
):
    """A run's folder without a training: real pairs of drawn faces, invented scores."""
    random = np.random.default_rng(seed)
    sets = {"train": train, "validation": val, **({} if test is None else {"test": test})}
    scores, models = {}, ("best", "last") if status == "finished" else ("best",)
    for name, pairs in sets.items():
        scores[name] = {
            "left": pairs.left.tolist(),
            "right": pairs.right.tolist(),
            "left_identities": pairs.left_identities.tolist(),
            "right_identities": pairs.right_identities.tolist(),
            "same": pairs.same.tolist(),
        }
        for model in models:
            middle = 0.5 + np.where(pairs.same, 0.12, -0.12)
            scores[name][model] = random.normal(middle, 0.16).clip(0.001, 0.999).tolist()
    recipe = {"model": "l1_sigmoid", "backbone": "report_cnn", "filters": 8, "units": 256, "drop_rate": None}
    recipe |= {
        "last_pooling": False,
        "image_size": [80, 80],
        "crop": [200, 200],
        "channels": 1,
        "batch_size": 128,
    }
    recipe |= {
        "optimizer": "adam",
        "learning_rate": 0.001,
        "epochs": 15,
        "patience": 3,
        "split": split,
        "seed": seed,
    }
    data = {
        name: {
            "same": int(pairs.same.sum()),
            "different": int((1 - pairs.same).sum()),
            "people": len(pairs.identities()),
            "sha256": f"{len(pairs):064x}",
        }
        for name, pairs in sets.items()
    }
    quantities = quantities or ("loss", "accuracy", "val_loss", "val_accuracy")
    epochs = [[epoch, *(1 / epoch + random.uniform(0, 0.1, len(quantities))), 4.2] for epoch in range(1, 9)]
    table = [["epoch", *quantities, "seconds"], *epochs]
    results = {
        "status": status,
        "seed": seed,
        "split": split,
        "device": "CPU: <some>, 2 cores",
        "epochs": 8,
        "best_epoch": 6,
        "seconds": 33.6,
        "people": {name: each["people"] for name, each in data.items()},
        "figures": {
            model: {
                name: {**figures_of(own[model], own["same"], 0.5), "loss": 0.61}
                for name, own in scores.items()
            }
            for model in models
        },
        "raw_pixels": {
            name: figures_of(random.normal(0.01 * pairs.same), pairs.same, 0.0)
            for name, pairs in sets.items()
            if name != "train"
        },
    }
    folder.mkdir()
    (folder / "history.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in table))
    (folder / "recipe.json").write_text(json.dumps({"siamese_nn": "0.1.0", "recipe": recipe, "data": data}))
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "verifier.json").write_text(
        json.dumps({"threshold": 0.5, "calibration": {"slope": 9.0, "intercept": -4.5}})
    )
    write_results(folder, results)
    return folder


@pytest.fixture(scope="module")
def sets(toy_pairs, toy_test):
    return (*datasets.split_identities(toy_pairs, exclude=toy_test), toy_test)


@pytest.fixture
def run_dir(sets, tmp_path):
    return write_run(tmp_path / "a_run", *sets)


class Page(HTMLParser):
    """The parts of a page that the tests ask for."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.images, self.headings, self.words = [], [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "img":
            self.images.append(dict(attrs))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_data(self, data):
        if self.tags[-1:] != ["style"]:
            self.words.append(data)

    def pairs(self, kind):
        """Names and scores under the heading that holds `kind`."""
        part = self.source[self.source.index(kind) :].split("</ul>")[0]
        return re.findall(r"<b>(.*?)</b><br>score ([\d.]+)", part)


def edit(path, change):
    """Changes a file of a run, and has `results.json` vouch for it."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    vouch(path.parent)


def vouch(run):
    write_results(run, json.loads((run / "results.json").read_text()))


@pytest.mark.usefixtures("pictures")
def test_the_page_is_one_file_with_figures_curves_and_words(run_dir):
    path = write_run_report(run_dir)
    assert path == run_dir / "report.html" and path.stat().st_size < 2_000_000
    page = Page(path)
    # Nothing is fetched, nothing runs.
    links = [value for name, value in page.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert (
        all(link.startswith("data:") for link in links)
        and "url(" not in page.source
        and "@import" not in page.source
    )
    assert not {"script", "iframe", "object", "embed", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.images) > 8 and all(image["alt"].strip() for image in page.images)
    results = json.loads((run_dir / "results.json").read_text())
    test = results["figures"]["best"]["test"]
    low, high = test["accuracy_interval"]
    assert f"{test['accuracy']:.1%} {low:.1%} to {high:.1%}" in page.text
    assert f"{test['auc']:.3f} {test['auc'] - 0.02:.3f} to {test['auc'] + 0.02:.3f}" in page.text
    assert f"Equal error rates: test {test['eer']:.1%}" in page.images[3]["alt"]
    assert " ".join(str(count) for count in test["confusion"].values()) in page.text
    for words in (
        "over people",
        "highest accuracy on the 32 validation pairs",
        "split by identity",
        "80 x 80",
        "adam",
        "seed 0",
        "best epoch was 6",
        "raw pixels",
    ):
        assert words in page.text
    assert "interrupted" not in page.text and "leaks" not in page.text and "flatter," not in page.text
    assert write_run_report(run_dir, run_dir / "again.html").read_bytes() == path.read_bytes()


def test_the_worst_and_the_surest_pairs_are_shown_in_order(run_dir):
    page, own = Page(write_run_report(run_dir)), json.loads((run_dir / "scores.json").read_text())["test"]
    rows = list(zip(own["best"], own["same"], own["left_identities"], own["right_identities"], strict=True))
    wrong_accepts = sorted((row for row in rows if row[0] >= 0.5 and not row[1]), reverse=True)[:6]
    right_accepts = sorted((row for row in rows if row[0] >= 0.5 and row[1]), reverse=True)[:6]
    wrong_rejects = sorted(row for row in rows if row[0] < 0.5 and row[1])[:6]
    accepts, rejects = (
        page.source.index("Taken for the same person"),
        page.source.index("Taken for different people"),
    )
    assert (
        accepts
        < page.source.index("the worst false accepts")
        < rejects
        < page.source.index("the worst false rejects")
    )
    for kind, expected in (
        ("the worst false accepts", wrong_accepts),
        ("Rightly: the surest", right_accepts),
        ("the worst false rejects", wrong_rejects),
    ):
        assert expected, "the fixture must hold such pairs"
        names = [
            (left if same else f"{left} / {right}").replace("_", " ") for _, same, left, right in expected
        ]
        assert page.pairs(kind) == [
            (name, f"{row[0]:.3f}") for name, row in zip(names, expected, strict=True)
        ]
    worst = wrong_accepts[0][0]
    assert f"score {worst:.3f} probability {1 / (1 + np.exp(-(9 * worst - 4.5))):.1%}" in page.text


def test_names_may_hold_html(run_dir, tmp_path):
    evil = "</b><script>alert('x')</script>&\"Mr_X"

    def rename(scores):
        own = scores["test"]
        own["left_identities"] = own["right_identities"] = [evil] * len(own["same"])
        own["left"] = [f"nowhere/{evil}.jpg"] * len(own["same"])

    edit(run_dir / "scores.json", rename)
    edit(run_dir / "recipe.json", lambda claim: claim["recipe"].update(model=evil))
    shutil.move(run_dir, tmp_path / "<i>run")
    page = Page(write_run_report(tmp_path / "<i>run"))
    assert "script" not in page.tags and "i" not in page.tags and page.tags.count("title") == 1
    assert evil.replace("_", " ") in page.text and "<i>run" in page.text
    # In an attribute, too: the right photos are there, and bear the name.
    assert any(image["alt"].startswith(evil) for image in page.images)
    assert not [name for name, _ in page.attributes if name.startswith(("on", "mr"))]


def test_photos_that_are_gone_leave_their_names(run_dir):
    def move(scores):
        for side in ("left", "right"):
            scores["test"][side] = [f"gone/{os.path.basename(path)}" for path in scores["test"][side]]

    edit(run_dir / "scores.json", move)
    page, test = Page(write_run_report(run_dir)), json.loads((run_dir / "scores.json").read_text())["test"]
    gone = re.findall('<span class="missing">(.*?)</span>', page.source)
    assert set(gone) <= {os.path.basename(path) for path in test["left"] + test["right"]} and len(gone) >= 24
    assert f"{len(set(gone))} of the photos cannot be read" in page.text and "gone/" not in page.source
    assert not [image for image in page.images if image["src"].startswith("data:image/jpeg")]


def test_pairs_are_named_by_person_and_file(run_dir):
    scores, results = (json.loads((run_dir / f"{name}.json").read_text()) for name in ("scores", "results"))
    n = len(scores["test"]["same"])
    scores["test"] |= {"left": ["people/Ada/1.jpg"] * n, "left_identities": ["Ada"] * n}
    (row, *_) = examples_table(scores, results).rows
    assert row[0] == "Ada/1.jpg"
    assert row[1] in map(os.path.basename, scores["test"]["right"])  # LFW's files are named like the person


def test_what_a_reader_must_know_stands_on_top(sets, tmp_path):
    run = write_run(tmp_path / "bad", *sets[:2], status="interrupted", split="report")
    page = Page(write_run_report(run))
    assert page.tags.count("header") == 1
    top = page.text.split("What was done")[0]
    assert "interrupted" in top and "SHARE people" in top and "no test pairs" in top
    assert "last epoch" not in page.source and "never seen" not in page.text


def test_a_run_may_have_other_quantities_and_no_verifier(sets, tmp_path):
    run = write_run(
        tmp_path / "embedding", *sets, quantities=("loss", "val_eer", "val_auc", "val_verification_accuracy")
    )
    history = (run / "history.csv").read_text().splitlines()
    history[3] = re.sub(r"^3,[\d.]+,", "3,,", history[3])  # a quantity may come later
    (run / "history.csv").write_text("\n".join(history))
    vouch(run)
    edit(run / "recipe.json", lambda claim: claim.update(recipe={"anything": [1, 2]}))
    (run / "verifier.json").unlink()
    vouch(run)
    page = Page(write_run_report(run))
    for words in ("Loss by epoch", "EER by epoch", "AUC by epoch", "Verification accuracy by epoch"):
        assert words in page.text
    assert "no verifier.json" in page.text and "probability " not in page.text.split("Most wrong")[1]
    assert "1 x 2" in page.text


def history(run, text):
    (run / "history.csv").write_text(text)
    vouch(run)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: shutil.rmtree(run), "without recipe.json, history.csv, scores.json, results.json"),
        (lambda run: (run / "results.json").unlink(), "without results.json"),
        (
            lambda run: (run / "scores.json").write_text("{"),
            "scores.json has changed since the run was measured.*same `train`",
        ),
        (lambda run: (run / "results.json").write_text("[]"), "results.json is damaged .it lacks status"),
        (lambda run: history(run, "epoch,loss\n"), "history.csv is damaged .it lacks epoch"),
        (lambda run: history(run, "epoch,loss,seconds\n1,2,3\n"), "8 epochs of results.json. Received: 1"),
        (
            lambda run: history(run, "epoch,loss\n" + 8 * "1,high\n"),
            "history.csv is damaged .could not convert",
        ),
        (lambda run: history(run, "epoch,loss\n" + 8 * "1,2,3\n"), "a row is not whole"),
        (lambda run: history(run, "epoch,loss,seconds\n" + 8 * "1,2,3\n"), "a row for each epoch"),
        (
            lambda run: edit(run / "verifier.json", dict.clear),
            "verifier.json is damaged .it lacks calibration",
        ),
        (
            lambda run: edit(run / "scores.json", lambda s: s["test"].pop("left_identities")),
            "scores.json: test is damaged .it lacks left_identities",
        ),
        (lambda run: edit(run / "scores.json", lambda s: s["test"]["same"].pop()), "columns of test"),
        (
            lambda run: edit(run / "recipe.json", lambda r: r["data"].pop("test")),
            "recipe.json: data is damaged .it lacks test",
        ),
        (
            lambda run: edit(run / "results.json", lambda r: r["figures"].pop("best")),
            "figures is damaged .it lacks best",
        ),
        (
            lambda run: edit(run / "results.json", lambda r: r["figures"]["best"].pop("test")),
            "figures: best is damaged .it lacks test",
        ),
        (
            lambda run: edit(run / "results.json", lambda r: r["raw_pixels"]["test"].pop("eer")),
            "results.json is damaged .figures: raw_pixels: test: it lacks eer",
        ),
        (
            lambda run: edit(run / "results.json", lambda r: r.update(seconds="long")),
            "seconds can't be 'long'",
        ),
        (lambda run: edit(run / "results.json", lambda r: r.update(figures=[])), "figures can't be"),
        (
            lambda run: edit(run / "results.json", lambda r: r["figures"]["best"]["test"].update(auc=None)),
            "figures: best: test: auc can't be 'None'",
        ),
        (
            lambda run: edit(
                run / "results.json", lambda r: r["raw_pixels"]["test"].update(eer_interval=[1])
            ),
            "eer_interval can't be",
        ),
        (
            lambda run: edit(run / "scores.json", lambda s: s["test"].update(best=None)),
            "best can't be 'None'",
        ),
        (
            lambda run: edit(run / "scores.json", lambda s: s["test"]["best"].__setitem__(3, "high")),
            "best can't be",
        ),
        (
            lambda run: edit(run / "scores.json", lambda s: s["test"]["same"].__setitem__(0, 2)),
            "same can't be",
        ),
        (lambda run: edit(run / "scores.json", lambda s: s.update(test=3)), "scores.json: test is damaged"),
        (lambda run: edit(run / "recipe.json", lambda r: r.update(recipe=[])), "recipe can't be"),
        (
            lambda run: edit(run / "verifier.json", lambda v: v["calibration"].update(slope="steep")),
            "slope can't be 'steep'",
        ),
    ],
)
def test_what_is_missing_is_named(run_dir, spoil, message):
    spoil(run_dir)
    with pytest.raises(ValueError, match=message):
        write_run_report(run_dir)
    assert not (run_dir / "report.html").exists()


def test_a_collapsed_model_is_named_on_top(run_dir):
    edit(run_dir / "scores.json", lambda scores: scores["validation"].update(best=[0.25] * 32))
    page = Page(write_run_report(run_dir))
    assert "the model has collapsed, and tells nobody apart" in page.text.split("What was done")[0]


def test_figures_after_mirror_and_plda_are_told_from_those_before(sets, tmp_path):
    run = write_run(tmp_path / "face", *sets, quantities=("loss", "val_auc"))
    before = Page(write_run_report(run)).text
    assert "PLDA" not in before
    assert "the tables below measure it as the epoch leaves it." in before
    edit(run / "recipe.json", lambda claim: claim["recipe"].update(mirror=True, back_end="plda"))
    page = Page(write_run_report(run))
    assert "The best epoch's model, with mirror and PLDA, on 24 test pairs" in page.text
    assert "Those of the trained network are with mirror and PLDA." in page.text
    logged = (run / "history.csv").read_text().splitlines()[6].split(",")[2]
    finished = json.loads((run / "results.json").read_text())["figures"]["best"]["validation"]["auc"]
    assert (
        f"On the validation pairs, epoch 6 has AUC {float(logged):.3f} without, and {finished:.3f} with "
        "mirror and PLDA." in page.text
    )
    assert "PLDA, fitted to the people it has learnt from, weighs" in page.text


def test_what_says_nothing_is_left_out(sets, tmp_path):
    run = write_run(tmp_path / "few", *sets)
    page = Page(write_run_report(run))
    assert "Fixed threshold" not in page.text and "Cllr" not in page.text  # no row has them
    assert "TAR at FAR 1%" in page.text and "TAR at FAR 0.1%" not in page.text
    assert "best epoch, test" in page.text and "last epoch, test" in page.text
    assert "embedding_size" not in page.text and "letters" not in page.text  # people drawn by no letter
    more = {"augmentation": {"flip": True, "rotation": 8.0}, "scale": 16.0, "letters": "ABCDE"}
    edit(run / "recipe.json", lambda claim: claim["recipe"].update(more, schedule="cosine", patience=15))

    def end_at_best(results):
        results.update(best_epoch=8)
        results["figures"]["last"] = results["figures"]["best"]

    edit(run / "results.json", end_at_best)
    page = Page(write_run_report(run))
    assert (
        "scale" not in page.text and "patience" not in page.text and "It stops after 15 epochs." in page.text
    )
    assert "changed at random: half of them mirrored, turned by up to 8 degrees." in page.text
    assert "falling along a cosine from it to nearly 0" in page.text and "{" not in page.text
    assert page.text.count("best and last epoch, test") == 2 and "last epoch, test" in page.text
    assert "letters ABCDE" in page.text  # of the validation people
    table = results_table(json.loads((run / "results.json").read_text()))
    assert table.field_names[:4] == ["Model", "Set", "Pairs", "People"]
    assert "Accuracy at 0.5" not in table.field_names and len(table.rows) == 5


def test_a_run_in_one_line(sets, tmp_path):
    run = write_run(tmp_path / "run", *sets)
    results = json.loads((run / "results.json").read_text())
    test = results["figures"]["best"]["test"]
    low, high = test["accuracy_interval"]
    assert result_line(results) == (
        f"Result: accuracy {test['accuracy']:.1%} (95% interval {low:.1%} to {high:.1%}) in 24 decisions on "
        "the test pairs, of people whom the training has never seen."
    )
    del results["figures"]["best"]["test"]
    line = result_line(results | {"status": "interrupted"})
    assert line.startswith("Result so far: ") and line.endswith("were chosen: it flatters.")


def test_runs_side_by_side(sets, tmp_path):
    runs = [write_run(tmp_path / f"run_{seed}", *sets, seed=seed) for seed in range(3)]
    page = Page(compare_runs(runs, tmp_path / "pages" / "all.html"))
    for seed, run in enumerate(runs):
        test = json.loads((run / "results.json").read_text())["figures"]["best"]["test"]
        assert re.search(
            rf"{seed + 1}. run_{seed} 24 {test['accuracy']:.1%} .*? {test['auc']:.3f}", page.text
        )
        assert f"run_{seed}: AUC {test['auc']:.3f}" in page.images[0]["alt"]
    assert "Run seed run_0 0 run_1 1 run_2 2" in page.text  # only what differs
    assert "different test pairs" not in page.text and page.headings[0] == 1

    (tmp_path / "other").mkdir()
    validation_only = write_run(tmp_path / "other" / "run_0", sets[0], sets[1][:-2], split="report")
    page = Page(compare_runs([runs[0], validation_only], tmp_path / "two.html"))
    assert (
        "different validation pairs" in page.text
        and "letter split: training and validation SHARE people" in page.text
    )
    assert str(runs[0]) in page.text, "two runs of one name go by their paths"
    with pytest.raises(ValueError, match="at least two runs. Received: 1"):
        compare_runs(runs[:1], tmp_path / "one.html")


def test_the_command(sets, run_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", str(run_dir)]) == 0
    assert capsys.readouterr().out == f"{run_dir / 'report.html'}\n"
    write_run(tmp_path / "b_run", *sets, seed=1)
    assert cli.main(["report", str(run_dir), "b_run"]) == 0
    assert capsys.readouterr().out == "comparison.html\n" and "b_run" in Path("comparison.html").read_text()
    assert cli.main(["report", "b_run", "--output", "pages/b.html"]) == 0
    assert capsys.readouterr().out == "pages/b.html\n" and "b_run" in Path("pages/b.html").read_text()
    assert cli.main(["report", "nowhere"]) == 1
    assert "nowhere, without recipe.json" in capsys.readouterr().err


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = """<body style="margin:0">
<iframe style="border:0" width="{width}" height="800" srcdoc="{page}"></iframe><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const pictures = [...page.images];
  const found = {{
    width: root.clientWidth,
    needed: root.scrollWidth,
    pictures: pictures.length,
    blank: pictures.filter(picture => !picture.complete || !picture.naturalWidth).length,
    nameless: pictures.filter(picture => !picture.alt.trim()).length,
    background: getComputedStyle(page.body).backgroundColor,
    smallest: Math.min(...[...page.querySelectorAll("p, td, li, figcaption")].map(
      part => parseFloat(getComputedStyle(part).fontSize))),
  }};
  document.body.textContent = "FOUND" + JSON.stringify(found) + "END";
}};
</script>"""


def look(page, tmp_path, width, *flags):
    """Opens a page in a frame, of widths that no window of a browser has; returns what it looks like."""
    (tmp_path / "frame.html").write_text(
        PROBE.format(width=width, page=escape(page.read_text(encoding="utf-8")))
    )
    words = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    )
    words += " --disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr --v=0"
    words += " --virtual-time-budget=10000 --dump-dom"
    profile = tmp_path / f"profile-{width}-{len(flags)}"
    command = [
        BROWSER,
        *words.split(),
        *flags,
        f"--user-data-dir={profile}",
        (tmp_path / "frame.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ":CONSOLE" not in done.stderr, done.stderr
    found = re.search("FOUND(.*)END", done.stdout)
    assert found, done.stdout[:500] + done.stderr[-2000:]
    return json.loads(found[1])


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no chromium on PATH")
@pytest.mark.usefixtures("pictures")
def test_in_a_browser_nothing_is_broken_or_sticks_out(run_dir, sets, tmp_path):
    other = write_run(tmp_path / ("a_long_name_" * 8), *sets, status="interrupted", seed=1)
    edit(other / "scores.json", lambda scores: scores["test"].update(left=["x" * 90 + ".jpg"] * 24))
    pages = [
        write_run_report(run_dir),
        write_run_report(other),
        compare_runs([run_dir, other], tmp_path / "both.html"),
    ]
    backgrounds = set()
    for page, width, flags in (
        (pages[0], 390, []),
        (pages[0], 1200, ["--blink-settings=preferredColorScheme=0"]),
        (pages[1], 390, []),
        (pages[2], 390, []),
    ):
        found = look(page, tmp_path, width, *flags)
        assert found["needed"] <= found["width"] == width, f"{page.name} sticks out at {width}: {found}"
        assert found["pictures"] > 0 == found["blank"] == found["nameless"], f"{page.name}: {found}"
        assert found["smallest"] >= 13
        backgrounds.add(found["background"])
    assert len(backgrounds) == 2, "light and dark"
