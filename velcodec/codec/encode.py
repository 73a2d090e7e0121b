"""Encoding: from models to the bytes of an archive, measured with the reader's own code.

`encode` fits, quantises and packs; the result knows its summary and writes itself. The same models,
options, decoder, device and number of threads give the same bytes; another number of threads may
round a latent's last bits otherwise and so choose another coefficient here and there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np

from velcodec.codec.budget import encode_to_budget
from velcodec.codec.coded import CodedModel
from velcodec.codec.cut import ModelSet
from velcodec.codec.exact import check_samples, encode_samples, with_streams
from velcodec.codec.fitting import Fitter
from velcodec.codec.rungs import QUALITY_FLOOR_DB, encode_to_floor
from velcodec.codec.write import MODELS_AT_ONCE, Contents, archive_bytes
from velcodec.formats.errors import OptionError, VerificationError
from velcodec.formats.vlat import VlatReader
from velcodec.stored import read_models

log = logging.getLogger(__name__)

RANGE_STEP_M_S = 4.0
"""Grid of the tiles' value ranges; the same for every budget, so that the least possible is too."""


@dataclass(frozen=True)
class Summary:
    """What an encoding cost and what it delivers, at the native grid.

    PSNR (dB, over 3000 m/s) is measured on every model's rendering. `under_floor` names the models
    that the default mode's ladder could not bring to the quality floor; it is empty when a budget
    was given, which promises bytes and not quality. `exact` and `latents` count the models that
    hold an exact stream and a latent; `max_error_m_s` is measured where samples are exact streams'.
    """

    models: int
    tiles: int
    bytes: int
    input_bytes: int
    mean_psnr: float
    worst_psnr: float
    worst_model: str
    under_floor: tuple[str, ...] = ()
    max_error_m_s: float | None = None
    exact: int = 0
    latents: int = 0

    @property
    def bytes_per_model(self) -> float:
        """Size of the whole archive over the number of models."""
        return self.bytes / self.models

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "models": self.models,
            "tiles": self.tiles,
            "bytes": self.bytes,
            "bytes_per_model": self.bytes_per_model,
            "input_bytes": self.input_bytes,
            "ratio": self.input_bytes / self.bytes,
            "mean_psnr": self.mean_psnr,
            "worst_psnr": self.worst_psnr,
            "worst_model": self.worst_model,
            "under_floor": list(self.under_floor),
            "max_error_m_s": self.max_error_m_s,
            "exact": self.exact,
            "latents": self.latents,
        }


@dataclass(frozen=True)
class Encoded:
    """A finished archive in memory, and its summary."""

    data: bytes = field(repr=False)
    summary: Summary

    def write(self, stream: BinaryIO) -> None:
        """Write the archive to a binary stream, front to back."""
        stream.write(self.data)


def encode(
    fitter: Fitter,
    source: ModelSet,
    contents: Contents,
    *,
    bytes_per_model: float | None = None,
    floor_db: float = QUALITY_FLOOR_DB,
) -> Encoded:
    """Encode every model of `source`.

    Without `bytes_per_model` every model takes the decoder's default step, and what it needs beyond
    to reach `floor_db`. Raises BudgetError when `bytes_per_model` cannot be kept.
    """
    if bytes_per_model is None:
        coded = encode_to_floor(fitter, source, contents.range_step, floor_db)
    else:
        coded = encode_to_budget(
            fitter,
            source,
            contents.range_step,
            bytes_per_model,
            lambda models: len(archive_bytes(contents, models)),
        )
    data = archive_bytes(contents, coded)
    _check_readable(data, contents, coded)
    promised = floor_db if bytes_per_model is None else None
    summary = _summary(source, contents, coded, len(data), promised)
    if summary.under_floor:
        log.warning(
            "%d of %d models stay under %g dB at the finest step and smallest tiles, the worst "
            "(%s) at %.1f dB",
            len(summary.under_floor),
            summary.models,
            floor_db,
            summary.worst_model,
            summary.worst_psnr,
        )
    return Encoded(data, summary)


