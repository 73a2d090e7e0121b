"""Reading a new archive back with the reader's own code, and measuring every model of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.output import on_cpu, render_models
from velcodec.decode.stored import StoredModel, read_models
from velcodec.decode.units import difference_m_s, from_m_s
from velcodec.encode.coded import CodedModel
from velcodec.encode.fitting import Fitter
from velcodec.encode.pack import MODELS_AT_ONCE, Contents
from velcodec.encode.samples import check_samples
from velcodec.encode.tiles import ModelSet
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.errors import VerificationError
from velcodec.metrics import psnr_of_mse


@dataclass(frozen=True)
class Measured:
    """What a model's decoding misses at its native grid, where samples are: PSNR (dB), errors in
    m/s.
    """

    psnr: float
    mae: float
    max_error: float


def measure(
    fitter: Fitter,
    source: ModelSet,
    contents: Contents,
    coded: Sequence[CodedModel],
    data: bytes,
    within: float | None = None,
) -> list[Measured]:
    """Decode every model of the archive `data` as a reader does: to its dtype and units.

    Raises VerificationError where a record is not what was coded, or a sample is not `within` the
    bound (m/s; 0: bit for bit).
    """
    reader = VlatReader(data)
    decoder = fitter.decoder
    found = []
    for first in range(0, len(coded), MODELS_AT_ONCE):
        some = range(first, min(first + MODELS_AT_ONCE, len(coded)))
        stored = read_models(reader, lambda _: contents.tables, some)
        for number, model in zip(some, stored, strict=True):
            _check_same(contents.key(number), model, coded[number], source.absent_of(number))
        rendered = render_models(decoder, [model for model in stored if model.samples is None])
        for number, model in zip(some, stored, strict=True):
            samples = model.samples
            if samples is None:
                values = on_cpu(next(rendered))
                samples = from_m_s(values, source.models[number].dtype, source.units)
            elif within is not None:
                check_samples(source, number, contents.key(number), samples, within)
            original = source.models[number]
            error = np.abs(difference_m_s(samples, original, source.units))
            error = source.present(number, error)
            found.append(
                Measured(
                    psnr_of_mse(float(np.square(error).mean())),
                    float(error.mean()),
                    float(error.max()),
                )
            )
    return found


def _equal(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> bool:
    """Whether both tell the same samples to be absent."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _check_same(
    key: str, stored: StoredModel, ours: CodedModel, absent: NDArray[np.bool_] | None
) -> None:
    """Raise VerificationError unless the record holds what was measured before."""
    varied = ours.tiles.high > ours.tiles.low
    same = (
        stored.tiling == ours.tiling
        and (stored.samples is None) == (ours.exact is None)
        and np.array_equal(stored.tiles.low, ours.tiles.low)
        and np.array_equal(stored.tiles.high, ours.tiles.high)
        and np.array_equal(stored.tiles.step[varied], ours.tiles.step[varied])
        and np.array_equal(stored.tiles.coefficients, ours.tiles.coefficients)
        and _equal(stored.absent, absent)
    )
    if not same:
        raise VerificationError(f"model {key}: does not read back as coded")
