import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import losses, models
from siamese_nn.models.face import FACE_PATCHES, face_cnn, face_patches
from stacks import KERAS_3


@pytest.fixture
def restored_policy():
    before = tf.keras.mixed_precision.global_policy()
    yield
    tf.keras.mixed_precision.set_global_policy(before)


def test_face_cnn_is_the_recipes():
    model = face_cnn()
    assert model.input_shape == (None, 64, 56, 1) and model.output_shape == (None, 128)
    convolutions = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.Conv2D)]
    assert [(c.filters, c.kernel_size, c.strides, c.padding, c.use_bias) for c in convolutions] == [
        (32, (5, 5), (2, 2), "same", False),
        (64, (3, 3), (1, 1), "same", False),
        (96, (3, 3), (1, 1), "same", False),
        (128, (3, 3), (1, 1), "same", False),
        (192, (3, 3), (1, 1), "same", False),
    ]
    normalizations = [
        layer for layer in model.layers if isinstance(layer, tf.keras.layers.BatchNormalization)
    ]
    assert [layer.momentum for layer in normalizations] == [0.9] * 6
    kinds = [type(layer).__name__ for layer in model.layers[2:]]
    step = ["Conv2D", "FusedBatchNormalization", "ReLU"]
    assert kinds == [
        *step, *step, "MaxPooling2D", *step, *step, "MaxPooling2D", *step,
        "Flatten", "Dropout", "Dense", "FusedBatchNormalization",
    ]  # fmt: skip
    # Kernels; four numbers a channel for batch normalisation; 64 x 56 halved three times is 8 x 7.
    kernels = 25 * 32 + 9 * (32 * 64 + 64 * 96 + 96 * 128 + 128 * 192) + 8 * 7 * 192 * 128
    weights = kernels + 4 * (32 + 64 + 96 + 128 + 192 + 128)
    assert model.count_params() == weights == 1_785_120
    deviation = convolutions[-1].kernel.numpy().std()
    assert deviation == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.02)


def test_a_photos_light_and_contrast_do_not_matter():
    images = np.random.default_rng(0).random((2, 16, 16, 1), dtype="float32")
    model = face_cnn((16, 16, 1), embedding_size=7)
    embeddings = model(images).numpy()
    assert embeddings.shape == (2, 7) and np.ptp(embeddings) > 0.1
    np.testing.assert_allclose(model(images * 0.3 + 0.6), embeddings, atol=1e-3)


def test_each_part_of_the_patches_embedding_sees_its_patch_alone():
    model = face_patches((96, 84, 1), embedding_size=5)
    image = np.random.default_rng(0).random((1, 96, 84, 1), dtype="float32")
    before = model(image).numpy().reshape(len(FACE_PATCHES), 5)
    np.testing.assert_allclose(np.linalg.norm(before, axis=1), 1, rtol=1e-5)
    for y, x in [(1, 1), (20, 18), (45, 40), (65, 40), (70, 20), (90, 80)]:  # of 96 x 84
        changed = image.copy()
        changed[0, y, x] += 1
        moved = np.abs(model(changed).numpy().reshape(before.shape) - before).max(axis=1) > 1e-6
        inside = [
            top <= 2 * y < bottom and left <= 2 * x < right
            for top, bottom, left, right, _ in FACE_PATCHES.values()
        ]
        assert moved.tolist() == inside, (y, x)


@pytest.mark.slow
def test_patches_learn_and_are_saved(restored_policy, tmp_path):
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    tf.keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).random((8, 48, 42, 1), dtype="float32")
    labels = np.arange(8) % 4
    backbone = face_patches((48, 42, 1), embedding_size=8, drop_rate=0.0)
    model = models.classifier(backbone, 4, groups=len(FACE_PATCHES))
    model.compile(tf.keras.optimizers.SGD(0.1), losses.CosFaceLoss(8.0, 0.1))
    history = [float(model.train_on_batch(images, labels)) for _ in range(20)]
    assert np.isfinite(history).all() and history[-1] < history[0] / 2
    embedding = models.embedding_model(model)
    embedding.save(tmp_path / "model.keras")
    again = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(images, verbose=0), embedding.predict(images, verbose=0))


# A training in the same process switches deterministic operations on, and
# with them TensorFlow 2.15 compiles no pooling.
xla = pytest.mark.skipif(not KERAS_3, reason="needs Keras 3")


@pytest.mark.parametrize(
    ("policy", "jit_compile"), [("mixed_bfloat16", False), pytest.param("float32", True, marks=xla)]
)
def test_it_learns(policy, jit_compile, restored_policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    tf.keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).random((8, 16, 16, 3), dtype="float32")
    labels = np.arange(8) % 2
    backbone = face_cnn((16, 16, 3), embedding_size=8, drop_rate=0.0)
    model = tf.keras.Sequential([backbone, tf.keras.layers.Dense(2, dtype="float32")])
    model.compile(
        tf.keras.optimizers.SGD(0.02),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    losses = [float(model.train_on_batch(images, labels)) for _ in range(20)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0] / 2
    standardization = next(layer for layer in backbone.layers if "standardization" in layer.name)
    assert standardization.compute_dtype == "float32"


@pytest.mark.slow
@xla
def test_a_first_batch_of_one_photo_has_a_finite_gradient():
    # Batch normalisation makes zeros of it.
    model, photo = face_patches((48, 42, 1), embedding_size=2, drop_rate=0.0), tf.ones((1, 48, 42, 1))

    @tf.function(jit_compile=True)
    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(photo, training=True))
        return tape.gradient(loss, model.trainable_variables)

    assert all(np.isfinite(gradient).all() for gradient in gradients())


def test_it_refuses():
    for shape in ((47, 42, 1), (48, 41, 1), (48, 42)):
        with pytest.raises(ValueError, match="`input_shape` must be .*at least 48 x 42 pixels"):
            face_patches(shape)
    for shape in ((7, 64, 1), (64, 56), (None, 56, 1), (64, 56, 0)):
        with pytest.raises(
            ValueError, match="`input_shape` must be .*at least 8 x 8 pixels. Received: input_shape="
        ):
            face_cnn(shape)
    assert face_cnn((8, 8, 1)).output_shape == (None, 128)
    with pytest.raises(ValueError, match="`embedding_size` must be at least 1. Received: embedding_size=0"):
        face_cnn(embedding_size=0)
    with pytest.raises(ValueError, match=r"`drop_rate` must lie in \[0, 1\). Received: drop_rate=1"):
        face_cnn(drop_rate=1)
