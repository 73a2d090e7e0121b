"""Makes the rest of the golden corpus: latents of all kinds, metadata of all kinds, samples in all
dtypes, shards; and what they decode to. Files that are there already are never made anew.

    python tests/golden/make_corpus.py

`exact/` is made by `make_exact.py`, `two_models.vlat` by `make_golden.py`.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from corpus import GOLDEN, LATENTS, METADATA, SHARDS, digest, jsonable, sha_of

import velcodec
from velcodec import synth
from velcodec.decode.stored import tables_of
from velcodec.decode.tiling import Axis, Tiling
from velcodec.decoder import (
    ConcatConfig,
    Decoder,
    MixtureConfig,
    SirenConcat,
    SirenMixture,
    load_decoder,
    read_decoder,
)
from velcodec.decoder.file import pack
from velcodec.formats.container.append import append_to
from velcodec.formats.container.header import Header, Layout, Source
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.record import Record, pack_record
from velcodec.formats.container.shards import Shard, write_manifest
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.decoder_file import to_bytes
from velcodec.formats.latent_coding.stream import TileCoding, Tiles, encode_tiles
from velcodec.formats.latent_coding.tables import TOTAL, LatentTables, integer_frequencies
from velcodec.formats.sample_coding.coders import BLENDED
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK
from velcodec.formats.sample_coding.prediction.blended import encode_blended
from velcodec.formats.sample_coding.stream import ExactStream
from velcodec.sampler.form import NEWEST_SAMPLER
from velcodec.train.contexts import resampled

SAMPLES = GOLDEN / "samples"
OTHER_GRID = 17, 13
"""Renderings are kept at the native grid and at this one."""

FINE = 25
"""Step indices of the velcodec decoders beyond which a coefficient of many steps is a small one."""


def drawn(decoder: Decoder, steps: Sequence[int], seed: int, low: float = 1500.0) -> Tiles:
    """Tiles of these steps, coefficients as the tables expect them, one of them an escape where the
    step is fine; every range kind in turn but those of constant tiles.
    """
    random, tables = np.random.default_rng(seed), tables_of(decoder)
    rows = tables.frequencies[tables.classes[0, list(steps)]].astype(np.float64)
    rows[..., -1] = 0.0
    share = rows.cumsum(axis=2) / rows.sum(axis=2, keepdims=True)
    found = (random.random((*rows.shape[:2], 1)) > share).sum(axis=2) - tables.limit
    found[np.array(steps) > FINE, -1] = -(tables.limit + 6)
    n = np.arange(len(steps))
    lows = low + 40.0 * n + np.choose(n % 3, [0.0, 1 / 64, 1 / 3])
    highs = lows + 1800.0 + np.choose(n % 3, [200.0, 3 / 32, np.pi])
    return Tiles(found.astype(np.int32), np.array(steps), lows, highs)


def constant(tiles: Tiles, which: int, value: float) -> Tiles:
    """The tiles, one of them constant."""
    for column, own in ((tiles.coefficients, 0), (tiles.step, 0), (tiles.low, value)):
        column[which] = own
    tiles.high[which] = value
    return tiles


def records(
    tiles: Tiles, decoder: Decoder, tilings: Sequence[Tiling], about: dict[str, Any],
    layouts: Sequence[Layout], layout_of: Sequence[int] | None = None,
) -> tuple[Header, list[bytes]]:  # fmt: skip
    """The header and payloads of models of these tilings, tile by tile from `tiles`."""
    varied = tiles.high > tiles.low
    coding = TileCoding.for_tiles(tiles.low, tiles.high, tiles.step[varied], 1.0)
    tiled = any(tiling.tiles > 1 for tiling in tilings)
    head = Header(
        decoder.identity or b"", decoder.name, tuple(layouts), coding, tiled=tiled, **about
    )
    streams, payloads = encode_tiles(tiles, tables_of(decoder), coding), []
    for number, tiling in enumerate(tilings):
        own, streams = streams[: tiling.tiles], streams[tiling.tiles :]
        layout = layout_of[number] if layout_of else 0
        record = Record(layout, tiling.z.tiles, tiling.x.tiles, *tiling.tile_shape, own)
        payloads.append(pack_record(record, head))
    return head, payloads


def one_tile(nz: int, nx: int) -> Tiling:
    return Tiling(Axis(nz, nz, 1), Axis(nx, nx, 1))


def archive(head: Header, payloads: Sequence[bytes], decoder: bytes | None = None) -> bytes:
    stream = io.BytesIO()
    writer = VlatWriter(stream, head, decoder=decoder)
    writer.add_many(payloads)
    writer.close()
    return stream.getvalue()


def tiny(kind: str, seed: int) -> tuple[Decoder, bytes]:
    """A decoder of random weights and small tables, and its file."""
    torch.manual_seed(seed)
    decoder: Decoder
    if kind == "mixture":
        decoder = SirenMixture(MixtureConfig(8, 2, 4, 3, 1, 4, 3, omega_0=8.0))
    else:
        decoder = SirenConcat(ConcatConfig(12, 2, 6.0, kind))
        with torch.no_grad():
            decoder.first.weight[:, 2:] *= 20
            decoder.output.weight *= 4
    decoder = decoder.freeze_()
    decoder.steps = torch.tensor([0.5, 0.25, 0.125])
    decoder.default_step = 1
    peak = np.arange(1, 7)[:, None] * 40 // (1 + np.abs(np.arange(8) - 3)) ** 2
    rows = np.stack([integer_frequencies(row) for row in peak]).astype(np.uint16)
    which = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(256, axis=2)
    decoder.tables = LatentTables(rows, which, np.full(2, TOTAL // 2, dtype=np.uint16))
    file = to_bytes(pack(decoder, {"name": f"tiny-{kind}"}))
    return read_decoder(file), file


# Latents


def steps_archive() -> bytes:
    """Models of one tile at steps from coarse ones to the finest, every kind of range."""
    decoder = load_decoder("velcodec-2")
    tiles = drawn(decoder, [4, 8, 12, 20, 30, 40, 12, 12], seed=1)
    tiles = constant(constant(tiles, 6, 2000.5), 7, 1500 + 1 / 3)
    return archive(*records(tiles, decoder, [one_tile(16, 14)] * 8, {}, [Layout(16, 14)]))


def tiles_archive() -> bytes:
    """Models of one, of many and of overlapping tiles, one of them constant."""
    decoder = load_decoder("velcodec-2")
    tilings = [
        one_tile(30, 40),
        Tiling(Axis(30, 17, 2), Axis(40, 16, 3)),
        Tiling(Axis(30, 30, 1), Axis(40, 25, 2)),
        Tiling(Axis(30, 11, 4), Axis(40, 40, 1)),
    ]
    count = sum(tiling.tiles for tiling in tilings)
    tiles = constant(drawn(decoder, [8 + i % 9 for i in range(count)], seed=2), 4, 1800.0)
    return archive(*records(tiles, decoder, tilings, {}, [Layout(30, 40)]))


def layouts_archive() -> bytes:
    """Arrays of all axes, dtypes, units, spacings and origins in one archive."""
    decoder = load_decoder("velcodec-2")
    axes = ("zx", "nzx", "n1zx", "xz", "nxz", "n1xz")
    dtypes = ("<f4", ">f4", "<f8", ">f8", "<i2", ">i2", "<i4", "<i8", "<u2", ">u4", "<u8", "<i4")
    layouts = [
        Layout(
            9 + i, 14 - i, axes[i % 6], dtype, "km/s" if dtype[1] == "f" and i % 2 else "m/s",
            10.0 + i / 2, 5.0, -100.0 * i, 0.0 if i < 3 else 12.5,
        )
        for i, dtype in enumerate(dtypes)
    ]  # fmt: skip
    tilings = [one_tile(layout.nz, layout.nx) for layout in layouts]
    tiles = drawn(decoder, [14] * len(layouts), seed=3)
    numbers = list(range(len(layouts)))
    return archive(*records(tiles, decoder, tilings, {}, layouts, numbers))


def embedded_archive() -> bytes:
    """Three decoders embedded, models of each, under a header of their own."""
    stream, writer = io.BytesIO(), None
    for seed, kind in enumerate(("mixture", "sine", "relu")):
        decoder, file = tiny(kind, seed)
        tiles = drawn(decoder, [0, 1, 2], seed=5 + seed)
        head, payloads = records(
            tiles, decoder, [one_tile(12, 15)] * 3, {"provenance": kind}, [Layout(12, 15)]
        )
        writer = writer or VlatWriter(stream, head)
        writer.embed(file)
        writer.use(head)
        writer.add_many(payloads)
    assert writer is not None
    writer.close()
    return stream.getvalue()


# Metadata


def plain(count: int = 12, **about: Any) -> tuple[Header, list[bytes]]:
    """Constant models, of few bytes each."""
    decoder = load_decoder("velcodec-2")
    levels = 1500.0 + np.arange(count)
    tiles = Tiles(
        np.zeros((count, 256), np.int32), np.zeros(count, np.int64), levels, levels.copy()
    )
    return records(tiles, decoder, [one_tile(3, 2)] * count, about, [Layout(3, 2)])


def columns(count: int) -> dict[str, Any]:
    """A field of every dtype, the known names, texts of one, two and three kinds."""
    i = np.arange(count)
    numbers = {
        dtype: (i * 7 - (0 if dtype[-2] in "ub" else 20)).astype(dtype)
        for dtype in ("<f8", "<f4", "<i8", "<i4", "<i2", "<u8", "<u4", "<u2", "|i1", "|u1")
    }
    return {
        **numbers,
        "|b1": i % 2 == 0,
        "family": [f"family {k % 3}" for k in range(count)],
        "crs": ["EPSG:32631"] * count,
        "file": [f"Modèl_{k}.npy" for k in range(count)],
        "dx_m": np.where(i % 2, 12.5, np.nan),
        "dz_m": 5.0 + i,
        "origin_x_m": 1000.0 * i,
        "origin_z_m": np.zeros(count),
        "min_m_s": 1500.0 + i,
        "max_m_s": 1500.0 + i,
    }


def fields_archive() -> bytes:
    """Keys, measured figures and all fields; everything that a header can say."""
    about = {
        "source": Source.of(hashlib.sha256(b"source").digest()),
        "provenance": "drawn",
        "licence": "CC0-1.0",
        "user": {"crew": 7, "notes": ["\u03b1", None, 2.5, {"deep": True}], "blob": b"\x00\xff"},
    }
    head, payloads = plain(**about)
    stream = io.BytesIO()
    writer = VlatWriter(stream, head)
    quality = [StoredQuality(20.0 + 7 * i, 0.3 * i, 2.0**i, i / 3) for i in range(len(payloads))]
    quality[-1] = StoredQuality(100.0, 0.0, 0.0, np.nan)
    keys = [f"line {i}/Δ" for i in range(len(payloads))]
    writer.add_many(payloads, keys, quality, columns(len(payloads)))
    writer.close()
    return stream.getvalue()


def facts_archive() -> bytes:
    """Facts of models as a whole, under two headers: all of them, and what remains without some."""
    about = {
        "title": "Layers Δ", "creator": "A. Maker", "citation": "Maker (2024)",
        "doi": "10.5281/zenodo.1", "crs": "EPSG:32631", "vertical": "elevation",
        "datum": "mean sea level",
    }  # fmt: skip
    head, payloads = plain(4, about=about, licence="CC-BY-4.0", software=(0, 1, 0))
    later = {"vertical": "time", "epoch": 2010.5}
    stream = io.BytesIO()
    writer = VlatWriter(stream, head)
    writer.add_many(payloads[:2])
    writer.use(replace(head, about=later, software=(1, 20, 30)))
    writer.add_many(payloads[2:3])
    writer.use(replace(head, about={}, software=()))
    writer.add_many(payloads[3:])
    writer.close()
    return stream.getvalue()


def many_archive() -> bytes:
    """5,000 models in two pages, whose fields differ; the second page alone has figures."""
    head, payloads = plain(5000)
    stream = io.BytesIO()
    writer = VlatWriter(stream, head)
    writer.add_many(payloads[:4000], [f"a{i}" for i in range(4000)])
    writer.end_page()
    rest = len(payloads) - 4000
    writer.add_many(
        payloads[4000:], [f"b{i}" for i in range(rest)],
        [StoredQuality(30.0 + i % 20, 1.0, 5.0, 1.0) for i in range(rest)],
        {"site": [f"site {i % 300}" for i in range(rest)], "depth": np.arange(rest) / 4},
    )  # fmt: skip
    writer.close()
    return stream.getvalue()


def journal_archive() -> bytes:
    """Pages behind their records, notes of the writer, a large payload, a `U`."""
    head, payloads = plain(6)
    other = replace(head, provenance="other", extra={"zone": [1, "a"]})
    stream = io.BytesIO()
    writer = VlatWriter(stream, head, journal=True)
    for number, payload in enumerate(payloads):
        writer.use(other if number in (2, 3) else head)
        writer.note(b"n", b"what comes next")
        writer.add(payload)
        if number % 2:
            writer.end_page()
    writer.close()
    return stream.getvalue()


def ancillary_archive() -> bytes:
    """Sections and keys of a later version, that may be passed over."""
    head, payloads = plain(3, extra={"zone": {"utm": 31}})
    stream = io.BytesIO()
    writer = VlatWriter(stream, head)
    writer.attach(b"x", b"a picture")
    writer.add_many(payloads[:1])
    writer.attach(b"t", bytes(300))
    writer.add_many(payloads[1:])
    writer.close()
    return stream.getvalue()


def appended_archive() -> bytes:
    """Two additions to an archive, and the beginning of a third that was never finished."""
    head, payloads = plain(6)
    return added(archive(head, payloads[:2]), head, payloads) + b"\x0avlt\n and no more"


def appended_behind_archive() -> bytes:
    """Two additions to an archive whose first records, and so the page inside its first directory,
    stand behind another section.
    """
    head, payloads = plain(6)
    stream = io.BytesIO()
    writer = VlatWriter(stream, head)
    writer.attach(b"x", b"a section before the records")
    writer.add_many(payloads[:2])
    writer.close()
    return added(stream.getvalue(), head, payloads)


def added(data: bytes, head: Header, payloads: list[bytes]) -> bytes:
    """An archive of two records with two more of these, and two under another header."""
    path = METADATA / "appended.tmp"
    path.write_bytes(data)
    for first, about in ((2, head), (4, replace(head, licence="CC0-1.0"))):
        with append_to(path) as writer:
            writer.use(about)
            writer.add_many(payloads[first : first + 2])
    data = path.read_bytes()
    path.unlink()
    return data


def empty_archive() -> bytes:
    """No model at all."""
    return archive(plain(1)[0], [])


# Samples


def in_dtype(dtype: str) -> Callable[[], bytes]:
    def make() -> bytes:
        models = synth.draw("flatfault_a", 7, 0, 2).render(14, 12).numpy().astype(np.float64)
        if dtype[-2] == "f":
            return velcodec.compress((models / 1000).astype(dtype), lossless=True, units="km/s")
        whole = np.rint(models / (100 if dtype[-1] == "1" else 1)) - (20 if dtype[-2] == "i" else 0)
        return velcodec.compress(whole.astype(dtype), lossless=True)

    return make


def tall_archive() -> bytes:
    """More samples down than the context network has rows."""
    models = np.full((1, 1000, 3), 1500.0, dtype=np.float32)
    models[:, 600:] = 2500
    models[:, 985:, 1:] = 4000
    return velcodec.compress(models, lossless=True)


def mean_error_archive() -> bytes:
    """Layers, clean and resampled, whose errors count in the mean, in steps of several sizes."""
    random = np.random.default_rng(5)
    clean = synth.draw("curvefault_a", 9, 0, 4).render(48, 50).numpy()
    models = np.concatenate([clean, np.stack([resampled(model, random) for model in clean])])
    return velcodec.compress(models, bytes_per_model=150, effort=1)


def smooth_archive(**promise: Any) -> Callable[[], bytes]:
    """Smooth models, which mixed decisions or the DCT are shortest for."""

    def make() -> bytes:
        return velcodec.compress(synth.draw("style_a", 9, 0, 2).render(31, 28).numpy(), **promise)

    return make


def turned_archive() -> bytes:
    """[x, z] in km/s with latents beside the samples."""
    models = synth.draw("curvevel_a", 9, 0, 2).render(20, 24).numpy() / 1000
    return velcodec.compress(
        models.swapaxes(1, 2), order="xz", units="km/s", max_error=25.0, keep_latent=True
    )


def volume_archive(family: str, order: str = "zyx", **about: Any) -> Callable[[], bytes]:
    """A generated volume of several bricks, the last of each row smaller."""

    def make() -> bytes:
        from velcodec.encode import volume_coder

        edges, volume_coder.BRICK = volume_coder.BRICK, (8, 8, 8)
        try:
            drawn = synth.volumes(family, 1, 5, (12, 11, 10))
            if about.get("mask") == "nan":  # whole bricks, and parts of some
                drawn[:, :5, :, :6] = drawn[:, :9, :8, 8:] = drawn[:, 11, 9] = np.nan
            models = drawn.transpose(0, *(1 + "zyx".index(axis) for axis in order))
            return velcodec.compress(models, volume=True, order=order, dy=25.0, **about)
        finally:
            volume_coder.BRICK = edges

    return make


def tiled_archive() -> bytes:
    """Numbers beside latents of several tiles, in every domain that has integers; the latent of
    several tiles alone.
    """
    decoder = load_decoder("velcodec-2")
    tiling = Tiling(Axis(24, 15, 2), Axis(26, 16, 2))
    tiles = drawn(decoder, [9, 10, 11, 12], seed=11)
    model = synth.draw("style_a", 9, 0, 1).render(24, 26).numpy()[0]
    rounded = np.rint(model.astype(np.float64) / 50) * 50
    palette = tuple(np.unique(rounded).tolist())
    ordered = model.view(np.int32).astype(np.int64)
    base = int(ordered.min()) - 5000
    domains = (
        Domain(0, 1400.0, 2.0, 2000),
        Domain(1, base, 1.0, int(ordered.max()) - base + 5000),
        Domain(3, 0.0, 1.0, len(palette), 0, palette),
    )
    exact = ExactCoding(EXACT_NETWORK, domains, NEWEST_SAMPLER)
    coding = TileCoding.for_tiles(tiles.low, tiles.high, tiles.step, 1.0)
    head = Header(
        decoder.identity or b"", decoder.name, (Layout(24, 26),), coding, tiled=True, exact=exact
    )
    streams = encode_tiles(tiles, tables_of(decoder), coding)
    codes = [
        np.clip(np.rint((model - 1400) / 2), 0, 1999).astype(np.int64),
        ordered - base,
        np.searchsorted(palette, rounded),
    ]
    stream = io.BytesIO()
    writer = VlatWriter(stream, head)
    for number, domain in enumerate(domains):
        own = ExactStream(number, BLENDED, encode_blended(codes[number], domain.span))
        writer.add(pack_record(Record(0, 2, 2, *tiling.tile_shape, streams, own), head))
    writer.add(pack_record(Record(0, 2, 2, *tiling.tile_shape, streams), head))
    writer.close()
    return stream.getvalue()


ARCHIVES: dict[Path, dict[str, Callable[[], bytes]]] = {
    LATENTS: {
        "steps": steps_archive,
        "tiles": tiles_archive,
        "layouts": layouts_archive,
        "embedded": embedded_archive,
    },
    METADATA: {
        "fields": fields_archive,
        "facts": facts_archive,
        "many": many_archive,
        "journal": journal_archive,
        "ancillary": ancillary_archive,
        "appended": appended_archive,
        "appended-behind": appended_behind_archive,
        "empty": empty_archive,
    },
    SAMPLES: {
        **{
            name: in_dtype(dtype)
            for name, dtype in (
                ("f4", "<f4"), ("f8-big", ">f8"), ("i2", "<i2"), ("i4-big", ">i4"), ("i8", "<i8"),
                ("u1", "|u1"), ("i1", "|i1"), ("u8", "<u8"),
            )
        },
        "tall": tall_archive,
        "mean_error": mean_error_archive,
        "smooth": smooth_archive(max_error=0.5),
        "smooth-lossless": smooth_archive(lossless=True),
        "turned": turned_archive,
        "tiled": tiled_archive,
        "volume-layers": volume_archive("faulted", lossless=True),
        "volume-bound": volume_archive("gradient", "yxz", max_error=4.0),
        "volume-smooth": volume_archive("gradient", lossless=True),
        "volume-absent": volume_archive("faulted", lossless=True, mask="nan"),
    },
}  # fmt: skip


def told(path: Path) -> Any:
    """All that an archive says beside its models."""
    with VlatReader(path) as reader:
        numbers = range(len(reader))
        return jsonable(
            {
                "models": len(reader),
                "headers": [head.to_dict() for head in reader.headers()],
                "header_of": [reader.header_number(i) for i in numbers],
                "keys": reader.keys,
                "quality": reader.quality and [tuple(row) for row in reader.quality],
                "fields": [dict(row) for row in reader.fields_of(numbers)],
                "ancillary": [[kind.decode(), body] for kind, body in reader.ancillary()],
            }
        )


def renderings(path: Path) -> dict[str, np.ndarray]:
    """Every model at its native grid, and every third at another, as the user's array."""
    found = {}
    with velcodec.open(path) as opened:
        for number in range(len(opened)):
            found[f"{path.stem}/{number}"] = opened[number]
            if number % 3 == 0:
                found[f"{path.stem}/{number}/other"] = opened.decode(number, OTHER_GRID)
    return found


