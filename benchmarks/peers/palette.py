"""Palette + neighbour contexts: the strongest simple codec of layered models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.storage.varint import decode_varint, encode_varint

from .base import (
    CannotKeepError,
    Known,
    Models,
    Peer,
    Plane,
    Setting,
    Stored,
    archive_of,
    streams_of,
)
from .labels import Int64, LabelCoder
from .quantised import HALF_STEPS

TOP = 65535
_CODES, _WHOLE, _FLOATS = range(3)
"""Kinds of entries: range codes (u2), whole m/s above the range's start (u2), float32."""

MOST_LABELS = 4096


class Palette:
    """Increasing velocities as they are stored, `kind` of entries, and the label of each sample."""

    def __init__(self, kind: int, entries: NDArray[np.generic], labels: Int64) -> None:
        self.kind, self.entries, self.labels = kind, entries, labels

    def header(self) -> bytes:
        """Number and kind of entries in a varint, then the entries."""
        return encode_varint((len(self.entries) - 1) * 3 + self.kind) + self.entries.tobytes()

    @staticmethod
    def read(data: bytes, at: int, known: Known) -> tuple[NDArray[np.float32], int]:
        """The velocities, m/s, and where the header ends."""
        packed, at = decode_varint(data, at, "palette")
        count, kind = packed // 3 + 1, packed % 3
        dtype = np.dtype("<f4" if kind == _FLOATS else "<u2")
        entries = np.frombuffer(data, dtype, count, at)
        at += entries.nbytes
        if kind == _CODES:
            return known.to_values(entries.astype(np.int64), TOP), at
        return (entries if kind == _FLOATS else known.low + entries).astype(np.float32), at


def _exact(model: Plane, known: Known) -> Palette:
    """Every velocity."""
    values, inverse = np.unique(model, return_inverse=True)
    labels = inverse.reshape(model.shape).astype(np.int64)
    if len(values) > MOST_LABELS:
        raise CannotKeepError(f"found {len(values)} velocities, expected at most {MOST_LABELS}")
    above = values.astype(np.float64) - known.low
    if np.array_equal(above, above.astype("<u2")):
        return Palette(_WHOLE, above.astype("<u2"), labels)
    return Palette(_FLOATS, values.astype("<f4"), labels)


def _within(model: Plane, known: Known, bound: float) -> Palette:
    """Greedy intervals: no palette within the bound has fewer levels."""
    values, inverse = np.unique(model, return_inverse=True)
    reach = 2.0 * (bound - (known.high - known.low) / TOP)
    centres: list[float] = []
    level = np.zeros(len(values), np.int64)
    first = 0
    while first < len(values):
        end = int(np.searchsorted(values, values[first] + reach, side="right"))
        level[first:end] = len(centres)
        centres.append((float(values[first]) + float(values[end - 1])) / 2.0)
        first = end
    if len(centres) > MOST_LABELS:
        raise CannotKeepError(f"found {len(centres)} levels, expected at most {MOST_LABELS}")
    entries = known.to_codes(np.array(centres), TOP).astype("<u2")
    return Palette(_CODES, entries, level[inverse.reshape(model.shape)])


def _nearest(model: Plane, known: Known, levels: int) -> Palette:
    """At most `levels` levels of least squared error (Lloyd's method, the better of two starts)."""
    codes, inverse, counts = np.unique(
        known.to_codes(model, TOP), return_inverse=True, return_counts=True
    )
    labels = inverse.reshape(model.shape).astype(np.int64)
    if len(codes) <= levels:
        return Palette(_CODES, codes.astype("<u2"), labels)
    reached = np.cumsum(counts)
    fractions = (np.arange(levels) + 0.5) / levels
    starts = (
        codes[np.searchsorted(reached, fractions * reached[-1])].astype(np.float64),
        codes[0] + fractions * (codes[-1] - codes[0]),
    )
    found = [_lloyd(codes, counts, np.unique(start)) for start in starts]
    _, centres, level = min(found, key=lambda one: one[0])
    return Palette(_CODES, np.rint(centres).astype("<u2"), level[labels])


def _lloyd(
    codes: Int64, counts: Int64, centres: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], Int64]:
    """Squared error, the centres that are used, and the centre of each code."""
    for _ in range(40):
        level = np.searchsorted((centres[1:] + centres[:-1]) / 2, codes, side="right")
        weight = np.bincount(level, counts, len(centres))
        total = np.bincount(level, counts * codes, len(centres))
        moved = total[weight > 0] / weight[weight > 0]
        still = len(moved) == len(centres) and bool(np.all(np.abs(moved - centres) < 0.5))
        centres = moved
        if still:
            break
    level = np.searchsorted((centres[1:] + centres[:-1]) / 2, codes, side="right")
    used, level = np.unique(level, return_inverse=True)
    centres = centres[used]
    return float(np.sum(counts * (codes - centres[level]) ** 2)), centres, level.astype(np.int64)


class PaletteContexts(Peer):
    """The fewest levels within a bound, which is the setting; contexts of each model's own."""

    name = "palette (bounded) + contexts"
    lossy = HALF_STEPS
    bounded = lossless = True

    def encode(self, models: Models, known: Known, setting: Setting) -> Stored:
        return [_encode([self.palette(model, known, setting)]) for model in models]

    def decode(self, stored: Stored, known: Known) -> Models:
        one = known.with_shape((1, *known.shape[1:]))
        return np.concatenate([_decode(stream, one) for stream in streams_of(stored)])

    def palette(self, model: Plane, known: Known, setting: Setting) -> Palette:
        """Levels and labels of a model."""
        return (
            _exact(model, known)
            if setting.kind == "lossless"
            else _within(model, known, setting.value)
        )


class PaletteSolid(PaletteContexts):
    """All palettes first, then all labels in one stream with shared contexts."""

    name = "palette (bounded) + contexts, solid"

    def encode(self, models: Models, known: Known, setting: Setting) -> Stored:
        return _encode([self.palette(model, known, setting) for model in models])

    def decode(self, stored: Stored, known: Known) -> Models:
        return _decode(archive_of(stored), known)


class NearestContexts(PaletteContexts):
    """The levels of least squared error, as many as the setting says."""

    name = "palette (k-means) + contexts"
    lossy = tuple(float(k) for k in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64))
    bounded = lossless = False
    whole = True

    def palette(self, model: Plane, known: Known, setting: Setting) -> Palette:
        return _nearest(model, known, int(setting.value))


class NearestSolid(NearestContexts, PaletteSolid):
    """The same with all models in one stream."""

    name = "palette (k-means) + contexts, solid"
    encode = PaletteSolid.encode
    decode = PaletteSolid.decode


def _encode(palettes: list[Palette]) -> bytes:
    coder = LabelCoder()
    for palette in palettes:
        coder.code(palette.labels, len(palette.entries))
    return b"".join(palette.header() for palette in palettes) + coder.finish()


def _decode(data: bytes, known: Known) -> Models:
    at, levels = 0, []
    for _ in range(known.shape[0]):
        velocities, at = Palette.read(data, at, known)
        levels.append(velocities)
    coder = LabelCoder(data[at:])
    models = np.empty(known.shape, np.float32)
    for model, velocities in zip(models, levels, strict=True):
        labels = np.zeros(model.shape, np.int64)
        coder.code(labels, len(velocities))
        model[...] = velocities[labels]
    return models
