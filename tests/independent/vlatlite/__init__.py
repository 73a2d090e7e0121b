"""A reader of `.vlat` archives that follows docs/format.md, docs/format-exact.md,
docs/format-volumes.md and docs/format-sampler.md step by step and shares no code with velcodec.
Plain Python and NumPy, with zstandard and msgpack; slow, and not a dependency of anything. If
something is not in those pages, it is missing there.
"""

import hashlib
import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import zstandard

from .absent import absent_samples, nearest
from .blended import blended
from .coder import Stream, tile
from .container import Archive, check, open_archives, record, safetensors, varint, volume
from .dct import dct
from .labels import LabelMap
from .mixed import Mixed
from .rendering import Decoder
from .sampler import Sampler
from .volume_sampler import VolumeSampler
from .volumes import brick

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


def raw(data, shape, dtype):
    plain = zstandard.ZstdDecompressor().decompress(data)
    return np.frombuffer(plain, dtype.newbyteorder("<")).reshape(shape).astype(dtype)


RELEASED = {2: "dbd7445333477adec841792620f4a993e3a0565955559a4764abf2ec3aadeeb1"}
"""Identities of released decoders (docs/decoder-card.md)."""


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
        wanted = header["h"]
        if isinstance(wanted, int):
            check(wanted in RELEASED, f"the decoder of number {wanted} is not here")
            wanted = bytes.fromhex(RELEASED[wanted])
        for file in archive.decoders:
            if identity(file) == wanted and wanted not in self.decoders:
                self.decoders[wanted] = Decoder(*safetensors(file))
        check(wanted in self.decoders, "a decoder that is not here")
        return self.decoders[wanted]

    def sampler(self, coding, kind="sampler"):
        """The tensors of the sampler that an exact coding names."""
        path = self.data / f"{kind}-{coding['s']}.safetensors"
        check(path.exists(), f"{kind} {coding['s']} is not here")
        return safetensors(path.read_bytes())[0]

    def layout(self, archive, number):
        """The layout of a model, after the fields that override it."""
        header = archive.headers[archive.header_of[number]]
        own = header["l"][record(archive.payloads[number], header)[0]]
        own = {"a": "n1zx", "t": "<f4", "u": "m/s", "d": [10, 10], "o": [0, 0]} | own
        for key, names in (("d", ("dx_m", "dz_m")), ("o", ("origin_x_m", "origin_z_m"))):
            fields = [archive.fields[number].get(name, "") for name in names]
            there = [value not in ("", None) and value == value for value in fields]
            own[key] = [f if t else v for f, t, v in zip(fields, there, own[key], strict=True)]
        return own

    def model(self, archive, number, grid=None):
        """A model as the user's array, on its native grid or another."""
        header = archive.headers[archive.header_of[number]]
        if bricks := volume(archive.payloads[number], header):
            return self.volume(bricks, header, grid)
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
            return out.T if layout.get("a", "n1zx").endswith("xz") else out

        if exact:
            out = self.samples(exact, header["e"], shape, dtype)
            if grid in (None, shape):
                return finished(out)
            values = Sampler(self.sampler(header["e"])).render(out, grid)
        else:
            decoder = self.decoder(archive, header)
            tiles = [tile(stream, header, decoder.tensors) for stream in streams]
            values = decoder.render(tiles, tiling, shape, grid or shape) / unit
        return finished((np.rint(values) if dtype.kind in "iu" else values).astype(dtype))

    def volume(self, bricks, header, grid):
        """A volume as the user's array, on its native grid or another."""
        layout, domain, edges, streams, counts = bricks
        layout = header["l"][layout]
        shape, dtype = tuple(layout["s"]), np.dtype(layout.get("t", "<f4"))
        out, absent = np.zeros(shape, dtype), np.zeros(shape, bool)
        blank = []
        starts = [range(0, size, edge) for size, edge in zip(shape, edges, strict=True)]
        for stream, start, count in zip(streams, product(*starts), counts, strict=True):
            box = tuple(
                slice(first, min(first + edge, size))
                for first, edge, size in zip(start, edges, shape, strict=True)
            )
            sizes = tuple(each.stop - each.start for each in box)
            if count == math.prod(sizes):
                absent[box] = True
                if not stream:
                    blank.append(box)
                    continue
            elif count:
                length, at = varint(stream, 0)
                mask = Stream(unpad(stream[at : at + length], math.prod(sizes) // 16384))
                absent[box] = absent_samples(mask, sizes)
                check(absent[box].sum() == count, "the number of absent samples")
                stream = stream[at + length :]
            out[box] = self.brick(stream, header["e"], domain, sizes, dtype)
        if grid not in (None, shape):
            known = np.ones(shape, bool)
            for box in blank:
                known[box] = False
            ends = self.ends(header, domain, out[known])
            out[~known] = ends[0]
            sampler = VolumeSampler(self.sampler(header["e"], "volume-sampler"))
            values = sampler.render(out, grid, ends)
            out = (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)
            absent = nearest(absent, grid)
        if absent.any():
            out[absent] = np.nan if layout["n"] == "nan" else layout["n"]
        order = layout.get("a", "nzyx")[-3:]
        return out.transpose(["zyx".index(axis) for axis in order])

    def ends(self, header, domain, samples):
        """The least and the greatest sample of the domain; of a raw one, of the volume."""
        kind, _, _, span, _ = header["e"]["d"][domain]
        if kind == 2:
            return samples.min(), samples.max()
        return tuple(self.values(np.array([0, span - 1]), header["e"], domain, samples.dtype))

    def brick(self, data, coding, number, shape, dtype):
        kind, _, _, span, _ = coding["d"][number]
        check(kind < 4, "an unknown domain")
        if kind == 2:
            return raw(data, shape, dtype)
        return self.values(brick(data, shape, span), coding, number, dtype)

    def samples(self, exact, coding, shape, dtype):
        number, coder, data = exact
        kind, _, _, span, bound = coding["d"][number]
        check(kind < 4, "an unknown domain")
        if kind == 2:
            return raw(data, shape, dtype)
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
        return self.values(codes, coding, number, dtype)

    def values(self, codes, coding, number, dtype):
        """The samples that the integers of a domain stand for."""
        kind, base, step, span, _ = coding["d"][number]
        if kind == 0:
            return (base + step * codes.astype(np.float64)).astype(dtype)
        if kind == 3:
            planes = np.frombuffer(zstandard.ZstdDecompressor().decompress(base), np.uint8)
            palette = np.frombuffer(planes.reshape(8, span).T.tobytes(), "<f8")
            return palette[codes].astype(dtype)
        codes = codes + base
        if dtype.kind == "f":
            mask = (1 << (8 * dtype.itemsize - 1)) - 1
            codes = np.where(codes < 0, codes ^ mask, codes).astype(f"i{dtype.itemsize}")
            return codes.view(dtype.newbyteorder("=")).astype(dtype)
        return codes.astype(dtype)
