"""Under `tf.distribute` loss and step are those of one device, also where photos are compared."""

import subprocess
import sys

import pytest

from stacks import KERAS_3

# Logical devices are set before TensorFlow first looks for any.
_SCRIPT = """
import sys
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
from siamese_nn import losses, models

PHOTOS, RATE = 16, 0.5
rng = np.random.default_rng(0)
x = rng.normal(size=(PHOTOS, 5)).astype("float32")
# Every share of a quarter has other numbers of pairs and of photos without any.
people = np.array([0, 0, 1, 1, 0, 0, 0, 1, 0, 1, 2, 2, 0, 0, 0, 1])
kernel = rng.normal(size=(5, 6)).astype("float32")


def new_model(units):
    model = tf.keras.Sequential([tf.keras.Input((5,)), tf.keras.layers.Dense(units, use_bias=False)])
    model.add(tf.keras.layers.Activation("sigmoid") if units == 1 else tf.keras.layers.UnitNormalization())
    model.set_weights([kernel[:, :units]])
    return model


# The mean of the losses of n shares of the batch, and the step by it.
def expected(loss, units, y, n):
    values, gradients = [], []
    model = new_model(units)
    for share in np.split(np.arange(PHOTOS), n):
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(y[share], model(x[share])))
        values.append(value)
        gradients.append(tape.gradient(value, model.trainable_variables[0]))
    return np.mean(values), kernel[:, :units] - RATE * np.mean(gradients, axis=0)


def in_fit(strategy, loss, units, y):
    with strategy.scope():
        model = new_model(units)
        model.compile(tf.keras.optimizers.SGD(RATE), loss)
        model.optimizer.build(model.trainable_variables)  # or the step is traced twice
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(PHOTOS)
    return model.fit(data, verbose=0).history["loss"][0], model.get_weights()[0]


def in_own_loop(strategy, make, reduction, units, y):
    with strategy.scope():
        model, optimizer = new_model(units), tf.keras.optimizers.SGD(RATE)
        loss = make(reduction=reduction)

    def step(photos, labels):
        with tf.GradientTape() as tape:
            value = loss(labels, model(photos, training=True))
            if reduction == "none":
                value = tf.nn.compute_average_loss(value, global_batch_size=PHOTOS)
            elif reduction == "sum":
                value /= PHOTOS
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, weights), weights))
        return value

    data = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices((x, y)).batch(PHOTOS))
    values = strategy.run(step, next(iter(data)))
    return strategy.reduce("SUM", values, axis=None).numpy(), model.get_weights()[0]


def compare(name, found, wanted):
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(found[1], wanted[1], atol=1e-5, err_msg=name)


pairs = (people > 0).astype("int64")
LOSSES = [
    (losses.TripletSemiHardLoss, 6, people, losses.triplet_semihard_loss),
    (losses.TripletHardLoss, 6, people, losses.triplet_hard_loss),
    (losses.HarmonicTripletLoss, 6, people, losses.harmonic_triplet_loss),
    (losses.CircleLoss, 6, people, losses.circle_loss),
    (losses.MultiSimilarityLoss, 6, people, losses.multi_similarity_loss),
    (losses.ContrastiveLoss, 1, pairs, None),
    (losses.CosineEmbeddingLoss, 1, pairs, None),
    (losses.TripletLoss, 6, people, None),
    (losses.CosFaceLoss, 6, people, None),
    (losses.ArcFaceLoss, 6, people, None),
    (losses.SphereFaceLoss, 6, people, None),
]
# These do among four and on the second stack, for all are reduced and gathered by the same two functions.
EACH_KIND = losses.TripletSemiHardLoss, losses.CircleLoss, losses.ContrastiveLoss, losses.CosFaceLoss
# In a loop of one's own Keras 2 asks for one of the two.
reductions = ["none", "sum"] + (["sum_over_batch_size"] if sys.argv[2] == "True" else [])
n = int(sys.argv[1])
strategy = tf.distribute.MirroredStrategy([f"CPU:{device}" for device in range(n)])
for make, units, y, function in LOSSES:
    if function is None and n != 2:
        continue  # whose photos have nothing to do with one another
    if make not in EACH_KIND and (n != 2 or sys.argv[2] != "True"):
        continue
    # Those that compare photos compare those of the whole batch. (Of the others the share does not matter.)
    wanted = expected(make(), units, y, n if function is None else 1)
    compare(f"{make.__name__} in fit", in_fit(strategy, make(), units, y), wanted)
    # The base class reduces for all.
    reduced = n == 2 and make in (losses.TripletSemiHardLoss, losses.ContrastiveLoss)
    for reduction in reductions if reduced else ():
        name = f"{make.__name__}, {reduction}, in a loop"
        compare(name, in_own_loop(strategy, make, reduction, units, y), wanted)
    if function in (losses.triplet_semihard_loss, losses.circle_loss) and n == 2:
        wanted = expected(function, units, y, n)
        compare(f"{function.__name__} in fit", in_fit(strategy, function, units, y), wanted)
        assert abs(wanted[0] - expected(make(), units, y, 1)[0]) > 1e-3, function  # it knows its share alone
    print(make.__name__, flush=True)

# Of 9 photos in batches of 8, the second of two replicas gets 4 and none.
nine = tf.data.Dataset.from_tensor_slices((x[:9], np.arange(9) // 2 % 2)).batch(8)
monitors = losses.ActiveTriplets, losses.PositiveDistance, losses.NegativeDistance
for make in (losses.TripletSemiHardLoss, losses.TripletHardLoss) if n == 2 else ():
    with strategy.scope():
        model = new_model(6)
        model.compile("sgd", make(), metrics=[monitor() for monitor in monitors])
    history = model.fit(nine, verbose=0).history
    assert len(history) == 4, history
    assert np.isfinite([*history.values(), *model.get_weights()[0].ravel()[:, None]]).all(), (make, history)

# Monitors and batch normalization, too, see the whole batch.
def of_one_step(strategy):
    tf.keras.utils.set_random_seed(0)
    with strategy.scope():
        model = tf.keras.Sequential([tf.keras.Input((5,)), tf.keras.layers.Dense(12)])
        model.add(tf.keras.layers.Reshape((2, 2, 3)))
        model.add(models.FusedBatchNormalization(momentum=0.9))
        model.add(tf.keras.layers.Flatten())
        model.add(models.FusedBatchNormalization(momentum=0.9))
        metrics = [monitor() for monitor in monitors]
        model.compile(tf.keras.optimizers.SGD(0.1), losses.TripletHardLoss(), metrics=metrics)
    history = model.fit(tf.data.Dataset.from_tensor_slices((x, people)).batch(PHOTOS), verbose=0).history
    return history, model.get_weights()

if n == 2:
    (both, weights), (one, wanted) = (of_one_step(each) for each in (strategy, tf.distribute.get_strategy()))
    for name in one:
        np.testing.assert_allclose(both[name], one[name], rtol=1e-4, err_msg=name)
    for ours, theirs in zip(weights, wanted):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)

# The classifier's own weights, too, are those of one device.
def classes(strategy, loss):
    tf.keras.utils.set_random_seed(0)
    with strategy.scope():
        model = tf.keras.Sequential([tf.keras.Input((5,)), models.CosineClassifier(4)])
        model.compile(tf.keras.optimizers.SGD(0.01), loss)
    model.fit(tf.data.Dataset.from_tensor_slices((x, people)).batch(PHOTOS), verbose=0)
    return model.get_weights()[0]

if n == 2:
    strategies = (strategy, tf.distribute.get_strategy())
    both, one = (classes(each, losses.ArcFaceLoss(8.0, 0.25)) for each in strategies)
    np.testing.assert_allclose(both, one, atol=1e-5)
"""


@pytest.mark.slow
# Each number in a process of its own, for TensorFlow's groups of devices cannot change.
@pytest.mark.parametrize("replicas", [2, pytest.param(4, marks=pytest.mark.once)])
def test_loss_and_step_are_those_of_one_device(replicas):
    script = [sys.executable, "-c", _SCRIPT, str(replicas), str(KERAS_3)]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    assert len(done.stdout.split()) == (2 if replicas == 4 else 11 if KERAS_3 else 4)
