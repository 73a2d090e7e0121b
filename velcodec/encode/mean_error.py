"""Encoding samples for a mean squared error: for a PSNR, or for a size.

No single sample is bounded, so a model may be simplified first. Layered models become label maps,
in steps of about the target error; which of several modes is shortest differs between models.
Smooth models are coded by a DCT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.units import unit_scale
from velcodec.effort import Effort
from velcodec.encode.coded import CodedModel
from velcodec.encode.samples import SampleCoder, share_alike
from velcodec.encode.simplify import class_means, merge_values, shorten_borders
from velcodec.formats.arrays import Int64
from velcodec.formats.sample_coding.base import Request
from velcodec.formats.sample_coding.coders import DCT, LABEL_MAP, MIXED
from velcodec.formats.sample_coding.domain import RAW, allowed_codes, bound_class
from velcodec.formats.sample_coding.stream import CodedImage, encode_image


@dataclass(frozen=True)
class Mode:
    """One way to make a label map. `step` of the domain, to the nearest of a ladder, and `reach`,
    within which rare values are merged into frequent ones, are relative to the target root mean
    square error. The context network is told of a bound if `bounded`, else of exact samples.
    """

    step: float
    reach: float
    bounded: bool


MODES = (
    Mode(0.7, 1.2, True),
    Mode(1.4, 1.2, False),
    Mode(1.0, 2.0, True),
    Mode(2.0, 1.2, True),
)
"""The most promising first, as measured on published models."""

FINEST_M_S = 0.5
"""Steps are this times a power of two; the DCT takes the finest."""

BOUND_PER_STEP = 2.0
"""The bound, in steps, that the context network is told of in `bounded` modes."""

SLACK_PER_RMS, STEP_PER_RMS = 6.0, 3.2
"""Largest error of a label, and quantiser step of the DCT, per root mean square error."""

BORDER, ERROR_BITS = 0.5, 1.4
"""Cost of a border between two samples in squared errors, and of a squared error in bits, where
the unit of error is the target root mean square. Measured on published models and Marmousi2.
"""

FIRST_REQUEST = 1.6
"""Error requested first, over the target root mean square error."""

CLOSE = 0.97
"""A root mean square error of so much of the target is not improved further."""

LENGTH_PER_ERROR = 0.7
"""The length of a stream goes with about this power of the inverse error."""

WITHIN_PER_RMS = 2.0
"""Bound on every error, over the target root mean square, if neither coder works."""

JUDGED_RMS_M_S = 15.0
"""Error at which label map and DCT are compared to tell smooth models."""

LAYERS, NO_LAYERS = 0.6, 0.35
"""Share of samples equal to the one above from which on a model is not smooth; and below which it
is, even once it is simplified.
"""


@dataclass(frozen=True)
class Trial:
    """A model coded in some mode, and the image that it was coded as; None if within a bound."""

    model: CodedModel
    image: CodedImage | None


class MeanErrorCoder:
    """Makes streams of the samples of some models at about a root mean square error (m/s), in as
    many trials as `effort` says.
    """

    def __init__(self, coder: SampleCoder, effort: Effort) -> None:
        self.coder, self.source, self.effort = coder, coder.source, effort
        self._first: dict[tuple[int, float], Trial] = {}
        self._smooth: dict[int, bool] = {}
        self._of_error: dict[tuple[int, float], list[CodedModel]] = {}
        self._reached: dict[tuple[int, float], CodedModel] = {}

    def least(self, i: int, rms: float) -> float:
        """Bits of the shortest stream of model i's samples at about this error (m/s)."""
        return min(samples.bits for samples in self.of_error(i, rms))

    def of_error(self, i: int, rms: float) -> list[CodedModel]:
        """Samples of model i at about a root mean square error (m/s), by every mode."""
        if (i, rms) not in self._of_error:
            self._of_error[i, rms] = (
                [self._shortest(i, self._with_error(i, rms, m, rms)) for m in self._modes(i)]
                if rms > 0
                else [self.coder.within(i, 0.0)]
            )
        return self._of_error[i, rms]

    def reaching(self, i: int, mse: float) -> CodedModel:
        """Samples of model i in about the fewest bytes of at most this mean squared error, (m/s)^2,
        in few trials of each mode.
        """
        if (i, mse) not in self._reached:
            self._reached[i, mse] = self._search(i, mse)
        return self._reached[i, mse]

    def about(self, i: int, mse: float) -> float:
        """About how many bits the samples of model i take within this mean squared error, (m/s)^2,
        by one trial.
        """
        trial = self._first_trial(i, mse).model
        exact = self.coder.exact_labels(i)
        bits = trial.bits * max(trial.mse / mse, 0.1) ** (LENGTH_PER_ERROR / 2.0)
        return bits if exact is None else min(bits, 8.0 * len(exact.stream.data))

    def _first_trial(self, i: int, mse: float) -> Trial:
        if (i, mse) not in self._first:
            rms = mse**0.5
            self._first[i, mse] = self._with_error(i, FIRST_REQUEST * rms, MODES[0], rms)
        return self._first[i, mse]

    def _search(self, i: int, mse: float) -> CodedModel:
        rms, best = mse**0.5, None
        requested = FIRST_REQUEST * rms
        for number, mode in enumerate(self._modes(i)):
            trial = self._first_trial(i, mse) if number == 0 else None
            for _ in range(self.effort.sample_trials):
                if trial is None:
                    trial = self._with_error(i, requested, mode, rms)
                found = trial.model
                if found.mse <= mse:
                    if best is not None and found.bits >= best.model.bits:
                        break  # more error saves nothing
                    best = trial
                if CLOSE * rms <= found.mse**0.5 <= rms or found.mse == 0:
                    break
                requested *= 0.99 * rms / found.mse**0.5
                trial = None
        exact = self.coder.exact_labels(i)
        if exact is not None:
            bit_for_bit = Trial(self.coder.measured(i, exact), exact)
            if best is None or bit_for_bit.model.bits <= best.model.bits:
                best = bit_for_bit
        return self.coder.within(i, 0.0) if best is None else self._shortest(i, best)

    def _shortest(self, i: int, trial: Trial) -> CodedModel:
        """The same samples in fewer bits, if mixed decisions take fewer than a label map."""
        image = trial.image
        if image is None or image.stream.coder != LABEL_MAP:
            return trial.model
        coding = self.coder.coding_of_streams()
        mixed = encode_image(MIXED, Request.exactly(image.codes), image.stream.domain, coding)
        if mixed is None or len(mixed.stream.data) >= len(image.stream.data):
            return trial.model
        return self.coder.measured(i, mixed)

    def _modes(self, i: int) -> Sequence[Mode]:
        return MODES[: 1 if self.is_smooth(i) else self.effort.sample_modes]

    def _with_error(self, i: int, rms: float, mode: Mode, target_rms: float) -> Trial:
        """Samples coded with the error `rms` requested, in steps that suit `target_rms`."""
        image = None if self.is_smooth(i) else self._as_label_map(i, rms, mode, target_rms)
        if image is None:
            image = self._as_dct(i, rms)
        if image is None:
            return Trial(self.coder.within(i, WITHIN_PER_RMS * rms), None)
        return Trial(self.coder.measured(i, image), image)

    def is_smooth(self, i: int) -> bool:
        """Whether the DCT takes fewer bytes of model i than a label map, at a medium error; not
        tried where the share of samples like those above tells.
        """
        if i not in self._smooth:
            if share_alike(self.source.models[i]) >= LAYERS:
                self._smooth[i] = False
                return False
            simplified = self._simplified(i, JUDGED_RMS_M_S, MODES[0], JUDGED_RMS_M_S)
            plain = simplified is not None and share_alike(simplified[1][..., 1]) <= NO_LAYERS
            if plain and self._fits_dct(i):
                self._smooth[i] = True
                return True
            label_map = self._as_label_map(i, JUDGED_RMS_M_S, MODES[0], JUDGED_RMS_M_S)
            self._smooth[i] = True
            if label_map is not None:
                judged = self.coder.measured(i, label_map)
                dct = self._as_dct(i, max(judged.mse**0.5, FINEST_M_S))
                self._smooth[i] = dct is not None and (8.0 * len(dct.stream.data) < judged.bits)
        return self._smooth[i]

    def _fits_dct(self, i: int) -> bool:
        """Whether the DCT can code model i."""
        from velcodec.formats.sample_coding.dct.coder import fits

        model = self.source.models[i]
        number = self.coder.fine_domain(model.dtype, FINEST_M_S)
        domain = self.coder.domains[number]
        return domain.kind != RAW and fits((len(model), model.shape[1]), domain.span)

    def _as_label_map(self, i: int, rms: float, mode: Mode, target_rms: float) -> CodedImage | None:
        """A label map of about a root mean square error; None if samples have no integers."""
        simplified = self._simplified(i, rms, mode, target_rms)
        if simplified is None:
            return None
        number, around, codes, price = simplified
        coding = self.coder.coding_of_streams()
        request = Request(around, original=codes, price=price)
        return encode_image(LABEL_MAP, request, number, coding)

    def _simplified(
        self, i: int, rms: float, mode: Mode, target_rms: float
    ) -> tuple[int, Int64, Int64, float] | None:
        """The number of a domain, what `around_simplified` makes of model i there, the integers of
        the model itself, and the price of an error; None if samples have no integers.
        """
        model = self.source.models[i]
        number = self._domain(model.dtype, mode, target_rms)
        domain = self.coder.domains[number]
        if domain.kind == RAW:
            return None
        allowed = allowed_codes(model, domain, np.inf)
        assert allowed is not None
        codes = allowed[..., 1]
        rms /= domain.step * unit_scale(self.source.units)
        around = around_simplified(codes, rms, mode.reach, domain.span)
        return number, around, codes, ERROR_BITS / rms**2

    def _as_dct(self, i: int, rms: float) -> CodedImage | None:
        """A DCT of about a root mean square error; None if it cannot code the samples."""
        model = self.source.models[i]
        number = self.coder.fine_domain(model.dtype, FINEST_M_S)
        domain = self.coder.domains[number]
        allowed = allowed_codes(model, domain, np.inf)
        if allowed is None:
            return None
        step = STEP_PER_RMS * rms / (domain.step * unit_scale(self.source.units))
        coding = self.coder.coding_of_streams()
        request = Request(allowed, step=max(1, round(step)))
        return encode_image(DCT, request, number, coding)

    def _domain(self, dtype: np.dtype[np.generic], mode: Mode, target_rms: float) -> int:
        """Number of the domain of label maps in this mode and for this target error."""
        step = step_of(mode, target_rms)
        number = self.coder.fine_domain(dtype, step)
        if not mode.bounded:
            return number
        domain = self.coder.domains[number]
        extent = domain.step * domain.span * unit_scale(self.source.units)
        return self.coder.fine_domain(dtype, step, bound_class(BOUND_PER_STEP * step, extent))


def step_of(mode: Mode, target_rms: float) -> float:
    """Step in m/s of the domain of label maps for a target root mean square error in m/s."""
    octaves = max(0, round(log2(mode.step * target_rms / FINEST_M_S)))
    return float(FINEST_M_S * 2.0**octaves)


def around_simplified(codes: Int64, rms: float, reach: float, span: int) -> Int64:
    """Least, preferred and greatest integer in [0, span) of each sample, (nz, nx, 3). The preferred
    ones are a simplified model with a root mean square error of about `rms`, in which rare values
    are merged into frequent ones within `reach` times `rms`.
    """
    preferred: NDArray[np.int64] = class_means(codes, merge_values(codes, int(reach * rms)))
    preferred = class_means(codes, shorten_borders(codes, preferred, BORDER * rms**2))
    slack = max(1, round(SLACK_PER_RMS * rms))
    least = np.minimum(np.maximum(codes - slack, 0), preferred)
    greatest = np.maximum(np.minimum(codes + slack, span - 1), preferred)
    return np.stack([least, preferred, greatest], axis=2)
