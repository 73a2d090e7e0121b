"""The directory round-trips, is short, and lists no impossible place."""

from __future__ import annotations

import tracemalloc

import msgpack
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.container.block import least_bytes
from velcodec.formats.container.directory import Directory, PageEntry
from velcodec.formats.container.sections import KNOWN, Place
from velcodec.formats.errors import CorruptError, UnknownFeatureError

END = 1 << 40
OWN, FIRST = Place(1000, 9), 40
"""Where the refused directories are, and where the first header before them ends."""

OTHER_KINDS = st.integers(1, 255).map(lambda kind: bytes([kind])).filter(lambda k: k not in KNOWN)


@st.composite
def directories(draw: st.DrawFn) -> Directory:
    """Sections anywhere, none inside another; pages whose records do not overlap."""
    counts = draw(st.tuples(*[st.integers(0, 12)] * 4))
    places, end = [], 0
    for _ in range(sum(counts)):
        at, size = end + draw(st.integers(0, END // 64)), draw(st.integers(1, 1 << 20))
        places.append(Place(at, size))
        end = at + size
    if draw(st.booleans()):  # distances may be negative
        places.reverse()
    headers, decoders, others, of_pages = (tuple(places.pop() for _ in range(n)) for n in counts)
    pages, behind = [], 0
    for place in of_pages:
        at, count = behind + draw(st.integers(0, END // 32)), draw(st.integers(1, 1 << 20))
        pages.append(PageEntry(place, at, count))
        behind = at + least_bytes(count)
    kinds = tuple(draw(OTHER_KINDS) for _ in others)
    return Directory(headers, tuple(pages), decoders, tuple(zip(kinds, others, strict=True)))


@settings(deadline=None)
@given(directories())
def test_any_directory_comes_back(own: Directory) -> None:
    found = Directory.from_bytes(own.to_bytes(), Place(END, 9), FIRST, "a.vlat")
    assert found == own
    assert found.models == sum(page.count for page in own.pages)


def test_pages_of_one_size_take_few_bytes() -> None:
    pages = tuple(
        PageEntry(Place(10**8 + i * 5000, 5000), 100 + i * 400_000, 4096) for i in range(1000)
    )
    assert len(Directory((), pages).to_bytes()) < 500


def packed(*parts: object) -> bytes:
    return b"\x00" + msgpack.packb(parts)


REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "a mapping": b"\x00\x80",
    "a section within another": packed([9, 9, 9, 1], [12, 9]),
    "a decoder twice": packed([], [], [9, 9, 0, 9]),
    "a section that is a page too": packed([9, 9, 9, 1], [], [], [120, 9, 9]),
    "two numbers for another section": packed([], [], [], [120, 9]),
    "a page among other sections": packed([], [], [], [ord("P"), 9, 9]),
    "another section of no letter": packed([], [], [], [256, 9, 9]),
    "another section beyond the end": packed([], [], [], [ord("x"), 990, 11]),
    "numbers for arrays": packed(1, 2, 3),
    "texts in arrays": packed(["9"] * 4, [], []),
    "fractions": packed([9.0] * 4, [], []),
    "truths": packed([True] * 4, [], []),
    "half a page": packed([9, 9], [], []),
    "half a header": packed([], [9], []),
    "a page beyond the end": packed([990, 11, 9, 1], [], []),
    "a page before the start": packed([-1, 5, 9, 1], [], []),
    "a page of negative size": packed([9, -5, 9, 1], [], []),
    "a page of no record": packed([9, 9, 9, 0], [], []),
    "a page of more records than bytes": packed([9, 9, 9, 7001], [], []),
    "records beyond the end": packed([9, 9, 1001, 1], [], []),
    "more records than there is room for": packed([9, 9, 9, 4800], [], []),
    "records twice": packed([9, 20, 5, 5, 9, 0, 9, 9], [], []),
    "records one within the others": packed([9, 20, 5, 5, 9, 2, 64, 64], [], []),
    "texts of its own type": b"\x00\x93\xd4\x01\x00\x90\x90",
    "a header beyond the end": packed([], [1 << 63, 9], []),
    "a decoder beyond the end": packed([], [], [9, 1 << 63]),
    "and more": packed([], [], []) + b"\xc0",
    "a count of what is not there": b"\x00\x93\xdd\xff\xff\xff\xff",
    "nested": b"\x00" + b"\x91" * 900,
    "deeply nested": b"\x00" + b"\x91" * 2000,
    "a bomb": b"\x01" + zstandard.ZstdCompressor().compress(bytes(1 << 27)),
    "a bomb of zeros in an array": b"\x01"
    + zstandard.ZstdCompressor().compress(b"\x93\xdd\x04\x00\x00\x00" + bytes(1 << 26)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_impossible_directory_is_refused_with_little_memory(case: str) -> None:
    tracemalloc.start()
    with pytest.raises(CorruptError, match=r"^a\.vlat: directory"):
        Directory.from_bytes(REFUSED[case], OWN, FIRST, "a.vlat")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused_or_a_directory(body: bytes) -> None:
    try:
        found = Directory.from_bytes(body, OWN, FIRST, "a.vlat")
    except (CorruptError, UnknownFeatureError):
        return
    assert found.models <= 8000 * len(found.pages)
