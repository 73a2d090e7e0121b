"""A model's samples in an archive: domain, coder and bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import zstandard

from velcodec.formats.arrays import Int64
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding import work_limit
from velcodec.formats.sample_coding.base import Request
from velcodec.formats.sample_coding.coders import LABEL_MAP, coder_of
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import RAW, Samples


@dataclass(frozen=True)
class ExactStream:
    """One model's samples: number of the domain, number of the coder, bytes. In a RAW domain `data`
    is a zstd frame of the samples, and `coder` is LABEL_MAP.
    """

    domain: int
    coder: int
    data: bytes


@dataclass(frozen=True)
class CodedImage:
    """A stream, and the integers (nz, nx) of its domain that it decodes to."""

    stream: ExactStream
    codes: Int64


def pad_stream(coder: int, data: bytes, samples: int) -> bytes:
    """`data` padded to the least length of a stream of this coder for `samples` samples."""
    return work_limit.pad(data, samples // coder_of(coder).samples_per_byte)


def encode_image(
    coder: int, request: Request, number: int, coding: ExactCoding
) -> CodedImage | None:
    """Code an image in domain `number`; None if the coder cannot."""
    image = coder_of(coder).encode(request, coding.domains[number], coding.network)
    if image is None:
        return None
    data = pad_stream(coder, image.data, image.codes.size)
    return CodedImage(ExactStream(number, coder, data), image.codes)


def encode_raw(model: Samples, number: int) -> ExactStream:
    """The stream of samples in domain `number`, which is RAW."""
    native = np.ascontiguousarray(model.astype(model.dtype.newbyteorder("<")))
    return ExactStream(
        number, LABEL_MAP, zstandard.ZstdCompressor(level=19).compress(native.tobytes())
    )


def decode_exact(
    stream: ExactStream, coding: ExactCoding, shape: tuple[int, int], dtype: np.dtype[np.generic]
) -> Samples:
    """The samples (nz, nx) of a stream, in `dtype`.

    Raises CorruptError, ContextNetworkError, UnknownFeatureError.
    """
    if stream.domain >= len(coding.domains):
        raise CorruptError(
            f"exact stream: domain: found {stream.domain}, expected less than {len(coding.domains)}"
        )
    domain = coding.domains[stream.domain]
    if domain.kind == RAW:
        return _decode_raw(stream.data, shape, dtype)
    coder = coder_of(stream.coder)
    samples = shape[0] * shape[1]
    least = samples // coder.samples_per_byte
    data = work_limit.unpad(stream.data, samples, least, "exact stream")
    return domain.samples(coder.decode(data, shape, domain, coding.network), dtype)


def _decode_raw(data: bytes, shape: tuple[int, int], dtype: np.dtype[np.generic]) -> Samples:
    size = shape[0] * shape[1] * dtype.itemsize
    try:
        if zstandard.frame_content_size(data) != size:
            raise CorruptError(f"exact stream: raw samples: expected {size} bytes")
        plain = zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise CorruptError(f"exact stream: raw samples: {error}") from error
    return np.frombuffer(plain, dtype.newbyteorder("<")).reshape(shape).astype(dtype)
