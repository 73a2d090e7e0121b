"""The released decoders, which archives name by a number in place of their identity.

docs/decoder-card.md lists the same. Numbers are only ever added.
"""

from __future__ import annotations

DECODERS = {
    2: (
        "velcodec-2",
        bytes.fromhex("dbd7445333477adec841792620f4a993e3a0565955559a4764abf2ec3aadeeb1"),
    )
}
"""Names and identities (SHA-256, 32 bytes) by number."""

MAX_NUMBER = 1 << 16
_LATER = bytes(30)
"""What precedes the number where the identity would be, if a later version released the decoder."""


def decoder_of(number: int) -> tuple[str, bytes]:
    """Name and identity of a released decoder.

    One that this version does not know has a name that says so, and an identity that no decoder
    file has, so that its latents cannot be rendered; samples can. Raises ValueError for a number
    that none can have.
    """
    if not 1 <= number < MAX_NUMBER:
        raise ValueError(f"decoder: found number {number}, expected 1 to {MAX_NUMBER - 1}")
    later = f"number {number} of a later version", _LATER + number.to_bytes(2, "big")
    return DECODERS.get(number, later)


def number_of(name: str, identity: bytes) -> int | None:
    """The number of the released decoder of this name and identity, or None."""
    number = next((n for n, known in DECODERS.items() if known == (name, identity)), None)
    if number is None and identity[:30] == _LATER:
        number = int.from_bytes(identity[30:], "big")
        return number if number and decoder_of(number) == (name, identity) else None
    return number
