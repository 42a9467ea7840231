"""Recipes, the training itself, and what a run folder holds."""

from ..recipes.named import CFP_EXPERIMENTS, RECIPES, REPORT_EXPERIMENTS
from ..recipes.precision import fastest_precision
from ..recipes.recipe import Recipe
from ..recipes.recipe_file import read_recipe
from ..runs.folder import read_history
from ..runs.summary import describe, examples_table, results_table
from .callbacks import (
    AtomicModelCheckpoint,
    RunState,
    StopWhenDiverged,
    completed_epochs,
    standard_callbacks,
)
from .claim import RunFolderInUse
from .train import train
from .validation import VerificationCallback, ViolatingTriplets

__all__ = [
    "CFP_EXPERIMENTS",
    "RECIPES",
    "REPORT_EXPERIMENTS",
    "AtomicModelCheckpoint",
    "Recipe",
    "RunFolderInUse",
    "RunState",
    "StopWhenDiverged",
    "VerificationCallback",
    "ViolatingTriplets",
    "completed_epochs",
    "describe",
    "examples_table",
    "fastest_precision",
    "read_history",
    "read_recipe",
    "results_table",
    "standard_callbacks",
    "train",
]
