"""Coding one volume to a promise: one domain for it, brick by brick, every brick read back.

A promise of PSNR or size is kept for the whole volume: the quantiser's step is the same in all of
its bricks, which is what a mean error is best spent on.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import overload

import msgpack
import numpy as np
from numpy.typing import NDArray

from velcodec.decode.units import difference_m_s, lie_within, unit_scale
from velcodec.encode.encode import ROUNDING_DB
from velcodec.encode.samples import LAYERED, ROUNDING, SMOOTH
from velcodec.formats.arrays import Bool, Int64
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.errors import BudgetError, QualityError, VerificationError
from velcodec.formats.files.checks import plane_ranges
from velcodec.formats.no_data import NoData, find_absent
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import (
    EVEN,
    ORDERED,
    RAW,
    Domain,
    bounded_domains,
    even_steps,
    exact_domain,
    float64_holds,
    nearest_codes,
)
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK
from velcodec.formats.storage.locks import lazy_property
from velcodec.formats.volume_coding.choice import REACH, interpolated_domain, looks_smooth
from velcodec.formats.volume_coding.coder import BRICK, encode_within
from velcodec.formats.volume_coding.stream import (
    Box,
    Bricks,
    decode_samples,
    encode_samples,
    join_mask,
    pack_volume,
    split_mask,
)
from velcodec.masks import filled
from velcodec.metrics import psnr_of_mse, rms_of_psnr
from velcodec.parallel import in_threads
from velcodec.progress import Progress
from velcodec.sampler.volume.compiled import AROUND
from velcodec.sampler.volume.form import NEWEST_VOLUME_SAMPLER

Volume = NDArray[np.generic]

PSNR_TRIALS, SIZE_TRIALS, BOUND_TRIALS = 12, 10, 4
"""Steps that are measured for a PSNR and coded for a size, and bounds that are coded for a PSNR, at
most.
"""

SPARE_DB = 0.05
"""So much more than the PSNR asked for is near enough."""

TRIED_BRICKS, SAMPLE_TRIALS = 2, 2
"""Bricks that tell which of two ways is shorter, or how a PSNR depends on the bound; and bounds
that are tried on them.
"""

FINER_STEPS = (1.0, 0.84, 0.71, 0.59, 0.5)
"""Steps, relative to the widest that reach a PSNR, of which the shortest is taken."""

TRIAL_BOUNDS = 500.0
"""So many times goes the bound, by which two ways are compared for a size, into twice the range."""

FINEST_M_S = 2.0**-10
"""The finest step that a size or a PSNR is looked for with."""

SPREAD = 101
"""One of so many samples is looked at first."""

FEW_VALUES = 256
"""Volumes of at most this many values are coded bit for bit too, which may take fewer bytes."""

WORTH = 1.05
"""Having every bit is worth so many times the bytes of a lossy record."""


@dataclass(frozen=True)
class CodedVolume:
    """The streams of a volume's bricks, their domain, and what they deliver; with the numbers of
    their absent samples where the volume may have some.
    """

    bricks: Bricks
    streams: Sequence[bytes]
    domain: Domain
    quality: StoredQuality
    absent: Int64 | None
    checksums: Int64

    def without_streams(self) -> CodedVolume:
        """The same once its record was made."""
        return replace(self, streams=())

    @property
    def size(self) -> int:
        """Bytes of all streams, and of the domain in the header."""
        return sum(map(len, self.streams)) + len(msgpack.packb(self.domain.to_list()))

    def record(self, domain: int) -> bytes:
        """The record without the number of its layout, where its domain has this number."""
        return pack_volume(domain, self.bricks, self.streams, self.absent)


@dataclass(frozen=True)
class Way:
    """How the bricks of a volume are coded: its integers in a domain exactly or, for smooth parts,
    interpolated within `reach` of them.
    """

    domain: Domain
    reach: int | None = None

    def stream(self, samples: Volume) -> tuple[bytes, Int64 | None]:
        """The shortest stream of a brick, and the integers that it decodes to where they are
        known.
        """
        if self.domain.kind == RAW:
            return encode_samples(samples, None, self.domain, False), None
        codes = np.ascontiguousarray(nearest_codes(samples, self.domain))
        if self.reach is None:
            kinds = _kinds(codes)
            streams = [encode_samples(samples, codes, self.domain, smooth) for smooth in kinds]
            return min(streams, key=len), codes
        within = encode_within(codes, self.domain, self.reach)
        if not looks_smooth(codes):
            exactly = encode_samples(samples, codes, self.domain, False)
            if len(exactly) <= len(within):
                return exactly, codes
        return within, None


class Slabs(Sequence[Volume]):
    """The present samples of a volume in parts of some planes, each made when it is asked for, so
    that no copy of the whole is; parts without present samples are left out.
    """

    def __init__(self, volume: Volume, no_data: NoData | None) -> None:
        self._volume, self._no_data = volume, no_data
        self._planes = [slice(*ends) for ends in plane_ranges(volume.shape)]
        if no_data is not None:
            self._planes = [some for some in self._planes if self._present(some).size]

    def _present(self, planes: slice) -> Volume:
        slab = self._volume[planes]
        return slab if self._no_data is None else slab[~find_absent(slab, self._no_data)]

    def __len__(self) -> int:
        return len(self._planes)

    @overload
    def __getitem__(self, which: int) -> Volume: ...

    @overload
    def __getitem__(self, which: slice) -> Sequence[Volume]: ...

    def __getitem__(self, which: int | slice) -> Volume | Sequence[Volume]:
        if isinstance(which, slice):
            return [self._present(planes) for planes in self._planes[which]]
        return self._present(self._planes[which])


class VolumeCoder:
    """Codes one volume (nz, ny, nx) in some way, and measures what its streams decode to. Samples
    of the value `no_data` are absent.
    """

    def __init__(
        self, volume: Volume, units: str, name: str, on_progress: Progress,
        no_data: NoData | None = None,
    ) -> None:  # fmt: skip
        self.volume, self.units, self.name = volume, units, name
        self.on_progress, self.no_data = on_progress, no_data
        nz, ny, nx = volume.shape
        bz, by, bx = (min(edge, size) for edge, size in zip(BRICK, volume.shape, strict=True))
        self.bricks = Bricks((nz, ny, nx), (bz, by, bx))
        self.slabs = Slabs(volume, no_data)
        ends = [(float(slab.min()), float(slab.max())) for slab in self.slabs]
        self.least = min(least for least, _ in ends)
        self.greatest = max(greatest for _, greatest in ends)
        self.absent = self._count_absent()
        self.present = int((self.bricks.samples - self.absent).sum())

    def _count_absent(self) -> Int64:
        """The number of absent samples of every brick."""
        counts = np.zeros(self.bricks.counts, dtype=np.int64)
        if self.no_data is not None:
            bz, by, bx = self.bricks.edges
            for row, z in enumerate(range(0, len(self.volume), bz)):
                gone = find_absent(self.volume[z : z + bz], self.no_data).sum(axis=0)
                gone = np.add.reduceat(gone, np.arange(0, gone.shape[0], by), axis=0)
                counts[row] = np.add.reduceat(gone, np.arange(0, gone.shape[1], bx), axis=1)
        return counts.ravel()

    def brick(self, number: int) -> tuple[Volume, Bool | None]:
        """The samples of a brick, absent ones replaced by the nearest present ones of the brick or,
        if it has none, of what lies around it; and which are absent, or None.
        """
        box = self.bricks.box(number)
        samples = self.volume[box]
        if not self.absent[number]:
            return samples, None
        assert self.no_data is not None
        gone = find_absent(samples, self.no_data)
        if not gone.all():
            return filled(samples, gone), gone
        wide = _widened(box)
        around = self.volume[wide]
        own = tuple(
            slice(each.start - w.start, each.stop - w.start)
            for each, w in zip(box, wide, strict=True)
        )
        return filled(around, find_absent(around, self.no_data))[own], gone

    def _needs_stream(self, number: int) -> bool:
        """Whether a brick has present samples, or so near to it that the field there depends on its
        own.
        """
        if self.no_data is None or self.absent[number] < self.bricks.samples[number]:
            return True
        around = self.volume[_widened(self.bricks.box(number))]
        return not find_absent(around, self.no_data).all()

    def coded(self, way: Way, within: float | None = None) -> CodedVolume:
        """All bricks. Every stream is decoded, and refused with VerificationError if a sample is
        not what was coded, or not `within` the bound (m/s; 0: bit for bit).
        """
        streams, quality = self._bricks(way, within, range(len(self.bricks)))
        absent = None if self.no_data is None else self.absent
        checksums = np.array([zlib.crc32(stream) for stream in streams])
        return CodedVolume(self.bricks, streams, way.domain, quality, absent, checksums)

    def _bricks(
        self, way: Way, within: float | None, numbers: Sequence[int]
    ) -> tuple[list[bytes], StoredQuality]:
        """The streams of some bricks, and the quality of their present samples."""
        domain = way.domain
        coding = ExactCoding(EXACT_NETWORK, (domain,), NEWEST_VOLUME_SAMPLER)
        streams: list[bytes] = []
        squares = total = worst = 0.0
        count = 0
        present = self.bricks.samples - self.absent

        def code(number: int) -> tuple[bytes, float, float, float]:
            if not self._needs_stream(number):
                return b"", 0.0, 0.0, 0.0
            samples, gone = self.brick(number)
            own, codes = way.stream(samples)
            stream = join_mask(own, gone)
            place = f"{self.name}: brick {number}"
            shape = self.bricks.shape_of(number)
            back, mask = split_mask(stream, shape, int(self.absent[number]), place)
            if present[number] and not _same_mask(mask, gone):
                raise VerificationError(f"{place}: absent samples do not read back as coded")
            read = decode_samples(back, shape, coding, 0, samples.dtype, place)
            if codes is not None and not _same(read, domain.samples(codes, samples.dtype)):
                raise VerificationError(f"{place}: does not read back as coded")
            if within == 0.0 and not _same(read, samples):
                raise VerificationError(f"{place}: found samples that differ, expected every bit")
            if not present[number]:
                return stream, 0.0, 0.0, 0.0
            error = np.abs(difference_m_s(read, samples, self.units))
            if gone is not None:
                error = error[~gone]
            if within is not None and float(error.max()) > within:
                raise VerificationError(
                    f"{place}: found an error of {float(error.max()):g} m/s, expected {within:g} "
                    "at most"
                )
            return stream, float(np.square(error).sum()), float(error.sum()), float(error.max())

        for done, (number, (stream, square, sum_, most)) in enumerate(
            in_threads(code, numbers), start=1
        ):
            streams.append(stream)
            squares, total, worst = squares + square, total + sum_, max(worst, most)
            count += int(present[number])
            if len(numbers) == len(self.bricks):
                self.on_progress(done, len(self.bricks), "code bricks")
        return streams, StoredQuality(psnr_of_mse(squares / count), total / count, worst, math.nan)

    def exactly(self) -> CodedVolume:
        """The record that keeps every bit."""
        return self.coded(self._exact, 0.0)

    def within(self, bound: float) -> CodedVolume:
        """The shortest record within a bound (m/s)."""
        exact = self._exact.domain
        reach = self._in_units(bound)
        wide = [
            Way(domain)
            for domain in bounded_domains(self.slabs, reach)[:1]
            if self._fits(domain, reach)
        ]
        steps = wide[0] if wide else self._exact
        if wide and exact.kind not in (ORDERED, RAW) and exact.step >= steps.domain.step:
            steps = self._exact
        interpolated = self._interpolated(bound)
        if interpolated is not None and self._wins(interpolated, steps):
            return self.coded(interpolated, bound)
        if steps is self._exact:
            return self.coded(steps, bound)
        return self._shorter([self.coded(steps, bound)])

    def to_psnr(self, wanted: float) -> CodedVolume:
        """The record of the coarsest steps that reach a PSNR (dB). Raises QualityError."""
        step = self._widest_step(wanted + ROUNDING_DB)
        steps = self._exact if step is None else self._shortest_steps(step)
        uniform = rms_of_psnr(wanted) * math.sqrt(3.0)
        interpolated = self._interpolated(uniform)
        found = []
        if interpolated is not None and self._wins(interpolated, steps):
            found = self._interpolated_to_psnr(wanted, uniform)
        if not found and step is not None:
            found = [self.coded(steps)]
            if found[0].quality.psnr_db < wanted:
                found = [self.coded(Way(self._domain(step)))]
        found = [coded for coded in found if coded.quality.psnr_db >= wanted]
        shortest = self._shorter(found)
        if shortest.quality.psnr_db < wanted:
            raise QualityError(
                f"{self.name}: found {shortest.quality.psnr_db:.2f} dB, expected {wanted:g} dB"
            )
        return shortest

    def _interpolated_to_psnr(self, wanted: float, bound: float) -> list[CodedVolume]:
        """The record of the widest bound (m/s) found that reaches a PSNR; empty if none does."""
        best: list[CodedVolume] = []
        for trial in range(SAMPLE_TRIALS + BOUND_TRIALS):
            way = self._interpolated(bound)
            if way is None:
                break
            if trial < SAMPLE_TRIALS:  # some bricks foretell the bound
                if len(self.bricks) <= 2 * TRIED_BRICKS:
                    continue
                _, quality = self._bricks(way, bound, self._tried)
                bound *= 10.0 ** ((quality.psnr_db - wanted) / 20.0)
                continue
            coded = self.coded(way, bound)
            spare = coded.quality.psnr_db - wanted
            if spare >= 0 and (not best or coded.size < best[0].size):
                best = [coded]
            if 0 <= spare <= SPARE_DB:
                break
            bound *= 10.0 ** ((spare - SPARE_DB / 2) / 20.0)
        return best

    def to_size(self, allowed: float, size: Callable[[CodedVolume], int]) -> CodedVolume:
        """The record of the finest steps whose `size` is at most `allowed` bytes. Raises
        BudgetError.
        """
        if self._exact.domain.span <= FEW_VALUES:
            whole = self.exactly()
            if size(whole) <= allowed:
                return whole
        coarsest = 2.0 * max(self._extent(), FINEST_M_S)
        middling = self._interpolated(coarsest / TRIAL_BOUNDS)
        smooth = middling is not None and self._wins(
            middling, Way(self._domain(2.0 * coarsest / TRIAL_BOUNDS))
        )

        def way(step: float) -> Way:
            interpolated = self._interpolated(step / 2) if smooth else None
            return interpolated or Way(self._domain(step))

        low, high = math.log2(FINEST_M_S), math.log2(coarsest)
        best: CodedVolume | None = None
        for _ in range(SIZE_TRIALS):
            middle = 0.5 * (low + high)
            trial = self.coded(way(2.0**middle))
            if size(trial) <= allowed:
                best, high = trial, middle
            else:
                low = middle
        least = best or self.coded(Way(self._domain(coarsest)))
        if size(least) > allowed:
            raise BudgetError(
                f"{self.name}: budget of {allowed:g} bytes per model: the least possible for this "
                f"volume is {size(least)} bytes"
            )
        return least

    @lazy_property
    def _exact(self) -> Way:
        return Way(exact_domain(self.slabs))

    def _in_units(self, bound: float) -> float:
        """A bound in m/s in the volume's units, less what the conversion may round."""
        return bound / unit_scale(self.units) * (1.0 if self.units == "m/s" else ROUNDING)

    def _interpolated(self, bound: float) -> Way | None:
        """The way that interpolates within a bound (m/s), if there is one."""
        if self._exact.domain.span <= FEW_VALUES:
            return None
        domain = interpolated_domain(self.slabs, self._in_units(bound))
        return None if domain is None or domain.span <= REACH else Way(domain, REACH)

    def _shortest_steps(self, widest: float) -> Way:
        """Of the widest steps (m/s) that serve and somewhat finer ones, those in which some bricks
        take the fewest bytes: finer ones may tell layers apart that wider ones cut through.
        """
        ways = [Way(self._domain(widest * finer)) for finer in FINER_STEPS]
        return min(dict.fromkeys(ways), key=self._length)

    def _wins(self, one: Way, other: Way) -> bool:
        """Whether some bricks, spread over the volume, take fewer bytes in one way."""
        return self._length(one) < self._length(other)

    def _length(self, way: Way) -> int:
        """Bytes of some bricks, spread over the volume."""
        return sum(len(way.stream(self.brick(number)[0])[0]) for number in self._tried)

    @property
    def _tried(self) -> Sequence[int]:
        """Numbers of some bricks with present samples, spread over the volume."""
        some: list[int] = np.flatnonzero(self.absent < self.bricks.samples).tolist()
        return some[:: -(-len(some) // TRIED_BRICKS)]

    @lazy_property
    def _has_few_values(self) -> bool:
        """Whether the present samples have at most FEW_VALUES values."""
        known: NDArray[np.generic] = np.zeros(0, self.volume.dtype)
        for slab in self.slabs:
            for part in (slab[::SPREAD], slab):  # of many values some samples tell
                known = np.union1d(known, part)
                if len(known) > FEW_VALUES:
                    return False
        return True

    def _shorter(self, found: list[CodedVolume]) -> CodedVolume:
        """What was found or, where values are few or nothing was found, the exact record unless it
        takes clearly more bytes.
        """
        if found and not self._has_few_values:
            return found[0]
        whole = self.exactly()
        return found[0] if found and whole.size > WORTH * found[0].size else whole

    def _domain(self, step_m_s: float) -> Domain:
        """Even steps of about `step_m_s`, or the exact ones if these are no finer."""
        exact, step = self._exact.domain, step_m_s / unit_scale(self.units)
        if exact.kind == EVEN and exact.step >= step:
            return exact
        if not float64_holds(self.slabs):
            return exact
        return even_steps(self.least, self.greatest, self.volume.dtype, step)

    def _extent(self) -> float:
        """Greatest less least value, m/s."""
        return (self.greatest - self.least) * unit_scale(self.units)

    def deviation(self) -> float:
        """Standard deviation of the present samples, m/s."""
        total = squares = 0.0
        for slab in self.slabs:
            off = slab.astype(np.float64) - self.least
            total, squares = total + float(off.sum()), squares + float(np.square(off).sum())
        variance = squares / self.present - (total / self.present) ** 2
        return math.sqrt(max(variance, 0.0)) * unit_scale(self.units)

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
        for slab in self.slabs:
            read = domain.samples(nearest_codes(slab, domain), slab.dtype)
            squares += float(np.square(difference_m_s(read, slab, self.units)).sum())
        return psnr_of_mse(squares / self.present)

    def _fits(self, domain: Domain, reach: float) -> bool:
        """Whether every sample has a level within `reach` (in the volume's units)."""
        bound = reach * unit_scale(self.units)
        return all(
            lie_within(
                domain.samples(nearest_codes(slab, domain), slab.dtype), slab, bound, self.units
            )
            for slab in self.slabs
        )


def _kinds(codes: Int64) -> list[bool]:
    """Whether to code a brick as a smooth one, as one of layers, or both ways."""
    alike = float((codes[1:] == codes[:-1]).mean()) if len(codes) > 1 else 0.0
    return [True] if alike < SMOOTH else [False] if alike >= LAYERED else [False, True]


def _widened(box: Box) -> Box:
    """A box with what the field in it depends on; beyond the volume's end is nothing."""
    z, y, x = (slice(max(each.start - AROUND, 0), each.stop + AROUND) for each in box)
    return z, y, x


def _same_mask(one: Bool | None, other: Bool | None) -> bool:
    """Whether both say that the same samples are absent."""
    return one is other if one is None or other is None else np.array_equal(one, other)


def _same(one: Volume, other: Volume) -> bool:
    """Whether both arrays hold the same bits."""
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()
