"""Small files that ask for much: made, read as a user would, and measured in a process of its own.

    python tests/support/bombs.py [NAME...]

prints what became of each as JSON: seconds of a core, MB at most, the error.
"""

from __future__ import annotations

import gc
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import zstandard

sys.path.insert(0, str(Path(__file__).parent / "formats"))

from builders import archive, exact_coding, header, opening, stamp_of

import velcodec
from velcodec.formats.container.block import MOST_RECORDS, BlockId, pack_block, pack_head
from velcodec.formats.container.columns import squeeze
from velcodec.formats.container.directory import Directory, PageEntry
from velcodec.formats.container.framing import START, pack_tail
from velcodec.formats.container.header import Layout
from velcodec.formats.container.page import Page, Run
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.scan import scan
from velcodec.formats.container.sections import DECODER, DIRECTORY, PAGE, Place, pack_section
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import VelcodecError
from velcodec.formats.sample_coding.domain import RAW, Domain
from velcodec.formats.storage.varint import encode_varint

ADDRESS_SPACE = 16 << 30
"""What takes more ends in a MemoryError, not in a machine without memory."""

MOST_SECONDS = 60

CASES: dict[str, Callable[[Path], Callable[[], Any]]] = {}


def case(make: Callable[[Path], Callable[[], Any]]) -> Callable[[Path], Callable[[], Any]]:
    """A case: makes its file, some in a folder, and returns what asks for it."""
    CASES[make.__name__] = make
    return make


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def closed(data: bytes, directory: Directory) -> bytes:
    """An archive's bytes with a directory and a tail behind them."""
    body = pack_section(DIRECTORY, directory.to_bytes(), stamp_of(data))
    return data + body + pack_tail(len(body))


def with_pages(pages: int, about: Callable[[int], dict[str, Any]], each: int = 1000) -> bytes:
    """An archive of pages of `each` one-byte records, whose mappings have `about` of their number
    beside the lengths.
    """
    data = bytearray(opening())
    stamp = stamp_of(bytes(data))
    entries, bodies = [], []
    for number in range(pages):
        at, sizes, counts = len(data), bytearray(), bytearray()
        for row in range(0, each, MOST_RECORDS):
            counts.append(min(MOST_RECORDS, each - row))
            block_id = BlockId(stamp, number * each + row, 0)
            data += pack_block(block_id, [b"\1"] * counts[-1])
            sizes.append(len(data) - at - sum(sizes))
        blocks = {"x": squeeze(bytes(sizes)), "c": squeeze(bytes(counts)), "b": number * each}
        bodies.append((at, msgpack.packb(blocks | about(number))))
    for at, body in bodies:
        section = pack_section(PAGE, body, stamp)
        entries.append(PageEntry(Place(len(data), len(section)), at, each))
        data += section
    return closed(bytes(data), Directory((), tuple(entries)))


# Directories and headers


@case
def decoder_named_often(_: Path) -> Callable[[], Any]:
    data = archive([b"a"])
    decoder = pack_section(DECODER, bytes(50_000), stamp_of(data))
    directory = replace(
        VlatReader(data).directory, decoders=(Place(len(data), len(decoder)),) * 20_000
    )
    hostile = closed(data + decoder, directory)
    return lambda: velcodec.open(hostile).reader.embedded_decoders()


