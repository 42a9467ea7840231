"""Files that are whole or absent: a killed process leaves the old one or the new one, never half of one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes its place once the block has ended without an error.

    Args:
        path: the file to make or replace. Its folder is created where it is missing.

    Yields:
        The path to write to. It ends like `path`, so that writers who look at the ending are content.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with replacing(target) as partial:
        ...     _ = partial.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    os.replace(partial, path)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` to `path` in one step, as UTF-8 with `\\n` line ends."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def read_json(path: str | os.PathLike) -> Any:
    """Reads what `write_text` wrote as JSON; a damaged file is a `ValueError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}). Remove it, or the folder that it is in") from error
