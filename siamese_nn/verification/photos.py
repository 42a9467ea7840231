"""What counts as a photo, and how photos become an embedding's vectors."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from .. import faces
from ..datasets.images import ImageError, load_image
from ..datasets.photo_folders import IMAGE_ENDINGS, some
from ..datasets.raw_photos import RAW_ENDINGS, open_raw_photo
from ..faces import Frame
from ..faces.mtcnn import is_installed
from ..faces.transform import similarity, warp
from .embedding import Embedding

logger = logging.getLogger(__name__)

Single = str | os.PathLike | bytes | bytearray | Image.Image
Several = list[Any] | tuple[Any, ...]
Photo = Single | np.ndarray
"""What counts as one photo: the path or the bytes of a JPEG or PNG file; a Pillow image; an array
`(height, width)`, `(height, width, 1)` or `(height, width, 3)` (RGB), uint8 or of floats in [0, 1].

An array `(n, height, width, channels)`, or one of `n` paths, counts as a list of photos."""

Align = bool | Frame | None
"""How the faces in photos come to where an embedding wants them: `None`, the usual, they are found and put
there, where it is known where that is; `True`, they are found in any case; `False`, photos are taken as they
are; a `faces.Frame`, they lie in all photos as it says (`faces.LFW_A` in LFW-a's), and are moved."""

P = TypeVar("P", bound=str | os.PathLike)
T = TypeVar("T")

_CHUNK = 256  # photos in memory at a time


class UnusablePhotos(ImageError):
    """Some of the photos given cannot be used: `photos`; `reasons` says why, in the same order."""

    def __init__(self, message: str, photos: list[Photo], reasons: list[str]):
        super().__init__(message)
        self.photos = photos
        self.reasons = reasons


class PhotosWithoutFace(UnusablePhotos, faces.NoFaceError):
    """In these photos no face was found."""


def vectors_of(embedding: Embedding, photos: Sequence[Photo], align: Align = None) -> np.ndarray:
    """Returns an embedding's vectors of photos, `(n, d)` float32.

    Args:
        embedding: the network.
        photos: the `n` photos.
        align: see `Align`.

    Raises:
        UnusablePhotos: an `ImageError`, if some photos cannot be used; they are named. `PhotosWithoutFace`, a
            `NoFaceError`, too, if no face was found in them.
        ImportError: with `align=True`, if the extra `faces` is not installed.
        TypeError: if it is no photo at all.
        ValueError: if there are none, or they can't be aligned, as it is not known to what.
    """
    return np.concatenate([embedding(images) for images in images_of(embedding, photos, align)])


def images_of(embedding: Embedding, photos: Sequence[Photo], align: Align = None) -> Iterator[np.ndarray]:
    """Gives what an embedding's network sees of photos, uint8 `(n, height, width, channels)`, some at a time.

    Args, and what is raised: as of `vectors_of`.
    """
    if not photos:
        raise ValueError("`photos` must hold at least one photo. Received none")
    if not isinstance(align, bool | Frame | None):
        raise ValueError(f"`align` must be True, False, None or a `faces.Frame`. Received: align={align!r}")
    place = Place(embedding, align)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(photos), _CHUNK):
            chunk = photos[start : start + _CHUNK]
            images = list(pool.map(place.pixels, chunk, range(start, start + len(chunk))))
            if not place.refused:  # else the rest is looked at to name all photos that can't be used
                yield np.stack([image for image in images if image is not None])
    place.tell(photos)


def where_faces_lie(embedding: Embedding, paths: Iterable[str], align: Align) -> Align:
    """Returns `align`; for `None` the frame that the photos' folders say, if the embedding wants one."""
    if align is not None or embedding.frame is None:
        return align
    from ..datasets import known_frame

    return known_frame(paths)


def of_usable(paths: Sequence[P], call: Callable[[list[P]], T]) -> tuple[list[P], T]:
    """Calls with photos. Those that can't be used are left out, and named in the log with their reasons.

    Args:
        paths: the photos' files.
        call: what to do with them; it is done anew where it raises `UnusablePhotos`.

    Returns:
        The photos that could be used, and what the call returned.

    Raises:
        UnusablePhotos: if none can be used.
    """
    kept = list(paths)
    while True:
        try:
            return kept, call(kept)
        except UnusablePhotos as error:
            lost = {str(photo) for photo in error.photos}
            known, kept = len(kept), [path for path in kept if str(path) not in lost]
            if not kept or len(kept) == known:
                raise
            for reason in error.reasons:
                logger.warning("left out: %s", reason)


def finds_faces(embedding: Embedding, align: Align) -> bool:
    """Says whether faces are looked for in photos that come with this `align`."""
    return align is True or (align is None and embedding.frame is not None and is_installed())


