"""Backbones from an image to features, and the Siamese models over them."""

from .backbones import koch_cnn, report_cnn
from .layers import L1Distance
from .siamese import comparison_model, embedding_model, l1_sigmoid

__all__ = ["L1Distance", "comparison_model", "embedding_model", "koch_cnn", "l1_sigmoid", "report_cnn"]
