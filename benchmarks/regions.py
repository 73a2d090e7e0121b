"""Would a tile size per region of a large model save bytes, compared with one for the whole?

    python -m benchmarks.regions marmousi2.npy --psnr 30,32,35,38

Models are cut into blocks, each block into tiles of several sizes, and the latents are quantised at
several steps. A Lagrangian search finds the fewest bytes at a mean error: with a step per block and
one tile size for all, and with both free. Over an hour for Marmousi2.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from velcodec.encode.coded import TILE_OVERHEAD_BITS
from velcodec.encode.fitting import Fitted, quantise_tiles
from velcodec.encode.setup import Coding, make_fitter
from velcodec.encode.tiles import ModelSet, cut_models
from velcodec.formats.arrays import Float64
from velcodec.metrics import mse_of_psnr
from velcodec.quantise import Passes

STEPS = range(4, 33, 4)
PRICES = np.logspace(-8, 2, 400)
"""Lagrange multipliers to try: bytes per squared error in (m/s)^2."""


def blocks_of(file: Path, size: int) -> list[Float64]:
    """All complete blocks of every model of a file, m/s."""
    models = np.load(file).astype(np.float64)
    return [
        model[z : z + size, x : x + size]
        for model in models.reshape(-1, *models.shape[-2:])
        for z in range(0, model.shape[0] - size + 1, size)
        for x in range(0, model.shape[1] - size + 1, size)
    ]


def ways_of(blocks: list[Float64], tile: int) -> list[tuple[Float64, Float64]]:
    """Mean squared error and bytes of each block, at each step."""
    fitter = make_fitter(Coding())
    cut = cut_models(ModelSet(blocks, "m/s"), np.arange(len(blocks)), tile, 1.0)
    fitted = Fitted.empty(fitter, cut)
    fitted.fit(fitter)
    found = []
    for step in STEPS:
        tiles = quantise_tiles(fitter, fitted, np.full(len(cut), step), passes=Passes(1, 1))
        sums = [
            np.bincount(cut.owner, each, minlength=len(blocks))
            for each in (tiles.error, tiles.bits + TILE_OVERHEAD_BITS)
        ]
        found.append((sums[0] / np.bincount(cut.owner), sums[1] / 8))
    return found


def fewest(ways: list[tuple[Float64, Float64]], allowed: float) -> float:
    """Fewest bytes over all blocks, each coded in one of these modes, at a mean squared error."""
    errors, sizes = (np.array(each) for each in zip(*ways, strict=True))
    best = np.inf
    for price in PRICES:
        chosen = (sizes + price * errors).argmin(0), np.arange(errors.shape[1])
        if errors[chosen].mean() <= allowed:
            best = min(best, float(sizes[chosen].sum()))
    return best


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--block", default=140, show_default=True, help="Samples along a block's side.")
@click.option("--tiles", default="140,70,48,35,24,16", show_default=True, help="Tile sizes.")
@click.option("--psnr", default="30,32,35,38", show_default=True, help="dB, comma-separated.")
def main(files: tuple[Path, ...], block: int, tiles: str, psnr: str) -> None:
    """Print bytes with one tile size, and with one for each block, at each PSNR."""
    for file in files:
        blocks = blocks_of(file, block)
        ways = []
        for tile in map(int, tiles.split(",")):
            click.echo(f"{file.stem}: {len(blocks)} blocks, tiles of {tile}", err=True)
            ways.append(ways_of(blocks, tile))
        for target in map(float, psnr.split(",")):
            allowed = mse_of_psnr(target)
            one = min(fewest(way, allowed) for way in ways)
            free = fewest([each for way in ways for each in way], allowed)
            click.echo(f"{file.stem}: {target:g} dB: one size {one:,.0f}, by block {free:,.0f}")


if __name__ == "__main__":
    main()