def encode_within(
    fitter: Fitter,
    source: ModelSet,
    contents: Contents,
    *,
    max_error: float,
    keep_latent: bool = False,
    floor_db: float = QUALITY_FLOOR_DB,
) -> Encoded:
    """Encode every sample of `source` within `max_error` m/s, bit for bit where that is 0.

    `keep_latent` stores a latent beside, of `floor_db` or its best, so that other grids can be
    rendered. What was written is read back; VerificationError where it breaks the promise.
    """
    coding, streams = encode_samples(source, max_error, fitter.on_progress)
    latents = None
    if keep_latent:
        latents = encode_to_floor(fitter, source, contents.range_step, floor_db)
    coded = with_streams(source, streams, latents)
    contents = replace(contents, header=replace(contents.header, exact=coding))
    data = archive_bytes(contents, coded)
    errors = _errors_read_back(data, source, contents, max_error)
    measured = [replace(c, mse=mse) for c, (mse, _) in zip(coded, errors, strict=True)]
    summary = _summary(source, contents, measured, len(data), None)
    return Encoded(data, replace(summary, max_error_m_s=max(worst for _, worst in errors)))


def _errors_read_back(
    data: bytes, source: ModelSet, contents: Contents, max_error: float
) -> list[tuple[float, float]]:
    """Mean squared and greatest error of every model as a reader gets it."""
    reader = VlatReader(data)
    found = []
    for first in range(0, len(source), MODELS_AT_ONCE):
        some = range(first, min(first + MODELS_AT_ONCE, len(source)))
        for number, stored in zip(
            some, read_models(reader, lambda: contents.tables, some), strict=True
        ):
            key = contents.key(number)
            found.append(check_samples(source, number, key, stored.samples, max_error))
    return found


def _check_readable(data: bytes, contents: Contents, coded: Sequence[CodedModel]) -> None:
    """Read every record back with the reader's own code: the tiles measured are those stored."""
    reader = VlatReader(data)
    for first in range(0, len(coded), MODELS_AT_ONCE):
        some = range(first, min(first + MODELS_AT_ONCE, len(coded)))
        for number, stored in zip(
            some, read_models(reader, lambda: contents.tables, some), strict=True
        ):
            ours = coded[number]
            varied = ours.tiles.high > ours.tiles.low
            same = (
                stored.tiling == ours.tiling
                and np.array_equal(stored.tiles.low, ours.tiles.low)
                and np.array_equal(stored.tiles.high, ours.tiles.high)
                and np.array_equal(stored.tiles.step[varied], ours.tiles.step[varied])
                and np.array_equal(stored.tiles.coefficients, ours.tiles.coefficients)
            )
            if not same:
                raise VerificationError(
                    f"model {contents.key(number)}: does not read back as coded"
                )


def range_step(bytes_per_model: float | None) -> float:
    """Grid (m/s) of the tiles' value ranges.

    Raises OptionError for a budget that is not positive.
    """
    if bytes_per_model is not None and not bytes_per_model > 0:
        raise OptionError(f"bytes per model: expected more than 0, found {bytes_per_model:g}")
    return RANGE_STEP_M_S


def _summary(
    source: ModelSet,
    contents: Contents,
    coded: Sequence[CodedModel],
    size: int,
    promised_db: float | None,
) -> Summary:
    psnr = np.array([model.psnr for model in coded])
    worst = int(psnr.argmin())
    under = np.flatnonzero(psnr < (-np.inf if promised_db is None else promised_db))
    return Summary(
        models=len(coded),
        tiles=sum(len(model.tiles.step) for model in coded),
        bytes=size,
        input_bytes=sum(model.nbytes for model in source.models),
        mean_psnr=float(psnr.mean()),
        worst_psnr=float(psnr[worst]),
        worst_model=contents.key(worst),
        under_floor=tuple(contents.key(int(i)) for i in under),
        exact=sum(model.exact is not None for model in coded),
        latents=sum(len(model.tiles.step) > 0 for model in coded),
    )
