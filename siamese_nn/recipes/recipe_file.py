"""Recipes as text: a TOML file, or single fields as `name=value`."""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..datasets import Augmentation
from .recipe import CONSTRAINTS, SHARED, Recipe

_NONE = "none"  # TOML has no null
_FIELDS = [own.name for own in fields(Recipe)]
_TABLES = {
    "augmentation": [own.name for own in fields(Augmentation)],
    **{before: [name for name in _FIELDS if name not in shared] for before, shared in SHARED.items()},
}


def read_recipe(path: str | os.PathLike) -> Recipe:
    r"""Reads a recipe from a TOML file, such as `siamese-nn recipes face > my.toml` writes.

    A field that the file does not name has the default of `Recipe`; `"none"` stands for `None`. Changes to
    photos are a table, `[augmentation]`, and so is the recipe of a pretraining, `[pretraining]`, or of a
    teacher, `[teacher]`. A pretraining takes over backbone, images, split and seed, and a teacher precision,
    split and seed, so those stand in the main recipe alone.

    Args:
        path: the file, in UTF-8.

    Returns:
        The recipe.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is no TOML, has an unknown field, or a value that `Recipe` refuses.

    Example:
        >>> _ = Path("my.toml").write_text('model = "circle"\nmargin = 0.4\nmonitor = "val_auc"\n')
        >>> read_recipe("my.toml").margin
        0.4
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"A recipe must be a name or a .toml file. Received: {path}, which is no file. "
            f"`siamese-nn recipes face > {path}` writes one"
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows writes a mark before it
        if not values:
            raise ValueError(f"It must name a field at least. `siamese-nn recipes face > {path}` writes all")
        return Recipe(**_checked(values, _FIELDS, {}))
    except UnicodeDecodeError as error:  # as PowerShell writes what a command prints
        raise ValueError(f"{path} must be text in UTF-8. Received other bytes. Save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error


def as_toml(recipe: Recipe) -> str:
    """Returns all fields of a recipe as text, which `read_recipe` reads."""
    return "\n".join(_lines(recipe.as_dict(), _FIELDS)) + "\n"


def with_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Returns a recipe with some fields changed.

    Args:
        recipe: where to start from.
        settings: each `field=value`, as `learning_rate=3e-4`, `image_size=96x80`, `crop=none`,
            `textures=lbp,lpq` or `augmentation.rotation=5`.

    Raises:
        ValueError: if there is no such field, one is set twice, or `Recipe` refuses the value.

    Example:
        >>> with_settings(Recipe(), ["learning_rate=3e-4", "image_size=96x80"]).image_size
        (96, 80)
    """
    values, seen = recipe.as_dict(), set()
    for setting in settings:
        place, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or place in seen:
            rule = "be given once" if equals else "be FIELD=VALUE, as learning_rate=3e-4"
            raise ValueError(f"A setting must {rule}. Received: {setting}")
        seen.add(place)
        *tables, name = place.split(".")
        table, names = values, _FIELDS
        for part in tables:
            _require_known(part, [name for name in _TABLES if name in names])
            table, names = table[part], _TABLES[part]
            if table is None:
                raise ValueError(
                    f"{setting}: the recipe has no `{part}`. Write it into a file, and add a table [{part}]"
                )
        _require_known(name, names)
        if name in _TABLES and text != _NONE:
            raise ValueError(
                f"`{name}` can only be set to {_NONE}. Set its fields, as {name}.{_TABLES[name][0]}=..., or "
                f"write a table [{name}] into a file. Received: {setting}"
            )
        table[name] = _value(name, text)
    return Recipe(**values)


def _checked(values: dict[str, Any], names: list[str], shared: dict[str, Any]) -> dict[str, Any]:
    """The fields of a file, as `Recipe` takes them; `shared` are those that it takes over from another."""
    for name in values:
        _require_known(name, names)
    values = shared | {key: None if _stands_for_none(key, value) else value for key, value in values.items()}
    taken = {
        before: {name: values[name] for name in fields if name in values} for before, fields in SHARED.items()
    }
    for name in _TABLES:
        if isinstance(values.get(name), str):
            raise ValueError(f"`{name}` must be a table [{name}], or {_NONE!r}. Received: {values[name]!r}")
        if isinstance(values.get(name), dict):
            values[name] = _checked(values[name], _TABLES[name], taken.get(name, {}))
    return values


def _require_known(name: str, names: list[str]) -> None:
    if name in names:
        return
    if name in SHARED["pretraining"]:  # a teacher's are among them
        raise ValueError(f"`{name}` is for the main recipe, from which this takes it over. Set it there")
    nearest = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {nearest[0]}?" if nearest else f"It has {', '.join(names)}"
    raise ValueError(f"A recipe has no field `{name}`. {hint}")


def _stands_for_none(name: str, value: Any) -> bool:
    return value == _NONE and (name in _TABLES or (name in CONSTRAINTS and CONSTRAINTS[name].or_none))


def _value(name: str, text: str) -> Any:
    """What a text stands for; whether the field may hold it, `Recipe` knows."""
    if _stands_for_none(name, text):
        return None
    if name == "textures" and re.fullmatch(r"\w+(,\w+)*", text):
        return text.split(",")
    constraint = CONSTRAINTS.get(name)
    if constraint and constraint.parts > 1 and re.fullmatch(r"\d+([x,]\d+)+", text):
        return [int(part) for part in re.split("[x,]", text)]
    if constraint and constraint.number is None and all(isinstance(its, str) for its in constraint.choices):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _lines(values: dict[str, Any], names: list[str], title: str = "") -> Iterator[str]:
    tables = {name: values[name] for name in names if isinstance(values[name], dict)}
    for name in names:
        if name not in tables:
            value = _NONE if values[name] is None else values[name]
            yield f"{name} = {json.dumps(value, ensure_ascii=False)}"
    for name, table in tables.items():
        yield f"\n[{title}{name}]"
        yield from _lines(table, _TABLES[name], f"{title}{name}.")
