"""LFW-a from its sources: fetched with pinned hashes, and read with distrust."""

import gzip
import logging
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

import pooch
from requests.exceptions import RequestException
from tqdm.auto import tqdm

from .pair_files import IMAGE_ENDINGS

logger = logging.getLogger(__name__)


class _Remote(NamedTuple):
    name: str
    url: str
    page: str  # for a person with a browser
    known_hash: str


_DRIVE_ID = "1p1wjaqpTh_5RHfJu4vUh8JJCdKwYMHCp"
_HASSNER = "https://www.openu.ac.il/home/hassner/data/lfwa/"
_FIGSHARE = (
    "https://ndownloader.figshare.com/files/"  # scikit-learn's mirror: LFW's own pages went away in 2025
)
_LFW_A = (
    _Remote(
        "lfw2.zip",
        f"https://drive.usercontent.google.com/download?id={_DRIVE_ID}&export=download&confirm=t",
        f"https://drive.google.com/file/d/{_DRIVE_ID}/view",
        "sha256:0f41896f0447accbeb8f5bd950a0626c2f45d5cff6a21ee75b6d6a918b8bf19c",
    ),
    _Remote(
        "lfwa.tar.gz", f"{_HASSNER}lfwa.tar.gz", _HASSNER, "sha1:38ecda590870e7dc91fb1040759caccddbe25375"
    ),
)
_PAIRS = tuple(
    _Remote(name, _FIGSHARE + number, _FIGSHARE + number, f"sha256:{sha256}")
    for name, number, sha256 in (
        ("pairsDevTrain.txt", "5976012", "1d454dada7dfeca0e7eab6f65dc4e97a6312d44cf142207be28d688be92aabfa"),
        ("pairsDevTest.txt", "5976009", "7cb06600ea8b2814ac26e946201cdb304296262aad67d046a16a7ec85d0ff87c"),
        ("pairs.txt", "5976006", "ea42330c62c92989f9d7c03237ed5d591365e89b3e649747777b70e692dc1592"),
    )
)
_RETRIES = 3


def download_lfw_a(output_dir: str | os.PathLike) -> Path:
    """Fetches the archive of LFW-a (100 MB): the report's `lfw2.zip`, or where that fails, `lfwa.tar.gz`.

    Args:
        output_dir: the folder for the archive. One that lies there already and is whole is not fetched again.

    Returns:
        The path of the archive, to pass to `organize_lfw_a`.

    Raises:
        ConnectionError: if neither can be fetched: what to fetch by hand, from where, and where to put it.

    Example:
        >>> archive = download_lfw_a("data")  # doctest: +SKIP
    """
    output_dir = Path(output_dir)
    for remote in _LFW_A:
        if _is_whole(output_dir / remote.name, remote):
            return output_dir / remote.name
    failures = {}
    for remote in _LFW_A:
        try:
            return _fetch(remote, output_dir)
        except (RequestException, ValueError) as error:  # pooch raises ValueError on a wrong hash
            logger.warning("%s cannot be fetched: %s", remote.url, error)
            failures[remote] = error
    raise _by_hand(failures, output_dir, "One of these is enough") from failures[_LFW_A[0]]


def download_pairs(output_dir: str | os.PathLike) -> list[Path]:
    """Fetches LFW's pair files: `pairsDevTrain.txt` and `pairsDevTest.txt` (View 1), and `pairs.txt` (View 2).

    Args:
        output_dir: the folder for the files. Those that lie there already and are whole are not fetched again.

    Returns:
        The paths of the three files, in that order.

    Raises:
        ConnectionError: if one cannot be fetched: what to fetch by hand, from where, and where to put it.

    Example:
        >>> train_pairs, test_pairs, ten_folds = download_pairs("data")  # doctest: +SKIP
    """
    output_dir = Path(output_dir)
    try:
        return [_fetch(remote, output_dir) for remote in _PAIRS]
    except (RequestException, ValueError) as error:
        missing = [remote for remote in _PAIRS if not _is_whole(output_dir / remote.name, remote)]
        raise _by_hand(dict.fromkeys(missing, error), output_dir, "All of these are needed") from error


def _fetch(remote: _Remote, output_dir: Path) -> Path:
    # Pooch downloads to a temporary file beside the target, and moves it there when its hash is right.
    source = pooch.create(
        path=output_dir,
        base_url="",
        registry={remote.name: remote.known_hash},
        urls={remote.name: remote.url},
        retry_if_failed=_RETRIES,
    )
    downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16)
    return Path(source.fetch(remote.name, downloader=downloader))


def _is_whole(path: Path, remote: _Remote) -> bool:
    algorithm, _, digest = remote.known_hash.partition(":")
    return path.is_file() and pooch.file_hash(str(path), alg=algorithm) == digest


def _by_hand(failures: dict[_Remote, Exception], output_dir: Path, how_many: str) -> ConnectionError:
    steps = "\n".join(
        f"  open {remote.page} in a browser and save the file as {(output_dir / remote.name).resolve()}\n"
        f"    ({remote.known_hash}; failed with: {error})"
        for remote, error in failures.items()
    )
    return ConnectionError(
        f"{', '.join(remote.name for remote in failures)} could not be fetched. Try again later, or fetch by hand, then "
        f"call again. {how_many}:\n{steps}"
    )


_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_MOST_BYTES = 2**31  # an archive's photos are held in memory: LFW-a has 0.1 GB of them, a zip bomb has no end
_LINK = "links, devices or the like"
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error),
    *(EOFError, NotImplementedError, UnicodeDecodeError),
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
    """Returns each photo's content (of an archive) or path (in a folder) by file name; one error for all that is wrong."""
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
        raise ValueError(f"{source} is truncated or damaged ({error}). Fetch it again") from error
    if faults:
        found = "\n".join(f"{len(paths)} {fault}:{listed(paths)}" for fault, paths in faults.items())
        raise ValueError(
            f"{source} must hold photos First_Last/First_Last_0001.jpg and nothing else. Fetch it again, or remove what "
            f"does not belong there. Received:\n{found}"
        )
    return photos


def listed(names: Iterable[str], most: int = 20) -> str:
    """Returns the names as lines of an error message, sorted, and how many there are beyond the first `most`."""
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
