"""Sorts LFW-a's archive or folder into `train/`, `test/` and `unused/`, whole or not at all; aligns it."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tqdm.auto import tqdm

from .. import faces
from ..files import locked, read_json, replacing, write_text
from .aligned_folder import NO_FACE, UNREADABLE, align_folder
from .folds import folds_in_turn
from .own_people import OwnPeople
from .pair_files import (
    IMAGE_ENDINGS,
    PairFileError,
    parse_pair_file,
    photo_stem,
    read_folds_of,
    read_pairs,
)
from .pairs import Pairs
from .photo_files import ImageError
from .photo_folders import photos_by_identity
from .photo_sources import listed, read_photos, require_folder, require_same_source, source_kind
from .shards import FRAME

_PAIR_FILES = {"train": "pairsDevTrain.txt", "test": "pairsDevTest.txt"}
_GROUPS = (*_PAIR_FILES, "unused")
_STAGING, _PROOF, _LOCK = ".partial-lfw_a", "lfw_a.json", ".lock"
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
    proof = _read_proof(output_dir / _PROOF) or _read_proof(output_dir / _STAGING / _PROOF)
    if proof is None:
        source_kind(source)  # reports a wrong source before a missing pair file beside it
    pair_bytes = {_PAIR_FILES[group]: _pair_file_bytes(group, file) for group, file in given.items()}
    if proof and proof["pairs_sha256"] != _hashes(pair_bytes):
        raise ValueError(
            f"{output_dir} was organised with other pair files than {given['train']} and {given['test']}. "
            "Pass those, or choose another `output_dir`"
        )
    if proof:
        require_same_source(output_dir, proof, source)
    if not (output_dir / _PROOF).exists():
        foreign = _foreign(output_dir, pair_bytes)
        if foreign and not (output_dir / _LOCK).exists():  # no lock in a folder that is not ours
            raise foreign
        gathered = None if proof else (source, *_gather(source, output_dir, given))
        busy = f"Another process is organising into {output_dir}. Wait for it, or choose another `output_dir`"
        with locked(output_dir / _LOCK, ValueError(busy)):
            _write(output_dir, gathered, pair_bytes)
    with suppress(OSError):  # a call that was killed in its last step leaves the empty folder
        (output_dir / _STAGING).rmdir()
    proof = _read_proof(output_dir / _PROOF)
    if proof is None or _digest(_places(output_dir)) != proof["photos_sha256"]:
        raise ValueError(
            f"{output_dir}: photos were added or removed since it was organised. Delete its train/, test/, "
            f"unused/ and {_PROOF}, and organise it again"
        )
    return proof["counts"]


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
        >>> pair_files = {"train_pairs": "faces/pairsDevTrain.txt", "test_pairs": "faces/pairsDevTest.txt"}
        >>> _ = organize_lfw_a("faces/lfw2", "lfw-a", **pair_files)
        >>> load_lfw_a("lfw-a")
        (Pairs(60 same, 60 different, 52 people), Pairs(12 same, 12 different, 12 people))
    """
    data_dir = Path(data_dir)
    _require_organized(data_dir)
    train, test = (read_pairs(data_dir / file, data_dir / group) for group, file in _PAIR_FILES.items())
    return train, test


def lfw_a_photos(data_dir: str | os.PathLike) -> dict[str, list[str]]:
    """Returns for each person of LFW-a the paths of all their photos, whatever folder they are in.

    Args:
        data_dir: the `output_dir` of `organize_lfw_a`.

    Raises:
        FileNotFoundError: if the folder is not organised, or only half.

    Example:
        >>> pair_files = {"train_pairs": "faces/pairsDevTrain.txt", "test_pairs": "faces/pairsDevTest.txt"}
        >>> _ = organize_lfw_a("faces/lfw2", "lfw-a", **pair_files)
        >>> len(lfw_a_photos("lfw-a"))
        64
    """
    _require_organized(Path(data_dir))
    photos: dict[str, list[str]] = {}
    for folder in _folders(Path(data_dir)):
        photos |= photos_by_identity(folder)
    return photos


