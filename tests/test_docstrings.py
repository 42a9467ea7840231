"""What is exported is shown by an example that the tests run; all arguments are described, in one form."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import siamese_nn

pytestmark = pytest.mark.once
# In this order. mkdocstrings knows them, but for "Call arguments" and "Reference", which it shows as text.
SECTIONS = "Args", "Attributes", "Call arguments", "Returns", "Yields", "Raises", "Reference", "Example"


def modules():
    """All modules of the library."""
    found = pkgutil.walk_packages(siamese_nn.__path__, "siamese_nn.")
    return [siamese_nn, *(importlib.import_module(module.name) for module in found)]


def exported():
    """What `studies` and the rooms that `siamese_nn` names export: classes, functions, constants, by name."""
    rooms = tuple(f"siamese_nn.{name}" for name in ("studies", *siamese_nn.__all__))
    for module in modules():
        if module is siamese_nn or module.__name__.startswith(rooms):
            names = getattr(module, "__all__", ())
            if module is siamese_nn.plots:  # matplotlib's and the library's own names are no part of it
                own = {name: getattr(value, "__module__", "") for name, value in vars(module).items()}
                names = [name for name in own if own[name] == module.__name__ and name[0] != "_"]
            yield from ((name, getattr(module, name)) for name in names)


def is_documented(value):
    return inspect.isclass(value) or inspect.isfunction(value)


def docstrings(name, value):
    """An object's docstring; of a constant those of the modules that hold and name it."""
    if is_documented(value):
        return [value.__doc__ or ""]
    holders = (module for module in modules() if vars(module).get(name) is value)
    return [module.__doc__ for module in holders if name in (module.__doc__ or "")]


def shows_a_value(docstring):
    """Whether it holds an example that is run and says what comes of it."""
    examples = doctest.DocTestParser().get_examples(docstring)
    return any(example.want.strip(".\n") and not example.options.get(doctest.SKIP) for example in examples)


def test_each_exported_object_has_an_example_that_is_run():
    objects = [(name, value) for name, value in exported() if not inspect.ismodule(value)]
    assert len(objects) > 150
    assert not [name for name, value in objects if not any(map(shows_a_value, docstrings(name, value)))]


def documented():
    """The library's classes and functions, and the methods of these classes, with name and docstring."""
    for module in modules():
        for value in vars(module).values():
            if is_documented(value) and value.__module__ == module.__name__:
                members = vars(value).values() if inspect.isclass(value) else ()
                for each in (value, *(getattr(member, "__func__", member) for member in members)):
                    if is_documented(each) and each.__doc__:
                        yield f"{module.__name__}.{each.__qualname__}", each, inspect.cleandoc(each.__doc__)


def section(docstring, name):
    """The text of a section, without its indentation."""
    found = re.search(rf"^{name}:\n((?:    .*\n|\n)+)", docstring + "\n", re.MULTILINE)
    return inspect.cleandoc("\n" + found[1]) if found else ""


def parameters(value):
    """The names of what a class or function takes."""
    return {name for name in inspect.signature(value).parameters if name not in ("self", "cls")}


def test_what_is_described_are_the_arguments_and_all_of_them():
    wrong = {}
    for name, value, docstring in documented():
        heads = re.findall(r"^(\S[^:]*):(?: |$)", section(docstring, "Args"), re.MULTILINE)
        described = {part.strip(" *") for head in heads for part in head.split(",")}
        if not described:
            continue
        base = getattr(value, "__base__", object)  # describes what it takes itself
        inherited = parameters(base) if base.__module__.startswith("siamese_nn") else set()
        if not parameters(value) - inherited <= described <= parameters(value):
            wrong[name] = described ^ parameters(value)
    assert not wrong


def test_sections_come_in_one_order():
    wrong = {}
    for name, _, docstring in documented():
        heads = re.findall(r"^([A-Z][a-z]+(?: [a-z]+)?):$", docstring, re.MULTILINE)
        if [head for head in SECTIONS if head in heads] != heads:
            wrong[name] = heads
    assert not wrong