def main() -> None:
    """Make what is not there."""
    for folder, archives in ARCHIVES.items():
        folder.mkdir(exist_ok=True)
        for name, make in archives.items():
            path = folder / f"{name}.vlat"
            if not path.exists():
                path.write_bytes(make())
    arrays: dict[str, np.ndarray] = {}
    for name in ARCHIVES[LATENTS]:
        arrays |= renderings(LATENTS / f"{name}.vlat")
    if not (LATENTS / "renderings.npz").exists():
        np.savez_compressed(LATENTS / "renderings.npz", **arrays)
    about = {name: told(METADATA / f"{name}.vlat") for name in ARCHIVES[METADATA]}
    about["many"] = digest(about["many"])
    (METADATA / "told.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    hashes = {f"{name}.vlat": each_sha256(SAMPLES / f"{name}.vlat") for name in ARCHIVES[SAMPLES]}
    (SAMPLES / "hashes.json").write_text(json.dumps(hashes, indent=1) + "\n")
    if not (SHARDS / "manifest.json").exists():
        SHARDS.mkdir(exist_ok=True)
        head, payloads = plain(5, licence="CC0-1.0")
        shards = []
        for number, some in enumerate((payloads[:3], payloads[3:], [])):
            path = SHARDS / f"shard-{number:05d}.vlat"
            path.write_bytes(archive(head, some))
            shards.append(Shard(path.name, len(some), path.stat().st_size))
        write_manifest(SHARDS, shards)
    listed = sorted(p for p in GOLDEN.rglob("*") if p.suffix in (".vlat", ".npz", ".json"))
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(GOLDEN)}\n" for p in listed
    ]
    (GOLDEN / "SHA256SUMS").write_text("".join(lines))


def each_sha256(path: Path) -> list[str | None]:
    """Of every model that has samples."""
    with velcodec.open(path) as opened:
        kinds = opened.info()["representations"]
        assert kinds is not None
        found: list[str | None] = []
        for number in range(len(opened)):
            volume = opened.layout(number).is_volume
            exact = volume or opened._models([number])[0].samples is not None
            found.append(sha_of(opened[number]) if exact else None)
        return found


if __name__ == "__main__":
    main()
