"""Embeddings of functions, Keras models and ONNX files: the same vectors, whatever computes them."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import evaluation, faces, models
from siamese_nn.verification.embedding import Embedding

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 16, 12, 3), np.uint8)


def means(images):
    """Three numbers a photo, in the order of the channels."""
    return images.reshape(len(images), -1, images.shape[-1]).mean(axis=1)


@pytest.fixture
def onnx_file(tmp_path):
    """Writes a network that gives each channel's mean, and the sum of its input as a second output."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def write(shape=("n", 3, 16, 12), name="means.onnx", kind=None):
        axes = [1, 2] if shape[3] == 3 else [2, 3]
        kind = kind or onnx.TensorProto.FLOAT
        info = onnx.helper.make_tensor_value_info
        nodes = [
            onnx.helper.make_node("ReduceMean", ["photos", "axes"], ["means"], keepdims=0),
            onnx.helper.make_node("ReduceSum", ["means", "last"], ["sums"], keepdims=1),
        ]
        constants = [
            onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [2], axes),
            onnx.helper.make_tensor("last", onnx.TensorProto.INT64, [1], [1]),
        ]
        outputs = [info("means", kind, [shape[0], 3]), info("sums", kind, [shape[0], 1])]
        graph = onnx.helper.make_graph(nodes, "g", [info("photos", kind, shape)], outputs, constants)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return write


def test_a_function_gets_batches_and_gives_float32():
    seen = []

    def function(images):
        seen.append(len(images))
        return means(images)

    found = Embedding(function, (16, 12), "means", batch_size=3)(IMAGES)
    assert found.dtype == np.float32 and seen == [3, 3, 1]
    np.testing.assert_allclose(found, means(IMAGES), rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda images: images,
            r"means must give \(7, d\) numbers for 7 images. Received: uint8",
        ),
        (lambda images: means(images)[:-1], r"Received: float64 \(6, 3\)"),
        (lambda images: means(images) / 0, "finite numbers"),
        (lambda images: means(images).astype(str), "Received: <U"),
        (lambda images: means(images)[:, :0], "vectors of at least one number"),
        (lambda images: [[1.0], [2.0, 3.0]], "means failed for 7 images, .*ValueError: setting an array"),
        (lambda images: images.nothing, "means failed for 7 images, uint8 .* AttributeError: .*nothing"),
        (lambda images: means(images) * 1e30, "largest number is from 1e-15 to 1e.15, or 0"),
        (lambda images: means(images) * 1e300, "largest number is from 1e-15 to 1e.15, or 0"),
        (lambda images: means(images) * 1e-30, "largest number is from 1e-15 to 1e.15, or 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_is_no_vector_for_each_image_is_refused(function, message):
    with pytest.raises(ValueError, match=message):
        Embedding(function, (16, 12), "means")(IMAGES)


def test_a_function_gets_its_images_as_code_in_c_takes_them():
    def function(images):
        assert images.flags.c_contiguous
        return means(images)

    embedding = Embedding(function, (16, 12), "means")
    np.testing.assert_array_equal(embedding(np.asfortranarray(IMAGES)), embedding(IMAGES))
    embedding.probe()


def test_what_a_function_raises_is_the_cause():
    with pytest.raises(ValueError, match="KeyError: 'mine'") as raised:
        Embedding(lambda images: {}["mine"], (16, 12), "means")(IMAGES)
    assert isinstance(raised.value.__cause__, KeyError)


def test_vectors_of_several_sizes_are_refused():
    with pytest.raises(ValueError, match="vectors of one size. Received: 5 numbers for some .* 2 for others"):
        Embedding(lambda images: means(images)[:, [0] * len(images)], (16, 12), "means", batch_size=5)(IMAGES)


@pytest.mark.parametrize(
    "images", [IMAGES / 255, IMAGES[:, :12], IMAGES[..., :1], IMAGES[:0], "photo.jpg", [1, 2]]
)
def test_images_of_another_kind_are_refused(images):
    with pytest.raises(ValueError, match=r"`images` must be uint8, \(n, 16, 12, 3\)"):
        Embedding(means, (16, 12), "means")(images)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"function": 3}, "`function` must be a function"),
        ({"name": " "}, "`name` must say which network it is"),
        ({"metric": "dot"}, "`metric` must be one of"),
        ({"frame": ((1, 2),)}, "`frame` must be a `faces.Frame`"),
        ({"channels": 4}, "`channels` must be 1"),
        ({"image_size": (0, 3)}, "`image_size` must be"),
        ({"batch_size": 0}, "`batch_size` must be a whole number of at least 1"),
        ({"batch_size": True}, "`batch_size` must be a whole number of at least 1"),
        ({"metric": 5}, "`metric` must be one of"),
        ({"metric": ["cosine"]}, "`metric` must be one of"),
        ({"metric": evaluation.Cosine}, "`metric` must be one of"),
        ({"trained_on": "Ada"}, "`trained_on` must be several names"),
        ({"trained_on": 5}, "`trained_on` must be several names"),
        ({"trained_on": [5]}, "`trained_on` must be several names"),
        ({"photo_size": "250"}, "`photo_size` must be"),
    ],
)
def test_a_wrong_argument_is_named(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(Embedding(means, (16, 12), "means"), **changed)


def test_the_digest_changes_with_all_that_changes_a_vector():
    embedding = Embedding(means, (16, 12), "means")
    others = [
        *({"name": "2"}, {"channels": 1}, {"metric": "euclidean"}, {"frame": faces.ARCFACE}),
        *({"crop": (9, 9)}, {"photo_size": (20, 20)}, {"image_size": (12, 16)}),
    ]
    digests = {replace(embedding, **change).digest for change in others}
    assert len(digests) == len(others) and embedding.digest not in digests
    assert replace(embedding, batch_size=1).digest == embedding.digest


def test_the_digest_is_of_what_the_network_computes_and_not_of_the_last_digits():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 512))

    def digest(weights):
        return Embedding(lambda images: means(images) @ weights, (16, 12), "means").digest

    noisy = {digest(weights * (1 + 1e-6 * rng.normal(size=weights.shape))) for _ in range(20)}
    assert noisy == {digest(weights)}
    turned = weights[:, ::-1]
    slightly = weights * (1 + 0.2 * rng.normal(size=weights.shape))
    assert len({digest(weights), digest(turned), digest(slightly), digest(2 * weights)}) == 4


