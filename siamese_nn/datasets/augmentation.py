"""Random changes to training photos that keep the person recognisable, as a function of photos and seed."""

import math
from dataclasses import dataclass, fields

import tensorflow as tf


@dataclass(frozen=True)
class Augmentation:
    """Flips, rotates, zooms, shifts, brightens and partly covers photos, each one differently.

    Pass it as `augment` to the datasets of this package. They give it a new seed for each batch, and for each
    side of a pair, so that the two photos of a pair change independently. All changes of geometry are one
    bilinear resampling. The defaults suit face crops of about 64 pixels; 0 switches a change off.

    Args:
        flip: whether half of the photos are mirrored.
        rotation: the largest angle, in degrees, uniform in both directions.
        zoom: the logarithm of the largest factor, uniform in both directions: 0.08 is 8% larger or smaller.
        aspect: the logarithm of the largest factor by which the ratio of height and width changes.
        shift: the largest shift, in pixels, uniform in all four directions.
        gamma: the logarithm of the largest exponent of the pixels, uniform in both directions.
        contrast: the largest share by which differences from a photo's mean grow or shrink.
        brightness: the largest share of the range that is added or subtracted.
        cutout: the share of photos in which a rectangle, 1/10 to 1/2 of each side, is filled with the mean.
        margin: pixels that the datasets decode around a crop, so that shifts and rotations bring in real
            pixels; the crop must leave room for them. Beyond these pixels, and around whole photos, the
            edge is mirrored.

    Raises:
        ValueError: if an argument is out of range.

    Reference:
        DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.

    Example:
        >>> augment = Augmentation(rotation=5, margin=0)
        >>> augment(tf.zeros((2, 32, 32, 1)), tf.constant([1, 2])).shape
        TensorShape([2, 32, 32, 1])
    """

    flip: bool = True
    rotation: float = 8.0
    zoom: float = 0.08
    aspect: float = 0.05
    shift: float = 4.0
    gamma: float = 0.3
    contrast: float = 0.0
    brightness: float = 0.0
    cutout: float = 0.5
    margin: int = 4

    def __post_init__(self):
        highest = {
            "rotation": 180,
            "cutout": 1,
            "contrast": 1,
            "brightness": 1,
            "zoom": 2,
            "aspect": 2,
            "gamma": 5,
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "flip":
                if not isinstance(value, bool):
                    raise ValueError(f"`flip` must be True or False. Received: flip={value!r}")
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"`{field.name}` must be a number. Received: {field.name}={value!r}")
            if not 0 <= value <= highest.get(field.name, 1000) or (
                field.name == "margin" and value != int(value)
            ):
                raise ValueError(
                    f"`{field.name}` must lie in [0, {highest.get(field.name, 1000)}]"
                    f"{', whole' if field.name == 'margin' else ''}. Received: {field.name}={value}"
                )

    def __call__(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Changes a batch of photos.

        Args:
            images: float `(batch, height + 2 * margin, width + 2 * margin, channels)`, in [0, 1].
            seed: whole numbers `(2,)`.

        Returns:
            Photos of `(batch, height, width, channels)`, in [0, 1].
        """
        height, width = (side - 2 * self.margin for side in images.shape[1:3])
        n = tf.shape(images)[0]

        def uniform(number: int, low: float, high: float) -> tf.Tensor:
            own = tf.random.experimental.stateless_fold_in(seed, number)
            return tf.random.stateless_uniform([n], own, low, high)

        images = self._move(images, (height, width), uniform)
        each = (-1, 1, 1, 1)
        if self.gamma:
            exponent = tf.exp(uniform(6, -self.gamma, self.gamma))
            images = tf.pow(tf.maximum(images, 1e-6), tf.reshape(exponent, each))
        mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
        if self.contrast:
            factor = uniform(7, 1 - self.contrast, 1 + self.contrast)
            images = mean + (images - mean) * tf.reshape(factor, each)
        if self.brightness:
            images += tf.reshape(uniform(8, -self.brightness, self.brightness), each)
        if self.cutout:
            images = tf.where(self._covered((height, width), uniform), mean, images)
        return tf.clip_by_value(images, 0.0, 1.0)

    def _move(self, images: tf.Tensor, size: tuple[int, int], uniform) -> tf.Tensor:
        """Resamples once, by a map from places in the result, relative to its middle, to the photo."""
        angle = uniform(0, -math.radians(self.rotation), math.radians(self.rotation))
        scale = uniform(1, -self.zoom, self.zoom)
        apart = uniform(2, -self.aspect, self.aspect) / 2
        across, down = tf.exp(-scale - apart), tf.exp(-scale + apart)
        if self.flip:
            across *= tf.where(uniform(3, 0.0, 1.0) < 0.5, -1.0, 1.0)
        cosine, sine = tf.cos(angle), tf.sin(angle)
        matrix = [cosine * across, -sine * down, sine * across, cosine * down]
        middle_x, middle_y = (size[1] - 1) / 2, (size[0] - 1) / 2
        to_x = (images.shape[2] - 1) / 2 + uniform(4, -self.shift, self.shift)
        to_y = (images.shape[1] - 1) / 2 + uniform(5, -self.shift, self.shift)
        to_x -= matrix[0] * middle_x + matrix[1] * middle_y
        to_y -= matrix[2] * middle_x + matrix[3] * middle_y
        none = tf.zeros_like(angle)
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([matrix[0], matrix[1], to_x, matrix[2], matrix[3], to_y, none, none], axis=1),
            output_shape=size,
            interpolation="BILINEAR",
            fill_mode="REFLECT",
            fill_value=0.0,
        )

    def _covered(self, size: tuple[int, int], uniform) -> tf.Tensor:
        """Returns where photos are covered, bool `(batch, height, width, 1)`."""
        sides = []
        for i, side in enumerate(size):
            length = uniform(9 + 2 * i, side / 10, side / 2)
            start = uniform(10 + 2 * i, 0.0, 1.0) * (side - length)
            place = tf.range(side, dtype=tf.float32)
            sides.append((place >= start[:, None]) & (place < (start + length)[:, None]))
        chosen = uniform(13, 0.0, 1.0) < self.cutout
        return (sides[0][:, :, None] & sides[1][:, None, :] & chosen[:, None, None])[..., None]
