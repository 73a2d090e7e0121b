"""Train one decoder in several processes started by `torchrun`: gradients are averaged."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed
from torch.nn import Parameter


def join(device: torch.device) -> None:
    """Join the processes that torchrun started; does nothing in a single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")


def leave() -> None:
    """Leave the group of processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank_and_size() -> tuple[int, int]:
    """Rank of the process, and the number of processes."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


@torch.no_grad()
def average(value: Tensor) -> Tensor:
    """The mean of a value over the processes."""
    mean = value.clone()
    size = rank_and_size()[1]
    if size > 1:
        distributed.all_reduce(mean)
        mean /= size
    return mean


@torch.no_grad()
def average_gradients(parameters: Iterable[Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in one message."""
    size = rank_and_size()[1]
    if size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= size
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
