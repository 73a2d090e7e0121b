"""Encoding samples exactly or within a bound.

Each model takes the shortest of several streams; models of one dtype share the domains that turn
their samples into integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.units import difference_m_s, lie_within, unit_scale
from velcodec.encode.coded import CodedModel
from velcodec.encode.tiles import ModelSet
from velcodec.formats.errors import VerificationError
from velcodec.formats.sample_coding.domain import (
    ORDERED,
    RAW,
    Domain,
    allowed_codes,
    bounded_domains,
    even_domain,
    exact_domain,
    fine_domain,
    float64_holds,
    ordered_domain,
)
from velcodec.formats.sample_coding.stream import (
    EXACT_NETWORK,
    NUMBERS,
    ExactCoding,
    Made,
    encode_as_labels,
    encode_as_least_squares,
    encode_as_waves,
    encode_exact,
    encode_raw,
)
from velcodec.progress import Progress
from velcodec.sampler.form import newest_sampler

ROUNDING = 1.0 - 1e-12
"""Bounds in km/s are tightened by this, for the rounding of the way back to m/s."""

LAYERED = 2.0
"""Models of which numbers take so many times as many bytes as labels are tried in no other way."""

FEW_VALUES = 16
"""Models of no more values are tried bit for bit where their errors count in the mean."""

STEPS_WITHIN_BOUND = 8
"""A domain for waves has so many steps to an error bound, where it is not exact."""


class SampleCoder:
    """Makes streams of the samples of some models, within a bound (m/s; 0: bit for bit). `network`
    is the number of the context network of labels.
    """

    def __init__(self, source: ModelSet, network: int = EXACT_NETWORK) -> None:
        self.source, self.network = source, network
        self.domains: list[Domain] = []
        self._choices: dict[float, list[list[tuple[int, float]]]] = {}
        self._fine: dict[tuple[np.dtype[np.generic], float, int], int] = {}

    @property
    def coding(self) -> ExactCoding | None:
        """What a header says of these streams; None before the first."""
        if not self.domains:
            return None
        return ExactCoding(self.network, tuple(self.domains), newest_sampler())

    def coding_of_streams(self) -> ExactCoding:
        """The same, where a stream was made."""
        coding = self.coding
        assert coding is not None
        return coding

    def fine_domain(self, dtype: np.dtype[np.generic], step_m_s: float, bound: int = 0) -> int:
        """Number of a domain of even steps of about `step_m_s`, or of exact ones if wider; `bound`
        is the class that networks see.
        """
        key = dtype, step_m_s, bound
        if key not in self._fine:
            models = [model for model in self.source.models if model.dtype == dtype]
            domain = fine_domain(models, step_m_s / unit_scale(self.source.units), bound)
            self._fine[key] = self._number_of(domain)
        return self._fine[key]

    def _number_of(self, domain: Domain) -> int:
        """Number of a domain, which is listed once."""
        if domain not in self.domains:
            self.domains.append(domain)
        return self.domains.index(domain)

    def within(self, i: int, max_error: float) -> CodedModel:
        """The shortest stream of model i within a bound."""
        model = self.source.models[i]
        found: list[Made] = []
        for number, reach in self._choices_within(max_error)[i]:
            domain = self.domains[number]
            # Exact steps are sometimes shorter than a bound's own; bit patterns never are.
            if domain.kind in (ORDERED, RAW) and found:
                break
            if domain.kind == RAW:
                return CodedModel.of_samples(_shape(model), encode_raw(model, number), 0.0)
            allowed = allowed_codes(model, domain, reach)
            if allowed is not None:
                found += encode_exact(allowed, number, self.coding_of_streams())
        made = min(found, key=_length)
        numbers = min((one for one in found if one.stream.coder == NUMBERS), key=_length)
        if _length(numbers) < LAYERED * _length(made):
            waves = self._waves_within(i, numbers.stream.domain, max_error)
            fitted = encode_as_least_squares(numbers, self.coding_of_streams())
            made = min([made, *waves, *([] if fitted is None else [fitted])], key=_length)
        return self.measured(i, made)

    def _waves_within(self, i: int, number: int, max_error: float) -> list[Made]:
        """Waves of model i within a bound: in the domain that suits numbers, and in a finer one."""
        model = self.source.models[i]
        ways = [] if self.domains[number].kind == ORDERED else [number]
        if max_error > 0:
            ways.append(self.fine_domain(model.dtype, max_error / STEPS_WITHIN_BOUND))
        bound = max_error / unit_scale(self.source.units) * ROUNDING
        found = []
        for way in dict.fromkeys(ways):
            allowed = allowed_codes(model, self.domains[way], bound)
            if allowed is not None:
                found.append(encode_as_waves(allowed, way, self.coding_of_streams()))
        return [made for made in found if made is not None]

    def exact_labels(self, i: int) -> CodedModel | None:
        """The samples of model i bit for bit as labels; None where they are not few values."""
        model = self.source.models[i]
        if len(np.unique(model)) > FEW_VALUES:
            return None
        number, reach = self._choices_within(0.0)[i][0]
        allowed = allowed_codes(model, self.domains[number], reach)
        if allowed is None:
            return None
        made = encode_as_labels(allowed, number, self.coding_of_streams())
        return None if made is None else self.measured(i, made)

    def measured(self, i: int, made: Made) -> CodedModel:
        """Model i of the samples of a stream, with their error."""
        model = self.source.models[i]
        samples = self.domains[made.stream.domain].samples(made.codes, model.dtype)
        error = difference_m_s(samples, model, self.source.units)
        error = self.source.present(i, error)
        return CodedModel.of_samples(_shape(model), made.stream, float(np.square(error).mean()))

    def _choices_within(self, max_error: float) -> list[list[tuple[int, float]]]:
        """For each model the numbers of the domains that may serve within a bound, with the reach
        in each: the exact one last.
        """
        if max_error not in self._choices:
            bound = max_error / unit_scale(self.source.units)
            if self.source.units != "m/s":
                bound *= ROUNDING
            self._choices[max_error] = (
                self._exact_choices() if bound == 0 else self._bounded_choices(bound)
            )
        return self._choices[max_error]

    def _exact_choices(self) -> list[list[tuple[int, float]]]:
        models = self.source.models
        choices: list[list[tuple[int, float]]] = [[] for _ in models]
        for members in self._by(lambda m: m.dtype).values():
            for some in self._by(_plain_kind, members).values():
                number = self._number_of(exact_domain([models[i] for i in some]))
                for i in some:
                    choices[i].append((number, 0.0))
        return choices

    def _bounded_choices(self, bound: float) -> list[list[tuple[int, float]]]:
        models = self.source.models
        choices: list[list[tuple[int, float]]] = [[] for _ in models]
        held = [i for i, model in enumerate(models) if float64_holds([model])]
        for members in self._by(lambda m: m.dtype, held).values():
            for domain in bounded_domains([models[i] for i in members], bound):
                number = self._number_of(domain)
                for i in members:
                    choices[i].append((number, bound))
        exact = self._choices_within(0.0)
        return [bounded + last for bounded, last in zip(choices, exact, strict=True)]

    def _by(
        self, kind: Callable[[NDArray[np.generic]], object], members: Sequence[int] | None = None
    ) -> dict[object, list[int]]:
        """Numbers of the models of each kind."""
        groups: dict[object, list[int]] = {}
        for i in range(len(self.source)) if members is None else members:
            groups.setdefault(kind(self.source.models[i]), []).append(i)
        return groups


def _length(made: Made) -> int:
    return len(made.stream.data)


def _plain_kind(model: NDArray[np.generic]) -> int:
    """Kind of the domain that would hold the model alone, were there no palettes."""
    return (even_domain([model]) or ordered_domain([model])).kind


def _shape(model: NDArray[np.generic]) -> tuple[int, int]:
    return model.shape[0], model.shape[1]


def code_samples(
    coder: SampleCoder, max_error: float, latents: Sequence[CodedModel] | None, progress: Progress
) -> list[CodedModel]:
    """Every model's samples within `max_error` m/s, 0 meaning bit for bit, alone or beside these
    latents.
    """
    coded = []
    for i in range(len(coder.source)):
        samples = coder.within(i, max_error)
        coded.append(samples if latents is None else latents[i].with_samples(samples))
        progress(i + 1, len(coder.source), "exact")
    return coded


def check_samples(
    source: ModelSet, number: int, key: str, stored: NDArray[np.generic], max_error: float
) -> None:
    """Raise VerificationError where samples read back break the promise of `max_error` m/s, or of
    being the same bit for bit where that is 0.
    """
    model = source.models[number]
    if stored.dtype != model.dtype or stored.shape != model.shape:
        raise VerificationError(f"model {key}: does not read back as coded")
    if max_error == 0:
        if stored.tobytes() != np.ascontiguousarray(model).tobytes():
            raise VerificationError(f"model {key}: found other samples than the original's")
        return
    if not lie_within(stored, model, max_error, source.units):
        worst = float(np.abs(difference_m_s(stored, model, source.units)).max())
        raise VerificationError(
            f"model {key}: found an error of {worst:g} m/s, expected at most {max_error:g}"
        )
