"""SEG-Y files of one model: traces are positions, samples go down. Needs segyio.

A 3-D survey, of inlines and crosslines, is a volume (`segy_volumes`).

The standard has no depth interval. As in most software, the sample interval (microseconds for time)
is read as millimetres; coordinates are metres with the standard's scalars.
"""

from __future__ import annotations

import re
import struct
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError, InputShapeError, NoDataError, OptionError
from velcodec.formats.extras import needed
from velcodec.formats.facts import TIME
from velcodec.formats.files.absent import marks_of
from velcodec.formats.files.attributes import FILL_VALUE, LEAST_METRES, LENGTHS
from velcodec.formats.files.axes import TOLERANCE, Axis, ground_of_axes
from velcodec.formats.files.base import Part, reading
from velcodec.formats.files.form import Form, Ground, Hints, Placed, form_of
from velcodec.formats.files.npy import check_dtype
from velcodec.formats.files.segy_volumes import LENGTH, ground_across, survey_of
from velcodec.formats.files.sinks import FileSink
from velcodec.formats.no_data import find_absent

FEET = 2
METRES = 1
DEAD = (2, 3)  # trace identification codes: dead, dummy
HEAD_BYTES = 3600
FORMAT, REVISION = slice(3224, 3226), slice(3500, 3502)
EXTENDED_INTERVAL, BYTE_ORDER = slice(3272, 3280), slice(3296, 3300)
ORDER_CONSTANT = 16909060
MOST_EXTENDED = 1000.0  # metres: larger values may as well be millimetres
EVEN = 1e-3  # of a step: coordinates are whole multiples of the scalar
DTYPE_CODES = {
    "f4": 5, "f8": 6, "i4": 2, "i2": 3, "i1": 8, "u4": 10, "u2": 11, "u8": 12, "i8": 9, "u1": 16,
}  # fmt: skip
CODES = (1, *sorted(DTYPE_CODES.values()))  # 1 is IBM float, which is read and not written
EXACT = 1e-6  # of a figure: what rounding leaves
SCALARS = (1, -10, -100, -1000, -10000)
MAX_INT16, MAX_UINT16, MAX_INT32 = 2**15 - 1, 2**16 - 1, 2**31 - 1
IN_TEXT = re.compile(
    r"\bD([XZ])\s*[=:]\s*(\d+(?:\.\d*)?)\s*(M|METRES?|METERS?|KM|FT|FEET|)(?![A-Z/])"
)
"""A spacing in the textual header."""

NO_DATA = "NO-DATA VALUE:"
NO_DATA_IN_TEXT = re.compile(NO_DATA + r" (\S+)")
"""The value of absent samples in the textual header of a file by velcodec."""

IN_MILLIMETRES = "SAMPLE INTERVAL IN MILLIMETRES"
IN_TIME = "SAMPLES ARE IN TIME"
TEXT = {
    1: "VELOCITY MODEL WRITTEN BY VELCODEC",
    2: "TRACES ARE POSITIONS, SAMPLES GO DOWN",
    3: f"{IN_MILLIMETRES}, DELAY AND COORDINATES IN METRES",
}
TEXT_IN_TIME = {**TEXT, 3: f"{IN_TIME}, COORDINATES IN METRES"}


@dataclass(frozen=True)
class SegyPart(Part):
    """The traces of a SEG-Y file; `order` is their order along the line, if it differs from the
    file's.
    """

    order: tuple[int, ...] | None = None

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        with _opened(self.path) as source:
            traces = np.asarray(source.trace.raw[:])
            field = needed("segyio", "io").TraceField.TraceIdentificationCode
            codes = source.attributes(field)[:]
        dead = np.isin(codes, DEAD) | ~traces.any(axis=1)
        if self.form.no_data is not None:
            dead &= ~find_absent(traces, self.form.no_data).all(axis=1)
        if dead.any():
            raise NoDataError(
                f"{self.place}: trace {int(np.argmax(dead)) + 1}: is dead, as are "
                f"{np.count_nonzero(dead)} of {len(dead)}; expected only velocities"
            )
        traces = traces if self.order is None else traces[list(self.order)]
        return traces.reshape(self.form.shape)


