from dataclasses import replace
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from sklearn.metrics import DetCurveDisplay

from siamese_nn import plots

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_learning_curves_draw_both_sides():
    ax = plots.learning_curves({"loss": [3, 2, 1], "val_loss": [3, 2.5, 2.4]})
    training, validation = ax.lines
    assert training.get_xydata().tolist() == [[1, 3], [2, 2], [3, 1]]
    assert validation.get_ydata().tolist() == [3, 2.5, 2.4]
    assert len(plots.learning_curves({"loss": [1]}, ax=plt.subplots()[1]).lines) == 1
    with pytest.raises(ValueError, match="quantity='accuracy'"):
        plots.learning_curves({"loss": [1]}, "accuracy")


def test_learning_curves_of_a_quantity_that_only_validation_has():
    ax = plots.learning_curves({"loss": [3, 2], "val_eer": [0.4, 0.3]}, "eer")
    assert [(line.get_label(), line.get_ydata().tolist()) for line in ax.lines] == [
        ("validation", [0.4, 0.3])
    ]
    assert ax.get_title() == "EER by epoch"
    assert (
        ax.lines[0].get_color() == plots.learning_curves({"loss": [3], "val_loss": [3]}).lines[1].get_color()
    )
    with pytest.raises(ValueError, match=r"one of \['eer', 'loss'\]"):
        plots.learning_curves({"loss": [3, 2], "val_eer": [0.4, 0.3]}, "auc")


def test_all_curves_draw_every_run_and_name_each_experiment_once():
    histories = {"5.1": [{"val_loss": [3, 2]}, {"val_loss": [4, 3, 2.5]}], "7.1": [{"val_loss": [1]}]}
    ax = plots.all_curves(histories, "val_loss")
    assert [line.get_xydata().tolist() for line in ax.lines] == [
        [[1, 3], [2, 2]],
        [[1, 4], [2, 3], [3, 2.5]],
        [[1, 1]],
    ]
    assert ax.get_legend_handles_labels()[1] == ["5.1", "7.1"] and ax.get_yscale() == "log"
    first, second, third = ((line.get_color(), line.get_linestyle()) for line in ax.lines)
    assert first == second != third
    many = plots.all_curves({str(i): [{"val_accuracy": [0.5]}] for i in range(40)})
    assert len({(line.get_color(), line.get_linestyle()) for line in many.lines}) == 40
    looks = [(line.get_color(), line.get_linestyle()) for line in many.lines]
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in pairwise(looks))
    assert many.get_yscale() == "linear" and many.get_ylabel() == "validation accuracy"
    for wrong in ({}, {"5.1": [{"loss": [1]}]}):
        with pytest.raises(ValueError, match="`histories` must hold 'val_accuracy' of every run"):
            plots.all_curves(wrong)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_few_epochs_have_whole_numbers_and_accuracies_are_in_percent(epochs):
    history = {"accuracy": [0.5] * epochs, "val_accuracy": [0.625] * epochs, "val_loss": [1] * epochs}
    for ax in (plots.learning_curves(history, "accuracy"), plots.all_curves({"5.1": [history]})):
        ax.figure.canvas.draw()
        low, high = ax.get_xlim()
        ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
        assert ticks == list(range(1, epochs + 1))
        labels = [label.get_text() for label in ax.get_yticklabels()]
        assert all(label.endswith("%") for label in labels) and ax.lines[0].get_ydata()[0] < 1
    losses = plots.all_curves({"5.1": [history]}, "val_loss")
    losses.figure.canvas.draw()
    assert not any("%" in label.get_text() for label in losses.get_yticklabels())


