"""Reading volumes: only the bricks that a box of samples needs are read and decoded.

Never imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Bool
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import CorruptError, OptionError, VolumeError
from velcodec.formats.no_data import no_data_value
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.storage.varint import decode_varint
from velcodec.formats.volume_coding.stream import (
    Box,
    BrickTable,
    decode_samples,
    read_table,
    split_mask,
)
from velcodec.parallel import in_threads

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
        """The samples of a box (z, y, x), of the archive's dtype and in its units; absent ones have
        its no-data value. Bricks are decoded in as many threads as `velcodec.parallel` allows.

        Raises CorruptError, TruncatedError.
        """
        samples, absent = self.parts(box, 0, field=False)
        if absent is not None:
            samples[absent] = self.no_data
        return samples

    def parts(
        self, box: Box, blank: float, *, field: bool = True
    ) -> tuple[NDArray[Any], Bool | None]:
        """The samples of a box as they are coded, and which are absent or None. In a brick without
        a stream all are `blank`; also in one of absent samples alone, if no `field` is drawn from
        them.
        """
        shape = [each.stop - each.start for each in box]
        samples = np.empty(shape, dtype=np.dtype(self.layout.dtype))
        bricks = self.table.bricks
        numbers = bricks.within(box)
        absent = np.zeros(shape, dtype=bool) if self.table.absent[numbers].any() else None

        def brick(number: int) -> tuple[NDArray[np.generic] | None, Bool | None]:
            shape = bricks.shape_of(number)
            if not field and self.table.absent[number] == math.prod(shape):
                return None, np.ones(shape, dtype=bool)
            return self._brick(number)

        for number, (values, mask) in in_threads(brick, numbers):
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
            samples[to] = blank if values is None else values[of]
            if absent is not None and mask is not None:
                absent[to] = mask[of]
        return samples, absent

    @property
    def no_data(self) -> Any:
        """The value of absent samples, in the archive's dtype."""
        assert self.layout.no_data is not None
        return no_data_value(self.layout.no_data, np.dtype(self.layout.dtype))

    @property
    def coding(self) -> ExactCoding:
        """How its samples are coded."""
        coding = self.header.exact
        assert coding is not None
        return coding

    def streams(self) -> Iterator[bytes]:
        """The stream of every brick in order, its checksum verified. Raises CorruptError."""
        for number in range(len(self.table.bricks)):
            yield self.table.stream(number, self._part, self.place)

    def _brick(self, number: int) -> tuple[NDArray[np.generic] | None, Bool | None]:
        """The samples of a brick as they are coded, or None where it has no stream; and which are
        absent, or None if none is.
        """
        shape, absent = self.table.bricks.shape_of(number), int(self.table.absent[number])
        place = f"{self.place}: brick {number}"
        stream = self.table.stream(number, self._part, self.place)
        stream, mask = split_mask(stream, shape, absent, place)
        if absent == math.prod(shape):
            mask = np.ones(shape, dtype=bool)
            if not stream:
                return None, mask
        dtype = np.dtype(self.layout.dtype)
        return decode_samples(stream, shape, self.coding, self.table.domain, dtype, place), mask

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

    shape = layout.nz, layout.ny, layout.nx
    table = read_table(read, shape, place, masked=layout.no_data is not None)
    if table.domain >= len(header.exact.domains):
        raise CorruptError(
            f"{place}: domain: found {table.domain}, expected less than {len(header.exact.domains)}"
        )
    return StoredVolume(reader, number, header, layout, at, table)


def damaged_bricks(reader: RecordReader, number: int) -> list[int]:
    """Numbers of the bricks of volume `number` whose checksums do not hold. Raises as
    `open_volume`.
    """
    volume, found = open_volume(reader, number), []
    for brick in range(len(volume.table.bricks)):
        try:
            volume.table.stream(brick, volume._part, volume.place)
        except CorruptError:
            found.append(brick)
    return found


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
            start, stop = _ends_of(each, f"{place}: box: {axis}")
        start, stop = 0 if start is None else int(start), size if stop is None else int(stop)
        if not 0 <= start < stop <= size:
            raise OptionError(
                f"{place}: box: {axis}: found {start} to {stop}, expected a range of samples "
                f"within 0 to {size}"
            )
        found.append(slice(start, stop))
    return found[0], found[1], found[2]


def _ends_of(given: object, place: str) -> tuple[int | None, int | None]:
    """The ends of a range of samples that is no slice. Raises OptionError."""
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
        start, stop = given
        if all(each is None or isinstance(each, int | np.integer) for each in given):
            return start, stop
    raise OptionError(f"{place}: found {given!r}, expected a slice or two numbers of samples")


def own_order(samples: NDArray[np.generic], layout: Layout) -> NDArray[np.generic]:
    """Samples (nz, ny, nx) in the axis order of the user's array."""
    return samples.transpose(["zyx".index(axis) for axis in layout.axes[-3:]])


def samples_between(
    layout: Layout, axis: str, first_m: float | None, last_m: float | None, place: str
) -> tuple[int, int]:
    """The range of samples along an axis whose positions, the centres of their cells, lie between
    two, in metres, both included; None is the volume's end. The range may reach beyond the volume.
    Raises OptionError if it holds no sample.
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
