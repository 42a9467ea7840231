"""Organises the archive or folder of Celebrities in Frontal-Profile, and aligns its photos if wanted."""

import json
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from ..files import locked, put_in_place, read_json, write_text
from .cfp import FOLDS, NAMES, TASKS, VIEWS, read_cfp_folds, read_names, read_photo_list
from .cfp_alignment import align_jpeg, read_fiducials
from .images import load_image
from .pair_files import IMAGE_ENDINGS, PairFileError
from .photo_sources import (
    BROKEN,
    Member,
    damage,
    listed,
    refusing_damage,
    require_folder,
    require_same_source,
    zip_members,
)

_PROTOCOL = (
    *(f"Protocol/Pair_list_{side}.txt" for side in VIEWS),
    *(f"Protocol/Split/{task}/{n}/{kind}.txt" for task in TASKS for n in FOLDS for kind in ("same", "diff")),
)
_PROOF = "cfp.json"
_LOCK = ".lock"
_MOST_BYTES = 2**31  # of an archive, unpacked: CFP has 0.1 GB, a zip bomb has no end
_MOST_MEMBER_BYTES = 2**26  # of one file: the largest has 1.3 MB


def organize_cfp(
    source: str | os.PathLike, output_dir: str | os.PathLike, *, align: bool = False
) -> dict[str, int]:
    """Copies CFP's photos, fiducials and protocol from an archive or folder, checks and can align them.

    The files are written to a hidden folder beside `output_dir`, which takes its place by one rename. After
    an interruption `output_dir` does not exist, and the same call starts again. A call on a finished folder
    returns at once.

    Args:
        source: `cfp-dataset.zip`, or an unpacked folder with `Data/` and `Protocol/`, or the folder around
            it. Files that the protocol does not need are ignored, but the photos and fiducials must be
            exactly those that it needs.
        output_dir: a new or empty folder, outside of `source`. It gets `Data/list_name.txt`,
            `Data/Images/`, `Data/Fiducials/` and `Protocol/`, which `read_cfp_folds` reads, and `cfp.json`,
            which proves that nothing is missing.
        align: whether to align every photo: to 250 x 250 pixels, with the face where the photos of LFW-a have
            it, grey or RGB as it was (JPEG, quality 95, full colour resolution); see
            `cfp_alignment.align_photo`. A model that was trained on a `crop` of LFW-a then sees the faces of
            CFP in the same place and size. The fiducials are left out, since they fit the published photos
            only. Without `align` the photos are copied byte for byte, and crops of LFW-a do not fit them.

    Returns:
        `{"people": 500, "frontal": 5000, "profile": 2000}` for the real CFP.

    Raises:
        ValueError: if the source is damaged or incomplete, or holds photos that cannot be used; one message
            names all faults, and nothing is written. Or if `output_dir` was organised from another source or
            with another `align`, if files were added or removed since, or if another process is organising
            into it.
        FileExistsError: if `output_dir` holds other files.
        FileNotFoundError: if `source` does not exist.
        OSError: if the files can't be written, as on a full disk.

    Example:
        >>> organize_cfp("cfp", "aligned", align=True)  # or "cfp-dataset.zip"
        {'people': 20, 'frontal': 40, 'profile': 20}
        >>> cfp_is_aligned("aligned")
        True
    """
    source, output_dir = Path(source), Path(output_dir).resolve()  # a link keeps pointing to it
    if output_dir == Path.cwd():
        raise ValueError(
            f"`output_dir` must not be the current folder, which can't be replaced. Received: {output_dir}"
        )
    require_folder(output_dir)
    if (output_dir / _PROOF).is_file():
        return _organized_before(output_dir, source, align)
    # One rename fills the folder. So other files in it are not ours, unless another process has just
    # finished.
    if output_dir.exists() and any(output_dir.iterdir()) and not (output_dir / _PROOF).is_file():
        raise FileExistsError(
            "`output_dir` must be new, empty, or a folder that `organize_cfp` made. "
            f"Received: {output_dir}, which holds something else. Choose another"
        )
    if output_dir.is_relative_to(source.resolve()):
        raise ValueError(f"`output_dir` must lie outside of `source`. Received: {source}, {output_dir}")
    staging = output_dir.parent / f".{output_dir.name}.cfp_partial"
    busy = f"Another process is organising into {output_dir}. Wait for it, or choose another `output_dir`"
    with locked(staging / _LOCK, ValueError(busy)):
        try:
            if (output_dir / _PROOF).is_file():  # another process has finished it a moment ago
                shutil.rmtree(staging)
                return _organized_before(output_dir, source, align)
            for left in [
                entry for entry in staging.iterdir() if entry.name != _LOCK
            ]:  # of an interrupted call
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            with _opened(source) as files:
                counts = _stage(files, source, output_dir, staging, align)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    return counts


