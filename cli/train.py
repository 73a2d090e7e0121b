"""`velcodec train`: make a new decoder, or a new sampler, from generated models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.progress import progress
from velcodec.cli.report import show_json

if TYPE_CHECKING:
    from velcodec.train.own import OwnModels
    from velcodec.train.trainer import Trainer

SAVE_EVERY_STEPS = 500

own_data = click.option(
    "--data",
    type=options.PATH,
    multiple=True,
    metavar="FILE.npy",
    help="Your own models (m/s), any shape that compress takes; repeat for several files.",
)


@click.group()
def train() -> None:
    """Train a new decoder on generated models or your own; a frozen one is never changed.

    \b
    Example:
      velcodec train run basin.checkpoint --seconds 3600
      velcodec train finish basin.checkpoint basin.safetensors --name basin
    """


@train.command()
@click.argument("checkpoint", type=options.PATH)
@click.option(
    "--recipe",
    type=click.Choice(["mixture", "autodecoder", "paper"]),
    help="How to train.  [default: mixture]",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="Length of the whole run.  [default: mixture 22000, autodecoder 54000]",
)
@click.option(
    "--learning-rate",
    type=float,
    metavar="R",
    help="Peak rate for the decoder.  [default: mixture 0.002, autodecoder 0.001]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    callback=options.assignments,
    help="Any other setting of the recipe, such as batch=32; repeat for several.",
)
@click.option(
    "--init",
    metavar="NAME|HASH|FILE|CHECKPOINT",
    help="Begin a new run with the weights of this decoder, or of another run.",
)
@own_data
@click.option(
    "--generated-share",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="With --data: how many of the examples are generated models all the same.",
)
@click.option("--seconds", type=float, metavar="S", help="Stop after so long; run again to go on.")
@click.option("--compile", "compiled", is_flag=True, help="Compile the networks first (faster).")
@options.device
@options.as_json
def run(
    checkpoint: Path,
    recipe: str | None,
    steps: int | None,
    learning_rate: float | None,
    settings: dict[str, Any],
    init: str | None,
    data: tuple[Path, ...],
    generated_share: float,
    seconds: float | None,
    compiled: bool,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run a recipe, or go on with the run of CHECKPOINT where it stopped.

    CHECKPOINT is replaced as the run goes on; figures are logged beside it as JSON lines. Under
    `torchrun` several processes train together.

    \b
    Example:
      velcodec train run first.checkpoint --seconds 500 --compile
      velcodec train run second.checkpoint --recipe autodecoder --init first.checkpoint
      velcodec train run basin.checkpoint --init velcodec-2 --data basin.npy --steps 4000
    """
    from velcodec.device import pick_device
    from velcodec.parallel import set_threads
    from velcodec.train import parallel
    from velcodec.train.checkpoint import save_checkpoint
    from velcodec.train.log import TrainingLog

    set_threads(threads)
    where = pick_device(device)
    parallel.join(where)
    asked = {"steps": steps, "learning_rate": learning_rate}
    changes = {name: value for name, value in asked.items() if value is not None} | settings
    trainer = _trainer(checkpoint, recipe, changes, init, data, generated_share, str(where))
    if compiled:
        trainer.compile()
    first = parallel.rank_and_size()[0] == 0
    log = TrainingLog(checkpoint.with_suffix(".jsonl"))
    total = trainer.recipe.steps
    with progress(checkpoint.name) as update:

        def report(done: int, figures: dict[str, float]) -> None:
            if first:
                log.add(done, figures)
                update(done, total, "train")
                if done % SAVE_EVERY_STEPS == 0:
                    save_checkpoint(trainer, checkpoint)

        trainer.run(seconds, report)
    if first:
        save_checkpoint(trainer, checkpoint)
        closing = trainer.closing_figures() if trainer.step_number == total else {}
        _show(checkpoint, trainer.step_number, total, log.recent | closing, as_json)
    parallel.leave()


def _trainer(
    checkpoint: Path, recipe: str | None, changes: dict[str, Any], init: str | None,
    data: tuple[Path, ...], generated_share: float, device: str,
) -> Trainer:  # fmt: skip
    """The trainer of a checkpoint, or of a new run where there is none."""
    from velcodec.train import recipes

    own = _own_models(data)
    if checkpoint.exists():
        recipes.check_unchanged(checkpoint, recipe, changes)
        return recipes.resume(checkpoint, device, own)
    return recipes.begin(
        recipe or recipes.DEFAULT_RECIPE, init, own, generated_share, changes, device
    )


