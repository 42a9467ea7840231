"""How a verifier over anybody's embedding is made: its threshold found on people held out."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from .. import __version__
from ..datasets.images import photo_sizes
from ..datasets.pairs import Pairs
from ..datasets.splits import IdentityLeakError, spelling
from ..evaluation import HeldOutScores, choose_threshold, fit_platt, fit_plda, spread_photos
from ..evaluation.comparison import LikelihoodRatio, NormalizedScores, all_scores
from ..evaluation.vectors import unit_length
from .embedding import Embedding
from .fitted import TOP, Fitted, digest_of

_LEAST = 10  # people with a pair of their own, and pairs of two people: with fewer a threshold says nothing
_ALIKE = 1e-6  # of the scores: float32 tells no smaller differences

Photos = Mapping[str, Sequence[str]]


def fit(
    embedding: Embedding,
    pairs: Pairs,
    embed: Callable[[Sequence[str]], np.ndarray],
    *,
    plda: Photos | None,
    cohort: Photos | None,
) -> Fitted:
    """Finds the threshold; see `Verifier.fit`.

    Args:
        embed: from paths to the embedding's vectors, `(n, d)`.
        embedding, pairs, plda, cohort: as there.
    """
    _require_enough(pairs)
    embedding.require_photos_alone()
    groups = {"trained_on": embedding.trained_on, "plda": plda or {}, "cohort": cohort or {}}
    for name, people in groups.items():
        require_apart(f"`{name}`", people, pairs)
    comparison = embedding.comparison
    arrays: dict[str, np.ndarray] = {}
    if plda is not None:
        paths, names = _listed(plda)
        fitted = fit_plda(unit_length(embed(paths)), names)
        comparison = LikelihoodRatio(fitted)
        arrays |= {"mean": fitted.mean, "directions": fitted.directions, "between": fitted.between}
    if cohort is not None:
        first = comparison.prepare(embed([str(photos[0]) for photos in cohort.values()]))
        comparison = NormalizedScores(comparison, first, min(TOP, len(first)))
        arrays["cohort"] = first
    photos, where = pairs.distinct_images()
    prepared = comparison.prepare(embed(photos.tolist()))
    scores = comparison.pairs(prepared[where[:, 0]], prepared[where[:, 1]])
    if np.ptp(scores) <= _ALIKE * np.abs(scores).max():
        raise ValueError(
            f"{embedding.name} must tell photos apart. Received the score {scores[0]:.6g} for all of "
            f"{len(pairs)} pairs: see whether photos go in as the network wants them (`mean`, `std`, "
            "`colours`, `frame`), and whether `output` and `metric` are right"
        )
    embedding = _of_one_shape(embedding, photos.tolist())
    people = dict(zip(pairs.left.tolist(), pairs.left_identities.tolist(), strict=True))
    people |= dict(zip(pairs.right.tolist(), pairs.right_identities.tolist(), strict=True))
    order = np.argsort([people[path] for path in photos], kind="stable")
    kept = order[spread_photos([people[photos[i]] for i in order])]
    each = Counter(people[photos[i]] for i in kept)
    return Fitted(
        embedding,
        comparison,
        float(choose_threshold(scores, pairs.same)),
        fit_platt(scores, pairs.same),
        HeldOutScores(
            all_scores(comparison, prepared[kept]), np.repeat(np.arange(len(each)), list(each.values()))
        ),
        digest_of(embedding, arrays),
        {
            "siamese_nn": __version__,
            "embedding": embedding.as_dict(),
            "chosen_on": {
                "same": int(pairs.same.sum()),
                "different": int(len(pairs) - pairs.same.sum()),
                "people": len(pairs.identities()),
            },
            "people": {
                **{name: sorted(own) for name, own in groups.items()},
                "chosen_on": sorted(pairs.identities()),
            },
            "photos_each": list(each.values()),
        },
    )


def _of_one_shape(embedding: Embedding, photos: Sequence[str]) -> Embedding:
    """Has the embedding refuse photos of another shape, if all of these have one, and it aligns none."""
    if embedding.frame is not None or embedding.photo_size is not None:
        return embedding
    sizes = set(photo_sizes(photos))
    return replace(embedding, photo_size=sizes.pop()) if len(sizes) == 1 else embedding


def _require_enough(pairs: Pairs) -> None:
    if not isinstance(pairs, Pairs):
        raise ValueError(f"`pairs` must be a `datasets.Pairs`. Received: {type(pairs).__name__}")
    same = pairs.same.astype(bool)
    people, different = len(set(pairs.left_identities[same].tolist())), int((~same).sum())
    if min(people, different) < _LEAST:
        raise ValueError(
            f"`pairs` must hold pairs of one person of at least {_LEAST} people, and as many pairs of two "
            f"people: fewer tell no threshold. Received: pairs of {people} people, and {different} of two"
        )


def require_apart(name: str, people: Collection[str], pairs: Pairs) -> None:
    """Raises `IdentityLeakError` where somebody of the pairs is among people who are known already."""
    known = {spelling(person) for person in people}
    shared = sorted(person for person in pairs.identities() if spelling(person) in known)
    if shared:
        some = ", ".join(shared[:10]) + (f" and {len(shared) - 10} more" if len(shared) > 10 else "")
        raise IdentityLeakError(
            f"{name} and `pairs` must share nobody: what is measured on people who are known already doesn't "
            f"hold for strangers. Received: {len(shared)} on both sides ({some})"
        )


def _listed(photos: Photos) -> tuple[list[str], list[str]]:
    paths = [str(path) for own in photos.values() for path in own]
    return paths, [name for name, own in photos.items() for _ in own]
