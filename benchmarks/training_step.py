"""Seconds a training step: our networks in float32 and mixed_bfloat16 against the same networks in PyTorch.

`report_cnn` under `l1_sigmoid` (the report's 5.1: 128 pairs of 125 x 125, Adam) and `face_cnn` under a
CosFace head (256 photos of 64 x 64, 700 people, AdamW): forward, backward and optimiser, on one thread.
Ours as `fit` runs them; also without oneDNN, which is TensorFlow's own default where the processor lacks
AVX-512 VNNI; and `face_cnn` over Keras's own batch normalisation. PyTorch's as its users would tune them:
fused optimiser, channels-last, bfloat16 by autocast. First a process with both libraries copies the
weights and compares outputs, loss and gradients; then each contestant has a process of its own, in turn.
A step's time is the processor's (of all threads of the process): on a quiet machine it is the clock's,
and other programs disturb it less.

    python benchmarks/training_step.py [--network report|face]        # PyTorch: pip install '.[benchmarks]'
"""

import argparse
import json
import os
import sys
import time
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["OMP_NUM_THREADS"] = "1"
if sys.argv[-1].endswith("without oneDNN"):  # before TensorFlow is imported
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import common
import numpy as np
from prettytable import PrettyTable

ROUNDS, WARM, STEPS = 3, 3, 8
SIZES = {"report": (128, 125), "face": (256, 64)}  # pairs or photos, and their side
PEOPLE, SCALE, MARGIN = 700, 16.0, 0.2
TORCH = [f"PyTorch {kind}{layout}" for kind in ("float32", "bfloat16") for layout in ("", " channels-last")]
OURS = ["siamese_nn float32", "siamese_nn mixed_bfloat16", "siamese_nn float32 without oneDNN"]
CONTESTANTS = {
    "report": [*OURS, *TORCH],
    "face": [*OURS, "Keras's normalisation float32", "Keras's normalisation mixed_bfloat16", *TORCH],
}


def batch(network: str, n: int | None = None) -> tuple[list[np.ndarray], np.ndarray]:
    """Photos, those of the left and of the right side or one a person, and labels."""
    generator = np.random.default_rng(0)
    size, side = SIZES[network]
    n = n or size
    shape = (2 if network == "report" else 1, n, side, side, 1)
    # Coarse squares in the noise, for photos of noise alone have nearly the same features.
    coarse = generator.random((*shape[:2], 8, 8, 1), np.float32).repeat(16, axis=2).repeat(16, axis=3)
    sides = (coarse[:, :, :side, :side] + generator.random(shape, np.float32)) / 2
    return list(sides), generator.integers(0, 2 if network == "report" else PEOPLE, n)


def keras_model(network: str, precision: str = "float32", *, to_compare: bool = False):
    from siamese_nn import models
    from siamese_nn.training import RECIPES, REPORT_EXPERIMENTS

    if network == "report":
        # The report's weights begin in the sigmoids' flat parts, where rounding is as large as the gradients.
        changes = {"initializer": "he_normal"} if to_compare else {}
        return replace(REPORT_EXPERIMENTS["5.1"], precision=precision, **changes).build_model()
    recipe = replace(RECIPES["face"], precision=precision, image_size=(64, 64), scale=SCALE, margin=MARGIN)
    backbone = models.face_cnn((64, 64, 1), drop_rate=0.0 if to_compare else 0.4)
    return recipe.build_model(backbone, n_classes=PEOPLE)


