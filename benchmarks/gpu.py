"""All figures of a GPU in one run that nobody has to watch.

    python -m benchmarks.gpu --out cuda.json
    python -m benchmarks.gpu --device cpu --quick       # the same steps, small, without a GPU

Ceilings of the device, rendering (one Triton kernel, torch's operations, torch.compile), accuracy
in m/s, the fit, and the tests marked `cuda`. The JSON is written anew after every step; a step that
fails leaves its error there and the next one starts. (Exact decoding is the CPU's business.)
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from benchmarks import fit as fitting
from velcodec.decoder import Decoder, SirenMixture, load_decoder
from velcodec.decoder.siren_mixture import cuda
from velcodec.geometry import grid_points

ROOT = Path(__file__).resolve().parents[1]
LOW, HIGH = 1500.0, 4500.0
SHAPES = ((70, 1), (70, 256), (70, 8192), (280, 1), (280, 512))
"""Samples along a side, and models rendered together."""

BLOCKS = ((64, 4), (64, 8), (128, 4), (128, 8))
"""Points of a block and warps that the kernel is tried with."""

COMPILED = (70, 256), (70, 8192)
"""Shapes that torch.compile is tried with; each takes it a minute."""

Result = dict[str, Any]


@dataclass
class Run:
    """What is measured where, and what was found so far."""

    device: str
    quick: bool
    path: Path | None
    found: Result = field(default_factory=dict)

    @property
    def decoder(self) -> SirenMixture:
        decoder = load_decoder(device=self.device)
        assert isinstance(decoder, SirenMixture)
        return decoder

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        return ((20, 1), (20, 8)) if self.quick else SHAPES

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def step(self, name: str, work: Callable[[Run], Result]) -> None:
        """Measure one thing, note it or its error, and write what there is."""
        started = time.perf_counter()
        try:
            self.found[name] = work(self)
        except Exception:
            self.found[name] = {"error": traceback.format_exc(limit=4)}
        self.found[name]["took_s"] = round(time.perf_counter() - started, 1)
        click.echo(f"{name}: {json.dumps(self.found[name])}")
        if self.path is not None:
            self.path.write_text(json.dumps(self.found, indent=1) + "\n")


def seconds(run: Run, work: Callable[[], object], repeats: int = 10) -> float:
    """Median seconds of `repeats` runs, after two that warm up."""
    times = []
    for _ in range(2 + (2 if run.quick else repeats)):
        fitting.wait(run.device)
        started = time.perf_counter()
        work()
        fitting.wait(run.device)
        times.append(time.perf_counter() - started)
    return float(np.median(times[2:]))


def about(run: Run) -> Result:
    """The machine and the versions."""
    found: Result = {"torch": torch.__version__, "python": platform.python_version()}
    found["triton"] = __import__("triton").__version__ if cuda.has_triton() else None
    if run.on_gpu:
        found["device"] = torch.cuda.get_device_name(run.device)
        found["capability"] = torch.cuda.get_device_capability(run.device)
    else:
        found["device"] = platform.processor() or platform.machine()
    return found


def ceilings(run: Run) -> Result:
    """TFLOP/s of matrix products, GB/s of a copy (read and written), 1e9 sines per second."""
    size = 256 if run.quick else 8192
    a, b = torch.rand(2, size, size, device=run.device)
    rows = torch.rand(1 << (20 if run.quick else 28), device=run.device)
    into = torch.empty_like(rows)
    found: Result = {}
    before = torch.get_float32_matmul_precision()
    try:
        for name, precision in (("float32", "highest"), ("tf32", "high")):
            torch.set_float32_matmul_precision(precision)
            found[f"{name}_tflops"] = 2 * size**3 / seconds(run, lambda: a @ b, 5) / 1e12
    finally:
        torch.set_float32_matmul_precision(before)
    found["copy_gb_s"] = 2 * rows.nbytes / seconds(run, lambda: into.copy_(rows)) / 1e9
    found["sine_g_s"] = len(rows) / seconds(run, lambda: torch.sin(rows, out=into)) / 1e9
    return found


def drawn(run: Run, side: int, models: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents of the prior, ends of ranges, points of a grid."""
    random = torch.Generator().manual_seed(4)
    latent = torch.randn(models, run.decoder.latent_size, generator=random).to(run.device)
    latent *= run.decoder.prior_precision.rsqrt()
    ends = torch.full((2, models), LOW, device=run.device)
    ends[1] = HIGH
    points = torch.from_numpy(grid_points(side, side)).float().to(run.device)
    return latent, ends[0], ends[1], points


