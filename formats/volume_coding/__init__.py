"""Samples of volumes as streams: bricks of integers, each read alone (docs/format-volumes.md)."""

from velcodec.formats.volume_coding.coder import BRICK, decode_brick, encode_brick

__all__ = ["BRICK", "decode_brick", "encode_brick"]
