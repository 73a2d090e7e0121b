"""Reading stored models: records are checked and entropy-decoded, but not rendered.

`velcodec.decode.output` renders them. Never imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.tiling import Axis, Tiling
from velcodec.decode.volumes import layout_of_record, open_volume
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.record import Record, unpack_record
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import (
    ContextNetworkError,
    CorruptError,
    DecoderFileError,
    MixedShapesError,
    UnknownFeatureError,
    VolumeError,
)
from velcodec.formats.latent_coding.stream import LatentTables, TileCoding, Tiles, decode_tiles
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.stream import ExactStream, decode_exact
from velcodec.parallel import in_threads

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.decoder.siren_mixture.frozen import FrozenMixture

Tables = Callable[[Header], LatentTables]
"""The frequency tables of the decoder that a header names."""

Decode = Callable[[Sequence[bytes], LatentTables, TileCoding], Tiles]
"""A function that decodes tile streams."""

LATENT, EXACT, BOTH = "latent", "samples", "samples and latent"
"""The kinds of storage."""

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
    """One model as read: the layout of the user's array, and the latents with their tiling (no
    tiles without a latent), rendered by the decoder of hash `decoder_hash`.

    `samples` (nz, nx) on the native grid, in the user's dtype and units, or None if the record has
    no exact stream; `sampler` renders them on other grids. `absent` (nz, nx) marks absent samples,
    whose latents and `samples` mean nothing; None if no sample is absent.
    """

    layout: Layout
    tiling: Tiling
    tiles: Tiles
    decoder_hash: bytes
    samples: NDArray[np.generic] | None = None
    sampler: int | None = None
    absent: NDArray[np.bool_] | None = None

    @property
    def has_latent(self) -> bool:
        """Whether the model has a latent, alone or beside samples."""
        return len(self.tiles.step) > 0

    def is_native(self, res: tuple[int, int] | None) -> bool:
        """Whether a rendering at `res` is on the model's native grid."""
        return res in (None, (self.layout.nz, self.layout.nx))

    def grid(self, res: tuple[int, int] | None) -> tuple[int, int]:
        """(nz, nx) of a rendering: `res`, or the model's native grid."""
        return res or (self.tiling.z.samples, self.tiling.x.samples)


def read_record(reader: RecordReader, number: int) -> tuple[Header, Record]:
    """The header of record `number`, and the record, its checksum and structure checked."""
    place, header = f"{reader.name}: record {number}", reader.header_of(number)
    return header, unpack_record(reader.payload(number), header, place)


def stored_as(record: Record) -> str:
    """The record's kind of storage: LATENT, EXACT or BOTH."""
    if record.bricks is not None:
        return EXACT
    return LATENT if record.exact is None else BOTH if record.streams else EXACT


def stored_layout(reader: RecordReader, number: int) -> Layout:
    """The layout of record `number`, which is read only if its header has several layouts."""
    header = reader.header_of(number)
    layouts = header.layouts
    if len(layouts) > 1 and header.has_volumes:
        return layout_of_record(reader, number, header)[0]  # volumes are not read for it
    return layouts[0 if len(layouts) == 1 else read_record(reader, number)[1].layout]


def absent_samples(reader: RecordReader, number: int) -> int:
    """Number of absent samples in record `number`. The record is read only if its header allows
    absent samples; no samples are decoded.
    """
    if all(layout.no_data is None for layout in reader.header_of(number).layouts):
        return 0
    if reader.header_of(number).has_volumes and stored_layout(reader, number).is_volume:
        return int(open_volume(reader, number).table.absent.sum())
    header, record = read_record(reader, number)
    absent = _absent(f"{reader.name}: record {number}", record, header.layouts[record.layout])
    return 0 if absent is None else int(np.count_nonzero(absent))


def layout_and_storage(reader: RecordReader, number: int) -> tuple[Layout, str]:
    """The layout and the kind of storage of record `number`, which is read only if its header does
    not tell.
    """
    header = reader.header_of(number)
    if len(header.layouts) == 1 and not header.exact:
        return header.layouts[0], LATENT
    if header.has_volumes and (layout := stored_layout(reader, number)).is_volume:
        return layout, EXACT
    _, record = read_record(reader, number)
    return header.layouts[record.layout], stored_as(record)


def read_models(
    reader: RecordReader,
    tables: Tables,
    numbers: Sequence[int],
) -> list[StoredModel]:
    """Read some models, decoding their latents together. `tables` is called only for latents.

    Raises CorruptError, ContextNetworkError.
    """
    read = read_latents(reader, tables, numbers)

    def with_samples(row: int) -> StoredModel:
        header, record, model = read[row]
        if header.exact is None or record.exact is None:
            return model
        place = f"{reader.name}: record {numbers[row]}"
        samples = _samples(place, record.exact, model.layout, header.exact)
        return replace(model, samples=samples, sampler=header.exact.sampler)

    return [model for _, model in in_threads(with_samples, range(len(read)))]


def read_latents(
    reader: RecordReader,
    tables: Tables,
    numbers: Sequence[int],
    decode: Decode = decode_tiles,
) -> list[tuple[Header, Record, StoredModel]]:
    """Read some records and their latents, whose streams `decode` decodes; no samples.

    Raises CorruptError, and whatever `decode` raises.
    """
    read = [read_record(reader, number) for number in numbers]
    return decode_records(read, tables, [f"{reader.name}: record {n}" for n in numbers], decode)


def decode_records(
    read: Sequence[tuple[Header, Record]],
    tables: Tables,
    places: Sequence[str],
    decode: Decode = decode_tiles,
) -> list[tuple[Header, Record, StoredModel]]:
    """The latents of records, decoded together for each header; `places` name the records in
    errors.
    """
    by_header: dict[int, list[int]] = {}
    for row, (header, _) in enumerate(read):
        by_header.setdefault(id(header), []).append(row)
    decoded: list[tuple[Header, Record, StoredModel] | None] = [None] * len(read)
    for rows in by_header.values():
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
            if layout.is_volume:
                raise VolumeError(
                    f"{places[row]}: found a volume of {' x '.join(map(str, layout.shape))}, "
                    "expected a section: take one by velcodec slice (archive.section)"
                )
            rows_of_tiles = slice(at, at + len(record.streams))
            tiles_of_model = take_tiles(tiles, rows_of_tiles) if record.streams else NO_TILES
            at += len(record.streams)
            tiling = _tiling(places[row], record, layout)
            absent = _absent(places[row], record, layout)
            model = StoredModel(layout, tiling, tiles_of_model, header.decoder_hash, absent=absent)
            decoded[row] = header, record, model
    return [each for each in decoded if each is not None]


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


def x_first(layout: Layout) -> bool:
    """Whether the user's arrays of this layout are [x, z]."""
    return layout.axes.endswith("xz")


def check_stackable(layouts: Sequence[Layout], native: bool) -> None:
    """Raise MixedShapesError unless arrays of these layouts stack: on their `native` grids, or at
    one resolution, where only dtype, units and axis order must agree.
    """
    kinds = {
        (lay.dtype, lay.units, lay.axes.lstrip("n1"), *(lay.shape if native else ()))
        for lay in layouts
    }
    if len(kinds) > 1:
        found = sorted(
            {f"{'x'.join(map(str, lay.shape))} {lay.dtype} {lay.units}" for lay in layouts}
        )
        if len({lay.is_volume for lay in layouts}) > 1:
            raise MixedShapesError(
                f"sections and volumes do not stack (found {', '.join(found[:4])}): take them one "
                "by one from velcodec.open(...), or some of them (--models, velcodec.subset)"
            )
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
