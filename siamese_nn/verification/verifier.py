"""A trained run as a tool: whether two photos show one person, who it is, and who is who in many photos."""

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, overload

import numpy as np
import tensorflow as tf
from PIL import Image
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from .. import evaluation, faces, models
from ..datasets.images import ImageError, load_image
from ..datasets.pairs import Pairs
from ..datasets.photo_folders import people_in, some
from ..datasets.raw_photos import open_raw_photo
from ..evaluation.calibration import Calibration
from ..evaluation.open_set import GalleryThreshold, HeldOutScores, Rate
from ..evaluation.scoring import unit_length
from ..evaluation.search import top_scores
from ..faces.mtcnn import is_installed
from ..runs.folder import RECIPE, RESULTS, VERIFIER, read_results, read_verifier_settings
from ..runs.folder import digest as file_digest
from .gallery import Gallery
from .safe_loading import load_model_safely, read_held_out_scores

logger = logging.getLogger(__name__)

_Single = str | os.PathLike | bytes | bytearray | Image.Image
_Several = list[Any] | tuple[Any, ...]
Photo = _Single | np.ndarray
"""What counts as one photo: the path or the bytes of a JPEG or PNG file; a Pillow image; an array
`(height, width)`, `(height, width, 1)` or `(height, width, 3)` (RGB), uint8 or of floats in [0, 1].

An array `(n, height, width, channels)`, or one of `n` paths, counts as a list of photos."""

