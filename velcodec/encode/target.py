"""What an encoding is to reach: one of PSNR, error bound, bit for bit, or size; what it keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from velcodec.formats.errors import OptionError
from velcodec.metrics import PSNR_CAP, psnr_of_mse

TARGET_DB = 35.0
"""PSNR that every model gets where the user says nothing."""

CONTRAST_SHARE = 0.15
"""So much of the standard deviation of a model's velocities its root mean square error is at most,
where the user says nothing: 35 dB alone, an error of 53 m/s, would flatten layers that hardly
differ.
"""

FINEST_DB, DB_OF_CLASS = 56.0, 3.0
"""No contrast asks for a higher PSNR, in dB, which is an error of 5 m/s; and models are coded to
multiples of so many dB above 35, as each has domains of its own.
"""


@dataclass(frozen=True)
class Target:
    """What is promised, one of: `psnr` of every model at least, in dB over 3000 m/s, `max_error`
    (m/s) of every sample at most, `lossless`, or `bytes_per_model` of the whole file at most. Where
    nothing is given every model gets 35 dB, or more if it has little contrast; see `psnr_for`.

    `keep_latent` stores a latent beside samples too, of the PSNR that is promised, or of 35 dB
    where none is; `latent_only` stores nothing else. Raises OptionError for what is no target, or
    two.
    """

    psnr: float | None = None
    max_error: float | None = None
    lossless: bool = False
    bytes_per_model: float | None = None
    keep_latent: bool = False
    latent_only: bool = False

    def __post_init__(self) -> None:
        for name in ("psnr", "max_error", "bytes_per_model"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, plain_number(value, name))
        if self.psnr is not None and not 0 < self.psnr < PSNR_CAP:
            raise OptionError(f"psnr: expected 0 to {PSNR_CAP:g} dB, found {self.psnr:g}")
        for name, unit in (("max_error", " m/s"), ("bytes_per_model", "")):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                text = name.replace("_", " ")
                raise OptionError(f"{text}: expected more than 0{unit}, found {value:g}")
        given = {
            "psnr": self.psnr is not None,
            "bytes_per_model": self.bytes_per_model is not None,
            "max_error": self.max_error is not None,
            "lossless": self.lossless,
        }
        asked = [name for name, there in given.items() if there]
        if len(asked) > 1:
            raise OptionError(f"{' and '.join(asked)}: expected one of them")
        if self.keep_latent and self.latent_only:
            raise OptionError("keep_latent and latent_only: expected one of them")
        if self.keep_latent and self.bytes_per_model is not None:
            raise OptionError("keep_latent: expected it without bytes_per_model")
        if self.latent_only and self.within is not None:
            raise OptionError("latent_only: expected it without max_error and lossless")

    @property
    def within(self) -> float | None:
        """Greatest error of a sample, m/s, where that is promised; 0 means bit for bit."""
        return 0.0 if self.lossless else self.max_error

    @property
    def psnr_db(self) -> float | None:
        """PSNR of every model, where that is promised."""
        if self.within is not None or self.bytes_per_model is not None:
            return None
        return TARGET_DB if self.psnr is None else self.psnr

    @property
    def text(self) -> str:
        """What is promised, in words."""
        if self.lossless:
            return "every bit"
        if self.max_error is not None:
            return f"no error above {self.max_error:g} m/s"
        if self.bytes_per_model is not None:
            return f"at most {self.bytes_per_model:,.10g} bytes a model on average"
        if self.psnr is not None or self.keep_latent or self.latent_only:
            return f"{self.psnr_db:g} dB or better"
        return (
            f"{TARGET_DB:g} dB or better, and for models of little contrast an error of at most "
            f"{100 * CONTRAST_SHARE:g} % of their standard deviation (up to {FINEST_DB:g} dB)"
        )

    def psnr_for(self, deviation_m_s: float) -> float | None:
        """PSNR of a model whose velocities have this standard deviation, where that is promised:
        with nothing else asked for, enough to keep the error small beside it.
        """
        if self.psnr is not None or self.keep_latent or self.latent_only or deviation_m_s <= 0:
            return self.psnr_db
        if self.psnr_db is None:
            return None
        enough = psnr_of_mse((CONTRAST_SHARE * deviation_m_s) ** 2)
        classes = math.ceil(max(0.0, enough - TARGET_DB) / DB_OF_CLASS)
        return min(TARGET_DB + DB_OF_CLASS * classes, FINEST_DB)


def plain_number(value: Any, name: str) -> float:
    """A number as a float of Python: NumPy's own do not go into headers. Raises OptionError."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise OptionError(f"{name.replace('_', ' ')}: expected a number, found {value!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise OptionError(f"{name.replace('_', ' ')}: found a number too large") from error
