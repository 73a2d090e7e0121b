"""CPU decoding compared with the machine's limits.

`python -m benchmarks.decode [--json FILE] [--picture FILE]`. Counts the operations per point,
measures the machine's ceilings (matrix product, sine, copy), and compares each path with the
resulting floors. One thread; CPU seconds, best of several runs, so that other work on the machine
matters little. Ratios are to a fixed matrix product and to JPEG 2000 (Pillow's) in the same run.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy and torch are loaded

import numpy as np
import torch
from numpy.typing import NDArray

import velcodec
from benchmarks.shared import drawn_coefficients, seconds
from velcodec import synth
from velcodec.decode.backend import ready_tiles
from velcodec.decode.render import render_grid
from velcodec.decode.stored import tables_of
from velcodec.decode.tiling import plan
from velcodec.decode.torch_tiles import render_tiles
from velcodec.decoder import load_decoder
from velcodec.decoder.siren_mixture.cpu import MODELS_AT_ONCE, FloatMixture, cpu_renderer
from velcodec.decoder.siren_mixture.frozen import FrozenMixture
from velcodec.decoder.siren_mixture.network import freeze
from velcodec.decoder.sizes import LATENT_SIZE, MixtureConfig
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.record import Record, pack_record
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.latent_coding.stream import TileCoding, Tiles, decode_tiles, encode_tiles
from velcodec.geometry import grid_points
from velcodec.sampler.compiled import SampledField
from velcodec.sampler.form import NEWEST_SAMPLER, sampler_of

N, FINE = 70, 280
BATCH = 2 * MODELS_AT_ONCE
REFERENCE_SIZE = 1024
"""Rows and columns of the fixed matrix product."""

CODERS = "archive_bytes", "tile_bits"
"""Functions of the encoder that code coefficients or count their bits."""

OPENED = 1, 5000, 100_000
"""Models of the archives that are opened."""

BYTES_PER_POINT = 16
"""Two float32 coordinates read, one float64 velocity written."""


def work_of_point(c: MixtureConfig) -> dict[str, int]:
    """Operations per point: sums and products, and functions (sines, tanh, powers)."""
    w, k = c.width, c.components
    products = 4 * c.faults + 4 * c.warp_features + 2 * w + c.hidden_layers * w * w
    products += k * w + k + w + 2 * c.strata
    functions = c.faults + c.warp_features + w + c.hidden_layers * w + k + c.strata
    return {"flop": 2 * products, "functions": functions, "bytes": BYTES_PER_POINT}


def work_of_model(c: MixtureConfig) -> int:
    """Sums and products per model for its effective weights."""
    rows = sum(c.part_sizes.values())
    return 2 * (rows * LATENT_SIZE + c.hidden_layers * c.width * c.gates * c.width)


def ceilings() -> dict[str, float]:
    """One thread's GFLOP/s, 10^9 sines per second and GB/s, and the seconds of the fixed
    product.
    """
    from numba import njit

    from velcodec.decoder.siren_mixture.cpu_kernel import sine

    random = np.random.default_rng(0)
    a = random.random((REFERENCE_SIZE, REFERENCE_SIZE), np.float32)
    turns, out = random.random(8192, np.float32), np.empty(8192, np.float32)

    @njit(fastmath={"contract", "nsz"})  # type: ignore[untyped-decorator]
    def sines(turns: Any, out: Any, times: int) -> None:
        for _ in range(times):
            for i in range(len(turns)):
                out[i] = sine(turns[i])

    large, other = np.zeros(1 << 24, np.float32), np.zeros(1 << 24, np.float32)
    product = seconds(lambda: a @ a)
    return {
        "product_s": product,
        "gflop_per_s": 2 * REFERENCE_SIZE**3 / product / 1e9,
        "gsine_per_s": 300 * len(turns) / seconds(lambda: sines(turns, out, 300)) / 1e9,
        "gsine_per_s_numpy": 300
        * len(turns)
        / seconds(lambda: [np.sin(turns, out=out) for _ in range(300)])
        / 1e9,
        "copy_gb_per_s": 2 * large.nbytes / seconds(lambda: np.copyto(other, large)) / 1e9,
    }


def drawn_tiles(frozen: FrozenMixture, count: int) -> Tiles:
    """Tiles at a medium step, drawn from the distribution of the decoder's tables."""
    random, tables = np.random.default_rng(0), tables_of(frozen)
    index = len(frozen.steps) // 3
    drawn = drawn_coefficients(tables, tables.classes[1, index], count, random)
    ends = np.full(count, 1500.0), np.full(count, 4500.0)
    return Tiles(drawn, np.full(count, index), *ends)


