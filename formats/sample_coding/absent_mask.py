"""Which samples of a model are absent, as a stream: an image of bits, one by one.

Each is an adaptive bit in the context of the seven nearest bits before it, so that the runs of a
topography take a few bits a column. The idea is that of JBIG (ITU-T T.82).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import (
    Coder,
    code_bit,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.work_limit import bare, paid_for

CONTEXTS = 1 << 7

SAMPLES_PER_BYTE = 1 << 16
"""Samples that a byte of a stream may stand for: time is paid for in bytes."""


@njit(cache=True)
def _code_bits(columns: NDArray[np.int8], coder: Coder) -> None:
    """Code every bit of `columns` (nx, nz)."""
    width, height = columns.shape
    models = np.zeros((CONTEXTS, 2), dtype=np.int64)
    models[:, 0] = 1 << 15
    for x in range(width):
        for z in range(height):
            context = 0
            for up in (1, 2):
                context = 2 * context + (int(columns[x, z - up]) if z >= up else 0)
            for down in range(-2, 3):
                row = min(max(z + down, 0), height - 1)
                context = 2 * context + (int(columns[x - 1, row]) if x > 0 else 0)
            columns[x, z] = code_bit(int(columns[x, z]), models[context], coder)


def encode_absent(absent: NDArray[np.bool_]) -> bytes:
    """The stream that tells which samples (nz, nx) are absent."""
    columns = np.ascontiguousarray(absent.T, dtype=np.int8)
    coder = new_encoder(columns.size)
    _code_bits(columns, coder)
    return paid_for(finish_encoder(coder), columns.size // SAMPLES_PER_BYTE)


def decode_absent(stream: bytes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """What `encode_absent` was given: some samples, and not all. Raises CorruptError."""
    samples = shape[0] * shape[1]
    data = bare(stream, samples, samples // SAMPLES_PER_BYTE, "absent samples")
    columns = np.zeros(shape[::-1], dtype=np.int8)
    coder = new_decoder(data)
    _code_bits(columns, coder)
    finish_decoder(coder)
    count = int(np.count_nonzero(columns))
    if not 0 < count < columns.size:
        raise CorruptError(
            f"absent samples: found {count} of {columns.size}, expected some and not all"
        )
    return np.ascontiguousarray(columns.T).astype(bool)
