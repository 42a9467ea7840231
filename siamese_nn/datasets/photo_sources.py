"""Reads photos from an archive or folder that is not trusted."""

import errno
import gzip
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tqdm.auto import tqdm

from .pair_files import IMAGE_ENDINGS

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_MOST_BYTES = 2**31  # an archive's photos are held in memory: LFW-a has 0.1 GB of them, a zip bomb has no end
_MOST_MEMBER_BYTES = 2**26  # of one file: the largest of LFW-a and CFP has 1.3 MB
_MOST_HEADER_BYTES = 2**20  # of a tar archive, between two members: some hundred bytes are usual
_MOST_NAME_BYTES = 255  # the limit of file systems
_LINK = "links, devices or the like"
# All errors that Python's readers of zip, tar and gzip were seen to raise on damaged and hostile archives.
BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RuntimeError),
)


class Member(NamedTuple):
    """A file or folder inside of an archive or folder."""

    path: str
    is_folder: bool
    size: int  # bytes of memory that reading it takes
    fault: str | None
    read: Callable[[], bytes | Path]


@contextmanager
def refusing_damage(source: Path, member: str | None = None) -> Iterator[None]:
    """Turns Python's errors on a damaged archive into one `ValueError` that names `source` and the member."""
    try:
        yield
    except BROKEN as error:
        where = "" if member is None else f" at {shortened(member)}"
        raise ValueError(
            f"{source} is truncated or damaged{where} ({damage(error)}). Fetch it again"
        ) from error


def damage(error: Exception) -> str:
    """Describes what is wrong with an archive; raises `error` if the disk is at fault."""
    # gzip's own errors have no number; a zip that points before its start causes an invalid seek.
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise error
    if isinstance(error, UnicodeDecodeError):  # raised for all members, while they are listed
        return f"a name that is not UTF-8: {shortened(error.object)}"
    return str(error) or type(error).__name__


def zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    """Gives the members of a zip archive; `read` never returns more than the `size` that it states."""
    # zipfile does not check that the directory is as long as the archive's last record states.
    file = archive.fp
    if file is None:
        raise ValueError("the archive was closed before its members were read")
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 2**16 - 22))
    record = file.read().rpartition(b"PK\5\6")[2]
    count, entries = struct.unpack_from("<H", record, 6)[0], archive.infolist()
    if count not in (len(entries), 0xFFFF):  # the second in archives with more
        raise zipfile.BadZipFile(f"it lists {len(entries)} files, and should list {count}")
    for info in entries:
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 in archives without file modes
        link = _LINK if kind not in (0, stat.S_IFREG, stat.S_IFDIR) else None
        fault = "encrypted" if info.flag_bits & 1 else link
        path = info.orig_filename  # `filename` is cleaned, and hides what the archive asks for
        if not path.isascii() and not info.flag_bits & 0x800:  # zipfile reads such a name as cp437
            fault = "with a name in no stated encoding"
        yield Member(path, path.endswith("/"), info.file_size, fault, partial(archive.read, info))


def _zip_members(source: Path) -> Iterator[Member]:
    with zipfile.ZipFile(source) as archive:
        yield from zip_members(archive)


class _Unpacked:
    """A gzip file that is read once, and at most `left` bytes further."""

    def __init__(self, file: gzip.GzipFile):
        self._file, self.left, self.end, self.block = file, _MOST_HEADER_BYTES, 0, b""

    def read(self, size: int) -> bytes:
        self.block = self._file.read(size)
        self.left -= len(self.block)
        self.end += len(self.block)
        if self.left < 0:
            raise tarfile.ReadError(f"more than {_MOST_HEADER_BYTES} bytes between two files")
        return self.block


def _tar_members(source: Path) -> Iterator[Member]:
    with gzip.open(source) as file:
        unpacked = _Unpacked(file)
        # "r|" reads and never seeks: a step back in a gzip file unpacks it from its start. The file needs
        # only `read`, which the types do not know.
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                fault = None if member.isreg() or member.isdir() else _LINK
                read = partial(lambda member: archive.extractfile(member).read(), member)
                size = max(0, member.size)
                unpacked.left = size + _MOST_HEADER_BYTES
                yield Member(member.name, member.isdir(), size, fault, read)
            # tarfile takes a broken or missing header for the end. The real end is zeros and a checksum.
            rest = unpacked.block[max(0, archive.offset - unpacked.end + len(unpacked.block)) :]
            if not rest:
                raise tarfile.ReadError("no end of archive")
            while rest:
                if rest.strip(b"\0"):
                    raise tarfile.ReadError(f"no file begins at byte {archive.offset}")
                rest = unpacked.read(2**16)


def _folder_members(source: Path) -> Iterator[Member]:
    folders = [(source, "")]
    while folders:
        folder, prefix = folders.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                folders.append((Path(entry.path), f"{prefix}{entry.name}/"))
            else:
                fault = None if entry.is_file(follow_symlinks=False) else _LINK
                yield Member(prefix + entry.name, False, 0, fault, partial(Path, entry.path))


