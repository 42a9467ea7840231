"""Digests of data. They change when people, photos or pairs change, but not when a folder is moved."""

import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

from .pairs import Pairs, photo_keys
from .photo_files import ImageError, in_threads, read_photo
from .shards import find_in_shards


def pairs_digest(pairs: Pairs) -> str:
    """Returns a digest of pairs: of their photos (as in `people_digest`), their labels and their order.

    Args:
        pairs: the pairs.

    Returns:
        64 hexadecimal digits.

    Raises:
        ImageError: if a photo is missing or cannot be read. The message names it.
        ValueError: if a photo is given for two people. The message names it.
    """
    paths, where = pairs.distinct_images()
    people: dict[str, str] = {}
    for side, names in ((pairs.left, pairs.left_identities), (pairs.right, pairs.right_identities)):
        for path, name in zip(side.tolist(), names.tolist(), strict=True):
            if people.setdefault(path, name) != name:
                raise ValueError(
                    f"A photo is of one person. Received {path} as one of {people[path]} and of {name}"
                )
    facts = _facts(paths.tolist(), [people[path] for path in paths.tolist()])
    # A training depends on the order of its pairs, and with random changes also on their sides.
    return _digest([facts, where.tolist(), pairs.same.tolist()])


def people_digest(photos: Mapping[str, Sequence[str]]) -> str:
    """Returns a digest of photos: the person, the path below their common folder, size and content of each.

    Args:
        photos: for each person the paths of their photos, in any order.

    Returns:
        64 hexadecimal digits.

    Raises:
        ImageError: if a photo is missing or cannot be read. The message names it.
        ValueError: if a photo is given twice. The message names it.

    Example:
        >>> from siamese_nn import datasets
        >>> people = datasets.photos_by_identity("faces/lfw2")
        >>> fewer = {name: people[name] for name in people if name != "Ada_Adler"}
        >>> people_digest(people) == people_digest(people), people_digest(people) == people_digest(fewer)
        (True, False)
    """
    people: dict[str, str] = {}
    for name, paths in photos.items():
        for path in map(os.path.abspath, paths):
            if path in people:
                raise ValueError(
                    f"A photo is given once. Received {path} for {people[path]} and again for {name}"
                )
            people[path] = name
    return _digest(sorted(_facts(list(people), list(people.values()))))


def _facts(paths: list[str], people: list[str]) -> list[tuple[str, str, int, str]]:
    """Person, place, size and content of each photo."""
    contents = in_threads(_content, paths)
    return [
        (person, place, *content)
        for person, place, content in zip(people, photo_keys(paths), contents, strict=True)
    ]


def _content(path: str) -> tuple[int, str]:
    if (stored := find_in_shards(path)) is not None:
        return stored.size, stored.sha256
    try:
        facts = os.stat(path)
    except OSError as error:
        raise ImageError(f"{path}: no such image") from error
    return facts.st_size, _sha256(path, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


@lru_cache(maxsize=100_000)  # a search trains on the same photos many times
def _sha256(path: str, *_: int) -> str:
    return sha256(read_photo(path)).hexdigest()


def _digest(facts: list) -> str:
    return sha256(json.dumps(facts).encode()).hexdigest()
