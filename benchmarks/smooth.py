"""Lossless bytes of smooth models by blended prediction, DCT and mixing, and the time of mixing.

    python -m benchmarks.smooth                      # generated smooth models, float32
    python -m benchmarks.smooth FILE.npy... --models 10

Streams only, without header and index; "-" if an image is too large, or its span too wide.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

from velcodec import synth
from velcodec.formats.sample_coding.dct.coder import encode_dct
from velcodec.formats.sample_coding.dct.coder import fits as fits_dct
from velcodec.formats.sample_coding.domain import Samples, allowed_codes, exact_domain
from velcodec.formats.sample_coding.mixing.coder import decode_mixed, encode_mixed
from velcodec.formats.sample_coding.mixing.coder import fits as fits_mixed
from velcodec.formats.sample_coding.prediction.blended import encode_blended

FAMILIES = ("style_a", "style_b")


def sizes_of(name: str, models: list[Samples]) -> str:
    """One line: mean bytes by each coder, and ms to encode and decode by mixing."""
    domain = exact_domain(models)
    lengths: list[list[int]] = [[], [], []]
    taken = [0.0, 0.0]
    for model in models:
        allowed = allowed_codes(model, domain, 0.0)
        assert allowed is not None
        codes, shape = allowed[..., 1], (model.shape[0], model.shape[1])
        lengths[0].append(len(encode_blended(codes, domain.span)))
        if fits_dct(shape, domain.span):
            lengths[1].append(len(encode_dct(allowed, domain.span)))
        if fits_mixed(shape, domain.span):
            begun = time.process_time()
            stream = encode_mixed(codes, domain.span, domain.bound, smooth=True)
            taken[0] += time.process_time() - begun
            begun = time.process_time()
            decode_mixed(stream, shape, domain.span, domain.bound)
            taken[1] += time.process_time() - begun
            lengths[2].append(len(stream))
    means = "".join(f"{np.mean(some):10.1f}" if some else f"{'-':>10}" for some in lengths)
    each = "".join(f"{1000 * seconds / max(len(lengths[2]), 1):10.1f}" for seconds in taken)
    return f"{name:24}{means}{each}"


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--models", default=10, show_default=True, help="Models per file or family.")
def main(files: tuple[Path, ...], models: int) -> None:
    """Print a line for each file, or for each family of generated models."""
    decode_mixed(encode_mixed(np.eye(9, dtype=np.int64), 2, 0, smooth=True), (9, 9), 2, 0)
    columns = ("blended", "DCT", "mixing", "ms encode", "ms decode")
    click.echo(f"{'lossless bytes':24}" + "".join(f"{column:>10}" for column in columns))
    for file in files:
        array = np.load(file)
        array = array.reshape(-1, *array.shape[-2:])
        some = array[:: max(1, len(array) // models)][:models]
        click.echo(sizes_of(file.stem, list(some)))
    for family in () if files else FAMILIES:
        drawn = synth.draw(family, 5, 0, models).render(70, 70).numpy()
        click.echo(sizes_of(f"{family}, generated", list(drawn)))


if __name__ == "__main__":
    main()