_READERS = {"zip": _zip_members, "tar.gz": _tar_members, "folder": _folder_members}


def require_folder(output_dir: Path) -> None:
    """Raises `FileExistsError` if the folder, or one above it, is a file."""
    for place in (output_dir, *output_dir.parents):
        if place.exists() and not place.is_dir():
            raise FileExistsError(
                f"`output_dir` must be a folder. Received: {output_dir}, and {place} is a file"
            )


def require_same_source(output_dir: Path, proof: dict, source: Path) -> None:
    """Raises `ValueError` if a folder was organised from a source with another name."""
    name = source.resolve().name
    if proof.get("source", name) != name:
        raise ValueError(
            f"{output_dir} was organised from {proof['source']}. Received: "
            f"{source}. Choose another `output_dir`, or remove that one"
        )


def source_kind(source: Path) -> str:
    """Returns "folder", "zip" or "tar.gz", by the first bytes; raises a ValueError for anything else."""
    if source.is_dir():
        return "folder"
    if not source.is_file():
        missing = "is no regular file" if source.exists() else "does not exist"
        raise FileNotFoundError(
            f"`source` must be an archive or folder of LFW-a. Received: {source}, which {missing}. "
            "`siamese-nn download lfw-a`, or `download_lfw_a`, fetches the archive"
        )
    with source.open("rb") as file:
        head = file.read(4)
    if head != b"PK\x03\x04" and head[:2] != b"\x1f\x8b":
        raise ValueError(
            f"{source} must be a zip or tar.gz archive, or a folder. Received: neither. Fetch it again"
        )
    return "zip" if head[:2] == b"PK" else "tar.gz"


def _members(source: Path) -> Iterator[Member]:
    members = _READERS[source_kind(source)](source)
    while True:
        with refusing_damage(source):
            member = next(members, None)
        if member is None:
            return
        yield member


def read_photos(source: Path) -> dict[str, bytes | Path]:
    """Returns each photo's content (archive) or path (folder) by file name; one error for all faults."""
    photos: dict[str, bytes | Path] = {}
    taken: dict[str, str] = {}
    faults: dict[str, list[str]] = defaultdict(list)
    held = 0
    members = _members(source)
    for member in tqdm(members, desc=f"Reading {source.name}", unit=" files", disable=None):
        path, held = PurePosixPath(member.path), held + member.size
        if held > _MOST_BYTES:
            raise ValueError(f"{source} must unpack to less than {_MOST_BYTES} bytes. Fetch it again")
        fault = member.fault or _path_fault(path, member)
        if fault is None and member.is_folder:
            continue
        content: bytes | Path = b""
        if fault is None:
            with refusing_damage(source, member.path):
                content = member.read()
            if not _head(content).startswith(_SIGNATURES):
                fault = "empty, or by their first bytes neither JPEG nor PNG"
        if fault:
            faults[fault].append(member.path)
        # A pair file takes a.jpg and a.png for one photo, and macOS a.jpg and A.jpg.
        key = path.stem.casefold()
        if key in taken:
            faults["that share their name, upper or lower case"].append(f"{member.path} and {taken[key]}")
        taken[key], photos[path.name] = member.path, content
    if faults:
        found = "\n".join(f"{len(paths)} {fault}:{listed(paths)}" for fault, paths in faults.items())
        raise ValueError(
            f"{source} must hold photos First_Last/First_Last_0001.jpg and nothing else. Fetch it again, or "
            f"remove what does not belong there. Received:\n{found}"
        )
    return photos


def listed(names: Iterable[str], most: int = 20) -> str:
    """Returns the first `most` names as sorted lines of an error message, and how many more there are."""
    names = sorted(names)
    more = [f"... and {len(names) - most} more"] if len(names) > most else []
    return "".join(f"\n  {name}" for name in [*map(shortened, names[:most]), *more])


def shortened(name: str | bytes) -> str:
    """Returns a name for an error message: without control characters, and not too long."""
    return repr(name) if len(name) <= 300 else f"{name[:300]!r}... ({len(name)} characters)"


def _path_fault(path: PurePosixPath, member: Member) -> str | None:
    if path.is_absolute() or ".." in path.parts or re.search(r"^[A-Za-z]:|[\\\0]", member.path):
        return "with an unsafe path (absolute, `..`, a drive letter or a backslash)"
    try:
        name = path.name.encode()
    except UnicodeEncodeError:
        return "with a name that is not UTF-8"
    if len(name) > _MOST_NAME_BYTES:
        return f"with a name of more than {_MOST_NAME_BYTES} bytes"
    if member.is_folder:
        return "folders with a photo's name" if path.suffix.lower() in IMAGE_ENDINGS else None
    if member.size > _MOST_MEMBER_BYTES:
        return f"of more than {_MOST_MEMBER_BYTES} bytes"
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
