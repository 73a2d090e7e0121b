"""A smooth map onto an interval: its slope never vanishes, unlike that of a clamp."""

from __future__ import annotations

from torch import Tensor


def within(values: Tensor, least: float, greatest: float, width: float) -> Tensor:
    """`values` mapped onto (least, greatest), increasing and infinitely often differentiable.

    Nearly the identity inside; within about `width` of the ends the map bends, and it maps an end
    to width / 2 inside. Beyond the ends the slope falls with the square of the distance.
    """
    middle, half = (least + greatest) / 2, (greatest - least) / 2
    offset = values - middle
    # (rise - fall) / 2 without its cancellation, for a rise from `least` and one from `greatest`.
    rise = ((offset + half).square() + width * width).sqrt()
    fall = ((offset - half).square() + width * width).sqrt()
    mapped = middle + 2 * half * offset / (rise + fall)
    return mapped.clamp(least, greatest)  # rounding


def within_inverse(values: Tensor, least: float, greatest: float, width: float) -> Tensor:
    """What `within` maps to `values`; values closer to an end than width / 2 are taken there."""
    middle, half = (least + greatest) / 2, (greatest - least) / 2
    offset = values.clamp(least + width / 2, greatest - width / 2) - middle
    inside = half * half - offset.square()
    return middle + offset * ((inside + width * width) / inside).sqrt()
