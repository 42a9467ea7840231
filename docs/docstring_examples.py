"""Shows docstrings in the site as they are meant, where mkdocstrings reads them otherwise."""

import re
from typing import Any

import griffe


class DocstringExamples(griffe.Extension):
    """Renames `Example:`, as only `Examples:` is known, and keeps what is returned one paragraph."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Is called for each object that has been read."""
        if obj.docstring:
            text = re.sub(r"^Example:", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = re.sub(
                r"^(?:Returns|Yields):\n(?:    .*\n?)+", _hanging, text, flags=re.MULTILINE
            )


def _hanging(section: re.Match) -> str:
    """Indents all lines after the first: each line less far in would be a value of its own."""
    head, first, *rest = section[0].split("\n")
    return "\n".join([head, first, *("    " + line if line else line for line in rest)])
