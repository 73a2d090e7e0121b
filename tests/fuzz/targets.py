"""Fuzz targets: each function takes any bytes, reads everything they could hold, and returns.

Bad bytes should raise a VelcodecError; anything else is a bug. No torch.
"""

from __future__ import annotations

import io
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from velcodec.formats.container.block import LONGEST_HEAD, BlockId, checksum_of, read_head
from velcodec.formats.container.directory import Directory
from velcodec.formats.container.framing import START, pack_tail
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.journal import read_journal
from velcodec.formats.container.page import StoredPage
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.record import unpack_record
from velcodec.formats.container.salvage import salvage
from velcodec.formats.container.scan import scan
from velcodec.formats.container.sections import (
    CHECKSUM_BYTES,
    DIRECTORY,
    HEADER,
    UNSTAMPED,
    USE,
    Place,
    section_size,
)
from velcodec.formats.container.shards import read_manifest
from velcodec.formats.decoder_file import read_decoder_file
from velcodec.formats.errors import OptionError, VelcodecError
from velcodec.formats.files import open_models
from velcodec.formats.latent_coding.coding import TileCoding
from velcodec.formats.latent_coding.prefix import Prefix, decode_prefixes
from velcodec.formats.latent_coding.stream import decode_tiles
from velcodec.formats.latent_coding.tables import TOTAL, LatentTables, integer_frequencies
from velcodec.formats.sample_coding.absent_mask import decode_absent
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.sample_coding.stream import ExactStream, decode_exact
from velcodec.formats.storage.source import ByteSource
from velcodec.formats.storage.varint import MAX_BYTES, decode_varint
from velcodec.formats.volume_coding.stream import decode_samples, read_table, split_mask

Target = Callable[[bytes], None]
MOST_BYTES = 1 << 14
SHAPES = ((1, 1), (1, 9), (7, 1), (5, 6), (12, 11), (70, 70), (512, 300), (4096, 4096))
MODELS_READ = 8
ABSENT = 1 << 7
"""If this bit of the first byte is set, a stream of absent samples follows."""

SAMPLER = 1


def container(data: bytes) -> None:
    """Archives, as they are or with every checksum corrected, to reach the code behind them.

    An odd first byte asks for correction; another bit for salvage too.
    """
    mode, data = data[:1], data[1 : MOST_BYTES + 1]
    if mode and mode[0] & 1:
        data = with_checksums(START + data)
    tried(lambda: read_archive(data))
    tried(lambda: sum(1 for _ in scan(io.BytesIO(data))))
    tried(lambda: read_journal(io.BytesIO(data), "archive"))
    if mode and mode[0] & 6 == 2:
        tried(lambda: salvage(data, "archive", any_version=True))


def tried(read: Callable[[], object]) -> None:
    """Read; a deliberate refusal is fine."""
    try:
        read()
    except VelcodecError as error:
        if isinstance(error, OptionError):  # for errors of the caller, not of the file
            raise AssertionError(f"refused as an option: {error}") from error
        _check_one_line(error)


def _check_one_line(error: VelcodecError) -> None:
    assert "\n" not in str(error), error


def read_archive(data: bytes) -> None:
    """Ask a reader everything."""
    with VlatReader(data) as reader:
        reader.headers()
        for ask in (
            lambda: reader.keys,
            lambda: reader.quality_codes,
            lambda: reader.fields,
            lambda: reader.lengths,
            lambda: reader.embedded_decoders(),
            lambda: reader.columns_of(range(min(len(reader), MODELS_READ))),
        ):
            tried(ask)
        for number in range(min(len(reader), MODELS_READ)):
            tried(lambda n=number: unpack_record(reader.payload(n), reader.header_of(n)))


