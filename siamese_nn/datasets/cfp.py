"""Celebrities in Frontal-Profile: the archive or folder put in order, and its ten folds of pairs."""

import json
import lzma
import os
import re
import shutil
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from hashlib import sha256
from operator import add
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from ..files import read_json, write_text
from .cfp_alignment import align_jpeg, read_fiducials
from .images import load_image
from .pair_files import IMAGE_ENDINGS, PairFileError
from .pairs import Pairs
from .photo_sources import listed
from .splits import require_disjoint

_VIEWS = {"F": "frontal", "P": "profile"}
_FOLDS = tuple(f"{number:02d}" for number in range(1, 11))
_NAMES = "Data/list_name.txt"
_PROTOCOL = (
    *(f"Protocol/Pair_list_{side}.txt" for side in _VIEWS),
    *(
        f"Protocol/Split/{task}/{n}/{kind}.txt"
        for task in ("FF", "FP")
        for n in _FOLDS
        for kind in ("same", "diff")
    ),
)
_PROOF = "cfp.json"
# RuntimeError is zipfile's word for encrypted, OSError that for a member that begins before the archive does.
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OSError, ValueError)
_MOST_BYTES = 2**26  # of one file: the largest has 1.3 MB, a zip bomb has no end


def organize_cfp(
    source: str | os.PathLike, output_dir: str | os.PathLike, *, align: bool = False
) -> dict[str, int]:
    """Takes the photos, fiducials and protocol of CFP out of an archive or folder, with all checks, aligned if wanted.

    All is gathered in a hidden folder beside `output_dir`, which takes its place by one rename: after an interruption
    `output_dir` is not there, and the same call starts again. A call on a finished folder returns at once.

    Args:
        source: `cfp-dataset.zip`, or an unpacked folder with `Data/` and `Protocol/`, or the folder around it. Files that
            the protocol does not ask for are left where they are, but photos and fiducials must be all that it asks for
            and no others.
        output_dir: a new or empty folder, outside of `source`. It gets `Data/list_name.txt`, `Data/Images/`,
            `Data/Fiducials/` and `Protocol/`, which `read_cfp_folds` reads, and `cfp.json`, which proves that nothing is
            missing.
        align: whether to make of every photo one of 250 x 250 pixels with the face where the photos of LFW-a have it, grey
            or RGB as it was (JPEG, quality 95, full colour resolution): see `cfp_alignment.align_photo`. A model that was
            trained on a `crop` of LFW-a then sees the faces of CFP in the same place and size. The fiducials stay behind,
            since they fit the photos as published only. Photos are taken byte for byte otherwise.

    Returns:
        `{"people": 500, "frontal": 5000, "profile": 2000}` for the real CFP.

    Raises:
        ValueError: if the source is damaged, incomplete, or holds photos that cannot be used; all faults in one message.
            Nothing is left behind. Or if `output_dir` was organised with another `align` or was changed since.
        FileExistsError: if `output_dir` holds something else.
        FileNotFoundError: if `source` does not exist.

    Example:
        >>> import tempfile
        >>> from siamese_nn.datasets import make_toy_cfp
        >>> folder = Path(tempfile.mkdtemp())
        >>> drawn = make_toy_cfp(folder / "drawn", frontal_photos=2, profile_photos=1)
        >>> organize_cfp(drawn, folder / "aligned", align=True)
        {'people': 20, 'frontal': 40, 'profile': 20}
    """
    source, output_dir = Path(source), Path(output_dir)
    if (output_dir / _PROOF).is_file():
        return _organized_before(output_dir, align)
    if output_dir.exists() and not (output_dir.is_dir() and not any(output_dir.iterdir())):
        raise FileExistsError(
            f"`output_dir` must be new, empty, or a folder that `organize_cfp` made. Received: {output_dir}, which holds "
            "something else. Choose another"
        )
    if output_dir.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"`output_dir` must lie outside of `source`. Received: {source}, {output_dir}")
    staging = output_dir.parent / f".{output_dir.name}.cfp_partial"
    if staging.exists():
        shutil.rmtree(staging)  # of an interrupted call
    try:
        with _opened(source) as files:
            counts = _gather(files, source, staging, align)
        proof = {"counts": counts, "align": align, "files_sha256": _digest(_listing(staging))}
        write_text(staging / _PROOF, json.dumps(proof, indent=2) + "\n")
    except PairFileError as error:
        raise PairFileError(str(error).replace(str(staging), str(source))) from error
    finally:
        if not (staging / _PROOF).exists():
            shutil.rmtree(staging, ignore_errors=True)
    if output_dir.exists():
        output_dir.rmdir()  # it is empty, and not every system renames onto an empty folder
    staging.rename(output_dir)
    return counts


