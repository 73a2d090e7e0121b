"""Encoding samples whose errors count in the mean: for a PSNR, or for a size.

Nothing binds a single sample, so a model may be made simpler first. Layered ones become labels, in
steps of about the error wanted: which of several ways is shortest differs from model to model.
Smooth ones become waves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.tiling import Int64
from velcodec.decode.units import unit_scale
from velcodec.encode.coded import CodedModel
from velcodec.encode.samples import SampleCoder
from velcodec.encode.simplify import recentred, smoothed, toned
from velcodec.formats.sample_coding.domain import RAW, allowed_codes, bound_class
from velcodec.formats.sample_coding.stream import Made, encode_as_labels, encode_as_waves


@dataclass(frozen=True)
class Way:
    """How labels are made, all relative to the root mean square error wanted: `step` of the
    domain, to the nearest of a ladder; `reach` within which frequent values draw rarer ones. The
    networks foresee layers as within a bound where `bounded`, else as exact ones.
    """

    step: float
    reach: float
    bounded: bool


WAYS = (
    Way(0.7, 1.2, True),
    Way(1.4, 1.2, False),
    Way(1.0, 2.0, True),
    Way(2.0, 1.2, True),
)
"""The most promising first: measured on published models."""

FINEST_M_S = 0.5
"""Steps are so many times a power of two; waves take the finest."""

BOUND_PER_STEP = 2.0
"""Where networks foresee layers as within a bound, it is so many steps."""

SLACK_PER_RMS, STEP_PER_RMS = 6.0, 3.2
"""How far off a label may be, and the quantiser step of waves, over the root mean square error."""

BORDER, ERROR_BITS = 0.5, 1.4
"""What a border between two samples is worth in squared errors, and a squared error in bits, where
one error is the root mean square wanted: measured on published models and Marmousi2.
"""

SEARCHED, HALVINGS = (0.5, 12.0), 6
"""Root mean square errors that are asked for, over the one wanted, and how often their interval is
halved; for the ways after the first it is ...
"""

NEARBY, HALVINGS_NEARBY = 2.0, 4
"""... so many times less to more than what the best of those before took, and halved so often."""

WITHIN_PER_RMS = 2.0
"""Other means keep every error within so many times the root mean square wanted."""

JUDGED_RMS_M_S = 15.0


class MeanErrorCoder:
    """Makes streams of the samples of some models, of about a root mean square error (m/s)."""

    def __init__(self, coder: SampleCoder) -> None:
        self.coder, self.source = coder, coder.source
        self._smooth: dict[int, bool] = {}
        self._faithful: dict[tuple[int, float], list[CodedModel]] = {}
        self._reached: dict[tuple[int, float], CodedModel] = {}

    def least(self, i: int, rms: float) -> float:
        """The fewest bits found for model i's samples of such an error."""
        return min(samples.bits for samples in self.of_error(i, rms))

    def of_error(self, i: int, rms: float) -> list[CodedModel]:
        """Samples of model i of about a root mean square error (m/s), in each of some ways."""
        if (i, rms) not in self._faithful:
            self._faithful[i, rms] = (
                [self._with_error(i, rms, way, rms) for way in self._ways(i)]
                if rms > 0
                else [self.coder.within(i, 0.0)]
            )
        return self._faithful[i, rms]

    def reaching(self, i: int, mse: float) -> CodedModel:
        """Samples of model i of this mean squared error (m/s)^2 at most, in about the fewest bytes:
        halving an interval of what they are asked for, in several ways.
        """
        if (i, mse) not in self._reached:
            self._reached[i, mse] = self._search(i, mse)
        return self._reached[i, mse]

    def _search(self, i: int, mse: float) -> CodedModel:
        rms = mse**0.5
        low, high = (share * rms for share in SEARCHED)
        best, asked = self._with_error(i, low, WAYS[0], rms), low
        if best.mse > mse:
            return self.coder.within(i, 0.0)
        for number, way in enumerate(self._ways(i)):
            if number > 0:
                low, high = asked / NEARBY, asked * NEARBY
            for _ in range(HALVINGS_NEARBY if number > 0 else HALVINGS):
                middle = (low * high) ** 0.5
                found = self._with_error(i, middle, way, rms)
                if found.mse > mse:
                    high = middle
                    continue
                low = middle
                if found.bits < best.bits:
                    best, asked = found, middle
        exact = self.coder.exact_labels(i)
        return exact if exact is not None and exact.bits <= best.bits else best

    def _ways(self, i: int) -> Sequence[Way]:
        return WAYS[:1] if self._is_smooth(i) else WAYS

    def _with_error(self, i: int, rms: float, way: Way, wanted_rms: float) -> CodedModel:
        """Samples made as for the error `rms`, in steps that suit `wanted_rms`."""
        made = None if self._is_smooth(i) else self._as_labels(i, rms, way, wanted_rms)
        if made is None:
            made = self._as_waves(i, rms)
        if made is None:
            return self.coder.within(i, WITHIN_PER_RMS * rms)
        return self.coder.measured(i, made)

    def _is_smooth(self, i: int) -> bool:
        """Whether model i takes fewer bytes as waves than as labels, at an error in between."""
        if i not in self._smooth:
            labels = self._as_labels(i, JUDGED_RMS_M_S, WAYS[0], JUDGED_RMS_M_S)
            self._smooth[i] = True
            if labels is not None:
                judged = self.coder.measured(i, labels)
                waves = self._as_waves(i, max(judged.mse**0.5, FINEST_M_S))
                self._smooth[i] = waves is not None and (8.0 * len(waves.stream.data) < judged.bits)
        return self._smooth[i]

    def _as_labels(self, i: int, rms: float, way: Way, wanted_rms: float) -> Made | None:
        """Labels of about a root mean square error; None where there are no integers for them."""
        model = self.source.models[i]
        number = self._domain(model.dtype, way, wanted_rms)
        domain = self.coder.domains[number]
        if domain.kind == RAW:
            return None
        allowed = allowed_codes(model, domain, np.inf)
        assert allowed is not None
        codes = allowed[..., 1]
        rms /= domain.step * unit_scale(self.source.units)
        loose = loosened(codes, rms, way.reach, domain.span)
        coding = self.coder.coding_of_streams()
        return encode_as_labels(loose, number, coding, codes, ERROR_BITS / rms**2)

    def _as_waves(self, i: int, rms: float) -> Made | None:
        """Waves of about a root mean square error; None where they do not serve."""
        model = self.source.models[i]
        number = self.coder.fine_domain(model.dtype, FINEST_M_S)
        domain = self.coder.domains[number]
        allowed = allowed_codes(model, domain, np.inf)
        if allowed is None:
            return None
        step = STEP_PER_RMS * rms / (domain.step * unit_scale(self.source.units))
        coding = self.coder.coding_of_streams()
        return encode_as_waves(allowed, number, coding, max(1, round(step)))

    def _domain(self, dtype: np.dtype[np.generic], way: Way, wanted_rms: float) -> int:
        """Number of the domain for labels of such an error."""
        step = step_of(way, wanted_rms)
        number = self.coder.fine_domain(dtype, step)
        if not way.bounded:
            return number
        domain = self.coder.domains[number]
        extent = domain.step * domain.span * unit_scale(self.source.units)
        return self.coder.fine_domain(dtype, step, bound_class(BOUND_PER_STEP * step, extent))


def step_of(way: Way, wanted_rms: float) -> float:
    """Step of a domain for labels of such an error, both in m/s."""
    octaves = max(0, round(log2(way.step * wanted_rms / FINEST_M_S)))
    return float(FINEST_M_S * 2.0**octaves)


def loosened(codes: Int64, rms: float, reach: float, span: int) -> Int64:
    """What samples may become, (nz, nx, 3): least, preferred and greatest integer of [0, span). The
    preferred are those of a simpler model at a root mean square error of about `rms`; frequent
    values of it draw others within `reach` times as much to them.
    """
    wanted: NDArray[np.int64] = recentred(codes, toned(codes, int(reach * rms)))
    wanted = recentred(codes, smoothed(codes, wanted, BORDER * rms**2))
    slack = max(1, round(SLACK_PER_RMS * rms))
    least = np.minimum(np.maximum(codes - slack, 0), wanted)
    greatest = np.maximum(np.minimum(codes + slack, span - 1), wanted)
    return np.stack([least, wanted, greatest], axis=2)
