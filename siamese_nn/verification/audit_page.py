"""The page of an audit: what was found, with the photos side by side."""

import io
import os
from itertools import groupby
from pathlib import Path

from PIL import Image

from ..datasets.images import ImageError
from ..datasets.raw_photos import open_raw_photo
from ..runs import html_page
from ..runs.html_page import Picture
from .audit import LEFT_OUT, NEARLY_TWICE, ONE_PERSON, SOMEBODY_ELSE, TWICE, Audit, Finding

_PHOTO = 96  # pixels of a side
_MOST = 60  # findings of a kind that are shown
_OF_A_PERSON = 3  # photos


def write_audit_page(audit: Audit, output: str | os.PathLike) -> Path:
    """Writes the page, and returns its path. The photos that it shows are in it, small."""
    sections = []
    for kind, group in groupby(audit.findings, key=lambda finding: finding.kind):
        found = list(group)
        shown = [{"photos": _photos(audit, finding), "finding": finding} for finding in found[:_MOST]]
        sections.append({"kind": kind, "n": len(found), "shown": shown})
    return html_page.write_page(
        output, "audit.html", title=f"What is wrong with {audit.folder.name}?", audit=audit, sections=sections
    )


def _photos(audit: Audit, finding: Finding) -> list[tuple[str, list[Picture]]]:
    """Groups of photos, each with what it is."""
    folder, people = audit.folder, audit.people
    if finding.kind == LEFT_OUT:
        return [(finding.photo, [])]
    if finding.kind == ONE_PERSON:
        return [(name, _of(folder, people[name])) for name in (finding.photo, finding.other)]
    own = [(finding.photo, _of(folder, [folder / finding.photo]))]
    if finding.kind in (TWICE, NEARLY_TWICE):
        return [*own, (finding.other, _of(folder, [folder / finding.other]))]
    if finding.kind == SOMEBODY_ELSE:
        person = next(name for name, photos in people.items() if folder / finding.photo in photos)
        rest = [path for path in people[person] if path != folder / finding.photo]
        own.append((person, _of(folder, rest)))
        if finding.other:
            own.append((finding.other, _of(folder, people[finding.other])))
    return own


def _of(folder: Path, paths: list[Path]) -> list[Picture]:
    return [_picture(path, path.relative_to(folder).as_posix()) for path in paths[:_OF_A_PERSON]]


def _picture(path: Path, name: str) -> Picture:
    try:
        photo = open_raw_photo(path)
    except ImageError:
        return Picture("", name)
    photo.thumbnail((_PHOTO, _PHOTO), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=80)
    return Picture(html_page.data_address(buffer.getvalue(), "image/jpeg"), name)
