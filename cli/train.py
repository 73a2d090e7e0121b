"""`velcodec train`: make a new decoder, or a new sampler, from generated models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.progress import progress
from velcodec.cli.report import say, show_json

if TYPE_CHECKING:
    from velcodec.train.own import OwnModels
    from velcodec.train.trainer import Trainer

SAVE_EVERY_STEPS = 500
Store = Callable[[Path], None]

user_data = click.option(
    "--data",
    type=options.PATH,
    multiple=True,
    metavar="FILE.npy",
    help="Your own models (m/s), in any shape that compress takes; may be repeated.",
)


@click.group()
def train() -> None:
    """Train a new decoder on generated models or your own. Frozen decoders never change.

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
    help="Training recipe.  [default: mixture]",
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
    help="Any other setting of the recipe, such as batch=32; may be repeated.",
)
@click.option(
    "--init",
    metavar="NAME|HASH|FILE|CHECKPOINT",
    help="Start a new run from the weights of this decoder or run.",
)
@user_data
@click.option(
    "--generated-share",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="With --data: share of the examples that are generated models.",
)
@click.option(
    "--seconds", type=float, metavar="S", help="Stop after this time; run again to continue."
)
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
    """Run a recipe, or continue the run of CHECKPOINT.

    CHECKPOINT is updated during the run; figures are logged beside it as JSON lines. Under
    `torchrun`, several processes train together.

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
    """The trainer of a checkpoint, or of a new run if it does not exist."""
    from velcodec.train import recipes

    own_models = _own_models(data)
    if checkpoint.exists():
        recipes.check_unchanged(checkpoint, recipe, changes)
        return recipes.resume(checkpoint, device, own_models)
    return recipes.begin(
        recipe or recipes.DEFAULT_RECIPE, init, own_models, generated_share, changes, device
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
        say(f"{checkpoint}: step {step} of {total}; {text}")


@train.command()
@click.argument("checkpoint", type=options.PATH)
@click.argument("target", metavar="DECODER", type=options.PATH)
@click.option("--name", required=True, help="Name of the new decoder.")
@click.option(
    "--models",
    type=click.IntRange(min=64),
    default=640,
    show_default=True,
    help="New models from which basis, prior and tables are estimated.",
)
@user_data
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
    """Freeze the run of CHECKPOINT into DECODER, with its encoder beside it.

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
        say(f"{target}: decoder {name}, {identity.hex()}")


@train.command()
@click.argument("checkpoint", type=options.PATH)
@click.argument("target", metavar="SAMPLER", type=options.PATH)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="Length of the run.  [default: 25000; volumes: 2000]",
)
@click.option(
    "--learning-rate", type=float, metavar="R", help="Peak rate.  [default: 0.003; volumes: 0.004]"
)
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="[default: 16; volumes: 6]")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="[default: 1]")
@click.option("--volume", is_flag=True, help="Train the sampler of volumes.")
@click.option(
    "--init", type=options.PATH, metavar="SAMPLER", help="Start from the weights of this sampler."
)
@click.option(
    "--seconds", type=float, metavar="S", help="Stop after this time; run again to continue."
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads.")
@options.as_json
def sampler(
    checkpoint: Path,
    target: Path,
    volume: bool,
    init: Path | None,
    seconds: float | None,
    threads: int | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train the sampler that renders stored samples, or continue the run of CHECKPOINT.

    SAMPLER is updated whenever CHECKPOINT is.

    \b
    Example:
      velcodec train sampler sampler.checkpoint sampler.safetensors --seconds 3600
    """
    from velcodec.parallel import set_threads
    from velcodec.train.log import TrainingLog

    set_threads(threads)
    changes = {name: value for name, value in settings.items() if value is not None}
    trainer, store = (_volume_sampler if volume else _model_sampler)(init, changes)
    if checkpoint.exists():
        trainer.load(checkpoint)
    log = TrainingLog(checkpoint.with_suffix(".jsonl"))

    def save() -> None:
        trainer.save(checkpoint)
        store(target)

    with progress(checkpoint.name) as update:

        def report(done: int, figures: dict[str, float]) -> None:
            log.add(done, figures)
            update(done, trainer.steps, "train")
            if done % SAVE_EVERY_STEPS == 0:
                save()

        trainer.run(seconds, report)
    save()
    _show(checkpoint, trainer.step_number, trainer.steps, log.recent, as_json)


def _model_sampler(init: Path | None, changes: dict[str, Any]) -> tuple[Any, Store]:
    """A run of the sampler of models, and what stores its weights."""
    from velcodec.sampler.form import SamplerWeights
    from velcodec.train.sampler import SamplerTrainer

    start = None if init is None else SamplerWeights.read(init)
    trainer = SamplerTrainer(**changes, init=start)
    return trainer, lambda target: trainer.network.to_weights().save(target)


def _volume_sampler(init: Path | None, changes: dict[str, Any]) -> tuple[Any, Store]:
    """A run of the sampler of volumes, and what stores its weights."""
    from velcodec.sampler.volume.form import VolumeWeights
    from velcodec.train.volume_sampler import VolumeSamplerTrainer

    start = None if init is None else VolumeWeights.read(init)
    trainer = VolumeSamplerTrainer(**changes, init=start)
    return trainer, lambda target: trainer.network.to_weights().save(target)


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
    say(f"{target}: {len(lines)} lines of {checkpoint.with_suffix('.jsonl')}")
