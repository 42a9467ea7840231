"""Backbones from an image to features, and the Siamese models over them."""

from .backbones import koch_cnn, report_cnn
from .face import FACE_PATCHES, face_cnn, face_patches
from .finishing import MirrorImage, mirror_averaged, projected, side_by_side
from .layers import Cosine, CosineClassifier, DistanceAccuracy, EuclideanDistance, L1Distance, UnitLength
from .normalization import FusedBatchNormalization
from .patches import PhotoPatches
from .preprocessing import ImageNetPreprocessing, MeanFace, PhotoStandardization
from .pretrained import pretrained
from .resnext import GroupedConv2D
from .siamese import (
    classifier,
    comparison_model,
    cosine_embedding,
    cosine_sigmoid,
    decision_network,
    embedding_model,
    euclidean_contrastive,
    explicit_triplets,
    harmonic_embedding,
    l1_sigmoid,
    triplet_embedding,
)
from .textures import LocalBinaryPatterns, LocalPhaseQuantization, texture_histograms

__all__ = [
    "FACE_PATCHES",
    "Cosine",
    "CosineClassifier",
    "DistanceAccuracy",
    "EuclideanDistance",
    "FusedBatchNormalization",
    "GroupedConv2D",
    "ImageNetPreprocessing",
    "L1Distance",
    "LocalBinaryPatterns",
    "LocalPhaseQuantization",
    "MeanFace",
    "MirrorImage",
    "PhotoPatches",
    "PhotoStandardization",
    "UnitLength",
    "classifier",
    "comparison_model",
    "cosine_embedding",
    "cosine_sigmoid",
    "decision_network",
    "embedding_model",
    "euclidean_contrastive",
    "explicit_triplets",
    "face_cnn",
    "face_patches",
    "harmonic_embedding",
    "koch_cnn",
    "l1_sigmoid",
    "mirror_averaged",
    "pretrained",
    "projected",
    "report_cnn",
    "side_by_side",
    "texture_histograms",
    "triplet_embedding",
]
