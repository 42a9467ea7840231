"""A trained run as a tool: whether two photos show one person, who it is, and who is who in many photos."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from .. import evaluation
from ..datasets.pairs import Pairs
from ..datasets.photo_folders import IMAGE_ENDINGS, people_in, some
from ..datasets.raw_photos import RAW_ENDINGS
from ..evaluation.calibration import Calibration
from ..evaluation.comparison import Comparison, all_scores
from ..evaluation.open_set import GalleryThreshold, HeldOutScores, Rate
from ..evaluation.scoring import unit_length
from ..evaluation.search import top_scores
from ..runs.folder import RECIPE, RESULTS, VERIFIER, read_results, read_verifier_settings
from ..runs.folder import digest as file_digest
from . import fitted
from .embedding import Embedding
from .gallery import Gallery
from .photos import Align, Photo, Several, Single, finds_faces, listed, vectors_of, where_faces_lie
from .report_page import write_report_page
from .safe_loading import read_held_out_scores


@dataclass(frozen=True)
class Verification:
    """Whether two photos show the same person: the score is at least the threshold.

    The probability is that of the run's calibration, for pairs that are as often of one person as its
    validation pairs.
    """

    same: bool
    score: float
    threshold: float
    probability: float


@dataclass(frozen=True)
class Candidate:
    """A person of a gallery, with the score of the most alike of their photos."""

    name: str
    score: float


@dataclass(frozen=True)
class Identification:
    """Who is on a photo: the name of the first candidate, or `None` (unknown) where its score is too low.

    Of strangers, a share of `fpir` get a name at this threshold in a gallery of this size, and of the people
    in it, a share of `fnir` don't get their own; see `evaluation.GalleryThreshold`.
    """

    name: str | None
    threshold: float
    fpir: Rate | None
    fnir: Rate | None
    candidates: tuple[Candidate, ...]


class Verifier:
    """A trained run as a tool; `Verifier.load` makes it.

    Photos are brought to the network as in its training (the middle, the size, grey or RGB). Where it is
    known where the faces lie there (`embedding.frame`), and the extra `faces` is installed, the face nearest
    the middle of each photo is found and put there. A photo in which it lies there already is taken as it is:
    see `faces.is_aligned`. Elsewhere photos should be aligned as those of the training, and must have their
    shape; they may be larger or smaller, and are scaled. The argument `align` says otherwise: see
    `photos.Align`.

    Attributes: `embedding`; `comparison`; `threshold` (of pairs); `held_out` (`evaluation.HeldOutScores`, for
        the thresholds of galleries); `provenance` (what `verifier.json` holds: on what the model was trained,
        on which pairs the threshold was chosen, by which version); `seen_people` (the names of all on either,
        for `evaluation.require_unseen`).
    """

    def __init__(
        self,
        embedding: Embedding,
        *,
        comparison: Comparison,
        threshold: float,
        calibration: Calibration,
        held_out: HeldOutScores,
        digest: str,
        provenance: dict[str, Any],
    ):
        self.embedding = embedding
        self.comparison = comparison
        self.threshold = threshold
        self.calibration = calibration
        self.held_out = held_out
        self.digest = digest
        self.provenance = provenance
        self.seen_people = frozenset(name for names in provenance["people"].values() for name in names)
        self._gallery_thresholds: dict[
            tuple, GalleryThreshold
        ] = {}  # found already: it takes some tenths of a second

    @classmethod
    def load(
        cls, run_dir: str | os.PathLike, *, function: Callable[[np.ndarray], Any] | str | None = None
    ) -> "Verifier":
        """Loads the verifier of a run folder that `training.train` left, or of one that `save` wrote.

        Nothing in the folder can run code.

        Args:
            run_dir: the folder; of a run with `verifier.json`, the model and the scores that it names, and
                `results.json`.
            function: of a verifier whose embedding is a function of yours, this function, or its import path,
                `"my_module:embed"`.

        Raises:
            FileNotFoundError: if it is no run folder, or a part is missing.
            ValueError: if a file is damaged, of another format, or could run code, or if the model is another
                than the one that the threshold was chosen for.

        Example:
            >>> Verifier.load("nowhere")
            Traceback (most recent call last):
            FileNotFoundError: nowhere is no run folder...
        """
        run_dir = Path(run_dir)
        if fitted.is_fitted(run_dir):
            return cls(**vars(fitted.load(run_dir, function)))
        if function is not None:
            raise ValueError(f"`function` is for what `Verifier.save` wrote. Received it with {run_dir}")
        if not (run_dir / RECIPE).exists() and not (run_dir / VERIFIER).exists():
            raise FileNotFoundError(
                f"{run_dir} is no run folder (it has no {RECIPE}). Give the folder that "
                "`siamese-nn train` named"
            )
        if not (run_dir / RESULTS).exists():
            raise FileNotFoundError(
                f"{run_dir} is half-written (it has no {RESULTS}). Give the same `siamese-nn train` command "
                "again: it goes on where it stood"
            )
        held = read_results(run_dir).get("files", {}).get(VERIFIER)
        if not (run_dir / VERIFIER).exists():
            raise FileNotFoundError(
                f"{run_dir} has no {VERIFIER}. Give the same `siamese-nn train` command again: it makes it "
                "anew"
            )
        if held not in (None, file_digest(run_dir / VERIFIER)):
            raise ValueError(
                f"{run_dir / VERIFIER} has changed since the run was measured. Give "
                "the same `siamese-nn train` command again: it makes it anew"
            )
        settings = read_verifier_settings(run_dir)
        calibration = settings["calibration"]
        embedding = Embedding.of_run(run_dir)
        return cls(
            embedding,
            comparison=embedding.comparison,
            threshold=float(settings["threshold"]),
            calibration=Calibration(calibration["slope"], calibration["intercept"]),
            held_out=read_held_out_scores(run_dir, settings["held_out"]),
            digest=settings["model_sha256"],
            provenance=settings,
        )

    @classmethod
    def fit(
        cls,
        embedding: Embedding,
        pairs: Pairs,
        *,
        plda: Mapping[str, Sequence[str]] | None = None,
        cohort: Mapping[str, Sequence[str]] | None = None,
        align: Align = None,
    ) -> "Verifier":
        """Makes a verifier of anybody's embedding: threshold and calibration come from people held out.

        Args:
            embedding: the network.
            pairs: of people whom neither the network nor its back-end has learnt from. At least 10 of them
                must have a pair of one person, and 10 pairs must be of two people. Report on others: `report`
                refuses these.
            plda: photos of other people, person by person, such as `OwnPeople.photos`. Given, PLDA is fitted
                to them, and scores are its log-likelihood ratios; see `evaluation.fit_plda`.
            cohort: photos of other people again, or the same. Given, scores are normalised by them; see
                `evaluation.NormalizedScores`. The first photo of each counts.
            align: see `photos.Align`; `None` asks the photos' folders first, see `datasets.known_frame`.

        Raises:
            IdentityLeakError: if somebody in the pairs is in `plda`, in `cohort`, or among those who trained
                the network, as far as it names them.
            ImageError: if a photo cannot be used; it is named.
            ValueError: if pairs or people are too few, or PLDA can't be fitted.

        Example:
            >>> import tempfile
            >>> from siamese_nn import datasets
            >>> few = dict(n_train_identities=24, n_test_identities=4, train_pairs=40, test_pairs=4)
            >>> folder = datasets.make_toy_faces(tempfile.mkdtemp() + "/faces", **few)
            >>> pairs = datasets.read_pairs(folder / "pairsDevTrain.txt", folder / "lfw2")
            >>> def function(images):  # a small photo, without its mean
            ...     small = images[:, ::5, ::5].reshape(len(images), -1).astype(float)
            ...     return small - small.mean(axis=1, keepdims=True)
            >>> embedding = Embedding(function, (80, 80), "small photos", 1, crop=(200, 200))
            >>> verifier = Verifier.fit(embedding, pairs)
            >>> 0 < verifier.threshold < 1
            True
        """

        def embed(paths: Sequence[str]) -> np.ndarray:
            return vectors_of(embedding, paths, where_faces_lie(embedding, paths, align))

        found = fitted.fit(embedding, pairs, embed, plda=plda, cohort=cohort)
        return cls(**vars(found))

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the verifier into a folder that `load` reads: threshold, back-end, and the network's file.

        The network of a function is not written: give the function to `load` again. Embeddings of a cohort
        are biometric data: keep the folder as you would keep the photos.

        Args:
            folder: a new one, or an empty one.

        Raises:
            ValueError: if the folder holds anything, or the verifier is of a run, whose folder has it all.
        """
        fitted.save(fitted.Fitted(**{name: getattr(self, name) for name in fitted.FIELDS}), folder)

    @overload
    def verify(self, a: Single, b: Photo, *, align: Align = None) -> Verification: ...

    @overload
    def verify(
        self, a: Several, b: Photo | Sequence[Photo], *, align: Align = None
    ) -> list[Verification]: ...

    @overload  # an array may be one photo or several
    def verify(
        self, a: Photo | Sequence[Photo], b: Photo | Sequence[Photo], *, align: Align = None
    ) -> Verification | list[Verification]: ...

    def verify(
        self, a: Photo | Sequence[Photo], b: Photo | Sequence[Photo], *, align: Align = None
    ) -> Verification | list[Verification]:
        """Says whether two photos show the same person.

        Args:
            a: a photo (see `Photo`), or a list of them.
            b: another, or a list of as many.
            align: see `photos.Align`.

        Returns:
            A `Verification`, or for lists a list of them.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            TypeError: if it is no photo at all.
            ValueError: if the lists differ in length.
        """
        (left, many), (right, many_right) = listed(a), listed(b)
        if many != many_right or len(left) != len(right):
            raise ValueError(
                "`a` and `b` must be two photos, or two lists of one length. Received: "
                f"{len(left) if many else 'a photo'} and {len(right) if many_right else 'a photo'}"
            )
        if not left:
            return []
        embeddings = self.embed(left + right, align=align)
        scores = self.comparison.pairs(embeddings[: len(left)], embeddings[len(left) :])
        probabilities = np.asarray(self.calibration.probability(scores))
        results = [
            Verification(score >= self.threshold, score, self.threshold, probability)
            for score, probability in zip(scores.tolist(), probabilities.tolist(), strict=True)
        ]
        return results if many else results[0]

    def cross_validate(
        self,
        folds: Sequence[Pairs],
        *,
        photos: Mapping[str, Sequence[str]] | None = None,
        align: Align = None,
    ) -> evaluation.FoldsReport:
        """Measures the run in folds of people whom it has not seen, as LFW's View 2 and CFP ask.

        Args:
            folds: `datasets.read_folds` or `datasets.read_cfp_folds`.
            photos: the photos of the folds' people, person by person, such as `datasets.cfp_photos`. Given,
                PLDA is fitted anew for each fold, to the embeddings of the people of others: see
                `evaluation.cross_validate_plda`. The network stays as it is.
            align: see `photos.Align`; `None` asks the photos' folders first, see `datasets.known_frame`.

        Returns:
            The figures, each fold's at the threshold that is best on the others (with `photos`, on the next);
            the run's own threshold plays no part.

        Raises:
            IdentityLeakError: if somebody in the folds is among `seen_people`, or in two folds.
            ImageError: if a photo cannot be used; it is named.
            ValueError: as `evaluation.cross_validate`.
        """
        evaluation.require_unseen(folds, self.seen_people)
        if photos is not None:
            paths = sorted({str(path) for own in photos.values() for path in own})
            align = where_faces_lie(self.embedding, paths, align)
            # The network's own: what a back-end of `fit` has prepared is no embedding to fit another to.
            vectors = unit_length(vectors_of(self.embedding, paths, align))
            return evaluation.cross_validate_plda(dict(zip(paths, vectors, strict=True)), photos, folds)
        scores = [self.score_pairs(fold, align=align) for fold in folds]
        return evaluation.cross_validate(scores, folds)

    def report(
        self, pairs: Pairs, *, align: Align = None, page: str | os.PathLike | None = None
    ) -> evaluation.VerificationReport:
        """Measures the verifier, at its threshold, on pairs of people who had no part in it.

        Whom somebody else's network was trained on is not known, unless `Embedding.trained_on` says it: then
        only the people of threshold and back-end are looked for.

        Args:
            pairs: the pairs.
            align: see `photos.Align`; `None` asks the photos' folders first, see `datasets.known_frame`.
            page: an HTML file to write, with curves, figures and the worst mistakes. The photos of these are
                in it: who gets it, gets them.

        Returns:
            The figures, with intervals over people.

        Raises:
            IdentityLeakError: if somebody in the pairs is among `seen_people`.
            ImageError: if a photo cannot be used; it is named.
        """
        fitted.require_apart("The people of the verifier", self.seen_people, pairs)
        scores = self.score_pairs(pairs, align=align)
        chosen_on = self.provenance["chosen_on"]
        share = chosen_on["same"] / (chosen_on["same"] + chosen_on["different"])
        found = evaluation.verification_report(
            scores,
            pairs.same,
            threshold=self.threshold,
            identities=(pairs.left_identities, pairs.right_identities),
            log_likelihood_ratios=self.calibration.log_likelihood_ratio(scores, share_of_same=share),
        )
        if page is not None:
            write_report_page(self, pairs, scores, found, page)
        return found

    def score_pairs(self, pairs: Pairs, *, align: Align = None) -> np.ndarray:
        """Scores pairs, `(n,)` float32, higher is more alike; each distinct photo is embedded once.

        Args:
            pairs: the `n` pairs.
            align: see `photos.Align`; `None` asks the photos' folders first, see `datasets.known_frame`.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            ValueError: if there are no pairs.
        """
        paths, where = pairs.distinct_images()
        embeddings = self.embed(paths, align=where_faces_lie(self.embedding, paths, align))
        return self.comparison.pairs(embeddings[where[:, 0]], embeddings[where[:, 1]])

    def embed(self, photos: Photo | Sequence[Photo], *, align: Align = None) -> np.ndarray:
        """Sends photos through the network, and prepares its vectors to be compared.

        Args:
            photos: the `n` photos, or one; see `Photo`.
            align: see `photos.Align`.

        Returns:
            `(n, d)` float32.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            ValueError: if there are none.
        """
        return self.comparison.prepare(vectors_of(self.embedding, listed(photos)[0], align))

    def photo_endings(self, align: Align = None) -> tuple[str, ...]:
        """Returns how files end that it can read: where it finds faces, also WebP, AVIF and HEIC files."""
        return RAW_ENDINGS if finds_faces(self.embedding, align) else IMAGE_ENDINGS

    def gallery(
        self, people: str | os.PathLike | Mapping[str, Photo | Sequence[Photo]], *, align: Align = None
    ) -> Gallery:
        """Makes a gallery of known people.

        Args:
            people: photos by name; or a folder. In it, a folder of photos for each person, named like them;
                or photos alone, in LFW's form (`First_Last_0001.jpg`), or of one person each, named like
                them. What is left out is named in the log.
            align: see `photos.Align`.

        Raises:
            FileNotFoundError: if the folder does not exist.
            ImageError: if a photo cannot be used; it is named.
            ValueError: if there are no photos, or somebody has none.
        """
        if not isinstance(people, Mapping):
            people = people_in(people, self.photo_endings(align))
        nameless = [name for name in people if not isinstance(name, str) or not name.strip()]
        if nameless:
            raise ValueError(f"`people` must be photos by name, a text of letters. Received: {nameless[0]!r}")
        lists = {name: listed(one_or_many)[0] for name, one_or_many in people.items()}
        without = [name for name, photos in lists.items() if not photos]
        if without or not lists:
            raise ValueError(
                "`people` must hold at least one photo of each person. Received none"
                + (f" of {some(without)}. Leave these people out, or give a photo" if without else "")
            )
        names = np.repeat(np.array(list(lists), np.str_), [len(photos) for photos in lists.values()])
        embeddings = self.embed([photo for photos in lists.values() for photo in photos], align=align)
        return Gallery(names, embeddings, self.digest)

    def gallery_threshold(
        self, gallery: Gallery, *, fpir: float = 0.01, threshold: float | None = None
    ) -> GalleryThreshold:
        """Finds the score from which on a photo gets a name in a gallery; see `evaluation.HeldOutScores`.

        Args:
            gallery: the known people; the number of its photos counts.
            fpir: the share of strangers that may get a name, in (0, 1).
            threshold: a score of your own, to be measured; `fpir` plays no part then.

        Raises:
            ValueError: if `fpir` can't be promised by the run's held-out
                people, or an argument is out of range.
        """
        key = (len(gallery), repr(fpir), repr(threshold))
        if key not in self._gallery_thresholds:
            self._gallery_thresholds[key] = self.held_out.gallery_threshold(
                len(gallery), fpir=fpir, threshold=threshold
            )
        return self._gallery_thresholds[key]

    @overload
    def identify(
        self,
        photos: Single,
        gallery: Gallery,
        *,
        k: int = 1,
        fpir: float = 0.01,
        threshold: float | None = None,
        align: Align = None,
    ) -> Identification: ...

    @overload
    def identify(
        self,
        photos: Several,
        gallery: Gallery,
        *,
        k: int = 1,
        fpir: float = 0.01,
        threshold: float | None = None,
        align: Align = None,
    ) -> list[Identification]: ...

    @overload
    def identify(
        self,
        photos: Photo | Sequence[Photo],
        gallery: Gallery,
        *,
        k: int = 1,
        fpir: float = 0.01,
        threshold: float | None = None,
        align: Align = None,
    ) -> Identification | list[Identification]: ...

    def identify(
        self,
        photos: Photo | Sequence[Photo],
        gallery: Gallery,
        *,
        k: int = 1,
        fpir: float = 0.01,
        threshold: float | None = None,
        align: Align = None,
    ) -> Identification | list[Identification]:
        """Says who of a gallery is on a photo, or that nobody is.

        A person counts by the most alike of their photos. The larger the gallery, the likelier it is that
        somebody in it resembles a stranger by chance. So the threshold is not that of pairs: it is found for
        a gallery of this size, by the scores of people whom the training has not seen. The rates hold for
        people and photos like those.

        Args:
            photos: a photo (see `Photo`), or a list of them.
            gallery: the known people; see `Verifier.gallery`.
            k: candidates to return, at least 1; as many as there are people, if that is fewer.
            fpir: the share of strangers that may get a name (false positive identification rate), in (0, 1).
            threshold: a score of your own instead; `fpir` plays no part then.
            align: of `photos`; see `photos.Align`.

        Returns:
            An `Identification`, or for a list a list of them.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            ValueError: if `fpir` can't be promised for this gallery, `k` or another argument is out of range,
                or `gallery` is none, or was made with another model.
        """
        if not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"`k` must be a whole number of at least 1. Received: k={k!r}")
        if not isinstance(gallery, Gallery):
            raise ValueError(
                "`gallery` must be a gallery: make it with `verifier.gallery(folder)`. "
                f"Received: {type(gallery).__name__}"
            )
        if gallery.model != self.digest:
            raise ValueError(
                "`gallery` must have been made with this verifier's model. "
                f"Received: one of another model, SHA-256 {gallery.model[:12]} instead of "
                f"{self.digest[:12]}. Make it anew, with `Verifier.gallery`"
            )
        width = self.comparison.prepare(self.embedding.probe()).shape[1]
        if gallery.embeddings.shape[1] != width:
            raise ValueError(
                f"`gallery` must hold embeddings of {width} numbers, as this model's. Received: "
                f"{gallery.embeddings.shape[1]}. Make it anew, with `Verifier.gallery`"
            )
        decision = self.gallery_threshold(gallery, fpir=fpir, threshold=threshold)
        photos, many = listed(photos)
        if not photos:
            return []
        people, counts = np.unique(gallery.names, return_counts=True)
        k = min(k, len(people))
        # So many photos are of at least k people, even if all photos of those with the most come first.
        k_photos = int(np.sort(counts)[::-1][: k - 1].sum()) + 1
        embeddings = self.embed(photos, align=align)
        blocks = self.comparison.blocks(embeddings, gallery.embeddings)
        scores, where = top_scores(blocks, len(photos), k_photos)
        results = [
            _identification(*found, k, decision) for found in zip(gallery.names[where], scores, strict=True)
        ]
        return results if many else results[0]

    def cluster(self, photos: Sequence[Photo], *, align: Align = None) -> np.ndarray:
        """Sorts photos into people, without knowing how many there are.

        Clusters are joined as long as the mean score of their pairs is at least the threshold (average
        linkage, in which a pair alone is judged as `verify` does; one chance likeness joins no two people, as
        it would with DBSCAN or single linkage, and one bad photo splits none, as with complete linkage).
        Where a model scores a pair and its mirror differently, the mean of both scores counts.

        Args:
            photos: the `n` photos; see `Photo`. Memory grows with their square: about 16 n^2 bytes, 2.7 GB
                for 13,000.
            align: see `photos.Align`.

        Returns:
            For each photo the number of its person, `(n,)` int64, from 0 on in the order in which they first
            occur.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            ValueError: if there are none.

        Reference:
            Sokal and Michener, "A statistical method for evaluating systematic relationships", 1958 (average
            linkage).
        """
        embeddings = self.embed(photos, align=align)
        n = len(embeddings)
        if n == 1:
            return np.zeros(1, np.int64)
        scores = all_scores(self.comparison, embeddings)
        scores = squareform((scores + scores.T) / 2, checks=False).astype(np.float64)
        # A distance may not be negative: the largest score becomes 0.
        top = max(float(scores.max()), self.threshold)
        labels = fcluster(linkage(top - scores, "average"), top - self.threshold, "distance")
        _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[labels]


def _identification(
    names: np.ndarray, scores: np.ndarray, k: int, decision: GalleryThreshold
) -> Identification:
    best: dict[str, float] = {}
    for name, score in zip(names.tolist(), scores.tolist(), strict=True):
        if name not in best and len(best) < k:
            best[name] = score
    candidates = tuple(Candidate(name, score) for name, score in best.items())
    known = candidates[0].score >= decision.threshold
    name = candidates[0].name if known else None
    return Identification(name, decision.threshold, decision.fpir, decision.fnir, candidates)
