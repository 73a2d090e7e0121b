"""The table of sample coders, by their number in a record."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from velcodec.formats.errors import UnknownFeatureError
from velcodec.formats.sample_coding.base import SampleCoder

CODERS = 4
"""Number of coders that a record can name."""

LABEL_MAP, BLENDED, DCT, MIXED = range(4)

_CLASSES = {
    LABEL_MAP: ("label_map.coder", "LabelMapCoder"),
    BLENDED: ("prediction.blended", "BlendedCoder"),
    DCT: ("dct.coder", "DctCoder"),
    MIXED: ("mixing.coder", "MixedCoder"),
}
"""Module and class of each coder, imported on first use: their kernels need numba, which is slow to
import.
"""


@cache
def coder_of(number: int) -> SampleCoder:
    """The coder with this number. Raises UnknownFeatureError."""
    if number not in _CLASSES:
        raise UnknownFeatureError(
            f"exact stream: coder: found {number}, expected 0 to {CODERS - 1}"
        )
    module, name = _CLASSES[number]
    coder: SampleCoder = getattr(import_module(f"{__package__}.{module}"), name)()
    return coder