def eager(decoder: Decoder, latent: Tensor, points: Tensor) -> Tensor:
    """m/s by torch's own operations."""
    share = (decoder(points, latent).clamp(-1, 1) + 1) / 2
    return LOW + share * (HIGH - LOW)


def in_parts(models: int, side: int) -> list[slice]:
    """Models that torch's operations render together: what they keep between stays below 8 GB."""
    most = max(1, (1 << 24) // side**2)
    return [slice(first, first + most) for first in range(0, models, most)]


def speed(side: int, models: int, spent: float, size: int = 4) -> Result:
    """Figures of one rendering."""
    samples = models * side**2
    return {"ms": 1e3 * spent, "gb_s": size * samples / spent / 1e9, "models_per_s": models / spent}


def rendering(run: Run) -> Result:
    """Speed of each way to render, by shape; the kernel at its best block."""
    found: Result = {}
    decoder, best = run.decoder, (cuda.POINTS, cuda.WARPS)
    kernel = cuda.serves(decoder, torch.empty(1, device=run.device))
    if kernel:
        found["blocks"], best = blocks(run)
    for side, models in run.shapes:
        latent, low, high, points = drawn(run, side, models)
        row: Result = {}

        def by_torch(
            render: Callable[..., Tensor],
            latent: Tensor = latent,
            points: Tensor = points,
            parts: tuple[slice, ...] = tuple(in_parts(models, side)),
        ) -> None:
            with torch.no_grad():
                for part in parts:
                    render(decoder, latent[part], points)

        if kernel:
            for name, dtype, precision in (
                ("fused", torch.float32, cuda.PRECISION),
                ("fused_tf32", torch.float32, "tf32"),
                ("fused_float16", torch.float16, cuda.PRECISION),
            ):

                def render(
                    dtype: torch.dtype = dtype,
                    precision: Any = precision,
                    latent: Tensor = latent,
                    points: Tensor = points,
                    ends: tuple[Tensor, Tensor] = (low, high),
                ) -> Tensor:
                    return cuda.launch(decoder, latent, points, dtype, ends, precision, *best)

                size = torch.empty(0, dtype=dtype).element_size()
                row[name] = speed(side, models, seconds(run, render), size)
        row["eager"] = speed(side, models, seconds(run, lambda go=by_torch: go(eager), 3))
        if (run.quick and models == 1) or (side, models) in COMPILED:
            torch.compiler.reset()
            compiled = torch.compile(eager, dynamic=False)
            spent = seconds(run, lambda go=by_torch, render=compiled: go(render), 3)
            row["compiled"] = speed(side, models, spent)
        found[f"{models} x {side} x {side}"] = row
    return found


def blocks(run: Run) -> tuple[Result, tuple[int, int]]:
    """GB/s of the kernel by points of a block and warps, and the best of them."""
    side, models = run.shapes[2 if len(run.shapes) > 2 else -1]
    latent, low, high, points = drawn(run, side, models)
    found: Result = {}
    speeds: dict[tuple[int, int], float] = {}
    for block in BLOCKS:
        name = f"{block[0]} points, {block[1]} warps"

        def render(block: tuple[int, int] = block) -> Tensor:
            return cuda.launch(
                run.decoder, latent, points, torch.float32, (low, high), cuda.PRECISION, *block
            )

        try:
            found[name] = speed(side, models, seconds(run, render))
            speeds[block] = found[name]["gb_s"]
        except Exception as error:
            found[name] = {"error": str(error)[:300]}
    return found, max(speeds, key=lambda block: speeds[block])


def accuracy(run: Run) -> Result:
    """m/s that each way is off a rendering in float64, over a range of 3000 m/s."""
    latent, low, high, points = drawn(run, 20 if run.quick else 70, 4 if run.quick else 64)
    decoder, found = run.decoder, {}
    exact = SirenMixture(decoder.settings).double().to(run.device)
    exact.load_state_dict({name: each.double() for name, each in decoder.state_dict().items()})
    with torch.no_grad():
        truth = eager(exact, latent.double(), points.double())
        ways = {"eager": eager(decoder, latent, points)}
    ways["velocities"] = cuda.velocities(decoder, latent, low, high, points)
    if cuda.serves(decoder, latent):
        precisions: tuple[cuda.Precision, ...] = ("tf32", "tf32x3")
        for precision in precisions:
            ways[f"fused_{precision}"] = cuda.launch(
                decoder, latent, points, torch.float32, (low, high), precision
            )
    with torch.no_grad(), RoundedFactors():
        ways["tf32_emulated"] = eager(decoder, latent, points)
    for name, values in ways.items():
        off = (values.double() - truth).abs().flatten()
        found[name] = {
            "mean": float(off.mean()),
            "p999": float(off.kthvalue(max(1, int(0.999 * len(off)))).values),
            "max": float(off.max()),
        }
    return found


class RoundedFactors(TorchFunctionMode):
    """Rounds the factors of the trunk's products to the 11 bits of tf32."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.baddbmm:
            args = args[0], *map(self.rounded, args[1:])
        return func(*args, **(kwargs or {}))

    @staticmethod
    def rounded(values: Tensor) -> Tensor:
        """The nearest numbers of 11 bits."""
        bits = values.contiguous().view(torch.int32)
        return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def fit(run: Run) -> Result:
    """Models per second of the fit, by batch, and its quality beside that of the CPU's."""
    found: Result = {}
    batches = (4,) if run.quick else (200, 2000)
    for models in batches:
        target, extent = (each.to(run.device) for each in fitting.generated(models, 5))
        options = fitting.LMOptions(((200, 1),), 1, adam_steps=3) if run.quick else None
        asked = options or fitting.LMOptions()
        fitting.measure(run.decoder, target[:8], extent[:8], asked, 1)
        found[f"{models} models"] = fitting.measure(run.decoder, target, extent, asked, 1)
    target, extent = fitting.generated(4 if run.quick else 20, 5)
    brief = fitting.LMOptions(((200, 1),), 1, adam_steps=3) if run.quick else fitting.LMOptions()
    found["the same 20, by the CPU"] = fitting.measure(load_decoder(), target, extent, brief, 1)
    found["the same 20, here"] = fitting.measure(
        run.decoder, target.to(run.device), extent.to(run.device), brief, 1
    )
    return found


def tests(run: Run) -> Result:
    """The tests marked `cuda`."""
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, "tests/decoder"], capture_output=True, text=True, cwd=ROOT)
    return {"status": done.returncode, "tail": done.stdout.splitlines()[-6:]}


STEPS: dict[str, Callable[[Run], Result]] = {
    "about": about,
    "ceilings": ceilings,
    "accuracy": accuracy,
    "rendering": rendering,
    "fit": fit,
    "tests": tests,
}


@click.command()
@click.option("--device", default="cuda", help="What to measure.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON to write after every step.")
@click.option("--quick", is_flag=True, help="Small sizes: does every step run?")
@click.option("--only", help="Steps, with commas; all without it.")
def main(device: str, out: Path | None, quick: bool, only: str | None) -> None:
    """Measure; the exit status is 1 where a step failed."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("no CUDA device; --device cpu runs the same steps without one")
    run = Run(device, quick, out)
    for name in only.split(",") if only else STEPS:
        run.step(name, STEPS[name])
    sys.exit(any("error" in found for found in run.found.values()))


if __name__ == "__main__":
    main()
