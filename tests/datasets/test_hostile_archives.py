"""Archives that were damaged or made to harm: each is read right, or refused by one error that names it."""

import gzip
import io
import random
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import pytest

from siamese_nn.datasets import PairFileError, make_toy_cfp, organize_cfp, organize_lfw_a, photo_sources

pytestmark = pytest.mark.once

JPEG = b"\xff\xd8\xff"
PHOTOS = {
    f"lfw2/{name}/{name}_{i:04d}.jpg".encode(): JPEG + f"{name} {i}".encode() * 9
    for name, count in {"Ann_Lee": 3, "Bo": 2, "Cy_Ng": 2, "Di": 1, "Ed": 2}.items()
    for i in range(1, count + 1)
}
WHOLE = {Path(name.decode()).name: content for name, content in PHOTOS.items()}
LONE_SURROGATE = "\udcff".encode("utf-8", "surrogatepass")
ODD_NAMES = [
    *(
        b"",
        b"/",
        b".",
        b"..",
        b"\xff\xfe",
        b"\0",
        b"lfw2/Ed",
        b"lfw2/Ed/Ed_0001.jpg/",
        b"lfw2/Ed/Ed_0001.jpg",
    ),
    *(b"lfw2/\xff/\xff_0001.jpg", b"lfw2/Ed/\xc3\x28_0001.jpg", b"lfw2/Ed/Ed_0001.jpg/Ed_0009.jpg"),
    *(b"%s/%s_0001.jpg" % (LONE_SURROGATE, LONE_SURROGATE), b"lfw2/Ed\n/Ed\n_x.jpg", b"Ed/Ed_0009.jpg\0.txt"),
    *(b"A" * 300 + b"/" + b"A" * 300 + b"_0001.jpg", b"A" * 60_000, b"/Ed/Ed_0009.jpg", b"../Ed/Ed_0009.jpg"),
    *(b"C:Ed/Ed_0009.jpg", b"..\\Ed_0009.jpg"),
]


def raw_zip(members: list[tuple[bytes, bytes]], flags: int = 0x800) -> bytes:
    """A stored zip by hand, for Python's writer refuses many a name."""
    file, directory = b"", b""
    for name, content in members:
        facts = struct.pack(
            "<HHHHIIIHH", flags, 0, 0, 0, zlib.crc32(content), len(content), len(content), len(name), 0
        )
        directory += b"PK\1\2" + struct.pack("<HH", 20, 20) + facts
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(file)) + name
        file += b"PK\3\4" + struct.pack("<H", 20) + facts + name + content
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(file), 0)
    return file + directory + b"PK\5\6" + end


