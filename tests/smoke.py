"""Run by CI on every supported Python: import, draw, train two epochs, save, load in a fresh process."""

import subprocess
import sys
import tempfile
from pathlib import Path


def load(path: str) -> None:
    import tensorflow as tf

    import siamese_nn.models

    model = tf.keras.models.load_model(path)
    print("loaded", model.name, siamese_nn.models.embedding_model(model).output_shape)


def train() -> None:
    from siamese_nn import datasets, training

    with tempfile.TemporaryDirectory() as folder:
        faces = datasets.make_toy_faces(
            Path(folder) / "toy", n_train_identities=52, train_pairs=60, test_pairs=20
        )
        pairs = datasets.read_pairs(faces / "pairsDevTrain.txt", faces / "lfw2")
        recipe = training.Recipe(image_size=(80, 80), filters=2, units=8, epochs=2)
        results = training.train(recipe, *recipe.split_pairs(pairs), Path(folder) / "run")
        print(training.results_table(results))
        subprocess.run([sys.executable, __file__, str(Path(folder) / "run/model.keras")], check=True)
    print(f"Python {sys.version.split()[0]} works")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        load(sys.argv[1])
    else:
        train()
