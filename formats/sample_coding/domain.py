"""Samples as integers: even steps, indices into a palette, or the order of floating-point numbers.

A domain maps the integers [0, span) of exact streams to samples of the user's dtype. It also gives
the integers that an encoder may choose for each sample, exactly or within a bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from velcodec.formats.arrays import Int64
from velcodec.formats.errors import CorruptError, UnknownFeatureError
from velcodec.formats.storage.checked_msgpack import integer, number, sequence, short_number

Samples = NDArray[np.generic]

EVEN, ORDERED, RAW, PALETTE = range(4)
MAX_SPAN = 1 << 60
MOST_ORDERED = 1 << 63
FINEST_STEP = 2.0**-20
MOST_VALUES = 1 << 12
"""Most values of a palette."""

SPARSE, FEW_STEPS = 16, 1 << 16
"""A palette is used if there are at least SPARSE samples per value, and more than FEW_STEPS even
steps."""

MAX_EVEN = 2.0**52
"""Integers below this are exact in float64."""

LEAST_STEP = float(np.finfo(np.float64).tiny)
"""Smallest step: dividing by a smaller one could overflow."""


@dataclass(frozen=True)
class Domain:
    """EVEN: sample = base + step k, for 0 <= k < span. ORDERED: the sample's bit pattern, as an
    integer in the order of the numbers, is base + k. RAW: no integers, the samples themselves.
    PALETTE: the sample is `values`[k], rising. `bound` is the class of the error bound.

    Raises CorruptError, UnknownFeatureError.
    """

    kind: int
    base: float | int
    step: float
    span: int
    bound: int = 0
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in (EVEN, ORDERED, RAW, PALETTE):
            raise UnknownFeatureError(f"domain: kind: found {self.kind}, expected 0 to 3")
        if len(self.values) != (self.span if self.kind == PALETTE else 0):
            raise CorruptError(f"domain: found {len(self.values)} values, expected {self.span}")
        rising = all(a < b for a, b in pairwise(self.values))
        if not (rising and all(map(math.isfinite, self.values[-1:] + self.values[:1]))):
            raise CorruptError("domain: palette: expected finite values that rise")
        if not 1 <= self.span <= MAX_SPAN:
            raise CorruptError(f"domain: span: found {self.span}, expected 1 to {MAX_SPAN}")
        if self.kind == ORDERED and not -MOST_ORDERED <= self.base <= MOST_ORDERED - self.span:
            raise CorruptError(f"domain: base: found {self.base}, expected one of 64 bits")
        if not 0 <= self.bound < BOUND_CLASSES:
            raise CorruptError(
                f"domain: bound: found {self.bound}, expected less than {BOUND_CLASSES}"
            )
        if not (math.isfinite(self.base) and math.isfinite(self.step) and self.step > 0):
            raise CorruptError(f"domain: found base {self.base} and step {self.step}")

    def samples(self, codes: Int64, dtype: np.dtype[np.generic]) -> Samples:
        """The samples of these integers, in `dtype`, of the same shape."""
        if self.kind == ORDERED:
            return _from_ordered(codes + int(self.base), dtype)
        if self.kind == PALETTE:
            return np.array(self.values)[codes].astype(dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            return (self.base + self.step * codes.astype(np.float64)).astype(dtype)

    def ends(self, dtype: np.dtype[np.generic]) -> tuple[float, float]:
        """The least and the greatest sample that it can hold, in a domain that is not RAW."""
        low, high = self.samples(np.array([0, self.span - 1]), dtype).tolist()
        return float(low), float(high)

    def to_list(self) -> list[Any]:
        """As the header keeps it."""
        base: Any = int(self.base) if self.kind == ORDERED else short_number(self.base)
        if self.kind == PALETTE:
            planes = np.array(self.values, dtype="<f8").view(np.uint8).reshape(-1, 8).T
            base = zstandard.ZstdCompressor(level=19).compress(planes.tobytes())
        return [self.kind, base, short_number(self.step), self.span, self.bound]

    @classmethod
    def from_list(cls, data: Any) -> Domain:
        """The inverse of `to_list`. Raises CorruptError, UnknownFeatureError."""
        try:
            kind, base, step, span, bound = sequence(data)
            if kind == PALETTE:
                values = _palette_values(base, integer(span))
                return cls(PALETTE, 0.0, number(step), len(values), integer(bound), values)
            first = integer(base) if kind == ORDERED else number(base)
            return cls(integer(kind), first, number(step), integer(span), integer(bound))
        except (TypeError, ValueError, OverflowError) as error:
            raise CorruptError(f"domain in the header: {error}") from error


MOST_FINE = 1 << 25
"""Most steps of a fine domain."""

BOUND_CLASSES = 6
_BOUND_SHARES = (2.0 / 3000, 7.0 / 3000, 17.0 / 3000, 35.0 / 3000)
"""Bound over range of values at which classes 2 to 5 begin; class 0 is exact."""


def bound_class(bound: float, value_range: float) -> int:
    """The class of an error bound, a context of coders."""
    if bound <= 0:
        return 0
    return 1 + sum(bound > share * value_range for share in _BOUND_SHARES)


def _palette_values(packed: Any, count: int) -> tuple[float, ...]:
    if not 1 <= count <= MOST_VALUES:
        raise CorruptError(f"domain: palette: found {count} values, expected 1 to {MOST_VALUES}")
    try:
        if zstandard.frame_content_size(packed) != 8 * count:
            raise CorruptError(f"domain: palette: expected {8 * count} bytes")
        planes = zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise CorruptError(f"domain: palette: {error}") from error
    rows = np.frombuffer(planes, dtype=np.uint8).reshape(8, count).T
    return tuple(np.ascontiguousarray(rows).view("<f8")[:, 0].tolist())


def exact_domain(models: Sequence[Samples]) -> Domain:
    """A domain that holds every sample of these models, of one dtype, bit for bit."""
    even = even_domain(models)
    if even is not None and even.span <= FEW_STEPS:
        return even
    palette = _palette_domain(models)
    return palette or even or ordered_domain(models)


def _palette_domain(models: Sequence[Samples]) -> Domain | None:
    """A palette of all values, or None unless they are floating-point and few."""
    most = min(MOST_VALUES, sum(model.size for model in models) // SPARSE)
    if models[0].dtype.kind != "f" or any(_has_negative_zero(model) for model in models):
        return None
    values: NDArray[np.float64] = np.zeros(0)
    for model in models:
        values = np.union1d(values, model.astype(np.float64))
        if len(values) > most:
            return None
    return Domain(PALETTE, 0.0, 1.0, len(values), 0, tuple(values.tolist()))


def even_domain(models: Sequence[Samples]) -> Domain | None:
    """A domain of the widest even steps that hold every sample, or None."""
    least = min(float(model.min()) for model in models)
    greatest = max(float(model.max()) for model in models)
    scale = 1.0 if models[0].dtype.kind in "iu" else 1.0 / FINEST_STEP
    if max(abs(least), abs(greatest)) * scale >= MAX_EVEN:
        return None
    divisor = 0
    for model in models:
        scaled = model.astype(np.float64) * scale
        whole = np.rint(scaled)
        if not np.array_equal(whole, scaled) or _has_negative_zero(model):
            return None
        steps = np.unique(whole.astype(np.int64)) - int(least * scale)
        divisor = math.gcd(divisor, int(np.gcd.reduce(steps)))
    step = max(divisor, 1)
    span = round((greatest - least) * scale) // step + 1
    return Domain(EVEN, least, step / scale, span)


def _has_negative_zero(model: Samples) -> bool:
    return model.dtype.kind == "f" and bool(np.any((model == 0) & np.signbit(model)))


def ordered_domain(models: Sequence[Samples]) -> Domain:
    """A domain of ordered bit patterns, or a raw one if they lie too far apart."""
    ordered = [_to_ordered(model) for model in models]
    least = min(int(o.min()) for o in ordered)
    greatest = max(int(o.max()) for o in ordered)
    if greatest - least >= MAX_SPAN:
        return Domain(RAW, 0, 1.0, 1)
    return Domain(ORDERED, least, 1.0, greatest - least + 1)


def bounded_domains(models: Sequence[Samples], bound: float) -> list[Domain]:
    """Domains of even steps for an encoder to choose from: as wide as the bound permits, and about
    half as wide, so that levels lie closer to the samples. All levels lie within the models' range.
    Empty for integers that float64 does not hold, and for bounds too fine for it.

    If all samples are multiples of one step, such as 1 m/s, so are the domains' steps: at most
    2 floor(bound / step) + 1 of it; exactly twice the bound may suit round numbers better.
    """
    if not float64_holds(models):
        return []
    least = min(float(model.min()) for model in models)
    greatest = max(float(model.max()) for model in models)
    kind = bound_class(bound, max(greatest - least, 1e-300))
    bound = min(bound, max(greatest - least, 1.0))  # a wider bound changes nothing
    dtype = models[0].dtype
    spacing = 0.0
    if dtype.kind == "f":
        spacing = float(np.spacing(np.array(max(abs(least), abs(greatest)), dtype=dtype)))
    exact = even_domain(models)
    one = 0.0 if exact is None else exact.step
    if one > 0 and (spacing == 0 or one % spacing == least % spacing == 0):
        # Every multiple of the common step is exact in the dtype.
        most = math.floor(bound / one)
        reach = one * most
        steps = [one * max(1, count) for count in (2 * most + 1, math.floor(2 * bound / one), most)]
    else:
        # A sample halfway between levels must stay within the bound after rounding to its dtype.
        one, reach = 1.0, max(bound - 2.0 * spacing, bound / 2)
        steps = [2.0 * reach, reach]
    found = []
    for step in dict.fromkeys(steps):
        if step >= LEAST_STEP and (greatest - least) / step < MAX_EVEN:
            base = least + _offset(greatest - least, step, reach, one)
            domain = Domain(EVEN, base, step, math.floor((greatest - base) / step) + 1, kind)
            found.append(ending_by(domain, greatest, dtype))
    return found


def phases_of(domain: Domain, count: int) -> list[Domain]:
    """Domains of the same even steps that begin at `count` places between the first two levels,
    this one among them; in whole units if these steps are.
    """
    whole = float(domain.step).is_integer() and float(domain.base).is_integer()
    found = []
    for k in range(count):
        offset = domain.step * k / count
        base = domain.base + (math.floor(offset) if whole else offset)
        found.append(replace(domain, base=base, span=max(domain.span - (k > 0), 1)))
    return list(dict.fromkeys(found))


def _offset(extent: float, step: float, reach: float, grid: float) -> float:
    """Offset of the first level in an interval of this extent, such that no level lies outside and
    both ends are within `reach` of one; a step is at most twice `reach`. A multiple of `grid` if
    possible.
    """
    beyond = extent - step * math.floor(extent / step)
    least, most = max(0.0, beyond - reach), min(beyond, reach)
    whole = math.ceil(least / grid) * grid
    return whole if whole <= most else (least + most) / 2


def ending_by(domain: Domain, greatest: float, dtype: np.dtype[Any]) -> Domain:
    """The domain with its step reduced just enough that no sample exceeds `greatest`."""
    last = np.array([domain.span - 1])
    while float(domain.samples(last, dtype)[0]) > greatest:
        domain = replace(domain, step=math.nextafter(domain.step, 0.0))
    return domain


def float64_holds(models: Sequence[Samples]) -> bool:
    """Whether float64 holds every sample exactly; some 64-bit integers it does not."""
    if models[0].dtype.kind not in "iu" or models[0].dtype.itemsize < 8:
        return True
    return all(-MAX_EVEN < int(end) < MAX_EVEN for m in models for end in (m.min(), m.max()))


def fine_domain(models: Sequence[Samples], step: float, bound: int = 0) -> Domain:
    """A domain for samples that need not be exact: of the steps that hold all samples if these are
    at least `step`, else of `step`. `bound` is its class.
    """
    exact = even_domain(models)
    if exact is not None and exact.step >= step:
        return replace(exact, bound=bound)
    if not float64_holds(models):
        return Domain(RAW, 0, 1.0, 1)
    least = min(float(model.min()) for model in models)
    greatest = max(float(model.max()) for model in models)
    return even_steps(least, greatest, models[0].dtype, step, bound)


def even_steps(
    least: float, greatest: float, dtype: np.dtype[Any], step: float, bound: int = 0
) -> Domain:
    """A domain of even steps of about `step` from `least` to `greatest`; a RAW one if float64 does
    not hold their distance. `bound` is its class.
    """
    if not math.isfinite(greatest - least):
        return Domain(RAW, 0, 1.0, 1)
    step = max(step, (greatest - least) / MOST_FINE, LEAST_STEP)
    # Decoded samples must stay within the range of the models.
    domain = Domain(EVEN, least, step, math.floor((greatest - least) / step) + 1, bound)
    return ending_by(domain, greatest, dtype)


def allowed_codes(model: Samples, domain: Domain, bound: float = 0.0) -> Int64 | None:
    """(nz, nx, 3): least, preferred and greatest integer whose sample is within `bound` (in the
    model's units) of the model's. None if a sample has no such integer.
    """
    if domain.kind == RAW:
        return None
    if domain.kind in (ORDERED, PALETTE):
        return np.repeat(nearest_codes(model, domain)[..., None], 3, axis=2)
    if not float64_holds([model]):
        return None
    values = model.astype(np.float64)
    place = (values - domain.base) / domain.step
    reach = bound / domain.step
    preferred = np.rint(place)
    least, greatest = np.ceil(place - reach), np.floor(place + reach)
    ends = []
    for end, inwards in ((least, 1.0), (preferred, 0.0), (greatest, -1.0)):
        end = np.clip(end, 0, domain.span - 1)
        # Rounding to float32 may push the outermost integer over the bound.
        for _ in range(2):
            far = _error(end, model, domain) > bound
            end = np.clip(end + inwards * far, 0, domain.span - 1)
        ends.append(end.astype(np.int64))
    ends[0] = np.minimum(ends[0], ends[1])
    ends[2] = np.maximum(ends[2], ends[1])
    good = all(bool((_error(end, model, domain) <= bound).all()) for end in ends)
    return np.stack(ends, axis=2) if good else None


def nearest_codes(samples: Samples, domain: Domain) -> Int64:
    """The integers nearest to samples of any shape, in a domain that is not RAW."""
    if domain.kind == ORDERED:
        return _to_ordered(samples) - int(domain.base)
    if domain.kind == PALETTE:
        found: Int64 = np.searchsorted(np.array(domain.values), samples.astype(np.float64))
        return found
    steps = np.rint((samples.astype(np.float64) - domain.base) / domain.step)
    return np.clip(steps, 0, domain.span - 1).astype(np.int64)


def _error(codes: NDArray[Any], model: Samples, domain: Domain) -> NDArray[np.float64]:
    decoded = domain.samples(codes.astype(np.int64), model.dtype).astype(np.float64)
    difference: NDArray[np.float64] = np.abs(decoded - model.astype(np.float64))
    return difference


def _to_ordered(model: Samples) -> Int64:
    """Bit patterns as integers in the order of the numbers."""
    if model.dtype.kind in "iu":
        return model.astype(np.int64)
    size = model.dtype.itemsize
    native = model.astype(model.dtype.newbyteorder("="))
    bits = native.view(f"i{size}").astype(np.int64)
    mask = np.int64((1 << (8 * size - 1)) - 1)
    ordered: Int64 = np.where(bits < 0, bits ^ mask, bits)
    return ordered


def _from_ordered(ordered: Int64, dtype: np.dtype[np.generic]) -> Samples:
    if dtype.kind in "iu":
        return ordered.astype(dtype)
    size = dtype.itemsize
    mask = np.int64((1 << (8 * size - 1)) - 1)
    bits = np.where(ordered < 0, ordered ^ mask, ordered)
    return bits.astype(f"i{size}").view(f"f{size}").astype(dtype)
