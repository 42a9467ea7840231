"""Verification in folds: each fold's threshold comes from the others, and nobody is in two folds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from unicodedata import normalize

import numpy as np
from numpy.typing import ArrayLike
from prettytable import PrettyTable
from sklearn.metrics import roc_auc_score

from ..datasets.pairs import Pairs
from ..datasets.splits import IdentityLeakError, spelling
from .checked import checked_scores
from .metrics import choose_threshold, equal_error_rate
from .plda import fit_plda


@dataclass(frozen=True)
class FoldsReport:
    """The figures of a verification in folds.

    Args:
        n_pairs: the pairs in all folds.
        n_people: the people in all folds.
        folds: `"n_same"`, `"n_different"`, `"n_people"`, `"threshold"` (chosen on other folds), `"accuracy"`
            at this threshold, `"auc"` and `"eer"` of each fold.
        accuracy: `"mean"`, `"standard_error"` (of the mean) and `"deviation"` (between folds) of the
            accuracy.
        auc: the same for the AUC.
        eer: the same for the equal error rate.

    Example:
        >>> fold = lambda a, b: Pairs([a + "1", a + "1"], [a + "2", b + "1"], [1, 0], [a, a], [a, b])
        >>> report = cross_validate([[0.9, 0.2], [0.8, 0.1]], [fold("ada", "bea"), fold("cyd", "dot")])
        >>> print(report.table().get_string(fields=["Fold", "Threshold", "Accuracy"]))
        +----------------+-----------+----------+
        |           Fold | Threshold | Accuracy |
        +----------------+-----------+----------+
        |              1 |      0.45 |   1.0000 |
        |              2 |      0.55 |   1.0000 |
        +----------------+-----------+----------+
        |           Mean |           |   1.0000 |
        | Standard error |           |   0.0000 |
        |      Deviation |           |   0.0000 |
        +----------------+-----------+----------+
    """

    n_pairs: int
    n_people: int
    folds: list[dict[str, float]]
    accuracy: dict[str, float]
    auc: dict[str, float]
    eer: dict[str, float]

    def as_dict(self) -> dict:
        """Returns the fields as plain numbers, ready for JSON."""
        return asdict(self)

    def table(self) -> PrettyTable:
        """Returns a table: one row per fold, then mean, standard error of the mean and deviation."""
        table = PrettyTable(["Fold", "Same", "Different", "Threshold", "Accuracy", "AUC", "EER"], align="r")
        for number, fold in enumerate(self.folds, 1):
            figures = [f"{fold[name]:.4f}" for name in ("accuracy", "auc", "eer")]
            table.add_row([number, fold["n_same"], fold["n_different"], f"{fold['threshold']:.6g}", *figures])
        table.add_divider()
        for name in ("mean", "standard_error", "deviation"):
            over_folds = [f"{figure[name]:.4f}" for figure in (self.accuracy, self.auc, self.eer)]
            table.add_row([name.replace("_", " ").capitalize(), "", "", "", *over_folds])
        return table


def cross_validate(scores_by_fold: Sequence[ArrayLike], folds: Sequence[Pairs]) -> FoldsReport:
    """Measures each fold at the threshold that is best on all the others, as LFW's View 2 and CFP ask.

    Args:
        scores_by_fold: the `(n,)` scores of each fold, higher is more alike.
        folds: the pairs of each fold, from `datasets.read_folds` or `datasets.read_cfp_folds`.

    Returns:
        The figures of each fold and over all folds. The standard error is the (sample) deviation divided by
        the square root of the number of folds, as LFW defines it.

    Raises:
        ValueError: if the folds are not `Pairs`, there are fewer than 2 folds or fewer pairs than folds, the
            lengths differ, or a fold has scores that are not finite or only one class. The message names the
            fold.
        IdentityLeakError: if a person is in two folds.

    Reference:
        Huang et al., "Labeled Faces in the Wild", UMass Amherst technical report 07-49, section 3.1.

    Example:
        >>> fold = lambda a, b: Pairs([a + "1", a + "1"], [a + "2", b + "1"], [1, 0], [a, a], [a, b])
        >>> report = cross_validate([[0.9, 0.2], [0.8, 0.1]], [fold("ada", "bea"), fold("cyd", "dot")])
        >>> report.accuracy["mean"], report.folds[0]["threshold"]
        (1.0, 0.45)
    """
    checked = _checked_folds(scores_by_fold, folds)
    rows = []
    for i, (scores, same) in enumerate(checked):
        others = [np.concatenate(column) for column in zip(*(checked[:i] + checked[i + 1 :]), strict=True)]
        rows.append(_row(scores, same, folds[i], choose_threshold(*others)))
    return _over(rows, sum(map(len, folds)))


def folds_report(
    scores_by_fold: Sequence[ArrayLike], folds: Sequence[Pairs], thresholds: Sequence[float]
) -> FoldsReport:
    """Measures each fold with its own model, at a threshold that was chosen on other people.

    Args:
        scores_by_fold: the `(n,)` scores of each fold, higher is more alike.
        folds: the pairs of each fold, two or more.
        thresholds: the score of each fold from which a pair counts as same.

    Returns:
        The figures of each fold and over all folds.

    Raises:
        ValueError: as in `cross_validate`.
        IdentityLeakError: if a person is in two folds.

    Example:
        >>> fold = lambda a, b: Pairs([a + "1", a + "1"], [a + "2", b + "1"], [1, 0], [a, a], [a, b])
        >>> folds = [fold("ada", "bea"), fold("cyd", "dot")]
        >>> folds_report([[0.9, 0.2], [0.3, 0.1]], folds, thresholds=[0.5, 0.4]).accuracy["mean"]
        0.75
    """
    checked = _checked_folds(scores_by_fold, folds)
    rows = [
        _row(scores, same, fold, threshold)
        for (scores, same), fold, threshold in zip(checked, folds, thresholds, strict=True)
    ]
    return _over(rows, sum(map(len, folds)))


def cross_validate_plda(
    embeddings: Mapping[str, np.ndarray], photos: Mapping[str, Sequence[str]], folds: Sequence[Pairs]
) -> FoldsReport:
    """Measures each fold with a PLDA that is fitted to the people of other folds.

    For each fold, the next one (the first, for the last) chooses the threshold, and PLDA is fitted to all
    photos of the people of the remaining folds. Its log-likelihood ratio scores the pairs. So the people for
    the fit, for the threshold and for the figures are different.

    Args:
        embeddings: the vector of each photo by its path, `(d,)`, of unit length.
        photos: the photos of each person of the folds; all must be in `embeddings`.
        folds: the pairs of each fold, three or more.

    Returns:
        The figures of each fold and over all folds.

    Raises:
        ValueError: if there are fewer than 3 folds, a photo or person is unknown, or `fit_plda` or the folds'
            scores fail.
        IdentityLeakError: if a person is in two folds.

    Example:
        >>> from siamese_nn import datasets
        >>> photos = datasets.photos_by_identity("faces/lfw2")
        >>> folds = [fold.test for fold in datasets.people_folds("faces/lfw2", 4)]
        >>> rng = np.random.default_rng(0)
        >>> centres = rng.normal(size=(len(photos), 8))  # in the place of a network's embeddings
        >>> embeddings = {path: centre + 0.1 * rng.normal(size=8)
        ...     for centre, paths in zip(centres, photos.values()) for path in paths}
        >>> cross_validate_plda(embeddings, photos, folds).auc["mean"] > 0.95
        True
    """
    _require_pairs(folds)
    if len(folds) < 3:
        raise ValueError(f"`folds` must be at least 3. Received: {len(folds)}")
    _require_disjoint_folds(folds)
    rows = []
    for i, fold in enumerate(folds):
        chooses = folds[(i + 1) % len(folds)]
        fitted = sorted(set().union(*(other.identities() for other in folds if other not in (fold, chooses))))
        try:
            known = [(name, embeddings[path]) for name in fitted for path in photos[name]]
            names, vectors = zip(*known, strict=True)
            plda = fit_plda(np.stack(vectors), names)
            scores = [
                plda.score(
                    *(
                        np.stack([embeddings[path] for path in side.tolist()])
                        for side in (pairs.left, pairs.right)
                    )
                )
                for pairs in (chooses, fold)
            ]
        except KeyError as error:
            raise ValueError(
                f"`photos` and `embeddings` must hold all of the folds. Received them without {error}"
            ) from error
        (others, other_same), (own, same) = (
            checked_scores(*columns) for columns in zip(scores, (chooses.same, fold.same), strict=True)
        )
        rows.append(_row(own, same, fold, choose_threshold(others, other_same)))
    return _over(rows, sum(map(len, folds)))


def _checked_folds(
    scores_by_fold: Sequence[ArrayLike], folds: Sequence[Pairs]
) -> list[tuple[np.ndarray, np.ndarray]]:
    _require_pairs(folds)
    if len(folds) < 2 or len(scores_by_fold) != len(folds):
        raise ValueError(
            "`folds` must be at least 2, and `scores_by_fold` as many. "
            f"Received: {len(folds)} folds, and scores for {len(scores_by_fold)}"
        )
    n_pairs = sum(map(len, folds))
    if n_pairs < len(folds):
        raise ValueError(
            f"`folds` must hold at least a pair each. Received: {n_pairs} pairs in {len(folds)} folds"
        )
    checked = []
    for number, (scores, fold) in enumerate(zip(scores_by_fold, folds, strict=True), 1):
        try:
            checked.append(checked_scores(scores, fold.same))
        except ValueError as error:
            raise ValueError(f"Fold {number}: {error}") from error
    _require_disjoint_folds(folds)
    return checked


def _row(scores: np.ndarray, same: np.ndarray, fold: Pairs, threshold: float) -> dict[str, float]:
    return {
        "n_same": int(same.sum()),
        "n_different": int((~same).sum()),
        "n_people": len(fold.identities()),
        "threshold": float(threshold),
        "accuracy": float(((scores >= threshold) == same).mean()),
        "auc": float(roc_auc_score(same, scores)),
        "eer": equal_error_rate(scores, same),
    }


def _over(rows: list[dict[str, float]], n_pairs: int) -> FoldsReport:
    over_folds = {
        name: _over_folds(np.array([row[name] for row in rows])) for name in ("accuracy", "auc", "eer")
    }
    return FoldsReport(
        n_pairs=n_pairs, n_people=sum(int(row["n_people"]) for row in rows), folds=rows, **over_folds
    )


def require_unseen(folds: Sequence[Pairs], identities: Iterable[str]) -> None:
    """Checks that no fold contains a person whom the model was trained on.

    Names are compared by their letters and digits, without case and accents, so that `LeBron_James` and
    `Lebron_James` are the same. The 29 people whose names LFW and CFP spell differently are known. Other
    spellings in your own data are not found.

    Args:
        folds: the folds to be measured.
        identities: the names of all training, validation and pretraining people. For a run of
            `training.train` they are `Verifier.load(run_dir).seen_people`.

    Raises:
        ValueError: if there are no names, or `folds` are not `Pairs`.
        IdentityLeakError: if a fold contains such a person. The message says how many each fold contains, and
            names the first ten.

    Example:
        >>> fold = Pairs(["Ada_1.jpg"], ["Ada_2.jpg"], [1], ["Ada"], ["Ada"])
        >>> require_unseen([fold], {"Bob", "Ada"})
        Traceback (most recent call last):
        ...
        siamese_nn.datasets.splits.IdentityLeakError: The model was trained on people of 1 of 1 folds: ...
    """
    if isinstance(identities, str):
        raise ValueError(f"`identities` must be a set of names. Received: the one string {identities!r}")
    _require_pairs(folds)
    trained_on = {spelling(name) for name in identities}
    if not trained_on:
        raise ValueError(
            "`identities` must hold the names of those who trained the model, "
            "`Verifier.seen_people` for one. Received none"
        )
    leaks = {
        number: {name for name in fold.identities() if spelling(name) in trained_on}
        for number, fold in enumerate(folds, 1)
    }
    named = [f"fold {number}: {_some(people)}" for number, people in leaks.items() if people]
    if named:
        raise IdentityLeakError(
            f"The model was trained on people of {len(named)} of {len(folds)} folds: "
            f"{'; '.join(named)}. Train it without them: the figures of those "
            "folds would not be those of unseen people"
        )


def _require_pairs(folds: Sequence[Pairs]) -> None:
    received = type(folds).__name__
    if isinstance(folds, Sequence):
        others = [type(fold).__name__ for fold in folds if not isinstance(fold, Pairs)]
        if not others:
            return
        received += f" with {others[0]}"
    raise ValueError(
        f"`folds` must be a list of `Pairs`, such as `datasets.read_folds` gives. Received: {received}"
    )


def _require_disjoint_folds(folds: Sequence[Pairs]) -> None:
    fold_of: dict[str, int] = {}
    for number, fold in enumerate(folds, 1):
        shared: dict[int, set[str]] = {}
        for name in {normalize("NFC", name) for name in fold.identities()}:
            if name in fold_of:
                shared.setdefault(fold_of[name], set()).add(name)
            else:
                fold_of[name] = number
        if shared:
            first = min(shared)
            raise IdentityLeakError(
                f"Folds {first} and {number} share {_some(shared[first])}. Each fold's "
                "threshold comes from the others, so nobody may be in two: form folds of different "
                "people, as those of LFW's View 2 and of CFP"
            )


def _some(people: set[str]) -> str:
    names = sorted(people)
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{'1 person' if len(names) == 1 else f'{len(names)} people'} ({', '.join(names[:10])}{more})"


def _over_folds(values: np.ndarray) -> dict[str, float]:
    deviation = float(values.std(ddof=1))
    return {
        "mean": float(values.mean()),
        "standard_error": deviation / len(values) ** 0.5,
        "deviation": deviation,
    }
