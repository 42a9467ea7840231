"""Aligns a folder of people's raw photos into another folder, and lists the result for each photo."""

import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from itertools import chain
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from .. import faces
from ..files import csv_text, locked, read_csv, read_json, replacing, write_text
from .photo_files import ImageError, read_photo
from .photo_folders import LIST, LOCK, is_plain, listing, require_different_names, some
from .raw_photos import RAW_ENDINGS, open_raw_photo
from .shards import FRAME

logger = logging.getLogger(__name__)

ALIGNED, NO_FACE, UNREADABLE, LEFT_OUT = "aligned", "no face", "unreadable", "left out"
_TAKEN = {"middle": "one nearest the middle", "largest": "largest"}
_COLUMNS = ("photo", "sha256", "result", "faces", "aligned", "reason")


class AlignedFolderInUse(ValueError):
    """Another process is aligning into the same folder.

    Example:
        >>> output = Path("aligned")
        >>> with locked(output / LOCK, AlignedFolderInUse()):  # as another call of `align_folder` does
        ...     align_folder("faces/lfw2", output)
        Traceback (most recent call last):
        siamese_nn.datasets.aligned_folder.AlignedFolderInUse: Another process is aligning into aligned...
    """


def align_folder(
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    face: str = "middle",
    frame: faces.Frame = faces.LFW_A,
    finder: faces.Finder | None = None,
) -> list[dict[str, str]]:
    """Aligns the photos of a folder and of its subfolders into another folder with the same layout.

    `photos.csv` in `output` has a line for each photo of `source`: the result, and the reason for it. The
    file is written line by line. So the same call continues after an interruption, and it aligns only photos
    that are new or have changed. An aligned photo is removed when its source is gone. Other files in `source`
    are left out, and the log names them.

    Args:
        source: a folder with a folder of photos for each person, or with photos.
        output: the folder to make or to continue.
        face: which face of a photo: `"middle"`, the one nearest its middle, or `"largest"`.
        frame: where the faces should be in the aligned photos.
        finder: see `faces.find`. All cores align photos, but only one at a time calls your finder. Continue
            a folder with the finder that it was begun with: photos that it has aligned stay.

    Returns:
        The lines of `photos.csv`, sorted by photo: `photo` (its path in `source`), `sha256` of the file,
        `result` (`"aligned"`, `"no face"`, `"unreadable"` or `"left out"`), `faces` (how many were found),
        `aligned` (the path in `output`) and `reason`.

    Raises:
        FileNotFoundError: if `source` is not a folder.
        ImportError: if `finder` is `None` and the extra `faces` is not installed.
        ValueError: if `source` holds no photo; if `output` is inside `source`, holds other files, or was
            aligned to another frame, with another choice of faces, or mostly from other photos;
            or if its `photos.csv` is damaged.
        AlignedFolderInUse: if another process is aligning into `output`.

    Example:
        >>> def finder(pixels):  # yours; without one, the extra `faces` brings MTCNN
        ...     return [faces.Face((60, 60, 190, 200), 0.9, faces.LFW_A.points)]
        >>> rows = align_folder("faces/lfw2/Ada_Adler", "aligned", finder=finder)
        >>> rows[0]["photo"], rows[0]["result"], Image.open("aligned/Ada_Adler_0001.jpg").size
        ('Ada_Adler_0001.jpg', 'aligned', (250, 250))
    """
    if face not in _TAKEN:
        raise ValueError(f"`face` must be one of {tuple(_TAKEN)}. Received: face={face!r}")
    source, output = Path(source), Path(output)
    finder = finder and _one_at_a_time(finder)
    names, people, left_out = _files(source, output)
    choice = json.loads(json.dumps({"face": face, "points": frame.points, "size": frame.size}))
    _require_own(output, choice)
    busy = AlignedFolderInUse(
        f"Another process is aligning into {output}. Wait for it, or choose another folder"
    )
    with locked(output / LOCK, busy):
        write_text(output / FRAME, json.dumps(choice, indent=2) + "\n")
        before = _read_list(output)
        gone = sorted(set(before) - set(names))
        if 2 * len(gone) > len(before):  # no change of one folder, but another one
            raise ValueError(
                f"{output} was aligned from other photos: {len(gone)} of its {len(before)} are not in "
                f"{source}: {some(gone)}. Choose another folder, or remove this one"
            )
        if gone:
            logger.warning("%s: removed with the photos that they were made of: %s", output, some(gone))
        for name in gone:
            (output / aligned_name(name)).unlink(missing_ok=True)
        rows = []

        def row_of(name: str) -> dict[str, str]:
            row = before.get(name)
            if row is not None and _is_current(source, output, row):
                return row
            return _align(source, output, name, face, frame, finder)

        with (
            (output / LIST).open("a", encoding="utf-8", newline="") as file,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            try:
                found = pool.map(row_of, names)
                for row in tqdm(found, total=len(names), desc="aligning", unit="photo", disable=None):
                    if row is not before.get(row["photo"]):
                        file.write(_lines([row]))
                        file.flush()
                    rows.append(row)
            finally:
                pool.shutdown(cancel_futures=True)  # after Ctrl-C no more photos are started
        empty = dict.fromkeys(_COLUMNS, "")
        rows += [empty | {"photo": name, "result": LEFT_OUT, "reason": why} for name, why in left_out.items()]
        for folder in {(output / name).parent for name in before} - {output}:
            with suppress(OSError):  # the person still has a photo
                folder.rmdir()  # a training refuses a person's folder without photos
        rows.sort(key=lambda row: row["photo"])
        write_text(output / LIST, _lines([dict(zip(_COLUMNS, _COLUMNS, strict=True)), *rows]))
    kept = {PurePosixPath(row["photo"]).parts[0] for row in rows if row["result"] == ALIGNED}
    if lost := [name for name in people if name not in kept]:
        logger.warning("%s: no photo is left of %s", output, some(lost))
    counts = Counter(row["result"] for row in rows)
    logger.info("%s: %s", output, ", ".join(f"{count} {result}" for result, count in counts.items()))
    return rows


def _one_at_a_time(finder: faces.Finder) -> faces.Finder:
    lock = Lock()

    def locked_finder(pixels: np.ndarray) -> Sequence[faces.Face]:
        with lock:
            return finder(pixels)

    return locked_finder


def _align(
    source: Path, output: Path, name: str, face: str, frame: faces.Frame, finder: faces.Finder | None
) -> dict[str, str]:
    """Aligns one photo; returns its line of the list."""
    row = dict.fromkeys(_COLUMNS, "") | {"photo": name}
    target = output / aligned_name(name)
    try:
        content = read_photo(source / name)
        row["sha256"] = sha256(content).hexdigest()
        photo = open_raw_photo(content)
        found = faces.find(photo, finder=finder)
        row["faces"] = str(len(found))
        aligned = faces.align(photo, faces.choose(found, photo, face), frame=frame)
    except faces.NoFaceError as error:
        target.unlink(missing_ok=True)  # made from the photo that had this name before
        return row | {"result": NO_FACE, "reason": str(error)}
    except ImageError as error:
        target.unlink(missing_ok=True)
        return row | {"result": UNREADABLE, "reason": str(error).removeprefix("the photo: ")}
    with replacing(target) as partial:
        aligned.save(partial, "JPEG", quality=95, subsampling=0)
    several = f"several faces; the {_TAKEN[face]} was taken" if len(found) > 1 else ""
    return row | {"result": ALIGNED, "aligned": aligned_name(name), "reason": several}


def aligned_name(name: str) -> str:
    """Returns the name of the aligned photo: a name that ends in `.jpg` stays, another gets that ending."""
    return name if name.endswith(".jpg") else name + ".jpg"


def _files(source: Path, output: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Returns the paths of all photos of a folder, its subfolders, and the files that are left out."""
    if not source.is_dir():
        raise FileNotFoundError(
            f"{source} must be a folder with photos, or with folders of them. There is none"
        )
    if output.resolve().is_relative_to(source.resolve()):
        raise ValueError(
            f"The folder of aligned photos must not be in that of the photos. Received: {output}"
        )
    alone, people, others = listing(source, RAW_ENDINGS)
    require_different_names(people)
    if unusable := [name for name in people if not is_plain(name)]:
        raise ValueError(
            "A person's name holds no backslash, tab, line break or other control character. Received: "
            f"{unusable[0]!r} in {source}. Rename the folder"
        )
    photos = sorted(path.relative_to(source).as_posix() for path in chain(alone, *people.values()))
    left_out = {
        path.relative_to(source).as_posix(): "no file: a folder in a person's folder, a broken link or a pipe"
        if not path.is_file()
        else f"no photo, by its ending {path.suffix}"
        for path in others
        if not path.name.startswith(".")
    }
    if not photos:
        raise ValueError(
            f"{source} must hold photos ({', '.join(RAW_ENDINGS)}), or folders of them. Received one without"
        )
    names = [aligned_name(name) for name in photos]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{source}: two photos would both become {twice[0]}. Rename one of them")
    return photos, [name for name, own in people.items() if own], left_out


def _require_own(output: Path, choice: dict[str, Any]) -> None:
    own = (LOCK, ".partial-")
    others = output.is_dir() and any(not entry.name.startswith(own) for entry in output.iterdir())
    if others and not (output / FRAME).exists():
        raise ValueError(
            f"{output} must be a new folder, or one of aligned photos. Received one with other files"
        )
    if (output / FRAME).exists() and (before := read_json(output / FRAME)) != choice:
        was = before.get("face") if isinstance(before, dict) else None
        other = f"face={was!r}" if was != choice["face"] else "another frame"
        raise ValueError(
            f"{output} was aligned with {other}. Received: face={choice['face']!r}. Align as before, choose "
            "another folder, or remove it"
        )


def _is_current(source: Path, output: Path, row: dict[str, str]) -> bool:
    """Returns whether a line of the list is still true of the photo that now has this name."""
    try:
        same = row["sha256"] == sha256(read_photo(source / row["photo"])).hexdigest()
    except ImageError:
        return False
    if not same or row["result"] != ALIGNED:
        return same
    try:
        with Image.open(output / row["aligned"]) as aligned:
            aligned.load()  # the file must be whole, not only exist
    except OSError:
        return False
    return True


def _lines(rows: Sequence[Mapping[str, str]]) -> str:
    return csv_text([row[name] for name in _COLUMNS] for row in rows)


def _read_list(output: Path) -> dict[str, dict[str, str]]:
    """Returns the lines of the list by photo. The later of two counts; a half-written line does not."""
    if not (output / LIST).exists():
        write_text(output / LIST, _lines([dict(zip(_COLUMNS, _COLUMNS, strict=True))]))
    text = (output / LIST).read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_text(output / LIST, whole)  # else the next line would be appended to half a line
    header, *lines = read_csv(whole) or [[]]
    rows = [dict(zip(_COLUMNS, line, strict=False)) for line in lines if line]
    # Files are removed by these names, so no name may point outside the folder.
    if tuple(header) != _COLUMNS or any(
        len(line) not in (0, len(_COLUMNS)) or {"..", "/", ""} & set(PurePosixPath(line[0]).parts)
        for line in lines
    ):
        raise ValueError(
            f"{output / LIST} is damaged. Remove {output}, and the same call aligns all photos again"
        )
    return {row["photo"]: row for row in rows if row["result"] != LEFT_OUT}
