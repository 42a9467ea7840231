import itertools
import json
from dataclasses import replace

import pytest

from searches import BASE, GRID, RANGE
from siamese_nn.studies import search, search_space

pytestmark = pytest.mark.once


def test_values_that_go_only_together_are_no_slip(fake, sets, tmp_path):
    space = {"trainable": ["none", "all"], "backbone": ["report_cnn", "ResNet50"]}
    search_space.require_sense(BASE, space)
    with pytest.raises(ValueError, match="`trainable` in `space`, its value 'none'"):
        search_space.require_sense(BASE, {"trainable": ["none", "all"]})
    with pytest.raises(ValueError, match="`learning_rate` in `space`, its value -1.0: .*positive"):
        search_space.require_sense(BASE, {**GRID, "learning_rate": {"low": -1.0, "high": 1.0}})


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