def test_hyperparameter_effects_draw_published_beside_ours():
    nan = float("nan")

    def point(value, published, ours, deviation=nan):
        return {"value": value, "published": published, "ours": ours, "deviation": deviation}

    effects = {
        "filters": [[point(16, 66, 67, 2), point(4, 65, 64)], [point(32, 50, nan), point(4, 68, 66)]],
        "optimizer": [[point("sgd", 60, 61), point("adam", 70, 71)]],
        "drop_rate": [],
    }
    axes = plots.hyperparameter_effects(effects)
    assert [ax.get_title() for ax in axes] == ["filters", "optimizer"] and len(axes[0].figure.axes) == 2
    labels = [[label.get_text() for label in ax.get_xticklabels()] for ax in axes]
    assert labels == [["4", "16", "32"], ["adam", "sgd"]]
    curves = [container.lines[0] for container in axes[0].containers]
    assert [curve.get_ydata().tolist()[:2] for curve in curves[:3]] == [[65, 66], [68, 50], [64, 67]]
    assert [np.rint(np.asarray(curve.get_xdata(), float)).tolist() for curve in curves] == [
        [0, 1],
        [0, 2],
    ] * 2
    assert curves[3].get_ydata()[0] == 66 and np.isnan(curves[3].get_ydata()[1])
    bars = axes[0].containers[2].lines[2][0].get_segments()
    assert bars[-1][:, 1].tolist() == [65, 69]
    for none in ({}, {"drop_rate": [], "units": []}):
        (ax,) = plots.hyperparameter_effects(none)
        assert "No two of the experiments differ" in ax.texts[0].get_text()
        assert not ax.axison and ax.figure.axes == [ax] and not ax.figure.legends


def test_search_trials_are_drawn_in_their_order_and_by_setting():
    settings = {"learning_rate": [1e-4, 1e-2, 1e-3], "kernel_sizes": [[8, 6], [10, 7], [8, 6]]}
    order, rates, kernels = plots.search_trials([0.7, 0.9, 0.8], settings, words="AUC")
    assert order.lines[0].get_ydata().tolist() == [0.7, 0.9, 0.9]  # the best so far
    assert rates.get_xscale() == "log" and rates.lines[0].get_xdata().tolist() == [1e-4, 1e-2, 1e-3]
    assert [text.get_text() for text in kernels.get_xticklabels()] == ["[8, 6]", "[10, 7]"]
    falling = plots.search_trials([0.7, 0.9, 0.5], {}, larger_is_better=False)[0]
    assert falling.lines[0].get_ydata().tolist() == [0.7, 0.7, 0.5]
    for values, own in (([], {}), ([0.5], {"units": [1, 2]})):
        with pytest.raises(ValueError, match="one entry for each of `values`"):
            plots.search_trials(values, own)


@pytest.mark.usefixtures("pictures")
def test_pairs_grid_names_and_judges(toy_pairs, tmp_path):
    pairs = toy_pairs[[0, len(toy_pairs) - 1, 1]]
    axes = plots.pairs_grid(pairs, [0.9, 0.8, 0.1], threshold=0.5, columns=2)
    titles = [ax.get_title() for ax in axes]
    assert (
        "same, score 0.900 ≥ 0.500: right" in titles[0]
        and "score 0.800 ≥ 0.500: wrong" in titles[1]
        and " / " in titles[1]
    )
    colours = [ax.title.get_color() for ax in axes]
    assert colours[0] != colours[1] == colours[2]
    assert len(plots.pairs_grid(pairs)) == 3
    plots.save(axes, tmp_path / "grid.png")
    assert (tmp_path / "grid.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="1 scores"):
        plots.pairs_grid(pairs, [1])


def test_names_of_other_scripts_are_drawn_by_a_font_that_has_them(toy_pairs, tmp_path, caplog, recwarn):
    pairs = toy_pairs[[0]]
    pairs = replace(
        pairs, left_identities=np.array(["\U000f1234"]), right_identities=np.array(["\U000f1234"])
    )
    (ax,) = plots.pairs_grid(pairs)  # of the private use area: no font has it
    assert "U+F1234" in ax.get_title() and "no installed font has" in caplog.text
    caplog.clear()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "own"])
    builder.setupCharacterMap({0xF1234: "own"})
    builder.setupGlyf({name: TTGlyphPen(None).glyph() for name in (".notdef", "own")})
    builder.setupHorizontalMetrics({name: (500, 0) for name in (".notdef", "own")})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Own Signs", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "own.ttf")
    known = font_manager.fontManager.ttflist.copy()
    font_manager.fontManager.addfont(tmp_path / "own.ttf")
    try:
        (ax,) = plots.pairs_grid(pairs)
        plots.save(ax, tmp_path / "grid.png")
    finally:
        font_manager.fontManager.ttflist = known
    assert ax.get_title() == "\U000f1234" and ax.title.get_fontfamily()[-1] == "Own Signs"
    assert not caplog.records and not [
        found for found in recwarn if "missing from font" in str(found.message)
    ]


