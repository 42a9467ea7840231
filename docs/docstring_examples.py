"""Shows a docstring's `Example:` as code in the site, where only `Examples:` is known."""

import re
from typing import Any

import griffe


class DocstringExamples(griffe.Extension):
    """Renames the section."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Is called for each object that has been read."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:", "Examples:", obj.docstring.value, flags=re.MULTILINE)
