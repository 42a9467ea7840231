"""From photos and pair files to `tf.data`: everything up to the network's input."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .aligned_folder import AlignedFolderInUse, align_folder
from .aligned_lfw_a import align_lfw_a
from .cfp import cfp_photos, read_cfp_folds, read_names, split_cfp_folds
from .cfp_archive import cfp_is_aligned, organize_cfp
from .decoded import DecodedPhotos
from .download import download_lfw_a, download_pairs
from .folds import folds_in_turn, people_folds
from .frames import known_frame
from .further_people import add_people, all_people
from .images import ImageError, load_image, load_images, photo_sizes
from .lfw_a import check_lfw_a, organize_lfw_a
from .lfw_a_folder import lfw_a_photos, load_lfw_a, load_lfw_a_folds
from .own_people import OwnPeople, load_people, make_pairs
from .pair_files import PairFileError, read_folds, read_pairs, write_pairs
from .pairs import Pairs, class_table, letter_counts, letter_table
from .photo_folders import photos_by_identity, training_photos
from .photo_format import PhotoFormat
from .raw_photos import open_raw_photo
from .shard_writing import write_shards
from .shards import read_shards
from .splits import (
    IdentityLeakError,
    IdentityLeakWarning,
    require_disjoint,
    shared_identities,
    split_by_letter,
    split_identities,
    without_people,
)
from .toy_cfp import make_toy_cfp
from .toy_faces import make_toy_faces

__all__ = [
    "AlignedFolderInUse",
    "Augmentation",
    "DecodedPhotos",
    "IdentityLeakError",
    "IdentityLeakWarning",
    "ImageError",
    "OwnPeople",
    "PairFileError",
    "Pairs",
    "PhotoFormat",
    "add_people",
    "align_folder",
    "align_lfw_a",
    "all_people",
    "cfp_is_aligned",
    "cfp_photos",
    "check_lfw_a",
    "class_table",
    "download_lfw_a",
    "download_pairs",
    "folds_in_turn",
    "identity_dataset",
    "known_frame",
    "letter_counts",
    "letter_table",
    "lfw_a_photos",
    "load_image",
    "load_images",
    "load_lfw_a",
    "load_lfw_a_folds",
    "load_people",
    "make_pairs",
    "make_toy_cfp",
    "make_toy_faces",
    "open_raw_photo",
    "organize_cfp",
    "organize_lfw_a",
    "pair_dataset",
    "people_folds",
    "photo_dataset",
    "photo_sizes",
    "photos_by_identity",
    "read_cfp_folds",
    "read_folds",
    "read_names",
    "read_pairs",
    "read_shards",
    "require_disjoint",
    "sample_violating_triplets",
    "shared_identities",
    "split_by_letter",
    "split_cfp_folds",
    "split_identities",
    "training_photos",
    "triplet_dataset",
    "without_people",
    "write_pairs",
    "write_shards",
]

if TYPE_CHECKING:
    from .augmentation import Augmentation
    from .people import identity_dataset, photo_dataset
    from .pipelines import pair_dataset
    from .triplets import sample_violating_triplets, triplet_dataset

_OVER_TENSORFLOW = {
    "Augmentation": "augmentation",
    "identity_dataset": "people",
    "pair_dataset": "pipelines",
    "photo_dataset": "people",
    "sample_violating_triplets": "triplets",
    "triplet_dataset": "triplets",
}


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import, and pair files don't need it.
    if name in _OVER_TENSORFLOW:
        return getattr(import_module(f".{_OVER_TENSORFLOW[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