def _folders(data_dir: Path) -> list[Path]:
    """The folders with photos; drawn faces have none in `unused/`."""
    return [data_dir / group for group in _GROUPS if any((data_dir / group).iterdir())]


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
        >>> _ = organize_lfw_a("faces/lfw2", "lfw-a", **pair_files)
        >>> folds = datasets.people_folds("faces/lfw2", 4, most_per_person=1)
        >>> datasets.write_pairs([fold.test for fold in folds], "pairs.txt")  # in the form of LFW's own
        >>> [fold.test for fold in load_lfw_a_folds("lfw-a", "pairs.txt")][:2]
        [Pairs(16 same, 16 different, 16 people), Pairs(16 same, 16 different, 16 people)]
    """
    photos = lfw_a_photos(data_dir)
    return folds_in_turn(read_folds_of(_folders(Path(data_dir)), Path(pairs_file)), photos)


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
        >>> def finder(pixels):  # yours; without one, the extra `faces` brings MTCNN
        ...     return [faces.Face((60, 60, 190, 200), 0.9, faces.LFW_A.points)]
        >>> pair_files = {"train_pairs": "faces/pairsDevTrain.txt", "test_pairs": "faces/pairsDevTest.txt"}
        >>> _ = organize_lfw_a("faces/lfw2", "lfw-a", **pair_files)
        >>> len(align_lfw_a("lfw-a", "lfw-a-aligned", finder=finder))
        256
        >>> load_lfw_a("lfw-a-aligned")
        (Pairs(60 same, 60 different, 52 people), Pairs(12 same, 12 different, 12 people))
    """
    source, output_dir = Path(source), Path(output_dir)
    _require_organized(source)
    places = set(_places(source))
    if (output_dir / FRAME).exists():  # an aligned folder proves nothing until all its photos are there again
        (output_dir / _PROOF).unlink(missing_ok=True)
    rows = [row for row in align_folder(source, output_dir, finder=finder) if row["photo"] in places]
    for row in rows:
        if row["result"] == UNREADABLE:
            raise ImageError(f"{source / row['photo']}: {row['reason']}. Organise LFW-a anew")
    if stay := [row["photo"] for row in rows if row["result"] == NO_FACE]:
        _require_lfw_a(source, stay)
    for group in _GROUPS:
        (output_dir / group).mkdir(exist_ok=True)
    for name in (*stay, *_PAIR_FILES.values(), _PROOF):  # the proof last: its places are all there now
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
    if any((data / name).exists() for name in (_STAGING, _PROOF, *_GROUPS)):
        _require_organized(data)
        counts = _counts(_places(data))
        photos: dict[str, bytes | Path] = {Path(place).name: data / place for place in _places(data)}
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
    if outside.is_relative_to(inside) or inside.is_relative_to(outside / _STAGING):
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
    staging = output_dir / _STAGING
    if (output_dir / _PROOF).exists():  # another process has finished it in the meantime
        return
    foreign = _foreign(output_dir, pair_bytes)
    if foreign:
        raise foreign
    try:
        if gathered and not (staging / _PROOF).exists():
            if staging.exists():
                shutil.rmtree(staging)  # copies of an interrupted call
            _stage(staging, *gathered, pair_bytes)
        for name in (*_GROUPS, *pair_bytes, _PROOF):
            if (staging / name).exists():
                (staging / name).replace(output_dir / name)
    except OSError as error:
        raise OSError(
            f"{output_dir} can't be organised to the end ({error}). Make room, or "
            "whatever else it lacks, and make the same call again: nothing of the source is lost"
        ) from error
    finally:
        if not (staging / _PROOF).exists():
            shutil.rmtree(staging, ignore_errors=True)


def _stage(
    staging: Path, source: Path, photos: dict, places: dict[str, str], pair_bytes: dict[str, bytes]
) -> None:
    for group in _GROUPS:
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
    write_text(staging / _PROOF, json.dumps(proof, indent=2) + "\n")  # only renames follow


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
    staging = output_dir / _STAGING
    staged = (staging / _PROOF).exists()
    foreign = [n for n in _GROUPS if (output_dir / n).exists() and (not staged or (staging / n).exists())]
    files = ((output_dir / name, content) for name, content in pair_bytes.items())
    foreign += [file.name for file, content in files if file.exists() and file.read_bytes() != content]
    if not foreign:
        return None
    return FileExistsError(
        f"{output_dir} already holds {', '.join(foreign)}, and `organize_lfw_a` did not make it so. "
        "Move that away, or choose another `output_dir`"
    )


def _require_organized(data_dir: Path) -> None:
    if not data_dir.is_dir():
        missing = "is no folder" if data_dir.exists() else "does not exist"
        raise FileNotFoundError(
            f"{data_dir} must be a folder that `organize_lfw_a` made, and "
            f"{missing}. Correct the name, or make it. Run `siamese-nn organize SOURCE {data_dir}` with "
            "LFW-a's archive or folder as SOURCE"
        )
    if not (data_dir / _PROOF).is_file():
        if (data_dir / FRAME).is_file():
            raise FileNotFoundError(
                f"{data_dir} holds aligned photos, and it has no {_PROOF}. If they are LFW-a's, go on "
                f"with `siamese-nn align SOURCE {data_dir}`, where SOURCE is what `organize` made"
            )
        half = "only half organised" if (data_dir / _STAGING).exists() else "not organised"
        raise FileNotFoundError(
            f"{data_dir} is {half}: it has no {_PROOF}. Run `siamese-nn organize SOURCE {data_dir}` with "
            "LFW-a's archive or folder as SOURCE; after an interruption, with the same SOURCE again"
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


def _places(folder: Path) -> list[str]:
    """Lists the photos as "train/First_Last_0001.jpg"; a .DS_Store beside them does no harm."""
    groups = [group for group in _GROUPS if (folder / group).is_dir()]
    places = [f"{group}/{entry.name}" for group in groups for entry in os.scandir(folder / group)]
    return [place for place in places if place.lower().endswith(IMAGE_ENDINGS)]


def _counts(places: Iterable[str]) -> dict[str, int]:
    groups = [place.partition("/")[0] for place in places]
    return {group: groups.count(group) for group in _GROUPS}


def _person(name: str) -> str:
    return name.rpartition("_")[0]


def _digest(lines: Iterable[str]) -> str:
    text = "".join(f"{line}\n" for line in sorted(lines))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
