"""A trained run as a tool: are two photos of one person, who is on a photo, and which photos show the same people."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics.pairwise import euclidean_distances

from . import evaluation, models
from .datasets.images import ImageError, load_image
from .datasets.pair_files import IMAGE_ENDINGS
from .datasets.pairs import Pairs
from .evaluation.calibration import Calibration
from .evaluation.search import score_blocks, top_scores
from .files import read_json
from .gallery import Gallery
from .run_folder import VERIFIER, changed_files
from .safe_loading import load_model_safely, read_verifier_settings

Photo = str | os.PathLike | bytes | bytearray | np.ndarray | Image.Image
"""What counts as one photo: the path or the bytes of a JPEG or PNG file; an array `(height, width)`, `(height, width, 1)` or
`(height, width, 3)` (RGB), uint8 or of floats in [0, 1]; a Pillow image. An array `(n, height, width, channels)`, or one of `n`
paths, counts as a list of photos."""

_CHUNK = 256  # photos in memory at a time
_MEMORY = 2**28  # bytes, of a block of scores and what is made of it


@dataclass(frozen=True)
class Verification:
    """Whether two photos show the same person: the score is at least the threshold. The probability is that of the run's
    calibration, for pairs that are as often of one person as its validation pairs."""

    same: bool
    score: float
    threshold: float
    probability: float


@dataclass(frozen=True)
class Candidate:
    """A person of a gallery, with the score and the probability of the most alike of their photos."""

    name: str
    score: float
    probability: float


@dataclass(frozen=True)
class Identification:
    """Who is on a photo: the name of the first candidate, or `None` (unknown) where its score is below the threshold."""

    name: str | None
    threshold: float
    candidates: tuple[Candidate, ...]


class Verifier:
    """A trained run as a tool; `Verifier.load` makes it.

    Photos are brought to the model as in training (the middle, the size, grey or RGB). Faces are not looked for: photos should be
    aligned as those that the run was trained on.

    Attributes: `threshold`; `provenance` (what the run's `verifier.json` holds: on what the model was trained, on which pairs the
        threshold was chosen, by which version); `seen_people` (the names of all on either, for `evaluation.require_unseen`).
    """

    def __init__(
        self,
        model: tf.keras.Model,
        *,
        crop: tuple[int, int] | None,
        threshold: float,
        calibration: Calibration,
        digest: str,
        provenance: dict[str, Any],
    ):
        self.model = model
        self.crop = crop
        self.threshold = threshold
        self.calibration = calibration
        self.digest = digest
        self.provenance = provenance
        people = provenance["people"]
        self.seen_people = frozenset([*people["trained_on"], *people["chosen_on"]])
        self._image_shape = models.embedding_model(model).input_shape[1:]
        last = None if len(model.inputs) != 2 else models.comparison_model(model).layers[-1]
        self._by_cosine = last is None or isinstance(last, tf.keras.layers.Dot)
        self._by_distance = isinstance(last, models.EuclideanDistance)

    @classmethod
    def load(cls, run_dir: str | os.PathLike) -> "Verifier":
        """Loads the verifier of a run folder that `training.train` left. Nothing in the folder can run code.

        Args:
            run_dir: the folder, with `verifier.json`, the model file that it names, and `results.json`.

        Raises:
            FileNotFoundError: if it is no run folder, or a part is missing.
            ValueError: if a file is damaged, of another format, or could run code, or if the model is another than the one
                that the threshold was chosen for.

        Example:
            >>> Verifier.load("nowhere")
            Traceback (most recent call last):
            FileNotFoundError: nowhere is no run folder...
        """
        run_dir = Path(run_dir)
        if not (run_dir / "recipe.json").exists() and not (run_dir / "verifier.json").exists():
            raise FileNotFoundError(
                f"{run_dir} is no run folder (it has no recipe.json). Give the folder that `siamese-nn train` named"
            )
        if not (run_dir / "results.json").exists():
            raise FileNotFoundError(
                f"{run_dir} is half-written (it has no results.json). Give the same `siamese-nn train` command again: it goes "
                "on where it stood"
            )
        results = read_json(run_dir / "results.json")
        if not isinstance(results, dict) or "status" not in results:
            raise ValueError(
                f"{run_dir / 'results.json'} is damaged (it has no status). Remove it, and give the same `siamese-nn train` "
                "command again"
            )
        if not (run_dir / "verifier.json").exists():
            raise FileNotFoundError(
                f"{run_dir} has no verifier.json. Give the same `siamese-nn train` command again: it makes it anew"
            )
        if changed_files(run_dir, results).get(VERIFIER) == "has changed":
            raise ValueError(
                f"{run_dir / VERIFIER} has changed since the run was measured. Give the same `siamese-nn train` command "
                "again: it makes it anew"
            )
        settings = read_verifier_settings(run_dir / "verifier.json")
        path = run_dir / settings["model"]
        calibration = settings["calibration"]
        model = load_model_safely(path)
        digest = sha256(path.read_bytes()).hexdigest()
        if digest != settings["model_sha256"]:
            raise ValueError(
                f"{path} is not the model that the threshold in verifier.json was chosen for: its SHA-256 is {digest[:12]} "
                f"instead of {settings['model_sha256'][:12]}. Where a training has gone on since, the same `siamese-nn train` "
                "command ends it and chooses anew; otherwise bring the model back, or train the run again"
            )
        return cls(
            model,
            crop=settings["crop"],
            threshold=float(settings["threshold"]),
            calibration=Calibration(calibration["slope"], calibration["intercept"]),
            digest=digest,
            provenance=settings,
        )

    def verify(
        self, a: Photo | Sequence[Photo], b: Photo | Sequence[Photo]
    ) -> Verification | list[Verification]:
        """Says whether two photos show the same person.

        Args:
            a: a photo (see `Photo`), or a list of them.
            b: another, or a list of as many.

        Returns:
            A `Verification`; of lists a list of them.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            TypeError: if it is no photo at all.
            ValueError: if the lists differ in length.
        """
        (left, many), (right, many_right) = _listed(a), _listed(b)
        if many != many_right or len(left) != len(right):
            raise ValueError(
                "`a` and `b` must be two photos, or two lists of one length. Received: "
                f"{len(left) if many else 'a photo'} and {len(right) if many_right else 'a photo'}"
            )
        if not left:
            return []
        embeddings = self.embed(left + right)
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
            photos: the photos of the folds' people, person by person, such as `datasets.cfp_photos`. Given, PLDA is fitted anew for
                each fold, to the embeddings of the people of others: see `evaluation.cross_validate_plda`. The network stays as it is.

        Returns:
            The figures, each fold's at the threshold that is best on the others (with `photos`, on the next); the run's own threshold
            plays no part.

        Raises:
            IdentityLeakError: if somebody in the folds is among `seen_people`, or in two folds.
            ImageError: if a photo cannot be used; it is named.
            ValueError: as `evaluation.cross_validate`.
        """
        evaluation.require_unseen(folds, self.seen_people)
        if photos is not None:
            paths = sorted({str(path) for own in photos.values() for path in own})
            vectors = self.embed(paths)
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
            return evaluation.cross_validate_plda(dict(zip(paths, vectors, strict=True)), photos, folds)
        scores = [evaluation.score_pairs(self.model, fold, crop=self.crop) for fold in folds]
        return evaluation.cross_validate(scores, folds)

    def embed(self, photos: Photo | Sequence[Photo]) -> np.ndarray:
        """Sends photos through the model's tower.

        Args:
            photos: the `n` photos, or one; see `Photo`.

        Returns:
            `(n, d)` float32.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            ValueError: if there are none.
        """
        photos, _ = _listed(photos)
        if not photos:
            raise ValueError("`photos` must hold at least one photo. Received none")
        embeddings = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(photos), _CHUNK):
                chunk = photos[start : start + _CHUNK]
                images = np.stack(list(pool.map(self._pixels, chunk, range(start, start + len(chunk)))))
                embeddings.append(evaluation.embed(self.model, images))
        return np.concatenate(embeddings).astype(np.float32, copy=False)

    def gallery(self, people: str | os.PathLike | Mapping[str, Photo | Sequence[Photo]]) -> Gallery:
        """Makes a gallery of known people.

        Args:
            people: photos by name; or a folder, with a folder of photos for each person, named like them. A photo that lies in
                it directly is of the person it is named like.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            ValueError: if there are no photos.
        """
        if not isinstance(people, Mapping):
            people, folder = {}, Path(people)
            for path in photos_in(folder):
                people.setdefault(path.stem if path.parent == folder else path.parent.name, []).append(path)
        photos = [(name, photo) for name, one_or_many in people.items() for photo in _listed(one_or_many)[0]]
        if not photos:
            raise ValueError("`people` must hold at least one photo. Received none")
        names, photos = zip(*photos, strict=True)
        return Gallery(np.array(names, np.str_), self.embed(list(photos)), self.digest)

    def identify(
        self, photos: Photo | Sequence[Photo], gallery: Gallery, *, k: int = 1
    ) -> Identification | list[Identification]:
        """Says who of a gallery is on a photo, or that nobody is.

        A person counts by the most alike of their photos. The threshold is that of pairs: among many people somebody looks like a
        stranger by chance, and the more the oftener.

        Args:
            photos: a photo (see `Photo`), or a list of them.
            gallery: the known people; see `Verifier.gallery`.
            k: candidates to return, at least 1; as many as there are people, if that is fewer.

        Returns:
            An `Identification`; of a list a list of them.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            ValueError: if `k` is out of range, or `gallery` is none, or was made with another model.
        """
        if not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"`k` must be a whole number of at least 1. Received: k={k!r}")
        if not isinstance(gallery, Gallery):
            raise ValueError(
                f"`gallery` must be a gallery: make it with `verifier.gallery(folder)`. Received: {type(gallery).__name__}"
            )
        if gallery.model != self.digest:
            raise ValueError(
                "`gallery` must have been made with this verifier's model. Received: one of another model, SHA-256 "
                f"{gallery.model[:12]} instead of {self.digest[:12]}. Make it anew, with `Verifier.gallery`"
            )
        width = models.embedding_model(self.model).output_shape[-1]
        if gallery.embeddings.shape[1] != width:
            raise ValueError(
                f"`gallery` must hold embeddings of {width} numbers, as this model's. Received: "
                f"{gallery.embeddings.shape[1]}. Make it anew, with `Verifier.gallery`"
            )
        photos, many = _listed(photos)
        if not photos:
            return []
        people, counts = np.unique(gallery.names, return_counts=True)
        k = min(k, len(people))
        # So many photos are of at least k people, even if all photos of those with the most come first.
        k_photos = int(np.sort(counts)[::-1][: k - 1].sum()) + 1
        embeddings = self.embed(photos)
        blocks = self._score_blocks(embeddings, gallery.embeddings)
        scores, where = top_scores(blocks, len(photos), k_photos)
        results = [
            self._identification(*found, k) for found in zip(gallery.names[where], scores, strict=True)
        ]
        return results if many else results[0]

    def cluster(self, photos: Sequence[Photo]) -> np.ndarray:
        """Sorts photos into people, without knowing how many there are.

        Clusters are joined as long as the mean score of their pairs is at least the threshold (average linkage, in which a pair alone
        is judged as `verify` does; one chance likeness joins no two people, as it would with DBSCAN or single linkage, and one bad
        photo splits none, as with complete linkage). Where the model minds which photo is left, the mean of both scores counts.

        Args:
            photos: the `n` photos; see `Photo`. Memory grows with their square: about 16 n^2 bytes, 2.7 GB for 13,000.

        Returns:
            For each photo the number of its person, `(n,)` int64, from 0 on in the order in which they first occur.

        Raises:
            ImageError: if a photo cannot be used; it is named.
            ValueError: if there are none.

        Reference:
            Sokal and Michener, "A statistical method for evaluating systematic relationships", 1958 (average linkage).
        """
        embeddings = self.embed(photos)
        n = len(embeddings)
        if n == 1:
            return np.zeros(1, np.int64)
        scores = np.empty((n, n), np.float32)
        for row, column, block in self._score_blocks(embeddings, embeddings):
            scores[row : row + len(block), column : column + block.shape[1]] = block
        scores = squareform((scores + scores.T) / 2, checks=False).astype(np.float64)
        # A distance may not be negative: the largest score becomes 0.
        top = max(float(scores.max()), self.threshold)
        labels = fcluster(linkage(top - scores, "average"), top - self.threshold, "distance")
        _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[labels]

    def _pixels(self, photo: Photo, i: int) -> np.ndarray:
        height, width, channels = self._image_shape
        if not isinstance(photo, Photo):
            raise TypeError(
                "A photo must be a path, bytes, an array or a Pillow image. Received, as photo "
                f"{i}: {type(photo).__name__}"
            )
        source = bytes(photo) if isinstance(photo, bytearray) else photo
        if isinstance(photo, np.ndarray):
            source = _as_image(photo, i)
        try:
            return load_image(source, image_size=(height, width), crop=self.crop, channels=channels)
        except ImageError as error:
            if isinstance(photo, (str, os.PathLike)):
                raise
            raise ImageError(f"photo {i} of those given: {str(error).removeprefix('the photo: ')}") from error

    def _score_blocks(self, left: np.ndarray, right: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """All scores of `(m, d)` and `(n, d)` embeddings, as `evaluation.search.score_blocks` gives inner products."""
        if self._by_cosine:
            for row, column, block in score_blocks(_unit(left), _unit(right), memory_limit=_MEMORY):
                yield row, column, np.clip(block, -1, 1, out=block)  # as `evaluation.compare` does
            return
        # A learnt comparison wants both embeddings of each pair.
        n_scores = _MEMORY // (100 if self._by_distance else 100 + 16 * left.shape[1])
        columns = max(1, min(len(right), n_scores))
        rows = max(1, min(len(left), n_scores // columns))
        for row in range(0, len(left), rows):
            for column in range(0, len(right), columns):
                some, others = left[row : row + rows], right[column : column + columns]
                if self._by_distance:
                    scores = -euclidean_distances(some, others)
                else:
                    pairs = np.repeat(some, len(others), axis=0), np.tile(others, (len(some), 1))
                    scores = evaluation.compare(self.model, *pairs, batch_size=1024)
                yield row, column, scores.reshape(len(some), len(others))

    def _identification(self, names: np.ndarray, scores: np.ndarray, k: int) -> Identification:
        best = {}
        for name, score in zip(names.tolist(), scores.tolist(), strict=True):
            if name not in best and len(best) < k:
                best[name] = score
        probabilities = np.asarray(self.calibration.probability(np.array(list(best.values())))).tolist()
        candidates = tuple(
            Candidate(name, score, probability)
            for (name, score), probability in zip(best.items(), probabilities, strict=True)
        )
        known = candidates[0].score >= self.threshold
        return Identification(candidates[0].name if known else None, self.threshold, candidates)


def photos_in(folder: str | os.PathLike) -> list[Path]:
    """Returns the JPEG and PNG files of a folder and of the folders in it, sorted; a `ValueError` where there are none."""
    folder = Path(folder)
    paths = [*folder.glob("*"), *folder.glob("*/*")]
    paths = sorted(path for path in paths if path.suffix.lower() in IMAGE_ENDINGS and path.is_file())
    if not paths:
        raise ValueError(
            f"{folder} must be a folder with photos ({', '.join(IMAGE_ENDINGS)}), or with folders of them. Received one without"
        )
    return paths


def _listed(photos: Photo | Sequence[Photo]) -> tuple[list[Photo], bool]:
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
                f"photo {i} of those given: floats must lie in [0, 1]. Received: {photo.min()} to {photo.max()}"
            )
        photo = np.rint(photo * 255).astype(np.uint8)
    elif photo.dtype != np.uint8:
        raise ImageError(
            f"photo {i} of those given must be uint8, or floats in [0, 1]. Received: {photo.dtype}"
        )
    return Image.fromarray(photo[..., 0] if photo.ndim == 3 and shape[2] == 1 else photo)


def _unit(embeddings: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