def keras_times(network: str, contestant: str) -> list[tuple[float, float]]:
    import tensorflow as tf

    from siamese_nn.models import face

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    precision = "mixed_bfloat16" if "bfloat16" in contestant else "float32"
    tf.keras.mixed_precision.set_global_policy(precision)
    if contestant.startswith("Keras"):
        face.FusedBatchNormalization = tf.keras.layers.BatchNormalization
    model = keras_model(network, precision)
    # Without metrics, which the rival doesn't compute.
    model.compile(model.optimizer, loss=model.loss)
    sides, labels = batch(network)
    data = tf.data.Dataset.from_tensors((tuple(sides) if len(sides) > 1 else sides[0], labels)).repeat()
    times = []

    class Clock(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            times.append((time.process_time(), time.perf_counter()))

    model.fit(data, steps_per_epoch=WARM + STEPS, callbacks=[Clock()], verbose=0)
    return times


def torch_model(network: str):
    """The same network, its parameters in the order of Keras's weights."""
    import torch
    from torch import nn
    from torch.nn import functional

    class ReportPairs(nn.Module):
        def __init__(self):
            super().__init__()
            layers, channels = [], 1
            for i, (filters, size) in enumerate(zip((8, 16, 32, 64), (10, 7, 4, 4), strict=True)):
                layers += [nn.Conv2d(channels, filters, size), nn.ReLU(), nn.MaxPool2d(2)]
                channels = filters
                if i == 3:
                    layers.pop()
            self.tower = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 8 * 64, 2048), nn.Sigmoid())
            self.same = nn.Linear(2048, 1)

        def forward(self, left, right):
            distance = (self.tower(left) - self.tower(right)).abs()  # faster than both in one batch
            with torch.autocast("cpu", enabled=False):  # in float32 in ours, too
                return self.same(distance.float())[:, 0]

    class FaceClassifier(nn.Module):
        def __init__(self):
            super().__init__()
            # Keras's "same" of 5 x 5 with stride 2.
            layers, channels = [nn.ZeroPad2d((1, 2, 1, 2))], 1
            for i, filters in enumerate((32, 64, 96, 128, 192)):
                own = {"padding": 1} if i else {"stride": 2}
                layers += [nn.Conv2d(channels, filters, 3 if i else 5, bias=False, **own)]
                layers += [nn.BatchNorm2d(filters, eps=1e-3), nn.ReLU()]
                layers += [nn.MaxPool2d(2)] if i in (1, 3) else []
                channels = filters
            self.tower = nn.Sequential(
                *layers, nn.Flatten(), nn.Dropout(0.4), nn.Linear(8 * 8 * 192, 128, bias=False)
            )
            self.embedding = nn.BatchNorm1d(128, eps=1e-3)
            self.directions = nn.Linear(128, PEOPLE, bias=False)

        def forward(self, images):
            variances, means = torch.var_mean(images, (1, 2, 3), correction=0, keepdim=True)
            least = images[0].numel() ** -0.5
            embeddings = self.embedding(self.tower((images - means) / variances.sqrt().clamp(min=least)))
            with torch.autocast("cpu", enabled=False):
                directions = functional.normalize(self.directions.weight)
                return functional.linear(functional.normalize(embeddings.float()), directions)

    return ReportPairs() if network == "report" else FaceClassifier()


def torch_loss(network: str, outputs, labels):
    from torch.nn import functional

    if network == "report":
        return functional.binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype))
    margins = MARGIN * functional.one_hot(labels, PEOPLE)
    return functional.cross_entropy(SCALE * (outputs - margins), labels)


def torch_optimizer(network: str, model):
    import torch

    if network == "face":
        return torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=5e-3, fused=True)
    # Keras's penalties on kernels, in the gradient alone: 2e-4 and 1e-3 times the squares.
    groups = [{"params": [p for p in model.parameters() if p.ndim == 1] + [model.same.weight]}]
    groups += [{"params": [p for p in model.parameters() if p.ndim == 4], "weight_decay": 4e-4}]
    groups += [{"params": [p for p in model.tower.parameters() if p.ndim == 2], "weight_decay": 2e-3}]
    return torch.optim.Adam(groups, 1e-4, fused=True)


def torch_times(network: str, contestant: str) -> list[tuple[float, float]]:
    import torch

    torch.set_num_threads(1)
    layout = torch.channels_last if contestant.endswith("channels-last") else torch.contiguous_format
    model = torch_model(network).to(memory_format=layout)
    optimizer = torch_optimizer(network, model)
    sides, labels = batch(network)
    sides = [torch.tensor(side).permute(0, 3, 1, 2).contiguous(memory_format=layout) for side in sides]
    labels, times = torch.tensor(labels), []
    for _ in range(WARM + STEPS):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in contestant):
            outputs = model(*sides)
        loss = torch_loss(network, outputs, labels)
        loss.backward()
        optimizer.step()
        loss.item()
        times.append((time.process_time(), time.perf_counter()))
    return times


