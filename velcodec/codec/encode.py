"""Encoding: from models to the bytes of an archive, measured with the reader's own code.

`encode` keeps a promise: it fits, quantises, codes, packs, reads everything back and measures it.
The same models, options, decoder, device and number of threads give the same bytes; another number
of threads may round a latent's last bits otherwise, and so choose another coefficient here and
there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np

from velcodec.codec.budget import Spending
from velcodec.codec.coded import CodedModel
from velcodec.codec.cut import ModelSet
from velcodec.codec.exact import SampleCoder, code_samples
from velcodec.codec.fitting import Fitter
from velcodec.codec.measure import Measured, measure
from velcodec.codec.promise import Promise
from velcodec.codec.rungs import TARGET_DB, encode_to_psnr
from velcodec.codec.target import encode_to_target
from velcodec.codec.write import Contents, archive_bytes
from velcodec.formats.errors import BudgetError, OptionError, QualityError
from velcodec.formats.quality import Quality

BUDGET_GROUP = 1000
"""Models in order that keep to a budget together, so that streams and clusters do too."""

BUDGET_TRIALS = 6
LARGEST = 1e100
"""Values that a latent is fitted to are smaller than this, in the models' units."""

ROUNDING_DB = 0.005
"""A target is exceeded by so much, for the rounding to the samples' dtype."""

SMALL_ERRORS = 3.0
"""First guess of what mean errors are below, and greatest ones above, the root mean square."""


@dataclass(frozen=True)
class Summary:
    """What an encoding cost and what it delivers, measured at the native grid.

    PSNR in dB over 3000 m/s. `latent`, `samples` and `both` count the models stored in each way;
    `distance` is the farthest model's from what the decoder was trained on, where one was fitted.
    """

    models: int
    tiles: int
    bytes: int
    input_bytes: int
    mean_psnr: float
    worst_psnr: float
    worst_model: str
    max_error_m_s: float
    latent: int
    samples: int
    both: int
    distance: float | None
    farthest_model: str | None

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
            "max_error_m_s": self.max_error_m_s,
            "representations": {
                "latent": self.latent,
                "samples": self.samples,
                "samples and latent": self.both,
            },
            "distance": self.distance,
            "farthest_model": self.farthest_model,
        }


@dataclass(frozen=True)
class Encoded:
    """A finished archive in memory, and its summary."""

    data: bytes = field(repr=False)
    summary: Summary

    def write(self, stream: BinaryIO) -> None:
        """Write the archive to a binary stream, front to back."""
        stream.write(self.data)


def encode(fitter: Fitter, source: ModelSet, contents: Contents, promise: Promise) -> Encoded:
    """Encode every model of `source` as promised; every record is read back and measured.

    Raises BudgetError, QualityError or VerificationError, naming the model, where the promise
    cannot be kept.
    """
    if promise.within is None or promise.keep_latent:
        _check_values(source, contents)
    coder = None if promise.latent_only else SampleCoder(source, fitter.decoder)
    if promise.bytes_per_model is not None:
        return _Budget(fitter, source, contents, promise, coder).encode()
    if promise.within is not None:
        assert coder is not None
        latents = None
        if promise.keep_latent:
            latents = encode_to_psnr(fitter, source, contents.range_step, TARGET_DB)
        coded = code_samples(coder, promise.within, latents, fitter.on_progress)
        return _finish(fitter, source, contents, coded, coder, promise.within)
    target = promise.target_db
    assert target is not None
    coded = encode_to_target(fitter, source, contents.range_step, target + ROUNDING_DB, coder)
    encoded = _finish(fitter, source, contents, coded, coder)
    if encoded.summary.worst_psnr < target:
        raise QualityError(
            f"model {encoded.summary.worst_model}: the best of its latents is "
            f"{encoded.summary.worst_psnr:.2f} dB, expected {target:g} dB: leave out --latent-only "
            "(latent_only) to store samples too, or ask for less"
        )
    return encoded


def _check_values(source: ModelSet, contents: Contents) -> None:
    """Raise OptionError for values whose squares or differences would overflow in a fit."""
    for i, model in enumerate(source.models):
        largest = max(abs(float(model.min())), abs(float(model.max())))
        if not largest < LARGEST:
            raise OptionError(
                f"model {contents.key(i)}: found values up to {largest:g} {source.units}, expected "
                f"less than {LARGEST:g} where a latent is stored: such values are kept by "
                "--lossless (lossless=True) alone"
            )