def read_segy(path: Path, hints: Hints) -> list[Part]:
    """The model of a SEG-Y file, as an array of traces (x, z), in either byte order.

    Spacing and origin across come from the CDP, group or source coordinates, the first of these
    that are present and evenly spaced, and traces are sorted by them; down, from the sample
    interval and the delay. Raises InputFileError for coordinates that are angles or uneven, unless
    the caller states the spacing, and for traces that differ in start or interval; InputShapeError
    for a 3-D survey with missing traces.
    """
    file = str(path)
    own = "yxz" if hints.volume else "xz"
    if hints.order not in (None, own):
        raise OptionError(
            f"{file}: order: found {hints.order!r}; a SEG-Y file's traces are positions ({own})"
        )
    segyio = needed("segyio", "io")
    with reading(file), _opened(path) as source:
        shape: tuple[int, ...] = (int(source.tracecount), len(source.samples))
        check_dtype(np.dtype(source.dtype), file)
        if not hints.facts.vertical and IN_TIME.encode() in bytes(source.text[0]):
            hints = replace(hints, facts=replace(hints.facts, vertical=TIME))
        field = segyio.BinField
        foot = _metres_per_unit(int(source.bin[field.MeasurementSystem]), file, hints)
        _check_alike(segyio, source, file)
        survey = survey_of(segyio, source, file)
        order: tuple[int, ...] | None
        if survey is None:
            across, order = _across(segyio, source, foot, file, hints)
            placed = Placed("xz")
        else:
            scale = _scale(source.attributes(segyio.TraceField.SourceGroupScalar)[:])
            across = ground_across(segyio, source, survey, foot, scale, file, hints)
            order, placed = tuple(survey.order.tolist()), Placed("yxz")
            shape = (survey.ny, survey.nx, shape[1])
        if hints.volume and survey is None:
            raise InputShapeError(f"{file}: found one line, expected inlines and crosslines")
        down = _down(segyio, source, foot, path, hints)
        said = _with_text_spacing(across.or_else(down), bytes(source.text[0]), file, hints)
        ground, z_up = ground_of_axes(Axis("depth"), Axis(), shape[-1], file, hints, said, "down")
        form = form_of(
            shape, np.dtype(source.dtype), file, hints, placed=placed, ground=ground, z_up=z_up
        )
        values = NO_DATA_IN_TEXT.findall(bytes(source.text[0]).decode("ascii", "replace"))
        marks = marks_of({FILL_VALUE: values} if values else {}, file)
    return [SegyPart(path, file, None, form, order=order, marks=marks)]


def _metres_per_unit(system: int, file: str, hints: Hints) -> float:
    """Metres per unit of length of the file. Raises InputFileError for an unknown unit."""
    if system not in (0, METRES, FEET):
        if None in (hints.ground.dx_m, hints.ground.dz_m):
            raise InputFileError(
                f"{file}: measurement system: found {system}, expected 1 (metres) or 2 (feet); "
                "state the spacing with --dx and --dz"
            )
        return 1.0
    return 0.3048 if system == FEET else 1.0


def _with_text_spacing(ground: Ground, text: bytes, file: str, hints: Hints) -> Ground:
    """The ground from the headers, with spacings that only the text states, such as `DX = 25 M`.

    Raises InputFileError if both differ, unless the caller states it.
    """
    for axis, number, unit in IN_TEXT.findall(text.decode("ascii", "replace").upper()):
        name = f"d{axis.lower()}_m"
        found, step = getattr(ground, name), float(number) * LENGTHS[unit.lower()]
        if getattr(hints.ground, name) is not None or step <= 0:
            continue
        if found is not None and abs(found - step) > TOLERANCE * step:
            raise InputFileError(
                f"{file}: textual header: found a spacing d{axis.lower()} of {step:g} m, and "
                f"{found:g} m in the other headers; state which with --d{axis.lower()}"
            )
        ground = ground.or_else(Ground(**{name: step}))
    return ground


