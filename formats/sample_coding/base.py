"""The interface of sample coders: images of integers to bytes and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.sample_coding.domain import Domain


@dataclass(frozen=True)
class Request:
    """An image of integers to code, and the freedom that the encoder has.

    `allowed` (nz, nx, 3) is the least, the preferred and the greatest integer of each sample. If
    errors count in the mean, `price` is the cost in bits of a squared error against `original`
    (nz, nx), for coders that choose sample by sample, and `step` the quantiser step in integers,
    for those that transform. `smooth` says that the image has no layers of equal samples; `enough`
    are the bytes of the shortest stream so far, clearly longer ones need not be refined.
    """

    allowed: Int64
    original: Int64 | None = None
    price: float = 0.0
    step: int | None = None
    smooth: bool = False
    enough: int | None = None

    @classmethod
    def exactly(cls, codes: Int64, smooth: bool = False) -> Request:
        """A request for exactly these integers (nz, nx)."""
        return cls(np.stack([codes, codes, codes], axis=2), smooth=smooth)

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
    """A coded image: its stream, and the integers (nz, nx) that the stream decodes to."""

    data: bytes
    codes: Int64


class SampleCoder(ABC):
    """A coder for images of integers in [0, span) of a domain.

    `number` identifies it in records, for ever. A stream has a byte for every `samples_per_byte`
    samples at least, so that its bytes bound the time that decoding takes.
    """

    number: ClassVar[int]
    name: ClassVar[str]
    samples_per_byte: ClassVar[int]

    @abstractmethod
    def encode(self, request: Request, domain: Domain, network: int) -> Image | None:
        """Code an image within what is allowed; None if this coder cannot.

        `network` is the number of the archive's context network, for coders that use one.
        """

    @abstractmethod
    def decode(self, data: bytes, shape: tuple[int, int], domain: Domain, network: int) -> Int64:
        """The integers (nz, nx) of a stream. Raises CorruptError, ContextNetworkError."""
