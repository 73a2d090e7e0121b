"""The header names the sampler: one that is not here is missed at other grids alone."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from builders import opening

import velcodec
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import CorruptError, SamplerError
from velcodec.formats.sample_coding.stream import MAX_NETWORK, SamplerName
from velcodec.sampler.form import NEWEST, newest_sampler, sampler_of

MODEL = (np.arange(90, dtype=np.float32).reshape(9, 10) // 7) * 100 + 1500
UNKNOWN = [
    SamplerName(NEWEST + 1, newest_sampler().digest),
    SamplerName(MAX_NETWORK - 1, bytes(4)),
    SamplerName(NEWEST, bytes(4)),
]


@pytest.fixture(scope="module")
def data() -> bytes:
    return velcodec.compress(MODEL, lossless=True)


def naming(data: bytes, sampler: SamplerName) -> bytes:
    """The archive, naming another sampler."""
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
    assert exact.sampler == newest_sampler()
    assert exact.to_dict()["s"] == [NEWEST, newest_sampler().digest]
    assert sampler_of(exact.sampler).lift.shape == (8, 27)
    assert np.array_equal(velcodec.decompress(naming(data, exact.sampler)), MODEL)


@pytest.mark.parametrize("sampler", UNKNOWN, ids=["next", "last", "hash"])
def test_an_unknown_sampler_is_missed_at_other_grids_alone(
    data: bytes, sampler: SamplerName
) -> None:
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
            assert f"{sampler.number}" in str(caught.value)
            assert "found" in str(caught.value)
    assert SamplerError.exit_code == 33


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"\xa1s\x92\x01", b"\xa1s\x92\x00", "sampler: found 0, expected 1 to 65535"),
        (b"\xa1s\x92\x01", b"\xa1s\x92\xce\x00\x01\x00\x00", "sampler: found 65536"),
        (b"\xa1s\x92\x01\xc4\x04", b"\xa1s\x92\x01\xa5x", "hash of the sampler: found '"),
        (b"\xa1s\x92\x01\xc4\x04", b"\xa1s\x92\x01\xc4\x05x", "expected 4 bytes"),
        (b"\xa1s\x92\x01\xc4\x04", b"\xa1s\x93\x01\xc3\xc4\x04", "exact coding"),
        (b"\xa1s\x92\x01", b"\xa1t\x92\x01", "'s'"),
    ],
    ids=["0", "too large", "text", "five bytes", "three", "missing"],
)
def test_a_header_of_an_impossible_sampler_is_refused(
    data: bytes, old: bytes, new: bytes, said: str
) -> None:
    whole = naming(data, SamplerName(NEWEST, b"hash"))
    body = VlatReader(whole).header.to_bytes()
    assert body.count(old) == 1
    broken = opening(body.replace(old, new))
    with pytest.raises(CorruptError, match=said):
        velcodec.open(broken + whole[len(opening(body)) :])
