"""Do latents pay for volumes? A `siren-mixture` of (x, y, z), trained and measured.

python -m benchmarks.volumes.latents train RUN.pt --seconds 3600
python -m benchmarks.volumes.latents finish RUN.pt DECODER.pt
python -m benchmarks.volumes.latents measure DECODER.pt --json FILE
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import torch

from velcodec import synth
from velcodec.parallel import set_threads

from .coding import SIDES, Cut, Row, finished, latents_of, samples_of
from .training import Run


@click.group()
def main() -> None:
    """Train, finish and measure a decoder of bricks."""
    torch.set_num_threads(1)
    set_threads(1)


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--seconds", default=3600.0, show_default=True, help="The whole run; a call resumes.")
def train(path: Path, seconds: float) -> None:
    """Train, with checkpoints in PATH."""
    Run(path, seconds).train()


@main.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--count", default=192, show_default=True, help="Bricks that are fitted.")
def finish(path: Path, output: Path, count: int) -> None:
    """From the checkpoint PATH to a decoder that codes."""
    torch.save(finished(torch.load(path), count), output)


@main.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--json", "output", type=click.Path(path_type=Path), required=True)
@click.option("--family", "families", multiple=True, default=synth.VOLUME_FAMILIES)
@click.option("--count", default=1, show_default=True, help="Volumes of each family.")
@click.option("--seed", default=1001, show_default=True, help="Seed of the volumes.")
@click.option("--samples/--no-samples", default=True, help="Measure stored samples too.")
def measure(
    path: Path, output: Path, families: tuple[str, ...], count: int, seed: int, samples: bool
) -> None:
    """Latents and stored samples on volumes that training did not see."""
    decoder, encoder = torch.load(path, weights_only=False)
    found: list[dict[str, Any]] = []
    for family in families:
        for number in range(count):
            cut = Cut.of(family, seed, number)
            row = {"family": family, "number": number}
            row["latents"] = latents_of(decoder, encoder, cut)
            for side in SIDES if samples else ():
                row[f"samples {side}"] = samples_of(cut, side)
            found.append(row)
            output.write_text(json.dumps(found, indent=1) + "\n")
            for kind in list(row)[2:]:
                for each in row[kind]:
                    figures = " ".join(f"{k} {v:.4g}" for k, v in each.items())
                    click.echo(f"{family} {number}: {kind} {figures}", err=True)
            cells = [_curve(row[kind]) for kind in list(row)[2:]]
            click.echo(f"| {family} {number} | " + " | ".join(cells) + " |")


def _curve(rows: list[Row]) -> str:
    """Bytes a brick and PSNR of the rows that no shorter one reaches."""
    told, best = list[str](), 0.0
    for row in sorted(rows, key=lambda row: row["bytes"]):
        if row["psnr"] > best:
            best = row["psnr"]
            told.append(f"{row['bytes']:.0f} B {best:.1f} dB")
    return ", ".join(told)


if __name__ == "__main__":
    main()
