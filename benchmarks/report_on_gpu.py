"""The report's runs on a GPU without TensorFlow: its programs are written here, and run there by JAX.

On one core of a processor the variant as-run takes hours a row. `write` asks TensorFlow for the programs of a
training step and of a validation step, as `gpu.py` does, and puts photos, pairs and the order of each epoch
beside them, as the library's pipelines give it. `run` needs jax, NumPy and Pillow alone. It draws the first
weights as TensorFlow does on a processor, from the same seeds, and trains as `training.train` does: the same
stopping, the same best epoch. Several processes share the card; each takes the next program and all its runs.
A run that is done is kept, so that the same command goes on. `read` makes run folders of what came back, by
the library's own functions, and the table of `report_optimizers.py`.

    python benchmarks/report_on_gpu.py write FOLDER data/lfw-a                  # where siamese_nn is, Keras 3
    python benchmarks/report_on_gpu.py run FOLDER [SECONDS [RUN...]]            # where jax sees a GPU
    python benchmarks/report_on_gpu.py read FOLDER data/lfw-a docs/report_runs  # where siamese_nn is

The arithmetic is float32 with TF32 off. Only drop-out's masks are others than those of a processor.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from gpu import Program, as_program

SEEDS = range(3)
APART = [f"{number}-as-run" for number in ("2.1", "5.1", "7.1", "8.1")]  # in the disjoint split, too
PROCESSES = 5
DONE = "results.tar"  # of `run`: what it leaves, for `read`


# --- First weights, as TensorFlow draws them on a processor: Philox, 4 x 32 bits, 10 rounds.


def philox(key: np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Four uint32 for each counter of four, `(n, 4)`."""
    c = [counters[:, i].astype(np.uint64) for i in range(4)]
    k, low = [np.uint64(part) for part in key], np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ k[0], b & low, (a >> np.uint64(32)) ^ c[3] ^ k[1], a & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack(c, axis=1).astype(np.uint32)


def uniforms(seed: int, groups: int, each: int) -> np.ndarray:
    """Numbers in [0, 1), `(groups, 4 * each)`; groups of several counters are 256 apart."""
    mixed = philox(np.array([0x3EC8F720, 0x02461E29]), np.array([[seed, 0, 0, 0]]))[0]
    apart = 256 if each > 1 else 1
    places = (np.arange(groups)[:, None] * apart + np.arange(each)).ravel()
    counters = np.zeros((len(places), 4), np.uint32)
    counters[:, 0], counters[:, 2:] = places, mixed[2:]
    bits = (philox(mixed[:2], counters) & 0x7FFFFF) | 0x3F800000
    return bits.view(np.float32).reshape(groups, -1) - np.float32(1)


def normals(drawn: np.ndarray) -> np.ndarray:
    """Box and Muller's: two normal numbers of two uniform ones."""
    radius = np.sqrt(-2 * np.log(np.maximum(drawn[:, ::2], np.float32(1e-7))))
    angle = np.float32(2 * np.pi) * drawn[:, 1::2]
    return np.stack([np.sin(angle) * radius, np.cos(angle) * radius], axis=2).reshape(len(drawn), -1)


