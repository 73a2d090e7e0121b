"""The header says which sampler renders: an unknown one matters only on other grids."""

from __future__ import annotations

import io
from dataclasses import replace

import msgpack
import numpy as np
import pytest
from builders import opening

import velcodec
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import CorruptError, SamplerError
from velcodec.formats.sample_coding.coding import MAX_NETWORK
from velcodec.sampler.form import NEWEST_SAMPLER, sampler_of

MODEL = (np.arange(90, dtype=np.float32).reshape(9, 10) // 7) * 100 + 1500
ABSENT = object()
UNKNOWN = (NEWEST_SAMPLER + 1, MAX_NETWORK - 1)


@pytest.fixture(scope="module")
def data() -> bytes:
    return velcodec.compress(MODEL, lossless=True)


def naming(data: bytes, sampler: int) -> bytes:
    """The archive with another sampler's number."""
    reader = VlatReader(data)
    assert reader.header.exact is not None
    exact = replace(reader.header.exact, sampler=sampler)
    stream = io.BytesIO()
    writer = VlatWriter(stream, replace(reader.header, exact=exact))
    writer.add_many(list(reader.payloads()))
    writer.close()
    return stream.getvalue()


def test_new_archives_name_the_newest_sampler(data: bytes) -> None:
    exact = VlatReader(data).header.exact
    assert exact is not None
    assert exact.sampler == NEWEST_SAMPLER
    assert exact.to_dict()["s"] == NEWEST_SAMPLER
    assert sampler_of(exact.sampler).lift.shape == (8, 27)
    assert np.array_equal(velcodec.decompress(naming(data, exact.sampler)), MODEL)


@pytest.mark.parametrize("sampler", UNKNOWN, ids=["next", "last"])
def test_an_unknown_sampler_is_missed_only_on_other_grids(data: bytes, sampler: int) -> None:
    other = naming(data, sampler)
    assert np.array_equal(velcodec.decompress(other), MODEL)
    assert np.array_equal(velcodec.decompress(other, MODEL.shape), MODEL)
    with velcodec.open(other) as archive:
        assert np.array_equal(archive[0], MODEL)
        for ask in (
            lambda: archive.decode(0, 30),
            lambda: archive.decode(0, MODEL.shape, average="cell"),
            lambda: archive.sample(0, np.array([[20.0, 30.0]])),
        ):
            with pytest.raises(SamplerError, match="native grid can be decoded") as caught:
                ask()
            assert f"{sampler}" in str(caught.value)
            assert "found" in str(caught.value)
    assert SamplerError.exit_code == 33


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "sampler: found 0, expected 1 to 65535"),
        (1 << 16, "sampler: found 65536"),
        ("x", "found 'x', expected an integer"),
        ([1, b"hash"], "expected an integer"),
        (None, "expected an integer"),
        (ABSENT, "'s'"),
    ],
    ids=["0", "too large", "text", "a hash beside it", "nil", "missing"],
)
def test_a_header_of_an_impossible_sampler_is_refused(
    data: bytes, value: object, said: str
) -> None:
    head = VlatReader(data).header
    body = head.to_dict()
    body["e"] = {key: each for key, each in body["e"].items() if key != "s"}
    if value is not ABSENT:
        body["e"]["s"] = value
    broken = opening(msgpack.packb(body))
    with pytest.raises(CorruptError, match=said):
        velcodec.open(broken + data[len(opening(head.to_bytes())) :])
