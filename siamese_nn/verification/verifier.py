"""A trained run as a tool, or anybody's embedding: made, measured and used."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import evaluation
from ..datasets.pairs import Pairs
from ..evaluation.metrics import ChosenThreshold
from ..evaluation.vectors import unit_length
from . import fitted, fitting
from .embedding import Embedding
from .gallery import Gallery
from .loaded import Candidate, Identification, LoadedVerifier, Verification
from .photos import Align, vectors_of, where_faces_lie

__all__ = ["Candidate", "Gallery", "Identification", "Verification", "Verifier"]


class Verifier(LoadedVerifier):
    """A trained run, or any embedding, as a tool. `load` or `fit` makes one.

    It answers as `LoadedVerifier` does. It can also be measured on pairs.

    Example:
        >>> verifier = Verifier.load("runs/faces")
        >>> gallery = verifier.gallery("faces/lfw2")  # a folder of photos for each person
        >>> gallery.n_people, len(gallery)
        (64, 256)
    """

    def __init__(self, embedding: Embedding, **parts: Any):
        super().__init__(embedding, **parts)
        self.threshold = ChosenThreshold(self.threshold)
        self.threshold.people = self.seen_people

    @classmethod
    def load(
        cls, run_dir: str | os.PathLike, *, function: Callable[[np.ndarray], Any] | str | None = None
    ) -> "Verifier":
        """Loads the verifier of a run folder that `training.train` left, or of one that `save` wrote.

        Nothing in the folder can run code.

        Args:
            run_dir: the folder; of a run with `verifier.json`, the model and the scores that it names, and
                `results.json`.
            function: the function, or its import path, `"my_module:embed"`, if the verifier's embedding is a
                function of yours.

        Returns:
            The verifier.

        Raises:
            FileNotFoundError: if it is no run folder, or a part is missing.
            ValueError: if a file is damaged, of another format, or could run code, or if the model is another
                than the one that the threshold was chosen for.

        Example:
            >>> verifier = Verifier.load("runs/faces")
            >>> photos = [f"faces/lfw2/Ada_Adler/Ada_Adler_000{number}.jpg" for number in (1, 2)]
            >>> answer = verifier.verify(*photos)
            >>> answer.same == (answer.score >= answer.threshold), 0 < answer.probability < 1
            (True, True)
        """
        run_dir = Path(run_dir)
        if fitted.is_fitted(run_dir):
            return cls(**vars(fitted.load(run_dir, function)))
        if function is not None:
            raise ValueError(
                f"`function` is for a folder that `Verifier.save` wrote, with its {fitted.VERIFIER}. "
                f"Received it with {run_dir}, which has none of that kind. Name the verifier's folder, or "
                "copy it anew; leave `function` out for a run"
            )
        from .run import load_run  # with TensorFlow

        return cls(**vars(load_run(run_dir)))

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
        """Makes a verifier of any embedding. Threshold and calibration come from held-out people.

        If the embedding has no `frame`, and all photos have one shape, then the verifier refuses photos of
        another shape: they are surely not aligned as these.

        Args:
            embedding: the network.
            pairs: pairs of people from whom neither the network nor its back-end has learnt. At least 10
                people must have a pair of one person, and 10 pairs must be of two people. `report` refuses
                these people, so report on others.
            plda: photos of other people, by person, such as `OwnPeople.photos`. PLDA is fitted to them, and
                scores are its log-likelihood ratios; see `evaluation.fit_plda`. `None` leaves PLDA out.
            cohort: photos of still other people, or the same. They normalise the scores; see
                `evaluation.NormalizedScores`. The first photo of each person counts.
            align: see `photos.Align`; `None` asks the photos' folders first, see `datasets.known_frame`.

        Returns:
            The verifier.

        Raises:
            IdentityLeakError: if somebody in the pairs is in `plda`, in `cohort`, or among those who trained
                the network, as far as it names them.
            ImageError: if a photo cannot be used; it is named.
            ValueError: if pairs or people are too few, or PLDA can't be fitted.

        Example:
            >>> from siamese_nn import datasets
            >>> pairs = datasets.read_pairs("faces/pairsDevTrain.txt", "faces/lfw2")
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

        found = fitting.fit(embedding, pairs, embed, plda=plda, cohort=cohort)
        return cls(**vars(found))

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the verifier into a folder that `load` reads: threshold, back-end, and the network's file.

        It can't write a function: give that to `load` again. The embeddings of a cohort are biometric data,
        so keep the folder as you would keep the photos.

        Args:
            folder: a new one, or an empty one.

        Raises:
            ValueError: if the folder holds anything, or the verifier is of a run, whose folder has it all.
        """
        fitted.save(fitted.Fitted(**{name: getattr(self, name) for name in fitted.FIELDS}), folder)

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

        It refuses the people of threshold and back-end. It can refuse people on whom the network was trained
        only if `Embedding.trained_on` names them.

        Args:
            pairs: the pairs.
            align: see `photos.Align`; `None` asks the photos' folders first, see `datasets.known_frame`.
            page: an HTML file to write, with curves, figures and the worst mistakes. It holds their photos:
                whoever gets the page gets them.

        Returns:
            The figures, with intervals over people.

        Raises:
            IdentityLeakError: if somebody in the pairs is among `seen_people`.
            ImageError: if a photo cannot be used; it is named.
        """
        fitting.require_apart("The people of the verifier", self.seen_people, pairs)
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
            from .report_page import write_report_page

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