def _stage(files: dict, source: Path, output_dir: Path, staging: Path, align: bool) -> dict[str, int]:
    try:
        counts = _gather(files, source, staging, align)
        proof = {"counts": counts, "align": align, "source": source.resolve().name}
        proof["files_sha256"] = _digest(_listing(staging))
        write_text(staging / _PROOF, json.dumps(proof, indent=2) + "\n")
        put_in_place(staging, output_dir)
    except PairFileError as error:
        raise PairFileError(str(error).replace(str(staging), str(source))) from error
    except OSError as error:
        raise OSError(
            f"{output_dir} can't be organised to the end ({error}). Make room, or "
            "whatever else it lacks, and make the same call again: nothing of the source is lost"
        ) from error
    return counts


def cfp_is_aligned(cfp_dir: str | os.PathLike) -> bool:
    """Returns whether `organize_cfp` made a folder with `align=True`.

    Args:
        cfp_dir: the folder of CFP.

    Example:
        >>> cfp_is_aligned("cfp")  # loosely cropped, as published
        False
    """
    proof = Path(cfp_dir) / _PROOF
    if not proof.is_file():
        return False
    content = read_json(proof)
    return isinstance(content, dict) and content.get("align") is True


def _organized_before(folder: Path, source: Path, align: bool) -> dict[str, int]:
    proof = read_json(folder / _PROOF)
    if not isinstance(proof, dict) or not isinstance(proof.get("counts"), dict):
        raise ValueError(
            f"{folder / _PROOF} must be as `organize_cfp` left it. Delete {folder}, and organise it again"
        )
    require_same_source(folder, proof, source)
    if proof.get("align") != align:
        raise ValueError(f"{folder} was not organised with align={align}. Choose another `output_dir`")
    if _digest(_listing(folder)) != proof.get("files_sha256"):
        raise ValueError(
            f"{folder}: files were added or removed since it was organised. Delete it, and organise it again"
        )
    return proof["counts"]


@contextmanager
def _opened(source: Path) -> Iterator[dict[str, Callable[[], bytes]]]:
    """Gives a reader for each path of CFP's layout; the source never decides where files are written."""
    if source.is_dir():
        folders = [source, *(folder for folder in sorted(source.iterdir()) if folder.is_dir())]
        root = next((folder for folder in folders if (folder / NAMES).is_file()), source)
        yield {name: (root / name).read_bytes for name in _listing(root)}
        return
    if not source.is_file():
        raise FileNotFoundError(
            "`source` must be cfp-dataset.zip or an unpacked folder. "
            f"Received: {source}, which does not exist"
        )
    with refusing_damage(source):
        archive = zipfile.ZipFile(source)
    with archive:
        with refusing_damage(source):
            members = [member for member in zip_members(archive) if not member.is_folder]
        tops = [member.path[: -len(NAMES)] for member in members if member.path.endswith(NAMES)]
        top = min((top for top in tops if top[-1:] in ("", "/")), key=len, default="")
        inside: dict[str, list[Member]] = {}
        for member in members:
            if member.path.startswith(top):
                inside.setdefault(member.path[len(top) :], []).append(member)
        _refuse(source, [f"{name}: {len(own)} times" for name, own in inside.items() if len(own) > 1])
        if sum(member.size for (member,) in inside.values()) > _MOST_BYTES:
            raise ValueError(f"{source} must unpack to less than {_MOST_BYTES} bytes. Fetch it again")
        yield {name: partial(_read_member, member) for name, (member,) in inside.items()}


