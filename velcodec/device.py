"""Choosing where to compute: `auto`, `cpu`, `cuda` or `cuda:N`, and how many CPU threads.

Torch is imported only when a device is asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from velcodec.formats.errors import OptionError

if TYPE_CHECKING:
    import torch


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """The torch device for `name`; `auto` is the first CUDA device if there is one, else the CPU.

    Raises OptionError for another name and for a CUDA device that is not there.
    """
    import torch

    if isinstance(name, torch.device):
        return name
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise OptionError(f"device: expected auto, cpu, cuda or cuda:N, found {name!r}")
    found = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if found else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    number = int(name.partition(":")[2] or 0)
    if number >= found:
        raise OptionError(f"device: expected one of {found} CUDA devices, found {name!r}")
    return torch.device(f"cuda:{number}")


def set_threads(count: int | None) -> int:
    """Let torch use `count` CPU threads (None: leave as is); the number now in use.

    Raises OptionError when `count` is below one.
    """
    import torch

    if count is not None:
        if count < 1:
            raise OptionError(f"threads: expected 1 or more, found {count}")
        torch.set_num_threads(count)
    return torch.get_num_threads()
