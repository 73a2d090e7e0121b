"""What every sample coder does: images of integers to bytes, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.sample_coding.domain import Domain


@dataclass(frozen=True)
class Request:
    """What an image of integers is to be coded as.

    `allowed` (nz, nx, 3) is the least, the preferred and the greatest integer of each sample. Where
    errors count in the mean, `price` is what the square of one against `original` (nz, nx) is worth
    in bits, for coders that choose sample by sample, and `step` the quantiser step, in integers,
    for those that transform.
    """

    allowed: Int64
    original: Int64 | None = None
    price: float = 0.0
    step: int | None = None

    @classmethod
    def exactly(cls, codes: Int64) -> Request:
        """These integers (nz, nx) and no others."""
        return cls(np.stack([codes, codes, codes], axis=2))

    @property
    def preferred(self) -> Int64:
        """The preferred integers (nz, nx)."""
        return self.allowed[..., 1]

    @property
    def shape(self) -> tuple[int, int]:
        """(nz, nx)."""
        return self.allowed.shape[0], self.allowed.shape[1]


@dataclass(frozen=True)
class Image:
    """A coded image: its stream, and the integers (nz, nx) that the stream holds."""

    data: bytes
    codes: Int64


class SampleCoder(ABC):
    """One way to code images of integers in [0, span) of a domain.

    `number` is what a record says of it, for ever; a byte of a stream may stand for at most
    `samples_per_byte` samples, so that bytes bound the time that decoding takes.
    """

    number: ClassVar[int]
    name: ClassVar[str]
    samples_per_byte: ClassVar[int]

    @abstractmethod
    def encode(self, request: Request, domain: Domain, network: int) -> Image | None:
        """The image as a stream, within what is allowed; None where this coder does not serve.

        `network` is the number of the archive's context network, for coders that have one.
        """

    @abstractmethod
    def decode(self, data: bytes, shape: tuple[int, int], domain: Domain, network: int) -> Int64:
        """The integers (nz, nx) of a stream. Raises CorruptError, ContextNetworkError."""
