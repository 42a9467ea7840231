"""Our training steps on a GPU without TensorFlow: XLA's programs of them, written here and run there by JAX.

On a GPU, Keras 3 has XLA compile each training step (`jit_compile="auto"`). `write` asks TensorFlow for the
program that it hands to XLA: forward pass, loss, backward pass, metrics and optimiser of a recipe. Beside it
goes what TensorFlow computes on the CPU, without XLA: the losses of the first steps, and the first gradients
and weights (every 16th number of them). `run` needs jax alone. It compiles the program for the GPU and for
that machine's CPU, compares, and measures. Photos and first weights are noise that both sides make from a
seed, the weights as large as the recipe's own; what a recipe's pretraining would leave is such noise, too,
and no mean face is taken off. The photos lie on the GPU already: reading and augmenting them, `fit` and its
callbacks are not measured.

    python benchmarks/gpu.py write FOLDER [RECIPE...]   # where siamese_nn is, Keras 3; no GPU needed
    python benchmarks/gpu.py run FOLDER [STEP...]       # where jax sees a GPU

"exact" is float32 with TF32 off; "float32" is TensorFlow's default, which on such cards multiplies in TF32.
"""

import gzip
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

EVERYWHERE = ("l1_sigmoid", "triplet_semi_hard", "triplet_hard", "face")  # in each arithmetic, others "exact"
KINDS = ("exact", "float32", "mixed_bfloat16")
PEOPLE, STEPS, EVERY = 700, 5, 16
LARGE = 1024  # photos, beside the recipe's own batch; without a comparison, to see what the card can


