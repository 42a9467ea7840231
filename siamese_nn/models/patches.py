"""Patches of a photo side by side, so that a network may begin at them, and each may change on its own."""

import math
from collections.abc import Sequence

import tensorflow as tf

Place = tuple[int, int, int, int, int]
"""A patch's first and last row and column in the photo, and how many pixels are pooled into one."""


@tf.keras.utils.register_keras_serializable(package="siamese_nn")
class PhotoPatches(tf.keras.layers.Layer):
    """Cuts the patches out of photos, all of a photo as one vector; of such vectors, it returns the patches.

    A network that begins with it takes vectors. With another of it before, which `over_photos` adds, the
    network takes photos. Between the two, training changes each patch in its own way.

    Args:
        image_shape: height, width and channels of the photos.
        places: for each patch its first and last row and column, and how many pixels are pooled into one.
        **kwargs: `name` and `dtype` of a Keras layer. Under a mixed policy give `dtype="float32"`, so that
            the pixels stay as they are.

    Call arguments:
        inputs: photos, float `(batch, height, width, channels)`; or their patches, float `(batch, values)`.

    Returns:
        Of photos their patches, `(batch, values)`; of these a list of `(batch, rows, columns, channels)`.

    Raises:
        ValueError: if a patch is not within the photos, or the inputs are neither such photos nor such
            patches.

    Example:
        >>> layer = PhotoPatches((6, 6, 1), [(0, 6, 0, 6, 3), (0, 2, 0, 3, 1)])
        >>> vectors = layer(tf.ones((5, 6, 6, 1)))
        >>> vectors.shape, [patch.shape for patch in layer(vectors)]
        (TensorShape([5, 10]), [TensorShape([5, 2, 2, 1]), TensorShape([5, 2, 3, 1])])
    """

    def __init__(self, image_shape: Sequence[int], places: Sequence[Place], **kwargs):
        super().__init__(**kwargs)
        self.image_shape = tuple(image_shape)
        self.places: tuple[Place, ...] = tuple(
            (top, bottom, left, right, pool) for top, bottom, left, right, pool in places
        )
        height, width, channels = self.image_shape
        for top, bottom, left, right, pool in self.places:
            inside = 0 <= top < bottom <= height and 0 <= left < right <= width
            if not (inside and 1 <= pool <= min(bottom - top, right - left)):
                raise ValueError(
                    "`places` must be (top, bottom, left, right, pool) within the photos, with pixels to "
                    f"pool. Received: {(top, bottom, left, right, pool)} in photos of {height} x {width}"
                )
        self.shapes = [
            ((bottom - top) // pool, (right - left) // pool, channels)
            for top, bottom, left, right, pool in self.places
        ]
        self.sizes = [math.prod(shape) for shape in self.shapes]

    def call(self, inputs: tf.Tensor) -> tf.Tensor | list[tf.Tensor]:
        of_photo = (sum(self.sizes),)
        if tuple(inputs.shape[1:]) not in (of_photo, self.image_shape):
            raise ValueError(
                f"`inputs` must be photos, (batch, *{self.image_shape}), or patches, (batch, *{of_photo}). "
                f"Received: shape {tuple(inputs.shape)}"
            )
        if len(inputs.shape) == 2:
            parts = tf.split(inputs, self.sizes, axis=1)
            return [tf.reshape(part, (-1, *shape)) for part, shape in zip(parts, self.shapes, strict=True)]
        return self.pooled([inputs[:, top:bottom, left:right] for top, bottom, left, right, _ in self.places])

    def pooled(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns the vectors of patches that have the photo's resolution, however these were cut."""
        small = [
            tf.nn.avg_pool2d(part, place[-1], place[-1], "VALID")
            for part, place in zip(parts, self.places, strict=True)
        ]
        return tf.concat(
            [tf.reshape(part, (-1, size)) for part, size in zip(small, self.sizes, strict=True)], axis=1
        )

    def get_config(self) -> dict:
        return {**super().get_config(), "image_shape": self.image_shape, "places": [*map(list, self.places)]}


def over_photos(network: tf.keras.Model, patches: PhotoPatches) -> tf.keras.Model:
    """Returns a network that begins at `patches` as one that takes photos; the weights are shared."""
    image = tf.keras.Input(patches.image_shape, name="image")
    vectors = PhotoPatches(patches.image_shape, patches.places, dtype="float32", name="patches")(image)
    network = tf.keras.Model(network.inputs, network.outputs[0], name="networks")
    return tf.keras.Model(image, network(vectors), name="over_photos")


def from_patches(network: tf.keras.Model) -> tf.keras.Model:
    """Returns the part of a network that `over_photos` has put over photos; of other networks all."""
    begins = len(network.layers) == 3 and isinstance(network.layers[1], PhotoPatches)
    return network.layers[2] if begins else network


def patches_at_start(network: tf.keras.Model) -> PhotoPatches | None:
    """Returns the layer at which a network begins that takes patches; `None` of one that takes photos."""
    if len(network.inputs) != 1 or len(network.input_shape) != 2:
        return None
    for layer in network.layers:
        found = patches_at_start(layer) if isinstance(layer, tf.keras.Model) else layer
        if isinstance(found, PhotoPatches):
            return found
    return None