def _read_member(member: Member) -> bytes:
    if member.fault or member.size > _MOST_MEMBER_BYTES:
        raise ValueError(member.fault or f"more than {_MOST_MEMBER_BYTES} bytes")
    try:
        content = member.read()
    except BROKEN as error:
        raise ValueError(f"damaged ({damage(error)})") from error
    return content if isinstance(content, bytes) else content.read_bytes()


def _gather(files: dict[str, Callable[[], bytes]], source: Path, folder: Path, align: bool) -> dict[str, int]:
    """Writes all that the protocol needs to `folder`, and returns the counts."""
    texts = (NAMES, *_PROTOCOL)
    faults: list[str] = []
    _refuse(source, [f"{name}: missing" for name in texts if name not in files])
    for name in texts:
        with _noting(faults, name):
            _write(folder / name, files[name]())
    _refuse(source, faults)
    people = read_names(folder / NAMES)
    photos = {
        Path(path).relative_to(folder).as_posix(): view
        for side, view in VIEWS.items()
        for path, _ in read_photo_list(folder, side, people)
    }
    wanted = {*photos, *map(_fiducials_file, photos)}
    faults = [f"{name}: missing" for name in wanted - files.keys()]
    faults += [f"{name}: no photo of the pair lists" for name in files.keys() - wanted if _is_photo(name)]
    _refuse(source, faults)
    for photo, view in tqdm(photos.items(), desc="Organising CFP", unit=" photos", disable=None):
        with _noting(faults, _fiducials_file(photo)):
            text = files[_fiducials_file(photo)]()
            fiducials = read_fiducials(text)
            with _noting(faults, photo):
                content = files[photo]()
                # Is it whole? At this size a JPEG is decoded at an eighth of its size, which costs little.
                load_image(content, image_size=(8, 8), channels=3)
                if align:
                    content = align_jpeg(content, fiducials, view)
                else:
                    _write(folder / _fiducials_file(photo), text)
                _write(folder / photo, content)
    _refuse(source, faults)
    for task in TASKS:
        read_cfp_folds(folder, task)
    return {"people": len(people), **Counter(photos.values())}


@contextmanager
def _noting(faults: list[str], name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        faults.append(f"{name}: {str(error).removeprefix('the photo: ')}")


def _refuse(source: Path, faults: list[str]) -> None:
    if faults:
        raise ValueError(
            f"{source} must hold the whole of cfp-dataset, as published. Unpack "
            f"or fetch it again. Received it with these faults ({len(faults)}):{listed(faults)}"
        )


def _fiducials_file(photo: str) -> str:
    return photo.replace("/Images/", "/Fiducials/").replace(".jpg", ".txt")


def _is_photo(name: str) -> bool:
    path = PurePosixPath(name)  # macOS puts hidden files among the photos
    inside = path.parts[:2] in (("Data", "Images"), ("Data", "Fiducials"))
    return inside and not path.name.startswith(".") and path.suffix.lower() in (*IMAGE_ENDINGS, ".txt")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _listing(folder: Path) -> list[str]:
    files = (path for part in ("Data", "Protocol") for path in (folder / part).rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files if not path.name.startswith(".")]


def _digest(names: Iterable[str]) -> str:
    return sha256("\n".join(sorted(names)).encode(errors="surrogateescape")).hexdigest()