@pytest.mark.parametrize("shape", [("n", 3, 16, 12), (1, 3, 16, 12), (4, 16, 12, 3), ("n", 16, 12, 3)])
def test_an_onnx_file_in_either_layout_and_of_any_batch(onnx_file, shape):
    embedding = Embedding.of_onnx(onnx_file(shape), mean=(1, 2, 3), std=(4, 5, 6), colours="bgr")
    assert embedding.photo_format.shape == (16, 12, 3)
    wanted = (means(IMAGES)[:, ::-1] - [1, 2, 3]) / [4, 5, 6]
    np.testing.assert_allclose(embedding(IMAGES), wanted, rtol=1e-5)


def test_the_output_of_an_onnx_file_is_chosen(onnx_file):
    for output in ("sums", 1, "1"):
        found = Embedding.of_onnx(onnx_file(), output=output)(IMAGES)
        np.testing.assert_allclose(found, means(IMAGES).sum(axis=1, keepdims=True), rtol=1e-5)
    arcface = Embedding.arcface(onnx_file())
    np.testing.assert_allclose(arcface(IMAGES), means(IMAGES) / 127.5 - 1, atol=1e-5)
    assert arcface.frame == faces.ARCFACE


def test_the_digest_of_an_onnx_file_is_of_its_content_and_of_what_goes_in(onnx_file):
    first = Embedding.of_onnx(onnx_file()).digest
    assert Embedding.of_onnx(onnx_file()).digest == first
    for other in ({"mean": 1}, {"std": 2}, {"colours": "bgr"}, {"output": 1}):
        assert Embedding.of_onnx(onnx_file(), **other).digest != first
    assert Embedding.of_onnx(onnx_file((1, 3, 16, 12))).digest != first