def split_cfp_folds(folds: Sequence[Pairs]) -> tuple[Pairs, Pairs, Pairs]:
    """Makes training, validation and test pairs of the ten folds: 1 to 8, 9, and 10.

    The study of person verification on CFP splits the folds so, but does not say which are which; this choice is ours. The
    full protocol, `evaluation.cross_validate`, tests on each fold in turn.

    Args:
        folds: the ten of `read_cfp_folds`.

    Returns:
        The pairs to train on, to validate on and to test on: 5,600, 700 and 700 for the real CFP, of 400, 50 and 50 people.

    Raises:
        ValueError: if there aren't ten.
        IdentityLeakError: if somebody is in two of the three.
    """
    if len(folds) != len(_FOLDS):
        raise ValueError(f"`folds` must be the ten of `read_cfp_folds`. Received: {len(folds)}")
    train, val, test = reduce(add, folds[:8]), folds[8], folds[9]
    require_disjoint(train, val, names=("training", "validation"))
    require_disjoint(train, test, names=("training", "test"))
    require_disjoint(val, test, names=("validation", "test"))
    return train, val, test


def read_cfp_folds(cfp_dir: str | os.PathLike, task: str) -> list[Pairs]:
    """Reads the ten folds of CFP's protocol.

    The people are named as LFW names them, with underscores (`Al_Pacino`), so that `evaluation.require_unseen` finds those
    who trained a model on LFW. The FF folds hold some pairs twice, as published; they are kept.

    Args:
        cfp_dir: the unpacked `cfp-dataset`, with `Data/` and `Protocol/`.
        task: `"FF"` for pairs of two frontal photos, `"FP"` for a frontal one on the left and a profile on the right.

    Returns:
        Ten `Pairs`, each with its same pairs first.

    Raises:
        ValueError: if `task` is another.
        PairFileError: on a malformed line, a file with another number of pairs than the others of the task, or missing
            photos; with file, line or count, and remedy.
        FileNotFoundError: if a file of the protocol does not exist.

    Reference:
        Sengupta et al., "Frontal to profile face verification in the wild", WACV 2016, http://www.cfpw.io.
    """
    if task not in ("FF", "FP"):
        raise ValueError(f'`task` must be "FF" or "FP". Received: task={task!r}')
    cfp_dir = Path(cfp_dir)
    people = read_names(cfp_dir / _NAMES)
    left_photos, right_photos = (_read_photos(cfp_dir, side, people) for side in task)
    folds, counts = [], {}
    for number in _FOLDS:
        rows = []
        for kind in ("same", "diff"):
            pairs_file = cfp_dir / "Protocol" / "Split" / task / number / f"{kind}.txt"
            read = _read_fold_file(pairs_file, left_photos, right_photos, kind == "same")
            counts[pairs_file] = len(read)
            rows += read
        left, right = ([row[side] for row in rows] for side in (0, 1))
        folds.append(
            Pairs(
                left=[photo for photo, _ in left],
                right=[photo for photo, _ in right],
                same=[one[1] == other[1] for one, other in rows],
                left_identities=[name for _, name in left],
                right_identities=[name for _, name in right],
            )
        )
    _require_equal_counts(counts)
    photos = sorted({photo for fold in folds for photo in (*fold.left.tolist(), *fold.right.tolist())})
    missing = [photo for photo in photos if not os.path.isfile(photo)]
    if missing:
        more = f"\n  and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise PairFileError(
            f"{cfp_dir / 'Protocol' / 'Split' / task}: {len(missing)} of the {len(photos)} photos of its pairs do not exist. "
            "Unpack cfp-dataset.zip anew. Missing:\n  " + "\n  ".join(missing[:10]) + more
        )
    return folds


