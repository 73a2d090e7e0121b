"""`velcodec train run | finish`: make a new decoder from generated models."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .progress import progress
from .report import show_json

SAVE_EVERY_STEPS = 500


@click.group()
def train() -> None:
    """Train a new decoder on generated models; a frozen one is never changed.

    \b
    Example:
      velcodec train run basin.checkpoint --seconds 3600
      velcodec train finish basin.checkpoint basin.safetensors --name basin
    """


@train.command()
@click.argument("checkpoint", type=options.PATH)
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Length of the whole run.")
@click.option("--learning-rate", type=float, metavar="R", help="Peak rate for the decoder.")
@click.option(
    "--init", metavar="NAME|HASH|FILE", help="Begin a new run with the weights of this decoder."
)
@click.option("--seconds", type=float, metavar="S", help="Stop after so long; run again to go on.")
@click.option("--compile", "compiled", is_flag=True, help="Compile the networks first (faster).")
@options.device
@options.as_json
def run(
    checkpoint: Path,
    steps: int | None,
    learning_rate: float | None,
    init: str | None,
    seconds: float | None,
    compiled: bool,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run the default recipe, or go on with it where CHECKPOINT stopped.

    CHECKPOINT is replaced as the run goes on; figures are logged beside it as JSON lines.

    \b
    Example:
      velcodec train run basin.checkpoint --seconds 500 --compile
      velcodec train run next.checkpoint --init velcodec-1 --learning-rate 5e-4
    """
    from velcodec.decoder import load_decoder, load_encoder
    from velcodec.device import pick_device, set_threads
    from velcodec.train.log import TrainingLog
    from velcodec.train.mixture import start_or_resume

    set_threads(threads)
    asked = {"steps": steps, "learning_rate": learning_rate}
    changes = {name: value for name, value in asked.items() if value is not None}
    fresh = not checkpoint.exists()
    trainer = start_or_resume(checkpoint, str(pick_device(device)), **changes)
    if init is not None and fresh:
        known = load_decoder(init)
        trainer.start_from(known, load_encoder(known))
    if compiled:
        trainer.compile()
    log = TrainingLog(checkpoint.with_suffix(".jsonl"))
    total = trainer.recipe.steps
    with progress(checkpoint.name) as update:

        def report(done: int, figures: dict[str, float]) -> None:
            log.add(done, figures)
            update(done, total, "train")
            if done % SAVE_EVERY_STEPS == 0:
                trainer.save(checkpoint)

        trainer.run(seconds, report)
    trainer.save(checkpoint)
    figures = {"checkpoint": checkpoint, "step": trainer.step_number, "steps": total, **log.recent}
    if as_json:
        show_json(figures)
    else:
        recent = ", ".join(f"{name} {value:.2f}" for name, value in log.recent.items())
        click.echo(f"{checkpoint}: step {trainer.step_number} of {total}; {recent}")


@train.command()
@click.argument("checkpoint", type=options.PATH)
@click.argument("target", metavar="DECODER", type=options.PATH)
@click.option("--name", required=True, help="Name of the new decoder.")
@click.option(
    "--models",
    type=click.IntRange(min=64),
    default=768,
    show_default=True,
    help="Fresh generated models that teach the basis, the prior and the tables.",
)
@click.option("--provenance", default="", help="Free text kept in the decoder file.")
@click.option("--licence", default="", help="Free text kept in the decoder file.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads.")
@options.as_json
def finish(
    checkpoint: Path,
    target: Path,
    name: str,
    models: int,
    provenance: str,
    licence: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Freeze the run of CHECKPOINT into DECODER and, beside it, its encoder.

    \b
    Example:
      velcodec train finish basin.checkpoint basin.safetensors --name basin
    """
    from velcodec.device import set_threads
    from velcodec.train.build import build

    set_threads(threads)
    info = {"name": name, "provenance": provenance, "licence": licence}
    with progress(checkpoint.name) as update:
        identity = build(checkpoint, target, models, info, update)
    if as_json:
        show_json({"decoder": target, "name": name, "hash": identity.hex()})
    else:
        click.echo(f"{target}: decoder {name}, {identity.hex()}")
