"""Bytes of sample streams for a PSNR, without latents, headers and index.

    python -m benchmarks.samples FILE.npy... --models 8 --psnr 30,35,42,50

Models are evenly spaced among each file's first 40.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from velcodec.effort import DEFAULT_EFFORT, LEVELS
from velcodec.encode.mean_error import MeanErrorCoder
from velcodec.encode.samples import SampleCoder
from velcodec.encode.tiles import ModelSet
from velcodec.formats.sample_coding.label_map.network import MEAN_ERROR_NETWORK
from velcodec.metrics import mse_of_psnr

FIRST = 40


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--models", default=8, show_default=True, help="Models of each file.")
@click.option("--psnr", default="30,35,42,50", show_default=True, help="dB, comma-separated.")
@click.option("--network", default=MEAN_ERROR_NETWORK, show_default=True, help="Context network.")
def main(files: tuple[Path, ...], models: int, psnr: str, network: int) -> None:
    """Print the mean bytes of a model's samples at each PSNR."""
    targets = [float(target) for target in psnr.split(",")]
    click.echo(f"{'file':24}" + "".join(f"{target:>10g}" for target in targets))
    for file in files:
        array = np.load(file)
        array = array.reshape(-1, *array.shape[-2:])[:FIRST]
        source = ModelSet(list(array[:: max(1, len(array) // models)][:models]), "m/s")
        coder = MeanErrorCoder(SampleCoder(source, network), LEVELS[DEFAULT_EFFORT])
        line = f"{file.stem:24}"
        for target in targets:
            streams = [coder.reaching(i, mse_of_psnr(target)).exact for i in range(len(source))]
            line += f"{np.mean([len(stream.data) for stream in streams]):10.1f}"
        click.echo(line)


if __name__ == "__main__":
    main()
