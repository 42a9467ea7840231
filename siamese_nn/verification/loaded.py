"""A verifier over a file: verify, identify, cluster, without TensorFlow."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, overload

import numpy as np

from ..datasets.photo_folders import people_in, some
from ..evaluation.calibration import Calibration
from ..evaluation.comparison import Comparison, all_scores
from ..evaluation.open_set import GalleryThreshold, HeldOutScores, Rate
from . import fitted
from .embedding import Embedding
from .gallery import Gallery
from .photos import Align, Photo, Several, Single, images_of, listed, photo_endings, vectors_of
from .stored_gallery import GalleryView, StoredGallery


@dataclass(frozen=True)
class Verification:
    """Whether two photos show the same person: the score is at least the threshold.

    The probability comes from the calibration. It holds for pairs that are of one person as often as the
    validation pairs were.

    Args:
        same: whether the score is at least the threshold.
        score: the score; higher is more alike.
        threshold: the threshold, chosen on held-out people.
        probability: the probability that both photos show the same person.

    Example:
        >>> answer = Verification(same=True, score=0.62, threshold=0.41, probability=0.97)
        >>> f"same={answer.same} score={answer.score} threshold={answer.threshold}"
        'same=True score=0.62 threshold=0.41'
    """

    same: bool
    score: float
    threshold: float
    probability: float


@dataclass(frozen=True)
class Candidate:
    """A person of a gallery, with the score of the most alike of their photos.

    Args:
        name: the person's name.
        score: the highest score with a photo of that person.

    Example:
        >>> candidates = [Candidate("Ada Lovelace", 0.62), Candidate("Alan Turing", 0.18)]
        >>> max(candidates, key=lambda candidate: candidate.score).name
        'Ada Lovelace'
    """

    name: str
    score: float


@dataclass(frozen=True)
class Identification:
    """Who is on a photo: the name of the first candidate, or `None` (unknown) if its score is too low.

    At this threshold, in a gallery of this size, the share `fpir` of strangers get a name, and the share
    `fnir` of the known people don't get their own; see `evaluation.GalleryThreshold`.

    Args:
        name: the person's name, or `None` for an unknown person.
        threshold: the score from which a photo gets a name.
        fpir: the false positive identification rate, if it is known.
        fnir: the false negative identification rate, if it is known.
        candidates: the most alike people, the highest score first.

    Example:
        >>> low = (Candidate("Ada Lovelace", 0.3),)
        >>> stranger = Identification(name=None, threshold=0.5, fpir=None, fnir=None, candidates=low)
        >>> stranger.name or f"unknown; most alike is {stranger.candidates[0].name}"
        'unknown; most alike is Ada Lovelace'
    """

    name: str | None
    threshold: float
    fpir: Rate | None
    fnir: Rate | None
    candidates: tuple[Candidate, ...]


class LoadedVerifier:
    """A verifier as a tool; `load` makes it.

    It brings photos to the network as in the training (the middle, the size, grey or RGB). If it knows where
    the faces were in the training (`embedding.frame`), and the extra `faces` is installed, it finds the face
    nearest the middle of each photo and puts it there. It takes a photo as it is if the face is there
    already: see `faces.is_aligned`. Else photos should be aligned as those of the training. They must have
    the same shape; larger and smaller ones are scaled. The argument `align` changes that: see `photos.Align`.

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
        # Found already: it takes some tenths of a second.
        self._gallery_thresholds: dict[tuple, GalleryThreshold] = {}

    @classmethod
    def load(
        cls, folder: str | os.PathLike, *, function: Callable[[np.ndarray], Any] | str | None = None
    ) -> Self:
        """Loads what `Verifier.save` or `siamese-nn export` wrote. Nothing in the folder can run code.

        Args:
            folder: the folder.
            function: the function, or its import path, `"my_module:embed"`, if the verifier's embedding is a
                function of yours.

        Raises:
            FileNotFoundError: if it is no such folder, or a part is missing.
            ImportError: if what computes its network is not installed.
            ValueError: if a file is damaged, or of another format.
        """
        if not fitted.is_fitted(folder):
            raise FileNotFoundError(
                f"{folder} must be a verifier's folder. Received another. Give what `siamese-nn export` or "
                "`Verifier.save` wrote; a run's own folder needs siamese_nn itself"
            )
        return cls(**vars(fitted.load(folder, function)))

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
            a: a photo (see `Photo`), or a list of photos.
            b: another photo, or a list of as many.
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
        probabilities, threshold = np.asarray(self.calibration.probability(scores)), float(self.threshold)
        results = [
            Verification(score >= threshold, score, threshold, probability)
            for score, probability in zip(scores.tolist(), probabilities.tolist(), strict=True)
        ]
        return results if many else results[0]

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

    def seen(self, photos: Photo | Sequence[Photo], *, align: Align = None) -> np.ndarray:
        """Returns what the network sees of photos: found, put in place, cut and scaled.

        Args, and what is raised: as of `embed`.

        Returns:
            uint8 `(n, height, width, channels)`.
        """
        return np.concatenate([*images_of(self.embedding, listed(photos)[0], align)])

    def photo_endings(self, align: Align = None) -> tuple[str, ...]:
        """Returns how files end that it can read: where it finds faces, also WebP, AVIF and HEIC files."""
        return photo_endings(self.embedding, align)

    def gallery(
        self, people: str | os.PathLike | Mapping[str, Photo | Sequence[Photo]], *, align: Align = None
    ) -> Gallery:
        """Makes a gallery of known people.

        Args:
            people: photos by name, or a folder. The folder holds a folder of photos for each person, named
                like them. Or it holds photos alone, with names in LFW's form (`First_Last_0001.jpg`), or one
                of each person, named like them. The log names what is left out.
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
        self,
        gallery: Gallery | GalleryView | StoredGallery,
        *,
        fpir: float = 0.01,
        threshold: float | None = None,
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
        if isinstance(gallery, StoredGallery):
            gallery = gallery.view()
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
        gallery: Gallery | GalleryView | StoredGallery,
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
        gallery: Gallery | GalleryView | StoredGallery,
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
        gallery: Gallery | GalleryView | StoredGallery,
        *,
        k: int = 1,
        fpir: float = 0.01,
        threshold: float | None = None,
        align: Align = None,
    ) -> Identification | list[Identification]: ...

    def identify(
        self,
        photos: Photo | Sequence[Photo],
        gallery: Gallery | GalleryView | StoredGallery,
        *,
        k: int = 1,
        fpir: float = 0.01,
        threshold: float | None = None,
        align: Align = None,
    ) -> Identification | list[Identification]:
        """Says who of a gallery is on a photo, or that nobody is.

        The photo that is most alike counts for a person. The larger the gallery, the likelier it is that
        somebody in it looks like a stranger by chance. So the threshold of pairs doesn't do: one is found for
        a gallery of this size, by the scores of people whom the training has not seen. The rates hold for
        people and photos like those.

        Args:
            photos: a photo (see `Photo`), or a list of them.
            gallery: the known people; see `Verifier.gallery` and `StoredGallery`.
            k: number of candidates to return, at least 1. It returns fewer if there are fewer people.
            fpir: the share of strangers who may get a name (false positive identification rate), in (0, 1).
            threshold: a score of your own. Then `fpir` plays no part.
            align: see `photos.Align`.

        Returns:
            An `Identification`, or for a list a list of them.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            ValueError: if `fpir` can't be promised for this gallery, `k` or another argument is out of range,
                or `gallery` is none, or was made with another model.
        """
        if not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"`k` must be a whole number of at least 1. Received: k={k!r}")
        if isinstance(gallery, StoredGallery):
            gallery = gallery.view()
        if not isinstance(gallery, Gallery | GalleryView):
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
        decision = self.gallery_threshold(gallery, fpir=fpir, threshold=threshold)
        photos, many = listed(photos)
        if not photos:
            return []
        embeddings = self.embed(photos, align=align)
        width = embeddings.shape[1]
        if gallery.embeddings.shape[1] != width:
            raise ValueError(
                f"`gallery` must hold embeddings of {width} numbers, as this model's. Received: "
                f"{gallery.embeddings.shape[1]}. Make it anew, with `Verifier.gallery`"
            )
        k = min(k, gallery.n_people)
        found = zip(*gallery.nearest(self.comparison, embeddings, k), strict=True)
        results = [_identification(names, scores, k, decision) for names, scores in found]
        return results if many else results[0]

    def cluster(self, photos: Sequence[Photo], *, align: Align = None) -> np.ndarray:
        """Sorts photos into people, without knowing how many there are.

        It joins two clusters as long as the mean score of their pairs reaches the threshold (average
        linkage). So it judges two single photos as `verify` does. One chance likeness doesn't join two
        people, as it would with DBSCAN or single linkage. One bad photo doesn't split a person, as it would
        with complete linkage. If a model scores a pair and its mirror differently, the mean of both counts.

        Args:
            photos: the `n` photos; see `Photo`. Memory grows with their square: about 16 n^2 bytes, 2.7 GB
                for 13,000.
            align: see `photos.Align`.

        Returns:
            The number of the person on each photo, `(n,)` int64. Numbers begin with 0, in the order in which
            people first occur.

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
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import squareform

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
