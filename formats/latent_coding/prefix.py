"""Prefixes of tile streams: the coefficients that come first, the others taken as zero.

A stream is read from its front, so what a prefix tells does not depend on what follows it, but for
the ends of the value range: they stand last and are taken from the whole stream (docs/format.md,
"Prefixes").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from velcodec.formats.errors import OptionError
from velcodec.formats.latent_coding.coding import TileCoding
from velcodec.formats.latent_coding.stream import LatentTables, Tiles, decode_measured, joined_tiles


@dataclass(frozen=True)
class Prefix:
    """How much of every tile's stream counts: its first `bytes`, or its first `coefficients`.

    Raises `OptionError` unless one of them is given, and is not negative.
    """

    bytes: int | None = None
    coefficients: int | None = None

    def __post_init__(self) -> None:
        given = [size for size in (self.bytes, self.coefficients) if size is not None]
        if len(given) != 1:
            raise OptionError(f"bytes and coefficients: found {len(given)} given, expected one")
        if given[0] < 0:
            raise OptionError(f"prefix: found {given[0]}, expected 0 or more")


def decode_prefixes(
    streams: Sequence[bytes], tables: LatentTables, coding: TileCoding, prefix: Prefix
) -> Tiles:
    """The tiles of some streams as a prefix of each tells them.

    Raises `CorruptError` where a whole stream is not what was written, and `OptionError` where a
    prefix has too few bytes for step and record class.
    """
    least, parts = 0, []
    for tiles, needed in decode_measured(streams, tables, coding):
        least = max(least, int(needed[:, 0].max(initial=0)))
        if prefix.bytes is not None:
            known = needed[:, 1:] <= prefix.bytes
        else:
            known = np.arange(tables.latent_size) < (prefix.coefficients or 0)
        parts.append(replace(tiles, coefficients=tiles.coefficients * known))
    if prefix.bytes is not None and prefix.bytes < least:
        raise OptionError(
            f"bytes: found {prefix.bytes}, expected at least {least} "
            "for the step and record class of every tile"
        )
    return joined_tiles(parts)
