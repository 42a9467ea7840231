"""What a recipe's teacher says of each training photo, for its pupil to learn."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from ..datasets import DecodedPhotos
from ..evaluation import embed, fit_plda
from ..evaluation.vectors import unit_length
from ..files import replacing
from ..recipes.recipe import Recipe
from ..runs.folder import FINISHED, MODEL, STATE, TARGETS, TEACHER
from ..verification.safe_loading import load_model_safely
from .callbacks import completed_epochs, read_arrays


def targets(
    run_dir: Path, recipe: Recipe, photos: Mapping[str, Sequence[str]], decoded: DecodedPhotos
) -> np.ndarray:
    """Returns the vectors that a recipe is to learn; makes them once, and keeps them in the run's folder.

    On another machine the directions that are found may have other signs, and a training that goes on there
    must learn what it has begun with.

    Args:
        run_dir: the folder of the run, with its finished teacher.
        recipe: its recipe.
        photos: the photos to learn from, person by person.
        decoded: the same photos, among others, as the teacher wants them decoded.

    Returns:
        `(n, embedding_size)`, float32, a row for each photo in the order of `photos`.

    Raises:
        ValueError: if the kept ones are damaged, lost or of another teacher, or PLDA can't be fitted to the
            teacher's embeddings.
    """
    path = run_dir / TARGETS
    begin_anew = f"Remove {path} and {run_dir / STATE}, and the same call begins anew"
    paths = [path for own in photos.values() for path in own]
    size = recipe.embedding_size or recipe.build_backbone().output_shape[-1]
    teacher = run_dir / TEACHER / MODEL  # nothing writes it anew, as it does what is made of it
    digest = sha256(teacher.read_bytes()).hexdigest()
    if not path.exists():
        if completed_epochs(run_dir):
            raise ValueError(
                f"{path} is missing, and the training has begun to learn what it held. {begin_anew}"
            )
        finished = recipe.teacher is not None and recipe.teacher.finishes
        model = load_model_safely(teacher.with_name(FINISHED) if finished else teacher)
        identities = np.repeat(np.arange(len(photos)), [len(own) for own in photos.values()])
        vectors = targets_of(embed(model, decoded.of(paths)), identities, size)
        with replacing(path) as partial:
            np.savez(partial, targets=vectors, teacher=digest)
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged. {begin_anew}") from error
    found = arrays.get("targets")
    if found is None or (found.shape, found.dtype) != ((len(paths), size), np.float32):
        raise ValueError(f"{path} must hold a vector for each photo. {begin_anew}")
    if str(arrays.get("teacher")) != digest:
        raise ValueError(f"{path} is of another teacher than {teacher}. {begin_anew}")
    return found


def targets_of(embeddings: np.ndarray, identities: np.ndarray, size: int) -> np.ndarray:
    """Makes of a teacher's embeddings the fewer numbers in which people differ most.

    They are the coordinates z along the directions of a PLDA of its own, times sqrt(b / (1 + b)), where b is
    the variance between people and 1 that between photos of one person. So what tells people apart weighs
    most, and what tells nothing is 0.

    Args:
        embeddings: the teacher's, `(n, d)`, which it compares by cosine.
        identities: who is on each photo, `(n,)`.
        size: how many numbers to return; what exceeds d is 0.

    Returns:
        `(n, size)`, float32, of unit length.

    Reference:
        Hinton et al., "Distilling the Knowledge in a Neural Network", 2015.
    """
    embeddings = unit_length(embeddings)
    plda = fit_plda(embeddings, identities)
    between = plda.between[:size]
    found = (embeddings - plda.mean) @ plda.directions[:, :size] * np.sqrt(between / (1 + between))
    return np.pad(unit_length(found), ((0, 0), (0, size - len(between)))).astype(np.float32)
