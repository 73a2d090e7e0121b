"""Reading volumes: only the bricks that a box of samples needs are read and decoded.

Never imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from velcodec.decode.units import as_dtype
from velcodec.formats.arrays import Float64
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import CorruptError, OptionError, PointsOutsideError, VolumeError
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import RAW
from velcodec.formats.storage.varint import decode_varint
from velcodec.formats.volume_coding.stream import (
    Box,
    BrickTable,
    Shape,
    decode_samples,
    read_table,
)
from velcodec.geometry import check_points
from velcodec.parallel import in_threads

if TYPE_CHECKING:
    from velcodec.sampler.volume.compiled import SampledVolume

LONGEST_VARINT = 9

ROUNDING = 1e-6
"""Positions so near, in samples, are the same."""


def layout_of_record(reader: RecordReader, number: int, header: Header) -> tuple[Layout, int]:
    """The layout of a record, and where the record goes on behind its number, from its first bytes.

    Raises CorruptError, TruncatedError.
    """
    layouts = header.layouts
    if len(layouts) == 1:
        return layouts[0], 0
    place = f"{reader.name}: record {number}: layout"
    start = reader.payload_part(number, 0, LONGEST_VARINT)
    which, at = decode_varint(start, 0, place)
    if which >= len(layouts):
        raise CorruptError(f"{place}: found {which}, expected less than {len(layouts)}")
    return layouts[which], at


@dataclass(frozen=True)
class StoredVolume:
    """A volume whose table of bricks was read."""

    reader: RecordReader
    number: int
    header: Header
    layout: Layout
    start: int
    table: BrickTable

    @property
    def place(self) -> str:
        """Its name in errors."""
        return f"{self.reader.name}: record {self.number}"

    def read(self, box: Box) -> NDArray[np.generic]:
        """The samples of a box (z, y, x), of the archive's dtype and in its units. Bricks are
        decoded in as many threads as `velcodec.parallel` allows.

        Raises CorruptError, TruncatedError.
        """
        shape = [each.stop - each.start for each in box]
        samples = np.empty(shape, dtype=np.dtype(self.layout.dtype))
        bricks = self.table.bricks
        for number, values in in_threads(self.brick, bricks.within(box)):
            own = bricks.box(number)
            common = [
                slice(max(a.start, b.start), min(a.stop, b.stop))
                for a, b in zip(box, own, strict=True)
            ]
            to = tuple(
                slice(c.start - b.start, c.stop - b.start) for c, b in zip(common, box, strict=True)
            )
            of = tuple(
                slice(c.start - b.start, c.stop - b.start) for c, b in zip(common, own, strict=True)
            )
            samples[to] = values[of]
        return samples

    def render(self, box: Box, res: Shape) -> NDArray[np.generic]:
        """The field of a box (z, y, x) of samples at the centres of a grid `res` over its extent,
        (nz, ny, nx), of the archive's dtype and in its units.

        Raises SamplerError for an unknown sampler, CorruptError, TruncatedError.
        """
        field, start = self.field_around(box)
        out = np.empty(res)
        z, y, x = (
            each.start - first + (np.arange(size) + 0.5) * ((each.stop - each.start) / size)
            for each, first, size in zip(box, start, res, strict=True)
        )
        field.fill(z, y, x, out)
        return as_dtype(out, np.dtype(self.layout.dtype))

    def points(self, cells: Float64) -> Float64:
        """Values (P,) of the field at points (x, y, z) in cells, (P, 3): sample i lies at i + 1/2.

        Raises as `render`.
        """
        if not len(cells):
            return np.zeros(0)
        field, start = self.field_around(self._around(cells))
        return field.points(cells - np.array(start[::-1], dtype=np.float64))

    def gradient(self, cells: Float64) -> Float64:
        """Derivatives (P, 3) of the field by x, y and z, per cell, at the points of `points`."""
        from velcodec.sampler.volume.render import TorchVolume

        if not len(cells):
            return np.zeros((0, 3))
        wide = self._widened(self._around(cells))
        samples = self.read(wide)
        field = TorchVolume(samples, self._coding.sampler, "cpu", self.ends)
        return field.gradient(cells - np.array([each.start for each in wide][::-1], np.float64))

    def _around(self, cells: Float64) -> Box:
        """The samples nearest to points (x, y, z) in cells, as a box."""
        low, high = (np.floor(end).astype(int) for end in (cells.min(axis=0), cells.max(axis=0)))
        z, y, x = (
            slice(min(max(a, 0), size - 1), min(b + 1, size))
            for a, b, size in zip(low[::-1], high[::-1], self.layout.shape, strict=True)
        )
        return z, y, x

    def _widened(self, box: Box) -> Box:
        """The box with the samples that its field depends on."""
        from velcodec.sampler.volume.compiled import AROUND

        z, y, x = (
            slice(max(each.start - AROUND, 0), min(each.stop + AROUND, size))
            for each, size in zip(box, self.layout.shape, strict=True)
        )
        return z, y, x

    def field_around(self, box: Box) -> tuple[SampledVolume, Shape]:
        """The field around a box, and the first sample (z, y, x) that it begins with. Raises as
        `render`.
        """
        from velcodec.sampler.volume.compiled import SampledVolume
        from velcodec.sampler.volume.form import volume_sampler_of

        wide = self._widened(box)
        samples = self.read(wide)
        weights = volume_sampler_of(self._coding.sampler)
        z, y, x = wide
        field = SampledVolume(samples, weights, self.ends)
        return field, (z.start, y.start, x.start)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The ends that the field of every part is normalised with and stays between: those of the
        domain, or of all samples if it is RAW and tells none.
        """
        domain, dtype = self._coding.domains[self.table.domain], np.dtype(self.layout.dtype)
        if domain.kind != RAW:
            return domain.ends(dtype)
        every = self.read(whole(self.layout))
        return float(every.min()), float(every.max())

    @property
    def _coding(self) -> ExactCoding:
        coding = self.header.exact
        assert coding is not None
        return coding

    def streams(self) -> Iterator[bytes]:
        """The stream of every brick in order, its checksum verified. Raises CorruptError."""
        for number in range(len(self.table.bricks)):
            yield self.table.stream(number, self._part, self.place)

    def brick(self, number: int) -> NDArray[np.generic]:
        """The samples of a brick. Raises CorruptError, TruncatedError."""
        place = f"{self.place}: brick {number}"
        stream = self.table.stream(number, self._part, self.place)
        shape = self.table.bricks.shape_of(number)
        dtype = np.dtype(self.layout.dtype)
        return decode_samples(stream, shape, self._coding, self.table.domain, dtype, place)

    def _part(self, start: int, size: int) -> bytes:
        return self.reader.payload_part(self.number, self.start + start, size)


