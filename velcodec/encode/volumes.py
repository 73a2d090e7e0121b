"""Encoding volumes: one domain for each, coded brick by brick, every brick read back.

A promise of PSNR or size is kept for the whole volume: the quantiser's step is the same in all of
its bricks, which is what a mean error is best spent on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.units import difference_m_s, lie_within, unit_scale
from velcodec.encode.encode import ROUNDING_DB, Group, Summary
from velcodec.encode.pack import Contents, Packed
from velcodec.encode.samples import LAYERED, ROUNDING, SMOOTH
from velcodec.encode.target import Target
from velcodec.formats.arrays import Int64
from velcodec.formats.container.columns import take_fields
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.record import Record, pack_record
from velcodec.formats.errors import BudgetError, OptionError, QualityError, VerificationError
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import (
    ORDERED,
    RAW,
    Domain,
    bounded_domains,
    exact_domain,
    fine_domain,
    nearest_codes,
)
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK
from velcodec.formats.volume_coding import BRICK
from velcodec.formats.volume_coding.stream import (
    Bricks,
    decode_samples,
    encode_samples,
    pack_volume,
)
from velcodec.metrics import psnr_of_mse, rms_of_psnr
from velcodec.parallel import in_threads
from velcodec.progress import Progress
from velcodec.sampler.form import newest_sampler

Volume = NDArray[np.generic]

PSNR_TRIALS, SIZE_TRIALS = 12, 10
"""Steps that are measured for a PSNR, and coded for a size, at most."""

FINEST_M_S = 2.0**-10
"""The finest step that a size or a PSNR is looked for with."""

FEW_VALUES = 256
"""Volumes of at most this many values are coded bit for bit too, which may take fewer bytes."""

WORTH = 1.05
"""Having every bit is worth so many times the bytes of a lossy record."""


@dataclass(frozen=True)
class CodedVolume:
    """A volume's record without the number of its layout, its domain, and what it delivers."""

    record: bytes
    domain: Domain
    quality: StoredQuality


