"""A network in an ONNX file, computed by ONNX Runtime."""

import os
from pathlib import Path
from typing import Any

import numpy as np

_CHANNELS = (1, 3)


class OnnxNetwork:
    """A network from images to vectors.

    Args:
        path: the file.
        image_size: height and width, where the file leaves them open.
        output: which output is the vector, by name or number; as text, too, where no output is called so.

    Attributes: `image_size`; `channels`; `batch_size`, that of the file, or `None` where it takes any;
        `output`, the output's name.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if ONNX Runtime is not installed.
        ValueError: if it is no network from one batch of images to vectors, or lacks the output.
    """

    def __init__(self, path: str | os.PathLike, image_size: tuple[int, int] | None, output: str | int):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} must be an ONNX file. Received: no file of that name")
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError("ONNX files need the extra `onnx`: pip install 'siamese_nn[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors: the file's maker may know what it could do better
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own classes, of many kinds
            line = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise ValueError(f"{path} is damaged or no ONNX file ({line}). Fetch it again") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or inputs[0].type not in ("tensor(float)", "tensor(float16)"):
            raise ValueError(
                f"{path} must take one batch of images, of floats. Received: "
                + ", ".join(f"{own.name} {own.shape} {own.type}" for own in inputs)
            )
        self._input, self._type = inputs[0].name, np.float16 if "16" in inputs[0].type else np.float32
        self._channels_first = shape[1] in _CHANNELS and shape[3] not in _CHANNELS
        batch, *sides = shape
        channels = sides.pop(0) if self._channels_first else sides.pop()
        if channels not in _CHANNELS:
            raise ValueError(f"{path} must take 1 or 3 channels. Received: an input of shape {shape}")
        fixed: Any = tuple(sides) if all(isinstance(side, int) for side in sides) else None
        if image_size is None and fixed is None:
            raise ValueError(f"`image_size` must be given: {path} leaves it open. Received: None")
        if None not in (fixed, image_size) and fixed != image_size:
            raise ValueError(f"`image_size` must be {fixed}, as {path} says. Received: {image_size}")
        self.image_size: tuple[int, int] = fixed or image_size  # type: ignore[assignment]
        self.channels = channels
        self.batch_size = batch if isinstance(batch, int) else None
        names = [own.name for own in outputs]
        if isinstance(output, str) and output not in names and output.isdecimal():  # of a command line
            output = int(output)
        known = output in names or (type(output) is int and 0 <= output < len(names))
        if not known:
            raise ValueError(f"`output` must be one of {names}, or its number. Received: output={output!r}")
        self.output = output if isinstance(output, str) else names[output]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the vectors, `(n, d)`, of images, scaled as it wants them."""
        images = np.moveaxis(images, -1, 1) if self._channels_first else images
        images = np.ascontiguousarray(images, self._type)
        step = self.batch_size or max(1, len(images))
        missing = -len(images) % step  # the last batch is filled up with copies
        images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        batches = (images[i : i + step] for i in range(0, len(images), step))
        vectors = np.concatenate(
            [self._session.run([self.output], {self._input: batch})[0] for batch in batches]
        )
        return vectors[: len(vectors) - missing].reshape(len(vectors) - missing, -1)
