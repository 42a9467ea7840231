"""Hostile archives of photos: sorted as the whole one, or refused, and nothing written elsewhere."""

import gzip
import io
import random
import tarfile
import warnings
import zipfile
from pathlib import Path

from .ground import SHORT, Ground
from .harm import harm_bytes
from .kills import after_kill, fault_of_organized
from .outcome import Outcome, judge, worst
from .process import run

_NAMES = (
    *(
        "",
        "/",
        "..",
        ".",
        "../escaped.jpg",
        "/tmp/escaped-from-trial.jpg",
        "lfw2/A_B/../../../escaped.jpg",
        "a\\b.jpg",
    ),
    *(
        "C:\\x.jpg",
        "lfw2/A_B/A_B_0001.jpg\0.txt",
        "lfw2/" + "x" * 300 + "/y_0001.jpg",
        "x/" * 2000 + "y.jpg",
        "\n",
    ),
    *(
        "lfw2/Ж_Ж/Ж_Ж_0001.exe",
        "lfw2/\udcff_\udcfe/\udcff_\udcfe_0001.jpg",
        "lfw2/A_B",
        "lfw2/A_B/",
        " ",
        "lfw2//x",
    ),
    *(
        "lfw2/A_B/A_B_0001.JPG/inside.jpg",
        "lfw2/CON/CON_0001.jpg.",
        "lfw2/A_B/A_C_0001.jpg",
        "con:stream.jpg",
    ),
)
_TYPES = (
    *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE),
    *(tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"Z", tarfile.DIRTYPE),
)


def hostile_archive(ground: Ground, draw: random.Random, folder: Path) -> Outcome:
    """Organises a hostile archive, then a whole one into the same place, which must always go well."""
    made, output = ground.organized, folder / "organized"
    kind = draw.choice(["zip", "tar.gz"])
    source = folder / f"hostile.{kind}"
    content = made["sources"][kind].read_bytes()
    if draw.random() < 0.4:
        told, content = harm_bytes(content, draw)
        source.write_bytes(content)
    elif kind == "zip":
        told = _hostile_zip(made["sources"][kind], source, draw)
    else:
        told = _hostile_tar(made["sources"][kind], source, draw)
    ending = run(lambda: ground.organize(source, output), folder / "scratch", SHORT)
    names = (source.name, str(output))

    def fault(counts: dict[str, int]) -> str | None:
        # Changed before it was packed: a tar has no checksum of a photo, so
        # this is an archive of another photo.
        return None if "inside" in told else fault_of_organized(ground, output, counts)

    outcomes = [judge(ending, fault, names)]
    escaped = [
        path for path in (folder / "escaped.jpg", Path("/tmp/escaped-from-trial.jpg")) if path.exists()
    ]
    if escaped:
        outcomes.append(Outcome("wrong", f"written outside: {escaped}"))
    if ending.kind == "error":
        again = run(lambda: ground.organize(made["sources"]["zip"], output), folder / "scratch", SHORT)
        outcomes.append(after_kill(again, lambda: fault_of_organized(ground, output, again.value)))
        if outcomes[-1].word == "right":
            outcomes.pop()
    outcome = worst(outcomes)
    return Outcome(outcome.word, f"{kind}, {told}: {outcome.detail}")


def _hostile_zip(source: Path, target: Path, draw: random.Random) -> str:
    how = draw.choice(["name", "name", "twice", "link", "claim", "encrypted", "bomb", "empty", "comment"])
    name = draw.choice(_NAMES)
    with zipfile.ZipFile(source) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    first = next(member for member in members if member.endswith(".jpg"))
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for member, content in members.items():
            archive.writestr(member, content)
        if how == "name":
            # Of a length that stays: the name's own bytes take the place of these.
            raw = name.encode("utf-8", "surrogateescape")
            archive.writestr("#" * max(len(raw), 1), members[first])
        elif how == "twice":
            archive.writestr(
                draw.choice([first, first.upper(), first.replace(".jpg", ".png")]), b"\xff\xd8\xff"
            )
        elif how == "link":
            info = zipfile.ZipInfo("lfw2/Li_Nk/Li_Nk_0001.jpg")
            info.external_attr = draw.choice([0o120777, 0o020666, 0o010666]) << 16
            archive.writestr(info, "/etc/passwd")
        elif how == "bomb":
            with archive.open("lfw2/Bo_Mb/Bo_Mb_0001.jpg", "w") as stream:
                stream.write(b"\xff\xd8\xff")
                for _ in range(100):
                    stream.write(bytes(2**23))
        elif how == "empty":
            archive.writestr("lfw2/Em_Pty/Em_Pty_0001.jpg", b"")
        elif how == "comment":
            archive.comment = draw.randbytes(60_000)
    content = bytearray(target.read_bytes())
    if how == "name":
        raw = name.encode("utf-8", "surrogateescape")
        content = content.replace(b"#" * max(len(raw), 1), raw or b"\0")
    elif how in ("claim", "encrypted"):
        # In the directory at the end: a member's flags, or the size that it claims.
        at = content.rindex(b"PK\x01\x02") + (8 if how == "encrypted" else 24)
        content[at : at + (1 if how == "encrypted" else 4)] = (
            b"\x01" if how == "encrypted" else draw.randbytes(4)
        )
    target.write_bytes(content)
    return f"{how} {name[:40]!r}" if how == "name" else how


def _hostile_tar(source: Path, target: Path, draw: random.Random) -> str:
    how = draw.choice(["name", "name", "type", "type", "size", "twice", "unpacked"])
    name, kind = draw.choice(_NAMES), draw.choice(_TYPES)
    raw = gzip.decompress(source.read_bytes())
    stream = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(raw)) as old, tarfile.open(fileobj=stream, mode="w") as new:
        for member in old:
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
        photo = next(member for member in old if member.name.endswith(".jpg"))
        content = old.extractfile(photo).read()
        info = tarfile.TarInfo("lfw2/Ty_Pe/Ty_Pe_0001.jpg")
        info.size = len(content)
        if how == "name":
            info.name = name
        elif how == "type":
            info.type, info.linkname = kind, "/etc/passwd"
        elif how == "twice":
            info.name = draw.choice([photo.name, photo.name.upper()])
        if how in ("name", "type", "twice"):
            new.addfile(info, io.BytesIO(content))
    tar = stream.getvalue()
    if how == "size":
        told, tar = harm_bytes(tar, draw)
        how = f"inside: {told}"
    target.write_bytes(tar if how == "unpacked" else gzip.compress(tar, 1))
    return how + (f" {name[:40]!r}" if how == "name" else f" {kind!r}" if how == "type" else "")