class VolumeCoder:
    """Codes one volume (nz, ny, nx) within domains, and measures what its streams decode to."""

    def __init__(self, volume: Volume, units: str, name: str, on_progress: Progress) -> None:
        self.volume, self.units, self.name = volume, units, name
        self.on_progress = on_progress
        nz, ny, nx = volume.shape
        bz, by, bx = (min(edge, size) for edge, size in zip(BRICK, volume.shape, strict=True))
        self.bricks = Bricks((nz, ny, nx), (bz, by, bx))

    def coded(self, domain: Domain, within: float | None = None) -> CodedVolume:
        """The record in a domain. Every stream is decoded, and refused with VerificationError if a
        sample is not what was coded, or not `within` the bound (m/s; 0: bit for bit).
        """
        coding = ExactCoding(EXACT_NETWORK, (domain,), newest_sampler())
        streams: list[bytes] = []
        squares = total = worst = 0.0

        def code(number: int) -> tuple[bytes, float, float, float]:
            box = self.bricks.box(number)
            samples = self.volume[box]
            codes = None if domain.kind == RAW else nearest_codes(samples, domain)
            stream = min(
                (encode_samples(samples, codes, domain, smooth) for smooth in _kinds(codes)),
                key=len,
            )
            place = f"{self.name}: brick {number}"
            shape = self.bricks.shape_of(number)
            read = decode_samples(stream, shape, coding, 0, samples.dtype, place)
            if codes is not None and not _same(read, domain.samples(codes, samples.dtype)):
                raise VerificationError(f"{place}: does not read back as coded")
            if within == 0.0 and not _same(read, samples):
                raise VerificationError(f"{place}: found samples that differ, expected every bit")
            error = np.abs(difference_m_s(read, samples, self.units))
            if within is not None and float(error.max()) > within:
                raise VerificationError(
                    f"{place}: found an error of {error.max():g} m/s, expected {within:g} at most"
                )
            return stream, float(np.square(error).sum()), float(error.sum()), float(error.max())

        for done, (_, (stream, square, sum_, most)) in enumerate(
            in_threads(code, range(len(self.bricks))), start=1
        ):
            streams.append(stream)
            squares, total, worst = squares + square, total + sum_, max(worst, most)
            self.on_progress(done, len(self.bricks), "code bricks")
        count = math.prod(self.volume.shape)
        quality = StoredQuality(psnr_of_mse(squares / count), total / count, worst, math.nan)
        return CodedVolume(pack_volume(0, self.bricks, streams), domain, quality)

    def within(self, bound: float) -> CodedVolume:
        """The shortest record within a bound (m/s)."""
        exact = exact_domain([self.volume])
        reach = bound / unit_scale(self.units) * (1.0 if self.units == "m/s" else ROUNDING)
        wide = [
            domain for domain in bounded_domains([self.volume], reach)[:1]
            if self._fits(domain, reach)
        ]  # fmt: skip
        if not wide or (exact.kind not in (ORDERED, RAW) and exact.step >= wide[0].step):
            return self.coded(exact, bound)
        return self._shorter([self.coded(wide[0], bound)], exact, bound)

    def exactly(self) -> CodedVolume:
        """The record that keeps every bit."""
        return self.coded(exact_domain([self.volume]), 0.0)

    def to_psnr(self, wanted: float) -> CodedVolume:
        """The record of the coarsest steps that reach a PSNR (dB). Raises QualityError."""
        step = self._widest_step(wanted + ROUNDING_DB)
        found = []
        if step is not None:
            found = [self.coded(self._domain(step))]
            if found[0].quality.psnr_db < wanted:
                found = []
        shortest = self._shorter(found, exact_domain([self.volume]), 0.0)
        if shortest.quality.psnr_db < wanted:
            raise QualityError(
                f"{self.name}: found {shortest.quality.psnr_db:.2f} dB, expected {wanted:g} dB"
            )
        return shortest

    def to_size(self, allowed: float, size: Callable[[CodedVolume], int]) -> CodedVolume:
        """The record of the finest steps whose `size` is at most `allowed` bytes. Raises
        BudgetError.
        """
        if len(np.unique(self.volume[self.bricks.box(0)])) <= FEW_VALUES:
            whole = self.exactly()
            if size(whole) <= allowed:
                return whole
        coarsest = 2.0 * max(self._extent(), FINEST_M_S)
        low, high = math.log2(FINEST_M_S), math.log2(coarsest)
        best: CodedVolume | None = None
        for _ in range(SIZE_TRIALS):
            middle = 0.5 * (low + high)
            trial = self.coded(self._domain(2.0**middle))
            if size(trial) <= allowed:
                best, high = trial, middle
            else:
                low = middle
        least = best or self.coded(self._domain(coarsest))
        if size(least) > allowed:
            raise BudgetError(
                f"{self.name}: budget of {allowed:g} bytes per model: the least possible for this "
                f"volume is {size(least)} bytes"
            )
        return least

    def _shorter(self, found: list[CodedVolume], exact: Domain, bound: float) -> CodedVolume:
        """What was found or, where values are few or nothing was found, the exact record unless it
        takes clearly more bytes.
        """
        few = exact.kind not in (ORDERED, RAW) and exact.span <= FEW_VALUES
        if few or not found:
            found = [*found, self.coded(exact, bound)]
        *lossy, last = found
        if lossy and len(last.record) > WORTH * len(lossy[0].record):
            return lossy[0]
        return last

    def _domain(self, step_m_s: float) -> Domain:
        return fine_domain([self.volume], step_m_s / unit_scale(self.units))

    def _extent(self) -> float:
        """Greatest less least value, m/s."""
        extent = float(self.volume.max()) - float(self.volume.min())
        return extent * unit_scale(self.units)

    def _widest_step(self, wanted_db: float) -> float | None:
        """The widest step (m/s) found whose even levels reach a PSNR; None if none does."""
        extent = self._extent()
        if extent == 0.0:
            return 1.0
        uniform = rms_of_psnr(wanted_db) * math.sqrt(12.0)
        low, high = math.log2(uniform / 4), math.log2(min(uniform * 8, max(extent, uniform)))
        best = None
        for _ in range(PSNR_TRIALS):
            middle = 0.5 * (low + high)
            if self._psnr_of(self._domain(2.0**middle)) >= wanted_db:
                best, low = 2.0**middle, middle
            else:
                high = middle
        return best

    def _psnr_of(self, domain: Domain) -> float:
        if domain.kind == RAW:
            return psnr_of_mse(0.0)
        squares = 0.0
        for _, box in self._slabs():
            samples = self.volume[box]
            read = domain.samples(nearest_codes(samples, domain), samples.dtype)
            squares += float(np.square(difference_m_s(read, samples, self.units)).sum())
        return psnr_of_mse(squares / math.prod(self.volume.shape))

    def _slabs(self) -> Iterator[tuple[int, slice]]:
        """Parts of the volume of about a brick's depth, which bound memory."""
        edge = self.bricks.edges[0]
        for number, start in enumerate(range(0, self.volume.shape[0], edge)):
            yield number, slice(start, start + edge)

    def _fits(self, domain: Domain, reach: float) -> bool:
        """Whether every sample has a level within `reach` (in the volume's units)."""
        return all(self._slab_fits(self.volume[box], domain, reach) for _, box in self._slabs())

    def _slab_fits(self, samples: Volume, domain: Domain, reach: float) -> bool:
        read = domain.samples(nearest_codes(samples, domain), samples.dtype)
        return lie_within(read, samples, reach * unit_scale(self.units), self.units)


