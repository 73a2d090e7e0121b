"""Sections: framed alike whatever they hold, so that any reader finds the next one."""

from __future__ import annotations

import string
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from velcodec.formats.container import sections
from velcodec.formats.container.sections import KNOWN, is_critical, pack_section, read_section
from velcodec.formats.errors import CorruptError, OptionError, TruncatedError
from velcodec.formats.storage.source import ByteSource
from velcodec.formats.storage.varint import encode_varint

KINDS = st.sampled_from([letter.encode() for letter in string.ascii_letters])


@given(KINDS, st.binary(max_size=300), st.binary(max_size=9), st.binary(max_size=9))
def test_a_section_is_read_where_it_stands(
    kind: bytes, body: bytes, before: bytes, after: bytes
) -> None:
    data = pack_section(kind, body)
    found = read_section(ByteSource(before + data + after), len(before), kind, "part")
    assert (found.kind, found.body) == (kind, body)
    assert (found.at, found.end) == (len(before), len(before) + len(data))


def test_a_section_is_its_parts() -> None:
    framed = b"H" + b"\x03" + b"abc"
    assert pack_section(b"H", b"abc") == b"\x00" + framed + zlib.crc32(framed).to_bytes(4, "little")


def test_capital_types_must_be_understood() -> None:
    assert all(is_critical(kind) for kind in KNOWN)
    assert not any(is_critical(kind.lower()) for kind in KNOWN)
    assert is_critical(b"\x07")


def test_every_flipped_bit_is_noticed() -> None:
    data = pack_section(b"H", b"what it holds")
    for bit in range(8 * len(data)):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptError, TruncatedError), match=r"^archive: part: "):
            read_section(ByteSource(bytes(altered)), 0, b"H", "part")


def test_every_cut_is_noticed() -> None:
    data = pack_section(b"H", b"what it holds")
    for cut in range(len(data)):
        with pytest.raises((CorruptError, TruncatedError)):
            read_section(ByteSource(data[:cut]), 0, b"H", "part")


@pytest.mark.parametrize("at", [-1, 10, 1 << 70])
def test_a_place_outside_the_file_is_refused(at: int) -> None:
    with pytest.raises(TruncatedError, match="part: found byte"):
        read_section(ByteSource(b"0123456789"), at, b"H", "part")


def test_another_type_than_expected_is_refused() -> None:
    with pytest.raises(CorruptError, match=r"part: found b'\\x00P', expected a section H"):
        read_section(ByteSource(pack_section(b"P", b"")), 0, b"H", "part")


@pytest.mark.parametrize("length", [1 << 28, (1 << 28) + 1, 1 << 62])
def test_a_hostile_length_costs_no_memory(length: int) -> None:
    data = b"\x00H" + encode_varint(length) + bytes(100)
    tracemalloc.start()
    with pytest.raises((CorruptError, TruncatedError), match="archive: part"):
        read_section(ByteSource(data), 0, b"H", "part")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_body_that_no_reader_would_take_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "MAX_SECTION_BYTES", 10)
    with pytest.raises(OptionError, match="section P: found 11 bytes, expected at most 10"):
        pack_section(b"P", bytes(11))
