"""The searches that the tests of `studies` run."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna

from siamese_nn.studies import search_queue
from siamese_nn.training import Recipe

BASE = Recipe(image_size=(80, 80), filters=2, units=8, batch_size=16, epochs=2)
GRID = {"units": [4, 8, 16], "learning_rate": [0.001, 0.002]}
SMALL_GRID = {"units": [4, 8], "learning_rate": [0.001, 0.002]}
RANGE = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


def load(folder: Path) -> optuna.Study:
    """The study of a search."""
    storage = search_queue.open_storage(str(folder / "search.journal"))
    return optuna.load_study(study_name=folder.name, storage=storage)


def wait_until(true: Callable[[], bool]) -> None:
    """Waits, for no longer than a loaded machine takes."""
    deadline = time.monotonic() + 900
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def figure(recipe: Recipe, epoch: int) -> float:
    return 0.9 - abs(np.log10(recipe.learning_rate) + 3) / 5 + epoch / 100
