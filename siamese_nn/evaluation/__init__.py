"""Scores, thresholds and figures."""

from .calibration import Calibration, fit_platt
from .cross_pairs import AllPairsReport, all_pairs
from .intervals import Rate
from .metrics import VerificationReport, choose_threshold, equal_error_rate, verification_report
from .open_set import GalleryThreshold, HeldOutScores, spread_photos
from .plda import Plda, fit_plda
from .protocols import FoldsReport, cross_validate, cross_validate_plda, require_unseen
from .scoring import compare, compare_all, embed, score_matrix, score_pairs, score_raw_pixels

__all__ = [
    "AllPairsReport",
    "Calibration",
    "FoldsReport",
    "GalleryThreshold",
    "HeldOutScores",
    "Plda",
    "Rate",
    "VerificationReport",
    "all_pairs",
    "choose_threshold",
    "compare",
    "compare_all",
    "cross_validate",
    "cross_validate_plda",
    "embed",
    "equal_error_rate",
    "fit_platt",
    "fit_plda",
    "require_unseen",
    "score_matrix",
    "score_pairs",
    "score_raw_pixels",
    "spread_photos",
    "verification_report",
]
