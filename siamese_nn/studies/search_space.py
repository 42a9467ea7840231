"""A search space: plain data over the fields of `Recipe`."""

import itertools
import json
import math
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna import Trial
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ..recipes.recipe import CONSTRAINTS, Recipe

Distribution = CategoricalDistribution | FloatDistribution | IntDistribution

_FIELDS = tuple(Recipe().as_dict())
_NOT_SEARCHED = {
    "split": "the pairs are split before the search",
    "letters": "the pairs are split before the search",
    "monitor": "it is what the search compares by",
}
_EACH = ("kernel_sizes",)  # a range of which each convolution draws from for itself
_SQUARES = ("image_size", "crop")  # a range of which is of the side of a square
_COMBINATIONS = 10_000  # of the other fields' values, the most that are tried
_GRID = 10_000  # trainings, the most that a grid may ask for


def read_space(path: str | os.PathLike) -> dict[str, Any]:
    """Reads a space from a TOML file or a JSON file, which has null; see `search.search` for what it holds.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is neither, or damaged, or no table.

    Example:
        >>> _ = Path("space.toml").write_text("filters = [4, 8]")
        >>> read_space("space.toml")
        {'filters': [4, 8]}
    """
    path = Path(path)
    loads = {".toml": tomllib.loads, ".json": json.loads}.get(path.suffix)
    if loads is None:
        raise ValueError(f"A space must be a .toml or .json file. Received: {path}")
    if not path.is_file():
        raise FileNotFoundError(f"A space must be a .toml or .json file. Received: {path}, which is no file")
    try:
        space = loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(space, dict):
        raise ValueError(
            f"{path} must hold a table with a field of `Recipe` for each name. Received: {space!r}"
        )
    return space


def distributions(space: Mapping[str, Any]) -> dict[str, Distribution]:
    """Returns Optuna's distribution for every parameter of a space.

    A field is one parameter, a range of `kernel_sizes` four.

    Raises:
        ValueError: naming the field, if it is none of `Recipe`, or what is given for it is neither choices
            nor a range.

    Example:
        >>> distributions({"units": {"low": 64, "high": 2048, "log": True}})
        {'units': IntDistribution(high=2048, log=True, low=64, step=1)}
    """
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f"`space` must give choices or a range for at least one field. Received: {space!r}")
    found: dict[str, Distribution] = {}
    for name, values in space.items():
        distribution = _distribution(name, values)
        found |= dict.fromkeys(_parameters(name, values), distribution)
    return found


def _parameters(name: str, values: Any) -> list[str]:
    """The names of the parameters that make a field."""
    if name in _EACH and isinstance(values, Mapping):
        return [f"{name}_{i + 1}" for i in range(CONSTRAINTS[name].parts)]
    return [name]


def require_sense(base: Recipe, space: Mapping[str, Any]) -> None:
    """Raises `ValueError`, naming the field, if `Recipe` refuses a choice or an end of a range.

    A value that `base` alone doesn't go with passes where it goes with some values of the other fields.
    """
    values = {
        name: distribution.choices
        if isinstance(distribution, CategoricalDistribution)
        else (distribution.low, distribution.high)
        for name, distribution in distributions(space).items()
    }
    for field, choices in space.items():
        own = _parameters(field, choices)
        others = {name: values[name] for name in values if name != own[0]}
        for value in values[own[0]]:
            point = dict.fromkeys(own, value)
            try:
                recipe_at(base, {field: choices}, point)
            except ValueError as error:
                among = itertools.islice(itertools.product(*others.values()), _COMBINATIONS)
                if not any(
                    _is_recipe(base, space, point | dict(zip(others, rest, strict=True))) for rest in among
                ):
                    raise ValueError(f"`{field}` in `space`, its value {value!r}: {error}") from error


