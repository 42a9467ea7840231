"""As `siamese_nn.verification`."""

from .embedding import Embedding
from .gallery import Gallery
from .verifier import Verifier

__all__ = ["Embedding", "Gallery", "Verifier"]
