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


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_distances_and_cosines_are_those_of_the_features():
    left, right, _ = some_batch()
    backbone = small_backbone()
    a, b = (backbone.predict(images, verbose=0) for images in (left, right))
    expected = {
        models.euclidean_contrastive: np.linalg.norm(a - b, axis=1),
        models.cosine_embedding: (unit(a) * unit(b)).sum(1),
        models.cosine_sigmoid: 1 / (1 + np.exp(-8 * ((unit(a) * unit(b)).sum(1) - 0.3))),
    }
    for build, values in expected.items():
        output = build(backbone).predict((left, right), verbose=0)
        assert output.shape == (8, 1)
        np.testing.assert_allclose(output[:, 0], values, rtol=1e-4)


def test_embeddings_are_of_unit_length_and_come_side_by_side():
    left, right, _ = some_batch()
    model = models.triplet_embedding(small_backbone(), 16)
    a, b = (model.predict(images, verbose=0) for images in (left, right))
    assert a.shape == (8, 16) and a.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-5)
    triplets = models.explicit_triplets(model)
    side_by_side = triplets.predict((left, right, left), verbose=0)
    np.testing.assert_allclose(side_by_side, np.concatenate([a, b, a], axis=1), rtol=1e-5)
    np.testing.assert_allclose(models.embedding_model(triplets).predict(left, verbose=0), a, rtol=1e-5)
    assert models.embedding_model(model) is model


@pytest.mark.parametrize("neurons", [1, 2])
def test_decision_network_decides_on_both_features(neurons):
    left, right, same = some_batch()
    plain = models.decision_network(small_backbone(), neurons=neurons)
    assert models.comparison_model(plain).weights[0].shape == (2 * 8, 512)
    linear = models.decision_network(
        small_backbone(), neurons=neurons, features="linear", linear_units=5, hidden_units=7
    )
    assert models.embedding_model(linear).output_shape == (None, 5)
    a, b = (models.embedding_model(linear).predict(images, verbose=0) for images in (left, right))
    hidden, hidden_bias, weights, bias = (w.numpy() for w in models.comparison_model(linear).weights)
    logits = np.maximum(np.concatenate([a, b], axis=1) @ hidden + hidden_bias, 0) @ weights + bias
    odds = np.exp(logits)
    expected = odds / (1 + odds) if neurons == 1 else odds / odds.sum(1, keepdims=True)
    np.testing.assert_allclose(linear.predict((left, right), verbose=0), expected, rtol=1e-4)
    loss = "binary_crossentropy" if neurons == 1 else "sparse_categorical_crossentropy"
    linear.compile("adam", loss)
    assert np.isfinite(linear.fit((left, right), same, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("option", [{"neurons": 3}, {"features": "dense"}, {"linear_units": 0}])
def test_decision_networks_options_are_checked(option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}`"):
        models.decision_network(small_backbone(), **option)


def test_decision_network_can_tell_equal_from_different():
    """What a single layer on both features cannot: same is where two signs agree."""
    features = np.random.default_rng(0).choice([-1, 1], size=(400, 2)).astype(np.float32)
    identity = tf.keras.Input((1,))
    backbone = tf.keras.Model(identity, tf.keras.layers.Dense(1, use_bias=False)(identity))
    tf.keras.utils.set_random_seed(0)
    model = models.decision_network(backbone, hidden_units=16)
    model.compile(tf.keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    same = (features[:, :1] == features[:, 1:]).astype(np.float32)
    history = model.fit((features[:, :1], features[:, 1:]), same, epochs=10, verbose=0).history
    assert history["accuracy"][-1] > 0.99


@pytest.mark.parametrize("head", ["cosine", "softmax"])
def test_a_classifier_without_its_head_is_its_backbone(head):
    left, _, _ = some_batch()
    backbone = small_backbone()
    model = models.classifier(backbone, 5, head=head)
    a = backbone.predict(left, verbose=0)
    np.testing.assert_allclose(models.embedding_model(model).predict(left, verbose=0), a, rtol=1e-5)
    directions, *bias = (w.numpy() for w in model.get_layer("classes").weights)
    expected = unit(a) @ unit(directions.T).T if head == "cosine" else a @ directions + bias[0]
    np.testing.assert_allclose(model.predict(left, verbose=0), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("option", [{"n_classes": 0}, {"head": "x"}])
def test_a_classifiers_options_are_checked(option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}`"):
        models.classifier(small_backbone(), **{"n_classes": 3, **option})


def test_a_harmonic_model_has_a_frozen_old_and_a_new_half():
    left, _, same = some_batch()
    old, new = models.triplet_embedding(small_backbone(), 4), models.triplet_embedding(small_backbone(), 4)
    model = models.harmonic_embedding(old, new)
    a, b = old.predict(left, verbose=0), new.predict(left, verbose=0)
    np.testing.assert_allclose(model.predict(left, verbose=0), np.concatenate([a, b], axis=1), rtol=1e-5)
    np.testing.assert_allclose(models.embedding_model(model).predict(left, verbose=0), b, rtol=1e-5)
    model.compile(tf.keras.optimizers.SGD(1.0), "mse")
    model.fit(left, np.eye(8), verbose=0)
    assert np.array_equal(old.predict(left, verbose=0), a)
    assert not np.allclose(new.predict(left, verbose=0), b)
    with pytest.raises(ValueError, match="of the same image and embedding sizes"):
        models.harmonic_embedding(old, models.triplet_embedding(small_backbone(), 5))


def test_embeddings_can_be_projected_again():
    once = models.triplet_embedding(small_backbone(), 6)
    assert models.triplet_embedding(once, 4).output_shape == (None, 4)


def test_an_embedding_without_a_projection_is_the_backbones_features():
    left, _, _ = some_batch()
    backbone = small_backbone()
    embeddings = models.triplet_embedding(backbone, None).predict(left, verbose=0)
    np.testing.assert_allclose(embeddings, unit(backbone.predict(left, verbose=0)), rtol=1e-4)


def test_equal_images_have_a_finite_gradient():
    left, _, same = some_batch()
    model = models.euclidean_contrastive(small_backbone())
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model([left, left]))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert float(loss) == 0 and all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("kind", ["cosine_embedding", "cosine_sigmoid", "triplet_embedding"])
def test_features_of_zeros_have_a_finite_gradient(kind, jit):
    image = tf.keras.Input(SHAPE)
    features = tf.keras.layers.Dense(4, kernel_initializer="zeros")(tf.keras.layers.Flatten()(image))
    model = KINDS[kind](tf.keras.Model(image, features))
    photos = list(some_batch()[: len(model.inputs)])

    @tf.function(jit_compile=jit)
    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(photos if len(photos) > 1 else photos[0]))
        return tape.gradient(loss, model.trainable_variables)

    assert all(np.isfinite(gradient).all() for gradient in gradients())


