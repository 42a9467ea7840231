"""Reads photos from an archive or folder that others made, with distrust."""

import errno
import gzip
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tqdm.auto import tqdm

from .pair_files import IMAGE_ENDINGS

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_MOST_BYTES = 2**31  # an archive's photos are held in memory: LFW-a has 0.1 GB of them, a zip bomb has no end
_LINK = "links, devices or the like"
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
    *(NotImplementedError, UnicodeDecodeError, OSError),
)


class _Member(NamedTuple):
    path: str
    is_folder: bool
    size: int  # bytes of memory that reading it takes
    fault: str | None
    read: Callable[[], bytes | Path]


def _zip_members(source: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 from archivers that know no file modes
            link = _LINK if kind not in (0, stat.S_IFREG, stat.S_IFDIR) else None
            fault = "encrypted" if info.flag_bits & 1 else link
            path = info.orig_filename  # `filename` is tidied up, and hides what the archive asks for
            yield _Member(path, info.is_dir(), info.file_size, fault, partial(archive.read, info))


def _tar_members(source: Path) -> Iterator[_Member]:
    # "r|" never seeks, for a step back in a gzip file costs unpacking it from its start.
    with gzip.open(source) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
        for member in archive:
            fault = None if member.isreg() or member.isdir() else _LINK
            read = partial(lambda member: archive.extractfile(member).read(), member)
            yield _Member(member.name, member.isdir(), member.size, fault, read)
        while unpacked.read(2**20):  # gzip's checksum comes after the last member
            pass


def _folder_members(folder: Path, prefix: str = "") -> Iterator[_Member]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _folder_members(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            fault = None if entry.is_file(follow_symlinks=False) else _LINK
            yield _Member(prefix + entry.name, False, 0, fault, partial(Path, entry.path))


_READERS = {"zip": _zip_members, "tar.gz": _tar_members, "folder": _folder_members}


def source_kind(source: Path) -> str:
    """Returns "folder", "zip" or "tar.gz", by the first bytes; a ValueError for anything else."""
    if source.is_dir():
        return "folder"
    if not source.is_file():
        raise FileNotFoundError(
            f"{source} must be an existing archive or folder of LFW-a. Fetch it with `download_lfw_a`"
        )
    with source.open("rb") as file:
        head = file.read(4)
    if head != b"PK\x03\x04" and head[:2] != b"\x1f\x8b":
        raise ValueError(
            f"{source} must be a zip or tar.gz archive, or a folder. Received: neither. Fetch it again"
        )
    return "zip" if head[:2] == b"PK" else "tar.gz"


def read_photos(source: Path) -> dict[str, bytes | Path]:
    """Returns each photo's content (archive) or path (folder) by file name; one error for all faults."""
    photos, taken, faults, held = {}, {}, defaultdict(list), 0
    members = _READERS[source_kind(source)](source)
    try:
        for member in tqdm(members, desc=f"Reading {source.name}", unit=" files", disable=None):
            path, held = PurePosixPath(member.path), held + member.size
            if held > _MOST_BYTES:
                raise ValueError(f"{source} must unpack to less than {_MOST_BYTES} bytes. Fetch it again")
            fault = member.fault or _path_fault(path, member)
            if fault is None and member.is_folder:
                continue
            content = member.read() if fault is None else b""
            if fault is None and not _head(content).startswith(_SIGNATURES):
                fault = "empty, or by their first bytes neither JPEG nor PNG"
            if fault:
                faults[fault].append(member.path)
            key = (
                path.stem.casefold()
            )  # to a pair file a.jpg and a.png are one photo, to a Mac a.jpg and A.jpg
            if key in taken:
                faults["that share their name, upper or lower case"].append(f"{member.path} and {taken[key]}")
            taken[key], photos[path.name] = member.path, content
    except _BROKEN as error:
        # gzip's own errors have no number; a zip that points to before its start makes an invalid seek.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(f"{source} is truncated or damaged ({error}). Fetch it again") from error
    if faults:
        found = "\n".join(f"{len(paths)} {fault}:{listed(paths)}" for fault, paths in faults.items())
        raise ValueError(
            f"{source} must hold photos First_Last/First_Last_0001.jpg and nothing else. Fetch it again, or "
            f"remove what does not belong there. Received:\n{found}"
        )
    return photos


def listed(names: Iterable[str], most: int = 20) -> str:
    """Returns the names as lines of an error message, sorted, and how many come after the first `most`."""
    names = sorted(names)
    more = [f"... and {len(names) - most} more"] if len(names) > most else []
    return "".join(f"\n  {name}" for name in [*map(repr, names[:most]), *more])


def _path_fault(path: PurePosixPath, member: _Member) -> str | None:
    if path.is_absolute() or ".." in path.parts or re.search(r"^[A-Za-z]:|[\\\0]", member.path):
        return "with an unsafe path (absolute, `..`, a drive letter or a backslash)"
    if member.is_folder:
        return None
    if path.suffix.lower() not in IMAGE_ENDINGS:
        return f"without a photo's ending ({', '.join(IMAGE_ENDINGS)})"
    if not path.parent.name or not re.fullmatch(re.escape(path.parent.name) + "_[0-9]+", path.stem):
        return "not named First_Last_0001 in a folder First_Last"
    return None


def _head(content: bytes | Path) -> bytes:
    if isinstance(content, bytes):
        return content[:8]
    with content.open("rb") as file:
        return file.read(8)
