"""Generated velocity models, drawn from a seed, exact at every resolution.

A model is a continuous function of (x, z). Published models are neither read nor stored: families
follow statistics, which docs/generator.md compares with the published sets.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from velcodec.formats.extras import torch_for

with torch_for("velcodec.synth"):
    import torch

    from velcodec.synth.draws import Draws
    from velcodec.synth.faulted import draw_faulted
    from velcodec.synth.geology_draws import draw_geology
    from velcodec.synth.layered import draw_layered
    from velcodec.synth.models import Models, render_points
    from velcodec.synth.style import draw_style
    from velcodec.synth.volume import VOLUME_FAMILIES, VOLUME_SUMMARIES, draw_volumes, volumes
    from velcodec.synth.volume.base import Volumes

_FAMILIES: dict[str, Callable[[Draws], Models]] = {
    "flatvel_a": partial(draw_layered, curved=False, ordered=True),
    "flatvel_b": partial(draw_layered, curved=False, ordered=False),
    "curvevel_a": partial(draw_layered, curved=True, ordered=True),
    "curvevel_b": partial(draw_layered, curved=True, ordered=False),
    "flatfault_a": partial(draw_faulted, curved=False, many=False),
    "flatfault_b": partial(draw_faulted, curved=False, many=True),
    "curvefault_a": partial(draw_faulted, curved=True, many=False),
    "curvefault_b": partial(draw_faulted, curved=True, many=True),
    "style_a": partial(draw_style, sharp=False),
    "style_b": partial(draw_style, sharp=True),
    "geology": draw_geology,
}

FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
"""Names that `draw` takes: the ten published families and `geology`."""

SUMMARIES: dict[str, str] = {
    "flatvel_a": "flat layers, faster with depth",
    "flatvel_b": "flat layers in any order",
    "curvevel_a": "curved layers, faster with depth",
    "curvevel_b": "curved layers in any order",
    "flatfault_a": "2 to 4 flat layers, one fault",
    "flatfault_b": "6 to 8 flat layers, two crossing faults",
    "curvefault_a": "2 to 4 folded layers, one fault",
    "curvefault_b": "6 to 8 folded layers, two crossing faults",
    "style_a": "natural images over a depth trend, smooth",
    "style_b": "natural images over a depth trend, sharp",
    "geology": "broader: unconformities, salt, lenses, seams, water, gradients",
}
"""A short description of each family."""

__all__ = [
    "FAMILIES",
    "SUMMARIES",
    "VOLUME_FAMILIES",
    "VOLUME_SUMMARIES",
    "Models",
    "Volumes",
    "draw",
    "draw_volumes",
    "render_points",
    "volumes",
]


def draw(
    family: str, seed: int, start: int, count: int, device: torch.device | str = "cpu"
) -> Models:
    """Models start .. start + count - 1 of `family` and `seed`.

    (family, seed, number) determines a model, whatever the batch. Raises ValueError for an unknown
    family, a negative start or a count below one.
    """
    if family not in _FAMILIES:
        raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, found {family!r}")
    if start < 0 or count < 1:
        raise ValueError(
            f"start, count: expected start >= 0 and count >= 1, found {start}, {count}"
        )
    draws = Draws(FAMILIES.index(family), seed, start, count, device)
    return _FAMILIES[family](draws)
