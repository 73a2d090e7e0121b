"""Rendering on a GPU in one kernel where Triton is there, by torch's operations where it is not.

Velocities are float32 or float16 and differ from the float rendering of `velcodec.decode.render` by
rounding.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder

if TYPE_CHECKING:
    from velcodec.decoder.siren_mixture.network import SirenMixture

Precision = Literal["tf32", "tf32x3", "ieee"]
"""How tensor cores multiply float32: rounded to 11 bits, in three such products, or not at all."""

PRECISION: Precision = "tf32x3"
"""A product of numbers of 11 bits misses 1 m/s at steep edges (docs/performance.md)."""

POINTS, WARPS = 128, 8
"""Points of a block and the warps that render it."""

PROGRAMS = 1024
"""As many programs as keep a GPU busy, where there are so many blocks of points."""

LEAST_CAPABILITY = (8, 0)
"""Tensor cores that take float32."""


class Packed(NamedTuple):
    """A decoder's tensors as the kernel takes them, and the state that they were packed in."""

    state: tuple[object, ...]
    tensors: tuple[Tensor, ...]
    sizes: dict[str, int]


_packed: WeakKeyDictionary[Decoder, Packed] = WeakKeyDictionary()


def has_triton() -> bool:
    """Whether Triton is installed."""
    return find_spec("triton") is not None


def serves(decoder: SirenMixture, latent: Tensor) -> bool:
    """Whether the kernel can do it: one or two hidden layers, float32, a GPU with tensor cores for
    it, Triton installed.
    """
    return (
        decoder.settings.hidden_layers in (1, 2)
        and latent.is_cuda
        and latent.dtype == torch.float32
        and has_triton()
        and torch.version.hip is None
        and torch.cuda.get_device_capability(latent.device) >= LEAST_CAPABILITY
    )


@torch.no_grad()
def velocities(
    decoder: Decoder,
    latent: Tensor,
    low: Tensor,
    high: Tensor,
    points: Tensor,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Velocities (B, P) in m/s of `dtype`, float32 or float16, for latents (B, D).

    `points` (P, 2), or (B, P, 2), are (x, z) of the decoder domain; `low` and `high` (B,) the ends
    of each model's range, which no velocity leaves.
    """
    low, high = within(low, high, dtype)
    from velcodec.decoder.siren_mixture.network import SirenMixture

    if isinstance(decoder, SirenMixture) and serves(decoder, latent):
        return launch(decoder, latent, points, dtype, (low, high))
    share = (torch.nan_to_num(decoder(points, latent)).clamp(-1, 1) + 1) / 2
    low, high = low[:, None], high[:, None]
    return torch.minimum(torch.maximum(low + share * (high - low), low), high).to(dtype)


def within(low: Tensor, high: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Ends (B,) float32 that `dtype` can hold and that lie within low and high (B,), wherever there
    is such a number; so that rounding leaves no range.
    """
    up, down = low.to(dtype), high.to(dtype)
    far = torch.full_like(up, torch.inf)
    up = torch.where(up.double() < low.double(), _next(up, far), up)
    down = torch.where(down.double() > high.double(), _next(down, -far), down)
    return up.float(), torch.maximum(down, up).float()


def _next(values: Tensor, towards: Tensor) -> Tensor:
    """The neighbouring numbers of the same dtype; torch has that for float16 on the CPU alone."""
    return torch.nextafter(values.cpu(), towards.cpu()).to(values.device)


def launch(
    decoder: SirenMixture,
    latent: Tensor,
    points: Tensor,
    dtype: torch.dtype = torch.float32,
    ends: tuple[Tensor, Tensor] | None = None,
    precision: Precision = PRECISION,
    points_of_a_block: int = POINTS,
    warps: int = WARPS,
) -> Tensor:
    """The kernel's output (B, P): m/s within `ends`, or normalised velocity without them."""
    from velcodec.decoder.siren_mixture import triton_kernel

    packed = pack(decoder)
    where = points.to(torch.float32).contiguous()
    batch, count = len(latent), where.shape[-2]
    values = torch.empty(batch, count, dtype=dtype, device=latent.device)
    if not values.numel():
        return values
    blocks = -(-count // points_of_a_block)
    each = max(1, blocks // max(1, -(-PROGRAMS // batch)))
    low, high = ends if ends is not None else (latent, latent)
    kernel: Any = triton_kernel.render
    kernel[batch, -(-blocks // each)](
        latent.contiguous(), low.contiguous(), high.contiguous(), where, values,
        *packed.tensors,
        count, 0 if where.ndim == 2 else 2 * count, each,
        **packed.sizes,
        POINTS=points_of_a_block, PRECISION=precision, SCALED=ends is not None,
        num_warps=warps,
    )  # fmt: skip
    return values


def pack(decoder: SirenMixture) -> Packed:
    """The decoder's tensors, packed once for as long as they stay as they are."""
    parameters = list(decoder.parameters())
    state = (decoder.device, *(p._version for p in parameters), *map(id, parameters))
    known = _packed.get(decoder)
    if known is None or known.state != state:
        known = _packed[decoder] = Packed(state, _tensors(decoder), _sizes(decoder))
    return known


@torch.no_grad()
def _tensors(decoder: SirenMixture) -> tuple[Tensor, ...]:
    """What `triton_kernel.render` takes from `to_map` to `to_warp_bias`."""
    base = {
        "fault_plane": decoder.fault_plane,
        "first": decoder.first,
        "first_bias": decoder.first_bias,
        "hidden_bias": torch.stack(list(decoder.hidden_bias)),
        "logit": decoder.logit,
        "logit_bias": decoder.logit_bias,
        "level": decoder.level,
        "ramp": decoder.ramp,
    }
    if decoder.settings.strata:
        base |= {"jump": decoder.jump, "depth": decoder.depth, "log_rate": decoder.log_rate}
    like = decoder.modulation
    rows = [
        base[part].flatten() if part in base else like.new_zeros(size)
        for part, size in decoder.part_sizes.items()
    ]
    layers = (decoder.hidden, decoder.gate_out, decoder.gate_in)
    return (
        like.detach().T.contiguous(),
        torch.cat(rows).contiguous(),
        *(torch.stack(list(each)).contiguous() for each in layers),
        decoder.warp_first.detach().contiguous(),
        decoder.warp_bias.detach().contiguous(),
    )


def _sizes(decoder: SirenMixture) -> dict[str, int]:
    c = decoder.settings
    sizes = {"W": c.width, "R": c.gates, "K": c.components, "F": c.faults}
    sizes |= {"N": c.warp_features, "S": c.strata}
    least = {"W": 16, "R": 16, "K": 16}  # of a side of a product
    filled = {f"{name}P": _filled(n, least.get(name, 1)) for name, n in sizes.items()}
    return (
        sizes
        | filled
        | {"L": c.hidden_layers, "D": decoder.latent_size, "M": len(decoder.modulation)}
    )


def _filled(size: int, least: int) -> int:
    """The power of two that is not below `size` and `least`."""
    return max(least, 1 << (max(size, 1) - 1).bit_length())
