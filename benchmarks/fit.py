"""Speed of the fit alone, and how far it is from a slow one.

    python benchmarks/fit.py --threads 2
    python benchmarks/fit.py --models 40 --slow          # beside a fit of five times the work
    python benchmarks/fit.py --models 40 --passes 5,3    # with less work
    python benchmarks/fit.py --models 40 --profile       # where the time goes

Generated models of several families, in one batch, after a first batch that loads and compiles.
Speed is also given as a ratio to a reference measured in the same run: how many models' worth of
trunk (the operations of one rendering) a plain matrix product does in the same time.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import time
from dataclasses import replace
from typing import Any

import click
import torch
from torch import Tensor

from velcodec import synth
from velcodec.decoder import Decoder, load_decoder
from velcodec.decoder.load import load_encoder
from velcodec.fit import LMOptions, fit_latents
from velcodec.fit.lm import squared_error
from velcodec.geometry import grid_points
from velcodec.metrics import DATA_RANGE
from velcodec.parallel import set_threads

FAMILIES = ("flatvel_a", "curvevel_a", "flatfault_a", "curvefault_a", "style_a")
SAMPLES = 70
SLOW = LMOptions(
    stages=((1225, 12), (2450, 8)), full_steps=40, tolerance=1e-5, enough=0.0, adam_steps=800
)
"""Five times as much work as the default fit, and no tile leaves early."""

PRODUCT = 1024
"""Rows and columns of the reference's matrices."""


def generated(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Normalised targets (B, P) of `count` models of all families in turn, and their ranges (B,)
    in m/s.
    """
    each = -(-count // len(FAMILIES))
    parts = [synth.draw(f, seed, 0, each).render(SAMPLES, SAMPLES) for f in FAMILIES]
    models = torch.stack(parts, dim=1).flatten(0, 1)[:count].flatten(1).float()
    low, high = models.amin(1, keepdim=True), models.amax(1, keepdim=True)
    extent = (high - low).clamp(min=1.0)
    return 2 * (models - low) / extent - 1, extent[:, 0]


def quality(decoder: Decoder, latents: Tensor, target: Tensor, extent: Tensor) -> dict[str, float]:
    """Mean PSNR over a fixed range of 3000 m/s, and the mean of what the fit minimises, in dB."""
    points = on(decoder, torch.from_numpy(grid_points(SAMPLES, SAMPLES)))
    error = squared_error(decoder, points, latents, target)
    index = torch.full((len(target),), decoder.default_step, device=target.device)
    prior = (decoder.prior_precision * latents.square()).sum(1)
    cost = error + decoder.prior_weight(index) * prior
    in_speed = error * (extent / 2).square()
    return {
        "psnr_db": float((10 * torch.log10(DATA_RANGE**2 / in_speed)).mean()),
        "objective_db": float((-10 * torch.log10(cost)).mean()),
    }


def on(decoder: Decoder, tensor: Tensor) -> Tensor:
    """`tensor` where the decoder is, of its dtype."""
    return tensor.to(next(decoder.parameters()))


def wait(device: str) -> None:
    """Until the device has done all that it was asked for."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def product_speed(device: str) -> float:
    """FLOP per second of a float32 matrix product, best of some."""
    a, b = torch.rand(2, PRODUCT, PRODUCT, device=device)
    best = 1e9
    for _ in range(12):
        wait(device)
        started = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * PRODUCT**3 / best


def trunk_operations(decoder: Decoder) -> int:
    """FLOP of the products of one rendering at 70 x 70."""
    c = decoder.config
    per_point = c["width"] * (c["width"] * c["hidden_layers"] + c["components"] + 1 + 2)
    return 2 * SAMPLES**2 * (per_point + 4 * (c["warp_features"] + c["faults"]))


def measure(
    decoder: Decoder, target: Tensor, extent: Tensor, options: LMOptions, runs: int
) -> dict[str, Any]:
    """Best seconds of `runs` fits of one batch, and its quality."""
    points = on(decoder, torch.from_numpy(grid_points(SAMPLES, SAMPLES)))
    encoder, device = load_encoder(decoder), str(decoder.device)
    times, work = [], []
    latents = target
    for _ in range(runs):
        wait(device)
        started, worked = time.perf_counter(), time.process_time()
        latents = fit_latents(
            decoder, target, points, encoder=encoder, grid=(SAMPLES, SAMPLES), options=options
        )
        wait(device)
        times.append(time.perf_counter() - started)
        work.append(time.process_time() - worked)
    return {
        "seconds": min(times),
        "models_per_s": len(target) / min(times),
        "models_per_core_s": len(target) / min(work),
    } | quality(decoder, latents, target, extent)


@click.command()
@click.option("--models", default=200, help="Models of a batch.")
@click.option("--seed", default=5, help="Seed of the generated models.")
@click.option("--threads", default=1, help="CPU threads.")
@click.option("--device", default="cpu", help="Where to fit.")
@click.option("--decoder", "name", help="Name, hash or path of a decoder.")
@click.option("--runs", default=1, help="Fits of the batch; the best counts.")
@click.option("--passes", default=",".join(str(n) for _, n in LMOptions.stages), help="Of stages.")
@click.option("--hessian-points", default=LMOptions.hessian_points, help="Points of a Hessian.")
@click.option("--adam-steps", default=LMOptions.adam_steps, help="Steps of Adam.")
@click.option("--slow", is_flag=True, help="Also fit with five times the work.")
@click.option("--profile", is_flag=True, help="Print where the time goes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    models: int,
    seed: int,
    threads: int,
    device: str,
    name: str | None,
    runs: int,
    passes: str,
    hessian_points: int,
    adam_steps: int,
    slow: bool,
    profile: bool,
    as_json: bool,
) -> None:
    """Fit a batch of generated models."""
    set_threads(threads)
    decoder = load_decoder(name, device)
    target, extent = (tensor.to(device) for tensor in generated(models, seed))
    stages = zip(
        (points for points, _ in LMOptions.stages), map(int, passes.split(",")), strict=True
    )
    options = LMOptions(tuple(stages), hessian_points=hessian_points, adam_steps=adam_steps)
    short = replace(options, adam_steps=4)
    measure(decoder, target[:16], extent[:16], short, 1)
    found = {"models": models, "threads": threads, "device": device, "decoder": decoder.name}
    product = product_speed(device)
    if profile:
        watch = cProfile.Profile()
        watch.runcall(measure, decoder, target, extent, options, 1)
        pstats.Stats(watch).sort_stats("tottime").print_stats(25)
    found |= measure(decoder, target, extent, options, runs)
    reference = product / trunk_operations(decoder)
    found |= {
        "product_gflops": product / 1e9,
        "of_reference": found["models_per_core_s"] / reference,
    }
    if slow:
        beside = measure(decoder, target, extent, SLOW, 1)
        found |= {f"slow_{key}": value for key, value in beside.items()}
        found["psnr_below_slow_db"] = beside["psnr_db"] - found["psnr_db"]
        found["objective_below_slow_db"] = beside["objective_db"] - found["objective_db"]
    if as_json:
        click.echo(json.dumps(found))
        return
    for key, value in found.items():
        click.echo(f"{key:>24}  {value:.4g}" if isinstance(value, float) else f"{key:>24}  {value}")


if __name__ == "__main__":
    main()
