"""A folder of LFW-a's photos that `organize_lfw_a` made: what lies where, and how it is read."""

import os
from pathlib import Path

from .folds import folds_in_turn
from .own_people import OwnPeople
from .pair_files import IMAGE_ENDINGS, read_folds_of, read_pairs
from .pairs import Pairs
from .photo_folders import photos_by_identity
from .shards import FRAME

PAIR_FILES = {"train": "pairsDevTrain.txt", "test": "pairsDevTest.txt"}
GROUPS = (*PAIR_FILES, "unused")
STAGING, PROOF = ".partial-lfw_a", "lfw_a.json"


def load_lfw_a(data_dir: str | os.PathLike) -> tuple[Pairs, Pairs]:
    """Reads the pairs of a folder that `organize_lfw_a` made.

    Args:
        data_dir: the `output_dir` of `organize_lfw_a`.

    Returns:
        The training and the test pairs: 2,200 and 1,000 for the real LFW-a.

    Raises:
        FileNotFoundError: if the folder is not organised, or only half. The message says how to do it.
        PairFileError: if photos have been removed since.

    Example:
        >>> from siamese_nn import datasets
        >>> pair_files = {"train_pairs": "faces/pairsDevTrain.txt", "test_pairs": "faces/pairsDevTest.txt"}
        >>> _ = datasets.organize_lfw_a("faces/lfw2", "lfw-a", **pair_files)
        >>> load_lfw_a("lfw-a")
        (Pairs(60 same, 60 different, 52 people), Pairs(12 same, 12 different, 12 people))
    """
    data_dir = Path(data_dir)
    require_organized(data_dir)
    train, test = (read_pairs(data_dir / file, data_dir / group) for group, file in PAIR_FILES.items())
    return train, test


def lfw_a_photos(data_dir: str | os.PathLike) -> dict[str, list[str]]:
    """Returns for each person of LFW-a the paths of all their photos, whatever folder they are in.

    Args:
        data_dir: the `output_dir` of `organize_lfw_a`.

    Raises:
        FileNotFoundError: if the folder is not organised, or only half.

    Example:
        >>> from siamese_nn import datasets
        >>> pair_files = {"train_pairs": "faces/pairsDevTrain.txt", "test_pairs": "faces/pairsDevTest.txt"}
        >>> _ = datasets.organize_lfw_a("faces/lfw2", "lfw-a", **pair_files)
        >>> len(lfw_a_photos("lfw-a"))
        64
    """
    require_organized(Path(data_dir))
    photos: dict[str, list[str]] = {}
    for folder in _folders(Path(data_dir)):
        photos |= photos_by_identity(folder)
    return photos


def _folders(data_dir: Path) -> list[Path]:
    """The folders with photos; drawn faces have none in `unused/`."""
    return [data_dir / group for group in GROUPS if any((data_dir / group).iterdir())]


def load_lfw_a_folds(data_dir: str | os.PathLike, pairs_file: str | os.PathLike) -> list[OwnPeople]:
    """Reads LFW's View 2 in a folder that `organize_lfw_a` made, as one training per fold.

    Nobody of a fold takes part in its training. The next fold chooses epoch and threshold, and all photos of
    the people of the other eight folds are for training; see `folds_in_turn`.

    Args:
        data_dir: the `output_dir` of `organize_lfw_a`.
        pairs_file: LFW's `pairs.txt`.

    Returns:
        The ten folds.

    Raises:
        FileNotFoundError: if the folder is not organised, or `pairs_file` does not exist.
        PairFileError: as in `read_pairs`.
        ValueError: if the file has fewer than 3 folds.

    Example:
        >>> from siamese_nn import datasets
        >>> pair_files = {"train_pairs": "faces/pairsDevTrain.txt", "test_pairs": "faces/pairsDevTest.txt"}
        >>> _ = datasets.organize_lfw_a("faces/lfw2", "lfw-a", **pair_files)
        >>> folds = datasets.people_folds("faces/lfw2", 4, most_per_person=1)
        >>> datasets.write_pairs([fold.test for fold in folds], "pairs.txt")  # in the form of LFW's own
        >>> [fold.test for fold in load_lfw_a_folds("lfw-a", "pairs.txt")][:2]
        [Pairs(16 same, 16 different, 16 people), Pairs(16 same, 16 different, 16 people)]
    """
    photos = lfw_a_photos(data_dir)
    return folds_in_turn(read_folds_of(_folders(Path(data_dir)), Path(pairs_file)), photos)


def require_organized(data_dir: Path) -> None:
    """Checks that a folder is organised, to the end.

    Args:
        data_dir: the folder.

    Raises:
        FileNotFoundError: if it isn't.

    Example:
        >>> require_organized(Path("nowhere"))
        Traceback (most recent call last):
        FileNotFoundError: nowhere must be a folder that `organize_lfw_a` made, and does not exist...
    """
    if not data_dir.is_dir():
        missing = "is no folder" if data_dir.exists() else "does not exist"
        raise FileNotFoundError(
            f"{data_dir} must be a folder that `organize_lfw_a` made, and "
            f"{missing}. Correct the name, or make it. Run `siamese-nn organize SOURCE {data_dir}` with "
            "LFW-a's archive or folder as SOURCE"
        )
    if not (data_dir / PROOF).is_file():
        if (data_dir / FRAME).is_file():
            raise FileNotFoundError(
                f"{data_dir} holds aligned photos, and it has no {PROOF}. If they are LFW-a's, go on "
                f"with `siamese-nn align SOURCE {data_dir}`, where SOURCE is what `organize` made"
            )
        half = "only half organised" if (data_dir / STAGING).exists() else "not organised"
        raise FileNotFoundError(
            f"{data_dir} is {half}: it has no {PROOF}. Run `siamese-nn organize SOURCE {data_dir}` with "
            "LFW-a's archive or folder as SOURCE; after an interruption, with the same SOURCE again"
        )


def places_in(folder: Path) -> list[str]:
    """Lists the photos as "train/First_Last_0001.jpg"; a .DS_Store beside them does no harm.

    Args:
        folder: an organised folder.

    Example:
        >>> Path("lfw-a/train").mkdir(parents=True)
        >>> Path("lfw-a/train/Ada_Adler_0001.jpg").touch()
        >>> places_in(Path("lfw-a"))
        ['train/Ada_Adler_0001.jpg']
    """
    groups = [group for group in GROUPS if (folder / group).is_dir()]
    places = [f"{group}/{entry.name}" for group in groups for entry in os.scandir(folder / group)]
    return [place for place in places if place.lower().endswith(IMAGE_ENDINGS)]
