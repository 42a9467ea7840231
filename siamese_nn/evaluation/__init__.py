"""Scores, thresholds and figures."""

from .calibration import Calibration, fit_platt
from .comparison import Comparison, Cosine, Euclidean, LikelihoodRatio, NormalizedScores
from .cross_pairs import AllPairsReport, all_pairs
from .groups import GroupRates, GroupReport, rates_by_group, read_groups
from .intervals import Rate
from .likelihood import Cost, cllr, detection_cost, min_cllr, min_detection_cost
from .metrics import VerificationReport, choose_threshold, equal_error_rate, verification_report
from .one_shot import one_shot_accuracy
from .open_set import GalleryThreshold, HeldOutScores, spread_photos
from .plda import Plda, fit_plda
from .protocols import FoldsReport, cross_validate, cross_validate_plda, folds_report, require_unseen
from .scoring import compare, compare_all, embed, score_matrix, score_pairs, score_raw_pixels
from .suspects import SamePerson, Suspect, rank_same_people, rank_suspects

__all__ = [
    "AllPairsReport",
    "Calibration",
    "Comparison",
    "Cosine",
    "Cost",
    "Euclidean",
    "FoldsReport",
    "GalleryThreshold",
    "GroupRates",
    "GroupReport",
    "HeldOutScores",
    "LikelihoodRatio",
    "NormalizedScores",
    "Plda",
    "Rate",
    "SamePerson",
    "Suspect",
    "VerificationReport",
    "all_pairs",
    "choose_threshold",
    "cllr",
    "compare",
    "compare_all",
    "cross_validate",
    "cross_validate_plda",
    "detection_cost",
    "embed",
    "equal_error_rate",
    "fit_platt",
    "fit_plda",
    "folds_report",
    "min_cllr",
    "min_detection_cost",
    "one_shot_accuracy",
    "rank_same_people",
    "rank_suspects",
    "rates_by_group",
    "read_groups",
    "require_unseen",
    "score_matrix",
    "score_pairs",
    "score_raw_pixels",
    "spread_photos",
    "verification_report",
]
