"""Photos that are decoded once and shared by everything that uses them."""

import os
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from .images import decode_photos
from .photo_format import PhotoFormat

if TYPE_CHECKING:
    import tensorflow as tf

MEMORY_LIMIT = 4 * 2**30  # bytes

Paths = Sequence[str | os.PathLike] | np.ndarray


class DecodedPhotos:
    """Photos as an array of images, decoded when first used, kept as uint8, and shared by all selections.

    Use it like an array of images: `photos[:8]` are the first eight. `photos.of(paths)` selects some, which
    share the same memory. If all images would take more than `memory_limit`, none are kept, and each use
    decodes the photos again; then `of` keeps a selection that is small enough.

    Args:
        paths: the `n` photos. One that is given twice is decoded once.
        photo_format: the size, crop and channels of the images.
        photo_size: height and width of the photos that the format's crop was chosen for; see `load_image`.
        margin: additional pixels around the crop, on each side; see `PhotoFormat.with_margin`.
        cache_dir: the folder of cached images; see `load_images`.
        memory_limit: bytes that the images may take. Defaults to 4 GiB.

    Raises:
        ImageError: when the photos are decoded, if one is missing or broken. The message names it.

    Example:
        >>> from siamese_nn import datasets
        >>> pairs = datasets.read_pairs("faces/pairsDevTest.txt", "faces/lfw2")
        >>> photos = DecodedPhotos(pairs.distinct_images()[0], PhotoFormat((64, 64)))
        >>> photos[:8].shape, len(photos.of(pairs.left)) == len(pairs)
        ((8, 64, 64, 1), True)
    """

    def __init__(
        self,
        paths: Paths,
        photo_format: PhotoFormat,
        *,
        photo_size: tuple[int, int] | None = None,
        margin: int = 0,
        cache_dir: str | os.PathLike | None = None,
        memory_limit: int = MEMORY_LIMIT,
    ):
        self.paths = _names(paths)
        self.photo_format, self.margin, self.memory_limit = photo_format, margin, memory_limit
        self._options: dict[str, Any] = {"photo_size": photo_size, "cache_dir": cache_dir}
        rows = {path: row for row, path in enumerate(dict.fromkeys(self.paths))}
        table = _Table(rows, photo_format, margin, self._options)
        self.size = table.size  # bytes
        self._table: _Table | None = table if table.size <= memory_limit else None
        self._find_rows()

    def _find_rows(self) -> None:
        if self._table is not None:
            unknown = [path for path in self.paths.tolist() if path not in self._table.rows]
            if unknown:
                raise ValueError(
                    f"A selection must be among the photos. Received one that is not: {unknown[0]}"
                )
            self.rows = np.array([self._table.rows[path] for path in self.paths.tolist()], np.int64)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of each image, its margin included."""
        height, width, channels = self.photo_format.shape
        return height + 2 * self.margin, width + 2 * self.margin, channels

    @property
    def kept(self) -> bool:
        """Whether the images are kept in memory."""
        return self._table is not None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        """Returns some images, uint8 `(m, height, width, channels)`."""
        if self._table is not None:
            cut = self._table.margin - self.margin
            return self._table.images[self.rows[which], cut : -cut or None, cut : -cut or None]
        # A batch in random order won't be asked for again.
        own: dict[str, Any] = {} if isinstance(which, slice) else {"cache_dir": ""}
        wide = self.photo_format.with_margin(self.margin)
        return decode_photos(self.paths[which].tolist(), wide, progress=False, **(self._options | own))

    def of(self, paths: Paths) -> "DecodedPhotos":
        """Returns some of the photos, in this order.

        Args:
            paths: `m` of the photos.

        Raises:
            ValueError: if one is not among them. The message names it.
        """
        if self._table is None:
            options = self._options | {"margin": self.margin, "memory_limit": self.memory_limit}
            return DecodedPhotos(paths, self.photo_format, **options)
        selection = copy(self)
        selection.paths = _names(paths)
        selection._find_rows()
        return selection

    def with_margin(self, margin: int) -> "DecodedPhotos":
        """Returns these photos with another margin, from the same memory where the pixels are the same."""
        if margin == self.margin:
            return self
        table = self._table
        wider = 0 if table is None else table.margin
        if wider == margin or (wider > margin and self.photo_format.is_middle_with(wider - margin)):
            selection = copy(self)
            selection.margin = margin
            return selection
        options = self._options | {"memory_limit": self.memory_limit}
        return DecodedPhotos(self.paths, self.photo_format, **options, margin=margin)

    def tensor(self) -> tuple["tf.Tensor", np.ndarray, int]:
        """Returns the images as a tensor in the same memory.

        Returns:
            The kept images of all photos, a uint8 tensor on the CPU; the row of each photo of this selection,
            int64 `(n,)`; and how many pixels to cut off on each side.

        Raises:
            ValueError: if they are not kept.
        """
        if self._table is None:
            raise ValueError(
                f"The images take more than `memory_limit` and are not kept. Received: {len(self)} photos"
            )
        return self._table.tensor(), self.rows, self._table.margin - self.margin


def _names(paths: Paths) -> np.ndarray:
    # As objects they are those that were given, and the longest does not set what all of them take.
    return np.array([str(path) for path in paths], object)


class _Table:
    """The images themselves, which all selections share."""

    def __init__(self, rows: dict[str, int], photo_format: PhotoFormat, margin: int, options: dict):
        self.rows, self.margin, self._options = rows, margin, options
        self._format = photo_format.with_margin(margin)
        self.size = len(rows) * int(np.prod(self._format.shape))
        self._images: np.ndarray | None = None
        self._tensor: Any = None

    @property
    def images(self) -> np.ndarray:
        if self._images is None:
            self._images = decode_photos(list(self.rows), self._format, **self._options)
        return self._images

    def tensor(self) -> "tf.Tensor":
        import tensorflow as tf

        if self._tensor is None:
            with tf.device("CPU"):  # on a GPU they would take the model's memory
                self._tensor = tf.constant(self.images)  # a copy
            self._images = np.asarray(self._tensor)  # no copy: NumPy uses TensorFlow's memory
        return self._tensor
