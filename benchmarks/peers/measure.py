"""Run a codec at its settings and measure bytes, errors and seconds."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from velcodec.formats.arrays import Float64
from velcodec.metrics import PSNR_CAP, quality

from .base import CannotKeepError, Known, Models, Peer, Setting

Note = Callable[[str], None]

FAILURES = (CannotKeepError, RuntimeError)
"""The second is raised by peers' packages for settings that they refuse."""

ROUNDING = 5e-4
"""m/s; rounding error that float32 may add to a bounded error at 4500 m/s."""

BEYOND = 4.0
"""A curve ends when bytes exceed this multiple of the greatest budget."""

HALVINGS = 4
"""Settings to try between two neighbours of the curve to approach a budget from below."""


@dataclass(frozen=True)
class Point:
    """A codec at a setting. Sizes (bytes) and figures are arrays with one number per model.

    `archive`: all models are one stream and share one setting. Speeds are MB of float32 per CPU
    second.
    """

    codec: str
    file: str
    setting: Setting
    archive: bool
    ideal: bool
    sizes: Float64
    psnr: Float64
    ssim: Float64
    mae: Float64
    max_error: Float64
    exact: bool
    encode_speed: float
    decode_speed: float

    @property
    def bytes_per_model(self) -> float:
        """Mean of the sizes."""
        return float(self.sizes.mean())

    @property
    def kept(self) -> bool:
        """Whether the bound, or lossless, was kept."""
        if self.setting.kind == "lossless":
            return self.exact
        return (
            self.setting.kind == "lossy"
            or float(self.max_error.max()) <= self.setting.value + ROUNDING
        )


def measure(peer: Peer, file: str, models: Models, setting: Setting) -> Point:
    """Encode and decode `models` (n, nz, nx) once. Raises CannotKeepError."""
    known = Known.of(models)
    started = _processor_seconds()
    stored = peer.encode(models, known, setting)
    encoded = _processor_seconds()
    back = peer.decode(stored, known)
    decoded = _processor_seconds()
    if back.shape != models.shape or back.dtype != np.float32:
        raise ValueError(f"{peer.name}: found {back.dtype} {back.shape} after decoding")
    figures = [quality(model, found) for model, found in zip(models, back, strict=True)]
    megabytes = models.nbytes / 1e6
    return Point(
        codec=peer.name,
        file=file,
        setting=setting,
        archive=isinstance(stored, bytes),
        ideal=peer.ideal,
        sizes=peer.sizes(stored, known),
        psnr=np.array([one.psnr for one in figures]),
        ssim=np.array([one.ssim for one in figures]),
        mae=np.array([one.mae for one in figures]),
        max_error=np.array([one.max_error for one in figures]),
        exact=bool(np.array_equal(models.view(np.uint32), back.view(np.uint32))),
        encode_speed=megabytes / max(encoded - started, 1e-9),
        decode_speed=megabytes / max(decoded - encoded, 1e-9),
    )


def _processor_seconds() -> float:
    """Of this process and of the programs that it ran."""
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


def warm_up(peer: Peer, models: Models) -> None:
    """Call once, so that compiling and loading are not timed."""
    few = np.ascontiguousarray(models[:2])
    known = Known.of(few)
    for setting in (Setting("lossy", peer.lossy[-1]), Setting("lossless")):
        if setting.kind == "lossy" or peer.lossless:
            with contextlib.suppress(*FAILURES):
                peer.decode(peer.encode(few, known, setting), known)


def curve(
    peer: Peer, file: str, models: Models, budgets: Sequence[float], note: Note
) -> list[Point]:
    """Lossy points in order of bytes: the peer's settings, and some close to each budget."""
    found: dict[float, Point] = {}

    def at(value: float) -> Point | None:
        if value not in found:
            try:
                found[value] = measure(peer, file, models, Setting("lossy", value))
            except FAILURES as reason:
                note(f"  left out: {peer.name}, {value:g}: {reason}")
                return None
        return found[value]

    for value in peer.lossy:
        point = at(value)
        if point is None:
            continue
        if point.bytes_per_model > BEYOND * max(budgets) or point.psnr.min() >= PSNR_CAP:
            break
    for budget in budgets:
        _approach(peer, found, at, budget)
    return sorted(found.values(), key=lambda point: point.bytes_per_model)


def _approach(
    peer: Peer, found: dict[float, Point], at: Callable[[float], Point | None], budget: float
) -> None:
    """Measure between the two points on both sides of a budget."""
    within = [one for one in found.values() if one.bytes_per_model <= budget]
    beyond = [one for one in found.values() if one.bytes_per_model > budget]
    if not within or not beyond:
        return
    few = max(within, key=lambda one: one.bytes_per_model).setting.value
    many = min(beyond, key=lambda one: one.bytes_per_model).setting.value
    for _ in range(HALVINGS):
        middle = peer.between(few, many)
        point = None if middle is None else at(middle)
        if middle is None or point is None:
            return
        if point.bytes_per_model <= budget:
            few = middle
        else:
            many = middle


def promises(
    peer: Peer, file: str, models: Models, bounds: Sequence[float], note: Note
) -> list[Point]:
    """The peer within each bound (m/s), then lossless, as far as it supports these."""
    asked = [Setting("bound", bound) for bound in bounds] if peer.bounded else []
    if peer.lossless:
        asked.append(Setting("lossless"))
    points = []
    for setting in asked:
        try:
            points.append(measure(peer, file, models, setting))
        except FAILURES as reason:
            note(f"  left out: {peer.name}, {setting}: {reason}")
    return points
