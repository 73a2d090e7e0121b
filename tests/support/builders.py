"""Small tables, tiles, archives and decoder files for tests of the formats."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from velcodec.formats.container.block import BlockId, pack_block
from velcodec.formats.container.framing import START
from velcodec.formats.container.header import Header, Layout, Source
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.sections import HEADER, OPENING, pack_section, read_section
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.decoder_file import DecoderFile, to_bytes
from velcodec.formats.latent_coding.stream import TileCoding, Tiles, encode_tiles
from velcodec.formats.latent_coding.tables import TOTAL, LatentTables, integer_frequencies
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK
from velcodec.formats.storage.source import ByteSource

HASH = bytes(range(32))
STEPS = 3
SAMPLER = 1
"""A sampler that does not exist: native grids need none."""


def tables(size: int = 4, limit: int = 3, classes: int = 2) -> LatentTables:
    """Tables of `size` coefficients, symbols up to `limit`, and a row peaked at zero for each class
    and step.
    """
    count = classes * STEPS
    symbols = 2 * limit + 2
    peak = np.arange(1, count + 1)[:, None] * 40 // (1 + np.abs(np.arange(symbols) - limit)) ** 2
    rows = np.stack([integer_frequencies(row) for row in peak]).astype(np.uint16)
    which = np.arange(count, dtype=np.uint8).reshape(classes, STEPS, 1).repeat(size, axis=2)
    shares = np.full(classes, TOTAL // classes, dtype=np.uint16)
    return LatentTables(rows, which, shares)


def tiles(
    coefficients: Sequence[Sequence[int]], step: Sequence[int], low: Sequence[float],
    high: Sequence[float],
) -> Tiles:  # fmt: skip
    """A batch of tiles from plain lists; four coefficients each if it is empty."""
    return Tiles(
        np.array(coefficients or np.zeros((0, 4)), dtype=np.int32),
        np.array(step, dtype=np.int64),
        np.array(low, dtype=np.float64),
        np.array(high, dtype=np.float64),
    )


def random_tiles(n: int, size: int = 4, seed: int = 0) -> Tiles:
    """n tiles, some constant, some off the grid, some with escapes."""
    rng = np.random.default_rng(seed)
    low = rng.integers(1400, 2000, n).astype(np.float64)
    high = low + rng.integers(0, 4, n) * 250.0
    low[::7] -= 1 / 3
    coefficients = rng.integers(-5, 6, (n, size)).astype(np.int32)
    return Tiles(
        coefficients * (high > low)[:, None],
        rng.integers(0, STEPS, n) * (high > low),
        low,
        high,
    )


def coding_for(batch: Tiles, range_step: float = 1.0) -> TileCoding:
    """The coding that a writer chooses."""
    return TileCoding.for_tiles(
        batch.low, batch.high, batch.step[batch.high > batch.low], range_step
    )


def header(coding: TileCoding | None = None, **fields: object) -> Header:
    """A small header; `fields` replace its fields."""
    about: dict[str, object] = {
        "decoder_hash": HASH,
        "decoder_name": "tiny",
        "layouts": (Layout(70, 70),),
        "coding": coding or TileCoding(1500.0, 1.0, 12, {0: TOTAL}),
    }
    return Header(**(about | fields))  # type: ignore[arg-type]


def exact_coding(*domains: Domain) -> ExactCoding:
    """The exact coding of some domains."""
    return ExactCoding(EXACT_NETWORK, domains, SAMPLER)


def opening(body: bytes | None = None) -> bytes:
    """The beginning of an archive: signature, version and the first header's section."""
    return START + pack_section(HEADER, bytes(OPENING) + (body or header().to_bytes()))


def stamp_of(data: bytes) -> bytes:
    """The stamp of an archive with this beginning."""
    return read_section(ByteSource(data), len(START), HEADER, "header").checksum


def entry_of(data: bytes, number: int, payload: bytes, header_number: int = 0) -> bytes:
    """A block of one record as stored in an archive with this beginning."""
    return pack_block(BlockId(stamp_of(data), number, header_number), [payload])


@contextmanager
def records_apart(apart: bool = True) -> Iterator[None]:
    """Within this context every record is written as a block of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if apart:
            writer = "velcodec.formats.container.writer."
            patch.setattr(
                writer + "blocks_of", lambda sizes, _: (slice(i, i + 1) for i in range(len(sizes)))
            )
            patch.setattr(writer + "is_full", lambda _: True)
        yield


def archive(
    payloads: Sequence[bytes], head: Header | None = None, *, keys: Sequence[str] | None = None,
    quality: Sequence[StoredQuality] | None = None, apart: bool = False,
) -> bytes:  # fmt: skip
    """The bytes of an archive of these payloads; each in a block of its own if they are `apart`."""
    stream = io.BytesIO()
    with records_apart(apart):
        writer = VlatWriter(stream, head or header())
        for i, payload in enumerate(payloads):
            writer.add(
                payload,
                key=None if keys is None else keys[i],
                quality=None if quality is None else quality[i],
            )
        writer.close()
    return stream.getvalue()


def tile_archive(n: int = 3) -> tuple[bytes, Tiles, LatentTables]:
    """An archive of n models of one tile each, its tiles, and the tables to read them."""
    batch, own = random_tiles(n), tables()
    coding = coding_for(batch)
    head = header(coding, source=Source.of(hashlib.sha256(b"source").digest()), provenance="drawn")
    return archive(encode_tiles(batch, own, coding), head), batch, own


def decoder_file() -> DecoderFile:
    """A decoder file with a tensor of each dtype."""
    arrays: dict[str, NDArray[np.generic]] = {
        "weight": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
        "half": np.ones(3, dtype=np.float16),
        "scalar": np.array(2.5),
        "count": np.array([1, -2], dtype=np.int64),
        "small": np.array([7], dtype=np.int32),
        **{f"latent.{name}": value for name, value in tables(2, 1, 1).to_tensors().items()},
    }
    return DecoderFile({"architecture": "tiny", "omega_0": 30.0}, arrays, {"name": "tiny"})


def decoder_bytes() -> bytes:
    """The bytes of `decoder_file`."""
    return to_bytes(decoder_file())
