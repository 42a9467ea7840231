"""Sorts LFW-a's archive or folder into `train/`, `test/` and `unused/`, whole or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tqdm.auto import tqdm

from ..files import locked, read_json, write_text
from .lfw_a_folder import GROUPS, PAIR_FILES, PROOF, STAGING, places_in, require_organized
from .pair_files import PairFileError, parse_pair_file, photo_stem
from .photo_sources import listed, read_photos, require_folder, require_same_source, source_kind
from .shards import FRAME

_LOCK = ".lock"
_LFW_A_COUNTS = {"photos": 13233, "people": 5749, "train": 6685, "test": 2741, "unused": 3807}
_LFW_A_SHA256 = "00d8df7b4024af09127d38426bb2801931ae2a405b29347d34b920468cc4a451"


def organize_lfw_a(
    source: str | os.PathLike,
    output_dir: str | os.PathLike,
    *,
    train_pairs: str | os.PathLike,
    test_pairs: str | os.PathLike,
) -> dict[str, int]:
    r"""Sorts copies of LFW-a's photos into `train/`, `test/` and `unused/`, by the people in two pair files.

    The source is not changed. The copies are written to a hidden folder in `output_dir` and then renamed into
    place. `output_dir/lfw_a.json` comes last and proves that nothing is missing. After an interruption, the
    same call finishes the work. A call on a finished folder returns at once.

    Args:
        source: `lfw2.zip`, `lfwa.tar.gz`, or an unpacked folder, with `First_Last/First_Last_0001.jpg`.
        output_dir: the folder for the three flat folders and for copies of the two pair files, outside of
            `source`.
        train_pairs: the LFW View 1 pair file whose people go to `train/`, with all of their photos.
        test_pairs: the same for `test/`. People who are in neither file go to `unused/`.

    Returns:
        The number of photos by folder: `{"train": 6685, "test": 2741, "unused": 3807}` for the real LFW-a.

    Raises:
        ValueError: before anything is written, if the source is damaged or holds anything but photos in
            people's folders, a person is in both pair files, a photo of the pairs is missing, or the folder
            was made from another source or other pair files, has changed since, or holds aligned copies. Or
            if another process is organising into `output_dir`.
        FileExistsError: if `output_dir` holds a folder or pair file of such a name that was not made by this
            function.
        FileNotFoundError: if `source` or a pair file does not exist.
        OSError: if the photos can't be written, as on a full disk.

    Example:
        >>> pair_files = {"train_pairs": "faces/pairsDevTrain.txt", "test_pairs": "faces/pairsDevTest.txt"}
        >>> organize_lfw_a("faces/lfw2", "lfw-a", **pair_files)
        {'train': 208, 'test': 48, 'unused': 0}
    """
    source, output_dir = Path(source), Path(output_dir)
    given = {"train": Path(train_pairs), "test": Path(test_pairs)}
    require_folder(output_dir)
    if (output_dir / FRAME).exists():
        raise ValueError(
            f"{output_dir} holds aligned copies of an organised folder. Choose another `output_dir`"
        )
    proof = _read_proof(output_dir / PROOF) or _read_proof(output_dir / STAGING / PROOF)
    if proof is None:
        source_kind(source)  # reports a wrong source before a missing pair file beside it
    pair_bytes = {PAIR_FILES[group]: _pair_file_bytes(group, file) for group, file in given.items()}
    if proof and proof["pairs_sha256"] != _hashes(pair_bytes):
        raise ValueError(
            f"{output_dir} was organised with other pair files than {given['train']} and {given['test']}. "
            "Pass those, or choose another `output_dir`"
        )
    if proof:
        require_same_source(output_dir, proof, source)
    if not (output_dir / PROOF).exists():
        foreign = _foreign(output_dir, pair_bytes)
        if foreign and not (output_dir / _LOCK).exists():  # no lock in a folder that is not ours
            raise foreign
        gathered = None if proof else (source, *_gather(source, output_dir, given))
        busy = f"Another process is organising into {output_dir}. Wait for it, or choose another `output_dir`"
        with locked(output_dir / _LOCK, ValueError(busy)):
            _write(output_dir, gathered, pair_bytes)
    with suppress(OSError):  # a call that was killed in its last step leaves the empty folder
        (output_dir / STAGING).rmdir()
    proof = _read_proof(output_dir / PROOF)
    if proof is None or _digest(places_in(output_dir)) != proof["photos_sha256"]:
        raise ValueError(
            f"{output_dir}: photos were added or removed since it was organised. Delete its train/, test/, "
            f"unused/ and {PROOF}, and organise it again"
        )
    return proof["counts"]


def check_lfw_a(data: str | os.PathLike) -> dict[str, int]:
    """Checks that a local copy is the real LFW-a, byte for byte.

    Args:
        data: `lfw2.zip`, `lfwa.tar.gz`, an unpacked folder, or a folder that `organize_lfw_a` made.

    Returns:
        The numbers of `photos` and `people`; for an organised folder also of `train`, `test` and `unused`.

    Raises:
        ValueError: if it is not the real LFW-a. The message says how it differs.
        FileNotFoundError: if `data` does not exist, or is organised only half.

    Example:
        >>> check_lfw_a("faces/lfw2")
        Traceback (most recent call last):
        ValueError: ...256 photos instead of 13233, 64 people instead of 5749...
    """
    data = Path(data)
    if any((data / name).exists() for name in (STAGING, PROOF, *GROUPS)):
        require_organized(data)
        counts = _counts(places_in(data))
        photos: dict[str, bytes | Path] = {Path(place).name: data / place for place in places_in(data)}
    else:
        counts, photos = {}, read_photos(data)
    counts = {"photos": len(photos), "people": len({_person(name) for name in photos}), **counts}
    wrong = [f"{n} {k} instead of {_LFW_A_COUNTS[k]}" for k, n in counts.items() if n != _LFW_A_COUNTS[k]]
    if not wrong:
        hashes = []
        for name, content in tqdm(photos.items(), desc="Checking photos", unit=" photos", disable=None):
            content = content if isinstance(content, bytes) else content.read_bytes()
            hashes.append(f"{name} {hashlib.sha256(content).hexdigest()}")
        if _digest(hashes) != _LFW_A_SHA256:
            wrong = ["as many photos and people, but other names or bytes"]
    if wrong:
        raise ValueError(f"{data} is not the LFW-a that the report uses: {', '.join(wrong)}. Fetch it again")
    return counts


def _gather(source: Path, output_dir: Path, given: dict[str, Path]) -> tuple[dict, dict[str, str]]:
    """Reads and checks the source; returns the photos, and the place of each in `output_dir`."""
    inside, outside = source.resolve(), output_dir.resolve()
    if outside.is_relative_to(inside) or inside.is_relative_to(outside / STAGING):
        raise ValueError(f"`source` and `output_dir` must lie apart. Received: {source}, {output_dir}")
    group_of, asked = _read_pair_files(given)
    photos = read_photos(source)
    missing = asked - {Path(name).stem for name in photos}
    if missing:
        raise PairFileError(
            f"{source} must hold every photo that {given['train']} and {given['test']} ask for. "
            f"Unpack or fetch it again. Received it without {len(missing)}:{listed(missing)}"
        )
    return photos, {name: f"{group_of.get(_person(name), 'unused')}/{name}" for name in photos}


def _write(
    output_dir: Path, gathered: tuple[Path, dict, dict[str, str]] | None, pair_bytes: dict[str, bytes]
) -> None:
    """Finishes the folder, whatever a killed call has left there; removes only files of its own."""
    staging = output_dir / STAGING
    if (output_dir / PROOF).exists():  # another process has finished it in the meantime
        return
    foreign = _foreign(output_dir, pair_bytes)
    if foreign:
        raise foreign
    try:
        if gathered and not (staging / PROOF).exists():
            if staging.exists():
                shutil.rmtree(staging)  # copies of an interrupted call
            _stage(staging, *gathered, pair_bytes)
        for name in (*GROUPS, *pair_bytes, PROOF):
            if (staging / name).exists():
                (staging / name).replace(output_dir / name)
    except OSError as error:
        raise OSError(
            f"{output_dir} can't be organised to the end ({error}). Make room, or "
            "whatever else it lacks, and make the same call again: nothing of the source is lost"
        ) from error
    finally:
        if not (staging / PROOF).exists():
            shutil.rmtree(staging, ignore_errors=True)


def _stage(
    staging: Path, source: Path, photos: dict, places: dict[str, str], pair_bytes: dict[str, bytes]
) -> None:
    for group in GROUPS:
        (staging / group).mkdir(parents=True)
    for name, content in tqdm(photos.items(), desc="Sorting photos", unit=" photos", disable=None):
        if isinstance(content, bytes):
            (staging / places[name]).write_bytes(content)
        else:
            shutil.copyfile(content, staging / places[name])
    for name, content in pair_bytes.items():
        (staging / name).write_bytes(content)
    proof = {
        "counts": _counts(places.values()),
        "photos_sha256": _digest(places.values()),
        "source": source.resolve().name,
        "source_kind": source_kind(source),
        "pairs_sha256": _hashes(pair_bytes),
    }
    write_text(staging / PROOF, json.dumps(proof, indent=2) + "\n")  # only renames follow


def _pair_file_bytes(group: str, file: Path) -> bytes:
    if not file.is_file():
        missing = "is no regular file" if file.exists() else "does not exist"
        raise FileNotFoundError(
            f"`{group}_pairs` must be an LFW pair file. Received: {file}, which {missing}. "
            "`siamese-nn download pairs` fetches it"
        )
    return file.read_bytes()


def _read_pair_files(given: dict[str, Path]) -> tuple[dict[str, str], set[str]]:
    """Returns the group of each person, and the stems of the pairs' photos."""
    folds = {group: parse_pair_file(file) for group, file in given.items()}
    photos = {group: _numbered(file, folds[group]) for group, file in given.items()}
    people = {group: {name for name, _ in photos[group]} for group in photos}
    both = people["train"] & people["test"]
    if both:
        raise ValueError(
            f"A person's photos go either to train/ or to test/. {given['train']} and {given['test']} both "
            f"name {len(both)} people; take them out of one:{listed(both)}"
        )
    group_of = {name: group for group in people for name in people[group]}
    return group_of, {photo_stem(photo) for group in photos.values() for photo in group}