@pytest.fixture
def scored():
    random = np.random.default_rng(0)
    same = random.integers(0, 2, 300)
    return random.normal(same).round(1), same  # rounded, so that there are ties


def test_roc_draws_what_each_threshold_accepts(scored):
    scores, same = scored
    ax = plots.roc(scores, same, label="some")
    chance, curve = ax.lines
    assert chance.get_xydata().tolist() == [[0, 0], [1, 1]]
    rates = {(0.0, 0.0)}
    for threshold in scores:
        accepted = scores >= threshold
        rates.add((accepted[same == 0].mean(), accepted[same == 1].mean()))
    drawn = {tuple(point) for point in curve.get_xydata()}
    assert (
        drawn <= rates and len(drawn) > 20
    )  # scikit-learn leaves out points in the middle of straight parts
    more = sum(
        (a - b) * (c + d) / 2 for (a, c), (b, d) in zip(sorted(rates)[1:], sorted(rates), strict=False)
    )
    assert curve.get_label() == f"some (AUC {more:.3f})"
    assert plots.roc(-scores, same, ax=ax) is ax and len(ax.lines) == 3
    assert ax.lines[2].get_color() != curve.get_color() and ax.lines[2].get_label() == f"AUC {1 - more:.3f}"


def test_det_is_that_of_scikit_learn(scored):
    scores, same = scored
    ours = plots.det(scores, same, label="some")
    theirs = DetCurveDisplay.from_predictions(same, scores, drop_intermediate=False).ax_
    np.testing.assert_allclose(ours.lines[1].get_xydata(), theirs.lines[0].get_xydata())
    assert ours.lines[1].get_label().startswith("some (EER ")
    ticks = dict(zip(ours.get_xticks(), (label.get_text() for label in ours.get_xticklabels()), strict=True))
    assert ticks[0] == "50%" and "0.1%" in ticks.values() and "5%" in ticks.values()
    perfect = plots.det([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]).lines[1]
    assert np.isfinite(perfect.get_xydata()).all() and perfect.get_label() == "EER 0.0%"


def test_score_histogram_shows_both_classes_as_shares(scored):
    scores, same = scored
    ax = plots.score_histogram(scores[40:], same[40:], 0.4)
    assert ax.lines[0].get_xdata() == [0.4, 0.4] and "threshold 0.400" in ax.get_legend_handles_labels()[1]
    for polygon, label in zip(ax.patches, (1, 0), strict=True):
        own = scores[40:][same[40:] == label]
        corners = polygon.get_path().vertices
        edges = np.unique(corners[:, 0])
        counts, _ = np.histogram(own, edges)
        assert len(edges) > 10 and corners[:, 1].max() == pytest.approx(counts.max() / len(own))
    assert len(plots.score_histogram([0.5, 0.5], [0, 1], 0.5).patches) == 2, "one score for all"


def test_calibration_compares_tenths_of_the_pairs():
    random = np.random.default_rng(0)
    probabilities = random.permutation(200) / 200
    same = (random.random(200) < probabilities**2).astype(int)
    curve = plots.calibration(probabilities, same).lines[1]
    tenths = np.argsort(probabilities).reshape(10, 20)
    np.testing.assert_allclose(curve.get_xdata(), [probabilities[tenth].mean() for tenth in tenths])
    np.testing.assert_allclose(curve.get_ydata(), [same[tenth].mean() for tenth in tenths])
    with pytest.raises(ValueError, match="in \\[0, 1\\]. Received: values from -1 to 0.5"):
        plots.calibration([-1, 0.5], [0, 1])


@pytest.mark.parametrize(
    "draw", [plots.roc, plots.det, lambda *bad: plots.score_histogram(*bad, 0.5), plots.calibration]
)
@pytest.mark.parametrize(
    ("scores", "same", "message"),
    [
        ([0.1, 0.2], [1, 1], "both classes"),
        ([0.1, float("nan")], [0, 1], "finite"),
        ([0.1], [0, 1], "shape"),
        ([], [], "both classes"),
        ([0.1, 0.2], [0, 2], "both classes"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, scores, same, message):
    with pytest.raises(ValueError, match=message):
        draw(scores, same)
    assert not plt.get_fignums()


def test_a_threshold_must_be_finite():
    with pytest.raises(ValueError, match="threshold=nan"):
        plots.score_histogram([0.1, 0.2], [0, 1], float("nan"))