def test_wrong_onnx_files_are_one_error(onnx_file, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.onnx must be an ONNX file"):
        Embedding.of_onnx(tmp_path / "none.onnx")
    whole = onnx_file().read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut.onnx is damaged or no ONNX file"):
        Embedding.of_onnx(tmp_path / "cut.onnx")
    for arguments, message in (
        ({"output": "no"}, r"`output` must be one of \['means', 'sums'\]"),
        ({"output": 2}, "`output` must be one of"),
        ({"image_size": (12, 16)}, r"`image_size` must be \(16, 12\), as .*means.onnx says"),
        ({"colours": "grey"}, "`colours` must be one of"),
        ({"std": 0}, "`std` must not be 0"),
        ({"mean": (1, 2)}, "`mean` must be a number, or one for each of 3 channels"),
        ({"mean": "grey"}, "`mean` must be a number, or one for each of 3 channels"),
        ({"mean": [1, [2, 3]]}, "`mean` must be a number, or one for each of 3 channels"),
        ({"output": True}, "`output` must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            Embedding.of_onnx(onnx_file(), **arguments)
    with pytest.raises(ValueError, match="`image_size` must be given: .*open.onnx leaves it open"):
        Embedding.of_onnx(onnx_file(("n", 3, "h", "w"), "open.onnx"))
    opened = Embedding.of_onnx(tmp_path / "open.onnx", image_size=(16, 12))
    np.testing.assert_allclose(opened(IMAGES), means(IMAGES), rtol=1e-5)
    with pytest.raises(ValueError, match="must take 1 or 3 channels"):
        Embedding.of_onnx(onnx_file(("n", 5, 16, 12), "five.onnx"))


def test_a_keras_model_in_memory_and_in_its_file(tmp_path):
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(
        [tf.keras.layers.Input((16, 12, 3)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(5)]
    )
    model.save(tmp_path / "own.keras")
    wanted = model.predict((IMAGES.astype(np.float32) - 127.5) / 127.5, verbose=0)
    here = Embedding.of_keras(model, mean=127.5, std=127.5)
    there = Embedding.of_keras(tmp_path / "own.keras", mean=127.5, std=127.5)
    for embedding in (here, there):
        np.testing.assert_allclose(embedding(IMAGES), wanted, rtol=1e-4, atol=1e-5)
    assert here.digest == there.digest != Embedding.of_keras(model).digest
    model.layers[-1].bias.assign_add(tf.ones(5))
    assert Embedding.of_keras(model, mean=127.5, std=127.5).digest != here.digest


def test_of_a_siamese_model_the_tower_counts():
    model = models.l1_sigmoid(models.report_cnn((80, 80, 1), filters=2, units=4))
    images = np.random.default_rng(0).integers(0, 256, (3, 80, 80, 1), np.uint8)
    wanted = models.embedding_model(model).predict(images / np.float32(255), verbose=0)
    np.testing.assert_allclose(Embedding.of_keras(model)(images), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "layers", "message"),
    [
        ((None, 12, 3), [tf.keras.layers.GlobalAveragePooling2D], "images of one size"),
        ((12, 12, 4), [tf.keras.layers.Flatten], "grey or RGB"),
        ((12, 12, 3), [], "must give one vector an image"),
        ((5000, 1, 1), [tf.keras.layers.Flatten], "at most 4096 pixels"),
    ],
)
def test_keras_models_of_another_kind_are_refused(shape, layers, message):
    inputs = tf.keras.layers.Input(shape)
    outputs = inputs
    for layer in layers or [tf.keras.layers.Activation]:
        outputs = layer()(outputs) if layers else layer("relu")(outputs)
    with pytest.raises(ValueError, match=message):
        Embedding.of_keras(tf.keras.Model(inputs, outputs))


def test_the_probe_is_the_same_each_time_and_tells_networks_apart():
    embedding = Embedding(means, (16, 12), "means")
    np.testing.assert_array_equal(embedding.probe(), embedding.probe())
    assert np.ptp(embedding.probe(), axis=0).min() > 1


def test_a_saved_model_by_its_signature(tmp_path):
    tf.keras.utils.set_random_seed(0)
    module = tf.Module()
    module.weights = tf.Variable(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, 16, 12, 3), tf.float32)])
    def serve(images):
        return {"vectors": tf.reduce_mean(images, axis=[1, 2]) @ module.weights}

    tf.saved_model.save(module, str(tmp_path / "own"), signatures={"serving_default": serve})
    embedding = Embedding.of_saved_model(tmp_path / "own", std=1)
    np.testing.assert_allclose(embedding(IMAGES), means(IMAGES) @ module.weights.numpy(), rtol=1e-4)
    assert Embedding.of_saved_model(tmp_path / "own", mean=9, std=1).digest != embedding.digest
    with pytest.raises(FileNotFoundError, match="must be the folder of a SavedModel"):
        Embedding.of_saved_model(tmp_path)
    tf.saved_model.save(module, str(tmp_path / "bare"))
    with pytest.raises(ValueError, match="must be a SavedModel with `serving_default`"):
        Embedding.of_saved_model(tmp_path / "bare")
