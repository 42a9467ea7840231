"""A network as a tool: verify, identify, cluster, by a run of this library or by anybody's embedding."""

from .embedding import Embedding
from .gallery import Gallery
from .stored_gallery import StoredGallery
from .verifier import Verifier

__all__ = ["Embedding", "Gallery", "StoredGallery", "Verifier"]
