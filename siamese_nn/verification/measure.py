"""A verifier's figures on all pairs of other people, and by group of people."""

import os

from .. import evaluation
from ..datasets.photo_folders import people_in
from ..datasets.splits import IdentityLeakError, spelling
from ..evaluation.groups import groups_of
from .photos import of_usable, photo_endings, where_faces_lie
from .verifier import Verifier


def measure_people(
    verifier: Verifier,
    folder: str | os.PathLike,
    *,
    groups_file: str | os.PathLike | None = None,
    column: str | None = None,
) -> tuple[evaluation.AllPairsReport, evaluation.GroupReport | None]:
    """Measures a verifier on all pairs of photos of people whom it has not seen.

    Args:
        verifier: the verifier; the groups are measured at its `threshold`.
        folder: the people, as `Verifier.gallery` takes them. Photos that can't be used are left out, and
            named in the log.
        groups_file: of each person the group: see `evaluation.read_groups`; `None` measures no groups.
        column: the file's column that holds the group; `None` takes the one behind `person`.

    Returns:
        The figures of all pairs, and of the groups.

    Raises:
        IdentityLeakError: if the verifier's training or threshold has seen somebody.
        ImageError: if no photo can be used.
        ValueError: if somebody has no photo, or see `evaluation.all_pairs`, `evaluation.read_groups` and
            `evaluation.rates_by_group`.
    """
    groups = None if groups_file is None else evaluation.read_groups(groups_file, column=column)
    photos = people_in(folder, photo_endings(verifier.embedding, None))
    if empty := [name for name, own in photos.items() if not own]:
        raise ValueError(f"{folder} must hold a photo of each person. Received: none of {_some(empty)}")
    seen = {spelling(name) for name in verifier.seen_people}
    if known := [name for name in photos if spelling(name) in seen]:
        raise IdentityLeakError(
            f"{folder} must hold people whom the verifier has not seen: its figures would flatter. Received "
            f"{len(known)} of {len(photos)} whom it has: {_some(known)}. Leave them out"
        )
    if groups is not None and (without := sorted(photos.keys() - groups_of(photos, groups).keys())):
        raise ValueError(
            f"{groups_file} must hold everybody in {folder}. Received: no group of {len(without)} of "
            f"{len(photos)} people: {_some(without)}"
        )
    owners = {str(photo): name for name, own in photos.items() for photo in own}
    align = where_faces_lie(verifier.embedding, owners, None)
    kept, embeddings = of_usable(list(owners), lambda paths: verifier.embed(paths, align=align))
    people = [owners[path] for path in kept]
    compare = verifier.comparison.blocks
    report = evaluation.all_pairs(embeddings, people, compare=compare)
    if groups is None:
        return report, None
    return report, evaluation.rates_by_group(
        embeddings, people, groups, threshold=verifier.threshold, compare=compare
    )


def _some(names: list[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
