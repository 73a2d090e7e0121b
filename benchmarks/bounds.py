"""Error bounds and lossless on many generated models: does any sample ever exceed its bound?

    python benchmarks/bounds.py --models 10000

Models of all families in turn, in archives of 50, with each bound in turn; every archive is decoded
by the public reader and compared sample by sample. Prints bytes and greatest errors of each family;
exit code 1 if a bound was broken.
"""

from __future__ import annotations

import sys
import time

import click
import numpy as np

import velcodec
from velcodec import synth

BOUNDS_M_S = (0.0, 0.3, 1.0, 5.0, 10.0, 25.0, 50.0, 200.0)
SHAPES = ((70, 70), (70, 70), (64, 110), (33, 47))
ARCHIVE = 50


@click.command()
@click.option("--models", default=2000, show_default=True)
@click.option("--seed", default=2024, show_default=True)
@click.option("--family", "families", multiple=True, help="Families.  [default: all]")
@click.option("--keep-latent", is_flag=True, help="Keep a latent of the least effort.")
def main(models: int, seed: int, families: tuple[str, ...], keep_latent: bool) -> None:
    """Compress, decode, compare."""
    names = families or tuple(synth.FAMILIES)
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    broken, started = 0, time.perf_counter()
    for number in range(-(-models // ARCHIVE)):
        name = names[number % len(names)]
        bound = BOUNDS_M_S[number // len(names) % len(BOUNDS_M_S)]
        shape = SHAPES[number % len(SHAPES)]
        batch = synth.draw(name, seed, number * ARCHIVE, ARCHIVE).render(*shape).numpy()
        promise = {"max_error": bound} if bound else {"lossless": True}
        fit = {"keep_latent": True, "effort": 1} if keep_latent else {}
        data = velcodec.compress(batch, **promise, **fit)  # type: ignore[arg-type]
        back = velcodec.decompress(data)
        error = np.abs(back.astype(np.float64) - batch.astype(np.float64)).reshape(ARCHIVE, -1)
        bad = error.max(axis=1) > bound
        broken += int(bad.sum())
        found[name].append((len(data), float(error.max() / bound) if bound else 0.0))
        click.echo(
            f"{(number + 1) * ARCHIVE:6} models, {broken} broken, "
            f"{time.perf_counter() - started:.0f} s\r",
            nl=False,
            err=True,
        )
    click.echo("", err=True)
    for name, rows in found.items():
        if rows:
            size = sum(size for size, _ in rows) / (ARCHIVE * len(rows))
            share = max(share for _, share in rows)
            click.echo(
                f"{name:14} {len(rows) * ARCHIVE:6} models {size:8.1f} bytes each, greatest error "
                f"{share:.4f} of the bound"
            )
    click.echo(f"{broken} bounds broken")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
