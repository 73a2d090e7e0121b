"""Madagascar's RSF: a text header, with the samples after it or in a file beside it.

`n1` is the fast axis, depth by convention. No file outside the header's folder is ever opened,
whatever the header says.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError, InputShapeError, OptionError
from velcodec.formats.files.absent import marks_of
from velcodec.formats.files.attributes import (
    FILL_VALUE,
    LENGTHS,
    attributes_of,
    check_metres,
    metres,
    milliseconds,
    positive_of,
    velocity_units,
    vertical_of,
)
from velcodec.formats.files.axes import Axis, ground_of_axes, place
from velcodec.formats.files.base import Part, reading
from velcodec.formats.files.form import Form, Ground, Hints, form_of
from velcodec.formats.files.raw import RawPart
from velcodec.formats.files.sinks import PlaneSink

END_OF_HEADER = b"\x0c\x0c\x04"
MAX_HEADER_BYTES = 1 << 20
WORD = re.compile(r"""(?:^|\s)([A-Za-z_]\w*)=("[^"]*"|'[^']*'|\S*)""")
MAX_AXES = 9
KINDS = {
    ("float", 4): "f4", ("double", 8): "f8", ("int", 4): "i4", ("short", 2): "i2",
    ("long", 8): "i8", ("uchar", 1): "u1", ("char", 1): "i1",
}  # fmt: skip
SIZES = dict(KINDS.keys())
FORMATS = {"native": "<", "xdr": ">"}
STDIN = ("stdin", "-")
TIMES = ("s", "sec", "ms", "us")


def read_rsf(path: Path, hints: Hints) -> list[Part]:
    """The models of an RSF file: axes n1 (depth), n2 (distance), n3 (models); of volumes n3 is y,
    and n4 the models.

    Labels and units that say otherwise are followed, and so is a negative step of depth. Raises
    InputFileError for a data file outside the header's folder, with the options that read it as raw
    samples.
    """
    file = str(path)
    with reading(file):
        with path.open("rb") as stream:
            head, end, _ = stream.read(MAX_HEADER_BYTES).partition(END_OF_HEADER)
        said = _header_values(head, file)
        vertical = hints.facts.vertical or vertical_of(said, file)
        facts = replace(hints.facts, vertical=vertical)
        hints = replace(hints, facts=facts)
        shape, dtype = _shape(said, file, hints.volume), _dtype(said, file)
        numbers = range(len(shape), 0, -1)
        axes = [Axis(_label(said, number, hints.volume)) for number in numbers]
        placed = place(axes, shape, file, hints, "xz")
        own = placed.own or range(len(shape))
        at = dict(zip(placed.axes, [numbers[i] for i in own], strict=True))
        (dx, x), (dz, z) = (_line(said, at[axis], axis, file, hints) for axis in "xz")
        dy, y = _line(said, at["y"], "y", file, hints) if "y" in at else (None, None)
        nz = shape[len(shape) - at["z"]]
        ground, z_up = ground_of_axes(
            axes[len(shape) - at["z"]], Axis(), nz, file, hints, Ground(dx, dz, x, z, dy, y),
            positive_of(said), convention=False,
        )  # fmt: skip
        units = velocity_units(said.get("unit", said.get("units")), file, hints)
        form = form_of(
            shape, dtype, file, hints, placed=placed, units=units, ground=ground, z_up=z_up
        )
        packed = said.get("in") in STDIN
        if packed and not end:
            raise InputFileError(f"{file}: in: found stdin, but no samples after the header")
        data = path if packed else _beside(path, said.get("in", ""), form, file)
        offset = len(head) + len(end) if packed else 0
        size, expected = data.stat().st_size - offset, prod(shape) * dtype.itemsize
        if size != expected:
            raise InputFileError(f"{file}: found {size} bytes of samples, expected {expected}")
        marks = marks_of({key: _number(said, key, 0, file) for key in {FILL_VALUE} & {*said}}, file)
    return [RawPart(data, file, None, form, offset, own=placed.own, marks=marks)]


def _header_values(head: bytes, file: str) -> dict[str, str]:
    """The last value in the header of each of its keys."""
    if b"\0" in head:
        raise InputFileError(f"{file}: found binary data, expected the header of an RSF file")
    words = WORD.findall(head.decode("utf-8", "replace"))
    return {key: value.strip("\"'") for key, value in words}


def _shape(said: dict[str, str], file: str, volume: bool) -> tuple[int, ...]:
    """The array's shape, slowest axis first: (n4, n3, n2, n1) down to the first that there is, and
    n2 at least.
    """
    if "n1" not in said:
        raise InputFileError(f"{file}: n1: found none, expected the header of an RSF file")
    sizes = [int(_number(said, f"n{i}", 1, file)) for i in range(1, MAX_AXES + 1)]
    if min(sizes) < 1 or max(sizes[4:]) > 1:
        raise InputShapeError(
            f"{file}: n1 to n9: found {sizes}, expected depth, distances and models alone"
        )
    count = 4 if sizes[3] > 1 else 3 if "n3" in said else 2
    if count == 4 and not volume:
        raise InputShapeError(
            f"{file}: n1 to n9: found {sizes}, expected depth, distance and models alone; 3-D "
            "models are taken with --volume (volume=True)"
        )
    return tuple(sizes[count - 1 :: -1])


def _dtype(said: dict[str, str], file: str) -> np.dtype[Any]:
    form, _, kind = said.get("data_format", "native_float").partition("_")
    size = int(_number(said, "esize", SIZES.get(kind, 0), file))
    if form not in FORMATS or (kind, size) not in KINDS:
        raise InputFileError(
            f"{file}: data_format: found {form}_{kind} of {size} bytes, expected native or xdr of "
            f"{', '.join(SIZES)}"
        )
    return np.dtype(FORMATS[form] + KINDS[kind, size])


