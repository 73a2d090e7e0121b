"""Writing fields to archives: latents are rounded at a step of the decoder, nothing is fitted."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from velcodec.decode.stored import tables_of
from velcodec.decode.tiling import Tiling
from velcodec.decoder import Decoder
from velcodec.encode.coded import CodedModel, render_native
from velcodec.encode.fitting import step_indices
from velcodec.encode.pack import RANGE_STEP_M_S, Packed, pack
from velcodec.encode.pack import Contents as PackContents
from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.container.header import Header, Layout, Source
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import OptionError, QualityError
from velcodec.formats.facts import checked_facts
from velcodec.formats.latent_coding.coding import USUAL_CODING
from velcodec.formats.latent_coding.stream import Tiles
from velcodec.formats.latent_coding.value_range import FINE
from velcodec.formats.storage.atomic import atomic_write
from velcodec.geometry import Geometry
from velcodec.metrics import quality
from velcodec.version import release

FINEST_RANGE_M_S = RANGE_STEP_M_S / FINE
"""Value ranges are rounded to multiples of this."""

ON_A_STEP = 1e-3
"""Distance from a multiple, in steps, that is rounding of float32."""


@dataclass(frozen=True)
class Contents:
    """What is stored of n models of t tiles: latents (n, t, D), ends (n, t) of value ranges and the
    rendering (n, nz, nx) in m/s, and the energy (n,) of the latents.
    """

    decoder: Decoder
    geometry: Geometry
    tiling: Tiling
    batched: bool
    latents: Float64
    low: Float64
    high: Float64
    rendered: Float64
    energy: Float64


def write_archive(
    contents: Contents,
    path: Path,
    *,
    psnr: float,
    keys: Sequence[str] | None,
    provenance: str,
    licence: str,
    force: bool,
) -> list[StoredQuality]:
    """See `Field.to_archive`."""
    models = len(contents.latents)
    if keys is not None and len(keys) != models:
        raise OptionError(f"keys: expected one for each of {models} models, found {len(keys)}")
    coded, measured = _coded(contents, psnr)
    packed = _packed(contents, coded, measured, keys, provenance, licence)
    with atomic_write(path, force=force) as stream:
        writer = VlatWriter(stream, packed.header)
        packed.write(writer)
        writer.close()
    return measured


def _packed(
    contents: Contents, coded: Sequence[CodedModel], measured: Sequence[StoredQuality],
    keys: Sequence[str] | None, provenance: str, licence: str,
) -> Packed:  # fmt: skip
    g = contents.geometry
    layout = Layout(
        g.nz, g.nx, axes="nzx" if contents.batched else "zx", dx_m=g.dx_m, dz_m=g.dz_m,
        origin_x_m=g.origin_x_m, origin_z_m=g.origin_z_m,
    )  # fmt: skip
    header = Header(
        decoder_hash=contents.decoder.identity or b"",
        decoder_name=contents.decoder.name,
        layouts=(layout,),
        coding=USUAL_CODING,
        source=Source(None),
        software=release(),
    ).with_facts(checked_facts({"provenance": provenance, "licence": licence}))
    packing = PackContents(
        header,
        np.zeros(len(coded), dtype=np.int64),
        keys,
        tables_of(contents.decoder),
        RANGE_STEP_M_S,
    )
    return pack(packing, coded, measured)


def _coded(contents: Contents, psnr: float) -> tuple[list[CodedModel], list[StoredQuality]]:
    """Each model at the coarsest step that keeps `psnr`, and what was measured of it."""
    network, tiling, rendered = contents.decoder, contents.tiling, contents.rendered
    if next(network.parameters()).dtype != torch.float32:
        network = copy.deepcopy(network).float()
    latents, distance = contents.latents, np.sqrt(contents.energy)
    low, high = (
        np.round(end / FINEST_RANGE_M_S) * FINEST_RANGE_M_S for end in (contents.low, contents.high)
    )
    if (low > high).any():
        model, tile = np.argwhere(low > high)[0]
        raise OptionError(
            f"model {model}, tile {tile}: found a value range from {low[model, tile]:g} to "
            f"{high[model, tile]:g} m/s, expected rising order"
        )
    coded, measured = [], []
    for model in range(len(latents)):
        best = None
        own = _own_step(network.steps, latents[model], low[model], high[model])
        for base in [*own, *range(len(network.steps))]:
            tiles = _rounded(network.steps, latents[model], low[model], high[model], base)
            values = render_native(network, tiles, tiling).astype(np.float32)
            found = quality(rendered[model], values)
            best = tiles, base, found
            if found.psnr >= psnr:
                break
        assert best is not None
        tiles, base, found = best
        if found.psnr < psnr:
            raise QualityError(
                f"model {model}: the finest step gives {found.psnr:.2f} dB, expected {psnr:g} dB"
            )
        mse = float(np.square(rendered[model] - values).mean())
        coded.append(CodedModel(tiling, tiles, 0, base, mse, 0.0, distance=float(distance[model])))
        measured.append(
            StoredQuality(found.psnr, found.mae, found.max_error, float(distance[model]))
        )
    return coded, measured


def _own_step(steps: torch.Tensor, latents: Float64, low: Float64, high: Float64) -> list[int]:
    """The coarsest base step, if any, of which all latents are multiples, as stored ones are."""
    for base in range(len(steps)):
        width = _widths(steps, low, high, base)[1][:, None]
        if (np.abs(latents / width - np.rint(latents / width)) < ON_A_STEP).all():
            return [base]
    return []


def _widths(steps: torch.Tensor, low: Float64, high: Float64, base: int) -> tuple[Int64, Float64]:
    """Step index and step of each tile for a base step index."""
    step = step_indices(steps.cpu(), np.full(len(low), base), low, high)
    return step, steps.double().cpu().numpy()[step]


def _rounded(
    steps: torch.Tensor, latents: Float64, low: Float64, high: Float64, base: int
) -> Tiles:
    """The tiles of one model at base step index `base`; constant tiles have no coefficients."""
    step, widths = _widths(steps, low, high, base)
    varied = high > low
    whole = np.rint(latents / widths[:, None]) * varied[:, None]
    return Tiles(whole.astype(np.int32), step * varied, low, high)