def _is_recipe(base: Recipe, space: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    with suppress(ValueError):
        recipe_at(base, space, parameters)
        return True
    return False


def grid(space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns every point of a space, as Optuna's parameters; the last field varies fastest.

    Raises:
        ValueError: if a range has no end of points: it is logarithmic, or of floats without a `step`; or
            there are more points than anybody could train.
    """
    columns = {name: _points(name, distribution) for name, distribution in distributions(space).items()}
    _require_few(math.prod(map(len, columns.values())))
    return [dict(zip(columns, point, strict=True)) for point in itertools.product(*columns.values())]


def suggest(trial: Trial, space: Mapping[str, Any]) -> dict[str, Any]:
    """Draws a value for every field, or takes those that the trial has already, and returns them."""
    for name, distribution in distributions(space).items():
        if isinstance(distribution, CategoricalDistribution):
            trial.suggest_categorical(name, distribution.choices)
        elif isinstance(distribution, IntDistribution):
            whole = distribution
            trial.suggest_int(name, whole.low, whole.high, step=whole.step, log=whole.log)
        else:
            real = distribution
            trial.suggest_float(name, real.low, real.high, step=real.step, log=real.log)
    return trial.params


def recipe_at(base: Recipe, space: Mapping[str, Any], parameters: Mapping[str, Any]) -> Recipe:
    """Returns `base` with Optuna's parameters put in.

    Raises:
        ValueError: if `Recipe` refuses it.
    """
    values = dict(parameters)
    for name, choices in space.items():
        if not isinstance(choices, Mapping):
            values[name] = {_label(choice): choice for choice in choices}[parameters[name]]
        elif name in _EACH:
            values[name] = tuple(values.pop(parameter) for parameter in _parameters(name, choices))
        elif name in _SQUARES:
            values[name] = (parameters[name],) * 2
    try:
        return replace(base, **values)
    except TypeError as error:  # as from a comparison of a word with a number
        raise ValueError(f"{values}: {error}") from error


def _distribution(name: str, values: Any) -> Distribution:
    if name not in _FIELDS:
        raise ValueError(f"`space` must name fields of `Recipe`: {', '.join(_FIELDS)}. Received: {name}")
    if name in _NOT_SEARCHED:
        raise ValueError(f"`space` can't hold `{name}`: {_NOT_SEARCHED[name]}")
    if isinstance(values, Mapping):
        return _range(name, values)
    if not isinstance(values, (list, tuple)) or not values:
        raise ValueError(
            f"`{name}` in `space` must be a list of choices, or a range such as {{'low': 1, 'high': 8}}. "
            f"Received: {values!r}"
        )
    try:
        texts = [json.dumps(value) for value in values]
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` in `space` must hold plain data: {error}") from error
    if len(set(texts)) < len(texts):
        raise ValueError(f"`{name}` in `space` must hold each choice once. Received: {values!r}")
    return CategoricalDistribution([_label(value) for value in values])


def _range(name: str, values: Mapping[str, Any]) -> IntDistribution | FloatDistribution:
    kind = CONSTRAINTS[name].number if name in CONSTRAINTS else None
    if kind is None:
        raise ValueError(
            f"`{name}` in `space` is no number: give a list of choices. Received: {dict(values)}"
        )
    if not {"low", "high"} <= set(values) <= {"low", "high", "log", "step"}:
        raise ValueError(
            f"`{name}` in `space`: a range must have `low` and `high`, and may have `log` or `step`. "
            f"Received: {dict(values)}"
        )
    options = dict(values)
    log = options.pop("log", False)
    number = (int, float) if kind is float else int
    if not all(isinstance(value, number) and type(value) is not bool for value in options.values()):
        word = "numbers" if kind is float else "whole numbers"
        raise ValueError(f"`{name}` in `space`: a range must be of {word}. Received: {dict(values)}")
    if not isinstance(log, bool):
        raise ValueError(f"`{name}` in `space`: `log` must be true or false. Received: {log!r}")
    if not all(map(math.isfinite, options.values())):
        raise ValueError(f"`{name}` in `space`: a range must have an end. Received: {dict(values)}")
    try:
        return (FloatDistribution if kind is float else IntDistribution)(log=log, **options)
    except ValueError as error:
        raise ValueError(f"`{name}` in `space`: {error} Received: {dict(values)}") from error


def _points(name: str, distribution: Distribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if distribution.log or distribution.step is None:
        raise ValueError(
            f'`{name}` in `space`: for sampler="grid" give a list of choices, or a range with a `step` and '
            "without `log`"
        )
    low, step = distribution.low, distribution.step
    count = int((distribution.high - low) / step + 1e-8) + 1
    _require_few(count)
    return [low + i * step for i in range(count)]


def _require_few(count: int) -> None:
    if count > _GRID:
        raise ValueError(
            f'`space` must have at most {_GRID:,} points for sampler="grid". Received one with {count:,}: '
            'give fewer values, or let sampler="random" draw from it'
        )


def _label(value: Any) -> Any:
    """A choice as Optuna can store it."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)
