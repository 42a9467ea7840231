"""A verifier's figures on all pairs of other people, and by group of people."""

import os
from collections.abc import Mapping
from functools import partial

from .. import evaluation
from ..datasets.photo_folders import people_in
from ..datasets.splits import IdentityLeakError, spelling
from ..evaluation import read_groups as read_groups  # for the command line
from .verifier import Verifier


def measure_people(
    verifier: Verifier, folder: str | os.PathLike, groups: Mapping[str, str] | None = None
) -> tuple[evaluation.AllPairsReport, evaluation.GroupReport | None]:
    """Measures a verifier on all pairs of photos of people whom it has not seen.

    Args:
        verifier: the verifier; the groups are measured at its `threshold`.
        folder: the people, as `Verifier.gallery` takes them.
        groups: of each person the group: see `evaluation.read_groups`; `None` measures no groups.

    Returns:
        The figures of all pairs, and of the groups.

    Raises:
        IdentityLeakError: if the verifier's training or threshold has seen somebody.
        ImageError: if a photo cannot be used; it is named.
        ValueError: see `evaluation.all_pairs` and `evaluation.rates_by_group`.
    """
    photos = people_in(folder)
    seen = {spelling(name) for name in verifier.seen_people}
    if known := sorted(name for name in photos if spelling(name) in seen):
        raise IdentityLeakError(
            f"{folder} must hold people whom the verifier has not seen: its figures would flatter. Received "
            f"{len(known)} of {len(photos)} whom it has, such as {', '.join(known[:5])}. Leave them out"
        )
    if groups is not None and (without := [name for name in photos if name not in groups]):
        raise ValueError(
            f"The groups must hold everybody in {folder}. Received: none for {len(without)} of "
            f"{len(photos)} people, such as {', '.join(without[:5])}"
        )
    people = [name for name, own in photos.items() for _ in own]
    embeddings = verifier.embed([photo for own in photos.values() for photo in own])
    compare = partial(evaluation.compare_all, verifier.model, memory_limit=2**26)
    report = evaluation.all_pairs(embeddings, people, compare=compare)
    if groups is None:
        return report, None
    return report, evaluation.rates_by_group(
        embeddings, people, groups, threshold=verifier.threshold, compare=compare
    )