def archive_of(frozen: FrozenMixture, tiles: Tiles) -> tuple[bytes, list[bytes], TileCoding]:
    """An archive of one tile per model, its streams and their coding."""
    coding = TileCoding.for_tiles(tiles.low, tiles.high, tiles.step, 4.0)
    header = Header(frozen.identity or b"", frozen.name, (Layout(N, N, axes="nzx"),), coding)
    streams = encode_tiles(tiles, tables_of(frozen), coding)
    stream = io.BytesIO()
    writer = VlatWriter(stream, header)
    for each in streams:
        writer.add(pack_record(Record(0, 1, 1, N, N, [each]), header))
    writer.close()
    return stream.getvalue(), streams, coding


def jpeg2000() -> dict[str, float]:
    """Seconds per model of JPEG 2000 (16 bits, 40 dB); empty if Pillow lacks it."""
    from PIL import Image, features

    if not features.check("jpg_2000"):
        return {}
    models = synth.draw("curvevel_a", 5, 0, 8).render(N, N).numpy()
    planes = [((m - 1500) / 3000 * 65535).clip(0, 65535).astype(np.uint16) for m in models]

    def encode(plane: NDArray[np.uint16]) -> bytes:
        stream = io.BytesIO()
        settings: dict[str, Any] = {"quality_mode": "dB", "quality_layers": [40]}
        Image.fromarray(plane).save(stream, format="JPEG2000", no_jp2=True, **settings)
        return stream.getvalue()

    coded = [encode(plane) for plane in planes]
    encoding = seconds(lambda: [encode(plane) for plane in planes])
    decoding = seconds(lambda: [np.asarray(Image.open(io.BytesIO(one))) for one in coded])
    return {"encode_s": encoding / len(planes), "decode_s": decoding / len(planes)}


def paths(frozen: FrozenMixture, floating: FloatMixture) -> dict[str, dict[str, float]]:
    """Seconds and points of each decoding path."""
    decoder = load_decoder()
    tiles, one_tile = drawn_tiles(frozen, BATCH), drawn_tiles(frozen, 1)
    own = plan(N, N, N)
    ready, single = ready_tiles(frozen, tiles), ready_tiles(frozen, one_tile)
    points = torch.from_numpy(grid_points(N, N)).float()
    few = render_tiles(torch.from_numpy(ready.latent[:3]), tiles.low[:3], tiles.high[:3], decoder)

    def eager() -> None:
        with torch.no_grad():
            decoder(points, few.latent)

    def timed(models: int, n: int, work: Callable[[], object]) -> dict[str, float]:
        return {"models": models, "points": models * n * n, "seconds": seconds(work)}

    return {
        "torch, eager, 3 models": timed(3, N, eager),
        "effective weights": timed(BATCH, 0, lambda: floating.weights(ready.latent)),
        "float, batch": timed(BATCH, N, lambda: render_grid(frozen, ready, own, N, N)),
        "float, one model": timed(1, N, lambda: render_grid(frozen, single, own, N, N)),
        "float, one model at 280": timed(
            1, FINE, lambda: render_grid(frozen, single, own, FINE, FINE)
        ),
    }


def sampled() -> dict[str, float]:
    """Seconds to render one model stored as samples at 280 x 280, by kind of model."""
    weights = sampler_of(NEWEST_SAMPLER)
    models = {
        "layers": synth.draw("curvefault_a", 5, 0, 1).render(N, N)[0].numpy(),
        "smooth": synth.draw("style_a", 5, 0, 1).render(N, N)[0].numpy(),
    }
    return {
        name: seconds(lambda model=model: SampledField(model, weights).grid(FINE, FINE))
        for name, model in models.items()
    }


STORED = {
    "FlatVel-A": ("flatvel_a", {"lossless": True}),
    "CurveVel-A": ("curvevel_a", {"lossless": True}),
    "FlatFault-A, within 10 m/s": ("flatfault_a", {"max_error": 10.0}),
    "CurveFault-A": ("curvefault_a", {"lossless": True}),
    "Style-A": ("style_a", {"lossless": True}),
}
"""What is stored as samples, by families, and how."""

LAST = 40
"""So many models of each: the last ones of a real set."""

