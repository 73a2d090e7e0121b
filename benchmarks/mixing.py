"""Lossless bytes of models as mixed decisions, bit for bit and within a bound, and what they take.

    VELCODEC_REAL_DATA=FOLDER python -m benchmarks.mixing
    python -m benchmarks.mixing --folder FOLDER --only curvefault_a_figure

The last 40 models of each file that is there, in exact steps or in even ones of about twice the
bound. "single": each stream begins as released ones do; "solid": as the one before it ended, which
no archive does. Every stream is decoded and compared. Streams alone, without header and index.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

from velcodec.formats.sample_coding.domain import allowed_codes, bounded_domains, exact_domain
from velcodec.formats.sample_coding.mixing.coder import (
    decode_mixed,
    encode_mixed,
    released_start,
    write,
)

SETS = (
    ("flatvel_a", 0.0, False),
    ("curvevel_a", 0.0, False),
    ("curvefault_a_figure", 0.0, False),
    ("style_a_figure", 0.0, True),
    ("flatfault_a", 10.0, False),
    ("flatfault_a", 25.0, False),
    ("segsalt_slices", 10.0, False),
    ("marmousi2_10m", 10.0, False),
)
"""File, bound (m/s, 0: exact), and whether its models are smooth."""

LAST = 40


def line_of(file: Path, bound: float, smooth: bool) -> str:
    """Mean bytes of streams of their own and of a solid one, ms to encode and to decode."""
    array = np.load(file)
    models = list(array.reshape(-1, *array.shape[-2:])[-LAST:])
    domain = bounded_domains(models, bound)[0] if bound else exact_domain(models)
    going_on = released_start(smooth).copy()
    single, solid, encoding, decoding = 0, 0, 0.0, 0.0
    for model in models:
        allowed = allowed_codes(model, domain, bound)
        assert allowed is not None
        codes, shape = np.ascontiguousarray(allowed[..., 1]), (model.shape[0], model.shape[1])
        begun = time.process_time()
        stream = encode_mixed(codes, domain.span, domain.bound, smooth)
        encoded = time.process_time()
        found = decode_mixed(stream, shape, domain.span, domain.bound)
        decoding += time.process_time() - encoded
        encoding += encoded - begun
        if not np.array_equal(found, codes):
            raise SystemExit(f"{file}: other samples were decoded than encoded")
        single += len(stream)
        solid += len(write(codes, domain.span, domain.bound, going_on, smooth))
    means = [size / len(models) for size in (single, solid)]
    each = [1000 * seconds / len(models) for seconds in (encoding, decoding)]
    return f"{file.stem:22}{bound:6g}" + "".join(f"{value:11.1f}" for value in means + each)


@click.command()
@click.option(
    "--folder", envvar="VELCODEC_REAL_DATA", type=click.Path(path_type=Path), required=True
)
@click.option("--only", help="One file, without .npy.")
def main(folder: Path, only: str | None) -> None:
    """Print a line for each set."""
    decode_mixed(encode_mixed(np.eye(9, dtype=np.int64), 2, 0, False), (9, 9), 2, 0)
    columns = ("single", "solid", "ms encode", "ms decode")
    click.echo(f"{'bytes a model':22}{'m/s':>6}" + "".join(f"{name:>11}" for name in columns))
    for name, bound, smooth in SETS:
        file = folder / f"{name}.npy"
        if file.exists() and only in (None, name):
            click.echo(line_of(file, bound, smooth))


if __name__ == "__main__":
    main()
