"""Fuzz the public calls on altered archives, and measure what each input costs.

python tests/fuzz/calls.py FOLDER [EXECUTIONS] [SEED]

An input is a seed archive with changed bytes; in half of the inputs every checksum is then
corrected. An input fails if a call raises anything but a VelcodecError, or takes more time or
memory than docs/trust.md allows. Failures are kept in FOLDER as `calls-crash-...`, and belong in
tests/fuzz/regressions/calls once they are fixed. The exit code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from mutations import mutations
from targets import folder_in_memory, tried, with_checksums

import velcodec
from velcodec import resolution
from velcodec.archive.listing import rows_of
from velcodec.decoder import registry
from velcodec.decoder.siren_mixture.frozen import FrozenMixture, load_frozen
from velcodec.formats.container.budget import BYTES_OF_BYTE, FREE_BYTES
from velcodec.formats.container.framing import START
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.integrity import check_every_byte
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.record import Record, pack_record
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.latent_coding.coding import TileCoding
from velcodec.formats.latent_coding.stream import Tiles, encode_tiles
from velcodec.formats.sample_coding.base import Request
from velcodec.formats.sample_coding.coders import BLENDED, DCT, LABEL_MAP, MIXED
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import RAW, Domain, allowed_codes
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK
from velcodec.formats.sample_coding.stream import encode_image, encode_raw
from velcodec.formats.volume_coding.stream import (
    Bricks,
    encode_samples,
    join_mask,
    pack_volume,
)
from velcodec.sampler.form import NEWEST_SAMPLER
from velcodec.sampler.volume.form import NEWEST_VOLUME_SAMPLER

EXECUTIONS = 300_000
MOST_BYTES = 1 << 14
MOST_SAMPLES = 1 << 16
"""Instead of 100 million, so that honest headers take milliseconds too."""

SECONDS, SECONDS_PER_BYTE = 2.0, 0.05
MEMORY = FREE_BYTES + 64 * MOST_SAMPLES + (64 << 20)
"""Bytes allowed beyond the process's own: columns, samples, a decoder and the like."""

MODELS = 4


def calls(data: bytes) -> None:
    """All public calls on an archive; an odd first byte asks for corrected checksums."""
    mode, data = data[:1], data[1 : MOST_BYTES + 1]
    if mode and mode[0] & 1:
        data = with_checksums(START + data)
    folder = folder_in_memory()
    path, other = folder / "calls.vlat", folder / "other.vlat"
    path.write_bytes(data)
    opened: list[velcodec.Archive] = []
    tried(lambda: opened.append(velcodec.open(path)))
    for archive in opened:
        _ask(archive)
        archive.close()
    tried(lambda: list(islice(velcodec.stream(io.BytesIO(data)), MODELS)))
    tried(lambda: velcodec.cat([path], other, force=True))
    tried(lambda: velcodec.repair(path, other, force=True))
    tried(lambda: velcodec.repair(path, other, force=True, fill="nan"))
    tried(lambda: velcodec.decompress(path))


def _ask(archive: velcodec.Archive) -> None:
    some = range(min(len(archive), MODELS))
    for ask in (
        archive.info,
        lambda: rows_of(archive, some),
        lambda: check_every_byte(archive.reader),
        lambda: [archive.decode(number) for number in some],
        lambda: archive.decode(some, 9),
        lambda: archive.decode(0, (3, 5), average="cell"),
        lambda: archive.sample(0, [[11.0, 13.0]]),
        lambda: archive.sample(0, [[11.0, 13.0, 17.0]]),
        lambda: archive.box(0, [(0, 3), (2, 9), (1, 2)]),
        lambda: archive.decode(0, (4, 5, 3)),
        lambda: archive[:],
    ):
        tried(ask)


def seeds() -> list[bytes]:
    """Archives of every representation, with keys, columns, quality, headers and sections."""
    found = [_latents(), _latents(tiled=True), *(_samples(kind) for kind in range(6)), _volumes()]
    return [b"\0" + data for data in found] + [b"\1" + data[len(START) :] for data in found]


