"""Lossless bytes of models as numbers, as waves and by least squares, and what the last take.

    python -m benchmarks.smooth                      # generated smooth models, float32
    python -m benchmarks.smooth FILE.npy... --models 10

Streams alone, without header and index; "-" where the integers are too wide for waves.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

from velcodec import synth
from velcodec.formats.sample_coding.dct.coder import encode_waves
from velcodec.formats.sample_coding.dct.coder import fits as fits_waves
from velcodec.formats.sample_coding.domain import Samples, allowed_codes, exact_domain
from velcodec.formats.sample_coding.prediction.blended import encode_numbers
from velcodec.formats.sample_coding.prediction.least_squares import (
    decode_least_squares,
    encode_least_squares,
)

FAMILIES = ("style_a", "style_b")


def sizes_of(name: str, models: list[Samples]) -> str:
    """One line: mean bytes by each coder, ms to encode and decode by least squares."""
    domain = exact_domain(models)
    lengths: list[list[int]] = [[], [], []]
    taken = [0.0, 0.0]
    for model in models:
        allowed = allowed_codes(model, domain, 0.0)
        assert allowed is not None
        codes, shape = allowed[..., 1], (model.shape[0], model.shape[1])
        lengths[0].append(len(encode_numbers(codes, domain.span)))
        if fits_waves(shape, domain.span):
            lengths[1].append(len(encode_waves(allowed, domain.span)))
        begun = time.process_time()
        stream = encode_least_squares(codes, domain.span)
        taken[0] += time.process_time() - begun
        begun = time.process_time()
        decode_least_squares(stream, shape, domain.span)
        taken[1] += time.process_time() - begun
        lengths[2].append(len(stream))
    means = "".join(f"{np.mean(some):10.1f}" if some else f"{'-':>10}" for some in lengths)
    each = "".join(f"{1000 * seconds / len(models):10.1f}" for seconds in taken)
    return f"{name:24}{means}{each}"


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--models", default=10, show_default=True, help="Models of each file or family.")
def main(files: tuple[Path, ...], models: int) -> None:
    """Print a line for each file, or for families of generated models."""
    encode_least_squares(np.zeros((9, 9), dtype=np.int64), 2)  # compiles
    decode_least_squares(encode_least_squares(np.zeros((9, 9), dtype=np.int64), 2), (9, 9), 2)
    columns = ("numbers", "waves", "least sq.", "ms encode", "ms decode")
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
