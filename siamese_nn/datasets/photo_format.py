"""How photos are decoded: size, crop and channels, checked once, in one place."""

from dataclasses import dataclass

import numpy as np

MODES = {1: "L", 3: "RGB"}  # Pillow's names, by the number of channels


class ImageError(ValueError):
    """A photo that cannot be used. The message names the file and the fault.

    Example:
        >>> from siamese_nn import datasets
        >>> datasets.load_image("Ada.jpg")
        Traceback (most recent call last):
        siamese_nn.datasets...ImageError: Ada.jpg: no such image
    """


@dataclass(frozen=True)
class PhotoFormat:
    """How photos are decoded. The datasets and `load_images` make one from their arguments.

    Args:
        size: height and width of the images, in pixels: the `image_size` of other functions.
        crop: height and width of the middle part of the photos to use, in pixels; `None` uses all of it.
        channels: 1 for grey, 3 for RGB.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> PhotoFormat((64, 56), crop=(128, 112)).with_margin(4)
        PhotoFormat(size=(72, 64), crop=(144, 128), channels=1)
    """

    size: tuple[int, int] = (125, 125)
    crop: tuple[int, int] | None = None
    channels: int = 1

    def __post_init__(self):
        object.__setattr__(self, "size", checked_size("image_size", self.size))
        if self.crop is not None:
            object.__setattr__(self, "crop", checked_size("crop", self.crop))
        if not isinstance(self.channels, (int, np.integer)) or self.channels not in MODES:
            raise ValueError(f"`channels` must be 1 (grey) or 3 (RGB). Received: channels={self.channels!r}")
        object.__setattr__(self, "channels", int(self.channels))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return (*self.size, self.channels)

    def with_margin(self, margin: int) -> "PhotoFormat":
        """Returns the format of images that show more of the photo around the crop, at the same scale.

        Args:
            margin: pixels of the image to add on each side, at least 0. The crop grows by the same part of
                the photo, rounded to whole pixels.

        Raises:
            ValueError: if there is no crop: there is nothing around a whole photo.
        """
        if not margin:
            return self
        if self.crop is None:
            raise ValueError(f"A margin needs a `crop`. Received: {margin=}, crop=None")
        (height, width), (down, across) = self.size, self.crop
        size = height + 2 * margin, width + 2 * margin
        crop = round(down * size[0] / height), round(across * size[1] / width)
        return PhotoFormat(size, crop, self.channels)

    def is_middle_with(self, margin: int) -> bool:
        """Returns whether the middle of an image with this margin equals the image without it, bit for bit.

        This holds if both are resized by the same factor, at positions that a float holds exactly, and from
        the whole photo: a JPEG may be decoded at half its size if four or more of its pixels become one.
        """
        return self.crop is not None and all(
            c < 4 * s and 4 * c % s == 0 and 2 * margin * c % s == 0
            for c, s in zip(self.crop, self.size, strict=True)
        )


def checked_size(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """Returns a height and a width as `int`; raises `ValueError` unless they are whole and positive."""
    if not (
        isinstance(size, (tuple, list))
        and len(size) == 2
        and all(isinstance(n, (int, np.integer)) and n > 0 for n in size)
    ):
        raise ValueError(
            f"`{name}` must be (height, width) in whole pixels of at least 1. Received: {name}={size!r}"
        )
    return int(size[0]), int(size[1])
