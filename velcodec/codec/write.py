"""Coded models to the bytes of an archive.

It decides nothing about quality: it packs what it is given, by the writers of `velcodec.formats`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from velcodec.codec.coded import CodedModel
from velcodec.formats.record import Record, pack_record
from velcodec.formats.tile_stream import LatentTables, TileCoding, encode_tiles
from velcodec.formats.vlat import Header, VlatWriter
from velcodec.stored import NO_TILES, join_tiles
from velcodec.tiling import Int64

MODELS_AT_ONCE = 4096


@dataclass(frozen=True)
class Contents:
    """What an archive holds beside its models' tiles.

    `header` is complete but for the coding and whether models are tiled; `layout_of` (n,) numbers
    each model's layout in it; `keys` are None where the models' numbers are their keys.
    """

    header: Header
    layout_of: Int64
    keys: tuple[str, ...] | None
    tables: LatentTables
    range_step: float

    def key(self, i: int) -> str:
        """Key of model i."""
        return str(i) if self.keys is None else self.keys[i]


def archive_header(contents: Contents, models: Sequence[CodedModel]) -> Header:
    """The header with the tile coding that fits these models."""
    tiles = join_tiles([model.tiles for model in models if len(model.tiles.step)] or [NO_TILES])
    varied = tiles.high > tiles.low
    coding = TileCoding.for_tiles(tiles.low, tiles.high, tiles.step[varied], contents.range_step)
    tiled = any(model.tiling.tiles > 1 for model in models)
    return replace(contents.header, coding=coding, tiled=tiled)


def payloads(contents: Contents, header: Header, models: Sequence[CodedModel]) -> list[bytes]:
    """The record payload of every model."""
    found: list[bytes] = []
    for first in range(0, len(models), MODELS_AT_ONCE):
        some = models[first : first + MODELS_AT_ONCE]
        latents = [model.tiles for model in some if len(model.tiles.step)]
        streams = (
            encode_tiles(join_tiles(latents), contents.tables, header.coding) if latents else []
        )
        at = 0
        for i, model in enumerate(some, start=first):
            own = streams[at : at + len(model.tiles.step)]
            at += len(own)
            z, x = model.tiling.z, model.tiling.x
            record = Record(
                int(contents.layout_of[i]), z.tiles, x.tiles, z.size, x.size, own, model.exact
            )
            found.append(pack_record(record, header))
    return found


def write_archive(stream: BinaryIO, contents: Contents, models: Sequence[CodedModel]) -> Header:
    """Write the whole archive to `stream`, from front to back; its header."""
    header = archive_header(contents, models)
    writer = VlatWriter(stream, header)
    for i, payload in enumerate(payloads(contents, header, models)):
        writer.add(payload, key=None if contents.keys is None else contents.keys[i])
    writer.close()
    return header


def archive_bytes(contents: Contents, models: Sequence[CodedModel]) -> bytes:
    """The whole archive as bytes."""
    stream = io.BytesIO()
    write_archive(stream, contents, models)
    return stream.getvalue()
