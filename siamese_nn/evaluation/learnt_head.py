"""The learnt comparison of a pair model, as arrays, computed with NumPy only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .comparison import Blocks
from .vectors import cosines

JOINS = ("difference", "cosine", "both")
_NUMBERS = 2**24  # of joined embeddings at a time, 64 MB


@dataclass(frozen=True, eq=False)
class LearntHead:
    """Dense layers on two joined embeddings. The score is the probability of one person.

    Args:
        join: the input of the first layer from two embeddings `(d,)`: `"difference"`, the absolute difference
            of each number, `(d,)`; `"cosine"`, their cosine, `(1,)`; or `"both"`, one after the other,
            `(2 d,)`.
        layers: the matrix `(inputs, outputs)` and the bias `(outputs,)` of each layer. All but the last end
            in ReLU. The last has 1 output with a sigmoid, or 2 with a softmax, of which the second is the
            probability.

    Raises:
        ValueError: if `join` is unknown, or the shapes do not fit each other.

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015, section 3.1.

    Example:
        >>> head = LearntHead("difference", ((np.array([[-1.0], [-1.0]]), np.array([1.0])),))
        >>> head.pairs(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])).tolist()
        [0.5]
    """

    join: str
    layers: tuple[tuple[np.ndarray, np.ndarray], ...] = field(repr=False)

    def __post_init__(self):
        shapes = [(np.shape(matrix), np.shape(bias)) for matrix, bias in self.layers]
        sizes = [matrix for matrix, _ in shapes if len(matrix) == 2]
        whole = (
            self.join in JOINS
            and len(sizes) == len(shapes) > 0
            and all(bias == matrix[1:] for matrix, bias in shapes)
            and all(one[1] == other[0] for one, other in pairwise(sizes))
            and sizes[-1][1] in (1, 2)
        )
        if not whole:
            raise ValueError(
                f"`join` must be one of {JOINS}, and each layer of `layers` take what the one before gives, "
                f"the last 1 or 2 numbers. Received: {self.join!r}, {shapes}"
            )

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays from which `of_arrays` makes it again."""
        numbered = {
            f"{name}_{i}": own
            for i, layer in enumerate(self.layers)
            for name, own in zip(("matrix", "bias"), layer, strict=True)
        }
        return {"join": np.array(self.join), **numbered}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "LearntHead":
        """Makes a head from what `arrays` returned; ignores other arrays."""
        n_layers = sum(name.startswith("matrix_") for name in arrays)
        return cls(
            str(arrays["join"]), tuple((arrays[f"matrix_{i}"], arrays[f"bias_{i}"]) for i in range(n_layers))
        )

    def prepare(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns the embeddings unchanged."""
        return np.asarray(embeddings, np.float32)

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Comparison`."""
        step = max(1, _NUMBERS // max(2 * left.shape[1], *(len(bias) for _, bias in self.layers)))
        parts = [self._scores(left[i : i + step], right[i : i + step]) for i in range(0, len(left), step)]
        return np.concatenate([*parts, np.empty(0, np.float32)])

    def blocks(self, left: np.ndarray, right: np.ndarray) -> Blocks:
        """See `Comparison`."""
        for row in range(len(left)):
            yield row, 0, self.pairs(np.broadcast_to(left[row], right.shape), right)[None]

    def _scores(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        if self.join == "difference":
            joined = np.abs(left - right)
        elif self.join == "cosine":
            joined = cosines(left, right)[:, None]
        else:
            joined = np.hstack([left, right])
        for number, (matrix, bias) in enumerate(self.layers):
            joined = (np.maximum(joined, 0) if number else joined) @ matrix + bias
        logits = joined[:, -1] - (joined[:, 0] if joined.shape[1] == 2 else 0)
        return (0.5 + 0.5 * np.tanh(logits / 2)).astype(np.float32)  # the sigmoid, without overflow