def with_checksums(data: bytes) -> bytes:
    """An archive's bytes with the checksums of sections and records corrected, as far as a
    front-to-back walk understands them, and a tail for the last directory.
    """
    out = bytearray(data)
    at, number, headers, current, stamp = len(START), 0, 0, 0, UNSTAMPED
    while at < len(data):
        try:
            if data[at] == 0:
                kind = data[at + 1 : at + 2]
                start = data[at : at + 2 + MAX_BYTES]
                _, end = section_size(kind, start, "") if kind else (0, 0)
                end += at
                if not kind or end + CHECKSUM_BYTES > len(data):
                    break
                total = zlib.crc32(data[at + 1 : end]) ^ int.from_bytes(stamp, "little")
                sums = total.to_bytes(CHECKSUM_BYTES, "little")
                out[end : end + CHECKSUM_BYTES] = sums
                if kind == HEADER:
                    stamp = sums if not headers else stamp
                    current, headers = headers, headers + 1
                elif kind == USE:
                    current, _ = decode_varint(data[at + 3 : end], 0, "")
                end += CHECKSUM_BYTES
                if kind == DIRECTORY:
                    tail = pack_tail(end - at)
                    out[end : end + len(tail)] = tail
                    end += len(tail)
            else:
                head = read_head(data[at : at + LONGEST_HEAD], "")
                end = at + head.block_bytes
                if end > len(data):
                    break
                block_id = BlockId(stamp, number, current & 0xFFFF)
                out[end - 4 : end] = checksum_of(block_id, [data[at : end - 4]])
                number += len(head.lengths)
            at = end
        except VelcodecError:
            break
    return bytes(out)


def parts(data: bytes) -> None:
    """The content of sections and files, by itself; the first byte selects the kind."""
    which, data = data[:1], data[1 : MOST_BYTES + 1]
    if which:
        read = PARTS[which[0] % len(PARTS)]
        tried(lambda: read(data))


def _read_page(data: bytes) -> None:
    page = StoredPage(data, 1 << 16, "page")
    assert len(page.places) == len(page.headers) == len(page.sizes) <= len(page)
    page.whole()


def _read_header(data: bytes) -> None:
    first = Header.from_bytes(data)
    again = Header.from_bytes(first.to_bytes())
    assert again == first or "nan" in repr(first)


def _read_later_header(data: bytes) -> None:
    Header.from_bytes(data, _headers()[1], 1)


def _read_record(data: bytes) -> None:
    for header in _headers():
        tried(lambda h=header: unpack_record(data, h))


PARTS: tuple[Callable[[bytes], object], ...] = (
    _read_header,
    _read_later_header,
    _read_page,
    lambda data: Directory.from_bytes(data, Place(1 << 20, 9), 99, "archive"),
    _read_record,
    read_decoder_file,
    lambda data: read_manifest(ByteSource(data)),
)


@cache
def _headers() -> tuple[Header, ...]:
    coding = TileCoding(1500.0, 1.0, 12, {0: TOTAL})
    one, two = (Layout(70, 70),), (Layout(70, 70), Layout(300, 200))
    masked = Layout(70, 70, no_data="nan"), Layout(300, 200, dtype="<i2", no_data=-9999)
    exact = ExactCoding(3, (Domain(0, 0.0, 1.0, 100),), SAMPLER)
    return (
        Header(bytes(32), "tiny", one, coding),
        Header(bytes(32), "tiny", two, coding, tiled=True),
        Header(bytes(32), "tiny", two, coding, tiled=True, exact=exact),
        Header(bytes(32), "tiny", masked, coding, tiled=True, exact=exact),
    )


def entropy(data: bytes) -> None:
    """Exact streams of every coder and domain, streams of absent samples, and tile streams; the
    first bytes select.
    """
    if len(data) < 4:
        return
    way, shape, domain, dtype = data[:4]
    stream = data[4:MOST_BYTES]
    if way & ABSENT:
        tried(lambda: decode_absent(stream, SHAPES[shape % len(SHAPES)]))
        return
    if way % 5 == 4:
        half = len(stream) // 2
        streams = [stream[:half], stream[half:], b""][: 1 + shape % 3]
        tried(lambda: decode_tiles(streams, _tables(), _coding()))
        tried(lambda: decode_prefixes(streams, _tables(), _coding(), Prefix(coefficients=3)))
        return
    size = SHAPES[shape % len(SHAPES)]
    kinds = (np.dtype(name) for name in ("<f4", ">f8", "<i2", "|u1"))
    kind = list(kinds)[dtype % 4]
    coding = _exact()
    coded = ExactStream(domain % len(coding.domains), way % 5, stream)

    def read() -> None:
        found = decode_exact(coded, coding, size, kind)
        assert found.shape == size
        assert found.dtype == kind

    tried(read)


VOLUMES = ((1, 1, 1), (3, 1, 9), (5, 6, 4), (9, 8, 7), (40, 40, 40))


