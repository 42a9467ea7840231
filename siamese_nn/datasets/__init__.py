"""From photos and pair files to `tf.data`: everything up to the network's input."""

from typing import TYPE_CHECKING, Any

from .download import download_lfw_a, download_pairs
from .images import ImageError, load_image, load_images
from .lfw_a import check_lfw_a, load_lfw_a, organize_lfw_a
from .pair_files import PairFileError, read_folds, read_pairs, write_pairs
from .pairs import Pairs, class_table, letter_counts, letter_table
from .splits import (
    IdentityLeakError,
    IdentityLeakWarning,
    propose_letters,
    require_disjoint,
    shared_identities,
    split_by_letter,
    split_identities,
)
from .toy_faces import make_toy_faces

__all__ = [
    "IdentityLeakError",
    "IdentityLeakWarning",
    "ImageError",
    "PairFileError",
    "Pairs",
    "check_lfw_a",
    "class_table",
    "download_lfw_a",
    "download_pairs",
    "identity_dataset",
    "letter_counts",
    "letter_table",
    "load_image",
    "load_images",
    "load_lfw_a",
    "make_toy_faces",
    "organize_lfw_a",
    "pair_dataset",
    "propose_letters",
    "read_folds",
    "read_pairs",
    "require_disjoint",
    "shared_identities",
    "split_by_letter",
    "split_identities",
    "write_pairs",
]

if TYPE_CHECKING:
    from .pipelines import identity_dataset, pair_dataset


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import, and pair files don't need it.
    if name in ("identity_dataset", "pair_dataset"):
        from . import pipelines

        return getattr(pipelines, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
