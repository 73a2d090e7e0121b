"""The file: sections, directory, headers, pages, records (docs/format.md)."""

import json
import zlib
from pathlib import Path

import msgpack
import numpy as np
import zstandard

HEADER_KEYS, PAGE_KEYS = set("hnlcifpravme"), set("bxwcrkqf")
FACTS = {"title", "creator", "citation", "doi", "crs", "vertical", "datum"}


def check(holds, what):
    if not holds:
        raise ValueError(what)


def check_keys(mapping, known):
    for key in mapping:
        check(key in known or "a" <= key[:1] <= "z", f"unknown feature {key!r}")


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def unpacked(data):
    """Msgpack, with letters in place of their codes as keys of mappings."""
    return lettered(msgpack.unpackb(data, strict_map_key=False))


def lettered(value):
    if isinstance(value, list):
        return [lettered(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {chr(k) if type(k) is int else k: lettered(each) for k, each in value.items()}
    check(len(found) == len(value), "a key twice")
    return found


def squeezed(data):
    if data[0] == 0:
        return data[1:]
    check(data[0] == 1, "unknown compression")
    return zstandard.ZstdDecompressor().decompress(data[1:])


def section(data, at, kind, stamp=None):
    check(data[at] == 0 and data[at + 1 : at + 2] == kind, f"no section {kind} at {at}")
    length, body = varint(data, at + 2)
    end = body + length
    found = int.from_bytes(data[end : end + 4], "little")
    check(zlib.crc32(data[at + 1 : end]) ^ (stamp or 0) == found, "sum")
    return (data[body:end], found) if stamp is None else data[body:end]


def block(data, stamp, first, header):
    """The payloads of a block, of which record `first` is the first."""
    before = stamp.to_bytes(4, "little") + first.to_bytes(8, "little")
    total = zlib.crc32(data[:-4]) ^ zlib.crc32(before) ^ header
    check(total == int.from_bytes(data[-4:], "little"), "sum of a block")
    count, at = varint(data, 0)
    least, at = varint(data, at)
    lengths = [least]
    if count > 1:
        more, used = rice(data[at + 1 :], count, data[at])
        lengths = [least + each for each in more]
        at += 1 + used
    check(1 <= count <= 64 and at + sum(lengths) + 4 == len(data), "lengths in a block")
    ends = [at + sum(lengths[: k + 1]) for k in range(count)]
    return [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def running(distances):
    return np.cumsum(np.array(distances, dtype=object)).tolist()


def find_directory(data, stamp):
    """The directory that the last valid tail leads to, as its arrays, and where it is."""
    end = len(data)
    while end > 9:
        at = end - 8
        if data[at + 4 : end] == b"vlt\n":
            try:
                size = int.from_bytes(data[at : at + 4], "little")
                body = section(data, at - size, b"L", stamp)
                return unpacked(squeezed(body)), at - size
            except (ValueError, IndexError):
                pass
        end = data.rfind(b"vlt\n", 0, end - 1) + 4
        check(end > 3, "no directory")
    raise ValueError("no directory")


def check_apart(arrays):
    """Check that no section in the directory is inside another or listed twice."""
    pages, later, decoders, others = arrays
    half = len(pages) // 2
    spans = list(zip(running(pages[:half]), pages[half:], strict=True))
    for flat in (later, decoders):
        spans += zip(running(flat[::2]), flat[1::2], strict=True)
    spans = sorted([*spans, *zip(running(others[1::3]), others[2::3], strict=True)])
    ends = [at + size for at, size in spans]
    after = [at for at, _ in spans[1:]]
    check(all(a <= b for a, b in zip(ends, after, strict=False)), "a section within another")


def column(packed, count):
    if packed[0] == "t":
        _, distinct, texts, codes = packed
        texts = msgpack.unpackb(squeezed(texts))
        width = 1 if distinct <= 256 else 2 if distinct <= 65536 else 4
        return [texts[code] for code in np.frombuffer(squeezed(codes), f"<u{width}")]
    dtype = np.dtype(packed[0])
    planes = np.frombuffer(squeezed(packed[1]), np.uint8).reshape(dtype.itemsize, count)
    return np.frombuffer(planes.T.tobytes(), dtype).tolist()


def rice(data, count, low):
    """So many integers, and the bytes that they take."""
    bits = "".join(f"{byte:08b}"[::-1] for byte in data)
    place, high = 0, []
    for _ in range(count):
        end = bits.index("0", place)
        high.append(end - place)
        place = end + 1
    values = []
    for ones in high:
        values.append((ones << low) + int(bits[place : place + low][::-1] or "0", 2))
        place += low
    return values, (place + 7) // 8


def rice_column(data, count):
    """So many integers of a column of quality, and the bytes behind it."""
    if count == 0:
        return [], data
    base, at = varint(data, 0)
    base = unfolded(base)
    if count == 1:
        return [base], data[at:]
    how, data = data[at], data[at + 1 :]
    if how == 14:
        length, at = varint(data, 0)
        more = zstandard.ZstdDecompressor().decompress(data[at : at + length])
        check(len(more) == count, "a column of other records")
        return [base + v for v in more], data[at + length :]
    if how == 15:
        return [base] * count, data
    check(how < 32 and how % 16 <= 8, "an unknown column of quality")
    more, used = rice(data, count, how % 16)
    if how >= 16:
        more = [unfolded(v) for v in more]
    return [base + v for v in more], data[used:]


def unfolded(value):
    """The integer of either sign that stands as 0, -1, 1, -2, ... in this place."""
    return -(value + 1) // 2 if value % 2 else value // 2


def quality(data, count):
    """PSNR in dB, MAE and maximum error in m/s, distance; None where unknown."""
    first, data = rice_column(data, count)
    psnr = [100 if v == 0 else v - 1 for v in first]
    measured = [p for p, v in zip(psnr, first, strict=True) if v]
    columns = []
    for _ in range(2):
        column, data = rice_column(data, len(measured))
        own = iter(87 - 2 * p // 3 + v for p, v in zip(measured, column, strict=True))
        columns.append([next(own) if v else 0 for v in first])
    column, data = rice_column(data, count)
    check(not data, "bytes behind the quality")
    figures = []
    for p, mae, most, distance in zip(psnr, *columns, [(v - 1) % 256 for v in column], strict=True):
        check(all(0 <= b <= 255 for b in (p, mae, most, distance)), "quality out of range")
        errors = [
            0.0 if b == 0 else None if b == 255 else 2.0 ** ((b - 1) / 4 - 10) for b in (mae, most)
        ]
        figures.append((float(p), *errors, None if distance == 255 else distance / 4))
    return figures


class Archive:
    """One file: `headers`, and for every record its payload, header, key, figures and fields."""

    def __init__(self, data):
        check(data[:8] == b"\x89VLT\r\n\x1a\n", "no archive")
        check(data[8] == 1, f"version {data[8]}")
        first, self.stamp = section(data, 9, b"H")
        behind = varint(data, 11)[1] + len(first) + 4
        arrays, place = find_directory(data, self.stamp)
        check(len(arrays) <= 4, "a directory of a later version")
        pages, later, decoders, others = arrays + [[]] * (4 - len(arrays))
        inside = pages if isinstance(pages, dict) else None
        if inside is not None:
            pages = []
        check_apart([pages[: len(pages) // 2], later, decoders, others])
        self.others, self.measured = [], False
        for kind, at in zip(others[::3], running(others[1::3]), strict=True):
            check(97 <= kind <= 122, f"unknown section {chr(kind)!r}")
            self.others.append((chr(kind), section(data, at, bytes([kind]), self.stamp)))
        first = unpacked(first[4:])
        check(first.pop("b", 0) == 0, "a header of another number")
        self.headers = [first]
        for number, at in enumerate(running(later[::2]), 1):
            merged = first | unpacked(section(data, at, b"H", self.stamp))
            check(merged.pop("b", 0) == number, "a header of another number")
            self.headers.append({k: v for k, v in merged.items() if v is not None})
        for header in self.headers:
            check_keys(header, HEADER_KEYS)
            check_keys(header.get("a", {}), FACTS)
            vertical = header.get("a", {}).get("vertical", "depth")
            check(vertical in ("depth", "elevation", "time"), f"unknown z {vertical!r}")
        self.decoders = [section(data, at, b"D", self.stamp) for at in running(decoders[::2])]
        self.payloads, self.header_of, self.keys, self.quality, self.fields = [], [], [], [], []
        n = len(pages) // 4
        starts = running(pages[2 * n : 3 * n])
        for at, start, count in zip(running(pages[:n]), starts, pages[3 * n :], strict=True):
            if data[at + 1 : at + 2] == b"L":  # inside an earlier directory
                page = unpacked(squeezed(section(data, at, b"L", self.stamp)))[0]
            else:
                page = unpacked(section(data, at, b"P", self.stamp))
            check(self._page(data, page, start) == count, "a page of other records")
        if inside is not None:
            check(inside.get("b", 0) == 0 and place > behind, "a page inside of others")
            self._page(data, inside, behind)

    def _page(self, data, page, at):
        """Take the records of a page, whose blocks begin at a place, and return their number."""
        check_keys(page, PAGE_KEYS)
        check(page.get("b", 0) == len(self.payloads), "a page of other numbers")
        if isinstance(page["x"], int):
            sizes, counts = [page["x"]], [page.get("c", 1)]
        else:
            sizes = np.frombuffer(squeezed(page["x"]), f"<u{page.get('w', 1)}").tolist()
            counts = list(squeezed(page["c"])) if "c" in page else [1] * len(sizes)
        count = sum(counts)
        runs, blocks = page.get("r", [0, len(sizes), 0]), zip(sizes, counts, strict=True)
        check(all(header < 65536 for header in runs[2::3]), "more headers than there may be")
        for gap, some, header in zip(runs[::3], runs[1::3], runs[2::3], strict=True):
            at += gap
            for _ in range(some):
                size, own = next(blocks)
                payloads = block(data[at : at + size], self.stamp, len(self.payloads), header)
                check(len(payloads) == own, "a block of other records")
                self.payloads += payloads
                self.header_of += [header] * own
                at += size
        numbers = range(len(self.keys), len(self.payloads))
        keys = msgpack.unpackb(squeezed(page["k"])) if "k" in page else map(str, numbers)
        self.keys += keys
        self.measured |= "q" in page
        self.quality += (
            quality(page["q"], count) if "q" in page else [(0.0, None, None, None)] * count
        )
        columns = {name: column(c, count) for name, c in page.get("f", {}).items()}
        self.fields += [{name: c[i] for name, c in columns.items()} for i in range(count)]
        return count


def volume(payload, header):
    """Layout, and the domain, edges, streams and numbers of absent samples of the bricks of a
    volume; None for a section.
    """
    at = layout = 0
    if len(header["l"]) > 1:
        layout, at = varint(payload, at)
    if len(header["l"][layout]["s"]) == 2:
        return None
    table = payload[at:]
    domain, at = varint(table, 0)
    edges, counts = [], []
    for size in header["l"][layout]["s"]:
        edge, at = varint(table, at)
        check(min(4, size) <= edge <= size, "bricks of impossible edges")
        edges.append(edge)
        counts.append(-(-size // edge))
    count = counts[0] * counts[1] * counts[2]
    columns = 3 if "n" in header["l"][layout] else 2
    end = at + 4 * columns * count
    check(count <= 1 << 22 and len(table) >= end + 4, "more bricks than there may be")
    check(zlib.crc32(table[:end]) == int.from_bytes(table[end : end + 4], "little"), "sum")
    lengths, sums, *absent = np.frombuffer(table[at:end], "<u4").reshape(columns, count).tolist()
    at, streams = end + 4, []
    for length, expected in zip(lengths, sums, strict=True):
        streams.append(table[at : at + length])
        check(zlib.crc32(streams[-1]) == expected, "sum of a brick")
        at += length
    check(at == len(table), "bytes behind the last brick")
    return layout, domain, edges, streams, absent[0] if absent else [0] * count


def record(payload, header):
    """Layout, the exact stream as (domain, coder, bytes), tiling, tile streams, and the stream of
    absent samples.
    """
    at = layout = 0
    if len(header["l"]) > 1:
        layout, at = varint(payload, at)
    nz, nx = header["l"][layout]["s"]
    tiling, exact, absent = (1, 1, nz, nx), None, None
    if "n" in header["l"][layout]:
        more, at = varint(payload, at)
        if more:
            absent = payload[at : at + more - 1]
            at += more - 1
    if "e" in header:
        r, at = varint(payload, at)
        if r:
            (domain, coder), kept = divmod((r - 1) // 2, 4), (r - 1) % 2
            length, at = varint(payload, at) if kept else (len(payload) - at, at)
            exact = domain, coder, payload[at : at + length]
            at += length
            if not kept:
                return layout, exact, tiling, [], absent
    if header.get("i"):
        tiles_z, at = varint(payload, at)
        tiles_x, at = varint(payload, at)
        if tiles_z * tiles_x > 1:
            tile_nz, at = varint(payload, at)
            tile_nx, at = varint(payload, at)
            tiling = tiles_z, tiles_x, tile_nz, tile_nx
    lengths = []
    for _ in range(tiling[0] * tiling[1] - 1):
        length, at = varint(payload, at)
        lengths.append(length)
    streams = []
    for length in [*lengths, len(payload) - at - sum(lengths)]:
        streams.append(payload[at : at + length])
        at += length
    return layout, exact, tiling, streams, absent


def open_archives(path):
    """The archives of a file, or of a folder with a manifest."""
    path = Path(path)
    if path.is_file():
        return [Archive(path.read_bytes())]
    manifest = json.loads((path / "manifest.json").read_text())
    check(manifest["format"] == "velcodec-shards-1", "unknown manifest")
    check_keys(manifest, {"format", "models", "shards"})
    found = [Archive((path / shard["name"]).read_bytes()) for shard in manifest["shards"]]
    for archive, shard in zip(found, manifest["shards"], strict=True):
        check_keys(shard, {"name", "models", "bytes", "stamp"})
        check(len(archive.payloads) == shard["models"], "a shard of other models")
        stamp = archive.stamp.to_bytes(4, "little").hex()
        check(shard.get("stamp", stamp) == stamp, "another shard")
    return found


def safetensors(data):
    """Tensors by name, and the metadata."""
    start = 8 + int.from_bytes(data[:8], "little")
    about = json.loads(data[8:start])
    metadata = about.pop("__metadata__", {})
    kinds = {"F": "<f", "I": "<i", "U": "<u"}
    tensors = {}
    for name, entry in about.items():
        dtype = kinds[entry["dtype"][0]] + str(int(entry["dtype"][1:]) // 8)
        first, last = (start + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[first:last], dtype).reshape(entry["shape"])
    return tensors, metadata