def _numbered(file: Path, folds: list) -> set[tuple[str, int]]:
    photos = {photo for fold in folds for _, pair in fold for photo in pair}
    if not all(isinstance(number, int) for _, number in photos):
        raise PairFileError(f"{file}: LFW's pair files number their photos. Received one with names of files")
    return photos


def _foreign(output_dir: Path, pair_bytes: dict[str, bytes]) -> FileExistsError | None:
    """Returns the error for a folder that holds other files. It is certain only while the lock is held."""
    staging = output_dir / STAGING
    staged = (staging / PROOF).exists()
    foreign = [n for n in GROUPS if (output_dir / n).exists() and (not staged or (staging / n).exists())]
    files = ((output_dir / name, content) for name, content in pair_bytes.items())
    foreign += [file.name for file, content in files if file.exists() and file.read_bytes() != content]
    if not foreign:
        return None
    return FileExistsError(
        f"{output_dir} already holds {', '.join(foreign)}, and `organize_lfw_a` did not make it so. "
        "Move that away, or choose another `output_dir`"
    )


def _read_proof(path: Path) -> dict | None:
    try:
        proof = read_json(path)
    except FileNotFoundError:
        return None
    kinds = {"counts": dict, "photos_sha256": str, "pairs_sha256": dict}
    if not isinstance(proof, dict) or any(
        not isinstance(proof.get(name), kind) for name, kind in kinds.items()
    ):
        raise ValueError(
            f"{path} must be as `organize_lfw_a` left it. Remove it, with the "
            "train/, test/ and unused/ beside it, and organise again"
        )
    return proof


def _hashes(pair_bytes: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in pair_bytes.items()}


def _counts(places: Iterable[str]) -> dict[str, int]:
    groups = [place.partition("/")[0] for place in places]
    return {group: groups.count(group) for group in GROUPS}


def _person(name: str) -> str:
    return name.rpartition("_")[0]


def _digest(lines: Iterable[str]) -> str:
    text = "".join(f"{line}\n" for line in sorted(lines))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
