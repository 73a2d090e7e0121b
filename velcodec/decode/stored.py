"""Models as they lie in an archive: records checked and entropy-decoded, not yet rendered.

No torch: `velcodec.decode.output` renders what is read here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.tiling import Axis, Tiling
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.record import Record, unpack_record
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import (
    ContextNetworkError,
    CorruptError,
    DecoderFileError,
    MixedShapesError,
    UnknownFeatureError,
)
from velcodec.formats.latent_coding.stream import LatentTables, TileCoding, Tiles, decode_tiles
from velcodec.formats.sample_coding.stream import (
    ExactCoding,
    ExactStream,
    SamplerName,
    decode_exact,
)

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.decoder.siren_mixture.frozen import FrozenMixture

Tables = Callable[[Header], LatentTables]
"""The frequency tables of the decoder that a header names."""

Decode = Callable[[Sequence[bytes], LatentTables, TileCoding], Tiles]
"""How tile streams are decoded."""

LATENT, EXACT, BOTH = "latent", "samples", "samples and latent"
"""How a model may be stored."""

NO_TILES = Tiles(
    np.zeros((0, 0), dtype=np.int32), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0)
)


def tables_of(decoder: Decoder | FrozenMixture) -> LatentTables:
    """The frequency tables of a finished decoder; DecoderFileError for one still in training."""
    if decoder.tables is None or decoder.identity is None:
        raise DecoderFileError(
            f"decoder {decoder.name!r}: has no tables or identity yet, expected one from a file"
        )
    return decoder.tables


@dataclass(frozen=True)
class StoredModel:
    """One model as read: how the user's array lies, and its latents with their tiling (no tiles
    where it has none); `decoder_hash` tells which decoder renders them.

    `samples` (nz, nx) are there where the record has an exact stream: the native grid, in the
    user's dtype and units; `sampler` is what renders them elsewhere. `absent` (nz, nx) tells which
    samples are, whatever the latents and `samples` say there; None where all are there.
    """

    layout: Layout
    tiling: Tiling
    tiles: Tiles
    decoder_hash: bytes
    samples: NDArray[np.generic] | None = None
    sampler: SamplerName | None = None
    absent: NDArray[np.bool_] | None = None

    @property
    def has_latent(self) -> bool:
        """Whether it has a latent, alone or beside samples."""
        return len(self.tiles.step) > 0

    def is_native(self, res: tuple[int, int] | None) -> bool:
        """Whether a rendering at `res` is on the model's own grid."""
        return res in (None, (self.layout.nz, self.layout.nx))

    def grid(self, res: tuple[int, int] | None) -> tuple[int, int]:
        """(nz, nx) of a rendering: `res`, or the model's native grid."""
        return res or (self.tiling.z.samples, self.tiling.x.samples)


def read_record(reader: RecordReader, number: int) -> tuple[Header, Record]:
    """Record `number`, its checksum and structure checked, and the header that it comes under."""
    place, header = f"{reader.name}: record {number}", reader.header_of(number)
    return header, unpack_record(reader.payload(number), header, place)


def stored_as(record: Record) -> str:
    """LATENT, EXACT or BOTH."""
    return LATENT if record.exact is None else BOTH if record.streams else EXACT


def stored_layout(reader: RecordReader, number: int) -> Layout:
    """The layout of record `number`, which is read only where its header has several."""
    layouts = reader.header_of(number).layouts
    return layouts[0 if len(layouts) == 1 else read_record(reader, number)[1].layout]


def layout_and_way(reader: RecordReader, number: int) -> tuple[Layout, str]:
    """The layout of record `number`, and how it is stored; it is read only where its header leaves
    that open.
    """
    header = reader.header_of(number)
    if len(header.layouts) == 1 and not header.exact:
        return header.layouts[0], LATENT
    _, record = read_record(reader, number)
    return header.layouts[record.layout], stored_as(record)


def read_models(
    reader: RecordReader,
    tables: Tables,
    numbers: Sequence[int],
) -> list[StoredModel]:
    """Read some models, their latents' streams decoded together, for which alone `tables` is asked.

    Raises CorruptError, ContextNetworkError.
    """
    found = []
    for number, read in zip(numbers, read_latents(reader, tables, numbers), strict=True):
        header, record, model = read
        if header.exact is not None and record.exact is not None:
            place = f"{reader.name}: record {number}"
            samples = _samples(place, record.exact, model.layout, header.exact)
            model = replace(model, samples=samples, sampler=header.exact.sampler)
        found.append(model)
    return found