_CHUNK = 256  # photos in memory at a time
_MOST_PIXELS = 4096  # a side of what a model sees


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

    Photos are brought to the model as in training (the middle, the size, grey or RGB). Where the run knows
    where the faces of its photos lie, and the extra `faces` is installed, the face nearest the middle of each
    photo is found and put there. A photo in which it lies there already is taken as it is: see
    `faces.is_aligned`. Elsewhere photos should be aligned as those of the training, and must have their
    shape; they may be larger or smaller, and are scaled.

    The methods that take photos have an argument `align`. `None`, the default, is what is said above. `False`
    takes photos as they are. `True` insists on finding the faces; a run of 250 x 250 pixels that does not
    know its frame is then taken for one of LFW-a.

    Attributes: `frame` (a `faces.Frame`, if it is known where faces lie); `threshold` (of pairs); `held_out`
        (`evaluation.HeldOutScores`, for the thresholds of
        galleries); `provenance` (what the run's `verifier.json` holds: on what the model was trained, on
        which pairs the threshold was chosen, by which version); `seen_people` (the names of all on either,
        for `evaluation.require_unseen`).
    """

    def __init__(
        self,
        model: tf.keras.Model,
        *,
        crop: tuple[int, int] | None,
        photo_size: tuple[int, int] | None,
        threshold: float,
        calibration: Calibration,
        held_out: HeldOutScores,
        digest: str,
        provenance: dict[str, Any],
        frame: faces.Frame | None = None,
    ):
        self.model = model
        self.crop = crop
        self.photo_size = photo_size
        self.frame = frame
        self.threshold = threshold
        self.calibration = calibration
        self.held_out = held_out
        self.digest = digest
        self.provenance = provenance
        people = provenance["people"]
        self.seen_people = frozenset([*people["trained_on"], *people["chosen_on"]])
        self._image_shape = models.embedding_model(model).input_shape[1:]
        self._gallery_thresholds: dict[
            tuple, GalleryThreshold
        ] = {}  # found already: it takes some tenths of a second

    @classmethod
    def load(cls, run_dir: str | os.PathLike) -> "Verifier":
        """Loads the verifier of a run folder that `training.train` left. Nothing in the folder can run code.

        Args:
            run_dir: the folder, with `verifier.json`, the model and the scores that it names, and
                `results.json`.

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
        path = run_dir / settings["model"]
        calibration = settings["calibration"]
        model = load_model_safely(path)
        digest = file_digest(path)
        if digest != settings["model_sha256"]:
            raise ValueError(
                f"{path} is not the model that the threshold in {VERIFIER} was chosen for: its SHA-256 is "
                f"{digest[:12]} instead of {settings['model_sha256'][:12]}. Where a training has gone on "
                "since, the same `siamese-nn train` command ends it and chooses anew; otherwise bring the "
                "model back, or train the run again"
            )
        shape = models.embedding_model(model).input_shape
        if len(shape) != 4 or None in shape[1:3] or max(shape[1:3]) > _MOST_PIXELS or shape[3] not in (1, 3):
            raise ValueError(
                f"{path} is no model of grey or RGB images: its input is {shape}. Train the run again"
            )
        return cls(
            model,
            crop=settings["crop"],
            photo_size=settings["photo_size"],
            frame=faces.Frame(**settings["frame"]) if settings.get("frame") else None,
            threshold=float(settings["threshold"]),
            calibration=Calibration(calibration["slope"], calibration["intercept"]),
            held_out=read_held_out_scores(run_dir, settings["held_out"]),
            digest=digest,
            provenance=settings,
        )

    @overload
    def verify(self, a: _Single, b: Photo, *, align: bool | None = None) -> Verification: ...

    @overload
    def verify(
        self, a: _Several, b: Photo | Sequence[Photo], *, align: bool | None = None
    ) -> list[Verification]: ...

    @overload  # an array may be one photo or several
    def verify(
        self, a: Photo | Sequence[Photo], b: Photo | Sequence[Photo], *, align: bool | None = None
    ) -> Verification | list[Verification]: ...

    def verify(
        self, a: Photo | Sequence[Photo], b: Photo | Sequence[Photo], *, align: bool | None = None
    ) -> Verification | list[Verification]:
        """Says whether two photos show the same person.

        Args:
            a: a photo (see `Photo`), or a list of them.
            b: another, or a list of as many.
            align: whether to find their faces, see `Verifier`.

        Returns:
            A `Verification`, or for lists a list of them.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            TypeError: if it is no photo at all.
            ValueError: if the lists differ in length, or as `embed`.
        """
        (left, many), (right, many_right) = _listed(a), _listed(b)
        if many != many_right or len(left) != len(right):
            raise ValueError(
                "`a` and `b` must be two photos, or two lists of one length. Received: "
                f"{len(left) if many else 'a photo'} and {len(right) if many_right else 'a photo'}"
            )
        if not left:
            return []
        embeddings = self.embed(left + right, align=align)
        scores = evaluation.compare(self.model, embeddings[: len(left)], embeddings[len(left) :])
        probabilities = np.asarray(self.calibration.probability(scores))
        results = [
            Verification(score >= self.threshold, score, self.threshold, probability)
            for score, probability in zip(scores.tolist(), probabilities.tolist(), strict=True)
        ]
        return results if many else results[0]

    def cross_validate(
        self, folds: Sequence[Pairs], *, photos: Mapping[str, Sequence[str]] | None = None
    ) -> evaluation.FoldsReport:
        """Measures the run in folds of people whom it has not seen, as LFW's View 2 and CFP ask.

        Args:
            folds: `datasets.read_folds` or `datasets.read_cfp_folds`.
            photos: the photos of the folds' people, person by person, such as `datasets.cfp_photos`. Given,
                PLDA is fitted anew for each fold, to the embeddings of the people of others: see
                `evaluation.cross_validate_plda`. The network stays as it is.

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
            vectors = unit_length(self.embed(paths, align=False))
            return evaluation.cross_validate_plda(dict(zip(paths, vectors, strict=True)), photos, folds)
        scores = [
            evaluation.score_pairs(self.model, fold, crop=self.crop, photo_size=self.photo_size)
            for fold in folds
        ]
        return evaluation.cross_validate(scores, folds)

    def embed(self, photos: Photo | Sequence[Photo], *, align: bool | None = None) -> np.ndarray:
        """Sends photos through the model's tower.

        Args:
            photos: the `n` photos, or one; see `Photo`.
            align: whether to find their faces, see `Verifier`.

        Returns:
            `(n, d)` float32.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            faces.NoFaceError: if no face is found in some photos; they are named.
            ImportError: with `align=True`, if the extra `faces` is not installed.
            ValueError: if there are none, or the run's frame is not known, which `align=True` needs.
        """
        photos, _ = _listed(photos)
        if not photos:
            raise ValueError("`photos` must hold at least one photo. Received none")
        frame = self._frame_to_align_to(align)
        embeddings = []
        n_faces: dict[int, int] = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(photos), _CHUNK):
                chunk = photos[start : start + _CHUNK]
                numbers = range(start, start + len(chunk))
                images = list(pool.map(self._pixels, chunk, numbers, repeat(frame), repeat(n_faces)))
                if all(n_faces.values()):  # else the rest is looked at only to name all photos without a face
                    embeddings.append(evaluation.embed(self.model, np.stack(images)))
        named = {i: _named(photos[i], i) for i in sorted(n_faces) if n_faces[i] != 1}
        if without := [name for i, name in named.items() if not n_faces[i]]:
            raise faces.NoFaceError(
                f"{some(without)}: no face was found. Give photos with a larger or clearer face; or, if all "
                "are aligned as those of the training, `align=False` (`--no-align`)"
            )
        if named:
            several = some(list(named.values()))
            logger.warning("several faces, of which that nearest the middle counts: %s", several)
        return np.concatenate(embeddings).astype(np.float32, copy=False)

    def gallery(
        self,
        people: str | os.PathLike | Mapping[str, Photo | Sequence[Photo]],
        *,
        align: bool | None = None,
    ) -> Gallery:
        """Makes a gallery of known people.

        Args:
            people: photos by name; or a folder. In it, a folder of photos for each person, named like them;
                or photos alone, in LFW's form (`First_Last_0001.jpg`), or of one person each, named like
                them. What is left out is named in the log.
            align: whether to find their faces, see `Verifier`.

        Raises:
            FileNotFoundError: if the folder does not exist.
            ImageError: if a photo cannot be used; it is named.
            ValueError: if there are no photos, or somebody has none.
        """
        if not isinstance(people, Mapping):
            people = people_in(people)
        nameless = [name for name in people if not isinstance(name, str) or not name.strip()]
        if nameless:
            raise ValueError(f"`people` must be photos by name, a text of letters. Received: {nameless[0]!r}")
        lists = {name: _listed(one_or_many)[0] for name, one_or_many in people.items()}
        without = [name for name, photos in lists.items() if not photos]
        if without or not lists:
            raise ValueError(
                "`people` must hold at least one photo (JPEG or PNG) of each person. Received none"
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
        photos: _Single,
        gallery: Gallery,
        *,
        k: int = 1,
        fpir: float = 0.01,
        threshold: float | None = None,
        align: bool | None = None,
    ) -> Identification: ...

    @overload
    def identify(
        self,
        photos: _Several,
        gallery: Gallery,
        *,
        k: int = 1,
        fpir: float = 0.01,
        threshold: float | None = None,
        align: bool | None = None,
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
        align: bool | None = None,
    ) -> Identification | list[Identification]: ...

    def identify(
        self,
        photos: Photo | Sequence[Photo],
        gallery: Gallery,
        *,
        k: int = 1,
        fpir: float = 0.01,
        threshold: float | None = None,
        align: bool | None = None,
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
            align: whether to find the faces in `photos`, see `Verifier`.

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
        width = models.embedding_model(self.model).output_shape[-1]
        if gallery.embeddings.shape[1] != width:
            raise ValueError(
                f"`gallery` must hold embeddings of {width} numbers, as this model's. Received: "
                f"{gallery.embeddings.shape[1]}. Make it anew, with `Verifier.gallery`"
            )
        decision = self.gallery_threshold(gallery, fpir=fpir, threshold=threshold)
        photos, many = _listed(photos)
        if not photos:
            return []
        people, counts = np.unique(gallery.names, return_counts=True)
        k = min(k, len(people))
        # So many photos are of at least k people, even if all photos of those with the most come first.
        k_photos = int(np.sort(counts)[::-1][: k - 1].sum()) + 1
        embeddings = self.embed(photos, align=align)
        blocks = evaluation.compare_all(self.model, embeddings, gallery.embeddings)
        scores, where = top_scores(blocks, len(photos), k_photos)
        results = [
            _identification(*found, k, decision) for found in zip(gallery.names[where], scores, strict=True)
        ]
        return results if many else results[0]

    def cluster(self, photos: Sequence[Photo], *, align: bool | None = None) -> np.ndarray:
        """Sorts photos into people, without knowing how many there are.

        Clusters are joined as long as the mean score of their pairs is at least the threshold (average
        linkage, in which a pair alone is judged as `verify` does; one chance likeness joins no two people, as
        it would with DBSCAN or single linkage, and one bad photo splits none, as with complete linkage).
        Where a model scores a pair and its mirror differently, the mean of both scores counts.

        Args:
            photos: the `n` photos; see `Photo`. Memory grows with their square: about 16 n^2 bytes, 2.7 GB
                for 13,000.
            align: whether to find their faces, see `Verifier`.

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
        scores = evaluation.score_matrix(self.model, embeddings)
        scores = squareform((scores + scores.T) / 2, checks=False).astype(np.float64)
        # A distance may not be negative: the largest score becomes 0.
        top = max(float(scores.max()), self.threshold)
        labels = fcluster(linkage(top - scores, "average"), top - self.threshold, "distance")
        _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[labels]

    def _frame_to_align_to(self, align: bool | None) -> faces.Frame | None:
        if align not in (None, True, False):
            raise ValueError(f"`align` must be True, False or None. Received: align={align!r}")
        if align and self.frame is None:
            if self.photo_size != faces.LFW_A.size:
                raise ValueError(
                    "Where faces are to lie is not known of a run trained on photos of "
                    f"{self.photo_size or 'several shapes'} (height, width). Give photos as those of the "
                    "training, without `align`"
                )
            logger.warning("where the faces of this run lie is not known: LFW-a's places are taken")
            return faces.LFW_A
        if align is None and self.frame is not None and not is_installed():
            logger.warning(
                "photos are compared as they are, which is right for aligned ones only. To have the faces "
                "found: pip install 'siamese_nn[faces]'"
            )
            return None
        return None if align is False else self.frame

    def _pixels(self, photo: Photo, i: int, frame: faces.Frame | None, n_faces: dict[int, int]) -> np.ndarray:
        """What the model sees of a photo, with a frame of its face; `n_faces` gets how many there are."""
        if not isinstance(photo, Photo):
            raise TypeError(
                "A photo must be a path, bytes, an array or a Pillow image. Received, as photo "
                f"{i}: {type(photo).__name__}"
            )
        source = _as_image(photo, i) if isinstance(photo, np.ndarray) else photo
        source = bytes(source) if isinstance(source, bytearray) else source
        try:
            if frame is not None:
                raw = open_raw_photo(source)
                found = faces.find(raw)
                n_faces[i] = len(found)
                if not found:
                    return np.zeros(self._image_shape, np.uint8)  # which nobody looks at
                face = faces.choose(found, raw, "middle")
                if faces.is_aligned(raw, face, frame=frame):
                    with suppress(ImageError):  # else of a format or depth that only `open_raw_photo` reads
                        return self._load(source)
                    source = raw
                else:
                    source = faces.align(raw, face, frame=frame)
            return self._load(source)
        except ImageError as error:
            if isinstance(photo, (str, os.PathLike)):
                raise
            raise ImageError(f"{_named(photo, i)}: {str(error).removeprefix('the photo: ')}") from error

    def _load(self, source: str | os.PathLike | bytes | Image.Image) -> np.ndarray:
        height, width, channels = self._image_shape
        return load_image(
            source,
            image_size=(height, width),
            crop=self.crop,
            channels=channels,
            photo_size=self.photo_size,
        )


