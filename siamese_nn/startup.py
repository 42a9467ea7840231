"""What TensorFlow says of itself when it starts is kept from the terminal, unless the user asks for it."""

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from tempfile import TemporaryFile
from types import ModuleType

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Of absl, before it is initialised: it writes then whatever the level is.
_START_UP = re.compile(rb"WARNING: All log messages before absl::InitializeLog|I\d{4} \d\d:\d\d:")


def be_quiet() -> None:
    """Has TensorFlow start without a word. Who sets `TF_CPP_MIN_LOG_LEVEL` below 3 sees it all.

    It must be called before TensorFlow is imported, or does nothing.
    """
    if os.environ.setdefault(LEVEL, "3") == "3" and "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietTensorFlow())


class _QuietTensorFlow(MetaPathFinder):
    """Finds TensorFlow as the other finders do, once, and has its import say nothing."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As `MetaPathFinder`."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with without_start_up_lines():
                    execute(module)

            setattr(spec.loader, "exec_module", exec_module)  # noqa: B010 (mypy knows it as a method)
        return spec


@contextmanager
def without_start_up_lines() -> Iterator[None]:
    """Leaves out the known start-up lines of what libraries write to the error stream; all else follows."""
    try:
        held, terminal = TemporaryFile(), os.dup(2)  # noqa: SIM115 (closed below)
    except OSError:  # no room to hold it, or a process without an error stream
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    os.dup2(held.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        with held:
            held.seek(0)
            for line in held:
                if not _START_UP.match(line):
                    os.write(2, line)
