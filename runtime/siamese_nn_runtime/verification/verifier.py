"""As `siamese_nn.verification.verifier`: it loads and answers, and makes and measures nothing."""

from .gallery import Gallery
from .loaded import LoadedVerifier as Verifier

__all__ = ["Gallery", "Verifier"]
