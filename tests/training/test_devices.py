"""A training whose batches several devices share is that of one device."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import datasets, training
from siamese_nn.training import devices
from siamese_nn.training.devices import in_equal_shares, strategy_for, strategy_over
from stacks import KERAS_3

# Logical devices are set before TensorFlow first looks for any.
_SCRIPT = """
import sys
from pathlib import Path
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from siamese_nn import datasets, training
from siamese_nn.training.devices import strategy_over

module = sys.modules["siamese_nn.training.train"]
module.draw = module.write_page = lambda *_: None  # nobody looks at them
toy, out = map(Path, sys.argv[1:])
pairs = datasets.read_pairs(toy / "pairsDevTrain.txt", toy / "lfw2")
# Kinds in which all is equal: what is drawn beside the data is not. 8 or 16 of each make a batch.
small = dict(filters=2, units=8, kernel_sizes=(5, 3, 3, 3), image_size=(48, 48), initializer="he_normal")
small |= dict(optimizer="sgd", learning_rate=0.01, batch_size=8, epochs=2)
small |= dict(augmentation=datasets.Augmentation())
KINDS = {
    "pairs": dict(model="l1_sigmoid"),
    "classes": dict(model="cosface", scale=8.0, margin=0.1, monitor="val_auc"),
    "groups": dict(model="circle", margin=0.4, monitor="val_auc", identities_per_batch=2, learning_rate=1e-4),
}
RANKS = "val_eer", "val_auc", "val_verification_accuracy"  # rounding may exchange two pairs


