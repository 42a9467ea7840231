"""Recipes, the training itself, and what a run folder holds."""

from ..run_folder import read_history
from .callbacks import (
    AtomicModelCheckpoint,
    RunState,
    StopWhenDiverged,
    completed_epochs,
    standard_callbacks,
)
from .experiments import CFP_EXPERIMENTS, RECIPES, REPORT_EXPERIMENTS
from .precision import fastest_precision
from .recipes import Recipe
from .run_claim import RunFolderInUse
from .summary import describe, examples_table, results_table
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
    "results_table",
    "standard_callbacks",
    "train",
]
