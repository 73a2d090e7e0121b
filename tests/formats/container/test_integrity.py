"""Checksums bind what belongs together: nothing moved, flipped or cut is accepted."""

from __future__ import annotations

import io

import pytest
from builders import archive, entry_of, header

from velcodec.formats.container.block import BlockId, checksum_of, pack_block
from velcodec.formats.container.header import Layout
from velcodec.formats.container.journal import read_journal
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.scan import scan
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import CorruptError


def swapped(data: bytes, a: bytes, b: bytes) -> bytes:
    """`data` with two of its pieces, of equal size, swapped."""
    assert len(a) == len(b)
    assert data.count(a) == data.count(b) == 1
    return data.replace(a, b"?" * len(a)).replace(b, a).replace(b"?" * len(a), b)


def test_swapped_blocks_are_refused_from_the_index_and_from_the_front() -> None:
    whole = archive([b"first", b"other"], keys=["a", "b"], apart=True)
    data = swapped(whole, entry_of(whole, 0, b"first"), entry_of(whole, 1, b"other"))
    with pytest.raises(CorruptError, match="record 0: checksum"):
        VlatReader(data).payload(0)
    with pytest.raises(CorruptError, match="record 0: checksum"):
        list(scan(io.BytesIO(data)))


def test_payloads_swapped_together_with_their_checksums_are_refused() -> None:
    whole = archive([b"first", b"other"], keys=["a", "b"], apart=True)
    first, other = (entry_of(whole, i, p)[1:] for i, p in enumerate((b"first", b"other")))
    data = swapped(whole, first, other)
    with pytest.raises(CorruptError, match="record 1: checksum"):
        VlatReader(data).payload(1)


def two_pages(journal: bool) -> tuple[bytes, list[bytes]]:
    """Records of one length in two pages of one size, and the pages' sections."""
    stream = io.BytesIO()
    writer = VlatWriter(stream, header(), journal=journal)
    for numbers in ((0, 1), (2, 3), (4, 5)):
        writer.add_many([f"model {i}".encode() for i in numbers], [f"key {i}" for i in numbers])
        writer.end_page()
    writer.close()
    data = stream.getvalue()
    places = [page.place for page in VlatReader(data).directory.pages]
    return data, [data[place.at : place.at + place.size] for place in places]


@pytest.mark.parametrize("journal", [False, True])
def test_swapped_pages_are_refused_so_that_no_key_leads_to_another_record(journal: bool) -> None:
    data, pages = two_pages(journal)
    altered = swapped(data, pages[1], pages[2])
    with pytest.raises(CorruptError, match="found the page of record 4, not of 2"):
        VlatReader(altered).key_index("key 4")
    assert VlatReader(data).key_index("key 4") == 4


def test_a_journal_ends_before_a_page_of_other_records() -> None:
    data, pages = two_pages(True)
    assert read_journal(io.BytesIO(data), "a.vlat").keys == [f"key {i}" for i in range(6)]
    altered = swapped(data, pages[1], pages[2])
    assert read_journal(io.BytesIO(altered), "a.vlat").keys == ["key 0", "key 1"]


def test_swapped_headers_are_refused_so_that_no_record_is_decoded_by_another() -> None:
    stream = io.BytesIO()
    writer = VlatWriter(stream, header())
    for n in (70, 71, 72):
        writer.use(header(layouts=(Layout(n, 70),)))
        writer.add(b"record")
    writer.close()
    data = stream.getvalue()
    places = VlatReader(data).directory.headers
    second, third = (data[place.at : place.at + place.size] for place in places)
    altered = swapped(data, second, third)
    with pytest.raises(CorruptError, match="header: found the one of number 2, expected 1"):
        VlatReader(altered).header_of(1)
    with pytest.raises(CorruptError, match="header: found the one of number 2, expected 1"):
        list(scan(io.BytesIO(altered)))


def test_any_flipped_bit_of_a_block_is_noticed() -> None:
    for payloads in ([b"abc" * 500], [b"a", b"bcd" * 30, b""]):
        block_id = BlockId(b"seal", 5, 0)
        block = bytearray(pack_block(block_id, payloads))
        for bit in range(8 * len(block)):
            block[bit // 8] ^= 1 << bit % 8
            assert checksum_of(block_id, [bytes(block[:-4])]) != block[-4:]
            block[bit // 8] ^= 1 << bit % 8