class Stop(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise RuntimeError("cut off")


def weights(run):
    return tf.keras.models.load_model(run / "last.keras", compile=False).get_weights()


for kind, fields in KINDS.items():
    recipe = training.Recipe(**small | fields)
    train, val = recipe.split_pairs(pairs)
    people = sorted(train.identities())[:16]
    photos = datasets.photos_by_identity(toy / "lfw2")
    options = dict(photos={name: photos[name] for name in people}, verbose=0)
    one = training.train(recipe, train, val, out / f"{kind}-1", **options)
    # Another strategy over the same devices each time, as a caller would make it.
    two = lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    both = training.train(recipe, train, val, out / f"{kind}-2", strategy=two(), **options)
    assert both["device"] == one["device"] + ", 2 replicas", both["device"]
    a, b = (training.read_history(out / f"{kind}-{n}") for n in (1, 2))
    for name in a.keys() - {"seconds"}:
        apart = 0.05 if name in RANKS else 1e-4
        np.testing.assert_allclose(b[name], a[name], rtol=1e-4, atol=apart, err_msg=f"{kind} {name}")
    for ours, theirs in zip(weights(out / f"{kind}-2"), weights(out / f"{kind}-1"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4, err_msg=kind)
    if kind != "classes":
        continue
    recipe = training.Recipe(**small | fields | dict(drop_rate=0.2))
    training.train(recipe, train, val, out / "unbroken", strategy=two(), **options)
    cut = out / "cut"
    for done in (1, 2):  # the second time only the measuring is left
        try:
            stop = dict(strategy=strategy_over("0,1"), callbacks=[Stop()])
            training.train(recipe, train, val, cut, **stop, **options)
        except RuntimeError:
            assert training.completed_epochs(cut) == done
    training.train(recipe, train, val, cut, strategy=strategy_over("all"), **options)
    for ours, theirs in zip(weights(cut), weights(out / "unbroken"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    try:
        odd = training.Recipe(**small | fields | dict(batch_size=9))
        training.train(odd, train, val, out / "odd", strategy=two(), **options)
    except ValueError as error:
        assert "multiple of the number of devices" in str(error) and "Received: 9, 2" in str(error), error
    else:
        raise AssertionError("batches of 9 among two")
    assert not (out / "odd").exists()
"""


_WORKER = """
import json, os, signal, sys
from pathlib import Path
os.environ["TF_CONFIG"] = sys.argv[1]
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
from siamese_nn import datasets, training

toy, run, recipe, kill = sys.argv[2:]


class Die(tf.keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and kill == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_begin(self, epoch, logs=None):
        print("epoch", epoch, flush=True)
        self.epoch = epoch

    def on_train_end(self, logs=None):
        print("weights", *(w.tobytes().hex() for w in self.model.get_weights()), flush=True)


recipe = training.Recipe(**json.loads(recipe))
pairs = datasets.read_pairs(toy + "/pairsDevTrain.txt", toy + "/lfw2")
train, val = recipe.split_pairs(pairs)
photos = datasets.photos_by_identity(toy + "/lfw2")
photos = {name: photos[name] for name in sorted(train.identities())[:16]}
results = training.train(
    recipe, train, val, run, photos=photos, strategy=strategy, callbacks=[Die()], verbose=0
)
print("status", results.get("status"), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(KERAS_3, reason="Keras 3's fit fails under a strategy of several machines")
def test_two_machines_train_what_one_does_and_go_on_after_one_was_killed(toy_dir, tmp_path):
    small = {"filters": 2, "units": 8, "kernel_sizes": (5, 3, 3, 3), "image_size": (48, 48)}
    small |= {
        "initializer": "he_normal",
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "batch_size": 8,
        "epochs": 2,
    }
    recipe = training.Recipe("cosface", scale=8.0, margin=0.1, monitor="val_auc", **small)

    def start(kill):
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        workers = [f"127.0.0.1:{free.getsockname()[1]}" for free in sockets]
        for free in sockets:
            free.close()
        return [
            subprocess.Popen(
                [
                    *(sys.executable, "-c", _WORKER),
                    json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}),
                    *(
                        str(toy_dir),
                        str(tmp_path / "run"),
                        json.dumps(recipe.as_dict()),
                        kill if index else "",
                    ),
                ],
                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
            )
            for index in range(2)
        ]

    chief, worker = start("kill")
    worker.communicate(timeout=300)
    chief.kill()  # as who starts them does
    chief.communicate()
    assert worker.returncode == -signal.SIGKILL and training.completed_epochs(tmp_path / "run") == 1
    processes = start("")
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said[0][1][-3000:] + said[1][1][-3000:]
    (epoch, weights, status), (same_epoch, same_weights, none) = (out.splitlines() for out, _ in said)
    assert epoch == same_epoch == "epoch 1" and (status, none) == ("status finished", "status None")
    assert weights == same_weights
    assert (tmp_path / "run" / "report.html").exists()

    pairs = datasets.read_pairs(toy_dir / "pairsDevTrain.txt", toy_dir / "lfw2")
    train, val = recipe.split_pairs(pairs)
    photos = datasets.photos_by_identity(toy_dir / "lfw2")
    photos = {name: photos[name] for name in sorted(train.identities())[:16]}
    training.train(recipe, train, val, tmp_path / "one", photos=photos, verbose=0)
    history, wanted = (training.read_history(tmp_path / run) for run in ("run", "one"))
    for name in wanted.keys() - {"seconds"}:
        apart = 0.05 if name.startswith("val_") else 1e-4  # rounding may exchange two pairs
        np.testing.assert_allclose(history[name], wanted[name], rtol=1e-4, atol=apart, err_msg=name)


@pytest.mark.parametrize("elsewhere", [0, 1])
def test_machines_that_train_something_else_are_refused(tmp_path, monkeypatch, elsewhere):
    class Two(tf.distribute.MultiWorkerMirroredStrategy):
        num_replicas_in_sync, cluster_resolver = 2, None

        def __init__(self):
            """Makes no cluster."""

    monkeypatch.setattr(devices, "_sum", lambda strategy, number: 2 * number + elsewhere)
    with contextlib.ExitStack() as stack:
        if elsewhere:
            stack.enter_context(pytest.raises(ValueError, match="one recipe on the same pairs and photos"))
        with devices.own_folder(Two(), tmp_path / "run", lambda: {"data": 1}) as folder:
            assert folder == tmp_path / "run" and not elsewhere


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 can")
def test_several_machines_are_refused_on_keras_3(toy_pairs, tmp_path, monkeypatch):
    recipe = training.Recipe()
    train, val = recipe.split_pairs(toy_pairs)
    # A real one would start a server.
    strategy = object.__new__(tf.distribute.MultiWorkerMirroredStrategy)
    monkeypatch.setattr(type(strategy), "num_replicas_in_sync", 2)
    with pytest.raises(ValueError, match=r"on Keras 3, whose `fit` fails.*extra `addons`.*over 2 devices"):
        training.train(recipe, train, val, tmp_path / "run", strategy=strategy)


@pytest.mark.slow
@pytest.mark.once  # on the second stack two machines train so, and the losses that compare photos are tested
def test_two_devices_train_what_one_does(toy_dir, tmp_path):
    script = [sys.executable, "-c", _SCRIPT, str(toy_dir), str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "Agg"})
    assert done.returncode == 0, done.stderr[-3000:]


def test_batches_are_made_divisible():
    data = tf.data.Dataset.from_tensor_slices((np.arange(11), np.arange(11))).batch(4)
    assert [x.tolist() for x, _ in in_equal_shares(data, 4).as_numpy_iterator()] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    ]
    sizes = [len(x) for x, _ in in_equal_shares(data, 2).as_numpy_iterator()]
    assert sizes == [4, 4, 2]
    assert in_equal_shares(data, 1) is data
    vectors = tf.data.Dataset.from_tensor_slices((np.arange(5), np.ones((5, 3)))).batch(4)  # of a teacher
    assert [y.shape for _, y in in_equal_shares(vectors, 2).as_numpy_iterator()] == [(4, 3)]


def test_all_gpus_are_taken_that_the_batches_suit(monkeypatch, caplog):
    gpus = [tf.config.LogicalDevice(f"/device:GPU:{number}", "GPU") for number in range(3)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    monkeypatch.setattr(devices, "_mirrored", len)
    assert strategy_for(training.Recipe(batch_size=63), None) == 3
    assert strategy_for(training.RECIPES["triplet_hard"], None) == 3 and not caplog.messages
    assert strategy_for(training.Recipe(batch_size=64), None) == 2
    assert caplog.messages == ["the batches are divided among 2 of 3 GPUs, which they suit"]
    taught = replace(training.RECIPES["face-distilled"], batch_size=63)  # and its teacher 64
    for recipe in (training.Recipe(batch_size=1), taught):
        assert strategy_for(recipe, None) is tf.distribute.get_strategy()
    few = training.Recipe("circle", margin=0.4, monitor="val_auc", identities_per_batch=2)
    assert strategy_for(few, None) == 2


def test_what_no_training_can_use_is_refused(toy_pairs, tmp_path):
    recipe = training.Recipe()
    train, val = recipe.split_pairs(toy_pairs)

    def run(strategy):
        training.train(recipe, train, val, tmp_path / "run", strategy=strategy)

    with pytest.raises(ValueError, match=r"`strategy` must be .*MirroredStrategy.*Received: strategy='0,1'"):
        run("0,1")
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope(), pytest.raises(ValueError, match="outside of the scope of a strategy"):
        run(None)
    assert not (tmp_path / "run").exists()
    for words in ("1", "0,0", "", "GPU:0", "0,"):
        with pytest.raises(ValueError, match=r"`devices` must be \"all\" or .*Received: devices=.*1 devices"):
            strategy_over(words)
    assert strategy_over("0").num_replicas_in_sync == strategy_over("all").num_replicas_in_sync == 1
