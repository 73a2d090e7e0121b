"""Samples for a mean squared error in few trials, and only where they may win.

A stream of samples takes milliseconds. One trial foretells about what its length will be; where
latents are far below that, no other trial is made.
"""

from __future__ import annotations

from collections.abc import Sequence

from velcodec.effort import Effort
from velcodec.encode.coded import CodedModel
from velcodec.encode.mean_error import MODES, MeanErrorCoder, Mode
from velcodec.encode.samples import SampleCoder

FIRST_REQUEST, SAFE_REQUEST = 1.6, 0.5
"""Error requested first, and where no trial was within the target, over the target root mean square
error.
"""

CLOSE = 0.97
"""A root mean square error of so much of the target is not improved further."""

LENGTH_PER_ERROR = 0.7
"""The length of a stream goes with about this power of the inverse error."""


class SampleTrials(MeanErrorCoder):
    """Makes streams at about a root mean square error (m/s), in as many trials as `effort` says."""

    def __init__(self, coder: SampleCoder, effort: Effort) -> None:
        super().__init__(coder)
        self.effort = effort
        self._first: dict[tuple[int, float], CodedModel] = {}

    def about(self, i: int, mse: float) -> float:
        """About how many bits the samples of model i take within this mean squared error, (m/s)^2,
        by one trial.
        """
        trial = self._trial(i, mse)
        exact = self.coder.exact_labels(i)
        bits = trial.bits * max(trial.mse / mse, 0.1) ** (LENGTH_PER_ERROR / 2.0)
        return bits if exact is None else min(bits, exact.bits)

    def _trial(self, i: int, mse: float) -> CodedModel:
        if (i, mse) not in self._first:
            rms = mse**0.5
            self._first[i, mse] = self._with_error(i, FIRST_REQUEST * rms, MODES[0], rms)
        return self._first[i, mse]

    def _modes(self, i: int) -> Sequence[Mode]:
        return super()._modes(i)[: self.effort.sample_modes]

    def _search(self, i: int, mse: float) -> CodedModel:
        rms, best = mse**0.5, None
        requested = FIRST_REQUEST * rms
        for number, mode in enumerate(self._modes(i)):
            trial = self._trial(i, mse) if number == 0 else None
            for _ in range(self.effort.sample_trials):
                if trial is None:
                    trial = self._with_error(i, requested, mode, rms)
                if trial.mse <= mse and (best is None or trial.bits < best.bits):
                    best = trial
                if CLOSE * mse**0.5 <= trial.mse**0.5 <= rms or trial.mse == 0:
                    break
                requested *= 0.99 * rms / trial.mse**0.5
                trial = None
        if best is None:
            trial = self._with_error(i, SAFE_REQUEST * rms, MODES[0], rms)
            best = trial if trial.mse <= mse else None
        exact = self.coder.exact_labels(i)
        if exact is not None and (best is None or exact.bits <= best.bits):
            return exact
        return self.coder.within(i, 0.0) if best is None else best