def _kinds(codes: Int64 | None) -> list[bool]:
    """Whether to code a brick as a smooth one, as one of layers, or both ways."""
    if codes is None:
        return [False]
    alike = float((codes[1:] == codes[:-1]).mean()) if len(codes) > 1 else 0.0
    return [True] if alike < SMOOTH else [False] if alike >= LAYERED else [False, True]


def _same(one: Volume, other: Volume) -> bool:
    """Whether both arrays hold the same bits."""
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def encode_volumes(
    volumes: Sequence[Volume], contents: Contents, target: Target, saved: int, on_progress: Progress
) -> Group:
    """Encode volumes of one layout to the target, each for itself; every brick is read back.

    `saved` bytes of what an archive has once are not counted towards a size. Raises BudgetError,
    QualityError, VerificationError, and OptionError for a target that keeps latents: volumes have
    none.
    """
    for name in ("keep_latent", "latent_only"):
        if getattr(target, name):
            raise OptionError(f"{name}: found it for volumes, which are stored as samples alone")
    coded = []
    for number, volume in enumerate(volumes):
        name = f"model {contents.key(number)}"
        coder = VolumeCoder(volume, contents.header.layouts[0].units, name, on_progress)
        coded.append(_coded(coder, target, contents, saved))
    quality = [each.quality for each in coded]
    packed = _packed(contents, coded)
    return Group(packed, _summary(volumes, contents, quality, len(packed.to_bytes())))


def _packed(contents: Contents, coded: Sequence[CodedVolume]) -> Packed:
    """The records of coded volumes under one header, the first ones of `contents`."""
    layout = contents.header.layouts[0]
    domains = list(dict.fromkeys(each.domain for each in coded))
    exact = ExactCoding(EXACT_NETWORK, tuple(domains), newest_sampler())
    header = replace(contents.header, exact=exact)
    records = []
    for row, each in enumerate(coded):
        # The domain's number is the first byte: there are fewer than 128 domains in a group.
        bricks = bytes([domains.index(each.domain)]) + each.record[1:]
        at = int(contents.layout_of[row])
        records.append(
            pack_record(Record(at, 0, 0, layout.nz, layout.nx, [], bricks=bricks), header)
        )
    keys = None if contents.keys is None else contents.keys[: len(coded)]
    fields = take_fields(contents.fields, slice(0, len(coded)))
    return Packed(header, records, keys, [each.quality for each in coded], fields)


def _coded(coder: VolumeCoder, target: Target, contents: Contents, saved: int) -> CodedVolume:
    if target.lossless:
        return coder.exactly()
    if target.within is not None:
        return coder.within(target.within)
    if target.bytes_per_model is not None:

        def size(coded: CodedVolume) -> int:
            return len(_packed(contents, [coded]).to_bytes()) - saved

        return coder.to_size(target.bytes_per_model, size)
    assert target.psnr_db is not None
    return coder.to_psnr(target.psnr_db)


def _summary(
    volumes: Sequence[Volume], contents: Contents, quality: Sequence[StoredQuality], size: int
) -> Summary:
    psnr = np.array([each.psnr_db for each in quality])
    worst = int(psnr.argmin())
    return Summary(
        models=len(volumes),
        tiles=0,
        bytes=size,
        input_bytes=sum(volume.nbytes for volume in volumes),
        mean_psnr=float(psnr.mean()),
        worst_psnr=float(psnr[worst]),
        worst_model=contents.key(worst),
        max_error_m_s=max(each.max_error_m_s for each in quality),
        latent=0,
        samples=len(volumes),
        both=0,
        distance=None,
        farthest_model=None,
    )
