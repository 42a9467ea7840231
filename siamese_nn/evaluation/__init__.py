"""Scores, thresholds and figures."""

from .calibration import Calibration, fit_platt
from .comparison import Comparison, Cosine, Euclidean, LikelihoodRatio, NormalizedScores
from .metrics import VerificationReport, choose_threshold, equal_error_rate, verification_report
from .open_set import GalleryThreshold, HeldOutScores, Rate, spread_photos
from .plda import Plda, fit_plda
from .protocols import FoldsReport, cross_validate, cross_validate_plda, folds_report, require_unseen
from .scoring import compare, compare_all, embed, score_matrix, score_pairs, score_raw_pixels

__all__ = [
    "Calibration",
    "Comparison",
    "Cosine",
    "Euclidean",
    "FoldsReport",
    "GalleryThreshold",
    "HeldOutScores",
    "LikelihoodRatio",
    "NormalizedScores",
    "Plda",
    "Rate",
    "VerificationReport",
    "choose_threshold",
    "compare",
    "compare_all",
    "cross_validate",
    "cross_validate_plda",
    "embed",
    "equal_error_rate",
    "fit_platt",
    "fit_plda",
    "folds_report",
    "require_unseen",
    "score_matrix",
    "score_pairs",
    "score_raw_pixels",
    "spread_photos",
    "verification_report",
]