def _label(said: dict[str, str], number: int, volume: bool) -> str:
    """The name of an axis. Without a label n1 is depth, n2 distance and n3 the models; but an axis
    in units of time is time, and an n3 in units of length, or of a `volume`, is another distance.
    """
    label, unit = said.get(f"label{number}", ""), said.get(f"unit{number}", "").strip().lower()
    if label.strip() or number > 4:
        return label
    if unit in TIMES:
        return "time"
    third = "y" if volume or (unit and unit in LENGTHS) else "model"
    return ("depth", "distance", third, "model")[number - 1]


def _line(
    said: dict[str, str], number: int, axis: str, file: str, hints: Hints
) -> tuple[float | None, float | None]:
    """Spacing and first coordinate of an axis, in metres, unless the caller states both."""
    stated = getattr(hints.ground, f"d{axis}_m"), getattr(hints.ground, f"origin_{axis}_m")
    names = f"d{number}", f"o{number}"
    if not any(name in said for name in names) or (axis == "x" and None not in stated):
        return None, None
    unit = said.get(f"unit{number}")
    time, place = axis == "z" and hints.facts.is_time, f"{file}: unit{number}"
    scale = (milliseconds(unit, place) if time else metres(unit, place)) if None in stated else 1.0
    step, origin = (_number(said, n, 0, file) * scale if n in said else None for n in names)
    if stated[0] is None and not time:
        check_metres(step, unit, f"{file}: {names[0]}", f"--d{axis}")
    return step, origin


def _number(said: dict[str, str], key: str, default: float, file: str) -> float:
    try:
        return float(said.get(key, default))
    except ValueError as error:
        raise InputFileError(f"{file}: {key}: found {said[key]!r}, expected a number") from error


def _beside(header: Path, named: str, form: Form, file: str) -> Path:
    """The file of samples, which must be in the header's folder or below."""
    folder = header.parent.resolve()
    data = (folder / named).resolve()
    if not named or not data.is_relative_to(folder) or Path(named).is_absolute():
        shape = "x".join(map(str, form.shape))
        raise InputFileError(
            f"{file}: in: found {named!r}, expected a file in the header's own folder, as no other "
            f"is opened; give that file instead, with --format raw --shape {shape} "
            f"--dtype '{form.dtype}' --order {form.order}"
        )
    if not data.is_file():
        raise InputFileError(f"{file}: in: found {named!r}, which is not a file")
    return data


class RsfSink(PlaneSink):
    """Writes header and samples into one file, n1 down, n2 across, n3 the models; of volumes n3
    along y, and n4 the models.
    """

    def __init__(self, path: Path, form: Form, array: str) -> None:
        names = {form_: name for name, form_ in FORMATS.items()}
        kinds = {code: kind for (kind, _), code in KINDS.items()}
        end, code = form.dtype[0].replace("|", "<"), form.dtype[1:]
        if code not in kinds:
            raise OptionError(
                f"dtype: found {form.dtype}, expected one that RSF has: {', '.join(kinds)}"
            )
        if form.grounds is not None:
            other = next(n for n, each in enumerate(form.grounds) if each != form.grounds[0])
            raise OptionError(
                f"models 0 and {other}: found different spacings or origins, expected the same: an "
                "RSF file says them once; write a folder of files, or NetCDF, HDF5, Zarr or npz"
            )
        own = "xz" if form.ny is None else "yxz"
        super().__init__(replace(form, axes=f"n{own}" if "n" in form.axes else own))
        data_format = f"{names[end]}_{kinds[code]}"
        self._stream = path.open("xb")
        self._stream.write(_header(self.form, data_format).encode() + END_OF_HEADER)

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        self._stream.write(np.ascontiguousarray(array).data)

    def _close(self) -> None:
        self._stream.close()


def _header(form: Form, data_format: str) -> str:
    ground, about = form.ground, attributes_of(form)
    depth = "Time" if form.facts.is_time else "Elevation" if form.z_up else "Depth"
    axes = [
        (depth, form.nz, ground.dz_m, about.get("origin_z")),
        ("Distance" if form.ny is None else "X", form.nx, ground.dx_m, ground.origin_x_m),
    ]
    if form.ny is not None:
        axes.append(("Y", form.ny, ground.dy_m, ground.origin_y_m))
    lines = []
    for number, (label, size, step, origin) in enumerate(axes, 1):
        unit = form.facts.z_units if number == 1 else "m"
        lines.append(f'n{number}={size} label{number}="{label}" unit{number}="{unit}"')
        lines += [f"d{number}={step!r}"] if step is not None else []
        lines += [f"o{number}={origin!r}"] if origin is not None else []
    if "n" in form.axes:
        last = len(axes) + 1
        lines.append(f'n{last}={form.count} d{last}=1 o{last}=0 label{last}="Model"')
    if form.units is not None:
        lines.append(f'label="Velocity" unit="{form.units}"')
    if "vertical_domain" in about:
        lines.append(f'vertical_domain="{about["vertical_domain"]}"')
    if form.no_data is not None:
        lines.append(f"{FILL_VALUE}={form.no_data}")
    lines.append(f'z_positive="{"up" if form.z_up else "down"}"')
    lines.append(f'esize={np.dtype(form.dtype).itemsize} data_format="{data_format}" in="stdin"')
    return "".join(f"\t{line}\n" for line in lines)