@cache
def _decoder() -> FrozenMixture:
    found = load_frozen(registry.find().path)
    assert found is not None
    return found


def _latents(*, tiled: bool = False) -> bytes:
    decoder = _decoder()
    assert decoder.tables is not None
    random = np.random.default_rng(1)
    count = 12 if tiled else 3
    low = np.full(count, 1500.0) + np.arange(count) * 10
    coefficients = np.zeros((count, 256), np.int32)
    coefficients[:, :12] = random.integers(-3, 4, (count, 12))
    tiles = Tiles(coefficients, np.full(count, 4), low, low + 1000.0)
    coding = TileCoding.for_tiles(tiles.low, tiles.high, tiles.step, 1.0)
    assert decoder.identity is not None
    layouts = (Layout(20, 24), Layout(12, 10, "nxz", "<i2", no_data=-9999))
    head = Header(decoder.identity, decoder.name, layouts, coding, tiled=tiled)
    streams = encode_tiles(tiles, decoder.tables, coding)
    records = [
        Record(0, 2, 2, 12, 14, streams[first : first + 4])
        if tiled
        else Record(0, 1, 1, 20, 24, streams[first : first + 1])
        for first in range(0, count, 4 if tiled else 1)
    ]
    return _archive(head, records)


def _samples(kind: int) -> bytes:
    """Samples as label map, blended prediction, DCT, mixing or raw, or all, with headers."""
    z, x = np.mgrid[:20, :24]
    model = (1500.0 + 100 * ((z + x // 2) // 3)).astype("<f4")
    coding = ExactCoding(
        EXACT_NETWORK, (Domain(0, 1500.0, 1.0, 3001), Domain(RAW, 0, 1.0, 1)), NEWEST_SAMPLER
    )
    allowed = allowed_codes(model, coding.domains[0], 0.0)
    assert allowed is not None
    wide = allowed_codes(model, coding.domains[0], 30.0)
    assert wide is not None
    exactly, loosely = Request(allowed), Request(wide)
    requests = {LABEL_MAP: exactly, BLENDED: exactly, DCT: loosely, MIXED: exactly}
    images = [encode_image(coder, request, 0, coding) for coder, request in requests.items()]
    streams = [image.stream for image in images if image is not None]
    streams.append(encode_raw(model, 1))
    chosen = streams if kind >= len(streams) else [streams[kind]] * 3
    head = Header(bytes(32), "none", (Layout(20, 24),), TileCoding(1500.0, 1.0, 12, {0: 1 << 14}))
    return _archive(replace(head, exact=coding), [Record(0, 0, 0, 20, 24, [], s) for s in chosen])


def _volumes() -> bytes:
    """Volumes of several bricks, some of their samples absent, and a section."""
    z, y, x = np.mgrid[:9, :10, :11]
    volume = (1500.0 + 100 * ((z + y // 2 + x // 3) // 3)).astype("<f4")
    codes = (volume - 1500.0).astype(np.int64)
    coding = ExactCoding(EXACT_NETWORK, (Domain(0, 1500.0, 1.0, 3001),), NEWEST_VOLUME_SAMPLER)
    layouts = (Layout(9, 11, "nzyx", ny=10, no_data="nan"), Layout(9, 11))
    bricks = Bricks((9, 10, 11), (4, 5, 6))
    absent = bricks.samples * (np.arange(len(bricks)) == 0)
    absent[1] = 7
    streams = []
    for number, gone in enumerate(absent.tolist()):
        box, mask = bricks.box(number), np.zeros(bricks.shape_of(number), dtype=bool)
        mask.reshape(-1)[:gone] = True
        stream = encode_samples(volume[box], codes[box], coding.domains[0], number % 2 == 0)
        some = mask if 0 < gone < mask.size else None
        streams.append(b"" if gone == mask.size else join_mask(stream, some))
    packed = pack_volume(0, bricks, streams, absent)
    image = encode_image(LABEL_MAP, Request.exactly(codes[:, 0]), 0, coding)
    assert image is not None
    head = Header(bytes(32), "none", layouts, TileCoding(1500.0, 1.0, 12, {0: 1 << 14}))
    section = Record(1, 0, 0, 9, 11, [], image.stream)
    records = [Record(0, 0, 0, 9, 11, [], bricks=packed)] * 2
    return _archive(replace(head, exact=coding), [*records, section])


def _archive(head: Header, records: list[Record]) -> bytes:
    stream = io.BytesIO()
    writer = VlatWriter(stream, head)
    for number, record in enumerate(records):
        if number == len(records) - 1:
            writer.use(replace(head, provenance="later", extra={"x": [1, {"y": 2}]}))
        quality = StoredQuality(30.0 + number, 1.0, 2.0, 0.5)
        fields = {"line": number, "family": "ab"[number % 2], "dx_m": 5.0}
        writer.add(pack_record(record, head), f"k{number}", quality, fields)
        if number == 0:
            writer.end_page()
    writer.note(b"n", b"note")
    writer.close()
    return stream.getvalue()


def small_limits() -> None:
    """Lower the default sample limit of calls, so that they take milliseconds."""
    resolution.LARGE_CELLS = MOST_SAMPLES
    logging.getLogger("velcodec").setLevel(logging.ERROR)


def peak() -> int:
    """The peak memory of this process in bytes since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def forget_peak() -> int:
    """Reset the peak to the present memory, which is returned in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def measured(data: bytes, call: Callable[[bytes], None] = calls) -> tuple[float, int]:
    """CPU seconds and bytes that an input takes."""
    before, begun = forget_peak(), time.process_time()
    call(data)
    return time.process_time() - begun, peak() - before


def check(data: bytes) -> tuple[float, int]:
    """Like `measured`. Raises AssertionError if a limit is exceeded."""
    took, held = measured(data)
    if took > SECONDS + SECONDS_PER_BYTE * len(data) or held > MEMORY + BYTES_OF_BYTE * len(data):
        took, held = measured(data)  # loops may have been compiled, modules loaded
    assert took <= SECONDS + SECONDS_PER_BYTE * len(data), f"{len(data)} bytes took {took:.1f} s"
    most = MEMORY + BYTES_OF_BYTE * len(data)
    assert held <= most, f"{len(data)} bytes took {held:,} bytes of memory"
    return took, held


def campaign(folder: Path, executions: int, seed: int = 1) -> Iterator[str]:
    """Run `executions` inputs. Yields a line for each 1,000 and for each failure."""
    small_limits()
    folder.mkdir(parents=True, exist_ok=True)
    found = seeds()
    for data in found:
        check(data)
    slowest, largest, failures = 0.0, 0, Counter[str]()
    for number, data in enumerate(mutations(found, executions, seed), start=1):
        try:
            took, held = check(data)
            slowest, largest = max(slowest, took), max(largest, held)
        except Exception as error:
            said = f"{type(error).__name__}: {str(error)[:200]}"
            failures[said] += 1
            digest = hashlib.sha256(data).hexdigest()[:16]
            if failures[said] <= 3:
                (folder / f"calls-crash-{digest}").write_bytes(data)
                yield f"FAILED {digest} {said}"
        if number % 1_000 == 0 or number == executions:
            yield (
                f"{number:,} executions, {sum(failures.values())} failures, at most "
                f"{slowest:.2f} s and {largest >> 20} MiB"
            )


def main(folder: Path, executions: int = EXECUTIONS, seed: int = 1) -> int:
    """Run a campaign. Returns the exit code."""
    failed = False
    for line in campaign(folder, executions, seed):
        failed |= line.startswith("FAILED")
        print(line, flush=True)
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a fuzzing campaign over the calls")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("executions", type=int, nargs="?", default=EXECUTIONS)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    asked = parser.parse_args()
    sys.exit(main(asked.folder.resolve(), asked.executions, asked.seed))