def _named(photo: Photo, i: int) -> str:
    return str(photo) if isinstance(photo, (str, os.PathLike)) else f"photo {i} of those given"


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


def _listed(photos: Any) -> tuple[list[Photo], bool]:
    if isinstance(photos, np.ndarray) and photos.dtype.kind == "U":
        photos = photos.tolist()
    many = isinstance(photos, (list, tuple)) or (isinstance(photos, np.ndarray) and photos.ndim == 4)
    return (list(photos), True) if many else ([photos], False)


def _as_image(photo: np.ndarray, i: int) -> Image.Image:
    shape = photo.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)) or 0 in shape:
        raise ImageError(
            f"photo {i} of those given must be (height, width[, 1 or 3]). Received: shape {shape}"
        )
    if photo.dtype.kind == "f":
        if not (photo.min() >= 0 and photo.max() <= 1):
            raise ImageError(
                f"photo {i} of those given: floats must lie in [0, 1]. "
                f"Received: {photo.min()} to {photo.max()}"
            )
        photo = np.rint(photo * 255).astype(np.uint8)
    elif photo.dtype != np.uint8:
        raise ImageError(
            f"photo {i} of those given must be uint8, or floats in [0, 1]. Received: {photo.dtype}"
        )
    return Image.fromarray(photo[..., 0] if photo.ndim == 3 and shape[2] == 1 else photo)
