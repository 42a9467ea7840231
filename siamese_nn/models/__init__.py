"""Backbones from an image to features, and the Siamese models over them."""

from .backbones import koch_cnn, report_cnn
from .layers import DistanceAccuracy, EuclideanDistance, L1Distance
from .siamese import (
    comparison_model,
    cosine_embedding,
    decision_network,
    embedding_model,
    euclidean_contrastive,
    explicit_triplets,
    l1_sigmoid,
    triplet_embedding,
)

__all__ = [
    "DistanceAccuracy",
    "EuclideanDistance",
    "L1Distance",
    "comparison_model",
    "cosine_embedding",
    "decision_network",
    "embedding_model",
    "euclidean_contrastive",
    "explicit_triplets",
    "koch_cnn",
    "l1_sigmoid",
    "report_cnn",
    "triplet_embedding",
]
