"""What follows the last valid tail: cut off if it was never finished, never if it holds models that
no index leads to any more.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from builders import archive, decoder_bytes, header

from velcodec.formats.container.append import append_to
from velcodec.formats.container.framing import TAIL_BYTES
from velcodec.formats.container.header import Layout
from velcodec.formats.container.integrity import check_every_byte
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.salvage import salvage
from velcodec.formats.container.unfinished import check_rest
from velcodec.formats.errors import DamagedEndError

OLD = [b"old %d" % i for i in range(20)]
ADDED = [b"added %d" % i * (1 + i % 9) for i in range(180)]
OTHER = header(layouts=(Layout(5, 6),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "a.vlat"
    found.write_bytes(archive(OLD))
    add(found, ADDED)
    return found


def add(path: Path, payloads: list[bytes], *, ignore_rest: bool = False) -> None:
    with append_to(path, ignore_rest=ignore_rest) as writer:
        writer.use(OTHER)
        writer.add_many(payloads)


def damage(path: Path, at: int, bit: int = 0) -> bytes:
    """Flip a bit, and check that only the old models are listed."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)
    with VlatReader(path) as reader:
        assert len(reader) == len(OLD)
    return bytes(data)


def directory_of(path: Path) -> range:
    """The bytes of the last directory and its tail."""
    data = path.read_bytes()
    size = int.from_bytes(data[-TAIL_BYTES : 4 - TAIL_BYTES], "little")
    return range(len(data) - TAIL_BYTES - size, len(data))


def refused(path: Path, match: str = "found 180 intact models") -> None:
    before = path.read_bytes()
    with pytest.raises(DamagedEndError, match=match):
        add(path, [b"more"])
    assert path.read_bytes() == before


def test_no_bit_flipped_in_the_last_directory_or_tail_lets_an_addition_destroy_models(
    path: Path,
) -> None:
    data = path.read_bytes()
    for at in directory_of(path):
        for bit in range(8):
            damage(path, at, bit)
            refused(path)
            path.write_bytes(data)


def test_a_refused_addition_can_be_repaired_or_forced(path: Path) -> None:
    whole = path.read_bytes()
    data = damage(path, directory_of(path)[3])
    found = salvage(data, "a.vlat")
    assert [record.payload(data) for record in found.records] == OLD + ADDED
    with pytest.raises(DamagedEndError, match=r"a\.vlat: end: .*velcodec repair.*--ignore-rest"):
        add(path, [b"more"])
    add(path, [b"more"], ignore_rest=True)
    with VlatReader(path) as reader:
        assert list(reader.payloads()) == [*OLD, b"more"]
    assert path.read_bytes() != whole


def test_a_flipped_bit_and_a_lost_index_leave_the_other_blocks(path: Path) -> None:
    start = path.read_bytes().index(ADDED[100])
    data = path.read_bytes()
    lost = directory_of(path)
    broken = bytearray(data[: lost.start] + bytes(len(lost)))
    broken[start] ^= 1
    path.write_bytes(broken)
    refused(path, "found 116 intact models and 1 intact parts")


def test_two_additions_that_both_lost_their_index(path: Path) -> None:
    first = directory_of(path)
    add(path, [b"later %d" % i for i in range(30)])
    data = bytearray(path.read_bytes())
    data[first[3]] ^= 1
    path.write_bytes(data)
    damage(path, directory_of(path)[3])
    refused(path, "found 210 intact models")


@pytest.mark.parametrize("overwritten", [b"\xff", b"\x00", b"vlt\n"])
def test_an_overwritten_end_is_not_an_interrupted_addition(path: Path, overwritten: bytes) -> None:
    data, end = path.read_bytes(), directory_of(path)
    new = (overwritten * len(end))[: len(end)]
    path.write_bytes(data[: end.start] + new)
    refused(path)


def test_bytes_that_hold_nothing_are_cut_off(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data + os.urandom(300))
    add(path, [b"more"])
    with VlatReader(path) as reader:
        assert list(reader.payloads()) == [*OLD, *ADDED, b"more"]


def test_an_addition_that_was_cut_anywhere_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(archive(OLD))
    before = path.stat().st_size
    with append_to(path) as writer:
        writer.use(OTHER)
        writer.add_many(ADDED[:12])
        writer.attach(b"x", b"a note of a later version")
        writer.use(header())
        writer.embed(decoder_bytes())
        writer.add(bytes(range(256)) * 5)
    whole = path.read_bytes()
    last = len(whole)
    for cut in (
        *range(before, before + 300),
        *range(before + 300, last, 11),
        *range(last - 60, last),
    ):
        path.write_bytes(whole[:cut])
        with VlatReader(path) as reader:
            check_rest(reader)
    path.write_bytes(whole[:-1])
    add(path, [b"more"])
    with VlatReader(path) as reader:
        assert list(reader.payloads()) == [*OLD, b"more"]


def test_a_length_beyond_the_end_hides_no_other_block(path: Path) -> None:
    """A block with an altered length looks cut off, like a torn one."""
    data, end = path.read_bytes(), directory_of(path)
    with VlatReader(path) as reader:
        block = reader.locate(len(OLD))
    broken = bytearray(data[: end.start])
    broken[block.at : block.at + 5] = b"\x01\xff\xff\xff\x01"
    path.write_bytes(broken)
    refused(path, "found 116 intact models")


def test_checking_every_byte_includes_models_that_no_index_lists(path: Path) -> None:
    whole = path.read_bytes()
    damage(path, directory_of(path)[3])
    with VlatReader(path) as reader, pytest.raises(DamagedEndError, match="180 intact models"):
        check_every_byte(reader)
    path.write_bytes(whole[:-1])
    with VlatReader(path) as reader:
        assert "never finished" in check_every_byte(reader)[0]