def _later(count: int, first: Any, own: Callable[[int], dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    writer = VlatWriter(stream, first)
    for number in range(count):
        writer.use(replace(first, provenance=f"{number}", **own(number)))
        writer.add(b"\x00")
    writer.close()
    return stream.getvalue()


@case
def headers_of_unknown_keys(_: Path) -> Callable[[], Any]:
    first = header(extra={f"x{i}": i for i in range(62)})
    more = lambda n: {"extra": {**first.extra, "y": n}}  # noqa: E731
    hostile = _later(20_000, first, more)
    return lambda: (velcodec.open(hostile).info(), sum(1 for _ in scan(io.BytesIO(hostile))))


@case
def layouts_times_headers(_: Path) -> Callable[[], Any]:
    layouts = tuple(Layout(1 + n % 256, 1 + n // 256) for n in range(65_000))
    hostile = _later(3000, header(layouts=layouts), lambda _: {})

    def ask() -> None:
        with velcodec.open(hostile) as opened:
            opened.info()
            with suppress(VelcodecError):
                opened.decode([*range(len(opened))])
            with suppress(VelcodecError):
                list(opened.blocks())
        for model in velcodec.stream(io.BytesIO(hostile)):
            assert model.size

    return ask


@case
def tails_without_end(_: Path) -> Callable[[], Any]:
    data = opening() + bytes(1 << 20)
    while len(data) < 4 << 20:
        data += b"".join(pack_tail(len(data) + 12 * n - len(START) - 99) for n in range(256))
        data += bytes(1 << 20)
    return lambda: VlatReader(data)


# Pages


@case
def columns_of_texts(_: Path) -> Callable[[], Any]:
    text = msgpack.packb([f"{n:04}" + "a" * 4000 for n in range(1000)])
    column = ["t", 1000, b"\1" + zstd(text), squeeze(np.arange(1000, dtype="<u2").tobytes())]
    hostile = with_pages(20, lambda _: {"f": {f"f{n}": column for n in range(16)}})
    return lambda: velcodec.open(hostile).info()


@case
def columns_of_numbers(_: Path) -> Callable[[], Any]:
    column = ["<f8", b"\1" + zstd(bytes(8 * 4096))]
    hostile = with_pages(100, lambda _: {"f": {f"f{n}": column for n in range(256)}}, 4096)
    return lambda: velcodec.open(hostile).fields


@case
def columns_of_models_one_by_one(_: Path) -> Callable[[], Any]:
    text = msgpack.packb([f"{n:04}" + "a" * 4000 for n in range(1000)])
    column = ["t", 1000, b"\1" + zstd(text), squeeze(np.arange(1000, dtype="<u2").tobytes())]
    hostile = with_pages(60, lambda _: {"f": {f"f{n}": column for n in range(16)}})

    def ask() -> None:
        with velcodec.open(hostile) as opened:
            for number in range(0, len(opened), 1000):
                opened.metadata(number)

    return ask


@case
def keys_that_inflate(_: Path) -> Callable[[], Any]:
    def keys(page: int) -> dict[str, Any]:
        texts = [f"{page:05}{n:05}" + "a" * 1000 for n in range(4096)]
        return {"k": b"\1" + zstd(msgpack.packb(texts))}

    hostile = with_pages(100, keys, 4096)
    return lambda: velcodec.open(hostile).keys


# Repairs


def _repaired(folder: Path, data: bytes) -> Callable[[], Any]:
    path = folder / "a.vlat"
    path.write_bytes(data)
    return lambda: velcodec.repair(path, folder / "b.vlat", force=True)


@case
def repair_of_absent_pages(folder: Path) -> Callable[[], Any]:
    data = opening()
    stamp = stamp_of(data)
    for number in range(200):
        blocks = 1 << 10
        sizes, counts = np.full(blocks, 255), np.full(blocks, 64)
        page = Page(sizes, counts, (Run(0, blocks, 0),), first=number << 16)
        data += pack_section(PAGE, page.to_bytes(), stamp)
    return _repaired(folder, data)


@case
def repair_of_many_pages_of_one_long_record(folder: Path) -> Callable[[], Any]:
    data = opening()
    stamp = stamp_of(data)
    size = 1 << 19
    data += pack_head([size]) + bytes(size + 4)
    for number in range(20_000):
        page = Page(np.array([size + 8]), np.ones(1), (Run(0, 1, 0),), first=number)
        data += pack_section(PAGE, page.to_bytes(), stamp)
    return _repaired(folder, data)


@case
def repair_of_what_looks_like_sections(folder: Path) -> Callable[[], Any]:
    return _repaired(folder, opening() + (b"\x00P" + encode_varint(60_000)) * 200_000)


@case
def repair_of_what_looks_like_records(folder: Path) -> Callable[[], Any]:
    return _repaired(folder, opening() + pack_head([60_000]) * 200_000)


@case
def repair_of_sections_without_end_in_a_gap(folder: Path) -> Callable[[], Any]:
    """Records without a page, and between them what looks like a section up to the end."""
    data = bytearray(opening())
    stamp = stamp_of(bytes(data))
    for number in range(20_000):
        data += pack_block(BlockId(stamp, number, 0), [b"\1"]) + b"\x00n" + encode_varint(500_000)
    return _repaired(folder, bytes(data) + bytes(500_000))


@case
def repair_of_zeros(folder: Path) -> Callable[[], Any]:
    return _repaired(folder, opening() + bytes(2 << 20))


@case
def repair_of_tails(folder: Path) -> Callable[[], Any]:
    data = opening()
    stamp = stamp_of(data)
    data += pack_tail(9) * 50_000
    for number in range(5000):
        page = Page(np.array([8]), np.ones(1), (Run(0, 1, 0),), first=number)
        data += pack_section(PAGE, page.to_bytes(), stamp)
    return _repaired(folder, data)


# Models


@case
def models_without_end(_: Path) -> Callable[[], Any]:
    """Each is as large as one may be."""
    raw = encode_varint(1) + zstd(bytes(100_000_000))
    coding = exact_coding(Domain(RAW, 0, 1.0, 1))
    head = header(layouts=(Layout(10_000, 10_000, dtype="|u1"),), exact=coding)
    hostile = archive([raw] * 100, head)
    return lambda: velcodec.decompress(hostile)


@case
def models_without_end_in_a_slice(_: Path) -> Callable[[], Any]:
    raw = encode_varint(1) + zstd(bytes(100_000_000))
    coding = exact_coding(Domain(RAW, 0, 1.0, 1))
    head = header(layouts=(Layout(10_000, 10_000, dtype="|u1"),), exact=coding)
    hostile = archive([raw] * 100, head)
    return lambda: velcodec.open(hostile)[:]


@case
def coordinates_of_a_long_axis(folder: Path) -> Callable[[], Any]:
    from velcodec.files.decompress import decompress_file

    hostile = archive([b"\0\0\0"], header(layouts=(Layout(1, 1 << 32),)))
    return lambda: decompress_file(velcodec.open(hostile), folder / "a.npy", force=True)


@case
def coordinates_of_a_long_axis_in_xarray(_: Path) -> Callable[[], Any]:
    import xarray

    hostile = archive([b"\0\0\0"], header(layouts=(Layout(1, 1 << 32),)))
    return lambda: xarray.open_dataset(io.BytesIO(hostile), engine="velcodec")


def _wide(**sizes: int) -> bytes:
    """The file of a decoder of these sizes, a byte for each weight."""
    from velcodec.decoder import registry
    from velcodec.decoder.sizes import MIXTURE, MixtureConfig
    from velcodec.formats.decoder_file import DecoderFile, read_decoder_file, to_bytes

    config = MixtureConfig(**sizes)
    own = read_decoder_file(registry.find().path)
    tensors = {name: np.ones(shape, np.uint8) for name, shape in config.tensor_shapes.items()}
    tensors |= {name: each for name, each in own.tensors.items() if name.startswith("latent.")}
    about = {"architecture": MIXTURE, "latent": own.config["latent"]}
    return to_bytes(DecoderFile({**about, **vars(config)}, tensors, {}))


def _rendered(decoder: bytes, count: int = 64) -> Callable[[], Any]:
    from velcodec.decoder.siren_mixture.frozen import check_latent
    from velcodec.formats.decoder_file import read_decoder_file
    from velcodec.formats.latent_coding.coding import TileCoding
    from velcodec.formats.latent_coding.stream import Tiles, encode_tiles

    file = read_decoder_file(decoder)
    tables, _ = check_latent(file)
    low = np.full(count, 1500.0)
    tiles = Tiles(np.ones((count, 256), np.int32), np.zeros(count, np.int64), low, low + 1000.0)
    coding = TileCoding.for_tiles(tiles.low, tiles.high, tiles.step, 1.0)
    head = header(coding, layouts=(Layout(64, 64),), decoder_hash=file.identity())
    stream = io.BytesIO()
    writer = VlatWriter(stream, head, decoder=decoder)
    for payload in encode_tiles(tiles, tables, coding):
        writer.add(payload)
    writer.close()
    hostile = stream.getvalue()
    return lambda: velcodec.decompress(hostile)


@case
def a_wide_decoder(_: Path) -> Callable[[], Any]:
    return _rendered(_wide(width=2000, hidden_layers=1, gates=1, components=1, warp_features=1))


@case
def a_decoder_of_many_components(_: Path) -> Callable[[], Any]:
    return _rendered(_wide(width=16, hidden_layers=0, components=3000, warp_features=1))


@case
def a_decoder_of_many_layers(_: Path) -> Callable[[], Any]:
    return _rendered(_wide(width=400, hidden_layers=30, gates=1, components=1, warp_features=1))


@case
def a_decoder_as_wide_as_may_be(_: Path) -> Callable[[], Any]:
    sizes = {"width": 480, "hidden_layers": 1, "gates": 64, "components": 16}
    return _rendered(_wide(**sizes), count=2)


# Files of models


def _read(path: Path) -> Callable[[], Any]:
    from velcodec.formats.files import open_models

    def ask() -> None:
        models = open_models(path)
        for first in range(0, min(len(models), 100), 50):
            for _ in models.read(first, min(first + 50, len(models))):
                pass

    return ask


@case
def npz_in_fortran_order(folder: Path) -> Callable[[], Any]:
    path = folder / "a.npz"
    head = io.BytesIO()
    shape = (1 << 20, 20, 20)
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": True, "shape": shape}
    )
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out,
        out.open("velocity.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(head.getvalue())
        for _ in range(20 * 20):
            stream.write(bytes(4 << 20))
    return _read(path)


@case
def zarr_chunk_larger_than_its_array(folder: Path) -> Callable[[], Any]:
    import zarr

    path = folder / "a.zarr"
    array = zarr.create_array(
        store=str(path), shape=(4, 10, 10), chunks=(1, 10, 10), dtype="f4", compressors="auto"
    )
    array[:] = 1.0
    meta = path / "zarr.json"
    about = json.loads(meta.read_text())
    about["chunk_grid"]["configuration"]["chunk_shape"] = [1, 16_000, 16_000]
    meta.write_text(json.dumps(about))
    for each in sorted((path / "c").rglob("*")):
        if each.is_file():
            each.write_bytes(zstd(bytes(4 * 16_000 * 16_000)))
    return _read(path)


@case
def zarr_chunk_that_unpacks_to_more_than_its_shape(folder: Path) -> Callable[[], Any]:
    import zarr

    path = folder / "a.zarr"
    array = zarr.create_array(store=str(path), shape=(4, 10, 10), chunks=(1, 10, 10), dtype="f4")
    array[:] = 1.0
    for each in (path / "c").rglob("0"):
        if each.is_file():
            each.write_bytes(zstd(bytes(1 << 30)))
    return _read(path)


@case
def hdf5_large_chunk(folder: Path) -> Callable[[], Any]:
    import h5py

    path = folder / "a.h5"
    with h5py.File(path, "w") as out:
        out.create_dataset(
            "v",
            (800, 512, 512),
            "f4",
            chunks=(800, 512, 512),
            compression="gzip",
            data=np.ones((800, 512, 512), np.float32),
        )
    return _read(path)


@case
def hdf5_never_written(folder: Path) -> Callable[[], Any]:
    import h5py

    path = folder / "a.h5"
    with h5py.File(path, "w") as out:
        out.create_dataset("v", (1_000_000_000, 10, 10), "f4", chunks=(1, 10, 10))
    return _read(path)


@case
def hdf5_never_written_in_one_piece(folder: Path) -> Callable[[], Any]:
    import h5py

    path = folder / "a.h5"
    with h5py.File(path, "w") as out:
        out.create_dataset("v", (1_000_000_000, 10, 10), "f4")
    return _read(path)


@case
def zarr_never_written(folder: Path) -> Callable[[], Any]:
    import zarr

    path = folder / "a.zarr"
    zarr.create_array(
        store=str(path), shape=(1_000_000_000, 10, 10), chunks=(1, 10, 10), dtype="f4"
    )
    return _read(path)


def peak_mb() -> float:
    """The most memory that this process had at once since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def forget_peak() -> None:
    """What making the file took does not count."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def measured(name: str) -> dict[str, Any]:
    """Seconds of a core, MB at most and the error of a case."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    with tempfile.TemporaryDirectory() as folder:
        ask = CASES[name](Path(folder))
        error = None
        forget_peak()
        begun = time.process_time()
        try:
            ask()
        except VelcodecError as found:
            error = f"{type(found).__name__}: {found}"
        except BaseException as found:
            error = f"UNTYPED {type(found).__name__}: {found}"
        seconds = time.process_time() - begun
        return {"name": name, "seconds": seconds, "MB": peak_mb(), "error": error}


def main(names: list[str]) -> None:
    """Measure cases, each in a process of its own, and print a line for each."""
    for name in names or CASES:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            signal.alarm(MOST_SECONDS)  # what takes longer ends without a line
            print(json.dumps(measured(name)), flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