def first(shape: list[int], dtype: str, kind: str, a, b=None, seed: int = 0) -> np.ndarray:
    """A variable before the first step: of given values, or drawn."""
    if kind == "given":
        return np.broadcast_to(np.array(a, dtype), shape)
    size = int(np.prod(shape))
    groups = -(-size // 4)
    if kind == "uniform":
        values = uniforms(seed, groups, 1) * np.float32(b - a) + np.float32(a)
    elif kind == "normal":
        values = normals(uniforms(seed, groups, 1)) * np.float32(b) + np.float32(a)
    else:  # truncated: of each group's numbers the first four that lie within two deviations
        values = normals(uniforms(seed, groups, 8))
        chosen = np.argsort(np.abs(values) >= 2, axis=1, kind="stable")[:, :4]
        values = np.take_along_axis(values, chosen, axis=1) * np.float32(b) + np.float32(a)
    return values.ravel()[:size].reshape(shape).astype(dtype)


# --- Here: the bundle.


def planned() -> dict:
    """Every run's recipe by the name of its folder, the more important first."""
    import report_optimizers

    from siamese_nn.studies import reproduction

    runs = reproduction.plan(reproduction.select(variant="as-run"), ".", seeds=SEEDS)
    runs += reproduction.plan(APART, ".", split="identities", seeds=SEEDS)
    return {run.run_dir.name: run.recipe for run in runs} | report_optimizers.trials()


def stage(name: str, recipe) -> int:
    """When a run has its turn: rows of the report, the grid, further seeds of the largest network."""
    if name.startswith("optimizers"):
        return 1
    return 2 if recipe.filters == 64 and recipe.seed else 0


def sets_of(recipe, data: Path) -> dict:
    """The pairs of a run by the names of `results.json`."""
    from siamese_nn import datasets

    pairs, test = datasets.load_lfw_a(data)
    train, val = recipe.split_pairs(pairs, exclude=test)
    return {"train": train, "validation": val, "test": test}


def split_name(recipe) -> str:
    return "report" if recipe.split == "report" else f"identities-{recipe.seed}"


def model_of(recipe):
    """The model with all that a step changes, and its variables without those of metrics, described."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(recipe.seed)
    model = recipe.build_model()
    model.jit_compile = False
    model.optimizer.build(model.trainable_variables)
    drawn = {}
    for layer in model._flatten_layers():
        for part in ("kernel", "bias"):
            if getattr(layer, part, None) is not None:
                drawn[id(getattr(layer, part))] = getattr(layer, f"{part}_initializer")
    metrics = {id(v) for v in model.metrics_variables}
    kept = {id(v): v for v in [*model.variables, *model.optimizer.variables] if id(v) not in metrics}
    described = [[list(v.shape), v.dtype, *_draw(v, drawn.get(id(v)))] for v in kept.values()]
    return model, list(kept.values()), described


def _draw(variable, initializer) -> list:
    """How a variable gets its first value, for `first`."""
    values = variable.numpy()
    if initializer is None or "seed" not in initializer.get_config():
        if values.size <= 16:
            return ["given", values.tolist()]
        if (values == values.flat[0]).all():
            return ["given", float(values.flat[0])]
        raise ValueError(f"{variable.path} begins neither drawn nor constant")
    config = initializer.get_config()
    if "stddev" in config:
        return ["normal", config["mean"], config["stddev"], initializer.seed]
    from keras.src.initializers.random_initializers import compute_fans

    fan_in, fan_out = compute_fans(values.shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[initializer.mode]
    variance = initializer.scale / max(1.0, fan)
    if initializer.distribution == "uniform":
        return ["uniform", -((3 * variance) ** 0.5), (3 * variance) ** 0.5, initializer.seed]
    return ["truncated", 0.0, variance**0.5 / 0.87962566103423978, initializer.seed]


def write(folder: Path, data: Path) -> None:
    """Writes the bundle."""
    import tensorflow as tf
    from PIL import Image

    from siamese_nn.datasets.pipelines import order_of_epoch
    from siamese_nn.training.data import run_photos

    tf.config.experimental.enable_tensor_float_32_execution(False)
    folder.mkdir(parents=True, exist_ok=True)
    recipes = planned()
    splits = {split_name(recipe): recipe for recipe in recipes.values()}
    sets = {name: sets_of(recipe, data) for name, recipe in splits.items()}
    everything = {f"{name} {part}": pairs for name, own in sets.items() for part, pairs in own.items()}
    decoded = run_photos(next(iter(recipes.values())), everything, ())
    place = {path: i for i, path in enumerate(decoded.paths)}
    arrays = {}
    for name, pairs in everything.items():
        sides = [[place[path] for path in side.tolist()] for side in (pairs.left, pairs.right)]
        arrays[f"{name} where"] = np.array(sides, np.int32).T
        arrays[f"{name} same"] = pairs.same[:, None].astype(np.float32)
    runs, programs = {}, {}
    for name, recipe in recipes.items():
        model, variables, described = model_of(recipe)
        own = sets[split_name(recipe)]
        batch = recipe.batch_size
        inputs = {"learning_rate": 1.0, "initializer": "normal", "split": "report", "seed": 0}
        distinct = replace(recipe, epochs=1, patience=1, **inputs)
        if distinct not in programs:
            programs[distinct] = facts = {"name": f"program_{len(programs)}"}
            photos = tf.zeros((len(place), *decoded.image_shape), tf.uint8)
            where, same = tf.zeros((batch, 2), tf.int32), tf.zeros((batch, 1))
            facts |= write_programs(folder, facts["name"], model, variables, photos, where, same)
        for part in ("train", "validation"):
            n = len(own[part])
            orders = [order_of_epoch(n, recipe.seed, epoch).numpy() for epoch in range(recipe.epochs)]
            held = arrays.get(f"{n} {recipe.seed} order", [])
            if len(orders) > len(held):
                arrays[f"{n} {recipe.seed} order"] = np.array(orders, np.uint16)
        words = {"epochs": recipe.epochs, "patience": recipe.patience, "batch": batch, "seed": recipe.seed}
        program = programs[distinct]["name"]
        runs[name] = words | {"program": program, "split": split_name(recipe), "first": described}
        runs[name] |= {"stage": stage(name, recipe), "filters": recipe.filters}
        runs[name]["sets"] = list(own)[: 2 if name.startswith("optimizers") else 3]  # whose tests stay closed
        print(name, program, flush=True)
    np.savez_compressed(folder / "arrays.npz", **arrays)
    facts = {"programs": list(programs.values()), "runs": runs, "photos": [len(place), *decoded.image_shape]}
    (folder / "facts.json").write_text(json.dumps(facts))
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for i, photo in enumerate(decoded[:]):
            content = io.BytesIO()
            Image.fromarray(photo[:, :, 0]).save(content, "WEBP", lossless=True, quality=100, method=4)
            archive.writestr(f"{i}.webp", content.getvalue())


def write_programs(folder: Path, name: str, model, variables: list, photos, where, same) -> dict:
    """Writes the two programs of a model, and returns where their inputs and outputs are."""
    import tensorflow as tf

    def sides(photos, where):
        return tuple(tf.image.convert_image_dtype(tf.gather(photos, where[:, i]), tf.float32) for i in (0, 1))

    model._symbolic_build(data_batch=(sides(photos, where), same))  # makes the metrics' variables, as `fit`
    metrics = list({id(v): v for v in model.metrics_variables}.values())
    held = [v.value for v in [*variables, *metrics]]

    def train(photos, where, same):
        logs = model.train_step((sides(photos, where), same))
        return [logs[name] for name in sorted(logs)], [v.read_value() for v in held]

    def evaluate(photos, where, same):
        x = sides(photos, where)
        logs = model.test_step((x, same))
        outputs, penalties = model(x, training=False), tf.add_n(model.losses)
        return [logs[name] for name in sorted(logs)], [v.read_value() for v in held], outputs, penalties

    logs = sorted(model.test_step((sides(photos, where), same)))
    facts = {"logs": logs, "metrics": [[list(v.shape), v.dtype, "given", 0] for v in metrics]}
    for function in (train, evaluate):
        program, parameters = as_program(function, held, photos, where, same)
        (folder / f"{name}.{function.__name__}.gz").write_bytes(program)
        facts[function.__name__] = parameters
    return facts


# --- There: the runs.


def photos_of(folder: Path, shape: list[int]) -> np.ndarray:
    from PIL import Image

    with zipfile.ZipFile(folder / "photos.zip") as archive:
        photos = [
            np.asarray(Image.open(io.BytesIO(archive.read(f"{i}.webp"))).convert("L"))
            for i in range(shape[0])
        ]
    return np.stack(photos)[..., None]


class Runner:
    """The two programs of a model on a device, with the photos there."""

    def __init__(self, folder: Path, facts: dict, photos, arrays: dict, device):
        self.facts, self.photos, self.arrays = facts, photos, arrays
        parts = ("train", "evaluate")
        self.programs = {part: Program(folder / f"{facts['name']}.{part}.gz", device) for part in parts}
        self.put = self.programs["train"].put

    def batch(self, part: str, where: np.ndarray, same: np.ndarray):
        """One step: the logs so far, and of a validation step the outputs and the penalties on weights."""
        data = [self.photos, self.put(where), self.put(same)]
        inputs = [*data, *(self.variables[i] for i in self.facts[part])]
        results = self.programs[part](inputs)
        logs, after = len(self.facts["logs"]), len(self.variables)
        self.variables = results[logs : logs + after]
        return results[:logs], results[logs + after :][:2]

    def begin(self) -> None:
        """Puts the metrics back to nothing. The programs take the arrays of what they change away."""
        metrics = [self.put(first(*each)) for each in self.facts["metrics"]]
        self.variables[-len(metrics) :] = metrics

    def epoch(self, part: str, run: dict, set_name: str, number: int) -> dict[str, float]:
        """One pass over whole batches in the order of an epoch, with its logs."""
        where, same = (self.arrays[f"{run['split']} {set_name} {each}"] for each in ("where", "same"))
        order = self.arrays[f"{len(where)} {run['seed']} order"][number]
        self.begin()
        for i in range(len(where) // run["batch"]):
            own = order[i * run["batch"] : (i + 1) * run["batch"]]
            logs, _ = self.batch(part, where[own], same[own])
        return dict(zip(self.facts["logs"], map(float, logs), strict=True))

    def outputs(self, run: dict) -> dict[str, np.ndarray]:
        """The model's output for every pair of the run's sets, and the penalties on its weights."""
        found = {}
        self.begin()
        for name in run["sets"]:
            where = self.arrays[f"{run['split']} {name} where"]
            padded = np.pad(where, ((0, -len(where) % run["batch"]), (0, 0)))
            parts = []
            for i in range(0, len(where), run["batch"]):
                labels = np.zeros((run["batch"], 1), np.float32)
                _, (output, penalties) = self.batch("evaluate", padded[i : i + run["batch"]], labels)
                parts.append(np.asarray(output)[:, 0])
            found[name] = np.concatenate(parts)[: len(where)]
        return found | {"penalties": np.asarray(penalties)}

    def train(self, run: dict) -> dict[str, np.ndarray]:
        """Trains until patience ends, as `training.train` does, and measures the best and the last epoch."""
        self.variables = [self.put(first(*each)) for each in [*run["first"], *self.facts["metrics"]]]
        history: dict[str, list[float]] = {}
        best = waited = 0
        for number in range(run["epochs"]):
            started = time.monotonic()
            row = self.epoch("train", run, "train", number)
            trained = list(self.variables)
            row |= {f"val_{k}": v for k, v in self.epoch("evaluate", run, "validation", number).items()}
            row["seconds"] = time.monotonic() - started
            for name, value in row.items():
                history.setdefault(name, []).append(value)
            if number == 0:
                kept = trained
            if not np.isfinite([row["loss"], row["val_loss"]]).all():
                break
            waited += 1
            if number == 0 or row["val_loss"] < history["val_loss"][best]:
                best, waited, kept = number, 0, trained
            if waited >= run["patience"] and number > 0:
                break
        found = {f"history {name}": np.array(values) for name, values in history.items()}
        for which, variables in (("best", kept), ("last", trained)):
            self.variables = list(variables)
            found |= {f"{which} {name}": values for name, values in self.outputs(run).items()}
        return found | {"best epoch": np.array(best + 1)}


def work(folder: Path, until: float, wanted: list[str]) -> None:
    """One process: takes a program that nobody has, and makes its runs that are not made yet."""
    import jax

    jax.config.update("jax_enable_x64", True)  # the optimiser counts its steps in 64 bits
    device = jax.devices()[0]
    facts = json.loads((folder / "facts.json").read_text())
    programs = {program["name"]: program for program in facts["programs"]}
    with np.load(folder / "arrays.npz") as file:
        arrays = dict(file)
    photos = jax.device_put(np.load(folder / "photos.npy"), device)
    tasks: dict[tuple, list[str]] = {}
    for name, run in facts["runs"].items():
        if not wanted or name in wanted:
            large = run["seed"] if run["filters"] > 16 else 0  # each seed of a large network for itself
            tasks.setdefault((run["stage"], -run["filters"], large, run["program"]), []).append(name)
    runner, words = None, ""
    for task in sorted(tasks, key=lambda task: task[:3]):
        left = [name for name in tasks[task] if not (folder / "results" / f"{name}.npz").exists()]
        lock = folder / "results" / f"{tasks[task][0]}.lock"
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        if left and words != task[-1]:
            runner, words = Runner(folder, programs[task[-1]], photos, arrays, device), task[-1]
        for name in left:
            if time.time() > until:
                return
            started = time.monotonic()
            found = runner.train(facts["runs"][name])
            partial = folder / "results" / f".{name}.npz"
            np.savez_compressed(
                partial, device=np.array(f"{device.device_kind}, jax {jax.__version__}"), **found
            )
            partial.rename(folder / "results" / f"{name}.npz")
            epochs, taken = len(found["history loss"]), time.monotonic() - started
            last = {k: round(float(v[-1]), 4) for k, v in found.items() if k.startswith("history")}
            print(name, epochs, "epochs", round(taken, 1), "s", last, flush=True)


def run(folder: Path, seconds: float = 3600, *wanted: str) -> None:
    """Starts the processes, and packs what they leave every twenty seconds."""
    results = folder / "results"
    results.mkdir(exist_ok=True)
    for lock in results.glob("*.lock"):
        lock.unlink()
    started = time.time()
    shape = json.loads((folder / "facts.json").read_text())["photos"]
    np.save(folder / "photos.npy", photos_of(folder, shape))
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, __file__, "work", str(folder), str(started + seconds), *wanted]
    processes = [subprocess.Popen(command, env=environment) for _ in range(PROCESSES)]
    while running := [process for process in processes if process.poll() is None]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            running[0].wait(20)
        pack(results, Path(os.environ.get("OUT", folder)) / DONE)
    print("processes ended with", [process.returncode for process in processes], flush=True)


def pack(results: Path, target: Path) -> None:
    partial = target.with_name(f".{target.name}")
    with tarfile.open(partial, "w") as archive:
        for path in sorted(results.glob("[!.]*.npz")):
            archive.add(path, path.name)
    partial.rename(target)


# --- Here again: the run folders.


def results_of(recipe, sets: dict, raw_pixels: dict, found: dict):
    """What `training.measure` finds, from the outputs of the models of the best and of the last epoch."""
    import tensorflow as tf

    from siamese_nn.evaluation import verification_report
    from siamese_nn.runs.results import Results, Status
    from siamese_nn.training.choice import choose
    from siamese_nn.training.measure import figures_on, leak

    alone = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Identity()])
    recipe.compile(alone)
    sign = -1 if recipe.model.startswith("euclidean") else 1  # the score of a distance
    figures = {}
    for which in ("best", "last"):
        outputs = {name: found[f"{which} {name}"] for name in sets}
        scores = {name: sign * values for name, values in outputs.items()}
        chosen = choose(sets["validation"], scores["validation"]) if which == "best" else None
        figures[which] = figures_on(sets, scores, chosen)
        for name, pairs in sets.items():
            same = pairs.same[:, None].astype(np.float32)
            loss = alone.evaluate(outputs[name][:, None], same, verbose=0, return_dict=True)["loss"]
            at_half = verification_report(scores[name], pairs.same, threshold=recipe.fixed_threshold)
            figures[which][name] = replace(
                figures[which][name],
                loss=loss + float(found[f"{which} penalties"]),
                accuracy_at_half=at_half.accuracy,
                accuracy_at_half_interval=at_half.accuracy_interval,
            )
    leaked = None
    if recipe.split == "report":
        leaked = leak(sets["train"], sets["validation"], scores["validation"])
    return Results(
        status=Status.FINISHED,
        seed=recipe.seed,
        split=recipe.split,
        device=f"GPU: {found['device']}, from TensorFlow's programs",
        epochs=len(found["history loss"]),
        best_epoch=int(found["best epoch"]),
        seconds=float(found["history seconds"].sum()),
        people={name: len(pairs.identities()) for name, pairs in sets.items()},
        figures=figures,
        raw_pixels=raw_pixels,
        leak=leaked,
    )


def read(folder: Path, data: Path, target: Path) -> None:
    """Makes a run folder of each run of a row of the report, and `optimizers.csv` of the others."""
    import report_optimizers

    from siamese_nn.evaluation.scoring import raw_pixel_scores
    from siamese_nn.runs import folder as runs
    from siamese_nn.training.claim import claim_of
    from siamese_nn.training.data import run_photos
    from siamese_nn.training.measure import figures_on

    sets, pixels, rows = {}, {}, []
    with tarfile.open(folder / DONE) as archive:
        archive.extractall(folder / "done", filter="data")
    for name, recipe in planned().items():
        path = folder / "done" / f"{name}.npz"
        if not path.exists():
            print("not run:", name)
            continue
        split = split_name(recipe)
        if split not in sets:
            sets[split] = sets_of(recipe, data)
            decoded = run_photos(recipe, sets[split], ())
            held_out = {part: pairs for part, pairs in sets[split].items() if part != "train"}
            scores = {part: raw_pixel_scores(pairs, decoded) for part, pairs in held_out.items()}
            pixels[split] = figures_on(sets[split], scores)
        with np.load(path) as file:
            found = dict(file)
        history = {key.partition(" ")[2]: found[key].tolist() for key in found if key.startswith("history")}
        if not np.isfinite(history["loss"][-1] + history["val_loss"][-1]):
            print("diverged:", name, history["loss"])
            if name.startswith("optimizers"):
                rows.append(report_optimizers.row(recipe, None))
            continue
        if name.startswith("optimizers"):
            results = results_of(recipe, {"validation": sets[split]["validation"]}, {}, found)
            rows.append(report_optimizers.row(recipe, results))
            continue
        own = target / name
        if (own / runs.RESULTS).exists():
            continue
        own.mkdir(parents=True, exist_ok=True)
        runs.write_claim(own, claim_of(recipe, sets[split], {}))
        epochs = [dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)]
        runs.write_history(own, [{"epoch": i + 1, **row} for i, row in enumerate(epochs)])
        runs.write_results(own, results_of(recipe, sets[split], pixels[split], found).as_json())
    report_optimizers.write_rows(rows, target / "optimizers.csv")


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("write", "run", "work", "read"):
        raise SystemExit(__doc__)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    where = Path(sys.argv[2])
    if sys.argv[1] == "write":
        write(where, Path(sys.argv[3]))
    elif sys.argv[1] == "read":
        read(where, Path(sys.argv[3]), Path(sys.argv[4]))
    elif sys.argv[1] == "work":
        work(where, float(sys.argv[3]), sys.argv[4:])
    else:
        run(where, *map(float, sys.argv[3:4]), *sys.argv[4:])
