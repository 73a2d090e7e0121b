"""Seeds: small inputs of every kind that the targets read, made by the writers themselves.

python tests/fuzz/seeds.py FOLDER

writes them, with a folder for each target.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import targets

from velcodec.formats.container.directory import Directory, PageEntry
from velcodec.formats.container.framing import START
from velcodec.formats.container.header import Layout
from velcodec.formats.container.page import Page, Run
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.record import Record, pack_record
from velcodec.formats.container.sections import Place
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.decoder_file import DecoderFile, to_bytes
from velcodec.formats.files import Form, Ground, open_sink
from velcodec.formats.latent_coding.stream import Tiles, encode_tiles
from velcodec.formats.sample_coding.absent_mask import encode_absent
from velcodec.formats.sample_coding.coders import MIXED
from velcodec.formats.sample_coding.dct.coder import encode_dct
from velcodec.formats.sample_coding.domain import RAW, allowed_codes
from velcodec.formats.sample_coding.label_map.coder import encode_label_map
from velcodec.formats.sample_coding.label_map.network import network_of
from velcodec.formats.sample_coding.mixing.coder import encode_mixed
from velcodec.formats.sample_coding.prediction.blended import encode_blended
from velcodec.formats.sample_coding.stream import encode_raw
from velcodec.formats.volume_coding.coder import encode_brick, encode_within
from velcodec.formats.volume_coding.stream import Bricks, join_mask, pack_volume

GOLDEN = Path(__file__).parents[1] / "golden"


def archives() -> list[bytes]:
    """Archives with keys, quality, fields, several headers, pages and additions; and old ones."""
    found = []
    one, two, three, _ = targets._headers()
    for journal in (False, True):
        stream = io.BytesIO()
        decoder = to_bytes(DecoderFile({"a": 1}, {"w": np.zeros(2, np.float32)}))
        writer = VlatWriter(stream, one, journal=journal, decoder=decoder)
        for i in range(6):
            writer.use(two if i in (2, 3) else one)
            quality = StoredQuality(30.0 + i, 1.0, 2.0, 0.5)
            writer.add(bytes([1, 1, 1, i]), f"k{i}", quality, {"line": i, "family": "ab"[i % 2]})
            if i % 2:
                writer.end_page()
        writer.note(b"n", b"note")
        writer.close()
        found.append(stream.getvalue())
    stream = io.BytesIO()
    writer = VlatWriter(stream, replace(three, user={"a": [1, {"b": None}]}))
    writer.add(bytes(2000))
    writer.close()
    found += [stream.getvalue(), (GOLDEN / "two_models.vlat").read_bytes()]
    found += [path.read_bytes() for path in sorted((GOLDEN / "exact").glob("*-psnr.vlat"))]
    return found


def part_seeds() -> list[bytes]:
    """Bodies of sections, records, decoder files and manifests, after the byte that selects the
    kind.
    """
    one, two, three, masked = targets._headers()
    runs = (Run(0, 2, 0), Run(20, 1, 1))
    fields = {"line": np.arange(3, dtype="<i4"), "t": np.array(["a", "b", "a"], dtype=object)}
    quality = np.arange(12, dtype=np.uint8).reshape(4, 3)
    page = Page(np.array([9, 300, 9]), np.ones(3), runs, ("a", "b", "c"), quality, fields, 7)
    directory = Directory(
        (Place(90, 20),), (PageEntry(Place(200, 60), 100, 9), PageEntry(Place(260, 60), 130, 9))
    )
    tiles = Record(1, 2, 2, 200, 120, [b"ab", b"", b"c", b"defg"])
    arrays = {"w": np.ones((2, 3), np.float32), "i": np.array(3, dtype=np.int64)}
    shards = [{"name": "shard-00000.vlat", "models": 3, "bytes": 99}]
    manifest = {"format": "velcodec-shards-0", "models": 3, "shards": shards}
    user = replace(three, user={"a": {"b": [1.5, "c", None, True]}}, provenance="p")
    moved = replace(two, layouts=(Layout(3, 4, "xz", ">f8", "km/s", 1.5, 2.5, 3.0, 4.0),))
    return [
        b"\x00" + user.to_bytes(),
        b"\x00" + one.to_bytes(),
        b"\x01" + moved.to_bytes(two, 1),
        b"\x02" + page.to_bytes(),
        b"\x03" + directory.to_bytes(),
        b"\x03" + replace(directory, pages=(), inside=replace(page, first=0)).to_bytes(),
        b"\x00" + masked.to_bytes(),
        b"\x04" + pack_record(tiles, two),
        b"\x04" + pack_record(replace(tiles, absent=b"hi"), masked),
        b"\x04" + pack_record(tiles, masked),
        b"\x04\x00\x00\x01\x01abc",
        b"\x05" + to_bytes(DecoderFile({"a": [1, 2]}, arrays, {"name": "x"})),
        b"\x06" + json.dumps(manifest).encode(),
        b"\x06" + msgpack.packb([1, {"a": 1.0}]),
    ]


def streams() -> list[bytes]:
    """Streams of every coder, domain and shape, and of tiles."""
    random = np.random.default_rng(0)
    found = []
    coding = targets._exact()
    for number, size in enumerate(targets.SHAPES):
        z, x = np.mgrid[: size[0], : size[1]]
        model = (1500.0 + 100 * ((z + x // 2) // 3)).astype(np.float32)
        for which in (0, 7):
            domain = coding.domains[which]
            allowed = allowed_codes(model, domain, 0.0 if which == 0 else 30.0)
            if allowed is None:
                continue
            labels = encode_label_map(
                allowed, domain.span, domain.bound, network_of(coding.network)
            )
            coded = [
                labels[0] if labels else b"",
                encode_blended(allowed[..., 1], domain.span),
                encode_dct(allowed, domain.span),
                encode_mixed(allowed[..., 1], domain.span, domain.bound, smooth=False),
            ]
            found += [bytes([k, number, which, 0]) + s for k, s in enumerate(coded)]
            smooth = encode_mixed(allowed[..., 1], domain.span, domain.bound, smooth=True)
            found.append(bytes([MIXED, number, which, 0]) + smooth)
        raw = next(i for i, d in enumerate(coding.domains) if d.kind == RAW)
        found.append(bytes([0, number, raw, 0]) + encode_raw(model, raw).data)
        found += [bytes([k, number, 4, 1]) + random.bytes(20) for k in range(5)]
        found.append(bytes([targets.ABSENT, number, 0, 0]) + encode_absent(z < 1 + x // 4))
    low = np.array([1500.0, 1600.25, 2000.0])
    batch = Tiles(
        random.integers(-6, 7, (3, 6)).astype(np.int32) * np.array([[1], [1], [0]], np.int32),
        np.array([0, 2, 0]), low, low + np.array([500.0, 100.5, 0.0]),
    )  # fmt: skip
    for stream in encode_tiles(batch, targets._tables(), targets._coding()):
        found += [b"\x04\x01\x00\x00" + 2 * stream, b"\x04\x00\x00\x00" + stream]
    return found


def bricks() -> list[bytes]:
    """Bricks of every kind, domain and shape, and tables of bricks."""
    found, coding = [], targets._exact()
    for number, size in enumerate(targets.VOLUMES[:4]):
        z, y, x = np.mgrid[: size[0], : size[1], : size[2]]
        layers = (5 + (z + y // 2 + x // 3) // 2).astype(np.int64)
        for which in (0, 4, 6):
            domain = coding.domains[which]
            for smooth in (False, True):
                stream = encode_brick(layers, domain, smooth)
                found.append(bytes([0, number, which, 0]) + stream)
        found.append(bytes([0, number, 0, 0]) + encode_within(20 * layers, coding.domains[0], 16))
        edges = tuple(max(min(4, n), n // 2) for n in size)
        cut = Bricks(size, (edges[0], edges[1], edges[2]))
        found.append(bytes([1, number, 0, 0]) + pack_volume(0, cut, [b"ab"] * len(cut)))
        absent = np.arange(len(cut)) % 3
        absent *= absent < cut.samples
        found.append(bytes([3, number, 0, 0]) + pack_volume(0, cut, [b"ab"] * len(cut), absent))
        mask = z + x // 2 < 2
        if not mask.all():
            found.append(bytes([2, number, mask.sum() - 1, 0]) + join_mask(b"ab", mask))
    return found


def files_of(suffixes: tuple[str, ...]) -> list[bytes]:
    """Files of two small models (or one, if the format holds one), after the byte that selects the
    format.
    """
    found = []
    models = (1500 + np.arange(12, dtype=np.float32)).reshape(2, 2, 3)
    with tempfile.TemporaryDirectory() as folder:
        for number, suffix in enumerate(suffixes):
            for dtype, keys in (("<f4", None), ("<i2", ("a", "b"))):
                count = 1 if suffix == ".sgy" else 2
                form = Form(
                    count, 2, 3, "xz" if count == 1 else "nzx", dtype, "m/s",
                    Ground(10.0, 10.0, 0.0, 5.0), keys if count == 2 else None,
                )  # fmt: skip
                path = Path(folder) / f"{dtype[1:]}{suffix}"
                with open_sink(path, form) as sink:
                    sink.add(models[:count].astype(dtype))
                found.append(bytes([number]) + path.read_bytes())
        if ".npz" in suffixes:
            path = Path(folder) / "compressed.npz"
            np.savez_compressed(path, velocity=models, keys=np.array(["a", "b"]), dx=5.0)
            found.append(bytes([suffixes.index(".npz")]) + path.read_bytes())
    return found


def seeds() -> dict[str, list[bytes]]:
    """The seeds of every target."""
    whole = archives()
    return {
        # As they are; with corrected checksums; and both with salvage too.
        "container": [
            bytes([mode]) + (data[len(START) :] if mode & 1 else data)
            for data in whole
            for mode in (1, 3, 2)
        ],
        "parts": part_seeds(),
        "entropy": streams(),
        "volumes": bricks(),
        "files": files_of(targets.SUFFIXES),
        "hdf5": files_of(targets.HDF5_SUFFIXES),
    }


def main(folder: Path) -> None:
    """Write the seeds of every target."""
    for name, found in seeds().items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(found):
            (folder / name / f"seed-{number:03d}").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
