"""On which devices a training computes, and what goes to each."""

import json
import logging
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

import tensorflow as tf

from ..datasets.pipelines import as_written
from ..recipes.recipe import Recipe
from .callbacks import completed_epochs

logger = logging.getLogger(__name__)

_STRATEGIES: dict[tuple[str, ...], tf.distribute.MirroredStrategy] = {}
"""One for each set of devices: TensorFlow confuses what devices exchange for one with that for another."""


def strategy_for(recipe: Recipe, strategy: tf.distribute.Strategy | None) -> tf.distribute.Strategy:
    """Returns the strategy of a training: what is asked for, or all GPUs that its batches suit.

    Args:
        recipe: the recipe, whose batches are divided among the devices.
        strategy: what was asked for, if anything.

    Raises:
        ValueError: if it is no strategy, of an unknown kind, or the recipe's batches can't be divided.
    """
    if tf.distribute.has_strategy():
        raise ValueError(
            "`train` must be called outside of the scope of a strategy, which it enters itself. Pass it as "
            f"`strategy`. Received: the scope of a {type(tf.distribute.get_strategy()).__name__}"
        )
    if strategy is None:
        gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
        most = max((n for n in range(2, len(gpus) + 1) if _indivisible(recipe, n) is None), default=1)
        if most < len(gpus):
            logger.warning("the batches are divided among %d of %d GPUs, which they suit", most, len(gpus))
        return tf.distribute.get_strategy() if most == 1 else _mirrored(gpus[:most])
    if not isinstance(strategy, (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)):
        raise ValueError(
            "`strategy` must be a `tf.distribute.MirroredStrategy` or `MultiWorkerMirroredStrategy`, or "
            f"None. Received: strategy={strategy!r}"
        )
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        if hasattr(tf.keras, "ops"):
            raise ValueError(
                "`strategy` can't be a `MultiWorkerMirroredStrategy` on Keras 3, whose `fit` fails under it "
                "(keras#20585). Take a `MirroredStrategy` over the devices of one machine, or install the "
                "extra `addons`, which brings Keras 2. Received: strategy over "
                f"{strategy.num_replicas_in_sync} devices"
            )
        if recipe.before is not None:
            raise ValueError(
                "`strategy` must be of one machine where a recipe has a `pretraining` or a `teacher`. "
                "Received: a `MultiWorkerMirroredStrategy`"
            )
    if fault := _indivisible(recipe, strategy.num_replicas_in_sync):
        raise ValueError(
            f"{fault}, {strategy.num_replicas_in_sync} devices, which share each batch. Change one of them"
        )
    return _first(strategy)


def strategy_over(devices: str) -> tf.distribute.Strategy:
    """Returns the strategy over some devices of this machine: its GPUs, or without any its CPU.

    Args:
        devices: `"all"`, or numbers, as `"0,1"`.

    Raises:
        ValueError: if there is no such device.
    """
    found = [
        device.name
        for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    ]
    if devices == "all":
        return _mirrored(found)
    numbers = [int(part) if part.strip().isdecimal() else -1 for part in devices.split(",")]
    if len(set(numbers)) < len(numbers) or not all(0 <= number < len(found) for number in numbers):
        raise ValueError(
            '`devices` must be "all" or different numbers of this machine\'s devices, as "0,1". '
            f"Received: devices={devices!r}, and {len(found)} devices ({', '.join(found)})"
        )
    return _mirrored([found[number] for number in numbers])


def _mirrored(devices: Sequence[str]) -> tf.distribute.MirroredStrategy:
    return _first(tf.distribute.MirroredStrategy(devices))


