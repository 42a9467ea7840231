"""Losses as Keras objects, each with its function, and what belongs to them."""

from .circle import CircleLoss, circle_loss
from .contrastive import ContrastiveLoss, contrastive_loss
from .cosine_embedding import CosineEmbeddingLoss, cosine_embedding_loss
from .distances import pairwise_distances
from .explicit_triplet import TripletLoss, triplet_loss
from .harmonic import HarmonicTripletLoss, harmonic_triplet_loss
from .margin_softmax import (
    ArcFaceLoss,
    CosFaceLoss,
    SphereFaceLoss,
    arcface_loss,
    cosface_loss,
    sphereface_loss,
)
from .monitors import ActiveTriplets, NegativeDistance, PositiveDistance
from .multi_similarity import MultiSimilarityLoss, multi_similarity_loss
from .triplet import TripletHardLoss, TripletSemiHardLoss, triplet_hard_loss, triplet_semihard_loss

__all__ = [
    "ActiveTriplets",
    "ArcFaceLoss",
    "CircleLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "CosineEmbeddingLoss",
    "HarmonicTripletLoss",
    "MultiSimilarityLoss",
    "NegativeDistance",
    "PositiveDistance",
    "SphereFaceLoss",
    "TripletHardLoss",
    "TripletLoss",
    "TripletSemiHardLoss",
    "arcface_loss",
    "circle_loss",
    "contrastive_loss",
    "cosface_loss",
    "cosine_embedding_loss",
    "harmonic_triplet_loss",
    "multi_similarity_loss",
    "pairwise_distances",
    "sphereface_loss",
    "triplet_hard_loss",
    "triplet_loss",
    "triplet_semihard_loss",
]
