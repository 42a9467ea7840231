"""What is wrong with a folder of people: photos twice, unreadable, without a face, or of somebody else."""

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from .. import evaluation, faces
from ..datasets import known_frame
from ..datasets.images import ImageError
from ..datasets.photo_folders import listing, people_as_named, some, written_alike
from ..datasets.raw_photos import RAW_ENDINGS, open_raw_photo
from ..datasets.splits import IdentityLeakError, spelling
from ..evaluation.suspects import FEWEST_TO_JUDGE
from ..faces.mtcnn import is_installed
from ..files import csv_text, write_text
from .duplicates import THUMBNAIL, near_duplicates, thumbnail
from .photos import Place
from .verifier import Verifier

LEFT_OUT, UNREADABLE, NO_FACE, SEVERAL_FACES = "left out", "unreadable", "no face", "several faces"
TWICE, NEARLY_TWICE = "twice", "nearly twice"
SOMEBODY_ELSE, ONE_PERSON = "somebody else", "one person"
KINDS = (LEFT_OUT, UNREADABLE, NO_FACE, SEVERAL_FACES, TWICE, NEARLY_TWICE, SOMEBODY_ELSE, ONE_PERSON)
_CHUNK = 256  # photos in memory at a time
_NOT_LOOKED_FOR = "Photos of somebody else, and people under two names, were not looked for"
_SHARE = 0.05  # of the photos, the most that are taken for somebody else's


@dataclass(frozen=True)
class Finding:
    """Something to look at.

    Args:
        kind: one of `KINDS`.
        photo: the photo, below the folder; of `"one person"` a person.
        other: another photo or person, if there is one; of `"somebody else"` empty where it is nobody here.
        score: how sure it is, within its kind; higher is surer. It is no probability: with few people, or a
            network that was trained on other photos, it promises too much.
        reason: in words.
    """

    kind: str
    photo: str
    other: str
    score: float | None
    reason: str


@dataclass(frozen=True)
class Audit:
    """What was found, and what was not looked for."""

    folder: Path
    people: dict[str, list[Path]]
    findings: list[Finding]
    notes: list[str]

    @property
    def n_photos(self) -> int:
        """How many photos the folder has."""
        return sum(map(len, self.people.values()))

    def write_csv(self, path: str | os.PathLike) -> None:
        """Writes the findings, a line each. No cell is taken for a formula."""
        names = [own.name for own in fields(Finding)]
        text = csv_text([names, *(list(asdict(finding).values()) for finding in self.findings)])
        write_text(path, text.encode("utf-8", "backslashreplace").decode())  # names of no UTF-8


def audit_people(folder: str | os.PathLike, verifier: Verifier | None = None, *, seed: int = 0) -> Audit:
    """Looks for faults in a folder with a folder of photos for each person. It changes nothing.

    It finds photos that are there twice, byte by byte or nearly: a split could put them on two sides. With a
    verifier it also finds photos that rather show somebody else, and two people who are probably one. See
    `evaluation.rank_suspects` and `evaluation.rank_same_people`.

    Args:
        folder: folder of the people, with all kinds of photos that `datasets.open_raw_photo` reads.
        verifier: verifier of a run or of any embedding that has not learnt from these people. Its threshold
            plays no part, and may be chosen on them.
        seed: seed of the halves of people in which photos are judged.

    Returns:
        The findings, by kind, and within a kind the surest first.

    Raises:
        FileNotFoundError: if there is no such folder.
        IdentityLeakError: if the network has learnt from somebody of these people.
        ValueError: if there are no photos, or too few people to judge by; see `evaluation.rank_suspects`.
    """
    folder = Path(folder)
    people = {name: own for name, own in people_as_named(folder, RAW_ENDINGS).items() if own}
    if verifier is not None:
        learnt = {spelling(name) for name in verifier.embedding.trained_on}
        if known := [name for name in people if spelling(name) in learnt]:
            raise IdentityLeakError(
                f"{folder} must hold people from whom the network has not learnt: it would find the labels "
                f"right that it has learnt. Received {len(known)} of {len(people)}: {some(known)}. Take a "
                "run of other people, such as `siamese-nn train --data data/lfw-a --recipe face` makes; "
                "`--exclude FILE` leaves out those who are in both"
            )
    names = [name for name, own in people.items() for _ in own]
    paths = [path for own in people.values() for path in own]
    frame = known_frame(paths)
    looks = frame is None and is_installed()
    notes = []
    if frame is None and not looks:
        notes.append("Faces were not looked for: pip install 'siamese_nn[faces]'")
    if verifier is None:
        notes.append(
            f"{_NOT_LOOKED_FOR}: that takes a network that has not learnt from them, `--run RUN`. "
            "`siamese-nn train --data data/lfw-a --recipe face` makes one, or `siamese-nn verifier "
            "make` of your network"
        )
    elif (n := _several(names)) < FEWEST_TO_JUDGE:
        raise ValueError(f"{folder}: {_too_few(n)}. Add people, or photos of them, or give no verifier")
    elif verifier.embedding.frame is None:
        notes.append("Where this verifier wants the faces is not known: photos are judged as they are")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda path: _look(path, looks), paths)
        seen_photos = list(tqdm(found, total=len(paths), desc="Looking", unit=" photos", disable=None))
    findings = [
        Finding(LEFT_OUT, _below(folder, path), "", None, "hidden, deeper, or of another ending")
        for path in listing(folder, RAW_ENDINGS)[2]
    ]
    findings += [
        Finding(photo.kind, _below(folder, path), "", None, photo.reason)
        for path, photo in zip(paths, seen_photos, strict=True)
        if photo.kind
    ]
    whole = [i for i, photo in enumerate(seen_photos) if photo.kind not in (UNREADABLE, NO_FACE)]
    readable = [i for i, photo in enumerate(seen_photos) if photo.small is not None]
    duplicates = list(_duplicates(folder, paths, names, seen_photos, readable))
    findings += duplicates
    alike = written_alike(people)
    findings += [Finding(ONE_PERSON, *pair, None, "one name that is written in two ways") for pair in alike]
    if verifier is not None:
        # Copies in one folder would vouch for each other: one of them is judged.
        person = {_below(folder, path): name for path, name in zip(paths, names, strict=True)}
        copies = {found.other for found in duplicates if person[found.photo] == person[found.other]}
        whole = [i for i in whole if _below(folder, paths[i]) not in copies]
        kept, who = [paths[i] for i in whole], [names[i] for i in whole]
        vectors, refused = _vectors(verifier, kept, frame)
        for i, reason in refused.items():
            findings.append(Finding(UNREADABLE, _below(folder, kept[i]), "", None, reason))
        kept = [path for i, path in enumerate(kept) if i not in refused]
        who = [name for i, name in enumerate(who) if i not in refused]
        # Fewer than there are folders: some photos have been left out.
        if (n := _several(who)) < FEWEST_TO_JUDGE:
            notes.append(f"{_NOT_LOOKED_FOR}: {_too_few(n)} with photos that can be judged")
        else:
            by_chance = math.log(len(people))  # so many folders have a chance to be the other
            told = [set(pair) for pair in alike]
            findings += [
                found
                for found in _judged(vectors, who, [_below(folder, path) for path in kept], by_chance, seed)
                if {found.photo, found.other} not in told
            ]
    findings.sort(key=lambda finding: KINDS.index(finding.kind))
    return Audit(folder, people, findings, notes)


