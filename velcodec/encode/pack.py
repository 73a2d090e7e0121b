"""Packing coded models as the records of an archive.

Decides nothing about quality: packs what it is given, with the writers of `velcodec.formats`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgpack

from velcodec.decode.stored import NO_TILES, join_tiles
from velcodec.encode.coded import CodedModel
from velcodec.formats.arrays import Int64
from velcodec.formats.container.columns import Column
from velcodec.formats.container.header import Header
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.record import Record, pack_record
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.latent_coding.coding import USUAL_CODING, TileCoding
from velcodec.formats.latent_coding.stream import LatentTables, Tiles, encode_tiles
from velcodec.formats.sample_coding.coding import ExactCoding

MODELS_AT_ONCE = 4096

RANGE_STEP_M_S = 4.0
"""Grid of the tiles' value ranges; fixed, so that the least possible size is the same for every
budget.
"""


@dataclass(frozen=True)
class Contents:
    """What an archive holds besides coded models.

    `header` lacks only the codings and whether models are tiled; `layout_of` (n,) numbers each
    model's layout in it. `keys` are None if the models' numbers, from `first` on, are their keys.
    `exact` lists all domains that streams may use; `fields` are the user's columns. `absent` has
    each model's mask stream or None, and is empty if no sample is absent.
    """

    header: Header
    layout_of: Int64
    keys: Sequence[str] | None
    tables: LatentTables
    range_step: float
    exact: ExactCoding | None = None
    first: int = 0
    fields: Mapping[str, Column] = field(default_factory=dict)
    absent: Sequence[bytes | None] = ()

    def key(self, i: int) -> str:
        """The key of model i."""
        return str(self.first + i) if self.keys is None else self.keys[i]


def archive_header(contents: Contents, models: Sequence[CodedModel]) -> Header:
    """The header, completed by the tile coding and the domains that these models need."""
    tiles = join_tiles([model.tiles for model in models if len(model.tiles.step)] or [NO_TILES])
    coding = _tile_coding(tiles, contents.range_step)
    tiled = any(model.tiling.tiles > 1 for model in models)
    exact = None
    used = _used_domains(models)
    if contents.exact is not None and used:
        domains = tuple(contents.exact.domains[number] for number in used)
        exact = replace(contents.exact, domains=domains)
    return replace(contents.header, coding=coding, tiled=tiled, exact=exact)


def _tile_coding(tiles: Tiles, range_step: float) -> TileCoding:
    """The coding of these tiles that takes the fewest bytes, those in the header included."""
    step = tiles.step[tiles.high > tiles.low]
    own = TileCoding.for_tiles(tiles.low, tiles.high, step, range_step)
    if range_step != USUAL_CODING.range_step:
        return own
    ends = tiles.low, tiles.high
    stored = 8 * len(msgpack.packb(own.to_list()))
    return USUAL_CODING if USUAL_CODING.bits(*ends, step) < own.bits(*ends, step) + stored else own


def _used_domains(models: Sequence[CodedModel]) -> list[int]:
    """Numbers of the domains that streams use, in the order of the models: which threads added
    them first must not show.
    """
    return list(dict.fromkeys(model.exact.domain for model in models if model.exact is not None))


def payloads(contents: Contents, header: Header, models: Sequence[CodedModel]) -> list[bytes]:
    """The record payload of every model."""
    packed: list[bytes] = []
    place = {number: k for k, number in enumerate(_used_domains(models))}
    for first in range(0, len(models), MODELS_AT_ONCE):
        some = models[first : first + MODELS_AT_ONCE]
        latents = [model.tiles for model in some if len(model.tiles.step)]
        streams = (
            encode_tiles(join_tiles(latents), contents.tables, header.coding) if latents else []
        )
        at = 0
        for i, model in enumerate(some, start=first):
            tile_streams = streams[at : at + len(model.tiles.step)]
            at += len(tile_streams)
            z, x = model.tiling.z, model.tiling.x
            exact = model.exact
            if exact is not None:
                exact = replace(exact, domain=place[exact.domain])
            record = Record(
                int(contents.layout_of[i]), z.tiles, x.tiles, z.size, x.size, tile_streams, exact,
                contents.absent[i] if contents.absent else None,
            )  # fmt: skip
            packed.append(pack_record(record, header))
    return packed


@dataclass(frozen=True)
class Packed:
    """Records under one header, with their columns."""

    header: Header
    payloads: list[bytes]
    keys: Sequence[str] | None
    quality: Sequence[StoredQuality] | None
    fields: Mapping[str, Column]

    def write(self, writer: VlatWriter) -> None:
        """Append the records to an archive."""
        writer.use(self.header)
        writer.add_many(self.payloads, self.keys, self.quality, self.fields)

    def to_bytes(self) -> bytes:
        """An archive of these records alone."""
        stream = io.BytesIO()
        writer = VlatWriter(stream, self.header)
        self.write(writer)
        writer.close()
        return stream.getvalue()


def pack(
    contents: Contents, models: Sequence[CodedModel], quality: Sequence[StoredQuality] | None = None
) -> Packed:
    """The records of coded models."""
    header = archive_header(contents, models)
    records = payloads(contents, header, models)
    return Packed(header, records, contents.keys, quality, contents.fields)


def archive_bytes(
    contents: Contents, models: Sequence[CodedModel], quality: Sequence[StoredQuality] | None = None
) -> bytes:
    """An archive of these models as bytes."""
    return pack(contents, models, quality).to_bytes()
