"""The measured error of a decoded model, as four codes in the index.

Figures are rounded so that a model is never worse than they say: PSNR down, errors and distance up.
A page stores the codes of its records as four short columns: errors by how they differ from what
the PSNR foretells, and none of models that come back bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from velcodec.formats.arrays import Int64
from velcodec.formats.container.columns import COMPRESSION_LEVEL
from velcodec.formats.errors import CorruptError, TruncatedError
from velcodec.formats.storage.rice import best_low_bits, pack_rice, read_rice
from velcodec.formats.storage.varint import decode_varint, encode_varint

COLUMNS = 4
UNKNOWN = 255

PSNR_STEP_DB = 1.0
EXACT = 100
"""The code of a PSNR without an error."""

LEAST_ERROR_M_S = 2.0**-10
ERROR_STEPS = 4
"""Steps per doubling of an error."""

DISTANCE_STEP = 0.25


class StoredQuality(NamedTuple):
    """PSNR in dB over 3000 m/s on the native grid; mean and maximum absolute error in m/s; and the
    model's distance from the decoder's training models (about 1 for models like them, NaN where no
    latent was fitted).
    """

    psnr_db: float
    mae_m_s: float
    max_error_m_s: float
    distance: float


UNKNOWN_ROW = np.array([[0], [UNKNOWN], [UNKNOWN], [UNKNOWN]], dtype=np.uint8)
"""The codes of a model that was not measured: the worst of each."""


def quality_codes(rows: Sequence[StoredQuality]) -> NDArray[np.uint8]:
    """Each row as a column of four codes, (4, n): PSNR, mean error, maximum error, distance."""
    psnr, mae, worst, distance = np.array(rows, dtype=np.float64).reshape(-1, COLUMNS).T
    whole = np.clip(np.floor(psnr / PSNR_STEP_DB), 0, UNKNOWN)
    far = np.ceil(np.nan_to_num(distance, nan=np.inf) / DISTANCE_STEP)
    columns = whole, _error_codes(mae), _error_codes(worst), np.clip(far, 0, UNKNOWN)
    return np.stack(columns).astype(np.uint8)


def is_unknown(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the codes (4, n) are those of models that were not measured, (n,)."""
    return (codes == UNKNOWN_ROW).all(axis=0)


