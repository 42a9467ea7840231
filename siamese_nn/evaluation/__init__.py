"""Scores, thresholds and figures."""

from .metrics import VerificationReport, choose_threshold, equal_error_rate, verification_report
from .scoring import score_pairs, score_raw_pixels

__all__ = [
    "VerificationReport",
    "choose_threshold",
    "equal_error_rate",
    "score_pairs",
    "score_raw_pixels",
    "verification_report",
]
