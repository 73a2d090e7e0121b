"""FlatVel and CurveVel: nearly parallel interfaces, flat or following one spline, constant layers.

Sources: the layer counts, spacings and the spline were measured on published models (docs/
generator.md). It never draws faults.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from velcodec.synth.draws import Draws
from velcodec.synth.models import CELLS, Models, ramp

LOW, HIGH = 1500.0, 4500.0
"""The label range of the published sets, m/s."""

MOST_INTERFACES = 7
FLAT_JITTER, NODE_JITTER = 0.9, 0.77
"""Cells that a flat interface, or a node of a curved one, lies off the parallel, up or down."""

_NODES = np.arange(0.0, 80.0, 10.0)
_KNOTS = np.arange(20.0, 70.0, 10.0)


def _truncated_powers(x: Tensor) -> Tensor:
    knots = torch.from_numpy(_KNOTS).to(x)
    smooth = torch.stack([torch.ones_like(x), x, x * x], dim=-1)
    return torch.cat([smooth, (x[..., None] - knots).clamp(min=0.0) ** 2], dim=-1)


_CARDINAL = torch.linalg.inv(_truncated_powers(torch.from_numpy(_NODES)))


def spline_basis(x: Tensor) -> Tensor:
    """Cardinal quadratic spline with nodes at columns 0, 10 .. 70 and knots at 20, 30 .. 60.

    x in cells, any shape (...); result (..., 8): the weights of the 8 node values. The same curve
    as SciPy's make_interp_spline(k=2, t=[0, 0, 0, 20, 30, 40, 50, 60, 70, 70, 70]).
    """
    column = (x - 0.5).to(torch.float64)
    weights: Tensor = _truncated_powers(column) @ _CARDINAL.to(x.device)
    return weights.to(torch.float32)


def curve(values: Tensor, basis: Tensor) -> Tensor:
    """(n, P) heights of the splines with node `values` (n, 8), by `spline_basis` at the points,
    (1, P, 8) or (n, P, 8).
    """
    height = values[:, 0:1] * basis[..., 0]
    # Summed term by term: a matrix product's order, hence its last bits, changes with the batch.
    for k in range(1, values.shape[1]):
        height = height + values[:, k : k + 1] * basis[..., k]
    return height


@dataclass(frozen=True)
class Stack:
    """Layers between interfaces: depths (n, L) in cells, ascending, and the velocity `top` (n, 1)
    above the first with the `jumps` (n, L) across each, m/s. A missing interface has jump 0.
    Interfaces are logistic with `rate` per cell, sharp if 0.
    """

    top: Tensor
    depths: Tensor
    jumps: Tensor
    rate: float

    def at(self, depth: Tensor) -> Tensor:
        """(n, P) velocity in m/s at stratigraphic depth (n or 1, P), cells."""
        return self.below(depth - self.depths[:, k : k + 1] for k in range(self.depths.shape[1]))

    def below(self, distances: Iterable[Tensor]) -> Tensor:
        """(n, P) velocity in m/s at these distances (n, P) below each interface in turn, cells."""
        value: Tensor | None = None
        for k, below in enumerate(distances):
            if self.rate > 0.0:
                part = ramp(below, self.rate) * self.jumps[:, k : k + 1]
            else:
                part = (below >= 0.0) * self.jumps[:, k : k + 1]
            value = part + self.top if value is None else value.add_(part)
        assert value is not None
        return value


def stack_layers(velocities: Tensor, depths: Tensor, rate: float = 0.0) -> Stack:
    """Make a Stack from layer velocities (n, L + 1) and interface depths (n, L)."""
    return Stack(velocities[:, :1], depths, velocities.diff(dim=1), rate)


@dataclass(frozen=True)
class LayeredModels(Models):
    """Nearly parallel layers: `nodes` (n, L, 8) are the interfaces' splines in cells, about the
    depths in `stack`; None where they are flat.
    """

    count: int
    device: torch.device
    stack: Stack
    nodes: Tensor | None

    def _velocity(self, x: Tensor, z: Tensor) -> Tensor:
        if self.nodes is None:
            return self.stack.at(z)
        basis, depths, nodes = spline_basis(x), self.stack.depths, self.nodes
        return self.stack.below(
            z - depths[:, k : k + 1] - curve(nodes[:, k], basis) for k in range(nodes.shape[1])
        )


def layer_velocities(draws: Draws, layers: Tensor, most: int, ordered: bool) -> Tensor:
    """(n, most) iid U[1500, 4500] rounded to m/s; those of the first `layers` sorted if `ordered`.

    Layers beyond a model's own count repeat its last one, so that they make no interface.
    """
    velocity = draws.uniform(most, low=LOW, high=HIGH).round()
    index = torch.arange(most, device=draws.device)
    present = index < layers[:, None]
    if ordered:
        velocity = torch.where(present, velocity, HIGH + 1.0).sort(dim=1).values
    return velocity.gather(1, torch.minimum(index, layers[:, None] - 1))


def draw_layered(draws: Draws, curved: bool, ordered: bool) -> LayeredModels:
    """FlatVel (curved=False) or CurveVel; set A is `ordered`, set B is not."""
    layers = draws.integers(4, 8)
    spacing = CELLS / (layers - 1).to(torch.float32)
    order = torch.arange(1, MOST_INTERFACES + 1, device=draws.device)
    depths = order * spacing[:, None]
    velocities = layer_velocities(draws, layers, MOST_INTERFACES + 1, ordered)
    if curved:
        nodes = _draw_nodes(draws, spacing[:, None])
    else:
        # Flat interfaces are those of a curved model at a single node.
        jitter = draws.uniform(MOST_INTERFACES, low=-FLAT_JITTER, high=FLAT_JITTER)
        depths = depths + draws.uniform(1, low=-0.5, high=0.5) * spacing[:, None] + jitter
        nodes = None
    return LayeredModels(draws.count, draws.device, stack_layers(velocities, depths), nodes)


# Measured: the last node, at the very edge, follows from the others as in an extrapolation.
_LAST_NODE = (0.17, -0.87, 1.48, -1.66, 1.73, -1.70, 1.55)


def _draw_nodes(draws: Draws, spacing: Tensor) -> Tensor:
    """(n, L, 8) node values in cells: one relief of half a `spacing` (n, 1) up or down at each node
    for all interfaces, and a jitter of each interface's own.
    """
    relief = draws.uniform(7, low=-0.5, high=0.5) * spacing
    jitter = draws.uniform(MOST_INTERFACES, 7, low=-NODE_JITTER, high=NODE_JITTER)
    nodes = relief[:, None] + jitter
    last = (draws.uniform(1, low=-0.165, high=0.165) * spacing).expand(-1, MOST_INTERFACES)
    for k, weight in enumerate(_LAST_NODE):
        last = last + weight * nodes[..., k]
    return torch.cat([nodes, last[..., None]], dim=-1)
