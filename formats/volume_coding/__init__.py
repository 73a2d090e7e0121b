"""Samples of volumes as streams: bricks of integers, each read alone (docs/format-volumes.md)."""

from velcodec.formats.volume_coding.choice import REACH, interpolated_domain, looks_smooth
from velcodec.formats.volume_coding.coder import (
    BRICK,
    decode_brick,
    encode_brick,
    encode_within,
)

__all__ = [
    "BRICK",
    "REACH",
    "decode_brick",
    "encode_brick",
    "encode_within",
    "interpolated_domain",
    "looks_smooth",
]
