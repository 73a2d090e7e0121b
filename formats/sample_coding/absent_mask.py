"""The mask of absent samples of a model, or of a brick of a volume, coded bit by bit.

Each bit is adaptive, in the context of neighbours already coded, seven of its own section and, in
volumes, five of the section before, so that a topography takes a few bits per column. Source: JBIG
(ITU-T T.82).
"""

from __future__ import annotations

import math

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
from velcodec.formats.sample_coding.work_limit import pad, unpad

CONTEXTS_OF_SECTION, CONTEXTS = 1 << 7, 1 << 12

SAMPLES_PER_BYTE = 1 << 14
"""Most samples per byte of a stream, about 2 ms; bounds decoding time by bytes."""


@njit(cache=True)
def _code_bits(columns: NDArray[np.int8], coder: Coder) -> None:
    """Code all of `columns` (ny, nx, nz)."""
    sections, width, height = columns.shape
    models = np.zeros((CONTEXTS if sections > 1 else CONTEXTS_OF_SECTION, 2), dtype=np.int64)
    models[:, 0] = 1 << 15
    for y in range(sections):
        for x in range(width):
            for z in range(height):
                context = 0
                if y > 0:
                    for down in range(-2, 3):
                        row = min(max(z + down, 0), height - 1)
                        context = 2 * context + int(columns[y - 1, x, row])
                top = int(columns[y - 1, x, 0]) if y > 0 else 0
                for up in (1, 2):
                    context = 2 * context + (int(columns[y, x, z - up]) if z >= up else top)
                for down in range(-2, 3):
                    row = min(max(z + down, 0), height - 1)
                    context = 2 * context + (int(columns[y, x - 1, row]) if x > 0 else 0)
                columns[y, x, z] = code_bit(int(columns[y, x, z]), models[context], coder)


def encode_absent(absent: NDArray[np.bool_]) -> bytes:
    """The stream of a mask (nz, nx) or (nz, ny, nx) of absent samples."""
    nz, nx = absent.shape[0], absent.shape[-1]
    columns = np.ascontiguousarray(absent.reshape(nz, -1, nx).transpose(1, 2, 0), dtype=np.int8)
    coder = new_encoder(columns.size)
    _code_bits(columns, coder)
    return pad(finish_encoder(coder), columns.size // SAMPLES_PER_BYTE)


def decode_absent(stream: bytes, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The inverse of `encode_absent`. Raises CorruptError, also if no or all samples are absent."""
    samples = math.prod(shape)
    data = unpad(stream, samples, samples // SAMPLES_PER_BYTE, "absent samples")
    nz, nx = shape[0], shape[-1]
    columns = np.zeros((samples // (nz * nx), nx, nz), dtype=np.int8)
    coder = new_decoder(data)
    _code_bits(columns, coder)
    finish_decoder(coder)
    count = int(np.count_nonzero(columns))
    if not 0 < count < columns.size:
        raise CorruptError(
            f"absent samples: found {count} of {columns.size}, expected some and not all"
        )
    return np.ascontiguousarray(columns.transpose(2, 0, 1)).reshape(shape).astype(bool)