def read_names(file: str | os.PathLike) -> list[str]:
    """Reads a list of people, one name a line, such as CFP's `Data/list_name.txt`.

    176 of CFP's 500 names stand in LFW, too: whoever trains on LFW for a test on CFP leaves those people out.

    Args:
        file: the list, with names as `Al Pacino` or `Al_Pacino`.

    Returns:
        The names as LFW writes them, with underscores, in the order of the file.

    Raises:
        PairFileError: on a line without a name, or with the name of an earlier one; with file, line and remedy.
        FileNotFoundError: if `file` does not exist.

    Example:
        >>> import tempfile
        >>> names_file = Path(tempfile.mkdtemp()) / "list_name.txt"
        >>> _ = names_file.write_text("50 Cent\\nAl Pacino\\n")
        >>> read_names(names_file)
        ['50_Cent', 'Al_Pacino']
    """
    people = ["_".join(line.split()) for line in _read_lines(Path(file))]
    first: dict[str, int] = {}
    for number, name in enumerate(people, 1):
        if not name or first.setdefault(name, number) != number:
            fault = f"the name of line {first[name]} again: {name}" if name else "a line without a name"
            raise PairFileError(f"{file}:{number}: {fault}. Correct the line or unpack cfp-dataset.zip anew")
    return people


def _read_lines(file: Path) -> list[str]:
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} does not exist. `cfp_dir` must be the unpacked cfp-dataset, with Data/ and Protocol/"
        )
    lines = file.read_text(encoding="utf-8-sig", errors="replace").rstrip().split("\n")
    return [line.strip() for line in lines]


def _read_photos(cfp_dir: Path, side: str, people: list[str]) -> list[tuple[str, str]]:
    """Returns path and person of each photo that `Pair_list_F.txt` or `Pair_list_P.txt` numbers from 1 on."""
    list_file = cfp_dir / "Protocol" / f"Pair_list_{side}.txt"
    photos = []
    for number, line in enumerate(_read_lines(list_file), 1):
        match = re.fullmatch(
            rf"{number}\s+\.\./(Data/Images/([0-9]{{3}})/{_VIEWS[side]}/[0-9]{{2}}\.jpg)", line
        )
        if match is None or not 1 <= int(match[2]) <= len(people):
            raise PairFileError(
                f"{list_file}:{number}: expected `{number} ../Data/Images/NNN/{_VIEWS[side]}/NN.jpg`, with a person NNN from "
                f"001 to {len(people):03d}, the names in list_name.txt. Received: {line[:120]!r}. Unpack cfp-dataset.zip anew"
            )
        photos.append((str(cfp_dir / match[1]), people[int(match[2]) - 1]))
    return photos


def _read_fold_file(
    pairs_file: Path, left_photos: list[tuple[str, str]], right_photos: list[tuple[str, str]], same: bool
) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    rows = []
    for number, line in enumerate(_read_lines(pairs_file), 1):
        match = re.fullmatch(r"([0-9]{1,9})\s*,\s*([0-9]{1,9})", line)
        i, j = (int(match[1]), int(match[2])) if match else (0, 0)
        if not (1 <= i <= len(left_photos) and 1 <= j <= len(right_photos)):
            raise PairFileError(
                f"{pairs_file}:{number}: expected two photo numbers `i,j`, from 1 to {len(left_photos)} and to "
                f"{len(right_photos)}. Received: {line[:120]!r}. Correct the line or unpack cfp-dataset.zip anew"
            )
        left, right = left_photos[i - 1], right_photos[j - 1]
        if left == right or (left[1] == right[1]) != same:
            people = "a photo paired with itself" if left == right else f"a pair of {left[1]} and {right[1]}"
            raise PairFileError(
                f"{pairs_file}:{number}: {people}: {line!r}. A line of {pairs_file.name} is a pair of "
                f"{'two photos of one person' if same else 'two people'}. Correct or remove the line"
            )
        rows.append((left, right))
    return rows


