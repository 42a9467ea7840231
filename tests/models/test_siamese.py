import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import models

SHAPE = (16, 16, 1)


def small_backbone() -> tf.keras.Model:
    image = tf.keras.Input(SHAPE)
    features = tf.keras.layers.Conv2D(4, 5, strides=2, activation="relu")(image)
    features = tf.keras.layers.Dense(8, activation="sigmoid")(tf.keras.layers.Flatten()(features))
    return tf.keras.Model(image, features)


def some_batch(n: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    left, right = rng.random((2, n, *SHAPE), np.float32)
    return left, right, (np.arange(n) % 2).astype(np.float32)[:, None]


def test_output_is_the_papers_equation():
    model = models.l1_sigmoid(small_backbone())
    left, right, _ = some_batch()
    a, b = (models.embedding_model(model).predict(images, verbose=0) for images in (left, right))
    weights, bias = (w.numpy() for w in models.comparison_model(model).weights)
    expected = 1 / (1 + np.exp(-(np.abs(a - b) @ weights + bias)))
    np.testing.assert_allclose(model.predict((left, right), verbose=0), expected, rtol=1e-5)


def test_symmetric_and_shares_the_backbones_weights():
    backbone = small_backbone()
    model = models.l1_sigmoid(backbone)
    left, right, _ = some_batch()
    swapped = model.predict((right, left), verbose=0)
    np.testing.assert_allclose(model.predict((left, right), verbose=0), swapped, rtol=1e-6)
    backbone.set_weights([np.zeros_like(w) for w in backbone.get_weights()])
    assert np.ptp(model.predict((left, right), verbose=0)) == 0


def test_saved_in_one_process_scores_the_same_in_another(tmp_path):
    model = models.l1_sigmoid(small_backbone())
    left, right, _ = some_batch()
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "batch.npz", left=left, right=right)
    script = (
        "import sys, numpy as np, tensorflow as tf, siamese_nn.models as models\n"
        "model = tf.keras.models.load_model(sys.argv[1] + '/model.keras', safe_mode=True)\n"
        "batch = np.load(sys.argv[1] + '/batch.npz')\n"
        "assert models.embedding_model(model).output_shape == (None, 8)\n"
        "np.save(sys.argv[1] + '/scores.npy', model.predict((batch['left'], batch['right']), verbose=0))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert np.array_equal(np.load(tmp_path / "scores.npy"), model.predict((left, right), verbose=0))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("jit", [False, True])
def test_trains_under_any_policy_and_compiled(policy, jit):
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = models.l1_sigmoid(small_backbone())
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    model.compile("adam", "binary_crossentropy", jit_compile=jit)
    left, right, same = some_batch()
    before = model.get_weights()
    loss = model.fit((left, right), same, verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    assert model.predict((left, right), verbose=0).dtype == np.float32
    assert all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_trains_on_two_devices_from_our_dataset(tmp_path, toy_dir):
    """Two logical CPUs must be made before TensorFlow starts, hence a process of its own."""
    script = (
        "import sys, numpy as np, tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "from siamese_nn import datasets, models\n"
        "pairs = datasets.read_pairs(sys.argv[1] + '/pairsDevTest.txt', sys.argv[1] + '/lfw2')\n"
        "data = datasets.pair_dataset(pairs, image_size=(80, 80), batch_size=8)\n"
        "def train(strategy):\n"
        "    tf.keras.utils.set_random_seed(0)\n"
        "    with strategy.scope():\n"
        "        model = models.l1_sigmoid(models.report_cnn((80, 80, 1), filters=2, units=8))\n"
        "        model.compile(tf.keras.optimizers.SGD(0.01), 'binary_crossentropy')\n"
        "    data = datasets.pair_dataset(pairs, image_size=(80, 80), batch_size=8, initial_epoch=0)\n"
        "    model.fit(data, epochs=2, steps_per_epoch=3, shuffle=False, verbose=0)\n"
        "    return strategy.num_replicas_in_sync, np.concatenate([w.ravel() for w in model.get_weights()])\n"
        "two, mirrored = train(tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']))\n"
        "one, single = train(tf.distribute.get_strategy())\n"
        "assert (one, two) == (1, 2)\n"
        "np.testing.assert_allclose(mirrored, single, atol=2e-4)\n"
        "for (left, right), same in tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])"
        ".experimental_distribute_dataset(data):\n"
        "    assert len(left.values) == 2\n"
    )
    subprocess.run([sys.executable, "-c", script, str(toy_dir)], check=True)


def test_foreign_models_are_refused():
    with pytest.raises(ValueError, match="must be a Siamese model"):
        models.embedding_model(small_backbone())
    image = tf.keras.Input(SHAPE)
    with pytest.raises(ValueError, match="one feature vector"):
        models.l1_sigmoid(tf.keras.Model(image, tf.keras.layers.Conv2D(4, 5)(image)))


def test_l1_distance_keeps_its_config():
    layer = models.L1Distance(name="d")
    assert models.L1Distance.from_config(layer.get_config()).name == "d"
    np.testing.assert_array_equal(layer([np.array([[1.0, 5.0]]), np.array([[4.0, 3.0]])]), [[3.0, 2.0]])
