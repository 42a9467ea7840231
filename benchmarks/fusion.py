"""What each source of `face-fusion` is worth, and each way to compare, on validation people alone.

The sources are the networks of a finished run and its textures. Each has the PLDA that its training gave it,
fitted anew to the same photos. The figure is the EER over all pairs of at most 6 photos of each validation
person. The test pairs stay closed.

    siamese-nn train --data data/lfw-a --recipe face-fusion --run-dir runs/face-fusion
    python benchmarks/fusion.py runs/face-fusion --data data/lfw-a
"""

from itertools import accumulate
from pathlib import Path

import common
import numpy as np
import tensorflow as tf
from prettytable import PrettyTable, TableStyle

from siamese_nn import datasets, evaluation, models, training
from siamese_nn.evaluation.vectors import unit_length
from siamese_nn.runs.folder import read_claim

NETWORKS = tuple(models.FACE_PATCHES)
CHUNK = 20_000  # pairs


def joined(plda: dict, vectors: dict, sources: tuple[str, ...], constant: bool) -> np.ndarray:
    """Embeddings of unit length: the sources' projections, with or without PLDA's constant coordinates."""
    parts = []
    for source in sources:
        bias, matrix = plda[source].projection()
        part = vectors[source] @ matrix + bias
        parts.append(part if constant else part[:, :-1])
    return unit_length(np.concatenate(parts, axis=1))


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("run", type=Path, help="finished run of `face-fusion`")
    options = parser.parse_args()
    recipe = training.Recipe(**read_claim(options.run)["recipe"])
    pairs, test = datasets.load_lfw_a(options.data)
    _, val = recipe.split_pairs(pairs, exclude=test)
    learnt = datasets.training_photos(options.data / "train", pairs, val)
    finished = tf.keras.models.load_model(options.run / "finished.keras")
    inner = finished.get_layer("side_by_side")
    widths = [source.output_shape[-1] for source in inner.layers if isinstance(source, tf.keras.Model)]
    sizes = [widths[0] // len(NETWORKS)] * len(NETWORKS) + widths[1:]
    names = (*NETWORKS, *recipe.textures)

    def vectors(paths: list[str]) -> dict[str, np.ndarray]:
        photos = datasets.load_images(
            paths, image_size=recipe.image_size, crop=recipe.crop, channels=recipe.channels
        )
        parts = np.split(unit_length(evaluation.embed(inner, photos)), list(accumulate(sizes))[:-1], axis=1)
        return dict(zip(names, parts, strict=True))

    own = vectors([path for photos in learnt.values() for path in photos])
    people = np.repeat(np.arange(len(learnt)), [len(photos) for photos in learnt.values()])
    plda = {name: evaluation.fit_plda(own[name], people) for name in names}

    paths, people = common.at_most_six(val, options.data / "train")
    held_out = vectors(paths)
    left, right = np.triu_indices(len(paths), 1)
    same = people[left] == people[right]
    chunks = range(0, len(same), CHUNK)  # all pairs' embeddings at once take 16 GB
    ratios = {
        name: np.concatenate(
            [
                plda[name].score(*(held_out[name][side[i : i + CHUNK]] for side in (left, right)))
                for i in chunks
            ]
        )
        for name in names
    }
    table = PrettyTable(["sources", "cosine, no constant", "cosine", "log-likelihood ratio"], align="r")
    table.align["sources"] = "l"
    for sources in [*((name,) for name in names), NETWORKS, recipe.textures, names]:
        row = []
        for constant in (False, True):
            embeddings = joined(plda, held_out, sources, constant)
            row.append((embeddings @ embeddings.T)[left, right])
        row.append(sum(ratios[source] for source in sources))
        table.add_row(
            [" + ".join(sources), *(f"{evaluation.equal_error_rate(each, same):.1%}" for each in row)]
        )
    table.set_style(TableStyle.MARKDOWN)
    print(f"EER over {len(same):,} pairs of {len(val.identities())} validation people, of {options.run}.")
    print(table)


if __name__ == "__main__":
    main()