def read_latents(
    reader: RecordReader,
    tables: Tables,
    numbers: Sequence[int],
    decode: Decode = decode_tiles,
) -> list[tuple[Header, Record, StoredModel]]:
    """Read some records and their latents, as `decode` decodes their streams; no samples.

    Raises CorruptError, and what `decode` raises.
    """
    read = [read_record(reader, number) for number in numbers]
    return decode_records(read, tables, [f"{reader.name}: record {n}" for n in numbers], decode)


def decode_records(
    read: Sequence[tuple[Header, Record]],
    tables: Tables,
    places: Sequence[str],
    decode: Decode = decode_tiles,
) -> list[tuple[Header, Record, StoredModel]]:
    """The latents of records, those under one header decoded together; `places` name them."""
    under: dict[int, list[int]] = {}
    for row, (header, _) in enumerate(read):
        under.setdefault(id(header), []).append(row)
    found: list[tuple[Header, Record, StoredModel] | None] = [None] * len(read)
    for rows in under.values():
        header = read[rows[0]][0]
        streams = [stream for row in rows for stream in read[row][1].streams]
        tiles = NO_TILES
        if streams:
            try:
                tiles = decode(streams, tables(header), header.coding)
            except CorruptError as error:
                raise CorruptError(f"{places[rows[0]]} and later: {error}") from error
        at = 0
        for row in rows:
            record = read[row][1]
            layout = header.layouts[record.layout]
            rows_of_tiles = slice(at, at + len(record.streams))
            own = take_tiles(tiles, rows_of_tiles) if record.streams else NO_TILES
            at += len(record.streams)
            tiling = _tiling(places[row], record, layout)
            absent = _absent(places[row], record, layout)
            model = StoredModel(layout, tiling, own, header.decoder_hash, absent=absent)
            found[row] = header, record, model
    return [each for each in found if each is not None]


def _absent(place: str, record: Record, layout: Layout) -> NDArray[np.bool_] | None:
    if record.absent is None:
        return None
    from velcodec.formats.sample_coding.absent_mask import decode_absent

    try:
        return decode_absent(record.absent, (layout.nz, layout.nx))
    except CorruptError as error:
        raise CorruptError(f"{place}: {error}") from error


def _samples(
    place: str, stream: ExactStream, layout: Layout, coding: ExactCoding
) -> NDArray[np.generic]:
    try:
        return decode_exact(stream, coding, (layout.nz, layout.nx), np.dtype(layout.dtype))
    except (ContextNetworkError, CorruptError, UnknownFeatureError) as error:
        raise type(error)(f"{place}: {error}") from error


def _tiling(place: str, record: Record, layout: Layout) -> Tiling:
    if not record.streams:
        return Tiling(Axis(layout.nz, layout.nz, 1), Axis(layout.nx, layout.nx, 1))
    try:
        return Tiling(
            Axis(layout.nz, record.tile_nz, record.tiles_z),
            Axis(layout.nx, record.tile_nx, record.tiles_x),
        )
    except ValueError as error:
        raise CorruptError(f"{place}: {error}") from error


def check_stackable(layouts: Sequence[Layout], native: bool) -> None:
    """MixedShapesError unless arrays of these layouts stack: at their native grids, or at one
    resolution for all, where only dtype, units and axis order must agree.
    """
    kinds = {
        (lay.dtype, lay.units, lay.axes[-2:], *((lay.nz, lay.nx) if native else ()))
        for lay in layouts
    }
    if len(kinds) > 1:
        found = sorted({f"{lay.nz}x{lay.nx} {lay.dtype} {lay.units}" for lay in layouts})
        raise MixedShapesError(
            f"models of different kinds do not stack (found {', '.join(found[:4])}): take them one "
            f"by one from velcodec.open(...){', or give one resolution for all' if native else ''}"
        )


def take_tiles(tiles: Tiles, rows: slice) -> Tiles:
    """Some rows of a batch of tiles."""
    return Tiles(tiles.coefficients[rows], tiles.step[rows], tiles.low[rows], tiles.high[rows])


def join_tiles(parts: Sequence[Tiles]) -> Tiles:
    """The tiles of several models as one batch."""
    if len(parts) == 1:
        return parts[0]
    return Tiles(
        np.concatenate([tiles.coefficients for tiles in parts]),
        np.concatenate([tiles.step for tiles in parts]),
        np.concatenate([tiles.low for tiles in parts]),
        np.concatenate([tiles.high for tiles in parts]),
    )
