"""Verifiers of siamese_nn without TensorFlow; see `siamese_nn.verification`."""

from .verification import Embedding, Gallery, StoredGallery, Verifier

__version__ = "0.1.0"
__all__ = ["Embedding", "Gallery", "StoredGallery", "Verifier"]