def _own_models(data: tuple[Path, ...]) -> OwnModels | None:
    from velcodec.train.own import OwnModels

    return OwnModels(data) if data else None


def _show(checkpoint: Path, step: int, total: int, recent: dict[str, float], as_json: bool) -> None:
    figures = {"checkpoint": checkpoint, "step": step, "steps": total, **recent}
    if as_json:
        show_json(figures)
    else:
        text = ", ".join(f"{name} {value:.2f}" for name, value in recent.items())
        click.echo(f"{checkpoint}: step {step} of {total}; {text}")


@train.command()
@click.argument("checkpoint", type=options.PATH)
@click.argument("target", metavar="DECODER", type=options.PATH)
@click.option("--name", required=True, help="Name of the new decoder.")
@click.option(
    "--models",
    type=click.IntRange(min=64),
    default=640,
    show_default=True,
    help="Fresh models that teach the basis, the prior and the tables.",
)
@own_data
@click.option("--provenance", default="", help="Free text kept in the decoder file.")
@click.option("--licence", default="", help="Free text kept in the decoder file.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads.")
@options.as_json
def finish(
    checkpoint: Path,
    target: Path,
    name: str,
    models: int,
    data: tuple[Path, ...],
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
    from velcodec.parallel import set_threads
    from velcodec.train.build import build

    set_threads(threads)
    info = {"name": name, "provenance": provenance, "licence": licence}
    with progress(checkpoint.name) as update:
        identity = build(checkpoint, target, models, info, _own_models(data), update)
    if as_json:
        show_json({"decoder": target, "name": name, "hash": identity.hex()})
    else:
        click.echo(f"{target}: decoder {name}, {identity.hex()}")


@train.command()
@click.argument("checkpoint", type=options.PATH)
@click.argument("target", metavar="SAMPLER", type=options.PATH)
@click.option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="Length of the run.  [default: 25000]"
)
@click.option("--learning-rate", type=float, metavar="R", help="Peak rate.  [default: 0.003]")
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="[default: 16]")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="[default: 1]")
@click.option(
    "--init", type=options.PATH, metavar="SAMPLER", help="Begin with the weights of this one."
)
@click.option("--seconds", type=float, metavar="S", help="Stop after so long; run again to go on.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads.")
@options.as_json
def sampler(
    checkpoint: Path,
    target: Path,
    init: Path | None,
    seconds: float | None,
    threads: int | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train the sampler that renders stored samples, or go on with the run of CHECKPOINT.

    Its weights so far are written to SAMPLER each time CHECKPOINT is.

    \b
    Example:
      velcodec train sampler sampler.checkpoint sampler.safetensors --seconds 3600
    """
    from velcodec.parallel import set_threads
    from velcodec.sampler.form import read_weights, save_weights
    from velcodec.train.log import TrainingLog
    from velcodec.train.sampler import SamplerTrainer

    set_threads(threads)
    changes = {name: value for name, value in settings.items() if value is not None}
    trainer = SamplerTrainer(**changes, init=None if init is None else read_weights(init))
    if checkpoint.exists():
        trainer.load(checkpoint)
    log = TrainingLog(checkpoint.with_suffix(".jsonl"))

    def keep() -> None:
        trainer.save(checkpoint)
        save_weights(trainer.network.to_weights(), target)

    with progress(checkpoint.name) as update:

        def report(done: int, figures: dict[str, float]) -> None:
            log.add(done, figures)
            update(done, trainer.steps, "train")
            if done % SAVE_EVERY_STEPS == 0:
                keep()

        trainer.run(seconds, report)
    keep()
    _show(checkpoint, trainer.step_number, trainer.steps, log.recent, as_json)


@train.command()
@click.argument("checkpoint", type=options.PATH)
@click.option(
    "--picture", type=options.PATH, metavar="P.png", help="[default: CHECKPOINT's name, .png]"
)
def curves(checkpoint: Path, picture: Path | None) -> None:
    """Draw the curves of the run of CHECKPOINT from the log beside it.

    \b
    Example:
      velcodec train curves basin.checkpoint --picture basin.png
    """
    from velcodec.cli.picture import need_matplotlib
    from velcodec.train.curves import draw_curves, read_log

    need_matplotlib("read the log, which is text")
    lines = read_log(checkpoint.with_suffix(".jsonl"))
    target = picture or checkpoint.with_suffix(".png")
    with target.open("wb") as stream:
        draw_curves(lines, checkpoint.name, stream)
    click.echo(f"{target}: {len(lines)} lines of {checkpoint.with_suffix('.jsonl')}")