def _judged(
    vectors: np.ndarray, who: list[str], places: list[str], by_chance: float, seed: int
) -> Iterator[Finding]:
    """Photos of somebody else, and people under two names."""
    for suspect in evaluation.rank_suspects(vectors, who, seed=seed)[: math.ceil(_SHARE * len(who))]:
        if suspect.score > by_chance:
            other = suspect.other_person if suspect.other > by_chance else ""
            reason = f"more like {other or 'nobody here'} than like {who[suspect.photo]}"
            yield Finding(SOMEBODY_ELSE, places[suspect.photo], other, suspect.score, reason)
    for pair in evaluation.rank_same_people(vectors, who, seed=seed):
        yield Finding(ONE_PERSON, pair.one, pair.other, pair.score, "more like one person than like two")


def _several(names: list[str]) -> int:
    return sum(count > 1 for count in Counter(names).values())


def _too_few(n: int) -> str:
    return f"at least {FEWEST_TO_JUDGE} people must have two photos or more. Received: {n}"


def _vectors(
    verifier: Verifier, paths: list[Path], frame: faces.Frame | None
) -> tuple[np.ndarray, dict[int, str]]:
    """The vectors of the photos that have one, and of the others by their numbers the reasons."""
    place = Place(verifier.embedding, frame if verifier.embedding.frame is not None else None)
    vectors: list[np.ndarray] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), _CHUNK):
            images = list(pool.map(place.pixels, paths[start : start + _CHUNK], range(start, len(paths))))
            numbers = [start + i for i, image in enumerate(images) if image is not None]
            if not numbers:
                continue
            found = verifier.embedding(np.stack([image for image in images if image is not None]))
            for i, vector in zip(numbers, found, strict=True):
                if vector.any():
                    vectors.append(vector)
                else:
                    place.refused[i] = f"{paths[i]}: the network sees nothing in it"
    return np.array(vectors), dict(sorted(place.refused.items()))


@dataclass(frozen=True)
class _Seen:
    digest: str
    small: np.ndarray | None
    kind: str
    reason: str


def _look(path: Path, looks: bool) -> _Seen:
    """Reads a photo; says what it is, small, and how many faces it has."""
    try:
        photo = open_raw_photo(path)
    except ImageError as error:
        return _Seen("", None, UNREADABLE, str(error))
    small = thumbnail(photo)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if looks and (n := len(faces.find(photo))) != 1:
        kind = SEVERAL_FACES if n else NO_FACE
        return _Seen(digest, small, kind, f"{n} faces" if n else "no face was found")
    return _Seen(digest, small, "", "")


def _duplicates(
    folder: Path, paths: list[Path], names: list[str], photos: list[_Seen], readable: list[int]
) -> Iterator[Finding]:
    pairs: dict[tuple[int, int], tuple[str, float]] = {}
    by_digest: dict[str, list[int]] = {}
    for i, photo in enumerate(photos):
        if photo.digest:
            by_digest.setdefault(photo.digest, []).append(i)
    for same in by_digest.values():
        pairs |= {(same[0], other): (TWICE, 1.0) for other in same[1:]}
    small = np.array([photos[i].small for i in readable], np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)
    for one, other, score in near_duplicates(small):
        first, second = readable[one], readable[other]
        if photos[first].digest != photos[second].digest:
            pairs[first, second] = (NEARLY_TWICE, score)
    # Across people first: those put one photo on two sides of a split.
    ranked = sorted(pairs.items(), key=lambda pair: (names[pair[0][0]] == names[pair[0][1]], -pair[1][1]))
    for (one, other), (kind, score) in ranked:
        where = "of two people" if names[one] != names[other] else "of one person"
        reason = f"the same file, {where}" if kind == TWICE else f"nearly the same picture, {where}"
        yield Finding(kind, _below(folder, paths[one]), _below(folder, paths[other]), score, reason)


def _below(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
