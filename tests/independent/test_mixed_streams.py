"""The specification of mixed streams is enough: a reader made from it alone reads every one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import vlatlite
from builders import archive, exact_coding, header
from vlatlite.coder import Stream
from vlatlite.mixed import Mixed

from velcodec import synth
from velcodec.formats.arrays import Int64
from velcodec.formats.container.header import Layout
from velcodec.formats.sample_coding.base import Request
from velcodec.formats.sample_coding.coders import MIXED
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.sample_coding.mixing.coder import encode_mixed
from velcodec.formats.sample_coding.stream import encode_image
from velcodec.formats.storage.varint import encode_varint

DATA = Path(__file__).parents[2] / "velcodec" / "data"
READER = vlatlite.Reader([], DATA)


def drawn(family: str, nz: int, nx: int, step_m_s: float, number: int = 0) -> Int64:
    model = synth.draw(family, 70_000_011, number, 1).render(nz, nx).numpy()[0]
    found: Int64 = np.rint((model - model.min()) / step_m_s).astype(np.int64)
    return found


def blocks(nz: int, nx: int, seed: int, values: int = 9) -> Int64:
    """Rectangles of few values one over another, with specks."""
    rng = np.random.default_rng(seed)
    image = np.zeros((nz, nx), dtype=np.int64)
    for _ in range(nz * nx // 30):
        z, x = rng.integers(0, nz), rng.integers(0, nx)
        image[z : z + rng.integers(1, nz), x : x + rng.integers(1, nx)] = rng.integers(0, values)
    return np.where(rng.random(image.shape) < 0.02, rng.integers(0, values, image.shape), image)


def check_stream(image: Int64, span: int, smooth: bool, bound: int = 0) -> None:
    stream = encode_mixed(image, span, bound, smooth)
    networks = READER.network("contexts-3"), READER.network("mixing-1")
    found = Mixed(Stream(stream), image.shape, span, bound, *networks).decode()
    assert np.array_equal(found, image)


@pytest.mark.parametrize("smooth", [False, True], ids=["layered", "smooth"])
@pytest.mark.parametrize(
    ("family", "step_m_s", "bound"),
    [("flatvel_b", 1, 0), ("curvefault_b", 50, 4), ("style_a", 20, 3), ("geology", 8, 2)],
)
def test_models_are_read(family: str, step_m_s: float, bound: int, smooth: bool) -> None:
    image = drawn(family, 26, 22, step_m_s)
    check_stream(image, int(image.max()) + 1, smooth, bound)


def test_dipping_interfaces_are_read() -> None:
    image = drawn("curvevel_b", 70, 34, 5, 3)
    check_stream(image, int(image.max()) + 1, smooth=False)


@pytest.mark.parametrize("seed", range(3))
def test_rectangles_and_specks_are_read(seed: int) -> None:
    check_stream(blocks(31, 17, seed), 9, smooth=False)


def test_stretches_that_break_anywhere_are_read() -> None:
    image = np.zeros((60, 12), dtype=np.int64)
    image[40:, :] = 3
    for x, row in enumerate((40, 39, 33, 5, 38, 41, 20, 37, 30, 40)):
        image[row : row + 2 + 3 * x, x + 2] = 5 + x % 2
    check_stream(image, 9, smooth=False)


@pytest.mark.parametrize("smooth", [False, True], ids=["layered", "smooth"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 40), (40, 1), (3, 30), (30, 3)])
def test_images_of_few_rows_or_columns_are_read(shape: tuple[int, int], smooth: bool) -> None:
    check_stream(drawn("geology", 40, 40, 10)[: shape[0], : shape[1]], 1000, smooth)


@pytest.mark.parametrize("smooth", [False, True], ids=["layered", "smooth"])
def test_values_about_the_middle_of_a_great_span_are_read(smooth: bool) -> None:
    noise = np.random.default_rng(2).integers(-200, 200, (13, 9))
    check_stream((1 << 25) + noise + 100 * blocks(13, 9, 4), 1 << 26, smooth)


@pytest.mark.parametrize("smooth", [False, True], ids=["layered", "smooth"])
def test_a_constant_image_of_one_possible_value_is_read(smooth: bool) -> None:
    check_stream(np.zeros((9, 8), dtype=np.int64), 1, smooth)


def test_a_padded_stream_of_an_archive_is_read(tmp_path: Path) -> None:
    image = np.full((40, 39), 700, dtype=np.int64)
    coding = exact_coding(Domain(0, 1500.0, 1.0, 3001))
    made = encode_image(MIXED, Request.exactly(image), 0, coding)
    assert made is not None
    assert len(made.stream.data) == 40 * 39 // 512
    data = archive(
        [encode_varint(1 + 2 * MIXED) + made.stream.data],
        header(layouts=(Layout(40, 39),), exact=coding),
    )
    (tmp_path / "a.vlat").write_bytes(data)
    (opened,) = vlatlite.open_archives(tmp_path / "a.vlat")
    assert np.array_equal(READER.model(opened, 0), np.full((40, 39), 2200, np.float32))


@pytest.mark.parametrize("smooth", [False, True])
def test_steep_ramps_of_the_widest_span_are_the_same(smooth: bool) -> None:
    """Their sums are so large that rounding errors would drown the least pivot."""
    z, x = np.mgrid[:16, :14]
    check_stream(z * ((1 << 26) // 60) + x * ((1 << 26) // 50), 1 << 26, smooth)
