import matplotlib.pyplot as plt
import pytest

from siamese_nn import plots


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
