"""The page of a verifier over anybody's embedding: its figures on people who had no part in it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.pairs import Pairs
from ..evaluation import VerificationReport
from ..runs import html_page
from ..runs.page import Shown, figures_of, shown_calibration, shown_curves, shown_pairs

if TYPE_CHECKING:
    from .verifier import Verifier


def write_report_page(
    verifier: "Verifier",
    pairs: Pairs,
    scores: np.ndarray,
    report: VerificationReport,
    output: str | os.PathLike,
) -> Path:
    """Writes the page, and returns its path. The photos of some pairs are in it, small."""
    embedding = verifier.embedding
    columns = {name: getattr(pairs, name).tolist() for name in ("left", "right", "same")}
    columns |= {name: getattr(pairs, name).tolist() for name in ("left_identities", "right_identities")}
    seen = {"image_size": embedding.image_size, "crop": embedding.crop, "channels": embedding.channels}
    own = Shown({"test": {**columns, "best": scores.tolist()}}, {"test": report}, verifier.calibration, seen)
    people = verifier.provenance["people"]
    settings = {
        **{name: value for name, value in embedding.as_dict().items() if name not in ("source", "frame")},
        "frame": "not known" if embedding.frame is None else embedding.frame.points,
        **embedding.as_dict()["source"],
        "compared by": type(verifier.comparison).__name__,
        "people it was trained on": len(people["trained_on"]) or "not known",
        **{f"people of its {name}": len(people[name]) for name in ("plda", "cohort") if people.get(name)},
        "digest": verifier.digest,
    }
    headline, intervals = figures_of(report)
    with html_page.style():
        return html_page.write_page(
            output,
            "verifier.html",
            title=embedding.name,
            figures=report,
            headline=headline,
            intervals=intervals,
            settings=[(name, str(value)) for name, value in settings.items()],
            chosen_on=verifier.provenance["chosen_on"],
            curves=shown_curves(own),
            calibration=shown_calibration(own),
            examples=shown_pairs(own)["examples"],
        )
