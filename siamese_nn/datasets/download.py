"""Fetches LFW-a and LFW's pair files, with pinned hashes."""

import logging
import os
from pathlib import Path
from typing import NamedTuple

import pooch
from requests.exceptions import RequestException

from .photo_sources import require_folder


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
    """Downloads the archive of LFW-a (100 MB): the report's `lfw2.zip`, or `lfwa.tar.gz` if that fails.

    Args:
        output_dir: the folder for the archive. A whole archive that is there already is not fetched again.

    Returns:
        The path of the archive, to pass to `organize_lfw_a`.

    Raises:
        FileExistsError: if `output_dir` is a file.
        ConnectionError: if neither can be fetched. The message says what to fetch by hand, from where, and
            where to put it.

    Example:
        >>> archive = download_lfw_a("data")  # doctest: +SKIP
        >>> download_lfw_a("faces/pairsDevTest.txt")
        Traceback (most recent call last):
        FileExistsError: `output_dir` must be a folder. Received: faces/pairsDevTest.txt, ...
    """
    output_dir = Path(output_dir)
    require_folder(output_dir)
    for remote in _LFW_A:
        if _is_whole(output_dir / remote.name, remote):
            return output_dir / remote.name
    failures: dict[_Remote, Exception] = {}
    for remote in _LFW_A:
        try:
            return _fetch(remote, output_dir)
        except (RequestException, ValueError) as error:  # pooch raises ValueError on a wrong hash
            failures[remote] = error
    raise _by_hand(failures, output_dir, "One of these is enough") from failures[_LFW_A[0]]


def download_pairs(output_dir: str | os.PathLike) -> list[Path]:
    """Downloads LFW's pair files: `pairsDevTrain.txt`, `pairsDevTest.txt` (View 1), `pairs.txt` (View 2).

    Args:
        output_dir: the folder for the files. Whole files that are there already are not fetched again.

    Returns:
        The paths of the three files, in that order.

    Raises:
        FileExistsError: if `output_dir` is a file.
        ConnectionError: if one cannot be fetched. The message says what to fetch by hand, from where, and
            where to put it.

    Example:
        >>> train_pairs, test_pairs, ten_folds = download_pairs("data")  # doctest: +SKIP
        >>> download_pairs("faces/pairsDevTest.txt")
        Traceback (most recent call last):
        FileExistsError: `output_dir` must be a folder. Received: faces/pairsDevTest.txt, ...
    """
    output_dir = Path(output_dir)
    require_folder(output_dir)
    failures: dict[_Remote, Exception] = {}
    for remote in _PAIRS:
        try:
            _fetch(remote, output_dir)
        except (RequestException, ValueError) as error:
            failures[remote] = error
    if failures:
        raise _by_hand(failures, output_dir, "All of these are needed") from next(iter(failures.values()))
    return [output_dir / remote.name for remote in _PAIRS]


def _fetch(remote: _Remote, output_dir: Path) -> Path:
    # Pooch downloads to a temporary file beside the target, and moves it there when its hash is right.
    source = pooch.create(
        path=output_dir,
        base_url="",
        registry={remote.name: remote.known_hash},
        urls={remote.name: remote.url},
        retry_if_failed=_RETRIES,
    )
    pooch.get_logger().setLevel(logging.WARNING)  # one error at the end reports all retries
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
        f"{', '.join(remote.name for remote in failures)} could not be fetched. Try again later, or fetch "
        f"by hand, then call again. {how_many}:\n{steps}"
    )
