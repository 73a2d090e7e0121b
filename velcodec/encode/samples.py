"""Encoding samples exactly or within a bound.

Each model takes the shortest of several streams. Models of one dtype share the domains that map
their samples to integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.units import difference_m_s, lie_within, unit_scale
from velcodec.encode.coded import CodedModel
from velcodec.encode.tiles import ModelSet
from velcodec.formats.arrays import Int64
from velcodec.formats.errors import VerificationError
from velcodec.formats.sample_coding.base import Request
from velcodec.formats.sample_coding.coders import BLENDED, DCT, LABEL_MAP, MIXED
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import (
    EVEN,
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
    phases_of,
)
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK
from velcodec.formats.sample_coding.stream import CodedImage, encode_image, encode_raw
from velcodec.parallel import in_threads
from velcodec.progress import Progress
from velcodec.sampler.form import NEWEST_SAMPLER

ROUNDING = 1.0 - 1e-12
"""Factor that tightens bounds in km/s, for the rounding on conversion to m/s."""

LAYERED, SMOOTH = 0.8, 0.3
"""Share of samples equal to the one above from which on an image is coded as layers alone; and
below which as a smooth one alone.
"""

FEW_LABELS, WIDE_SPAN = 48, 1 << 16
"""Models of more values, in a span that is no wider, are not tried as label maps bit for bit: mixed
decisions take fewer bytes.
"""

MOST_FINER = 2
"""Within a bound, exact integers are mixed too if they are no more than so many times as many."""

PHASES, MODELS_PER_PHASE, TRIED = 8, 4, 3
"""Places between two levels at which even steps may begin, model by model, for so many models at
least per place, as each takes bytes of the header; and how many of them are tried.
"""

FEW_VALUES = 16
"""Models of at most this many values are tried bit for bit when coding for a mean error."""

STEPS_WITHIN_BOUND = 8
"""Steps per error bound in a fine domain for the DCT."""


class SampleCoder:
    """Makes streams of the samples of some models, within a bound (m/s; 0: bit for bit). `network`
    is the number of the context network for label maps.
    """

    def __init__(self, source: ModelSet, network: int = EXACT_NETWORK) -> None:
        self.source, self.network = source, network
        self.domains: list[Domain] = []
        self._choices: dict[float, list[list[tuple[int, float]]]] = {}
        self._fine: dict[tuple[np.dtype[np.generic], float, int], int] = {}
        self._labels: dict[int, CodedImage | None] = {}
        self._lock = RLock()  # models are coded in threads, and share domains

    @property
    def coding(self) -> ExactCoding | None:
        """What the header says about the streams so far; None before the first."""
        if not self.domains:
            return None
        return ExactCoding(self.network, tuple(self.domains), NEWEST_SAMPLER)

    def coding_of_streams(self) -> ExactCoding:
        """`coding` once a stream was made."""
        coding = self.coding
        assert coding is not None
        return coding

    def fine_domain(self, dtype: np.dtype[np.generic], step_m_s: float, bound: int = 0) -> int:
        """Number of a domain of even steps of about `step_m_s`, or of exact steps if wider; `bound`
        is the bound class that context networks see.
        """
        key = dtype, step_m_s, bound
        with self._lock:
            if key not in self._fine:
                models = [model for model in self.source.models if model.dtype == dtype]
                domain = fine_domain(models, step_m_s / unit_scale(self.source.units), bound)
                self._fine[key] = self._number_of(domain)
            return self._fine[key]

    def _number_of(self, domain: Domain) -> int:
        """Number of a domain, which is added if it is new."""
        with self._lock:
            if domain not in self.domains:
                self.domains.append(domain)
            return self.domains.index(domain)

    def within(self, i: int, max_error: float) -> CodedModel:
        """The shortest stream of model i within a bound."""
        model = self.source.models[i]
        requests: list[tuple[int, Request]] = []
        for number, reach in self._choices_within(max_error)[i]:
            domain = self.domains[number]
            # Exact steps are sometimes shorter than steps for the bound; bit patterns never are.
            if domain.kind in (ORDERED, RAW) and requests:
                break
            if domain.kind == RAW:
                return CodedModel.of_samples(_shape(model), encode_raw(model, number), 0.0)
            allowed = allowed_codes(model, domain, reach)
            if allowed is not None:
                requests.append((number, Request(allowed)))
        number, request = requests[0]
        alike = share_alike(request.preferred)
        images = self._layered(i, requests, max_error) if alike >= SMOOTH else []
        if alike < LAYERED:
            for n, near in self._few(requests):
                smooth = Request.exactly(near.preferred, smooth=True)
                images += self._coded((MIXED,), smooth, n)
            if max_error > 0 or not images:
                enough = min(map(_length, images), default=None)
                images += self._dct_within(i, number, max_error, enough)
        if all(image.stream.coder == DCT for image in images):  # or there is none
            images += self._coded((BLENDED,), request, number)
        return self.measured(i, min(images, key=_length))

    def _layered(
        self, i: int, requests: Sequence[tuple[int, Request]], max_error: float
    ) -> list[CodedImage]:
        """Model i as a label map in the domain where that is shortest; its labels, and the
        preferred integers, as mixed decisions.
        """
        maps: list[CodedImage] = []
        wide = self.domains[requests[0][0]].span > WIDE_SPAN
        if max_error > 0 or wide or len(np.unique(requests[0][1].preferred)) <= FEW_LABELS:
            for n, request in requests:
                maps += self._coded((LABEL_MAP,), request, n)
        images = [min(maps, key=_length)] if maps else []
        best = images[0].stream.domain if images else requests[0][0]
        few = self._few(requests)
        few += [each for each in requests if each[0] == best and best not in dict(few)]
        few += self._best_phases(i, max_error)
        mixed = [(best, image.codes) for image in images]
        mixed += [(n, request.preferred) for n, request in few]
        # Bit for bit the labels are the preferred integers.
        once = {(n, codes.tobytes()): (n, codes) for n, codes in mixed}
        for n, codes in once.values():
            images += self._coded((MIXED,), Request.exactly(codes), n)
        return images

    def _few(self, requests: Sequence[tuple[int, Request]]) -> list[tuple[int, Request]]:
        """The widest steps within a bound, and the exact integers if they are nearly as few."""
        most = MOST_FINER * self.domains[requests[0][0]].span
        last = [each for each in requests[1:][-1:] if self.domains[each[0]].span <= most]
        return [requests[0], *last]

    def _best_phases(self, i: int, max_error: float) -> list[tuple[int, Request]]:
        """The domains in whose steps neighbours of model i differ least often, of those as wide as
        the bound permits; empty for few models.
        """
        number, reach = self._choices_within(max_error)[i][0]
        first = self.domains[number]
        if reach == 0 or first.kind != EVEN or len(self.source) < PHASES * MODELS_PER_PHASE:
            return []
        found = []
        for domain in phases_of(first, PHASES):
            allowed = allowed_codes(self.source.models[i], domain, reach)
            if allowed is not None and domain != first:
                found.append((_borders(allowed[..., 1]), domain, allowed))
        found.sort(key=lambda each: each[0])
        return [(self._number_of(domain), Request(allowed)) for _, domain, allowed in found[:TRIED]]

    def _dct_within(
        self, i: int, number: int, max_error: float, enough: int | None
    ) -> list[CodedImage]:
        """Model i within a bound by the DCT: in domain `number`, and in a finer one."""
        model = self.source.models[i]
        domains = [] if self.domains[number].kind == ORDERED else [number]
        if max_error > 0:
            domains.append(self.fine_domain(model.dtype, max_error / STEPS_WITHIN_BOUND))
        bound = max_error / unit_scale(self.source.units) * ROUNDING
        images: list[CodedImage] = []
        for domain in dict.fromkeys(domains):
            allowed = allowed_codes(model, self.domains[domain], bound)
            if allowed is not None:
                images += self._coded((DCT,), Request(allowed, enough=enough), domain)
        return images

    def _coded(self, coders: Sequence[int], request: Request, number: int) -> list[CodedImage]:
        """The images that `coders` make in domain `number`, without those that cannot."""
        coding = self.coding_of_streams()
        images = [encode_image(coder, request, number, coding) for coder in coders]
        return [image for image in images if image is not None]

    def exact_labels(self, i: int) -> CodedImage | None:
        """Model i bit for bit as a label map; None if it has many values."""
        if i not in self._labels:
            self._labels[i] = self._exact_labels(i)
        return self._labels[i]

    def _exact_labels(self, i: int) -> CodedImage | None:
        model = self.source.models[i]
        if len(np.unique(model)) > FEW_VALUES:
            return None
        number, reach = self._choices_within(0.0)[i][0]
        allowed = allowed_codes(model, self.domains[number], reach)
        if allowed is None:
            return None
        return next(iter(self._coded((LABEL_MAP,), Request(allowed), number)), None)

    def measured(self, i: int, image: CodedImage) -> CodedModel:
        """Model i coded as this image, with its error measured."""
        model = self.source.models[i]
        samples = self.domains[image.stream.domain].samples(image.codes, model.dtype)
        error = difference_m_s(samples, model, self.source.units)
        error = self.source.present(i, error)
        return CodedModel.of_samples(_shape(model), image.stream, float(np.square(error).mean()))

    def _choices_within(self, max_error: float) -> list[list[tuple[int, float]]]:
        """For each model the domains to try within a bound: (number, largest error in the user's
        units) of each, the exact one last.
        """
        with self._lock:
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
        """Numbers of the models, grouped by kind."""
        groups: dict[object, list[int]] = {}
        for i in range(len(self.source)) if members is None else members:
            groups.setdefault(kind(self.source.models[i]), []).append(i)
        return groups


def _length(image: CodedImage) -> int:
    return len(image.stream.data)


def share_alike(codes: NDArray[np.generic]) -> float:
    """The share of samples of an image that equal the one above."""
    return float((codes[1:] == codes[:-1]).mean()) if len(codes) > 1 else 1.0


def _borders(codes: Int64) -> int:
    """How many neighbours differ."""
    down, across = codes[1:] != codes[:-1], codes[:, 1:] != codes[:, :-1]
    return int(np.count_nonzero(down) + np.count_nonzero(across))


def _plain_kind(model: NDArray[np.generic]) -> int:
    """Kind of the domain that the model would take alone, palettes excluded."""
    return (even_domain([model]) or ordered_domain([model])).kind


def _shape(model: NDArray[np.generic]) -> tuple[int, int]:
    return model.shape[0], model.shape[1]


def code_samples(
    coder: SampleCoder, max_error: float, latents: Sequence[CodedModel] | None, progress: Progress
) -> list[CodedModel]:
    """The samples of every model within `max_error` m/s (0: bit for bit), alone or beside
    `latents`.
    """
    coded = []
    every = range(len(coder.source))
    for i, samples in in_threads(lambda i: coder.within(i, max_error), every):
        coded.append(samples if latents is None else latents[i].with_samples(samples))
        progress(i + 1, len(coder.source), "exact")
    return coded


def check_samples(
    source: ModelSet, number: int, key: str, stored: NDArray[np.generic], max_error: float
) -> None:
    """Raise VerificationError unless the samples read back are within `max_error` m/s of the
    original, or, if that is 0, are the same bit for bit.
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