def _first(strategy: tf.distribute.MirroredStrategy) -> tf.distribute.MirroredStrategy:
    """Returns the first strategy over the devices of one."""
    return _STRATEGIES.setdefault(strategy.extended.worker_devices, strategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run: the only one, or the first of several machines."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type in (None, "", "chief"):
        return True
    first = resolver.task_type == "worker" and resolver.task_id == 0
    return first and "chief" not in resolver.cluster_spec().jobs


@contextmanager
def own_folder(strategy: tf.distribute.Strategy, run_dir: Path, claim: Callable[[], dict]) -> Iterator[Path]:
    """The folder that this process trains in: the run's, or on further machines a copy that goes at the end.

    Args:
        strategy: of the training.
        run_dir: the folder of the run.
        claim: says what the run is; asked where there are several machines.

    Raises:
        ValueError: if another machine trains something else, or the run stands elsewhere there.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        yield run_dir
        return
    # 24 bits: machines' numbers are added up as int32.
    digest = sha256(json.dumps(claim(), sort_keys=True).encode()).hexdigest()[:6]
    if not _is_everywhere(strategy, int(digest, 16)):
        raise ValueError(
            "All machines must train one recipe on the same pairs and photos: else one learns people whom "
            "another validates on. Received: other ones here than elsewhere. Make scripts and folders equal"
        )
    with TemporaryDirectory() as temporary:
        folder = run_dir
        if not is_chief(strategy):
            folder = Path(temporary, "run")
            if run_dir.exists():
                copytree(run_dir, folder, ignore=ignore_patterns(".*"))
        epochs = completed_epochs(folder)
        if not _is_everywhere(strategy, epochs):
            raise ValueError(
                "`run_dir` must be one folder, which all machines share. Received: "
                f"{run_dir}, which holds {epochs} epochs here, and another number elsewhere"
            )
        yield folder
        _sum(strategy, 0)  # waits for the others


def _is_everywhere(strategy: tf.distribute.Strategy, number: int) -> bool:
    """Whether all machines have the same number; if not, those whose number is not the mean know."""
    return _sum(strategy, number) == number * strategy.num_replicas_in_sync


def _sum(strategy: tf.distribute.Strategy, number: int) -> int:
    """Returns the sum of all replicas' numbers. None goes on before all have come so far."""
    return int(strategy.reduce("SUM", strategy.run(lambda: tf.constant(number)), axis=None))


def _indivisible(recipe: Recipe | None, devices: int) -> str | None:
    """Says why the batches of a recipe or of what comes before it can't be divided, if they can't."""
    while recipe is not None:
        people = recipe.identities_per_batch
        if recipe.kind == "groups" and people < devices:
            return f"`identities_per_batch` must be at least the number of devices. Received: {people}"
        if recipe.kind != "groups" and recipe.batch_size % devices:
            return f"`batch_size` must be a multiple of the number of devices. Received: {recipe.batch_size}"
        recipe = recipe.before
    return None


def in_equal_shares(data: tf.data.Dataset, replicas: int) -> tf.data.Dataset:
    """Makes the batches of a dataset divisible among replicas.

    Of a batch the last examples, fewer than there are replicas, sit out: in the last batch of an epoch, and
    in batches of people, which differ in size. They are other ones in each epoch. Shares that differ in size
    would weigh their examples unequally, and Keras 3 refuses them in the first batch.
    """
    if replicas == 1:
        return data

    def cut(*batch):
        size = tf.shape(batch[1])[0]
        return tf.nest.map_structure(lambda part: part[: size - size % replicas], batch)

    options = tf.data.Options()
    # Of several machines each takes its part of each batch.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    data = data.map(as_written(cut)).filter(as_written(lambda _, labels: tf.size(labels) > 0))
    return data.with_options(options)


def describe_devices(strategy: tf.distribute.Strategy) -> str:
    """Says in words on what a training computes."""
    gpus = tf.config.list_physical_devices("GPU")
    used = ["GPU:0"] if gpus else ["CPU:0"]
    if isinstance(strategy, (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)):
        used = list(strategy.extended.worker_devices)
    if "CPU" in used[0]:
        replicas = strategy.num_replicas_in_sync
        shares = f", {replicas} replicas" if replicas > 1 else ""
        return f"CPU: {platform.processor() or platform.machine()}, {os.cpu_count()} cores{shares}"
    numbers = [int(name.rpartition(":")[2]) for name in used]
    of_machine = [gpus[number] for number in numbers if number < len(gpus)]  # one may be split into several
    details = tf.config.experimental.get_device_details
    return f"GPU: {', '.join(details(gpu).get('device_name', gpu.name) for gpu in of_machine)}"
