"""Aligns an organised LFW-a by landmarks into another folder of the same form."""

import os
import shutil
from pathlib import Path

from .. import faces
from ..files import replacing
from .aligned_folder import NO_FACE, UNREADABLE, align_folder
from .lfw_a import check_lfw_a
from .lfw_a_folder import GROUPS, PAIR_FILES, PROOF, places_in, require_organized
from .photo_files import ImageError
from .photo_sources import listed
from .shards import FRAME


def align_lfw_a(
    source: str | os.PathLike, output_dir: str | os.PathLike, *, finder: faces.Finder | None = None
) -> list[dict[str, str]]:
    """Aligns a folder that `organize_lfw_a` made into another one of the same form, photo by photo.

    LFW-a has been aligned as a whole, without landmarks. This finds each photo's five points and puts them
    where LFW-a has them on average. A photo in which no face is found stays as LFW-a has it. So all pairs
    stay; the result can be used wherever the source can. After an interruption, the same call goes on.

    Other photos of these names, such as LFW in another alignment, have their faces elsewhere. Of those, each
    must show a face that is found.

    Args:
        source: the `output_dir` of `organize_lfw_a`.
        output_dir: the folder to make or to continue.
        finder: see `faces.find`.

    Returns:
        A line for each photo, as `align_folder` returns them.

    Raises:
        FileNotFoundError: if `source` is not organised, or only half.
        ImageError: if a photo can't be read.
        ValueError: as `align_folder`; or if no face is found in a photo, and the photos are not LFW-a's.
        ImportError, AlignedFolderInUse: as `align_folder`.

    Example:
        >>> from siamese_nn import datasets
        >>> def finder(pixels):  # yours; without one, the extra `faces` brings MTCNN
        ...     return [faces.Face((60, 60, 190, 200), 0.9, faces.LFW_A.points)]
        >>> pair_files = {"train_pairs": "faces/pairsDevTrain.txt", "test_pairs": "faces/pairsDevTest.txt"}
        >>> _ = datasets.organize_lfw_a("faces/lfw2", "lfw-a", **pair_files)
        >>> len(align_lfw_a("lfw-a", "lfw-a-aligned", finder=finder))
        256
        >>> datasets.load_lfw_a("lfw-a-aligned")
        (Pairs(60 same, 60 different, 52 people), Pairs(12 same, 12 different, 12 people))
    """
    source, output_dir = Path(source), Path(output_dir)
    require_organized(source)
    places = set(places_in(source))
    if (output_dir / FRAME).exists():  # an aligned folder proves nothing until all its photos are there again
        (output_dir / PROOF).unlink(missing_ok=True)
    rows = [row for row in align_folder(source, output_dir, finder=finder) if row["photo"] in places]
    for row in rows:
        if row["result"] == UNREADABLE:
            raise ImageError(f"{source / row['photo']}: {row['reason']}. Organise LFW-a anew")
    if stay := [row["photo"] for row in rows if row["result"] == NO_FACE]:
        _require_lfw_a(source, stay)
    for group in GROUPS:
        (output_dir / group).mkdir(exist_ok=True)
    for name in (*stay, *PAIR_FILES.values(), PROOF):  # the proof last: its places are all there now
        with replacing(output_dir / name) as partial:
            shutil.copyfile(source / name, partial)
    return rows


def _require_lfw_a(source: Path, photos: list[str]) -> None:
    """Refuses to leave these photos where they are, if it is not known where their faces are."""
    try:
        check_lfw_a(source)
    except ValueError as error:
        raise ValueError(
            f"{source}: a photo in which no face is found may stay as it is only in LFW-a, whose faces are "
            f"in one place. Received {len(photos)}:{listed(photos)}\nOrganise LFW-a itself; or align a "
            f"folder with a folder of photos for each person, where such photos are left out. {error}"
        ) from error
