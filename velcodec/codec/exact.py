"""Encoding samples exactly or within a bound, verified by the reader's own code.

Each model takes the shortest of several streams; models of one dtype share the domains that turn
their samples into integers. A latent is fitted beside only where it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from velcodec.codec.coded import CodedModel
from velcodec.codec.cut import ModelSet
from velcodec.codec.fitting import Progress
from velcodec.codec.values import to_m_s, unit_scale
from velcodec.formats.errors import OptionError, VerificationError
from velcodec.formats.exact.domain import (
    EVEN,
    RAW,
    Domain,
    allowed_codes,
    bounded_domains,
    exact_domain,
)
from velcodec.formats.exact.stream import (
    NEWEST_NETWORK,
    ExactCoding,
    ExactStream,
    encode_exact,
    encode_raw,
)
from velcodec.stored import NO_TILES
from velcodec.tiling import Axis, Tiling

ROUNDING = 1.0 - 1e-12
"""Bounds in km/s are tightened by this, for the rounding of the way back to m/s."""


def check_bound(max_error: float | None) -> None:
    """Raise OptionError for an error bound that is none."""
    if max_error is not None and not (np.isfinite(max_error) and max_error > 0):
        raise OptionError(f"max error: expected more than 0 m/s, found {max_error:g}")


def encode_samples(
    source: ModelSet, max_error: float, on_progress: Progress
) -> tuple[ExactCoding, list[ExactStream]]:
    """Streams of every model, in order, within `max_error` m/s; 0 means bit for bit."""
    bound = max_error / unit_scale(source.units)
    if source.units != "m/s":
        bound *= ROUNDING
    domains, choices = _domains(source, bound)
    coding = ExactCoding(NEWEST_NETWORK, tuple(domains))
    streams = []
    for i, model in enumerate(source.models):
        streams.append(_shortest(model, coding, choices[i]))
        on_progress(i + 1, len(source), "exact")
    return _only_used(coding, streams)


def _only_used(
    coding: ExactCoding, streams: Sequence[ExactStream]
) -> tuple[ExactCoding, list[ExactStream]]:
    """The same without the domains that no stream is in."""
    used = sorted({stream.domain for stream in streams})
    domains = tuple(coding.domains[number] for number in used)
    renumbered = [replace(stream, domain=used.index(stream.domain)) for stream in streams]
    return replace(coding, domains=domains), renumbered


def _shortest(
    model: NDArray[np.generic], coding: ExactCoding, choices: Sequence[tuple[int, float]]
) -> ExactStream:
    found: list[ExactStream] = []
    for number, reach in choices:
        domain = coding.domains[number]
        # Exact steps are sometimes shorter than a bound's own; bit patterns never are.
        if domain.kind != EVEN and found:
            break
        if domain.kind == RAW:
            found.append(encode_raw(model, number))
        elif (allowed := allowed_codes(model, domain, reach)) is not None:
            found.append(encode_exact(allowed, number, coding))
    return min(found, key=lambda stream: len(stream.data))


def _domains(source: ModelSet, bound: float) -> tuple[list[Domain], list[list[tuple[int, float]]]]:
    """Domains, and for each model the numbers of those that may serve, with the bound in each: its
    exact one last.
    """
    domains: list[Domain] = []
    choices: list[list[tuple[int, float]]] = [[] for _ in source.models]
    for members in _by(source, lambda model: model.dtype).values():
        models = [source.models[i] for i in members]
        if bound > 0:
            for domain in bounded_domains(models, bound):
                for i in members:
                    choices[i].append((len(domains), bound))
                domains.append(domain)
        for some in _by(source, lambda m: exact_domain([m]).kind, members).values():
            for i in some:
                choices[i].append((len(domains), 0.0))
            domains.append(exact_domain([source.models[i] for i in some]))
    return domains, choices


def _by(
    source: ModelSet, kind: Callable[[NDArray[np.generic]], object],
    members: Sequence[int] | None = None,
) -> dict[object, list[int]]:  # fmt: skip
    """Numbers of the models of each kind."""
    groups: dict[object, list[int]] = {}
    for i in range(len(source)) if members is None else members:
        groups.setdefault(kind(source.models[i]), []).append(i)
    return groups


def with_streams(
    source: ModelSet, streams: Sequence[ExactStream], latents: Sequence[CodedModel] | None
) -> list[CodedModel]:
    """Coded models that hold these streams, alone or beside their latents."""
    if latents is not None:
        return [replace(c, exact=s) for c, s in zip(latents, streams, strict=True)]
    coded = []
    for model, stream in zip(source.models, streams, strict=True):
        nz, nx = model.shape
        tiling = Tiling(Axis(nz, nz, 1), Axis(nx, nx, 1))
        bits = 8.0 * len(stream.data)
        coded.append(CodedModel(tiling, NO_TILES, 0, 0, 0.0, bits, stream))
    return coded


def check_samples(
    source: ModelSet, number: int, key: str, stored: NDArray[np.generic] | None, max_error: float
) -> tuple[float, float]:
    """Mean squared error (m/s)^2 and greatest error (m/s) of samples as read back.

    Raises VerificationError where they break the promise.
    """
    model = source.models[number]
    if stored is None or stored.dtype != model.dtype or stored.shape != model.shape:
        raise VerificationError(f"model {key}: does not read back as coded")
    if max_error == 0:
        if stored.tobytes() != model.tobytes():
            raise VerificationError(f"model {key}: found other samples than the original's")
        return 0.0, 0.0
    error = np.abs(to_m_s(stored, source.units) - source.m_s(number))
    worst = float(error.max())
    if not worst <= max_error:
        raise VerificationError(
            f"model {key}: found an error of {worst:g} m/s, expected at most {max_error:g}"
        )
    return float(np.square(error).mean()), worst
