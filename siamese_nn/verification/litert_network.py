"""A network in a LiteRT file (`.tflite`), computed by LiteRT."""

import os
import threading
from pathlib import Path

import numpy as np


class LitertNetwork:
    """A network from images to vectors.

    Args:
        path: the file.

    Attributes: `image_size`; `channels`.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if LiteRT is not installed.
        ValueError: if it is no network from one batch of images to one vector each.
    """

    def __init__(self, path: str | os.PathLike):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} must be a LiteRT file. Received: no file of that name")
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ImportError(
                "LiteRT files need the extra `litert`: pip install 'siamese_nn[litert]'"
            ) from error
        try:
            # The content: a file that is mapped could change under it.
            self._network = Interpreter(model_content=Path(path).read_bytes())
            self._network.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is damaged or no LiteRT file ({error}). Fetch it again") from error
        inputs, outputs = self._network.get_input_details(), self._network.get_output_details()
        shapes = [tuple(own["shape_signature"].tolist()) for own in (*inputs, *outputs)]
        if [len(shape) for shape in shapes] != [4, 2] or shapes[0][3] not in (1, 3) or shapes[0][0] != -1:
            raise ValueError(
                f"{path} must take batches of grey or RGB images of any length, and give one vector each. "
                f"Received: shapes {shapes}"
            )
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._batch_size = 1
        self._turn = threading.Lock()  # the photos of two threads would mix in it
        self.image_size, self.channels = shapes[0][1:3], shapes[0][3]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the vectors, `(n, d)` float32, of images, scaled as it wants them."""
        with self._turn:
            if len(images) != self._batch_size:
                self._network.resize_tensor_input(self._input, images.shape)
                self._network.allocate_tensors()
                self._batch_size = len(images)
            self._network.set_tensor(self._input, np.ascontiguousarray(images, np.float32))
            self._network.invoke()
            return self._network.get_tensor(self._output)  # a copy
