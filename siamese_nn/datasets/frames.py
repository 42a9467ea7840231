"""Where the faces are in photos, as far as the photos' folders record it."""

import os
from collections.abc import Iterable
from pathlib import Path

from .. import faces
from ..files import read_json
from .cfp_archive import cfp_is_aligned
from .lfw_a import check_lfw_a
from .shards import FRAME, is_shards, open_shards


def known_frame(paths: Iterable[str | os.PathLike]) -> faces.Frame | None:
    """Returns where the faces are in photos, if this is known and the same for all of them.

    It is known for photos that `align_folder` or `organize_cfp(align=True)` has made, and for LFW-a in a
    folder of `organize_lfw_a`. There every byte is compared, since LFW in another alignment has the same
    names and sizes. The photos themselves are not analysed.

    Args:
        paths: the photos.

    Returns:
        The frame, or `None` where it is not known.

    Raises:
        ImageError: if the photos are in shards that are damaged or not finished.

    Example:
        >>> print(known_frame(["faces/lfw2/Ada_Adler/Ada_Adler_0001.jpg"]))  # drawn, not aligned
        None
    """
    found = {_of_folder(folder) for folder in {Path(path).absolute().parent for path in paths}}
    return found.pop() if len(found) == 1 else None


def _of_root(root: Path) -> faces.Frame | None:
    """Returns the frame that `align_folder`, `organize_lfw_a` or `organize_cfp` has recorded in a folder."""
    try:
        if (root / FRAME).is_file():
            content = read_json(root / FRAME)
            return faces.Frame(content["points"], tuple(content["size"]))
        lfw_a = (root / "lfw_a.json").is_file() and check_lfw_a(root)
        return faces.LFW_A if lfw_a or cfp_is_aligned(root) else None
    except (OSError, KeyError, TypeError, ValueError):  # another program's file of this name, or other photos
        return None


def _of_folder(folder: Path) -> faces.Frame | None:
    if is_shards(folder.parent) and not folder.is_dir():
        open_shards(folder.parent)  # which checks what is recorded there
    # Photos in the folder itself, in people's folders or LFW-a's parts, or in CFP's Data/Images/NNN/frontal/.
    roots = [folder, *folder.parents][:2] + list(folder.parents)[3:4]
    return next((frame for root in roots if (frame := _of_root(root))), None)