def _opened(path: Path) -> Any:
    segyio = needed("segyio", "io")
    endian = _endian(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # segyio takes unknown codes for IBM floats; we do not
        source = segyio.open(str(path), ignore_geometry=True, endian=endian)
    code = int(source.bin[segyio.BinField.Format])
    if code not in CODES:
        source.close()
        raise InputFileError(f"{path}: sample format: found {code}, expected one of {CODES}")
    return source


def _endian(path: Path) -> str:
    """The byte order: from revision 2's constant for it, or from the sample format."""
    head = _head(path)
    for order in ("big", "little"):
        if int.from_bytes(head[BYTE_ORDER], order) == ORDER_CONSTANT:
            return order
    known = int.from_bytes(head[FORMAT], "big") not in CODES
    return "little" if known and int.from_bytes(head[FORMAT], "little") in CODES else "big"


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)


def _check_alike(segyio: Any, source: Any, file: str) -> None:
    """Raise InputFileError for traces that do not have the same samples."""
    field = segyio.TraceField
    for name, what in (
        ("TRACE_SAMPLE_COUNT", "samples"),
        ("TRACE_SAMPLE_INTERVAL", "a sample interval"),
        ("DelayRecordingTime", "a delay"),
        ("ScalarTraceHeader", "a scalar of delays"),
    ):
        values = source.attributes(getattr(field, name))[:]
        if name == "ScalarTraceHeader" and not source.attributes(field.DelayRecordingTime)[:].any():
            continue
        if np.ptp(values):
            other = int(np.flatnonzero(values != values[0])[0])
            raise InputFileError(
                f"{file}: trace {other + 1}: found {what} of {values[other]} and {values[0]} in "
                "the first trace, expected equal ones in all traces"
            )


def _down(segyio: Any, source: Any, foot: float, path: Path, hints: Hints) -> Ground:
    field, first = segyio.TraceField, source.header[0]
    delay = int(first[field.DelayRecordingTime]) * float(_scale(first[field.ScalarTraceHeader]))
    foot = 1.0 if hints.facts.is_time else foot
    origin = delay * foot if delay else None
    # segyio takes intervals as signed numbers
    interval = int(source.bin[segyio.BinField.Interval]) & MAX_UINT16
    own = int(first[field.TRACE_SAMPLE_INTERVAL]) & MAX_UINT16
    step = (interval or own) / 1000
    extended = _extended_interval(path)
    if hints.ground.dz_m is not None:
        return Ground(origin_z_m=origin)
    if hints.facts.is_time:  # in microseconds, which are to milliseconds as millimetres to metres
        return Ground(dz_m=(extended or interval or own) / 1000 or None, origin_z_m=origin)
    if interval and own and interval != own:
        raise InputFileError(
            f"{path}: sample interval: found {interval} for the file and {own} for its traces; "
            "state the spacing with --dz"
        )
    if extended:
        if not 0 < extended < MOST_EXTENDED:
            raise InputFileError(
                f"{path}: sample interval of revision 2: found {extended:g}, expected metres; "
                "state the spacing with --dz"
            )
        step = extended
    elif 0 < step < LEAST_METRES and IN_MILLIMETRES.encode() not in bytes(source.text[0]):
        raise InputFileError(
            f"{path}: sample interval: found {interval or own}, which is {step:g} m as "
            "millimetres, and likely metres; state the spacing with --dz"
        )
    return Ground(dz_m=step * foot or None, origin_z_m=origin)


def _extended_interval(path: Path) -> float:
    """Revision 2's interval, which for depth is in metres or feet; zero if there is none."""
    head = _head(path)
    if 2 not in head[REVISION]:
        return 0.0
    (value,) = struct.unpack("<d" if _endian(path) == "little" else ">d", head[EXTENDED_INTERVAL])
    return float(value)