def deflated_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in PHOTOS.items():
            archive.writestr(zipfile.ZipInfo(name.decode()), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def raw_tar(members: list[tuple[bytes, bytes]], form: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(
        fileobj=file, mode="w", format=form, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            info.size, info.pax_headers = len(content), {"comment": "x"} if form == tarfile.PAX_FORMAT else {}
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def organised(tmp_path: Path, content: bytes) -> str:
    """Returns "read" or "refused", and fails on anything else, or where something was written outside."""
    (tmp_path / "train.txt").write_text("1\nAnn_Lee 1 3\nAnn_Lee 1 Bo 2\n")
    (tmp_path / "test.txt").write_text("1\nCy_Ng 1 2\nDi 1 Cy_Ng 2\n")
    source, out = tmp_path / "archive", tmp_path / "in" / "out"
    source.write_bytes(content)
    shutil.rmtree(out.parent, ignore_errors=True)
    before = {path for path in tmp_path.rglob("*")}
    try:
        organize_lfw_a(source, out, train_pairs=tmp_path / "train.txt", test_pairs=tmp_path / "test.txt")
    except ValueError as error:
        assert type(error) in (ValueError, PairFileError), repr(error)
        assert str(source) in str(error) and len(str(error)) < 20_000, repr(error)
        assert {path for path in tmp_path.rglob("*")} == before
        return "refused"
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert all(path.parent.parent == out or path.parent == out for path in written)
    found = {path.name: path.read_bytes() for path in out.glob("*/*.jpg")}
    assert found.keys() >= WHOLE.keys()
    assert all(content[:3] == JPEG for content in found.values())
    return "read"


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: repr(name[:30]))
def test_odd_names_are_refused_by_name(tmp_path, name):
    members = [*PHOTOS.items(), (name, JPEG)]
    for flags in (0, 0x800):  # names in cp437, and in UTF-8
        assert organised(tmp_path, raw_zip(members, flags)) == "refused"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        outcome = organised(tmp_path, gzip.compress(raw_tar(members, form)))
        assert outcome == "refused" or name == b"Ed/Ed_0009.jpg\0.txt"  # to tar, a name ends at its first NUL


def test_a_name_that_is_no_utf_8_is_shown(tmp_path):
    members = [*PHOTOS.items(), (b"lfw2/Ed/Ed_\xff.jpg", JPEG)]
    pair_files = {"train_pairs": tmp_path / "train.txt", "test_pairs": tmp_path / "test.txt"}
    for content, shown in (
        (raw_zip(members), r"Ed_\xff.jpg"),
        (gzip.compress(raw_tar(members)), r"Ed_\udcff.jpg"),
    ):
        assert organised(tmp_path, content) == "refused"
        with pytest.raises(ValueError, match="not UTF-8") as raised:
            organize_lfw_a(tmp_path / "archive", tmp_path / "out", **pair_files)
        assert shown in str(raised.value)


@pytest.mark.parametrize("kind", sorted({bytes([i]) for i in range(256)} - {b"0", b"\0", b"7", b"5"}))
def test_odd_types_of_tar_members_are_refused(tmp_path, kind):
    """All but files (0, NUL, contiguous 7) and folders; those of metadata hold none that can be read."""
    tar = bytearray(raw_tar([*PHOTOS.items(), (b"lfw2/Ed/Ed_0009.jpg", JPEG + bytes(600))]))
    header = tar.index(b"lfw2/Ed/Ed_0009.jpg")
    tar[header + 156 : header + 157] = kind
    assert organised(tmp_path, gzip.compress(resummed(tar, header))) == "refused"


def resummed(tar: bytearray, header: int) -> bytes:
    """Mends the checksum of a tar's header."""
    tar[header + 148 : header + 156] = b" " * 8
    tar[header + 148 : header + 156] = b"%06o\0 " % sum(tar[header : header + 512])
    return bytes(tar)


def test_what_unpacks_to_more_than_it_may_is_stopped_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(photo_sources, "_MOST_BYTES", 50_000)
    monkeypatch.setattr(photo_sources, "_MOST_MEMBER_BYTES", 20_000)
    monkeypatch.setattr(photo_sources, "_MOST_HEADER_BYTES", 30_000)
    read, real = Counter(), gzip.GzipFile.read

    def counted(file, size=-1):
        content = real(file, size)
        read["bytes"] += len(content)
        return content

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    zeros, member = bytes(10_000_000), [(b"lfw2/Ed/Ed_0009.jpg", JPEG + bytes(25_000))]
    header = tarfile.TarInfo("lfw2/Ed/Ed_0009.jpg").tobuf()
    metadata = bytearray(header[:156] + b"x" + header[157:])  # read whole into memory by tarfile
    metadata[124:136] = b"%011o\0" % len(zeros)
    bombs = {
        "a file": raw_tar([*PHOTOS.items(), *member]),
        "many files": raw_tar(
            [(name.replace(b"lfw2", b"%d" % i), bytes(9_000)) for i in range(9) for name in PHOTOS]
        ),
        "metadata": resummed(metadata, 0) + zeros,
        "an end without an end": raw_tar(list(PHOTOS.items())) + zeros,
    }
    for tar in bombs.values():
        read.clear()
        assert organised(tmp_path, gzip.compress(tar)) == "refused"
        assert read["bytes"] < 150_000
    assert organised(tmp_path, raw_zip([*PHOTOS.items(), *member])) == "refused"
    claims = raw_zip([*PHOTOS.items(), (b"lfw2/Ed/Ed_0009.jpg", JPEG)])
    for size in (21_000, 2**31, 2**32 - 1):
        harm = struct.pack("<II", 3, size)
        assert organised(tmp_path, claims.replace(struct.pack("<II", 3, 3), harm)) == "refused"
    denies, file = struct.pack("<I", len(zeros)), io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lfw2/Ed/Ed_0009.jpg", JPEG + zeros[3:])
    assert organised(tmp_path, file.getvalue().replace(denies, struct.pack("<I", 9))) == "refused"


def harmed(generator: random.Random, content: bytes, start: int = 0) -> bytes:
    """Bits flipped, cut off, a hole, a part again, or a run of extreme bytes."""
    harm, content = generator.randrange(6), bytearray(content)
    place = generator.randrange(start, len(content))
    if harm < 2:
        for _ in range(generator.choice([1, 2, 8, 40])):
            content[generator.randrange(start, len(content))] ^= 1 << generator.randrange(8)
    elif harm == 2:
        del content[place:]
    elif harm == 3:
        del content[place : place + generator.randrange(1, 600)]
    elif harm == 4:
        content[place:place] = content[: generator.randrange(1, 600)]
    else:
        content[place : place + 8] = generator.choice([b"\0", b"\xff", b"\x80"]) * generator.choice([2, 4, 8])
    return bytes(content)


def harmed_header(generator: random.Random, tar: bytes) -> bytes:
    """A field of one header replaced, with a checksum that is right."""
    tar = bytearray(tar)
    header = generator.choice([at for at in range(0, len(tar), 512) if tar[at + 257 : at + 262] == b"ustar"])
    start, length = generator.choice(
        [(0, 100), (100, 8), (124, 12), (136, 12), (157, 100), (257, 8), (345, 155)]
    )
    filler = generator.choice([b"\0", b"\xff", b"7", b"-", b"\x80" + bytes(11), generator.randbytes(length)])
    tar[header + start : header + start + length] = (filler * length)[:length]
    return resummed(tar, header)


def test_many_harmed_archives_are_read_right_or_refused(tmp_path):
    generator, outcomes, members = random.Random(15), Counter(), list(PHOTOS.items())
    zips = [raw_zip(members), deflated_zip()]
    tars = [raw_tar(members, form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    for _ in range(100):
        archive, tar = generator.choice(zips), generator.choice(tars)
        for kind, content in {
            "zip": harmed(generator, archive),
            "zip directory": harmed(generator, archive, archive.index(b"PK\1\2")),
            "gzip": harmed(generator, gzip.compress(tar, mtime=0)),
            "tar": gzip.compress(harmed(generator, tar), 1),
            "tar header": gzip.compress(harmed_header(generator, tar), 1),
        }.items():
            outcomes[kind, organised(tmp_path, content)] += 1
    assert outcomes.total() == 500
    assert all(outcomes[kind, "refused"] >= 30 for kind, _ in outcomes), outcomes


@pytest.fixture(scope="module")
def cfp_members(tmp_path_factory) -> list[tuple[bytes, bytes]]:
    folder = make_toy_cfp(tmp_path_factory.mktemp("toy") / "cfp", frontal_photos=2, profile_photos=1)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "toy_cfp.json"]
    return [(path.relative_to(folder).as_posix().encode(), path.read_bytes()) for path in files]


def cfp_organised(tmp_path: Path, content: bytes, whole: dict[str, bytes]) -> str:
    source, out = tmp_path / "archive", tmp_path / "out"
    source.write_bytes(content)
    try:
        organize_cfp(source, out)
    except ValueError as error:
        assert str(source) in str(error) and len(str(error)) < 20_000, repr(error)
        assert list(tmp_path.iterdir()) == [source]
        return "refused"
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == whole.keys() | {"cfp.json", ".lock"}
    assert all((out / name).read_bytes() == content for name, content in whole.items())
    shutil.rmtree(out)
    return "read"


@pytest.mark.slow
def test_many_harmed_archives_of_cfp_are_read_right_or_refused(tmp_path, cfp_members):
    generator, outcomes = random.Random(15), Counter()
    whole = {name.decode(): content for name, content in cfp_members}
    archive = raw_zip(cfp_members)
    directory = archive.index(b"PK\1\2")
    for _ in range(25):
        for start in (0, directory):
            outcomes[cfp_organised(tmp_path, harmed(generator, archive, start), whole)] += 1
    for name in ODD_NAMES:
        outcomes[cfp_organised(tmp_path, raw_zip([*cfp_members, (name, JPEG)]), whole)] += 1
    assert outcomes["refused"] > 30 and outcomes["read"] > 10, outcomes