def quality_figures(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The figures that codes (4, n) stand for, (4, n): dB, m/s, m/s, distance; inverse of
    `quality_codes` up to rounding.
    """
    psnr, mae, worst, distance = codes.astype(np.float64)
    far = np.where(distance == UNKNOWN, np.nan, distance * DISTANCE_STEP)
    return np.stack([psnr * PSNR_STEP_DB, _errors(mae), _errors(worst), far])


def joined_codes(parts: Sequence[tuple[int, NDArray[np.uint8] | None]]) -> NDArray[np.uint8] | None:
    """Concatenate codes of consecutive records; (count, None) where some have none. None if all
    have none.
    """
    if all(codes is None for _, codes in parts):
        return None
    return np.concatenate(
        [
            np.repeat(UNKNOWN_ROW, count, axis=1) if codes is None else codes
            for count, codes in parts
        ],
        axis=1,
    )


def quality_rows(codes: NDArray[np.uint8]) -> tuple[StoredQuality, ...]:
    """What codes (4, n) stand for, as rows."""
    return tuple(StoredQuality(*row) for row in quality_figures(codes).T.tolist())


def _error_codes(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        doublings = np.log2(errors / LEAST_ERROR_M_S)
    # A decoded figure must give the same code again, although its logarithm may be slightly larger.
    code = 1.0 + np.ceil(ERROR_STEPS * doublings - 1e-9)
    return np.where(errors > 0, np.clip(code, 1, UNKNOWN), 0.0)


def _errors(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    found = LEAST_ERROR_M_S * 2.0 ** ((codes - 1.0) / ERROR_STEPS)
    return np.where(codes == 0, 0.0, np.where(codes == UNKNOWN, np.inf, found))


# How a page stores codes

FRAME, ALIKE, MOST_LOW_BITS = 14, 15, 8
"""In place of the number of low bits: integers are bytes of a zstd frame; or all are the base."""

FOLDED = 16
"""Added to the number of low bits: integers lie on both sides of the base, 0, -1, 1, -2, ..."""


def pack_quality(codes: NDArray[np.uint8]) -> bytes:
    """The bytes of the codes (4, n) of a page."""
    psnr, mae, worst, distance = codes.astype(np.int64)
    exact = (psnr == EXACT) & (mae == 0) & (worst == 0)
    usual = _foretold(psnr)
    columns = (
        np.where(exact, 0, psnr + 1),
        (mae - usual)[~exact],
        (worst - usual)[~exact],
        (distance + 1) % (UNKNOWN + 1),
    )
    return b"".join(_pack_column(column) for column in columns)


def unpack_quality(data: bytes, count: int, place: str) -> NDArray[np.uint8]:
    """The codes (4, n) of a page of `count` records. Raises CorruptError."""
    codes = np.zeros((COLUMNS, count), dtype=np.int64)
    try:
        first, data = _take_column(data, count, place)
        exact = first == 0
        codes[0] = np.where(exact, EXACT, first - 1)
        usual = _foretold(codes[0])[~exact]
        for row in (1, 2):
            column, data = _take_column(data, len(usual), place)
            codes[row, ~exact] = usual + column
        column, data = _take_column(data, count, place)
    except TruncatedError as error:
        raise CorruptError(str(error)) from error
    codes[3] = (column - 1) % (UNKNOWN + 1)
    if data or codes.min(initial=0) < 0 or codes.max(initial=0) > UNKNOWN:
        raise CorruptError(
            f"{place}: quality: found codes beyond 0 to {UNKNOWN}, or more than those"
        )
    return codes.astype(np.uint8)


def _foretold(psnr: Int64) -> Int64:
    """About the code of the root mean square error of a PSNR's code."""
    return 87 - 2 * psnr // 3


def _pack_column(values: Int64) -> bytes:
    """A column as its base and, of several, how they follow: as a Rice code or a zstd frame."""
    if len(values) < 2:
        return b"".join(map(_signed, values.tolist()))
    least, middle = int(values.min()), int(np.sort(values)[len(values) // 2])
    if least == int(values.max()):
        return _signed(least) + bytes([ALIKE])
    ways = []
    for base, more, folded in (
        (least, values - least, 0),
        (middle, _folded(values - middle), FOLDED),
    ):
        low_bits = best_low_bits(more, MOST_LOW_BITS)
        ways.append(_signed(base) + bytes([low_bits + folded]) + pack_rice(more, low_bits))
    if int(values.max()) - least <= UNKNOWN:
        frame = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(
            (values - least).astype(np.uint8).tobytes()
        )
        ways.append(_signed(least) + bytes([FRAME]) + encode_varint(len(frame)) + frame)
    return min(ways, key=len)


def _take_column(data: bytes, count: int, place: str) -> tuple[Int64, bytes]:
    """So many values of a column, and the bytes behind it."""
    if not count:
        return np.zeros(0, dtype=np.int64), data
    place = f"{place}: quality"
    found, at = decode_varint(data, 0, place)
    if found > 4 * UNKNOWN:
        raise CorruptError(f"{place}: found the base {found} of a column, beyond all codes")
    base = int(_unfolded(np.array(found)))
    if count == 1:
        return np.array([base], dtype=np.int64), data[at:]
    if at == len(data):
        raise TruncatedError(f"{place}: found the end of the data, expected a column")
    how, data = data[at], data[at + 1 :]
    if how == ALIKE:
        return np.full(count, base, dtype=np.int64), data
    if how == FRAME:
        more, data = _take_frame(data, count, place)
        return base + more, data
    folded, low_bits = how >= FOLDED, how % FOLDED
    if how >= 2 * FOLDED or low_bits > MOST_LOW_BITS:
        raise CorruptError(f"{place}: found a column of kind {how}")
    more, used = read_rice(data, count, low_bits, place)
    return base + (_unfolded(more) if folded else more), data[used:]


def _take_frame(data: bytes, count: int, place: str) -> tuple[Int64, bytes]:
    """So many bytes of a zstd frame, behind its length, and the bytes behind it."""
    length, at = decode_varint(data, 0, place)
    frame = data[at : at + length]
    try:
        size = zstandard.get_frame_parameters(frame).content_size
        if size != count:
            raise CorruptError(f"{place}: found a column of {size} integers, expected {count}")
        raw = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptError(f"{place}: {error}") from error
    return np.frombuffer(raw, np.uint8).astype(np.int64), data[at + length :]


def _folded(values: Int64) -> Int64:
    """Integers of both signs as integers >= 0: 0, -1, 1, -2, ..."""
    return np.where(values < 0, -2 * values - 1, 2 * values)


def _unfolded(values: Int64) -> Int64:
    """The inverse of `_folded`."""
    return np.where(values % 2, -(values + 1) // 2, values // 2)


def _signed(value: int) -> bytes:
    return encode_varint(int(_folded(np.array(value))))
