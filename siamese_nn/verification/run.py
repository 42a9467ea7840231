"""A run's folder as a verifier."""

from pathlib import Path

from ..evaluation.calibration import Calibration
from ..files import digest
from ..runs.folder import FOLD, FOLDS_MODEL, RECIPE, RESULTS, VERIFIER, read_results, read_verifier_settings
from .embedding import Embedding
from .fitted import Fitted
from .safe_loading import read_held_out_scores


def load_run(run_dir: Path) -> Fitted:
    """Reads what a run's folder holds of its verifier; see `Verifier.load`."""
    if not (run_dir / RECIPE).exists() and not (run_dir / VERIFIER).exists():
        if (run_dir / FOLD.format(1)).is_dir():
            raise FileNotFoundError(
                f"{run_dir} holds a run for each fold, and is no run itself. Give one of them. The one to "
                f"use is {run_dir / FOLDS_MODEL}, which `train --folds` makes. To audit or measure people of "
                "the folds, take a run of other people: each of these has learnt from some of them, and "
                "scores of two folds can't be compared"
            )
        raise FileNotFoundError(
            f"{run_dir} is no run folder (it has no {RECIPE}). Give the folder that `siamese-nn train` named"
        )
    if not (run_dir / RESULTS).exists():
        raise FileNotFoundError(
            f"{run_dir} is half-written (it has no {RESULTS}). Give the same `siamese-nn train` command "
            "again: it goes on where it stood"
        )
    held = read_results(run_dir).get("files", {}).get(VERIFIER)
    if not (run_dir / VERIFIER).exists():
        raise FileNotFoundError(
            f"{run_dir} has no {VERIFIER}. Give the same `siamese-nn train` command again: it makes it anew"
        )
    if held not in (None, digest(run_dir / VERIFIER)):
        raise ValueError(
            f"{run_dir / VERIFIER} has changed since the run was measured. Give "
            "the same `siamese-nn train` command again: it makes it anew"
        )
    settings = read_verifier_settings(run_dir)
    calibration = settings["calibration"]
    embedding = Embedding.of_run(run_dir)
    return Fitted(
        embedding,
        comparison=embedding.comparison,
        threshold=float(settings["threshold"]),
        calibration=Calibration(calibration["slope"], calibration["intercept"]),
        held_out=read_held_out_scores(run_dir, settings["held_out"]),
        digest=settings["model_sha256"],
        provenance=settings,
    )
