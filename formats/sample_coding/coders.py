"""The table of sample coders, by the number that a record gives."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from velcodec.formats.errors import UnknownFeatureError
from velcodec.formats.sample_coding.base import SampleCoder

CODERS = 4
"""A record can tell so many coders apart."""

LABEL_MAP, BLENDED, DCT, LEAST_SQUARES = range(4)

_CLASSES = {
    LABEL_MAP: ("label_map.coder", "LabelMapCoder"),
    BLENDED: ("prediction.blended", "BlendedCoder"),
    DCT: ("dct.coder", "DctCoder"),
    LEAST_SQUARES: ("prediction.least_squares", "LeastSquaresCoder"),
}
"""Module and class of each coder. They are imported when they are used: their kernels need numba,
which commands that decode nothing do not wait for.
"""


@cache
def coder_of(number: int) -> SampleCoder:
    """The coder of a number. Raises UnknownFeatureError."""
    if number not in _CLASSES:
        raise UnknownFeatureError(
            f"exact stream: coder: found {number}, expected 0 to {CODERS - 1}"
        )
    module, name = _CLASSES[number]
    coder: SampleCoder = getattr(import_module(f"{__package__}.{module}"), name)()
    return coder