REAL_FILES = "{0}.npy", "{0}_figure.npy"


def models_of(family: str) -> tuple[NDArray[np.float32], str]:
    """Models of a family, real ones if the folder VELCODEC_REAL_DATA has them, and which these
    are.
    """
    folder = os.environ.get("VELCODEC_REAL_DATA")
    for name in REAL_FILES if folder else ():
        path = Path(folder or "") / name.format(family)
        if path.exists():
            real = np.load(path)
            return real.reshape(-1, *real.shape[-2:])[-LAST:], "real"
    return synth.draw(family, 5, 0, LAST).render(N, N).numpy(), "generated"


def stored() -> dict[str, dict[str, Any]]:
    """Seconds to decode a model stored as samples: alone, and of a batch."""
    rows: dict[str, dict[str, Any]] = {}
    for name, (family, how) in STORED.items():
        models, source = models_of(family)
        settings: dict[str, Any] = how
        data = velcodec.compress(models, **settings)
        with velcodec.open(data) as archive:
            everyone = range(len(archive))
            alone = seconds(lambda of=archive: [of.decode(i) for i in range(len(of))], 4)
            together = seconds(lambda of=archive, some=everyone: of.decode(some), 4)
        rows[name] = {
            "models": len(models),
            "source": source,
            "bytes_per_model": len(data) / len(models),
            "alone_s": alone / len(models),
            "batch_s": together / len(models),
        }
    return rows


def opened(frozen: FrozenMixture) -> dict[int, dict[str, float]]:
    """Seconds to open an archive of so many models in a file, and to open it and decode the last
    one.
    """
    rows = {}
    for count in OPENED:
        data = archive_of(frozen, drawn_tiles(frozen, count))[0]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "models.vlat"
            path.write_bytes(data)

            def last(path: Path = path) -> None:
                with velcodec.open(path) as archive:
                    archive.decode(-1)

            rows[count] = {
                "open_s": seconds(lambda path=path: velcodec.open(path).close()),
                "open_and_decode_s": seconds(last),
            }
    return rows


def shares(frozen: FrozenMixture) -> dict[str, float]:
    """The entropy coder's share of the time to read an archive, and to write one by the encoder
    alone, including the whole search for a budget.
    """
    tiles = drawn_tiles(frozen, 8 * BATCH)
    data, streams, coding = archive_of(frozen, tiles)
    tables = tables_of(frozen)
    reading = seconds(lambda: velcodec.decompress(data), 3)
    decoding = seconds(lambda: decode_tiles(streams, tables, coding), 3)
    models = synth.draw("curvevel_a", 5, 0, BATCH).render(N, N).numpy()
    settings: dict[str, Any] = {"effort": 1, "latent_only": True, "bytes_per_model": 100}
    writing = seconds(lambda: velcodec.compress(models, **settings), 2)
    profile = cProfile.Profile(time.process_time)
    profile.runcall(velcodec.compress, models, **settings)
    taken: dict[Any, Any] = vars(pstats.Stats(profile))["stats"]
    coders = [row[3] for where, row in taken.items() if where[2] in CODERS]
    total = max(row[3] for row in taken.values())
    return {
        "read_models_per_s": len(tiles) / reading,
        "entropy_share_of_reading": decoding / reading,
        "write_models_per_s": BATCH / writing,
        "entropy_share_of_writing": sum(coders) / total,
    }


