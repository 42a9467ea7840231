"""As `siamese_nn.verification`."""

from .embedding import Embedding
from .gallery import Gallery
from .stored_gallery import StoredGallery
from .verifier import Verifier

__all__ = ["Embedding", "Gallery", "StoredGallery", "Verifier"]