def _across(
    segyio: Any, source: Any, foot: float, file: str, hints: Hints
) -> tuple[Ground, tuple[int, ...] | None]:
    """Spacing and origin from the coordinates, and the order of the traces along the line."""
    field, stated = segyio.TraceField, hints.ground.dx_m is not None
    if source.tracecount < 2:
        return Ground(), None
    angles = set(source.attributes(field.CoordinateUnits)[:].tolist()) - set(LENGTH)
    scale = _scale(source.attributes(field.SourceGroupScalar)[:])
    found: tuple[Ground, tuple[int, ...] | None] | None = None
    uneven: tuple[float, float] | None = None
    for x_field, y_field in (
        (field.CDP_X, field.CDP_Y),
        (field.GroupX, field.GroupY),
        (field.SourceX, field.SourceY),
    ):
        x = source.attributes(x_field)[:] * scale * foot
        y = source.attributes(y_field)[:] * scale * foot
        if not (np.ptp(x) or np.ptp(y)):
            continue
        order = _along(x, y)
        steps = np.hypot(np.diff(x[order]), np.diff(y[order]))
        step = float(steps.mean())
        tolerance = max(EVEN * step, float(scale.max()) * foot)
        kept = None if np.array_equal(order, np.arange(len(order))) else tuple(order.tolist())
        along_x = np.ptp(y) == 0 and not angles  # otherwise x is not the distance
        ground = Ground(origin_x_m=float(x[order[0]]) if along_x else None)
        if steps.min() > 0 and np.abs(steps - step).max() <= tolerance and not angles:
            return replace(ground, dx_m=None if stated else float(f"{step:.9g}")), kept
        found, uneven = found or (ground, kept), uneven or (steps.min(), steps.max())
    if uneven is None or found is None:
        return Ground(), None
    if not stated:
        what = (
            f"angles (units {min(angles)})"
            if angles
            else f"steps from {uneven[0]:g} to {uneven[1]:g} m"
        )
        raise InputFileError(
            f"{file}: coordinates: found {what}, expected an even line in metres or feet; state "
            "the spacing with --dx"
        )
    return found


def _along(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.intp]:
    """The order of traces along their line: the file's if they advance along it, unless only x
    changes and decreases; otherwise from one end to the other, west to east or towards the north.
    """
    line = x if np.ptp(x) >= np.ptp(y) else y
    steps = np.diff(line)
    falls_in_x = np.ptp(y) == 0 and (steps < 0).any()
    if not falls_in_x and ((steps > 0).all() or (steps < 0).all()):
        return np.arange(len(x))
    crooked = np.hypot(np.diff(x), np.diff(y))
    distinct = len(np.unique(np.stack([x, y]), axis=1).T) == len(x)
    if np.ptp(y) and np.ptp(x) and distinct and np.ptp(crooked) <= EVEN * crooked.mean():
        return np.arange(len(x))
    order = np.argsort(line, kind="stable")
    return order[::-1] if x[order[-1]] < x[order[0]] else order