def photos_and_labels(kind: str, shape: list[int], n: int) -> list[np.ndarray]:
    """Photos, of each side for pairs and triplets, and labels."""
    generator = np.random.default_rng(0)
    sides = {"pairs": 2, "triplets": 3}.get(kind, 1)
    photos = [generator.random((n, *shape), np.float32) for _ in range(sides)]
    if kind == "groups":
        return [*photos, np.repeat(np.arange(n // 4), 4).astype(np.int32)]
    if kind == "teacher":
        return [*photos, generator.normal(size=(n, 128)).astype(np.float32)]  # as wide as `face_cnn`
    return [*photos, generator.integers(0, 2 if kind == "pairs" else PEOPLE, n).astype(np.int32)]


def first_variables(described: list) -> list[np.ndarray]:
    """The variables before the first step, of the shapes, types, means and deviations that are given."""
    generator = np.random.default_rng(1)
    return [
        generator.normal(mean, deviation, shape).astype(dtype) for shape, dtype, mean, deviation in described
    ]


def without_drop_out(model) -> None:
    """Turns drop-out off: XLA draws other masks from a seed than TensorFlow does without XLA."""
    import tensorflow as tf

    for layer in model._flatten_layers():
        if isinstance(layer, tf.keras.layers.Dropout):
            layer.rate = 0.0


def built(recipe):
    """The model of a recipe, over what its pretraining would leave."""
    from siamese_nn import models
    from siamese_nn.models.pretrained import freeze

    before = None
    if recipe.pretraining is not None:
        before = models.embedding_model(recipe.pretraining.build_model(n_classes=PEOPLE))
        freeze(before, recipe.trainable)
    return recipe.build_model(before, n_classes=PEOPLE)


def as_program(function, variables: list, *arguments) -> tuple[bytes, list[int]]:
    """XLA's program of a function, packed, and the places of the variables that follow its arguments."""
    import tensorflow as tf

    compiled = tf.function(function, jit_compile=True)
    program = compiled.experimental_get_compiler_ir(*arguments)(stage="hlo_serialized")
    captured = compiled.get_concrete_function(*arguments).captured_inputs
    places = {id(variable.handle): i for i, variable in enumerate(variables)}
    return gzip.compress(program), [places[id(tensor)] for tensor in captured]


def write(folder: Path) -> None:
    """Writes the programs and what the CPU computes."""
    from dataclasses import replace

    import tensorflow as tf

    from siamese_nn.training import RECIPES as NAMED

    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[3:] or NAMED:
        for kind in KINDS if name in EVERYWHERE else KINDS[:1]:
            tf.config.experimental.enable_tensor_float_32_execution(kind != "exact")
            recipe = replace(NAMED[name], precision="float32" if kind == "exact" else kind)
            own = 64 if recipe.kind == "groups" else recipe.batch_size
            for n in [own] if kind == "exact" else [own, LARGE]:
                tf.keras.utils.set_random_seed(0)
                model = built(recipe)
                shape = list(model.inputs[0].shape[1:])  # of photos, or of their patches
                model.jit_compile = False
                if n == own:
                    without_drop_out(model)
                model.optimizer.build(model.trainable_variables)
                *photos, labels = (tf.constant(array) for array in photos_and_labels(recipe.kind, shape, n))
                x = tuple(photos) if len(photos) > 1 else photos[0]
                model._symbolic_build(data_batch=(x, labels))  # makes the metrics' variables, as `fit` does
                keras_variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
                variables = list({id(v.value): v.value for v in keras_variables}.values())
                described = [
                    [v.shape.as_list(), v.dtype.name, float(v.numpy().mean()), float(v.numpy().std())]
                    for v in variables
                ]
                for variable, value in zip(variables, first_variables(described), strict=True):
                    variable.assign(value)

                def step(x, labels, model=model, variables=variables):
                    """The step that `fit` takes: to the loss and all variables."""
                    loss = model.train_step((x, labels))["loss"]
                    return loss, [variable.read_value() for variable in variables]

                stem = f"{name}-{kind}-{n}"
                program, parameters = as_program(step, variables, x, labels)
                (folder / f"{stem}.hlo.gz").write_bytes(program)
                places = {id(variable.handle): i for i, variable in enumerate(variables)}
                facts = {
                    "kind": recipe.kind,
                    "shape": shape,
                    "n": n,
                    "variables": described,
                    "parameters": parameters,
                    "weights": [places[id(v.value.handle)] for v in model.trainable_variables],
                    "gradients": [places[id(v.value.handle)] for v in model.optimizer._momentums],
                    "metrics": [places[id(v.value.handle)] for v in model.metrics_variables],
                    "losses": [],
                }
                if n == own:
                    for i in range(STEPS):
                        model.reset_metrics()
                        facts["losses"].append(
                            float(model.train_on_batch(x, labels, return_dict=True)["loss"])
                        )
                        if i == 0:
                            after = [variable.numpy().ravel()[::EVERY] for variable in variables]
                            np.savez_compressed(folder / f"{stem}.npz", *after)
                (folder / f"{stem}.json").write_text(json.dumps(facts))
                print(stem, len(program), facts["losses"], flush=True)


def without_copies(text: str) -> bytes:
    """Removes XLA's own `copy`, a note for its memory, which jax's plug-in for GPUs doesn't take."""
    from jax._src.interpreters import mlir
    from jaxlib.mlir import ir

    copies = []

    def note(operation):
        if operation.name == "mhlo.copy":
            copies.append(operation)
        return ir.WalkResult.ADVANCE

    with mlir.make_ir_context() as context:
        context.allow_unregistered_dialects = True
        module = ir.Module.parse(text)
        module.operation.walk(note)
        for copy in copies:
            copy.result.replace_all_uses_with(copy.operands[0])
            copy.erase()
        return mlir.module_to_bytecode(module)


class Program:
    """An XLA program on a device of jax: from a list of its inputs there to a list of its results."""

    def __init__(self, path: Path, device):
        import jax
        from jax._src.lib import xla_client

        started = time.perf_counter()
        computation = xla_client.XlaComputation(gzip.decompress(path.read_bytes()))
        module = without_copies(xla_client._xla.mlir.xla_computation_to_mlir_module(computation))
        devices = xla_client.DeviceList((device,))
        self._run = device.client.compile_and_load(module, devices, xla_client.CompileOptions())
        self.seconds = time.perf_counter() - started
        self.put = lambda array: jax.device_put(array, device)

    def __call__(self, inputs: list) -> list:
        shards = self._run.execute_sharded(inputs).disassemble_into_single_device_arrays()
        return [shard[0] for shard in shards]


class Steps:
    """Training steps, one after another, on one batch."""

    def __init__(self, program: Program, facts: dict, before: list[np.ndarray]):
        arrays = photos_and_labels(facts["kind"], facts["shape"], facts["n"])
        self._program, self._parameters = program, facts["parameters"]
        self._data = [program.put(array) for array in arrays]
        self.variables = [program.put(array) for array in before]

    def step(self):
        loss, *rest = self._program([*self._data, *(self.variables[i] for i in self._parameters)])
        self.variables = rest[: len(self.variables)]
        return loss


def apart(new: list[np.ndarray], old: list[np.ndarray]) -> float:
    """The distance of all numbers together, as a part of the second's size."""
    new, old = (np.concatenate([a.ravel().astype(np.float64) for a in arrays]) for arrays in (new, old))
    return float(np.linalg.norm(new - old) / np.linalg.norm(old))


def one(folder: Path, stem: str, device, times: int) -> dict:
    facts = json.loads((folder / f"{stem}.json").read_text())
    before = first_variables(facts["variables"])
    program = Program(folder / f"{stem}.hlo.gz", device)
    steps = Steps(program, facts, before)
    result = {"compile s": program.seconds}
    if facts["losses"]:
        losses = []
        for i in range(STEPS):
            for place in facts["metrics"]:  # so that the loss is of this step alone
                steps.variables[place] = program.put(before[place])
            losses.append(float(steps.step()))
            if i == 0:
                with np.load(folder / f"{stem}.npz") as file:
                    expected = [file[f"arr_{i}"] for i in range(len(before))]
                new = [np.asarray(v).ravel()[::EVERY] for v in steps.variables]
                for word in ("gradients", "weights"):
                    result[word] = apart([new[i] for i in facts[word]], [expected[i] for i in facts[word]])
        ours = np.array(facts["losses"])
        result["first loss"] = abs(losses[0] / ours[0] - 1)
        result["later losses"] = float(np.abs(np.array(losses) - ours).max() / ours[0])
    taken = []
    for _ in range(4):
        started = time.perf_counter()
        for _ in range(times):
            loss = steps.step()
        loss.block_until_ready()
        taken.append(1000 * (time.perf_counter() - started) / times)
    result["ms a step"] = float(np.median(taken[1:]))
    return result


def run(folder: Path) -> None:
    """Runs every program on each device, and prints a line of JSON for each."""
    import jax

    jax.config.update("jax_enable_x64", True)  # the optimiser counts its steps in 64 bits
    devices = [device for device in jax.devices() if device.platform != "cpu"] + jax.devices("cpu")[:1]
    print("jax", jax.__version__, [device.device_kind for device in devices], os.cpu_count(), "cores")
    stems = sys.argv[3:] or sorted(path.name.removesuffix(".hlo.gz") for path in folder.glob("*.hlo.gz"))
    for device in devices:
        on_cpu = device.platform == "cpu"
        for stem in stems:
            if (on_cpu and len(devices) > 1 and "-float32-" not in stem) or (
                on_cpu and stem.endswith(str(LARGE))
            ):
                continue  # a processor would take minutes
            try:
                row = one(folder, stem, device, 3 if on_cpu else 100)
            except Exception as error:  # the others' figures are wanted all the same
                row = {"failed": f"{type(error).__name__}: {str(error)[:700]}"}
            print(json.dumps({"step": stem, "device": device.platform, **row}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("write", "run"):
        raise SystemExit(__doc__)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    {"write": write, "run": run}[sys.argv[1]](Path(sys.argv[2]))