def test_distance_accuracy_counts():
    metric = models.DistanceAccuracy(0.5)
    metric.update_state(np.array([1.0, 0.0, 0.0, 1.0]), np.array([[0.1], [0.7], [0.2], [0.9]]))
    assert float(metric.result()) == 0.5
    assert models.DistanceAccuracy.from_config(metric.get_config()).threshold == 0.5


def test_symmetric_and_shares_the_backbones_weights():
    backbone = small_backbone()
    model = models.l1_sigmoid(backbone)
    left, right, _ = some_batch()
    swapped = model.predict((right, left), verbose=0)
    np.testing.assert_allclose(model.predict((left, right), verbose=0), swapped, rtol=1e-6)
    backbone.set_weights([np.zeros_like(w) for w in backbone.get_weights()])
    assert np.ptp(model.predict((left, right), verbose=0)) == 0


KINDS = {
    "l1_sigmoid": models.l1_sigmoid,
    "euclidean_contrastive": models.euclidean_contrastive,
    "cosine_embedding": models.cosine_embedding,
    "cosine_sigmoid": models.cosine_sigmoid,
    "decision_network": models.decision_network,
    "triplet_embedding": models.triplet_embedding,
    "explicit_triplets": lambda backbone: models.explicit_triplets(models.triplet_embedding(backbone, None)),
    "harmonic": lambda backbone: models.harmonic_embedding(
        models.triplet_embedding(backbone, 4), models.triplet_embedding(small_backbone(), 4)
    ),
    "classifier": lambda backbone: models.classifier(backbone, 4),
}


@pytest.mark.parametrize(
    ("kind", "policy", "jit"),
    # Each kind once, and each half precision compiled and not.
    [
        ("l1_sigmoid", "mixed_bfloat16", True),
        ("euclidean_contrastive", "mixed_float16", True),
        ("cosine_embedding", "mixed_float16", False),
        ("cosine_sigmoid", "float32", True),
        ("decision_network", "mixed_bfloat16", False),
    ],
)
def test_trains_under_any_policy_and_compiled(kind, policy, jit):
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = KINDS[kind](small_backbone())
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    model.compile("adam", "mse", jit_compile=jit)
    left, right, same = some_batch()
    before = model.get_weights()
    loss = model.fit((left, right), same, verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    assert model.predict((left, right), verbose=0).dtype == np.float32
    assert all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_foreign_models_are_refused():
    with pytest.raises(ValueError, match="must be a Siamese model"):
        models.comparison_model(small_backbone())
    image = tf.keras.Input(SHAPE)
    with pytest.raises(ValueError, match="one feature vector"):
        models.l1_sigmoid(tf.keras.Model(image, tf.keras.layers.Conv2D(4, 5)(image)))


def test_l1_distance_keeps_its_config():
    layer = models.L1Distance(name="d")
    assert models.L1Distance.from_config(layer.get_config()).name == "d"
    np.testing.assert_array_equal(layer([np.array([[1.0, 5.0]]), np.array([[4.0, 3.0]])]), [[3.0, 2.0]])


@pytest.mark.parametrize("build", [models.l1_sigmoid, models.triplet_embedding, models.explicit_triplets])
def test_a_shape_is_no_backbone(build):
    with pytest.raises(ValueError, match=r"must be a Keras model .*Received: \(80, 80, 1\)"):
        build((80, 80, 1))
