"""Speed of the latents' entropy coder, compared with a copy of the same symbols and with zstd.

`python -m benchmarks.symbols`. Coefficients are drawn from the distribution of the decoder's tables
and coded in batches of as many tiles as in archives, as complete tile streams (choice of the record
class, value ranges, checks). A symbol counts as one byte. Each figure is the best of several runs,
in CPU seconds; ratios are to the copy in the same run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import zstandard

from benchmarks.shared import drawn_coefficients, seconds
from velcodec.archive.numbers import MODELS_AT_ONCE
from velcodec.decode.stored import join_tiles, tables_of, take_tiles
from velcodec.decoder import Decoder, load_decoder
from velcodec.formats.latent_coding.stream import TileCoding, Tiles, decode_tiles, encode_tiles

ZSTD_LEVEL = 3


def drawn_tiles(decoder: Decoder, n: int, seed: int = 0) -> Tiles:
    """n tiles at the decoder's default step, with equally frequent record classes."""
    random, tables = np.random.default_rng(seed), tables_of(decoder)
    each = n // len(tables.classes) + 1
    parts = [
        drawn_coefficients(tables, classes, each, random)
        for classes in tables.classes[:, decoder.default_step]
    ]
    coefficients = random.permutation(np.concatenate(parts))[:n]
    ends = 1500.0 + 8.0 * random.integers(0, 200, (2, n))
    step = np.full(n, decoder.default_step, dtype=np.int64)
    return Tiles(coefficients, step, ends[0], ends[1] + 1600.0)


def main() -> None:
    """Print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decoder")
    parser.add_argument("--tiles", type=int, default=16 * MODELS_AT_ONCE)
    parser.add_argument("--batch", type=int, default=MODELS_AT_ONCE, help="tiles coded together")
    parser.add_argument("--runs", type=int, default=7)
    asked = parser.parse_args()
    decoder = load_decoder(asked.decoder)
    tables, tiles = tables_of(decoder), drawn_tiles(decoder, asked.tiles)
    coding = TileCoding.for_tiles(tiles.low, tiles.high, tiles.step, 8.0)
    cuts = [slice(first, first + asked.batch) for first in range(0, len(tiles), asked.batch)]
    batches = [take_tiles(tiles, cut) for cut in cuts]
    coded = [encode_tiles(batch, tables, coding) for batch in batches]
    back = join_tiles([decode_tiles(streams, tables, coding) for streams in coded])
    if not np.array_equal(back.coefficients, tiles.coefficients):
        raise SystemExit("decoding did not give back what was encoded")
    symbols = tiles.coefficients.clip(-128, 127).astype(np.int8)
    packer, unpacker = zstandard.ZstdCompressor(ZSTD_LEVEL), zstandard.ZstdDecompressor()
    packed = packer.compress(symbols.tobytes())
    plain, size = symbols.tobytes(), sum(len(stream) for streams in coded for stream in streams)
    rows: list[tuple[str, int, Callable[[], object]]] = [
        ("copy", len(plain), symbols.copy),
        ("zstd 3, compress", len(packed), lambda: packer.compress(plain)),
        ("zstd 3, decompress", len(packed), lambda: unpacker.decompress(packed)),
        ("encode", size, lambda: [encode_tiles(batch, tables, coding) for batch in batches]),
        ("decode", size, lambda: [decode_tiles(streams, tables, coding) for streams in coded]),
    ]
    print(f"{len(tiles)} tiles of {tables.latent_size} symbols, {asked.batch} together\n")
    print("| | MB/s (million symbols/s) | of a copy | bits a symbol |\n|---|---|---|---|")
    copy = 0.0
    for name, length, work in rows:
        speed = len(plain) / seconds(work, asked.runs) / 1e6
        copy = copy or speed
        print(f"| {name} | {speed:.1f} | {speed / copy:.4f} | {8 * length / len(plain):.2f} |")


if __name__ == "__main__":
    main()