class SegySink(FileSink):
    """Writes one model, with CDP coordinates if the spacing is known; a volume as inlines along y
    and crosslines along x.

    Intervals are whole millimetres up to 65.535 m; others are not written.
    """

    def __init__(self, path: Path, form: Form, array: str) -> None:
        down = replace(form, z_up=False)  # in the standard, samples of a trace go down
        axes = "xz" if form.ny is None else "yxz"
        super().__init__(replace(down, axes=axes) if form.count == 1 else down)
        if form.count != 1:
            raise OptionError(
                f"models: found {form.count}, expected one for each SEG-Y file: write a folder"
            )
        self._path, self._segyio = path, needed("segyio", "io")

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        form, segyio = self.form, self._segyio
        spec = segyio.spec()
        spec.format = DTYPE_CODES[np.dtype(form.dtype).str[1:]]
        ny, nx = form.ny or 1, form.nx
        spec.samples, spec.tracecount = range(form.nz), ny * nx
        interval = round((form.ground.dz_m or 0) * 1000)
        interval = interval if interval <= MAX_UINT16 else 0
        delay_scalar, delay = _whole(np.array([form.ground.origin_z_m or 0.0]), MAX_INT16)
        place = np.concatenate([_positions(form, "x"), _positions(form, "y")])
        scalar, places = _whole(place, MAX_INT32)
        x, y = places[:nx], places[nx:]
        field = segyio.TraceField
        with segyio.create(str(self._path), spec) as target:
            text = dict(TEXT_IN_TIME if form.facts.is_time else TEXT)
            if form.no_data is not None:
                text[4] = f"{NO_DATA} {form.no_data}"
            target.text[0] = segyio.create_text_header(text)
            target.bin[segyio.BinField.Interval] = interval
            target.bin[segyio.BinField.MeasurementSystem] = METRES
            traces = np.ascontiguousarray(array, dtype=target.dtype).reshape(ny * nx, form.nz)
            for number, trace in enumerate(traces):
                line = {} if form.ny is None else {
                    field.INLINE_3D: number // nx + 1,
                    field.CROSSLINE_3D: number % nx + 1,
                    field.CDP_Y: int(y[number // nx]),
                    field.SourceY: int(y[number // nx]),
                    field.GroupY: int(y[number // nx]),
                }  # fmt: skip
                target.header[number] = {
                    field.TRACE_SEQUENCE_LINE: number + 1,
                    field.TRACE_SEQUENCE_FILE: number + 1,
                    field.CDP: number + 1,
                    field.TRACE_SAMPLE_INTERVAL: interval,
                    field.DelayRecordingTime: int(delay[0]),
                    field.ScalarTraceHeader: delay_scalar,
                    field.CoordinateUnits: 1,
                    field.SourceGroupScalar: scalar,
                    field.CDP_X: int(x[number % nx]),
                    field.SourceX: int(x[number % nx]),
                    field.GroupX: int(x[number % nx]),
                    **line,
                }
                target.trace[number] = trace

    def _close(self) -> None:
        pass


def writes_exactly(form: Form) -> bool:
    """Whether a SEG-Y file holds spacing and origin of this form as they are."""
    ground = form.ground
    interval = (ground.dz_m or 0.0) * 1000
    places = [
        (np.array([ground.origin_z_m or 0.0]), MAX_INT16),
        (np.concatenate([_positions(form, "x"), _positions(form, "y")]), MAX_INT32),
    ]
    written = ((metres, _whole(metres, most)) for metres, most in places)
    return (
        interval <= MAX_UINT16
        and abs(interval - round(interval)) < EXACT * max(1.0, interval)
        and all(
            np.allclose(metres, whole / abs(scalar), rtol=EXACT, atol=EXACT)
            for metres, (scalar, whole) in written
        )
    )


def _positions(form: Form, axis: str) -> NDArray[Any]:
    """Positions in metres along x or y; zeros if the spacing is not known."""
    size = form.nx if axis == "x" else form.ny or 1
    step, origin = (getattr(form.ground, name) for name in (f"d{axis}_m", f"origin_{axis}_m"))
    return np.zeros(size) if step is None else (origin or 0.0) + step * np.arange(size)


def _scale(scalar: Any) -> NDArray[Any]:
    """The factor of each of the standard's scalars: negative ones divide, zero means one."""
    scalar = np.asarray(scalar, dtype=float)
    divisor = np.where(scalar < 0, -scalar, 1)
    return np.asarray(np.where(scalar > 0, scalar, 1) / divisor)


def _whole(metres: NDArray[Any], most: int) -> tuple[int, NDArray[Any]]:
    """A scalar of the standard, and the nearest whole numbers that it allows; zeros if the numbers
    would be too large.
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