def open_volume(reader: RecordReader, number: int) -> StoredVolume:
    """Volume `number`, ready to be read. Raises VolumeError for a section, CorruptError,
    TruncatedError.
    """
    header = reader.header_of(number)
    layout, at = layout_of_record(reader, number, header)
    place = f"{reader.name}: record {number}"
    if layout.ny is None:
        raise VolumeError(
            f"{place}: found a section of {layout.nz} x {layout.nx}, expected a volume"
        )
    if header.exact is None:
        raise CorruptError(f"{place}: found a volume under a header without domains of samples")

    def read(start: int, size: int) -> bytes:
        return reader.payload_part(number, at + start, size)

    table = read_table(read, (layout.nz, layout.ny, layout.nx), place)
    if table.domain >= len(header.exact.domains):
        raise CorruptError(
            f"{place}: domain: found {table.domain}, expected less than {len(header.exact.domains)}"
        )
    return StoredVolume(reader, number, header, layout, at, table)


def whole(layout: Layout) -> Box:
    """The box of all samples of a volume."""
    nz, ny, nx = layout.shape
    return slice(0, nz), slice(0, ny), slice(0, nx)


def checked_box(box: Sequence[slice | tuple[int, int]], layout: Layout, place: str) -> Box:
    """A box as slices (z, y, x) within the volume.

    Raises OptionError unless it is three ranges of samples, each within the volume and not empty.
    """
    if len(box) != 3:
        raise OptionError(f"{place}: box: found {len(box)} ranges, expected three: z, y, x")
    found = []
    for axis, each, size in zip("zyx", box, layout.shape, strict=True):
        if isinstance(each, slice):
            start, stop = each.start, each.stop
            if each.step not in (None, 1):
                raise OptionError(f"{place}: box: {axis}: found a step, expected every sample")
        else:
            start, stop = each
        start, stop = 0 if start is None else int(start), size if stop is None else int(stop)
        if not 0 <= start < stop <= size:
            raise OptionError(
                f"{place}: box: {axis}: found {start} to {stop}, expected a range of samples "
                f"within 0 to {size}"
            )
        found.append(slice(start, stop))
    return found[0], found[1], found[2]


def volume_cells(layout: Layout, points: ArrayLike) -> Float64:
    """Points (x, y, z) in metres, (P, 3), in cells: sample i lies at i + 1/2.

    Raises PointsOutsideError beyond the volume's extent, InputShapeError, InputDtypeError,
    NonFiniteError.
    """
    metres = check_points(points, "xyz")
    steps = np.array([layout.dx_m, layout.dy_m, layout.dz_m])
    origin = np.array([layout.origin_x_m, layout.origin_y_m, layout.origin_z_m])
    sizes = np.array(layout.shape[::-1], dtype=np.float64)
    with np.errstate(over="ignore"):  # then it is outside
        cells = (metres - origin) / steps + 0.5
    outside = ((cells < -ROUNDING) | (cells > sizes + ROUNDING)).any(axis=1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        first = origin - steps / 2
        x, y, z = (f"{a:g} to {b:g}" for a, b in zip(first, first + sizes * steps, strict=True))
        raise PointsOutsideError(
            f"point {row} at (x, y, z) = {tuple(metres[row].tolist())} m is outside the volume: "
            f"expected x {x}, y {y} and z {z}"
        )
    return np.clip(cells, 0.0, sizes)


def own_order(samples: NDArray[np.generic], layout: Layout) -> NDArray[np.generic]:
    """Samples (nz, ny, nx) in the axis order of the user's array."""
    return samples.transpose(["zyx".index(axis) for axis in layout.axes[-3:]])


def samples_between(
    layout: Layout, axis: str, first_m: float | None, last_m: float | None, place: str
) -> tuple[int, int]:
    """The range of samples along an axis whose positions lie between two, in metres; None is the
    volume's end. Raises OptionError if there is none.
    """
    size = layout.shape["zyx".index(axis)]
    step, origin = getattr(layout, f"d{axis}_m"), getattr(layout, f"origin_{axis}_m")
    start, stop = 0, size
    if first_m is not None:
        start = max(0, math.ceil((first_m - origin) / step - ROUNDING))
    if last_m is not None:
        stop = min(size, math.floor((last_m - origin) / step + ROUNDING) + 1)
    if start >= stop:
        raise OptionError(
            f"{place}: {axis}: found no sample in the range of metres, expected some of "
            f"{origin:g} to {origin + (size - 1) * step:g} m"
        )
    return start, stop
