"""A reader of `.vlat` archives that follows docs/format.md, docs/format-exact.md,
docs/format-volumes.md and docs/format-sampler.md step by step and shares no code with velcodec.
Plain Python and NumPy, with zstandard and msgpack; slow, and not a dependency of anything. If
something is not in those pages, it is missing there.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import zstandard

from .absent import absent_samples, nearest
from .blended import blended
from .coder import Stream, tile
from .container import Archive, check, open_archives, record, safetensors
from .dct import dct
from .labels import LabelMap
from .mixed import Mixed
from .rendering import Decoder
from .sampler import Sampler

__all__ = ["Archive", "Reader", "identity", "open_archives"]

KINDS = {"f2": "F16", "f4": "F32", "f8": "F64", "u1": "U8", "u2": "U16", "i4": "I32", "i8": "I64"}


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def identity(data):
    """SHA-256 of a decoder file's content."""
    tensors, metadata = safetensors(data)
    digest = hashlib.sha256(b"velcodec-decoder-0\n" + metadata["config"].encode() + b"\n")
    for name in sorted(tensors):
        tensor = tensors[name]
        head = [name, KINDS[tensor.dtype.str[1:]], list(tensor.shape)]
        digest.update(canonical(head) + b"\n" + tensor.tobytes())
    return digest.digest()


def unpad(data, least):
    """A stream without the zeros that pad it to `least` bytes."""
    unpadded = data.lstrip(b"\0")
    check(len(data) == max(len(unpadded), least), "zeros before a stream, or bytes missing")
    return unpadded


class Reader:
    """Models of archives; `decoders` are decoder files' bytes, `data` is the folder of released
    networks, weights and samplers.
    """

    def __init__(self, decoders, data):
        self.data = Path(data)
        self.decoders = {identity(file): Decoder(*safetensors(file)) for file in decoders}
        self.networks = {}

    def network(self, name):
        if name not in self.networks:
            (path,) = self.data.glob(f"{name}.safetensors*")
            data = path.read_bytes()
            if path.suffix == ".zst":
                data = zstandard.ZstdDecompressor().decompress(data)
            self.networks[name] = safetensors(data)[0]
        return self.networks[name]

    def decoder(self, archive, header):
        for file in archive.decoders:
            if identity(file) == header["h"] and header["h"] not in self.decoders:
                self.decoders[header["h"]] = Decoder(*safetensors(file))
        check(header["h"] in self.decoders, "a decoder that is not here")
        return self.decoders[header["h"]]

    def sampler(self, coding):
        """The sampler that an exact coding names."""
        number, start = coding["s"]
        path = self.data / f"sampler-{number}.safetensors"
        data = path.read_bytes() if path.exists() else b""
        known = hashlib.sha256(data).digest()[:4] == start
        check(known, f"sampler {number} of this hash is not here")
        return Sampler(safetensors(data)[0])

    def layout(self, archive, number):
        """The layout of a model, after the fields that override it."""
        header = archive.headers[archive.header_of[number]]
        own = header["l"][record(archive.payloads[number], header)[0]]
        own = {"a": "nzx", "t": "<f4", "u": "m/s", "d": [10, 10], "o": [0, 0]} | own
        for key, names in (("d", ("dx_m", "dz_m")), ("o", ("origin_x_m", "origin_z_m"))):
            fields = [archive.fields[number].get(name, "") for name in names]
            there = [value not in ("", None) and value == value for value in fields]
            own[key] = [f if t else v for f, t, v in zip(fields, there, own[key], strict=True)]
        return own

    def model(self, archive, number, grid=None):
        """A model as the user's array, on its native grid or another."""
        header = archive.headers[archive.header_of[number]]
        layout, exact, tiling, streams, absent = record(archive.payloads[number], header)
        layout = header["l"][layout]
        shape, dtype = tuple(layout["s"]), np.dtype(layout.get("t", "<f4"))
        unit = {"m/s": 1.0, "km/s": 1000.0}[layout.get("u", "m/s")]
        if absent is not None:
            stream = Stream(unpad(absent, shape[0] * shape[1] // 16384))
            absent = nearest(absent_samples(stream, shape), grid or shape)

        def finished(out):
            if absent is not None:
                out = out.copy()
                out[absent] = np.nan if layout["n"] == "nan" else layout["n"]
            return out.T if layout.get("a", "nzx").endswith("xz") else out

        if exact:
            out = self.samples(exact, header["e"], shape, dtype)
            if grid in (None, shape):
                return finished(out)
            values = self.sampler(header["e"]).render(out, grid)
        else:
            decoder = self.decoder(archive, header)
            tiles = [tile(stream, header, decoder.tensors) for stream in streams]
            values = decoder.render(tiles, tiling, shape, grid or shape) / unit
        return finished((np.rint(values) if dtype.kind in "iu" else values).astype(dtype))

    def samples(self, exact, coding, shape, dtype):
        number, coder, data = exact
        kind, base, step, span, bound = coding["d"][number]
        check(kind < 4, "an unknown domain")
        if kind == 2:
            plain = zstandard.ZstdDecompressor().decompress(data)
            return np.frombuffer(plain, dtype.newbyteorder("<")).reshape(shape).astype(dtype)
        if kind == 3:
            planes = np.frombuffer(zstandard.ZstdDecompressor().decompress(base), np.uint8)
            palette = np.frombuffer(planes.reshape(8, span).T.tobytes(), "<f8")
        least = shape[0] * shape[1] // (1024, 4096, 1024, 512)[coder]
        stream = Stream(unpad(data, least))
        if coder == 0:
            network = self.network(f"contexts-{coding['n']}")
            codes = LabelMap(stream, shape, span, bound, network).decode()
        elif coder == 1:
            codes = blended(stream, shape, span)
        elif coder == 2:
            codes = dct(stream, shape, span, self.network("waves-1"))
        else:
            network, start = self.network("contexts-3"), self.network("mixing-1")
            codes = Mixed(stream, shape, span, bound, network, start).decode()
        if kind == 0:
            return (base + step * codes.astype(np.float64)).astype(dtype)
        if kind == 3:
            return palette[codes].astype(dtype)
        codes = codes + base
        if dtype.kind == "f":
            mask = (1 << (8 * dtype.itemsize - 1)) - 1
            codes = np.where(codes < 0, codes ^ mask, codes).astype(f"i{dtype.itemsize}")
            return codes.view(dtype.newbyteorder("=")).astype(dtype)
        return codes.astype(dtype)
