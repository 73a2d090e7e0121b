"""What is intact of a damaged volume: bricks whose checksums hold, if that of their table does."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.record import Record, pack_record
from velcodec.formats.errors import OptionError, VelcodecError
from velcodec.formats.no_data import NAN, NoData, no_data_of
from velcodec.formats.sample_coding.domain import RAW
from velcodec.formats.storage.varint import decode_varint
from velcodec.formats.volume_coding.stream import BrickTable, pack_volume, read_table


@dataclass(frozen=True)
class IntactBricks:
    """The streams of a damaged volume's intact bricks; those of the `lost` ones are empty."""

    header: Header
    layout: Layout
    table: BrickTable
    streams: Sequence[bytes]
    lost: tuple[int, ...]

    @property
    def lost_bytes(self) -> int:
        """Bytes of the lost bricks' streams."""
        lengths = np.diff(self.table.starts)
        return int(lengths[list(self.lost)].sum())

    def filled(self, fill: NoData, place: str) -> tuple[Header, bytes]:
        """A header and a record of the intact bricks, in which the samples of the lost ones are
        absent: they have the no-data value of the layout or, if it has none, `fill`.

        Raises OptionError for a value that the samples' dtype cannot hold, or that could be taken
        for a velocity.
        """
        no_data = self.layout.no_data
        if no_data is None:
            no_data = no_data_of(fill, np.dtype(self.layout.dtype), place)
            assert no_data is not None
            self._check_outside(no_data, place)
        layout = replace(self.layout, no_data=no_data)
        header = replace(self.header, layouts=(layout,))
        absent, lost = self.table.absent.copy(), list(self.lost)
        absent[lost] = self.table.bricks.samples[lost]
        bricks = pack_volume(self.table.domain, self.table.bricks, self.streams, absent)
        record = Record(0, 0, 0, layout.nz, layout.nx, [], bricks=bricks)
        return header, pack_record(record, header)

    def _check_outside(self, no_data: NoData, place: str) -> None:
        assert self.header.exact is not None
        if isinstance(no_data, str):
            return
        domain = self.header.exact.domains[self.table.domain]
        if domain.kind == RAW:
            raise OptionError(f"{place}: fill: found {no_data} for raw samples, expected {NAN}")
        least, greatest = domain.ends(np.dtype(self.layout.dtype))
        if least <= no_data <= greatest:
            raise OptionError(
                f"{place}: fill: found {no_data}, which lies among the velocities, {least:g} to "
                f"{greatest:g}; expected a value outside"
            )


def intact_bricks(payload: bytes, header: Header, place: str) -> IntactBricks | None:
    """What is intact of a damaged record; None if it is no volume, its table is damaged, or no
    brick is intact.
    """
    which = at = 0
    try:
        if len(header.layouts) > 1:
            which, at = decode_varint(payload, 0, place)
        layout = header.layouts[which]
        if layout.ny is None or header.exact is None:
            return None
        table = read_table(
            lambda start, size: payload[at + start : at + start + size],
            (layout.nz, layout.ny, layout.nx), place, masked=layout.no_data is not None,
        )  # fmt: skip
    except (VelcodecError, IndexError):
        return None
    if table.domain >= len(header.exact.domains):
        return None
    ends = [at + int(start) for start in table.starts]
    streams = [payload[a:b] for a, b in pairwise(ends)]
    lost = {
        number
        for number, stream in enumerate(streams)
        if len(stream) != ends[number + 1] - ends[number]
        or (stream and zlib.crc32(stream) != table.checksums[number])
    }
    kept = [b"" if number in lost else stream for number, stream in enumerate(streams)]
    return IntactBricks(header, layout, table, kept, tuple(sorted(lost))) if any(kept) else None
