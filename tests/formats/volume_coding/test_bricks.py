"""Bricks of volumes: integers come back, bounds hold, and no bytes harm a reader."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.domain import (
    EVEN,
    ORDERED,
    PALETTE,
    RAW,
    Domain,
    exact_domain,
)
from velcodec.formats.volume_coding.choice import REACH, interpolated_domain, looks_smooth
from velcodec.formats.volume_coding.coder import (
    BRICK,
    MAX_SAMPLES,
    SAMPLES_PER_BYTE,
    decode_brick,
    encode_brick,
    encode_within,
)
from velcodec.formats.volume_coding.parts import smooth_parts

SHAPES = npst.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)
WAYS = pytest.mark.parametrize("smooth", [False, True])
KINDS = pytest.mark.parametrize("kind", ["layered", "smooth", "within"])


def even(span: int) -> Domain:
    return Domain(EVEN, 0.0, 1.0, span)


def dipping(shape: tuple[int, int, int], span: int, throw: int = 4) -> np.ndarray:
    """Integers (nz, ny, nx) of [0, span): dipping layers, cut by an inclined fault."""
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    depth = z + 0.3 * x - 0.2 * y + throw * (x + z // 2 > shape[2] // 2)
    palette = np.random.default_rng(3).integers(0, span, 64)
    return palette[np.clip(depth // 5 + 8, 0, 63).astype(np.int64)]


def waves(shape: tuple[int, int, int], height: float = 400.0) -> np.ndarray:
    """Float64 (nz, ny, nx): smooth in every direction."""
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    return 2000 + 8.0 * z + height * np.sin(x / 17 + z / 23) * np.cos(y / 19 - z / 31)


def written(codes: np.ndarray, domain: Domain, kind: str) -> bytes:
    if kind == "within":
        return encode_within(codes, domain, min(3, domain.span - 1))
    return encode_brick(codes, domain, kind == "smooth")


@WAYS
@settings(deadline=None, max_examples=50)
@given(data=st.data(), span=st.integers(1, 1 << 60), few=st.integers(1, 5))
def test_any_brick_comes_back(data: st.DataObject, span: int, few: int, smooth: bool) -> None:
    shape = data.draw(SHAPES)
    top = data.draw(st.sampled_from([span, min(span, few)]))
    codes = data.draw(npst.arrays(np.int64, shape, elements=st.integers(0, top - 1)))
    stream = encode_brick(codes, even(span), smooth)
    assert np.array_equal(decode_brick(stream, shape, even(span)), codes)


@WAYS
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 5, 9), (9, 1, 5), (5, 9, 1), (40, 1, 1), (1, 1, 40), (33, 17, 2)]
)
def test_bricks_of_any_shape_come_back(shape: tuple[int, int, int], smooth: bool) -> None:
    codes = dipping(shape, 900)
    stream = encode_brick(codes, even(900), smooth)
    assert np.array_equal(decode_brick(stream, shape, even(900)), codes)


@WAYS
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "f2"])
def test_samples_of_every_domain_come_back(dtype: str, smooth: bool) -> None:
    samples = waves((12, 7, 9)).astype(dtype)
    model = samples.reshape(12, -1)
    for domain in (exact_domain([model]), Domain(PALETTE, 0.0, 1.0, 3, 0, (1.5, 2.0, 7.0))):
        if domain.kind == PALETTE:
            codes = dipping((12, 7, 9), 3)
        elif domain.kind == ORDERED:
            width = np.dtype(dtype).itemsize
            codes = samples.view(f"i{width}").astype(np.int64) - int(domain.base)
        else:
            codes = np.rint((samples.astype("f8") - domain.base) / domain.step).astype(np.int64)
        found = decode_brick(encode_brick(codes, domain, smooth), codes.shape, domain)
        assert np.array_equal(found, codes)
        if domain.kind != PALETTE:
            assert np.array_equal(domain.samples(found, samples.dtype), samples)


@settings(deadline=None, max_examples=50)
@given(data=st.data(), span=st.integers(1, 1 << 31), reach=st.integers(0, 1 << 20))
def test_any_brick_stays_within_its_reach(data: st.DataObject, span: int, reach: int) -> None:
    shape = data.draw(SHAPES)
    reach = min(reach, span - 1)
    codes = data.draw(npst.arrays(np.int64, shape, elements=st.integers(0, span - 1)))
    found = decode_brick(encode_within(codes, even(span), reach), shape, even(span))
    assert int(np.abs(found - codes).max()) <= reach
    assert found.min() >= 0
    assert found.max() < span


@pytest.mark.parametrize("bound", [0.5, 5.0, 50.0])
def test_interpolated_samples_stay_within_the_bound(bound: float) -> None:
    samples = waves((33, 20, 31)).astype(np.float32)
    samples[10:] += np.float32(700)
    domain = interpolated_domain([samples], bound)
    assert domain is not None
    codes = np.rint((samples.astype("f8") - domain.base) / domain.step).astype(np.int64)
    codes = np.clip(codes, 0, domain.span - 1)
    found = decode_brick(encode_within(codes, domain, REACH), codes.shape, domain)
    decoded = domain.samples(found, samples.dtype).astype(np.float64)
    assert np.abs(decoded - samples).max() <= bound
    assert samples.min() <= decoded.min()
    assert decoded.max() <= samples.max()


def test_a_bound_below_the_spacing_of_floats_has_no_domain() -> None:
    assert interpolated_domain([waves((4, 4, 4)).astype(np.float32)], 1e-5) is None


def test_a_smooth_part_does_not_suffer_from_its_neighbour() -> None:
    samples = waves((32, 32, 32))
    cut = samples + 900 * (np.mgrid[:32, :32, :32][0] > 14)
    sizes = []
    for volume in (samples, cut):
        codes = np.rint((volume - volume.min()) * 4).astype(np.int64)
        sizes.append(len(encode_within(codes, even(int(codes.max()) + 1), 8)))
    assert smooth_parts(codes, 17).max() == 1
    assert sizes[1] < 2.5 * sizes[0]


def test_layers_and_waves_are_told_apart() -> None:
    assert not looks_smooth(dipping((32, 32, 32), 1000))
    assert looks_smooth(np.rint(waves((32, 32, 32)) * 100).astype(np.int64))


def test_layers_take_a_fraction_of_a_bit() -> None:
    codes = dipping((64, 32, 32), 1000)
    assert 8 * len(encode_brick(codes, even(1000), False)) < 0.12 * codes.size


def test_a_flat_brick_takes_a_byte_for_thousands_of_samples() -> None:
    codes = np.full(BRICK, 7)
    assert len(encode_brick(codes, even(1000), False)) == codes.size // SAMPLES_PER_BYTE


@KINDS
def test_the_same_bytes_again(kind: str) -> None:
    codes = dipping((20, 15, 17), 300)
    assert written(codes, even(300), kind) == written(codes, even(300), kind)


@KINDS
def test_the_same_bytes_without_compiled_code(kind: str) -> None:
    """Plain Python does every operation by itself: nothing depends on how loops are compiled."""
    codes = dipping((9, 6, 7), 300)
    program = (
        "import sys, numpy as np\n"
        "from velcodec.formats.sample_coding.domain import Domain\n"
        "from velcodec.formats.volume_coding.coder import encode_brick, encode_within\n"
        "codes = np.frombuffer(bytes.fromhex(sys.stdin.read()), '<i8').reshape(9, 6, 7)\n"
        "domain, kind = Domain(0, 0.0, 1.0, 300), sys.argv[1]\n"
        "stream = (encode_within(codes, domain, 3) if kind == 'within'\n"
        "          else encode_brick(codes, domain, kind == 'smooth'))\n"
        "print(stream.hex())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, kind],
        input=codes.astype("<i8").tobytes().hex(), capture_output=True, text=True, check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert bytes.fromhex(done.stdout.strip()) == written(codes, even(300), kind)


@KINDS
def test_damage_is_refused_or_decodes_to_integers_of_the_domain(kind: str) -> None:
    codes = dipping((16, 12, 11), 300)
    stream = written(codes, even(300), kind)
    random, refused = np.random.default_rng(0), 0
    for _ in range(60):
        damaged = bytearray(stream)
        damaged[random.integers(len(stream))] ^= 1 << random.integers(8)
        try:
            found = decode_brick(bytes(damaged), codes.shape, even(300))
        except CorruptError:
            refused += 1
        else:
            assert found.min() >= 0
            assert found.max() < 300
    assert refused >= 55


@KINDS
def test_a_truncated_stream_is_refused(kind: str) -> None:
    codes = dipping((16, 12, 11), 300)
    stream = written(codes, even(300), kind)
    for cut in (stream[:-1], stream[:-2], stream[: len(stream) // 2], b"", stream + b"\0\1"):
        with pytest.raises(CorruptError):
            decode_brick(cut, codes.shape, even(300))


@pytest.mark.parametrize("span", [1, 2, 1 << 31, 1 << 60])
def test_any_bytes_are_refused_within_bounded_time(span: int) -> None:
    random = np.random.default_rng(span)
    shape = (32, 32, 32)
    decode_brick(encode_brick(np.zeros((2, 2, 2), np.int64), even(2), True), (2, 2, 2), even(2))
    for size in (shape[0] ** 3 // SAMPLES_PER_BYTE, 100, 3000):
        for first in (b"\x01", b"\xff", b"\xe5"):
            stream = first + random.bytes(size - 1)
            start = time.process_time()
            with pytest.raises(CorruptError):
                decode_brick(stream, shape, even(span))
            assert time.process_time() - start < 5


def test_too_few_bytes_for_so_many_samples_are_refused() -> None:
    with pytest.raises(CorruptError, match="expected at least"):
        decode_brick(b"\x01" * 3, (32, 32, 32), even(9))


@pytest.mark.parametrize("shape", [(0, 4, 4), (128, 128, 128), (-1, -1, 4)])
def test_bricks_of_impossible_shapes_are_refused(shape: tuple[int, int, int]) -> None:
    assert MAX_SAMPLES < 128**3
    with pytest.raises(CorruptError, match="brick"):
        decode_brick(b"\x01" * 400, shape, even(9))


def test_a_raw_domain_has_no_bricks() -> None:
    raw = Domain(RAW, 0, 1.0, 1)
    with pytest.raises(ValueError, match="raw"):
        encode_brick(np.zeros((2, 2, 2), np.int64), raw, False)
    with pytest.raises(CorruptError, match="raw"):
        decode_brick(b"\x01", (2, 2, 2), raw)


def test_a_reach_of_the_whole_span_and_more_is_refused() -> None:
    with pytest.raises(ValueError, match="reach"):
        encode_within(np.zeros((2, 2, 2), np.int64), even(9), 9)