class _Budget:
    """Groups of models, each of which keeps to the budget, and the whole file too."""

    def __init__(
        self,
        fitter: Fitter,
        source: ModelSet,
        contents: Contents,
        promise: Promise,
        coder: SampleCoder | None,
    ) -> None:
        assert promise.bytes_per_model is not None
        self.fitter, self.source, self.contents, self.coder = fitter, source, contents, coder
        self.bytes_per_model = promise.bytes_per_model
        # Groups of nearly one size: a last one of a few models would have nothing to share.
        count = -(-len(source) // BUDGET_GROUP)
        ends = [len(source) * k // count for k in range(count + 1)]
        self.groups = [range(a, b) for a, b in pairwise(ends)]
        self.spendings = [self._spending(group) for group in self.groups]

    def _spending(self, group: range) -> Spending:
        part = self.contents.part(group)
        models = ModelSet(self.source.models[group.start : group.stop], self.source.units)

        def size(coded: Sequence[CodedModel]) -> int:
            whole = replace(part, exact=None if self.coder is None else self.coder.coding)
            once = (1.0 - len(group) / len(self.source)) * len(part.header.to_bytes())
            rows = [_guess(model) for model in coded]
            return math.ceil(len(archive_bytes(whole, coded, rows)) - once)

        samples = None if self.coder is None else _Part(self.coder, group.start)
        return Spending(self.fitter, models, part.range_step, self.bytes_per_model, size, samples)

    def encode(self) -> Encoded:
        """The archive; columns of what was measured are longer or shorter than was guessed, so it
        may take a few attempts.
        """
        allowed = self.bytes_per_model * len(self.source)
        share = 1.0
        for _ in range(BUDGET_TRIALS):
            coded = []
            for group, spending in zip(self.groups, self.spendings, strict=True):
                coded += spending.fill(share * self.bytes_per_model * len(group))
            encoded = _finish(self.fitter, self.source, self.contents, coded, self.coder)
            over = len(encoded.data) - allowed
            if over <= 0:
                return encoded
            share *= 1.0 - (over + 1.0) / allowed
        raise BudgetError(
            f"budget of {self.bytes_per_model:g} bytes per model: found {len(encoded.data)} bytes "
            f"in all, expected at most {allowed:g}"
        )


class _Part:
    """Some of a coder's models, numbered from `first` on."""

    def __init__(self, coder: SampleCoder, first: int) -> None:
        self.coder, self.first = coder, first

    def least(self, i: int, max_error: float) -> float:
        return self.coder.least(i + self.first, max_error)

    def beside(self, i: int, latent: CodedModel, max_errors: Sequence[float]) -> list[CodedModel]:
        return self.coder.beside(i + self.first, latent, max_errors)


def _guess(model: CodedModel) -> Quality:
    """About what will be measured of a model, for the length of the index."""
    rms = model.mse**0.5
    return Quality(model.psnr, rms / SMALL_ERRORS, rms * SMALL_ERRORS, model.distance)


def _finish(
    fitter: Fitter,
    source: ModelSet,
    contents: Contents,
    coded: Sequence[CodedModel],
    coder: SampleCoder | None,
    within: float | None = None,
) -> Encoded:
    """The archive of these models, with what reading it back showed."""
    contents = replace(contents, exact=None if coder is None else coder.coding)
    data = archive_bytes(contents, coded)
    measured = measure(fitter, source, contents, coded, data, within)
    rows = [
        Quality(m.psnr, m.mae, m.max_error, model.distance)
        for m, model in zip(measured, coded, strict=True)
    ]
    data = archive_bytes(contents, coded, rows)
    return Encoded(data, _summary(source, contents, coded, measured, len(data)))


def _summary(
    source: ModelSet,
    contents: Contents,
    coded: Sequence[CodedModel],
    measured: Sequence[Measured],
    size: int,
) -> Summary:
    psnr = np.array([one.psnr for one in measured])
    worst = int(psnr.argmin())
    latents = np.array([len(model.tiles.step) > 0 for model in coded])
    exact = np.array([model.exact is not None for model in coded])
    distance = np.array([model.distance for model in coded])
    farthest = int(np.nanargmax(distance)) if np.isfinite(distance).any() else None
    return Summary(
        models=len(coded),
        tiles=sum(len(model.tiles.step) for model in coded),
        bytes=size,
        input_bytes=sum(model.nbytes for model in source.models),
        mean_psnr=float(psnr.mean()),
        worst_psnr=float(psnr[worst]),
        worst_model=contents.key(worst),
        max_error_m_s=max(one.max_error for one in measured),
        latent=int((latents & ~exact).sum()),
        samples=int((exact & ~latents).sum()),
        both=int((exact & latents).sum()),
        distance=None if farthest is None else float(distance[farthest]),
        farthest_model=None if farthest is None else contents.key(farthest),
    )
