"""Probabilistic linear discriminant analysis: it models how people differ and how photos of one person do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MOST_PHOTOS = 20  # a person with more has the weight of 20 in the within-person covariance


@dataclass(frozen=True, eq=False)
class Plda:
    """The two-covariance model: an embedding is mean + person + photo, where the last two are Gaussian.

    Args:
        mean: the mean embedding, `(d,)`.
        directions: the directions, `(d, d)`, one per column. Along them both covariances are diagonal, and
            that of one person's photos is the identity.
        between: the variance between people along each direction, `(d,)`, at least 0, largest first.

    Reference:
        Brummer and de Villiers, "The speaker partitioning problem", Odyssey 2010.

    Example:
        >>> plda = Plda(mean=np.zeros(2), directions=np.eye(2), between=np.array([4.0, 1.0]))
        >>> alike, apart = plda.score([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [-1.0, 0.0]])
        >>> bool(alike > 0 > apart)
        True
    """

    mean: np.ndarray
    directions: np.ndarray
    between: np.ndarray

    def score(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Scores pairs of embeddings by the logarithm of p(both | one person) / p(both | two people).

        Args:
            left: `(n, d)` embeddings, prepared like those of the fit.
            right: `(n, d)` embeddings, the other photos of the pairs.

        Returns:
            `(n,)` natural logarithms, above 0 if one person is likelier, without a prior.

        Raises:
            ValueError: if a shape does not fit or a number is not finite.
        """
        left, right = _checked(left, "left"), _checked(right, "right")
        if left.shape != right.shape or left.shape[1] != len(self.mean):
            raise ValueError(
                f"`left` and `right` must have one shape (n, {len(self.mean)}). "
                f"Received: shapes {left.shape} and {right.shape}"
            )
        left, right = ((side - self.mean) @ self.directions for side in (left, right))
        between = self.between
        products = (left * right) @ (between / (1 + 2 * between))
        squares = (left**2 + right**2) @ (between**2 / ((1 + between) * (1 + 2 * between)))
        return products - squares / 2 + (np.log1p(between) - np.log1p(2 * between) / 2).sum()

    def projection(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns a linear map after which the cosine ranks pairs nearly as `score` does.

        `score` is a product of two embeddings, less a penalty of each: half the sum of `(between *
        coordinate)^2 / ((1 + between) * (1 + 2 * between))` along the directions. The map's coordinates are
        the roots of these terms, so that half the squared length is the penalty. Unit length alone would take
        away what the distance from the mean says. Therefore the last coordinate is the same for all
        embeddings, and as large as the others together are on average: the longer an embedding, the lower its
        cosines, much as by the penalty. Directions in which people do not differ are left out.

        Returns:
            The bias `(k + 1,)` and the matrix `(d, k + 1)`, with k at most d, for the cosine of `embeddings @
            matrix + bias`. `[matrix, bias]` are the weights of a dense layer.

        Example:
            >>> plda = Plda(mean=np.array([1.0, 0.0]), directions=np.eye(2), between=np.array([1.0, 0.0]))
            >>> bias, matrix = plda.projection()
            >>> bias.round(2).tolist(), matrix.round(2).tolist()
            ([-0.41, 0.58], [[0.41, 0.0], [0.0, 0.0]])
        """
        known = self.between > 0
        between = self.between[known]
        matrix = self.directions[:, known] * between / np.sqrt((1 + between) * (1 + 2 * between))
        length = np.sqrt((between**2 / (1 + 2 * between)).sum())  # on average, if the model holds
        return np.append(-self.mean @ matrix, length), np.pad(matrix, ((0, 0), (0, 1)))


def fit_plda(embeddings: np.ndarray, identities: Sequence | np.ndarray, *, shrinkage: float = 0.3) -> Plda:
    """Fits the two-covariance model to embeddings of known people.

    The mean and the between-person covariance count each person once. The part that the photos add to the
    latter is subtracted (the moment estimate, which is unbiased until values below 0 are set to 0). The
    within-person covariance counts photos; a person with more than 20 photos has the weight of 20.

    Args:
        embeddings: `(n, d)` finite numbers, prepared like those that will be compared: usually of unit
            length.
        identities: `(n,)` names or numbers of at least two people, one of them with two photos. A person with
            one photo adds only to the between-person covariance.
        shrinkage: from 0 to 1, the share of a multiple of the identity, with the same trace, in the
            within-person covariance. The default is more than Ledoit and Wolf's estimate gives, which does
            not know that photos of a network's training people are closer together than those of new people.
            0 needs more photos than dimensions.

    Returns:
        The fitted model.

    Raises:
        ValueError: if an argument is out of range, there are too few people or photos, the within-person
            covariance is singular, or people differ no more than photos of one person do.

    Reference:
        Ioffe, "Probabilistic linear discriminant analysis", ECCV 2006.
        Searle, Casella and McCulloch, "Variance components", 1992 (the moment estimate).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> identities = np.repeat(np.arange(5000), 2)
        >>> people, photos = rng.normal(size=(5000, 3)), rng.normal(size=(10000, 3)) * [0.5, 1.0, 10.0]
        >>> plda = fit_plda(people[identities] + photos, identities, shrinkage=0)
        >>> plda.between.round(1)  # about 1 / 0.25, 1 / 1 and 1 / 100
        array([4., 1., 0.])
        >>> plda.score([[2, 0, 0], [2, 0, 0]], [[2, 0, 0], [-2, 0, 0]]).round(1)
        array([  2.1, -12.1])
    """
    embeddings = _checked(embeddings, "embeddings")
    if np.shape(identities) != (len(embeddings),):
        raise ValueError(
            f"`identities` must name the person of each of the {len(embeddings)} embeddings. "
            f"Received: shape {np.shape(identities)}"
        )
    if not 0 <= shrinkage <= 1:
        raise ValueError(f"`shrinkage` must be from 0 to 1. Received: shrinkage={shrinkage}")
    from scipy.linalg import eigh
    from sklearn.covariance import shrunk_covariance

    names, person, photos = np.unique(identities, return_inverse=True, return_counts=True)
    if len(names) < 2 or photos.max() < 2:
        raise ValueError(
            "PLDA needs two people or more, and two photos or more of one of them. "
            f"Received: {len(names)} people, with at most {photos.max()} photos"
        )
    means = np.zeros((len(names), embeddings.shape[1]))
    np.add.at(means, person, embeddings)
    means /= photos[:, None]
    mean = means.mean(axis=0)

    weights = np.minimum(photos, _MOST_PHOTOS) / photos
    residuals = (embeddings - means[person]) * np.sqrt(weights)[person, None]
    within = residuals.T @ residuals / (weights * (photos - 1)).sum()
    between = (means - mean).T @ (means - mean) / (len(names) - 1) - within * (1 / photos).mean()

    within = shrunk_covariance(within, shrinkage)
    smallest, largest = np.linalg.eigvalsh(within)[[0, -1]]
    rounding = len(within) * np.finfo(np.float64).eps
    if smallest <= rounding * largest or largest <= rounding**2 * np.square(embeddings).mean(axis=0).sum():
        raise ValueError(
            "The photos of one person must differ in every direction, or in some if `shrinkage` is above 0; "
            "copies of a photo don't. Received: "
            f"{len(embeddings) - len(names)} photos beyond each person's first, "
            f"{len(within)} dimensions, shrinkage={shrinkage}"
        )
    variances, directions = eigh(between, within)
    variances[variances <= rounding * np.abs(variances).max()] = 0
    if not variances[-1]:
        raise ValueError(
            "People must differ by more than photos of one person do. Received embeddings where they don't"
        )
    return Plda(mean, directions[:, ::-1], variances[::-1])


def _checked(embeddings: np.ndarray, name: str) -> np.ndarray:
    embeddings = np.asarray(embeddings, np.float64)
    if embeddings.ndim != 2 or not embeddings.size or not np.isfinite(embeddings).all():
        raise ValueError(
            f"`{name}` must be (n, d), not empty, and finite. Received: shape {embeddings.shape}, "
            f"{(~np.isfinite(embeddings)).sum()} numbers not finite"
        )
    return embeddings
