"""How much repair recovers from damaged archives: `python benchmarks/repair.py [ARCHIVES]`.

Archives of 60 records of up to 90 bytes, in pages of ten, under two alternating headers, with 1 to
8 random damages of up to 512 bytes anywhere after the first header; plain, journalled, without
keys. The ten records of a page are one block. Records of undamaged blocks are counted by whether
their page is intact.
"""

from __future__ import annotations

import io
import sys
from collections import Counter

import numpy as np

from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.salvage import salvage
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import RepairError
from velcodec.formats.latent_coding.coding import TileCoding

RECORDS, OF_PAGE, OF_HEADER = 60, 10, 20
KINDS = {"plain": {}, "journalled": {"journal": True}, "without keys": {"keys": False}}


def header(number: int) -> Header:
    """One of two headers."""
    return Header(
        bytes(32), "a", (Layout(70, 70 + number),), TileCoding(1500.0, 1.0, 12, {0: 1 << 14})
    )


def written(*, journal: bool = False, keys: bool = True) -> bytes:
    """An archive of records of random bytes."""
    random = np.random.default_rng(0)
    stream = io.BytesIO()
    writer = VlatWriter(stream, header(0), journal=journal)
    for i in range(RECORDS):
        writer.use(header(i // OF_HEADER % 2))
        payload = random.bytes(int(random.integers(0, 90)))
        writer.add(payload, f"key {i}" if keys else None, fields={"line": i})
        if i % OF_PAGE == OF_PAGE - 1:
            writer.end_page()
    writer.close()
    return stream.getvalue()


def damaged(data: bytes, first: int, random: np.random.Generator) -> tuple[bytes, np.ndarray]:
    """The archive with random bytes in some places, and the positions of these bytes."""
    spoilt, hit = bytearray(data), np.zeros(len(data), bool)
    for _ in range(random.integers(1, 9)):
        at = int(random.integers(first, len(data)))
        end = min(len(data), at + int(2 ** random.uniform(0, 9)))
        spoilt[at:end] = random.bytes(end - at)
        hit[at:end] = True
    return bytes(spoilt), hit


def count(data: bytes, archives: int) -> Counter[str]:
    """The fate of undamaged records with an intact header."""
    reader, random = VlatReader(data), np.random.default_rng(0)
    pages = [entry.place for entry in reader.directory.pages]
    headers = reader.directory.headers
    spots = []
    for number in range(RECORDS):
        block = reader.locate(number)
        spots.append((block.at, block.at + block.size))
    found: Counter[str] = Counter()
    for _ in range(archives):
        spoilt, hit = damaged(data, spots[0][0], random)
        try:
            saved = {record.number: record for record in salvage(spoilt, "archive").records}
        except RepairError:
            saved = {}
        for number, (begin, end) in enumerate(spots):
            which, page_at = reader.header_number(number), pages[number // OF_PAGE]
            needed = [(begin, end)] + [(p.at, p.at + p.size) for p in headers[which - 1 : which]]
            if any(hit[a:b].any() for a, b in needed):
                continue
            page_there = not hit[page_at.at : page_at.at + page_at.size].any()
            record = saved.get(number)
            fate = "lost"
            if record is not None:
                assert spoilt[record.start : record.stop] == reader.payload(number)
                assert record.header == which
                fate = "saved"
            found[f"{'page there' if page_there else 'page lost'}: {fate}"] += 1
    return found


def main(archives: int = 1500) -> None:
    """Print the counts of each kind of archive, and of all."""
    total: Counter[str] = Counter()
    for name, options in KINDS.items():
        found = count(written(**options), archives)
        total += found
        print(f"{name:14}", dict(sorted(found.items())), flush=True)
    print(f"{'all':14}", dict(sorted(total.items())))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
