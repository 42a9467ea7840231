"""Pair files and protocols that were damaged or made to harm: each is read, or refused by file and line."""

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from siamese_nn.datasets import PairFileError, cfp_photos, make_toy_cfp, read_cfp_folds, read_pairs

pytestmark = pytest.mark.once

VIEW_1 = b"2\nAda\t1\t2\nBob\t1\t2\nAda\t1\tBob\t1\nBob\t2\tAda\t2\n"
FILES = b"2\nAda\ta 1.jpg\t2.png\nBob\ta 1.jpg\t2.png\nAda\ta 1.jpg\tBob\t2.png\nBob\ta 1.jpg\tAda\t2.png\n"
VIEW_2 = b"2\t1\nAda\t1\t2\nAda\t1\tBob\t1\nBob\t1\t2\nBob\t2\tAda\t2\n"
ODD_BYTES = [
    *(
        b"\0",
        b"\xff",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\r",
        b"\x0b",
        b"\x1c",
        b"\x85",
        b"\xe2\x80\xa8",
        b"\xed\xb3\xbf",
    ),
    *(
        b"9" * 400,
        b"9" * 5000,
        b"-1",
        b"0",
        b"1e9",
        b"nan",
        b"\xd9\xa3",
        b"\xc2\xb2",
        b"999999999 999999999\n",
    ),
    *(b"A" * 100_000, b"\n" * 1000, b"../", b"/etc", b"\t\t"),
]


def harmed(generator: random.Random, text: bytes) -> bytes:
    text = bytearray(text)
    for _ in range(generator.choice([1, 1, 2, 5])):
        harm, place = generator.randrange(5), generator.randrange(len(text) + 1)
        if harm == 0:
            text[place:place] = generator.choice(ODD_BYTES)
        elif harm == 1:
            text[place : place + generator.randrange(1, 4)] = generator.choice(ODD_BYTES)
        elif harm == 2:
            del text[place:]
        elif harm == 3:
            lines = text.split(b"\n")
            generator.shuffle(lines)
            text = bytearray(b"\n".join(lines))
        elif text:
            text[place % len(text)] ^= 1 << generator.randrange(8)
    return bytes(text)


def test_many_harmed_pair_files_are_read_or_refused(tmp_path):
    generator, outcomes, file = random.Random(15), Counter(), tmp_path / "pairs.txt"
    (tmp_path / "photos").mkdir()
    for name in ("Ada", "Bob"):
        for number in (1, 2):
            (tmp_path / "photos" / f"{name}_{number:04d}.jpg").touch()
        (tmp_path / "photos" / name).mkdir()
        for photo in ("a 1.jpg", "2.png"):
            (tmp_path / "photos" / name / photo).touch()
    for _ in range(2000):
        file.write_bytes(harmed(generator, generator.choice([VIEW_1, VIEW_2, FILES])))
        try:
            assert read_pairs(file, tmp_path / "photos").identities() == {"Ada", "Bob"}
            outcomes["read"] += 1
        except PairFileError as error:
            assert re.match(rf"{re.escape(str(file))}:([0-9]+:)? ", str(error)), error
            outcomes["refused"] += 1
    assert outcomes["read"] > 20 and outcomes["refused"] > 500, outcomes


def test_many_harmed_lists_of_cfp_are_read_or_refused(tmp_path):
    generator, outcomes = random.Random(15), Counter()
    folder = make_toy_cfp(tmp_path / "cfp", frontal_photos=2, profile_photos=1)
    lists = ["Data/list_name.txt", "Protocol/Pair_list_F.txt", "Protocol/Pair_list_P.txt"]
    for _ in range(200):
        file = Path(folder) / generator.choice([*lists, "Protocol/Split/FP/03/diff.txt"])
        whole = file.read_bytes()
        file.write_bytes(harmed(generator, whole))
        try:
            for task in ("FF", "FP"):
                assert len(read_cfp_folds(folder, task)) == 10
            cfp_photos(folder)
            outcomes["read"] += 1
        except PairFileError as error:  # one too short is noticed by the line of another that needs it
            assert str(folder) in str(error) and len(str(error)) < 2000, error
            outcomes["refused"] += 1
        file.write_bytes(whole)
    assert outcomes["read"] > 5 and outcomes["refused"] > 100, outcomes
