"""Where the faces lie in photos: what the folders that they are in say of it."""

import os
from collections.abc import Iterable
from pathlib import Path

from .. import faces
from ..files import read_json
from .cfp_archive import cfp_is_aligned
from .lfw_a import check_lfw_a
from .photo_folders import FRAME


def known_frame(paths: Iterable[str | os.PathLike]) -> faces.Frame | None:
    """Says where the faces lie in photos, if that is known of all of them, and the same.

    It is known of what `align_folder` and `organize_cfp(align=True)` have made, and of LFW-a in a folder of
    `organize_lfw_a`, where every byte is compared: LFW in another alignment has the same names and sizes.
    Nothing is concluded from the photos themselves.

    Args:
        paths: of the photos.

    Returns:
        The frame, or `None`.

    Example:
        >>> import tempfile
        >>> print(known_frame([Path(tempfile.mkdtemp()) / "Ada.jpg"]))
        None
    """
    found = {_of_folder(folder) for folder in {Path(path).absolute().parent for path in paths}}
    return found.pop() if len(found) == 1 else None


def _of_root(root: Path) -> faces.Frame | None:
    """What the folder says that was once made: by `align_folder`, `organize_lfw_a` or `organize_cfp`."""
    try:
        if (root / FRAME).is_file():
            content = read_json(root / FRAME)
            return faces.Frame(content["points"], tuple(content["size"]))
        lfw_a = (root / "lfw_a.json").is_file() and check_lfw_a(root)
        return faces.LFW_A if lfw_a or cfp_is_aligned(root) else None
    except (OSError, KeyError, TypeError, ValueError):  # somebody else's file of this name, other photos
        return None


def _of_folder(folder: Path) -> faces.Frame | None:
    # Photos alone, those of people or of LFW-a's parts, and CFP's Data/Images/NNN/frontal/.
    roots = [folder, *folder.parents][:2] + list(folder.parents)[3:4]
    return next((frame for root in roots if (frame := _of_root(root))), None)
