"""Weights of samplers in safetensors files, and the files that are part of velcodec."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np

from velcodec.formats.errors import CorruptError, InputFileError, SamplerError


@dataclass(frozen=True)
class Weights:
    """The float32 arrays of a sampler, one for each name of `SHAPES`."""

    SHAPES: ClassVar[dict[str, tuple[int, ...]]]

    @classmethod
    def from_bytes(cls, data: bytes, place: str) -> Self:
        """Weights from the bytes of a safetensors file. Raises CorruptError, naming `place`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            tensors = load(data)
        except SafetensorError as error:
            raise CorruptError(f"{place}: sampler: {error}") from error
        for name, shape in cls.SHAPES.items():
            found = tensors[name].shape if name in tensors else None
            if found != shape:
                raise CorruptError(f"{place}: sampler: {name}: found {found}, expected {shape}")
        return cls(**{each.name: tensors[each.name].astype(np.float32) for each in fields(cls)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """The weights of a file. Raises InputFileError, CorruptError."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputFileError(f"{path}: {error.strerror}") from error
        return cls.from_bytes(data, str(path))

    def save(self, path: Path) -> None:
        """Write a safetensors file; equal weights give equal bytes."""
        from safetensors.numpy import save

        from velcodec.formats.storage.atomic import atomic_write

        data = save({name: np.ascontiguousarray(getattr(self, name)) for name in self.SHAPES})
        with atomic_write(path, force=True) as stream:
            stream.write(data)


W = TypeVar("W", bound=Weights)


@dataclass(frozen=True)
class Released(Generic[W]):
    """The samplers of one kind that are part of velcodec: files `kind`-1 to `kind`-`newest`."""

    kind: str
    newest: int
    weights: type[W]

    def load(self, number: int) -> W:
        """The weights of a sampler. Raises SamplerError if it is unknown."""
        file = resources.files("velcodec").joinpath("data", f"{self.kind}-{number}.safetensors")
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            raise SamplerError(
                f"{self.kind}: found number {number}, expected 1 to {self.newest}: the archive was "
                "made by another version; its native grid can be decoded"
            ) from None
        return self.weights.from_bytes(data, f"{self.kind} {number}")
