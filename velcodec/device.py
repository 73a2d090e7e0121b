"""Where to compute: `auto`, `cpu`, `cuda` or `cuda:N`.

Imports torch only when a device is needed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from velcodec.formats.errors import MissingExtraError, OptionError
from velcodec.formats.extras import need_torch

if TYPE_CHECKING:
    import torch

GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Linux has one of these wherever torch could find a device: NVIDIA's, AMD's, Windows's."""


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """The torch device for `name`; `auto` is the first CUDA device if there is one, else the CPU.

    Raises OptionError for another name and for a CUDA device that is not there, MissingExtraError
    without torch.
    """
    if isinstance(name, str) and not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise OptionError(f"device: expected auto, cpu, cuda or cuda:N, found {name!r}")
    need_torch(f"device {name}")
    import torch

    if isinstance(name, torch.device):
        return name
    count = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    number = int(name.partition(":")[2] or 0)
    if number >= count:
        raise OptionError(f"device: expected one of {count} CUDA devices, found {name!r}")
    return torch.device(f"cuda:{number}")


def is_cpu(name: str | torch.device) -> bool:
    """Whether `pick_device` gives the CPU; avoids loading torch where possible. Without torch,
    `auto` is the CPU.
    """
    if name == "cpu":
        return True
    if name == "auto" and "torch" not in sys.modules and sys.platform == "linux":
        if not any(Path(node).exists() for node in GPU_NODES):
            return True
    try:
        return pick_device(name).type == "cpu"
    except MissingExtraError:
        if name == "auto":
            return True
        raise