def _require_equal_counts(counts: dict[Path, int]) -> None:
    """As published, all folds of a task are of one size, half same and half different: a file that was cut off is not."""
    usual = Counter(counts.values()).most_common(1)[0][0]
    for pairs_file, count in counts.items():
        if count != usual:
            raise PairFileError(
                f"{pairs_file}: must hold {usual} pairs, as the other files of its task. Received: {count}. Unpack "
                "cfp-dataset.zip anew"
            )


def _organized_before(folder: Path, align: bool) -> dict[str, int]:
    proof = read_json(folder / _PROOF)
    if not isinstance(proof, dict) or proof.get("align") != align:
        raise ValueError(f"{folder} was not organised with align={align}. Choose another `output_dir`")
    if _digest(_listing(folder)) != proof.get("files_sha256"):
        raise ValueError(
            f"{folder}: files were added or removed since it was organised. Delete it, and organise it again"
        )
    return proof["counts"]


@contextmanager
def _opened(source: Path) -> Iterator[dict[str, Callable[[], bytes]]]:
    """Gives what reads each file, by its path in CFP's layout; where to write is never taken from the source."""
    if source.is_dir():
        inside = [source, *(folder for folder in sorted(source.iterdir()) if folder.is_dir())]
        root = next((folder for folder in inside if (folder / _NAMES).is_file()), source)
        yield {name: (root / name).read_bytes for name in _listing(root)}
        return
    if not source.is_file():
        raise FileNotFoundError(
            f"`source` must be cfp-dataset.zip or an unpacked folder. Received: {source}, which does not exist"
        )
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        if isinstance(error, PermissionError):
            raise
        raise ValueError(f"{source} is no zip archive, or a damaged one ({error}). Fetch it again") from error
    with archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        tops = [info.filename[: -len(_NAMES)] for info in members if info.filename.endswith(_NAMES)]
        top = min((top for top in tops if top[-1:] in ("", "/")), key=len, default="")
        inside = {info.filename[len(top) :]: info for info in members if info.filename.startswith(top)}
        yield {name: partial(_read_member, archive, info) for name, info in inside.items()}


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    try:
        return archive.read(info)
    except _BROKEN as error:
        raise ValueError(f"damaged or encrypted ({error})") from error


def _gather(files: dict[str, Callable[[], bytes]], source: Path, folder: Path, align: bool) -> dict[str, int]:
    """Writes all that the protocol asks for to `folder`, and returns the counts."""
    texts, faults = (_NAMES, *_PROTOCOL), []
    _refuse(source, [f"{name}: missing" for name in texts if name not in files])
    for name in texts:
        with _noting(faults, name):
            _write(folder / name, files[name]())
    _refuse(source, faults)
    people = read_names(folder / _NAMES)
    photos = {
        Path(path).relative_to(folder).as_posix(): view
        for side, view in _VIEWS.items()
        for path, _ in _read_photos(folder, side, people)
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
                # Is it whole? For a photo so small it is decoded at an eighth of its size, at little cost.
                load_image(content, image_size=(8, 8), channels=3)
                if align:
                    content = align_jpeg(content, fiducials, view)
                else:
                    _write(folder / _fiducials_file(photo), text)
                _write(folder / photo, content)
    _refuse(source, faults)
    for task in ("FF", "FP"):
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
            f"{source} must hold the whole of cfp-dataset, as published. Unpack or fetch it again. Received it with "
            f"these faults ({len(faults)}):{listed(faults)}"
        )


def _fiducials_file(photo: str) -> str:
    return photo.replace("/Images/", "/Fiducials/").replace(".jpg", ".txt")


def _is_photo(name: str) -> bool:
    path = PurePosixPath(name)  # a Mac hides files of its own among the photos
    inside = path.parts[:2] in (("Data", "Images"), ("Data", "Fiducials"))
    return inside and not path.name.startswith(".") and path.suffix.lower() in (*IMAGE_ENDINGS, ".txt")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _listing(folder: Path) -> list[str]:
    files = (path for part in ("Data", "Protocol") for path in (folder / part).rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files if not path.name.startswith(".")]


def _digest(names: Iterable[str]) -> str:
    return sha256("\n".join(sorted(names)).encode()).hexdigest()
