"""Writing a reader: the first step, after docs/format.md and without velcodec.

Checks the signature and the header's checksum, and prints what the header says. The reader in
tests/independent goes on to every model; the one in velcodec/view/page is in JavaScript.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import msgpack
from common import run


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def header_of(data: bytes) -> dict[str, object]:
    """The first header: layouts, decoder, how latents are coded, ..."""
    if data[:8] != b"\x89VLT\r\n\x1a\n" or data[8] != 1:
        raise ValueError("not an archive of version 1")
    kind = data[10:11]  # after the zero with which a section begins
    if data[9] != 0 or kind != b"H":
        raise ValueError(f"found section {kind!r}, expected the header")
    length, body = varint(data, 11)
    end = body + length
    if zlib.crc32(data[10:end]) != int.from_bytes(data[end : end + 4], "little"):
        raise ValueError("the header is damaged")
    found = msgpack.unpackb(data[body + 4 : end], strict_map_key=False)
    return {chr(key) if isinstance(key, int) else key: value for key, value in found.items()}


def main(folder: Path, small: bool) -> None:
    """Write reader.vlat with velcodec, and header.json without."""
    import numpy as np

    import velcodec

    models = np.full((2, 20, 30), 2500.0, np.float32)
    (folder / "reader.vlat").write_bytes(velcodec.compress(models, lossless=True, licence="CC0"))

    header = header_of((folder / "reader.vlat").read_bytes())
    text = json.dumps(header, default=lambda value: bytes(value).hex(), indent=2)
    (folder / "header.json").write_text(text)
    print(text)


if __name__ == "__main__":
    run(main)