def volumes(data: bytes) -> None:
    """Streams of bricks in every domain, masks, and tables of bricks; the first bytes select."""
    if len(data) < 4:
        return
    way, shape, domain, dtype = data[:4]
    stream, size = data[4:MOST_BYTES], VOLUMES[shape % len(VOLUMES)]
    if way % 2:
        tried(
            lambda: read_table(
                lambda start, n: stream[start : start + n], size, "record", masked=way % 4 == 3
            )
        )
        return
    if way % 4 == 2:
        tried(lambda: split_mask(stream, size, 1 + domain, "brick"))
        return
    kind = np.dtype(("<f4", ">f8", "<i2")[dtype % 3])
    coding = _exact()

    def read() -> None:
        number = domain % len(coding.domains)
        assert decode_samples(stream, size, coding, number, kind, "brick").shape == size

    tried(read)


@cache
def _exact() -> ExactCoding:
    palette = tuple(float(v) for v in np.cumsum(np.arange(1, 40)) + 1500)
    return ExactCoding(
        3,
        (
            Domain(0, 1500.0, 1.0, 3001),
            Domain(0, 1500.0, 0.5, 1, 3),
            Domain(0, -1e300, 1e290, 1 << 26, 5),
            Domain(0, 0.0, 2.0**-20, 1 << 60),
            Domain(1, -(1 << 63), 1.0, 1 << 60),
            Domain(2, 0, 1.0, 1),
            Domain(3, 0.0, 1.0, len(palette), 0, palette),
            Domain(0, 1500.0, 25.0, 120, 2),
        ),
        SAMPLER,
    )


@cache
def _tables() -> LatentTables:
    symbols, classes, steps = 8, 2, 3
    peak = np.arange(1, 7)[:, None] * 40 // (1 + np.abs(np.arange(symbols) - 3)) ** 2
    rows = np.stack([integer_frequencies(row) for row in peak]).astype(np.uint16)
    which = np.arange(6, dtype=np.uint8).reshape(classes, steps, 1).repeat(6, axis=2)
    return LatentTables(rows, which, np.full(classes, TOTAL // classes, dtype=np.uint16))


@cache
def _coding() -> TileCoding:
    return TileCoding(1500.0, 1.0, 12, {0: TOTAL // 2, 2: TOTAL // 4, 7: TOTAL // 4})


SUFFIXES = (".npy", ".npz", ".rsf", ".sgy", ".raw")
HDF5_SUFFIXES = (".h5", ".nc")


def files(data: bytes) -> None:
    """Files of models in the formats that velcodec or NumPy reads; the first byte selects."""
    _read_file(data, SUFFIXES)


def hdf5(data: bytes) -> None:
    """HDF5 and NetCDF files, which the HDF5 library reads."""
    _read_file(data, HDF5_SUFFIXES)


def _read_file(data: bytes, suffixes: tuple[str, ...]) -> None:
    if not data:
        return
    path = folder_in_memory() / f"models{suffixes[data[0] % len(suffixes)]}"
    path.write_bytes(data[1 : MOST_BYTES + 1])
    shape = (2, 3) if path.suffix == ".raw" else None

    def read() -> None:
        models = open_models(path, shape=shape)
        for _, array in models.read(0, min(len(models), 2)):
            assert np.isfinite(array).all()

    try:
        read()
    except VelcodecError as error:
        _check_one_line(error)


@cache
def folder_in_memory() -> Path:
    """A folder of this process, in memory if possible."""
    shared = Path("/dev/shm")
    made = tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None)
    _FOLDERS.append(made)
    return Path(made.name)


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []

SECONDS, SECONDS_PER_BYTE = 4.0, 0.05
"""CPU time allowed for an input, several times the usual, with instrumentation
and bounds checks.
"""


def timed(target: Target) -> Target:
    """The target, failing for inputs that take longer than their size allows."""

    def measured(data: bytes) -> None:
        for _ in range(2):  # loops may be compiled at first
            begun = time.process_time()
            target(data)
            took = time.process_time() - begun
            if took <= SECONDS + SECONDS_PER_BYTE * len(data):
                return
        raise AssertionError(f"{target.__name__}: {len(data)} bytes took {took:.1f} s")

    return measured


TARGETS: dict[str, Target] = {
    target.__name__: timed(target) for target in (container, parts, entropy, volumes, files, hdf5)
}

__all__ = ["TARGETS", "folder_in_memory", "tried", "with_checksums"]