def check(network: str) -> None:
    """Copies Keras's weights into PyTorch; compares outputs, loss and gradients, with no drop-out."""
    import tensorflow as tf
    import torch

    model = keras_model(network, to_compare=True)
    weights, rival = model.trainable_variables, torch_model(network)
    flattened = next(i for i, weight in enumerate(weights) if len(weight.shape) == 2)

    def converted(i: int, array: np.ndarray) -> torch.Tensor:
        if i == flattened:  # height, width, channels there, and channels first here
            units = array.shape[1]
            return torch.tensor(array.reshape(8, 8, -1, units).transpose(3, 2, 0, 1).reshape(units, -1))
        return torch.tensor(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T)

    for i, (weight, parameter) in enumerate(zip(weights, rival.parameters(), strict=True)):
        parameter.data = converted(i, weight.numpy())
    for module in rival.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    sides, labels = batch(network, 32)
    with tf.GradientTape() as tape:
        outputs = model(sides if len(sides) > 1 else sides[0], training=True)
        loss = model.compute_loss(y=tf.constant(labels)[:, None], y_pred=outputs) - sum(model.losses)
        gradients = tape.gradient(loss, [getattr(weight, "value", weight) for weight in weights])
    theirs = rival(*(torch.tensor(side).permute(0, 3, 1, 2) for side in sides))
    their_loss = torch_loss(network, theirs, torch.tensor(labels))
    their_loss.backward()
    theirs = theirs.sigmoid()[:, None] if network == "report" else theirs
    compared = {"outputs": (outputs.numpy(), theirs), "loss": (loss.numpy(), their_loss)}
    for i, (weight, gradient, parameter) in enumerate(
        zip(weights, gradients, rival.parameters(), strict=True)
    ):
        compared[f"gradient of {i}, {weight.name}"] = (converted(i, gradient.numpy()).numpy(), parameter.grad)
    faults = []
    for name, (our, their) in compared.items():
        apart = np.linalg.norm(our - their.detach().numpy()) / np.linalg.norm(our)
        # A feature that rounding takes across ReLU's corner changes gradients by some thousandths.
        if not apart <= (1e-2 if name.startswith("gradient") else 1e-4):
            faults.append(f"{name} by {apart:.1e} of its size")
    print(json.dumps({"faults": faults}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=SIZES, help="default: both")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant == "check":
        check(options.network)
        return
    if options.contestant:
        measure = torch_times if options.contestant.startswith("PyTorch") else keras_times
        steps = np.diff(measure(options.network, options.contestant), axis=0)[WARM - 1 :]
        print(json.dumps({"processor": steps[:, 0].tolist(), "clock": steps[:, 1].tolist()}))
        return

    import torch

    print(f"{common.machine()}, PyTorch {torch.__version__}; {torch.backends.cpu.get_cpu_capability()}")
    for network in [options.network] if options.network else SIZES:
        checked = common.run_in_turn(__file__, ["check"], 1, "--network", network)["check"][0]
        if checked["faults"]:
            raise SystemExit(f"{network}: the two libraries' networks differ: {', '.join(checked['faults'])}")
        results = common.run_in_turn(__file__, CONTESTANTS[network], ROUNDS, "--network", network)
        times = {
            name: {clock: 1e3 * np.concatenate([row[clock] for row in rows]) for clock in rows[0]}
            for name, rows in results.items()
        }
        best = {
            kind: min(np.median(times[name]["processor"]) for name in TORCH if kind in name)
            for kind in ("float32", "bfloat16")
        }
        size, side = SIZES[network]
        table = PrettyTable(
            [
                f"{network}_cnn, {size} {'pairs' if network == 'report' else 'photos'} of {side} x {side}",
                "ms a step",
                "quartiles",
                "by the clock",
                "of PyTorch's best in this precision",
            ],
            align="r",
        )
        table.align[table.field_names[0]] = "l"
        for name, own in times.items():
            low, median, high = np.percentile(own["processor"], (25, 50, 75))
            clock = np.median(own["clock"])
            table.add_row(
                [
                    name,
                    f"{median:,.0f}",
                    f"{low:,.0f} to {high:,.0f}",
                    f"{clock:,.0f}",
                    f"{median / best['bfloat16' if 'bfloat16' in name else 'float32']:.2f}",
                ]
            )
        print(table)


if __name__ == "__main__":
    main()
