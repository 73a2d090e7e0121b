"""SEG-Y files of one 2-D model: traces are positions, samples go down. Needs segyio.

The standard knows no depth interval. What is assumed, as most software does: the sample interval
that would be microseconds is millimetres, the coordinates are metres with the standard's scalars.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputFileError, OptionError
from .base import Form, Ground, Hints, Part, form_of, reading
from .extras import needed
from .sinks import FileSink

FEET = 2
METRES = 1
LENGTH = (0, 1)  # coordinate units: not stated, or a length; others are angles
EVEN = 1e-3  # of a step: coordinates are whole numbers of the scalar's unit
DTYPE_CODES = {
    "f4": 5, "f8": 6, "i4": 2, "i2": 3, "i1": 8, "u4": 10, "u2": 11, "u8": 12, "i8": 9, "u1": 16,
}  # fmt: skip
CODES = (1, *sorted(DTYPE_CODES.values()))  # 1 is IBM's float, which is read and not written
SCALARS = (1, -10, -100, -1000, -10000)
MAX_INT16, MAX_UINT16, MAX_INT32 = 2**15 - 1, 2**16 - 1, 2**31 - 1
TEXT = {
    1: "VELOCITY MODEL WRITTEN BY VELCODEC",
    2: "TRACES ARE POSITIONS, SAMPLES GO DOWN",
    3: "SAMPLE INTERVAL IN MILLIMETRES, DELAY AND COORDINATES IN METRES",
}


@dataclass(frozen=True)
class SegyPart(Part):
    """The traces of a SEG-Y file."""

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        with _opened(self.path) as source:
            return source.trace.raw[:]


def read_segy(path: Path, hints: Hints) -> list[Part]:
    """The model of a SEG-Y file, as an array of traces (x, z).

    Spacing and origin across are those of the CDP, group or source coordinates, the first of them
    that are there and evenly spaced; down, those of the sample interval and the delay.
    """
    file = str(path)
    if hints.order == "zx":
        raise OptionError(f"{file}: order: found 'zx'; a SEG-Y file's traces are positions (xz)")
    segyio = needed("segyio", "io")
    with reading(file), _opened(path) as source:
        shape = (int(source.tracecount), len(source.samples))
        field = segyio.BinField
        foot = 0.3048 if source.bin[field.MeasurementSystem] == FEET else 1.0
        ground = _across(segyio, source, foot).or_else(_down(segyio, source, foot))
        form = form_of(shape, np.dtype(source.dtype), file, hints, order="xz", ground=ground)
    return [SegyPart(path, file, None, form)]


def _opened(path: Path) -> Any:
    segyio = needed("segyio", "io")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # segyio takes unknown codes for IBM floats; we do not
        source = segyio.open(str(path), ignore_geometry=True)
    code = int(source.bin[segyio.BinField.Format])
    if code not in CODES:
        source.close()
        raise InputFileError(f"{path}: sample format: found {code}, expected one of {CODES}")
    return source


def _down(segyio: Any, source: Any, foot: float) -> Ground:
    field, first = segyio.TraceField, source.header[0]
    interval = source.bin[segyio.BinField.Interval] or first[field.TRACE_SAMPLE_INTERVAL]
    step = (int(interval) & MAX_UINT16) / 1000 * foot  # segyio takes it as a signed number
    delay = int(first[field.DelayRecordingTime]) * float(_scale(first[field.ScalarTraceHeader]))
    return Ground(dz_m=step or None, origin_z_m=delay * foot if delay else None)


def _across(segyio: Any, source: Any, foot: float) -> Ground:
    field = segyio.TraceField
    if int(source.header[0][field.CoordinateUnits]) not in LENGTH or source.tracecount < 2:
        return Ground()
    scale = _scale(source.attributes(field.SourceGroupScalar)[:])
    for x_field, y_field in (
        (field.CDP_X, field.CDP_Y),
        (field.GroupX, field.GroupY),
        (field.SourceX, field.SourceY),
    ):
        x = source.attributes(x_field)[:] * scale * foot
        y = source.attributes(y_field)[:] * scale * foot
        steps = np.hypot(np.diff(x), np.diff(y))
        step = float(steps.mean())
        tolerance = max(EVEN * step, float(scale.max()) * foot)
        if step > 0 and np.abs(steps - step).max() <= tolerance:
            along_x = np.ptp(y) == 0 and x[-1] > x[0]  # otherwise x says nothing of the distance
            return Ground(dx_m=float(f"{step:.9g}"), origin_x_m=float(x[0]) if along_x else None)
    return Ground()


class SegySink(FileSink):
    """Writes one model, with coordinates of the CDPs where the spacing is known.

    Intervals are whole millimetres up to 65.535 m; others are left unsaid.
    """

    def __init__(self, path: Path, form: Form, array: str) -> None:
        super().__init__(replace(form, axes="xz") if form.count == 1 else form)
        if form.count != 1:
            raise OptionError(
                f"models: found {form.count}, expected one for each SEG-Y file: write a folder"
            )
        self._path, self._segyio = path, needed("segyio", "io")

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        form, segyio = self.form, self._segyio
        spec = segyio.spec()
        spec.format = DTYPE_CODES[np.dtype(form.dtype).str[1:]]
        spec.samples, spec.tracecount = range(form.nz), form.nx
        interval = round((form.ground.dz_m or 0) * 1000)
        interval = interval if interval <= MAX_UINT16 else 0
        delay_scalar, delay = _whole(np.array([form.ground.origin_z_m or 0.0]), MAX_INT16)
        scalar, x = _whole(_positions(form), MAX_INT32)
        field = segyio.TraceField
        with segyio.create(str(self._path), spec) as target:
            target.text[0] = segyio.create_text_header(TEXT)
            target.bin[segyio.BinField.Interval] = interval
            target.bin[segyio.BinField.MeasurementSystem] = METRES
            for number, trace in enumerate(np.ascontiguousarray(array, dtype=target.dtype)):
                target.header[number] = {
                    field.TRACE_SEQUENCE_LINE: number + 1,
                    field.TRACE_SEQUENCE_FILE: number + 1,
                    field.CDP: number + 1,
                    field.TRACE_SAMPLE_INTERVAL: interval,
                    field.DelayRecordingTime: int(delay[0]),
                    field.ScalarTraceHeader: delay_scalar,
                    field.CoordinateUnits: 1,
                    field.SourceGroupScalar: scalar,
                    field.CDP_X: int(x[number]),
                    field.SourceX: int(x[number]),
                    field.GroupX: int(x[number]),
                }
                target.trace[number] = trace

    def _close(self) -> None:
        pass


def _positions(form: Form) -> NDArray[Any]:
    if form.ground.dx_m is None:
        return np.zeros(form.nx)
    return (form.ground.origin_x_m or 0.0) + form.ground.dx_m * np.arange(form.nx)


def _scale(scalar: Any) -> NDArray[Any]:
    """What the standard's scalars multiply by: negative ones divide, zero is one."""
    scalar = np.asarray(scalar, dtype=float)
    divisor = np.where(scalar < 0, -scalar, 1)
    return np.asarray(np.where(scalar > 0, scalar, 1) / divisor)


def _whole(metres: NDArray[Any], most: int) -> tuple[int, NDArray[Any]]:
    """A scalar of the standard, and whole numbers that are as near as it allows; zeros where the
    numbers would be too large.
    """
    best = 1, np.zeros(len(metres))
    for scalar in SCALARS:
        scaled = metres * abs(scalar)
        if np.abs(scaled).max() > most:
            break
        best = scalar, scaled.round()
        if np.abs(scaled - best[1]).max() < 1e-6:
            break
    return best
