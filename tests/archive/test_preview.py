"""Previews: coarser models from the first part of a latent, the very model from all of it."""

from __future__ import annotations

import numpy as np
import pytest
from checkers import layered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from latent_archives import latent_archive

import velcodec
from velcodec.decode.stored import read_record, tables_of
from velcodec.decoder import Decoder
from velcodec.formats.container.header import Layout
from velcodec.formats.errors import CorruptError, OptionError
from velcodec.formats.latent_coding.stream import decode_measured
from velcodec.metrics import psnr

LAYOUT = Layout(16, 18)


@pytest.fixture
def data(tiny: Decoder) -> bytes:
    """Three models of one tile each, the last one constant."""
    return latent_archive(tiny, LAYOUT)


def span(data: bytes) -> tuple[int, int]:
    """The least bytes of a preview, and those of the longest stream."""
    with velcodec.open(data) as archive:
        records = [read_record(archive._reader, number)[1] for number in range(len(archive))]
        streams = [stream for record in records for stream in record.streams]
        measured = decode_measured(streams, tables_of(archive.decoder()), archive.header.coding)
        ((_, needed),) = measured
    return int(needed[:, 0].max()), max(map(len, streams))


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1))
def test_every_length_from_the_least_to_the_whole_gives_models(data: bytes, share: float) -> None:
    least, whole = span(data)
    found = velcodec.preview(data, bytes=least + round(share * (whole - least)))
    assert found.shape == (3, 16, 18)
    assert found.dtype == np.float32
    assert found.min() >= 1500.0
    assert found.max() <= 4500.0


@pytest.mark.parametrize("tiles", [1, 2])
def test_quality_hardly_falls_as_the_bytes_grow(tiny: Decoder, tiles: int) -> None:
    data = latent_archive(tiny, Layout(30, 18), models=6, tiles=tiles, seed=1)
    models = velcodec.decompress(data).astype(np.float64)
    least, whole = span(data)
    sizes = np.linspace(least, whole - 1, 8).round().astype(int).tolist()
    found = [psnr(models, velcodec.preview(data, bytes=size).astype(float)) for size in sizes]
    assert (np.diff(found) > -1.0).all(), found
    assert found[-1] > found[0] + 6.0


def test_the_whole_length_is_what_decompress_gives(tiny: Decoder) -> None:
    for tiles in (1, 2):
        data = latent_archive(tiny, LAYOUT, tiles=tiles)
        _, whole = span(data)
        for res in (None, (20, 31)):
            expected = velcodec.decompress(data, res)
            assert np.array_equal(velcodec.preview(data, res, bytes=whole), expected)
            assert np.array_equal(velcodec.preview(data, res, bytes=10**9), expected)
            assert np.array_equal(velcodec.preview(data, res, coefficients=256), expected)


def test_axes_dtype_and_units_are_those_of_decompress(tiny: Decoder) -> None:
    data = latent_archive(tiny, Layout(9, 14, axes="n1xz", dtype="<f8", units="km/s"))
    expected = velcodec.decompress(data, (5, 8))
    found = velcodec.preview(data, (5, 8), coefficients=3)
    assert found.shape == expected.shape == (3, 1, 8, 5)
    assert found.dtype == expected.dtype == np.float64
    assert 1.5 <= found.min() <= found.max() <= 4.5


def test_samples_beside_a_latent_do_not_count(tiny: Decoder) -> None:
    models = layered(1, 8, 8)
    data = velcodec.compress(models, decoder=tiny, lossless=True, keep_latent=True)
    found = velcodec.preview(data, bytes=1000)
    latent = velcodec.compress(models, decoder=tiny, latent_only=True)
    assert not np.array_equal(found, models)
    for grid in (None, 12):
        of_latent = velcodec.decompress(latent, grid)
        assert np.array_equal(velcodec.preview(data, grid, bytes=1000), of_latent)


def test_a_model_without_a_latent_has_no_preview(tiny: Decoder) -> None:
    data = velcodec.compress(layered(1, 8, 8), decoder=tiny, lossless=True)
    for sizes in ({"bytes": 20}, {"coefficients": 20}):
        with pytest.raises(OptionError, match=r"model 0: .*--keep-latent"):
            velcodec.preview(data, **sizes)


def test_too_few_bytes_are_refused_with_the_least(data: bytes) -> None:
    least, _ = span(data)
    with pytest.raises(OptionError, match=f"found {least - 1}, expected at least {least} "):
        velcodec.preview(data, bytes=least - 1)
    velcodec.preview(data, bytes=least)


def test_one_size_must_be_given(data: bytes) -> None:
    for sizes in ({}, {"bytes": 9, "coefficients": 9}):
        with pytest.raises(OptionError, match="expected one"):
            velcodec.preview(data, **sizes)


def test_damage_beyond_the_prefix_is_refused(data: bytes) -> None:
    with velcodec.open(data) as archive:
        payload = archive._reader.payload(1)
    damaged = bytearray(data)
    damaged[data.index(payload) + len(payload) - 1] ^= 1
    with pytest.raises(CorruptError, match="checksum"):
        velcodec.preview(bytes(damaged), bytes=12)
