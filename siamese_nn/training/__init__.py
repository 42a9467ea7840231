"""Recipes, the training itself, and what a run folder holds."""

from .callbacks import AtomicModelCheckpoint, RunState, completed_epochs, standard_callbacks
from .measure import describe, examples_table, read_history, results_table
from .recipes import RECIPES, REPORT_EXPERIMENTS, Recipe
from .train import train

__all__ = [
    "RECIPES",
    "REPORT_EXPERIMENTS",
    "AtomicModelCheckpoint",
    "Recipe",
    "RunState",
    "completed_epochs",
    "describe",
    "examples_table",
    "read_history",
    "results_table",
    "standard_callbacks",
    "train",
]