def photo_endings(embedding: Embedding, align: Align) -> tuple[str, ...]:
    """Returns how files end that can be read: where faces are found, also WebP, AVIF and HEIC files."""
    return RAW_ENDINGS if finds_faces(embedding, align) else IMAGE_ENDINGS


class Place:
    """Brings photos to the form that an embedding wants, faces to their place included."""

    def __init__(self, embedding: Embedding, align: Align):
        self.embedding = embedding
        self.n_faces: dict[int, int] = {}  # by the number of the photo, where faces were looked for
        self.refused: dict[int, str] = {}  # by the number of the photo, why it cannot be used
        self._given = align if isinstance(align, Frame) else None
        self._wanted = None if align is False else embedding.frame
        if align and self._wanted is None:
            raise ValueError(
                "It is not known where this network wants the faces (its `frame` is None): nothing says "
                "where they lay in its training photos. Give photos like those, as they are; or align those "
                "by `siamese-nn align`, and train anew"
            )
        self._doubtful = align is None and self._wanted is not None and not is_installed()
        if self._doubtful:
            logger.warning(
                "photos are compared as they are, which is right only for aligned photos. This finds the "
                "faces: pip install 'siamese_nn[faces]'"
            )
            self._given = self._wanted

    def pixels(self, photo: Photo, i: int) -> np.ndarray | None:
        """Returns what the network sees of a photo; `None` where that is nothing, and `refused` says why."""
        if not isinstance(photo, Photo):
            raise TypeError(
                "A photo must be a path, bytes, an array or a Pillow image. Received, as photo "
                f"{i}: {type(photo).__name__}"
            )
        try:
            source = _as_image(photo, i) if isinstance(photo, np.ndarray) else photo
            return self._aligned(bytes(source) if isinstance(source, bytearray) else source, i)
        except faces.NoFaceError:
            self.refused[i] = f"{_named(photo, i)}: no face was found"
        except ImageError as error:
            reason, name = str(error).removeprefix("the photo: "), _named(photo, i)
            self.refused[i] = reason if name in reason else f"{name}: {reason}"
        return None

    def _aligned(self, source: str | os.PathLike | bytes | Image.Image, i: int) -> np.ndarray:
        wanted, given = self._wanted, self._given
        if wanted is None or (given == wanted and not self._doubtful):
            return self._load(source)
        raw = open_raw_photo(source)
        if given is not None:
            if raw.size[::-1] != given.size:
                name = source if isinstance(source, (str, os.PathLike)) else "the photo"
                raise ImageError(
                    f"{name}: an aligned photo must be of {given.size} pixels (height, width). Received: "
                    f"{raw.height} x {raw.width}. Install siamese_nn[faces], which finds faces, or give "
                    "photos that `siamese-nn align` made"
                )
            if given == wanted:
                return self._load_or(source, raw)
            factor, shift, _ = similarity(np.array(given.points), np.array(wanted.points))
            return self._load(warp(raw, factor, shift, wanted.size))
        found = faces.find(raw)
        self.n_faces[i] = len(found)
        face = faces.choose(found, raw, "middle")
        if faces.is_aligned(raw, face, frame=wanted):
            return self._load_or(source, raw)
        return self._load(faces.align(raw, face, frame=wanted))

    def _load_or(self, source: str | os.PathLike | bytes | Image.Image, raw: Image.Image) -> np.ndarray:
        try:
            return self._load(source)
        except ImageError:  # of a format or depth that only `open_raw_photo` reads
            return self._load(raw)

    def _load(self, source: str | os.PathLike | bytes | Image.Image) -> np.ndarray:
        embedding = self.embedding
        return load_image(
            source,
            image_size=embedding.image_size,
            crop=embedding.crop,
            channels=embedding.channels,
            photo_size=embedding.photo_size,
        )

    def tell(self, photos: Sequence[Photo]) -> None:
        """Names the photos that can't be used in an error, and those with several faces in the log."""
        reasons = dict(sorted(self.refused.items()))
        without = [_named(photos[i], i) for i in reasons if self.n_faces.get(i) == 0]
        others = [reason for i, reason in reasons.items() if self.n_faces.get(i) != 0]
        if without:
            others.append(
                f"{some(without)}: no face was found. Give photos with a larger or clearer face; or, if all "
                "are aligned as those of the training, `align=False` (`--no-align`)"
            )
        if reasons:
            kind = PhotosWithoutFace if len(without) == len(reasons) else UnusablePhotos
            raise kind(some(others), [photos[i] for i in reasons], list(reasons.values()))
        if several := [_named(photos[i], i) for i in sorted(self.n_faces) if self.n_faces[i] > 1]:
            logger.warning("several faces; the one nearest the middle counts: %s", some(several))


def _named(photo: Photo, i: int) -> str:
    return str(photo) if isinstance(photo, (str, os.PathLike)) else f"photo {i} of those given"


def listed(photos: Any) -> tuple[list[Photo], bool]:
    """Returns photos as a list, and whether they were several."""
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
