"""A run of training of a sampler, of models or of volumes: steps, checkpoints, learning rate."""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from velcodec.formats.errors import OptionError
from velcodec.formats.storage.atomic import atomic_write

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")


class SamplerRun(ABC, Generic[Network, Batch]):
    """A run of `steps` steps that can stop and resume with the same resulting weights."""

    def __init__(
        self, network: Network, steps: int, learning_rate: float, batch: int, seed: int
    ) -> None:
        self.settings = {
            "steps": float(steps), "learning_rate": learning_rate, "batch": float(batch),
            "seed": float(seed),
        }  # fmt: skip
        self.steps, self.learning_rate, self.batch, self.seed = steps, learning_rate, batch, seed
        self.network = network
        self.optimiser = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99))
        self.step_number = 0

    @abstractmethod
    def batches(self, first: int) -> Iterator[Batch]:
        """Endless batches from number `first` on; the number determines the batch."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss of a batch."""

    def run(self, seconds: float | None, report: Callable[[int, dict[str, float]], None]) -> None:
        """Train to the last step, or for about `seconds`; calls `report(done, figures)`."""
        started = time.monotonic()
        left = range(self.step_number, self.steps)
        for _, example in zip(left, self.batches(self.step_number), strict=False):
            for group in self.optimiser.param_groups:
                group["lr"] = self._rate()
            loss = self.loss(example)
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            self.step_number += 1
            report(self.step_number, {"loss": float(loss.detach())})
            if seconds is not None and time.monotonic() - started > seconds:
                break

    def _rate(self) -> float:
        """Learning rate of the next step: 100 steps of warm-up, then a cosine to a hundredth."""
        fall = 0.5 * (1.0 + math.cos(math.pi * self.step_number / self.steps))
        return self.learning_rate * min(1.0, (self.step_number + 1) / 100) * (0.01 + 0.99 * fall)

    def save(self, path: Path) -> None:
        """Write the state of the run."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": t for name, t in state.items()}
        whole = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
        data = save(whole, {"step": str(self.step_number), "settings": json.dumps(self.settings)})
        with atomic_write(path, force=True) as stream:
            stream.write(data)

    def load(self, path: Path) -> None:
        """Resume a run with the same settings. Raises OptionError for others."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            settings, step = json.loads(metadata["settings"]), int(metadata["step"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise OptionError(f"{path}: not a checkpoint of a sampler: {error}") from error
        if settings != self.settings:
            raise OptionError(f"{path}: found a run of {settings}, expected {self.settings}")

        def part(prefix: str) -> dict[str, Tensor]:
            return {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part("optimiser.").items():
            number, key = name.split(".")
            state.setdefault(int(number), {})[key] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.step_number = step