def measure() -> dict[str, Any]:
    """All figures."""
    frozen = freeze(load_decoder())
    c, floating = frozen.settings, cpu_renderer(frozen)
    top, point = ceilings(), work_of_point(c)
    arithmetic = point["flop"] / top["gflop_per_s"] / 1e9
    floors = {
        "arithmetic_s_per_point": arithmetic,
        "functions_s_per_point": point["functions"] / top["gsine_per_s"] / 1e9,
        "memory_s_per_point": point["bytes"] / top["copy_gb_per_s"] / 1e9,
    }
    rows = {}
    per_model = work_of_model(c) / top["gflop_per_s"] / 1e9
    for name, row in paths(frozen, floating).items():
        floor = row["points"] * arithmetic + row["models"] * per_model
        both = floor + row["points"] * floors["functions_s_per_point"]
        rows[name] = row | {
            "models_per_s": row["models"] / row["seconds"],
            "of_arithmetic_floor": floor / row["seconds"],
            "of_both_floors": both / row["seconds"],
            "products": row["seconds"] / row["models"] / top["product_s"],
        }
    return {
        "decoder": frozen.name,
        "per_point": point,
        "flop_per_model": work_of_model(c),
        "ceilings": top,
        "floors": floors,
        "paths": rows,
        "stored": stored(),
        "opened": opened(frozen),
        "samples_at_280_s": sampled(),
        "jpeg2000": jpeg2000(),
        "archives": shares(frozen),
    }


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw the milliseconds of a 70 x 70 model by each path, with the floors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = {name: row for name, row in found["paths"].items() if row["points"]}
    ms = {name: row["seconds"] / row["points"] * N * N * 1e3 for name, row in rows.items()}
    if found["jpeg2000"]:
        ms["JPEG 2000, decode"] = found["jpeg2000"]["decode_s"] * 1e3
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    bars = axes.barh(list(ms), list(ms.values()), color="tab:blue", height=0.6)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    sums = 0.0
    kinds = ("arithmetic", "functions")
    for kind, style in zip(kinds, ("--", "-"), strict=True):
        sums += found["floors"][f"{kind}_s_per_point"] * N * N * 1e3
        label = "floor: arithmetic" if kind == "arithmetic" else "floor: and functions"
        axes.axvline(sums, color="tab:red", linestyle=style, label=label)
    axes.set(xlabel="ms for 70 x 70 points, one thread")
    axes.set_xlim(right=1.15 * max(ms.values()))
    axes.invert_yaxis()
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=110)


def show(found: dict[str, Any]) -> None:
    """Print markdown tables."""
    point, top, floors = found["per_point"], found["ceilings"], found["floors"]
    print(f"{found['decoder']}, a point: {point}; a model: {found['flop_per_model']} FLOP\n")
    print("| ceiling | one thread |\n|---|---|")
    print(f"| matrix product, float32 | {top['gflop_per_s']:.0f} GFLOP/s |")
    print(f"| sine, compiled | {top['gsine_per_s']:.2f} 10^9/s |")
    print(f"| sine, NumPy | {top['gsine_per_s_numpy']:.2f} 10^9/s |")
    print(f"| copy, read and written | {top['copy_gb_per_s']:.1f} GB/s |\n")
    print("| floor | ns a point | ms for 70 x 70 |\n|---|---|---|")
    for name, value in floors.items():
        print(f"| {name.split('_')[0]} | {value * 1e9:.2f} | {value * N * N * 1e3:.3f} |")
    print("\n| path | ms a model | models/s | of arithmetic floor | of both | matrix products |")
    print("|---|---|---|---|---|---|")
    for name, row in found["paths"].items():
        print(
            f"| {name} | {row['seconds'] / row['models'] * 1e3:.3f} | {row['models_per_s']:.0f} "
            f"| {row['of_arithmetic_floor']:.0%} | {row['of_both_floors']:.0%} "
            f"| {row['products']:.3f} |"
        )
    print("\n| stored as samples | bytes | models/s, one by one | of a batch | matrix products |")
    print("|---|---|---|---|---|")
    for name, row in found["stored"].items():
        print(
            f"| {name}, {row['models']} {row['source']} | {row['bytes_per_model']:.0f} "
            f"| {1 / row['alone_s']:.0f} | {1 / row['batch_s']:.0f} "
            f"| {row['alone_s'] / top['product_s']:.3f} |"
        )
    print("\n| models in the archive | open, ms | open and decode the last, ms |\n|---|---|---|")
    for count, row in found["opened"].items():
        print(f"| {count:,} | {row['open_s'] * 1e3:.2f} | {row['open_and_decode_s'] * 1e3:.2f} |")
    print("\n| samples at 280 x 280, one model | ms | matrix products |\n|---|---|---|")
    for name, value in found["samples_at_280_s"].items():
        print(f"| {name} | {value * 1e3:.1f} | {value / top['product_s']:.3f} |")
    print("\n| JPEG 2000 | ms a model | of float, batch |\n|---|---|---|")
    ours = found["paths"]["float, batch"]["seconds"] / BATCH
    for name, value in found["jpeg2000"].items():
        print(f"| {name.split('_')[0]} | {value * 1e3:.3f} | {value / ours:.2f} |")
    print("\n| archives | |\n|---|---|")
    for name, value in found["archives"].items():
        print(f"| {name.replace('_', ' ')} | {value:.4g} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    found = measure()
    show(found)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    if asked.picture:
        draw(found, asked.picture)


if __name__ == "__main__":
    main()
