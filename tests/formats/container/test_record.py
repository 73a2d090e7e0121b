"""Records: layout, tiling and streams of one model come back, or the record is refused."""

from __future__ import annotations

import dataclasses

import pytest
from builders import exact_coding, header
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.record import Record, pack_record, unpack_record
from velcodec.formats.errors import CorruptError, OptionError, TruncatedError
from velcodec.formats.sample_coding.domain import EVEN, Domain
from velcodec.formats.sample_coding.stream import CODERS, ExactStream
from velcodec.formats.storage.varint import encode_varint

ONE = header()
TILED = header(layouts=(Layout(200, 300),), tiled=True)
MIXED = header(layouts=(Layout(200, 300), Layout(70, 70)), tiled=True)
EXACT = header(
    layouts=(Layout(200, 300),), tiled=True, exact=exact_coding(Domain(EVEN, 0.0, 1.0, 9))
)
MASKED = header(
    layouts=(Layout(200, 300, no_data="nan"), Layout(70, 70)),
    tiled=True,
    exact=exact_coding(Domain(EVEN, 0.0, 1.0, 9)),
)
HEADERS = {"one": ONE, "tiled": TILED, "mixed": MIXED, "exact": EXACT, "masked": MASKED}


EXACT_STREAMS = st.builds(
    ExactStream, st.integers(0, 500), st.integers(0, CODERS - 1), st.binary(max_size=200)
)


@st.composite
def records(draw: st.DrawFn) -> tuple[Record, Header]:
    own = draw(st.sampled_from(list(HEADERS.values())))
    layout = draw(st.integers(0, len(own.layouts) - 1))
    nz, nx = own.layouts[layout].nz, own.layouts[layout].nx
    tiles_z, tiles_x = (draw(st.integers(1, 4)) if own.tiled else 1 for _ in range(2))
    size = (
        (nz, nx) if tiles_z * tiles_x == 1 else (draw(st.integers(1, nz)), draw(st.integers(1, nx)))
    )
    streams = [draw(st.binary(max_size=200)) for _ in range(tiles_z * tiles_x)]
    exact = draw(st.none() | EXACT_STREAMS) if own.exact else None
    masked = own.layouts[layout].no_data is not None
    absent = draw(st.none() | st.binary(max_size=200)) if masked else None
    if exact is not None and draw(st.booleans()):
        return Record(layout, 0, 0, nz, nx, [], exact, absent), own
    return Record(layout, tiles_z, tiles_x, *size, streams, exact, absent), own


@settings(deadline=None, max_examples=100)
@given(records())
def test_any_record_comes_back(pair: tuple[Record, Header]) -> None:
    record, own = pair
    assert unpack_record(pack_record(record, own), own) == record


def test_an_untiled_record_is_its_stream() -> None:
    assert pack_record(Record(0, 1, 1, 70, 70, [b"abc"]), ONE) == b"abc"


def test_samples_begin_with_their_domain_and_coder() -> None:
    samples = ExactStream(2, 3, b"xyz")
    alone = Record(0, 0, 0, 200, 300, [], samples)
    assert pack_record(alone, EXACT) == bytes([1 + (2 * 4 + 3) * 2]) + b"xyz"
    beside = Record(0, 1, 1, 200, 300, [b"tile"], samples)
    assert pack_record(beside, EXACT) == bytes([1 + (2 * 4 + 3) * 2 + 1, 3]) + b"xyz\1\1tile"
    assert pack_record(dataclasses.replace(beside, exact=None), EXACT) == b"\0\1\1tile"


def test_absent_samples_stand_before_the_rest() -> None:
    own = header(layouts=(Layout(70, 70, no_data=-9999),))
    there = Record(0, 1, 1, 70, 70, [b"abc"])
    assert pack_record(there, own) == b"\0abc"
    for absent in (b"", b"12"):
        packed = pack_record(dataclasses.replace(there, absent=absent), own)
        assert packed == bytes([1 + len(absent)]) + absent + b"abc"
    with pytest.raises(OptionError, match="found absent samples, expected a no-data value"):
        pack_record(dataclasses.replace(there, absent=b"12"), ONE)


def test_tiles_in_an_untiled_archive_are_not_written() -> None:
    with pytest.raises(OptionError, match="2 streams for 1 x 2 tiles"):
        pack_record(Record(0, 1, 2, 70, 40, [b"a", b"b"]), ONE)
    with pytest.raises(OptionError, match="1 streams for 1 x 2 tiles"):
        pack_record(Record(0, 1, 2, 70, 40, [b"a"]), TILED)


def _varints(*values: int) -> bytes:
    return b"".join(encode_varint(value) for value in values)


@pytest.mark.parametrize(
    ("payload", "own", "said"),
    [
        (_varints(2, 1, 1), MIXED, "layout: found 2, expected less than 2"),
        (_varints(0, 3, 70, 70), TILED, "tiles: found 0 x 3"),
        (_varints(3, 0, 70, 70), TILED, "tiles: found 3 x 0"),
        (_varints(2**62, 2**62, 70, 70), TILED, "tiles: found"),
        (_varints(2, 2, 70, 70), TILED, "tiles: found 2 x 2"),
        (_varints(2, 2, 201, 70, 0, 0, 0), TILED, "tiles along z: found 2 of 201 samples"),
        (_varints(2, 2, 70, 301, 0, 0, 0), TILED, "tiles along x: found 2 of 301 samples"),
        (_varints(2, 2, 0, 70, 0, 0, 0), TILED, "tiles along z: found 2 of 0 samples"),
        (_varints(201, 1, 1, 300) + bytes(400), TILED, "tiles along z: found 201"),
        (_varints(2, 2, 70, 70, 1, 1, 1), TILED, "streams: found lengths up to byte"),
        (_varints(2, 2, 70, 70, 2**62, 0, 0), TILED, "streams: found lengths up to byte"),
        (_varints(0, 3) + b"1", MASKED, "absent samples: found a length of 2 bytes, expected at"),
        (_varints(0, 2**62), MASKED, "absent samples: found a length of"),
    ],
)
def test_a_record_that_cannot_be_is_refused(payload: bytes, own: Header, said: str) -> None:
    with pytest.raises(CorruptError, match=f"record 5: {said}"):
        unpack_record(payload, own, "record 5")


def test_a_cut_record_is_refused_or_has_a_shorter_last_stream() -> None:
    record = Record(1, 2, 2, 40, 50, [b"one", b"two", b"three", b"four"])
    payload = pack_record(record, MIXED)
    for cut in range(len(payload)):
        if cut < len(payload) - len(b"four"):
            with pytest.raises((CorruptError, TruncatedError)):
                unpack_record(payload[:cut], MIXED)
        else:
            found = unpack_record(payload[:cut], MIXED)
            shorter = [*record.streams[:3], record.streams[3][: cut - len(payload) + 4]]
            assert found == dataclasses.replace(record, streams=shorter)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=50), st.sampled_from(list(HEADERS)))
def test_arbitrary_bytes_are_a_record_or_are_refused(payload: bytes, name: str) -> None:
    try:
        found = unpack_record(payload, HEADERS[name])
    except (CorruptError, TruncatedError):
        return
    assert len(found.streams) == found.tiles_z * found.tiles_x
    assert found.streams or found.exact is not None
