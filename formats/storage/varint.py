"""Unsigned LEB128 integers: seven bits a byte, least significant first."""

from __future__ import annotations

from velcodec.formats.errors import CorruptError, TruncatedError

MAX_BYTES = 9


def encode_varint(value: int) -> bytes:
    """`value` >= 0 in as few bytes as it takes."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, at: int, place: str) -> tuple[int, int]:
    """The integer at `data[at:]` and where it ends. `place` names it in errors."""
    value = 0
    for number in range(MAX_BYTES):
        if at + number >= len(data):
            raise TruncatedError(f"{place}: found the end of the data, expected an integer")
        byte = data[at + number]
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value, at + number + 1
    raise CorruptError(f"{place}: found an integer of over {MAX_BYTES} bytes")
